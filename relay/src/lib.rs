//! The relay: a server that is always on, that anybody may run, and that nobody has to trust.
//!
//! It helps nodes behind routers to a direct path, by telling each the address that the internet
//! sees, and carries their sealed packets when there is none. What it is made of: iroh's relay for
//! the packets, [`larder_protocol::relaying`] for every decision about who may use it, and this
//! crate, which carries those decisions out. It holds no shards and keeps no records of nodes.
//!
//! | part | does | learns |
//! |---|---|---|
//! | relaying, TCP | carries sealed packets between two nodes | which keys talk, from which addresses, when and how much |
//! | addresses, UDP, with TLS alone | tells a node its address | that address |
//!
//! **Invariant:** no key of any vault ever reaches a relay, and no feature needs one to.
//!
//! **Invariant:** a lying or vanished relay costs time, never data: nodes prove their keys to each
//! other through it.
//! Source: specs/relay.md.

mod certificate;
mod config;
mod door;
mod invitations;
mod metrics;
mod server;

pub use certificate::{Certificate, CertificateError};
pub use config::{Admission, Config, ConfigError, Limits, TlsFiles};
pub use invitations::{Invitations, InvitationsError};
pub use server::{Relay, StartError};
