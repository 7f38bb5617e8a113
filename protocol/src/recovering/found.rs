//! What was found: the newest head of each device, its witnesses, and what does not fit.

use std::collections::{BTreeMap, BTreeSet};

use super::{HeadSeen, Recovering, Witness};
use crate::ids::{DeviceId, HeadHash};

/// The newest head of one device that leads to something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundHead {
    /// The head.
    pub head: HeadSeen,
    /// Holders that serve exactly this head: the N of "N of M witnesses".
    pub witnesses: BTreeSet<DeviceId>,
}

/// Something that does not fit, for people; no holder is blamed by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// One device signed two heads with one number: it was cloned or its key is stolen.
    Fork {
        /// Whose heads.
        device: DeviceId,
        /// Their number.
        seq: u64,
        /// Their hashes, as far as known.
        hashes: BTreeSet<HeadHash>,
    },
    /// A newer head is proven to exist and nobody that answered serves it.
    Missing {
        /// Whose head.
        device: DeviceId,
        /// Number of the newest found; 0 for none.
        found: u64,
        /// Number of the newest proven to exist.
        exists: u64,
    },
    /// A newer head is here, and what it leads to cannot be read from anybody that answered.
    Unreadable {
        /// Whose head.
        device: DeviceId,
        /// Its number.
        seq: u64,
    },
    /// A holder serves less than others; it may only not have been told.
    Behind {
        /// Who.
        holder: DeviceId,
        /// Whose head.
        device: DeviceId,
        /// Number of its newest; 0 for none.
        served: u64,
    },
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Found {
    /// The newest head of each device of the vault that leads to something, as far as is known.
    pub heads: BTreeMap<DeviceId, FoundHead>,
    /// What does not fit.
    pub findings: Vec<Finding>,
    /// Holders that answered: the M of "N of M witnesses".
    pub answered: BTreeSet<DeviceId>,
    /// Holders that did not.
    pub silent: BTreeSet<DeviceId>,
}

impl Recovering {
    /// What is found so far. Of two heads with one number the one with more witnesses is named,
    /// then the one with the smaller hash, and the fork is among the findings.
    pub fn found(&self) -> Found {
        let mut found = Found::default();
        for (holder, witness) in &self.witnesses {
            if witness.served.is_some() {
                found.answered.insert(*holder);
            } else {
                found.silent.insert(*holder);
            }
        }
        let answered = self.answered();
        let is_open = |head: &&HeadSeen| {
            self.unreadable.get(&head.hash).is_none_or(|answers| *answers < answered)
        };
        for head in self.heads.values().filter(is_open) {
            let candidate = FoundHead { witnesses: self.witnesses_of(head), head: head.clone() };
            let better = found.heads.get(&head.device).is_none_or(|best| {
                let rank = |it: &FoundHead| (it.head.seq, it.witnesses.len());
                rank(&candidate) > rank(best)
            });
            if better {
                found.heads.insert(head.device, candidate);
            }
        }
        found.findings = self.findings(&found);
        found
    }

    fn witnesses_of(&self, head: &HeadSeen) -> BTreeSet<DeviceId> {
        let serves = |witness: &Witness| {
            let served = witness.served.as_ref().and_then(|served| served.get(&head.device));
            served.and_then(|heads| heads.get(&head.seq)) == Some(&head.hash)
        };
        let all = self.witnesses.iter();
        all.filter(|(_, witness)| serves(witness)).map(|(holder, _)| *holder).collect()
    }

    fn findings(&self, found: &Found) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut newest: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for ((device, seq), hashes) in self.mentions() {
            newest.insert(device, seq);
            if hashes.len() > 1 {
                findings.push(Finding::Fork { device, seq, hashes });
            }
        }
        let mut served: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for head in self.heads.values() {
            let best = served.entry(head.device).or_default();
            *best = head.seq.max(*best);
            let taken = found.heads.get(&head.device).map_or(0, |best| best.head.seq);
            if head.seq > taken {
                findings.push(Finding::Unreadable { device: head.device, seq: head.seq });
            }
        }
        for (device, exists) in newest {
            let found = served.get(&device).copied().unwrap_or(0);
            if found < exists {
                findings.push(Finding::Missing { device, found, exists });
            }
        }
        for (holder, witness) in &self.witnesses {
            if witness.served.is_none() {
                continue;
            }
            for (device, best) in &served {
                let served = witness.served_seq(device);
                if served < *best {
                    findings.push(Finding::Behind { holder: *holder, device: *device, served });
                }
            }
        }
        findings
    }

    /// Every head that is proven to exist: met itself, named as predecessor, or seen by another.
    fn mentions(&self) -> BTreeMap<(DeviceId, u64), BTreeSet<HeadHash>> {
        let mut mentions: BTreeMap<(DeviceId, u64), BTreeSet<HeadHash>> = BTreeMap::new();
        for head in self.heads.values() {
            mentions.entry((head.device, head.seq)).or_default().insert(head.hash);
            if let Some(prev) = head.prev {
                let before = (head.device, head.seq.saturating_sub(1));
                mentions.entry(before).or_default().insert(prev);
            }
            for (device, seq, hash) in &head.seen {
                mentions.entry((*device, *seq)).or_default().insert(*hash);
            }
        }
        mentions
    }
}
