//! A node was off for a while: it gets what is new, and nothing that it has.

use larder_tests::process::eventually;

use super::{REST_LIMIT, Street, all_online_but, all_well_but};

// PLACE-7, PLACE-21
#[test]
fn a_node_that_was_away_gets_what_is_new_and_nothing_that_it_has() {
    let Some(mut street) = Street::new("a node was away", 404) else { return };
    let (place, name, house) = street.fullest();
    let holds = |street: &Street| street.peers()[name]["holds_bytes"].as_u64().unwrap();
    street.circle.holders[place].stop();
    for _ in 0..2 {
        street.add_files();
        street.circle.backup(&street.folder);
    }
    street.tell("two backups without it");
    assert_eq!(street.states(), all_online_but(&[(name, "offline")]));
    let had = holds(&street);

    street.circle.holders[place].up();
    eventually("it has what is new", REST_LIMIT, || street.is_at_rest());
    let back = street.tell("it has caught up");
    let new = holds(&street) - had;
    println!("  {name} had {had} bytes, {new} are new");
    // Above what is new: greetings, offers, heads, and headers of packets.
    let allowed = new + new / 4 + 300_000;
    assert!(allowed < had, "too little is kept to tell: {had} bytes");
    let got = back[house].received.bytes;
    assert!(got <= allowed, "{got} bytes went to its house for {new} new ones");
    assert_eq!(street.verify(0), all_well_but(&[]));
    assert_eq!(street.states(), all_online_but(&[]));
}
