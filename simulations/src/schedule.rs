//! A run as data: the seed, the size, and a list of timed steps: what people do and what goes
//! wrong. Written to and read from TOML; a failing run is replayed from it and shrunk.
//!
//! **Invariant:** the steps are the whole difference between a quiet world and a bad one. What the
//! seed alone decides (who lives where, how fast, how messages are delayed) is drawn from streams
//! of its own, see `dice.rs`.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{bug::Bug, circle::Circle};

pub mod generate;

/// Devices of one run: a circle is small.
pub const DEVICES: std::ops::RangeInclusive<usize> = 3..=20;
/// Days of one run.
pub const DAYS: std::ops::RangeInclusive<u64> = 1..=3_650;
/// Days of the silence after healing.
pub const SILENT_DAYS: std::ops::RangeInclusive<u64> = 1..=60;
/// Steps of one run.
const STEPS_MAX: usize = 200_000;

/// How a hostile holder behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hostility {
    /// Throws files away and goes on saying that it keeps them.
    Drops,
    /// Serves wrong bytes.
    Lies,
    /// Shows no head newer than those of the day it turned bad.
    Hides,
    /// Gives receipts that are not good.
    Forges,
    /// Takes everything and answers nothing.
    Stalls,
}

/// What a person does, or what goes wrong. Devices are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the line above each variant says what its fields are")]
pub enum What {
    /// New data on a device, and a backup of it.
    Backup { device: usize, packs: u64 },
    /// The user asks whether all holders still have what they signed for.
    Verify { device: usize },
    /// The user of a device says that another one is lost, which need not be true; or, `back`, that it
    /// is not.
    SayLost { device: usize, other: usize, back: bool },
    /// So many of a hundred packs are not needed any more from the next backup on.
    Forget { device: usize, percent: u64 },
    /// A new device recovers what this one has backed up, with the phrase alone; it is killed so
    /// many times on the way.
    Recover { device: usize, kills: u64 },
    /// Switched off for days.
    Holiday { device: usize, days: u64 },
    /// The user of a device lowers or raises what it grants to others, in percent of the first.
    Grant { device: usize, percent: u64 },
    /// Stolen or burnt, for good.
    Lose { device: usize },
    /// The connections between two devices break.
    Reset { device: usize, other: usize },
    /// Nothing passes from one device to the other, nor back unless `one_way`.
    Partition { device: usize, other: usize, for_s: u64, one_way: bool },
    /// In mid-transfer: at the n-th message that reaches the device from now on, the connection
    /// that it came by breaks (`for_s` 0), or nothing passes there any more for so long.
    Sever { device: usize, messages: u64, for_s: u64, one_way: bool },
    /// A device reaches nobody.
    Isolate { device: usize, for_s: u64 },
    /// The link of a device has so many bytes per millisecond.
    Slow { device: usize, bytes_per_ms: u64, for_s: u64 },
    /// So many of a hundred messages of a device are swallowed.
    Loss { device: usize, percent: u64, for_s: u64 },
    /// Messages of a device take longer, up to so much, and overtake each other.
    Delay { device: usize, ms: u64, for_s: u64 },
    /// So many of a hundred messages of a device come twice.
    Duplicate { device: usize, percent: u64, for_s: u64 },
    /// Power cut: what was not synced may be lost.
    Crash { device: usize, down_s: u64 },
    /// The same, at the n-th thing that happens to the device from now on.
    CrashAtStep { device: usize, steps: u64, down_s: u64 },
    /// Bits of some files flip.
    BitRot { device: usize, percent: u64 },
    /// Other programs fill the disk.
    FullDisk { device: usize, for_s: u64 },
    /// The disk with the shards is replaced by an empty one.
    ReplaceDisk { device: usize },
    /// The whole device is set back to the image taken at `image_s`.
    RollBack { device: usize, image_s: u64 },
    /// The wall clock jumps.
    Clock { device: usize, by_s: i64 },
    /// Asleep.
    Suspend { device: usize, for_s: u64 },
    /// Bad from now on.
    Hostile { device: usize, way: Hostility },
}

impl What {
    /// Whose step it is.
    pub const fn device(&self) -> usize {
        match *self {
            Self::Backup { device, .. }
            | Self::Verify { device }
            | Self::SayLost { device, .. }
            | Self::Forget { device, .. }
            | Self::Recover { device, .. }
            | Self::Holiday { device, .. }
            | Self::Grant { device, .. }
            | Self::Lose { device }
            | Self::Reset { device, .. }
            | Self::Partition { device, .. }
            | Self::Sever { device, .. }
            | Self::Isolate { device, .. }
            | Self::Slow { device, .. }
            | Self::Loss { device, .. }
            | Self::Delay { device, .. }
            | Self::Duplicate { device, .. }
            | Self::Crash { device, .. }
            | Self::CrashAtStep { device, .. }
            | Self::BitRot { device, .. }
            | Self::FullDisk { device, .. }
            | Self::ReplaceDisk { device }
            | Self::RollBack { device, .. }
            | Self::Clock { device, .. }
            | Self::Suspend { device, .. }
            | Self::Hostile { device, .. } => device,
        }
    }

    /// Whether it costs a part of the fault budget: what it hits may be lost or lies for good.
    pub const fn is_destructive(&self) -> bool {
        matches!(
            self,
            Self::Lose { .. }
                | Self::BitRot { .. }
                | Self::ReplaceDisk { .. }
                | Self::RollBack { .. }
                | Self::Hostile { .. }
        )
    }
}

/// A step and when it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Seconds from the start.
    pub at_s: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// All devices of one vault are silent, once the world has healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Which vault, from 0.
    pub vault: usize,
    /// For how many days.
    pub days: u64,
    /// The disk of this device is replaced by an empty one at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_of: Option<usize>,
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Decides everything that the steps do not.
    pub seed: u64,
    /// How many devices.
    pub devices: usize,
    /// How many days until the world heals.
    pub days: u64,
    /// A deliberate bug of the shells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<Bug>,
    /// The requirement that this run broke when it was written, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<String>,
    /// What comes after healing, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<Silence>,
    /// In order of time.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ScenarioError {
    /// Not TOML, or not of this shape.
    #[error("the scenario cannot be read")]
    Form(#[from] toml::de::Error),
    /// Too few or too many devices.
    #[error("{met} devices: a run has {} to {}", DEVICES.start(), DEVICES.end())]
    Devices { met: usize },
    /// Too short or too long.
    #[error("{met} days: a run has {} to {}", DAYS.start(), DAYS.end())]
    Days { met: u64 },
    /// A step of a device that is not there.
    #[error("a step of device {met}: the devices are 0 to {last}")]
    Device { met: usize, last: usize },
    /// A value that makes no sense.
    #[error("step {index} has a value out of bounds")]
    Value { index: usize },
    /// A silence of a vault that is not there or has no two holders, or that is too long.
    #[error("the silence has a value out of bounds")]
    Silence,
    /// More steps than can be meant.
    #[error("{met} steps, {STEPS_MAX} allowed")]
    Steps { met: usize },
    /// More sites are hit than the copies can bear.
    #[error("the steps destroy at {met} sites, the fault budget of this seed allows {allowed}")]
    Budget { met: usize, allowed: usize },
}

impl Silence {
    fn is_sound(&self, circle: &Circle) -> bool {
        // Of at least two holders one can look after what the other has lost.
        self.vault < circle.vaults.len()
            && circle.outside(self.vault).nth(1).is_some()
            && SILENT_DAYS.contains(&self.days)
            && self.disk_of.is_none_or(|device| device < circle.devices.len())
    }
}

impl Scenario {
    /// Reads a scenario and checks that it can be run.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let mut scenario: Self = toml::from_str(text)?;
        scenario.steps.sort_by_key(|step| step.at_s);
        scenario.check()?;
        Ok(scenario)
    }

    /// The text of a scenario file.
    pub fn write(&self) -> String {
        toml::to_string(self).expect("a scenario is a plain table")
    }

    /// Whether it can be run and stays within the fault budget.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn check(&self) -> Result<(), ScenarioError> {
        if !DEVICES.contains(&self.devices) {
            return Err(ScenarioError::Devices { met: self.devices });
        }
        if !DAYS.contains(&self.days) {
            return Err(ScenarioError::Days { met: self.days });
        }
        if self.steps.len() > STEPS_MAX {
            return Err(ScenarioError::Steps { met: self.steps.len() });
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.check_step(index, step)?;
        }
        let circle = Circle::new(self.seed, self.devices);
        if self.silence.is_some_and(|silence| !silence.is_sound(&circle)) {
            return Err(ScenarioError::Silence);
        }
        let destructive = self.steps.iter().filter(|step| step.what.is_destructive());
        let destroyed = destructive.map(|step| step.what.device());
        let destroyed = destroyed.chain(self.silence.and_then(|silence| silence.disk_of));
        let sites: BTreeSet<usize> = destroyed.map(|device| circle.devices[device].site).collect();
        let allowed = circle.bad_sites_max();
        if sites.len() > allowed {
            return Err(ScenarioError::Budget { met: sites.len(), allowed });
        }
        Ok(())
    }

    fn check_step(&self, index: usize, step: &Step) -> Result<(), ScenarioError> {
        let last = self.devices - 1;
        let other = match step.what {
            What::Reset { other, .. }
            | What::Partition { other, .. }
            | What::SayLost { other, .. } => other,
            _ => 0,
        };
        let met = step.what.device().max(other);
        if met > last {
            return Err(ScenarioError::Device { met, last });
        }
        let sound = match step.what {
            What::Backup { packs, .. } => packs <= 1_000,
            What::SayLost { device, other, .. } => device != other,
            What::Recover { kills, .. } => kills <= 100,
            What::Slow { bytes_per_ms, .. } => bytes_per_ms > 0,
            What::Loss { percent, .. }
            | What::Duplicate { percent, .. }
            | What::BitRot { percent, .. }
            | What::Forget { percent, .. } => percent <= 100,
            What::Grant { percent, .. } => percent <= 1_000,
            What::RollBack { image_s, .. } => image_s <= step.at_s,
            _ => true,
        };
        let in_time = step.at_s <= self.days.saturating_mul(86_400);
        if sound && in_time { Ok(()) } else { Err(ScenarioError::Value { index }) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, second) = (self.at_s / 86_400, self.at_s % 86_400);
        write!(f, "day {day} {:02}:{:02} {:?}", second / 3_600, second / 60 % 60, self.what)
    }
}
