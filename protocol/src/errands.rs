//! Errands: what one holder fetches from another because the device that wants it kept there and that holder
//! are never on together.
//!
//! ```text
//! device ──errand──▶ carrier ◀──asks── addressee        what goes into one: placing
//!                    carrier ──packs──▶ addressee       what a carrier keeps, and shows to whom: Board
//! device ◀──replies── carrier ◀──receipts── addressee   when the addressee asks: Rounds
//! ```
//! Whoever passes an errand on is believed nothing: the errand is signed by the device, receipts and reply by
//! the addressee. Source: specs/errands.md.

use thiserror::Error;

use crate::cbor::DecodeError;

mod board;
mod errand;
mod reply;
mod rounds;

pub use board::{Board, Posted, Unfit};
pub use errand::{Errand, ErrandBody};
pub use reply::{Reply, ReplyBody};
pub use rounds::{Round, Rounds};

/// Version of the records that this code writes and reads.
pub const VERSION: u16 = 1;

/// Why bytes are no errand, or no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ErrandError {
    /// No such record.
    #[error("the errand is damaged: {0}")]
    Decode(#[from] DecodeError),
    /// From a newer Larder.
    #[error("the errand has version {version}, this Larder reads {VERSION}: update")]
    Newer {
        /// Version met.
        version: u16,
    },
    /// It contradicts itself, or breaks a limit.
    #[error("the errand makes no sense")]
    Shape,
    /// Not of this vault, or not by a device that belongs to it now.
    #[error("the errand is not by a device of this vault")]
    Stranger,
    /// The signature does not verify.
    #[error("the signature on the errand is not valid")]
    Signature,
    /// Its number is of a time to come: nothing that the device says later would count.
    #[error("the errand was made by a clock that is far ahead")]
    Ahead,
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
