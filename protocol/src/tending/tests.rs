//! A few nodes that look after a vault's copies, with all the shell there is: who is up, and what each has.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    choosing::{Known, Scene, choose},
    *,
};
use crate::{
    index::{PackClass, ShardRef},
    limits::{TEND_ABSENCE_S, TEND_SAMPLE},
    proof::Challenge,
    wire::message::{Refusal, Shown},
};

pub(crate) mod records;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn node(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 32])
}

/// The device of the vault.
fn owner() -> DeviceId {
    DeviceId::from_bytes([0xd0; 32])
}

fn site(number: u8) -> SiteTag {
    SiteTag([number; 8])
}

fn vault() -> VaultId {
    VaultId::from_bytes([0xaa; 32])
}

fn root(number: u32) -> ShardRoot {
    ShardRoot::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn fellow(number: u8, at: u8) -> Fellow {
    Fellow { device: node(number), site: site(at), addresses: vec![] }
}

/// One node of the world.
struct Node {
    machine: Tending,
    store: Inventory,
    is_up: bool,
    room: u64,
    /// Says that it keeps what it does not.
    lies: bool,
    noted: Option<Vigil>,
}

struct World {
    now: Instant,
    nodes: BTreeMap<DeviceId, Node>,
    claimed: BTreeSet<ShardRoot>,
    /// Fetches in all: what a network would carry.
    fetched: u64,
    fetches_at_once: usize,
}

impl World {
    /// Nodes 1, 2, ... at these sites, to whom a vault has introduced each other.
    fn new(sites: &[u8], copies: u8) -> Self {
        let numbers = || (1..).zip(sites);
        let fellows: BTreeMap<DeviceId, Fellow> =
            numbers().map(|(number, at)| (node(number), fellow(number, *at))).collect();
        let circle = Circle { copies, fellows };
        let nodes = numbers().map(|(number, _)| {
            let mut machine = Tending::new(node(number));
            let start = Instant::default();
            let vigil = Vigil::default();
            machine.handle_input(start, Input::VaultKnown { vault: vault(), vigil });
            let circle = circle.clone();
            machine.handle_input(start, Input::Introduced { vault: vault(), circle });
            let devices = BTreeSet::from([owner()]);
            machine.handle_input(start, Input::DevicesWatched { vault: vault(), devices });
            let node_there = Node {
                machine,
                store: Inventory::new(),
                is_up: true,
                room: u64::MAX,
                lies: false,
                noted: None,
            };
            (node(number), node_there)
        });
        Self {
            now: Instant::default(),
            nodes: nodes.collect(),
            claimed: BTreeSet::new(),
            fetched: 0,
            fetches_at_once: 0,
        }
    }

    fn put(&mut self, number: u32, class: PackClass, at: &[u8]) {
        self.claimed.insert(root(number));
        for holder in at {
            self.of(*holder).store.insert(root(number), (1000, class));
        }
    }

    fn of(&mut self, number: u8) -> &mut Node {
        self.nodes.get_mut(&node(number)).unwrap()
    }

    fn tell(&mut self, number: u8, input: Input) {
        let now = self.now;
        self.of(number).machine.handle_input(now, input);
        self.settle();
    }

    fn everybody_hears(&mut self) {
        for number in 1..=u8::try_from(self.nodes.len()).unwrap() {
            self.tell(number, Input::Heard { vault: vault(), device: owner() });
        }
    }

    fn pass(&mut self, ms: u64) {
        let end = self.now.after_ms(ms);
        while self.now < end {
            let nodes = self.nodes.values().filter(|it| it.is_up);
            let next = nodes.filter_map(|it| it.machine.poll_timeout()).min();
            self.now = next.unwrap_or(end).clamp(self.now, end);
            let now = self.now;
            let up: Vec<DeviceId> =
                self.nodes.iter().filter(|(_, it)| it.is_up).map(|(id, _)| *id).collect();
            for id in up {
                let machine = &mut self.nodes.get_mut(&id).unwrap().machine;
                if machine.poll_timeout().is_some_and(|due| due <= now) {
                    machine.handle_input(now, Input::TimePassed);
                }
            }
            self.settle();
        }
    }

    /// Carries out all orders; fetches of one node at once are counted.
    fn settle(&mut self) {
        loop {
            let mut any = false;
            for id in self.nodes.keys().copied().collect::<Vec<_>>() {
                let mut inputs = Vec::new();
                let mut fetches = 0;
                while let Some(output) = self.nodes.get_mut(&id).unwrap().machine.poll_output() {
                    any = true;
                    fetches += usize::from(matches!(output, Output::Fetch { .. }));
                    inputs.extend(self.carry_out(id, output));
                }
                self.fetches_at_once = self.fetches_at_once.max(fetches);
                let now = self.now;
                for input in inputs {
                    self.nodes.get_mut(&id).unwrap().machine.handle_input(now, input);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn carry_out(&mut self, id: DeviceId, output: Output) -> Option<Input> {
        Some(match output {
            Output::Ask { order, fellow, .. } => {
                let fellow = &self.nodes[&fellow.device];
                match (fellow.is_up, fellow.machine.is_unattended(&vault())) {
                    (false, _) => Input::Silent { order },
                    (true, false) => Input::Refused { order },
                    (true, true) => {
                        let mut kept = fellow.store.clone();
                        if fellow.lies {
                            kept = self
                                .claimed
                                .iter()
                                .map(|it| (*it, (1000, PackClass::Data)))
                                .collect();
                        }
                        Input::Answered { order, kept, is_shown: !fellow.lies }
                    }
                }
            }
            Output::Look { order, .. } => {
                let store = &self.nodes[&id].store;
                let here = self.claimed.iter().filter(|it| store.contains_key(it)).copied();
                Input::Looked { order, claimed: self.claimed.clone(), here: here.collect() }
            }
            Output::Fetch { order, wanted, .. } => {
                let Wanted { shard, class, from } = wanted;
                let gives = |it: &DeviceId| {
                    let it = &self.nodes[it];
                    it.is_up && it.store.get(&shard.root) == Some(&(shard.bytes, class))
                };
                let fetched = if !from.iter().any(gives) {
                    Fetched::Failed
                } else if self.nodes[&id].room < shard.bytes {
                    Fetched::NoRoom
                } else {
                    self.fetched += 1;
                    let node = self.nodes.get_mut(&id).unwrap();
                    node.room -= shard.bytes;
                    assert!(node.store.insert(shard.root, (shard.bytes, class)).is_none());
                    Fetched::Kept
                };
                Input::Fetched { order, fetched }
            }
            Output::Note { vigil, .. } => {
                self.nodes.get_mut(&id).unwrap().noted = Some(vigil);
                return None;
            }
        })
    }

    /// On how many sites a pack is, of nodes that are up.
    fn sites(&self, number: u32, sites: &[u8]) -> usize {
        let up = self.nodes.values().zip(sites).filter(|(it, _)| it.is_up);
        let keeps = up.filter(|(it, _)| it.store.contains_key(&root(number)));
        keeps.map(|(_, at)| at).collect::<BTreeSet<_>>().len()
    }
}

// TEND-1, TEND-2
#[test]
fn while_a_device_is_heard_of_nothing_is_done_and_afterwards_copies_come_back() {
    let sites = [1, 2, 3];
    let mut world = World::new(&sites, 2);
    for number in 0..40 {
        world.put(number, PackClass::Data, &[1, 2]);
    }
    world.of(2).store.clear();
    for _ in 0..30 {
        world.pass(12 * HOUR_MS);
        world.everybody_hears();
    }
    assert_eq!(world.fetched, 0);
    // Silence: three days of it, and then one round.
    world.pass(3 * DAY_MS - HOUR_MS);
    assert_eq!(world.fetched, 0);
    world.pass(DAY_MS + 12 * HOUR_MS);
    assert!((0..40).all(|number| world.sites(number, &sites) == 2));
    assert_eq!(world.fetched, 40, "each once, by one node");
    assert!(world.fetches_at_once <= TEND_FETCHES_MAX);
    let status = world.of(1).machine.status();
    assert_eq!((status[0].packs, status[0].short, status[0].nowhere), (40, 0, 0));
    // The owner is back: nothing more is done, and it begins anew with the next silence.
    world.everybody_hears();
    world.of(3).store.clear();
    world.pass(2 * DAY_MS);
    assert_eq!(world.fetched, 40);
    assert!(world.of(1).machine.status().is_empty());
}

// TEND-3
#[test]
fn the_users_word_that_all_devices_are_lost_needs_no_silence() {
    let sites = [1, 2];
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[1]);
    for number in [1, 2] {
        world.tell(number, Input::Presumed { device: owner(), is_lost: true });
    }
    world.pass(HOUR_MS);
    assert_eq!(world.sites(1, &sites), 2);
    // One that only one side believes in moves nothing: the other has heard of a device.
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[1]);
    world.tell(2, Input::Presumed { device: owner(), is_lost: true });
    world.pass(2 * DAY_MS);
    assert_eq!((world.sites(1, &sites), world.fetched), (1, 0));
}

// TEND-5
#[test]
fn metadata_goes_to_everybody_and_comes_first() {
    let known: Inventory = (0..10)
        .map(|number| {
            let class = if number < 5 { PackClass::Data } else { PackClass::Metadata };
            (root(number), (1000, class))
        })
        .collect();
    let claimed: BTreeSet<ShardRoot> = known.keys().copied().collect();
    let none = BTreeSet::new();
    let scene = Scene {
        own: (node(1), site(1)),
        copies: 1,
        claimed: &claimed,
        here: &none,
        fellows: vec![(node(2), site(2), Known::Here(&known))],
        patience: 0,
    };
    let choice = choose(&scene);
    assert_eq!(choice.wanted.len(), 5, "one copy of data is enough here");
    assert!(choice.wanted.iter().all(|it| it.class == PackClass::Metadata));
    let choice = choose(&Scene { copies: 2, ..scene });
    let classes: Vec<_> = choice.wanted.iter().map(|it| it.class).collect();
    assert_eq!(classes[..5], [PackClass::Metadata; 5]);
    assert_eq!((classes.len(), choice.short), (10, 10));
}

// TEND-6
#[test]
fn who_sleeps_is_waited_for_and_who_is_gone_is_not() {
    let sites = [1, 2, 3];
    let mut world = World::new(&sites, 2);
    for number in 0..20 {
        world.put(number, PackClass::Data, &[1, 2]);
    }
    world.of(2).is_up = false;
    world.pass(14 * DAY_MS);
    assert_eq!(world.fetched, 0, "it may be asleep");
    world.pass(6 * DAY_MS);
    assert!((0..20).all(|number| world.sites(number, &sites) == 2));
    // It comes back with all that it had: nothing is done twice.
    world.of(2).is_up = true;
    world.pass(5 * DAY_MS);
    assert_eq!(world.fetched, 20);
    // The word of people is quicker than a fortnight.
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[1, 2]);
    world.of(2).is_up = false;
    world.tell(3, Input::Presumed { device: node(2), is_lost: true });
    world.tell(1, Input::Presumed { device: node(2), is_lost: true });
    world.pass(5 * DAY_MS);
    assert_eq!(world.sites(1, &sites), 2);
}

// TEND-6
#[test]
fn without_any_answer_nobody_is_taken_to_be_gone() {
    let sites = [1, 2, 3];
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[2]);
    world.of(2).is_up = false;
    world.of(3).is_up = false;
    world.pass(60 * DAY_MS);
    world.of(3).is_up = true;
    world.of(3).machine = {
        let mut machine = world.of(1).machine.clone();
        machine.own = node(3);
        machine
    };
    world.pass(3 * DAY_MS);
    let absent_s = world.of(1).noted.clone().unwrap().absences().next().unwrap().1;
    assert!(absent_s <= 3 * 86_400 + TEND_ABSENCE_S, "{absent_s}");
}

// TEND-7
#[test]
fn who_says_more_than_it_can_show_counts_for_nothing() {
    let sites = [1, 2, 3];
    let mut world = World::new(&sites, 2);
    for number in 0..10 {
        world.put(number, PackClass::Data, &[1]);
    }
    world.of(2).lies = true;
    world.pass(5 * DAY_MS);
    assert!((0..10).all(|number| world.of(3).store.contains_key(&root(number))));
}

// TEND-7, TEND-1
#[test]
fn a_failing_disk_counts_for_nothing_and_what_it_still_gives_is_taken() {
    let kept: Inventory = (0..9).map(|number| (root(number), (1, PackClass::Data))).collect();
    let claimed: BTreeSet<ShardRoot> = kept.keys().copied().collect();
    let none = BTreeSet::new();
    let fellows = vec![(node(2), site(2), Known::Doubted(&kept))];
    let own = (node(1), site(1));
    let choice =
        choose(&Scene { own, copies: 2, claimed: &claimed, here: &none, fellows, patience: 0 });
    assert_eq!((choice.wanted.len(), choice.short, choice.nowhere), (9, 9, 9));
}

// TEND-17
#[test]
fn what_is_on_one_site_because_there_is_no_other_is_not_said_to_be_well() {
    let kept: Inventory = (0..9).map(|number| (root(number), (1, PackClass::Data))).collect();
    let claimed: BTreeSet<ShardRoot> = kept.keys().copied().collect();
    let fellows = vec![(node(2), site(2), Known::Gone)];
    let own = (node(1), site(1));
    let choice =
        choose(&Scene { own, copies: 2, claimed: &claimed, here: &claimed, fellows, patience: 0 });
    assert_eq!((choice.short, choice.missing, choice.nowhere), (9, 0, 0));
}

// TEND-8
#[test]
fn who_is_slow_holds_up_what_it_gives_and_nothing_else() {
    let mut world = World::new(&[1, 2], 2);
    for number in 0..6 {
        world.put(number, PackClass::Metadata, &[1]);
    }
    let mut machine = world.of(2).machine.clone();
    machine.handle_input(Instant(0), Input::Presumed { device: owner(), is_lost: true });
    let (mut now, mut fetches, mut slow) = (Instant(0), 0, 0);
    for _ in 0..40 {
        while let Some(output) = machine.poll_output() {
            let slow_one = matches!(&output, Output::Fetch { .. }) && slow < 2;
            fetches += usize::from(matches!(&output, Output::Fetch { .. }));
            if slow_one {
                slow += 1;
            } else if let Some(input) = answer(&world, output) {
                machine.handle_input(now, input);
            }
        }
        let Some(next) = machine.poll_timeout() else { break };
        now = next.max(now);
        machine.handle_input(now, Input::TimePassed);
        if fetches >= 6 {
            break;
        }
    }
    assert_eq!(fetches, 6, "two that never end, and the four after them");
}

/// As a fellow that keeps everything would.
fn answer(world: &World, output: Output) -> Option<Input> {
    match output {
        Output::Ask { order, .. } => {
            let kept = world.nodes[&node(1)].store.clone();
            Some(Input::Answered { order, kept, is_shown: true })
        }
        Output::Look { order, .. } => {
            Some(Input::Looked { order, claimed: world.claimed.clone(), here: BTreeSet::new() })
        }
        Output::Fetch { order, .. } => Some(Input::Fetched { order, fetched: Fetched::Kept }),
        Output::Note { .. } => None,
    }
}

// TEND-8
#[test]
fn a_full_node_lets_the_next_one_have_its_turn() {
    let sites = [1, 2, 3];
    let mut world = World::new(&sites, 2);
    for number in 0..30 {
        world.put(number, PackClass::Data, &[1]);
    }
    world.of(2).room = 3500;
    world.pass(12 * DAY_MS);
    assert!((0..30).all(|number| world.sites(number, &sites) >= 2));
    assert_eq!(world.of(2).store.len(), 3);
    assert!(world.fetched <= 33, "{}", world.fetched);
}

// TEND-4
#[test]
fn what_no_head_claims_is_never_fetched() {
    let kept: Inventory = (0..100).map(|number| (root(number), (1, PackClass::Data))).collect();
    let claimed = BTreeSet::from([root(7), root(200)]);
    let none = BTreeSet::new();
    let fellows = vec![(node(2), site(2), Known::Here(&kept))];
    let own = (node(1), site(1));
    let scene = Scene { own, copies: 2, claimed: &claimed, here: &none, fellows, patience: 9 };
    let choice = choose(&scene);
    assert_eq!(choice.wanted.iter().map(|it| it.shard.root).collect::<Vec<_>>(), [root(7)]);
    assert_eq!((choice.short, choice.nowhere), (2, 1));
}

/// A length that one of them makes up does not keep the pack away for ever.
#[test]
fn of_two_lengths_the_other_is_tried_next() {
    let claimed = BTreeSet::from([root(1)]);
    let none = BTreeSet::new();
    let lie = Inventory::from([(root(1), (5, PackClass::Data))]);
    let truth = Inventory::from([(root(1), (7, PackClass::Data))]);
    let tried = |patience| {
        let fellows =
            vec![(node(2), site(2), Known::Here(&lie)), (node(3), site(2), Known::Here(&truth))];
        let own = (node(1), site(1));
        let scene = Scene { own, copies: 2, claimed: &claimed, here: &none, fellows, patience };
        choose(&scene).wanted[0].clone()
    };
    let lengths: BTreeSet<u64> = (0..2).map(|patience| tried(patience).shard.bytes).collect();
    assert_eq!(lengths, BTreeSet::from([5, 7]));
    let shard = ShardRef { root: root(1), bytes: 7 };
    assert!((0..2).map(tried).any(|it| it.shard == shard && it.from == [node(3)]));
}

// TEND-9
#[test]
fn a_restart_counts_on_and_a_clock_that_jumps_counts_little() {
    let mut world = World::new(&[1, 2], 2);
    world.pass(2 * DAY_MS);
    let noted = world.of(1).noted.clone().unwrap();
    assert_eq!(Vigil::decode(&noted.encode()).unwrap(), noted);
    let mut machine = Tending::new(node(1));
    machine.handle_input(Instant::default(), Input::VaultKnown { vault: vault(), vigil: noted });
    assert!(!machine.is_unattended(&vault()));
    // A year at once is one tick.
    machine.handle_input(Instant(0).after_ms(365 * DAY_MS), Input::TimePassed);
    assert!(!machine.is_unattended(&vault()));
    for tick in 0..24 {
        let at = Instant(0).after_ms(366 * DAY_MS + tick * TEND_TICK_MS);
        machine.handle_input(at, Input::TimePassed);
    }
    assert!(machine.is_unattended(&vault()));
}

// TEND-7
#[test]
fn a_sample_is_of_what_is_said_to_be_kept_and_finds_what_is_missing() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let kept: Inventory =
        (0..200).map(|number| (root(number), (50_000, PackClass::Data))).collect();
    let mut met = BTreeSet::new();
    for _ in 0..200 {
        let drawn = choosing::sample(&kept, &mut rng);
        assert!((TEND_SAMPLE - 2..=TEND_SAMPLE).contains(&drawn.len()), "{}", drawn.len());
        assert!(drawn.iter().all(|it| it.is_plausible() && kept.contains_key(&it.shard.root)));
        met.extend(drawn.iter().map(|it| it.shard.root));
    }
    assert_eq!(met.len(), 200, "nothing is safe from being drawn");
    let few: Inventory = (0..3).map(|number| (root(number), (1, PackClass::Data))).collect();
    assert_eq!(choosing::sample(&few, &mut rng).len(), 3);
    assert!(choosing::sample(&Inventory::new(), &mut rng).is_empty());
    // Of one group: what is shown is the shard itself.
    let content = vec![7; 100];
    let root = ShardRoot::from_bytes(*blake3::hash(&content).as_bytes());
    let asked = [Challenge { shard: ShardRef { root, bytes: 100 }, chunk: 0 }];
    let proof = asked[0].prove(&content, &[]).unwrap();
    assert!(choosing::has_shown(&asked, &[Shown::Proof(proof.clone().into())]));
    let mut wrong = proof;
    *wrong.last_mut().unwrap() ^= 1;
    let refused = [
        Shown::Proof(wrong.into()),
        Shown::Absent,
        Shown::Damaged,
        Shown::Unable(Refusal::Internal),
    ];
    for shown in refused {
        assert!(!choosing::has_shown(&asked, &[shown]));
    }
    assert!(!choosing::has_shown(&asked, &[]), "silence shows nothing");
}

// TEND-3
#[test]
fn a_thief_who_calls_with_what_is_said_to_be_lost_ends_nothing() {
    let sites = [1, 2];
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[1]);
    for number in [1, 2] {
        world.tell(number, Input::Presumed { device: owner(), is_lost: true });
    }
    for _ in 0..10 {
        world.pass(1_000);
        world.everybody_hears();
    }
    assert_eq!(world.sites(1, &sites), 2);
}

/// People do not want it: nothing is asked, answered or counted.
#[test]
fn what_is_switched_off_does_nothing_until_it_is_switched_on() {
    let sites = [1, 2];
    let mut world = World::new(&sites, 2);
    world.put(1, PackClass::Data, &[1]);
    world.tell(2, Input::Switched { is_on: false });
    world.pass(30 * DAY_MS);
    world.tell(2, Input::Presumed { device: owner(), is_lost: true });
    world.pass(DAY_MS);
    assert_eq!((world.fetched, world.of(2).machine.status().len()), (0, 0));
    assert!(!world.of(2).machine.is_unattended(&vault()));
    world.tell(2, Input::Presumed { device: owner(), is_lost: false });
    world.tell(2, Input::Switched { is_on: true });
    world.pass(2 * DAY_MS);
    assert_eq!(world.fetched, 0, "the days before do not count");
    world.pass(3 * DAY_MS);
    assert_eq!(world.sites(1, &sites), 2);
    // Another device of the vault is no thief.
    let device = DeviceId::from_bytes([0xd1; 32]);
    for number in [1, 2] {
        assert!(world.of(number).machine.is_unattended(&vault()));
        world.tell(number, Input::Heard { vault: vault(), device });
        assert!(!world.of(number).machine.is_unattended(&vault()));
    }
}

// TEND-2
#[test]
fn what_was_ordered_is_taken_back_when_a_device_is_counted_on_again() {
    let world = World::new(&[1, 2, 3], 2);
    let mut machine = world.nodes[&node(3)].machine.clone();
    let at = Instant(0).after_ms(DAY_MS);
    machine.handle_input(at, Input::Presumed { device: owner(), is_lost: true });
    machine.handle_input(at.after_ms(TEND_AGAIN_MS), Input::TimePassed);
    machine.handle_input(at, Input::Presumed { device: owner(), is_lost: false });
    let left: Vec<_> = std::iter::from_fn(|| machine.poll_output()).collect();
    assert!(left.iter().all(|it| matches!(it, Output::Note { .. })), "{left:?}");
}

// TEND-9
#[test]
fn evenings_add_up() {
    let mut vigil = Vigil::default();
    for _ in 0..15 {
        let mut machine = Tending::new(node(1));
        machine
            .handle_input(Instant(0), Input::VaultKnown { vault: vault(), vigil: vigil.clone() });
        for hour in 1..=5 {
            machine.handle_input(Instant(0).after_ms(hour * HOUR_MS), Input::TimePassed);
        }
        while let Some(output) = machine.poll_output() {
            if let Output::Note { vigil: noted, .. } = output {
                vigil = noted;
            }
        }
    }
    assert_eq!(vigil.silent_s(), 15 * 5 * 3600);
}

// TEND-2
#[test]
fn a_device_that_comes_back_ends_what_is_under_way() {
    let mut world = World::new(&[1, 2, 3], 2);
    world.put(1, PackClass::Data, &[1]);
    let mut machine = world.of(3).machine.clone();
    let due = Instant(0).after_ms(DAY_MS);
    machine.vaults.get_mut(&vault()).unwrap().silent_s = TEND_SILENCE_S;
    machine.handle_input(due, Input::TimePassed);
    let asked: Vec<OrderId> = std::iter::from_fn(|| machine.poll_output())
        .filter_map(|output| match output {
            Output::Ask { order, .. } => Some(order),
            _ => None,
        })
        .collect();
    assert_eq!(asked.len(), 2);
    machine.handle_input(due, Input::Heard { vault: vault(), device: owner() });
    for order in asked {
        let kept = world.of(1).store.clone();
        let input = Input::Answered { order, kept, is_shown: true };
        machine.handle_input(due.after_ms(1), input);
    }
    let more = std::iter::from_fn(|| machine.poll_output());
    assert!(!more.into_iter().any(|it| matches!(it, Output::Look { .. } | Output::Fetch { .. })));
}

/// Whatever is lost, as long as each pack is somewhere: all come back to as many sites as are wanted, and
/// the network carries little more than what is missing.
#[test]
fn whatever_was_lost_comes_back() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = 2 + rng.next_u32() % 6;
        let sites: Vec<u8> =
            (0..count).map(|_| u8::try_from(rng.next_u32() % 4).unwrap()).collect();
        let copies = 1 + u8::try_from(rng.next_u32() % 3).unwrap();
        let mut world = World::new(&sites, copies);
        for number in 0..50 {
            let class = if number % 5 == 0 { PackClass::Metadata } else { PackClass::Data };
            let first = 1 + u8::try_from(rng.next_u32() % count).unwrap();
            let second = 1 + u8::try_from(rng.next_u32() % count).unwrap();
            world.put(number, class, &[first, second]);
        }
        world.pass(30 * DAY_MS);
        let there = sites.iter().collect::<BTreeSet<_>>().len();
        let wanted = usize::from(copies).min(there);
        for number in 0..50 {
            assert!(world.sites(number, &sites) >= wanted, "seed {seed}, pack {number}");
        }
        let everywhere = 10 * u64::from(count);
        let data = 40 * u64::try_from(wanted).unwrap();
        assert!(world.fetched <= everywhere + data, "seed {seed}: {} fetches", world.fetched);
    }
}
