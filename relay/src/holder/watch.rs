//! Keeps a holder running as long as its relay does. What keeps it from starting is said, and tried again: those
//! who only relay have nothing to do with it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use larder_node::command::OfferOutcome;
use larder_protocol::relaying::RelayAddress;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{HoldError, Holder, anchor};
use crate::config::{Config, Hold};

/// A holder that did not start is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);
/// What a relay that starts waits for the first attempt.
const FIRST: Duration = Duration::from_secs(10);
/// What one that stops waits for its holder.
const STOP: Duration = Duration::from_secs(10);
/// So long it may take until the holder is reached through its relay.
const CONNECT: Duration = Duration::from_secs(60);

/// A holder that is running, or about to.
#[derive(Debug)]
pub(crate) struct Watch {
    holder: Arc<Mutex<Option<Arc<Holder>>>>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl Watch {
    /// Starts the holder, and goes on trying where that fails. Returns after the first attempt, or when that
    /// takes its time.
    pub(crate) async fn start(
        config: Config,
        hold: Hold,
        addresses: (RelayAddress, Option<RelayAddress>),
    ) -> Self {
        let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
        let holder = Arc::new(Mutex::new(None));
        let tried = CancellationToken::new();
        let (place, stopping, first) = (Arc::clone(&holder), stop.clone(), tried.clone());
        let ended = stopped.clone().drop_guard();
        tokio::spawn(async move {
            let tried = first.clone().drop_guard();
            let start = || Holder::start(&config, &hold, addresses.clone());
            let started = until_started(start, &stopping, &first).await;
            if let Some(started) = started {
                *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&started));
                drop(tried);
                if timeout(CONNECT, stopping.cancelled()).await.is_err()
                    && !started.is_connected().await
                {
                    warn!(
                        relay = %addresses.0,
                        "families behind routers do not reach what is kept: its holder does not reach this relay"
                    );
                }
                stopping.cancelled().await;
                started.stop().await;
            }
            drop(ended);
        });
        let _tried = timeout(FIRST, tried.cancelled()).await;
        Self { holder, stop, stopped }
    }

    /// What is kept, while the holder runs.
    pub(crate) async fn held(&self) -> Option<OfferOutcome> {
        let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        holder?.held().await
    }

    /// Closes the holder, and waits for that.
    pub(crate) async fn stop(&self) {
        self.stop.cancel();
        if timeout(STOP, self.stopped.cancelled()).await.is_err() {
            warn!("the holder did not close in time");
        }
    }

    /// Says it where a relay that keeps nothing any more has still something of somebody.
    pub(crate) fn warn_of_what_is_left(config: &Config) {
        let Ok(state) = config.state() else { return };
        if let Some(directory) = anchor::known_directory(&state) {
            warn!(
                directory = %directory.display(),
                "families' data is there and served to nobody: put `[hold]` back into the settings"
            );
        }
    }
}

/// Tries until it succeeds; `None` when it is to stop before. `first` is cancelled after an attempt failed.
async fn until_started<F>(
    start: impl Fn() -> F,
    stop: &CancellationToken,
    first: &CancellationToken,
) -> Option<Arc<Holder>>
where
    F: Future<Output = Result<Holder, HoldError>>,
{
    loop {
        match start().await {
            Ok(holder) => return Some(Arc::new(holder)),
            Err(why) => {
                let why = anyhow::Error::from(why);
                error!("this relay keeps nothing, and goes on relaying: {why:#}");
            }
        }
        first.cancel();
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = stop.cancelled() => return None,
        }
    }
}
