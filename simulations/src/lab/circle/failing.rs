//! When devices and houses are lost: one clock each, which strikes when its cumulative hazard has
//! used up an exponential budget.
//!
//! In a rare run hazards are multiplied by a bias, and the likelihood of what happened against
//! what would have happened without is kept: `exp((bias - 1) dH)` for every stretch, `1 / bias` for every loss.

use super::{Circle, Event, Group, Millis};
use crate::lab::{
    agenda::NEVER,
    numbers::{
        law::Hazard,
        stream::{Purpose, Stream, Streams},
        whole,
    },
    plan::{Devices, Plan, YEAR_MS, each, only, size},
    scenario::Repair,
};

/// One clock.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    stream: Stream,
    hazard: Option<Hazard>,
    /// Age at the start of the run, in years.
    age: f64,
    /// Cumulative hazard up to which it is settled.
    spent: f64,
    left: f64,
    bias: f64,
}

impl Clock {
    /// Of a device at the start: a new one, or one that is met at any age.
    fn new(mut stream: Stream, hazard: Option<Hazard>, replaced_per_year: Option<f64>) -> Self {
        let age = match (hazard, replaced_per_year) {
            (Some(hazard), Some(replaced)) => hazard.stationary_age(&mut stream, replaced),
            _ => 0.0,
        };
        let spent = hazard.map_or(0.0, |hazard| hazard.cumulative(age));
        let left = stream.exponential();
        Self { stream, hazard, age, spent, left, bias: 1.0 }
    }

    /// Settles up to `years` after the start; returns what that adds to the logarithm of the likelihood.
    fn settle(&mut self, years: f64) -> f64 {
        let Some(hazard) = self.hazard else { return 0.0 };
        let cumulative = hazard.cumulative(self.age + years);
        let more = cumulative - self.spent;
        self.spent = cumulative;
        self.left -= self.bias * more;
        (self.bias - 1.0) * more
    }

    /// When it strikes if nothing changes, in years after the start.
    fn strikes(&self) -> Option<f64> {
        self.hazard.map(|hazard| hazard.age(self.spent + self.left.max(0.0) / self.bias) - self.age)
    }

    /// It struck, or something else ended the life of what it is the clock of: another one begins.
    fn start_anew(&mut self, years: f64, keeps_age: bool) {
        if !keeps_age {
            self.age = -years;
        }
        self.spent = self.hazard.map_or(0.0, |hazard| hazard.cumulative(self.age + years));
        self.left = self.stream.exponential();
    }
}

pub(super) fn device_clocks(plan: &Plan, streams: &Streams) -> Vec<Clock> {
    let devices = plan.devices.iter().enumerate();
    let clock = |(number, device): (usize, &crate::lab::plan::Device)| {
        let stream = streams.stream(number, Purpose::Loss);
        let replaced = (!device.class.new).then_some(device.class.replaced_per_year);
        Clock::new(stream, device.hazard, replaced)
    };
    devices.map(clock).collect()
}

pub(super) fn house_clocks(plan: &Plan, streams: &Streams) -> Vec<Clock> {
    let per_year = plan.scenario.profile.houses.loss_per_year;
    let hazard = (per_year > 0.0).then(|| Hazard::constant(per_year));
    let first = plan.devices.len();
    let clock = |house| Clock::new(streams.stream(first + house, Purpose::Loss), hazard, None);
    (0..plan.houses.len()).map(clock).collect()
}

impl Circle<'_> {
    pub(super) fn start_failing(&mut self) {
        for device in 0..self.device_clocks.len() {
            self.schedule_loss(device);
            self.renewal_next(device);
        }
        for house in 0..self.house_clocks.len() {
            self.schedule_house_loss(house);
        }
    }

    fn at(&self, years: Option<f64>) -> Millis {
        let at = |years: f64| self.begins.saturating_add(whole(years * YEAR_MS)).max(self.now);
        years.map_or(NEVER, at)
    }

    fn schedule_loss(&mut self, device: usize) {
        let at = self.at(self.device_clocks[device].strikes());
        self.set(Event::Loss(device), at);
    }

    fn schedule_house_loss(&mut self, house: usize) {
        let at = self.at(self.house_clocks[house].strikes());
        self.set(Event::HouseLoss(house), at);
    }

    /// The clock of a device struck: its likelihood.
    pub(super) fn failed_by_clock(&mut self, device: usize) {
        let years = self.years();
        let clock = &mut self.device_clocks[device];
        self.log_weight += clock.settle(years) - libm::log(clock.bias);
    }

    pub(super) fn house_failed_by_clock(&mut self, house: usize) {
        let years = self.years();
        let clock = &mut self.house_clocks[house];
        self.log_weight += clock.settle(years) - libm::log(clock.bias);
        clock.start_anew(years, true);
        self.schedule_house_loss(house);
    }

    /// A new device, of age zero. Where every device is met at any age, its hazard without memory is
    /// the same anyway.
    pub(super) fn clock_starts_anew(&mut self, device: usize) {
        let years = self.years();
        let clock = &mut self.device_clocks[device];
        if self.alive & only(device) != 0 {
            self.log_weight += clock.settle(years);
        }
        clock.start_anew(years, false);
        self.schedule_loss(device);
    }

    /// It is lost, by whatever: its clock stands still until another device is there.
    pub(super) fn clock_stops(&mut self, device: usize) {
        let years = self.years();
        self.log_weight += self.device_clocks[device].settle(years);
    }

    pub(super) fn settle_clocks(&mut self) {
        let years = self.years();
        for device in 0..self.device_clocks.len() {
            // The clock of a lost device stands still until it is replaced.
            if self.alive & only(device) != 0 {
                self.log_weight += self.device_clocks[device].settle(years);
            }
        }
        for clock in &mut self.house_clocks {
            self.log_weight += clock.settle(years);
        }
    }

    /// How much is missing: the more, the more frequent losses are made, in a rare run. Those of whatever
    /// still has a shard or the files of what is not lost.
    pub(super) fn note_degraded(&mut self) {
        let Some(rare) = self.plan.scenario.rare else { return };
        let missing = self.groups.iter().map(|group| self.missing(group)).max().unwrap_or(0);
        let missing = crate::lab::numbers::count(missing);
        let held = self.groups.iter().fold(0, |all, group| all | self.has(group));
        self.settle_clocks();
        let rate_of = |device: usize| self.plan.devices[device].class.loss_per_year;
        let devices: f64 = each(held).map(rate_of).sum();
        let house = self.plan.scenario.profile.houses.loss_per_year;
        let with_shards = self.plan.houses.iter().filter(|house| **house & held != 0);
        let houses = house * crate::lab::numbers::count(with_shards.count());
        let rate = if missing > 0.0 {
            rare.missing_per_year * missing
        } else {
            rare.full_per_run / self.plan.scenario.years
        };
        let half = if devices > 0.0 && houses > 0.0 { 0.5 } else { 1.0 };
        let factor = |natural: f64| (rate * half / natural.max(1e-300)).max(1.0);
        let (for_devices, for_houses) = (factor(devices), factor(houses));
        for device in each(self.alive) {
            let bias = if held & only(device) == 0 { 1.0 } else { for_devices };
            if self.device_clocks[device].hazard.is_some() {
                self.device_clocks[device].bias = bias;
                self.schedule_loss(device);
            }
        }
        for house in 0..self.house_clocks.len() {
            let is_relevant = size(self.plan.houses[house] & held) > 0;
            self.house_clocks[house].bias = if is_relevant { for_houses } else { 1.0 };
            self.schedule_house_loss(house);
        }
    }

    /// Whoever has something of a group that is not lost: its shards, and its files.
    fn has(&self, group: &Group) -> Devices {
        let source = self.vaults[group.vault].source.filter(|_| group.original);
        if group.is_dead() { 0 } else { group.held | source.map_or(0, only) }
    }

    /// How much of that is missing. Where repair waits until few are left, only what it would repair.
    fn missing(&self, group: &Group) -> usize {
        let whole = match self.plan.scenario.policy.repair {
            Repair::Periodic { below, .. } => below,
            Repair::Real | Repair::Exponential { .. } | Repair::None => size(group.home),
        };
        let files = usize::from(self.vaults[group.vault].source.is_some() && !group.original);
        if group.is_dead() { 0 } else { whole.saturating_sub(size(group.held)) + files }
    }
}
