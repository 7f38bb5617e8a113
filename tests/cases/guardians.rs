//! Relatives give the recovery phrase back, after a delay that every device of the vault can see.
//!
//! Figures are printed for the reader (`cargo test guardians -- --nocapture`).

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::{Circle, pair},
    compare,
    node::{Node, error_of},
    process::eventually,
    tree,
};
use serde_json::Value;

/// Longest until a node says something that it was told.
const NEWS_LIMIT: Duration = Duration::from_secs(30);

/// `recover --guardians` on a fresh home, which waits for guardians.
pub(super) struct Asking {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Asking {
    pub(super) fn new(fresh: &Node, words: &Path, more: &[&str]) -> Self {
        let flags = ["recover", "--guardians", "--name", &fresh.name, "--site", &fresh.site];
        let flags = flags.iter().chain(more).chain(&["--phrase-out"]);
        let mut command = fresh.command(flags, [words]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = mpsc::sync_channel(256);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Nobody reads once the test is over.
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }

    /// What it says next that has this in it.
    #[track_caller]
    fn says(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(NEWS_LIMIT).unwrap_or_else(|_| panic!("no {part}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The long text for guardians.
    #[track_caller]
    pub(super) fn ticket(&self) -> String {
        let line = self.says("larder guardians give larder-");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    /// Waits for its end: exit code and document.
    #[track_caller]
    pub(super) fn ended(mut self) -> (Option<i32>, Value) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let code = self.child.wait().unwrap().code();
        let document =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("no document: {text}"));
        (code, document)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A source whose guardians are its first three holders.
fn circle(holders: usize, delay: &str) -> Circle {
    let circle = Circle::new(holders);
    appoint(&circle, &["holder0", "holder1", "holder2"], delay);
    circle
}

#[track_caller]
fn appoint(circle: &Circle, guardians: &[&str], delay: &str) -> Value {
    let words = ["guardians", "set", "--threshold", "2", "--delay", delay];
    let words = words.iter().chain(guardians).chain(&["--phrase-file"]);
    let known = circle.source.cli(words, [&circle.phrase]).ok().json();
    let reached = known["told"].as_array().unwrap().len();
    assert_eq!(reached, circle.holders.len(), "{known:#}");
    assert_eq!(known["guardians"].as_array().unwrap().len(), guardians.len());
    known
}

#[track_caller]
fn give(guardian: &Node, code: &str) -> (Value, Value) {
    let gave = guardian.ask(["guardians", "give", code, "--yes"]);
    assert_eq!(gave["name"], "source");
    (gave["have"].clone(), gave["needed"].clone())
}

/// The vault whose guardian this node is, as it tells who asks.
#[track_caller]
pub(super) fn vault_of(guardian: &Node) -> String {
    let known = guardian.ask(["guardians"]);
    known["guardian_of"][0]["vault"].as_str().unwrap_or_else(|| panic!("{known:#}")).to_owned()
}

/// Two guardians have handed over; what came of it.
#[track_caller]
fn helped(circle: &Circle, fresh: &Node, words: &Path, by: [usize; 2]) -> (Option<i32>, Value) {
    let vault = vault_of(&circle.holders[by[0]]);
    let asking = Asking::new(fresh, words, &["--vault", &vault[..8]]);
    let ticket = asking.ticket();
    assert_eq!(give(&circle.holders[by[0]], &ticket), (1.into(), 2.into()));
    asking.says("1 of 2 shares");
    assert_eq!(give(&circle.holders[by[1]], &ticket), (2.into(), 2.into()));
    asking.ended()
}

// GUARD-4, GUARD-19
#[test]
fn two_of_three_relatives_bring_everything_back() {
    println!("no device, no phrase, three guardians of whom two help:");
    let mut circle = circle(3, "3s");
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 7, 20, 50_000);
    circle.backup(&folder);
    circle.lose_source();
    // One that is never there again.
    circle.holders[1].kill();
    let (fresh, words) = (circle.recoverer("fresh"), circle.path("words.txt"));
    let begun = Instant::now();
    // Somebody else has heard the code, and brings shares of his own vault, of which one is enough.
    let mallory = circle.recoverer("mallory");
    let traps = mallory.init();
    let mut mallory = mallory;
    mallory.up();
    let mut accomplice = circle.recoverer("accomplice");
    accomplice.init();
    accomplice.up();
    pair(&mallory, &accomplice, "--circle");
    let set = ["guardians", "set", "--threshold", "1", "accomplice", "--phrase-file"];
    mallory.cli(set, [&traps]).ok();
    let asking = Asking::new(&fresh, &words, &[]);
    let ticket = asking.ticket();
    assert_eq!(accomplice.ask(["guardians", "give", &ticket, "--yes"])["have"], 1);
    let (code, known) = asking.ended();
    assert_eq!((code, &known["outcome"]), (Some(0), &"gathered".into()), "{known:#}");
    assert_eq!(known["vaults"][0]["vault"], vault_of(&accomplice).as_str(), "{known:#}");
    assert!(!words.exists(), "nobody was asked for the phrase of that vault");
    let (code, done) = helped(&circle, &fresh, &words, [0, 2]);
    println!("  recovered in {:.1} s, 3 s of them the delay", begun.elapsed().as_secs_f64());
    assert_eq!((code, &done["outcome"]), (Some(0), &"recover".into()), "{done:#}");
    assert_eq!(fs::read_to_string(&words).unwrap(), fs::read_to_string(&circle.phrase).unwrap());
    let target = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
    // What it asked for itself is no alarm.
    let mut fresh = fresh;
    fresh.up();
    eventually("it has met a holder", NEWS_LIMIT, || fresh.ask(["status"])["peers_online"] != 0);
    let said = fresh.ask(["status"])["advice"].to_string();
    assert!(!said.contains("recovery phrase"), "{said}");
    // TRAIL-5: who took part in it knows of it later.
    let knows = |node: &Node, what: &str| {
        let log = node.ask(["log"]);
        log["entries"].as_array().is_some_and(|lines| lines.iter().any(|line| line["what"] == what))
    };
    assert!([0, 2].iter().all(|helper| knows(&circle.holders[*helper], "share-given")));
    assert!([0, 2].iter().any(|holder| knows(&circle.holders[*holder], "release-asked")));
    assert!(knows(&fresh, "became"));
    assert_eq!(fresh.ask(["guardians"])["requests"][0]["stopped_by"], "fresh");
}

// GUARD-10, GUARD-17, GUARD-20
#[test]
fn whoever_is_still_there_is_warned_and_stops_it() {
    println!("two guardians are talked into helping a thief:");
    let mut circle = circle(3, "7d");
    let mut phone = circle.recoverer("phone");
    let invited = circle.source.ask(["invite", "--device"]);
    phone.ask(["join", invited["code"].as_str().unwrap(), "--name", "phone"]);
    // Elsewhere since: holders have been called by it and know where it is, guardians cannot tell the thief.
    circle.source.stop();
    circle.source.move_elsewhere();
    circle.source.up();
    eventually("the laptop has met everybody", NEWS_LIMIT, || {
        let peers = circle.source.ask(["peers"]);
        let online = |peer: &&Value| peer["state"] == "online";
        peers["peers"].as_array().unwrap().iter().filter(online).count() == 3
    });
    let (thief, words) = (circle.recoverer("thief"), circle.path("words.txt"));
    let (code, known) = helped(&circle, &thief, &words, [0, 1]);
    assert_eq!((code, &known["outcome"]), (Some(0), &"waiting".into()), "{known:#}");
    assert_eq!(known["holders"], 2, "{known:#}");
    let begun = Instant::now();
    let mut said = String::new();
    let mut is_warned = |node: &Node| {
        said = node.ask(["status"])["advice"].to_string();
        said.contains("asks for the recovery phrase")
    };
    // One that is there is called by the holders; one that is not hears of it when it comes.
    eventually("the laptop is warned", NEWS_LIMIT, || is_warned(&circle.source));
    println!("  the laptop was warned after {:.1} s", begun.elapsed().as_secs_f64());
    phone.up();
    let begun = Instant::now();
    eventually("the phone is warned", NEWS_LIMIT, || is_warned(&phone));
    println!("  the phone {:.1} s after it was switched on", begun.elapsed().as_secs_f64());
    assert!(said.contains("calls itself thief, and gets it in 7 days"), "{said}");
    assert!(said.contains("larder guardians stop"), "{said}");
    // A holder that is away while it is stopped hears of it later, and one that was started anew knows.
    circle.holders[2].stop();
    let begun = Instant::now();
    let stopped = circle.source.ask(["guardians", "stop"]);
    println!("  stopped in {:.1} s, with one holder away", begun.elapsed().as_secs_f64());
    assert_eq!(
        (&stopped["stopped"], &stopped["requests"][0]["stopped_by"]),
        (&1.into(), &"source".into())
    );
    circle.holders[2].up();
    circle.holders[0].stop();
    circle.holders[0].up();
    eventually("the request is stopped everywhere", NEWS_LIMIT, || {
        let output = thief.cli(["recover", "--guardians", "--phrase-out"], [&words]);
        output.code == Some(5) && error_of(&output).0.contains("stopped the request")
    });
    assert!(!words.exists());
    let said = circle.source.ask(["status"])["advice"].to_string();
    assert!(!said.contains("asks for the recovery phrase"), "{said}");
}

// GUARD-8, GUARD-6
#[test]
fn shares_of_guardians_who_were_replaced_are_of_no_use() {
    println!("the guardians are replaced while a request waits:");
    let circle = circle(4, "7d");
    let (thief, words) = (circle.recoverer("thief"), circle.path("words.txt"));
    let (_, known) = helped(&circle, &thief, &words, [0, 1]);
    assert_eq!(known["outcome"], "waiting", "{known:#}");
    appoint(&circle, &["holder0", "holder2", "holder3"], "7d");
    let (message, hint) =
        error_of(&thief.cli(["recover", "--guardians", "--phrase-out"], [&words]).expect_code(5));
    assert!(message.contains("no holder that answered knows these guardians"), "{message}");
    assert!(hint.contains("appointed anew"), "{hint}");
    // Who is none any more is told so, and has nothing to give.
    let asking = Asking::new(&thief, &words, &["--anew"]);
    let ticket = asking.ticket();
    let (message, _) = circle.holders[1].refused(["guardians", "give", &ticket, "--yes"], 1);
    assert!(message.contains("nobody's guardian"), "{message}");
    give(&circle.holders[3], &ticket);
    asking.says("1 of 2 shares");
    // And they are all dismissed.
    let known =
        circle.source.cli(["guardians", "clear", "--phrase-file"], [&circle.phrase]).ok().json();
    assert_eq!(known["threshold"], Value::Null);
    let (message, _) = circle.holders[0].refused(["guardians", "give", &ticket, "--yes"], 1);
    assert!(message.contains("nobody's guardian"), "{message}");
}

// GUARD-24
#[test]
fn a_guardian_that_has_thrown_a_device_out_is_appointed_anew() {
    let mut circle = circle(3, "7d");
    let tablet = Node::new(&circle.path(""), "tablet");
    let invited = circle.holders[0].ask(["invite", "--device"]);
    tablet.ask(["join", invited["code"].as_str().unwrap(), "--name", "tablet"]);
    let with_new_key = |source: &Node| -> Vec<String> {
        let known = source.ask(["guardians"]);
        let guardians = known["guardians"].as_array().unwrap().iter();
        let renewed = guardians.filter(|it| it["has_new_key"] == true);
        renewed.map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(with_new_key(&circle.source).is_empty());
    let revoked = circle.holders[0].ask(["revoke", "tablet", "--reason", "stolen"]);
    assert_eq!(revoked["guardian_of"], serde_json::json!(["source"]), "{revoked:#}");
    // They greet each other at a start.
    circle.source.stop();
    circle.source.up();
    eventually("it is known", NEWS_LIMIT, || with_new_key(&circle.source) == ["holder0"]);
    let said = circle.source.plain(["guardians"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("a new key since then at holder0"));
    appoint(&circle, &["holder0", "holder1", "holder2"], "7d");
    assert!(with_new_key(&circle.source).is_empty());
    let fresh = circle.recoverer("fresh");
    let (_, known) = helped(&circle, &fresh, &circle.path("words.txt"), [0, 1]);
    assert_eq!(known["outcome"], "waiting", "{known:#}");
}

// GUARD-3, GUARD-7
#[test]
fn wrong_words_say_what_to_do_and_change_nothing() {
    let circle = Circle::new(2);
    let set = |words: &[&str], code| {
        let words = ["guardians", "set"].iter().chain(words).chain(&["--phrase-file"]);
        error_of(&circle.source.cli(words, [&circle.phrase]).expect_code(code))
    };
    let (message, hint) = set(&["--threshold", "3", "holder0", "holder1"], 2);
    assert!(message.contains("3 of 2 guardians"), "{message} {hint}");
    let (message, hint) = set(&["--threshold", "1", "nobody"], 1);
    assert!(message.contains("nobody in this circle"), "{message}");
    assert!(hint.contains("larder peers"), "{hint}");
    let (message, _) = set(&["--threshold", "2", "holder0", "holder0"], 2);
    assert!(message.contains("named twice"), "{message}");
    // The phrase of another vault appoints nobody.
    let other = circle.recoverer("other");
    let words = ["guardians", "set", "--threshold", "2", "holder0", "holder1", "--phrase-file"];
    let (message, _) = error_of(&circle.source.cli(words, [other.init()]).expect_code(5));
    assert!(message.contains("not the words of this vault"), "{message}");
    let known = circle.source.ask(["guardians"]);
    assert_eq!((&known["threshold"], &known["guardians"]), (&Value::Null, &Value::Array(vec![])));
    // Nobody is asked, so nobody hands anything over by mistake.
    let (message, hint) =
        circle.holders[0].refused(["guardians", "give", "7-maple-orbit-candy"], 2);
    assert!(message.contains("really them"), "{message}");
    assert!(hint.contains("--yes"), "{hint}");
    // An invitation is no call for help, and the other way round.
    let invited = circle.source.ask(["invite"]);
    appoint(&circle, &["holder0", "holder1"], "7d");
    let code = invited["code"].as_str().unwrap();
    let (message, _) = circle.holders[0].refused(["guardians", "give", code, "--yes"], 2);
    assert!(message.contains("asks for no help"), "{message}");
    let (fresh, words) = (circle.recoverer("fresh"), circle.path("words.txt"));
    let asking = Asking::new(&fresh, &words, &[]);
    let (message, hint) = circle.holders[0].refused(["join", &asking.ticket()], 2);
    assert!(message.contains("asks for help"), "{message}");
    assert!(hint.contains("guardians give"), "{hint}");
}
