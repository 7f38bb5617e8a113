//! Makes a failing run small: fewer steps (delta debugging), then less time and fewer devices.
//!
//! A smaller run counts only if it breaks the same property. Source: Zeller and Hildebrandt,
//! Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002.

use crate::{
    model::Property,
    run::run,
    schedule::{DEVICES, Scenario, Silence, Step},
};

/// Runs at most: shrinking is for people who wait.
pub(crate) const RUNS_MAX: usize = 600;

/// Leaves out ever smaller parts of a list, as long as what is left still breaks; `None`: there is no time left to try.
pub(crate) fn fewer<T: Clone>(
    least: &mut Vec<T>,
    mut still_breaks: impl FnMut(&[T]) -> Option<bool>,
) {
    let mut parts = 2;
    while !least.is_empty() {
        let size = least.len().div_ceil(parts).max(1);
        let (mut is_smaller, mut start) = (false, 0);
        while start < least.len() {
            let end = (start + size).min(least.len());
            let mut tried = least.clone();
            tried.drain(start..end);
            match still_breaks(&tried) {
                None => return,
                Some(true) => {
                    *least = tried;
                    is_smaller = true;
                }
                Some(false) => start = end,
            }
        }
        if size == 1 && !is_smaller {
            return;
        }
        parts = if is_smaller { parts.max(2) } else { (parts * 2).min(least.len().max(2)) };
    }
}

struct Shrinking {
    property: Property,
    runs_left: usize,
}

/// The smallest scenario found that breaks `property` as `scenario` does.
pub fn shrink(scenario: &Scenario, property: Property) -> Scenario {
    let mut shrinking = Shrinking { property, runs_left: RUNS_MAX };
    let mut least = scenario.clone();
    least.broke = Some(property.id().to_owned());
    shrinking.without_silence(&mut least);
    shrinking.shorten(&mut least);
    loop {
        let before = (least.steps.len(), least.devices, least.days);
        shrinking.fewer_steps(&mut least);
        shrinking.fewer_devices(&mut least);
        shrinking.shorten(&mut least);
        if (least.steps.len(), least.devices, least.days) == before {
            return least;
        }
    }
}

impl Shrinking {
    fn still_breaks(&mut self, scenario: &Scenario) -> bool {
        if self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let broke = run(scenario, false).ok().and_then(|outcome| outcome.violation);
        broke.is_some_and(|violation| violation.property == self.property)
    }

    fn take_if(&mut self, least: &mut Scenario, tried: Scenario) -> bool {
        let breaks = self.still_breaks(&tried);
        if breaks {
            *least = tried;
        }
        breaks
    }

    /// Without what comes after healing, or at least with the disk that was replaced then.
    fn without_silence(&mut self, least: &mut Scenario) {
        let Some(silence) = least.silence else { return };
        if !self.take_if(least, Scenario { silence: None, ..least.clone() }) {
            let silence = Some(Silence { disk_of: None, ..silence });
            self.take_if(least, Scenario { silence, ..least.clone() });
        }
    }

    /// Half the days, as often as possible.
    fn shorten(&mut self, least: &mut Scenario) {
        while least.days > 1 {
            let days = least.days / 2;
            let in_time = |step: &&Step| step.at_s <= days * 86_400;
            let steps = least.steps.iter().filter(in_time).copied().collect();
            if !self.take_if(least, Scenario { days, steps, ..least.clone() }) {
                return;
            }
        }
    }

    /// Leaves out ever smaller parts of the schedule.
    fn fewer_steps(&mut self, least: &mut Scenario) {
        let head = Scenario { steps: Vec::new(), ..least.clone() };
        fewer(&mut least.steps, |steps| {
            let tried = Scenario { steps: steps.to_vec(), ..head.clone() };
            let breaks = self.still_breaks(&tried);
            (breaks || self.runs_left > 0).then_some(breaks)
        });
    }

    /// Without the last device, if no step speaks of it. The circle of fewer devices is another
    /// one, so this often fails; a seed is cheap to try.
    fn fewer_devices(&mut self, least: &mut Scenario) {
        while least.devices > *DEVICES.start() {
            let devices = least.devices - 1;
            let tried = Scenario { devices, ..least.clone() };
            if tried.check().is_err() || !self.take_if(least, tried) {
                return;
            }
        }
    }
}
