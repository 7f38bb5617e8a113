//! `larder-relay`: runs a relay, and says who may use it.

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::SystemTime,
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use larder_protocol::{relaying::RelayAddress, time::Timestamp};
use larder_relay::{Certificate, Config, Invitations, Relay};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Read when no `--config` is given and it is there; the Debian package brings it.
const SYSTEM_CONFIG: &str = "/etc/larder-relay.toml";

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Helps the nodes of families to each other from behind their routers, and can read nothing",
    after_help = "Without a command it runs the relay until SIGTERM or Ctrl-C.

Examples:
  larder-relay
  larder-relay --config /etc/larder-relay.toml
  larder-relay invite --name anna --address relay.example.org
  larder-relay revoke anna"
)]
struct Arguments {
    /// Settings [default: /etc/larder-relay.toml if it is there, else built in]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Order>,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Make an invitation: prints the address that `larder up --relay` takes, with its secret token
    Invite {
        /// What you call it [default: guest-1, guest-2, ...]
        #[arg(long)]
        name: Option<String>,
        /// Under which name or IP address nodes reach this relay [default: `address` of the settings]
        #[arg(long, value_name = "HOST[:PORT]")]
        address: Option<String>,
        /// Valid for so many days [default: until it is revoked]
        #[arg(long)]
        days: Option<u32>,
    },
    /// List the invitations
    Invitations,
    /// Take an invitation back: whoever uses it is disconnected
    Revoke {
        /// Its name
        name: String,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("LARDER_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,iroh_relay=error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("larder-relay: {error}");
            for cause in error.chain().skip(1) {
                text = format!("{text}: {cause}");
            }
            let _unheard = writeln!(std::io::stderr(), "{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let system = Some(PathBuf::from(SYSTEM_CONFIG)).filter(|path| path.exists());
    let config = match arguments.config.or(system) {
        Some(path) => Config::load(&path)?,
        None => Config::default(),
    };
    match arguments.command {
        None => {
            let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
            runtime.block_on(serve(&config))
        }
        Some(Order::Invite { name, address, days }) => {
            invite(&config, name.as_deref(), address.as_deref(), days)
        }
        Some(Order::Invitations) => list(&config),
        Some(Order::Revoke { name }) => {
            Invitations::open(&config.state()?)?.revoke(&name)?;
            say(&format!("`{name}` is revoked"))
        }
    }
}

async fn serve(config: &Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to signals")?;
    let relay = Relay::start(config).await?;
    if config.plain {
        tracing::warn!("without TLS: tokens can be read on the way, and nodes are told no address");
    }
    // A relay whose name nobody has said yet runs all the same.
    let address = relay.address(config).map(|address| address.to_string());
    let address = address.unwrap_or_else(|_| format!("port {}", relay.listen().port()));
    say(&format!("ready: {address}"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    relay.stop().await;
    Ok(())
}

fn invite(
    config: &Config,
    name: Option<&str>,
    address: Option<&str>,
    days: Option<u32>,
) -> Result<()> {
    let address = config.address(address, config.listen.port())?;
    let pin = Certificate::pin(config)?;
    let expires = days.map(|days| now().after_days(days.into()));
    let (name, token) = Invitations::open(&config.state()?)?.invite(name, expires)?;
    let full = RelayAddress { pin, token: Some(token), ..address };
    say(&full.to_secret_text())?;
    let mut stderr = std::io::stderr();
    let _unheard = writeln!(
        stderr,
        "This is invitation `{name}`, a secret. Each node takes it with: larder up --relay 'ADDRESS'"
    );
    Ok(())
}

fn list(config: &Config) -> Result<()> {
    for one in Invitations::open(&config.state()?)?.list()? {
        let until = match one.expires {
            None => "valid until it is revoked".to_owned(),
            Some(end) if end <= now() => "expired".to_owned(),
            Some(end) => format!("valid for {} days", (end.0 - now().0).div_ceil(86_400)),
        };
        say(&format!("{}: {until}", one.name))?;
    }
    Ok(())
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to stdout")
}
