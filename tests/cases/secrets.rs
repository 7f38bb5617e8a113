//! No secret stands in what is printed, logged, or shown of a process, however much is said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use larder_tests::{
    node::{COMMAND_LIMIT, Node},
    process::run,
    secrets, short_directory,
};

/// Everything that larder's own code says, and what others say without being asked for every byte.
const TRACE: &str = "larder=trace,larder_node=trace,larder_protocol=trace,iroh=debug";
const PASSPHRASE: &str = "a passphrase 9137 that nobody prints";

/// What was said so far, and where.
#[derive(Default)]
struct Heard(Vec<(String, Vec<u8>)>);

impl Heard {
    /// Runs a command with everything traced, and keeps what it says.
    fn run(&mut self, node: &Node, words: &[&str]) -> serde_json::Value {
        let output = run(node.command(words, [""; 0]).env("LARDER_LOG", TRACE), COMMAND_LIMIT);
        let document = output.json();
        self.0.push((format!("{words:?}"), format!("{output}").into_bytes()));
        let mut plain = node.plain(words);
        plain.env("LARDER_LOG", TRACE).stdin(Stdio::null());
        // Once more for people: it may fail now, and says so.
        let said = plain.output().unwrap();
        self.0.push((format!("{words:?}, for people"), [said.stdout, said.stderr].concat()));
        document
    }

    fn process(&mut self, node: &Node) {
        for part in ["cmdline", "environ", "status"] {
            let path = format!("/proc/{}/{part}", node.pid());
            self.0.push((path.clone(), fs::read(path).unwrap()));
        }
    }

    fn log(&mut self, directory: &Path, node: &Node) {
        let path = directory.join(format!("{}.log", node.name));
        let bytes = fs::read(&path).unwrap();
        assert!(bytes.len() > 2000, "everything is traced");
        self.0.push((path.display().to_string(), bytes));
    }

    #[track_caller]
    fn has_none_of(&self, needles: &[(&str, Vec<u8>)]) {
        for (place, bytes) in &self.0 {
            for (what, needle) in needles {
                let is_there = secrets::holds_any(bytes, std::slice::from_ref(needle));
                assert!(!is_there, "{what} stands in {place}");
            }
        }
    }
}

fn words_of(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// Five words in a row are more than chance.
fn phrase_needles(path: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let words = words_of(path);
    words.windows(5).map(|row| ("a part of the phrase", row.join(" ").into_bytes())).collect()
}

fn traced(command: &mut Command) -> &mut Command {
    command.env("LARDER_LOG", TRACE)
}

/// Every command of a person at a node with a circle and other devices.
fn everything(heard: &mut Heard, node: &Node, (at, folder, words): (&Path, &str, &str)) {
    for said in [
        &["backup", folder][..],
        &["status"],
        &["peers"],
        &["devices"],
        &["doctor"],
        &["verify", "--drill"],
        &["config", "list"],
        &["guardians", "set", "--threshold", "1", "--phrase-file", words, "ben"],
        &["revoke", "phone", "--reason", "stolen", "--phrase-file", words],
        &["rekey", "--dry-run"],
        &["rekey", "--now"],
        &["sheet", "--out", at.join("sheet.txt").to_str().unwrap()],
        &["log"],
        &["ticket"],
        &["leave", "ben", "--dry-run"],
        &["no such verb"],
    ] {
        heard.run(node, said);
    }
}

/// The words in another order.
fn wrong_words(at: &Path, phrase: &Path) -> PathBuf {
    let wrong = at.join("wrong");
    let mut typed = words_of(phrase);
    typed.swap(3, 4);
    fs::write(&wrong, typed.join(" ")).unwrap();
    wrong
}

/// A fresh home is given a wrong phrase, then the right one.
fn recovers(heard: &mut Heard, fresh: &Node, ticket: &str, phrases: [&Path; 2]) {
    let [wrong, right] = phrases.map(|path| path.to_str().unwrap());
    let recover = ["recover", "--connect", ticket, "--phrase-file"];
    heard.run(fresh, &[&recover[..], &[wrong]].concat());
    heard.run(fresh, &[&["recover", "--dry-run"], &recover[1..], &[right]].concat());
    heard.run(fresh, &[&recover[..], &[right]].concat());
    let to = right.replace(".phrase", ".restored");
    heard.run(fresh, &["restore", "latest", "--to", &to]);
    heard.run(fresh, &["snapshots"]);
}

// KEYS-13, INV-12
#[test]
fn no_secret_is_printed_logged_or_shown() {
    let directory = short_directory();
    let at = directory.path();
    let mut heard = Heard::default();
    let node = |name: &str| Node::new(at, name);
    let (mut anna, mut ben) = (node("anna"), node("ben"));
    let phrase: PathBuf = anna.init();
    let words = phrase.to_str().unwrap().to_owned();
    ben.init();
    anna.up_with(traced);
    ben.up_with(traced);
    ben.ask(["offer", "1GB"]);
    let mut needles = phrase_needles(&phrase);

    // Codes are shown by who invites, and by nobody else.
    let mut code_of = |invites: &Node, words: &[&str]| {
        let invited = invites.ask(words);
        let code = invited["code"].as_str().unwrap().to_owned();
        needles.push(("an invitation", code.clone().into_bytes()));
        needles.push(("an invitation", code.to_uppercase().into_bytes()));
        if let Some(spoken) = invited["spoken"].as_str() {
            let said = spoken.split_once('-').unwrap().1;
            needles.push(("a spoken code", said.as_bytes().to_vec()));
        }
        code
    };
    let code = code_of(&anna, &["invite", "--circle"]);
    ben.ask(["join", &code]);
    let (mut phone, mut tablet) = (node("phone"), node("tablet"));
    for device in [&mut phone, &mut tablet] {
        let code = code_of(&anna, &["invite", "--device"]);
        let name = device.name.clone();
        device.ask(["join", &code, "--name", &name, "--site", "pocket"]);
        device.up_with(traced);
    }
    let folder = at.join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), "a file of some length\n".repeat(999)).unwrap();
    let folder = folder.to_str().unwrap();

    everything(&mut heard, &anna, (at, folder, &words));
    heard.run(&ben, &["guardians"]);
    heard.run(&phone, &["status"]);
    let fresh = node("fresh");
    let wrong = wrong_words(at, &phrase);
    needles.extend(phrase_needles(&wrong));
    recovers(&mut heard, &fresh, &ben.ticket(), [&wrong, &phrase]);

    // All keys that there are now, also those of the one that was thrown out.
    for device in [&anna, &ben, &phone, &tablet, &fresh] {
        let secrets = secrets::of_home(device.home());
        assert!(secrets.len() >= 8, "{} has keys", device.name);
        needles.extend(secrets.into_iter().map(|secret| ("a key", secret)));
    }
    // Sealed while it runs, and opened again.
    let file = at.join("passphrase");
    fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    let file = file.to_str().unwrap();
    needles.push(("the passphrase", PASSPHRASE.as_bytes().to_vec()));
    heard.run(&tablet, &["passphrase", "set", "--new-passphrase-file", file]);
    heard.run(&tablet, &["--passphrase-file", file, "passphrase", "check"]);
    tablet.stop();
    tablet.up_with(|command| traced(command).env("LARDER_PASSPHRASE_FILE", file));

    for device in [&anna, &ben, &phone, &tablet] {
        heard.process(device);
    }
    for device in [&mut anna, &mut ben, &mut phone, &mut tablet] {
        device.stop();
        heard.log(at, device);
    }
    assert!(heard.0.len() > 40, "little was said: {}", heard.0.len());
    heard.has_none_of(&needles);
    println!("{} secrets in none of {} texts", needles.len(), heard.0.len());
}
