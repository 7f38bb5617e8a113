//! What is counted over all circles. Integers, so that the order of adding does not matter; weights
//! of rare runs are added in the order of circles.

use std::collections::BTreeMap;

use super::agenda::Millis;

/// Why something happened.
pub type Cause = &'static str;

/// How often, by length: eight classes for every doubling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lengths {
    classes: BTreeMap<u32, u64>,
    count: u64,
}

impl Lengths {
    /// Adds one.
    pub fn add(&mut self, length: Millis) {
        *self.classes.entry(class(length)).or_default() += 1;
        self.count += 1;
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// A length that so many of a thousand do not exceed; at most an eighth too long.
    pub fn quantile(&self, per_mille: u64) -> Option<Millis> {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        self.classes.iter().find_map(|(class, count)| {
            seen += count;
            (seen >= rank).then(|| longest(*class))
        })
    }

    fn merge(&mut self, other: &Self) {
        other.classes.iter().for_each(|(class, count)| {
            *self.classes.entry(*class).or_default() += count;
        });
        self.count += other.count;
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
    /// Bytes of those.
    pub bytes_lost: u64,
    /// Circles that lost anything for good.
    pub circles_lost: u64,
    /// Circles of which at any time too few shards of anything were left.
    pub circles_bare: u64,
    /// Common causes, apart.
    pub common: u64,
    /// Devices lost for good.
    pub devices_lost: u64,
    /// Times that a holder was presumed lost that was not.
    pub false_alarms: u64,
    /// Times that one was presumed lost that was, by watching alone.
    pub alarms: u64,
    /// From a loss until it was presumed or said, by watching or people.
    pub detection: Lengths,
    /// From a loss (or from the start, of what was not placed yet) until a group was as it should be.
    pub protection: Lengths,
    /// From the new device until all files were back on it.
    pub restore: Lengths,
    /// Bytes over lines, by cause.
    pub bytes: BTreeMap<Cause, u64>,
    /// Looks at a group: how many; how many could not be read then, within a day, within a week.
    pub looks: [u64; 4],
    /// Sum of the squares of lost groups of each circle.
    pub groups_lost_squared: u64,
    /// Sum of weights of rare runs that lost something, and of their squares.
    pub weights: [f64; 2],
}

impl Tally {
    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        let sums = [
            (&mut self.circles, other.circles),
            (&mut self.events, other.events),
            (&mut self.bytes_lost, other.bytes_lost),
            (&mut self.circles_lost, other.circles_lost),
            (&mut self.circles_bare, other.circles_bare),
            (&mut self.common, other.common),
            (&mut self.devices_lost, other.devices_lost),
            (&mut self.false_alarms, other.false_alarms),
            (&mut self.alarms, other.alarms),
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
}
