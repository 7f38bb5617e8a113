//! Without root: what can be done is done, and what could not is said.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::Command,
};

use larder_tests::{circle::Circle, is_root, node::Node, process::run, skipped, tree};

const NOBODY: u32 = 65_534;

/// A node whose every process runs as `nobody`.
fn of_nobody(directory: &Path, name: &str) -> Node {
    let id = NOBODY.to_string();
    let words = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
    let home = directory.join(name);
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    Node::new(directory, name).behind(words.map(Into::into).to_vec())
}

/// The cases that change the user need root to do so, and a program that others may reach.
fn possible(case: &str) -> bool {
    if !is_root() {
        return !skipped(case, "only root can become another user");
    }
    let id = NOBODY.to_string();
    let mut test = Command::new("setpriv");
    test.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
    test.arg(larder_tests::binary::larder()).arg("--help");
    let reached = test.output().is_ok_and(|output| output.status.success());
    reached || !skipped(case, "the program lies where other users cannot reach it")
}

// FILES-33
#[test]
fn an_ordinary_user_restores_everything_but_what_only_root_can() {
    if !possible("restore by an ordinary user") {
        return;
    }
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::every_kind(&folder, 61);
    circle.backup(&folder);
    circle.lose_source();
    fs::set_permissions(circle.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    fs::set_permissions(&circle.phrase, fs::Permissions::from_mode(0o644)).unwrap();
    let fresh = of_nobody(&circle.path(""), "fresh");
    circle.recover(&fresh, &[0]).ok();
    let target = circle.folder("target");
    chown(&target, Some(NOBODY), Some(NOBODY)).unwrap();
    let output = fresh.cli(["restore", "latest", "--to"], [&target]).expect_code(3);
    let done = output.json();
    assert!(done["problems_total"].as_u64().unwrap() > 0, "{done:#}");
    let problems = done["problems"].to_string();
    // Setuid for somebody else would lend him the rights of whoever restores.
    let lent = ["attributes/mode.4755", "attributes/mode.2755", "attributes/mode.6711"];
    for what in ["nodes/null", "attributes/owned", "attributes/capable"].iter().chain(&lent) {
        assert!(problems.contains(what), "not said: {what}: {done:#}");
    }
    // Everything else is there: contents, links, modes, times. Only root may read all of both.
    let mut rsync = Command::new("rsync");
    rsync.args(["-n", "--itemize-changes", "--delete", "--checksum", "--modify-window=-1"]);
    rsync.args(["-rlptH", "--specials", "--exclude=/nodes/null", "--exclude=/nodes/large numbers"]);
    rsync.args(["--exclude=/nodes/loop", "--exclude=/attributes/owned*"]);
    rsync.args(lent.map(|path| format!("--exclude=/{path}")));
    rsync.arg(folder.join("")).arg(larder_tests::compare::below(&target, &folder).join(""));
    let differences = run(&mut rsync, larder_tests::node::COMMAND_LIMIT).ok().text();
    assert_eq!(differences, "");
}

/// KEYS-12: the system gives what shows a process to root when no other process may read its memory.
fn assert_memory_is_private(process: u32) {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    assert!(status.contains(&format!("Uid:\t{NOBODY}")), "{status}");
    let shown = fs::metadata(format!("/proc/{process}/environ")).unwrap();
    assert_eq!(shown.uid(), 0, "its own user could read its memory");
}

// FILES-11
#[test]
fn a_file_that_cannot_be_read_is_said_and_the_rest_is_saved() {
    if !possible("unreadable files") {
        return;
    }
    let circle = Circle::new(1);
    fs::set_permissions(circle.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    let folder = circle.folder("folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    tree::ordinary(&folder, 62, 30, 5000);
    fs::write(folder.join("secret"), b"of root").unwrap();
    fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(folder.join("closed")).unwrap();
    fs::write(folder.join("closed/inside"), b"not to be seen").unwrap();
    fs::set_permissions(folder.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();

    let mut user = of_nobody(&circle.path(""), "user");
    let phrase = user.home().join("phrase");
    user.cli(["init", "--name", "user", "--site", "user", "--phrase-out"], [&phrase]).ok();
    user.up();
    assert_memory_is_private(user.pid());
    larder_tests::circle::pair(&user, &circle.holders[0], "--circle");
    let output = user.cli(["backup"], [&folder]).expect_code(3);
    let done = output.json();
    assert_eq!(done["problems_total"], 2, "{done:#}");
    let problems = done["problems"].to_string();
    assert!(problems.contains("secret") && problems.contains("closed"), "{done:#}");
    assert!(output.stderr.contains("secret"), "{}", output.stderr);
    assert_eq!(done["reached"], "safe", "{done:#}");
    let listed = user.ask(["ls", "-R", "latest"]);
    assert!(!listed["entries"].to_string().contains("not to be seen"));
    let files = listed["entries"].as_array().unwrap();
    assert_eq!(files.iter().filter(|entry| entry["kind"] == "file").count(), 30, "{listed:#}");
}

// HOME-15
#[test]
fn a_home_of_another_user_is_not_called_missing() {
    if !possible("the home of another user") {
        return;
    }
    let circle = Circle::new(0);
    fs::set_permissions(circle.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    let other = of_nobody(&circle.path(""), "other");
    // Everything but the name of the directory is out of reach for him.
    let home = circle.path("other");
    fs::write(home.join("device.key"), b"of somebody else").unwrap();
    chown(&home, Some(0), Some(0)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
    let output = other.cli(["status"], [""; 0]).expect_code(1);
    assert!(output.stderr.contains("belongs to another user (id 0)"), "{output}");
}
