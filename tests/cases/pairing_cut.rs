//! A pairing that is cut by `kill -9` of real processes: while a person is asked, and around the yes.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use larder_tests::{dice::Dice, node::Node, short_directory, terminal::Terminal};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// Who is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    /// The command of whoever comes; it is the whole node of a home where none runs.
    Joiner,
    /// The node of whoever invites.
    Inviter,
    /// The command that waits beside it.
    Waiter,
}

/// Two screens with the same question.
struct Asked {
    here: Terminal,
    there: Terminal,
    code: String,
}

/// Two homes, and what they are to become to each other.
struct Pair<'n> {
    inviter: &'n mut Node,
    joiner: &'n Node,
    invites: &'static [&'static str],
}

impl Pair<'_> {
    /// An invitation and whoever comes with it, up to the question.
    fn ask(&self) -> Asked {
        let here = Terminal::start(self.inviter.plain(self.invites));
        let shown = here.sees("works once", LIMIT);
        let is_code = |word: &&str| word.starts_with("larder-");
        let code = shown.split_whitespace().find(is_code).expect("a code is shown").to_owned();
        let words = ["join", &code, "--name", &self.joiner.name, "--site", "away"];
        let there = Terminal::start(self.joiner.plain(words));
        here.sees("[y/N]", LIMIT);
        there.sees("[y/N]", LIMIT);
        Asked { here, there, code }
    }

    fn kill(&mut self, victim: Victim, asked: Asked) {
        let Asked { mut here, mut there, .. } = asked;
        match victim {
            Victim::Joiner => {
                drop(there);
                assert!(here.ended(LIMIT).code().is_some(), "{}", here.shown());
            }
            Victim::Inviter => {
                self.inviter.kill();
                assert!(here.ended(LIMIT).code().is_some(), "{}", here.shown());
                assert!(there.ended(LIMIT).code().is_some(), "{}", there.shown());
                self.inviter.up();
            }
            Victim::Waiter => {
                drop(here);
                assert!(there.ended(LIMIT).code().is_some(), "{}", there.shown());
            }
        }
    }

    /// Whether each side knows the other: who invites, who joins.
    fn known(&self) -> (bool, bool) {
        let lists = |node: &Node, name: &str| {
            let all = [&node.ask(["devices"])["devices"], &node.ask(["peers"])["peers"]];
            all.into_iter().filter_map(Value::as_array).flatten().any(|one| one["name"] == name)
        };
        // A home without a vault knows nobody, and says so.
        let has_vault = self.joiner.ask(["status"])["vault"].is_string();
        let joined = has_vault && lists(self.joiner, &self.inviter.name);
        (lists(self.inviter, &self.joiner.name), joined)
    }

    /// Whatever there was before, another invitation makes it whole.
    fn finish(&self) {
        let Asked { mut here, mut there, .. } = self.ask();
        here.types("y");
        there.types("y");
        assert!(there.ended(LIMIT).success(), "{}", there.shown());
        assert!(here.ended(LIMIT).success(), "{}", here.shown());
        assert_eq!(self.known(), (true, true));
    }
}

/// Cuts pairings of `joiners` with one inviter; prints what was found after each cut.
fn cut_and_finish(
    inviter: &mut Node,
    invites: &'static [&'static str],
    mut joiner: impl FnMut(usize) -> Node,
) {
    // While both are asked nothing is known on either side.
    for (round, victim) in [Victim::Joiner, Victim::Inviter, Victim::Waiter].into_iter().enumerate()
    {
        let joiner = joiner(round);
        let mut pair = Pair { inviter, joiner: &joiner, invites };
        let asked = pair.ask();
        let code = asked.code.clone();
        pair.kill(victim, asked);
        assert_eq!(pair.known(), (false, false), "{victim:?} was killed at the question");
        joiner.cli(["join", &code], [""; 0]).expect_failure();
        pair.finish();
    }
    // From the yes on the one who invites is first, and never is anybody left who cannot go on.
    let mut dice = Dice::new(31);
    let mut usual = Duration::from_millis(100);
    let mut found = Vec::new();
    for round in 3..6 {
        let joiner = joiner(round);
        let mut pair = Pair { inviter, joiner: &joiner, invites };
        let mut asked = pair.ask();
        asked.here.types("y");
        asked.there.types("y");
        let share = u32::try_from(dice.below(110)).unwrap();
        thread::sleep(usual * share / 100);
        pair.kill(if round % 2 == 0 { Victim::Joiner } else { Victim::Inviter }, asked);
        let known = pair.known();
        assert_ne!(known, (false, true), "who invites stores first");
        found.push(known);
        let started = Instant::now();
        pair.finish();
        usual = usual.max(started.elapsed() / 4);
    }
    println!("known to (inviter, joiner) after a cut around the yes: {found:?}");
}

fn node(directory: &Path, name: &str) -> Node {
    Node::new(directory, name)
}

// PAIR-8, PAIR-16
#[test]
fn a_device_that_is_cut_off_is_in_or_out_and_can_go_on() {
    let directory = short_directory();
    let mut laptop = node(directory.path(), "laptop");
    laptop.init();
    laptop.up();
    let phone = |round| node(directory.path(), &format!("phone{round}"));
    cut_and_finish(&mut laptop, &["invite", "--device"], phone);
    let devices = laptop.ask(["devices"])["devices"].as_array().unwrap().len();
    assert_eq!(devices, 7, "each phone once, whatever was cut");
}

// PAIR-8, PAIR-16
#[test]
fn a_vault_that_is_cut_off_is_in_the_circle_or_not_and_can_go_on() {
    let directory = short_directory();
    let mut anna = node(directory.path(), "anna");
    anna.init();
    anna.up();
    let vault = |round| {
        let other = node(directory.path(), &format!("ben{round}"));
        other.init();
        other
    };
    cut_and_finish(&mut anna, &["invite"], vault);
    assert_eq!(anna.ask(["peers"])["peers"].as_array().unwrap().len(), 6);
}
