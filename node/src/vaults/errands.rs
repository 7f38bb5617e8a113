//! What devices of a vault have left here for holders that they do not reach, and what those have left for them.
//! Source: specs/errands.md.

use std::sync::Arc;

use larder_protocol::{
    errands::{Board, Errand, ErrandError, Posted, Reply, Unfit},
    ids::{DeviceId, ShardRoot, VaultId},
    log::DeviceLog,
    receipt::Receipt,
    time::Timestamp,
};
use tracing::warn;

use super::{Folder, KnownVault, VaultError, Vaults, lock};

/// Why an errand was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotLeft {
    /// It is none.
    Errand(ErrandError),
    /// There is no room for it.
    Full,
}

impl KnownVault {
    /// The errands of its devices that are kept here.
    pub fn errands(&self) -> &Board {
        &self.errands
    }
}

impl Vaults {
    /// Takes an errand that a clock like this one could have made, if it is newer than the one here; durable when
    /// it returns. The number of the one that is kept now.
    ///
    /// # Errors
    /// [`VaultError`] of the disk, or [`NotLeft`].
    pub fn leave_errand(
        &self,
        vault: VaultId,
        bytes: &[u8],
        clock: Timestamp,
    ) -> Result<Result<u64, NotLeft>, VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, board, folder) = self.board_of(vault)?;
        let decoded = Errand::decode(bytes, &log);
        let errand = match decoded.and_then(|errand| errand.check_number(clock).map(|()| errand)) {
            Ok(errand) => errand,
            Err(error) => return Ok(Err(NotLeft::Errand(error))),
        };
        let (device, holder) = (errand.body().device, errand.body().holder);
        let number = errand.body().number;
        match board.renewed(errand, &log) {
            Ok(Some(posted)) => {
                self.post(vault, posted, &log, &folder)?;
                Ok(Ok(number))
            }
            Ok(None) => {
                let kept = board.of(&device, &holder);
                Ok(Ok(kept.map_or(number, |kept| kept.errand().body().number)))
            }
            Err(_) => Ok(Err(NotLeft::Full)),
        }
    }

    /// Takes what the addressee of an errand says; durable when it returns.
    ///
    /// # Errors
    /// [`VaultError`] of the disk, or [`Unfit`].
    pub fn leave_reply(
        &self,
        vault: VaultId,
        reply: Reply,
        receipts: Vec<Receipt>,
    ) -> Result<Result<(), Unfit>, VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, board, folder) = self.board_of(vault)?;
        let said = reply.body();
        let posted = board.of(&said.device, &said.holder).filter(|_| log.is_device(&said.device));
        let Some(mut posted) = posted.cloned() else { return Ok(Err(Unfit::Unasked)) };
        let before = posted.clone();
        if let Err(unfit) = posted.answer(reply, receipts) {
            return Ok(Err(unfit));
        }
        if posted == before {
            return Ok(Ok(()));
        }
        self.post(vault, posted, &log, &folder)?;
        Ok(Ok(()))
    }

    /// By whose errands, of which vaults, this node may read a shard here.
    pub fn opened_by_errand(&self, node: &DeviceId, root: &ShardRoot) -> Vec<(VaultId, DeviceId)> {
        let all = self.read();
        let openers = |(vault, known): (&VaultId, &KnownVault)| {
            let openers = known.errands.openers(node, root, known.log());
            openers.map(|device| (*vault, device)).collect::<Vec<_>>()
        };
        all.iter().flat_map(openers).collect()
    }

    /// Vaults of which there is an errand here for this node, each with the device that left it.
    pub fn with_errands_for(&self, node: &DeviceId) -> Vec<(VaultId, DeviceId)> {
        let all = self.read();
        let left = |(vault, known): (&VaultId, &KnownVault)| {
            let meant = known.errands.meant_for(node, known.log());
            meant.map(|posted| (*vault, posted.errand().body().device)).collect::<Vec<_>>()
        };
        all.iter().flat_map(left).collect()
    }

    fn board_of(&self, vault: VaultId) -> Result<(Arc<DeviceLog>, Arc<Board>, Folder), VaultError> {
        let all = self.read();
        let known = all.get(&vault).ok_or(VaultError::Unknown(vault))?;
        Ok((Arc::clone(&known.log), Arc::clone(&known.errands), known.folder.clone()))
    }

    /// Durable before anybody sees it.
    fn post(
        &self,
        vault: VaultId,
        posted: Posted,
        log: &DeviceLog,
        folder: &Folder,
    ) -> Result<(), VaultError> {
        let body = posted.errand().body();
        folder.keep_errand(&body.device, &body.holder, &posted.encode())?;
        let gone = match self.write().get_mut(&vault) {
            Some(known) => Arc::make_mut(&mut known.errands).keep(posted, log),
            None => Vec::new(),
        };
        gone.iter().try_for_each(|(device, holder)| folder.drop_errand(device, holder))
    }
}

/// What is kept of errands. One that does not count any more is left out, and goes when there is no room.
pub(super) fn errands_in(folder: &Folder, log: &DeviceLog) -> Board {
    let mut board = Board::default();
    let all = folder.errands().unwrap_or_else(|error| {
        warn!("vault {}: what is kept for others cannot be read: {error}", folder.vault().short());
        Vec::new()
    });
    for bytes in all {
        match Posted::decode(&bytes, log) {
            Ok(posted) => _ = board.keep(posted, log),
            Err(error) => {
                warn!("vault {}: what is kept for others: {error}", folder.vault().short())
            }
        }
    }
    board
}
