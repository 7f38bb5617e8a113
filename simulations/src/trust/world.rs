//! Homes, people and a thief, one turn after the other.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    head::{HeadError, Offered, SignedHead},
    ids::{DeviceId, EntryHash},
    keys::{DeviceKeys, RecoveryKeys, epoch::EpochKey, phrase::Phrase},
    limits::LOG_PARENTS_MAX,
    log::{
        Deed, DeviceLog, DraftError, Founding, LastHead, Leaver, LogError, NewLabel, Newcomer,
        Reason, Role,
    },
    time::{Instant, Timestamp},
};

use minicbor::bytes::ByteVec;

use super::{
    TrustOutcome,
    family::{Family, Out},
    home::{Home, Line},
    label,
    plan::{Act, Plan, Slip, Turn},
    thief::Thief,
};
use crate::{
    dice::Dice,
    model::{Property, Violation},
};

/// The first second, since 1970.
const START_S: u64 = 1_800_000_000;
/// Entries of one message, where nothing else is said: few enough for a log to come in several.
pub(super) const USUAL_LOT: usize = 40;
/// Devices and holders at the most.
pub(super) const HOMES_MAX: usize = 14;

/// Who lives, and who was removed.
type Roster = (Vec<DeviceId>, Vec<DeviceId>);

pub(super) struct World {
    pub(super) homes: Vec<Home>,
    pub(super) family: Family,
    pub(super) thief: Option<Thief>,
    pub(super) recovery: RecoveryKeys,
    pub(super) at_s: u64,
    pub(super) violation: Option<Violation>,
    pub(super) seed: u64,
    slip: Option<Slip>,
    messages: u64,
    /// Keys that were found to be open to the right ones.
    judged: BTreeSet<([u8; 32], Roster)>,
    sometimes: BTreeMap<&'static str, u64>,
    trace: blake3::Hasher,
    is_verbose: bool,
}

impl World {
    pub(super) fn new(plan: &Plan, is_verbose: bool) -> Self {
        let mut dice = Dice::new(plan.seed, 0, "trust homes");
        let recovery = Phrase::from_entropy(dice.bytes()).recovery();
        let keys = DeviceKeys::from_seeds(dice.bytes(), dice.bytes());
        let label = label("device");
        let time = Timestamp(START_S);
        let founding = Founding { device: &keys, recovery: &recovery, label: &label, time };
        let log = DeviceLog::found(&founding, dice.source()).expect("the label is plain").log;
        let mut world = Self {
            homes: Vec::new(),
            family: Family::default(),
            thief: None,
            recovery,
            at_s: 0,
            violation: None,
            seed: plan.seed,
            slip: plan.slip,
            messages: 0,
            judged: BTreeSet::new(),
            sometimes: BTreeMap::new(),
            trace: blake3::Hasher::new(),
            is_verbose,
        };
        let genesis = EntryHash::from_bytes(*log.vault().as_bytes());
        world.family.joined(keys.id(), None, genesis);
        world.homes.push(Home::new(keys, log, plan.slip));
        for _ in 1..plan.devices {
            let owners = world.homes.iter().enumerate();
            let owners = owners.filter(|(_, home)| home.log.is_owner(&home.id()));
            let owners: Vec<usize> = owners.map(|(number, _)| number).collect();
            let (by, member) = (dice.one(&owners), dice.chance(30));
            world.takes_in(by, member, &mut dice);
        }
        for _ in 0..plan.holders {
            let keys = DeviceKeys::from_seeds(dice.bytes(), dice.bytes());
            let newest = world.homes.last().expect("there is a device").log.clone();
            world.homes.push(Home::holder(keys, newest, plan.slip));
        }
        world.all_meet();
        world
    }

    pub(super) fn run(&mut self, turns: &[Turn]) {
        for turn in turns {
            self.at_s = turn.at_s;
            let mut dice = Dice::new(self.seed, turn.at_s, "trust turn");
            self.act(turn.act, &mut dice);
            self.note(&turn.to_string());
            if self.violation.is_some() {
                return;
            }
        }
        self.heal();
    }

    pub(super) fn outcome(self) -> TrustOutcome {
        TrustOutcome {
            violation: self.violation,
            trace: self.trace.finalize().to_hex().to_string(),
            messages: self.messages,
            sometimes: self.sometimes,
        }
    }

    /// What happened and what it left, for the trace and for whoever reads along.
    pub(super) fn note(&mut self, what: &str) {
        self.trace.update(what.as_bytes());
        for home in &self.homes {
            home.log.heads().iter().for_each(|head| _ = self.trace.update(head.as_bytes()));
        }
        if self.is_verbose {
            let sizes: Vec<String> = self
                .homes
                .iter()
                .map(|home| format!("{}/{}", home.log.devices().count(), home.log.len()))
                .collect();
            println!("{what}: devices/entries {}", sizes.join(" "));
        }
    }

    pub(super) fn saw(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    pub(super) fn broke(&mut self, property: Property, text: String) {
        let at_ms = self.at_s * 1_000;
        self.violation.get_or_insert(Violation { property, at_ms, text });
    }

    pub(super) const fn time(&self) -> Timestamp {
        Timestamp(START_S + self.at_s)
    }

    const fn now(&self) -> Instant {
        Instant(0).after_ms(self.at_s * 1_000)
    }

    fn home(&self, number: usize) -> usize {
        number % self.homes.len()
    }

    /// A device that acts, if this home is one.
    fn device(&self, number: usize) -> Option<usize> {
        let home = self.home(number);
        self.homes[home].is_device().then_some(home)
    }

    fn act(&mut self, act: Act, dice: &mut Dice) {
        match act {
            Act::Meet { from, to, lot, cut } => {
                let line = Line::new(self.now(), lot, cut);
                self.meet(self.home(from), self.home(to), (line, dice));
            }
            Act::Restart { home } => self.restart(self.home(home), dice),
            Act::Tear { home, files } => {
                let home = self.home(home);
                self.homes[home].tear_after(files);
            }
            Act::TakeIn { by, member } => {
                if let Some(by) = self.device(by) {
                    self.takes_in(by, member, dice);
                }
            }
            Act::Call { by, whom } => self.calls(by, whom, dice),
            Act::Seal { by } => {
                if let Some(by) = self.device(by) {
                    self.seals(by, dice);
                }
            }
            Act::Lose { device } => self.loses(device),
            Act::ThrowOut { by, whom, undo } => {
                let whom = self.homes[self.home(whom)].id();
                if let Some(by) = self.device(by)
                    && self.family.is_lost(&whom)
                {
                    let _refused = self.throws_out((Some(by), by), (whom, undo), dice);
                }
            }
            Act::Steal { device } => self.is_stolen(device),
            _ => self.thief_acts(act, dice),
        }
    }

    fn thief_acts(&mut self, act: Act, dice: &mut Dice) {
        let Some(mut thief) = self.thief.take() else { return };
        let by_whom = (self.time(), &mut *dice);
        match act {
            Act::Learn { copy, from } => {
                let from = &self.homes[self.home(from)];
                if !from.is_gone && thief.caller(&from.log, dice).is_some() {
                    thief.learn(copy, &from.log);
                }
            }
            Act::Branch { copy, percent } => thief.branch(copy, percent),
            Act::Plant { copy, by, member } => {
                let role = if member { Role::Member } else { Role::Owner };
                if thief.plant((copy, by), role, by_whom) {
                    self.saw("accomplice");
                }
            }
            Act::Evict { copy, by, whom } => {
                let whom = &self.homes[self.home(whom)];
                let first = whom.newest.as_ref().filter(|_| by % 2 == 0);
                let last = first.map(|head| LastHead { seq: 1, head: head.hash() });
                if thief.evict((copy, by), (whom.id(), last), by_whom) {
                    self.saw("device thrown out by the thief");
                }
            }
            Act::Begin { copy, by, count } => {
                let begun = thief.begin((copy, by), count, by_whom);
                if begun > 15 {
                    self.saw("many epochs of the thief");
                }
            }
            Act::Name { copy, by, whom, count } => {
                let whom = self.homes[self.home(whom)].id();
                if thief.name((copy, by), (whom, count), by_whom) > 60 {
                    self.saw("many names by the thief");
                }
            }
            Act::Crowd { copy, count } => {
                let crowd = thief.crowd(copy, count, by_whom);
                if crowd > 60 {
                    self.saw("many names beside each other");
                }
            }
            Act::Show { copy, to, lot, skip } => {
                self.shows(&thief, (copy, to), (lot, skip), dice);
            }
            Act::Forge { copy, to } => self.forges(&thief, (copy, to), dice),
            _ => {}
        }
        self.thief = Some(thief);
    }

    /// What a thief tells a home.
    pub(super) fn shows(
        &mut self,
        thief: &Thief,
        (copy, to): (usize, usize),
        (lot, skip): (usize, usize),
        dice: &mut Dice,
    ) {
        let (now, to) = (self.now(), self.home(to));
        let there = &mut self.homes[to];
        let caller = thief.caller(&there.log, dice).filter(|_| !there.is_gone);
        let Some(caller) = caller else { return };
        let mut entries = thief.copy(copy).entries_beyond(&there.log.heads());
        let skip = u64::try_from(skip).expect("a percentage");
        entries.retain(|_| !dice.chance(skip));
        let line = Line::new(now, lot, 0);
        let before = there.log.len();
        let lists = line.lists(&entries);
        let sent = lists.len();
        for list in lists {
            if there.log.is_device(&caller) {
                there.is_pushed(now, caller, &list, dice);
            }
        }
        let has_grown = there.log.len() > before;
        let is_refused = entries.len() > there.log.len().saturating_sub(before);
        self.messages += u64::try_from(sent).expect("few messages");
        if has_grown {
            self.saw("entries of the thief taken");
        }
        if is_refused {
            self.saw("entries of the thief refused");
        }
    }

    /// What is no entry, or not his.
    fn forges(&mut self, thief: &Thief, (copy, to): (usize, usize), dice: &mut Dice) {
        let (now, to) = (self.now(), self.home(to));
        let there = &mut self.homes[to];
        let caller = thief.caller(&there.log, dice).filter(|_| !there.is_gone);
        let Some(caller) = caller else { return };
        let beyond = thief.copy(copy).entries_beyond(&[]);
        let forged = beyond.into_iter().map(|entry| {
            let mut bytes = entry.to_vec();
            let at = dice.pick(bytes.len());
            bytes[at] ^= 1 << dice.pick(8);
            bytes.into()
        });
        let forged: Vec<ByteVec> = forged.collect();
        there.is_pushed(now, caller, &forged, dice);
        let is_taken = there.log.entries().any(|entry| forged.iter().any(|it| **it == *entry));
        self.saw("forged entries");
        if is_taken {
            self.broke(Property::Forged, format!("home {to} took what nobody signed"));
        }
    }

    pub(super) fn restart(&mut self, number: usize, dice: &mut Dice) {
        let home = &mut self.homes[number];
        let keys = home.log.epoch_keys(&self.recovery).unwrap_or_default();
        let before = (home.log.len(), view(&home.log, &keys));
        home.restart(dice);
        let after = (home.log.len(), view(&home.log, &keys));
        // A child whose parent came later is read only now.
        let is_less = after.0 < before.0 || (after.0 == before.0 && after.1 != before.1);
        if is_less {
            let text = format!("home {number} had {} entries and read {}", before.0, after.0);
            self.broke(Property::ReadBack, text);
        }
        self.saw("restart");
    }

    /// Two homes of which the first one calls.
    pub(super) fn meet(&mut self, from: usize, to: usize, (mut line, dice): (Line, &mut Dice)) {
        let Ok([here, there]) = self.homes.get_disjoint_mut([from, to]) else { return };
        if here.is_gone || !here.admits(there) || !there.admits(here) {
            return;
        }
        let before = (here.log.len(), there.log.len());
        // Whoever holds for others asks those who do so as well, and tells nothing.
        if !here.is_holder || there.is_holder {
            here.pull(there, &mut line, dice);
        }
        if !here.is_holder {
            here.push(there, &mut line, dice);
        }
        let has_grown = before != (here.log.len(), there.log.len());
        let mut refused = None;
        if !line.is_broken()
            && here.is_device()
            && let Some(offered) = here.gives_head(there)
        {
            refused = refusal(&offered, &here.log);
        }
        self.messages += line.messages;
        if line.is_broken() {
            self.saw("line broken");
        }
        if has_grown {
            self.saw("log carried on");
        }
        match refused {
            Some(Refusal::ForAName) => {
                let text = format!("home {to} takes no head of home {from}: a name is missing");
                self.broke(Property::HeadTaken, text);
            }
            Some(Refusal::Wrong) => {
                self.broke(Property::HeadTaken, format!("home {from} made a head that is none"));
            }
            Some(Refusal::ForRoom) => self.saw("head without room for what it names"),
            None => {}
        }
    }

    pub(super) fn all_meet(&mut self) {
        for from in 0..self.homes.len() {
            for to in 0..self.homes.len() {
                let mut dice = Dice::new(self.seed, self.at_s, "trust meeting");
                let line = Line::new(self.now(), USUAL_LOT, 0);
                self.meet(from, to, (line, &mut dice));
            }
        }
    }

    fn takes_in(&mut self, by: usize, member: bool, dice: &mut Dice) {
        if self.homes.len() >= HOMES_MAX {
            return;
        }
        let keys = DeviceKeys::from_seeds(dice.bytes(), dice.bytes());
        let role = if member { Role::Member } else { Role::Owner };
        let (device, label, time) = (keys.public(), label("device"), self.time());
        let newcomer = Newcomer { device, label, role, time };
        let (slip, inviter) = (self.slip, &mut self.homes[by]);
        let drafted = inviter.log.draft_add(&inviter.keys, &newcomer, dice.source());
        let Ok(draft) = drafted else { return };
        let consent = draft.consent(&inviter.log, &keys, (&newcomer.label, role));
        let Ok(consent) = consent else { return };
        if inviter.log.append_add(&draft, consent, &inviter.keys).is_err() {
            return;
        }
        inviter.wrote();
        let (id, entry) = (inviter.id(), draft.hash());
        let home = Home::new(keys, inviter.log.clone(), slip);
        self.family.joined(home.id(), Some(id), entry);
        self.homes.push(home);
        self.saw("device taken in");
    }

    pub(super) fn calls(&mut self, by: usize, whom: usize, dice: &mut Dice) {
        let Some(by) = self.device(by) else { return };
        let (device, time) = (self.homes[self.home(whom)].id(), self.time());
        let new = NewLabel { device, label: label("another name"), time };
        let home = &mut self.homes[by];
        let is_by_right =
            home.id() == device || (home.log.is_owner(&home.id()) && home.log.is_device(&device));
        let is_crowded = home.log.head_count() > LOG_PARENTS_MAX;
        let said = home.log.rename(&home.keys, &new, dice.source());
        home.wrote();
        if is_crowded {
            self.saw("more heads than an entry names");
        }
        match said {
            Ok(_) => self.saw("name given"),
            Err(error) if is_by_right => self.check_is_no_stranger(by, &error),
            Err(_) => {}
        }
    }

    /// Whoever lives as far as it knows can write, if there is room.
    fn check_is_no_stranger(&mut self, by: usize, error: &DraftError) {
        let home = &self.homes[by];
        let is_of_room = matches!(error, DraftError::Log(LogError::Full));
        if home.log.is_device(&home.id()) && !is_of_room {
            self.broke(Property::Stranger, format!("home {by} lives and cannot write: {error}"));
        }
    }

    /// Builds on what does not count.
    fn ties_up(&mut self, by: usize, (time, dice): (Timestamp, &mut Dice)) {
        while !self.homes[by].has(Slip::LeaveLoose) {
            let home = &mut self.homes[by];
            match home.log.tie_up(&home.keys, time, dice.source()) {
                Ok(None) => break,
                Ok(Some(_)) => {
                    home.wrote();
                    self.saw("what does not count built on");
                }
                Err(error) => return self.check_is_no_stranger(by, &error),
            }
        }
    }

    /// A backup: a new epoch first where none is to be sealed with. Whether it was made.
    pub(super) fn seals(&mut self, by: usize, dice: &mut Dice) -> bool {
        let time = self.time();
        let home = &mut self.homes[by];
        let keys = home.log.epoch_keys(&home.keys).unwrap_or_default();
        let needs = home.log.needs_epoch(&home.id(), &keys) && !home.has(Slip::SealUnderAnyKey);
        if needs {
            let is_crowded = home.log.head_count() > LOG_PARENTS_MAX;
            let begun = home.log.rotate_into_force(&home.keys, time, dice.source());
            home.wrote();
            if is_crowded {
                self.saw("more heads than an entry names");
            }
            if let Err(error) = begun {
                // Where a thief has used up the epochs it has to wait until he is thrown out.
                self.saw("epoch refused");
                self.check_is_no_stranger(by, &error);
                return false;
            }
            self.saw("epoch begun");
        }
        self.ties_up(by, (time, dice));
        let home = &mut self.homes[by];
        let keys = home.log.epoch_keys(&home.keys).unwrap_or_default();
        let current = home.log.current_epoch();
        let is_any = home.has(Slip::SealUnderAnyKey);
        let fits = |key: &&EpochKey| is_any || current.is_some_and(|it| it.is_of(key));
        let sealing = keys.iter().rev().find(fits);
        let Some(sealing) = sealing.cloned() else { return false };
        home.makes_head(time, dice);
        self.check_secret(by, &sealing);
        self.saw("backup");
        true
    }

    /// Nobody who is out, as far as its device knows, can read what is sealed with this key, and all who live can.
    fn check_secret(&mut self, by: usize, key: &EpochKey) {
        let log = &self.homes[by].log;
        let living = log.devices().map(|device| device.public.id);
        let roster = (living.collect(), log.removed().map(|(id, _)| id).collect());
        if !self.judged.insert((key.commitment(), roster)) {
            return;
        }
        let opens = |keys: &DeviceKeys, log: &DeviceLog| {
            let opened = log.epoch_keys(keys).unwrap_or_default();
            opened.iter().any(|it| it.commitment() == key.commitment())
        };
        let is_out = |it: &&DeviceKeys| !log.is_device(&it.id());
        let thieves: Vec<&DeviceKeys> = self.thief.iter().flat_map(Thief::keys).collect();
        let stolen = self.thief.as_ref().map(Thief::stolen);
        let honest = self.homes.iter().map(|home| &home.keys);
        let honest: Vec<&DeviceKeys> = honest.filter(|keys| Some(keys.id()) != stolen).collect();
        let all: Vec<&DeviceKeys> = honest.iter().chain(&thieves).copied().collect();
        let mut reads = honest.into_iter().filter(is_out).find(|it| opens(it, log));
        // One of a thief's who lives hands it on to all of them. Else none opens it, by no log that he has.
        if thieves.iter().all(is_out) {
            let copies: Vec<&DeviceLog> = self.thief.iter().flat_map(Thief::copies).collect();
            let by_any =
                |it: &&DeviceKeys| opens(it, log) || copies.iter().any(|copy| opens(it, copy));
            reads = reads.or_else(|| thieves.into_iter().find(by_any));
        }
        if let Some(reads) = reads {
            let text = format!("home {by} seals what {} reads, who is out", reads.id().short());
            self.broke(Property::Secret, text);
            return;
        }
        let mut living = all.iter().filter(|it| log.is_device(&it.id()));
        if let Some(closed) = living.find(|it| !opens(it, log)) {
            let text = format!("home {by} seals what {} cannot read", closed.id().short());
            self.broke(Property::Secret, text);
        }
    }

    fn loses(&mut self, device: usize) {
        let home = self.home(device);
        let owners = self.homes.iter().filter(|it| it.is_device() && it.log.is_owner(&it.id()));
        // Somebody has to be left who throws it out.
        if self.homes[home].is_device() && owners.count() > 2 {
            self.homes[home].is_gone = true;
            self.family.lost(self.homes[home].id());
            self.saw("device lost");
        }
    }

    fn is_stolen(&mut self, device: usize) {
        let Some(home) = self.device(device).filter(|_| self.thief.is_none()) else { return };
        let others = self.homes.iter().filter(|it| it.is_device()).count();
        if others < 2 {
            return;
        }
        let stolen = &mut self.homes[home];
        stolen.is_gone = true;
        let (id, is_owner) = (stolen.id(), stolen.log.is_owner(&stolen.id()));
        self.thief = Some(Thief::new(stolen.keys.clone(), &stolen.log));
        self.family.lost(id);
        self.saw(match (home, is_owner) {
            (0, _) => "founder stolen",
            (_, true) => "owner stolen",
            (_, false) => "member stolen",
        });
    }

    /// A removal that is written at a home, by its device or (`by`: `None`) by the phrase.
    pub(super) fn throws_out(
        &mut self,
        (by, at): (Option<usize>, usize),
        (whom, undo_removals): (DeviceId, bool),
        dice: &mut Dice,
    ) -> Result<(), DraftError> {
        let (reason, time) = (Reason::Stolen, self.time());
        let home = &mut self.homes[at];
        let last = home.book.highest(&whom).map(last_of);
        let leaver = Leaver { device: whom, reason, last, undo_removals, time };
        match by {
            Some(_) => home.log.remove(&home.keys, &leaver, dice.source())?,
            None => home.log.remove(&self.recovery, &leaver, dice.source())?,
        };
        let out = Out { by: by.map(|_| home.id()), whom, undo: undo_removals };
        self.family.threw_out(&home.log, &out);
        if by.is_none() && home.log.is_epoch_due() {
            let _refused = home.log.rotate_into_force(&self.recovery, time, dice.source());
        }
        home.wrote();
        self.saw("thrown out");
        Ok(())
    }
}

fn last_of(head: &SignedHead) -> LastHead {
    LastHead { seq: head.body().seq, head: head.hash() }
}

enum Refusal {
    /// What it names and is missing is a name.
    ForAName,
    /// It is itself what no honest device makes.
    Wrong,
    /// It is something else: there is no room for it until an owner builds on it.
    ForRoom,
}

/// Why a head was refused by somebody who has just been told all that its device knows.
fn refusal(offered: &Offered, known: &DeviceLog) -> Option<Refusal> {
    let entry = match offered {
        Offered::Invalid(HeadError::LogBehind { entry }) => entry,
        Offered::Forked(_) | Offered::Invalid(HeadError::Shape | HeadError::Signature) => {
            return Some(Refusal::Wrong);
        }
        _ => return None,
    };
    let missing = known.entry(entry)?;
    let is_name = matches!(missing.deed(), Deed::Renamed(_));
    Some(if is_name { Refusal::ForAName } else { Refusal::ForRoom })
}

/// What a log comes to: who lives and as what, who was removed, under which name, and what is sealed with.
pub(super) fn view(log: &DeviceLog, keys: &[EpochKey]) -> String {
    let living: Vec<_> =
        log.devices().map(|it| (it.public.id, it.role, log.label(&it.public.id, keys))).collect();
    let removed: Vec<_> = log.removed().map(|(id, it)| (id, it.entry)).collect();
    format!("{living:?} {removed:?} {:?}", log.current_epoch())
}
