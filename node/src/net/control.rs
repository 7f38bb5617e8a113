//! The asking side of the control protocol.

use std::time::Duration;

use iroh::endpoint::{Connection, WriteError};
use larder_protocol::{
    ids::{DeviceId, VaultId},
    index::PackClass,
    receipt::Receipt,
    wire::{
        message::{Answer, Request},
        validity::Breach,
    },
};
use tokio::time::{sleep, timeout};

use super::{
    FrameStream, Net, NetError, Protocol, PutError,
    links::Lease,
    pumps,
    tuning::{ANSWER, CODE_BROKEN, RECEIPT, SILENCE, STALL, UPLOAD_BYTES_PER_S_MIN, UPLOAD_GRACE},
};
use crate::depot::Shard;

/// Another device, to be asked.
#[derive(Debug, Clone)]
pub struct Peer {
    pub(super) net: Net,
    pub(super) id: DeviceId,
}

impl Peer {
    pub(super) const fn new(net: Net, id: DeviceId) -> Self {
        Self { net, id }
    }

    /// The device's id.
    pub const fn id(&self) -> DeviceId {
        self.id
    }

    /// Sends one request and waits for its answer. Not for [`Request::Put`]: see [`Peer::put`].
    /// Asks a second time when a connection from before breaks off: the peer may have restarted.
    /// Dropping the future gives the request up.
    ///
    /// # Errors
    /// [`NetError`]; an [`Answer::Refused`] is an answer.
    pub async fn request(&self, request: &Request) -> Result<Answer, NetError> {
        let (mut stream, lease) = self.open(Protocol::Control).await?;
        if lease.fresh {
            return ask(request, &mut stream).await;
        }
        let asked = tokio::select! {
            answered = ask(request, &mut stream) => Some(answered),
            () = silence(&lease.connection) => None,
        };
        match asked {
            Some(Err(_)) if lease.connection.close_reason().is_some() => {}
            Some(answered) => return answered,
            // Not even an acknowledgement: the peer is gone, or came back elsewhere.
            None => self.net.forget_connections(&self.id),
        }
        let (mut stream, _lease) = self.reopen().await?;
        ask(request, &mut stream).await
    }

    /// Opens a stream to a peer whose kept connection has just died. iroh may hold on to the old
    /// path for a while (iroh #3602), so silence is no answer yet: it is dialled once more.
    async fn reopen(&self) -> Result<(FrameStream, Lease), NetError> {
        match self.open(Protocol::Control).await {
            Err(NetError::Unreachable(None)) => self.open(Protocol::Control).await,
            opened => opened,
        }
    }

    /// Stores a shard with the peer and returns its receipt, which the caller has to verify.
    ///
    /// # Errors
    /// [`PutError`]. Nothing is stored then, or the peer says so when asked again.
    pub async fn put(
        &self,
        vault: VaultId,
        class: PackClass,
        shard: Shard,
    ) -> Result<Receipt, PutError> {
        let (mut stream, _lease) = self.open(Protocol::Control).await?;
        let request = Request::Put { vault, shard: shard.shard(), class };
        stream.send(&request).await?;
        match answer_to(&request, &mut stream, ANSWER).await? {
            Answer::Go => {}
            // It came to the peer by another way meanwhile.
            Answer::Stored { receipt } => return Ok(receipt),
            answer => return Err(refusal(&answer)),
        }
        if let Err(error) = upload(&self.net, &mut stream, shard).await {
            stream.abandon(CODE_BROKEN);
            return Err(error);
        }
        stream.finish();
        match answer_to(&request, &mut stream, RECEIPT).await? {
            Answer::Stored { receipt } => Ok(receipt),
            answer => Err(refusal(&answer)),
        }
    }

    /// Opens the pairing stream. Frames and their meaning are the caller's.
    ///
    /// # Errors
    /// [`NetError`]; [`NetError::Refused`] shows at the first frame.
    pub async fn pair(&self) -> Result<FrameStream, NetError> {
        let (stream, lease) = self.open(Protocol::Pairing).await?;
        Ok(stream.holding(lease))
    }

    /// Opens the stream of a meeting, whose frames its machine makes.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn meet(&self) -> Result<FrameStream, NetError> {
        let (stream, lease) = self.open(Protocol::Meeting).await?;
        Ok(stream.holding(lease))
    }

    /// Opens the stream on which a share is handed over.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn help(&self) -> Result<FrameStream, NetError> {
        let (stream, lease) = self.open(Protocol::Helping).await?;
        Ok(stream.holding(lease))
    }

    /// Opens a stream; dials anew, once, when a kept connection turns out to be dead.
    async fn open(&self, protocol: Protocol) -> Result<(FrameStream, Lease), NetError> {
        loop {
            let lease = self.net.lease(self.id, protocol).await?;
            match timeout(STALL, lease.connection.open_bi()).await {
                Ok(Ok((send, recv))) => {
                    return Ok((FrameStream::new(lease.connection.clone(), send, recv), lease));
                }
                Ok(Err(_)) if !lease.fresh => {}
                Ok(Err(_)) => return Err(NetError::of(&lease.connection)),
                // All streams that the peer allows are in use.
                Err(_) => return Err(NetError::Busy),
            }
        }
    }
}

/// Ends when a whole [`SILENCE`] passes without a packet from the peer; a live one acknowledges at
/// once, however long its answer takes.
async fn silence(connection: &Connection) {
    let heard = || connection.stats().udp_rx.datagrams;
    let mut before = heard();
    loop {
        sleep(SILENCE).await;
        let now = heard();
        if now == before {
            return;
        }
        before = now;
    }
}

async fn ask(request: &Request, stream: &mut FrameStream) -> Result<Answer, NetError> {
    stream.send(request).await?;
    stream.finish();
    answer_to(request, stream, ANSWER).await
}

async fn answer_to(
    request: &Request,
    stream: &mut FrameStream,
    within: Duration,
) -> Result<Answer, NetError> {
    let answer: Answer = stream.receive(request.answer_bytes_max(), within).await?;
    answer.check(request)?;
    Ok(answer)
}

fn refusal(answer: &Answer) -> PutError {
    match answer {
        Answer::Refused { reason } => PutError::Refused(*reason),
        _ => NetError::Breach(Breach::WrongAnswer).into(),
    }
}

/// Sends all bytes of a shard. Returns well, too, when the peer stops taking them: then it has an
/// answer to give.
async fn upload(net: &Net, stream: &mut FrameStream, shard: Shard) -> Result<(), PutError> {
    let (mut pieces, reading) = pumps::read_shard(shard);
    while let Some(piece) = pieces.recv().await {
        match stream.upload(net, piece).await {
            Ok(Ok(())) => {}
            Ok(Err(WriteError::Stopped(_))) => return Ok(()),
            Ok(Err(_)) => return Err(stream.fault().into()),
            Err(_) => return Err(PutError::Stalled),
        }
    }
    match reading.await {
        Ok(read) => read.map_err(PutError::Local),
        // A panic while reading; the upload is incomplete, which the peer will notice.
        Err(_) => Err(PutError::Stalled),
    }
}

/// How long an upload may take in all, so that a trickle does not hold its stream for ever.
pub(super) fn upload_time(bytes: u64) -> Duration {
    UPLOAD_GRACE + Duration::from_secs(bytes / UPLOAD_BYTES_PER_S_MIN)
}
