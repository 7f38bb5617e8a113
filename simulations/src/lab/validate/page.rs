//! The page of validation, as Markdown.

use std::fmt::Write;

use super::{Extent, Part, Row, Tolerance};

/// What a reader has to know of a case before he believes it.
const NOTES: &[(&str, &str)] = &[
    (
        "VC-1",
        "Backblaze's own model, <https://github.com/Backblaze/erasure-coding-durability>: annual rate 0.405 %, 6.5 days to replace, \
         failures independent.",
    ),
    (
        "VC-2",
        "Tahoe-LAFS `reliability.py` and its test, <https://github.com/tahoe-lafs/tahoe-lafs>, `misc/operations_helpers/provisioning`. Its decay goes in steps of 100,000 s, and its row of no shares is all zeros, \
         so its figures are not quite those of continuous time, which are reckoned here from look to look: the simulation is held to those.",
    ),
    (
        "VC-4",
        "Storj white paper, version 3, <https://github.com/storj/whitepaper>. The published percentages are those of a Poisson law with mean p n; losing shards out of n is binomial. Both are given; \
         theory is in doubt here, not the arithmetic: the published figures overstate losses by 3 to 30 times.",
    ),
    (
        "VC-5",
        "The same white paper. Traffic needs no assumption, and is met to the digits that are printed. The nines need a time of repair \
         that the paper does not give: 12 h is an inference, and fits all rows to one nine.",
    ),
    (
        "VC-6",
        "Weatherspoon and Kubiatowicz. That a disk discarded after five years is lost in an epoch e with chance e / 5 y is an \
         inference from their text; it meets the powers of ten that they print. Not met: their 1e20 years for 16 of 64 and 12 months (the formula \
         gives 2.9e21), and their 22 copies for 1e20 years (it asks for 18).",
    ),
    (
        "VC-7",
        "The million machines are a formula; the engine answers the same question for circles that it can hold.",
    ),
    (
        "VC-10",
        "The traces of TotalRecall were not found, so its traffic is not reproduced. Its stretch is that of a normal law; exactly it is 2.48.",
    ),
    (
        "VC-11",
        "Blake and Rodrigues print about 500 MB. The lifetime that their 75 kbit/s mean (26.9 h) would be held against itself, and has no row.",
    ),
    (
        "VC-12",
        "Nothing is held against Carbonite: the PlanetLab trace was not found, so the 44 % over the oracle are not reproduced, and \
         that no copy is left of a Poisson number with mean 6.85 is a matter of one exponential.",
    ),
    (
        "VC-13",
        "Rows of copies only; the coded rows of the published table do not follow from its text. They are mean times to 15 minutes of \
         unavailability, not to loss.",
    ),
    (
        "VC-14",
        "Beliefs by adding up the rule of Bayes, not by the closed form that gave the published ones.",
    ),
    (
        "VC-15",
        "A family as a chain: shards fail alone and with their house, each missing one is repaired after an exponential time. No published \
         figure: four ways to one answer (uniformisation over houses taken for alike, Runge and Kutta over all states, plain simulation, importance \
         sampling), which have nothing in common but the model.",
    ),
    ("VC-16", "Larder does not use regenerating codes."),
    (
        "REAL-1",
        "The product's own repair, by hand: a source, boxes at other houses that are always there, 100 GB, lines of 8 Mbit/s of which repairs \
         use 4 and restores 6. Found are means; what is left of the 1 % is for second losses that fall into the same days. What makes a family's \
         run different from these is its comings and goings, which have no closed form.",
    ),
    (
        "REAL-2",
        "The product's own repair, by a chain: the source is lost, and holders are; losses are said after exponential times, new devices come \
         after exponential times, bytes take no time. Watching, placing, restores and repairs of the engine run as for any family.",
    ),
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
    let of_engine = rows.iter().filter(|row| row.part == Part::Engine).count();
    let mut page = format!(
        "# Validation of the lab\n\nWritten by `{command}`; do not edit. {held} of {} figures are within their tolerance; \
         {of_engine} of them are of the simulation.\n\n\
         *Arithmetic* only shows how a published figure is read; *formula* and *chain* say nothing of the simulation; only *engine* says that the simulation is right. A tolerance of \"own interval\" \
         means that the figure lies within 3.29 standard errors of the estimate, and that those are at most the share given.\n",
        rows.len()
    );
    for (case, note) in NOTES {
        let _ = write!(page, "\n## {case}\n{note}\n\n");
        if rows.iter().all(|row| row.case != *case) {
            continue;
        }
        page.push_str("| figure | part | expected | found | off by | tolerance | |\n|---|---|---|---|---|---|---|\n");
        for row in rows.iter().filter(|row| row.case == *case) {
            page.push_str(&line(row));
        }
    }
    page
}

fn line(row: &Row) -> String {
    let part = match row.part {
        Part::Arithmetic => "arithmetic",
        Part::Formula => "formula",
        Part::Chain => "chain",
        Part::Engine => "engine",
    };
    let tolerance = match row.tolerance {
        Tolerance::Share(share) => format!("{} %", trimmed(share * 100.0)),
        Tolerance::Absolute(most) => format!("± {}", trimmed(most)),
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
