//! Codes that people say to each other, between nodes that know nothing of one another.
//!
//! Figures are printed for the reader (`cargo test spoken_code -- --nocapture`).

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use larder_tests::{houses::Houses, node::Node, short_directory, skipped, terminal::Terminal};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A node with a vault on one switch with others that have none.
struct Home {
    directory: TempDir,
    inviter: Node,
    houses: Houses,
}

impl Home {
    fn new(story: &str, others: usize) -> Option<Self> {
        let Some(houses) = Houses::new(1 + others) else {
            skipped(story, "no network namespaces can be made and joined here");
            return None;
        };
        println!("{story}:");
        let directory = short_directory();
        let mut inviter = houses.node(0, directory.path(), "inviter").with_lan();
        inviter.init();
        inviter.up();
        Some(Self { directory, inviter, houses })
    }

    fn other(&self, place: usize, name: &str) -> Node {
        self.houses.node(place, self.path(), name).with_lan()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn code(&self, whom: &str) -> String {
        spoken(&self.inviter.ask(["invite", whom]))
    }

    fn devices(&self) -> usize {
        self.inviter.ask(["devices"])["devices"].as_array().expect("devices are a list").len()
    }
}

fn spoken(invited: &Value) -> String {
    invited["spoken"].as_str().expect("there is a code that can be spoken").to_owned()
}

/// The same number with another last word.
fn mistyped(code: &str) -> String {
    let (kept, last) = code.rsplit_once('-').expect("a code has hyphens");
    format!("{kept}-{}", if last == "zoo" { "zone" } else { "zoo" })
}

// MEET-12
#[test]
fn three_words_make_a_fresh_home_a_device_and_join_two_vaults() {
    let Some(home) = Home::new("a phone and a friend, by words", 2) else { return };
    let phone = home.other(1, "phone");
    let code = home.code("--device");
    let begun = Instant::now();
    let joined = phone.ask(["join", &code, "--name", "phone"]);
    println!("  a device: {:.1} s after the code was entered", begun.elapsed().as_secs_f64());
    assert_eq!(joined["kind"], "device");
    assert_eq!(joined["name"], "inviter");
    assert_eq!(home.devices(), 2);

    // A node that runs already, and in lower quality of typing.
    let mut friend = home.other(2, "friend");
    friend.init();
    friend.up();
    let code = home.code("--circle").to_uppercase().replace('-', " ");
    let begun = Instant::now();
    let joined = friend.ask(["join", &code]);
    println!("  a vault: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(joined["kind"], "circle");
    assert_eq!(friend.ask(["peers"])["peers"].as_array().map(Vec::len), Some(2));
}

// MEET-2, MEET-13
#[test]
fn a_code_is_good_for_one_try() {
    let Some(mut home) = Home::new("a wrong word", 2) else { return };
    let (phone, other) = (home.other(1, "phone"), home.other(2, "other"));
    let code = home.code("--device");
    let (message, hint) = phone.refused(["join", &mistyped(&code)], 5);
    assert!(message.contains("mistyped"), "{message}");
    assert!(hint.contains("larder invite"), "{hint}");
    // Also for who has the right words.
    let (message, hint) = phone.refused(["join", &code], 5);
    assert!(message.contains("used"), "{message}");
    assert!(hint.contains("larder invite"), "{hint}");
    assert_eq!(home.devices(), 1, "nothing was taken in");

    // What is no code is said before anything is done, and uses nothing up.
    let code = home.code("--device");
    let number = code.split('-').next().expect("a code has a number");
    let (message, _) = phone.refused(["join", &format!("{number}-maple-orbit-xylophon")], 2);
    assert!(message.contains("word 3"), "{message}");
    phone.ask(["join", &code]);

    // It was used: nobody else comes in by it.
    other.refused(["join", &code], 5);
    assert_eq!(home.devices(), 2);

    // The node was started anew: its codes are gone.
    let code = home.code("--device");
    home.inviter.stop();
    home.inviter.up();
    let (message, hint) = other.refused(["join", &code], 1);
    assert!(message.contains("nobody with code number"), "{message}");
    assert!(hint.contains("five minutes"), "{hint}");
}

// MEET-13
#[test]
fn of_many_who_try_at_once_none_gets_more_than_one_guess() {
    let Some(home) = Home::new("six guess at once", 6) else { return };
    let code = home.code("--device");
    let wrong = mistyped(&code);
    let strangers: Vec<Node> =
        (1..=6).map(|place| home.other(place, &format!("stranger{place}"))).collect();
    let wrong = &wrong;
    let codes: Vec<Option<i32>> = thread::scope(|scope| {
        let tries = strangers
            .iter()
            .map(|stranger| scope.spawn(move || stranger.cli(["join", wrong], [""; 0]).code));
        let tries: Vec<_> = tries.collect();
        tries.into_iter().map(|tried| tried.join().expect("it ends")).collect()
    });
    println!("  exit codes {codes:?}");
    assert!(codes.iter().all(|code| *code == Some(5)));
    let heard = home.inviter.last_words().matches("wrong spoken code").count();
    assert_eq!(heard, 1, "of six one was heard: {}", home.inviter.last_words());
    assert_eq!(home.devices(), 1);
}

/// How long the stranger goes on.
const HAMMERED: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(30);

// MEET-16, MEET-18
#[test]
fn a_stranger_who_tries_without_pause_gets_five_guesses_and_harms_nothing() {
    let Some(home) = Home::new("hundreds of guesses at one who waits", 2) else { return };
    let phone = home.other(1, "phone");
    let document = || {
        let log = home.inviter.ask(["log"]);
        (log["entries"].clone(), home.inviter.ask(["peers"])["peers"].clone())
    };
    let before = (document(), home.inviter.usage());
    let mut screen = Terminal::start(home.inviter.plain(["invite", "--device"]));
    screen.sees("waiting for somebody to come", LIMIT);
    let guesses = home.houses.guess(2, HAMMERED).expect("a thread can go into a network");
    println!("  {guesses:?}");
    assert_eq!((guesses.wrong, guesses.invited), (5, 0), "five codes, one guess at each");
    assert_eq!(guesses.channels.len(), 5, "then none is made");
    assert!(guesses.tried >= 100, "it was tried without pause");
    // Its person is told of each, and at last that there are no more.
    let shown = screen.sees("there are no more short ones; the long code is good", LIMIT);
    assert_eq!(shown.matches("tried a wrong code; the new one").count(), 4, "{shown}");
    let heard = home.inviter.last_words().matches("wrong spoken code").count();
    assert_eq!(heard, 5, "{}", home.inviter.last_words());
    assert!(!shown.contains("[y/N]"), "nobody has come: {shown}");
    // It waits on, by the long code; then it is broken off.
    let pid = i32::try_from(screen.pid()).ok().and_then(Pid::from_raw).expect("it runs");
    kill_process(pid, Signal::INT).expect("it can be told");
    assert_eq!(screen.ended(LIMIT).code(), Some(130), "{}", screen.shown());
    let after = (document(), home.inviter.usage());
    assert_eq!(after.0, before.0, "neither its log nor its trail nor its circle has changed");
    let grown = after.1.rss_bytes_max.saturating_sub(before.1.rss_bytes_max);
    let cpu = after.1.cpu.saturating_sub(before.1.cpu);
    println!(
        "  memory {} KiB more at the most, {:.1} s of processor",
        grown / 1024,
        cpu.as_secs_f64()
    );
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(cpu < HAMMERED, "less than one processor: {cpu:?}");
    // And a right code is good.
    let code = home.code("--device");
    assert_eq!(phone.ask(["join", &code, "--name", "phone"])["kind"], "device");
    assert_eq!(home.devices(), 2);
}
