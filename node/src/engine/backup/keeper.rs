//! The keeper: puts finished packs into the depot and the index, one after the other, and holds
//! the backup back while the spool is full.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;
use larder_protocol::{index::PackClass, placing::Input};

use super::{BackupError, Counters, buffers::Buffers, ledger::Ledger, packer::Finished};
use crate::{
    command::{EventSink, Level},
    depot::{DepotError, Origin, Tenure},
    engine::{Core, Member, clock::wall, custody::Custody},
    state::index::Standing,
};

/// How often a full spool is looked at again.
const SPOOL_LOOK: Duration = Duration::from_millis(200);
/// A full disk is tried again after so long, doubling, unless holders have taken something before:
/// every attempt writes a whole pack.
const DISK_PAUSE: Duration = Duration::from_secs(1);
const DISK_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the keeper needs.
pub(super) struct Keeper<'a> {
    pub(super) core: &'a Core,
    pub(super) member: &'a Member,
    pub(super) custody: &'a Custody,
    pub(super) ledger: &'a Ledger,
    pub(super) counters: &'a Counters,
    pub(super) events: &'a EventSink,
    pub(super) buffers: &'a Buffers,
    /// Own bytes in the depot at most; `None` when this device keeps them anyway.
    pub(super) spool_bytes_max: Option<u64>,
}

impl Keeper<'_> {
    /// Keeps packs until there are no more.
    pub(super) fn run(&self, finished: &Receiver<Finished>) -> Result<(), BackupError> {
        for Finished { number, mut pack } in finished {
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
            if class == PackClass::Data {
                self.buffers.give(std::mem::take(&mut pack.bytes));
            }
            let record = pack.into_record(shard);
            self.core.state.add_packs(&[record], Standing::Own)?;
            self.counters.stored_bytes.fetch_add(shard.bytes, Ordering::Relaxed);
            self.counters.packs.fetch_add(1, Ordering::Relaxed);
            self.custody.tell_blocking(Input::PackStored { shard, class });
            self.ledger.settle(number);
        }
        Ok(())
    }

    /// A full disk is waited out like a full spool while there is anything that holders may take
    /// meanwhile. Otherwise only the user can make room.
    fn import(
        &self,
        bytes: &[u8],
        tenure: Tenure,
    ) -> Result<larder_protocol::index::ShardRef, BackupError> {
        let (mut said, mut pause) = (false, DISK_PAUSE);
        loop {
            match self.core.depot.import(bytes, tenure) {
                Err(DepotError::NoSpace) if self.can_drain() => {
                    self.say("the disk is full", &mut said);
                    let (before, since) = (self.spool_bytes(), Instant::now());
                    while self.spool_bytes() >= before && since.elapsed() < pause {
                        self.wait()?;
                    }
                    pause = DISK_PAUSE_MAX.min(pause * 2);
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
            self.say("the spool is full", &mut said);
            self.wait()?;
        }
        Ok(())
    }

    fn say(&self, why: &str, said: &mut bool) {
        if !*said {
            let text = format!("{why}: waiting for holders to take what is there");
            self.events.notice(Level::Warning, text);
            *said = true;
        }
    }

    fn wait(&self) -> Result<(), BackupError> {
        self.events.check()?;
        if self.ledger.is_closed() {
            return Err(BackupError::Stopped);
        }
        std::thread::sleep(SPOOL_LOOK);
        Ok(())
    }

    /// Whether packs leave this device and there are any that will.
    fn can_drain(&self) -> bool {
        self.spool_bytes_max.is_some() && self.spool_bytes() > 0
    }

    /// Data packs that still have to be placed: metadata packs never leave (PLACE-15).
    fn spool_bytes(&self) -> u64 {
        self.custody.view().borrow().spool_bytes
    }
}
