//! How a circle comes to stand as it does at its start.
//!
//! Who has a shard is not chance alone: whoever was there when it was sent. So before anything can fail
//! devices come and go for [`DAYS`], shards are given, one at a time, to whoever can be reached at
//! moments at which the source runs, and the source learns how long each of them is usually away.
//! Bytes take no time in these days: a first backup may take months, and what it looks like is not asked
//! here; a scenario with `empty` vaults asks it.

use super::{Circle, Event, Standing};
use crate::lab::{
    agenda::Millis,
    numbers::{count, float, whole},
    plan::{DAY_MS, Devices, Plan, only, size},
    scenario::{Place, Repair},
};

/// Twice as long as it takes until absences say more of a device than what it is.
const DAYS: f64 = 28.0;
/// Moments for each shard, for at many of them the source or all others sleep.
const MOMENTS: f64 = 8.0;

/// How long a circle of this plan settles.
pub(super) fn takes(plan: &Plan) -> Millis {
    let policy = &plan.scenario.policy;
    let is_real = policy.repair == Repair::Real;
    if is_real { whole(DAYS * DAY_MS) } else { 0 }
}

impl Circle<'_> {
    /// Lets the circle settle; at its end everything is in place, unless nothing is to be.
    pub(super) fn settle_down(&mut self) {
        self.on = self.alive & self.awake & !self.cut;
        for vault in 0..self.vaults.len() {
            self.tell_watch(vault, Devices::MAX);
        }
        self.set_moment();
        loop {
            let (at, slot) = self.agenda.next();
            if at >= self.begins {
                break;
            }
            self.now = at;
            self.tally.events += 1;
            self.handle(self.slots.event(slot));
        }
        self.now = self.begins;
        self.set(Event::Settle, crate::lab::agenda::NEVER);
        let events = self.tally.events;
        self.tally = crate::lab::tally::Tally { events, ..Default::default() };
    }

    fn set_moment(&mut self) {
        let policy = &self.plan.scenario.policy;
        if self.plan.scenario.vaults.empty || policy.place == Place::Sets || self.begins == 0 {
            return;
        }
        let shards = count(self.groups.len() * policy.n.unwrap_or(2) / self.vaults.len());
        let gap = self.settling.exponential() * float(self.begins) / (MOMENTS * shards.max(1.0));
        let at = self.after(gap);
        self.set(Event::Settle, at);
    }

    /// Each source that runs gives one shard to one holder that can be reached.
    pub(super) fn settle_next(&mut self) {
        for vault in 0..self.vaults.len() {
            let source = self.vaults[vault].source.map_or(0, only);
            if source & self.on == 0 {
                continue;
            }
            for group in 0..self.groups.len() {
                let is_open = self.groups[group].vault == vault && self.is_short(group);
                let reached = self.counted_on(group) & self.on;
                if is_open && self.give(group, reached) {
                    break;
                }
            }
        }
        self.set_moment();
    }

    /// Gives a shard to one of these; false when none of them has its turn.
    fn give(&mut self, group: usize, reached: Devices) -> bool {
        let has = self.groups[group].held;
        let Some(device) = self.next_place(group, has, reached & !has) else { return false };
        let group = &mut self.groups[group];
        group.held |= only(device);
        group.believed = group.held;
        true
    }

    /// What was not placed by then is placed among all, as if they had been there.
    pub(super) fn start_custody(&mut self) {
        let in_each = self.groups.len() / self.vaults.len();
        let is_empty = self.plan.scenario.vaults.empty;
        self.on = self.alive & self.awake & !self.cut;
        for number in 0..self.groups.len() {
            if is_empty {
                self.groups[number].below_since = Some(self.now);
                continue;
            }
            match self.plan.scenario.policy.sets.get(number % in_each) {
                Some(set) => {
                    let set = set.iter().fold(0, |set, device| set | only(*device));
                    self.groups[number].held = set;
                }
                None => self.give_the_rest(number),
            }
            let group = &mut self.groups[number];
            (group.home, group.believed, group.standing) =
                (group.held, group.held, Standing::Placed);
        }
        for vault in 0..self.vaults.len() {
            self.tell_watch(vault, Devices::MAX);
            self.note_short(vault);
        }
        self.look_at_flows();
    }

    fn give_the_rest(&mut self, number: usize) {
        let wanted = self.wanted_with(self.holders_of(number));
        while size(self.groups[number].held) < wanted {
            if !self.give(number, self.holders_of(number)) {
                return;
            }
        }
    }
}
