//! A report as text.

use std::fmt::Write;

use super::{
    Estimate, Hours, Report,
    changes::{Change, Sensitivity},
    survives::Survived,
};

/// All that a run told.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Findings {
    /// The figures.
    pub report: Report,
    /// What the circle survives.
    pub survives: Vec<Survived>,
    /// The same circle by importance sampling, against which changes are compared.
    pub base: Option<Estimate>,
    /// Changes, the best first.
    pub changes: Vec<Change>,
    /// What the figures are sensitive to.
    pub sensitivities: Vec<Sensitivity>,
}

/// What every figure has to be read with.
const START: &str =
    "Everything is in its place at the start. Intervals are of 95 %; their unit is a circle.";

/// A chance as people read it.
pub fn chance(estimate: &Estimate) -> String {
    if estimate.value <= 0.0 {
        return format!("none seen, so less than {}", once_in(estimate.high));
    }
    let (low, high) = (share(estimate.low), share(estimate.high));
    format!("{} ({}, 95 %: {low} to {high})", share(estimate.value), once_in(estimate.value))
}

fn share(value: f64) -> String {
    if value >= 1e-3 { format!("{:.2} %", value * 100.0) } else { format!("{value:.1e}") }
}

fn once_in(value: f64) -> String {
    let times = 1.0 / value.max(1e-300);
    if times < 100.0 {
        return format!("1 in {times:.1}");
    }
    // Two digits: no estimate here is better than that.
    let digits = libm::floor(libm::log10(times)) - 1.0;
    let unit = libm::pow(10.0, digits);
    format!("1 in {}", thousands((times / unit).round() * unit))
}

fn thousands(value: f64) -> String {
    let plain = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them.
pub fn bytes(value: f64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", value / unit),
        None => format!("{value:.0} B"),
    }
}

/// A time as people read it.
pub fn hours(value: f64) -> String {
    if value < 48.0 { format!("{value:.1} h") } else { format!("{:.1} days", value / 24.0) }
}

/// A share of cases and the time within which they are over.
pub fn within(taken: Option<f64>) -> String {
    taken.map_or_else(|| "no time that was seen".to_owned(), |it| format!("within {}", hours(it)))
}

fn times(hours_taken: Option<&Hours>) -> String {
    match hours_taken {
        None => "none happened".to_owned(),
        Some(it) => format!(
            "half {}, 95 % {}, 99 % {} ({} times, {} of them not over at the end)",
            within(it.p50),
            within(it.p95),
            within(it.p99),
            it.count,
            it.unfinished
        ),
    }
}

/// The one change to make, in a sentence.
pub fn best_change(findings: &Findings) -> String {
    let is_clear = |change: &&Change| change.is_sure && change.factor > 1.1;
    match findings.changes.iter().find(is_clear) {
        Some(best) => {
            format!(
                "What would help most: {}. Losses would be {:.1} times as rare.",
                best.what, best.factor
            )
        }
        None if !findings.changes.is_empty() => {
            "No single change that was tried helps beyond doubt.".to_owned()
        }
        None => "No change was tried.".to_owned(),
    }
}

impl Findings {
    /// The report as text.
    pub fn text(&self) -> String {
        let report = &self.report;
        let mut text = format!("{}\n", report.name);
        let _ = writeln!(
            text,
            "{} circles of {} devices over {} years, seed {}; {} events\n{START}\n",
            report.circles, report.devices, report.years, report.seed, report.events
        );
        for survived in &self.survives {
            let _ = writeln!(text, "  {}", survived.sentence());
        }
        let _ = writeln!(text, "\n{}\n", best_change(self));
        self.figures(&mut text);
        self.comparisons(&mut text);
        text
    }

    fn figures(&self, text: &mut String) {
        let report = &self.report;
        let nines = match report.nines {
            Some(nines) => format!("{nines:.1} nines, on condition of all that is assumed"),
            None => "no nines are told: the error is above 20 %".to_owned(),
        };
        let per_tb = &report.bytes_lost_per_tb;
        let lines = [
            ("a circle loses files in a year", chance(&report.circle_loss)),
            ("  found by", format!("{}; {nines}", report.method)),
            ("a group is lost in a year", chance(&report.group_loss)),
            (
                "bytes lost of a TB in a year",
                format!(
                    "{} (95 %: {} to {})",
                    bytes(per_tb.value),
                    bytes(per_tb.low),
                    bytes(per_tb.high)
                ),
            ),
            ("too few copies at any time in a year", chance(&report.circle_bare)),
            ("a common cause in a year, on top", chance(&report.common)),
            ("from a loss to full protection", times(report.protection.as_ref())),
            ("from a loss until it is known", times(report.detection.as_ref())),
            ("from a new device to all files", times(report.restore.as_ref())),
            ("a group cannot be restored now", chance(&report.unavailable[0])),
            ("  nor within a day", chance(&report.unavailable[1])),
            ("  nor within a week", chance(&report.unavailable[2])),
            (
                "false alarms, each device and year",
                format!("{:.3}", report.false_alarms_per_device_year),
            ),
        ];
        for (what, value) in lines {
            let _ = writeln!(text, "{what:<38} {value}");
        }
        let _ = writeln!(text, "\nover the lines, each device and year");
        for (cause, value) in &report.bytes_per_device_year {
            let _ = writeln!(text, "  {cause:<36} {}", bytes(*value));
        }
        for (title, by) in [
            ("groups lost for good, by what took the last copy", &report.lost_by),
            ("groups with too few copies, files still there, by the same", &report.bare_by),
        ] {
            let _ = writeln!(text, "\n{title}");
            for (cause, count) in by {
                let _ = writeln!(text, "  {cause:<36} {count}");
            }
            if by.is_empty() {
                let _ = writeln!(text, "  none");
            }
        }
    }

    fn comparisons(&self, text: &mut String) {
        if let Some(base) = &self.base {
            let _ = writeln!(text, "\nchanges, against {} as it is", chance(base));
            for change in &self.changes {
                let doubt = if change.is_sure { "" } else { "  (within the error)" };
                let factor = change.factor;
                let _ = writeln!(text, "  {:<52} {factor:>8.1} times as rare{doubt}", change.what);
            }
        }
        if !self.sensitivities.is_empty() {
            let _ = writeln!(text, "\nhow much of this is assumption: loss in a year");
        }
        for it in &self.sensitivities {
            let _ = writeln!(text, "  {:<18} times {:<4} {}", it.what, it.times, chance(&it.loss));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{plan::Plan, scenario::Scenario, tally::Tally};

    const FAMILY: &str = include_str!("../../../scenarios/lab/three-houses.toml");

    // LAB-11
    #[test]
    fn lab_11_the_change_that_is_advised_is_one_that_is_beyond_doubt() {
        let plan = Plan::new(Scenario::read(FAMILY).expect("the scenario is sound"));
        let report = Report::of(&plan, &Tally { circles: 1, ..Tally::default() });
        let change = |what: &str, factor: f64, is_sure: bool| Change {
            what: what.to_owned(),
            loss: Estimate::chance(1, 1_000),
            factor,
            is_sure,
        };
        let changes = vec![change("luck", 9.0, false), change("a third copy", 4.0, true)];
        let (survives, sensitivities) = (Vec::new(), Vec::new());
        let mut findings = Findings { report, survives, base: None, changes, sensitivities };
        assert!(best_change(&findings).contains("a third copy"));
        findings.changes.truncate(1);
        assert!(best_change(&findings).contains("beyond doubt"));
    }

    #[test]
    fn numbers_are_told_with_no_more_digits_than_they_have() {
        let estimate =
            Estimate { value: 1.234e-4, low: 1e-4, high: 2e-4, relative_error: Some(0.1) };
        assert_eq!(chance(&estimate), "1.2e-4 (1 in 8,100, 95 %: 1.0e-4 to 2.0e-4)");
        let none = Estimate::chance(0, 1_000);
        assert_eq!(chance(&none), "none seen, so less than 1 in 270");
        assert_eq!([bytes(1.5e9), bytes(12.0)], ["1.5 GB", "12 B"]);
        assert_eq!([hours(3.0), hours(72.0)], ["3.0 h", "3.0 days"]);
    }
}
