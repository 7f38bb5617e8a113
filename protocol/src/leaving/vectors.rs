//! Vectors of specs/leaving.md.

use serde_json::{Value, json};

use super::{
    DaysSeen, LeavingWord, Wish, WordBody, Words,
    tests::{NOW, Owner},
};
use crate::vectors::{self, hex};

fn page() -> Value {
    let (anna, bob) = (Owner::new(0x11, 1), Owner::new(0x51, 1));
    let mut known = Words::default();
    known.say(LeavingWord::sign(anna.body(0, &bob), &anna.devices[0]).unwrap());
    known.say(LeavingWord::sign(bob.body(0, &anna), &bob.devices[0]).unwrap());
    let say = |number, wish, waives| {
        let body = WordBody { number, wish, waives, ..anna.body(0, &bob) };
        let word = LeavingWord::sign(body, &anna.devices[0]).unwrap();
        json!({
            "number": number,
            "wish": wish.map(|wish: Wish| json!({
                "number": wish.number, "leaves": wish.leaves, "stayed": wish.stayed
            })),
            "waives": waives,
            "word": hex(word.bytes()),
        })
    };
    let leaves = Some(Wish { number: NOW.0, leaves: true, stayed: 0 });
    let stays = Some(Wish { number: NOW.0 + 9, leaves: false, stayed: 0 });
    let again = Some(Wish { number: NOW.0 + 10, leaves: true, stayed: NOW.0 + 9 });
    let days = DaysSeen::begin(NOW.0, NOW).seen(NOW.after_days(1)).unwrap();
    json!({
        "log": anna.log.entries().map(hex).collect::<Vec<_>>(),
        "vault": anna.log.vault().to_string(),
        "device": anna.devices[0].id().to_string(),
        "other": bob.log.vault().to_string(),
        "words": [
            say(NOW.0, leaves, None),
            say(NOW.0 + 5, leaves, Some(NOW.0)),
            say(NOW.0 + 9, stays, None),
            say(NOW.0 + 10, again, None),
            say(NOW.0 + 11, None, None),
        ],
        "days": hex(days.encode()),
        "tag": {
            "number": 1,
            "other_device": bob.devices[0].id().to_string(),
            "both_have_said_number_1": hex(known.tag(anna.log.vault(), bob.log.vault()).to_le_bytes()),
        },
    })
}

// LEAVE-9
#[test]
fn vectors_hold() {
    vectors::check("leaving", &page());
}

#[test]
#[ignore = "writes specs/vectors/leaving.json"]
fn write_vectors() {
    vectors::write("leaving", &page());
}
