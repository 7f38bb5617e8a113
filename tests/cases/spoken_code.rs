//! Codes that people say to each other, between nodes that know nothing of one another.
//!
//! Figures are printed for the reader (`cargo test spoken_code -- --nocapture`).

use std::{path::Path, thread, time::Instant};

use larder_tests::{houses::Houses, node::Node, short_directory, skipped};
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
