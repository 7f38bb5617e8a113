//! Some bad days of a family: four persons, four houses, seven devices, real processes.
//!
//! What each day is about is tested alone elsewhere; here one follows the other, on what the one before has
//! left. Figures are printed for the reader (`cargo test family -- --nocapture`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use larder_tests::{
    circle::{OFFER, pair},
    node::Node,
    process::eventually,
    short_directory, tree,
};
use serde_json::Value;

mod help;

use help::{SETTLE, gone, joined, recovered_by, safe_backup, survived};

struct Family {
    begun: Instant,
    /// Where Anna works: another machine after each bad day.
    anna: Node,
    /// File with her words.
    words: PathBuf,
    photos: PathBuf,
    carol: Node,
    dora: Node,
    // Last, so that it goes after the processes that work in it.
    directory: tempfile::TempDir,
}

/// Bob's house, before it burns.
struct House {
    pc: Node,
    tablet: Node,
    words: PathBuf,
    letters: PathBuf,
}

impl Family {
    fn told(&self, what: &str) {
        println!("  {:>5.1} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    fn place(&self) -> &Path {
        self.directory.path()
    }

    fn folder(&self, name: &str, seed: u64) -> PathBuf {
        let folder = self.place().join(name);
        fs::create_dir(&folder).unwrap();
        tree::ordinary(&folder, seed, 30, 60_000);
        folder
    }

    /// All are paired with Anna, and Bob with Carol as well; Anna and Bob have saved what is dear to them.
    fn new() -> (Self, House) {
        let (directory, begun) = (short_directory(), Instant::now());
        let started = |name: &str| {
            let mut node = Node::new(directory.path(), name);
            let words = node.init();
            node.up();
            node.ask(["offer", OFFER]);
            (node, words)
        };
        let (anna, words) = started("anna-laptop");
        let [(bob, words_of_bob), (carol, _), (dora, _)] =
            ["bob-pc", "carol-pc", "dora-pc"].map(started);
        for other in [&bob, &carol, &dora] {
            pair(&anna, other, "--circle");
        }
        pair(&bob, &carol, "--circle");
        let tablet = joined(&bob, directory.path(), "bob-tablet");
        let photos = PathBuf::new();
        let mut family = Self { begun, anna, words, photos, carol, dora, directory };
        family.photos = family.folder("photos", 701);
        safe_backup(&family.anna, &family.photos);
        let letters = family.folder("letters", 702);
        safe_backup(&bob, &letters);
        family.appoint(&["bob-pc", "carol-pc", "dora-pc"]);
        family.told("Anna and Bob have saved what is dear to them; Anna has three guardians");
        (family, House { pc: bob, tablet, words: words_of_bob, letters })
    }

    fn appoint(&self, guardians: &[&str]) {
        let set = ["guardians", "set", "--threshold", "2", "--delay", "3s"];
        let words = set.iter().chain(guardians).chain(&["--phrase-file"]);
        let known = self.anna.cli(words, [&self.words]).ok().json();
        assert_eq!(known["guardians"].as_array().map(Vec::len), Some(guardians.len()));
    }

    fn a_phone_is_stolen(&self) {
        let phone = joined(&self.anna, self.place(), "anna-phone");
        self.anna.ask(["revoke", "anna-phone", "--reason", "stolen"]);
        eventually("nobody answers the thief", SETTLE, || {
            let asked = phone.cli(["verify"], [""; 0]).json();
            let holders = asked["holders"].as_array().unwrap();
            holders.iter().all(|holder| holder["answered"] == false)
        });
        self.told("Anna's phone is stolen and thrown out");
    }

    fn a_desk_is_replaced(&self) -> Node {
        let old = joined(&self.anna, self.place(), "anna-desk");
        let new = joined(&self.anna, self.place(), "anna-new-desk");
        self.anna.ask(["revoke", "anna-desk", "--reason", "replaced"]);
        gone(old);
        fs::write(self.photos.join("new"), b"saved with the newest key").unwrap();
        safe_backup(&self.anna, &self.photos);
        self.told("her desk is replaced");
        new
    }

    /// Guardians who have lost their own devices and are back are guardians still, once they are paired again.
    fn bobs_house_burns(&self, house: House) -> Node {
        gone(house.pc);
        gone(house.tablet);
        let mut bob = Node::new(self.place(), "bob-again");
        let ticket = self.carol.ticket();
        let words = ["recover", "--name", "bob-again", "--connect", &ticket, "--phrase-file"];
        bob.cli(words, [&house.words]).ok();
        survived(&bob, &house.letters, &self.place().join("bob.restored"));
        bob.up();
        pair(&self.anna, &bob, "--circle");
        self.told("Bob's house burns: he is back by his 24 words, and paired anew");
        bob
    }

    fn annas_house_burns(mut self, desk: Node, bob: &Node) -> Self {
        fs::remove_file(&self.words).unwrap();
        eventually("Bob is Anna's guardian on his new machine", SETTLE, || {
            bob.ask(["guardians"])["guardian_of"].as_array().is_some_and(|of| of.len() == 1)
        });
        gone(std::mem::replace(&mut self.anna, Node::new(self.directory.path(), "anna-again")));
        gone(desk);
        self.words = self.place().join("found.txt");
        recovered_by(&self.anna, &[bob, &self.dora], &self.words);
        survived(&self.anna, &self.photos, &self.place().join("anna.restored"));
        self.anna.up();
        pair(&self.anna, bob, "--circle");
        self.told("Anna's burns, with her words in it: she is back by two of her guardians");
        self
    }

    fn dora_leaves(&self) {
        // Dora knows Anna by the laptop that burnt; the new one hears of it when it greets her.
        let begun = self.dora.ask(["leave", "anna-laptop"]);
        assert_eq!(begun["circles"][0]["guards_them"], true, "she is a guardian still");
        for burnt in ["anna-laptop", "anna-new-desk"] {
            self.anna.ask(["revoke", burnt, "--reason", "lost"]);
        }
        self.appoint(&["bob-again", "carol-pc"]);
        eventually("her share is of no use any more", SETTLE, || {
            self.dora.ask(["guardians"])["guardian_of"] == Value::Array(vec![])
        });
        // Only Carol has room for her beside Dora: that there is one place less is for Anna to accept.
        let hers = || self.anna.ask(["leave", "dora-pc", "--dry-run"])["circles"][0].clone();
        eventually("Anna hears of it", SETTLE, || hers()["who"] == "them");
        self.anna.ask(["leave", "dora-pc", "--give-up-copies"]);
        let anna = begun["circles"][0]["vault"].as_str().unwrap();
        let stands = || self.dora.ask(["leave", anna, "--dry-run"])["circles"][0].clone();
        eventually("Anna has everything elsewhere", SETTLE, || {
            stands()["theirs"]["waived"] == true
        });
        self.dora.ask(["leave", anna, "--drop-theirs"]);
        eventually("it is over", SETTLE, || stands()["done"] == true);
        self.told("Dora leaves the circle: what she kept is elsewhere, two others are guardians");
    }
}

// GUARD-19, GUARD-8, LOG-16, LOG-18
#[test]
fn a_family_gets_everything_back_whatever_happens_to_it() {
    println!("four persons, four houses, seven devices:");
    let (family, house) = Family::new();
    family.a_phone_is_stolen();
    let desk = family.a_desk_is_replaced();
    let bob = family.bobs_house_burns(house);
    let family = family.annas_house_burns(desk, &bob);
    family.dora_leaves();
    fs::write(family.photos.join("the next day"), b"life goes on").unwrap();
    safe_backup(&family.anna, &family.photos);
    family.told("and everything goes on");
}
