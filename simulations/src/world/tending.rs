//! What holders do for a vault of which no device is heard of, compared with the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    ids::{DeviceId, ShardRoot},
    index::PackClass,
    limits::{TEND_FELLOW_GONE_S, TEND_SILENCE_S},
    tending::claimed::ClaimedList,
};

use super::World;
use crate::{
    circle::Device, device::Power, dice::Dice, event::Event, model::Property, schedule::Silence,
};

/// Before the silence everybody is introduced, and hears the lists that were not told yet: whoever watches
/// calls every three hours, and lists are told once an hour.
const CALM_MS: u64 = 12 * 3_600_000;
const DAY_MS: u64 = 86_400_000;
/// What is found out in one round is mended in the next one, a day later, or in the one after that.
const LATELY_MS: u64 = 2 * DAY_MS + CALM_MS;

/// Who could have a pack at the end of a silence.
struct Fellows {
    /// There, and honest: a disk that was replaced makes nobody dishonest.
    honest: Vec<usize>,
    /// Sites at which somebody is whose word is nothing, or who may still be waited for.
    doubtful: BTreeSet<usize>,
}

/// No clock gains more than such a part of what passes.
const DRIFT_PART: u64 = 100;

impl World {
    /// SIM-18: nobody of the vault was heard of for long, or all of them are said to be lost; and a head
    /// that has a list here really needs this.
    pub(super) fn check_fetched(&mut self, holder: usize, root: ShardRoot, vault: usize) {
        let shared = &self.shared;
        let heard = shared.model.heard_of.get(&(holder, vault)).copied().unwrap_or_default();
        let silent_s = shared.now().ms_since(heard) / 1_000;
        let lost = self.devices[holder].presumed_lost();
        let are_lost = shared.circle.of_vault(vault).all(|device| lost.contains(&device));
        // By its own clock, which may run a little fast.
        if silent_s < TEND_SILENCE_S - TEND_SILENCE_S / DRIFT_PART && !are_lost {
            let text = format!(
                "device {holder} fetches for vault {vault}, heard of {silent_s} seconds ago"
            );
            return self.shared.violation(Property::Tending, text);
        }
        let lists = self.devices[holder].disk.image.claimed.get(&vault).into_iter().flatten();
        let commits = lists.filter_map(|(_, list)| shared.model.commits.get(&list.head().hash()));
        let needed: BTreeSet<ShardRoot> =
            commits.flat_map(|commit| &commit.needs).map(|(shard, _)| shard.root).collect();
        if !needed.contains(&root) {
            let text = format!("device {holder} fetches {root:?}, which vault {vault} needs not");
            self.shared.violation(Property::Tending, text);
        }
    }

    /// After healing: all devices of one vault are switched off for days, and what it needs comes back.
    pub(super) fn fall_silent(&mut self) {
        let Some(silence) = self.scenario.silence.filter(|_| self.ok()) else { return };
        self.run_until(self.shared.now().after_ms(CALM_MS), |_| false);
        self.shared.saw("silence");
        let devices: Vec<usize> = self.shared.circle.of_vault(silence.vault).collect();
        let up = |device: &&usize| self.devices[**device].power == Power::Up;
        self.silent = devices.iter().filter(up).copied().collect();
        for device in self.silent.clone() {
            self.devices[device].shut_down();
            self.hang_up_all(device);
        }
        if let Some(device) = silence.disk_of.filter(|it| self.devices[*it].power == Power::Up) {
            let mut dice = Dice::new(self.shared.seed, 0, "disk in silence");
            self.devices[device].broken = true;
            self.devices[device].disk.drop_files(&mut dice, 100);
            self.shared.saw("disk replaced");
            self.crash(device, 600);
            self.check_all_kept();
        }
        self.run_until(self.shared.now().after_ms(silence.days * DAY_MS), |_| false);
        if self.ok() {
            self.check_tended(silence);
        }
        if self.ok() {
            self.restore_in_silence(silence);
        }
        for device in std::mem::take(&mut self.silent) {
            self.shared.queue.after(0, Event::Boot { device });
        }
    }

    /// SIM-19: on as many sites as its devices wanted, or as there are; metadata with everybody.
    fn check_tended(&mut self, silence: Silence) {
        let vault = silence.vault;
        let fellows = self.fellows(silence);
        let site = |device: &usize| self.shared.circle.devices[*device].site;
        let there: BTreeSet<usize> =
            fellows.honest.iter().map(site).chain(fellows.doubtful.iter().copied()).collect();
        let copies = self.copies_introduced(vault, &fellows).min(there.len());
        let mut short = None;
        for root in self.claimed_by_lists(vault, &fellows) {
            let keeps = |device: &&usize| self.devices[**device].disk.keeps(root, vault);
            let keeping: Vec<usize> = fellows.honest.iter().filter(keeps).copied().collect();
            let Some(first) = keeping.first() else { continue };
            let row = self.devices[*first].disk.image.rows.get(&(root, vault));
            let is_metadata = row.is_some_and(|row| row.class == PackClass::Metadata);
            // Damage that nobody has met, or not in time for the last rounds, is no lie.
            let says = |device: &&usize| {
                let row = self.devices[**device].disk.image.rows.get(&(root, vault));
                let found = self.shared.model.found_lost.get(&(**device, root));
                row.is_some_and(|row| !row.lost)
                    || found.is_some_and(|at| at.after_ms(LATELY_MS) > self.shared.now())
            };
            let saying: Vec<usize> = fellows.honest.iter().filter(says).copied().collect();
            let mut sites: BTreeSet<usize> = saying.iter().map(site).collect();
            sites.extend(&fellows.doubtful);
            if sites.len() < copies || is_metadata && saying.len() < fellows.honest.len() {
                short = Some(format!(
                    "{root:?} of vault {vault} is with {keeping:?} after {} days of silence, \
                     wanted on {copies} sites",
                    silence.days
                ));
                break;
            }
        }
        match short {
            Some(text) => self.shared.violation(Property::Tended, text),
            None => self.shared.saw("silence: everything is on enough sites"),
        }
    }

    /// TEND-16: with no device of the vault, and none of the holders of one site, the phrase is enough.
    fn restore_in_silence(&mut self, silence: Silence) {
        let vault = silence.vault;
        let fellows = self.fellows(silence);
        let source = self.shared.circle.of_vault(vault).find(|it| {
            let model = &self.shared.model;
            let published = model.published.get(it);
            published.is_some_and(|seq| self.is_listed(*it, *seq, &fellows))
                && !model.lowered.contains(it)
                && !model.set_back.contains(it)
        });
        let Some(source) = source else { return };
        let site = |device: &usize| self.shared.circle.devices[*device].site;
        let on_two = |root: ShardRoot| {
            let keeps = |device: &&usize| self.devices[**device].disk.keeps(root, vault);
            let sites = fellows.honest.iter().filter(keeps).map(site).collect::<BTreeSet<_>>();
            sites.len() > 1
        };
        let is_sure = self.claimed_by_lists(vault, &fellows).into_iter().all(on_two);
        let mut dice = Dice::new(self.shared.seed, 0, "restore in silence");
        if !is_sure || fellows.honest.is_empty() {
            return;
        }
        let gone = site(&dice.one(&fellows.honest));
        let there: Vec<usize> = self.shared.circle.at_site(gone).collect();
        let off: Vec<usize> = there.into_iter().filter(|it| self.devices[*it].is_up()).collect();
        for device in &off {
            self.devices[*device].shut_down();
            self.hang_up_all(*device);
        }
        self.shared.saw("silence: restored from those that tended");
        self.silent.extend(&off);
        self.examine_one(source, &mut dice);
    }

    /// Whether every honest fellow has the list of this head of a device, or of a newer one.
    fn is_listed(&self, device: usize, seq: u64, fellows: &Fellows) -> bool {
        let Device { id, vault, .. } = &self.shared.circle.devices[device];
        fellows.honest.iter().all(|fellow| {
            let lists = self.devices[*fellow].disk.image.claimed.get(vault);
            let list = lists.and_then(|lists| lists.get(id));
            list.is_some_and(|list| list.head().body().seq >= seq)
        })
    }

    fn fellows(&self, silence: Silence) -> Fellows {
        let circle = &self.shared.circle;
        let is_long = silence.days * 86_400 > TEND_SILENCE_S + TEND_FELLOW_GONE_S + 4 * 86_400;
        let mut fellows = Fellows { honest: Vec::new(), doubtful: BTreeSet::new() };
        for number in circle.outside(silence.vault) {
            let device = &self.devices[number];
            let site = circle.devices[number].site;
            match device.power {
                // TEND-7: it cannot show half of what it says, so it counts as keeping nothing.
                Power::Up if self.is_caught(number, silence.vault) => {}
                Power::Up if device.is_hostile() => _ = fellows.doubtful.insert(site),
                Power::Up => fellows.honest.push(number),
                Power::Off | Power::Gone if is_long => {}
                Power::Off | Power::Gone => _ = fellows.doubtful.insert(site),
            }
        }
        fellows
    }

    /// Whether a holder that throws files away has lost so much that every sample meets some of it.
    fn is_caught(&self, number: usize, vault: usize) -> bool {
        let device = &self.devices[number];
        let rows = device.disk.image.rows.iter().filter(|((_, of), row)| *of == vault && !row.lost);
        let roots: Vec<ShardRoot> = rows.map(|((root, _), _)| *root).collect();
        let missing = roots.iter().filter(|root| !device.disk.keeps(**root, vault)).count();
        device.drops() && missing > 0 && missing * 2 >= roots.len()
    }

    fn copies_introduced(&self, vault: usize, fellows: &Fellows) -> usize {
        let log = &self.shared.circle.vaults[vault].log;
        let introduced = |device: &usize| {
            let known = self.devices[*device].disk.image.introductions.get(&vault);
            known.map_or(0, |known| usize::from(known.circle(log).copies))
        };
        fellows.honest.iter().map(introduced).max().unwrap_or(0)
    }

    /// What the newest lists name that honest fellows have.
    fn claimed_by_lists(&self, vault: usize, fellows: &Fellows) -> BTreeSet<ShardRoot> {
        let mut newest: BTreeMap<DeviceId, Arc<ClaimedList>> = BTreeMap::new();
        for device in &fellows.honest {
            let lists = self.devices[*device].disk.image.claimed.get(&vault).into_iter().flatten();
            for (of, list) in lists {
                let known = newest.entry(*of).or_insert_with(|| Arc::clone(list));
                if known.head().body().seq < list.head().body().seq {
                    *known = Arc::clone(list);
                }
            }
        }
        newest.values().flat_map(|list| list.roots().iter().copied()).collect()
    }
}
