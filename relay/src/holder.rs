//! A relay that keeps sealed data of families: a node like any other, in this process.
//!
//! ```text
//! families' nodes ──▶ relaying (TCP) ──▶ holder ──▶ DIRECTORY/ a home of a node: depot, logs, heads
//!                ╰──▶ its own UDP port ─╯
//! larder-relay hold, accounts … ──▶ its control socket
//! ```
//! It decides as every holder does (`larder_protocol::holding`): grants, receipts, retention, who may read.
//! The home has a vault of its own, because holders are devices of vaults; it backs nothing up, and its
//! phrase is seen by nobody. No key by which anything of a family could be read ever comes here.
//! Source: specs/relay.md, "Holding".

mod anchor;
mod watch;

use std::{net::SocketAddr, sync::Arc};

use larder_node::{
    command::{
        Command, Engine as _, EventSink, ExitKind, Failure, InitOptions, Launch as _, OfferOutcome,
        OpenOptions, Outcome,
    },
    control::{Client, Server},
    engine::{Launcher, Node, has_vault},
    home::Home,
    memory,
};
use larder_protocol::relaying::RelayAddress;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::anchor::{Anchor, AnchorError};
pub(crate) use self::watch::Watch;
use crate::config::{Config, ConfigError, Hold};

/// What the lock of the home says of who has it.
const PURPOSE: &str = "larder-relay";

/// Why nothing is kept.
#[derive(Debug, Error)]
pub enum HoldError {
    /// The settings do not say enough.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its home is not the one that families know.
    #[error(transparent)]
    Home(#[from] AnchorError),
    /// The node that holds says why.
    #[error("{}", .0.message)]
    Node(Failure),
    /// Families know it, and it does not know itself any more.
    #[error(
        "the home of the holder has lost its vault, by which families know it: bring back `vaults` and `state.redb` \
         in it, or begin anew with an empty directory and without `holder.toml`"
    )]
    Unread,
    /// Commands could not reach it.
    #[error("cannot listen for commands in the home of the holder")]
    Listen(#[source] std::io::Error),
    /// The settings have no `[hold]`.
    #[error(
        "this relay keeps nothing: put `[hold]` with `space = \"500 GB\"` into its settings and start it anew"
    )]
    Off,
    /// Nobody answers at the socket.
    #[error(
        "nobody answers there: start the relay, or run this as root; if it runs, its log says why it keeps nothing"
    )]
    NotRunning,
    /// The socket cannot be used.
    #[error("cannot talk to the relay: run this as root, or as the user that runs it")]
    Socket(#[source] std::io::Error),
}

impl From<Failure> for HoldError {
    fn from(failure: Failure) -> Self {
        Self::Node(failure)
    }
}

impl HoldError {
    /// How the program ends that reports this.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Node(failure) => failure.kind.code(),
            _ => ExitKind::Failed.code(),
        }
    }
}

/// The holder of a running relay.
#[derive(Debug)]
pub(crate) struct Holder {
    node: Arc<Node>,
    stop: CancellationToken,
    /// Cancelled when no command is being carried out any more.
    stopped: CancellationToken,
}

impl Holder {
    /// Opens its home, which is made at the first start. `own` is where it reaches the relay of this process,
    /// `known_as` where others do.
    ///
    /// # Errors
    /// [`HoldError`]; nothing runs then.
    pub(crate) async fn start(
        config: &Config,
        hold: &Hold,
        (own, known_as): (RelayAddress, Option<RelayAddress>),
    ) -> Result<Self, HoldError> {
        // Its keys are in this process.
        memory::keep_private();
        let directory = config.hold_directory()?;
        let anchor = Anchor::cast(&config.state()?, &directory)?;
        let home = Home::create(&directory, PURPOSE, None).map_err(Failure::from)?;
        let is_known = anchor.fits(&home)?;
        let name = hold.name_beside(known_as.as_ref());
        if !has_vault(&home)? {
            if is_known {
                return Err(HoldError::Unread);
            }
            let (name, site) = (name.clone(), name.clone());
            // Its phrase would bring nothing back, for nothing is backed up: nobody is shown it.
            Launcher.init(&home, InitOptions { name, site }, &mut |_| Ok(())).await?;
        }
        anchor.holds(&home)?;
        settle(&home, hold, known_as.as_ref())?;
        let options = OpenOptions {
            serve: true,
            listen: Some(hold.listen),
            lan: Some(false),
            relays: vec![own],
            relays_told: Some(known_as.into_iter().collect()),
            ..OpenOptions::default()
        };
        let node = Arc::new(Launcher.open(home, options).await?);
        let holder = Self::serve(node, Server::bind(&directory)).await?;
        // Another name is no reason to keep nothing.
        if let Err(why) = holder.call(name).await {
            warn!("the holder could not be called as the settings say: {why}");
        }
        info!(space = %hold.space, "keeps sealed data of families");
        Ok(holder)
    }

    async fn serve(node: Arc<Node>, server: std::io::Result<Server>) -> Result<Self, HoldError> {
        let is_member = node.ready().await.vault.is_some();
        let server = match server {
            Ok(server) if is_member => server,
            server => {
                node.close().await;
                return Err(server.err().map_or(HoldError::Unread, HoldError::Listen));
            }
        };
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        let (serving, stopping, ended) =
            (Arc::clone(&node), stop.clone(), stopped.clone().drop_guard());
        tokio::spawn(async move {
            server.serve(serving, stopping).await;
            drop(ended);
        });
        Ok(Self { node, stop, stopped })
    }

    /// Sees to it that it is called so, and stands at a site of that name.
    async fn call(&self, name: String) -> Result<(), HoldError> {
        for key in ["device.name", "device.site"] {
            let told = self.run(Command::ConfigGet { key: Some(key.to_owned()) }).await?;
            let is_so = |it: &larder_node::command::Setting| it.value == name;
            if !matches!(told, Outcome::Config(told) if told.settings.iter().any(is_so)) {
                let (key, value) = (key.to_owned(), Some(name.clone()));
                self.run(Command::ConfigSet { key, value }).await?;
            }
        }
        Ok(())
    }

    async fn run(&self, command: Command) -> Result<Outcome, Failure> {
        let (sink, mut events) = EventSink::channel(CancellationToken::new());
        let node = Arc::clone(&self.node);
        // A task of its own: what carries out a command is a large future.
        let work = tokio::spawn(async move { node.run(command, sink).await });
        while events.next().await.is_some() {}
        work.await.unwrap_or_else(|error| Err(Failure::internal(&error)))
    }

    /// What is kept, for whoever watches.
    async fn held(&self) -> Option<OfferOutcome> {
        match self.run(Command::Offer { bytes: None, to: None }).await {
            Ok(Outcome::Offer(held)) => Some(held),
            Ok(_) => None,
            Err(failure) => {
                warn!("what is kept cannot be told: {}", failure.message);
                None
            }
        }
    }

    /// Whether others reach it through this relay just now.
    async fn is_connected(&self) -> bool {
        use larder_node::command::RelayState;
        let is_there = |relay: &larder_node::command::Relay| relay.state == RelayState::Connected;
        match self.run(Command::Status).await {
            Ok(Outcome::Status(status)) => status.relays.iter().any(is_there),
            _ => false,
        }
    }

    /// Ends commands, says goodbye to others, and closes the home.
    async fn stop(&self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
        self.node.close().await;
    }
}

/// Writes down for the node what the settings of the relay say.
fn settle(home: &Home, hold: &Hold, known_as: Option<&RelayAddress>) -> Result<(), Failure> {
    let mut said =
        vec![("depot.offer", hold.space.0.to_string()), ("backup.every", "off".to_owned())];
    // Only an address says where it is; a name leads to the relay alone.
    let public = known_as.and_then(|relay| relay.host.parse().ok());
    let public = public.map(|ip| SocketAddr::new(ip, hold.listen.port()));
    let public = public.filter(|address| address.port() != 0);
    let announced = if hold.announce.is_empty() { public.as_slice() } else { &hold.announce };
    if !announced.is_empty() {
        let texts: Vec<String> = announced.iter().map(ToString::to_string).collect();
        said.push(("net.announce", texts.join(" ")));
    }
    for (key, value) in said {
        // What is so already is not written again.
        home.change_setting(key, Some(&value))?;
    }
    Ok(())
}

/// Has the holder of the running relay carry out a command.
///
/// # Errors
/// [`HoldError`].
pub async fn ask(config: &Config, command: Command) -> Result<Outcome, HoldError> {
    if config.hold.is_none() {
        return Err(HoldError::Off);
    }
    let directory = config.hold_directory()?;
    let client = Client::connect(&directory).await.map_err(HoldError::Socket)?;
    let client = client.ok_or(HoldError::NotRunning)?;
    let (sink, mut events) = EventSink::channel(CancellationToken::new());
    let told = async { while events.next().await.is_some() {} };
    let (outcome, ()) = tokio::join!(client.run(command, sink), told);
    Ok(outcome?)
}
