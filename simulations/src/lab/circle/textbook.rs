//! Repair as textbooks have it: shards come back on their device after exponential times, or all at
//! once when somebody looks. No watching, no lines.

use super::{Circle, Event};
use crate::lab::{
    agenda::NEVER,
    numbers::count,
    plan::{DAY_MS, each, only, size},
    scenario::Repair,
};

impl Circle<'_> {
    /// Plans the next repair. Exponential times have no memory: what was planned before is drawn anew.
    pub(super) fn plan_textbook_repair(&mut self) {
        let at = match self.plan.scenario.policy.repair {
            Repair::Exponential { mean_days } => {
                let missing: usize = self.groups.iter().map(missing).sum();
                if missing == 0 {
                    NEVER
                } else {
                    let days = self.repairs.exponential() * mean_days / count(missing);
                    self.after(days * DAY_MS)
                }
            }
            Repair::Periodic { every_days, .. } => self.after(every_days * DAY_MS),
            Repair::Real | Repair::None => NEVER,
        };
        self.set(Event::Repair, at);
    }

    pub(super) fn textbook_repair(&mut self) {
        match self.plan.scenario.policy.repair {
            Repair::Exponential { .. } => self.repair_any(),
            Repair::Periodic { below, .. } => {
                for number in 0..self.groups.len() {
                    let group = &self.groups[number];
                    if !group.is_dead() && size(group.held) < below {
                        each(group.home & !group.held)
                            .for_each(|device| self.bring(number, device));
                    }
                }
            }
            Repair::Real | Repair::None => {}
        }
        self.plan_textbook_repair();
        self.note_degraded();
    }

    fn repair_any(&mut self) {
        let all: usize = self.groups.iter().map(missing).sum();
        let mut left = self.repairs.below(u64::try_from(all).unwrap_or(1));
        for number in 0..self.groups.len() {
            for device in each(self.groups[number].home & !self.groups[number].held) {
                if self.groups[number].is_dead() {
                    continue;
                }
                if left == 0 {
                    self.bring(number, device);
                    return;
                }
                left -= 1;
            }
        }
    }

    fn bring(&mut self, number: usize, device: usize) {
        let bytes = u128::from(self.shard_bytes());
        self.groups[number].held |= only(device);
        self.note_whole(number);
        *self.tally.bytes.entry("a loss").or_default() += bytes * 1_000;
    }
}

fn missing(group: &super::Group) -> usize {
    if group.is_dead() { 0 } else { size(group.home & !group.held) }
}
