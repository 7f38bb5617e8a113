//! Taking one upload: exactly the promised bytes, hashed while they come, durable before the
//! receipt. Whatever goes wrong, nothing is left behind and the reservation ends.

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
        pumps::{self, Upload},
        tuning::{CODE_BROKEN, PIECE_BYTES, STALL},
    },
};

/// Ends a reservation as aborted, also when its task is dropped, unless it was fulfilled.
struct Open<'a, S: Serve> {
    serve: &'a S,
    from: DeviceId,
    reservation: Reservation,
    fulfilled: bool,
}

impl<S: Serve> Drop for Open<'_, S> {
    fn drop(&mut self) {
        if !self.fulfilled {
            self.serve.put_aborted(self.from, self.reservation);
        }
    }
}

pub(super) async fn take<S: Serve>(
    shared: &Shared<S>,
    from: DeviceId,
    reservation: Reservation,
    shard: ShardRef,
    stream: &mut FrameStream,
) -> Result<(), NetError> {
    let serve = shared.serve.as_ref();
    let mut open = Open { serve, from, reservation, fulfilled: false };
    let (pieces, written, room) =
        pumps::write_shard(shared.depot.clone(), shard, reservation.tenure);
    // Without room the writer's error follows below, before the peer sent a byte.
    let received = if room.await.is_ok() {
        stream.send(&Answer::Go).await?;
        let received = timeout(upload_time(shard.bytes), receive(stream, shard, pieces)).await;
        received.unwrap_or(Err(NetError::Timeout))
    } else {
        Ok(())
    };
    let kept = match written.await {
        Ok(Ok(Some(kept))) => kept,
        // Broken off by the peer or the network: there is nobody to answer.
        Ok(Ok(None)) => return Err(received.err().unwrap_or(NetError::Lost)),
        Ok(Err(error)) => {
            tracing::debug!(peer = %from.short(), %error, "did not store a shard");
            return refuse(stream, &error).await;
        }
        Err(_) => return stream.send(&Answer::Refused { reason: Refusal::Internal }).await,
    };
    // From here on the shard is kept, whether the peer learns of it or not.
    open.fulfilled = true;
    let answer = serve.put_stored(from, reservation, kept).await;
    stream.send(&answer).await
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
