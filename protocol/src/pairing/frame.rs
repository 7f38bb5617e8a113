//! The frames of pairing, and the proof that somebody has the invitation.
//! Source: specs/pairing.md.

use minicbor::{Decode, Decoder, Encode, bytes::ByteVec};
use thiserror::Error;

use super::{
    Fault, Pair, VERSION,
    compare::{Commitment, CompareWords, Nonce, Nonces},
};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::DevicePublic,
    limits::{FRAME_BYTES_MAX, PAIRING_PEERS_BYTES_MAX, PAIRING_PEERS_MAX},
    log::{DeviceLog, Label, Role},
    peer::PeerRecord,
    ticket::{Invite, InviteKind},
    wire::frame::{encode_frame, lists_that_fit},
};

/// Names an invitation without giving it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct InviteId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) enum Frame {
    /// Joiner's first word.
    #[n(0)]
    Hello {
        #[n(0)]
        version: u16,
        #[n(1)]
        kind: InviteKind,
        #[n(2)]
        invite: InviteId,
        /// The joiner's vault, if it brings one into the circle.
        #[n(3)]
        vault: Option<VaultId>,
        #[cbor(n(4), with = "minicbor::bytes")]
        proof: [u8; 32],
        /// Fixes the joiner's number.
        #[n(5)]
        commitment: Commitment,
    },
    /// Inviter's answer.
    #[n(1)]
    Welcome {
        #[n(0)]
        vault: VaultId,
        #[cbor(n(1), with = "minicbor::bytes")]
        proof: [u8; 32],
        /// Where the inviter stands; told to a new device only.
        #[n(2)]
        site: Option<String>,
        /// The inviter's number.
        #[n(3)]
        nonce: Nonce,
        /// What a new device will be.
        #[n(4)]
        role: Role,
    },
    /// A part of the sender's device log, parents first; `last` ends it.
    #[n(2)]
    Log {
        #[n(0)]
        entries: Vec<ByteVec>,
        #[n(1)]
        last: bool,
    },
    /// Who wants to be a device.
    #[n(3)]
    Joining {
        #[n(0)]
        device: DevicePublic,
        #[n(1)]
        label: Label,
        #[n(2)]
        addresses: Vec<String>,
        /// The joiner's number.
        #[n(3)]
        nonce: Nonce,
    },
    /// The entry that would take it in.
    #[n(4)]
    Draft {
        #[n(0)]
        body: ByteVec,
    },
    /// The device's signature under it.
    #[n(5)]
    Consent {
        #[cbor(n(0), with = "minicbor::bytes")]
        signature: [u8; 64],
    },
    /// The device is in.
    #[n(6)]
    Added {
        #[n(0)]
        entry: ByteVec,
        #[n(1)]
        peers: Vec<PeerRecord>,
    },
    /// Who the sender's vault is, and what it offers.
    #[n(7)]
    Introduction {
        #[n(0)]
        peers: Vec<PeerRecord>,
        #[n(1)]
        granted_bytes: u64,
        /// The joiner's number, in what it says.
        #[n(2)]
        nonce: Option<Nonce>,
    },
    /// The joiner's person finds the words to be the same, or is not asked.
    #[n(8)]
    Confirm,
    /// The joiner has stored everything.
    #[n(9)]
    Bye,
    /// It ends here.
    #[n(10)]
    Refuse {
        #[n(0)]
        reason: Refusal,
    },
}

/// Why a side ends a pairing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// Of another version.
    #[error("it speaks another version")]
    #[n(0)]
    Version,
    /// Not outstanding: used, withdrawn, never made, or not proved to be known.
    #[error("it does not know the invitation, or it was used: make a new one")]
    #[n(1)]
    UnknownInvite,
    /// Known, but too late.
    #[error("the invitation has expired: make a new one")]
    #[n(2)]
    Expired,
    /// For another purpose, or for a vault that pairs with itself.
    #[error("the invitation is for something else")]
    #[n(3)]
    WrongKind,
    /// What was sent is not valid.
    #[error("it found what this side sent not valid")]
    #[n(4)]
    Invalid,
    /// Its own fault.
    #[error("it could not store the result")]
    #[n(5)]
    Internal,
    /// A person said no.
    #[error("somebody there said no")]
    #[n(6)]
    Declined,
}

/// What a proof covers, in canonical form.
#[derive(Encode)]
#[cbor(map)]
struct Transcript {
    #[n(0)]
    version: u16,
    /// Whether the inviter speaks.
    #[n(1)]
    by_inviter: bool,
    #[n(2)]
    kind: InviteKind,
    #[n(3)]
    inviter: DeviceId,
    #[n(4)]
    joiner: DeviceId,
    #[n(5)]
    joiner_vault: Option<VaultId>,
    #[n(6)]
    inviter_vault: Option<VaultId>,
    /// Told by the inviter alone.
    #[n(7)]
    role: Role,
}

/// What the inviter says of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// What the joiner brings into the circle.
    pub(super) joiner_vault: Option<VaultId>,
    /// The inviter's own.
    pub(super) vault: VaultId,
    /// What a new device will be.
    pub(super) role: Role,
}

impl Invite {
    /// Names this invitation without giving it away.
    pub fn id(&self) -> InviteId {
        let hash = blake3::derive_key("larder 2026 invite id v1", &self.secret.0);
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(hash) {
            *to = from;
        }
        InviteId(id)
    }

    /// The joiner's proof; `vault` is what it brings into the circle.
    pub(super) fn joiner_proof(&self, pair: Pair, vault: Option<VaultId>) -> blake3::Hash {
        self.proof(&self.transcript(pair, vault, None))
    }

    /// The inviter's proof.
    pub(super) fn inviter_proof(&self, pair: Pair, terms: &Terms) -> blake3::Hash {
        self.proof(&self.transcript(pair, terms.joiner_vault, Some(terms)))
    }

    fn proof(&self, transcript: &[u8]) -> blake3::Hash {
        let key = blake3::derive_key("larder 2026 invite proof v1", &self.secret.0);
        blake3::keyed_hash(&key, transcript)
    }

    /// The words that both sides show.
    pub(super) fn words(&self, pair: Pair, terms: &Terms, nonces: &Nonces) -> CompareWords {
        CompareWords::new(nonces, &self.transcript(pair, terms.joiner_vault, Some(terms)))
    }

    fn transcript(
        &self,
        pair: Pair,
        joiner_vault: Option<VaultId>,
        by_inviter: Option<&Terms>,
    ) -> Vec<u8> {
        let Pair { inviter, joiner } = pair;
        cbor::encode(&Transcript {
            version: VERSION,
            by_inviter: by_inviter.is_some(),
            kind: self.kind,
            inviter,
            joiner,
            joiner_vault,
            inviter_vault: by_inviter.map(|terms| terms.vault),
            role: by_inviter.map(|terms| terms.role).unwrap_or_default(),
        })
    }
}

impl Frame {
    /// Decodes the content of a frame.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        cbor::decode(bytes, FRAME_BYTES_MAX).map_err(Fault::Garbage)
    }

    /// The frame with its length, ready to be sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        encode_frame(self).expect("every list in a frame was cut to fit")
    }

    /// The version of a Hello of any version: key 0 of the map beside variant 0.
    pub(super) fn peek_hello(bytes: &[u8]) -> Option<u16> {
        let mut decoder = Decoder::new(bytes);
        let is_pair = decoder.array().ok()? == Some(2) && decoder.u32().ok()? == 0;
        let content = bytes.get(decoder.position()..)?;
        cbor::peek_version(content).filter(|_| is_pair)
    }
}

/// A log as frames.
pub(super) fn log_frames(log: &DeviceLog) -> Vec<Frame> {
    let entries: Vec<ByteVec> = log.entries().map(|entry| entry.to_vec().into()).collect();
    let lists = lists_that_fit(&entries);
    let count = lists.len();
    let frame = |(number, entries)| Frame::Log { entries, last: number + 1 == count };
    lists.into_iter().enumerate().map(frame).collect()
}

/// So many records, from the front, as one frame may hold.
pub(super) fn peers_that_fit<'a>(peers: impl Iterator<Item = &'a PeerRecord>) -> Vec<PeerRecord> {
    let mut room = PAIRING_PEERS_BYTES_MAX;
    let fits = |peer: &&PeerRecord| {
        let bytes = cbor::encode(*peer).len();
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    };
    let plausible = peers.filter(|peer| peer.is_plausible());
    plausible.take(PAIRING_PEERS_MAX).take_while(fits).cloned().collect()
}
