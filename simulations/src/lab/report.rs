//! What a run says: figures with their intervals, what the circle survives, and what would help it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    agenda::Millis,
    fleet,
    numbers::{count, estimate::Estimate, float},
    plan::{HOUR_MS, Plan},
    scenario::{Rare, Repair},
    tally::{Lengths, Tally},
};

pub mod changes;
pub mod chart;
pub mod files;
pub mod survives;
pub mod text;

/// Losses below which counting says little: the rare run is believed then.
const LOSSES_ENOUGH: u64 = 100;
/// Circles of a rare run.
const RARE_CIRCLES: u64 = 4_000;

/// How long something took, in hours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Hours {
    /// How many there were.
    pub count: u64,
    /// Half took no longer.
    pub p50: f64,
    /// 95 of 100 took no longer.
    pub p95: f64,
    /// 99 of 100 took no longer.
    pub p99: f64,
}

impl Hours {
    fn of(lengths: &Lengths) -> Option<Self> {
        let hours = |length: Millis| float(length) / HOUR_MS;
        let quantile = |per_mille| lengths.quantile(per_mille).map(hours);
        Some(Self {
            count: lengths.count(),
            p50: quantile(500)?,
            p95: quantile(950)?,
            p99: quantile(990)?,
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
    /// A circle loses anything for good within a year.
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
    /// Cannot be restored: now, within a day, within a week.
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
    /// Runs a scenario, and once more with losses made frequent if there were few.
    pub fn run(plan: &Plan) -> Self {
        let scenario = &plan.scenario;
        let mut plain = plan.clone();
        plain.scenario.rare = None;
        let tally = fleet::run_here(&plain, scenario.circles);
        let mut report = Self::of(plan, &tally);
        let may_be_rare = scenario.policy.repair != Repair::None;
        if (tally.circles_lost < LOSSES_ENOUGH && may_be_rare) || scenario.rare.is_some() {
            let rare = rare_loss(plan, RARE_CIRCLES.max(scenario.circles / 4));
            // Nothing seen by either is said by counting, which knows its upper bound.
            if error_of(&rare) < error_of(&report.circle_loss) {
                report.circle_loss = rare;
                report.method = "importance sampling";
                report.nines = rare.nines();
            }
        }
        report
    }

    fn of(plan: &Plan, tally: &Tally) -> Self {
        let (circles, years) = (tally.circles, plan.scenario.years);
        let (circle_years, groups) = (float(circles) * years, count(plan.groups()));
        let yearly = |happened| Estimate::chance(happened, circles).scaled(1.0 / years);
        let lost = tally.groups_lost.values().sum::<u64>();
        let by_circle = Estimate::mean(float(lost), float(tally.groups_lost_squared), circles);
        let group_loss = if lost == 0 {
            Estimate::chance(0, circles).scaled(1.0 / years)
        } else {
            by_circle.scaled(1.0 / (groups * years))
        };
        let device_years = circle_years * count(plan.devices.len());
        let per_device = |bytes: u64| float(bytes) / device_years;
        let looks = |which: usize| Estimate::chance(tally.looks[which], tally.looks[0].max(1));
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
            common: yearly(tally.common.min(circles)),
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

fn error_of(estimate: &Estimate) -> f64 {
    estimate.relative_error.unwrap_or(f64::INFINITY)
}

/// The chance that a circle loses anything within a year: counted, or by importance sampling, whichever
/// has the smaller error.
pub fn loss(plan: &Plan, circles: u64) -> Estimate {
    let rare = rare_loss(plan, circles);
    let mut plain = plan.clone();
    plain.scenario.rare = None;
    let lost = fleet::run_here(&plain, circles).circles_lost;
    let counted = Estimate::chance(lost, circles).scaled(1.0 / plan.scenario.years);
    if error_of(&rare) < error_of(&counted) { rare } else { counted }
}

/// The chance that a circle loses anything within a year, by importance sampling.
pub fn rare_loss(plan: &Plan, circles: u64) -> Estimate {
    let mut plan = plan.clone();
    let years = plan.scenario.years;
    let usual = Rare { full_per_run: 2.0 * years.max(1.0), missing_per_year: 1.0 };
    plan.scenario.rare.get_or_insert(usual);
    let tally = fleet::run_here(&plan, circles);
    let [sum, squares] = tally.weights;
    Estimate::mean(sum, squares, tally.circles).scaled(1.0 / years)
}
