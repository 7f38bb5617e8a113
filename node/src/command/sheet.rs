//! The recovery sheet: what one page of paper has to say.

use serde::{Deserialize, Serialize};

use super::{Secret, Time};

/// See [`Outcome::Sheet`](super::Outcome::Sheet). The phrase is never in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetOutcome {
    /// Id of the vault.
    pub vault: String,
    /// Id of the device that made it.
    pub device: String,
    /// Name of that device.
    pub name: String,
    /// When it was made.
    pub made: Time,
    /// Who keeps something for the vault, the most useful first.
    pub holders: Vec<SheetHolder>,
    /// Relays that this node uses, without their tokens.
    pub relays: Vec<String>,
    /// Devices of the vault, in the order in which they were added.
    pub devices: Vec<SheetDevice>,
    /// What to type on a new device: near a holder, elsewhere, to compare, to restore. Words in
    /// capitals stand for what is on the sheet, or for a choice.
    pub commands: [String; 4],
    /// What goes on paper and into no document: the command line takes it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aside: Option<SheetAside>,
}

impl SheetOutcome {
    /// What to type on a new device of a circle that has relays, or has none.
    pub fn commands(has_relays: bool) -> [String; 4] {
        // What leads to holders that have moved comes before what may not.
        let far = if has_relays { "--relay \"RELAY\"" } else { "--connect \"TICKET\"" };
        [
            "larder recover --phrase-file words.txt".to_owned(),
            format!("larder recover --phrase-file words.txt {far}"),
            "larder sheet".to_owned(),
            "larder restore latest --to FOLDER".to_owned(),
        ]
    }
}

/// A holder, and where to find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetHolder {
    /// Id of its device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Its household.
    pub site: String,
    /// The text for `recover --connect`.
    pub ticket: String,
    /// When it was last heard of.
    pub last_seen: Option<Time>,
    /// Bytes that it has signed for.
    pub holds_bytes: u64,
}

/// A device of the vault, and how far what it saved has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetDevice {
    /// Its id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Number of its newest state that holders have; `null` when it has saved nothing.
    pub head: Option<u64>,
    /// When that was saved; `null` too when it is not known any more.
    pub time: Option<Time>,
}

/// Secret or of no use to scripts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SheetAside {
    /// What the device log says of the phrase of this vault: its public keys, encoded, in hex.
    pub recovery: String,
    /// Relays with their tokens.
    pub relays: Vec<Secret>,
}
