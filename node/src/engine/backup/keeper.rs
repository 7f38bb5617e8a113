//! The keeper: puts finished packs into the depot and the index, one after the other, and holds
//! the backup back while the spool is full.

use std::{sync::atomic::Ordering, time::Duration};

use crossbeam_channel::Receiver;
use larder_protocol::{index::PackClass, placing::Input};

use super::{BackupError, Counters, ledger::Ledger, packer::Finished};
use crate::{
    command::{EventSink, Level},
    depot::{DepotError, Origin, Tenure},
    engine::{Core, Member, clock::wall, custody::Custody},
    state::index::Standing,
};

/// How often a full spool is looked at again.
const SPOOL_LOOK: Duration = Duration::from_millis(200);

/// What the keeper needs.
pub(super) struct Keeper<'a> {
    pub(super) core: &'a Core,
    pub(super) member: &'a Member,
    pub(super) custody: &'a Custody,
    pub(super) ledger: &'a Ledger,
    pub(super) counters: &'a Counters,
    pub(super) events: &'a EventSink,
    /// Own bytes in the depot at most; `None` when this device keeps them anyway.
    pub(super) spool_bytes_max: Option<u64>,
}

impl Keeper<'_> {
    /// Keeps packs until there are no more.
    pub(super) fn run(&self, finished: &Receiver<Finished>) -> Result<(), BackupError> {
        for Finished { number, pack } in finished {
            self.wait_for_room(pack.class)?;
            let stored = wall();
            let tenure = Tenure {
                vault: self.member.vault,
                class: pack.class,
                origin: Origin::Own,
                stored,
                keep_until: stored,
            };
            let shard = self.import(&pack.bytes, tenure)?;
            let class = pack.class;
            let record = pack.into_record(shard);
            self.core.state.add_packs(&[record], Standing::Own)?;
            self.counters.stored_bytes.fetch_add(shard.bytes, Ordering::Relaxed);
            self.counters.packs.fetch_add(1, Ordering::Relaxed);
            self.custody.tell_blocking(Input::PackStored { shard, class });
            self.ledger.settle(number);
        }
        Ok(())
    }

    /// A full disk is waited out like a full spool: holders may take packs meanwhile.
    fn import(
        &self,
        bytes: &[u8],
        tenure: Tenure,
    ) -> Result<larder_protocol::index::ShardRef, BackupError> {
        let mut said = false;
        loop {
            match self.core.depot.import(bytes, tenure) {
                Err(DepotError::NoSpace) if self.spool_bytes() > 0 => {
                    self.wait("the disk is full", &mut said)?;
                }
                other => return Ok(other?),
            }
        }
    }

    fn wait_for_room(&self, class: PackClass) -> Result<(), BackupError> {
        let Some(max) = self.spool_bytes_max.filter(|_| class == PackClass::Data) else {
            return Ok(());
        };
        let mut said = false;
        while self.spool_bytes() >= max {
            self.wait("the spool is full", &mut said)?;
        }
        Ok(())
    }

    fn wait(&self, why: &str, said: &mut bool) -> Result<(), BackupError> {
        if !*said {
            let text = format!("{why}: waiting for holders to take what is there");
            self.events.notice(Level::Warning, text);
            *said = true;
        }
        self.events.check()?;
        std::thread::sleep(SPOOL_LOOK);
        Ok(())
    }

    fn spool_bytes(&self) -> u64 {
        self.core.depot.totals().of(&self.member.vault, Origin::Own).bytes
    }
}
