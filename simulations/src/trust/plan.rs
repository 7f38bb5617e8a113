//! A run as data: how many, and what they do one after the other. Written to and read from TOML; a failing run is
//! replayed from it and shrunk.
//!
//! Homes are devices and holders, in the order in which they came; a number beyond the last begins again with
//! the first, so that a plan from which acts were taken out still means something.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::dice::Dice;

/// Devices of the vault when it begins.
pub const DEVICES: std::ops::RangeInclusive<usize> = 1..=8;
/// Holders that are none of its devices.
pub const HOLDERS: std::ops::RangeInclusive<usize> = 1..=6;
/// Acts of one run.
const ACTS_MAX: usize = 10_000;
/// The same thing a thief does in one act.
const COUNT_MAX: usize = 200;
/// Logs that the thief keeps beside each other.
pub(super) const COPIES: usize = 4;

/// Something that a home does, a person, or the thief.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the line above each variant says what its fields are")]
pub enum Act {
    /// One home meets another: it takes what that one knows, and tells it what it lacks, in messages of `lot`
    /// entries at the most. After `cut` messages the line breaks; 0: it holds.
    Meet { from: usize, to: usize, lot: usize, cut: usize },
    /// Power cut. The log is read back from its files, in whatever order.
    Restart { home: usize },
    /// The same, the next time that this home takes entries, after so many of their files.
    Tear { home: usize, files: usize },
    /// A device takes in a new one, as owner or as member.
    TakeIn { by: usize, member: bool },
    /// A device gives another one, or itself, a new name.
    Call { by: usize, whom: usize },
    /// A device makes a backup: a head, under an epoch that is in force.
    Seal { by: usize },
    /// A device is lost: it does nothing any more.
    Lose { device: usize },
    /// A device throws out one that is lost; `undo`: with what that one had removed taken back.
    ThrowOut { by: usize, whom: usize, undo: bool },
    /// A device is stolen; the first time alone.
    Steal { device: usize },
    /// The thief asks a home for its log, as any device may.
    Learn { copy: usize, from: usize },
    /// The thief goes back to an earlier state: so many of a hundred entries.
    Branch { copy: usize, percent: usize },
    /// The thief takes in an accomplice.
    Plant { copy: usize, by: usize, member: bool },
    /// The thief throws a device out.
    Evict { copy: usize, by: usize, whom: usize },
    /// The thief begins epochs.
    Begin { copy: usize, by: usize, count: usize },
    /// The thief gives names.
    Name { copy: usize, by: usize, whom: usize, count: usize },
    /// The thief gives his devices names beside each other, those of three times as many that have the smallest hashes: nobody
    /// can build on all of them at once.
    Crowd { copy: usize, count: usize },
    /// The thief tells a home what it lacks of a copy, in messages of `lot` entries, `skip` of a hundred left out.
    Show { copy: usize, to: usize, lot: usize, skip: usize },
    /// The thief tells a home what is no entry.
    Forge { copy: usize, to: usize },
}

/// When, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Seconds from the start; no two turns have one second.
    pub at_s: u64,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// One deliberate bug of the homes. The log itself is never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slip {
    /// What has no room is refused at once: nothing waits for what builds on it.
    RefuseAtOnce,
    /// What waits is forgotten from one request to the next.
    ForgetWaiting,
    /// At a start it is asked whether there is room for what was taken before.
    AskRoomAtStart,
    /// A backup is sealed with the newest key that its device has, whoever else has it.
    SealUnderAnyKey,
    /// A head names the newest names as well.
    HeadNamesNames,
    /// Nothing is built on what does not count before a head names it.
    LeaveLoose,
    /// What is on the disk is counted before all of it is there, and not read again after a crash.
    KeepTorn,
}

impl Slip {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::RefuseAtOnce,
        Self::ForgetWaiting,
        Self::AskRoomAtStart,
        Self::SealUnderAnyKey,
        Self::HeadNamesNames,
        Self::LeaveLoose,
        Self::KeepTorn,
    ];
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Decides everything that the turns do not.
    pub seed: u64,
    /// Devices at the beginning, each taken in by one before it.
    pub devices: usize,
    /// Holders.
    pub holders: usize,
    /// A deliberate bug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slip: Option<Slip>,
    /// The requirement that this run broke when it was written, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broke: Option<String>,
    /// In order of time.
    #[serde(default)]
    pub turns: Vec<Turn>,
}

/// Why a plan cannot be run.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum PlanError {
    /// Not TOML, or not of this shape.
    #[error("the plan cannot be read")]
    Form(#[from] toml::de::Error),
    /// Too few or too many homes.
    #[error(
        "{devices} devices and {holders} holders: a run has {} to {} and {} to {}",
        DEVICES.start(), DEVICES.end(), HOLDERS.start(), HOLDERS.end()
    )]
    Homes { devices: usize, holders: usize },
    /// More turns than can be meant, or two at one time.
    #[error("at most {ACTS_MAX} turns, one in a second, none later than second {AT_S_MAX}")]
    Turns,
    /// A value that makes no sense.
    #[error("turn {index} has a value out of bounds")]
    Value { index: usize },
}

/// The latest turn: a year.
pub(super) const AT_S_MAX: u64 = 86_400 * 366;

impl Plan {
    /// Reads a plan and checks that it can be run.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn read(text: &str) -> Result<Self, PlanError> {
        let mut plan: Self = toml::from_str(text)?;
        plan.turns.sort_by_key(|turn| turn.at_s);
        plan.check()?;
        Ok(plan)
    }

    /// The text of a plan.
    pub fn write(&self) -> String {
        toml::to_string(self).expect("a plan is a plain table")
    }

    /// Whether it can be run.
    ///
    /// # Errors
    /// [`PlanError`].
    pub fn check(&self) -> Result<(), PlanError> {
        let Self { devices, holders, .. } = *self;
        if !DEVICES.contains(&devices) || !HOLDERS.contains(&holders) {
            return Err(PlanError::Homes { devices, holders });
        }
        let is_late = self.turns.last().is_some_and(|turn| turn.at_s > AT_S_MAX);
        let is_in_order = self.turns.is_sorted_by(|one, next| one.at_s < next.at_s);
        if self.turns.len() > ACTS_MAX || is_late || !is_in_order {
            return Err(PlanError::Turns);
        }
        let wrong = self.turns.iter().position(|turn| !turn.act.is_sound());
        wrong.map_or(Ok(()), |index| Err(PlanError::Value { index }))
    }

    /// The run of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 0, "trust");
        let mut maker = Maker { turns: Vec::new(), dice: Dice::new(seed, 1, "trust") };
        let (devices, holders) = (2 + dice.pick(5), 2 + dice.pick(3));
        let quiet = 5 + dice.pick(20);
        maker.ordinary(quiet);
        // One run of eight has no thief: whatever honest devices do apart, they come to see the same.
        if !dice.chance(12) {
            let founder = dice.chance(20);
            maker.steal(if founder { 0 } else { dice.pick(devices) });
            for _ in 0..=dice.pick(2) {
                if dice.chance(60) {
                    maker.lots(dice.chance(15));
                } else {
                    maker.tricks(4 + dice.pick(16));
                }
                maker.ordinary(4 + dice.pick(14));
            }
        }
        Self { seed, devices, holders, slip: None, broke: None, turns: maker.turns }
    }
}

impl Act {
    const fn is_sound(&self) -> bool {
        match *self {
            Self::Meet { lot, .. } => lot > 0,
            Self::Show { lot, skip, .. } => lot > 0 && skip < 100,
            Self::Branch { percent, .. } => percent <= 100,
            Self::Begin { count, .. } | Self::Name { count, .. } | Self::Crowd { count, .. } => {
                count <= COUNT_MAX
            }
            _ => true,
        }
    }
}

struct Maker {
    turns: Vec<Turn>,
    dice: Dice,
}

impl Maker {
    fn add(&mut self, act: Act) {
        let last = self.turns.last().map_or(0, |turn| turn.at_s);
        // Now and then within the minute for which what waits is kept, mostly not.
        self.turns.push(Turn { at_s: last + self.dice.tail(5, 20_000), act });
    }

    fn any(&mut self) -> usize {
        self.dice.pick(12)
    }

    fn meet(&mut self) {
        let (from, to) = (self.any(), self.any());
        let (lot, cut) = (self.lot(), if self.dice.chance(20) { 1 + self.dice.pick(6) } else { 0 });
        self.add(Act::Meet { from, to, lot, cut });
    }

    fn lot(&mut self) -> usize {
        self.dice.one(&[1, 7, 40, 1_000, 1_000])
    }

    /// What honest devices and their people do.
    fn ordinary(&mut self, count: usize) {
        for _ in 0..count {
            let (by, whom) = (self.any(), self.any());
            match self.dice.range(0, 99) {
                0..55 => self.meet(),
                55..63 => {
                    let member = self.dice.chance(40);
                    self.add(Act::TakeIn { by, member });
                }
                63..70 => self.add(Act::Call { by, whom }),
                70..80 => self.add(Act::Seal { by }),
                80..84 => self.add(Act::Lose { device: whom }),
                84..89 => {
                    let undo = self.dice.chance(50);
                    self.add(Act::ThrowOut { by, whom, undo });
                }
                89..95 => self.add(Act::Restart { home: whom }),
                _ => {
                    let files = self.dice.pick(40);
                    self.add(Act::Tear { home: whom, files });
                }
            }
        }
    }

    fn steal(&mut self, device: usize) {
        self.add(Act::Steal { device });
    }

    /// Different things for different homes, each as much as one takes, or a part of that.
    fn lots(&mut self, huge: bool) {
        // Of lots that are great more than two do not fit together, but by the word of the phrase.
        let copies = if huge { 2 } else { 2 + self.dice.pick(COPIES - 1) };
        for copy in 0..copies {
            let by = if self.dice.chance(80) { 0 } else { self.any() };
            if self.dice.chance(30) {
                self.add(Act::Branch { copy, percent: 100 });
            }
            for _ in 0..self.dice.pick(4) {
                let member = self.dice.chance(30);
                self.add(Act::Plant { copy, by, member });
            }
            let count = if huge { 60 + self.dice.pick(50) } else { 1 + self.dice.pick(24) };
            self.add(Act::Begin { copy, by, count });
            let (whom, count) = (self.any(), 1 + self.dice.pick(80));
            self.add(Act::Name { copy, by, whom, count });
        }
        for _ in 0..copies + self.dice.pick(6) {
            let copy = self.dice.pick(copies);
            self.show(copy);
        }
    }

    fn show(&mut self, copy: usize) {
        let (to, lot) = (self.any(), self.lot());
        let skip = if self.dice.chance(15) { self.dice.pick(50) } else { 0 };
        self.add(Act::Show { copy, to, lot, skip });
    }

    /// Somebody thrown out, and more than anybody can build on at once on top of that, for some to see and to write on.
    fn crowd(&mut self, (copy, by): (usize, usize), whom: usize) {
        self.add(Act::Evict { copy, by, whom });
        let count = 63 + self.dice.pick(60);
        self.add(Act::Crowd { copy, count });
        for _ in 0..3 {
            self.show(copy);
            let (by, whom) = (self.any(), self.any());
            let seals = self.dice.chance(50);
            self.add(if seals { Act::Seal { by } } else { Act::Call { by, whom } });
        }
    }

    /// Whatever else a thief comes to think of.
    fn tricks(&mut self, count: usize) {
        for _ in 0..count {
            let (copy, by, whom) = (self.dice.pick(COPIES), self.any(), self.any());
            match self.dice.range(0, 99) {
                0..12 => self.add(Act::Learn { copy, from: whom }),
                12..20 => {
                    let percent = self.dice.pick(101);
                    self.add(Act::Branch { copy, percent });
                }
                20..34 => {
                    let member = self.dice.chance(30);
                    self.add(Act::Plant { copy, by, member });
                }
                34..50 => self.add(Act::Evict { copy, by, whom }),
                50..57 => {
                    let count = 1 + self.dice.pick(4);
                    self.add(Act::Begin { copy, by, count });
                }
                57..62 => {
                    let count = 1 + self.dice.pick(8);
                    self.add(Act::Name { copy, by, whom, count });
                }
                62..65 => self.crowd((copy, by), whom),
                65..90 => self.show(copy),
                90..94 => self.add(Act::Forge { copy, to: whom }),
                _ => self.meet(),
            }
        }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minute, second) = (self.at_s / 60, self.at_s % 60);
        write!(f, "{minute}:{second:02} {:?}", self.act)
    }
}
