//! When a holder asks for errands, of which vault.
//!
//! ```text
//! start, or awake again ──first──▶ round ──▶ every hour; soon after one that brought something and left something
//! ```
//! One round at a time. Drive it as [`placing`](crate::placing), with [`Rounds::next`] as its output.

use std::collections::BTreeMap;

use crate::{
    ids::VaultId,
    limits::{ERRAND_AGAIN_MS, ERRAND_EVERY_MS, ERRAND_FIRST_MS, ERRAND_LOOK_MS, ERRAND_SLEPT_MS},
    time::{Instant, Timestamp},
};

/// What came of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Round {
    /// A pack was fetched.
    pub has_fetched: bool,
    /// A pack that an errand names is not here.
    pub is_open: bool,
}

/// When which vault has its turn. Memory: some 50 bytes for each vault.
#[derive(Debug, Clone, Default)]
pub struct Rounds {
    due: BTreeMap<VaultId, Instant>,
    running: Option<VaultId>,
    /// When it was last looked, by both clocks.
    looked: Option<(Instant, Timestamp)>,
}

impl Rounds {
    /// A vault that this node holds for, or may; known ones keep their time.
    pub fn known(&mut self, now: Instant, vault: VaultId) {
        self.due.entry(vault).or_insert_with(|| now.after_ms(ERRAND_FIRST_MS));
    }

    /// A vault is known no more.
    pub fn forget(&mut self, vault: &VaultId) {
        self.due.remove(vault);
    }

    /// Looks at the clocks: where the wall clock has gone on and the other one has not, the machine slept, and others
    /// may be there now that were not.
    pub fn look(&mut self, now: Instant, clock: Timestamp) {
        if let Some((last, then)) = self.looked.replace((now, clock)) {
            let passed_ms = clock.0.saturating_sub(then.0).saturating_mul(1_000);
            if passed_ms > now.ms_since(last).saturating_add(ERRAND_SLEPT_MS) {
                let soon = now.after_ms(ERRAND_FIRST_MS);
                self.due.values_mut().for_each(|at| *at = soon.min(*at));
            }
        }
    }

    /// The vault whose turn it is; its round has begun, and ends with [`ended`](Self::ended).
    pub fn next(&mut self, now: Instant) -> Option<VaultId> {
        if self.running.is_some() {
            return None;
        }
        let (vault, _) =
            self.due.iter().filter(|(_, at)| **at <= now).min_by_key(|(_, at)| **at)?;
        self.running = Some(*vault);
        self.running
    }

    /// A round has ended.
    pub fn ended(&mut self, now: Instant, round: Round) {
        let Some(vault) = self.running.take() else { return };
        let wait_ms =
            if round.has_fetched && round.is_open { ERRAND_AGAIN_MS } else { ERRAND_EVERY_MS };
        if let Some(due) = self.due.get_mut(&vault) {
            *due = now.after_ms(wait_ms);
        }
    }

    /// When to look again; `None` while a round runs, or when no vault is known.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = self.due.values().min().copied().filter(|_| self.running.is_none())?;
        let look_at = self.looked.map(|(last, _)| last.after_ms(ERRAND_LOOK_MS));
        Some(look_at.map_or(at, |look_at| look_at.min(at)))
    }
}
