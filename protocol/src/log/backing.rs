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

use rand_core::CryptoRng;

use super::{
    DeviceLog, DraftError, LogEntry, LogError, Merged, NewLabel, Node, entry::Author, past::Entries,
};
use crate::{
    ids::{DeviceId, EntryHash},
    keys::DeviceKeys,
    limits::{
        LOG_BYTES_MAX, LOG_PARENTS_MAX, LOG_TIPS_MAX, LOG_TRIALS_MAX, LOG_TRIALS_OF_DEVICES_MAX,
        LOG_WAITING_ANSWERS_MAX, LOG_WAITING_MAX,
    },
    time::{Instant, Timestamp},
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
    /// Since when, where it waits from one request to the next.
    pub(super) since: Option<Instant>,
    /// Why the first of them was not taken.
    reason: Option<LogError>,
}

/// What became of entries that somebody has sent.
#[derive(Debug, Default)]
pub struct Takings {
    /// The log with them, if any was new.
    pub log: Option<DeviceLog>,
    /// What is new in it, parents first.
    pub new: Vec<Vec<u8>>,
    /// Why some could not be taken; that one is newer than this program counts most.
    pub refused: Option<LogError>,
}

impl Takings {
    fn refuse(&mut self, error: LogError) {
        if self.refused.is_none() || matches!(error, LogError::Newer { .. }) {
            self.refused = Some(error);
        }
    }
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

    /// The newest entry of each author who may back others: if one of his helps, that does.
    fn candidates(&self, log: &DeviceLog) -> Vec<EntryHash> {
        let mut newest: BTreeMap<(usize, Author), EntryHash> = BTreeMap::new();
        for hash in &self.order {
            let Some(entry) = self.entries.get(hash) else { continue };
            let author = entry.body().author;
            // The phrase first, then devices in the order in which they came to be known.
            let rank = match &author {
                Author::Recovery => Some(0),
                Author::Device(device) => {
                    log.number_of(device).map(|number| 1 + usize::from(number))
                }
            };
            if let Some(rank) = rank {
                newest.insert((rank, author), *hash);
            }
        }
        newest.into_values().collect()
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
    /// Takes entries from others, parents before children. Those for which there is no room wait until somebody builds on
    /// them who may have them taken along.
    pub fn take<B: AsRef<[u8]>>(&self, entries: &[B], waiting: &mut Waiting) -> Takings {
        let (mut takings, mut waits) = (Takings::default(), Vec::new());
        for bytes in entries {
            let (bytes, log) = (bytes.as_ref(), takings.log.as_ref().unwrap_or(self));
            match log.check(bytes) {
                Ok(Merged::Known(_)) => {}
                Ok(Merged::Added(_)) => {
                    let mut after = takings.log.take().unwrap_or_else(|| self.clone());
                    match after.merge(bytes) {
                        Ok(_) => takings.new.push(bytes.to_vec()),
                        Err(error) => takings.refuse(error),
                    }
                    takings.log = Some(after);
                }
                Err(reason @ (LogError::Full | LogError::UnknownParent { .. })) => {
                    match log.wait(bytes, reason, waiting) {
                        Ok(hash) => waits.push(hash),
                        Err(error) => takings.refuse(error),
                    }
                }
                Err(error) => takings.refuse(error),
            }
        }
        while let Some((log, new)) = takings.log.as_ref().unwrap_or(self).with_backed(waiting) {
            takings.new.extend(new);
            takings.log = Some(log);
        }
        let log = takings.log.as_ref().unwrap_or(self);
        if waits.iter().any(|hash| !log.contains(hash)) {
            takings.refuse(waiting.reason().unwrap_or(LogError::Full));
        }
        takings
    }

    /// Builds on what does not count and others may have no room for, before a head names it: what this device writes has it
    /// taken along. It says its own name once more, which uses up nothing that anything else needs, and half of its names at the
    /// most. `None` where there is nothing of that, or no name is left for it (LOG-34). Returns the entry's bytes, to be made durable and sent on.
    ///
    /// # Errors
    /// [`DraftError`], as of a rename; the log is then unchanged.
    pub fn tie_up(
        &mut self,
        own: &DeviceKeys,
        time: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Vec<u8>>, DraftError> {
        let id = own.id();
        if !self.is_device(&id) || self.loose_ends() == 0 || !self.has_names_to_spare(&id) {
            return Ok(None);
        }
        // One whose name cannot be read has none to say again.
        let Some(label) = self.label(&id, &self.epoch_keys(own)?) else { return Ok(None) };
        let mut after = self.clone();
        let entry = after.rename(own, &NewLabel { device: id, label, time }, rng)?;
        // Where a thief has written so much that it builds on less than there is, a name is not spent in vain.
        if after.loose_ends() >= self.loose_ends() {
            return Ok(None);
        }
        *self = after;
        Ok(Some(entry))
    }

    /// How many entries do not count, are more than a name, and are no ancestor of one that counts.
    fn loose_ends(&self) -> usize {
        let mut tied = Entries::default();
        let nodes = self.order.iter().rev().filter_map(|hash| self.entries.get(hash));
        let is_loose = |node: &&Node| {
            let counts = self.judgement.counts(node.place);
            if counts {
                tied.join(&node.past.entries);
            }
            !counts && !node.is_name() && !tied.contains(node.place)
        };
        nodes.filter(is_loose).count()
    }

    /// Lets an entry wait that was not taken for this reason.
    fn wait(
        &self,
        bytes: &[u8],
        reason: LogError,
        waiting: &mut Waiting,
    ) -> Result<EntryHash, LogError> {
        let entry = LogEntry::decode(bytes)?;
        // Whoever signs nothing must not take the place of what is signed.
        entry.verify(&self.recovery)?;
        if !waiting.is_plausible(&entry.body().author, self) {
            return Err(LogError::Stranger);
        }
        let hash = entry.hash();
        waiting.keep(entry, reason);
        Ok(hash)
    }

    /// This log with the first of those that wait which may have others taken along, with these, and with what fits then.
    fn with_backed(&self, waiting: &mut Waiting) -> Option<(Self, Vec<Vec<u8>>)> {
        for hash in waiting.candidates(self) {
            let Some((author, mut new)) = self.backed_by(&hash, waiting) else { continue };
            let mut after = self.clone();
            let is_taken = new.iter().all(|entry| after.read_back(entry).is_ok());
            if !is_taken || !after.has_room_since(self, &author) {
                *waiting.trials.entry(author).or_default() += 1;
                continue;
            }
            waiting.release(&after);
            // What others have written on the same.
            for hash in waiting.order.clone() {
                let bytes = waiting.entries.get(&hash).map(|entry| entry.bytes().to_vec());
                new.extend(bytes.filter(|bytes| after.merge(bytes).is_ok()));
            }
            waiting.release(&after);
            return Some((after, new));
        }
        None
    }

    /// The author of an entry that waits, and it with what it would have taken along, parents first. `None` when that is nothing,
    /// when not all that is missing is there, or too much by its author was tried in vain.
    fn backed_by(&self, hash: &EntryHash, waiting: &Waiting) -> Option<(Author, Vec<Vec<u8>>)> {
        let author = waiting.entries.get(hash)?.body().author;
        if !waiting.may_try(&author) {
            return None;
        }
        let (mut group, mut open) = (BTreeSet::new(), vec![*hash]);
        while let Some(hash) = open.pop() {
            if !self.contains(&hash) && group.insert(hash) {
                open.extend(&waiting.entries.get(&hash)?.body().parents);
            }
        }
        // By itself it has been refused.
        if group.len() < 2 {
            return None;
        }
        let group = waiting.order.iter().filter(|hash| group.contains(*hash));
        let bytes = group.filter_map(|hash| waiting.entries.get(hash)).map(LogEntry::bytes);
        Some((author, bytes.map(<[u8]>::to_vec).collect()))
    }
}
