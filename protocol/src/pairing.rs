//! Pairing: a device joins a vault, or two vaults join into a circle. Both sides, without I/O.
//!
//! One bidirectional stream over ALPN [`ALPN`], frames as in the control protocol. The connection
//! has already proved each side's device key; an invitation that both know, proved by a MAC
//! over both keys, kind and version, says that the persons meant each other.
//!
//! ```text
//! joiner                                   inviter
//!   Hello (proof)            ──────►
//!                                          spend the invitation, durably
//!                            ◄──────       Welcome (vault, proof)
//!   show two words                         (words below: to be compared)
//!  a new device:
//!   Joining (keys, label)    ──────►
//!                                          ask the person
//!   Confirm (the person here) ─────►
//!                            ◄──────       Log..., Draft
//!   check, Consent           ──────►
//!                                          append the entry, durably
//!                            ◄──────       Added (entry, peers)
//!  another vault:
//!   Log..., Introduction     ──────►
//!                                          check, ask the person
//!   Confirm (the person here) ─────►
//!                                          store, durably
//!                            ◄──────       Log..., Introduction
//!  both:
//!   store, durably; Bye      ──────►
//! ```
//! **Invariant:** nothing is ordered to be stored before everything received was verified, and
//! each side stores all or nothing. The inviter stores first: a joiner that is cut off after its
//! last word does not know whether it joined ([`Ending::Unconfirmed`]) and repeats with a new
//! invitation; being in already is then no error.
//!
//! Drive it so: [`Inviter::handle_input`] or [`Joiner::handle_input`], then `poll_output` until
//! `None`, then wait for the next input or for `poll_timeout`. At most one [`Output::Store`] is
//! open at any time, so its answer needs no number. Source: specs/pairing.md.

use crate::{
    cbor::DecodeError,
    ids::{DeviceId, VaultId},
    keys::DeviceKeys,
    limits::PAIRING_PEERS_MAX,
    log::{DeviceLog, DraftError, LogError, Role},
    peer::PeerRecord,
    ticket::{Invite, InviteKind},
};
use thiserror::Error;

mod compare;
mod exchange;
mod frame;
mod inviter;
mod joiner;

pub use compare::CompareWords;
pub use frame::{InviteId, Refusal};
pub use inviter::{Invitation, Inviter, InviterParts};
pub use joiner::{JoinAs, Joiner, JoinerParts};

/// Protocol name; open only while an invitation is outstanding.
pub const ALPN: &[u8] = b"larder/pair/1";
/// The version that is spoken.
pub const VERSION: u16 = 2;

/// What a side that has a vault brings along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its device log.
    pub log: DeviceLog,
    /// Every node that it knows, its own device among them.
    pub peers: Vec<PeerRecord>,
    /// Bytes that its device offers to all others together. Of no meaning for a new device.
    pub offered_bytes: u64,
}

/// A fact for either machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Content of a frame, without its length.
    Frame(Vec<u8>),
    /// What was ordered last is durable.
    Stored,
    /// What was ordered last could not be made durable.
    StoreFailed,
    /// The stream or connection ended.
    Lost,
    /// The time named by `poll_timeout` has come.
    TimePassed,
    /// Inviter: whoever is asked lets the other side in, or nobody is to be asked; with what the vault is
    /// now, for it may have changed meanwhile.
    Accepted(Box<Member>),
    /// Joiner: whoever is asked finds the words to be the same, or nobody is to be asked.
    Confirmed,
    /// Whoever is asked says no, or has gone away. At the inviter it undoes a yes until the result is
    /// stored.
    Declined,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes: one whole frame with its length.
    Send(Vec<u8>),
    /// Make this durable, then say [`Input::Stored`].
    Store(Box<Store>),
    /// Joiner: show these words, which the other side shows as well, and ask whether they are the same;
    /// then say [`Input::Confirmed`] or [`Input::Declined`]. The role is what this device will be; it means
    /// nothing where another vault is joined.
    Show(CompareWords, Role),
    /// Inviter: ask whether this one is let in, then say [`Input::Accepted`] or [`Input::Declined`].
    /// Nothing of the vault was told so far but its id and site.
    Ask(Box<Asked>),
    /// It is over; finish the stream. The last output.
    Ended(Ending),
}

/// Who wants to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Name of the device.
    pub name: String,
    /// Where it stands, as it says.
    pub site: String,
    /// Its vault; `None` for a new device of the own.
    pub vault: Option<VaultId>,
    /// What a new device will be. Of no meaning for another vault.
    pub role: Role,
    /// Bytes that it lets this vault keep with it. Of no meaning for a new device.
    pub granted_bytes: u64,
    /// Bytes that its vault may keep here; `None` for as many as are offered in all. Of no meaning for a new
    /// device.
    pub allowed_bytes: Option<u64>,
    /// What its screen shows.
    pub words: CompareWords,
}

/// What is to be made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Store {
    /// Inviter: this invitation is used up.
    Spent(InviteId),
    /// Inviter: this device is about to get the keys of the vault, and no log names it yet. Unless
    /// [`Added`](Self::Added) follows, whatever is sealed from then on needs a new epoch (PAIR-23).
    Exposed(DeviceId),
    /// Inviter: a device was taken in.
    Added {
        /// The log entry, already checked against the log that was brought along: merge it. It
        /// may be there already, from a pairing that was cut off.
        entry: Vec<u8>,
        /// The new device.
        peer: PeerRecord,
    },
    /// Joiner: this device belongs to a vault now. Epoch keys are in the log.
    Joined {
        /// The vault's log.
        log: DeviceLog,
        /// Everybody whom the inviter knows.
        peers: Vec<PeerRecord>,
        /// Where this device stands, as its entry says.
        site: String,
    },
    /// Both: another vault is in the circle.
    Befriended {
        /// Its log.
        log: DeviceLog,
        /// Its nodes.
        peers: Vec<PeerRecord>,
        /// Bytes that it lets this vault keep with the node on the other side.
        granted_bytes: u64,
        /// Bytes that it may keep with this device; `None` for as many as this device offers in all.
        allowed_bytes: Option<u64>,
        /// Whether it keeps for this vault at all, now or later.
        keeps_for_us: bool,
    },
}

/// How a pairing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Ending {
    /// Both sides have stored everything.
    #[error("paired")]
    Done,
    /// This side may be in, but does not know whether the other one has stored it (joiner: whether
    /// it was taken in at all). Pairing again with a new invitation settles it.
    #[error("the connection was lost at the last step: pair again with a new code to be sure")]
    Unconfirmed,
    /// The other side said no.
    #[error("the other side refused: {0}")]
    Refused(Refusal),
    /// Whoever was asked on this side said no; nothing of the vault was told, and nothing stored.
    #[error("somebody said no on this side")]
    Declined,
    /// The other side broke the rules; nothing was stored here.
    #[error("the other side is at fault: {0}")]
    Fault(Fault),
    /// The connection was lost; nothing was stored.
    #[error("the other side broke off before anything was agreed")]
    Lost,
    /// It took too long; nothing was stored.
    #[error("the other side did not answer in time")]
    TimedOut,
    /// This side could not store.
    #[error("this side could not store the result")]
    StoreFailed,
}

/// What the other side did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No frame of this protocol.
    #[error("it sent something that is no message: {0}")]
    Garbage(DecodeError),
    /// A message that does not belong here.
    #[error("it sent a message out of turn")]
    OutOfTurn,
    /// It does not know the invitation.
    #[error("it could not prove that it has the invitation")]
    Proof,
    /// Its number is not the one that it had fixed.
    #[error("its number is not the one that it had fixed before it knew the other")]
    Number,
    /// Its device log is not valid.
    #[error("its device log is not valid: {0}")]
    Log(LogError),
    /// Its log is of another vault than it claimed, or does not know the device that speaks.
    #[error("its device log is not that of the vault it speaks for")]
    WrongVault,
    /// The draft is not what this device asked for.
    #[error("the entry it drafted is not what was asked for: {0}")]
    Draft(DraftError),
    /// Keys, names or addresses that cannot be.
    #[error("its keys, names or addresses are not plausible")]
    Implausible,
}

/// An own fault of the shell, found before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PartsError {
    /// An invitation for a new device was given to a side that has a vault, or the reverse.
    #[error("this invitation is for {}", if *device { "a new device" } else { "another vault" })]
    WrongKind {
        /// Whether the invitation is for a new device.
        device: bool,
    },
    /// This device made the invitation itself.
    #[error("this invitation was made by this very device")]
    OwnInvitation,
    /// This device is not in the log it brings along, or gives no usable name or address.
    #[error("this node's own name, address or vault cannot be used for pairing")]
    Own,
}

/// Who speaks with whom, by the keys that the connection has proved.
#[derive(Debug, Clone, Copy)]
struct Pair {
    inviter: DeviceId,
    joiner: DeviceId,
}

/// The nodes of one vault among those that a side knows, so many as fit.
fn nodes_of(peers: &[PeerRecord], vault: VaultId) -> Vec<PeerRecord> {
    frame::peers_that_fit(peers.iter().filter(|peer| peer.vault == vault))
}

/// Whether a list of nodes may be kept.
fn are_plausible(peers: &[PeerRecord]) -> bool {
    peers.len() <= PAIRING_PEERS_MAX && peers.iter().all(PeerRecord::is_plausible)
}

/// Whether an invitation may be used by this device in this way.
fn check_invite(invite: &Invite, keys: &DeviceKeys, device: bool) -> Result<(), PartsError> {
    let for_device = invite.kind == InviteKind::Device;
    if invite.inviter == keys.id() {
        return Err(PartsError::OwnInvitation);
    }
    let is_for_pairing = for_device || invite.kind.is_for_vault();
    if is_for_pairing && for_device == device {
        Ok(())
    } else {
        Err(PartsError::WrongKind { device: for_device })
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
