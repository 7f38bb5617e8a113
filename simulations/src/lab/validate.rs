//! The lab against what others published: each case recomputed, beside the figure and the tolerance.
//!
//! Three parts are put to the proof, beside *arithmetic* that is nothing but a reading: *formula* (closed forms, arithmetic of tiny chances), *chain* (the
//! exact solver) and *engine* (the very code that runs families, its policy reduced to the model by
//! a scenario). Which part a row tells about is written beside it: a formula that agrees proves
//! nothing about the engine.

mod closed;
mod engine;
mod page;
mod real;
mod stepped;

pub use page::page;

/// What produced a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Arithmetic that is as short as what it is held against: it shows how a figure is read.
    Arithmetic,
    /// A closed form.
    Formula,
    /// The exact solver of chains.
    Chain,
    /// The simulation.
    Engine,
}

/// How far a value may be off.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tolerance {
    /// By this share of the expected value.
    Share(f64),
    /// By so much: digits that were not printed.
    Absolute(f64),
    /// By this factor, up or down.
    Factor(f64),
    /// The value is an estimate: as far as its own interval of 99.9 % goes, and that is this share
    /// at most.
    Interval(f64),
}

/// One figure.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Row {
    /// Number of the case.
    pub case: &'static str,
    /// What it is a figure of.
    pub what: String,
    /// What was put to the proof.
    pub part: Part,
    /// What was published, or solved exactly.
    pub expected: f64,
    /// What came out.
    pub value: f64,
    /// Standard error of an estimate.
    pub error: f64,
    /// How far it may be off.
    pub tolerance: Tolerance,
}

impl Row {
    /// Whether it is within its tolerance.
    pub fn holds(&self) -> bool {
        match self.tolerance {
            Tolerance::Share(share) => self.deviation().abs() <= share,
            Tolerance::Absolute(most) => (self.value - self.expected).abs() <= most,
            Tolerance::Factor(factor) => {
                let ratio = self.value / self.expected;
                ratio <= factor && ratio >= 1.0 / factor
            }
            Tolerance::Interval(share) => {
                // 3.29 standard deviations: one good row of a thousand fails.
                let width = 3.29 * self.error;
                width <= share * self.expected && (self.value - self.expected).abs() <= width
            }
        }
    }

    /// By which share of what was expected it is off.
    pub fn deviation(&self) -> f64 {
        self.value / self.expected - 1.0
    }
}

/// How much work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// In seconds: wide intervals.
    Fast,
    /// In minutes.
    Full,
}

/// Every figure. Two runs of one extent give the same ones.
pub fn rows(extent: Extent) -> Vec<Row> {
    let mut rows = closed::rows();
    rows.extend(engine::rows(extent));
    rows.extend(real::rows(extent));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    // LAB-12
    #[test]
    fn lab_12_every_published_figure_is_met_within_its_tolerance() {
        let rows = rows(Extent::Fast);
        let wrong: Vec<&Row> = rows.iter().filter(|row| !row.holds()).collect();
        for row in &rows {
            if row.part == Part::Engine {
                println!(
                    "{} {:e} {:e} {:.3}",
                    row.what,
                    row.expected,
                    row.value,
                    row.error / row.value
                );
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        let cases: std::collections::BTreeSet<_> = rows.iter().map(|row| row.case).collect();
        assert!(cases.len() >= 14, "{cases:?}");
    }

    #[test]
    fn a_row_that_is_off_does_not_hold() {
        let row = |value, error, tolerance| Row {
            case: "VC-0",
            what: String::new(),
            part: Part::Formula,
            expected: 10.0,
            value,
            error,
            tolerance,
        };
        assert!(row(10.05, 0.0, Tolerance::Share(0.01)).holds());
        assert!(!row(10.2, 0.0, Tolerance::Share(0.01)).holds());
        assert!(row(10.05, 0.0, Tolerance::Absolute(0.06)).holds());
        assert!(!row(10.05, 0.0, Tolerance::Absolute(0.04)).holds());
        assert!(!row(31.0, 0.0, Tolerance::Factor(3.0)).holds());
        assert!(row(10.9, 0.3, Tolerance::Interval(0.1)).holds());
        assert!(!row(11.1, 0.3, Tolerance::Interval(0.1)).holds());
        // So vague that it would hold whatever comes out.
        assert!(!row(10.0, 1.0, Tolerance::Interval(0.1)).holds());
    }
}
