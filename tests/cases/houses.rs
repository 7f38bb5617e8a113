//! Three houses with two nodes each and lines between them, as families have them: what becomes of
//! a vault when a line is cut, a disk is new, a disk rots, a node was away, or the source is gone.
//!
//! Figures are printed for the reader (`cargo test houses -- --nocapture`); what is asserted is
//! what is promised, never how long it took.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::Circle, compare, dice::Dice, houses::Houses, network::Crossed, node::Node,
    short_directory, skipped, tree,
};
use serde_json::Value;

mod away;
mod cut_off;
mod gone;
mod new_disk;
mod rot;

/// Longest that the circle may take to come to rest after something happened: above the longest
/// wait before somebody who was tried in vain is tried again, 5 minutes and a quarter.
const REST_LIMIT: Duration = Duration::from_secs(420);
/// What a house can send: 100 Mbit/s.
const UPLINK_BYTES_PER_SECOND: u64 = 12_500_000;
/// Who stands in which house. The source is in house 0 as well.
const HOLDERS: [(&str, usize); 5] = [("a1", 0), ("b0", 1), ("b1", 1), ("c0", 2), ("c1", 2)];
/// How many times the folder was backed up before a story begins, with new files each time.
const BACKUPS: usize = 6;

/// The source with a holder beside it and two holders in each of two more houses.
struct Street {
    circle: Circle,
    folder: PathBuf,
    // After the nodes that live in them.
    houses: Houses,
    dice: Dice,
    begun: Instant,
    counted: Vec<Crossed>,
}

impl Street {
    /// With a folder that was backed up several times, so that there are packs in every house.
    /// `None` where no networks can be made, which is said.
    fn new(story: &str, seed: u64) -> Option<Self> {
        let Some(houses) = Houses::new(3) else {
            skipped(story, "no network namespaces can be made and joined here");
            return None;
        };
        println!("{story}:");
        let directory = short_directory();
        let source = houses.node(0, directory.path(), "source");
        let holders = HOLDERS.map(|(name, house)| houses.node(house, directory.path(), name));
        let circle = Circle::of(directory, source, holders.into());
        if !(0..3).all(|house| houses.limit_uplink(house, UPLINK_BYTES_PER_SECOND)) {
            skipped("limits of uplinks", "the kernel has no tbf");
        }
        let folder = circle.folder("folder");
        let (begun, counted) = (Instant::now(), houses.uplinks());
        let dice = Dice::new(seed);
        let mut street = Self { circle, folder, houses, dice, begun, counted };
        for _ in 0..BACKUPS {
            street.add_files();
            street.circle.backup(&street.folder);
        }
        street.tell("backups");
        Some(street)
    }

    /// A new directory with about 10 MB in 30 files.
    fn add_files(&mut self) {
        let seed = self.dice.below(u64::MAX);
        let new = self.folder.join(format!("{seed:x}"));
        fs::create_dir(&new).unwrap();
        tree::ordinary(&new, seed, 30, 250_000);
    }

    /// Prints how long the part took that ends now, and what crossed each uplink in it.
    fn tell(&mut self, part: &str) -> Vec<Crossed> {
        let now = self.houses.uplinks();
        let crossed: Vec<Crossed> =
            now.iter().zip(&self.counted).map(|(now, before)| now.since(*before)).collect();
        let lines = crossed.iter().enumerate().map(|(house, line)| {
            let (sent, got) = (line.sent.bytes.div_ceil(1000), line.received.bytes.div_ceil(1000));
            format!("; house {house} sent {sent} kB, got {got} kB")
        });
        let seconds = self.begun.elapsed().as_secs_f64();
        println!("  {part}: {seconds:.1} s{}", lines.collect::<String>());
        (self.begun, self.counted) = (Instant::now(), now);
        crossed
    }

    /// `verify` of the source: by name, whether each holder answered and how many shards it lacks.
    #[track_caller]
    fn verify(&self, code: i32) -> BTreeMap<String, (bool, u64)> {
        let verified = self.circle.source.cli(["verify"], [""; 0]).expect_code(code).json();
        let of = |one: &Value| {
            let answered = one["answered"].as_bool().unwrap();
            (name_of(one), (answered, one["lacking"].as_u64().unwrap()))
        };
        verified["holders"].as_array().unwrap().iter().map(of).collect()
    }

    /// What the source knows of its holders, by name.
    fn peers(&self) -> BTreeMap<String, Value> {
        let peers = self.circle.source.ask(["peers"])["peers"].as_array().unwrap().clone();
        peers.into_iter().map(|peer| (name_of(&peer), peer)).collect()
    }

    /// The states that holders have in the eyes of the source, by name.
    fn states(&self) -> BTreeMap<String, String> {
        let state = |peer: Value| peer["state"].as_str().unwrap().to_owned();
        self.peers().into_iter().map(|(name, peer)| (name, state(peer))).collect()
    }

    /// `safety` of all snapshots, oldest first.
    fn safety(&self) -> Vec<String> {
        let snapshots = self.circle.source.ask(["snapshots"])["snapshots"].clone();
        let safety = |one: &Value| one["safety"].as_str().unwrap().to_owned();
        snapshots.as_array().unwrap().iter().map(safety).collect()
    }

    fn is_all_safe(&self) -> bool {
        self.safety().iter().all(|safety| safety == "safe")
    }

    /// Whether every snapshot is safe and every holder has all metadata: what the source keeps
    /// itself then, and nothing else.
    fn is_at_rest(&self) -> bool {
        let metadata = shard_names(&self.circle.source);
        let has_all = |holder: &Node| shard_names(holder).is_superset(&metadata);
        self.is_all_safe() && self.circle.holders.iter().all(has_all)
    }

    /// Texts of what `status` advises, as one.
    fn advice(&self) -> String {
        let advice = self.circle.source.ask(["status"])["advice"].clone();
        let texts = advice.as_array().unwrap().iter().map(|one| one["text"].as_str().unwrap());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The holder that keeps most outside the source's house, where there is a copy of everything:
    /// its place among the holders, its name and its house.
    fn fullest(&self) -> (usize, &'static str, usize) {
        let peers = self.peers();
        let kept = |name: &str| peers[name]["holds_bytes"].as_u64();
        let elsewhere = (0..HOLDERS.len()).filter(|place| HOLDERS[*place].1 != 0);
        let place = elsewhere.max_by_key(|place| kept(HOLDERS[*place].0)).unwrap();
        (place, HOLDERS[place].0, HOLDERS[place].1)
    }

    /// Recovers a fresh home in a house from the phrase and the tickets of all holders, whoever
    /// can be reached, restores, and compares.
    #[track_caller]
    fn restore_in(&mut self, house: usize, name: &str) {
        let fresh = self.houses.node(house, &self.circle.path(""), name);
        let everybody: Vec<usize> = (0..HOLDERS.len()).collect();
        let found = self.circle.recover(&fresh, &everybody).ok().json();
        let (answered, known) = (&found["witnesses_answered"], &found["witnesses_known"]);
        self.tell(&format!("  recovered, {answered} of {known} witnesses"));
        let target = self.circle.path(&format!("{name}.restored"));
        let to: [OsString; 1] = [target.clone().into()];
        let done = fresh.cli(["restore", "latest", "--to"], to).ok().json();
        self.tell(&format!("  restored {} files, {} bytes", done["files_written"], done["bytes"]));
        assert_eq!(done["blamed"], Value::from([0; 0]), "{done:#}");
        compare::assert_same_tree(&self.folder, &compare::below(&target, &self.folder));
    }
}

fn name_of(row: &Value) -> String {
    row["name"].as_str().unwrap().to_owned()
}

/// Everybody answers and lacks nothing, except those named.
fn all_well_but(others: &[(&str, (bool, u64))]) -> BTreeMap<String, (bool, u64)> {
    let well = HOLDERS.iter().map(|(name, _)| (*name, (true, 0)));
    well.chain(others.iter().copied()).map(|(name, of)| (name.to_owned(), of)).collect()
}

/// Everybody is online, except those named.
fn all_online_but(others: &[(&str, &str)]) -> BTreeMap<String, String> {
    let online = HOLDERS.iter().map(|(name, _)| (*name, "online"));
    let all = online.chain(others.iter().copied());
    all.map(|(name, state)| (name.to_owned(), state.to_owned())).collect()
}

fn shard_names(node: &Node) -> BTreeSet<OsString> {
    let name = |path: &PathBuf| path.file_name().unwrap().to_owned();
    node.shards().iter().map(name).collect()
}
