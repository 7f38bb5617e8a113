//! Whether two trees are the same, as rsync sees it: by content, and with every attribute.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{is_root, process::run};

/// Where a restore into `target` puts the folder: its whole path is made anew there.
pub fn below(target: &Path, folder: &Path) -> PathBuf {
    target.join(folder.strip_prefix("/").expect("folders are named by absolute paths"))
}

/// Makes `to` exactly like `from`. Without `--modify-window=-1` rsync takes times within one second
/// for the same and leaves them.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    let mut rsync = Command::new("rsync");
    rsync.args(["-aHAXS", "--numeric-ids", "--delete", "--checksum", "--modify-window=-1"]);
    run(rsync.arg(from.join("")).arg(to.join("")), Duration::from_secs(3600)).ok();
}

/// Panics with rsync's list unless `restored` is exactly `original`.
///
/// Beyond the issue's `rsync -aHAXn --itemize-changes --delete`: contents are compared as well
/// (`--checksum`), times to the nanosecond (`--modify-window=-1`), owners by number.
#[track_caller]
pub fn assert_same_tree(original: &Path, restored: &Path) {
    let differences = differences(original, restored);
    let shown: String = differences.lines().take(40).map(|line| format!("  {line}\n")).collect();
    assert!(
        differences.is_empty(),
        "{} differences between {} and {}:\n{shown}",
        differences.lines().count(),
        original.display(),
        restored.display()
    );
}

/// rsync's list of what it would do to make `restored` like `original`; empty when the same.
#[track_caller]
pub fn differences(original: &Path, restored: &Path) -> String {
    let slash = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push("/");
        path
    };
    let mut rsync = Command::new("rsync");
    rsync.args(["-n", "--itemize-changes", "--delete", "--checksum", "--modify-window=-1"]);
    // Without root, owners cannot be restored and some attributes cannot be read.
    rsync.args(if is_root() { ["-aHAX", "--numeric-ids"] } else { ["-rlptDHAX", "--no-specials"] });
    rsync.arg(slash(original)).arg(slash(restored));
    let output = run(&mut rsync, Duration::from_secs(600)).ok();
    output.text()
}

/// Whether both take about the same room on disk: holes must stay holes.
#[track_caller]
pub fn assert_as_sparse(original: &Path, restored: &Path) {
    let blocks = |path: &Path| fs::metadata(path).expect("the file is there").blocks() * 512;
    let (before, after) = (blocks(original), blocks(restored));
    assert!(
        after <= before + 256 * 1024,
        "{} takes {after} bytes, the original {before}",
        restored.display()
    );
}
