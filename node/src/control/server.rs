//! The node's side of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    Reply, Request, RequestVersion, VERSION,
    frame::{self, FrameError, REPLY_BYTES_MAX, REQUEST_BYTES_MAX},
    socket,
};
use crate::command::{Command, Engine, EventSink, EventStream, Failure, Outcome};

/// Commands at once. More is a script gone wild; it waits.
const CLIENTS_MAX: usize = 64;
/// A client that has connected sends its request within this.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// What is read, and for how long, from a client that has its answer already.
const DRAIN_BYTES_MAX: u64 = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// How long running commands may take to end once the node stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Listens for commands. Dropping it takes the socket file away.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    home: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = socket::remove(&self.home);
    }
}

impl Server {
    /// Listens at the socket of a home whose lock the caller holds.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(home: &Path) -> io::Result<Self> {
        Ok(Self { listener: socket::listen(home)?, home: home.to_owned() })
    }

    /// Carries out commands until `stop` is cancelled, by the caller or by [`Command::Shutdown`];
    /// then cancels those that are running and waits for them.
    pub async fn serve<E: Engine>(self, engine: Arc<E>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let mut clients = JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&self.listener, &places) => accepted,
            };
            match accepted {
                Ok((stream, place)) => {
                    let (engine, stop) = (Arc::clone(&engine), stop.clone());
                    clients.spawn(async move {
                        serve_client(stream, engine, stop).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: others will close some.
                    warn!(%error, "a connection to the control socket could not be taken");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        drop(self);
        if timeout(STOP_TIMEOUT, async { while clients.join_next().await.is_some() {} })
            .await
            .is_err()
        {
            warn!("a command did not end in time and was given up");
        }
    }
}

async fn accept(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _address) = listener.accept().await?;
    Ok((stream, place))
}

/// Whether a process of `peer` may give orders to a node of `own`.
pub(super) const fn admits(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

async fn serve_client<E: Engine>(stream: UnixStream, engine: Arc<E>, stop: CancellationToken) {
    let own = rustix::process::geteuid().as_raw();
    let admitted = stream.peer_cred().is_ok_and(|peer| admits(peer.uid(), own));
    let (mut reader, mut writer) = stream.into_split();
    let result = if admitted {
        answer(&mut reader, &mut writer, engine, &stop).await
    } else {
        Err(Failure::failed("this node obeys its owner only").hint("run larder as that user"))
    };
    let reply = match result {
        Ok(outcome) => Reply::Done(Box::new(outcome)),
        Err(failure) => Reply::Failed(failure),
    };
    let sent = timeout(REQUEST_TIMEOUT, frame::write(&mut writer, &reply, REPLY_BYTES_MAX)).await;
    if !matches!(sent, Ok(Ok(()))) {
        debug!("a client of the control socket left before its answer");
    }
    let _closed = writer.shutdown().await;
    // A socket closed with bytes unread resets the other side before it has read its answer.
    let mut rest = reader.take(DRAIN_BYTES_MAX);
    let _drained = timeout(DRAIN_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

async fn answer<E: Engine>(
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
    engine: Arc<E>,
    stop: &CancellationToken,
) -> Result<Outcome, Failure> {
    let command = read_request(reader).await?;
    if command == Command::Shutdown {
        stop.cancel();
        return Ok(Outcome::Stopping);
    }
    let cancel = stop.child_token();
    let (sink, events) = EventSink::channel(cancel.clone());
    // A task of its own: a panic in a command ends that command, not the node.
    let mut work = tokio::spawn(async move { engine.run(command, sink).await });
    let forward = forward(events, writer, &mut work, &cancel);
    tokio::pin!(forward);
    let gone = async {
        // The end of the stream, an error and a byte too many all mean: stop.
        let _any = reader.read_u8().await;
    };
    tokio::select! {
        ended = &mut forward => return ended,
        () = gone => cancel.cancel(),
    }
    forward.await
}

async fn read_request(reader: &mut OwnedReadHalf) -> Result<Command, Failure> {
    let bytes = timeout(REQUEST_TIMEOUT, frame::read_bytes(reader, REQUEST_BYTES_MAX))
        .await
        .map_err(|_| Failure::usage("no request came over the control socket"))?
        .map_err(|error| Failure::usage(error.to_string()))?;
    let understood = |error: serde_json::Error| {
        Failure::usage(format!("a request that is not understood: {error}"))
    };
    let RequestVersion { version } = serde_json::from_slice(&bytes).map_err(understood)?;
    if version != VERSION {
        let message = format!(
            "the running node speaks version {VERSION} of the control protocol, not {version}"
        );
        return Err(Failure::failed(message)
            .hint("stop `larder up` and start it again: the program was replaced meanwhile"));
    }
    let Request { command, .. } = serde_json::from_slice(&bytes).map_err(understood)?;
    Ok(command)
}

/// Passes events on until the command ends; a client that cannot be reached cancels it.
async fn forward(
    mut events: EventStream,
    writer: &mut OwnedWriteHalf,
    work: &mut tokio::task::JoinHandle<Result<Outcome, Failure>>,
    cancel: &CancellationToken,
) -> Result<Outcome, Failure> {
    let mut open = true;
    let result = loop {
        let event = tokio::select! {
            biased;
            event = events.next(), if open => event,
            ended = &mut *work => break ended,
        };
        match event {
            Some(event) => send(writer, Reply::Event(event), cancel).await,
            None => open = false,
        }
    };
    while let Some(event) = events.try_next() {
        send(writer, Reply::Event(event), cancel).await;
    }
    result.unwrap_or_else(|error| Err(Failure::internal(&error)))
}

async fn send(writer: &mut OwnedWriteHalf, reply: Reply, cancel: &CancellationToken) {
    if cancel.is_cancelled() {
        return;
    }
    let sent: Result<(), FrameError> = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        sent = frame::write(writer, &reply, REPLY_BYTES_MAX) => sent,
    };
    if sent.is_err() {
        cancel.cancel();
    }
}
