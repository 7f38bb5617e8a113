//! What can happen in the world, and what devices say to each other.

use larder_protocol::{
    auditing::Finding,
    fetching::{ByteRange, StripeFailure},
    head::SignedHead,
    ids::ShardRoot,
    index::{PackClass, ShardRef},
    order::OrderId,
    proof::Challenge,
    receipt::Receipt,
    tending::Inventory,
    wire::message::{ClaimsPart, OfferedShard, Refusal, Verdict},
};

use crate::disk::Ticket;

/// The two ends of a connection: who dialled, and whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Link {
    pub(crate) client: usize,
    pub(crate) holder: usize,
}

/// A connection: a link, and the how manieth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) link: Link,
    pub(crate) epoch: u64,
}

/// From whoever dialled.
#[derive(Debug, Clone)]
pub(crate) enum ToHolder {
    /// Hello, and what heads of my vault do you have?
    Greet,
    Offer {
        order: OrderId,
        shards: Vec<OfferedShard>,
    },
    Put {
        order: OrderId,
        shard: ShardRef,
        class: PackClass,
    },
    /// A piece of an upload; `sound` tells whether the bytes are those of the root.
    Piece {
        order: OrderId,
        bytes: u64,
        left: u64,
        sound: bool,
    },
    Abort {
        order: OrderId,
    },
    PushHead {
        order: OrderId,
        head: Box<SignedHead>,
    },
    PullHeads {
        order: OrderId,
    },
    /// Superseded heads of one device, below a number.
    PullPast {
        order: OrderId,
        device: usize,
        below: u64,
    },
    Read {
        order: OrderId,
        shard: ShardRef,
        range: ByteRange,
    },
    StopRead {
        order: OrderId,
    },
    Audit {
        order: OrderId,
        challenges: Vec<Challenge>,
    },
    Claim {
        order: OrderId,
        part: Box<ClaimsPart>,
    },
    /// Who holds for my vault: a signed introduction.
    Introduce {
        introduction: Vec<u8>,
    },
    /// From a fellow, about a vault that both hold for.
    Tend {
        order: OrderId,
        vault: usize,
        question: Question,
    },
}

/// What a fellow asks.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// What do you know of the vault, and what do you keep for it?
    Tell,
    /// Do you have these chunks?
    Show(Vec<Challenge>),
    Read(ShardRef, ByteRange),
}

/// What a holder tells a fellow of a vault.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) heads: Vec<SignedHead>,
    /// Lists of claims, each with the head that is to sign for it.
    pub(crate) lists: Vec<(SignedHead, Vec<ShardRoot>)>,
    pub(crate) kept: Inventory,
}

/// From whoever was dialled.
#[derive(Debug, Clone)]
pub(crate) enum ToClient {
    Welcome {
        granted_bytes: u64,
        heads: Vec<SignedHead>,
        /// Number of the introduction of the caller that is kept here.
        introduced: u64,
    },
    Verdicts {
        order: OrderId,
        verdicts: Vec<Verdict>,
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
    },
    /// The head was not taken: these are here.
    OtherHeads {
        order: OrderId,
        heads: Vec<SignedHead>,
    },
    Heads {
        order: OrderId,
        heads: Vec<SignedHead>,
    },
    /// Groups `first..last` of a shard; `wrong` is one of them whose bytes are not right.
    Groups {
        order: OrderId,
        first: u64,
        last: u64,
        wrong: Option<u64>,
    },
    ReadFailed {
        order: OrderId,
        failure: StripeFailure,
    },
    /// What is shown for each challenge, checked already, and whether it was really there.
    Shown {
        order: OrderId,
        shown: Vec<(Finding, bool)>,
    },
    ClaimsTaken {
        order: OrderId,
    },
    Told {
        order: OrderId,
        told: Box<Told>,
    },
}

/// What a sync was for.
#[derive(Debug, Clone)]
pub(crate) enum Synced {
    HeldFile { request: OrderId },
    HeldRow { request: OrderId },
    HeldHead { line: Line, order: OrderId },
    Pack { shard: ShardRef, class: PackClass },
    OwnHead { seq: u64 },
    Receipt { holder: usize, shard: ShardRef },
    Vigil { vault: usize },
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// A call reaches its end, or its time is over.
    Dialled {
        link: Link,
    },
    DialFailed {
        link: Link,
    },
    ToHolder {
        line: Line,
        message: ToHolder,
    },
    ToClient {
        line: Line,
        message: ToClient,
    },
    /// The next piece of an upload leaves the source, of a download the holder.
    SendPiece {
        line: Line,
        order: OrderId,
    },
    ReadPiece {
        line: Line,
        order: OrderId,
    },
    /// Nothing has passed for so long that the connection is given up, if it is still cut.
    IdleOver {
        line: Line,
    },
    Synced {
        device: usize,
        boot: u64,
        ticket: Ticket,
        what: Synced,
    },
    Wake {
        device: usize,
        boot: u64,
    },
    PutOver {
        device: usize,
        boot: u64,
        request: OrderId,
    },
    Boot {
        device: usize,
    },
    Resume {
        device: usize,
    },
    DiskFreed {
        device: usize,
    },
    TakeImage {
        step: usize,
    },
    Step {
        step: usize,
    },
}

impl Event {
    /// Number of the kind, and numbers that tell it from others: what the trace is made of.
    pub(crate) fn mark(&self) -> [u64; 4] {
        let n = |number: usize| u64::try_from(number).expect("few things");
        match self {
            Self::Dialled { link } => [1, n(link.client), n(link.holder), 0],
            Self::DialFailed { link } => [2, n(link.client), n(link.holder), 0],
            Self::ToHolder { line, message } => {
                [3 + (message.mark() << 8), n(line.link.client), n(line.link.holder), line.epoch]
            }
            Self::ToClient { line, message } => {
                [4 + (message.mark() << 8), n(line.link.client), n(line.link.holder), line.epoch]
            }
            Self::SendPiece { line, order } => {
                [5, n(line.link.client), n(line.link.holder), order.0]
            }
            Self::ReadPiece { line, order } => {
                [6, n(line.link.client), n(line.link.holder), order.0]
            }
            Self::IdleOver { line } => [7, n(line.link.client), n(line.link.holder), line.epoch],
            Self::Synced { device, boot, ticket, .. } => [8, n(*device), *boot, *ticket],
            Self::Wake { device, boot } => [9, n(*device), *boot, 0],
            Self::PutOver { device, boot, request } => [10, n(*device), *boot, request.0],
            Self::Boot { device } => [11, n(*device), 0, 0],
            Self::Resume { device } => [12, n(*device), 0, 0],
            Self::DiskFreed { device } => [13, n(*device), 0, 0],
            Self::TakeImage { step } => [14, n(*step), 0, 0],
            Self::Step { step } => [15, n(*step), 0, 0],
        }
    }

    /// The connection that a message came by.
    pub(crate) const fn line(&self) -> Option<Line> {
        match self {
            Self::ToHolder { line, .. } | Self::ToClient { line, .. } => Some(*line),
            _ => None,
        }
    }

    /// The device whose process takes it, if it is for a process.
    pub(crate) const fn taker(&self) -> Option<usize> {
        match self {
            Self::ToHolder { line, .. } | Self::ReadPiece { line, .. } => Some(line.link.holder),
            Self::ToClient { line, .. } | Self::SendPiece { line, .. } => Some(line.link.client),
            Self::DialFailed { link } => Some(link.client),
            Self::Synced { device, .. }
            | Self::Wake { device, .. }
            | Self::PutOver { device, .. } => Some(*device),
            Self::Dialled { .. }
            | Self::IdleOver { .. }
            | Self::Boot { .. }
            | Self::Resume { .. }
            | Self::DiskFreed { .. }
            | Self::TakeImage { .. }
            | Self::Step { .. } => None,
        }
    }
}

impl ToHolder {
    const fn mark(&self) -> u64 {
        match self {
            Self::Greet => 1,
            Self::Offer { order, .. } => 2 + (order.0 << 8),
            Self::Put { order, .. } => 3 + (order.0 << 8),
            Self::Piece { order, left, .. } => 4 + ((order.0 ^ (*left << 16)) << 8),
            Self::Abort { order } => 5 + (order.0 << 8),
            Self::PushHead { order, .. } => 6 + (order.0 << 8),
            Self::PullHeads { order } => 7 + (order.0 << 8),
            Self::Read { order, range, .. } => 8 + ((order.0 ^ (range.start << 16)) << 8),
            Self::StopRead { order } => 9 + (order.0 << 8),
            Self::Audit { order, .. } => 10 + (order.0 << 8),
            Self::Claim { order, .. } => 11 + (order.0 << 8),
            Self::PullPast { order, .. } => 12 + (order.0 << 8),
            Self::Introduce { .. } => 13,
            Self::Tend { order, question, .. } => question.mark() + (order.0 << 8),
        }
    }
}

impl Question {
    const fn mark(&self) -> u64 {
        match self {
            Self::Tell => 14,
            Self::Show(_) => 15,
            Self::Read(..) => 16,
        }
    }
}

impl ToClient {
    /// The order that it answers, if it answers one.
    pub(crate) const fn order(&self) -> Option<OrderId> {
        match self {
            Self::Welcome { .. } => None,
            Self::Verdicts { order, .. }
            | Self::Refused { order, .. }
            | Self::Go { order }
            | Self::Stored { order, .. }
            | Self::HeadTaken { order }
            | Self::OtherHeads { order, .. }
            | Self::Heads { order, .. }
            | Self::Groups { order, .. }
            | Self::ReadFailed { order, .. }
            | Self::Shown { order, .. }
            | Self::ClaimsTaken { order }
            | Self::Told { order, .. } => Some(*order),
        }
    }

    const fn mark(&self) -> u64 {
        match self {
            Self::Welcome { granted_bytes, .. } => 1 + (*granted_bytes << 8),
            Self::Verdicts { order, .. } => 2 + (order.0 << 8),
            Self::Refused { order, .. } => 3 + (order.0 << 8),
            Self::Go { order } => 4 + (order.0 << 8),
            Self::Stored { order, .. } => 5 + (order.0 << 8),
            Self::HeadTaken { order } => 6 + (order.0 << 8),
            Self::OtherHeads { order, .. } => 7 + (order.0 << 8),
            Self::Heads { order, .. } => 8 + (order.0 << 8),
            Self::Groups { order, first, .. } => 9 + ((order.0 ^ (*first << 16)) << 8),
            Self::ReadFailed { order, .. } => 10 + (order.0 << 8),
            Self::Shown { order, .. } => 11 + (order.0 << 8),
            Self::ClaimsTaken { order } => 12 + (order.0 << 8),
            Self::Told { order, .. } => 13 + (order.0 << 8),
        }
    }
}
