//! Whether everything could be restored now: looked at at random moments, a few times a year, then
//! again over the day and the week that follow.

use super::{Circle, Event, Millis};
use crate::lab::{
    numbers::{stream::Stream, whole},
    plan::{DAY_MS, Devices, size},
};

/// Days between two looks at most; half of that on average.
const GAP_DAYS: f64 = 60.0;

/// The looks of one circle.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    stream: Stream,
    /// Whoever was seen since the look began.
    seen: Devices,
    /// 0 waits, 1 looks for a day, 2 for a week.
    phase: u8,
}

impl Probe {
    pub(super) const fn new(stream: Stream) -> Self {
        Self { stream, seen: 0, phase: 0 }
    }

    pub(super) fn first(&mut self) -> Millis {
        whole(self.stream.uniform() * GAP_DAYS * DAY_MS)
    }

    pub(super) const fn saw(&mut self, on: Devices) {
        self.seen |= on;
    }
}

impl Circle<'_> {
    pub(super) fn look(&mut self) {
        let k = self.plan.scenario.policy.k;
        let phase = self.probe.phase;
        if phase == 0 {
            self.probe.seen = self.on;
        }
        let seen = self.probe.seen;
        let there = self.groups.iter().filter(|group| !group.is_dead() && !group.is_new());
        let (mut all, mut out) = (0, 0);
        for group in there {
            all += 1;
            out += u64::from(size(group.held & seen) < k);
        }
        if phase == 0 {
            self.tally.looks[0] += all;
        }
        self.tally.looks[usize::from(phase) + 1] += out;
        self.probe.phase = (phase + 1) % 3;
        let wait = match phase {
            0 => DAY_MS,
            1 => 6.0 * DAY_MS,
            _ => self.probe.stream.uniform() * GAP_DAYS * DAY_MS,
        };
        let at = self.after(wait);
        self.set(Event::Look, at);
    }
}
