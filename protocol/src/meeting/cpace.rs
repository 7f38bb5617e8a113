//! CPace as both sides of a meeting use it, and what follows from its key.
//! Source: specs/meeting.md.

use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, aead::Aead as _};
use pakery_cpace::{CpaceInitiator, CpaceMode, CpaceResponder, InitiatorState};
use pakery_crypto::CpaceRistretto255;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Failed, SpokenCode};

/// Associated data of each side, before the version: a message of one is never taken for that of the other.
pub(super) const GUEST: &[u8] = b"larder guest";
pub(super) const HOST: &[u8] = b"larder host";
const CONTEXT: &[u8] = b"larder 2026 meeting v1";

/// The guest's point, and what it needs when the answer comes.
pub(super) fn begin(
    code: &SpokenCode,
    version: u16,
    seed: [u8; 32],
) -> ([u8; 32], InitiatorState<CpaceRistretto255>) {
    let (password, context) = (code.password(), context(code));
    let mut rng = ChaCha20Rng::from_seed(seed);
    let begun = CpaceInitiator::start(
        password.as_bytes(),
        &context,
        b"",
        &said_in(GUEST, version),
        &mut rng,
    );
    let (point, state) = begun.expect("no password leads to the neutral element");
    (point_of(&point), state)
}

/// The guest's key, from the host's point.
pub(super) fn finish(
    state: InitiatorState<CpaceRistretto255>,
    version: u16,
    point: &[u8; 32],
) -> Result<Keys, Failed> {
    let output = state.finish(point, &said_in(HOST, version), CpaceMode::InitiatorResponder);
    output.map(|output| Keys::of(output.isk.as_bytes())).map_err(|_| Failed::OutOfTurn)
}

/// The host's point and key, from the version and the point in the guest's first word.
pub(super) fn answer(
    code: &SpokenCode,
    version: u16,
    seed: [u8; 32],
    point: &[u8; 32],
) -> Result<([u8; 32], Keys), Failed> {
    let (password, context) = (code.password(), context(code));
    let mut rng = ChaCha20Rng::from_seed(seed);
    let answered = CpaceResponder::<CpaceRistretto255>::respond(
        point,
        password.as_bytes(),
        &context,
        b"",
        &said_in(GUEST, version),
        &said_in(HOST, version),
        CpaceMode::InitiatorResponder,
        &mut rng,
    );
    let (own, output) = answered.map_err(|_| Failed::OutOfTurn)?;
    Ok((point_of(&own), Keys::of(output.isk.as_bytes())))
}

/// CPace's channel identifier: what the words are for.
pub(super) fn context(code: &SpokenCode) -> Vec<u8> {
    [CONTEXT, &code.channel().number().to_le_bytes()].concat()
}

/// Associated data of a side. The version is in it: whoever stands between the two and names another one than
/// the guest did leaves them with two keys.
pub(super) fn said_in(side: &[u8], version: u16) -> Vec<u8> {
    [side, &version.to_le_bytes()].concat()
}

fn point_of(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().expect("an element of ristretto255 has 32 bytes")
}

/// The keys of one meeting. Used once each.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Keys {
    guest: [u8; 32],
    host: [u8; 32],
    ticket: [u8; 32],
}

impl Keys {
    /// What follows from CPace's key.
    pub(super) fn of(isk: &[u8]) -> Self {
        let key = |purpose| blake3::derive_key(purpose, isk);
        Self {
            guest: key("larder 2026 meeting guest proof v1"),
            host: key("larder 2026 meeting host proof v1"),
            ticket: key("larder 2026 meeting ticket v1"),
        }
    }

    /// That the guest has the code. CPace's key covers both points, so nothing else needs to be said.
    pub(super) fn guest_proof(&self) -> blake3::Hash {
        blake3::keyed_hash(&self.guest, b"")
    }

    /// That the host has the code and sealed this.
    pub(super) fn host_proof(&self, sealed: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.host, sealed)
    }

    /// Seals the text of a ticket. The key is used this once, so the nonce is zero.
    pub(super) fn seal(&self, ticket: &str) -> Vec<u8> {
        let sealed = self.cipher().encrypt(&[0; 12].into(), ticket.as_bytes());
        sealed.expect("a ticket is far shorter than the cipher's limit")
    }

    /// Opens what the host sealed.
    pub(super) fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.cipher().decrypt(&[0; 12].into(), sealed).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.ticket.into())
    }
}
