//! The device key sealed with a passphrase: who has it opens the home, and nobody else.

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use larder_tests::{
    compare,
    dice::Dice,
    disk::SmallDisk,
    node::{COMMAND_LIMIT, Node, error_of},
    process::{Output, run},
    secrets::{self, found, holds_any},
    short_directory, skipped,
    terminal::Terminal,
    tree,
};
use rustix::process::{Pid, Signal, kill_process};

const FIRST: &str = "first passphrase 9137";
const SECOND: &str = "second passphrase 4401";
const LIMIT: Duration = Duration::from_secs(30);

/// A file with one line that only its owner reads.
fn file(directory: &Path, name: &str, line: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, format!("{line}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A command with this passphrase file.
fn with(node: &Node, passphrase: &Path, words: &[&str]) -> Output {
    node.cli(
        ["--passphrase-file"],
        [passphrase.as_os_str()].into_iter().chain(words.iter().map(AsRef::as_ref)),
    )
}

/// The answer of a command for which nobody has the right passphrase.
#[track_caller]
fn refused(output: Output, why: &str) {
    let (message, _hint) = error_of(&output.expect_code(5));
    assert!(message.contains(why), "{message}");
}

/// Seals the key of a home that is in clear.
fn seal(node: &Node, new: &Path) {
    node.cli(["passphrase", "set", "--new-passphrase-file"], [new]).ok();
}

// CLI-22, KEYS-13
#[test]
fn a_sealed_home_opens_for_whoever_has_the_passphrase() {
    let directory = short_directory();
    let at = directory.path();
    let (first, second) = (file(at, "first", FIRST), file(at, "second", SECOND));
    let mut node = Node::new(at, "laptop");
    let phrase = at.join("words");
    with(
        &node,
        &first,
        &["init", "--name", "laptop", "--site", "home", "--phrase-out", phrase.to_str().unwrap()],
    )
    .ok();
    let folder = at.join("folder");
    fs::create_dir(&folder).unwrap();
    tree::ordinary(&folder, 3, 10, 20_000);
    let before = tree::bottom_up(node.home()).len();

    refused(node.cli(["status"], [""; 0]), "is sealed with a passphrase");
    refused(with(&node, &second, &["status"]), "the passphrase is wrong");
    let missing = with(&node, &at.join("nothing"), &["status"]).expect_code(1);
    assert!(error_of(&missing).0.contains("cannot read the passphrase file"), "{missing}");
    assert_eq!(tree::bottom_up(node.home()).len(), before, "who was refused changed nothing");
    // Settings are no secret, and neither is that the key is sealed.
    node.ask(["config", "list"]);
    let shown = node.ask(["passphrase"]);
    assert_eq!((&shown["done"], &shown["seal"]["kdf"]), (&"shown".into(), &"argon2id".into()));

    // Every way to it, one after the other.
    with(&node, &first, &["add", folder.to_str().unwrap()]).ok();
    let status = || node.command(["status"], [""; 0]);
    run(status().env("LARDER_PASSPHRASE_FILE", &first), COMMAND_LIMIT).ok();
    let credentials = at.join("credentials");
    fs::create_dir(&credentials).unwrap();
    file(&credentials, "larder.passphrase", FIRST);
    run(status().env("CREDENTIALS_DIRECTORY", &credentials), COMMAND_LIMIT).ok();
    let command = format!("cat '{}'", first.display());
    node.ask(["config", "set", "device.passphrase_command", &command]);
    node.ask(["status"]);
    // What is named comes before what is set.
    refused(with(&node, &second, &["status"]), "the passphrase is wrong");
    node.ask(["config", "set", "device.passphrase_command", "exit 3"]);
    let failed = node.cli(["status"], [""; 0]).expect_code(1);
    assert!(error_of(&failed).0.contains("exit status: 3"), "{failed}");
    node.ask(["config", "unset", "device.passphrase_command"]);

    // The node has the key: nobody else needs it, but for changing how it is kept.
    node.up_with(|command| command.env("LARDER_PASSPHRASE_FILE", &first));
    node.cli(["backup", "--wait", "local"], [&folder]).ok();
    refused(node.cli(["passphrase", "clear"], [""; 0]), "nobody gave its passphrase");
    refused(with(&node, &second, &["passphrase", "check"]), "the passphrase is wrong");
    refused(with(&node, &second, &["passphrase", "clear"]), "the passphrase is wrong");
    let short = file(at, "short", "1234567");
    let new = ["passphrase", "set", "--new-passphrase-file"];
    refused(with(&node, &first, &[new[0], new[1], new[2], short.to_str().unwrap()]), "at least 8");
    let set = with(&node, &first, &[new[0], new[1], new[2], second.to_str().unwrap()]).ok();
    assert_eq!(set.json()["done"], "set");
    with(&node, &second, &["passphrase", "check"]).ok();
    // Nobody keeps copies here: that is what it complains of.
    let doctor = node.cli(["doctor"], [""; 0]).expect_code(4).json();
    let key = doctor["checks"].as_array().unwrap().iter().find(|one| one["name"] == "device-key");
    assert_eq!(key.unwrap()["found"], "whole, sealed with a passphrase");
    node.stop();
    refused(with(&node, &first, &["snapshots"]), "the passphrase is wrong");

    let restored = at.join("restored");
    let to = restored.to_str().unwrap();
    with(&node, &second, &["restore", "latest", "--to", to]).ok();
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    with(&node, &second, &["passphrase", "clear"]).ok();
    node.ask(["status"]);
    assert_eq!(node.ask(["passphrase"])["seal"], serde_json::Value::Null);
}

// KEYS-13: whoever copies the disk finds neither the keys nor anything that opens the vault.
#[test]
fn a_copied_disk_has_nothing_that_opens_the_vault() {
    let directory = short_directory();
    let at = directory.path();
    let first = file(at, "first", FIRST);
    let mut node = Node::new(at, "laptop");
    let phrase = node.init();
    let words = fs::read_to_string(&phrase).unwrap().trim().to_owned();
    let mut needles = secrets::of_home(node.home());
    needles.extend([FIRST.as_bytes().to_vec(), words.into_bytes()]);
    assert_eq!(found(node.home(), &needles[..2]).len(), 2, "the search itself works");
    seal(&node, &first);

    let folder = at.join("folder");
    fs::create_dir(&folder).unwrap();
    tree::ordinary(&folder, 4, 10, 20_000);
    node.up_with(|command| command.env("LARDER_PASSPHRASE_FILE", &first));
    node.cli(["backup", "--wait", "local"], [&folder]).ok();
    let running = format!("/proc/{}", node.pid());
    for part in ["cmdline", "environ"] {
        let bytes = fs::read(Path::new(&running).join(part)).unwrap();
        assert!(!holds_any(&bytes, &needles), "{part}");
    }
    assert!(found(node.home(), &needles).is_empty(), "{:?}", found(node.home(), &needles));
    node.stop();
    assert!(found(node.home(), &needles).is_empty(), "{:?}", found(node.home(), &needles));
    assert!(!holds_any(node.last_words().as_bytes(), &needles));
}

// CLI-22
#[test]
fn a_terminal_asks_and_shows_nothing_of_it() {
    let directory = short_directory();
    let node = Node::new(directory.path(), "laptop");
    node.init();
    let on_terminal = |words: &[&str]| Terminal::start(node.plain(words.iter()));

    let mut screen = on_terminal(&["passphrase", "set"]);
    // What is typed before it is asked for is thrown away, so each question is waited for.
    screen.sees("New passphrase: ", LIMIT);
    screen.types("short");
    screen.sees("at least 8 characters", LIMIT);
    screen.sees_times("New passphrase: ", 2, LIMIT);
    screen.types(FIRST);
    screen.sees("The same again: ", LIMIT);
    screen.types(SECOND);
    screen.sees("not the same", LIMIT);
    screen.sees_times("New passphrase: ", 3, LIMIT);
    screen.types(FIRST);
    screen.sees_times("The same again: ", 2, LIMIT);
    screen.types(FIRST);
    assert_eq!(screen.ended(LIMIT).code(), Some(0), "{}", screen.shown());
    let shown = screen.sees("is sealed with a passphrase", LIMIT);
    assert!(!shown.contains("passphrase 9137") && !shown.contains("passphrase 4401"), "{shown}");

    let mut screen = on_terminal(&["status"]);
    screen.sees("Passphrase of the device key: ", LIMIT);
    screen.types(SECOND);
    screen.sees("That is not it.", LIMIT);
    screen.sees_times("Passphrase of the device key: ", 2, LIMIT);
    // A slip of the finger, taken back.
    screen.presses(b"nonsense\x15");
    screen.types(FIRST);
    assert_eq!(screen.ended(LIMIT).code(), Some(0), "{}", screen.shown());

    let mut screen = on_terminal(&["status"]);
    for asked in 1..=3 {
        screen.sees_times("Passphrase of the device key: ", asked, LIMIT);
        screen.types(SECOND);
    }
    assert_eq!(screen.ended(LIMIT).code(), Some(5), "{}", screen.shown());

    let mut screen = on_terminal(&["status"]);
    screen.sees("Passphrase of the device key: ", LIMIT);
    screen.presses(b"half\x03");
    assert_eq!(screen.ended(LIMIT).code(), Some(130), "{}", screen.shown());
    assert!(!screen.shown().contains("half"), "{}", screen.shown());

    // Ended from elsewhere: the terminal shows again what is typed.
    let mut screen = on_terminal(&["status"]);
    screen.sees("Passphrase of the device key: ", LIMIT);
    assert!(!screen.echoes());
    kill_process(Pid::from_raw(i32::try_from(screen.pid()).unwrap()).unwrap(), Signal::TERM)
        .unwrap();
    assert_eq!(screen.ended(LIMIT).code(), Some(130), "{}", screen.shown());
    assert!(screen.echoes());
}

// CLI-22, KEYS-13
#[test]
fn a_key_of_a_first_try_is_sealed_by_the_second_and_a_pipe_is_read_once() {
    let directory = short_directory();
    let at = directory.path();
    let node = Node::new(at, "laptop");
    let init = ["init", "--name", "laptop", "--site", "home", "--phrase-out"];
    node.cli(init, [at.join("nowhere/words")]).expect_code(1);
    let key = || fs::read_to_string(node.home().join("device.key")).unwrap();
    assert!(key().starts_with("larder device key 1\n"));
    let mut again = node.command(init, [at.join("words")]);
    again.args(["--passphrase-file", "/dev/stdin"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut again = again.spawn().unwrap();
    again.stdin.take().unwrap().write_all(format!("{FIRST}\n").as_bytes()).unwrap();
    let made = again.wait_with_output().unwrap();
    assert!(made.status.success(), "{made:?}");
    assert!(String::from_utf8(made.stdout).unwrap().contains("\"sealed\":true"));
    assert!(key().starts_with("larder device key 2\n"));
    with(&node, &file(at, "first", FIRST), &["status"]).ok();
}

// KEYS-14
#[test]
fn a_change_that_is_killed_leaves_the_old_passphrase_or_the_new_one() {
    let directory = short_directory();
    let at = directory.path();
    let files = [file(at, "first", FIRST), file(at, "second", SECOND)];
    let node = Node::new(at, "laptop");
    node.init();
    let device = node.ask(["devices"])["devices"][0]["device"].clone();
    seal(&node, &files[0]);
    // Kills are spread around the end of a change, where something happens.
    let started = Instant::now();
    let other = files[1].to_str().unwrap();
    with(&node, &files[0], &["passphrase", "set", "--new-passphrase-file", other]).ok();
    let usual = started.elapsed();
    let mut dice = Dice::new(77);
    let (mut current, mut changed) = (1, 0);
    for _ in 0..12 {
        let mut command =
            node.command(["passphrase", "set", "--passphrase-file"], [&files[current]]);
        command.arg("--new-passphrase-file").arg(&files[1 - current]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        let share = u32::try_from(60 + dice.below(60)).unwrap();
        thread::sleep(usual * share / 100);
        child.kill().unwrap();
        child.wait().unwrap();
        let opens =
            |which: usize| with(&node, &files[which], &["passphrase", "check"]).code == Some(0);
        if !opens(current) {
            current = 1 - current;
            changed += 1;
            assert!(opens(current), "neither passphrase opens the key");
        }
    }
    println!("{changed} of 12 changes were done before the kill");
    let devices = with(&node, &files[current], &["devices"]).ok().json();
    assert_eq!(devices["devices"][0]["device"], device);
}

// KEYS-14
#[test]
fn a_full_disk_leaves_the_key_as_it_was() {
    let directory = short_directory();
    let at = directory.path();
    let Some(disk) = SmallDisk::mount(&at.join("disk"), 16 << 20) else {
        skipped("the passphrase on a full disk", "no file system can be mounted here");
        return;
    };
    let first = file(at, "first", FIRST);
    let node = Node::new(disk.path(), "home");
    let words = at.join("words");
    node.cli(["init", "--name", "laptop", "--site", "home", "--phrase-out"], [&words]).ok();
    let before = fs::read(node.home().join("device.key")).unwrap();
    let mut fill = Command::new("dd");
    fill.args(["if=/dev/zero", "bs=4k"])
        .arg(format!("of={}", disk.path().join("filler").display()));
    run(&mut fill, LIMIT).expect_code(1);
    let full = node.cli(["passphrase", "set", "--new-passphrase-file"], [&first]).expect_code(1);
    assert!(error_of(&full).0.contains("device key"), "{full}");
    assert_eq!(fs::read(node.home().join("device.key")).unwrap(), before);
    assert!(!node.home().join("device.key.new").exists());
    fs::remove_file(disk.path().join("filler")).unwrap();
    seal(&node, &first);
    with(&node, &first, &["status"]).ok();
}
