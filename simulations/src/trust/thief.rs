//! Whoever has a stolen device: its keys, those of accomplices whom he makes up, and several logs beside each
//! other. He says what he wants to whom he wants; what he cannot do is sign for others.

use larder_protocol::{
    ids::DeviceId,
    keys::DeviceKeys,
    log::{DeviceLog, LastHead, Leaver, LogEntry, NewLabel, Newcomer, Reason, Role},
    time::Timestamp,
};

use super::{label, plan::COPIES};
use crate::dice::Dice;

/// Accomplices: what the phrase has to throw out one after the other is bounded as well.
const ACCOMPLICES_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Thief {
    /// The stolen one first.
    keys: Vec<DeviceKeys>,
    copies: Vec<DeviceLog>,
}

impl Thief {
    pub(super) fn new(stolen: DeviceKeys, log: &DeviceLog) -> Self {
        Self { keys: vec![stolen], copies: vec![log.clone(); COPIES] }
    }

    pub(super) fn stolen(&self) -> DeviceId {
        self.keys[0].id()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &DeviceKeys> {
        self.keys.iter()
    }

    pub(super) fn owns(&self, device: &DeviceId) -> bool {
        self.keys.iter().any(|keys| keys.id() == *device)
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = &DeviceLog> {
        self.copies.iter()
    }

    pub(super) fn copy(&self, copy: usize) -> &DeviceLog {
        &self.copies[copy % COPIES]
    }

    /// One of his devices that lives in a copy.
    fn author(&self, copy: usize, by: usize) -> Option<DeviceKeys> {
        let log = self.copy(copy);
        let living: Vec<_> = self.keys().filter(|keys| log.is_device(&keys.id())).collect();
        (!living.is_empty()).then(|| living[by % living.len()].clone())
    }

    /// Who of his may call somebody who has this log.
    pub(super) fn caller(&self, there: &DeviceLog, dice: &mut Dice) -> Option<DeviceId> {
        let ids = self.keys().map(DeviceKeys::id);
        let living: Vec<DeviceId> = ids.filter(|id| there.is_device(id)).collect();
        (!living.is_empty()).then(|| dice.one(&living))
    }

    pub(super) fn learn(&mut self, copy: usize, from: &DeviceLog) {
        let log = &mut self.copies[copy % COPIES];
        for entry in from.entries() {
            // He has room for everything that he wants to have.
            let _refused = log.read_back(entry);
        }
    }

    pub(super) fn branch(&mut self, copy: usize, percent: usize) {
        let log = &mut self.copies[copy % COPIES];
        let keep = (log.len() * percent / 100).max(1);
        // In the order of arrival each finds its parents.
        *log = DeviceLog::from_entries(log.entries().take(keep)).expect("it was read before");
    }

    /// Takes in an accomplice; whether that worked.
    pub(super) fn plant(
        &mut self,
        (copy, by): (usize, usize),
        role: Role,
        (time, dice): (Timestamp, &mut Dice),
    ) -> bool {
        let Some(author) = self.author(copy, by) else { return false };
        let known = self.keys().find(|keys| !self.copy(copy).knows(&keys.id())).cloned();
        let new = match known {
            // One who stands in another copy already.
            Some(keys) if dice.chance(50) => keys,
            _ if self.keys.len() > ACCOMPLICES_MAX => return false,
            _ => DeviceKeys::from_seeds(dice.bytes(), dice.bytes()),
        };
        let device = new.public();
        let newcomer = Newcomer { device, label: label("accomplice"), role, time };
        let log = &mut self.copies[copy % COPIES];
        let Ok(draft) = log.draft_add(&author, &newcomer, dice.source()) else { return false };
        let Ok(consent) = draft.consent(log, &new, (&newcomer.label, role)) else { return false };
        let is_in = log.append_add(&draft, consent, &author).is_ok();
        if is_in && !self.owns(&new.id()) {
            self.keys.push(new);
        }
        is_in
    }

    /// Throws somebody out, and says that he never backed anything up; whether that worked.
    pub(super) fn evict(
        &mut self,
        (copy, by): (usize, usize),
        (device, last): (DeviceId, Option<LastHead>),
        (time, dice): (Timestamp, &mut Dice),
    ) -> bool {
        let Some(author) = self.author(copy, by) else { return false };
        let undo_removals = dice.chance(50);
        let leaver = Leaver { device, reason: Reason::Stolen, last, undo_removals, time };
        self.copies[copy % COPIES].remove(&author, &leaver, dice.source()).is_ok()
    }

    pub(super) fn begin(
        &mut self,
        (copy, by): (usize, usize),
        count: usize,
        (time, dice): (Timestamp, &mut Dice),
    ) -> usize {
        let Some(author) = self.author(copy, by) else { return 0 };
        let log = &mut self.copies[copy % COPIES];
        (0..count).take_while(|_| log.rotate(&author, time, dice.source()).is_ok()).count()
    }

    pub(super) fn name(
        &mut self,
        (copy, by): (usize, usize),
        (device, count): (DeviceId, usize),
        (time, dice): (Timestamp, &mut Dice),
    ) -> usize {
        let Some(author) = self.author(copy, by) else { return 0 };
        let log = &mut self.copies[copy % COPIES];
        let new = NewLabel { device, label: label("thief"), time };
        (0..count).take_while(|_| log.rename(&author, &new, dice.source()).is_ok()).count()
    }

    /// Names by his devices in turn, beside each other: of three times as many those with the smallest hashes.
    pub(super) fn crowd(
        &mut self,
        copy: usize,
        count: usize,
        (time, dice): (Timestamp, &mut Dice),
    ) -> usize {
        let authors: Vec<DeviceKeys> =
            (0..self.keys.len()).filter_map(|by| self.author(copy, by)).collect();
        let log = &mut self.copies[copy % COPIES];
        let named = authors.iter().cycle().take(3 * count).filter_map(|author| {
            let new = NewLabel { device: author.id(), label: label("thief"), time };
            let bytes = log.clone().rename(author, &new, dice.source()).ok()?;
            Some((LogEntry::decode(&bytes).ok()?.hash(), bytes))
        });
        let mut names: Vec<_> = named.collect();
        names.sort_unstable();
        names.truncate(count);
        names.into_iter().filter(|(_, name)| log.merge(name).is_ok()).count()
    }
}
