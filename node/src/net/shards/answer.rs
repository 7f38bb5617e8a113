//! Answering one download.

use std::sync::Arc;

use iroh::endpoint::{RecvStream, SendStream};
use iroh_blobs::protocol::{ERR_INTERNAL, ERR_LIMIT, ERR_PERMISSION, Request};
use larder_protocol::ids::{DeviceId, ShardRoot};
use tokio::time::timeout;

use crate::{
    depot::{DepotError, EncodeFault, ShardState},
    net::{
        accept::{Serve, Shared},
        pumps,
        tuning::{REQUEST, STALL},
    },
};

/// Reads one request and serves it, or resets the stream with a code that says why not.
pub(in crate::net) async fn answer<S: Serve>(
    shared: Arc<Shared<S>>,
    from: DeviceId,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let Ok(Ok((Request::Get(get), _))) = timeout(REQUEST, Request::read_async(&mut recv)).await
    else {
        return drop(send.reset(ERR_PERMISSION));
    };
    let root = ShardRoot::from_bytes(*get.hash.as_bytes());
    // One answer for "unknown" and "not for you": who may not read may not ask either.
    if !get.ranges.is_blob() || !shared.serve.may_read(&from, &root) {
        return drop(send.reset(ERR_PERMISSION));
    }
    let Some(ranges) = get.ranges.iter_infinite().next().cloned() else {
        return drop(send.reset(ERR_PERMISSION));
    };
    let Some(_place) = shared.downloads.take(from) else {
        return drop(send.reset(ERR_LIMIT));
    };
    let (mut pieces, encoding) = pumps::encode_shard(shared.depot.clone(), root, ranges);
    while let Some(piece) = pieces.recv().await {
        if !matches!(timeout(STALL, send.write_chunk(piece)).await, Ok(Ok(()))) {
            // The peer left or takes nothing: the thread ends when the queue is dropped.
            return drop(send.reset(ERR_LIMIT));
        }
    }
    match encoding.await {
        Ok(Ok(())) => {
            // Stopped meanwhile: the peer has what it wanted.
            let _ = send.finish();
            let _ = timeout(STALL, send.stopped()).await;
        }
        Ok(Err(EncodeFault::Corrupt)) => {
            let _ = send.reset(ERR_INTERNAL);
            shared.lost(root, ShardState::Corrupt).await;
        }
        Ok(Err(EncodeFault::Missing)) => {
            let _ = send.reset(ERR_INTERNAL);
            shared.lost(root, ShardState::Missing).await;
        }
        Ok(Err(EncodeFault::Disk(error))) => {
            tracing::warn!(shard = %root.short(), %error, "could not serve a shard");
            let _ = send.reset(ERR_INTERNAL);
        }
        Ok(Err(EncodeFault::Sink)) | Err(_) => drop(send.reset(ERR_INTERNAL)),
    }
}

impl<S: Serve> Shared<S> {
    /// Notes a damaged or missing shard in its row, then tells the node.
    async fn lost(&self, root: ShardRoot, state: ShardState) {
        let depot = self.depot.clone();
        let marked = tokio::task::spawn_blocking(move || depot.mark(&root, state)).await;
        match marked {
            Ok(Ok(()) | Err(DepotError::NoSpace)) => self.serve.found_corrupt(&root),
            // A disk that is gone as a whole gives no byte of any shard back, and takes no row
            // either. Nothing is known to be lost then: it may be plugged in again.
            _ => tracing::warn!(shard = %root.short(), "could not note that it is {state:?}"),
        }
    }
}
