//! Entries of a device log that others push.

use std::sync::{Arc, MutexGuard};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    log::Pushed,
    wire::message::{Answer, Refusal},
};
use minicbor::bytes::ByteVec;
use tracing::debug;

use super::Server;
use crate::engine::{Core, EngineError, on_disk, roster};

impl Server {
    /// Entries of a log, which may come in several requests: what has no room waits for those that build on it.
    pub(super) async fn push_log(
        &self,
        core: Arc<Core>,
        of: (DeviceId, VaultId),
        entries: Vec<ByteVec>,
    ) -> Result<Answer, Refusal> {
        let (merging, vault) = (Arc::clone(&core), of.1);
        let mut waiting = self.pushed().resume(core.clock.now(), of);
        let merged = on_disk(move || {
            let entries: Vec<&[u8]> = entries.iter().map(|entry| entry.as_slice()).collect();
            // The good ones stay, whatever stands beside them, and are acted upon.
            let taken = merging.vaults.take_log(vault, &entries, &mut waiting)?;
            Ok::<_, EngineError>((taken, waiting))
        });
        let taken = match merged.await {
            Ok((taken, waiting)) => {
                self.pushed().keep(core.clock.now(), of, waiting);
                taken
            }
            Err(EngineError::Vault(error)) if error.is_disk() => return Err(Refusal::Internal),
            Err(error) => {
                debug!("a log of vault {} was not taken: {error}", vault.short());
                return Err(Refusal::Invalid);
            }
        };
        if taken.grown {
            roster::log_grew(&core, vault).await;
        }
        match taken.refused {
            None => Ok(Answer::LogAt { heads: core.vaults.log_heads(&vault) }),
            Some(error) => {
                debug!("a log entry of vault {} was not taken: {error}", vault.short());
                Err(Refusal::Invalid)
            }
        }
    }

    fn pushed(&self) -> MutexGuard<'_, Pushed> {
        self.pushed.lock().expect("no code panics while holding this lock")
    }
}
