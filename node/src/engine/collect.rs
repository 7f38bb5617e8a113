//! Collecting: finds the packs that no snapshot of this device needs any more, and takes leave of packs
//! that no device of the vault needs.
//!
//! ```text
//! forget ──▶ unneeded? ──▶ commit that claims them no more ──published──▶ out of the index, no
//!                                                                     receipts, not placed ──30 days──▶
//!                                                          own copy goes, if there is one
//! ```
//! Absence is never a reason: a pack goes because every tree was read to its end and none leads to it.
//! What holders do is theirs to decide, see `larder_protocol::holding`. Source: specs/deletion.md.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::{
    collecting::{Choice, PackUse, Parting, Standing},
    ids::{ChunkId, ShardRoot},
    index::{ChunkKind, PackClass, ShardRef},
    limits::RETENTION_DAYS_MIN,
    manifest::SnapshotSummary,
    pack::PackBuilder,
    placing::Input,
    tree::{reach::Reach, read::ReadError},
};
use tracing::{debug, info, warn};

use super::{ChunkSource, Core, EngineError, Member, clock::wall, commit, look, on_disk, roster};
use crate::{
    depot::{ClaimNote, Origin},
    state::{
        StateError,
        index::{PackFacts, PackNumber},
    },
};

/// Note in `meta`: snapshots were forgotten, and nobody has looked yet what is not needed since.
const TO_COLLECT: &str = "to collect";

/// Backups wait while packs are made anew: no more is begun after so long.
const REPACK_TIME: Duration = Duration::from_secs(60);

/// What is needed of every pack that this device claims, with these snapshots alone, and what to do
/// about it. Blocks; reads the metadata of all of them.
///
/// DEL-12: an error when anything of them cannot be read, or is in no pack that is claimed.
pub(crate) fn survey(
    core: &Core,
    member: &Member,
    source: &ChunkSource,
    stay: &[SnapshotSummary],
) -> Result<Survey, EngineError> {
    let manifest = commit::own_manifest(core, member)?;
    let facts = core.state.pack_facts()?;
    let listed: HashSet<PackNumber> =
        facts.iter().filter(|facts| facts.listed).map(|facts| facts.number).collect();
    let mut marks = Marks { core, listed: &listed, needed: HashMap::new(), last: None };
    let mut reach = Reach::new();
    for summary in stay {
        marks.reached(summary.id)?;
        let snapshot = look::open_snapshot(source, summary.id)?;
        let mut fetch = |id, kind| source.chunk(id, kind);
        let through = reach.through(&snapshot.root, &mut fetch, &mut |chunk| marks.reached(chunk));
        through.map_err(|error| match error {
            ReadError::Fetch(error) => error,
            ReadError::Node(_) | ReadError::TooDeep => EngineError::Unreadable(summary.id),
        })?;
    }
    let needed = marks.needed;
    let of_index: HashSet<ShardRoot> =
        manifest.segments.iter().map(|location| location.shard.root).collect();
    // DEL-17: no snapshot of this device leads to what a removed one has left, and it stays.
    let left = commit::left_behind(core, member)?;
    let is_own_use = |root: &ShardRoot| !of_index.contains(root) && !left.contains(root);
    let mut uses = Vec::new();
    for facts in facts.iter().filter(|facts| facts.listed && is_own_use(&facts.shard.root)) {
        let needed_bytes = match needed.get(&facts.number) {
            Some(positions) => bytes_at(core, facts.number, positions)?,
            None => 0,
        };
        let ShardRef { root, bytes } = facts.shard;
        uses.push(PackUse { root, bytes, needed_bytes });
    }
    let choice = Choice::among(&uses);
    Ok(Survey { choice, needed })
}

/// What is needed, and what follows from it.
pub(crate) struct Survey {
    pub(crate) choice: Choice,
    needed: HashMap<PackNumber, Positions>,
}

/// Positions of the chunks of one pack that something leads to.
type Positions = BTreeSet<u32>;

fn bytes_at(core: &Core, number: PackNumber, at: &Positions) -> Result<u64, EngineError> {
    let record = core.state.pack(number)?.ok_or(StateError::Damaged { table: "packs" })?;
    let chunks = (0_u32..).zip(&record.chunks).filter(|(position, _)| at.contains(position));
    // What is needed is never counted as nothing.
    Ok(chunks.map(|(_, chunk)| u64::from(chunk.sealed_bytes)).sum::<u64>().max(1))
}

/// Places that something leads to.
struct Marks<'a> {
    core: &'a Core,
    listed: &'a HashSet<PackNumber>,
    needed: HashMap<PackNumber, Positions>,
    /// Small files of one bundle stand side by side.
    last: Option<ChunkId>,
}

impl Marks<'_> {
    fn reached(&mut self, chunk: ChunkId) -> Result<(), EngineError> {
        if self.last.replace(chunk) == Some(chunk) {
            return Ok(());
        }
        // Every pack that has it: which one is read from may change.
        let mut is_claimed = false;
        for (number, position) in self.core.state.places_of(&chunk)? {
            if self.listed.contains(&number) {
                self.needed.entry(number).or_default().insert(position);
                is_claimed = true;
            }
        }
        if is_claimed { Ok(()) } else { Err(EngineError::UnknownChunk(chunk)) }
    }
}

/// Stores anew what is needed of wasteful packs; durable when this returns. A chunk that cannot be had
/// now leaves its pack as it is. Returns the packs of which everything needed is in others now.
///
/// DEL-14: an error of the disk ends it all, for what was added before to the pack that could not be kept
/// is nowhere then.
fn repack(
    core: &Core,
    member: &Member,
    source: &ChunkSource,
    survey: &Survey,
) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let mut moved = BTreeSet::new();
    let begun = Instant::now();
    for class in [PackClass::Metadata, PackClass::Data] {
        let store = commit::Store::own(core, member, member.custody()?, class);
        let mut open: Option<PackBuilder> = None;
        for root in &survey.choice.repacked {
            let facts = core.state.facts_of(root)?.filter(|facts| facts.class == class);
            if let Some(facts) = facts
                && begun.elapsed() < REPACK_TIME
                && move_pack(&store, &mut open, source, survey, facts.number)?
            {
                moved.insert(*root);
            }
        }
        if let Some(last) = open {
            store.keep(last)?;
        }
    }
    Ok(moved)
}

/// Adds what is needed of one pack to the open one. False when some of it cannot be had.
fn move_pack(
    store: &commit::Store<'_>,
    open: &mut Option<PackBuilder>,
    source: &ChunkSource,
    survey: &Survey,
    number: PackNumber,
) -> Result<bool, EngineError> {
    let record = store.core.state.pack(number)?.ok_or(StateError::Damaged { table: "packs" })?;
    for position in survey.needed.get(&number).into_iter().flatten() {
        let location = record.location(*position).ok_or(EngineError::Lost(record.shard.root))?;
        match source.chunk_at(&location) {
            Ok(plain) => add(store, open, location.record.kind, &plain)?,
            Err(error) => {
                debug!("{} is not made anew: {error}", record.shard.root.short());
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether everything that is needed of these packs is in own packs that stay. Asked of the index just
/// before they are dropped.
fn check_moved(
    core: &Core,
    survey: &Survey,
    drop: &BTreeSet<ShardRoot>,
) -> Result<(), EngineError> {
    let stays = |facts: &PackFacts| {
        facts.own && facts.usable && facts.dropped_at == 0 && !drop.contains(&facts.shard.root)
    };
    let all = core.state.pack_facts()?;
    let staying: HashSet<PackNumber> =
        all.iter().filter(|facts| stays(facts)).map(|facts| facts.number).collect();
    for facts in all.iter().filter(|facts| drop.contains(&facts.shard.root)) {
        let Some(positions) = survey.needed.get(&facts.number) else { continue };
        let record = core.state.pack(facts.number)?;
        let record = record.ok_or(StateError::Damaged { table: "packs" })?;
        for position in positions {
            let chunk = record.location(*position).ok_or(EngineError::Lost(facts.shard.root))?;
            let places = core.state.places_of(&chunk.record.id)?;
            if !places.iter().any(|(number, _)| staying.contains(number)) {
                return Err(EngineError::UnknownChunk(chunk.record.id));
            }
        }
    }
    Ok(())
}

/// Adds a chunk to the open pack, or to a new one when it is full.
pub(crate) fn add(
    store: &commit::Store<'_>,
    open: &mut Option<PackBuilder>,
    kind: ChunkKind,
    plain: &[u8],
) -> Result<(), EngineError> {
    let mut pack = match open.take() {
        Some(pack) => pack,
        None => store.begin()?,
    };
    if pack.add(&store.member.content, kind, plain)?.is_none() {
        store.keep(pack)?;
        pack = store.begin()?;
        pack.add(&store.member.content, kind, plain)?.ok_or(EngineError::CommitTooLarge)?;
    }
    *open = Some(pack);
    Ok(())
}

/// Something was forgotten while a backup was being made: to be looked at later.
pub(crate) fn put_off(core: &Core) -> Result<(), EngineError> {
    Ok(core.state.keep_note(TO_COLLECT, &[1])?)
}

/// Makes up for what was put off, as far as the budget of one time goes. Blocks. Nobody must rely on
/// packs meanwhile.
fn make_up(core: &Arc<Core>, member: &Member, source: &ChunkSource) -> Result<(), EngineError> {
    if core.state.note(TO_COLLECT)?.is_none() {
        return Ok(());
    }
    let stay = commit::own_manifest(core, member)?.snapshots;
    let survey = survey(core, member, source, &stay)?;
    let moved = repack(core, member, source, &survey)?;
    let is_more = survey.choice.is_more || moved.len() < survey.choice.repacked.len();
    let mut drop = survey.choice.dropped.clone();
    drop.extend(moved);
    check_moved(core, &survey, &drop)?;
    if !drop.is_empty() {
        let change = commit::Change { drop, ..commit::Change::default() };
        commit::commit(core, member, member.custody()?, change)?;
    }
    if is_more { Ok(()) } else { Ok(core.state.drop_note(TO_COLLECT)?) }
}

/// Takes packs that no device needs out of the index, and has them placed no more. Nobody must rely on
/// packs meanwhile; every head of other devices that is known here has been taken in.
pub(crate) async fn sweep(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    roster::ensure_epoch(core, member).await?;
    let source = ChunkSource::new(core, member);
    let (working, of) = (Arc::clone(core), Arc::clone(member));
    let gone = on_disk(move || {
        // DEL-15: what a backup that was cut off has stored is claimed before anything is told.
        commit::list_left_over(&working, &of)?;
        // The list is right without it.
        if let Err(error) = make_up(&working, &of, &source) {
            warn!("what is not needed any more could not be found out: {error}");
        }
        release_local(&working, &of)?;
        take_leave(&working, &of)
    })
    .await?;
    let custody = member.custody()?;
    for root in gone {
        custody.tell(Input::PackDropped { root }).await;
    }
    Ok(())
}

/// What neither the published own head nor any other device claims leaves the index.
fn take_leave(core: &Core, member: &Member) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let published = core.state.published_seq()?;
    let claimed = commit::claimed_by_others(core, member)?;
    let (mut gone, mut handed_over) = (BTreeSet::new(), BTreeSet::new());
    for facts in core.state.pack_facts()? {
        let root = facts.shard.root;
        let standing = Standing {
            is_own: facts.own || facts.listed || facts.is_relied_on,
            dropped_at: facts.dropped_at,
            is_claimed_by_others: claimed.contains(&root),
        };
        match standing.parting(published) {
            Parting::Stays => continue,
            Parting::HandedOver => handed_over.insert(root),
            Parting::Leaves => gone.insert(root),
        };
    }
    if gone.is_empty() && handed_over.is_empty() {
        return Ok(gone);
    }
    core.state.remove_packs(&gone, &handed_over)?;
    info!("{} packs are needed by no device any more", gone.len());
    let since = wall();
    let mut notes = Vec::new();
    for root in &gone {
        let row = core.depot.row(root, &member.vault)?;
        if row.is_some_and(|row| row.origin == Origin::Own) {
            let keep_until = since.after_days(RETENTION_DAYS_MIN);
            let unclaimed = Some(since);
            notes.push(ClaimNote { root: *root, vault: member.vault, keep_until, unclaimed });
        }
    }
    // Without it the copy stays for ever: a waste, and no harm.
    if let Err(error) = core.depot.note_claims(&notes) {
        warn!("own copies of packs that are not needed stay: {error}");
    }
    Ok(gone)
}

/// Own copies of packs that left the index go as late as those at holders may.
fn release_local(core: &Core, member: &Member) -> Result<(), EngineError> {
    let now = wall();
    for (root, row) in core.depot.rows(Some(&member.vault))? {
        let is_over = row.unclaimed.is_some() && now > row.keep_until;
        if row.origin != Origin::Own || !is_over {
            continue;
        }
        if core.state.facts_of(&root)?.is_some() {
            warn!("{} is needed again and stays", root.short());
        } else {
            core.depot.release_own(&root, &member.vault)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
