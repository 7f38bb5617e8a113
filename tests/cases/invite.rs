//! A person who waits before a terminal, and is asked about whoever comes.

use std::{thread, time::Duration};

use larder_tests::{
    camera, dice::Dice, houses::Houses, node::Node, process::Output, short_directory, skipped,
    terminal::Terminal,
};
use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(60);
const QUESTION: &str = "is it let in? [y/N]";

/// The last spoken code on a screen.
fn spoken(shown: &str) -> String {
    let codes = shown.split("larder join ").skip(1);
    let words = codes.filter_map(|after| after.split_whitespace().next());
    let spoken = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
    words.filter(spoken).last().expect("a code is shown").to_owned()
}

/// The long code on a screen.
fn long(shown: &str) -> String {
    let is_code = |word: &&str| word.starts_with("larder-");
    shown.split_whitespace().find(is_code).expect("a code is shown").to_owned()
}

fn invites(node: &Node, words: &[&str]) -> Terminal {
    Terminal::start(node.plain(["invite"].iter().chain(words)))
}

/// Whoever comes to a question, and what it ends with once `answered` has been done.
fn joins(guest: &Node, code: &str, answered: impl FnOnce()) -> Output {
    thread::scope(|scope| {
        let words = ["join", code, "--name", &guest.name];
        let joins = scope.spawn(move || guest.cli(words, [""; 0]));
        answered();
        joins.join().expect("it ends")
    })
}

fn devices(node: &Node) -> usize {
    node.ask(["devices"])["devices"].as_array().expect("devices are a list").len()
}

// PAIR-15, PAIR-16, PAIR-17
#[test]
fn two_words_are_compared_and_a_phone_is_let_in() {
    let Some(houses) = Houses::new(2) else {
        skipped("two words", "no network namespaces can be made and joined here");
        return;
    };
    println!("a phone, by words that were said, and two more that are compared:");
    let directory = short_directory();
    let mut laptop = houses.node(0, directory.path(), "laptop").with_lan();
    laptop.init();
    laptop.up();
    let phone = houses.node(1, directory.path(), "phone").with_lan();
    let mut screen = invites(&laptop, &["--device", "--qr"]);
    let code = spoken(&screen.sees("waiting for somebody to come", LIMIT));
    // The square is the long code, for a reader that knows nothing of who drew it.
    let read = camera::reads(&screen.shown(), &mut Dice::new(11)).expect("a camera reads it");
    assert_eq!(read.to_lowercase(), long(&screen.shown()));
    // What was typed before there was a question is no answer to it.
    screen.types("y");
    // A word that was heard wrongly: another code follows by itself.
    let (kept, last) = code.rsplit_once('-').expect("a code has hyphens");
    let wrong = format!("{kept}-{}", if last == "zoo" { "zone" } else { "zoo" });
    phone.refused(["join", &wrong], 5);
    screen.sees("tried a wrong code; the new one, for five minutes: larder join", LIMIT);
    let code = spoken(&screen.shown());
    let joined = joins(&phone, &code, || {
        let asked = screen.sees(QUESTION, LIMIT);
        assert!(asked.contains("read everything"), "{asked}");
        assert!(!asked.contains("letting it in"), "{asked}");
        thread::sleep(Duration::from_secs(1));
        assert_eq!(devices(&laptop), 1, "before the answer");
        screen.types("y");
    });
    let words = joined.ok().json()["words"].as_str().expect("words are shown").to_owned();
    println!("  both screens show `{words}`");
    assert!(screen.ended(LIMIT).success(), "{}", screen.shown());
    let shown = screen.shown();
    assert!(shown.contains(&words.to_uppercase()) && shown.contains(&words), "{shown}");
    assert!(shown.contains("phone is a device of this vault now"), "{shown}");
    assert_eq!(devices(&laptop), 2);
}

// PAIR-16, PAIR-17
#[test]
fn a_no_and_a_ctrl_c_leave_nothing_and_use_the_invitation_up() {
    let directory = short_directory();
    let node = |name: &str| Node::new(directory.path(), name);
    let (mut anna, ben) = (node("anna"), node("ben"));
    anna.init();
    anna.up();
    ben.init();
    let peers = |node: &Node| node.ask(["peers"])["peers"].as_array().map(Vec::len);
    let mut screen = invites(&anna, &[]);
    let code = long(&screen.sees("works once", LIMIT));
    let refused = joins(&ben, &code, || {
        screen.sees(QUESTION, LIMIT);
        screen.types("");
    });
    assert_eq!(refused.code, Some(1));
    assert!(!screen.ended(LIMIT).success());
    assert!(screen.shown().contains("nobody was let in"), "{}", screen.shown());
    ben.refused(["join", &code], 1);
    assert_eq!((peers(&anna), peers(&ben)), (Some(0), Some(0)));

    let mut screen = invites(&anna, &[]);
    let code = long(&screen.sees("works once", LIMIT));
    let pid = i32::try_from(screen.pid()).ok().and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, Signal::INT).expect("it can be told");
    assert_eq!(screen.ended(LIMIT).code(), Some(130), "{}", screen.shown());
    ben.refused(["join", &code], 1);

    // PAIR-18: where nobody waits, as from a script.
    let code = anna.ask(["invite"])["code"].as_str().expect("a code").to_owned();
    assert!(ben.ask(["join", &code])["words"].is_string());
    assert_eq!(peers(&anna), Some(1));
}

/// What both screens show, each with its question.
fn words_on(screen: &Terminal) -> String {
    let shown = screen.sees("[y/N]", LIMIT);
    let words = shown.rsplit("the same two words:").next().expect("it is there");
    words.lines().next().expect("they are").trim().to_owned()
}

// PAIR-15, PAIR-16: two persons, two screens; a home without a node, and then one with a vault and a node.
#[test]
fn two_persons_are_asked_and_each_of_them_can_say_no() {
    println!("two screens:");
    let directory = short_directory();
    let node = |name: &str| Node::new(directory.path(), name);
    let (mut anna, phone, mut ben) = (node("anna"), node("phone"), node("ben"));
    anna.init();
    anna.up();
    let mut here = invites(&anna, &["--device"]);
    let code = long(&here.sees("waiting for somebody", LIMIT));
    let joins = |node: &Node, code: &str| {
        Terminal::start(node.plain(["join", code, "--name", &node.name, "--site", "home"]))
    };
    let mut there = joins(&phone, &code);
    let words = words_on(&there);
    println!("  both screens show {words}");
    assert_eq!(words_on(&here), words);
    assert!(there.shown().contains("read what is backed up here"), "{}", there.shown());
    // One yes is not enough.
    here.types("y");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(devices(&anna), 1);
    there.types("y");
    assert!(there.ended(LIMIT).success() && here.ended(LIMIT).success(), "{}", here.shown());
    assert_eq!(devices(&anna), 2);

    // Who joins says no: by his running node.
    ben.init();
    ben.up();
    let mut here = invites(&anna, &[]);
    let code = long(&here.sees("waiting for somebody", LIMIT));
    let mut there = joins(&ben, &code);
    assert_eq!(words_on(&there), words_on(&here));
    here.types("y");
    there.types("n");
    assert!(!there.ended(LIMIT).success() && !here.ended(LIMIT).success());
    assert!(here.shown().contains("said no"), "{}", here.shown());
    for node in [&anna, &ben] {
        let peers = node.ask(["peers"]);
        assert!(!peers.to_string().contains("ben\"") && !peers.to_string().contains("anna\""));
    }
}
