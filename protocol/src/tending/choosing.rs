//! Which packs of an unattended vault this node is to fetch, so that each is on as many sites as its
//! devices wanted, and no two nodes do the same. A pure function of what is known.
//!
//! Source: specs/tending.md.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use rand_core::Rng;

use super::introduction::SiteTag;
use crate::{
    auditing::Finding,
    ids::{DeviceId, ShardRoot},
    index::{PackClass, ShardRef},
    limits::{TEND_BATCH_MAX, TEND_SAMPLE, TEND_UNTOLD_MAX},
    placing::{spread, turns},
    proof::Challenge,
    wire::message::Shown,
};

/// What a node keeps of a vault: length and class of each shard.
pub type Inventory = BTreeMap<ShardRoot, (u64, PackClass)>;

/// What is known of a fellow.
#[derive(Debug, Clone, Copy)]
pub enum Known<'k> {
    /// It has just told what it keeps, and shown some of it.
    Here(&'k Inventory),
    /// It is away as usual, with what it last told; without that it is taken to keep everything.
    Away(Option<&'k Inventory>),
    /// It has not shown what it says that it keeps: its disk may be failing, or it lies. It counts as
    /// keeping nothing, and what it gives is taken all the same.
    Doubted(&'k Inventory),
    /// It is taken to be lost.
    Gone,
}

impl Known<'_> {
    fn keeps(&self, root: &ShardRoot) -> bool {
        match self {
            Self::Here(kept) | Self::Away(Some(kept)) => kept.contains_key(root),
            Self::Away(None) => true,
            Self::Doubted(_) | Self::Gone => false,
        }
    }

    const fn is_here(&self) -> bool {
        matches!(self, Self::Here(_))
    }
}

/// All that a choice is made of.
#[derive(Debug)]
pub struct Scene<'s> {
    /// This node, and where it stands.
    pub own: (DeviceId, SiteTag),
    /// On how many sites each data pack is wanted.
    pub copies: usize,
    /// What the vault needs.
    pub claimed: &'s BTreeSet<ShardRoot>,
    /// What of it is here and whole.
    pub here: &'s BTreeSet<ShardRoot>,
    /// Everybody else who holds for it.
    pub fellows: Vec<(DeviceId, SiteTag, Known<'s>)>,
    /// How many rounds in a row have brought nothing nearer: so many more nodes have their turn.
    pub patience: usize,
}

/// A pack that this node is to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub shard: ShardRef,
    /// By which rules it is placed.
    pub class: PackClass,
    /// Who has said that they keep it.
    pub from: Vec<DeviceId>,
}

/// What is to be done, and how things stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// To be fetched, the most endangered first; at most [`TEND_BATCH_MAX`].
    pub wanted: Vec<Wanted>,
    /// Packs that are on fewer sites than wanted.
    pub short: u64,
    /// Those of them that could be on one more: there is another site, whoever is to fetch them there.
    pub missing: u64,
    /// Packs that nobody keeps who counts.
    pub nowhere: u64,
}

/// Chooses.
pub fn choose(scene: &Scene<'_>) -> Choice {
    let sites = Sites::of(scene);
    let mut choice = Choice::default();
    let mut wanted: Vec<(bool, usize, Wanted)> = Vec::new();
    for root in scene.claimed {
        let is_here = scene.here.contains(root);
        let keeps = sites.keeping(scene, root);
        let missing = scene.copies.min(sites.all.len()).saturating_sub(keeps.len());
        choice.short += u64::from(keeps.len() < scene.copies);
        choice.missing += u64::from(missing > 0);
        choice.nowhere += u64::from(keeps.is_empty());
        if is_here {
            continue;
        }
        let Some(found) = found(scene, root) else { continue };
        let is_metadata = found.class == PackClass::Metadata;
        if is_metadata || sites.is_our_turn(scene, root, &keeps, missing) {
            wanted.push((!is_metadata, keeps.len(), found));
        }
    }
    // Stable: roots stay ascending among equals.
    wanted.sort_by_key(|(is_data, sites, _)| (*is_data, *sites));
    choice.wanted = wanted.into_iter().take(TEND_BATCH_MAX).map(|(_, _, it)| it).collect();
    choice
}

/// The pack as those tell who are here and keep it. Of two lengths one is a lie: the one that more tell
/// is tried, and another one when nothing came of that.
fn found(scene: &Scene<'_>, root: &ShardRoot) -> Option<Wanted> {
    let mut told: BTreeMap<(u64, PackClass), Vec<DeviceId>> = BTreeMap::new();
    for (device, _, known) in &scene.fellows {
        if let Known::Here(kept) | Known::Doubted(kept) = known
            && let Some(as_told) = kept.get(root)
        {
            told.entry(*as_told).or_default().push(*device);
        }
    }
    let mut told: Vec<_> = told.into_iter().collect();
    told.sort_by_key(|(_, from)| Reverse(from.len()));
    let tried = scene.patience.checked_rem(told.len())?;
    let ((bytes, class), from) = told.into_iter().nth(tried)?;
    Some(Wanted { shard: ShardRef { root: *root, bytes }, class, from })
}

/// What a fellow is to show before it is believed: one random chunk each of some of what it says that it
/// keeps.
pub fn sample(kept: &Inventory, rng: &mut impl Rng) -> Vec<Challenge> {
    let mut drawn = BTreeSet::new();
    let draws = TEND_SAMPLE.min(kept.len());
    // Some are drawn twice; the bound ends it all the same.
    for _ in 0..4 * draws {
        if drawn.len() < draws {
            drawn.insert(below(rng, kept.len()));
        }
    }
    let shards = kept.iter().enumerate().filter(|(place, _)| drawn.contains(place));
    let challenges = shards.map(|(_, (root, (bytes, _)))| {
        let shard = ShardRef { root: *root, bytes: *bytes };
        let chunks = usize::try_from(Challenge::chunks_of(&shard)).unwrap_or(1);
        let chunk = u32::try_from(below(rng, chunks)).unwrap_or(0);
        Challenge { shard, chunk }
    });
    challenges.collect()
}

/// Whether a fellow has shown all that it was asked for. A disk that gives errors is not believed either.
pub fn has_shown(challenges: &[Challenge], shown: &[Shown]) -> bool {
    let is_proven = |(challenge, shown)| Finding::of(challenge, shown) == Finding::Proven;
    challenges.len() == shown.len() && challenges.iter().zip(shown).all(is_proven)
}

/// How many shards a fellow may say that it keeps for a vault that needs so many: what it tells is had in
/// memory. More than are needed are those of backups that nobody has told of yet.
pub const fn believable(needed: usize) -> usize {
    needed.saturating_mul(2).saturating_add(TEND_UNTOLD_MAX)
}

/// A number below `count`; 0 of none.
fn below(rng: &mut impl Rng, count: usize) -> usize {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    let number = rng.next_u64().checked_rem(count).unwrap_or(0);
    usize::try_from(number).unwrap_or(0)
}

/// The sites at which somebody counts.
struct Sites {
    /// In the order of their tags.
    all: BTreeSet<SiteTag>,
    /// Those of whom somebody could fetch something now.
    able: BTreeMap<SiteTag, BTreeSet<DeviceId>>,
}

impl Sites {
    fn of(scene: &Scene<'_>) -> Self {
        let (own, own_site) = scene.own;
        let counting = scene.fellows.iter().filter(|(_, _, known)| !matches!(known, Known::Gone));
        let all = counting.map(|(_, site, _)| *site).chain([own_site]).collect();
        let mut able = BTreeMap::from([(own_site, BTreeSet::from([own]))]);
        for (device, site, _) in scene.fellows.iter().filter(|(_, _, known)| known.is_here()) {
            able.entry(*site).or_default().insert(*device);
        }
        Self { all, able }
    }

    /// The sites that a pack is on.
    fn keeping(&self, scene: &Scene<'_>, root: &ShardRoot) -> BTreeSet<SiteTag> {
        let keeping = scene.fellows.iter().filter(|(_, _, known)| known.keeps(root));
        let own = scene.here.contains(root).then_some(scene.own.1);
        keeping.map(|(_, site, _)| *site).chain(own).collect()
    }

    /// Whether a data pack that is on too few sites is for this node: sites without it have their turn in
    /// the order that placing gives them, and of one site the node that the root names.
    fn is_our_turn(
        &self,
        scene: &Scene<'_>,
        root: &ShardRoot,
        keeps: &BTreeSet<SiteTag>,
        missing: usize,
    ) -> bool {
        if missing == 0 || keeps.contains(&scene.own.1) {
            return false;
        }
        let tags: Vec<&SiteTag> = self.all.iter().collect();
        let in_turn = turns(*root, tags.len()).filter_map(|number| tags.get(number).copied());
        let mut free = in_turn.filter(|tag| !keeps.contains(tag) && self.able.contains_key(tag));
        let ours = free.position(|tag| *tag == scene.own.1);
        if ours.is_none_or(|rank| rank >= missing + scene.patience) {
            return false;
        }
        let nodes = self.able.get(&scene.own.1).map_or(0, BTreeSet::len);
        let chosen = (spread(*root, nodes) + scene.patience).checked_rem(nodes);
        let node = chosen.and_then(|chosen| self.able.get(&scene.own.1)?.iter().nth(chosen));
        node == Some(&scene.own.0)
    }
}
