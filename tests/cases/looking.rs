//! Looking at what there is: differences, forgetting, settings, one document each.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use larder_tests::{binary::larder, circle::Circle, node::COMMAND_LIMIT, process::run, tree};

#[test]
fn differences_between_two_snapshots_are_told_by_kind() {
    let circle = Circle::new(0);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 181, 90, 3000);
    let node = &circle.source;
    let backup = || {
        let done = node.cli(["backup", "--wait", "local"], [&folder]).ok().json();
        done["snapshots"][0]["snapshot"].as_str().unwrap().to_owned()
    };
    let first = backup();
    fs::write(folder.join("added"), b"new").unwrap();
    fs::remove_file(folder.join("d0/e0/f3")).unwrap();
    fs::write(folder.join("d0/e1/f41"), b"other content").unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.join("d0/e0/f5"), mode).unwrap();
    let second = backup();
    assert_ne!(first, second);
    let diff = node.ask(["diff", &first, &second]);
    assert_eq!(diff["added"], 1, "{diff:#}");
    assert_eq!(diff["removed"], 1, "{diff:#}");
    assert_eq!(diff["changed"], 1, "{diff:#}");
    let changes = diff["changes"].as_array().unwrap();
    for (path, change) in [
        ("added", "added"),
        ("d0/e0/f3", "removed"),
        ("d0/e1/f41", "changed"),
        ("d0/e0/f5", "attributes"),
    ] {
        let told = changes.iter().any(|c| c["path"] == path && c["change"] == change);
        assert!(told, "{path} is not told as {change}: {diff:#}");
    }
    let back = node.ask(["diff", &second, &first]);
    assert_eq!(back["added"], 1, "{back:#}");

    let dry = node.ask(["forget", "--keep-last", "1", "--dry-run"]);
    assert_eq!(dry["forgotten"].as_array().unwrap().len(), 1, "{dry:#}");
    assert_eq!(node.ask(["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
    let done = node.ask(["forget", "--keep-last", "1"]);
    assert_eq!(done["forgotten"][0]["snapshot"], first.as_str(), "{done:#}");
    let left = node.ask(["snapshots"]);
    assert_eq!(left["snapshots"].as_array().unwrap().len(), 1, "{left:#}");
    // A rule that keeps nothing is refused.
    assert_eq!(node.cli(["forget"], [""; 0]).code, Some(2));
}

#[test]
fn every_verb_has_help_with_examples_and_one_document() {
    let circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 182, 5, 3000);
    circle.source.cli(["add"], [&folder]).ok();
    circle.backup(&folder);
    let node = &circle.source;
    let verbs = [
        "init",
        "up",
        "down",
        "add",
        "remove",
        "folders",
        "backup",
        "snapshots",
        "ls",
        "diff",
        "find",
        "cat",
        "restore",
        "offer",
        "invite",
        "join",
        "ticket",
        "connect",
        "recover",
        "devices",
        "peers",
        "status",
        "verify",
        "forget",
        "doctor",
        "config",
        "completions",
    ];
    for verb in verbs {
        let help = node.cli([verb, "--help"], [""; 0]).ok().text();
        assert!(help.contains("Examples:"), "`larder {verb} --help` has no examples:\n{help}");
    }
    for words in [
        &["folders"][..],
        &["snapshots"],
        &["ls", "latest"],
        &["offer"],
        &["ticket"],
        &["devices"],
        &["peers"],
        &["status"],
        &["verify"],
        &["doctor"],
        &["config", "list"],
    ] {
        let document = node.ask(words);
        assert!(document["outcome"].is_string(), "{words:?}: {document:#}");
    }
    let peers = node.ask(["peers"]);
    let peer = &peers["peers"][0];
    assert!(peer["holds_bytes"].as_u64().unwrap() > 0, "{peers:#}");
    assert_eq!(peer["state"], "online", "{peers:#}");
    assert_eq!(node.ask(["status"])["safety"], "safe");
}

#[test]
fn commands_work_without_a_running_node_as_well() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 183, 30, 30_000);
    circle.source.stop();
    let done = circle.source.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    let target = circle.path("target");
    circle.source.cli(["restore", "latest", "--to"], [&target]).ok();
    larder_tests::compare::assert_same_tree(
        &folder,
        &larder_tests::compare::below(&target, &folder),
    );
    let status = circle.source.ask(["status"]);
    assert_eq!(status["running"], false, "{status:#}");
}

#[test]
fn a_quiet_init_prints_the_words_in_one_line_and_nothing_else() {
    let circle = Circle::new(0);
    let mut init = Command::new(larder());
    init.env_remove("LARDER_HOME").args(["--quiet", "--home"]).arg(circle.path("other"));
    let output = run(init.arg("init"), COMMAND_LIMIT).ok();
    let text = output.text();
    let words: Vec<&str> = text.trim_end_matches('\n').split(' ').collect();
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    assert!(words.len() == 24 && words.iter().all(is_word) && output.stderr.is_empty());
}
