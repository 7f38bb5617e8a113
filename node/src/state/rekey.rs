//! Rekeying: that it is wanted, under which keys packs are sealed, and what became of packs that removed
//! devices have left.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::ShardRoot,
    index::{ChunkKind, PackClass, ShardRef},
    rekeying::Amount,
    time::Timestamp,
};
use minicbor::Decoder;
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{
    LAYOUT_ADOPTED, META, State, StateError,
    index::{PACKS, PackNumber},
};

/// Note in `meta`: four numbers of 8 bytes, little endian.
const WISH: &str = "rekey wanted";

/// Packs that a removed device has left, of which everything is in others now.
const RELEASED: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("rekeyed_left");
/// The packs in which it is: they stay as those of before would.
const ADOPTED: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("adopted");

/// Somebody wants older packs made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RekeyWish {
    /// Those of epochs before this one.
    pub up_to: u32,
    /// When it was asked for.
    pub asked: Timestamp,
    /// What was done since.
    pub moved: Amount,
}

/// How a pack is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seal {
    /// Epoch whose key seals it.
    pub epoch: u32,
    /// Whether it begins with a manifest or a part of an index: it serves the commit that it came with.
    pub is_of_commits: bool,
}

/// What an own commit changes for what removed devices have left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftChange {
    /// Claimed no more, for everything in them is in others.
    pub released: BTreeSet<ShardRoot>,
    /// These others.
    pub adopted: BTreeSet<ShardRoot>,
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(RELEASED)?;
    tx.open_table(ADOPTED)?;
    Ok(())
}

/// In the transaction that makes the commit the newest one.
pub(super) fn mark_left(tx: &WriteTransaction, change: &LeftChange) -> Result<(), redb::Error> {
    if change.released.is_empty() && change.adopted.is_empty() {
        return Ok(());
    }
    {
        let (mut released, mut adopted) = (tx.open_table(RELEASED)?, tx.open_table(ADOPTED)?);
        for root in &change.released {
            released.insert(root.as_bytes(), ())?;
            // It may have been made anew before, under a key that is an older one by now.
            adopted.remove(root.as_bytes())?;
        }
    }
    adopt(tx, change.adopted.iter().copied())
}

/// What removed devices have left is in these packs. A program that would not know is kept out from now on.
pub(super) fn adopt(
    tx: &WriteTransaction,
    roots: impl Iterator<Item = ShardRoot>,
) -> Result<(), redb::Error> {
    let mut adopted = tx.open_table(ADOPTED)?;
    for root in roots {
        adopted.insert(root.as_bytes(), ())?;
    }
    tx.open_table(META)?.insert("layout", LAYOUT_ADOPTED.to_le_bytes().as_slice())?;
    Ok(())
}

impl State {
    /// What is wanted, if anything is.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn rekey_wish(&self) -> Result<Option<RekeyWish>, StateError> {
        self.note(WISH)?.map(|bytes| wish(&bytes)).transpose()
    }

    /// Wants packs of epochs before `up_to` made anew. What was done for an earlier wish counts on.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn want_rekey(&self, up_to: u32, now: Timestamp) -> Result<(), StateError> {
        let before = self.rekey_wish()?;
        let (asked, moved) = before.map_or((now, Amount::default()), |it| (it.asked, it.moved));
        let up_to = before.map_or(up_to, |it| it.up_to.max(up_to));
        self.keep_note(WISH, &written(&RekeyWish { up_to, asked, moved }))
    }

    /// So much was done. Nothing, when the wish was taken back meanwhile.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn count_rekeyed(&self, moved: Amount) -> Result<(), StateError> {
        self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            let before = meta.get(WISH)?.and_then(|value| wish(value.value()).ok());
            if let Some(mut wish) = before {
                wish.moved.packs += moved.packs;
                wish.moved.bytes += moved.bytes;
                meta.insert(WISH, written(&wish).as_slice())?;
            }
            Ok(())
        })
    }

    /// The wish, raised to this epoch: a newer one has begun since it was made. None without a wish.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raise_rekey_wish(&self, up_to: u32) -> Result<Option<RekeyWish>, StateError> {
        self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            let before = meta.get(WISH)?.and_then(|value| wish(value.value()).ok());
            let Some(mut wish) = before else { return Ok(None) };
            if wish.up_to < up_to {
                wish.up_to = up_to;
                meta.insert(WISH, written(&wish).as_slice())?;
            }
            Ok(Some(wish))
        })
    }

    /// What was wanted up to this epoch is done. False, and nothing changes, when more is wanted by now.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn fulfil_rekey_wish(&self, up_to: u32) -> Result<bool, StateError> {
        self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            let wish = meta.get(WISH)?.and_then(|value| wish(value.value()).ok());
            if wish.is_some_and(|wish| wish.up_to != up_to) {
                return Ok(false);
            }
            meta.remove(WISH)?;
            Ok(true)
        })
    }

    /// It is not wanted any more.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn drop_rekey_wish(&self) -> Result<(), StateError> {
        self.drop_note(WISH)
    }

    /// How every pack is sealed. Reads the beginning of each record alone: their chunks are many.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn pack_seals(&self) -> Result<BTreeMap<PackNumber, Seal>, StateError> {
        let found = self.read(|tx| {
            let mut seals = BTreeMap::new();
            for row in tx.open_table(PACKS)?.iter()? {
                let (number, bytes) = row?;
                seals.insert(number.value(), seal(bytes.value()).ok());
            }
            Ok(seals)
        })?;
        let damaged = || StateError::Damaged { table: "packs" };
        found.into_iter().map(|(number, seal)| Ok((number, seal.ok_or_else(damaged)?))).collect()
    }

    /// Packs that a removed device has left and that are not claimed any more for its sake.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn released(&self) -> Result<BTreeSet<ShardRoot>, StateError> {
        self.roots_in(RELEASED)
    }

    /// Packs with what is in those.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn adopted(&self) -> Result<BTreeSet<ShardRoot>, StateError> {
        self.roots_in(ADOPTED)
    }

    fn roots_in(
        &self,
        table: TableDefinition<'_, &'static [u8; 32], ()>,
    ) -> Result<BTreeSet<ShardRoot>, StateError> {
        self.read(|tx| {
            let mut roots = BTreeSet::new();
            for row in tx.open_table(table)?.iter()? {
                roots.insert(ShardRoot::from_bytes(*row?.0.value()));
            }
            Ok(roots)
        })
    }
}

fn written(wish: &RekeyWish) -> Vec<u8> {
    let numbers = [u64::from(wish.up_to), wish.asked.0, wish.moved.packs, wish.moved.bytes];
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn wish(bytes: &[u8]) -> Result<RekeyWish, StateError> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    let damaged = StateError::Damaged { table: "meta" };
    let (&[up_to, asked, packs, bytes], []) = (numbers.as_slice(), rest) else {
        return Err(damaged);
    };
    let up_to = u32::try_from(up_to).map_err(|_| damaged)?;
    Ok(RekeyWish { up_to, asked: Timestamp(asked), moved: Amount { packs, bytes } })
}

/// The first fields of a pack record, see specs/index.md.
fn seal(bytes: &[u8]) -> Result<Seal, minicbor::decode::Error> {
    let mut record = Decoder::new(bytes);
    record.array()?;
    record.decode::<ShardRef>()?;
    record.decode::<PackClass>()?;
    let epoch = record.u32()?;
    record.skip()?;
    let mut is_of_commits = false;
    if record.array()? != Some(0) {
        record.array()?;
        record.skip()?;
        let kind = record.decode::<ChunkKind>()?;
        is_of_commits = matches!(kind, ChunkKind::Manifest | ChunkKind::Index);
    }
    Ok(Seal { epoch, is_of_commits })
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::ChunkId,
        index::{ChunkRecord, PackRecord},
    };

    use super::*;
    use crate::state::index::Standing;

    fn root(seed: u8) -> ShardRoot {
        ShardRoot::from_bytes([seed; 32])
    }

    fn pack(seed: u8, epoch: u32, kind: ChunkKind) -> PackRecord {
        let id = ChunkId::from_bytes([seed; 32]);
        let chunk = ChunkRecord { id, kind, sealed_bytes: 100, plain_bytes: 80 };
        let shard = ShardRef { root: root(seed), bytes: 16_384 };
        PackRecord { shard, class: kind.class(), epoch, salt: [seed; 32], chunks: vec![chunk] }
    }

    // REKEY-6
    #[test]
    fn a_wish_outlives_a_restart_and_what_was_done_is_counted_until_it_is_taken_back() {
        let home = tempfile::tempdir().unwrap();
        let state = State::open(home.path()).unwrap();
        assert_eq!(state.rekey_wish().unwrap(), None);
        let one = Amount { packs: 1, bytes: 7 };
        state.count_rekeyed(one).unwrap();
        assert_eq!(state.rekey_wish().unwrap(), None, "nobody wants it");
        state.want_rekey(3, Timestamp(100)).unwrap();
        state.count_rekeyed(one).unwrap();
        drop(state);
        let state = State::open(home.path()).unwrap();
        state.want_rekey(2, Timestamp(200)).unwrap();
        let wish = RekeyWish { up_to: 3, asked: Timestamp(100), moved: one };
        assert_eq!(state.rekey_wish().unwrap(), Some(wish), "asked again, it goes on");
        // More is wanted while a round ends that has done what was wanted before.
        state.want_rekey(4, Timestamp(300)).unwrap();
        assert!(!state.fulfil_rekey_wish(3).unwrap());
        let more = RekeyWish { up_to: 4, ..wish };
        assert_eq!(state.raise_rekey_wish(2).unwrap(), Some(more));
        let more = RekeyWish { up_to: 5, ..wish };
        assert_eq!(state.raise_rekey_wish(5).unwrap(), Some(more));
        assert!(state.fulfil_rekey_wish(5).unwrap());
        assert_eq!(state.rekey_wish().unwrap(), None, "it is done");
        assert_eq!(state.raise_rekey_wish(6).unwrap(), None, "nobody wants it");
        state.want_rekey(6, Timestamp(400)).unwrap();
        state.drop_rekey_wish().unwrap();
        assert_eq!(state.rekey_wish().unwrap(), None);
    }

    // REKEY-2
    #[test]
    fn a_pack_is_adopted_as_it_enters_the_index_and_keeps_older_programs_out() {
        let home = tempfile::tempdir().unwrap();
        let state = State::open(home.path()).unwrap();
        let layout = |state: &State| state.note("layout").unwrap();
        state.add_packs(&[pack(1, 1, ChunkKind::Data)], Standing::Own).unwrap();
        assert_eq!(layout(&state).as_deref(), Some(&1_u32.to_le_bytes()[..]));
        state.add_packs(&[pack(2, 1, ChunkKind::Data)], Standing::Adopted).unwrap();
        assert_eq!(layout(&state).as_deref(), Some(&2_u32.to_le_bytes()[..]));
        drop(state);
        let state = State::open(home.path()).unwrap();
        assert_eq!(state.adopted().unwrap(), BTreeSet::from([root(2)]));
        assert!(state.facts_of(&root(2)).unwrap().unwrap().own);
    }

    // REKEY-1
    #[test]
    fn how_a_pack_is_sealed_is_read_from_the_beginning_of_its_record() {
        let home = tempfile::tempdir().unwrap();
        let state = State::open(home.path()).unwrap();
        let packs = [
            pack(1, 1, ChunkKind::Data),
            pack(2, 2, ChunkKind::Manifest),
            pack(3, 70_000, ChunkKind::Index),
            pack(4, 2, ChunkKind::Snapshot),
        ];
        state.add_packs(&packs, Standing::Own).unwrap();
        let seals: Vec<_> = state.pack_seals().unwrap().into_values().collect();
        let expected = [(1, false), (2, true), (70_000, true), (2, false)];
        assert_eq!(seals.len(), expected.len());
        for (seal, (epoch, is_of_commits)) in seals.iter().zip(expected) {
            assert_eq!(*seal, Seal { epoch, is_of_commits });
        }
    }

    // REKEY-1, INDEX-7
    #[test]
    fn of_a_chunk_in_many_own_packs_the_newest_place_is_never_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let state = State::open(home.path()).unwrap();
        let same = |seed: u8| {
            let chunks = pack(1, 1, ChunkKind::Data).chunks;
            PackRecord { chunks, ..pack(seed, seed.into(), ChunkKind::Data) }
        };
        for seed in 1..=6 {
            state.add_packs(&[same(seed)], Standing::Own).unwrap();
            let places = state.places_of(&ChunkId::from_bytes([1; 32])).unwrap();
            assert_eq!(places.first().map(|(number, _)| *number), Some(u32::from(seed) - 1));
        }
        state.add_packs(&[same(7)], Standing::Known).unwrap();
        let places = state.places_of(&ChunkId::from_bytes([1; 32])).unwrap();
        assert!(places.iter().all(|(number, _)| *number != 6), "another device has no say");
    }
}
