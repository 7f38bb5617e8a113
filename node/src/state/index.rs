//! The local index: which chunks exist, in which packs, and which packs may be relied on.
//!
//! A cache: every row can be rebuilt from pack footers. Two kinds of trust are kept apart. A pack
//! may be *known* (its chunks can be restored from it if a holder still has it) without being
//! *usable* (its chunks may be left out of a new backup): only packs that this device itself
//! made durable, or for which it has itself seen enough receipts, are usable (HOME-6), and only
//! until they are found to be nowhere any more (HOME-8).

use std::{
    cmp::Reverse,
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, RwLock},
};

use larder_protocol::{
    cbor,
    ids::{ChunkId, ShardRoot},
    index::{Location, PackClass, PackRecord, ShardRef},
};
use minicbor::{Decode, Encode};
use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction,
};

use super::{State, StateError, record, rekey, values};

const CHUNKS: TableDefinition<'_, &[u8; 32], (u32, u32)> = TableDefinition::new("chunks");
/// Further places of chunks that are in several packs, beside the one in `chunks`: pack number and
/// position, little endian, one after the other.
const SPARES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("chunk_spares");
pub(super) const PACKS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("packs");
const FACTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("pack_facts");

/// Number of a pack in this node's own tables.
pub type PackNumber = u32;

/// A pack and the position of a chunk in it.
pub type Place = (PackNumber, u32);

/// Places kept of one chunk. Any one will do, unless its pack does not hold what its device says.
const PLACES_MAX: usize = 4;

/// What is known of a pack beside its chunks: small, so that all packs can be gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, kept as one record")]
pub struct PackFacts {
    /// Its number here.
    #[n(0)]
    pub number: PackNumber,
    /// Name and length.
    #[n(1)]
    pub shard: ShardRef,
    /// Which kind of pack.
    #[n(2)]
    pub class: PackClass,
    /// Whether new backups may rely on its chunks.
    #[n(3)]
    pub usable: bool,
    /// Whether this device made it.
    #[n(4)]
    pub own: bool,
    /// Whether an index segment of this device's own manifest lists it.
    #[n(5)]
    pub listed: bool,
    /// On how many sites it was kept when its local copy went; 0 if it never did.
    #[n(6)]
    pub promised_sites: u8,
    /// Whether the next commit lists it though it was made by another device: a snapshot of this
    /// device relies on it.
    #[cbor(n(7), skip_if = "is_false")]
    pub is_relied_on: bool,
    /// Lost everywhere before the newest commit, which does not need it: the index goes on naming
    /// it, should a holder turn out to have it.
    #[cbor(n(8), skip_if = "is_false")]
    pub is_given_up: bool,
    /// Number of the own head that claims it no more; 0 while it is claimed, or was never. Nothing new
    /// relies on it, and it leaves this index once that head is published.
    #[cbor(n(9), skip_if = "is_zero")]
    pub dropped_at: u64,
}

/// Fields that came later are left out of a record while they say nothing.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that the encoder calls")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// As [`is_false`].
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that the encoder calls")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// By what right a pack enters the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Made and made durable by this device.
    Own,
    /// The same, in place of what a removed device has left.
    Adopted,
    /// Of another device of the vault; receipts that meet the policy were seen here.
    Vouched,
    /// Of another device of the vault; good for restoring.
    Known,
}

/// How far a pack is trusted to hold a chunk, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Trust {
    /// Nobody has it any more, as far as is known.
    #[default]
    Lost,
    /// Another device says what is in it.
    Known,
    /// And enough holders say that they have it.
    Usable,
    /// This device made it and put the chunk in.
    Own,
}

impl Trust {
    const fn of(facts: &PackFacts) -> Self {
        if facts.dropped_at > 0 {
            return Self::Lost;
        }
        match (facts.usable, facts.own) {
            (true, true) => Self::Own,
            (true, false) => Self::Usable,
            (false, false) if !facts.is_given_up => Self::Known,
            (false, _) => Self::Lost,
        }
    }
}

/// Trust by pack number, in memory: asked once per chunk of every backup.
#[derive(Debug, Default)]
pub(super) struct UsablePacks(RwLock<Vec<Trust>>);

impl UsablePacks {
    fn set(&self, facts: &PackFacts) {
        let mut all = self.0.write().expect("no code panics while holding this lock");
        let at = usize::try_from(facts.number).expect("a u32 fits");
        if all.len() <= at {
            all.resize(at + 1, Trust::default());
        }
        if let Some(slot) = all.get_mut(at) {
            *slot = Trust::of(facts);
        }
    }

    fn forget(&self, numbers: &[PackNumber]) {
        let mut all = self.0.write().expect("no code panics while holding this lock");
        for number in numbers {
            let at = usize::try_from(*number).expect("a u32 fits");
            if let Some(slot) = all.get_mut(at) {
                *slot = Trust::default();
            }
        }
    }

    fn trust(&self, number: PackNumber) -> Trust {
        let all = self.0.read().expect("no code panics while holding this lock");
        usize::try_from(number).ok().and_then(|at| all.get(at).copied()).unwrap_or_default()
    }

    fn is(&self, number: PackNumber) -> bool {
        self.trust(number) >= Trust::Usable
    }
}

/// Packs kept decoded: neighbours in a tree lie in few packs, and decoding a record of some
/// thousand chunks for each of them is what browsing would spend its time on.
const RECENT_MAX: usize = 8;

/// Records of the packs asked for last, the newest at the end. A record never changes.
#[derive(Debug, Default)]
pub(super) struct RecentPacks(Mutex<Vec<(PackNumber, Arc<PackRecord>)>>);

impl RecentPacks {
    fn find(&self, number: PackNumber) -> Option<Arc<PackRecord>> {
        let mut all = self.lock();
        let at = all.iter().position(|(kept, _)| *kept == number)?;
        let found = all.remove(at);
        let pack = Arc::clone(&found.1);
        all.push(found);
        Some(pack)
    }

    fn keep(&self, number: PackNumber, pack: Arc<PackRecord>) {
        let mut all = self.lock();
        all.retain(|(kept, _)| *kept != number);
        if all.len() >= RECENT_MAX {
            all.remove(0);
        }
        all.push((number, pack));
    }

    fn forget(&self, numbers: &[PackNumber]) {
        self.lock().retain(|(kept, _)| !numbers.contains(kept));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(PackNumber, Arc<PackRecord>)>> {
        self.0.lock().expect("no code panics while holding this lock")
    }
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(CHUNKS)?;
    tx.open_table(SPARES)?;
    tx.open_table(PACKS)?;
    tx.open_table(FACTS)?;
    Ok(())
}

impl State {
    pub(super) fn load_usable_packs(&self) -> Result<(), StateError> {
        for facts in self.pack_facts()? {
            self.usable.set(&facts);
        }
        Ok(())
    }

    /// Adds packs to the index. A pack that is known keeps its row, except that it may gain
    /// trust; of a chunk that is in several packs, the places in those most trusted are kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn add_packs(&self, records: &[PackRecord], standing: Standing) -> Result<(), StateError> {
        self.write(|tx| {
            let mut tables = Tables {
                chunks: tx.open_table(CHUNKS)?,
                spares: tx.open_table(SPARES)?,
                packs: tx.open_table(PACKS)?,
                facts: tx.open_table(FACTS)?,
            };
            // What was left stays claimed in the new pack as well: no snapshot here leads to it.
            if standing == Standing::Adopted {
                rekey::adopt(tx, records.iter().map(|pack| pack.shard.root))?;
            }
            records.iter().try_for_each(|pack| tables.add(pack, standing, &self.usable))
        })
    }

    /// Takes the word of this device's manifest for which packs its segments list. A pack that
    /// was thought to be listed and is not is listed with the next commit.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn correct_listed(&self, listed: &BTreeSet<ShardRoot>) -> Result<(), StateError> {
        let all = self.pack_facts()?;
        let wrong = all.iter().filter(|facts| facts.listed && !listed.contains(&facts.shard.root));
        let wrong: Vec<ShardRoot> = wrong.map(|facts| facts.shard.root).collect();
        self.change_facts(&wrong, |facts| {
            facts.listed = false;
            facts.is_relied_on |= !facts.own;
        })
    }

    /// Notes on how many sites a pack is kept, before its local copy goes.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn promise_sites(&self, root: &ShardRoot, sites: u8) -> Result<(), StateError> {
        self.change_facts(&[*root], |facts| facts.promised_sites = sites)
    }

    /// A pack has receipts of so many sites, which meet the policy: new backups may rely on it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn vouch(&self, root: &ShardRoot, sites: u8) -> Result<(), StateError> {
        let is_promised = |facts: &PackFacts| facts.own || facts.promised_sites > 0;
        match self.facts_of(root)? {
            Some(facts) if !facts.usable || !is_promised(&facts) => {
                self.change_facts(&[*root], |facts| {
                    facts.usable = true;
                    facts.is_given_up = false;
                    if !is_promised(facts) {
                        facts.promised_sites = sites;
                    }
                })?;
                self.rely_as_written(root)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A pack is nowhere any more: new backups store its chunks anew. What says where they were
    /// stays, for a holder may turn out to have them.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn revoke(&self, root: &ShardRoot) -> Result<(), StateError> {
        match self.facts_of(root)? {
            Some(facts) if facts.usable => {
                self.change_facts(&[*root], |facts| facts.usable = false)?;
                self.rely_as_written(root)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// New backups rely on these packs no more. They are marked on disk already.
    pub(super) fn rely_no_more_on(&self, roots: &BTreeSet<ShardRoot>) -> Result<(), StateError> {
        roots.iter().try_for_each(|root| self.rely_as_written(root))
    }

    /// A pack is relied on as its row says now: others may have changed it since it was read last.
    fn rely_as_written(&self, root: &ShardRoot) -> Result<(), StateError> {
        if let Some(facts) = self.facts_of(root)? {
            self.usable.set(&facts);
        }
        Ok(())
    }

    /// Packs with these numbers have left the index.
    pub(super) fn forget_numbers(&self, numbers: &[PackNumber]) {
        self.usable.forget(numbers);
        self.recent.forget(numbers);
    }

    fn change_facts(
        &self,
        roots: &[ShardRoot],
        change: impl Fn(&mut PackFacts),
    ) -> Result<(), StateError> {
        self.write(|tx| change_facts(tx, roots, change))
    }

    /// The pack of a chunk on which a new backup may rely, if there is one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn usable_pack_of(&self, chunk: &ChunkId) -> Result<Option<PackNumber>, StateError> {
        let place = self.place_of(chunk)?;
        Ok(place.map(|(number, _)| number).filter(|number| self.usable.is(*number)))
    }

    /// Where a chunk is: in the pack that is trusted most, should it be in several.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn locate(&self, chunk: &ChunkId) -> Result<Option<Location>, StateError> {
        self.place_of(chunk)?.map(|place| self.location(place)).transpose()
    }

    /// All places of a chunk that are known, the most trusted pack first: another device may say
    /// of a pack what is not true, and then the next place is tried.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn locations(&self, chunk: &ChunkId) -> Result<Vec<Location>, StateError> {
        self.places_of(chunk)?.into_iter().map(|place| self.location(place)).collect()
    }

    fn location(&self, (number, position): Place) -> Result<Location, StateError> {
        let pack = self.recent_pack(number)?;
        let location = pack.and_then(|pack| pack.location(position));
        location.ok_or(StateError::Damaged { table: "chunks" })
    }

    /// The pack number and position of a chunk: the cheap half of [`Self::locate`], for sorting
    /// many chunks by pack before any record is read.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn place_of(&self, chunk: &ChunkId) -> Result<Option<Place>, StateError> {
        let first = |tx: &ReadTransaction| {
            Ok(tx.open_table(CHUNKS)?.get(chunk.as_bytes())?.map(|row| row.value()))
        };
        match self.read(first)? {
            // Nothing is trusted more: no need to look for others.
            Some(place) if self.usable.trust(place.0) == Trust::Own => Ok(Some(place)),
            Some(_) => Ok(self.places_of(chunk)?.into_iter().next()),
            None => Ok(None),
        }
    }

    /// Every place in which a chunk is known to be, the most trusted pack first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn places_of(&self, chunk: &ChunkId) -> Result<Vec<Place>, StateError> {
        let mut places = self.read(|tx| {
            let (chunks, spares) = (tx.open_table(CHUNKS)?, tx.open_table(SPARES)?);
            places(&chunks, &spares, chunk)
        })?;
        // Trust changes after a place was written down.
        places.sort_by_key(|(number, _)| Reverse(self.usable.trust(*number)));
        Ok(places)
    }

    /// The same as [`Self::pack`], kept decoded for a while.
    fn recent_pack(&self, number: PackNumber) -> Result<Option<Arc<PackRecord>>, StateError> {
        if let Some(pack) = self.recent.find(number) {
            return Ok(Some(pack));
        }
        let pack = self.pack(number)?.map(Arc::new);
        if let Some(pack) = &pack {
            self.recent.keep(number, Arc::clone(pack));
        }
        Ok(pack)
    }

    /// One pack with all its chunks.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn pack(&self, number: PackNumber) -> Result<Option<PackRecord>, StateError> {
        let bytes = self.read(|tx| {
            Ok(tx.open_table(PACKS)?.get(number)?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("packs", &bytes)).transpose()
    }

    /// What is known of one pack.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn facts_of(&self, root: &ShardRoot) -> Result<Option<PackFacts>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(FACTS)?;
            Ok(table.get(root.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("pack_facts", &bytes)).transpose()
    }

    /// What is known of all packs, about 60 bytes each.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn pack_facts(&self) -> Result<Vec<PackFacts>, StateError> {
        let rows = self.read(|tx| values(&tx.open_table(FACTS)?))?;
        rows.iter().map(|bytes| record("pack_facts", bytes)).collect()
    }

    /// How many chunks and packs are known.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn index_size(&self) -> Result<(u64, u64), StateError> {
        self.read(|tx| Ok((tx.open_table(CHUNKS)?.len()?, tx.open_table(PACKS)?.len()?)))
    }
}

/// Marks packs as listed in an index segment of this device's own manifest: in the transaction that
/// makes this manifest the newest one, for a pack that counts as listed is never listed again.
pub(super) fn mark_listed(
    tx: &WriteTransaction,
    roots: &BTreeSet<ShardRoot>,
) -> Result<(), redb::Error> {
    change_facts(tx, roots, |facts| facts.listed = true)
}

/// Marks packs as claimed no more since an own head: in the transaction that makes it the newest one.
pub(super) fn mark_dropped(
    tx: &WriteTransaction,
    roots: &BTreeSet<ShardRoot>,
    seq: u64,
) -> Result<(), redb::Error> {
    change_facts(tx, roots, |facts| {
        facts.dropped_at = seq;
        facts.listed = false;
        facts.is_relied_on = false;
    })
}

/// Marks packs as given up: in the transaction of the commit that does not need them.
pub(super) fn mark_given_up(
    tx: &WriteTransaction,
    roots: &BTreeSet<ShardRoot>,
) -> Result<(), redb::Error> {
    change_facts(tx, roots, |facts| facts.is_given_up = true)
}

/// Packs that this device claims no more and another one does: known as any other of that one's.
pub(super) fn hand_over(
    tx: &WriteTransaction,
    roots: &BTreeSet<ShardRoot>,
) -> Result<(), redb::Error> {
    change_facts(tx, roots, |facts| {
        facts.dropped_at = 0;
        facts.own = false;
        facts.listed = false;
        facts.is_relied_on = false;
    })
}

/// Takes packs out of the index, and their chunks; returns the numbers that they had.
pub(super) fn remove(
    tx: &WriteTransaction,
    roots: &BTreeSet<ShardRoot>,
) -> Result<Vec<PackNumber>, redb::Error> {
    let mut facts_table = tx.open_table(FACTS)?;
    let mut tables = (tx.open_table(CHUNKS)?, tx.open_table(SPARES)?, tx.open_table(PACKS)?);
    let mut numbers = Vec::new();
    for root in roots {
        let bytes = facts_table.remove(root.as_bytes())?.map(|bytes| bytes.value().to_vec());
        let facts = bytes.and_then(|bytes| record::<PackFacts>("pack_facts", &bytes).ok());
        let Some(facts) = facts else { continue };
        numbers.push(facts.number);
        let bytes = tables.2.remove(facts.number)?.map(|bytes| bytes.value().to_vec());
        let pack = bytes.and_then(|bytes| record::<PackRecord>("packs", &bytes).ok());
        for chunk in pack.iter().flat_map(|pack| &pack.chunks) {
            let mut left = places(&tables.0, &tables.1, &chunk.id)?;
            left.retain(|(number, _)| *number != facts.number);
            keep_places(&mut tables.0, &mut tables.1, &chunk.id, &left)?;
        }
    }
    Ok(numbers)
}

/// Writes down where a chunk is, and nothing when it is nowhere.
fn keep_places(
    chunks: &mut Table<'_, &'static [u8; 32], (u32, u32)>,
    spares: &mut Table<'_, &'static [u8; 32], &'static [u8]>,
    chunk: &ChunkId,
    places: &[Place],
) -> Result<(), redb::Error> {
    let Some((first, others)) = places.split_first() else {
        chunks.remove(chunk.as_bytes())?;
        spares.remove(chunk.as_bytes())?;
        return Ok(());
    };
    chunks.insert(chunk.as_bytes(), *first)?;
    if others.is_empty() {
        spares.remove(chunk.as_bytes())?;
    } else {
        let numbers = others.iter().flat_map(|(number, position)| [*number, *position]);
        let bytes: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        spares.insert(chunk.as_bytes(), bytes.as_slice())?;
    }
    Ok(())
}

fn change_facts<'a>(
    tx: &WriteTransaction,
    roots: impl IntoIterator<Item = &'a ShardRoot>,
    change: impl Fn(&mut PackFacts),
) -> Result<(), redb::Error> {
    let mut table = tx.open_table(FACTS)?;
    for root in roots {
        let bytes = table.get(root.as_bytes())?.map(|bytes| bytes.value().to_vec());
        let facts = bytes.and_then(|bytes| record::<PackFacts>("pack_facts", &bytes).ok());
        if let Some(mut facts) = facts {
            change(&mut facts);
            table.insert(root.as_bytes(), cbor::encode(&facts).as_slice())?;
        }
    }
    Ok(())
}

/// The places of a chunk as they were written down.
fn places(
    chunks: &impl ReadableTable<&'static [u8; 32], Place>,
    spares: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    chunk: &ChunkId,
) -> Result<Vec<Place>, redb::Error> {
    let Some(first) = chunks.get(chunk.as_bytes())?.map(|row| row.value()) else {
        return Ok(Vec::new());
    };
    let mut places = vec![first];
    if let Some(row) = spares.get(chunk.as_bytes())? {
        let (numbers, _) = row.value().as_chunks::<4>();
        let mut numbers = numbers.iter().map(|bytes| u32::from_le_bytes(*bytes));
        while let (Some(number), Some(position)) = (numbers.next(), numbers.next()) {
            places.push((number, position));
        }
    }
    Ok(places)
}

/// The tables of the index within one transaction.
struct Tables<'t> {
    spares: Table<'t, &'static [u8; 32], &'static [u8]>,
    chunks: Table<'t, &'static [u8; 32], (u32, u32)>,
    packs: Table<'t, u32, &'static [u8]>,
    facts: Table<'t, &'static [u8; 32], &'static [u8]>,
}

impl Tables<'_> {
    fn add(
        &mut self,
        pack: &PackRecord,
        standing: Standing,
        usable: &UsablePacks,
    ) -> Result<(), redb::Error> {
        let root = pack.shard.root;
        let known = self.facts.get(root.as_bytes())?.map(|bytes| bytes.value().to_vec());
        let known = known.and_then(|bytes| record::<PackFacts>("pack_facts", &bytes).ok());
        let mut facts = match known {
            Some(facts) => facts,
            None => PackFacts {
                number: self.packs.last()?.map_or(0, |(last, _)| last.value().saturating_add(1)),
                shard: pack.shard,
                class: pack.class,
                usable: false,
                own: false,
                listed: false,
                promised_sites: 0,
                is_relied_on: false,
                is_given_up: false,
                dropped_at: 0,
            },
        };
        // To be met again takes no trust away.
        facts.usable |= standing != Standing::Known;
        facts.own |= matches!(standing, Standing::Own | Standing::Adopted);
        self.facts.insert(root.as_bytes(), cbor::encode(&facts).as_slice())?;
        if known.is_none() {
            self.packs.insert(facts.number, cbor::encode(pack).as_slice())?;
        }
        // For the packs after it in the same transaction. Should that fail, all is as before with
        // the next start, and until then a pack without a row is asked about by nobody.
        usable.set(&facts);
        for (position, chunk) in (0_u32..).zip(&pack.chunks) {
            self.place(&chunk.id, (facts.number, position), usable)?;
        }
        Ok(())
    }

    /// Notes one more place of a chunk; the least trusted one goes when there are too many.
    fn place(
        &mut self,
        chunk: &ChunkId,
        place: Place,
        usable: &UsablePacks,
    ) -> Result<(), redb::Error> {
        let before = places(&self.chunks, &self.spares, chunk)?;
        if before.iter().any(|(number, _)| *number == place.0) {
            return Ok(());
        }
        let mut all = before.clone();
        // What this device stores anew takes the place of what it stored before.
        let at = if usable.trust(place.0) == Trust::Own { 0 } else { all.len() };
        all.insert(at, place);
        all.sort_by_key(|(number, _)| Reverse(usable.trust(*number)));
        all.truncate(PLACES_MAX);
        if before.is_empty() {
            // Nearly every chunk has one place.
            self.chunks.insert(chunk.as_bytes(), place)?;
        } else if all != before {
            keep_places(&mut self.chunks, &mut self.spares, chunk, &all)?;
        }
        Ok(())
    }
}
