//! Fetching ranges of a shard from one peer.

use std::{io, ops::Range, sync::Arc};

use bao_tree::io::BaoContentItem;
use iroh::endpoint::Connection;
use iroh_blobs::{
    Hash,
    get::fsm::{
        self, AtBlobHeaderNextError, BlobContentNext, ConnectedNext, DecodeError, RequestCounters,
    },
    protocol::{ERR_LIMIT, ERR_PERMISSION, GetRequest},
};
use larder_protocol::index::ShardRef;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    depot::{PartialShard, group_ranges},
    net::{FetchError, NetError, Peer, Protocol, error::reset_code, pumps, tuning::STALL},
};

impl Peer {
    /// Fetches `ranges` of a shard, rounded outward to whole groups of 16 KiB, into `sink`. Each
    /// group is verified before it is written; `progress` hears of each that was. What arrived
    /// before an error is kept. Dropping the future gives the rest up.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        ranges: &[Range<u64>],
        sink: Arc<PartialShard>,
        progress: impl FnMut(Range<u64>) + Send + 'static,
    ) -> Result<(), FetchError> {
        let shard = sink.shard();
        let hash = Hash::from_bytes(*shard.root.as_bytes());
        let groups = group_ranges(ranges, shard.bytes);
        if groups.is_empty() {
            return Ok(());
        }
        let request = GetRequest::blob_ranges(hash, groups);
        let (items, writing) = pumps::write_partial(sink, progress);
        let received = self.receive(shard, request, items).await;
        // The disk's error is the cause when there are two: the stream ended because of it.
        match writing.await {
            Ok(written) => written.map_err(FetchError::Local)?,
            Err(_) => return Err(FetchError::Stalled),
        }
        received
    }

    /// Passes verified items on, in order. A closed queue ends it well: its owner knows why.
    async fn receive(
        &self,
        shard: ShardRef,
        request: GetRequest,
        items: mpsc::Sender<BaoContentItem>,
    ) -> Result<(), FetchError> {
        let lease = self.net.lease(self.id, Protocol::Shards).await?;
        let connection = &lease.connection;
        let asked = fsm::start(connection.clone(), request, RequestCounters::default());
        let fault = |error: io::Error| of_stream(&error, connection);
        let opened = in_time(asked.next()).await?;
        let opened = opened.map_err(|_| NetError::of(connection))?;
        let sent = in_time(opened.next()).await?.map_err(|_| NetError::of(connection))?;
        let ConnectedNext::StartRoot(root) = sent else {
            // No ranges were asked for.
            return Ok(());
        };
        let header = in_time(root.next().next()).await?;
        let (mut content, claimed) = header.map_err(|error| match error {
            AtBlobHeaderNextError::NotFound { .. } => FetchError::Denied,
            AtBlobHeaderNextError::Read { source, .. } => fault(source),
        })?;
        if claimed != shard.bytes {
            return Err(FetchError::WrongBytes);
        }
        loop {
            match in_time(content.next()).await? {
                BlobContentNext::Done(_) => return Ok(()),
                BlobContentNext::More((next, item)) => {
                    let item = item.map_err(|error| of_content(error, connection))?;
                    if items.send(item).await.is_err() {
                        return Ok(());
                    }
                    content = next;
                }
            }
        }
    }
}

async fn in_time<T>(step: impl Future<Output = T>) -> Result<T, FetchError> {
    timeout(STALL, step).await.map_err(|_| FetchError::Stalled)
}

fn of_content(error: DecodeError, connection: &Connection) -> FetchError {
    match error {
        DecodeError::ParentHashMismatch { .. } | DecodeError::LeafHashMismatch { .. } => {
            FetchError::WrongBytes
        }
        // The peer ended the stream early without a word: it has no more.
        DecodeError::ChunkNotFound { .. }
        | DecodeError::ParentNotFound { .. }
        | DecodeError::LeafNotFound { .. } => FetchError::Denied,
        DecodeError::Read { source, .. } => of_stream(&source, connection),
        _ => NetError::Lost.into(),
    }
}

fn of_stream(error: &io::Error, connection: &Connection) -> FetchError {
    match reset_code(error) {
        Some(code) if code == ERR_PERMISSION => FetchError::Denied,
        Some(code) if code == ERR_LIMIT => FetchError::Busy,
        Some(_) => FetchError::Unreadable,
        None => NetError::of(connection).into(),
    }
}
