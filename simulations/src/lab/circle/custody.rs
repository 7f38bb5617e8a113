//! Where shards are, where they should be, and how they get there.
//!
//! How many copies are wanted and whose turn it is are the product's own: `placing::Copies`,
//! `placing::turns`, `placing::spread`. With k above 1, which the product does not place yet, the same
//! turns are taken with as many shards for each house as an even spread needs.

use larder_protocol::{
    ids::ShardRoot,
    placing::{Copies, spread, turns},
};

use super::{Circle, Event, Flow, Group, Standing, Streams, Vault, Watch, flow::RESTORE};
use crate::lab::{
    numbers::stream::Purpose,
    plan::{Devices, Plan, each, only, size},
    scenario::{Place, Repair},
    tally::Cause,
};

pub(super) fn vaults(plan: &Plan) -> Vec<Vault> {
    let vault = |source: Option<usize>| Vault {
        source,
        watch: source.map(|source| watch(plan, source)),
        presumed: 0,
        is_short: false,
        flow: None,
        partial: Vec::new(),
        restoring_since: None,
        lost_some: false,
        known: 0,
    };
    if plan.sources.is_empty() {
        return vec![vault(None)];
    }
    plan.sources.iter().map(|source| vault(Some(*source))).collect()
}

fn watch(plan: &Plan, source: usize) -> Watch {
    let kinds = plan.devices.iter().map(|device| device.kind).collect();
    let holders = plan.holders() & !only(source);
    let home = plan.houses[plan.devices[source].house];
    Watch::new(kinds, holders, holders & !home)
}

pub(super) fn groups(plan: &Plan, streams: &Streams) -> Vec<Group> {
    let vaults = plan.sources.len().max(1);
    let in_each = plan.groups() / vaults;
    let group = |number: usize| {
        let root = ShardRoot::from_bytes(streams.stream(number, Purpose::Root).bytes());
        Group {
            vault: number / in_each,
            root,
            held: 0,
            believed: 0,
            home: 0,
            original: !plan.sources.is_empty(),
            standing: Standing::New,
            below_since: None,
            cause: "placing",
        }
    };
    (0..vaults * in_each).map(group).collect()
}

impl Circle<'_> {
    /// Bytes of one shard.
    pub(super) fn shard_bytes(&self) -> u64 {
        let k = u64::try_from(self.plan.scenario.policy.k).unwrap_or(1);
        self.plan.group_bytes().div_ceil(k.max(1))
    }

    pub(super) fn holders_of(&self, number: usize) -> Devices {
        let source = self.vaults[self.groups[number].vault].source;
        self.plan.holders() & !source.map_or(0, only)
    }

    /// Holders that count for this vault.
    pub(super) fn counted_on(&self, number: usize) -> Devices {
        self.holders_of(number) & !self.vaults[self.groups[number].vault].presumed
    }

    pub(super) fn houses_of(&self, devices: Devices) -> usize {
        self.plan.houses.iter().filter(|house| **house & devices != 0).count()
    }

    /// Shards that are wanted of this group now.
    pub(super) fn wanted(&self, number: usize) -> usize {
        self.wanted_with(self.counted_on(number))
    }

    /// Shards that are wanted where these hold.
    pub(super) fn wanted_with(&self, holders: Devices) -> usize {
        let policy = &self.plan.scenario.policy;
        let houses = self.houses_of(holders);
        match policy.n {
            Some(n) if policy.k > 1 || policy.place != Place::Turns => n,
            Some(n) => Copies::Fixed(u8::try_from(n).unwrap_or(u8::MAX)).wanted(houses),
            None => Copies::Auto.wanted(houses),
        }
    }

    /// Shards that one house may have: one copy, or as many as an even spread needs.
    fn per_house(&self, number: usize) -> usize {
        if self.plan.scenario.policy.k == 1 {
            return 1;
        }
        self.wanted(number).div_ceil(self.houses_of(self.counted_on(number)).max(1))
    }

    /// Whose turn it is to take a shard that is missing.
    pub(super) fn next_place(
        &mut self,
        number: usize,
        has: Devices,
        candidates: Devices,
    ) -> Option<usize> {
        match self.plan.scenario.policy.place {
            Place::Random => {
                let drawn = self.repairs.below(u64::try_from(size(candidates)).ok()?);
                each(candidates).nth(usize::try_from(drawn).ok()?)
            }
            Place::Sets => each(candidates & self.groups[number].home).next(),
            Place::Turns => {
                let (root, most) = (self.groups[number].root, self.per_house(number));
                let fits = |house: &usize| self.plan.houses[*house] & candidates != 0;
                let has_in = |house: &usize| size(self.plan.houses[*house] & has);
                let open = |house: &usize| fits(house) && has_in(house) < most;
                // The first turn among those that have least.
                let house =
                    turns(root, self.plan.houses.len()).filter(open).min_by_key(|it| has_in(it))?;
                let there = candidates & self.plan.houses[house];
                each(there).nth(spread(root, size(there)))
            }
        }
    }

    /// What a source counts of a group.
    pub(super) fn counted(&self, number: usize) -> Devices {
        let group = &self.groups[number];
        group.believed & !self.vaults[group.vault].presumed
    }

    /// Copies count by house; shards of which several are needed count one by one.
    fn counts(&self, number: usize) -> usize {
        self.count_of(self.counted(number))
    }

    pub(super) fn count_of(&self, counted: Devices) -> usize {
        let policy = &self.plan.scenario.policy;
        let by_house = policy.k == 1 && policy.place == Place::Turns;
        if by_house { self.houses_of(counted) } else { size(counted) }
    }

    pub(super) fn is_short(&self, number: usize) -> bool {
        let group = &self.groups[number];
        !group.is_dead() && self.counts(number) < self.wanted(number)
    }

    pub(super) fn note_short(&mut self, vault: usize) {
        let is_real = self.plan.scenario.policy.repair == Repair::Real;
        let of_it = |number: &usize| self.groups[*number].vault == vault;
        let mut groups = (0..self.groups.len()).filter(of_it);
        let is_short = is_real && groups.any(|number| self.is_short(number));
        self.vaults[vault].is_short = is_short;
    }

    /// Tells a watch who of these came or went.
    pub(super) fn tell_watch(&mut self, number: usize, changed: Devices) {
        let (now, on) = (self.now, self.on);
        let vault = &mut self.vaults[number];
        let (Some(watch), Some(source)) = (&mut vault.watch, vault.source) else { return };
        if changed & only(source) != 0 {
            watch.source_is(now, on & only(source) != 0, on);
        }
        for device in each(changed & !only(source) & self.plan.all()) {
            watch.holder_is(now, device, on & only(device) != 0);
        }
        let is_back = vault.presumed & watch.met();
        if is_back != 0 {
            vault.presumed &= !is_back;
            self.note_short(number);
        }
        self.look_for_lost(number);
    }

    /// Whoever is presumed lost by now.
    pub(super) fn look_for_lost(&mut self, number: usize) {
        let now = self.now;
        let vault = &mut self.vaults[number];
        let Some(watch) = &mut vault.watch else { return };
        let (lost, next) = watch.look(now, vault.presumed);
        self.set(Event::Missed(number), next.max(now + 1));
        if lost != 0 {
            self.tally.false_alarms += u64::from((lost & self.alive).count_ones());
            self.note_known(number, lost);
            self.presume(number, lost);
        }
    }

    fn presume(&mut self, number: usize, lost: Devices) {
        self.vaults[number].presumed |= lost;
        let false_ones = lost & self.alive;
        for group in self.groups.iter_mut().filter(|group| group.vault == number) {
            if group.believed & lost != 0 {
                let is_false = group.believed & lost & !false_ones == 0;
                group.cause = if is_false { "a false alarm" } else { "a loss" };
            }
        }
        self.note_short(number);
        self.look_at_flows();
    }

    /// Its owner says that it is gone.
    pub(super) fn said_lost(&mut self, device: usize) {
        self.set(Event::Said(device), crate::lab::agenda::NEVER);
        for number in 0..self.vaults.len() {
            let is_told = self.vaults[number].watch.is_some();
            if is_told && self.vaults[number].presumed & only(device) == 0 {
                self.note_known(number, only(device));
                self.presume(number, only(device));
            }
        }
    }

    /// Another device is there in its place: nobody counts on what it had.
    pub(super) fn forget_device(&mut self, device: usize) {
        let now = self.now;
        for group in &mut self.groups {
            group.believed &= !only(device);
        }
        for number in 0..self.vaults.len() {
            let vault = &mut self.vaults[number];
            vault.presumed &= !only(device);
            vault.partial.retain(|(_, target, _)| *target != device);
            if vault.flow.as_ref().is_some_and(|flow| flow.target == device) {
                vault.flow = None;
            }
            if let Some(watch) = &mut vault.watch {
                watch.holder_is_new(now, device);
            }
            self.note_short(number);
        }
    }

    /// The vault of a source that was lost begins anew on another device, from the phrase.
    pub(super) fn source_is_new(&mut self, device: usize) {
        for number in 0..self.vaults.len() {
            if self.vaults[number].source != Some(device) {
                continue;
            }
            let watch = watch(self.plan, device);
            let vault = &mut self.vaults[number];
            vault.watch = Some(watch);
            (vault.presumed, vault.flow) = (0, None);
            vault.restoring_since.get_or_insert(self.now);
            vault.partial.clear();
            // Who does not answer it has nothing, as far as it knows.
            self.note_known(number, Devices::MAX);
            for group in self.groups.iter_mut().filter(|group| group.vault == number) {
                group.believed = group.held;
            }
            self.note_short(number);
        }
    }

    /// Ends what has arrived, lets wait what cannot go on, begins what can.
    pub(super) fn look_at_flows(&mut self) {
        if self.now < self.begins {
            return;
        }
        self.settle_flows();
        for number in 0..self.vaults.len() {
            self.end_flow(number);
            self.restore_first(number);
            if self.vaults[number].flow.is_none() && self.vaults[number].is_short {
                self.vaults[number].flow = self.next_repair(number);
            }
        }
        self.share_lines();
    }

    fn end_flow(&mut self, number: usize) {
        let on = self.on;
        let vault = &mut self.vaults[number];
        let takes = vault.source.map_or(0, only);
        let Some(flow) = vault.flow.take() else { return };
        if flow.left == 0 {
            self.arrived(number, &flow);
        } else if (takes | flow.takes()) & !on == 0 && !self.groups[flow.group].is_dead() {
            vault.flow = Some(flow);
        } else {
            self.put_off(number, &flow);
        }
    }

    /// What was sent until now need not be sent again.
    fn put_off(&mut self, number: usize, flow: &Flow) {
        let partial = &mut self.vaults[number].partial;
        partial.retain(|(group, target, _)| (*group, *target) != (flow.group, flow.target));
        partial.push((flow.group, flow.target, flow.left));
    }

    fn left_of(&self, number: usize, group: usize, target: usize) -> Option<u64> {
        let partial = self.vaults[number].partial.iter();
        partial.copied().find(|it| (it.0, it.1) == (group, target)).map(|(_, _, left)| left)
    }

    fn arrived(&mut self, number: usize, flow: &Flow) {
        let k = self.plan.scenario.policy.k;
        let vault = &mut self.vaults[number];
        vault.partial.retain(|(group, target, _)| (*group, *target) != (flow.group, flow.target));
        if vault.source == Some(flow.target) {
            self.groups[flow.group].original = true;
            self.end_restore(number);
            self.note_degraded();
            return;
        }
        let group = &mut self.groups[flow.group];
        group.held |= only(flow.target);
        group.believed |= only(flow.target);
        if group.standing == Standing::Bare && size(group.held) >= k {
            group.standing = Standing::Placed;
        }
        if !self.is_short(flow.group) && self.groups[flow.group].is_new() {
            self.groups[flow.group].standing = Standing::Placed;
        }
        self.note_whole(flow.group);
        self.note_short(number);
        self.note_degraded();
    }

    /// Groups of which the files are not on their device, and can come back.
    pub(super) fn to_restore(&self, number: usize) -> Vec<usize> {
        let open = |it: &usize| {
            let group = &self.groups[*it];
            group.vault == number && !group.original && !group.is_dead()
        };
        (0..self.groups.len()).filter(open).collect()
    }

    /// A restore is over when nothing is left that can come back.
    fn end_restore(&mut self, number: usize) {
        if !self.to_restore(number).is_empty() {
            return;
        }
        let vault = &mut self.vaults[number];
        let Some(since) = vault.restoring_since.take() else { return };
        if std::mem::take(&mut vault.lost_some) {
            self.tally.restore.add_endless();
        } else {
            self.tally.restore.add(self.now - since);
        }
    }

    /// Files that somebody waits for go before any repair; what cannot be read now holds up no repair.
    pub(super) fn restore_first(&mut self, number: usize) {
        let vault = &self.vaults[number];
        let is_here = vault.source.is_some_and(|source| self.on & only(source) != 0);
        let is_busy = vault.flow.as_ref().is_some_and(|flow| flow.cause == RESTORE);
        if vault.restoring_since.is_none() || !is_here || is_busy {
            return;
        }
        self.end_restore(number);
        let Some(source) = self.vaults[number].source else { return };
        let all = self.plan.group_bytes() * 1_000;
        let flow = self.to_restore(number).into_iter().find_map(|group| {
            let left = self.left_of(number, group, source).unwrap_or(all);
            self.flow_to(group, source, left, RESTORE)
        });
        if flow.is_some()
            && let Some(repair) = std::mem::replace(&mut self.vaults[number].flow, flow)
        {
            self.put_off(number, &repair);
        }
    }

    /// The first group that is short and can be helped now.
    pub(super) fn next_repair(&mut self, number: usize) -> Option<Flow> {
        let source = self.vaults[number].source?;
        if self.on & only(source) == 0 {
            return None;
        }
        for group in 0..self.groups.len() {
            if self.groups[group].vault != number || !self.is_short(group) {
                continue;
            }
            let candidates = self.counted_on(group) & self.on & !self.groups[group].believed;
            let begun = |it: &&(usize, usize, u64)| it.0 == group && candidates & only(it.1) != 0;
            let begun = self.vaults[number].partial.iter().find(begun).copied();
            let has = self.counted(group);
            let (target, left) = match begun {
                Some((_, target, left)) => (target, left),
                None => match self.next_place(group, has, candidates) {
                    Some(target) => (target, self.shard_bytes() * 1_000),
                    None => continue,
                },
            };
            if let Some(flow) = self.flow_to(group, target, left, self.groups[group].cause) {
                return Some(flow);
            }
        }
        None
    }

    /// A flow of what is missing, if enough of those who have it are there.
    fn flow_to(&self, number: usize, target: usize, left: u64, cause: Cause) -> Option<Flow> {
        let (group, k) = (&self.groups[number], self.plan.scenario.policy.k);
        let source = self.vaults[group.vault].source?;
        let house = |device: usize| self.plan.devices[device].house;
        let home = self.plan.houses[house(source)];
        let there = group.held & self.on;
        let near = each(there & home).chain(each(there & !home));
        let readers: Devices = near.take(k).fold(0, |set, device| set | only(device));
        // What was never placed is still here; what nobody has any more is made anew from the files.
        let is_here = group.original && (group.is_new() || size(group.held) < k);
        let mut flow = Flow::new(number, target, left, cause);
        if !is_here {
            if size(readers) < k {
                return None;
            }
            flow.readers = readers;
            flow.lines.extend(each(readers & !home).map(house));
        }
        if house(target) != house(source) {
            flow.lines.push(house(source));
        }
        Some(flow)
    }
}
