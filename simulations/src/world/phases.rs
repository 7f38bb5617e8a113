//! The phases of a run: trouble, healing, and the examination of what is left.
//!
//! ```text
//! trouble ──days──> heal ──everything published──> [silence] ──> examine ──every restore complete──> end
//!   any step of the     no faults, all healthy       of one vault    each source is switched off in turn
//!   schedule            devices on, room enough                      and restored from the phrase
//! ```

use larder_protocol::time::Instant;

use super::World;
use crate::{device::Power, dice::Dice, event::Event, model::Property};

const HOUR_MS: u64 = 3_600_000;
/// After the faults end everything healthy must be safe within this: the longest wait of the
/// protocol is five hours (a holder that was distrusted), and it may have been doubled just now.
const HEALING_MS: u64 = 24 * HOUR_MS;
/// A restore of one device, patience with hostile holders included.
const RESTORE_MS: u64 = 24 * HOUR_MS;
/// Sources that are restored at the end.
const EXAMINED_MAX: usize = 2;

impl World {
    /// Runs the whole scenario. It ends with the first violation.
    pub(crate) fn run(&mut self) {
        self.plan_steps();
        let end = Instant(0).after_ms(self.scenario.days * 86_400_000);
        self.run_until(end, |_| false);
        self.note_network();
        self.heal();
        self.fall_silent();
        self.examine();
        self.check_all_kept();
        self.digest_all();
    }

    pub(super) fn ok(&self) -> bool {
        self.shared.model.violations.is_empty()
    }

    fn note_network(&mut self) {
        let counts = self.shared.network.counts;
        let noted = [
            ("partition: message swallowed", counts.swallowed),
            ("loss", counts.lost),
            ("delay", counts.delayed),
            ("duplicate", counts.doubled),
            ("slow", counts.slowed),
            ("reorder", counts.overtook),
        ];
        for (what, count) in noted {
            if count > 0 {
                *self.shared.model.sometimes.entry(what).or_default() += count;
            }
        }
    }

    /// No new faults; what is healthy must converge.
    fn heal(&mut self) {
        if !self.ok() {
            return;
        }
        self.shared.healed = true;
        self.shared.network.heal();
        for device in 0..self.devices.len() {
            self.devices[device].crash_in = None;
            self.devices[device].sever_in = None;
            self.devices[device].disk.noise_bytes = 0;
            if self.devices[device].asleep_until.is_some() {
                // Woken by the power button.
                self.crash(device, 1);
            }
            if self.devices[device].power == Power::Off {
                self.shared.queue.after(0, Event::Boot { device });
            }
            if device < self.scenario.devices {
                self.shared.circle.devices[device].offer_bytes = 1 << 40;
                self.shared.circle.devices[device].disk_bytes = 1 << 44;
                self.devices[device].set_grant(&mut self.shared, 1 << 40);
            }
        }
        self.take_words_back();
        let end = self.shared.now().after_ms(HEALING_MS);
        self.run_until(end, |world| world.unconverged().is_none());
        if self.ok() {
            if let Some(text) = self.unconverged() {
                self.shared.violation(Property::Converges, text);
            }
            self.shared.saw("healed");
        }
    }

    /// Whoever is there is not said to be lost any more.
    fn take_words_back(&mut self) {
        for device in 0..self.scenario.devices {
            for other in (0..self.scenario.devices).filter(|other| *other != device) {
                if self.devices[other].broken {
                    continue;
                }
                match self.devices[device].power {
                    Power::Up => {
                        self.devices[device].said(&mut self.shared, other, false);
                        // Before the next word changes what is asked for.
                        self.run_checks();
                    }
                    // It is learnt anew.
                    Power::Off | Power::Gone => {
                        self.devices[device].disk.image.histories.remove(&other);
                    }
                }
            }
        }
    }

    /// A healthy source that could be safe and is not, or a recovery that is not over.
    fn unconverged(&self) -> Option<String> {
        for (number, device) in self.devices.iter().enumerate() {
            // Who was content with fewer copies was promised less.
            let source = device.restores().unwrap_or(number);
            if self.shared.model.lowered.contains(&source) {
                continue;
            }
            if let Some(text) = device.unconverged(self.can_be_safe(number)) {
                return Some(format!("device {number}: {text}"));
            }
        }
        None
    }

    /// Whether enough sites beside the source have a healthy holder.
    fn can_be_safe(&self, source: usize) -> bool {
        let healthy = self.devices.iter().take(self.scenario.devices).enumerate().filter(
            |(number, device)| *number != source && !device.broken && device.power == Power::Up,
        );
        let sites: std::collections::BTreeSet<usize> =
            healthy.map(|(number, _)| self.shared.circle.devices[number].site).collect();
        sites.len() >= self.shared.circle.copies
    }

    /// Each source in turn is gone, and comes back from the phrase.
    fn examine(&mut self) {
        let mut dice = Dice::new(self.shared.seed, 0, "examination");
        let lowered = &self.shared.model.lowered;
        let published = self.shared.model.published.keys().copied();
        let mut sources: Vec<usize> = published.filter(|it| !lowered.contains(it)).collect();
        // The devices that are gone come first: nobody else can tell what they had.
        sources.sort_by_key(|source| (self.devices[*source].power != Power::Gone, *source));
        let gone = sources.iter().filter(|it| self.devices[**it].power == Power::Gone).count();
        if gone < sources.len() {
            let swap = gone + dice.pick(sources.len() - gone);
            sources.swap(gone, swap);
        }
        for source in sources.into_iter().take(EXAMINED_MAX) {
            if !self.ok() {
                return;
            }
            self.examine_one(source, &mut dice);
        }
    }

    pub(super) fn examine_one(&mut self, source: usize, dice: &mut Dice) {
        let was_up = self.devices[source].power == Power::Up;
        if was_up {
            self.devices[source].shut_down();
            self.hang_up_all(source);
        }
        let number = self.devices.len();
        self.recover(source, 0, dice);
        self.dial_wanted();
        let end = self.shared.now().after_ms(RESTORE_MS);
        self.run_until(end, |world| world.devices[number].has_restored());
        if self.ok() {
            let newest = !self.devices[source].was_set_back;
            self.devices[number].check_restored(&mut self.shared, newest);
            self.shared.saw("restored");
        }
        if was_up {
            self.shared.queue.after(0, Event::Boot { device: source });
        }
    }

    /// The whole state of all machines goes into the trace.
    fn digest_all(&mut self) {
        for device in &self.devices {
            self.trace.update(device.whole_state().as_bytes());
        }
    }
}
