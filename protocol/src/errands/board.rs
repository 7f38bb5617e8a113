//! The errands of a vault that a holder keeps for others, with what their addressees left for them.
//!
//! It takes, shows and forgets; it asks nobody and fetches nothing. A new errand takes the place of the one
//! before, and with that go the receipts for packs that it does not name: the device has them, or wants them no
//! more (ERR-5).

use std::collections::BTreeMap;

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{Errand, ErrandError, Reply, VERSION};
use crate::{
    cbor,
    ids::{DeviceId, ShardRoot},
    limits::{ERRAND_FILE_BYTES_MAX, ERRANDS_MAX},
    log::DeviceLog,
    receipt::Receipt,
};

/// One errand as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    errand: Errand,
    receipts: BTreeMap<ShardRoot, Receipt>,
    reply: Option<Reply>,
}

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// There are too many errands.
    Full,
    /// Nobody has asked for that, or not any more.
    Unasked,
    /// It is not what it says that it is.
    Invalid,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u16,
    #[n(1)]
    errand: ByteVec,
    #[n(2)]
    receipts: Vec<Receipt>,
    #[n(3)]
    reply: Option<ByteVec>,
}

impl Posted {
    /// A new one, that nobody has met.
    pub const fn new(errand: Errand) -> Self {
        Self { errand, receipts: BTreeMap::new(), reply: None }
    }

    /// The errand.
    pub const fn errand(&self) -> &Errand {
        &self.errand
    }

    /// What its addressee gave for its packs.
    pub fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.values()
    }

    /// What its addressee said last, to this errand or to one before.
    pub const fn reply(&self) -> Option<&Reply> {
        self.reply.as_ref()
    }

    /// Whether there is nothing left to do for it.
    pub fn is_done(&self) -> bool {
        let body = self.errand.body();
        let is_met = self.reply.as_ref().is_some_and(|reply| reply.body().number == body.number);
        is_met && self.receipts.len() == body.packs.len()
    }

    /// ERR-3: whether its addressee may read a pack because of it.
    pub fn opens(&self, root: &ShardRoot) -> bool {
        self.errand.pack(root).is_some() && !self.receipts.contains_key(root)
    }

    /// Takes what its addressee left for this errand, or for one before it: then what this one does not name is
    /// passed over. Of what is not its own nothing is taken.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn answer(&mut self, reply: Reply, receipts: Vec<Receipt>) -> Result<(), Unfit> {
        let (body, said) = (self.errand.body(), reply.body());
        if said.number > body.number {
            return Err(Unfit::Unasked);
        }
        let is_meant =
            (said.vault, said.device, said.holder) == (body.vault, body.device, body.holder);
        let count = receipts.len();
        let about: Vec<Receipt> = receipts.into_iter().filter(|it| self.is_about(it)).collect();
        let is_stale = said.number < body.number;
        if !is_meant || (about.len() < count && !is_stale) {
            return Err(Unfit::Invalid);
        }
        if !self.errand.counts(said.number) {
            // It will see the later errand, and answer that.
            return Ok(());
        }
        let is_later = |before: &Reply| before.body().number <= said.number;
        if self.reply.as_ref().is_none_or(is_later) {
            self.reply = Some(reply);
        }
        self.receipts.extend(about.into_iter().map(|it| (it.body.shard.root, it)));
        Ok(())
    }

    /// ERR-4: whether a receipt is its addressee's, for a pack that it names.
    fn is_about(&self, receipt: &Receipt) -> bool {
        let (body, said) = (self.errand.body(), &receipt.body);
        let is_named =
            || self.errand.pack(&said.shard.root).is_some_and(|it| it.shard == said.shard);
        (said.vault, said.holder) == (body.vault, body.holder) && is_named() && receipt.verify()
    }

    /// The file that keeps it.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&Stored {
            version: VERSION,
            errand: self.errand.bytes().to_vec().into(),
            receipts: self.receipts.values().cloned().collect(),
            reply: self.reply.as_ref().map(|reply| reply.bytes().to_vec().into()),
        })
    }

    /// Reads the file. What was left for the errand counts only if it still fits it.
    ///
    /// # Errors
    /// [`ErrandError`] when it is no such file, or the errand does not count by this log.
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, ErrandError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version > VERSION) {
            return Err(ErrandError::Newer { version });
        }
        let stored: Stored = cbor::decode(bytes, ERRAND_FILE_BYTES_MAX)?;
        let mut posted = Self::new(Errand::decode(&stored.errand, log)?);
        let fitting: Vec<Receipt> =
            stored.receipts.into_iter().filter(|receipt| posted.is_about(receipt)).collect();
        posted.receipts = fitting.into_iter().map(|it| (it.body.shard.root, it)).collect();
        posted.reply = stored.reply.and_then(|reply| Reply::decode(&reply).ok());
        Ok(posted)
    }
}

/// All errands of one vault that are kept here: one for each device and addressee.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Board {
    posted: BTreeMap<(DeviceId, DeviceId), Posted>,
}

impl Board {
    /// What the one of this device for this addressee would become by a newer errand: `None` if one as new is here.
    ///
    /// # Errors
    /// [`Unfit::Full`].
    pub fn renewed(&self, errand: Errand, log: &DeviceLog) -> Result<Option<Posted>, Unfit> {
        let key = (errand.body().device, errand.body().holder);
        let Some(before) = self.posted.get(&key) else {
            let living = self.posted.keys().filter(|(device, _)| log.is_device(device)).count();
            return if living < ERRANDS_MAX {
                Ok(Some(Posted::new(errand)))
            } else {
                Err(Unfit::Full)
            };
        };
        if before.errand.body().number >= errand.body().number {
            return Ok(None);
        }
        let mut renewed = Posted::new(errand);
        // What was left for the one before was left for it or for earlier ones.
        if !renewed.errand.counts(before.errand.body().number) {
            return Ok(Some(renewed));
        }
        let named = before.receipts.values().filter(|receipt| renewed.is_about(receipt));
        renewed.receipts = named.map(|it| (it.body.shard.root, it.clone())).collect();
        renewed.reply = before.reply.clone();
        Ok(Some(renewed))
    }

    /// Keeps one, in place of what was there. Those of devices that belong no more make room (ERR-12); returns whose
    /// files go.
    pub fn keep(&mut self, posted: Posted, log: &DeviceLog) -> Vec<(DeviceId, DeviceId)> {
        let key = (posted.errand.body().device, posted.errand.body().holder);
        self.posted.insert(key, posted);
        let mut gone = Vec::new();
        while self.posted.len() > ERRANDS_MAX {
            let stale = self.posted.keys().find(|(device, _)| !log.is_device(device)).copied();
            let Some(stale) = stale else { break };
            self.posted.remove(&stale);
            gone.push(stale);
        }
        gone
    }

    /// The one of a device for an addressee.
    pub fn of(&self, device: &DeviceId, holder: &DeviceId) -> Option<&Posted> {
        self.posted.get(&(*device, *holder))
    }

    /// What a device has left, by addressee, after one.
    pub fn by(&self, device: DeviceId, after: Option<DeviceId>) -> impl Iterator<Item = &Posted> {
        let of_device = self.posted.iter().filter(move |((author, _), _)| *author == device);
        let beyond = move |holder: &DeviceId| after.is_none_or(|after| *holder > after);
        of_device.filter(move |((_, holder), _)| beyond(holder)).map(|(_, posted)| posted)
    }

    /// What is there for an addressee, of devices that belong to the vault.
    pub fn meant_for<'b>(
        &'b self,
        holder: &'b DeviceId,
        log: &'b DeviceLog,
    ) -> impl Iterator<Item = &'b Posted> {
        let is_meant = |posted: &&Posted| {
            posted.errand.body().holder == *holder && log.is_device(&posted.errand.body().device)
        };
        self.posted.values().filter(is_meant)
    }

    /// ERR-3: the devices by whose errands this node may read a pack here.
    pub fn openers<'b>(
        &'b self,
        holder: &'b DeviceId,
        root: &'b ShardRoot,
        log: &'b DeviceLog,
    ) -> impl Iterator<Item = DeviceId> + 'b {
        let opening = self.meant_for(holder, log).filter(|posted| posted.opens(root));
        opening.map(|posted| posted.errand.body().device)
    }
}
