//! The product's own repair (`how = "real"`) in circles so simple that its answers can be worked out by
//! hand, or by a chain of a few states.
//!
//! Everything that a family's run goes through is at work here: settling, watching, words of people,
//! new devices, whose turn it is, lines, restores. Only the world is simple.

use super::{Extent, Part, Row, Tolerance, engine};
use crate::lab::{
    numbers::{chain::Chain, count, estimate::Estimate},
    tally::{Lengths, Tally},
};

const DAY_H: f64 = 24.0;
/// Days until somebody says that a device is gone, and until another one is there, on average.
const SAID: f64 = 0.5;
const REPLACED: f64 = 3.0;

pub(super) fn rows(extent: Extent) -> Vec<Row> {
    let mut rows = times(extent);
    rows.extend(chances(extent));
    rows
}

/// A circle: sources alone in the first house, one box in each of the others.
struct World {
    sources: usize,
    boxes: usize,
    /// TOML of the policy, people, classes `it` and `box`, and houses.
    policy: &'static str,
    people: String,
    source: String,
    keeper: String,
    houses: &'static str,
    gb: f64,
    rare: &'static str,
}

impl World {
    fn run(&self, circles: u64) -> Tally {
        let sources = vec!["\"it\""; self.sources].join(", ");
        let numbers: Vec<String> = (0..self.sources).map(|it| format!("[0, {it}]")).collect();
        let house = |it| format!(", {{ name = \"{it}\", devices = [\"box\"] }}");
        let boxes: String = (0..self.boxes).map(house).collect();
        let Self { policy, people, source, keeper, houses, gb, rare, .. } = self;
        let sources_at = numbers.join(", ");
        let text = format!(
            "name = \"by hand\"\ncircles = {circles}\n{rare}\npolicy = {policy}\n\
             house = [{{ name = \"home\", devices = [{sources}] }}{boxes}]\n\
             vaults = {{ sources = [{sources_at}], gb = {gb}, groups = 1 }}\n\
             [class.it]\nholds = false\n{source}\n[class.box]\nkind = \"always-on\"\n{keeper}\n\
             [people]\n{people}\n[houses]\n{houses}\n"
        );
        engine::run(&text).1
    }
}

const LINES: &str = "loss-per-year = 0\nuplink-mbit = { law = \"constant\", value = 8 }\n\
                     uplink-share = 0.5\nrestore-share = 0.75";
const LINES_AND_FIRES: &str = "loss-per-year = 0.2\nuplink-mbit = { law = \"constant\", value = 8 }\n\
     uplink-share = 0.5\nrestore-share = 0.75";
const FAST: &str = "loss-per-year = 0\nuplink-mbit = { law = \"constant\", value = 1000 }\n\
                    uplink-share = 1";

fn days(law: &str, replace: f64, say: Option<f64>) -> String {
    let key = if law == "constant" { "value" } else { "mean" };
    let days = |days| format!("{{ law = \"{law}\", {key} = {days} }}");
    let say = say.map_or(String::new(), |say| format!("say-days = {}", days(say)));
    format!("replace-days = {}\n{say}", days(replace))
}

fn times(extent: Extent) -> Vec<Row> {
    let circles = if extent == Extent::Fast { 8_000 } else { 80_000 };
    let usual = || World {
        sources: 1,
        boxes: 8,
        policy: "{}",
        people: days("constant", 60.0, None),
        source: "loss-per-year = 0".to_owned(),
        keeper: "loss-per-year = 0.1".to_owned(),
        houses: LINES,
        gb: 100.0,
        rare: "",
    };
    let safe = || "loss-per-year = 0".to_owned();
    let row = |what: &str, expected: f64, lengths: &Lengths| Row {
        case: "REAL-1",
        what: what.to_owned(),
        part: Part::Engine,
        expected,
        value: lengths.mean() / 3_600_000.0,
        error: 0.0,
        tolerance: Tolerance::Share(0.01),
    };
    let silent = usual().run(circles);
    let said = World { people: days("constant", 60.0, Some(1.0)), ..usual() }.run(circles);
    let replaced = World { people: days("constant", 2.0, None), ..usual() }.run(circles);
    let lost = |source: &str| World {
        people: days("constant", 5.0, None),
        source: source.to_owned(),
        keeper: safe(),
        ..usual()
    };
    let back = lost("loss-per-year = 0.1").run(circles);
    let halves = "loss-per-year = 0.1\npresence = { when = \"on-off\", \
                  up-hours = { law = \"constant\", value = 12 }, \
                  down-hours = { law = \"constant\", value = 12 } }";
    let by_night = lost(halves).run(circles);
    let both = lost("loss-per-year = 0");
    let both = World { sources: 2, boxes: 1, houses: LINES_AND_FIRES, ..both }.run(circles);
    // 100 GB over 4 and 6 Mbit/s.
    let (sent, restored) = (100e9 / 500_000.0 / 3_600.0, 100e9 / 750_000.0 / 3_600.0);
    let rest = restored % 12.0;
    // Three nights lie between; a start by night waits for 6 hours more on average, and one by day meets
    // a fourth night if less of the day is left than of the restore beyond three days.
    let through_nights = restored + 36.0 + 0.5 * 6.0 + 0.5 * 12.0 * (rest / 12.0);
    vec![
        row("hours until a silent box is presumed lost", 3.0 * DAY_H, &silent.detection),
        row("the same, said after a day", DAY_H, &said.detection),
        row("the same, nobody says it, replaced after two days", 2.0 * DAY_H, &replaced.detection),
        row("hours to full protection, said after a day", DAY_H + sent, &said.protection),
        row("the same, replaced after two days", 2.0 * DAY_H + sent, &replaced.protection),
        row("hours of a restore of 100 GB at 6 Mbit/s", restored, &back.restore),
        row("the same, of two at once over one line", 2.0 * restored, &both.restore),
        row("the same, alone, to a device that is off by night", through_nights, &by_night.restore),
    ]
}

/// What a source with `n` copies of which `k` are needed goes through. It and each holder are lost so
/// often a year; a lost holder is known of after an exponential time, and what it had is then sent
/// at once; a new source device has all files back, and makes all copies whole, at once.
fn chain(n: usize, k: usize, [source, holder]: [f64; 2], ends_bare: bool) -> Chain {
    let known = 365.0 * (1.0 / SAID + 1.0 / REPLACED);
    let back = 365.0 / REPLACED;
    // Two states for each number of missing copies: the source is there, or lost.
    let mut chain = Chain::new(2 * (n + 1));
    for missing in 0..=n {
        let (up, down) = (2 * missing, 2 * missing + 1);
        let left = n - missing;
        chain.add(up, up.saturating_sub(2), count(missing) * known);
        chain.add(down, 0, back);
        if left < k {
            chain.add_end(up, source);
        } else {
            chain.add(up, down, source);
        }
        let rate = count(left) * holder;
        if left > k || (left > 0 && left < k) {
            chain.add(up, up + 2, rate);
            chain.add(down, down + 2, rate);
        } else if left == k {
            chain.add_end(down, rate);
            if ends_bare {
                chain.add_end(up, rate);
            } else {
                chain.add(up, up + 2, rate);
            }
        }
    }
    chain
}

const SHAPES: [(&str, usize, usize, &str); 3] = [
    ("2 copies", 2, 1, "{}"),
    ("3 copies", 3, 1, "{ n = 3 }"),
    ("2 of 4", 4, 2, "{ k = 2, n = 4 }"),
];

fn family(policy: &'static str, [source, holder]: [f64; 2], rare: &'static str) -> World {
    World {
        sources: 1,
        boxes: 10,
        policy,
        people: days("exponential", REPLACED, Some(SAID)),
        source: format!("loss-per-year = {source}"),
        keeper: format!("loss-per-year = {holder}"),
        houses: FAST,
        gb: 0.001,
        rare,
    }
}

fn chances(extent: Extent) -> Vec<Row> {
    let (often, seldom) = ([12.0, 6.0], [0.2, 0.1]);
    let is_fast = extent == Extent::Fast;
    let row = |what: String, expected: f64, estimate: Estimate, share: f64| Row {
        case: "REAL-2",
        ..engine::row("", what, expected, estimate, share)
    };
    let mut rows = Vec::new();
    // How wide an interval may be: often too few, seldom too few, weighed.
    let widths = if is_fast { [0.2, 0.5, 0.5] } else { [0.05, 0.15, 0.15] };
    for (name, n, k, policy) in SHAPES {
        let circles = if is_fast { 8_000 } else { 200_000 };
        let tally = family(policy, often, "").run(circles);
        let bare = Estimate::chance(tally.circles_bare, tally.circles);
        let expected = chain(n, k, often, true).ended_within(1.0);
        let what = format!("{name}: ever too few, accelerated");
        rows.push(row(what, expected, bare, if n == 2 { widths[0] } else { widths[1] }));
        let lost = Estimate::chance(tally.circles_lost, tally.circles);
        let expected = chain(n, k, often, false).ended_within(1.0);
        if !is_fast || k == 1 && n == 2 {
            let what = format!("{name}: lost for good, accelerated");
            rows.push(row(what, expected, lost, if n == 2 { widths[0] } else { 0.3 }));
        }
        let rare = "rare = { full-per-run = 2, missing-per-year = 20 }";
        let tally = family(policy, seldom, rare).run(if is_fast { 20_000 } else { 400_000 });
        let [sum, squares] = tally.weights;
        let weighed = Estimate::mean(sum, squares, tally.circles);
        let expected = chain(n, k, seldom, false).ended_within(1.0);
        let what = format!("{name}: lost for good, importance sampling");
        rows.push(row(what, expected, weighed, widths[2]));
    }
    rows
}
