//! What happened, as `larder log` tells it, and whether a file of it can be believed.

use std::fs;

use larder_tests::{circle::Circle, node::Node};
use serde_json::Value;

fn whats(document: &Value) -> Vec<&str> {
    let entries = document["entries"].as_array().expect("lines are a list");
    entries.iter().map(|line| line["what"].as_str().expect("each is something")).collect()
}

fn is_in(document: &Value, what: &str) -> bool {
    whats(document).contains(&what)
}

// TRAIL-5, TRAIL-6, TRAIL-7
#[test]
fn who_joined_who_had_the_phrase_and_who_was_thrown_out_is_told_and_can_be_checked() {
    println!("a year of a vault, in a list:");
    let circle = Circle::new(1);
    let (source, holder) = (&circle.source, &circle.holders[0]);
    let phone = Node::new(&circle.path(""), "phone");
    let code = source.ask(["invite", "--device"])["code"].as_str().expect("a code").to_owned();
    phone.ask(["join", &code, "--name", "phone"]);
    source.ask(["revoke", "phone", "--reason", "stolen"]);
    // Somebody tries the phrase, and changes nothing: the holder knows it all the same.
    let phrase = circle.phrase.to_str().expect("a plain path").to_owned();
    let stranger = circle.recoverer("stranger");
    let words = ["recover", "--dry-run", "--phrase-file", &phrase, "--connect", &holder.ticket()];
    stranger.cli(words, [""; 0]).ok();
    let at_holder = holder.ask(["log"]);
    assert!(is_in(&at_holder, "phrase-came"), "{at_holder:#}");
    assert!(is_in(&at_holder, "offered") && is_in(&at_holder, "befriended"), "{at_holder:#}");

    let document = source.ask(["log"]);
    for what in ["genesis", "accepted", "befriended", "add", "took-in", "remove"] {
        assert!(is_in(&document, what), "{what}: {document:#}");
    }
    let plain = source.plain(["log"]).output().expect("it runs");
    let plain = String::from_utf8(plain.stdout).expect("it is text");
    print!("{plain}");
    assert!(plain.lines().any(|line| line.contains("removed phone") && line.contains("stolen")));

    // A file of it is checked without any home, and no line of it can be changed or be missing.
    let check = |document: &Value| {
        let path = circle.path("trail.json");
        fs::write(&path, document.to_string()).expect("it can be written");
        let nowhere = Node::new(&circle.path(""), "nowhere");
        let words = ["log", "--check", path.to_str().expect("a plain path")];
        nowhere.cli(words, [""; 0])
    };
    let checked = check(&document).ok().json();
    assert_eq!(checked["lines"].as_array().map(Vec::len), Some(whats(&document).len()));
    assert_eq!((&checked["device_log"], &checked["trail_first"]), (&3.into(), &1.into()));
    let lines = document["entries"].as_array().expect("lines are a list").len();
    for line in 0..lines {
        let mut changed = document.clone();
        let entries = changed["entries"].as_array_mut().expect("lines are a list");
        let gone = entries.remove(line);
        // The newest of either record would not be missed, as it says.
        let is_newest = !entries[line..].iter().any(|later| later["source"] == gone["source"]);
        assert_eq!(check(&changed).code, Some(i32::from(!is_newest)), "without {gone:#}");
        let mut changed = document.clone();
        let signed = changed["entries"][line]["signed"].as_str().expect("it is signed").to_owned();
        let (front, rest) = signed.split_at(signed.len() / 2);
        let other = if rest.starts_with('A') { "B" } else { "A" };
        changed["entries"][line]["signed"] = format!("{front}{other}{}", &rest[1..]).into();
        check(&changed).expect_code(1);
        for (key, other) in [
            ("what", Value::from("offered now")),
            ("time", "2001-01-01T00:00:00Z".into()),
            ("counts", (!document["entries"][line]["counts"].as_bool().expect("it says")).into()),
        ] {
            let mut changed = document.clone();
            changed["entries"][line][key] = other;
            check(&changed).expect_code(1);
        }
    }
    // Without any line of the trail it still has to name a device of the vault, and no nonsense.
    for device in [holder.device(), "\u{1b}[2J".to_owned()] {
        let mut renamed = document.clone();
        renamed["device"] = device.into();
        let entries = renamed["entries"].as_array_mut().expect("lines are a list");
        entries.retain(|line| line["source"] != "trail");
        check(&renamed).expect_code(1);
    }
}
