//! Figures that closed forms and the exact solver are held against.

use super::{Part, Row, Tolerance, stepped};
use crate::lab::numbers::{
    chain::{Houses, serial_repair},
    float,
    formula::{
        binomial_tail, coding_redundancy, epochs_to_loss, hypergeometric_tail, lazy_repair_losses,
        lazy_repair_traffic, poisson_tail,
    },
};

fn row(case: &'static str, what: &str, part: Part, [expected, value, share]: [f64; 3]) -> Row {
    let tolerance = Tolerance::Share(share);
    Row { case, what: what.to_owned(), part, expected, value, error: 0.0, tolerance }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = backblaze();
    rows.extend(storj());
    rows.extend(lazy_repair());
    rows.extend(epochs());
    rows.extend(availability());
    rows.extend(traffic());
    rows.extend(ford());
    rows.extend(audits());
    rows.extend(families());
    rows
}

fn backblaze() -> Vec<Row> {
    let p = -libm::expm1(-0.00405 * 6.5 / 365.0);
    let tail = |least| binomial_tail(20, least, p);
    let windows = 365.0 / 6.5;
    let in_a_year = |least| -libm::expm1(windows * libm::log1p(-tail(least)));
    let f = |what, expected, value| row("VC-1", what, Part::Formula, [expected, value, 1e-3]);
    vec![
        f("17+3, at least 4 of 20 in one window", 1.30958e-13, tail(4)),
        f("17+3, loss in a year", 7.354e-12, in_a_year(4)),
        f("at least 3 of 20, in a year", 2.399e-8, in_a_year(3)),
        f("at least 2 of 20, in a year", 5.545e-5, in_a_year(2)),
        f("at least 1 of 20, in a year", 7.781e-2, in_a_year(1)),
    ]
}

/// Published as durability in percent; held against as loss, where digits are not lost.
fn storj() -> Vec<Row> {
    let published = [
        (2, 4, 99.207_366_813_274_62),
        (4, 8, 99.858_868_985_411_32),
        (8, 16, 99.995_462_406_878_26),
        (16, 32, 99.999_994_620_652_78),
        (20, 40, 99.999_999_807_694_15),
        (1, 2, 98.247_690_369_357_83),
        (1, 3, 99.640_050_681_691_05),
        (4, 6, 97.688_471_224_736_7),
        (4, 12, 99.999_514_117_129_6),
        (20, 30, 99.970_766_304_935_27),
    ];
    let loss = |(k, n, percent): (u64, u64, f64)| {
        let value = poisson_tail(0.1 * float(n), n - k);
        let what = format!("loss of ({k}, {n}), Poisson with 0.1 n lost");
        row("VC-4", &what, Part::Formula, [(100.0 - percent) / 100.0, value, 1e-5])
    };
    let mut rows: Vec<Row> = published.into_iter().map(loss).collect();
    let binomial = [(4, 8, 4.316e-4), (1, 3, 1e-3), (4, 12, 1.658e-7)];
    rows.extend(binomial.into_iter().map(|(k, n, expected)| {
        let what = format!("loss of ({k}, {n}) as it is: binomial");
        row("VC-4", &what, Part::Formula, [expected, binomial_tail(n, n - k + 1, 0.1), 1e-3])
    }));
    rows
}

fn lazy_repair() -> Vec<Row> {
    // Months, k, n, m, traffic, nines.
    let table = [
        (1.0, [20.0, 40.0, 35.0], 9.36, 8.0),
        (6.0, [20.0, 40.0, 30.0], 0.87, 17.0),
        (12.0, [20.0, 40.0, 25.0], 0.31, 13.0),
        (1.0, [30.0, 60.0, 35.0], 3.40, 4.0),
        (6.0, [30.0, 70.0, 40.0], 0.60, 15.0),
        (12.0, [30.0, 80.0, 45.0], 0.31, 25.0),
        (1.0, [40.0, 80.0, 60.0], 5.21, 4.0),
        (6.0, [40.0, 120.0, 50.0], 0.52, 14.0),
        (12.0, [40.0, 120.0, 45.0], 0.24, 11.0),
    ];
    let mut rows = Vec::new();
    for (months, code, traffic, nines) in table {
        let [k, n, m] = code;
        let what = format!("repair traffic, {months} months, ({k}, {n}) from {m} on");
        let value = lazy_repair_traffic(code, 1.0 / months);
        let printed = row("VC-5", &what, Part::Formula, [traffic, value, 0.0]);
        rows.push(Row { tolerance: Tolerance::Absolute(0.005), ..printed });
        // A month of 30 days. Repairs of 12 h, and losses by the hour, are what fits: an inference.
        let losses = lazy_repair_losses(code, 1.0 / (months * 720.0), 1.0 / 12.0);
        let what = "nines of the same row, repair in 12 h (inferred)";
        let found = row("VC-5", what, Part::Formula, [nines, -libm::log10(losses), 0.0]);
        rows.push(Row { tolerance: Tolerance::Absolute(1.0), ..found });
    }
    rows
}

fn epochs() -> Vec<Row> {
    let years = |n, needed, months: f64| epochs_to_loss(n, needed, months / 60.0) * months / 12.0;
    let two = row(
        "VC-6",
        "years to loss, 2 replicas, 4 months",
        Part::Formula,
        [74.0, years(2, 1, 4.0), 0.0],
    );
    let mut rows = vec![Row { tolerance: Tolerance::Absolute(1.0), ..two }];
    // Printed as powers of ten.
    let cases = [
        ("4 replicas, 1 month", years(4, 1, 1.0), 1e6),
        ("32 of 64, 4 months", years(64, 32, 4.0), 1e20),
        ("16 of 64, 28 months", years(64, 16, 28.0), 1e6),
    ];
    rows.extend(cases.into_iter().map(|(what, value, expected)| Row {
        tolerance: Tolerance::Factor(10.0),
        ..row("VC-6", &format!("years to loss, {what}"), Part::Formula, [expected, value, 0.0])
    }));
    rows
}

fn availability() -> Vec<Row> {
    let (all, down) = (1_000_000, 100_000);
    let exact = hypergeometric_tail(all, down, 32, 17);
    let both = hypergeometric_tail(all, down, 2, 2);
    let f = |case, what, numbers| row(case, what, Part::Formula, numbers);
    vec![
        f("VC-7", "16 of 32 hosts, a tenth of a million down", [1.2809e-9, exact, 1e-3]),
        f("VC-7", "the same, binomial", [1.2821e-9, binomial_tail(32, 17, 0.1), 1e-3]),
        f("VC-7", "2 replicas", [0.01, both, 1e-3]),
        f(
            "VC-10",
            "copies for 0.999 of hosts that are there half of the time",
            [10.0, (libm::log(0.001) / libm::log(0.5)).ceil(), 0.0],
        ),
        Row {
            tolerance: Tolerance::Absolute(0.015),
            ..f(
                "VC-10",
                "stretch of coding for the same, 100 blocks, exactly",
                [2.49, stretch(100), 0.0],
            )
        },
        Row {
            tolerance: Tolerance::Absolute(0.005),
            ..f(
                "VC-10",
                "the same by the formula of a normal law",
                [2.49, coding_redundancy(0.5, 100.0, 3.09), 0.0],
            )
        },
    ]
}

/// As few coded blocks as give `blocks` back in 999 of 1000 cases, when each is there half of the time.
fn stretch(blocks: u64) -> f64 {
    let is_enough = |n: &u64| binomial_tail(*n, n - blocks + 1, 0.5) <= 1e-3;
    (blocks..10 * blocks).find(is_enough).map_or(0.0, |n| float(n) / float(blocks))
}

/// Readings of published figures, which prove nothing but that they were read as they were meant.
fn traffic() -> Vec<Row> {
    let f = |case, what, [expected, value, digits]: [f64; 3]| Row {
        tolerance: Tolerance::Absolute(digits),
        ..row(case, what, Part::Arithmetic, [expected, value, 0.0])
    };
    let share = "repair of one shard at the minimum of storage, k = 7 of 14";
    let least = (1.0 / 7.0) / (1.0 - 1.0 / 7.0 + 1.0 / 49.0);
    vec![
        f("VC-11", "MB on each of 33,000 hosts", [500.0, 15.0 * 1e6 / 33_000.0, 50.0]),
        f("VC-16", share, [0.27, 13.0 / (7.0 * 7.0), 0.005]),
        f("VC-16", "the same at the minimum of bandwidth", [0.16, least, 0.005]),
    ]
}

fn ford() -> Vec<Row> {
    let days = |copies| serial_repair(copies, 1, 8.1345e-3, 66.013).mean_time();
    let c = |what, expected, value| row("VC-13", what, Part::Chain, [expected, value, 1e-3]);
    vec![
        c("days to loss, 2 copies in a row of repairs", 4.990e5, days(2)),
        c("days to loss, 3 copies", 1.350e9, days(3)),
        c("days to loss, 4 copies", 2.739e12, days(4)),
    ]
}

fn audits() -> Vec<Row> {
    let mut rows = Vec::new();
    let table = [
        (20.0, 0.9545, 0.9762),
        (40.0, 0.9762, 0.9878),
        (80.0, 0.9878, 0.9938),
        (200.0, 0.99505, 0.99751),
    ];
    for (n, uniform, jeffreys) in table {
        for (prior, published) in [("uniform", uniform), ("Jeffreys", jeffreys)] {
            let what = format!("belief after {n} good audits, {prior}");
            let value = belief(n, prior == "Jeffreys");
            let found = row("VC-14", &what, Part::Formula, [published, value, 0.0]);
            rows.push(Row { tolerance: Tolerance::Absolute(5e-5), ..found });
        }
    }
    for (hole, published) in [(0.01, 459.0), (0.001, 4_603.0)] {
        let what = format!("spots that find a hole of {hole} with 99 %");
        // Spot by spot.
        let (mut spots, mut missed) = (0.0, 1.0);
        while missed > 0.01 {
            spots += 1.0;
            missed *= 1.0 - hole;
        }
        rows.push(row("VC-14", &what, Part::Formula, [published, spots, 0.0]));
    }
    rows
}

/// How likely the next audit is good after so many good ones, by the rule of Bayes: the mean of what
/// is believed, added up over all chances `p = sin^2 t`, which makes both priors smooth.
fn belief(audits: f64, is_jeffreys: bool) -> f64 {
    let steps = 20_000;
    let (mut all, mut good) = (0.0, 0.0);
    for step in 0..steps {
        let t = (float(step) + 0.5) / float(steps) * core::f64::consts::FRAC_PI_2;
        let (sine, cosine) = (libm::sin(t), libm::cos(t));
        let prior = if is_jeffreys { 1.0 } else { sine * cosine };
        let weight = prior * libm::pow(sine, 2.0 * audits);
        all += weight;
        good += weight * sine * sine;
    }
    good / all
}

/// Families as chains: name, houses, shards in each, shards needed.
pub(super) const FAMILIES: [(&str, usize, usize, usize); 4] = [
    ("3 copies, 1+1+1", 3, 1, 1),
    ("2 of 6, 2+2+2", 3, 2, 2),
    ("3 of 6, 2+2+2", 3, 2, 3),
    ("4 of 12, 4+4+4", 3, 4, 4),
];

fn houses(
    (_, houses, shards, needed): (&str, usize, usize, usize),
    [shard_fails, house_fails, days]: [f64; 3],
) -> Houses {
    Houses { houses, shards, needed, shard_fails, house_fails, repairs: 365.0 / days }
}

/// Loss within a year, with failures, losses of houses and days of repair.
pub(super) fn family(shape: (&str, usize, usize, usize), rates: [f64; 3]) -> f64 {
    houses(shape, rates).chain().ended_within(1.0)
}

pub(super) const ACCELERATED: [f64; 3] = [2.0, 0.2, 14.0];
pub(super) const NOMINAL: [f64; 3] = [0.06, 0.005, 7.0];

fn families() -> Vec<Row> {
    let two = ("2 copies, 1+1", 2, 1, 1);
    let mut rows = Vec::new();
    for shape in [two].into_iter().chain(FAMILIES) {
        for (kind, rates) in [("accelerated", ACCELERATED), ("nominal", NOMINAL)] {
            let what = format!("{}, {kind}, against Runge and Kutta", shape.0);
            let expected = stepped::lost_in_a_year(&houses(shape, rates));
            let found = family(shape, rates);
            rows.push(row("VC-15", &what, Part::Chain, [expected, found, 1e-4]));
        }
    }
    rows
}
