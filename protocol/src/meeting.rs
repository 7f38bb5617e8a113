//! Meeting: a code of three words, spoken from one person to another, brings an invitation over.
//!
//! The words are few, so nobody who listens or takes part may try them at leisure. CPace
//! (draft-irtf-cfrg-cpace-21, ristretto255 and SHA-512) makes a strong key of them that an attacker can
//! test one guess against, and only while both sides are there. What follows is
//! ordinary [pairing](crate::pairing) with the invitation that came over.
//!
//! ```text
//! guest (has the code)                 host (made the code)
//!   Hello Ya              ──────►
//!                         ◄──────      Answer Yb
//!   Proof                 ──────►
//!                                      takes the code, so that nobody can use it again
//!                         ◄──────      Invitation (its own proof, sealed ticket)
//! ```
//! **Invariants:** the guest proves first, so a host shows nothing that a wrong guess could be tested
//! with; the host takes the code before it looks at the proof, so each code serves one guess,
//! right or wrong.
//!
//! Drive either machine so: `handle_input`, then `poll_output` until `None`, then wait for the next input
//! or for `poll_timeout`. Source: specs/meeting.md.

use thiserror::Error;

use crate::{
    cbor::DecodeError,
    ticket::{Invite, TicketError},
    time::Instant,
};

mod code;
mod cpace;
mod exchange;
mod frame;
mod guest;
mod host;
mod offer;
mod renewal;
mod search;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use code::{CHANNELS, Channel, CodeError, SpokenCode, sounds_like_a_code};
pub use frame::Refusal;
pub use guest::Guest;
pub use host::Host;
pub use offer::Offer;
pub use renewal::{Audience, NoMore, Renewal, RenewalInput, RenewalOutput, Why};
pub use search::Search;

/// Protocol name.
pub const ALPN: &[u8] = b"larder/meet/1";
/// The one version so far.
pub const VERSION: u16 = 1;

/// A fact for either machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Content of a frame, without its length.
    Frame(Vec<u8>),
    /// Host: whether the code was still there to be taken; nobody else has it now.
    Taken(bool),
    /// The stream or connection ended.
    Lost,
    /// The time named by `poll_timeout` has come.
    TimePassed,
}

/// Why a meeting failed, as both sides can see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failed {
    /// The two codes differ: one is mistyped, or somebody guessed.
    #[error("the codes of the two sides differ")]
    WrongCode,
    /// They speak different versions.
    #[error("the two sides speak different versions: update the older one")]
    Version,
    /// The other side said no.
    #[error("the other side refused: {0}")]
    Refused(Refusal),
    /// What came is no frame.
    #[error("the other side sent garbage: {0}")]
    Garbage(DecodeError),
    /// A frame that must not come now, or a point of the curve that nobody honest sends.
    #[error("the other side broke the rules")]
    OutOfTurn,
    /// The ticket that came is none, or not an invitation.
    #[error("what came over is not an invitation: {0}")]
    NotAnInvitation(TicketError),
    /// The connection ended.
    #[error("the connection was lost")]
    Lost,
    /// It took too long.
    #[error("the other side did not answer in time")]
    TimedOut,
    /// Somebody else came with the code before, or it is no longer valid.
    #[error("the code was used before")]
    Gone,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes: one whole frame with its length.
    Send(Vec<u8>),
    /// Host: take the code away from everybody else who might come, then say [`Input::Taken`].
    Take,
    /// It is over; finish the stream. The last output.
    Ended(Ending),
}

/// How a meeting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Host: the guest had the code, and was sent the invitation.
    Given,
    /// Guest: the host had the code, and this is what it was for.
    Invited(Box<Invite>),
    /// It came to nothing.
    Failed(Failed),
}

/// What a shell needs of either machine.
pub trait Party {
    /// Takes one input. Early, late and repeated inputs do no harm.
    fn handle_input(&mut self, now: Instant, input: Input);
    /// Returns the next order; decides nothing.
    fn poll_output(&mut self) -> Option<Output>;
    /// When to say [`Input::TimePassed`]; `None` when it is over.
    fn poll_timeout(&self) -> Option<Instant>;
}
