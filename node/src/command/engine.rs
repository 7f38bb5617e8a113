//! The seam between the command line and the node behind it.

use std::{future::Future, net::SocketAddr};

use larder_protocol::relaying::RelayAddress;

use super::{Command, EventSink, Failure, Outcome, ReadyOutcome};
use crate::home::Home;

/// A node that has its home open and carries out commands, many at a time.
pub trait Engine: Send + Sync + 'static {
    /// Carries out one command. Returns early with [`Failure::interrupted`] when
    /// [`EventSink::cancelled`] completes; what is durable by then stays.
    fn run(
        &self,
        command: Command,
        events: EventSink,
    ) -> impl Future<Output = Result<Outcome, Failure>> + Send;

    /// Who this node is and where it listens: the line that `up` prints.
    fn ready(&self) -> impl Future<Output = ReadyOutcome> + Send;

    /// Finishes what must be finished and closes the network; no command is running any more.
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// Told the recovery phrase exactly once, *before* the vault becomes durable: a vault whose
/// phrase nobody has seen must not exist. An error from it leaves no vault.
pub type Reveal<'a> = &'a mut (dyn FnMut(&str) -> Result<(), Failure> + Send);

/// Makes and opens engines; the real one is `engine::Node`, tests have their own.
pub trait Launch: Send + Sync {
    /// What is opened.
    type Engine: Engine;

    /// Makes a vault and its first device in a home that has device keys and no vault yet;
    /// [`HomeError::Exists`](crate::home::HomeError::Exists) otherwise.
    fn init(
        &self,
        home: &Home,
        options: InitOptions,
        reveal: Reveal<'_>,
    ) -> impl Future<Output = Result<super::InitOutcome, Failure>> + Send;

    /// Opens a home. It may have no vault yet: then every command but `Recover`, `Join`,
    /// `Status` and `Doctor` is refused.
    fn open(
        &self,
        home: Home,
        options: OpenOptions,
    ) -> impl Future<Output = Result<Self::Engine, Failure>> + Send;
}

/// How a home is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenOptions {
    /// Whether this is `up`: listen, serve others, back up and place by itself. Otherwise the
    /// engine dials out for the one command that it is opened for.
    pub serve: bool,
    /// Address to bind, from the command line; else the configuration's `net.listen`.
    pub listen: Option<SocketAddr>,
    /// Whether to find others on the local network, from the command line; else the configuration's
    /// `net.lan`. Only with `serve`.
    pub lan: Option<bool>,
    /// Whether the work of the vault rests: nothing is placed and nobody greeted.
    pub rests: bool,
    /// Relays to use, from the command line; else the configuration's `net.relays`.
    pub relays: Vec<RelayAddress>,
    /// Relays that others are told of, where these are not those in use: on the machine of a relay, which
    /// others know by another address.
    pub relays_told: Option<Vec<RelayAddress>>,
}

/// How a vault is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InitOptions {
    /// Name of this device.
    pub name: String,
    /// Household of this device.
    pub site: String,
}
