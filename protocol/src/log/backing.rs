//! What is taken along with what builds on it.
//!
//! How much one device may write by itself is counted in the order of arrival, so a thief could send to each half of the
//! holders as much of his own as it takes, and have each half refuse the other's, with whatever an honest device
//! wrote on top. So it is not his share that is asked there, but who builds on it:
//! ```text
//! thief: 1 … 64 ◄── removal by an owner     taken here, where other 64 of his have arrived before
//! ```
//! Source: specs/device_log.md, "What is taken along".

use std::collections::{BTreeMap, BTreeSet};

use super::{DeviceLog, LogEntry, LogError, Merged, entry::Author};
use crate::{
    ids::{DeviceId, EntryHash},
    limits::{
        LOG_BYTES_MAX, LOG_PARENTS_MAX, LOG_TIPS_MAX, LOG_TRIALS_MAX, LOG_TRIALS_OF_DEVICES_MAX,
        LOG_WAITING_ANSWERS_MAX, LOG_WAITING_MAX,
    },
};

/// As who somebody writes, by the ancestors of what he writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Phrase,
    Owner,
    Member,
}

/// Entries for which there was no room, and those that build on them: the next one may back them. Of one
/// exchange, and forgotten with it.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// In the order of arrival.
    order: Vec<EntryHash>,
    entries: BTreeMap<EntryHash, LogEntry>,
    built_on: BTreeSet<EntryHash>,
    bytes: usize,
    /// Whom those that wait would take in.
    newcomers: BTreeSet<DeviceId>,
    trials: BTreeMap<Author, usize>,
    /// Answers since something was taken.
    answers: usize,
    /// Why the first of them was not taken.
    reason: Option<LogError>,
}

/// A log that has taken an entry with what it backs.
#[derive(Debug)]
pub struct Backed {
    /// The log.
    pub log: DeviceLog,
    /// What is new in it, parents first.
    pub new: Vec<Vec<u8>>,
}

impl Waiting {
    /// Why those are waiting that still do.
    pub fn reason(&self) -> Option<LogError> {
        self.reason.filter(|_| !self.order.is_empty())
    }

    /// How many wait.
    pub const fn count(&self) -> usize {
        self.order.len()
    }

    /// Those of them on which no other builds that waits, the newest first: whoever is told of these does not send
    /// them again.
    pub fn tips(&self) -> Vec<EntryHash> {
        let tips = self.order.iter().rev().filter(|hash| !self.built_on.contains(*hash));
        tips.copied().take(LOG_TIPS_MAX - LOG_PARENTS_MAX).collect()
    }

    /// Whether to ask on after an answer that has made the log grow or not, and before which so many waited: it may be
    /// the next one that has what backs them.
    pub fn is_worth_asking(&mut self, has_grown: bool, before: usize) -> bool {
        self.answers = if has_grown { 0 } else { self.answers + 1 };
        has_grown || (self.count() > before && self.answers < LOG_WAITING_ANSWERS_MAX)
    }

    fn keep(&mut self, entry: LogEntry, reason: LogError) {
        let (hash, bytes) = (entry.hash(), entry.bytes().len());
        self.reason.get_or_insert(reason);
        let has_room = self.bytes + bytes <= LOG_BYTES_MAX && self.order.len() < LOG_WAITING_MAX;
        if has_room && !self.entries.contains_key(&hash) {
            self.bytes += bytes;
            self.order.push(hash);
            self.built_on.extend(&entry.body().parents);
            self.newcomers.extend(entry.body().act.taken_in().map(|(device, _)| device.id));
            self.entries.insert(hash, entry);
        }
    }

    fn release(&mut self, log: &DeviceLog) {
        self.order.retain(|hash| !log.contains(hash));
        let released = self.entries.extract_if(.., |hash, _| log.contains(hash));
        self.bytes -= released.map(|(_, entry)| entry.bytes().len()).sum::<usize>();
        self.reason = self.reason();
    }

    /// Whether one more of this author may be tried: what was tried in vain is counted.
    fn may_try(&self, author: &Author) -> bool {
        let of = |author: &Author| self.trials.get(author).copied().unwrap_or_default();
        let of_phrase = of(&Author::Recovery);
        let all: usize = self.trials.values().sum();
        let is_one_of_many =
            *author != Author::Recovery && all - of_phrase >= LOG_TRIALS_OF_DEVICES_MAX;
        of(author) < LOG_TRIALS_MAX && !is_one_of_many
    }

    /// Whether something of this author can come to be taken.
    fn is_plausible(&self, author: &Author, log: &DeviceLog) -> bool {
        match author {
            Author::Recovery => true,
            Author::Device(device) => log.knows(device) || self.newcomers.contains(device),
        }
    }
}

impl DeviceLog {
    /// Takes one more entry as [`merge`](Self::merge) does; one for which there is no room waits until somebody builds on
    /// it who may have it taken along. Parents come before children. Returns what is new, parents first.
    ///
    /// # Errors
    /// [`LogError`] of an entry that nothing makes valid.
    pub fn take(&mut self, bytes: &[u8], waiting: &mut Waiting) -> Result<Vec<Vec<u8>>, LogError> {
        match self.merge(bytes) {
            Ok(Merged::Added(_)) => Ok(vec![bytes.to_vec()]),
            Ok(Merged::Known(_)) => Ok(Vec::new()),
            Err(reason @ (LogError::Full | LogError::UnknownParent { .. })) => {
                let Some(backed) = self.with_backed(bytes, reason, waiting)? else {
                    return Ok(Vec::new());
                };
                *self = backed.log;
                Ok(backed.new)
            }
            Err(error) => Err(error),
        }
    }

    /// What becomes of this log by an entry that was not taken for this reason, with what it has taken along. `None` where
    /// nothing does; it waits then.
    ///
    /// # Errors
    /// [`LogError`] of an entry that is no entry.
    pub fn with_backed(
        &self,
        bytes: &[u8],
        reason: LogError,
        waiting: &mut Waiting,
    ) -> Result<Option<Backed>, LogError> {
        let entry = LogEntry::decode(bytes)?;
        // Whoever signs nothing must not take the place of what is signed.
        entry.verify(&self.recovery)?;
        let author = entry.body().author;
        if !waiting.is_plausible(&author, self) {
            return Err(LogError::Stranger);
        }
        let backed = self.backed_by(&entry, waiting);
        waiting.keep(entry, reason);
        let Some(mut new) = backed else { return Ok(None) };
        new.push(bytes.to_vec());
        let mut after = self.clone();
        let is_taken = new.iter().all(|entry| after.read_back(entry).is_ok());
        if !is_taken || !after.has_room_since(self, &author) {
            *waiting.trials.entry(author).or_default() += 1;
            return Ok(None);
        }
        waiting.release(&after);
        // What others have written on the same.
        for hash in waiting.order.clone() {
            let bytes = waiting.entries.get(&hash).map(|entry| entry.bytes().to_vec());
            new.extend(bytes.filter(|bytes| after.merge(bytes).is_ok()));
        }
        waiting.release(&after);
        Ok(Some(Backed { log: after, new }))
    }

    /// What an entry would have taken along of those that wait, parents first. `None` when that is nothing, when not all that
    /// is missing is there, or when its author is nobody who may.
    fn backed_by(&self, entry: &LogEntry, waiting: &Waiting) -> Option<Vec<Vec<u8>>> {
        let author = entry.body().author;
        let may_back = match &author {
            Author::Recovery => true,
            Author::Device(device) => self.knows(device),
        };
        if !may_back || !waiting.may_try(&author) {
            return None;
        }
        let mut missing = BTreeSet::new();
        let mut open = entry.body().parents.clone();
        while let Some(hash) = open.pop() {
            if self.contains(&hash) || missing.contains(&hash) {
                continue;
            }
            open.extend(&waiting.entries.get(&hash)?.body().parents);
            missing.insert(hash);
        }
        if missing.is_empty() {
            return None;
        }
        let missing = waiting.order.iter().filter(|hash| missing.contains(*hash));
        let bytes = missing.filter_map(|hash| waiting.entries.get(hash)).map(LogEntry::bytes);
        Some(bytes.map(<[u8]>::to_vec).collect())
    }
}
