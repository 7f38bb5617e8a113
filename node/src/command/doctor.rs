//! Of `doctor`: what was looked at, and how it is.

use serde::{Deserialize, Serialize};

use super::ExitKind;

/// See [`Outcome::Doctor`](super::Outcome::Doctor).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoctorOutcome {
    /// In a fixed order. Exit code 1 when one is `bad`, 4 when that is [`Self::HOLDERS`] alone.
    pub checks: Vec<Check>,
}

impl DoctorOutcome {
    /// Name of the check that says whether enough holders can be reached.
    pub const HOLDERS: &str = "holders";

    /// How the process exits.
    pub fn exit_kind(&self) -> ExitKind {
        let mut bad = self.checks.iter().filter(|check| check.state == Health::Bad);
        match bad.clone().count() {
            0 => ExitKind::Done,
            _ if bad.all(|check| check.name == Self::HOLDERS) => ExitKind::Holders,
            _ => ExitKind::Failed,
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at: a short fixed name such as `clock`.
    pub name: String,
    /// How it is.
    pub state: Health,
    /// What was found.
    pub found: String,
    /// What to do, unless it is good.
    pub hint: Option<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// As it should be.
    Good,
    /// Works, but should be looked after.
    Poor,
    /// Does not work.
    Bad,
}
