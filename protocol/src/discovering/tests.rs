//! Tests of discovering; each names the requirement of specs/discovery.md that it is about.

use super::*;
use crate::keys::DeviceKeys;

const DAY_S: u64 = 86_400;
const TODAY: Timestamp = Timestamp(20_000 * DAY_S + 5);

fn keys(seed: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([seed; 32], [seed ^ 0xff; 32])
}

fn key(seed: u8) -> BeaconKey {
    BeaconKey::derive(&keys(seed), 1)
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, last], 4711))
}

/// In a home, in one that has IPv6, and in an office.
fn own() -> Input {
    let own = ["192.168.1.2", "fd77::2", "10.0.7.2"].map(|text| text.parse().unwrap());
    Input::Placed { own: own.into() }
}

struct Driven {
    machine: Discovering,
    now: Instant,
}

impl Driven {
    fn knowing(seeds: &[u8]) -> Self {
        let mut machine = Discovering::new();
        let keys = seeds.iter().map(|seed| (keys(*seed).id(), key(*seed))).collect();
        machine.handle_input(Instant::default(), TODAY, Input::PeersKnown { keys });
        machine.handle_input(Instant::default(), TODAY, own());
        Self { machine, now: Instant::default() }
    }

    fn see(&mut self, beacon: Beacon, address: SocketAddr) -> Option<Output> {
        self.machine.handle_input(self.now, TODAY, Input::Seen { beacon, address });
        let output = self.machine.poll_output();
        assert_eq!(self.machine.poll_output(), None);
        output
    }
}

// DISC-1
#[test]
fn who_was_told_the_key_recognises_the_device_and_nobody_else_does() {
    let beacon = key(1).beacon([9; 16], TODAY);
    let mut friend = Driven::knowing(&[3, 1, 2]);
    let found = Output::Try { device: keys(1).id(), address: at(7) };
    assert_eq!(friend.see(beacon, at(7)), Some(found));
    assert_eq!(Driven::knowing(&[2, 3]).see(beacon, at(7)), None);
    // One changed bit, in nonce or tag, makes it nobody's.
    for place in 0..BEACON_BYTES {
        let mut bytes = *beacon.as_bytes();
        bytes[place] ^= 1;
        assert_eq!(Driven::knowing(&[1]).see(Beacon::from_bytes(bytes), at(7)), None);
    }
}

// DISC-1
#[test]
fn whoever_tells_the_key_of_another_as_its_own_hides_nobody() {
    let mut machine = Discovering::new();
    let (real, liar) = (keys(1).id(), keys(2).id());
    let keys = BTreeMap::from([(real, key(1)), (liar, key(1))]);
    machine.handle_input(Instant::default(), TODAY, Input::PeersKnown { keys });
    machine.handle_input(Instant::default(), TODAY, own());
    let beacon = key(1).beacon([9; 16], TODAY);
    machine.handle_input(Instant::default(), TODAY, Input::Seen { beacon, address: at(7) });
    let tried: Vec<Output> = std::iter::from_fn(|| machine.poll_output()).collect();
    assert!(tried.contains(&Output::Try { device: real, address: at(7) }), "{tried:?}");
}

// DISC-2
#[test]
fn a_beacon_says_nothing_twice() {
    let beacon = |nonce, day: u64| *key(1).beacon([nonce; 16], Timestamp(day * DAY_S)).as_bytes();
    assert_ne!(beacon(1, 5)[16..], beacon(2, 5)[16..]);
    assert_ne!(beacon(1, 5)[16..], beacon(1, 6)[16..]);
    let id = *keys(1).id().as_bytes();
    assert!(beacon(1, 5).windows(4).all(|part| !id.windows(4).any(|of_id| of_id == part)));
}

// DISC-3
#[test]
fn a_beacon_of_another_day_is_nobodys_and_clocks_may_differ_by_one() {
    let is_of = |days: i64| {
        let then = Timestamp(TODAY.0.saturating_add_signed(days * 86_400));
        key(1).is_of(&key(1).beacon([4; 16], then), TODAY)
    };
    assert!(
        is_stale(TODAY, Timestamp(TODAY.0 + DAY_S)) && !is_stale(TODAY, Timestamp(TODAY.0 + 9))
    );
    assert!(is_of(-1) && is_of(0) && is_of(1));
    assert!(!is_of(-2) && !is_of(2));
    // Clocks at both ends of time.
    for clock in [Timestamp(0), Timestamp(u64::MAX)] {
        assert!(key(1).is_of(&key(1).beacon([4; 16], clock), clock));
    }
}

// DISC-4
#[test]
fn after_a_removal_the_old_key_recognises_nothing() {
    let later = BeaconKey::derive(&keys(1), 2);
    let beacon = later.beacon([9; 16], TODAY);
    assert!(!key(1).is_of(&beacon, TODAY));
    assert!(later.is_of(&beacon, TODAY));
    let mut told = Driven::knowing(&[1]);
    assert_eq!(told.see(beacon, at(7)), None);
    let keys = BTreeMap::from([(keys(1).id(), later)]);
    told.machine.handle_input(told.now, TODAY, Input::PeersKnown { keys });
    assert!(told.see(beacon, at(7)).is_some());
}

// DISC-5
#[test]
fn whatever_is_shown_attempts_are_few() {
    let mut driven = Driven::knowing(&[1]);
    let mut tries = 0_usize;
    for round in 0..200_u8 {
        let beacon = key(1).beacon([round; 16], TODAY);
        tries += usize::from(driven.see(beacon, at(round + 1)).is_some());
        driven.now = driven.now.after_ms(1);
    }
    assert_eq!(tries, DISCOVERY_TRIES_MAX);
    driven.now = driven.now.after_ms(DISCOVERY_AGAIN_MS);
    assert!(driven.see(key(1).beacon([1; 16], TODAY), at(9)).is_some(), "later again");
    assert!(driven.see(key(1).beacon([2; 16], TODAY), at(9)).is_none(), "not at once");
    assert!(driven.see(key(1).beacon([2; 16], TODAY), at(10)).is_some(), "it may have moved");
}

// DISC-9
#[test]
fn more_than_a_home_shows_is_not_looked_at() {
    let mut driven = Driven::knowing(&[1]);
    let strange = |number: usize| {
        let digest = blake3::hash(&number.to_le_bytes());
        Beacon::from_bytes(*digest.as_bytes())
    };
    for number in 0..DISCOVERY_SEEN_MAX {
        assert_eq!(driven.see(strange(number), at(7)), None);
    }
    assert_eq!(driven.see(strange(0), at(7)), Some(Output::Rest));
    assert_eq!(driven.see(key(1).beacon([1; 16], TODAY), at(7)), Some(Output::Rest));
    driven.now = driven.now.after_ms(60_000);
    assert!(matches!(driven.see(key(1).beacon([1; 16], TODAY), at(7)), Some(Output::Try { .. })));
}

// DISC-5
#[test]
fn nobody_is_tried_where_nobody_can_be() {
    let beacon = key(1).beacon([9; 16], TODAY);
    for nowhere in
        ["0.0.0.0:1", "127.0.0.1:4711", "224.0.0.251:5353", "255.255.255.255:9", "10.0.0.1:0"]
            .into_iter()
            .chain(["[::]:1", "[::1]:4711", "[ff02::fb]:5353", "[fd00::1]:0"])
    {
        let address = nowhere.parse().unwrap();
        assert_eq!(Driven::knowing(&[1]).see(beacon, address), None, "{nowhere}");
    }
    let elsewhere = ["203.0.113.5:443", "172.16.0.1:1", "[2001:db8::1]:443", "[fd78::1]:1"];
    for address in elsewhere.map(|text| text.parse().unwrap()) {
        assert_eq!(
            Driven::knowing(&[1]).see(beacon, address),
            None,
            "{address} is in another network"
        );
    }
    for somewhere in ["10.0.0.1:1", "[fd77::9]:4711", "192.168.200.1:9"] {
        let address = somewhere.parse().unwrap();
        assert!(Driven::knowing(&[1]).see(beacon, address).is_some(), "{somewhere}");
    }
}

// LOC-5, DISC-5
#[test]
fn who_has_the_phrase_of_a_vault_that_is_held_is_called_where_he_is_a_few_times() {
    let seeker = keys(7).id();
    let mut holder = Driven::knowing(&[1]);
    let seekers = BTreeMap::from([(seeker, key(7))]);
    holder.machine.handle_input(holder.now, TODAY, Input::VaultsKnown { seekers });
    let beacon = |nonce| key(7).beacon([nonce; 16], TODAY);
    let call = |last| Some(Output::Answer { seeker, address: at(last) });
    assert_eq!(holder.see(beacon(1), at(7)), call(7));
    // Shown anew within seconds: he was called there.
    assert_eq!(holder.see(beacon(2), at(7)), None);
    let elsewhere: Vec<_> = (8..40).filter_map(|last| holder.see(beacon(3), at(last))).collect();
    assert_eq!(elsewhere.len(), DISCOVERY_TRIES_MAX - 1);
    holder.now = holder.now.after_ms(DISCOVERY_AGAIN_MS);
    assert_eq!(holder.see(beacon(4), at(7)), call(7));
    assert_eq!(holder.see(key(8).beacon([1; 16], TODAY), at(9)), None, "of a vault not held here");
}
