//! A device or a holder that keeps the log: the shell around the machines of the core, as a node is.

use std::collections::BTreeSet;

use larder_protocol::{
    head::{Claims, HEAD_VERSION, HeadBody, HeadBook, Offered, SignedHead},
    ids::{DeviceId, ShardRoot},
    index::ShardRef,
    keys::DeviceKeys,
    limits::{EPOCHS_MAX, EPOCHS_RESERVED},
    log::{Deed, DeviceLog, LogEntry, Merged, Pushed, Takings, Waiting},
    time::{Instant, Timestamp},
    wire::frame::lists_that_fit,
};
use minicbor::bytes::ByteVec;

use super::plan::Slip;
use crate::dice::Dice;

#[derive(Debug)]
pub(super) struct Home {
    pub(super) keys: DeviceKeys,
    pub(super) is_holder: bool,
    /// Lost or stolen: nobody meets it any more.
    pub(super) is_gone: bool,
    pub(super) log: DeviceLog,
    pub(super) book: HeadBook,
    pub(super) newest: Option<SignedHead>,
    /// What is durable, one file for each entry, also of those that find no parents yet.
    files: Vec<Vec<u8>>,
    pushed: Pushed,
    /// After how many files of the next taking the power goes.
    torn_after: Option<usize>,
    slip: Option<Slip>,
}

/// What became of entries.
pub(super) struct Took {
    pub(super) has_grown: bool,
    pub(super) is_torn: bool,
}

/// What carries the messages of one meeting.
pub(super) struct Line {
    /// Messages that still pass; all of them where it does not break.
    left: Option<usize>,
    /// Entries of one message.
    lot: usize,
    pub(super) now: Instant,
    pub(super) messages: u64,
}

impl Line {
    pub(super) fn new(now: Instant, lot: usize, cut: usize) -> Self {
        Self { left: (cut > 0).then_some(cut), lot, now, messages: 0 }
    }

    /// Whether one more message passes.
    fn passes(&mut self) -> bool {
        self.messages += 1;
        match &mut self.left {
            None => true,
            Some(left) => {
                *left = left.saturating_sub(1);
                *left > 0
            }
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.left == Some(0)
    }

    /// Entries in messages that fit.
    pub(super) fn lists(&self, entries: &[&[u8]]) -> Vec<Vec<ByteVec>> {
        let all: Vec<ByteVec> = entries.iter().map(|entry| entry.to_vec().into()).collect();
        let lists = lists_that_fit(&all);
        lists.iter().flat_map(|list| list.chunks(self.lot)).map(<[ByteVec]>::to_vec).collect()
    }
}

impl Home {
    pub(super) fn new(keys: DeviceKeys, log: DeviceLog, slip: Option<Slip>) -> Self {
        let mut home = Self {
            keys,
            is_holder: false,
            is_gone: false,
            log,
            book: HeadBook::default(),
            newest: None,
            files: Vec::new(),
            pushed: Pushed::default(),
            torn_after: None,
            slip,
        };
        home.wrote();
        home
    }

    /// One that keeps the log of a vault to which it does not belong.
    pub(super) fn holder(keys: DeviceKeys, log: DeviceLog, slip: Option<Slip>) -> Self {
        Self { is_holder: true, ..Self::new(keys, log, slip) }
    }

    pub(super) fn id(&self) -> DeviceId {
        self.keys.id()
    }

    pub(super) fn has(&self, slip: Slip) -> bool {
        self.slip == Some(slip)
    }

    /// Whether this home acts as a device of the vault, as far as it knows itself.
    pub(super) fn is_device(&self) -> bool {
        !self.is_holder && !self.is_gone && self.log.is_device(&self.id())
    }

    /// Whether it talks to somebody who calls.
    pub(super) fn admits(&self, other: &Self) -> bool {
        !self.is_gone && (other.is_holder || self.log.is_device(&other.id()))
    }

    /// Whether its log holds more epochs that do not count than others take along with the word of a member, as it is one
    /// (specs/device_log.md, "What is taken along").
    pub(super) fn is_beyond_a_member(&self) -> bool {
        let void =
            self.log.entries().filter_map(|bytes| LogEntry::decode(bytes).ok()).filter(|it| {
                matches!(it.deed(), Deed::BeganEpoch(_) | Deed::Removed(..))
                    && !self.log.counts(&it.hash())
            });
        !self.log.is_owner(&self.id()) && void.count() > EPOCHS_MAX - EPOCHS_RESERVED
    }

    /// Keeps what this home has just written itself.
    pub(super) fn wrote(&mut self) {
        let known: BTreeSet<&[u8]> = self.files.iter().map(Vec::as_slice).collect();
        let news = self.log.entries().filter(|entry| !known.contains(entry));
        let news: Vec<Vec<u8>> = news.map(<[u8]>::to_vec).collect();
        self.files.extend(news);
        self.book.drop_void(&self.log);
    }

    pub(super) const fn tear_after(&mut self, files: usize) {
        self.torn_after = Some(files);
    }

    /// Entries from others, made durable before they count.
    fn take(&mut self, entries: &[ByteVec], waiting: &mut Waiting, dice: &mut Dice) -> Took {
        let entries: Vec<&[u8]> = entries.iter().map(|entry| entry.as_slice()).collect();
        let Takings { log, new, .. } = if self.has(Slip::RefuseAtOnce) {
            self.merge_alone(&entries)
        } else {
            self.log.take(&entries, waiting)
        };
        let Some(log) = log else { return Took { has_grown: false, is_torn: false } };
        let kept = match self.torn_after.take() {
            Some(files) if files < new.len() => files,
            other => {
                self.torn_after = other;
                new.len()
            }
        };
        let is_torn = kept < new.len();
        if is_torn {
            // Whichever of them had reached the disk: a child may be there without its parent.
            let mut new = new;
            for end in (1..new.len()).rev() {
                new.swap(end, dice.pick(end + 1));
            }
            self.files.extend(new.into_iter().take(kept));
        } else {
            self.files.extend(new);
        }
        if is_torn {
            if self.has(Slip::KeepTorn) {
                self.log = log;
            } else {
                self.restart(dice);
            }
        } else {
            self.log = log;
        }
        self.book.drop_void(&self.log);
        Took { has_grown: true, is_torn }
    }

    fn merge_alone(&self, entries: &[&[u8]]) -> Takings {
        let (mut takings, mut log) = (Takings::default(), self.log.clone());
        for entry in entries {
            if let Ok(Merged::Added(_)) = log.merge(entry) {
                takings.new.push(entry.to_vec());
            }
        }
        takings.log = (!takings.new.is_empty()).then_some(log);
        takings
    }

    /// The power goes: what is on the disk is read, in whatever order, and what only waited is gone.
    pub(super) fn restart(&mut self, dice: &mut Dice) {
        self.pushed = Pushed::default();
        let mut left = std::mem::take(&mut self.files);
        let genesis = left.iter().position(|entry| {
            DeviceLog::begin(entry).is_ok_and(|log| log.vault() == self.log.vault())
        });
        let genesis = left.swap_remove(genesis.expect("the founding entry is durable"));
        let mut log = DeviceLog::begin(&genesis).expect("it was read before");
        for end in (1..left.len()).rev() {
            left.swap(end, dice.pick(end + 1));
        }
        let asks = self.has(Slip::AskRoomAtStart);
        loop {
            let before = left.len();
            left.retain(|entry| {
                let read = if asks { log.merge(entry) } else { log.read_back(entry) };
                read.is_err()
            });
            if left.is_empty() || left.len() == before {
                break;
            }
        }
        self.log = log;
        // What finds no parents stays where it is.
        self.files = left;
        self.wrote();
    }

    /// Asks another one for what it knows, one answer after the other.
    pub(super) fn pull(&mut self, from: &Self, line: &mut Line, dice: &mut Dice) {
        let mut waiting = Waiting::default();
        loop {
            let have = [self.log.heads(), waiting.tips()].concat();
            let before = waiting.count();
            if !line.passes() {
                return;
            }
            let Some(answer) = line.lists(&from.log.entries_beyond(&have)).into_iter().next()
            else {
                return;
            };
            let took = self.take(&answer, &mut waiting, dice);
            if took.is_torn || !waiting.is_worth_asking(took.has_grown, before) {
                return;
            }
        }
    }

    /// Tells another one what it lacks.
    pub(super) fn push(&self, to: &mut Self, line: &mut Line, dice: &mut Dice) {
        let theirs = to.log.heads();
        for list in line.lists(&self.log.entries_beyond(&theirs)) {
            if !line.passes() || to.is_pushed(line.now, self.id(), &list, dice).is_torn {
                return;
            }
        }
    }

    /// One request of entries.
    pub(super) fn is_pushed(
        &mut self,
        now: Instant,
        by: DeviceId,
        entries: &[ByteVec],
        dice: &mut Dice,
    ) -> Took {
        let of = (by, self.log.vault());
        let mut waiting = self.pushed.resume(now, of);
        let took = self.take(entries, &mut waiting, dice);
        if !took.is_torn && !self.has(Slip::ForgetWaiting) {
            self.pushed.keep(now, of, waiting);
        }
        took
    }

    /// A head under what this device knows of the log now.
    pub(super) fn makes_head(&mut self, time: Timestamp, dice: &mut Dice) {
        let last = self.newest.as_ref();
        let commit = ShardRef { root: ShardRoot::from_bytes(dice.bytes()), bytes: 1 << 20 };
        let body = HeadBody {
            version: HEAD_VERSION,
            vault: self.log.vault(),
            device: self.id(),
            seq: last.map_or(1, |head| head.body().seq + 1),
            prev: last.map(SignedHead::hash),
            log: if self.has(Slip::HeadNamesNames) {
                self.log.heads()
            } else {
                self.log.tips_beside_names()
            },
            commit,
            claims: Claims::of([commit]),
            seen: Vec::new(),
            time,
        };
        let head = SignedHead::sign(body, &self.keys).expect("a body made from a sound chain");
        self.book.offer(&self.log, head.clone());
        self.newest = Some(head);
    }

    /// Gives its newest head to another one.
    pub(super) fn gives_head(&self, to: &mut Self) -> Option<Offered> {
        let head = self.newest.clone()?;
        Some(to.book.offer(&to.log, head))
    }
}
