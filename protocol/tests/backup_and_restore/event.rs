//! What can happen in the world, and what its nodes say to each other.

use larder_protocol::{
    fetching::{ByteRange, StripeFailure},
    index::{PackClass, ShardRef},
    order::OrderId,
    placing::Claim,
    receipt::Receipt,
    recovering::HeadSeen,
    wire::message::{OfferedShard, Refusal},
};

/// The one holder that is bad from some point on: the fault budget of two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Villain {
    None,
    /// Burns down before the restore.
    Lost,
    /// Serves wrong bytes.
    Liar,
    /// Has silently lost some shards.
    Forgetful,
    /// Shows old heads only.
    Hider,
}

impl Villain {
    pub(crate) const ALL: [Self; 5] =
        [Self::None, Self::Lost, Self::Liar, Self::Forgetful, Self::Hider];
}

/// What a shell could do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    AckBeforeDurable,
    PushBeforeSafe,
    AcceptUnverified,
    DropOnFirstReceipt,
}

/// Which end of a connection is not the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    Source,
    Restorer,
}

#[derive(Debug, Clone)]
pub(crate) enum ToHolder {
    Offer { order: OrderId, shards: Vec<OfferedShard> },
    Put { order: OrderId, shard: ShardRef, class: PackClass },
    Piece { order: OrderId, left: u64 },
    Abort { order: OrderId },
    PushHead { order: OrderId, head: HeadSeen },
    PullHeads { order: OrderId },
    Read { order: OrderId, shard: ShardRef, range: ByteRange },
    StopRead { order: OrderId },
}

#[derive(Debug, Clone)]
pub(crate) enum ToClient {
    Verdicts {
        order: OrderId,
        claims: Vec<Claim>,
    },
    Refused {
        order: OrderId,
        reason: Refusal,
    },
    Go {
        order: OrderId,
    },
    Stored {
        order: OrderId,
        receipt: Receipt,
    },
    HeadTaken {
        order: OrderId,
        taken: bool,
    },
    Heads {
        order: OrderId,
        heads: Vec<HeadSeen>,
    },
    /// Groups of a shard: the first group and the content of each.
    Groups {
        order: OrderId,
        first: u64,
        groups: Vec<u64>,
    },
    ReadFailed {
        order: OrderId,
        failure: StripeFailure,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum DiskDone {
    File { request: OrderId },
    FileFailed { request: OrderId },
    Row { request: OrderId },
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Connected { client: Client, holder: usize },
    ConnectFailed { client: Client, holder: usize },
    Drop { client: Client, holder: usize },
    AtHolder { client: Client, holder: usize, epoch: u64, message: ToHolder },
    AtClient { client: Client, holder: usize, epoch: u64, message: ToClient },
    SendPiece { holder: usize, epoch: u64, order: OrderId },
    ReadPiece { client: Client, holder: usize, epoch: u64, order: OrderId },
    HolderDisk { holder: usize, boot: u64, done: DiskDone },
    SourceKept { boot: u64, receipt: Receipt },
    Measure { holder: usize },
    Make,
    Wake(Client),
    Crash { holder: usize },
    Boot { holder: usize },
    PutOver { holder: usize, boot: u64, request: OrderId },
    SourceRestart,
    RestorerRestart,
    Noise { holder: usize, bytes: u64 },
}
