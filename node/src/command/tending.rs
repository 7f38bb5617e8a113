//! Vaults of the circle of which no device is heard of.

use serde::{Deserialize, Serialize};

/// A vault whose copies this node looks after, with others who hold for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TendedVault {
    /// Its id.
    pub vault: String,
    /// What those of its devices are called that are known here.
    pub devices: Vec<String>,
    /// For how long none of them was heard of, while this node was running, in milliseconds.
    pub silent_ms: u64,
    /// Others who hold for it.
    pub fellows: u32,
    /// Those of them that told in the last round what they keep.
    pub present: u32,
    /// Packs that it needs; 0 while nothing is known of them.
    pub packs: u64,
    /// Those of them that are on fewer sites than its devices wanted.
    pub short: u64,
    /// Those of them that nobody keeps who is counted on.
    pub nowhere: u64,
    /// Whether there is no room here for what is missing.
    pub is_full: bool,
}
