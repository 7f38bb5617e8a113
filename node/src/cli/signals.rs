//! Ctrl-C and SIGTERM: the first asks, the second insists. While a passphrase is typed the first one ends
//! the process: nothing is under way, and nobody reads what is typed meanwhile.

use std::io::{self, IsTerminal, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::secret_line;
use crate::command::{ExitKind, Failure};

/// Cancels `stop` at the first signal and ends the process at the second.
pub(super) fn watch(stop: CancellationToken) -> Result<(), Failure> {
    let cannot = |error| Failure::from_error("cannot watch for signals", &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
    tokio::spawn(async move {
        any(&mut interrupt, &mut terminate, &mut hangup).await;
        if secret_line::be_loud() {
            std::process::exit(ExitKind::Interrupted.code().into());
        }
        stop.cancel();
        if io::stderr().is_terminal() {
            let _closed = writeln!(io::stderr(), "\nstopping; once more stops at once");
        }
        any(&mut interrupt, &mut terminate, &mut hangup).await;
        secret_line::be_loud();
        std::process::exit(ExitKind::Interrupted.code().into());
    });
    Ok(())
}

async fn any(interrupt: &mut Signal, terminate: &mut Signal, hangup: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}
