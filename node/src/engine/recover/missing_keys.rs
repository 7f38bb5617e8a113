//! Keys that this device lacks, opened with the phrase while it is there.
//!
//! ```text
//! holder that slept ──▶ log without the last removal ──▶ this device is taken in
//! another holder    ──▶ the removal, and an epoch whose key nobody has wrapped for this device
//! phrase            ──▶ opens it, and begins an epoch of its own that hands over all keys
//! ```
//! Source: specs/device_log.md, LOG-31.

use std::sync::Arc;

use larder_protocol::{ids::VaultId, keys::recovery::RecoveryKeys, limits::EPOCHS_OF_RECOVERY_MAX};
use tokio::sync::Mutex;
use tracing::info;

use crate::engine::{Core, EngineError, clock::wall, launch, roster};

/// The phrase's keys, for as long as a recovery runs.
pub(super) struct MissingKeys {
    recovery: RecoveryKeys,
    /// Epochs that it may begin still. Two holders that answer at once are no reason for two, and many that tell of
    /// one each must not use up what the phrase has.
    left: Mutex<usize>,
}

impl MissingKeys {
    pub(super) fn of(recovery: &RecoveryKeys) -> Self {
        Self { recovery: recovery.clone(), left: Mutex::new(EPOCHS_OF_RECOVERY_MAX) }
    }

    /// Makes every key that the phrase opens one of this device's; whether any was missing.
    pub(super) async fn open(&self, core: &Arc<Core>, vault: VaultId) -> Result<bool, EngineError> {
        let mut left = self.left.lock().await;
        let mut log = core.log_of(&vault)?;
        if *left == 0 {
            return Ok(false);
        }
        let rng = &mut launch::rng()?;
        let Some(entry) = log.hand_keys_on(&self.recovery, &core.keys, wall(), rng)? else {
            return Ok(false);
        };
        *left -= 1;
        roster::keep_entry(core, vault, entry).await?;
        info!("the phrase opened keys that this device did not have");
        Ok(true)
    }
}
