//! Memory stays within its bounds while large things go by.

use std::{fs::File, io::Write, path::Path, time::Duration};

use larder_tests::{
    circle::Circle,
    compare,
    dice::{Dice, number_from_env},
    process::run,
};

pub(crate) const SOURCE_BYTES_MAX: u64 = 300 << 20;
pub(crate) const HOLDER_BYTES_MAX: u64 = 150 << 20;
pub(crate) const LIMIT: Duration = Duration::from_secs(3600);

pub(crate) fn large() -> bool {
    number_from_env("LARDER_LARGE") == Some(1)
}

/// Backs `folder` up, loses the source, restores, and checks every process on the way.
fn round_trip_within_bounds(folder: impl FnOnce(&Circle) -> std::path::PathBuf) {
    let mut circle = Circle::new(2);
    let folder = folder(&circle);
    let mut backup = circle.source.command(["backup"], [&folder]);
    let done = run(&mut backup, LIMIT).ok().json();
    let used = circle.source.usage().rss_bytes_max;
    println!("source: {} MiB for {done}", used >> 20);
    assert!(used < SOURCE_BYTES_MAX, "the source took {} MiB", used >> 20);
    circle.lose_source();
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0, 1]).ok();
    let target = circle.path("target");
    let restore = run(&mut fresh.command(["restore", "latest", "--to"], [&target]), LIMIT).ok();
    let used = restore.rss_bytes_max;
    println!("restorer: {} MiB for {}", used >> 20, restore.text());
    assert!(used < SOURCE_BYTES_MAX, "the restorer took {} MiB", used >> 20);
    for holder in &circle.holders {
        let used = holder.usage().rss_bytes_max;
        println!("{}: {} MiB", holder.name, used >> 20);
        assert!(used < HOLDER_BYTES_MAX, "{} took {} MiB", holder.name, used >> 20);
    }
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}

fn one_file(path: &Path, bytes: u64) {
    let mut dice = Dice::new(131);
    let mut file = File::create(path).unwrap();
    for _ in 0..bytes >> 20 {
        file.write_all(&dice.bytes(1 << 20)).unwrap();
    }
}

#[test]
fn a_large_file_fits_through_little_memory() {
    round_trip_within_bounds(|circle| {
        let folder = circle.folder("folder");
        one_file(&folder.join("large"), if large() { 10 << 30 } else { 400 << 20 });
        folder
    });
}

#[test]
fn many_files_in_one_directory_fit_through_little_memory() {
    round_trip_within_bounds(|circle| {
        let folder = circle.folder("folder");
        let files = if large() { 1_000_000 } else { 20_000 };
        for number in 0..files {
            std::fs::write(folder.join(format!("{number:x}")), format!("{number}")).unwrap();
        }
        folder
    });
}
