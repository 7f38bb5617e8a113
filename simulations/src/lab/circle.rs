//! One circle from its start to the end of the scenario.
//!
//! ```text
//!  agenda ──next slot──> presence ─┐
//!                        losses ───┼──> who is on ──> watch ──> custody (copies, flows) ──> tally
//!                        shocks ───┘
//! ```
//! Invariants: everything that can happen has one slot of the agenda; bytes and times are integers;
//! a circle draws from its own streams only, and is `Clone`: it can be split at any event.

use larder_protocol::ids::ShardRoot;

use super::{
    agenda::{Agenda, Millis, NEVER},
    numbers::{
        float,
        stream::{Purpose, Stream, Streams},
        whole,
    },
    plan::{DAY_MS, Devices, Plan, YEAR_MS, each, only, size},
    scenario::Repair,
    tally::{Cause, Tally},
};

mod custody;
mod failing;
mod flow;
mod presence;
mod probe;
mod settling;
mod standing;
mod textbook;
mod watch;

#[cfg(test)]
mod tests;

use failing::Clock;
use flow::{Flow, Lines};
use presence::Comings;
use probe::Probe;
use watch::Watch;

/// How a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It was never placed as the policy asks.
    New,
    /// It was, and can be read.
    Placed,
    /// Too few shards are left, and the files are still on their device.
    Bare,
    /// Nothing is left.
    Dead,
}

/// A placement group: packs that are placed alike and share their fate.
#[derive(Debug, Clone)]
struct Group {
    vault: usize,
    root: ShardRoot,
    /// Devices that have their shard, in truth.
    held: Devices,
    /// Devices that its source has receipts of.
    believed: Devices,
    /// Where textbook repair brings shards back to.
    home: Devices,
    /// Whether its files are on their device.
    original: bool,
    standing: Standing,
    /// Since when it is not as it should be, in truth.
    below_since: Option<Millis>,
    /// Why.
    cause: Cause,
}

impl Group {
    fn is_dead(&self) -> bool {
        self.standing == Standing::Dead
    }

    fn is_new(&self) -> bool {
        self.standing == Standing::New
    }
}

/// One source and what it looks after.
#[derive(Debug, Clone)]
struct Vault {
    source: Option<usize>,
    watch: Option<Watch>,
    presumed: Devices,
    /// Some group is on fewer shards than it should be, as far as is known here.
    is_short: bool,
    flow: Option<Flow>,
    /// What was sent to whom before it had to wait: group, target, what is left.
    partial: Vec<(usize, usize, u64)>,
    /// Since when its files come back to a new device.
    restoring_since: Option<Millis>,
    /// Not all of what comes back can: some is gone for good.
    lost_some: bool,
    /// Lost devices of which it knows.
    known: Devices,
}

impl Vault {
    /// Whether anything is under way or waits for somebody who is not there.
    const fn has_work(&self) -> bool {
        self.is_short || self.flow.is_some() || self.restoring_since.is_some()
    }
}

/// Where each kind of event has its slots.
#[derive(Debug, Clone, Copy)]
struct Slots {
    devices: usize,
    houses: usize,
    vaults: usize,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Presence(usize),
    Loss(usize),
    Back(usize),
    Said(usize),
    Renewed(usize),
    Outage(usize),
    HouseLoss(usize),
    Missed(usize),
    Arrived(usize),
    Repair,
    Strike,
    Common,
    Look,
    Settle,
    End,
}

const SINGLE: [Event; 6] =
    [Event::Repair, Event::Strike, Event::Common, Event::Look, Event::Settle, Event::End];

impl Slots {
    const fn slot(self, event: Event) -> usize {
        let houses_at = 5 * self.devices;
        let vaults_at = houses_at + 2 * self.houses;
        let singles_at = vaults_at + 2 * self.vaults;
        match event {
            Event::Presence(device) => device,
            Event::Loss(device) => self.devices + device,
            Event::Back(device) => 2 * self.devices + device,
            Event::Said(device) => 3 * self.devices + device,
            Event::Renewed(device) => 4 * self.devices + device,
            Event::Outage(house) => houses_at + house,
            Event::HouseLoss(house) => houses_at + self.houses + house,
            Event::Missed(vault) => vaults_at + vault,
            Event::Arrived(vault) => vaults_at + self.vaults + vault,
            Event::Repair => singles_at,
            Event::Strike => singles_at + 1,
            Event::Common => singles_at + 2,
            Event::Look => singles_at + 3,
            Event::Settle => singles_at + 4,
            Event::End => singles_at + 5,
        }
    }

    fn event(self, slot: usize) -> Event {
        let houses_at = 5 * self.devices;
        let vaults_at = houses_at + 2 * self.houses;
        let singles_at = vaults_at + 2 * self.vaults;
        if slot < houses_at {
            let device = slot % self.devices;
            return match slot / self.devices {
                0 => Event::Presence(device),
                1 => Event::Loss(device),
                2 => Event::Back(device),
                3 => Event::Said(device),
                _ => Event::Renewed(device),
            };
        }
        if slot < vaults_at {
            let house = slot - houses_at;
            let is_outage = house < self.houses;
            return if is_outage {
                Event::Outage(house)
            } else {
                Event::HouseLoss(house - self.houses)
            };
        }
        if slot < singles_at {
            let vault = slot - vaults_at;
            let is_missed = vault < self.vaults;
            return if is_missed {
                Event::Missed(vault)
            } else {
                Event::Arrived(vault - self.vaults)
            };
        }
        SINGLE.get(slot - singles_at).copied().unwrap_or(Event::End)
    }
}

/// One circle.
#[derive(Debug, Clone)]
pub struct Circle<'a> {
    plan: &'a Plan,
    number: u64,
    now: Millis,
    /// When it is settled, and things begin to fail.
    begins: Millis,
    agenda: Agenda,
    slots: Slots,
    alive: Devices,
    /// Devices that are switched on, whatever their house is like.
    awake: Devices,
    /// Devices of houses that are cut off.
    cut: Devices,
    /// Who can be reached.
    on: Devices,
    lost_at: Vec<Millis>,
    comings: Comings,
    device_clocks: Vec<Clock>,
    house_clocks: Vec<Clock>,
    aftermath: Vec<Stream>,
    shocks: Stream,
    repairs: Stream,
    common: Stream,
    settling: Stream,
    probe: Probe,
    groups: Vec<Group>,
    vaults: Vec<Vault>,
    lines: Lines,
    flows_at: Millis,
    next_strike: usize,
    /// Logarithm of the likelihood of this history, against that in which nothing was made frequent.
    log_weight: f64,
    tally: Tally,
}

impl<'a> Circle<'a> {
    /// Circle number `number`, at its start.
    pub fn new(plan: &'a Plan, number: u64) -> Self {
        let streams = Streams::new(plan.scenario.seed, number);
        let (devices, houses) = (plan.devices.len(), plan.houses.len());
        let vaults = custody::vaults(plan);
        let slots = Slots { devices, houses, vaults: vaults.len() };
        let of = |count: usize, purpose| {
            (0..count).map(|entity| streams.stream(entity, purpose)).collect::<Vec<_>>()
        };
        let mut circle = Self {
            plan,
            number,
            now: 0,
            begins: settling::takes(plan),
            agenda: Agenda::new(slots.slot(Event::End) + 1),
            slots,
            alive: plan.all(),
            awake: 0,
            cut: 0,
            on: 0,
            lost_at: vec![0; devices],
            comings: Comings::new(plan, &streams),
            device_clocks: failing::device_clocks(plan, &streams),
            house_clocks: failing::house_clocks(plan, &streams),
            aftermath: of(devices, Purpose::Aftermath),
            shocks: streams.stream(0, Purpose::Shock),
            repairs: streams.stream(0, Purpose::Repair),
            common: streams.stream(0, Purpose::Common),
            settling: streams.stream(0, Purpose::Settling),
            probe: Probe::new(streams.stream(0, Purpose::Probe)),
            groups: custody::groups(plan, &streams),
            vaults,
            lines: Lines::new(plan, &streams),
            flows_at: 0,
            next_strike: 0,
            log_weight: 0.0,
            tally: Tally::default(),
        };
        circle.start();
        circle
    }

    /// Runs it to its end; in a rare run, to the first loss.
    pub fn run(mut self) -> Tally {
        let stops_early = self.plan.scenario.rare.is_some();
        loop {
            let (at, slot) = self.agenda.next();
            self.now = at;
            let event = self.slots.event(slot);
            if event == Event::End {
                break;
            }
            self.tally.events += 1;
            self.handle(event);
            if stops_early && self.groups.iter().any(|group| group.is_dead()) {
                break;
            }
        }
        self.finish()
    }

    /// Whether nothing is gone for good when these devices are lost now, all at once.
    pub fn survives(&self, devices: Devices) -> bool {
        let mut split = self.clone();
        split.lose(devices, "a test");
        split.groups.iter().all(|group| !group.is_dead())
    }

    fn start(&mut self) {
        self.start_presence();
        self.settle_down();
        self.set(Event::End, self.begins.saturating_add(self.plan.end));
        self.start_failing();
        if let Repair::Exponential { .. } | Repair::Periodic { .. } =
            self.plan.scenario.policy.repair
        {
            self.plan_textbook_repair();
        }
        self.strike_next();
        self.common_next();
        let first = self.probe.first();
        self.set(Event::Look, self.begins.saturating_add(first));
        self.start_custody();
        self.note_degraded();
    }

    fn set(&mut self, event: Event, at: Millis) {
        self.agenda.set(self.slots.slot(event), at);
    }

    /// So many milliseconds from now, and at least one: nothing goes on for ever at one moment.
    fn after(&self, millis: f64) -> Millis {
        self.now.saturating_add(whole(millis).max(1))
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Presence(device) => self.presence_changed(device),
            Event::Loss(device) => {
                self.failed_by_clock(device);
                self.lose(only(device), "a device");
            }
            Event::Back(device) => self.replaced(device),
            Event::Said(device) => self.said_lost(device),
            Event::Renewed(device) => self.renewed(device),
            Event::Outage(house) => self.outage(house),
            Event::HouseLoss(house) => {
                self.house_failed_by_clock(house);
                self.lose(self.plan.houses[house], "a house");
            }
            Event::Missed(vault) => self.look_for_lost(vault),
            Event::Arrived(_) => self.look_at_flows(),
            Event::Repair => self.textbook_repair(),
            Event::Strike => self.strike(),
            Event::Common => {
                self.tally.common = 1;
                self.common_next();
            }
            Event::Look => self.look(),
            Event::Settle => self.settle_next(),
            Event::End => {}
        }
    }

    fn common_next(&mut self) {
        let per_year = self.plan.scenario.profile.common_per_year;
        let gap = self.common.exponential();
        let at = if per_year > 0.0 { self.after(gap / per_year * YEAR_MS) } else { NEVER };
        self.set(Event::Common, at);
    }

    fn finish(mut self) -> Tally {
        self.settle_flows();
        self.settle_clocks();
        self.note_unfinished();
        self.tally.circles = 1;
        let lost = self.groups.iter().any(|group| group.is_dead());
        self.tally.circles_lost = u64::from(lost);
        let bare = self
            .groups
            .iter()
            .any(|group| matches!(group.standing, Standing::Bare | Standing::Dead));
        self.tally.circles_bare = u64::from(bare || !self.tally.backups_lost.is_empty());
        if lost && self.plan.scenario.rare.is_some() {
            let weight = libm::exp(self.log_weight);
            self.tally.weights = [weight, weight * weight];
        }
        // Lines are reckoned in thousandths of a byte.
        self.tally.bytes.values_mut().for_each(|bytes| *bytes /= 1_000);
        self.tally.look_sums = self.tally.looks_of_a_circle();
        self.tally
    }

    /// Some device came, went, woke or slept: works out who can be reached, and tells whoever cares.
    fn refresh(&mut self, changed: Devices) {
        let before = self.on;
        self.on = self.alive & self.awake & !self.cut;
        let came_or_went = (before ^ self.on) & changed;
        if came_or_went == 0 {
            return;
        }
        self.probe.saw(self.on);
        for vault in 0..self.vaults.len() {
            self.tell_watch(vault, came_or_went);
        }
        if self.vaults.iter().any(Vault::has_work) {
            self.look_at_flows();
        }
    }

    fn strike_next(&mut self) {
        let rest = &self.plan.timeline[self.next_strike..];
        let next = rest.iter().position(|strike| strike.hits(self.plan, self.number));
        let at = match next {
            Some(offset) => {
                self.next_strike += offset;
                self.begins.saturating_add(self.plan.timeline[self.next_strike].at)
            }
            None => NEVER,
        };
        self.set(Event::Strike, at);
    }

    fn strike(&mut self) {
        let plan = self.plan;
        let strike = plan.timeline[self.next_strike];
        self.next_strike += 1;
        let shock = &plan.scenario.profile.shock[strike.shock];
        let units: Vec<Devices> = if strike.takes_houses(plan) {
            plan.houses.clone()
        } else {
            (0..plan.devices.len()).map(only).collect()
        };
        let mut hit = 0;
        match (shock.share, shock.count) {
            (Some(share), _) => {
                for unit in units {
                    hit |= if self.shocks.uniform() < share { unit } else { 0 };
                }
            }
            (None, count) => {
                let mut left = units;
                for _ in 0..count.unwrap_or(0).min(left.len()) {
                    let drawn = self.shocks.below(u64::try_from(left.len()).unwrap_or(1));
                    hit |= left.swap_remove(usize::try_from(drawn).unwrap_or(0));
                }
            }
        }
        self.lose(hit, &shock.name);
        self.strike_next();
    }

    /// Devices are lost for good, all at the same moment.
    fn lose(&mut self, devices: Devices, cause: &str) {
        let is_textbook = self.is_textbook();
        let hit = devices & self.alive;
        if hit == 0 {
            return;
        }
        self.tally.devices_lost += whole_count(size(hit));
        for device in each(hit) {
            self.lost_at[device] = self.now;
            if is_textbook {
                // The device itself is as good as new, and empty.
                self.clock_starts_anew(device);
            } else {
                self.clock_stops(device);
                self.schedule_aftermath(device);
            }
        }
        if !is_textbook {
            self.alive &= !hit;
            self.note_known_already(hit);
        }
        self.lose_contents(hit, cause, "a loss");
        if matches!(self.plan.scenario.policy.repair, Repair::Exponential { .. }) {
            self.plan_textbook_repair();
        }
        self.refresh(hit);
        self.note_degraded();
    }

    fn is_textbook(&self) -> bool {
        self.plan.sources.is_empty()
    }

    /// What was on these devices is gone: shards, and files of their owners.
    fn lose_contents(&mut self, hit: Devices, cause: &str, why: Cause) {
        for number in 0..self.groups.len() {
            let source = self.vaults[self.groups[number].vault].source;
            let group = &mut self.groups[number];
            let has_files = source.is_some_and(|source| hit & only(source) != 0);
            let touched = group.held & hit != 0;
            group.held &= !hit;
            if has_files && why != "a replacement" {
                group.original = false;
            }
            if touched {
                group.cause = why;
                self.judge(number, cause);
            } else if has_files {
                self.bury(number, cause);
            }
        }
    }

    fn schedule_aftermath(&mut self, device: usize) {
        let people = &self.plan.scenario.profile.people;
        let stream = &mut self.aftermath[device];
        let back = people.replace_days.sample(stream) * DAY_MS;
        let said = people.say_days.map(|law| law.sample(stream) * DAY_MS);
        let (back, said) = (self.after(back), said.map_or(NEVER, |said| self.after(said)));
        self.set(Event::Loss(device), NEVER);
        self.set(Event::Renewed(device), NEVER);
        self.set(Event::Back(device), back);
        self.set(Event::Said(device), if said < back { said } else { NEVER });
    }

    /// A new device takes the place of a lost one.
    fn replaced(&mut self, device: usize) {
        self.set(Event::Back(device), NEVER);
        self.set(Event::Said(device), NEVER);
        self.clock_starts_anew(device);
        self.note_replaced(device);
        self.alive |= only(device);
        self.renewal_next(device);
        self.forget_device(device);
        self.source_is_new(device);
        self.refresh(only(device));
        self.look_at_flows();
        self.note_degraded();
    }

    /// A working device is replaced; what it held is gone with it unless it was moved.
    fn renewed(&mut self, device: usize) {
        let gently = self.plan.devices[device].class.replaced_gently;
        let is_gentle = self.aftermath[device].uniform() < gently;
        self.clock_starts_anew(device);
        self.renewal_next(device);
        if is_gentle {
            return;
        }
        self.lose_contents(only(device), "a replacement", "a replacement");
        self.forget_device(device);
        self.look_at_flows();
        self.note_degraded();
    }

    fn renewal_next(&mut self, device: usize) {
        let per_year = self.plan.devices[device].class.replaced_per_year;
        let gap = self.comings.renewal_gap(device);
        let at = if per_year > 0.0 { self.after(gap / per_year * YEAR_MS) } else { NEVER };
        self.set(Event::Renewed(device), at);
    }

    /// Years since things began to fail, for laws.
    fn years(&self) -> f64 {
        float(self.now.saturating_sub(self.begins)) / YEAR_MS
    }
}

fn whole_count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
