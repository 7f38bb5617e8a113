//! One round of rekeying: chunks of older packs into new ones, and the commit that drops the old.
//!
//! A pack is dropped only by a commit before which every chunk in it was found in packs of the wanted
//! epoch that stay claimed (REKEY-5), asked of the index anew and while nobody relies on packs. A crash
//! before leaves new packs that the next commit lists, and old ones that are as they were. Blocks.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
    sync::Arc,
};

use larder_protocol::{
    ids::{ChunkId, ShardRoot},
    index::{ChunkKind, ChunkRecord, Location, PackClass, PackRecord},
    pack::PackBuilder,
    rekeying::{Amount, Bond, Ended, Plan, SealedPack},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{Memory, source};
use crate::{
    depot::{PartialShard, ShardState},
    engine::{
        ChunkSource, Core, EngineError, Member, collect, commit, fetcher::Want, source::range_of,
    },
    state::{
        StateError,
        index::{PackFacts, PackNumber, Standing},
    },
};

/// Fetches come after what somebody waits for, and after those for repair.
const LAST: u8 = 3;

/// Packs that this device claims, or is about to, and how they are sealed.
pub(super) fn claimed(core: &Core, member: &Member) -> Result<Vec<SealedPack>, EngineError> {
    let (left, seals) = (commit::left_behind(core, member)?, core.state.pack_seals()?);
    let nowhere = core.rekeyer.nowhere().clone();
    let mut packs = Vec::new();
    for facts in core.state.pack_facts()? {
        let Some(seal) = seals.get(&facts.number) else { continue };
        let is_left = left.contains(&facts.shard.root);
        // Own manifests and index segments are those of the newest commit, or claimed no more.
        let is_unlisted = facts.own && !seal.is_of_commits || facts.is_relied_on;
        if facts.dropped_at > 0 || !(is_left || facts.listed || is_unlisted) {
            continue;
        }
        let bond = match (is_left, facts.is_given_up) {
            (true, _) if seal.is_of_commits => Bond::Signed,
            (true, _) if nowhere.contains(&facts.shard.root) => Bond::Lost,
            // Of what others have made it is not known who keeps it, until everybody was asked.
            (false, true) => Bond::Lost,
            (true, _) => Bond::Left,
            (false, false) => Bond::Own,
        };
        packs.push(SealedPack {
            root: facts.shard.root,
            bytes: facts.shard.bytes,
            epoch: seal.epoch,
            class: facts.class,
            number: facts.number,
            bond,
        });
    }
    Ok(packs)
}

/// Whether manifest or index of this device are sealed under a key of before `up_to`.
pub(super) fn is_index_behind(
    core: &Core,
    member: &Member,
    up_to: u32,
) -> Result<bool, EngineError> {
    let Some(newest) = core.state.commit_of(&member.keys.id())? else { return Ok(false) };
    let manifest = commit::own_manifest(core, member)?;
    if manifest.segments.iter().any(|location| location.epoch < up_to) {
        return Ok(true);
    }
    let Some(facts) = core.state.facts_of(&newest.pack.root)? else { return Ok(false) };
    let record = core.state.pack(facts.number)?.ok_or(StateError::Damaged { table: "packs" })?;
    Ok(record.epoch < up_to)
}

/// Whether there is anything to do.
pub(super) fn is_anything_behind(
    core: &Core,
    member: &Member,
    up_to: u32,
) -> Result<bool, EngineError> {
    let plan = Plan::among(claimed(core, member)?, up_to);
    Ok(plan.behind.packs > 0 || is_index_behind(core, member, up_to)?)
}

/// How far a round came.
#[derive(Default)]
struct Made {
    has_moved: bool,
    /// Something else goes first.
    is_held_up: bool,
    /// Packs were made, and what they were made for is in none that stay.
    is_in_vain: bool,
}

/// What became of a pack.
enum Taken {
    /// All of it goes into new packs, or is in such.
    Whole,
    /// Some of it cannot be had now.
    NotNow,
    /// A removed device has left it, and nobody has it.
    Nowhere,
}

/// What one round works with.
pub(super) struct Round {
    core: Arc<Core>,
    member: Arc<Member>,
    source: ChunkSource,
    up_to: u32,
    /// Whoever asked wants no more.
    stop: CancellationToken,
}

impl Round {
    /// To be made on a thread of the runtime.
    pub(super) fn new(
        core: &Arc<Core>,
        member: &Arc<Member>,
        up_to: u32,
        stop: CancellationToken,
    ) -> Self {
        let source = source(core, member);
        Self { core: Arc::clone(core), member: Arc::clone(member), source, up_to, stop }
    }

    /// Makes packs anew as far as the budget goes, and drops old ones when it is time to.
    pub(super) fn run(&self, memory: &mut Memory) -> Result<Ended, EngineError> {
        if !self.is_sealing_new()? {
            return Ok(Ended::Busy);
        }
        memory.aim(self.up_to);
        let plan = self.plan()?;
        if plan.packs().is_empty() {
            return self.run_index();
        }
        let Made { has_moved, mut is_held_up, is_in_vain } = self.make(&plan, memory)?;
        let is_more = !plan.round(&memory.passed_over()).is_empty();
        let dropped_bytes = self.core.state.rekey_wish()?.map_or(0, |wish| wish.moved.bytes);
        let mut has_dropped = false;
        if !is_held_up && plan.is_commit_due(&memory.moved, dropped_bytes, is_more) {
            match self.drop_moved(&mut memory.moved)? {
                Some(dropped) => has_dropped = dropped.packs > 0,
                None => is_held_up = true,
            }
        }
        if has_moved || has_dropped {
            return Ok(Ended::Moved);
        }
        if is_in_vain {
            return Ok(Ended::Stuck);
        }
        if is_held_up || is_more {
            return Ok(Ended::Busy);
        }
        memory.unreachable.clear();
        // It may be that nobody has any of it; the index does not wait for it in any case.
        if self.plan()?.packs().is_empty() {
            return self.run_index();
        }
        Ok(if self.reseal_index()? { Ended::Moved } else { Ended::Stuck })
    }

    /// Makes packs anew as far as the budget goes.
    fn make(&self, plan: &Plan, memory: &mut Memory) -> Result<Made, EngineError> {
        let (mut mover, mut taken) = (Mover::new(self)?, Vec::new());
        let mut made = Made::default();
        for pack in plan.round(&memory.passed_over()) {
            // REKEY-4: whoever backs up or restores goes first, and so does whoever changes his mind.
            let is_relied_on = self.core.relying.try_write().is_err();
            made.is_held_up = is_relied_on || !self.is_sealing_new()?;
            if made.is_held_up || self.is_over()? {
                break;
            }
            match mover.take(&pack)? {
                Taken::Whole => taken.push(pack),
                Taken::NotNow => _ = memory.unreachable.insert(pack.root),
                Taken::Nowhere => {
                    memory.unreachable.insert(pack.root);
                    self.core.rekeyer.nowhere().insert(pack.root);
                }
            }
        }
        mover.finish()?;
        // Seen before it is counted: what did not come to be in new packs is not made again and again.
        let staying = self.staying()?;
        made.is_in_vain = !taken.is_empty();
        for pack in taken {
            if self.is_moved(&pack, &staying)? {
                (made.has_moved, made.is_in_vain) = (true, false);
                memory.moved.insert(pack.root);
            } else {
                memory.unreachable.insert(pack.root);
            }
        }
        Ok(made)
    }

    /// Whether everything in a pack is in packs that stay, or it has left the index.
    fn is_moved(
        &self,
        pack: &SealedPack,
        staying: &BTreeMap<PackNumber, PackFacts>,
    ) -> Result<bool, EngineError> {
        match self.core.state.pack(pack.number)? {
            Some(record) => Ok(self.places_in(&record, staying)?.is_some()),
            None => Ok(true),
        }
    }

    /// Whether new packs are of the wanted epoch or a later one: what was sealed with an older key would be
    /// behind at once, and be made anew for ever.
    fn is_sealing_new(&self) -> Result<bool, EngineError> {
        Ok(self.member.keyring().sealing()?.number() >= self.up_to)
    }

    /// Makes everything anew and drops nothing: as far as a round gets that is cut off before its commit.
    #[cfg(test)]
    pub(super) fn make_all(&self) -> Result<usize, EngineError> {
        let (plan, mut mover) = (self.plan()?, Mover::new(self)?);
        for pack in plan.packs() {
            assert!(matches!(mover.take(pack)?, Taken::Whole));
        }
        mover.finish()?;
        Ok(plan.packs().len())
    }

    /// Has what is complete in new packs dropped, once the wish was taken back. False when a backup or a
    /// restore is running.
    pub(super) fn finish_begun(&self) -> Result<bool, EngineError> {
        let mut all = self.plan()?.packs().iter().map(|pack| pack.root).collect();
        Ok(self.drop_moved(&mut all)?.is_some())
    }

    fn plan(&self) -> Result<Plan, EngineError> {
        Ok(Plan::among(claimed(&self.core, &self.member)?, self.up_to))
    }

    fn is_over(&self) -> Result<bool, EngineError> {
        if self.stop.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        Ok(self.core.state.rekey_wish()?.is_none())
    }

    /// Every pack is new: manifest and index follow, and all of it has to be safe.
    fn run_index(&self) -> Result<Ended, EngineError> {
        let (core, member) = (&self.core, &self.member);
        if self.reseal_index()? {
            return Ok(Ended::Moved);
        }
        let newest = core.state.commit_of(&member.keys.id())?.map_or(0, |commit| commit.seq);
        let is_published = core.state.published_seq()? >= newest;
        Ok(if is_published { Ended::Done } else { Ended::Moved })
    }

    /// Has manifest and index written anew; false when they are new.
    fn reseal_index(&self) -> Result<bool, EngineError> {
        let (core, member) = (&self.core, &self.member);
        let is_behind = is_index_behind(core, member, self.up_to)?;
        if is_behind {
            let change = commit::Change { reseal_below: self.up_to, ..commit::Change::default() };
            commit::commit(core, member, member.custody()?, change)?;
        }
        Ok(is_behind)
    }

    /// Packs of the wanted epoch that stay: what is in them is as good as made anew.
    fn staying(&self) -> Result<BTreeMap<PackNumber, PackFacts>, EngineError> {
        let seals = self.core.state.pack_seals()?;
        let living = commit::claimed_by_living(&self.core, &self.member)?;
        let is_new = |facts: &PackFacts| {
            let is_sealed_so =
                seals.get(&facts.number).is_some_and(|seal| seal.epoch >= self.up_to);
            let stays = facts.own || living.contains(&facts.shard.root);
            is_sealed_so && facts.usable && facts.dropped_at == 0 && stays
        };
        let all = self.core.state.pack_facts()?.into_iter();
        Ok(all.filter(is_new).map(|facts| (facts.number, facts)).collect())
    }

    /// Drops those of these packs of which every chunk is in new ones; the others are looked at again by
    /// the next round. `None`, and nothing is forgotten, while a backup or a restore is running.
    fn drop_moved(&self, moved: &mut BTreeSet<ShardRoot>) -> Result<Option<Amount>, EngineError> {
        let (core, member) = (&self.core, &self.member);
        let Ok(_nobody_relies) = core.relying.try_write() else { return Ok(None) };
        // Asked anew: some may have left meanwhile.
        let (plan, staying) = (self.plan()?, self.staying()?);
        let mut change = commit::Change { reseal_below: self.up_to, ..commit::Change::default() };
        let (mut relied_on, mut amount) = (BTreeSet::new(), Amount::default());
        for pack in plan.packs().iter().filter(|pack| moved.contains(&pack.root)) {
            let record = self.record(pack.number)?;
            let Some(places) = self.places_in(&record, &staying)? else { continue };
            change.drop.insert(pack.root);
            amount.add(pack.bytes);
            for facts in places.iter().filter_map(|number| staying.get(number)) {
                if !facts.own {
                    relied_on.insert(facts.number);
                }
                if pack.bond == Bond::Left {
                    change.left.adopted.insert(facts.shard.root);
                }
            }
            if pack.bond == Bond::Left {
                change.left.released.insert(pack.root);
            }
        }
        moved.clear();
        if amount.packs == 0 {
            return Ok(Some(amount));
        }
        change.relied_on = relied_on.into_iter().collect();
        commit::commit(core, member, member.custody()?, change)?;
        core.state.count_rekeyed(amount)?;
        info!("{} packs were made anew under the key of epoch {}", amount.packs, self.up_to);
        Ok(Some(amount))
    }

    /// Where everything of a pack is in packs that stay, if all of it is.
    fn places_in(
        &self,
        record: &PackRecord,
        staying: &BTreeMap<PackNumber, PackFacts>,
    ) -> Result<Option<BTreeSet<PackNumber>>, EngineError> {
        let mut found = BTreeSet::new();
        for chunk in record.chunks.iter().filter(|chunk| !is_of_commits(chunk)) {
            let places = self.core.state.places_of(&chunk.id)?;
            let mut numbers = places.into_iter().map(|(number, _)| number);
            match numbers.find(|number| staying.contains_key(number)) {
                Some(number) => _ = found.insert(number),
                None => return Ok(None),
            }
        }
        Ok(Some(found))
    }

    fn record(&self, number: PackNumber) -> Result<PackRecord, EngineError> {
        Ok(self.core.state.pack(number)?.ok_or(StateError::Damaged { table: "packs" })?)
    }
}

/// Nothing leads to manifests and index segments of commits before.
const fn is_of_commits(chunk: &ChunkRecord) -> bool {
    matches!(chunk.kind, ChunkKind::Manifest | ChunkKind::Index)
}

/// Moves chunks into new packs of their kin.
struct Mover<'a> {
    round: &'a Round,
    staying: BTreeMap<PackNumber, PackFacts>,
    /// Moved in this round.
    moved: HashSet<ChunkId>,
    open: Option<PackBuilder>,
    /// What goes into the open one.
    kin: Option<SealedPack>,
}

impl<'a> Mover<'a> {
    fn new(round: &'a Round) -> Result<Self, EngineError> {
        if !round.is_sealing_new()? {
            return Err(EngineError::EpochDue);
        }
        let (moved, staying) = (HashSet::new(), round.staying()?);
        Ok(Self { round, staying, moved, open: None, kin: None })
    }

    /// Moves what is in one pack and in no new one.
    fn take(&mut self, pack: &SealedPack) -> Result<Taken, EngineError> {
        if self.kin.is_none_or(|kin| !kin.is_kin(pack)) {
            self.finish()?;
            self.kin = Some(*pack);
        }
        let record = match self.round.record(pack.number) {
            Ok(record) => record,
            // It has left the index meanwhile.
            Err(_) if self.round.core.state.facts_of(&pack.root)?.is_none() => {
                return Ok(Taken::Whole);
            }
            Err(error) => return Err(error),
        };
        let missing = self.missing(&record)?;
        let fetched = match self.fetch(&record, &missing) {
            Ok(fetched) => fetched,
            Err(error) => return self.cannot_be_had(pack, error),
        };
        for location in &missing {
            match self.plain(location) {
                Ok(plain) => self.add(location, &plain, record.class)?,
                Err(error) => return self.cannot_be_had(pack, error),
            }
        }
        if fetched.is_some() {
            drop(fetched);
            self.round.member.fetcher.discard(&pack.root);
        }
        Ok(Taken::Whole)
    }

    /// An error that leaves a pack as it is for now, and one that ends the round.
    fn cannot_be_had(&self, pack: &SealedPack, error: EngineError) -> Result<Taken, EngineError> {
        debug!("{} cannot be made anew now: {error}", pack.root.short());
        match error {
            EngineError::Interrupted | EngineError::Stopped => Err(error),
            EngineError::NoHolder(_) if pack.bond == Bond::Left && self.is_everybody_there()? => {
                Ok(Taken::Nowhere)
            }
            _ => Ok(Taken::NotNow),
        }
    }

    /// Whether every holder that is not presumed lost is connected: then nobody is left who might have it.
    fn is_everybody_there(&self) -> Result<bool, EngineError> {
        let custody = self.round.member.custody()?;
        let status = Handle::current().block_on(custody.status()).ok_or(EngineError::Stopped)?;
        let mut holders = status.holders.values().filter(|it| !it.presumed_lost);
        let is_any = status.holders.values().any(|it| it.connected);
        Ok(is_any && holders.all(|it| it.connected || !it.acquaintance.counts()))
    }

    fn missing(&self, record: &PackRecord) -> Result<Vec<Location>, EngineError> {
        let mut missing = Vec::new();
        for (position, chunk) in (0_u32..).zip(&record.chunks) {
            if is_of_commits(chunk) || self.moved.contains(&chunk.id) {
                continue;
            }
            let places = self.round.core.state.places_of(&chunk.id)?;
            if !places.iter().any(|(number, _)| self.staying.contains_key(number)) {
                let lost = EngineError::Lost(record.shard.root);
                missing.push(record.location(position).ok_or(lost)?);
            }
        }
        Ok(missing)
    }

    /// Has the data that is not here come in one piece, not chunk by chunk.
    fn fetch(
        &self,
        record: &PackRecord,
        missing: &[Location],
    ) -> Result<Option<Arc<PartialShard>>, EngineError> {
        let (core, member) = (&self.round.core, &self.round.member);
        let row = core.depot.row(&record.shard.root, &member.vault)?;
        let is_here = row.is_some_and(|row| row.state == ShardState::Ok);
        if is_here || missing.is_empty() || record.class == PackClass::Metadata {
            return Ok(None);
        }
        let want = Want {
            shard: record.shard,
            ranges: joined(missing.iter().map(range_of)),
            priority: LAST,
            from: Vec::new(),
        };
        let fetched = Handle::current().block_on(async {
            tokio::select! {
                fetched = member.fetcher.fetch(want) => fetched,
                () = self.round.stop.cancelled() => Err(EngineError::Interrupted),
            }
        });
        Ok(Some(fetched?))
    }

    /// What is at a place, or the same from another one.
    fn plain(&self, location: &Location) -> Result<Vec<u8>, EngineError> {
        match self.round.source.chunk_at(location) {
            Ok(plain) => Ok(plain),
            Err(error @ (EngineError::Interrupted | EngineError::Stopped)) => Err(error),
            Err(error) => {
                let other = self.round.source.chunk(location.record.id, location.record.kind);
                other.map_err(|_| error)
            }
        }
    }

    fn add(
        &mut self,
        location: &Location,
        plain: &[u8],
        class: PackClass,
    ) -> Result<(), EngineError> {
        let store = self.store(class)?;
        collect::add(&store, &mut self.open, location.record.kind, plain)?;
        self.moved.insert(location.record.id);
        Ok(())
    }

    /// Makes the open pack durable.
    fn finish(&mut self) -> Result<(), EngineError> {
        let (Some(open), Some(kin)) = (self.open.take(), self.kin) else { return Ok(()) };
        self.store(kin.class)?.keep(open)?;
        Ok(())
    }

    /// What was left stays claimed in its new pack from the moment that there is one: collecting would have
    /// it dropped before it stands in the place of the old one.
    fn store(&self, class: PackClass) -> Result<commit::Store<'a>, EngineError> {
        let (core, member) = (&*self.round.core, &*self.round.member);
        let is_left = self.kin.is_some_and(|kin| kin.bond == Bond::Left);
        let standing = if is_left { Standing::Adopted } else { Standing::Own };
        Ok(commit::Store { standing, ..commit::Store::own(core, member, member.custody()?, class) })
    }
}

/// Ranges in order, neighbours as one.
fn joined(ranges: impl Iterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range),
        }
    }
    all
}
