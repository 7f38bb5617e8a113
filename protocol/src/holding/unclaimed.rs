//! Letting go: a shard that no device of its vault claims any more is kept for a while longer, and
//! then deleted.
//!
//! ```text
//!            every device has told its claims since the shard was stored or promised,
//!            and none has it in them                              the wait is over, by the clocks of both
//!   kept ─────────────────────────────────────> unclaimed ──────> sides, and every device has told its
//!    ^                                             │              claims once more ──> erased
//!    └── claimed, offered, or read: kept as before ┘
//! ```
//! Only what a device says itself counts, over its own connection and in this run of the node, and only
//! if it is the list whose hash its newest head has signed. Nothing follows from silence, from a list
//! that ends early, or from an error. While two heads of one device contradict each other, nothing
//! becomes unclaimed and nothing is erased, and what somebody claims is kept as before.
//!
//! Source: specs/deletion.md.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Caller, HeldVerdict, Holding, Keeping, Output, Row};
use crate::{
    head::{Claims, ClaimsDigest},
    ids::{DeviceId, ShardRoot, VaultId},
    limits::{
        CLAIMED_ROOTS_MAX, CLAIMS_MAX, CLOCK_AHEAD_S_MAX, MASS_UNCLAIM_DAYS, MASS_UNCLAIM_FACTOR,
        MASS_UNCLAIM_PART, RETENTION_DAYS_MIN,
    },
    order::OrderId,
    time::Timestamp,
    wire::message::{ClaimsPart, Refusal},
};

/// What the logs and heads that are kept here say of a vault and of the device that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// Number and claims of the highest head of the device that calls; `None` when there is no head
    /// of it here.
    pub head: Option<(u64, Claims)>,
    /// Whether two heads of some device of the vault contradict each other.
    pub is_forked: bool,
    /// The devices that belong to the vault now.
    pub devices: BTreeSet<DeviceId>,
    /// The wall clock.
    pub wall: Timestamp,
}

/// A list of claims that is coming in.
#[derive(Debug, Clone)]
struct Listening {
    seq: u64,
    time: Timestamp,
    next_part: u32,
    digest: ClaimsDigest,
    /// Those of them that are kept here.
    claimed: BTreeSet<ShardRoot>,
    /// All of them, while they are few enough to be kept.
    all: Option<Vec<ShardRoot>>,
}

/// Who has told of its claims without one shard, since it was stored, promised, or unclaimed and due.
#[derive(Debug, Clone, Default)]
struct Tally {
    devices: BTreeSet<DeviceId>,
    /// The latest of their clocks.
    latest: Timestamp,
}

/// What is known of claims in this run. Nothing of it outlives a restart: every device is heard again
/// before anything becomes unclaimed or is erased.
#[derive(Debug, Clone, Default)]
pub(super) struct Unclaimed {
    listening: BTreeMap<(VaultId, DeviceId), Listening>,
    tallies: BTreeMap<(ShardRoot, VaultId), Tally>,
    /// Offers whose answer waits until what it promises again is durable.
    reviving: BTreeMap<OrderId, (Vec<HeldVerdict>, BTreeSet<ShardRoot>)>,
}

impl Holding {
    /// Bytes and shards kept for a vault that no device of it claims, and when the first of them may
    /// go.
    pub fn unclaimed_of(&self, vault: VaultId) -> (u64, u64, Option<Timestamp>) {
        let rows = self.kept.values().filter_map(|keeping| match keeping {
            Keeping::Kept(row) if row.vault == vault && row.unclaimed.is_some() => Some(row),
            Keeping::Kept(_) | Keeping::Erasing(_) => None,
        });
        rows.fold((0, 0, None), |(shards, bytes, first), row| {
            let due = first.map_or(row.keep_until, |first: Timestamp| first.min(row.keep_until));
            (shards + 1, bytes + row.shard.bytes, Some(due))
        })
    }

    pub(super) fn answer_claims(&mut self, request: OrderId, heard: Result<(), Refusal>) {
        self.outputs.push_back(match heard {
            Ok(()) => Output::AnswerClaims { request },
            Err(reason) => Output::Refuse { request, reason },
        });
    }

    /// Takes a part of a list of claims; with the last one the whole list counts.
    ///
    /// # Errors
    /// Why the list is not taken. It has to be begun again.
    pub(super) fn listen(
        &mut self,
        caller: Caller,
        vault: VaultId,
        part: ClaimsPart,
        now: &Circumstances,
    ) -> Result<(), Refusal> {
        caller.permit(Action::Store, vault)?;
        // A clock that is far ahead would make every wait that begins now as long.
        if part.time.0 > now.wall.0.saturating_add(CLOCK_AHEAD_S_MAX) {
            return Err(Refusal::Busy);
        }
        let device = caller.key();
        let key = (vault, device);
        // Whatever is wrong with a part, the list has to be begun again.
        let begun = self.unclaimed.listening.remove(&key);
        let mut listening = match (part.part, begun) {
            (0, _) => Listening {
                seq: part.seq,
                time: part.time,
                next_part: 0,
                digest: ClaimsDigest::new(),
                claimed: BTreeSet::new(),
                all: Some(Vec::new()),
            },
            (_, Some(begun)) if begun.next_part == part.part && begun.seq == part.seq => begun,
            _ => return Err(Refusal::Malformed),
        };
        for root in &part.roots {
            listening.digest.add(root).map_err(|_| Refusal::Malformed)?;
            if self.kept.contains_key(&(*root, vault)) {
                listening.claimed.insert(*root);
            }
        }
        if let Some(all) = &mut listening.all {
            all.extend(&part.roots);
        }
        listening.all = listening.all.filter(|all| all.len() <= CLAIMED_ROOTS_MAX);
        if listening.digest.count() > CLAIMS_MAX {
            return Err(Refusal::Malformed);
        }
        listening.next_part = listening.next_part.saturating_add(1);
        if !part.is_last {
            self.unclaimed.listening.insert(key, listening);
            return Ok(());
        }
        let told = listening.digest.finish();
        let is_newest = match &now.head {
            Some((seq, claims)) => *seq == listening.seq && *claims == told,
            // A device that has never backed up claims nothing; it has to say so all the same.
            None => listening.seq == 0 && told.count == 0,
        };
        if !is_newest {
            return Err(Refusal::Invalid);
        }
        self.heard(vault, device, &listening, now);
        if now.is_forked {
            return Ok(());
        }
        if let Some(roots) = listening.all.filter(|_| now.head.is_some()) {
            self.outputs.push_back(Output::KeepClaimed { vault, device, roots });
        }
        Ok(())
    }

    /// A device has said what it claims.
    fn heard(&mut self, vault: VaultId, device: DeviceId, word: &Listening, now: &Circumstances) {
        let (mut unclaimed, mut over, mut noted) = (Vec::new(), Vec::new(), Vec::new());
        let mut latest = now.wall;
        let of_vault = self.kept.iter_mut().filter(|((_, of), _)| *of == vault);
        for (key, keeping) in of_vault {
            let Keeping::Kept(row) = keeping else { continue };
            if word.claimed.contains(&row.shard.root) {
                self.unclaimed.tallies.remove(key);
                if row.unclaimed.take().is_some() {
                    noted.push(*row);
                }
                continue;
            }
            // What is needed is needed, whoever contradicts whom; nothing else follows from it.
            if now.is_forked {
                continue;
            }
            // DEL-5: while the wait lasts, nobody's word brings its end nearer.
            if row.unclaimed.is_some() && !is_over(row, word.time, now.wall) {
                continue;
            }
            let tally = self.unclaimed.tallies.entry(*key).or_default();
            tally.devices.insert(device);
            tally.latest = tally.latest.max(word.time);
            if !tally.devices.is_superset(&now.devices) {
                continue;
            }
            latest = latest.max(tally.latest);
            if row.unclaimed.is_some() {
                over.push(*key)
            } else {
                unclaimed.push(*key)
            }
            self.unclaimed.tallies.remove(key);
        }
        noted.extend(self.begin_wait(vault, &unclaimed, latest));
        if !noted.is_empty() {
            self.outputs.push_back(Output::NoteRows { rows: noted });
        }
        for (root, vault) in over {
            self.delete_asked(vault, root);
        }
    }

    /// DEL-6: much within a week waits longer: somebody may have made a mistake, or be a thief.
    fn begin_wait(
        &mut self,
        vault: VaultId,
        keys: &[(ShardRoot, VaultId)],
        since: Timestamp,
    ) -> Vec<Row> {
        let bytes = |key| match self.kept.get(key) {
            Some(Keeping::Kept(row)) if !row.lost => row.shard.bytes,
            _ => 0,
        };
        let new_bytes: u64 = keys.iter().map(bytes).sum();
        let all_bytes = self.kept_for(vault).1;
        let going_bytes = self.unclaimed_lately(vault, since).saturating_add(new_bytes);
        let is_mass = going_bytes.saturating_mul(MASS_UNCLAIM_PART) >= all_bytes;
        let days = self.room.terms.retention_days.max(RETENTION_DAYS_MIN);
        let days = if is_mass { days.saturating_mul(MASS_UNCLAIM_FACTOR) } else { days };
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(Keeping::Kept(row)) = self.kept.get_mut(key) {
                row.unclaimed = Some(since);
                row.keep_until = row.keep_until.max(since.after_days(days));
                rows.push(*row);
            }
        }
        rows
    }

    fn unclaimed_lately(&self, vault: VaultId, now: Timestamp) -> u64 {
        let is_late = |row: &Row| {
            let since = row.unclaimed.map_or(0, |since| since.after_days(MASS_UNCLAIM_DAYS).0);
            row.vault == vault && since > now.0
        };
        let late = self.kept.values().filter_map(|keeping| match keeping {
            Keeping::Kept(row) if is_late(row) => Some(row.shard.bytes),
            Keeping::Kept(_) | Keeping::Erasing(_) => None,
        });
        late.sum()
    }

    /// What an offer is told to be kept is promised anew: nobody's earlier word counts against it.
    /// The answer waits until that is durable.
    pub(super) fn answer_offer(
        &mut self,
        request: OrderId,
        vault: VaultId,
        mut verdicts: Vec<HeldVerdict>,
    ) {
        let mut rows = Vec::new();
        for verdict in &mut verdicts {
            let HeldVerdict::Kept(row) = verdict else { continue };
            let key = (row.shard.root, vault);
            self.unclaimed.tallies.remove(&key);
            if row.unclaimed.take().is_some() {
                rows.push(*row);
            }
        }
        if rows.is_empty() {
            return self.outputs.push_back(Output::AnswerOffer { request, verdicts });
        }
        for row in &rows {
            self.kept.insert((row.shard.root, vault), Keeping::Kept(*row));
        }
        let roots = rows.iter().map(|row| row.shard.root).collect();
        self.unclaimed.reviving.insert(request, (verdicts, roots));
        self.outputs.push_back(Output::Revive { request, rows });
    }

    pub(super) fn revived(&mut self, request: OrderId, is_durable: bool) {
        let Some((mut verdicts, roots)) = self.unclaimed.reviving.remove(&request) else { return };
        for verdict in &mut verdicts {
            if let HeldVerdict::Kept(row) = verdict
                && roots.contains(&row.shard.root)
                && !is_durable
            {
                *verdict = HeldVerdict::Refused(Refusal::Internal);
            }
        }
        self.outputs.push_back(Output::AnswerOffer { request, verdicts });
    }

    /// DEL-8: whoever reads it needs it, whatever was said.
    pub(super) fn served(&mut self, vault: VaultId, root: ShardRoot) {
        let key = (root, vault);
        if let Some(Keeping::Kept(row)) = self.kept.get_mut(&key)
            && row.unclaimed.take().is_some()
        {
            let row = *row;
            self.unclaimed.tallies.remove(&key);
            self.outputs.push_back(Output::NoteRows { rows: vec![row] });
            self.outputs.push_back(Output::UnclaimedServed { vault, root });
        }
    }

    /// A shard is stored anew, or gone: what was said of it before is void.
    pub(super) fn forget_tally(&mut self, vault: VaultId, root: ShardRoot) {
        self.unclaimed.tallies.remove(&(root, vault));
    }
}

/// Whether the wait of an unclaimed shard is over, by this clock and by that of the device that calls:
/// one that is behind makes it longer, one that is ahead makes nothing shorter.
const fn is_over(row: &Row, theirs: Timestamp, ours: Timestamp) -> bool {
    ours.0 > row.keep_until.0 && theirs.0 > row.keep_until.0
}

#[cfg(test)]
mod tests;
