//! The page of validation, as Markdown.

use std::fmt::Write;

use super::{Extent, Part, Row, Tolerance};

/// What a reader has to know of a case before he believes it.
const NOTES: &[(&str, &str)] = &[
    (
        "VC-1",
        "Backblaze's own model: annual rate 0.405 %, 6.5 days to replace, failures independent.",
    ),
    (
        "VC-2",
        "Tahoe-LAFS `reliability.py` and its test. Its decay goes in steps of 100,000 s, and its row of no shares is all zeros, \
         so its figures are not quite those of continuous time; hence the wider tolerance.",
    ),
    (
        "VC-4",
        "The published percentages are those of a Poisson law with mean p n; losing shards out of n is binomial. Both are given; \
         theory is in doubt here, not the arithmetic: the published figures overstate losses by 3 to 30 times.",
    ),
    (
        "VC-5",
        "Traffic needs no assumption. The nines need a time of repair that the paper does not give: 12 h is an inference, and \
         fits eight rows of nine to one nine.",
    ),
    (
        "VC-6",
        "Weatherspoon and Kubiatowicz. That a disk discarded after five years is lost in an epoch e with chance e / 5 y is an \
         inference from their text; it meets their figures within a factor of three. Their 22 copies for 1e20 years are not met: the formula \
         asks for 18.",
    ),
    (
        "VC-7",
        "The million machines are a formula; the engine answers the same question for circles that it can hold.",
    ),
    (
        "VC-10",
        "Formulas only. The traces of TotalRecall were not found, so its traffic is not reproduced.",
    ),
    ("VC-11", "Formulas only: the lifetime is inferred from the bandwidth that was published."),
    (
        "VC-12",
        "Formula only. The PlanetLab trace was not found, so the 44 % over the oracle are not reproduced.",
    ),
    (
        "VC-13",
        "Rows of copies only; the coded rows of the published table do not follow from its text. They are mean times to 15 minutes of \
         unavailability, not to loss.",
    ),
    ("VC-14", "Formulas of the audit policy."),
    (
        "VC-15",
        "A family as a chain: shards fail alone and with their house, each missing one is repaired after an exponential time. The exact \
         solver, plain simulation and importance sampling have nothing in common but the model.",
    ),
    ("VC-16", "Formulas; Larder does not use regenerating codes."),
];

fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        format!("{value:.4e}")
    } else {
        let digits = if size >= 1_000.0 { 1 } else { 6 };
        format!("{value:.digits$}")
    }
}

/// The page. Holds no date and no machine: two runs write the same bytes.
pub fn page(rows: &[Row], extent: Extent) -> String {
    let command =
        if extent == Extent::Full { "larder-sim validate --full" } else { "larder-sim validate" };
    let held = rows.iter().filter(|row| row.holds()).count();
    let mut page = format!(
        "# Validation of the lab\n\nWritten by `{command}`; do not edit. {held} of {} figures are within their tolerance.\n\n\
         *Formula* and *chain* are arithmetic; only *engine* says that the simulation is right. A tolerance of \"own interval\" \
         means that the figure lies within 3.29 standard errors of the estimate, and that those are at most the share given.\n",
        rows.len()
    );
    for (case, note) in NOTES {
        let _ = write!(page, "\n## {case}\n{note}\n\n");
        page.push_str("| figure | part | expected | found | off by | tolerance | |\n|---|---|---|---|---|---|---|\n");
        for row in rows.iter().filter(|row| row.case == *case) {
            page.push_str(&line(row));
        }
    }
    page
}

fn line(row: &Row) -> String {
    let part = match row.part {
        Part::Formula => "formula",
        Part::Chain => "chain",
        Part::Engine => "engine",
    };
    let tolerance = match row.tolerance {
        Tolerance::Share(share) => format!("{} %", trimmed(share * 100.0)),
        Tolerance::Factor(factor) => format!("factor {factor}"),
        Tolerance::Interval(share) => format!("own interval, {} %", trimmed(share * 100.0)),
    };
    let found = if row.error > 0.0 {
        format!("{} ± {}", number(row.value), number(row.error))
    } else {
        number(row.value)
    };
    let verdict = if row.holds() { "holds" } else { "**does not hold**" };
    let (what, expected, off) = (&row.what, number(row.expected), row.deviation() * 100.0);
    format!("| {what} | {part} | {expected} | {found} | {off:+.2} % | {tolerance} | {verdict} |\n")
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.7}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
