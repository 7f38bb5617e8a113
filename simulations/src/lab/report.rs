//! What a run says: figures with their intervals, what the circle survives, and what would help it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    agenda::Millis,
    fleet,
    numbers::{count, estimate::Estimate, float, float_wide},
    plan::{HOUR_MS, Plan},
    scenario::{Rare, Repair},
    tally::{Lengths, Tally},
};

pub mod changes;
pub mod chart;
pub mod files;
pub mod survives;
pub mod text;

/// Losses to be expected for which they are counted; fewer are weighed.
const LOSSES_ENOUGH: u64 = 100;
/// Circles of a rare run.
const RARE_CIRCLES: u64 = 4_000;
/// Circles of the pilot, at least; else an eighth of what is planned.
const PILOT_CIRCLES: u64 = 500;

/// How long something took, in hours.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hours {
    /// How many there were.
    pub count: u64,
    /// Those of them that were not over when their run was, or never can be.
    pub unfinished: u64,
    /// Half took no longer; none when that is longer than what was seen to end.
    pub p50: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95: Option<f64>,
    /// 99 of 100 took no longer.
    pub p99: Option<f64>,
    /// Hours, ascending, and the share that took no longer.
    pub curve: Vec<(f64, f64)>,
}

impl Hours {
    fn of(lengths: &Lengths) -> Option<Self> {
        let hours = |length: Millis| float(length) / HOUR_MS;
        let quantile = |per_mille| lengths.quantile(per_mille).map(hours);
        (lengths.count() > 0).then(|| Self {
            count: lengths.count(),
            unfinished: lengths.unfinished(),
            p50: quantile(500),
            p95: quantile(950),
            p99: quantile(990),
            curve: lengths.curve().map(|(length, share)| (hours(length), share)).collect(),
        })
    }
}

/// The figures of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Title of the scenario.
    pub name: String,
    /// Its seed.
    pub seed: u64,
    /// Circles that were run.
    pub circles: u64,
    /// How long each.
    pub years: f64,
    /// Devices of a circle.
    pub devices: usize,
    /// Events of all of them.
    pub events: u64,
    /// A circle loses anything for good within a year: the first one, or one of those that were run.
    pub circle_loss: Estimate,
    /// How that was found: counted, or by importance sampling.
    pub method: &'static str,
    /// Nines of its opposite, where the estimate is good enough.
    pub nines: Option<f64>,
    /// A placement group is lost for good within a year, as counted.
    pub group_loss: Estimate,
    /// Too few copies of something are left at any time within a year, as counted. The files are still
    /// where they were made.
    pub circle_bare: Estimate,
    /// Bytes lost of each TB in a year, as counted.
    pub bytes_lost_per_tb: Estimate,
    /// A common cause within a year. Comes on top of everything else.
    pub common: Estimate,
    /// A group, met at any moment at which it is not lost, cannot be restored: now, within a day,
    /// within a week.
    pub unavailable: [Estimate; 3],
    /// From a loss, or the start, to full protection.
    pub protection: Option<Hours>,
    /// From a loss until the circle acts.
    pub detection: Option<Hours>,
    /// From the new device until all files are back.
    pub restore: Option<Hours>,
    /// Bytes over lines for each device and year.
    pub bytes_per_device_year: BTreeMap<&'static str, f64>,
    /// Holders presumed lost that were not, for each device and year.
    pub false_alarms_per_device_year: f64,
    /// Groups lost for good, by what took the last copy.
    pub lost_by: BTreeMap<String, u64>,
    /// The same of groups of which the files were still there.
    pub bare_by: BTreeMap<String, u64>,
}

impl Report {
    /// Runs a scenario, and once more with losses made frequent if few are to be expected.
    pub fn run(plan: &Plan) -> Self {
        let circles = plan.scenario.circles;
        let tally = fleet::run_here(&plain(plan), circles);
        let mut report = Self::of(plan, &tally);
        if Method::of(plan, circles) == Method::Weighed {
            let weighed = rare_loss(plan, RARE_CIRCLES.max(circles / 4));
            // None seen by either is said by counting, which knows its upper bound.
            if weighed.value > 0.0 {
                report.circle_loss = weighed;
                report.method = "importance sampling";
                report.nines = weighed.nines();
            }
        }
        report
    }

    fn of(plan: &Plan, tally: &Tally) -> Self {
        let (circles, years) = (tally.circles, plan.scenario.years);
        let (circle_years, groups) = (float(circles) * years, count(plan.groups()));
        let yearly = |happened| Estimate::chance(happened, circles).in_one_of(years);
        let lost = tally.groups_lost.values().sum::<u64>();
        let group_loss = if lost == 0 {
            yearly(0)
        } else {
            let by_circle = Estimate::mean(float(lost), float(tally.groups_lost_squared), circles);
            by_circle.scaled(1.0 / groups).in_one_of(years)
        };
        let device_years = circle_years * count(plan.devices.len());
        let per_device = |bytes: u128| float_wide(bytes) / device_years;
        let looks = |which: usize| {
            let [looked, all, rest @ ..] = tally.look_sums;
            let sums = [all, rest[which - 1], rest[which + 2]];
            Estimate::share(float(tally.looks[which]), float(tally.looks[0]), looked, sums)
        };
        let circle_loss = yearly(tally.circles_lost);
        Self {
            name: plan.scenario.name.clone(),
            seed: plan.scenario.seed,
            circles,
            years,
            devices: plan.devices.len(),
            events: tally.events,
            circle_loss,
            method: "counted",
            nines: circle_loss.nines(),
            group_loss,
            circle_bare: yearly(tally.circles_bare),
            // Groups are of one size: the share of groups is the share of bytes.
            bytes_lost_per_tb: group_loss.scaled(1e12),
            common: yearly(tally.common),
            unavailable: [looks(1), looks(2), looks(3)],
            protection: Hours::of(&tally.protection),
            detection: Hours::of(&tally.detection),
            restore: Hours::of(&tally.restore),
            bytes_per_device_year: tally.bytes.iter().map(|(k, v)| (*k, per_device(*v))).collect(),
            false_alarms_per_device_year: float(tally.false_alarms) / device_years,
            lost_by: tally.groups_lost.clone(),
            bare_by: tally.backups_lost.clone(),
        }
    }
}

/// How the chance of a loss is found. Decided beforehand, by a pilot of which nothing enters the
/// figure: whoever takes of two estimates the one that looks better takes the lower one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As often as it happened.
    Counted,
    /// By importance sampling.
    Weighed,
}

impl Method {
    /// Counted where the pilot lets expect losses enough in so many circles, or where nothing is repaired.
    pub fn of(plan: &Plan, circles: u64) -> Self {
        if plan.scenario.rare.is_some() {
            return Self::Weighed;
        }
        if plan.scenario.policy.repair == Repair::None {
            return Self::Counted;
        }
        let mut pilot = plan.scenario.clone();
        // Another fate.
        pilot.seed = pilot.seed.wrapping_add(1 << 62);
        let runs = PILOT_CIRCLES.max(circles / 8);
        let lost = fleet::run_here(&Plan::new(pilot), runs).circles_lost;
        let expected = lost.saturating_mul(circles) / runs;
        if expected >= LOSSES_ENOUGH { Self::Counted } else { Self::Weighed }
    }
}

fn plain(plan: &Plan) -> Plan {
    let mut plain = plan.clone();
    plain.scenario.rare = None;
    plain
}

/// The chance that a circle loses anything within a year, by this method; what is weighed and was not
/// seen is counted, for a bound.
pub fn loss(plan: &Plan, circles: u64, method: Method) -> Estimate {
    if method == Method::Weighed {
        let weighed = rare_loss(plan, circles);
        if weighed.value > 0.0 {
            return weighed;
        }
    }
    let lost = fleet::run_here(&plain(plan), circles).circles_lost;
    Estimate::chance(lost, circles).in_one_of(plan.scenario.years)
}

/// The chance that a circle loses anything within a year, by importance sampling.
pub fn rare_loss(plan: &Plan, circles: u64) -> Estimate {
    let mut plan = plan.clone();
    let years = plan.scenario.years;
    let usual = Rare { full_per_run: 2.0 * years.max(1.0), missing_per_year: 1.0 };
    plan.scenario.rare.get_or_insert(usual);
    let tally = fleet::run_here(&plan, circles);
    let [sum, squares] = tally.weights;
    Estimate::mean(sum, squares, tally.circles).in_one_of(years)
}
