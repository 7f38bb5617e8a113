//! Leaving: how two vaults of a circle go apart without either losing anything.
//!
//! Each device says in one signed record how it stands to another vault: whether its user wants to leave
//! that one, and whether it has need of what is kept for it there. From all of these follows what each
//! device does; nobody orders anybody to delete.
//! ```text
//! wish of one vault ─▶ apart ─▶ each device of both places elsewhere what the other side keeps
//!                                  │ covered, or given up by its user
//!                                  ▼
//!                               waives ─▶ all devices of a vault waive ─▶ the other side waits, drops
//!                                                                               │
//!                               both waive, nothing kept, said to somebody there ▼ forgets the other vault
//! ```
//! **Invariant:** nothing is dropped for a vault while one of its living devices has not waived it for the
//! wish that stands, but by the word of the person whose disk it is; and no record that anybody signs makes
//! the wait before it shorter (LEAVE-2, LEAVE-3). Source: specs/leaving.md.

use std::collections::BTreeMap;

use crate::{
    ids::{DeviceId, VaultId},
    limits::{DEVICES_MAX, LEAVING_OTHERS_MAX, LEAVING_TELL_MS, LEAVING_WORDS_MAX},
    log::DeviceLog,
    order::Backoff,
};

mod days;
mod deeds;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
mod word;

pub use days::{DaysSeen, NoDays};
pub use deeds::{Cover, Deed, Facts, Say, deeds};
pub use word::{LeavingWord, VERSION, Wish, WordBody, WordError};

/// Two vaults: the one that is looked at, and the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Of whose devices.
    pub vault: VaultId,
    /// The vault to which they stand so.
    pub other: VaultId,
}

impl Pair {
    /// The one that is not `own`.
    pub fn other_than(self, own: VaultId) -> VaultId {
        if self.vault == own { self.other } else { self.vault }
    }

    /// The same seen from the other side.
    #[must_use]
    pub const fn turned(self) -> Self {
        Self { vault: self.other, other: self.vault }
    }
}

/// All words that a node knows: of each device the newest about each vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    of: BTreeMap<(Pair, DeviceId), LeavingWord>,
}

impl Words {
    /// Takes a word if it is newer than the one that is here. True if it was taken. What a device and a vault
    /// may fill is bounded: nobody drives out what others have said.
    pub fn offer(&mut self, word: LeavingWord) -> bool {
        if !self.has_place_for(&word) {
            return false;
        }
        self.say(word);
        true
    }

    /// Takes a word of this very device, for which there always is a place.
    pub fn say(&mut self, word: LeavingWord) {
        let body = word.body();
        self.of.insert((body.pair(), body.device), word);
    }

    /// Whether a word is newer than what is here, and there is a place for it.
    pub fn has_place_for(&self, word: &LeavingWord) -> bool {
        let body = word.body();
        if let Some(known) = self.of(body.pair(), &body.device) {
            return known.body().number < body.number;
        }
        let count = |test: &dyn Fn(&(Pair, DeviceId)) -> bool| {
            self.of.keys().filter(|key| test(key)).count()
        };
        self.of.len() < LEAVING_WORDS_MAX
            && count(&|(_, device)| *device == body.device) < LEAVING_OTHERS_MAX
            && count(&|(pair, _)| *pair == body.pair()) < DEVICES_MAX
    }

    /// The word of a device about a vault.
    pub fn of(&self, pair: Pair, device: &DeviceId) -> Option<&LeavingWord> {
        self.of.get(&(pair, *device))
    }

    /// Everything said between two vaults, by either side.
    pub fn between(&self, pair: Pair) -> impl Iterator<Item = &LeavingWord> {
        let of = |pair: Pair| self.of.iter().filter(move |((of, _), _)| *of == pair);
        of(pair).chain(of(pair.turned())).map(|(_, word)| word)
    }

    /// Everything said to or by the devices of one vault.
    pub fn about(&self, vault: &VaultId) -> impl Iterator<Item = &LeavingWord> {
        let concerns = |pair: &Pair| pair.vault == *vault || pair.other == *vault;
        self.of.iter().filter(move |((pair, _), _)| concerns(pair)).map(|(_, word)| word)
    }

    /// Vaults of which one has left `vault`, or the other way round, or once wanted to.
    pub fn others_of(&self, vault: &VaultId) -> std::collections::BTreeSet<VaultId> {
        let other = |word: &LeavingWord| word.body().pair().other_than(*vault);
        self.about(vault).map(other).collect()
    }

    /// What a device of `of` may be told by one of `own`, and is believed about: everything that concerns the
    /// vault of both, or what stands between the two.
    pub fn for_device_of(&self, own: VaultId, of: VaultId) -> Vec<&LeavingWord> {
        if own == of {
            return self.about(&own).collect();
        }
        self.between(Pair { vault: own, other: of }).collect()
    }

    /// Stands for all of that in a greeting: equal where both know the same, 0 where there is nothing.
    pub fn tag(&self, own: VaultId, of: VaultId) -> u64 {
        let words = self.for_device_of(own, of);
        if words.is_empty() {
            return 0;
        }
        let mut numbers: Vec<(Pair, DeviceId, u64)> = words
            .into_iter()
            .map(|word| (word.body().pair(), word.body().device, word.body().number))
            .collect();
        numbers.sort_unstable();
        let mut hasher = blake3::Hasher::new_derive_key("larder 2026 leaving tag v1");
        for (pair, device, number) in numbers {
            hasher.update(pair.vault.as_bytes());
            hasher.update(pair.other.as_bytes());
            hasher.update(device.as_bytes());
            hasher.update(&number.to_le_bytes());
        }
        let hash = hasher.finalize();
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first).max(1)
    }

    /// Forgets what devices have said that do not belong to the vault any more, as its log says; gives it.
    pub fn forget_strangers(&mut self, log: &DeviceLog) -> Vec<(Pair, DeviceId)> {
        let vault = log.vault();
        self.forget(|(pair, device)| pair.vault == vault && !log.is_device(device))
    }

    /// Forgets what the devices of one vault have said of another; gives it. They say it again.
    pub fn forget_side(&mut self, side: Pair) -> Vec<(Pair, DeviceId)> {
        self.forget(|(pair, _)| *pair == side)
    }

    fn forget(
        &mut self,
        is_forgotten: impl Fn(&(Pair, DeviceId)) -> bool,
    ) -> Vec<(Pair, DeviceId)> {
        let forgotten: Vec<_> = self.of.keys().filter(|key| is_forgotten(key)).copied().collect();
        for key in &forgotten {
            self.of.remove(key);
        }
        forgotten
    }

    /// Devices that have said something of a vault.
    pub fn speakers(&self, side: Pair) -> impl Iterator<Item = DeviceId> {
        self.of.keys().filter(move |(pair, _)| *pair == side).map(|(_, device)| *device)
    }

    /// Whether a word tells of a wish that is newer than all between the two that are known, to leave or to stay.
    pub fn is_wish_new(&self, word: &LeavingWord) -> bool {
        let known = self.highest_wish(word.body().pair());
        word.body().wish.is_some_and(|wish| wish.number > known)
    }

    /// The highest number of a wish that anybody has expressed between the two.
    pub fn highest_wish(&self, pair: Pair) -> u64 {
        let wishes = self.between(pair).filter_map(|word| word.body().wish);
        wishes.map(|wish| wish.number).max().unwrap_or(0)
    }

    /// How one side of a pair stands, by the words of those who live in its log.
    pub fn side(&self, pair: Pair, living: impl Iterator<Item = DeviceId>) -> Side {
        let mut side = Side::default();
        for device in living {
            let body = self.of(pair, &device).map(LeavingWord::body);
            side.wishes.extend(body.and_then(|body| body.wish));
            side.waives.insert(device, body.and_then(|body| body.waives));
        }
        side
    }
}

/// How the devices of one vault stand to another one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// What their users said, each device's last.
    pub wishes: Vec<Wish>,
    /// Each device that lives, and the wish for which it has waived what is kept for it.
    pub waives: BTreeMap<DeviceId, Option<u64>>,
}

impl Side {
    /// Number of the wish to leave that stands: the first after the newest wish to stay. Whoever says the same
    /// once more, not having heard of it, makes nobody waive anew.
    pub fn leaves(&self) -> Option<u64> {
        let stayed = self.newest_stay();
        let stand = self.wishes.iter().filter(|wish| wish.leaves && wish.number > stayed);
        stand.map(|wish| wish.number).min()
    }

    fn newest_stay(&self) -> u64 {
        self.wishes.iter().map(Wish::newest_stay).max().unwrap_or(0)
    }

    /// What is to be said for a user who wishes this; nothing if it is what they wish already.
    pub fn next_wish(&self, leaves: bool, number: u64) -> Option<Wish> {
        let is_news = self.leaves().is_some() != leaves;
        is_news.then(|| Wish { number, leaves, stayed: self.newest_stay() })
    }

    /// Devices that have not waived for a wish of this number.
    pub fn unwaived(&self, since: u64) -> impl Iterator<Item = DeviceId> {
        let has_not =
            move |(_, waives): &(&DeviceId, &Option<u64>)| waives.is_none_or(|it| it < since);
        self.waives.iter().filter(has_not).map(|(device, _)| *device)
    }

    /// Whether every living device has. A vault without any has not: its log says nothing yet.
    pub fn has_waived(&self, since: u64) -> bool {
        !self.waives.is_empty() && self.unwaived(since).next().is_none()
    }
}

/// After an attempt in which somebody was not reached.
const AGAIN: Backoff = Backoff { first_ms: 5_000, most_ms: LEAVING_TELL_MS };

/// How long after an attempt to tell everybody the next one is due: after one that failed soon, and then less and
/// less often.
pub fn tell_again_ms(failures: u32, own: &DeviceId) -> u64 {
    if failures == 0 { LEAVING_TELL_MS } else { AGAIN.wait_ms(failures, own) }
}

/// Since which wish two vaults are apart; `None` while they are together. Of two wishes that stand the
/// earlier: what was waived for it stays waived when the other side wishes the same.
pub fn apart_since(ours: &Side, theirs: &Side) -> Option<u64> {
    [ours.leaves(), theirs.leaves()].into_iter().flatten().min()
}
