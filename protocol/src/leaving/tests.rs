//! Two vaults with their devices, who say what they know to whom they meet, in any order.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{word::VERSION, *};
use crate::{
    keys::{DeviceKeys, RecoveryKeys, phrase::Phrase},
    limits::{CLOCK_AHEAD_S_MAX, LEAVING_DAY_S, LEAVING_DAYS},
    log::{Label, LastHead, Leaver, Newcomer, Reason, Role, found::Founding},
    time::Timestamp,
};

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);

/// A vault and the keys of its devices.
pub(super) struct Owner {
    pub(super) log: DeviceLog,
    pub(super) devices: Vec<DeviceKeys>,
    recovery: RecoveryKeys,
}

impl Owner {
    pub(super) fn new(seed: u8, devices: u8) -> Self {
        let keys = |number: u8| DeviceKeys::from_seeds([seed + number; 32], [!(seed + number); 32]);
        let devices: Vec<DeviceKeys> = (0..devices).map(keys).collect();
        let recovery = Phrase::from_entropy([seed; 32]).recovery();
        let label = Label { name: "one".into(), site: "home".into() };
        let device = devices.first().unwrap();
        let founding = Founding { device, recovery: &recovery, label: &label, time: NOW };
        let rng = &mut ChaCha8Rng::from_seed([seed; 32]);
        let mut log = DeviceLog::found(&founding, rng).unwrap().log;
        for device in devices.iter().skip(1) {
            let newcomer = Newcomer {
                device: device.public(),
                label: label.clone(),
                role: Role::Owner,
                time: NOW,
            };
            log.enrol(&recovery, device, &newcomer, rng).unwrap();
        }
        Self { log, devices, recovery }
    }

    pub(super) fn body(&self, device: usize, other: &Self) -> WordBody {
        WordBody {
            version: VERSION,
            vault: self.log.vault(),
            device: self.devices[device].id(),
            other: other.log.vault(),
            number: 1,
            wish: None,
            waives: None,
        }
    }

    fn living(&self) -> impl Iterator<Item = DeviceId> {
        self.log.devices().map(|device| device.public.id)
    }

    fn pair(&self, other: &Self) -> Pair {
        Pair { vault: self.log.vault(), other: other.log.vault() }
    }
}

fn wish(number: u64, leaves: bool) -> Option<Wish> {
    Some(Wish { number, leaves, stayed: 0 })
}

// LEAVE-5
#[test]
fn a_word_is_that_of_a_living_device_with_numbers_that_a_clock_could_give() {
    let (mut anna, bob) = (Owner::new(1, 2), Owner::new(11, 1));
    let body = WordBody { number: NOW.0, wish: wish(NOW.0, true), ..anna.body(0, &bob) };
    let word = LeavingWord::sign(body.clone(), &anna.devices[0]).unwrap();
    assert_eq!(LeavingWord::decode(word.bytes()).unwrap(), word);
    assert_eq!(word.check(&anna.log, NOW), Ok(()));
    assert_eq!(word.check(&bob.log, NOW), Err(WordError::Stranger));
    let other = LeavingWord::sign(body.clone(), &anna.devices[1]);
    assert_eq!(other.unwrap_err(), WordError::Shape, "it names another device");
    let mut forged = word.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(LeavingWord::decode(&forged).unwrap_err(), WordError::Signature);

    let most = NOW.0 + CLOCK_AHEAD_S_MAX;
    let ahead = [
        WordBody { number: most + 1, ..body.clone() },
        WordBody { wish: wish(most + 1, true), ..body.clone() },
        WordBody { waives: Some(most + 1), ..body.clone() },
    ];
    for body in ahead {
        let word = LeavingWord::sign(body, &anna.devices[0]).unwrap();
        assert_eq!(word.check(&anna.log, NOW), Err(WordError::Ahead));
    }
    let senseless = [
        WordBody { number: 0, ..body.clone() },
        WordBody { other: body.vault, ..body.clone() },
        WordBody { wish: wish(0, true), ..body.clone() },
        WordBody { version: 2, ..body },
    ];
    for body in senseless {
        assert_eq!(LeavingWord::sign(body, &anna.devices[0]).unwrap_err(), WordError::Shape);
    }
    let leaver = Leaver {
        device: anna.devices[0].id(),
        reason: Reason::Stolen,
        last: None::<LastHead>,
        undo_removals: false,
        time: NOW,
    };
    anna.log.remove(&anna.recovery, &leaver, &mut ChaCha8Rng::from_seed([3; 32])).unwrap();
    assert_eq!(
        word.check(&anna.log, NOW),
        Err(WordError::Stranger),
        "who was removed says nothing"
    );
}

// LEAVE-10: whoever has the tablet of a child does not part two families.
#[test]
fn a_member_waives_and_stays_but_does_not_leave_for_the_vault() {
    let (mut anna, bob) = (Owner::new(1, 1), Owner::new(11, 1));
    let tablet = DeviceKeys::from_seeds([77; 32], [78; 32]);
    let label = Label { name: "tablet".into(), site: "home".into() };
    let (device, role) = (tablet.public(), Role::Member);
    let newcomer = Newcomer { device, label: label.clone(), role, time: NOW };
    let (owner, rng) = (&anna.devices[0], &mut ChaCha8Rng::from_seed([4; 32]));
    let draft = anna.log.draft_add(owner, &newcomer, rng).unwrap();
    let consent = draft.consent(&anna.log, &tablet, (&label, role)).unwrap();
    anna.log.append_add(&draft, consent, owner).unwrap();
    let says = |wish: Option<Wish>, waives: Option<u64>| {
        let body = WordBody { device: tablet.id(), wish, waives, ..anna.body(0, &bob) };
        LeavingWord::sign(body, &tablet).unwrap().check(&anna.log, NOW)
    };
    assert_eq!(says(wish(1, true), None), Err(WordError::Member));
    assert_eq!(says(wish(1, true), Some(1)), Err(WordError::Member));
    assert_eq!(says(wish(1, false), None), Ok(()));
    assert_eq!(says(None, Some(1)), Ok(()));
}

// LEAVE-5
#[test]
fn of_a_device_the_highest_number_counts_and_it_fills_nobody_elses_place() {
    let (anna, bob) = (Owner::new(1, 1), Owner::new(11, 1));
    let pair = anna.pair(&bob);
    let say = |number, waives| {
        let body = WordBody { number, waives, ..anna.body(0, &bob) };
        LeavingWord::sign(body, &anna.devices[0]).unwrap()
    };
    let mut words = Words::default();
    assert!(words.offer(say(5, Some(3))));
    assert!(!words.offer(say(5, None)), "of two with one number the first stays");
    assert!(!words.offer(say(4, None)));
    assert!(words.offer(say(6, None)));
    assert_eq!(words.of(pair, &anna.devices[0].id()).unwrap().body().number, 6);
    for other in 0..=u8::MAX {
        let other = VaultId::from_bytes([other; 32]);
        let body = WordBody { other, ..anna.body(0, &bob) };
        words.offer(LeavingWord::sign(body, &anna.devices[0]).unwrap());
    }
    assert_eq!(words.about(&anna.log.vault()).count(), LEAVING_OTHERS_MAX);
    let other = VaultId::from_bytes([0xfe; 32]);
    let own = WordBody { other, ..anna.body(0, &bob) };
    words.say(LeavingWord::sign(own, &anna.devices[0]).unwrap());
    assert_eq!(words.about(&other).count(), 1, "for what one says oneself there is a place");
    let bobs = LeavingWord::sign(bob.body(0, &anna), &bob.devices[0]).unwrap();
    assert!(words.offer(bobs));
    assert!(words.offer(say(7, None)), "what is there can be replaced");
}

// LEAVE-5
#[test]
fn between_two_vaults_nobody_is_told_of_a_third() {
    let (anna, bob, carol) = (Owner::new(1, 1), Owner::new(11, 1), Owner::new(21, 1));
    let mut words = Words::default();
    for other in [&bob, &carol] {
        words.offer(LeavingWord::sign(anna.body(0, other), &anna.devices[0]).unwrap());
    }
    let (own, of) = (anna.log.vault(), bob.log.vault());
    let (tag, all) = (words.tag(own, of), words.tag(own, own));
    assert!(tag != 0 && tag != all && words.tag(own, VaultId::from_bytes([9; 32])) == 0);
    let told = words.for_device_of(own, of);
    assert!(told.iter().all(|word| word.body().other == of), "{told:?}");
    assert_eq!((told.len(), words.for_device_of(own, own).len()), (1, 2));
}

// LEAVE-3
#[test]
fn no_clock_makes_the_wait_shorter() {
    let mut days = DaysSeen::begin(7, NOW);
    assert_eq!(days.seen(Timestamp(NOW.0 + LEAVING_DAY_S - 1)), None);
    // A year ahead at once, and again: two days.
    for jump in 1..=2 {
        days = days.seen(Timestamp(NOW.0 + jump * 31_536_000)).unwrap();
    }
    assert_eq!(days.left(), LEAVING_DAYS - 2);
    // Set back: it goes on from there.
    days = days.seen(NOW).unwrap();
    assert_eq!(days.left(), LEAVING_DAYS - 2);
    for day in 1..=u64::from(LEAVING_DAYS) - 2 {
        assert!(days.left() > 0);
        days = days.seen(NOW.after_days(day)).unwrap();
    }
    assert_eq!(days.left(), 0);
    assert_eq!(DaysSeen::decode(&days.encode()), Ok(days));
    assert_eq!(DaysSeen::decode(b"\x00"), Err(NoDays));
}

/// One device with what it knows and does.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that a test sets")]
struct Node {
    keys: DeviceKeys,
    vault: usize,
    words: Words,
    /// Whether it counts on what the other vault keeps for it.
    relies: bool,
    cover: bool,
    kept: u64,
    days: Option<DaysSeen>,
    say: Say,
    gives_up: bool,
    has_forgotten: bool,
    is_told: bool,
}

struct World {
    owners: [Owner; 2],
    nodes: Vec<Node>,
    clock: Timestamp,
    /// Number of the newest wish to stay.
    stayed: u64,
    /// Somebody wished to stay whom others had forgotten already, or forgot without having heard of it.
    is_taken_back_late: bool,
    /// What went wrong.
    faults: Vec<&'static str>,
}

impl World {
    fn new(devices: [u8; 2]) -> Self {
        let owners = [Owner::new(1, devices[0]), Owner::new(101, devices[1])];
        let of = |vault: usize| owners[vault].devices.iter().map(move |keys| (vault, keys.clone()));
        let nodes = of(0).chain(of(1)).map(|(vault, keys)| Node {
            keys,
            vault,
            words: Words::default(),
            relies: true,
            cover: true,
            kept: 3,
            days: None,
            say: Say::Waits,
            gives_up: false,
            has_forgotten: false,
            is_told: false,
        });
        let nodes = nodes.collect();
        Self { owners, nodes, clock: NOW, stayed: 0, is_taken_back_late: false, faults: Vec::new() }
    }

    fn sides(&self, node: usize) -> (Side, Side, Pair) {
        let node = &self.nodes[node];
        let (own, other) = (&self.owners[node.vault], &self.owners[1 - node.vault]);
        let pair = own.pair(other);
        // Whoever has forgotten the other vault has no log of it: he knows those who have spoken.
        let theirs: Vec<DeviceId> = match node.has_forgotten {
            true => node.words.speakers(pair.turned()).collect(),
            false => other.living().collect(),
        };
        let side = |pair, living: Vec<DeviceId>| node.words.side(pair, living.into_iter());
        (side(pair, own.living().collect()), side(pair.turned(), theirs), pair)
    }

    /// Says something new about the other vault.
    fn speak(&mut self, node: usize, change: impl FnOnce(&mut WordBody)) {
        let (_, _, pair) = self.sides(node);
        let own = &mut self.nodes[node];
        let device = own.keys.id();
        let last = own.words.of(pair, &device).map(|word| word.body().clone());
        let mut body = last.unwrap_or(WordBody {
            version: VERSION,
            vault: pair.vault,
            device,
            other: pair.other,
            number: 0,
            wish: None,
            waives: None,
        });
        body.number = self.clock.number_after(body.number);
        change(&mut body);
        let word = LeavingWord::sign(body, &own.keys).unwrap();
        assert!(own.words.offer(word));
        own.is_told = false;
    }

    fn wish(&mut self, node: usize, leaves: bool) {
        let (ours, _, pair) = self.sides(node);
        let number = self.clock.number_after(self.nodes[node].words.highest_wish(pair));
        let Some(wish) = ours.next_wish(leaves, number) else { return };
        self.is_taken_back_late |= !leaves && self.nodes.iter().any(|node| node.has_forgotten);
        self.stayed = if leaves { self.stayed } else { number };
        self.speak(node, |body| body.wish = Some(wish));
    }

    fn meet(&mut self, one: usize, two: usize) {
        if one == two {
            return;
        }
        let is_sibling = self.nodes[one].vault == self.nodes[two].vault;
        let is_strange = !is_sibling && self.nodes[two].has_forgotten;
        if is_strange {
            self.nodes[one].is_told = true;
            return;
        }
        if !is_sibling && self.nodes[one].has_forgotten {
            return;
        }
        let all: Vec<LeavingWord> = [one, two]
            .into_iter()
            .flat_map(|node| self.nodes[node].words.of.values().cloned())
            .collect();
        for node in [one, two] {
            for word in &all {
                if self.nodes[node].words.offer(word.clone()) {
                    self.nodes[node].is_told = false;
                }
            }
        }
        if !is_sibling {
            self.nodes[one].is_told = true;
            self.nodes[two].is_told = true;
        }
    }

    fn act(&mut self, node: usize) {
        let (ours, theirs, _) = self.sides(node);
        let own = &self.nodes[node];
        let moving = u64::from(!own.cover);
        let cover = Cover {
            kept_packs: u64::from(own.relies),
            moving_packs: moving,
            is_head_elsewhere: true,
            copies_now: 1,
            copies_after: 1,
            ..Cover::default()
        };
        let facts = Facts {
            own: own.keys.id(),
            ours: &ours,
            theirs: &theirs,
            cover,
            is_known: !own.has_forgotten,
            gives_up: own.gives_up,
            kept: own.kept,
            days: own.days,
            say: own.say,
            is_told: own.is_told,
        };
        for deed in deeds(&facts) {
            self.carry_out(node, deed);
        }
    }

    fn carry_out(&mut self, node: usize, deed: Deed) {
        let clock = self.clock;
        match deed {
            Deed::Waive { since } => {
                self.nodes[node].relies = false;
                self.speak(node, |body| body.waives = Some(since));
            }
            Deed::Unwaive => {
                self.speak(node, |body| body.waives = None);
                // What it counts on from here on it asks for anew.
                self.nodes[node].relies = !self.nodes[node].has_forgotten;
                self.nodes[node].gives_up = false;
            }
            Deed::Await { since } => {
                self.nodes[node].days = Some(DaysSeen::begin(since, clock));
            }
            Deed::StopWaiting => self.nodes[node].days = None,
            Deed::Drop => {
                let (is_regardless, vault) =
                    (self.nodes[node].say == Say::Regardless, self.nodes[node].vault);
                // Judged by what the others are, not by what is known of them here.
                let relies = |it: &Node| it.vault != vault && it.relies;
                let since = apart_since(&self.sides(node).0, &self.sides(node).1);
                let never_waived = |it: &Node| {
                    let pair = Pair {
                        vault: self.owners[it.vault].log.vault(),
                        other: self.owners[1 - it.vault].log.vault(),
                    };
                    let said = self.nodes[node].words.of(pair, &it.keys.id());
                    said.and_then(|word| word.body().waives) < since
                };
                let needs = |it: &Node| relies(it) && never_waived(it);
                if !is_regardless && self.nodes.iter().any(needs) {
                    self.faults.push("dropped what somebody relies on who has not waived it");
                }
                self.nodes[node].kept = 0;
            }
            Deed::Forget => {
                if self.nodes[node].kept > 0 {
                    self.faults.push("forgot somebody for whom something is kept");
                }
                let (pair, words) = (self.sides(node).2, &self.nodes[node].words);
                let heard = words.highest_wish(pair).max(words.highest_wish(pair.turned()));
                self.is_taken_back_late |= heard < self.stayed;
                self.nodes[node].has_forgotten = true;
            }
        }
    }

    /// A day passes: everybody meets everybody, twice, and acts.
    fn day(&mut self) {
        self.clock = self.clock.after_days(1);
        let all: Vec<usize> = (0..self.nodes.len()).collect();
        for _ in 0..2 {
            for one in &all {
                for two in &all {
                    self.meet(*one, *two);
                }
                let seen = self.nodes[*one].days.and_then(|days| days.seen(self.clock));
                self.nodes[*one].days = seen.or(self.nodes[*one].days);
                self.act(*one);
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Wish(usize, bool),
    Meet(usize, usize),
    Act(usize),
    Cover(usize, bool),
    GiveUp(usize),
    SayOnce(usize),
    Hours(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let node = 0..5_usize;
    prop_oneof![
        1 => (node.clone(), any::<bool>()).prop_map(|(node, leaves)| Event::Wish(node, leaves)),
        6 => (node.clone(), node.clone()).prop_map(|(one, two)| Event::Meet(one, two)),
        6 => node.clone().prop_map(Event::Act),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, cover)| Event::Cover(node, cover)),
        1 => node.clone().prop_map(Event::GiveUp),
        1 => node.prop_map(Event::SayOnce),
        2 => (1..200_u8).prop_map(Event::Hours),
    ]
}

proptest! {
    // LEAVE-2, LEAVE-4, LEAVE-7
    #[test]
    fn nothing_is_dropped_that_a_device_has_not_waived_and_all_come_to_an_end(
        events in proptest::collection::vec(event(), 0..120),
    ) {
        let mut world = World::new([3, 2]);
        for event in events {
            match event {
                Event::Wish(node, leaves) if !world.nodes[node].has_forgotten => world.wish(node, leaves),
                Event::Wish(..) => {}
                Event::Meet(one, two) => world.meet(one, two),
                Event::Act(node) => world.act(node),
                Event::Cover(node, cover) => world.nodes[node].cover = cover,
                Event::GiveUp(node) => world.nodes[node].gives_up = true,
                Event::SayOnce(node) => world.nodes[node].say = Say::OnceWaived,
                Event::Hours(hours) => {
                    world.clock = Timestamp(world.clock.0 + 3_600 * u64::from(hours));
                }
            }
            prop_assert!(world.faults.is_empty(), "{:?}", world.faults);
        }
        // Then everybody can move everything, meets everybody, and one wants to leave.
        for node in 0..world.nodes.len() {
            world.nodes[node].cover = true;
        }
        world.day();
        if let Some(node) = (0..5).find(|node| !world.nodes[*node].has_forgotten) {
            world.wish(node, true);
        }
        for _ in 0..LEAVING_DAYS + 5 {
            world.day();
        }
        prop_assert!(world.faults.is_empty(), "{:?}", world.faults);
        // Whom both have forgotten is asked for nothing more: that is for a person to end.
        for node in world.nodes.iter().filter(|_| !world.is_taken_back_late) {
            prop_assert!(node.has_forgotten && node.kept == 0, "it does not come to an end");
        }
    }
}

// LEAVE-2, LEAVE-3
#[test]
fn one_device_that_is_away_keeps_everything_and_the_word_of_a_thief_makes_nothing_go_sooner() {
    let mut world = World::new([2, 1]);
    // A thief has the first device of Anna: it wishes, waives, and says it all to Bob, for half a year.
    world.wish(0, true);
    let since = world.nodes[0].words.highest_wish(world.sides(0).2);
    world.nodes[0].gives_up = true;
    for _ in 0..180 {
        world.clock = world.clock.after_days(1);
        world.act(0);
        world.meet(0, 2);
        world.act(2);
        assert_eq!(world.nodes[2].kept, 3, "her other device has not waived");
        assert_eq!(world.nodes[2].days, None);
    }
    // The other one comes, and has everything elsewhere: from here on 90 days are seen.
    world.meet(1, 2);
    world.act(1);
    world.meet(1, 2);
    let mut days = 0;
    while world.nodes[2].kept > 0 {
        world.act(2);
        world.clock = world.clock.after_days(1);
        let seen = world.nodes[2].days.and_then(|seen| seen.seen(world.clock));
        world.nodes[2].days = seen.or(world.nodes[2].days);
        days += 1;
    }
    assert_eq!(days, LEAVING_DAYS + 1);
    assert!(world.faults.is_empty());
    assert_eq!(world.nodes[2].days.map(|days| days.since()), Some(since));
}

// LEAVE-3
#[test]
fn the_person_whose_disk_it_is_may_say_so_and_nobody_else() {
    let mut world = World::new([1, 1]);
    world.wish(1, true);
    world.nodes[0].cover = false;
    world.meet(0, 1);
    world.act(0);
    world.nodes[1].say = Say::OnceWaived;
    world.meet(0, 1);
    world.act(1);
    assert_eq!(world.nodes[1].kept, 3, "she has it nowhere else");
    world.nodes[0].cover = true;
    world.act(0);
    world.meet(0, 1);
    world.act(1);
    assert_eq!(world.nodes[1].kept, 0, "waived, and he wants the room");
    let mut world = World::new([1, 1]);
    world.wish(1, true);
    world.nodes[1].say = Say::Regardless;
    world.act(1);
    world.act(1);
    assert!(!world.nodes[1].has_forgotten, "first it is told");
    world.meet(0, 1);
    world.act(1);
    assert!(world.nodes[1].kept == 0 && world.nodes[1].has_forgotten);
    assert_eq!(world.nodes[0].kept, 3, "what she does is her own affair");
}

// LEAVE-6
#[test]
fn a_waiver_is_for_one_wish_and_one_of_before_counts_for_no_later_one() {
    let mut world = World::new([1, 1]);
    world.wish(0, true);
    world.act(0);
    world.meet(0, 1);
    world.clock = world.clock.after_days(1);
    world.wish(0, false);
    world.act(0);
    assert!(world.nodes[0].relies);
    // Bob hears of the new wishes alone, as if the word between were lost.
    world.clock = world.clock.after_days(1);
    world.nodes[0].cover = false;
    world.wish(0, true);
    world.act(0);
    world.meet(0, 1);
    world.nodes[1].say = Say::OnceWaived;
    world.act(1);
    assert_eq!(world.nodes[1].kept, 3);
    assert!(world.faults.is_empty());
}

// LEAVE-8
#[test]
fn a_vault_that_is_known_by_no_device_has_waived_nothing() {
    let side = Side::default();
    assert!(!side.has_waived(1));
    let away: BTreeSet<DeviceId> = side.unwaived(1).collect();
    assert!(away.is_empty());
}
