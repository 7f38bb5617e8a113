//! The relay: a server that is always on, that anybody may run, and that nobody has to trust.
//!
//! It helps nodes behind routers to a direct path, by telling each the address that the internet
//! sees, and carries their sealed packets when there is none. What it is made of: iroh's relay for
//! the packets, [`larder_protocol::relaying`] for every decision about who may use it, and this
//! crate, which carries those decisions out. It holds no shards.
//!
//! | part | does | learns |
//! |---|---|---|
//! | relaying, TCP | carries sealed packets between two nodes | which keys talk, from which addresses, when and how much |
//! | records, TCP | keeps, for a day and a half, what holders leave for whoever has nothing but a phrase | how many records belong together, from which addresses they come, when |
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
mod holder;
mod invitations;
mod metrics;
mod records;
mod server;

pub use certificate::{Certificate, CertificateError};
pub use config::{Admission, Config, ConfigError, Hold, Limits, TlsFiles};
pub use holder::{HoldError, ask};
pub use invitations::{Invitations, InvitationsError};
pub use server::{Relay, StartError};
