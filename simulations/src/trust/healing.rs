//! The end of a run: people find out, and throw out whom they do not know. Then all have to see the same.
//!
//! By an owner's device that is older than the stolen one, or by the phrase where there is none, or where a holder
//! believes the thief that it was removed (specs/device_log.md, "Older is depth, not time").

use std::collections::BTreeSet;

use larder_protocol::{head::Offered, ids::DeviceId, log::DeviceLog};

use super::{
    home::{Home, Line},
    plan::AT_S_MAX,
    thief::Thief,
    world::{HOMES_MAX, USUAL_LOT, World, view},
};
use crate::{dice::Dice, model::Property};

/// How often people look again whether somebody is there whom they do not know.
const ROUNDS_MAX: usize = 10;
/// Rounds in which the thief still goes on.
const ROUNDS_OF_THIEF: usize = 2;
/// Seconds between two rounds: what waited is forgotten.
const ROUND_S: u64 = 600;

/// Who throws out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The device of this home.
    Owner(usize),
    /// The phrase, said at this home.
    Phrase(usize),
}

impl Way {
    const fn at(self) -> usize {
        match self {
            Self::Owner(at) | Self::Phrase(at) => at,
        }
    }
}

impl World {
    pub(super) fn heal(&mut self) {
        // At a time of its own, whatever turns there were.
        self.at_s = AT_S_MAX;
        let owner = self.older_owner();
        let is_healed = owner.is_some_and(|at| self.is_healed_by_owner(at));
        if !is_healed && self.violation.is_none() {
            // A home that is still there, or a new device that the phrase has just made.
            let at = self.homes.iter().position(|home| !home.is_gone).expect("a holder is");
            if !self.heals(Way::Phrase(at)) {
                let text = "those who keep the log never come to see the same".to_owned();
                self.broke(Property::Agreed, text);
                return;
            }
            self.saw("healed by the phrase");
        }
        // Everybody starts anew.
        for home in 0..self.homes.len() {
            let mut dice = Dice::new(self.seed, self.at_s, "trust start");
            self.restart(home, &mut dice);
        }
        if self.violation.is_none() {
            self.check_members();
        }
        if self.violation.is_none() {
            self.check_backups();
        }
    }

    /// Whether the device of this home was enough. If not, somebody believes the thief that it was removed, and talks to it no more.
    fn is_healed_by_owner(&mut self, at: usize) -> bool {
        if self.heals(Way::Owner(at)) {
            if self.thief.is_some() {
                self.saw("healed by an older device");
            }
            return true;
        }
        let id = self.homes[at].id();
        let there = self.homes.iter().filter(|home| !home.is_gone);
        let is_cut_off = there.clone().any(|home| !home.log.is_device(&id));
        if is_cut_off {
            self.saw("older device cut off");
        } else {
            self.broke(Property::Agreed, format!("home {at} does not get rid of a younger thief"));
        }
        false
    }

    /// An owner's device that is older than the stolen one, or any where none was stolen.
    fn older_owner(&self) -> Option<usize> {
        let stolen = self.thief.as_ref().map(Thief::stolen);
        let is_older = |home: &Home| {
            let Some(stolen) = stolen else { return true };
            let entries = self.family.entry_of(&stolen).zip(self.family.entry_of(&home.id()));
            entries.is_some_and(|(of_stolen, own)| is_ancestor(&home.log, &own, &of_stolen))
        };
        self.homes.iter().position(|home| {
            let is_sure = !self.family.is_doubtful(&home.id());
            !home.is_gone
                && !home.is_holder
                && home.log.is_owner(&home.id())
                && is_sure
                && is_older(home)
        })
    }

    /// Throws out whoever is none of the family, until all see the same; whether they came to.
    fn heals(&mut self, way: Way) -> bool {
        for round in 0..ROUNDS_MAX {
            let mut dice = Dice::new(self.seed, self.at_s, "trust healing");
            if round < ROUNDS_OF_THIEF {
                self.thief_goes_on(&mut dice);
            }
            self.hears_all(way, &mut dice);
            if !self.throws_strangers_out(way, &mut dice) {
                return false;
            }
            self.tells_all(way, &mut dice);
            self.all_meet();
            self.note(&format!("healing by {way:?}"));
            self.at_s += ROUND_S;
            if self.violation.is_some() {
                return false;
            }
            if round >= ROUNDS_OF_THIEF && self.is_agreed() {
                return true;
            }
        }
        false
    }

    /// Throws out, in whatever order there is room for, all whom nobody knows; whether that could be tried.
    fn throws_strangers_out(&mut self, way: Way, dice: &mut Dice) -> bool {
        for _ in 0..HOMES_MAX {
            let strangers = self.strangers(&self.homes[way.at()].log);
            let (mut is_any_out, mut refused) = (strangers.is_empty(), None);
            for device in strangers {
                let by = matches!(way, Way::Owner(_)).then_some(way.at());
                match self.throws_out((by, way.at()), (device, true), dice) {
                    Ok(()) => is_any_out = true,
                    Err(error) => {
                        let text = format!("{way:?} cannot throw {} out: {error}", device.short());
                        self.note(&text);
                        refused = Some(text);
                    }
                }
            }
            match refused {
                None => return true,
                Some(text) if !is_any_out => {
                    self.broke(Property::Refused, text);
                    return false;
                }
                // There may be room now, or he is gone with somebody else.
                Some(_) => {}
            }
        }
        false
    }

    /// He does not know yet, or goes on all the same.
    fn thief_goes_on(&mut self, dice: &mut Dice) {
        let Some(thief) = self.thief.take() else { return };
        for _ in 0..3 {
            let (copy, to) = (dice.pick(4), dice.pick(self.homes.len()));
            self.shows(&thief, (copy, to), (dice.one(&[7, 1_000]), 0), dice);
        }
        self.thief = Some(thief);
    }

    /// Whoever throws out asks all the others first.
    fn hears_all(&mut self, way: Way, dice: &mut Dice) {
        for from in 0..self.homes.len() {
            let mut line = self.line();
            let admits = |here: &Home, there: &Home| way.is_admitted(here, there);
            let pair = self.homes.get_disjoint_mut([way.at(), from]);
            if let Ok([here, there]) = pair
                && admits(here, there)
            {
                here.pull(there, &mut line, dice);
            }
        }
    }

    /// And tells them. The phrase is admitted everywhere.
    fn tells_all(&mut self, way: Way, dice: &mut Dice) {
        for to in 0..self.homes.len() {
            let mut line = self.line();
            let pair = self.homes.get_disjoint_mut([way.at(), to]);
            if let Ok([here, there]) = pair
                && way.is_admitted(here, there)
            {
                here.push(there, &mut line, dice);
            }
        }
    }

    fn line(&self) -> Line {
        Line::new(larder_protocol::time::Instant(0).after_ms(self.at_s * 1_000), USUAL_LOT, 0)
    }

    /// Those who live in a log and are none of the family.
    fn strangers(&self, log: &DeviceLog) -> Vec<DeviceId> {
        let stolen = self.thief.as_ref().map(Thief::stolen);
        let is_stranger = |id: &DeviceId| !self.family.has(id) || stolen == Some(*id);
        let devices = log.devices().map(|device| device.public.id);
        devices.filter(is_stranger).collect()
    }

    /// Whether all who are there see the same, and nobody a stranger.
    fn is_agreed(&mut self) -> bool {
        let there = self.homes.iter().filter(|home| !home.is_gone);
        // Who was thrown out by his own family is told no more, and may not know it.
        let lives = |id: &DeviceId| there.clone().all(|home| home.log.is_device(id));
        let counts = |home: &&Home| home.is_holder || self.owes(&home.id()) || lives(&home.id());
        let there: Vec<&Home> = there.clone().filter(counts).collect();
        // One who sees the same opens the same.
        let keys = there.first().map(|home| home.log.epoch_keys(&self.recovery));
        let keys = keys.and_then(Result::ok).unwrap_or_default();
        let views: BTreeSet<String> = there.iter().map(|home| view(&home.log, &keys)).collect();
        let are_alone = there.iter().all(|home| self.strangers(&home.log).is_empty());
        if views.len() > 1 {
            let text = views.iter().map(String::as_str).collect::<Vec<_>>().join("\n  ");
            self.note(&format!("seen differently:\n  {text}\n "));
        }
        are_alone && views.len() == 1
    }

    /// Whether somebody belongs to the family without doubt.
    fn owes(&self, device: &DeviceId) -> bool {
        self.family.living().any(|id| id == *device)
    }

    /// All who belong to the family live, and nobody else.
    fn check_members(&mut self) {
        let there = self.homes.iter().enumerate().filter(|(_, home)| !home.is_gone);
        let there: Vec<usize> = there.map(|(number, _)| number).collect();
        let stolen = self.thief.as_ref().map(Thief::stolen);
        for at in there {
            let log = &self.homes[at].log;
            if !self.homes[at].is_holder && !self.homes[at].is_device() {
                if self.family.living().any(|id| id == self.homes[at].id()) {
                    self.broke(Property::Evicted, format!("home {at} was thrown out by a thief"));
                }
                continue;
            }
            let evicted = self.family.living().find(|id| Some(*id) != stolen && !log.is_device(id));
            let back = self.family.gone().find(|id| log.is_device(id));
            if let Some(id) = evicted {
                let text = format!("{} is none any more at home {at}", id.short());
                self.broke(Property::Evicted, text);
            } else if let Some(id) = back {
                let text = format!("{} is back at home {at}, and was thrown out", id.short());
                self.broke(Property::Evicted, text);
            }
        }
    }

    /// Everybody backs up, all take the head, and those who live can read it and nobody else.
    fn check_backups(&mut self) {
        let devices: Vec<usize> =
            (0..self.homes.len()).filter(|at| self.homes[*at].is_device()).collect();
        for by in devices {
            self.at_s += ROUND_S;
            let mut dice = Dice::new(self.seed, self.at_s, "trust backup");
            if !self.seals(by, &mut dice) {
                self.broke(Property::Refused, format!("home {by} cannot back up"));
            }
            self.all_meet();
            self.check_heads(by);
            self.note(&format!("backup of home {by}"));
            if self.violation.is_some() {
                return;
            }
        }
    }

    /// Everybody takes the head.
    fn check_heads(&mut self, by: usize) {
        let Some(text) = self.heads_refused(by).pop() else { return };
        if self.homes[by].is_beyond_a_member() {
            self.saw("more that does not count than a member has taken along");
        } else {
            self.broke(Property::HeadTaken, text);
        }
    }

    /// Who does not take the head of a home, and why.
    fn heads_refused(&mut self, by: usize) -> Vec<String> {
        let mut refused = Vec::new();
        for to in 0..self.homes.len() {
            let Ok([here, there]) = self.homes.get_disjoint_mut([by, to]) else { continue };
            if there.is_gone || !here.admits(there) || !there.admits(here) {
                continue;
            }
            if let Some(Offered::Invalid(error)) = here.gives_head(there) {
                refused.push(format!("home {to} takes no head of home {by}: {error}"));
            }
        }
        refused
    }
}

impl Way {
    fn is_admitted(self, here: &Home, there: &Home) -> bool {
        match self {
            Self::Owner(_) => here.admits(there) && there.admits(here),
            Self::Phrase(_) => !there.is_gone,
        }
    }
}

/// Whether an entry builds on another one, or is that one.
fn is_ancestor(
    log: &DeviceLog,
    of: &larder_protocol::ids::EntryHash,
    entry: &larder_protocol::ids::EntryHash,
) -> bool {
    let Some(known) = log.entry(of) else { return false };
    log.contains(entry) && !log.entries_beyond(&[*entry]).contains(&known.bytes())
}
