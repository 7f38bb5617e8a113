//! The device key sealed with what the keyring of a desktop keeps.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Stdio, thread, time::Instant};

use larder_tests::{
    desktop::Desktop,
    dice::Dice,
    node::{COMMAND_LIMIT, Node, error_of},
    process::{Output, run},
    short_directory, skipped, tools,
};
use serde_json::Value;

/// A command in the session of a desktop.
fn at(desktop: &Desktop, node: &Node, words: &[&str]) -> Output {
    run(desktop.runs(&mut node.command(words, [""; 0])), COMMAND_LIMIT)
}

fn is_sealed(node: &Node) -> bool {
    fs::read_to_string(node.home().join("device.key")).unwrap().starts_with("larder device key 2\n")
}

fn command_set(node: &Node) -> Value {
    node.ask(["config", "get", "device.passphrase_command"])["settings"][0]["value"].clone()
}

/// What the keyring keeps for larder: how many secrets.
fn kept(desktop: &Desktop) -> usize {
    desktop.kept().matches("attribute.key = ").count()
}

fn log_in(directory: &Path) -> Option<Desktop> {
    tools::ensure();
    let desktop = Desktop::log_in(directory);
    if desktop.is_none() {
        skipped("the keyring", "no GNOME Keyring is installed, or it does not start here");
    }
    desktop
}

// CLI-24, KEYS-13
#[test]
fn a_keyring_opens_the_key_and_nobody_without_it_does() {
    let directory = short_directory();
    let Some(desktop) = log_in(&directory.path().join("desktop")) else { return };
    let mut node = Node::new(directory.path(), "laptop");
    node.init();
    let device = node.ask(["devices"])["devices"][0]["device"].clone();
    let set = at(&desktop, &node, &["passphrase", "set", "--keyring"]).ok().json();
    assert_eq!((&set["done"], &set["opened_by"]), (&"set".into(), &"keyring".into()));
    assert!(is_sealed(&node) && kept(&desktop) == 1, "{}", desktop.kept());
    at(&desktop, &node, &["status"]).ok();
    // Whoever has the disk has no session of its user.
    let refused = node.cli(["status"], [""; 0]).expect_code(1);
    assert!(error_of(&refused).0.contains("the command that gives the passphrase"), "{refused}");
    let secret = desktop.kept();
    let secret = secret.lines().find_map(|line| line.strip_prefix("secret = ")).unwrap();
    assert_eq!(secret.len(), 64);
    let rummaged = run(
        std::process::Command::new("grep").args(["-r", "-l", "-F", secret]).arg(directory.path()),
        COMMAND_LIMIT,
    );
    assert_eq!(rummaged.code, Some(1), "in clear: {rummaged}");

    // A node in the session; it may be told again, and that changes nothing.
    node.up_with(|command| desktop.runs(command));
    let again = at(&desktop, &node, &["passphrase", "set", "--keyring"]).ok().json();
    assert_eq!((&again["done"], kept(&desktop)), (&"checked".into(), 1));
    // To one that its person knows, and back, and away: no entry is left behind.
    let known = directory.path().join("known");
    fs::write(&known, "a passphrase that I know\n").unwrap();
    fs::set_permissions(&known, fs::Permissions::from_mode(0o600)).unwrap();
    let known = known.to_str().unwrap();
    let own = ["passphrase", "set", "--new-passphrase-file", known];
    assert_eq!(at(&desktop, &node, &own).ok().json()["opened_by"], Value::Null);
    assert_eq!((kept(&desktop), command_set(&node)), (0, Value::from("none")));
    let back = ["passphrase", "set", "--passphrase-file", known, "--keyring"];
    assert_eq!(at(&desktop, &node, &back).ok().json()["done"], "set");
    node.stop();
    at(&desktop, &node, &["passphrase", "clear"]).ok();
    assert!(!is_sealed(&node) && kept(&desktop) == 0, "{}", desktop.kept());
    assert_eq!(node.ask(["devices"])["devices"][0]["device"], device);

    // A command that somebody set himself stays his.
    node.ask(["config", "set", "device.passphrase_command", "cat nowhere"]);
    assert_eq!(at(&desktop, &node, &own).ok().json()["opened_by"], "command");
    assert_eq!(command_set(&node), "cat nowhere");
}

// CLI-24
#[test]
fn cut_off_at_any_moment_the_key_opens() {
    let directory = short_directory();
    let Some(desktop) = log_in(&directory.path().join("desktop")) else { return };
    let node = Node::new(directory.path(), "laptop");
    node.init();
    let set = ["passphrase", "set", "--keyring"];
    let started = Instant::now();
    at(&desktop, &node, &set).ok();
    let usual = started.elapsed();
    let mut dice = Dice::new(78);
    let mut sealed = 0;
    for _ in 0..10 {
        at(&desktop, &node, &["passphrase", "clear"]).ok();
        let mut command = node.command(set, [""; 0]);
        let child = desktop.runs(&mut command).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        thread::sleep(usual * u32::try_from(10 + dice.below(110)).unwrap() / 100);
        child.kill().unwrap();
        child.wait().unwrap();
        at(&desktop, &node, &["status"]).ok();
        sealed += usize::from(is_sealed(&node));
    }
    println!("{sealed} of 10 were sealed before the kill");
}

// CLI-24
#[test]
fn without_a_keyring_that_gives_back_nothing_is_changed() {
    let directory = short_directory();
    let at = directory.path();
    let node = Node::new(at, "laptop");
    node.init();
    let unchanged = || {
        assert!(!is_sealed(&node));
        assert_eq!(command_set(&node), "none");
    };
    let set_with = |path: &Path| {
        let mut command = node.command(["passphrase", "set", "--keyring"], [""; 0]);
        command.env("PATH", path);
        error_of(&run(&mut command, COMMAND_LIMIT).expect_code(1))
    };
    let (message, hint) = set_with(&at.join("no/tools"));
    assert!(message.contains("missing") && hint.contains("libsecret-tools"), "{message}: {hint}");
    unchanged();
    // One that says yes and keeps nothing.
    let tools = at.join("tools");
    fs::create_dir(&tools).unwrap();
    let tool = tools.join("secret-tool");
    let script = "#!/bin/sh\n[ $1 = store ] && exec /bin/cat >/dev/null\necho another one\n";
    fs::write(&tool, script).unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o700)).unwrap();
    let (message, _) = set_with(&tools);
    assert!(message.contains("does not give back"), "{message}");
    unchanged();
    // And one that refuses.
    fs::write(&tool, "#!/bin/sh\nexit 1\n").unwrap();
    let (message, _) = set_with(&tools);
    assert!(message.contains("no keyring took"), "{message}");
    unchanged();
    node.ask(["status"]);
}
