//! The command line's side of the control socket.

use std::{io, path::Path, time::Duration};

use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

use super::{
    Reply, Request, VERSION,
    frame::{self, FrameError, REPLY_BYTES_MAX, REQUEST_BYTES_MAX},
    socket,
};
use crate::command::{Command, EventSink, Failure, Outcome};

/// How long the node may take to end a command that was interrupted.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a running node, good for one command.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the node of a home; `None` when none is running.
    ///
    /// # Errors
    /// When there is a socket that cannot be used, such as another user's.
    pub async fn connect(home: &Path) -> io::Result<Option<Self>> {
        Ok(socket::connect(home).await?.map(|stream| Self { stream }))
    }

    /// Has the node carry out a command, exactly as an engine in this process would.
    ///
    /// # Errors
    /// The node's [`Failure`], or one that says that the node went away.
    pub async fn run(self, command: Command, events: EventSink) -> Result<Outcome, Failure> {
        let (mut reader, mut writer) = self.stream.into_split();
        let request = Request { version: VERSION, command };
        frame::write(&mut writer, &request, REQUEST_BYTES_MAX).await.map_err(lost)?;
        let replies = async {
            loop {
                match frame::read(&mut reader, REPLY_BYTES_MAX).await.map_err(lost)? {
                    // When nobody reads any more the select below is about to see it too.
                    Reply::Event(event) => drop(events.send(event).await),
                    Reply::Done(outcome) => return Ok(*outcome),
                    Reply::Failed(failure) => return Err(failure),
                }
            }
        };
        tokio::pin!(replies);
        tokio::select! {
            ended = &mut replies => return ended,
            () = events.cancelled() => {}
        }
        let _closed = writer.shutdown().await;
        timeout(CANCEL_TIMEOUT, replies).await.unwrap_or_else(|_| Err(Failure::interrupted()))
    }
}

fn lost(error: FrameError) -> Failure {
    match error {
        FrameError::Io(error) => {
            Failure::failed(format!("the running node went away before it had answered ({error})"))
                .hint("look at the output of `larder up`; then give the command again")
        }
        FrameError::TooLong { .. } | FrameError::Syntax(_) => {
            Failure::failed(format!("the running node and this command do not fit: {error}"))
                .hint("stop `larder up` and start it again: the program was replaced meanwhile")
        }
    }
}
