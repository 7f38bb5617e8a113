//! What must hold, and what has been seen: the omniscient observer.
//!
//! It is told what devices do and compares it with what is really on all disks. It decides
//! nothing, and no device ever reads it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use larder_protocol::{
    head::SignedHead,
    ids::{HeadHash, ShardRoot},
    index::{PackClass, ShardRef},
    time::Instant,
};

/// What must hold. Source: specs/simulation.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Nothing published is lost.
    Kept,
    /// A head leaves only when everything that it needs is placed.
    HeadPlaced,
    /// A local copy goes only when enough others are there.
    LocalCopy,
    /// A receipt, and "head taken", are true when they arrive and stay true.
    Word,
    /// Nobody keeps more than was granted, offered, or than the disk has.
    Quota,
    /// Heads never go back, and no number is signed twice.
    Head,
    /// No honest holder is blamed.
    Blame,
    /// Nothing is let go that a device needs, or needed a while ago.
    LetGo,
    /// Nobody is presumed lost soon after it was heard of.
    Presumed,
    /// Everything is bounded.
    Bounds,
    /// What is healthy converges after healing.
    Converges,
    /// Holders fetch for a vault only while none of its devices is heard of, and only what it claims.
    Tending,
    /// What a silent vault needs comes back to as many sites as its devices wanted.
    Tended,
    /// A restore is complete, right and of the newest head.
    Restore,
    /// Those who keep a device log come to see the same.
    Agreed,
    /// Nobody is thrown out for good, or back, by a thief.
    Evicted,
    /// What is sealed is read by those who live, and by nobody who was removed.
    Secret,
    /// There is room to throw somebody out, and to back up.
    Refused,
    /// What was taken of a log is read back.
    ReadBack,
    /// No head is refused for a name that a thief gave.
    HeadTaken,
    /// Nothing is taken that nobody signed.
    Forged,
    /// Who lives can write.
    Stranger,
}

impl Property {
    /// Its requirement.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Kept => "SIM-2",
            Self::HeadPlaced => "SIM-3",
            Self::LocalCopy => "SIM-4",
            Self::Word => "SIM-5",
            Self::Quota => "SIM-6",
            Self::Head => "SIM-7",
            Self::Blame => "SIM-8",
            Self::LetGo => "SIM-16",
            Self::Presumed => "SIM-17",
            Self::Bounds => "SIM-9",
            Self::Converges => "SIM-10",
            Self::Restore => "SIM-11",
            Self::Tending => "SIM-18",
            Self::Tended => "SIM-19",
            Self::Agreed => "SIM-20",
            Self::Evicted => "SIM-21",
            Self::Secret => "SIM-22",
            Self::Refused => "SIM-23",
            Self::ReadBack => "SIM-24",
            Self::HeadTaken => "SIM-25",
            Self::Forged => "SIM-26",
            Self::Stranger => "SIM-27",
        }
    }
}

/// A property that broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub property: Property,
    /// When, in milliseconds from the start.
    pub at_ms: u64,
    /// What was met.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.property.id();
        write!(f, "{id} {:?} at {} ms: {}", self.property, self.at_ms, self.text)
    }
}

/// A head and what it stands for: what its manifest says.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) commit_pack: ShardRef,
    pub(crate) needs: Vec<(ShardRef, PackClass)>,
}

/// What is to be compared with all disks, once the step that said so is over.
#[derive(Debug, Clone)]
pub(crate) enum Check {
    Receipt {
        holder: usize,
        root: ShardRoot,
        vault: usize,
    },
    HeadTaken {
        holder: usize,
        source: usize,
        seq: u64,
    },
    /// `new`: it left its device for the first time.
    Pushed {
        source: usize,
        holder: usize,
        seq: u64,
        new: bool,
    },
    /// A source showed a head of its own to somebody who asked.
    Shown {
        source: usize,
        seq: u64,
    },
    Dropped {
        source: usize,
        root: ShardRoot,
        /// Holders whose receipts were durable then, and on how many sites it was to be: the row may leave
        /// the index in the same step.
        receipts: BTreeSet<usize>,
        sites: u8,
    },
    Published {
        source: usize,
        seq: u64,
    },
    Blamed {
        by: usize,
        holder: usize,
        fault: String,
    },
    /// A source presumes a holder lost, because of its silence.
    PresumedLost {
        source: usize,
        holder: usize,
    },
    /// A holder let a shard go.
    Erased {
        holder: usize,
        root: ShardRoot,
        vault: usize,
    },
    /// A holder begins to fetch a shard for a vault that it takes to be unattended.
    Fetched {
        holder: usize,
        root: ShardRoot,
        vault: usize,
    },
    /// The holder came back after a crash.
    Back {
        holder: usize,
    },
}

/// Violations kept: the first one matters.
const VIOLATIONS_MAX: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) violations: Vec<Violation>,
    /// How often each thing that should happen sometimes has happened.
    pub(crate) sometimes: BTreeMap<&'static str, u64>,
    pub(crate) commits: BTreeMap<HeadHash, Commit>,
    pub(crate) checks: Vec<Check>,
    /// Shards whose receipts arrived, by holder.
    pub(crate) receipted: BTreeMap<usize, BTreeSet<(ShardRoot, usize)>>,
    /// Numbers of heads that each holder said it has taken, by holder and source.
    pub(crate) taken: BTreeMap<(usize, usize), u64>,
    /// Heads that left their device.
    pub(crate) left: BTreeMap<(usize, u64), HeadHash>,
    /// Packs found to be at enough sites, by source.
    pub(crate) placed: BTreeMap<usize, BTreeSet<ShardRoot>>,
    /// The newest published head of each source.
    pub(crate) published: BTreeMap<usize, u64>,
    /// Devices that were set back to an old image.
    pub(crate) set_back: BTreeSet<usize>,
    /// Devices that recover, and which vault.
    pub(crate) recovering: BTreeMap<usize, usize>,
    /// Packs that published heads need, by source: promised to be there.
    pub(crate) promised: BTreeMap<usize, BTreeSet<ShardRoot>>,
    /// Since when published heads need them no more, by source.
    pub(crate) released: BTreeMap<(usize, ShardRoot), Instant>,
    /// When a source last heard of a holder.
    pub(crate) heard: BTreeMap<(usize, usize), Instant>,
    /// When a holder last heard of a device of a vault; as far as it can still know.
    pub(crate) heard_of: BTreeMap<(usize, usize), Instant>,
    /// Sources that were content with fewer copies, because others were presumed lost.
    pub(crate) lowered: BTreeSet<usize>,
    /// When a holder last found out that it has lost a shard.
    pub(crate) found_lost: BTreeMap<(usize, ShardRoot), Instant>,
    /// Packs that were called safe on fewer sites then, by source: a machine keeps to that for them.
    pub(crate) lean: BTreeMap<usize, BTreeSet<ShardRoot>>,
    /// Devices whose clock was ever wrong.
    pub(crate) clock_wrong: BTreeSet<usize>,
}

impl Model {
    pub(crate) fn saw(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    pub(crate) fn violation(&mut self, now: Instant, property: Property, text: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            let at_ms = now.0 / 1_000_000;
            self.violations.push(Violation { property, at_ms, text: text.into() });
        }
    }

    /// A head leaves its device; `honest`: it was never set back. Returns whether it is new.
    pub(crate) fn head_leaves(
        &mut self,
        now: Instant,
        source: usize,
        head: &SignedHead,
        honest: bool,
    ) -> bool {
        let seq = head.body().seq;
        let before = self.left.insert((source, seq), head.hash());
        if before.is_some_and(|before| before != head.hash()) && honest {
            let text = format!("device {source} signed number {seq} twice");
            self.violation(now, Property::Head, text);
        }
        before != Some(head.hash())
    }
}
