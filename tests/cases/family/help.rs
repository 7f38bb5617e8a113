//! What happens to a family again and again.

use std::{fs, path::Path, time::Duration};

use larder_tests::{compare, node::Node};

use crate::guardians::{Asking, vault_of};

/// Longest until something that is said has gone round.
pub(super) const SETTLE: Duration = Duration::from_secs(60);

/// A new device of the vault of `of`, which runs.
pub(super) fn joined(of: &Node, place: &Path, name: &str) -> Node {
    let invited = of.ask(["invite", "--device"]);
    let mut new = Node::new(place, name);
    new.ask(["join", invited["code"].as_str().unwrap(), "--name", name]);
    new.up();
    new
}

/// Process and home are no more.
pub(super) fn gone(mut node: Node) {
    node.kill();
    fs::remove_dir_all(node.home()).unwrap();
}

/// Backs up until it is safe.
#[track_caller]
pub(super) fn safe_backup(node: &Node, folder: &Path) {
    let done = node.cli(["backup"], [folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
}

/// Restores what was saved last and compares.
#[track_caller]
pub(super) fn survived(node: &Node, folder: &Path, target: &Path) {
    node.cli(["restore", "latest", "--to"], [target]).ok();
    compare::assert_same_tree(folder, &compare::below(target, folder));
}

/// A fresh home gets its vault back by these guardians.
#[track_caller]
pub(super) fn recovered_by(fresh: &Node, guardians: &[&Node], words: &Path) {
    let vault = vault_of(guardians[0]);
    let asking = Asking::new(fresh, words, &["--vault", &vault]);
    let ticket = asking.ticket();
    for guardian in guardians {
        guardian.ask(["guardians", "give", &ticket, "--yes"]);
    }
    let (code, done) = asking.ended();
    assert_eq!((code, &done["outcome"]), (Some(0), &"recover".into()), "{done:#}");
}
