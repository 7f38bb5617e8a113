//! What is counted over all circles. Integers, so that the order of adding does not matter; weights
//! of rare runs are added in the order of circles.

use std::collections::BTreeMap;

use super::{
    agenda::Millis,
    numbers::{float, float_wide},
};

/// Why something happened.
pub type Cause = &'static str;

/// How often, by length: eight classes for every doubling. What is still under way at the end of a run
/// counts as under way until then (Kaplan and Meier); what can never end ranks as longest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Ended, and still under way, by how long it took until then.
    classes: BTreeMap<u32, [u64; 2]>,
    ended: u64,
    open: u64,
    endless: u64,
    sum: u128,
}

impl Lengths {
    /// Adds one that ended.
    pub fn add(&mut self, length: Millis) {
        self.classes.entry(class(length)).or_default()[0] += 1;
        self.ended += 1;
        self.sum += u128::from(length);
    }

    /// Adds one that was under way for so long when the run ended.
    pub fn add_open(&mut self, length: Millis) {
        self.classes.entry(class(length)).or_default()[1] += 1;
        self.open += 1;
    }

    /// Adds one that can never end.
    pub const fn add_endless(&mut self) {
        self.endless += 1;
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.ended + self.open + self.endless
    }

    /// How many of them did not end.
    pub const fn unfinished(&self) -> u64 {
        self.open + self.endless
    }

    /// Mean of those that ended.
    pub fn mean(&self) -> f64 {
        float_wide(self.sum) / float(self.ended.max(1))
    }

    /// A length that so many of a thousand do not exceed; at most an eighth too long. None when it
    /// is longer than what was seen to end.
    pub fn quantile(&self, per_mille: u64) -> Option<Millis> {
        let share = float(per_mille) / 1_000.0 - 1e-12;
        self.curve().find(|(_, ended)| *ended >= share).map(|(length, _)| length)
    }

    /// Lengths, ascending, and the share that does not exceed each; as far as any were seen to end.
    pub fn curve(&self) -> impl Iterator<Item = (Millis, f64)> {
        let (mut at_risk, mut longer) = (self.count(), 1.0);
        self.classes.iter().filter_map(move |(class, [ended, open])| {
            longer *= 1.0 - float(*ended) / float(at_risk);
            at_risk -= ended + open;
            (*ended > 0).then(|| (longest(*class), 1.0 - longer))
        })
    }

    fn merge(&mut self, other: &Self) {
        for (class, [ended, open]) in &other.classes {
            let sum = self.classes.entry(*class).or_default();
            *sum = [sum[0] + ended, sum[1] + open];
        }
        let sums = [
            (&mut self.ended, other.ended),
            (&mut self.open, other.open),
            (&mut self.endless, other.endless),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.sum += other.sum;
    }
}

fn class(length: Millis) -> u32 {
    let length = length.max(8);
    let doubling = length.ilog2();
    let eighth = (length >> (doubling - 3)) & 7;
    doubling * 8 + u32::try_from(eighth).unwrap_or(7)
}

fn longest(class: u32) -> Millis {
    let (doubling, eighth) = (class / 8, u64::from(class % 8));
    ((8 + eighth + 1) << (doubling - 3)) - 1
}

/// All counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Circles that were run.
    pub circles: u64,
    /// Events of all of them.
    pub events: u64,
    /// Placement groups of which too few shards were left, by what took the last one. The files may
    /// still have been on their device.
    pub backups_lost: BTreeMap<String, u64>,
    /// Placement groups that were gone for good: too few shards, and no original.
    pub groups_lost: BTreeMap<String, u64>,
    /// Circles that lost anything for good.
    pub circles_lost: u64,
    /// Circles of which at any time too few shards of anything were left.
    pub circles_bare: u64,
    /// Circles that met a common cause, apart.
    pub common: u64,
    /// Devices lost for good.
    pub devices_lost: u64,
    /// Times that a holder was presumed lost that was not.
    pub false_alarms: u64,
    /// From the loss of a holder until a source knew: by watching, by people, or by the new device.
    pub detection: Lengths,
    /// From a loss (or from the start, of what was not placed yet) until a group was as it should be.
    pub protection: Lengths,
    /// From the new device until all files were back on it.
    pub restore: Lengths,
    /// Bytes over lines, by cause.
    pub bytes: BTreeMap<Cause, u128>,
    /// Looks at a group: how many; how many could not be read then, within a day, within a week.
    pub looks: [u64; 4],
    /// Over circles, for looks at one circle say little more than one: circles that were looked at,
    /// the squares of all four, and the first times each of the others.
    pub look_sums: [f64; 8],
    /// Sum of the squares of lost groups of each circle.
    pub groups_lost_squared: u64,
    /// Sum of weights of rare runs that lost something, and of their squares.
    pub weights: [f64; 2],
}

impl Tally {
    /// What the looks at one circle add to the sums over circles.
    pub fn looks_of_a_circle(&self) -> [f64; 8] {
        let [all, now, day, week] = self.looks.map(float);
        let looked = if all > 0.0 { 1.0 } else { 0.0 };
        let squares = [all * all, now * now, day * day, week * week];
        let [a, b, c, d] = squares;
        [looked, a, b, c, d, all * now, all * day, all * week]
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        let sums = [
            (&mut self.circles, other.circles),
            (&mut self.events, other.events),
            (&mut self.circles_lost, other.circles_lost),
            (&mut self.circles_bare, other.circles_bare),
            (&mut self.common, other.common),
            (&mut self.devices_lost, other.devices_lost),
            (&mut self.false_alarms, other.false_alarms),
            (&mut self.groups_lost_squared, other.groups_lost_squared),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        let causes = [
            (&mut self.backups_lost, &other.backups_lost),
            (&mut self.groups_lost, &other.groups_lost),
        ];
        for (sum, more) in causes {
            more.iter().for_each(|(cause, count)| *sum.entry(cause.clone()).or_default() += count);
        }
        other
            .bytes
            .iter()
            .for_each(|(cause, count)| *self.bytes.entry(cause).or_default() += count);
        self.detection.merge(&other.detection);
        self.protection.merge(&other.protection);
        self.restore.merge(&other.restore);
        self.looks.iter_mut().zip(other.looks).for_each(|(sum, more)| *sum += more);
        let sums = self.look_sums.iter_mut().zip(other.look_sums);
        sums.for_each(|(sum, more)| *sum += more);
        self.weights.iter_mut().zip(other.weights).for_each(|(sum, more)| *sum += more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_to_an_eighth() {
        let mut lengths = Lengths::default();
        (1..=1_000_u64).for_each(|length| lengths.add(length * 1_000));
        for (per_mille, exact) in [(500, 500_000), (950, 950_000), (990, 990_000)] {
            let told = lengths.quantile(per_mille).expect("there are some");
            assert!(told >= exact && told - exact <= exact / 8, "{told} for {exact}");
        }
        assert_eq!(Lengths::default().quantile(500), None);
    }

    // LAB-4
    #[test]
    fn lab_4_what_is_not_over_at_the_end_is_not_forgotten() {
        // Each takes 10 days; every second run ends after 6: those say nothing of longer times.
        let day = 86_400_000;
        let mut lengths = Lengths::default();
        for _ in 0..50 {
            lengths.add(10 * day);
            lengths.add_open(6 * day);
        }
        assert_eq!((lengths.count(), lengths.unfinished()), (100, 50));
        assert!(lengths.quantile(500).is_some_and(|told| told >= 10 * day));
        assert!((lengths.mean() / 864e6 - 1.0).abs() < 1e-12);
        // A quarter can never end: those are the longest.
        let mut lengths = Lengths::default();
        (0..75).for_each(|_| lengths.add(day));
        (0..25).for_each(|_| lengths.add_endless());
        assert!(lengths.quantile(750).is_some());
        assert_eq!(lengths.quantile(760), None);
    }
}
