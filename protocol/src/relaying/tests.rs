//! Who is let in, who is not, and what stays bounded.

use proptest::prelude::*;

use super::*;
use crate::limits::ADDRESS_BYTES_MAX;

const NOW: Timestamp = Timestamp(1_000);

fn rules(admission: Admission) -> Rules {
    Rules { admission, connections_max: 1_000 }
}

fn token(number: u8) -> RelayToken {
    RelayToken::from_bytes([number; 16])
}

fn invitation(number: u8, expires: Option<Timestamp>) -> Invitation {
    Invitation { name: format!("invitation {number}"), token: token(number).hash(), expires }
}

fn source(number: u32) -> Source {
    Source::from(IpAddr::from(number.to_be_bytes()))
}

/// A relay, with a counter for its connections and a clock that is always late enough.
struct Relay {
    relaying: Relaying,
    count: u64,
}

impl Relay {
    fn new(rules: Rules, invitations: Vec<Invitation>) -> Self {
        let mut relaying = Relaying::new(rules);
        relaying.set_invitations(invitations);
        Self { relaying, count: 0 }
    }

    /// Somebody comes from an address of its own, an hour later, and shows a token.
    fn come(&mut self, key: u8, token: Option<&RelayToken>) -> Result<ConnectionId, Turned> {
        self.count += 1;
        let now = Instant::default().after_ms(self.count * 3_600_000);
        let from = source(u32::try_from(self.count).unwrap());
        let arrival = self.relaying.arrive(now, from)?.id;
        let connection = ConnectionId(self.count);
        let key = DeviceId::from_bytes([key; 32]);
        let admitted = self.relaying.admit(NOW, Client { arrival, connection, key, token });
        self.relaying.leave(arrival);
        admitted.map(|()| connection)
    }
}

// RELAY-1
#[test]
fn an_invited_relay_lets_in_who_shows_a_token_and_nobody_else() {
    let over = invitation(3, Some(NOW));
    let ending = invitation(4, Some(Timestamp(NOW.0 + 1)));
    let mut relay = Relay::new(rules(Admission::Invited), vec![invitation(1, None), over, ending]);
    assert_eq!(relay.come(1, None), Err(Turned::NoToken));
    assert_eq!(relay.come(1, Some(&token(2))), Err(Turned::Unknown));
    assert_eq!(relay.come(1, Some(&token(3))), Err(Turned::Expired));
    assert!(relay.come(1, Some(&token(1))).is_ok());
    assert!(relay.come(2, Some(&token(4))).is_ok());
    assert_eq!(relay.relaying.connections(), 2);
}

// RELAY-1
#[test]
fn an_open_relay_lets_in_anybody_whatever_token_it_shows() {
    let mut relay = Relay::new(rules(Admission::Open), vec![]);
    assert!(relay.come(1, None).is_ok());
    assert!(relay.come(2, Some(&token(9))).is_ok());
    assert_eq!(relay.relaying.review(Timestamp(u64::MAX)), vec![]);
}

// RELAY-2
#[test]
fn who_came_with_an_invitation_that_is_revoked_or_over_has_to_go() {
    let ending = invitation(2, Some(Timestamp(NOW.0 + 10)));
    let mut relay = Relay::new(rules(Admission::Invited), vec![invitation(1, None), ending]);
    let first = relay.come(1, Some(&token(1))).unwrap();
    let second = relay.come(2, Some(&token(2))).unwrap();
    assert_eq!(relay.relaying.review(NOW), vec![]);
    let key = DeviceId::from_bytes([2; 32]);
    let later = Timestamp(NOW.0 + 10);
    assert_eq!(relay.relaying.review(later), vec![Closed { connection: second, key }]);
    relay.relaying.ended(second);
    assert_eq!(relay.relaying.review(later), vec![]);
    relay.relaying.set_invitations([]);
    let key = DeviceId::from_bytes([1; 32]);
    assert_eq!(relay.relaying.review(NOW), vec![Closed { connection: first, key }]);
    assert_eq!(relay.come(1, Some(&token(1))), Err(Turned::Unknown));
}

// RELAY-3
#[test]
fn one_key_one_invitation_and_all_together_have_their_bounds() {
    let mut relay = Relay::new(rules(Admission::Open), vec![]);
    for _ in 0..RELAY_CONNECTIONS_PER_KEY_MAX {
        relay.come(1, None).unwrap();
    }
    assert_eq!(relay.come(1, None), Err(Turned::Key));
    assert!(relay.come(2, None).is_ok());

    let invitations = vec![invitation(1, None), invitation(2, None)];
    let mut relay = Relay::new(rules(Admission::Invited), invitations);
    for number in 0..RELAY_CONNECTIONS_PER_INVITATION_MAX {
        relay.come(u8::try_from(number).unwrap(), Some(&token(1))).unwrap();
    }
    assert_eq!(relay.come(200, Some(&token(1))), Err(Turned::Invitation));
    assert!(relay.come(200, Some(&token(2))).is_ok());

    let few = Rules { connections_max: 2, ..rules(Admission::Open) };
    let mut relay = Relay::new(few, vec![]);
    let first = relay.come(1, None).unwrap();
    relay.come(2, None).unwrap();
    assert_eq!(relay.come(3, None), Err(Turned::Full));
    relay.relaying.ended(first);
    assert!(relay.come(3, None).is_ok());
}

// RELAY-3
#[test]
fn one_address_cannot_take_all_places() {
    let mut relaying = Relaying::new(rules(Admission::Open));
    let hour =
        |count: usize| Instant::default().after_ms(3_600_000 * u64::try_from(count).unwrap());
    let mut arrivals = Vec::new();
    for count in 0..RELAY_CONNECTIONS_PER_ADDRESS_MAX {
        arrivals.push(relaying.arrive(hour(count), source(1)).unwrap().id);
    }
    let now = hour(arrivals.len());
    assert_eq!(relaying.arrive(now, source(1)), Err(Turned::Address));
    assert!(relaying.arrive(now, source(2)).is_ok());
    relaying.leave(arrivals[0]);
    assert!(relaying.arrive(now, source(1)).is_ok());
}

// RELAY-4
#[test]
fn an_address_that_comes_too_often_waits_a_while() {
    let mut relaying = Relaying::new(rules(Admission::Open));
    let now = Instant::default();
    for _ in 0..RELAY_ARRIVALS_BURST {
        let arrival = relaying.arrive(now, source(1)).unwrap().id;
        relaying.leave(arrival);
    }
    assert_eq!(relaying.arrive(now, source(1)), Err(Turned::Hurry));
    let now = now.after_ms(RELAY_ARRIVAL_MS);
    let arrival = relaying.arrive(now, source(1)).unwrap().id;
    relaying.leave(arrival);
    assert_eq!(relaying.arrive(now, source(1)), Err(Turned::Hurry));
    assert!(relaying.arrive(now, source(2)).is_ok());
}

// RELAY-4
#[test]
fn many_addresses_neither_fill_the_memory_nor_keep_anybody_out() {
    let mut relaying = Relaying::new(rules(Admission::Open));
    let now = Instant::default();
    let many = u32::try_from(RELAY_SOURCES_MAX).unwrap() * 3;
    for number in 0..many {
        let arrival = relaying.arrive(now, source(number)).unwrap().id;
        relaying.leave(arrival);
        assert!(relaying.sources.len() <= RELAY_SOURCES_MAX);
    }
}

// RELAY-16
#[test]
fn sockets_that_are_held_make_room_for_newcomers_and_end_in_time() {
    let mut relaying = Relaying::new(rules(Admission::Open));
    let number = |count: usize| u32::try_from(count).unwrap();
    let start = Instant::default();
    let first = relaying.arrive(start, source(0)).unwrap().id;
    for count in 1..RELAY_ARRIVALS_MAX {
        assert_eq!(relaying.arrive(start, source(number(count))).unwrap().displaced, None);
    }
    let newcomer = relaying.arrive(start, source(number(RELAY_ARRIVALS_MAX))).unwrap();
    assert_eq!(newcomer.displaced, Some(first));
    assert_eq!(relaying.arrivals(), RELAY_ARRIVALS_MAX);
    let key = DeviceId::from_bytes([1; 32]);
    let client = |arrival| Client { arrival, connection: ConnectionId(1), key, token: None };
    assert_eq!(relaying.admit(NOW, client(first)), Err(Turned::Lost));
    assert_eq!(relaying.admit(NOW, client(newcomer.id)), Ok(()));

    assert_eq!(relaying.overdue(start.after_ms(RELAY_ARRIVAL_MS_MAX - 1)), vec![]);
    let over = relaying.overdue(start.after_ms(RELAY_ARRIVAL_MS_MAX));
    assert_eq!(over.len(), RELAY_ARRIVALS_MAX);
    for arrival in over {
        relaying.leave(arrival);
    }
    assert_eq!(relaying.arrivals(), 0);
    assert_eq!(relaying.connections(), 1);
}

// RELAY-3
#[test]
fn a_household_of_ipv6_is_one_address_and_a_mapped_one_is_that_of_ipv4() {
    let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
    assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
}

// RELAY-5
#[test]
fn the_address_of_a_relay_is_read_as_it_is_written_and_hides_its_token() {
    let secret = token(0xa5);
    let pin = Pin::of_certificate(b"certificate");
    let texts = [
        ("https://relay.example.org", "https://relay.example.org:443"),
        ("https://Relay.Example.org:8443/", "https://relay.example.org:8443"),
        ("https://192.0.2.1:1", "https://192.0.2.1:1"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
        ("http://127.0.0.1:3340", "http://127.0.0.1:3340"),
        (" http://10.0.0.1 ", "http://10.0.0.1:80"),
        ("http://[fd00::1]:1", "http://[fd00::1]:1"),
    ];
    for (text, shown) in texts {
        let address: RelayAddress = text.parse().unwrap();
        assert_eq!(address.to_string(), shown, "{text}");
        assert_eq!(shown.parse(), Ok(address.clone()));
        let full = RelayAddress { token: Some(secret.clone()), pin: Some(pin), ..address };
        assert_eq!(full.to_secret_text().parse(), Ok(full.clone()));
        let hidden = secret.to_secret_text();
        assert!(full.to_secret_text().contains(&hidden));
        assert!(!format!("{full} {full:?} {}", full.url()).contains(&hidden), "{full:?}");
        assert_eq!(full.url(), shown);
    }
}

// RELAY-5
#[test]
fn what_is_no_address_of_a_relay_says_why() {
    let short = token(1).to_secret_text()[1..].to_owned();
    let long = format!("https://{}", "a".repeat(ADDRESS_BYTES_MAX));
    let texts = [
        ("relay.example.org", RelayAddressError::Scheme),
        ("ftp://relay.example.org", RelayAddressError::Scheme),
        (&long, RelayAddressError::Long),
        (&format!("https://{short}@relay.example.org"), RelayAddressError::Token),
        ("https://@relay.example.org", RelayAddressError::Token),
        ("https://", RelayAddressError::Host),
        ("https://a..b", RelayAddressError::Host),
        ("https://re_lay.org", RelayAddressError::Host),
        ("https://[::1", RelayAddressError::Host),
        ("https://relay.org:", RelayAddressError::Port),
        ("https://relay.org:0", RelayAddressError::Port),
        ("https://relay.org:65536", RelayAddressError::Port),
        ("https://[::1]8443", RelayAddressError::Port),
        ("https://relay.org#abc", RelayAddressError::Pin),
        ("https://relay.org/relay", RelayAddressError::Path),
        ("https://relay.org?a=b", RelayAddressError::Path),
        ("http://relay.org", RelayAddressError::Clear),
        ("http://192.0.2.1", RelayAddressError::Clear),
    ];
    for (text, error) in texts {
        assert_eq!(text.parse::<RelayAddress>(), Err(error), "{text}");
    }
}

/// What a shell may report, in any order.
#[derive(Debug, Clone)]
enum Step {
    Arrive(u8),
    Leave(u8),
    Admit { arrival: u8, connection: u8, key: u8, token: u8 },
    Ended(u8),
    Invite(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<u8>().prop_map(|from| Step::Arrive(from % 4)),
        any::<u8>().prop_map(Step::Leave),
        (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(
            |(arrival, connection, key, token)| Step::Admit {
                arrival,
                connection,
                key: key % 3,
                token: token % 4,
            }
        ),
        any::<u8>().prop_map(Step::Ended),
        proptest::collection::vec(0_u8..4, 0..4).prop_map(Step::Invite),
    ];
    proptest::collection::vec(step, 0..400)
}

proptest! {
    // RELAY-3
    #[test]
    fn whatever_is_reported_the_counts_are_those_of_who_is_there(steps in steps()) {
        let mut relaying = Relaying::new(Rules { connections_max: 9, ..rules(Admission::Invited) });
        let mut now = Instant::default();
        for step in steps {
            now = now.after_ms(300);
            match step {
                Step::Arrive(from) => {
                    let _ = relaying.arrive(now, source(from.into()));
                }
                Step::Leave(arrival) => relaying.leave(ArrivalId(arrival.into())),
                Step::Admit { arrival, connection, key, token: number } => {
                    let client = Client {
                        arrival: ArrivalId(arrival.into()),
                        connection: ConnectionId(connection.into()),
                        key: DeviceId::from_bytes([key; 32]),
                        token: Some(&token(number)),
                    };
                    let _ = relaying.admit(NOW, client);
                }
                Step::Ended(connection) => relaying.ended(ConnectionId(connection.into())),
                Step::Invite(numbers) => {
                    let new: Vec<_> =
                        numbers.iter().map(|number| invitation(*number, None)).collect();
                    relaying.set_invitations(new);
                    for closed in relaying.review(NOW) {
                        relaying.ended(closed.connection);
                    }
                    prop_assert!(relaying.review(NOW).is_empty());
                }
            }
            prop_assert!(relaying.connections() <= 9);
            prop_assert!(relaying.arrivals() <= RELAY_ARRIVALS_MAX);
            for (source, visits) in &relaying.sources {
                let arrived = relaying.arrivals.values().filter(|(one, _)| one == source).count();
                let inside = relaying.connections.values();
                let connected = inside.filter(|one| one.source == *source).count();
                prop_assert_eq!(visits.open, arrived + connected);
            }
            for key in 0..3 {
                let key = DeviceId::from_bytes([key; 32]);
                let of_key = relaying.connections.values().filter(|one| one.key == key).count();
                prop_assert!(of_key <= RELAY_CONNECTIONS_PER_KEY_MAX);
            }
        }
    }

    // RELAY-5
    #[test]
    fn no_text_makes_the_reader_panic(text in "(https?://)?[a-z0-9@:#/.\\[\\]é]{0,80}") {
        if let Ok(address) = text.parse::<RelayAddress>() {
            prop_assert_eq!(address.to_secret_text().parse(), Ok(address));
        }
    }
}
