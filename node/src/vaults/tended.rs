//! What is kept of a vault so that its holders can look after it: who they are, and what it needs.
//! Source: specs/tending.md.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    ids::{DeviceId, ShardRoot, VaultId},
    log::DeviceLog,
    tending::{
        Introduction,
        claimed::ClaimedList,
        introduction::{Circle, IntroductionError, Introductions},
    },
    time::Timestamp,
};
use tracing::warn;

use super::{Folder, KnownVault, VaultError, Vaults, lock};

impl KnownVault {
    /// Who holds for it, as its devices say.
    pub fn introductions(&self) -> &Introductions {
        &self.introductions
    }
}

impl Vaults {
    /// Takes an introduction that a clock like this one could have made, if it counts more than the one
    /// here; durable when it returns. True if it was new.
    ///
    /// # Errors
    /// [`VaultError`] of the disk, or [`IntroductionError`] of what is none.
    pub fn take_introduction(
        &self,
        vault: VaultId,
        bytes: &[u8],
        clock: Timestamp,
    ) -> Result<Result<bool, IntroductionError>, VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, mut introductions, folder) = {
            let all = self.read();
            let known = all.get(&vault).ok_or(VaultError::Unknown(vault))?;
            let introductions = Introductions::clone(&known.introductions);
            (Arc::clone(&known.log), introductions, known.folder.clone())
        };
        let decoded = Introduction::decode(bytes, &log);
        let checked = decoded.and_then(|it| it.check_number(clock).map(|()| it));
        let introduction = match checked {
            Ok(introduction) => introduction,
            Err(error) => return Ok(Err(error)),
        };
        let is_news = introductions.offer(introduction, &log);
        if is_news {
            folder.keep_introductions(&introductions.encode())?;
            if let Some(known) = self.write().get_mut(&vault) {
                known.introductions = Arc::new(introductions);
            }
        }
        Ok(Ok(is_news))
    }

    /// Who holds for a vault, as its devices say together.
    pub fn circle_of(&self, vault: &VaultId) -> Circle {
        let all = self.read();
        let circle = all.get(vault).map(|known| known.introductions.circle(known.log()));
        circle.unwrap_or_default()
    }

    /// Vaults that this node is said to hold for as well as we do.
    pub fn fellow_of(&self, node: &DeviceId) -> Vec<VaultId> {
        let all = self.read();
        let names = |known: &KnownVault| known.introductions.names(node, known.log());
        all.iter().filter(|(_, known)| names(known)).map(|(vault, _)| *vault).collect()
    }

    /// Keeps what a device needs by its head; durable when it returns. One of an older head than the one
    /// that is kept changes nothing.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn keep_claimed(&self, vault: VaultId, list: &ClaimedList) -> Result<(), VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, folder) = self.log_and_folder(&vault)?;
        let device = list.head().body().device;
        let before = read_claimed(&folder, &device, &log)?;
        if before.is_none_or(|before| before.head().body().seq < list.head().body().seq) {
            folder.keep_claimed(&device, &list.encode())?;
        }
        Ok(())
    }

    /// What a device told last that it needs, if it is still the word of a head that counts.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn claimed_by(
        &self,
        vault: &VaultId,
        device: &DeviceId,
    ) -> Result<Option<ClaimedList>, VaultError> {
        let (log, folder) = self.log_and_folder(vault)?;
        read_claimed(&folder, device, &log)
    }

    /// What a vault needs, as far as the lists of its devices are here.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn claimed(&self, vault: &VaultId) -> Result<BTreeSet<ShardRoot>, VaultError> {
        let (log, folder) = self.log_and_folder(vault)?;
        let mut claimed = BTreeSet::new();
        for device in folder.claiming_devices()? {
            if let Some(list) = read_claimed(&folder, &device, &log)? {
                claimed.extend(list.roots());
            }
        }
        Ok(claimed)
    }

    fn log_and_folder(&self, vault: &VaultId) -> Result<(Arc<DeviceLog>, Folder), VaultError> {
        let all = self.read();
        let known = all.get(vault).ok_or(VaultError::Unknown(*vault))?;
        Ok((Arc::clone(&known.log), known.folder.clone()))
    }
}

/// What is kept of a device's list. One that does not count is as none: the next one replaces it.
fn read_claimed(
    folder: &Folder,
    device: &DeviceId,
    log: &DeviceLog,
) -> Result<Option<ClaimedList>, VaultError> {
    let Some(bytes) = folder.claimed(device)? else { return Ok(None) };
    match ClaimedList::decode(&bytes, log) {
        Ok(list) => Ok(Some(list).filter(|list| list.head().body().device == *device)),
        Err(error) => {
            let (vault, device) = (folder.vault().short(), device.short());
            warn!("vault {vault}: what {device} claims is not known: {error}");
            Ok(None)
        }
    }
}

/// What is kept of introductions. What cannot be read is left where it is, harms nothing else, and is
/// replaced by the next one that a device brings.
pub(super) fn introductions_in(folder: &Folder, log: &DeviceLog) -> Introductions {
    let unread = |error: &dyn std::error::Error| {
        warn!("vault {}: its introductions cannot be read: {error}", folder.vault().short());
        Introductions::default()
    };
    match folder.introductions() {
        Ok(Some(bytes)) => {
            Introductions::decode(&bytes, log).unwrap_or_else(|error| unread(&error))
        }
        Ok(None) => Introductions::default(),
        Err(error) => unread(&error),
    }
}
