//! Taking one upload: exactly the promised bytes, hashed while they come, durable before the
//! receipt. Whatever goes wrong, nothing is left behind and the reservation ends.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    index::ShardRef,
    wire::message::{Answer, Refusal},
};
use tokio::{sync::mpsc, time::timeout};

use super::{Reservation, Serve, Shared};
use crate::{
    depot::DepotError,
    net::{
        FrameStream, NetError,
        control::upload_time,
        pumps::{self, Upload, Written},
        tuning::{CODE_BROKEN, PIECE_BYTES, STALL},
    },
};

/// How an upload ended.
enum Settled {
    /// Kept; what its peer is told.
    Stored(Answer),
    /// The peer or the network broke it off.
    BrokenOff,
    /// The writer refused it.
    Failed(DepotError),
}

pub(super) async fn take<S: Serve>(
    shared: &Shared<S>,
    from: DeviceId,
    reservation: Reservation,
    shard: ShardRef,
    stream: &mut FrameStream,
) -> Result<(), NetError> {
    let (pieces, written, room) =
        pumps::write_shard(shared.depot.clone(), shard, reservation.tenure);
    let settling = tokio::spawn(settle(Arc::clone(&shared.serve), from, reservation, written));
    // Without room the writer's error follows below, before the peer sent a byte.
    let received = if room.await.is_ok() {
        stream.send(&Answer::Go).await?;
        let received = timeout(upload_time(shard.bytes), receive(stream, shard, pieces)).await;
        received.unwrap_or(Err(NetError::Timeout))
    } else {
        Ok(())
    };
    match settling.await {
        // It is kept, whether the peer learns of it or not.
        Ok(Settled::Stored(answer)) => stream.send(&answer).await,
        // There is nobody to answer.
        Ok(Settled::BrokenOff) => Err(received.err().unwrap_or(NetError::Lost)),
        Ok(Settled::Failed(error)) => {
            tracing::debug!(peer = %from.short(), %error, "did not store a shard");
            refuse(stream, &error).await
        }
        Err(_) => stream.send(&Answer::Refused { reason: Refusal::Internal }).await,
    }
}

/// Waits for the writer and ends the reservation by what it did. A task of its own, for it has to
/// outlive the peer: the writer commits the row of a shard that came whole, also when its sender
/// has gone, and a row that nobody counted would pass the grant.
async fn settle<S: Serve>(
    serve: Arc<S>,
    from: DeviceId,
    reservation: Reservation,
    written: Written,
) -> Settled {
    let ended = match written.await {
        Ok(Ok(Some(kept))) => {
            return Settled::Stored(serve.put_stored(from, reservation, kept).await);
        }
        Ok(Ok(None)) => Settled::BrokenOff,
        Ok(Err(error)) => Settled::Failed(error),
        Err(panicked) => {
            tracing::error!(error = %panicked, "the writer of a shard ended in a panic");
            Settled::BrokenOff
        }
    };
    serve.put_aborted(from, reservation);
    ended
}

/// Passes the bytes on, to their end. An error means that the upload was broken off.
async fn receive(
    stream: &mut FrameStream,
    shard: ShardRef,
    pieces: mpsc::Sender<Upload>,
) -> Result<(), NetError> {
    let mut missing = shard.bytes;
    loop {
        let piece = match timeout(STALL, stream.recv.read_chunk(PIECE_BYTES)).await {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) => break,
            Ok(Err(_)) => return Err(stream.fault()),
            Err(_) => return Err(NetError::Timeout),
        };
        let length = u64::try_from(piece.len()).expect("a length in memory fits 64 bits");
        // More than promised still goes to the writer, which refuses it.
        let too_much = length > missing;
        missing = missing.saturating_sub(length);
        if pieces.send(Upload::Piece(piece)).await.is_err() || too_much {
            // The writer has an error to tell.
            return Ok(());
        }
    }
    // The writer compares length and root; an error of it is found when it is joined.
    let _ = pieces.send(Upload::End).await;
    Ok(())
}

async fn refuse(stream: &mut FrameStream, error: &DepotError) -> Result<(), NetError> {
    let reason = match error {
        DepotError::WrongBytes { .. } | DepotError::BadLength(_) => Refusal::WrongBytes,
        DepotError::NoSpace => Refusal::Full,
        _ => Refusal::Internal,
    };
    // Bytes that are still coming are of no use.
    let _ = stream.recv.stop(CODE_BROKEN.into());
    stream.send(&Answer::Refused { reason }).await
}
