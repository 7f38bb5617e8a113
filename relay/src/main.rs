//! `larder-relay`: runs a relay, and says who may use it and who keeps something there.

mod accounts;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use larder_node::command::ByteSize;
use larder_protocol::{relaying::RelayAddress, time::Timestamp};
use larder_relay::{Certificate, Config, HoldError, Invitations, Relay};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Read when no `--config` is given and it is there; the Debian package brings it.
const SYSTEM_CONFIG: &str = "/etc/larder-relay.toml";
/// What is left of the work of a relay that stops may take so long.
const STOP: Duration = Duration::from_secs(5);
/// What is logged: nothing that names anybody. Of the holder, trouble with its disk.
const LOGGED: &str = "info,iroh_relay=error,iroh=error,noq=error,noq_proto=error,larder_node=error,\
    larder_node::depot=warn,larder_node::engine::launch=warn,larder_node::engine::scrubber=warn";

#[derive(Debug, Parser)]
#[command(
    version,
    about = "Helps the nodes of families to each other from behind their routers, and can read nothing",
    after_help = "Without a command it runs the relay until SIGTERM or Ctrl-C.

Examples:
  larder-relay
  larder-relay --config /etc/larder-relay.toml
  larder-relay invite --name anna --address relay.example.org
  larder-relay invite --name anna --address relay.example.org --hold 200GB
  larder-relay revoke anna

With `[hold]` in its settings a relay keeps sealed data as well, for families that were told a code:
  larder-relay hold 200GB --name anna
  larder-relay accounts
  larder-relay space anna 300GB
  larder-relay leave anna --show"
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
        /// Keep so much of their sealed data as well: prints a second line, the code for `larder join`
        #[arg(long, value_name = "BYTES", requires = "name")]
        hold: Option<ByteSize>,
    },
    /// List the invitations
    Invitations,
    /// Take an invitation back: whoever uses it is disconnected
    Revoke {
        /// Its name
        name: String,
    },
    /// Make a code with which a vault keeps sealed data here: for `larder join`
    Hold {
        /// How much, such as 200GB
        space: ByteSize,
        /// What you call it
        #[arg(long)]
        name: String,
    },
    /// List whose sealed data is kept here, and how much
    Accounts,
    /// Allow a vault more or less; what is kept stays
    Space {
        /// Its name
        name: String,
        /// How much, such as 300GB
        space: ByteSize,
    },
    /// Stop keeping data of a vault, or tell how that stands
    Leave(accounts::LeaveArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("LARDER_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("larder-relay: {error:#}");
            let _unheard = writeln!(std::io::stderr(), "{}", text.trim_end());
            let of_holder = error.downcast_ref::<HoldError>().map(HoldError::exit_code);
            of_holder.map_or(ExitCode::FAILURE, ExitCode::from)
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
            let served = runtime.block_on(serve(&config));
            // A disk that does not answer keeps nobody from stopping.
            runtime.shutdown_timeout(STOP);
            served
        }
        Some(Order::Invite { name, address, days, hold }) => {
            let wish = Wish { name, address, days };
            invite(&config, &wish, hold)
        }
        Some(Order::Invitations) => list(&config),
        Some(Order::Revoke { name }) => {
            Invitations::open(&config.state()?)?.revoke(&name)?;
            say(&format!("`{name}` is revoked"))
        }
        Some(Order::Hold { space, name }) => {
            accounts::show_code(&config, &accounts::code(&config, &name, space)?, space)
        }
        Some(Order::Accounts) => accounts::list(&config),
        Some(Order::Space { name, space }) => accounts::allow(&config, name, space),
        Some(Order::Leave(arguments)) => accounts::leave(&config, arguments),
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

/// What an invitation is to be.
struct Wish {
    name: Option<String>,
    address: Option<String>,
    days: Option<u32>,
}

/// Makes an invitation and, if the relay is to keep something, a code; shows both, or neither.
fn invite(config: &Config, wish: &Wish, hold: Option<ByteSize>) -> Result<()> {
    let address = config.address(wish.address.as_deref(), config.listen.port())?;
    let pin = Certificate::pin(config)?;
    let expires = wish.days.map(|days| now().after_days(days.into()));
    let invitations = Invitations::open(&config.state()?)?;
    let (name, token) = invitations.invite(wish.name.as_deref(), expires)?;
    let code = match hold.map(|space| Ok((accounts::code(config, &name, space)?, space))) {
        // Half of what was asked for is of no use.
        Some(Err(error)) => {
            let error: anyhow::Error = error;
            return Err(match invitations.revoke(&name) {
                Ok(()) => error,
                Err(left) => error.context(format!("invitation `{name}` is left behind ({left})")),
            });
        }
        code => code.transpose()?,
    };
    let full = RelayAddress { pin, token: Some(token), ..address };
    say(&full.to_secret_text())?;
    explain(&format!(
        "This is invitation `{name}`, a secret. Each node takes it with: larder up --relay 'ADDRESS'"
    ));
    code.map_or(Ok(()), |(code, space)| accounts::show_code(config, &code, space))
}

/// Says beside the result what it is, so that a script has the result alone.
fn explain(text: &str) {
    let _unheard = writeln!(std::io::stderr(), "{text}");
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
