//! Fills packs from several threads at once.
//!
//! Only the place in the pack is decided under the lock; sealing and the check of what was sealed
//! happen in the calling thread. A pack is finished by whichever thread places its last chunk.

use std::sync::{Mutex, MutexGuard};

use crossbeam_channel::Sender;
use larder_protocol::{
    chunk::codec::Frame,
    ids::ChunkId,
    index::{ChunkKind, PackClass},
    pack::{PackBuilder, SealedPack, Slot, Verifier},
};

use super::{
    BackupError,
    buffers::Buffers,
    ledger::{Ledger, Ticket},
};

use crate::engine::Member;

/// One class of packs being filled.
pub(super) struct Packer<'a> {
    class: PackClass,
    member: &'a Member,
    ledger: &'a Ledger,
    packs: Mutex<Packs>,
    buffers: &'a Buffers,
    finished: Sender<Finished>,
}

/// A pack on its way to the disk, with its number in the ledger.
pub(super) struct Finished {
    pub(super) number: u64,
    pub(super) pack: SealedPack,
}

#[derive(Default)]
struct Packs {
    /// Takes new chunks.
    open: Option<Filling>,
    /// Full; waits for chunks that other threads are still sealing.
    closing: Vec<Filling>,
}

struct Filling {
    number: u64,
    builder: PackBuilder,
    /// Places given out and not yet filled.
    outstanding: usize,
}

/// A chunk ready to be packed.
pub(super) struct Packable<'a> {
    pub(super) id: ChunkId,
    pub(super) kind: ChunkKind,
    pub(super) plain: &'a [u8],
    pub(super) frame: Frame,
    pub(super) ticket: &'a Ticket,
}

impl<'a> Packer<'a> {
    pub(super) fn new(
        class: PackClass,
        member: &'a Member,
        ledger: &'a Ledger,
        buffers: &'a Buffers,
        finished: Sender<Finished>,
    ) -> Self {
        Self { class, member, ledger, packs: Mutex::default(), buffers, finished }
    }

    /// Seals one chunk into the open pack; blocks while finished packs wait for the disk.
    pub(super) fn add(
        &self,
        chunk: Packable<'_>,
        verifier: &mut Verifier,
    ) -> Result<(), BackupError> {
        let (number, slot, full) = self.reserve(&chunk)?;
        self.hand_on(full)?;
        let sealed = slot.seal(chunk.frame, chunk.plain, verifier)?;
        let mut packs = self.lock();
        let filling = packs.filling(number);
        filling.builder.place(&slot, &sealed)?;
        filling.outstanding -= 1;
        let done = packs.take_done();
        drop(packs);
        self.hand_on(done)
    }

    /// Closes the open pack, however little it holds.
    pub(super) fn flush(&self) -> Result<(), BackupError> {
        let mut packs = self.lock();
        if let Some(open) = packs.open.take() {
            packs.closing.push(open);
        }
        let done = packs.take_done();
        drop(packs);
        self.hand_on(done)
    }

    fn reserve(&self, chunk: &Packable<'_>) -> Result<(u64, Slot, Vec<Filling>), BackupError> {
        let mut packs = self.lock();
        let mut full = Vec::new();
        loop {
            let mut open = match packs.open.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            let frame_bytes = chunk.frame.len();
            let slot =
                open.builder.reserve(chunk.id, chunk.kind, chunk.plain.len(), frame_bytes)?;
            if let Some(slot) = slot {
                open.outstanding += 1;
                let number = open.number;
                self.ledger.place(chunk.ticket);
                packs.open = Some(open);
                return Ok((number, slot, full));
            }
            packs.closing.push(open);
            full.append(&mut packs.take_done());
        }
    }

    fn begin(&self) -> Result<Filling, BackupError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| BackupError::Randomness)?;
        // Of each pack: a device may be removed while a long backup runs.
        let keyring = self.member.keyring();
        let epoch = keyring.sealing().map_err(|error| BackupError::Engine(Box::new(error)))?;
        let buffer = match self.class {
            PackClass::Data => self.buffers.take(),
            PackClass::Metadata => Vec::new(),
        };
        let builder = PackBuilder::new_in(buffer, self.class, epoch, self.member.vault, salt);
        Ok(Filling { number: self.ledger.begin(), builder, outstanding: 0 })
    }

    /// Finishes packs outside the lock and passes them to the keeper.
    fn hand_on(&self, done: Vec<Filling>) -> Result<(), BackupError> {
        for Filling { number, builder, .. } in done {
            let pack = builder.finish()?;
            self.finished.send(Finished { number, pack }).map_err(|_| BackupError::Stopped)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Packs> {
        self.packs.lock().expect("no code panics while holding this lock")
    }
}

impl Packs {
    fn filling(&mut self, number: u64) -> &mut Filling {
        self.open
            .iter_mut()
            .chain(&mut self.closing)
            .find(|filling| filling.number == number)
            .expect("a pack stays until its last place is filled")
    }

    fn take_done(&mut self) -> Vec<Filling> {
        let (done, waiting) = self.closing.drain(..).partition(|filling| filling.outstanding == 0);
        self.closing = waiting;
        done
    }
}
