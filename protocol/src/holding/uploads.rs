//! Uploads under way: from the request to the durable row.

use super::{
    Action, Caller, Holding, Keeping, Output, PUTS_PER_CALLER_MAX, PUTS_TOTAL_MAX, PutFailure,
    RETENTION_DAYS_MIN, Row,
};
use crate::{
    ids::VaultId, index::PackClass, index::ShardRef, order::OrderId, time::Timestamp,
    wire::message::Refusal,
};

/// One upload.
#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) caller: Caller,
    pub(super) vault: VaultId,
    pub(super) shard: ShardRef,
    pub(super) class: PackClass,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Room is reserved, bytes are coming.
    Receiving,
    /// Bytes are durable, the row is being written.
    Recording(Row),
}

impl Put {
    pub(super) const fn new(
        caller: Caller,
        vault: VaultId,
        shard: ShardRef,
        class: PackClass,
    ) -> Self {
        Self { caller, vault, shard, class, stage: Stage::Receiving }
    }
}

impl Holding {
    pub(super) fn put_asked(&mut self, request: OrderId, put: Put) {
        match self.admit(&put) {
            Ok(Some(row)) => self.outputs.push_back(Output::Acknowledge { request, row }),
            Ok(None) if self.puts.contains_key(&request) => {
                // Our own shell numbers requests: a repeated number is the same request.
                self.room.release(put.vault, put.shard.bytes);
            }
            Ok(None) => {
                self.outputs.push_back(Output::Go { request, shard: put.shard });
                self.puts.insert(request, put);
            }
            Err(reason) => self.outputs.push_back(Output::Refuse { request, reason }),
        }
    }

    /// Reserves room for an upload. A row when the shard is kept already.
    fn admit(&mut self, put: &Put) -> Result<Option<Row>, Refusal> {
        put.caller.permit(Action::Store, put.vault)?;
        if !put.shard.is_plausible() {
            return Err(Refusal::Malformed);
        }
        match self.kept.get(&(put.shard.root, put.vault)) {
            Some(Keeping::Kept(row)) if row.shard != put.shard => return Err(Refusal::Malformed),
            // What nobody claims is promised anew by an offer alone.
            Some(Keeping::Kept(row)) if !row.lost && row.unclaimed.is_some() => {
                return Err(Refusal::Busy);
            }
            Some(Keeping::Kept(row)) if !row.lost => return Ok(Some(*row)),
            Some(Keeping::Erasing(_)) => return Err(Refusal::Busy),
            Some(Keeping::Kept(_)) | None => {}
        }
        let of_caller = |other: &&Put| other.caller.key() == put.caller.key();
        let same_shard = |other: &Put| other.shard.root == put.shard.root;
        if self.puts.len() >= PUTS_TOTAL_MAX
            || self.puts.values().filter(of_caller).count() >= PUTS_PER_CALLER_MAX
            || self.puts.values().any(same_shard)
        {
            return Err(Refusal::Busy);
        }
        self.room.reserve(put.vault, put.shard.bytes)?;
        Ok(None)
    }

    pub(super) fn bytes_durable(&mut self, request: OrderId, wall: Timestamp) {
        let Some(put) = self.puts.get_mut(&request) else { return };
        if !matches!(put.stage, Stage::Receiving) {
            return;
        }
        // HOLD-2: what was promised once stays promised, even if the bytes were lost since.
        let promised = match self.kept.get(&(put.shard.root, put.vault)) {
            Some(Keeping::Kept(row) | Keeping::Erasing(row)) => row.keep_until,
            None => Timestamp::default(),
        };
        let row = Row {
            vault: put.vault,
            shard: put.shard,
            class: put.class,
            stored: wall,
            keep_until: wall.after_days(RETENTION_DAYS_MIN).max(promised),
            unclaimed: None,
            lost: false,
        };
        put.stage = Stage::Recording(row);
        self.outputs.push_back(Output::WriteRow { request, row });
    }

    pub(super) fn row_durable(&mut self, request: OrderId) {
        let Some(Stage::Recording(row)) = self.puts.get(&request).map(|put| put.stage.clone())
        else {
            return;
        };
        self.puts.remove(&request);
        self.room.settle(row.vault, row.shard.bytes);
        self.forget_tally(row.vault, row.shard.root);
        self.kept.insert((row.shard.root, row.vault), Keeping::Kept(row));
        self.outputs.push_back(Output::Acknowledge { request, row });
    }

    pub(super) fn put_failed(&mut self, request: OrderId, failure: PutFailure) {
        // A caller that leaves while the row is being written changes nothing.
        if !matches!(self.puts.get(&request).map(|put| &put.stage), Some(Stage::Receiving)) {
            return;
        }
        let Some(put) = self.puts.remove(&request) else { return };
        self.room.release(put.vault, put.shard.bytes);
        let reason = match failure {
            PutFailure::Aborted => return,
            PutFailure::WrongBytes => Refusal::WrongBytes,
            PutFailure::DiskFull => {
                // Nothing more is taken until the disk is measured again.
                self.room.disk_free_bytes = 0;
                Refusal::Full
            }
            PutFailure::Disk => Refusal::Internal,
        };
        self.outputs.push_back(Output::Refuse { request, reason });
    }

    pub(super) fn row_failed(&mut self, request: OrderId) {
        if !matches!(self.puts.get(&request).map(|put| &put.stage), Some(Stage::Recording(_))) {
            return;
        }
        let Some(put) = self.puts.remove(&request) else { return };
        self.room.release(put.vault, put.shard.bytes);
        self.outputs.push_back(Output::Refuse { request, reason: Refusal::Internal });
        self.drop_file_if_unnamed(put.shard.root);
    }
}
