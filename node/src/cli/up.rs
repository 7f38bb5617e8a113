//! `up`: the node in the foreground.

use std::{net::SocketAddr, sync::Arc};

use clap::{Args, ValueEnum};
use larder_protocol::{limits::RELAYS_MAX, relaying::RelayAddress};
use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::{
    output::Output,
    session::{NODE, Session},
    signals,
};
use crate::{
    command::{Engine, ExitKind, Failure, Launch, OpenOptions, Outcome},
    control::Server,
    home::{Home, HomeError},
};

#[derive(Debug, Args)]
#[command(after_help = "When it is ready it prints one line with its addresses, with --json one \
    document. SIGTERM, Ctrl-C and `larder down` stop it cleanly.

While it runs it backs up by itself what `larder add` has put on the list, once an hour \
    (`larder config set backup.every 6h`, or off); on battery once a day at most.

Examples:
  larder up
  larder up --listen 0.0.0.0:4242
  larder up --lan off
  larder up --relay https://abcdefghijklmnopqrstuvwxy4@relay.example.org:8443
  larder up --home /srv/larder --json")]
pub(super) struct UpArguments {
    /// Address and UDP port [default: net.listen of the settings]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Find the circle's devices in the same network by itself [default: net.lan of the settings, on]
    #[arg(long, value_enum)]
    lan: Option<Switch>,
    /// Relay that helps to reach peers from behind a router, as `larder-relay invite` prints it; up
    /// to four times [default: net.relays of the settings]
    #[arg(long, value_name = "URL")]
    relay: Vec<RelayAddress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

impl UpArguments {
    fn options(self) -> Result<OpenOptions, Failure> {
        if self.relay.len() > RELAYS_MAX {
            return Err(Failure::usage(format!("a node uses at most {RELAYS_MAX} relays"))
                .hint("one is enough; a second one helps when the first is down"));
        }
        let lan = self.lan.map(|lan| lan == Switch::On);
        let relays = self.relay;
        Ok(OpenOptions { serve: true, listen: self.listen, lan, relays, ..OpenOptions::default() })
    }
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: UpArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let options = arguments.options()?;
    let home =
        session.own_home(|directory| Home::open(directory, NODE)).await.map_err(|failure| {
            let running = session.directory().join(crate::home::SOCKET).exists();
            match running {
                true if failure.message.contains("`up`") => {
                    failure.hint("a node is running already; `larder status` asks it")
                }
                _ => failure,
            }
        })?;
    let directory = home.directory().to_owned();
    let stop = CancellationToken::new();
    signals::watch(stop.clone())?;
    session.unlock().unlock(&home)?;
    let engine = Arc::new(session.launch().open(home, options).await?);
    let server = Server::bind(&directory).map_err(|source| {
        let doing = "listen at the control socket of";
        Failure::from(HomeError::Io { doing, path: directory, source })
    });
    let result = match server {
        Ok(server) => {
            let ready = engine.ready().await;
            output.outcome(&Outcome::Ready(ready), Map::new());
            server.serve(Arc::clone(&engine), stop).await;
            Ok(ExitKind::Done)
        }
        Err(failure) => Err(failure),
    };
    engine.close().await;
    result
}
