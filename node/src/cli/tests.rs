//! The command line with a stand-in for the engine: real homes, locks and sockets.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::{Command as Clap, CommandFactory, Parser};
use serde_json::Value;

use super::{progress::Display, *};
use crate::{
    command::*,
    home::{Config, Home, HomeError},
};

const PHRASE: &str = "abandon abandon abandon abandon";
const VAULT: &str = "aa";

/// Remembers a vault as a file in the home, holds the home open, and answers a few commands.
struct Fake;

struct FakeEngine {
    home: Home,
}

impl Launch for Fake {
    type Engine = FakeEngine;

    async fn init(
        &self,
        home: &Home,
        options: InitOptions,
        reveal: Reveal<'_>,
    ) -> Result<InitOutcome, Failure> {
        if home.state_file().exists() {
            return Err(HomeError::Exists(home.directory().to_owned()).into());
        }
        reveal(PHRASE)?;
        fs::write(home.state_file(), VAULT).unwrap();
        let InitOptions { name, site } = options;
        Ok(InitOutcome {
            vault: VAULT.to_owned(),
            device: "bb".to_owned(),
            name,
            site,
            sealed: false,
        })
    }

    async fn open(&self, home: Home, _options: OpenOptions) -> Result<FakeEngine, Failure> {
        Ok(FakeEngine { home })
    }
}

impl Engine for FakeEngine {
    async fn run(&self, command: Command, events: EventSink) -> Result<Outcome, Failure> {
        match command {
            Command::List { path, .. } => {
                for at in 0..3 {
                    events.row(entry(&[path.as_bytes(), b"/\xff", &[b'0' + at]].concat())).await?;
                }
                let snapshot = "cd".repeat(32);
                Ok(Outcome::List(ListOutcome {
                    snapshot,
                    origin: origin(),
                    entries_total: 3,
                    bytes: 3,
                }))
            }
            Command::Cat { .. } => {
                for _ in 0..2 {
                    events.send(Event::Bytes(vec![0, 255, 10])).await?;
                }
                let snapshot = "cd".repeat(32);
                Ok(Outcome::Cat(CatOutcome { snapshot, origin: origin(), bytes: 6 }))
            }
            Command::Restore { .. } => Err(Failure::interrupted()),
            Command::Backup { wait, .. } => {
                let what = "permission denied".to_owned();
                let path = PathField::new(b"/secret");
                events.problem(Problem { path, what }).await?;
                Ok(Outcome::Backup(backup(wait)))
            }
            Command::Find { .. } => loop {
                events
                    .row(Found { snapshot: "cd".repeat(32), time: time(), entry: entry(b"again") })
                    .await?;
            },
            Command::Offer { bytes, .. } => Ok(Outcome::Offer(OfferOutcome {
                offered_bytes: bytes.map_or(7, |size| size.0),
                kept_bytes: 0,
                disk_free_bytes: fs::metadata(self.home.state_file()).unwrap().len(),
                vaults: Vec::new(),
            })),
            Command::Sheet => Ok(Outcome::Sheet(crate::cli::sheet::tests::sample())),
            Command::Recover { .. } => Err(Failure::new(ExitKind::Key, "wrong phrase")),
            _ => Err(Failure::failed("cannot").hint("do otherwise")),
        }
    }

    async fn ready(&self) -> ReadyOutcome {
        ReadyOutcome {
            device: "bb".to_owned(),
            name: "one".to_owned(),
            vault: Some(VAULT.to_owned()),
            addresses: vec!["127.0.0.1:1".to_owned()],
            ticket: "ticket".to_owned(),
            pid: 1,
        }
    }

    async fn close(&self) {}
}

fn time() -> Time {
    larder_protocol::time::Timestamp(1_700_000_000).into()
}

fn entry(path: &[u8]) -> Entry {
    Entry {
        path: PathField::new(path),
        kind: EntryKind::File,
        bytes: 1,
        mode: 0o644,
        uid: 1,
        gid: 2,
        modified: Some(time()),
        target: None,
    }
}

fn origin() -> SnapshotOrigin {
    SnapshotOrigin {
        time: Time::now(),
        device: "bb".repeat(32),
        device_name: "laptop".to_owned(),
        path: PathField::new(b"/home/anna"),
        others: 0,
    }
}

fn backup(wanted: Wait) -> BackupOutcome {
    BackupOutcome {
        snapshots: Vec::new(),
        wanted,
        reached: Wait::Local,
        copies_wanted: 2,
        copies_reached: 1,
        problems_total: 1,
        sent_bytes: 0,
        duration_ms: 10,
        advice: None,
    }
}

/// A writer that others can read, and that can be closed like a pipe.
#[derive(Clone, Default)]
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    closes_after: Option<usize>,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.bytes.lock().unwrap();
        if self.closes_after.is_some_and(|limit| all.len() > limit) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn larder_to(pipe: &Pipe, home: &Path, line: &[&str]) -> u8 {
    let home = home.to_str().unwrap();
    let words = ["larder", "--home", home].into_iter().chain(line.iter().copied());
    let arguments = Arguments::try_parse_from(words).unwrap();
    let display = Display::new(true);
    let mut output = Output::to(&arguments.global, Box::new(pipe.clone()), display);
    execute(Arc::new(Fake), arguments, &mut output)
}

fn larder(home: &Path, line: &[&str]) -> (u8, Vec<u8>) {
    let pipe = Pipe::default();
    let code = larder_to(&pipe, home, line);
    let bytes = pipe.bytes.lock().unwrap().clone();
    (code, bytes)
}

fn json(home: &Path, line: &[&str]) -> (u8, Value) {
    let (code, bytes) = larder(home, &[line, &["--json"]].concat());
    (code, serde_json::from_slice(&bytes).unwrap())
}

fn made() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("phrase");
    let (code, _) = larder(home.path(), &["init", "--phrase-out", out.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert_eq!(fs::read_to_string(out).unwrap(), format!("{PHRASE}\n"));
    home
}

fn every_verb(clap: &Clap, visit: &mut impl FnMut(&Clap)) {
    for verb in clap.get_subcommands().filter(|verb| verb.get_name() != "help") {
        if verb.has_subcommands() {
            every_verb(verb, visit);
        }
        visit(verb);
    }
}

// CLI-1
#[test]
fn every_verb_explains_itself_with_examples_that_parse() {
    let mut clap = Arguments::command();
    clap.clone().debug_assert();
    clap.build();
    let mut seen = 0;
    every_verb(&clap, &mut |verb| {
        let name = verb.get_name();
        let help = verb.get_after_help().unwrap_or_else(|| panic!("{name} has no examples"));
        let help = help.to_string();
        assert!(verb.get_about().is_some(), "{name}");
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{name}"));
        for line in examples.lines().filter(|line| line.starts_with("  larder ")) {
            // What follows two blanks is an explanation, what follows a pipe another program.
            let line = line.trim_start().split("  ").next().unwrap();
            let line = line.split(['|', '>']).next().unwrap().replace(['\'', '"'], "");
            let line = line.replace("$(ssh nas larder ticket)", "TICKET");
            let parsed = Arguments::try_parse_from(line.split_whitespace());
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
            seen += 1;
        }
    });
    assert!(seen > 40, "{seen}");
}

// CLI-1: what scripts rely on, word for word.
#[test]
fn the_contract_parses() {
    let lines = [
        "init --name laptop --phrase-out p",
        "up --listen 127.0.0.1:0 --lan off",
        "up --relay https://relay.example.org --relay http://127.0.0.1:3340",
        "join code --relay https://relay.example.org",
        "recover --phrase-file p --relay https://relay.example.org",
        "add a b --exclude x --exclude y",
        "remove a",
        "folders",
        "backup a --wait safe",
        "backup --wait local --timeout 3",
        "snapshots",
        "ls latest a",
        "diff 12ab latest",
        "find *.jpg",
        "cat latest a/b",
        "restore latest a --to d --overwrite never --dry-run",
        "restore 12 --to d --overwrite newer",
        "restore 12 --to d --overwrite changed",
        "restore 12 --to d --overwrite always",
        "offer 10GiB",
        "offer 10GiB --to anna",
        "invite --one-way --space 200GB --as anna",
        "invite --space 200GB",
        "invite --device",
        "invite --circle",
        "invite --once",
        "join CODE",
        "ticket",
        "connect T",
        "recover --phrase-file f --connect a --connect b",
        "sheet",
        "sheet --out sheet.pdf --phrase-file f",
        "devices",
        "rekey",
        "rekey --now",
        "rekey --dry-run",
        "rekey --stop",
        "peers",
        "status --json --quiet",
        "verify --all",
        "verify --sample 5",
        "forget --keep-last 1 --keep-daily 2 --dry-run",
        "forget 3fa9 77c0 --dry-run",
        "forget 3fa9 --even-last",
        "pin latest 3fa9",
        "unpin 3fa9",
        "doctor",
        "completions bash",
        "config list",
        "config get policy.copies",
        "config set policy.copies 2",
    ];
    for line in lines {
        let words = ["larder", "--home", "/tmp/x"].into_iter().chain(line.split(' '));
        Arguments::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

// CLI-1
#[test]
fn what_makes_no_sense_is_refused() {
    let wrong = [
        "restore latest",
        "ls nothex",
        "offer much",
        "verify --sample 0",
        "invite --expires 1",
        "invite --device --circle",
        "invite --device --one-way",
        "invite --device --space 1GB",
        "status --quiet --verbose",
        "init --wait",
        "rekey --now --stop",
        "forget latest",
        "forget 3fa9 --keep-last 1",
        "forget --even-last --keep-last 1",
        "pin",
    ];
    for line in wrong {
        let words = std::iter::once("larder").chain(line.split(' '));
        assert_eq!(Arguments::try_parse_from(words).unwrap_err().exit_code(), 2, "{line}");
    }
}

// CLI-5
#[test]
fn a_wrong_command_line_is_a_failure_in_one_line() {
    let message = |line: &str| {
        let words = std::iter::once("larder").chain(line.split(' '));
        let failure = usage(&Arguments::try_parse_from(words).unwrap_err());
        assert_eq!(failure.kind, ExitKind::Usage);
        failure.message
    };
    assert_eq!(message("frobnicate"), "unrecognized subcommand 'frobnicate'");
    let missing = "the following required arguments were not provided: --to <DIR>";
    assert_eq!(message("restore latest"), missing);
}

#[test]
fn paths_of_snapshots_are_read() {
    let inside = |text: &str| arguments::inside(text.as_ref()).map(|path| path.as_bytes().to_vec());
    assert_eq!(inside("/a//b/./c/"), Ok(b"a/b/c".to_vec()));
    assert_eq!(inside("."), Ok(Vec::new()));
    assert_eq!(inside("a/../b").unwrap_err().kind, ExitKind::Usage);
}

// CLI-11
#[test]
fn the_phrase_is_shown_once_and_a_vault_is_never_made_over_another() {
    let home = tempfile::tempdir().unwrap();
    let (code, document) = json(home.path(), &["init", "--name", "one"]);
    assert_eq!((code, &document["phrase"]), (0, &Value::from(PHRASE)));
    assert_eq!(document["name"], "one");
    // CLI-20
    let site = document["site"].as_str().unwrap();
    assert!(site.starts_with("home-") && site.split('-').count() == 3, "{site}");
    let (code, document) = json(home.path(), &["init"]);
    assert_eq!(code, 1);
    assert!(document["phrase"].is_null());
    assert!(document["error"]["hint"].is_string());
    assert!(!format!("{document}").contains("abandon"));
}

// CLI-11
#[test]
fn no_vault_is_made_when_the_phrase_cannot_be_kept() {
    let (home, paper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = paper.path().join("phrase");
    fs::write(&out, "precious").unwrap();
    let line = ["init", "--phrase-out", out.to_str().unwrap()];
    assert_eq!(larder(home.path(), &line).0, 1);
    assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
    fs::remove_file(&out).unwrap();
    assert_eq!(larder(home.path(), &line).0, 0, "the interrupted start goes on");
}

// CLI-11
#[test]
fn a_quiet_init_prints_nothing_beside_the_phrase() {
    let (home, paper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = paper.path().join("phrase");
    let line = ["init", "--quiet", "--phrase-out", out.to_str().unwrap()];
    assert_eq!(larder(home.path(), &line), (0, Vec::new()));
}

// CLI-5
#[test]
fn a_completion_script_is_no_document() {
    let home = tempfile::tempdir().unwrap();
    let (code, document) = json(home.path(), &["completions", "bash"]);
    assert_eq!((code, &document["error"]["kind"]), (2, &"usage".into()));
    assert!(document["error"]["hint"].as_str().unwrap().contains("without --json"));
    let (code, script) = larder(home.path(), &["completions", "bash"]);
    assert!(code == 0 && script.starts_with(b"_larder()"));
}

// CLI-2
#[test]
fn an_interrupted_restore_says_that_it_goes_on() {
    let home = made();
    let line = ["restore", "latest", "--to", "/nonexistent"];
    let (code, document) = json(home.path(), &line);
    assert_eq!((code, &document["error"]["kind"]), (130, &"interrupted".into()));
    let hint = document["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("run the same command again"), "{hint}");
    let (_, document) = json(home.path(), &[&line[..], &["--dry-run"]].concat());
    assert!(document["error"]["hint"].is_null());
}

// CLI-5, CLI-6
#[test]
fn rows_stream_into_one_document_and_names_are_kept_whole() {
    let home = made();
    let (code, document) = json(home.path(), &["ls", "latest", "d"]);
    assert_eq!(code, 0);
    assert_eq!(document["outcome"], "list");
    assert_eq!(document["entries_total"], 3);
    let row = &document["entries"][2];
    assert_eq!(row["path"], "d/\u{fffd}2");
    assert_eq!(row["path_base64"], data_encoding::BASE64.encode(b"d/\xff2"));
    assert_eq!(row["modified"], "2023-11-14T22:13:20Z");
    let (_, text) = larder(home.path(), &["ls", "latest", "d"]);
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("-rw-r--r--") && text.contains("d/\\xff0\n"), "{text}");
    let (_, document) = json(home.path(), &["cat", "latest", "d"]);
    assert_eq!(document["pieces_base64"], serde_json::json!(["AP8K", "AP8K"]));
    assert_eq!(larder(home.path(), &["cat", "latest", "d"]).1, [0, 255, 10, 0, 255, 10]);
}

// CLI-2, CLI-5
#[test]
fn endings_have_their_exit_codes() {
    let home = made();
    let (code, document) = json(home.path(), &["backup", "--wait", "local"]);
    assert_eq!(code, 3);
    assert_eq!(document["problems"][0]["path"], "/secret");
    assert_eq!(larder(home.path(), &["backup"]).0, 4);
    let (code, document) = json(home.path(), &["peers"]);
    assert_eq!((code, &document["error"]["code"]), (1, &1.into()));
    assert_eq!(document["error"]["hint"], "do otherwise");
    let phrase = home.path().join("phrase");
    let recover = ["recover", "--phrase-file", phrase.to_str().unwrap()];
    assert_eq!(larder(home.path(), &recover).0, 5);
    assert_eq!(larder(home.path(), &["forget", "--dry-run"]).0, 2);
    let (code, document) = json(&home.path().join("none"), &["diff", "1", "2"]);
    assert_eq!(code, 1);
    assert!(document["error"]["hint"].as_str().unwrap().contains("larder init"));
}

// CLI-3
#[test]
fn a_closed_pipe_ends_an_endless_command_quietly() {
    let home = made();
    for flags in [&["find", "x"][..], &["find", "x", "--json"]] {
        let pipe = Pipe { closes_after: Some(100_000), ..Pipe::default() };
        assert_eq!(larder_to(&pipe, home.path(), flags), 0);
    }
}

// CLI-10
#[test]
fn settings_need_no_engine() {
    let home = made();
    assert_eq!(larder(home.path(), &["config", "set", "policy.copies", "3"]).0, 0);
    assert_eq!(larder(home.path(), &["config", "get", "policy.copies"]).1, b"3\n");
    let (_, document) = json(home.path(), &["config", "list"]);
    assert_eq!(document["settings"].as_array().unwrap().len(), Config::keys().count());
    assert_eq!(larder(home.path(), &["config", "get", "no.such"]).0, 2);
}

// CLI-7, CLI-8
#[test]
fn a_running_node_serves_commands_and_a_second_one_is_refused() {
    let home = made();
    let path = home.path().to_owned();
    let pipe = Pipe::default();
    let up = {
        let (pipe, path) = (pipe.clone(), path.clone());
        std::thread::spawn(move || larder_to(&pipe, &path, &["up", "--json"]))
    };
    // Only the note is read: whoever takes the lock to see if it is free keeps the node out.
    let started = Instant::now();
    while !fs::read_to_string(path.join("lock")).unwrap().ends_with(" up\n") {
        assert!(!up.is_finished(), "the node gave up");
        assert!(started.elapsed() < Duration::from_secs(60), "the node does not start");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The first command waits for a node that is about to listen.
    let (code, document) = json(&path, &["offer", "5"]);
    assert_eq!((code, &document["offered_bytes"]), (0, &5.into()));
    let (code, document) = json(&path, &["up"]);
    assert_eq!(code, 1);
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("pid {}, `up`", std::process::id())), "{message}");
    assert_eq!(json(&path, &["down"]).1["outcome"], "stopping");
    assert_eq!(up.join().unwrap(), 0);
    let ready: Value = serde_json::from_slice(&pipe.bytes.lock().unwrap()).unwrap();
    assert_eq!(ready["outcome"], "ready");
    assert_eq!(larder(&path, &["down"]).0, 1);
}

// CLI-8
#[test]
fn an_invitation_waits_for_the_node_that_a_script_has_just_started() {
    let home = made();
    let path = home.path().to_owned();
    let (code, document) = json(&path, &["invite"]);
    assert!(document["error"]["message"].as_str().unwrap().contains("no node"), "{document}");
    assert_eq!(code, 1);
    let invite = {
        let path = path.clone();
        std::thread::spawn(move || json(&path, &["invite"]))
    };
    let up = {
        let path = path.clone();
        std::thread::spawn(move || larder(&path, &["up"]).0)
    };
    // The stand-in answers for the node that it has no invitations.
    assert_eq!(invite.join().unwrap().1["error"]["message"], "cannot");
    assert_eq!(larder(&path, &["down"]).0, 0);
    assert_eq!(up.join().unwrap(), 0);
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script) = larder(Path::new("/nowhere"), &["completions", shell]);
        assert_eq!(code, 0);
        assert!(String::from_utf8(script).unwrap().contains("snapshots"), "{shell}");
    }
}

mod sheet;
