//! The control socket: how a command reaches the node that already runs on a home.
//!
//! ```text
//! client                                    node (`larder up`)
//!   | frame(Request{version, command})  ->    |  peer uid checked, then the request
//!   |    <- frame(Reply::Event(..)) ...       |
//!   |    <- frame(Reply::Done | Failed)       |  closes
//! ```
//! A frame is its length (u32, little-endian) and so many bytes of JSON. One connection carries
//! one command. A client that closes its side, or sends anything more, cancels the command.
//! **Invariant:** nobody but the owner of the process (and root) is served; the file is 0600 in a
//! home that is 0700, and the kernel's word about the peer is checked as well.
//! Source: specs/command_line.md, CLI-7.

mod client;
mod frame;
mod server;
mod socket;

use serde::{Deserialize, Serialize};

pub use self::{client::Client, server::Server};
use crate::command::{Command, Event, Failure, Outcome};

/// Version of the conversation. Command line and node are one program, so another one means that
/// the program was replaced while the node was running.
const VERSION: u16 = 1;

/// What a client sends, once.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    version: u16,
    command: Command,
}

/// Read before the rest, which another version may not understand.
#[derive(Debug, Deserialize)]
struct RequestVersion {
    version: u16,
}

/// What the node answers, any number of events and one end.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reply {
    Event(Event),
    Done(Box<Outcome>),
    Failed(Failure),
}

#[cfg(test)]
mod tests;
