//! The page itself: nothing over the edge, nothing over something else, the same in both forms.

use larder_protocol::{
    ids::{DeviceId, VaultId},
    ticket::{AddressTicket, Ticket},
};

use super::{
    content::Sheet,
    page::{BOTTOM, HEIGHT, MARGIN, Mark, TOP, WIDTH, pages},
    pdf::pdf,
    text::text,
    *,
};
use crate::{
    cli::qr::BORDER,
    command::{Secret, SheetDevice, SheetHolder, Time},
};

/// The relay's token in what these tests print.
pub(in crate::cli) const TOKEN: &str = "abcdefghijklmnopqrstuvwxy4";

pub(in crate::cli) fn sample_phrase() -> Phrase {
    Phrase::from_entropy([7; 32])
}

fn time(seconds: u64) -> Time {
    larder_protocol::time::Timestamp(seconds).into()
}

fn holder(at: u8, name: &str, addresses: Vec<String>) -> SheetHolder {
    let (device, vault) = (DeviceId::from_bytes([at; 32]), VaultId::from_bytes([at; 32]));
    SheetHolder {
        device: device.to_string(),
        name: name.to_owned(),
        site: format!("{name}'s house"),
        ticket: Ticket::Address(AddressTicket { device, vault, addresses }).to_text(),
        last_seen: Some(time(1_700_000_000)),
        holds_bytes: 250_000_000_000,
    }
}

fn addresses() -> Vec<String> {
    let ends = [
        "[2001:db8:1234:5678:9abc:def0:1234:5678]:41641",
        "[2001:db8:1234:5678:2222:3333:4444:5555]:41641",
        "192.168.178.21:41641",
        "203.0.113.120:41641",
    ];
    ends.map(str::to_owned).into()
}

/// What a node of a small circle knows.
pub(in crate::cli) fn sample() -> SheetOutcome {
    let device = |at: u8, name: &str| SheetDevice {
        device: DeviceId::from_bytes([at; 32]).to_string(),
        name: name.to_owned(),
        head: Some(1234),
        time: Some(time(1_700_000_000)),
    };
    let names = ["oma", "nas", "sister"];
    let relay = format!("https://{TOKEN}@relay.example.org:8443");
    SheetOutcome {
        vault: VaultId::from_bytes([0xaa; 32]).to_string(),
        device: DeviceId::from_bytes([1; 32]).to_string(),
        name: "laptop".to_owned(),
        made: time(1_700_000_000),
        holders: (2..).zip(names).map(|(at, name)| holder(at, name, addresses())).collect(),
        relays: vec!["https://relay.example.org:8443".to_owned()],
        devices: vec![device(1, "laptop"), device(9, "phone")],
        commands: SheetOutcome::commands(true),
        aside: Some(SheetAside {
            recovery: HEXLOWER.encode(&cbor::encode(&sample_phrase().recovery().public())),
            relays: vec![Secret::new(relay)],
        }),
    }
}

/// As much of everything as there can be, with the widest and the longest names.
fn crowded() -> SheetOutcome {
    let mut known = sample();
    let long = ["W".repeat(256), "Omas Küche ".repeat(23), "居間".repeat(42), "(\\)".repeat(85)];
    let address = format!("https://{}.example.org:8443", "w".repeat(200));
    let many = vec![address; 6];
    known.holders = (0..40)
        .zip(long.iter().cycle())
        .map(|(at, name)| SheetHolder { site: name.clone(), ..holder(at, name, many.clone()) })
        .collect();
    let device = known.devices.remove(0);
    let named = |name: &String| SheetDevice { name: name.clone(), ..device.clone() };
    known.devices = long.iter().cycle().take(256).map(named).collect();
    long[2].clone_into(&mut known.name);
    let relay = format!("https://{TOKEN}@{}.example.org:8443", "w".repeat(100));
    known.aside = Some(SheetAside { relays: vec![Secret::new(relay); 4], ..SheetAside::default() });
    known
}

fn sheet_of(known: &SheetOutcome, has_words: bool) -> Sheet {
    let aside = known.aside.clone().unwrap();
    fitting(known, &aside, has_words.then(sample_phrase).as_ref())
}

/// Left, top, right, bottom.
type Place = (u32, u32, u32, u32);

/// What ink takes; letters from the top of a capital to the end of what hangs below the line.
fn places(page: &[Mark<'_>]) -> Vec<Place> {
    let place = |mark: &Mark<'_>| match mark {
        Mark::Letters { at: (x, y), style, letters } => {
            let text: String = letters.iter().map(|byte| char::from(*byte)).collect();
            Some((*x, y - style.size * 72 / 100, x + style.width(&text), y + style.size / 5))
        }
        Mark::Rule { at: (x, y), length } => Some((*x, *y, x + length, y + 1)),
        Mark::Square { at: (x, y), module, code } => {
            let side = |modules: usize| u32::try_from(modules).unwrap() * module;
            Some((*x, *y, x + side(code.side() + BORDER), y + side(code.side() + BORDER)))
        }
        // What lies on them is not beside them.
        Mark::Area { .. } | Mark::Frame { .. } => None,
    };
    page.iter().filter_map(place).collect()
}

// SHEET-4
#[test]
fn nothing_is_over_the_edge_and_nothing_over_something_else() {
    for (known, has_words) in
        [(sample(), true), (sample(), false), (crowded(), true), (crowded(), false)]
    {
        let sheet = sheet_of(&known, has_words);
        let pages = pages(&sheet);
        for (number, page) in pages.iter().enumerate() {
            let places = places(page);
            // The last two are the foot of the page.
            let written = &places[..places.len() - 2];
            for (left, top, right, bottom) in &places {
                assert!(
                    *left >= MARGIN && *right <= WIDTH - MARGIN,
                    "page {number}: {left} {right}"
                );
                assert!(*top >= TOP && *bottom < HEIGHT - 190, "page {number}: {top} {bottom}");
            }
            assert!(written.iter().all(|place| place.3 <= BOTTOM + 20), "page {number}");
            for (at, a) in places.iter().enumerate() {
                for b in &places[at + 1..] {
                    let apart = a.2 <= b.0 || b.2 <= a.0 || a.3 <= b.1 || b.3 <= a.1;
                    assert!(apart, "page {number}: {a:?} lies over {b:?}");
                }
            }
        }
    }
}

// SHEET-4
#[test]
fn a_small_circle_fits_on_one_page() {
    for has_words in [true, false] {
        assert_eq!(pages(&sheet_of(&sample(), has_words)).len(), 1);
    }
    assert!(pages(&sheet_of(&crowded(), true)).len() > 3);
}

fn letters(sheet: &Sheet) -> String {
    let mut all = String::new();
    for mark in pages(sheet).iter().flatten() {
        if let Mark::Letters { letters, .. } = mark {
            all.extend(letters.iter().map(|byte| char::from(*byte)));
            all.push(' ');
        }
    }
    all
}

#[test]
fn the_address_of_a_relay_stands_in_one_line() {
    let pin = "b".repeat(52);
    let relay = format!("https://{TOKEN}@relay.example.org:8443#{pin}");
    let mut known = sample();
    known.aside =
        Some(SheetAside { relays: vec![Secret::new(relay.clone())], ..SheetAside::default() });
    let sheet = sheet_of(&known, false);
    assert!(letters(&sheet).contains(&relay));
    assert!(text(&sheet).contains(&relay));
}

// SHEET-3
#[test]
fn both_forms_say_the_same() {
    for has_words in [true, false] {
        let sheet = sheet_of(&sample(), has_words);
        let (printed, shown) = (letters(&sheet), text(&sheet));
        let words = |text: &str| {
            let is_ink = |c: char| "█▀▄_=-!".contains(c);
            let words = text.split_whitespace().map(|word| word.trim_matches('.').to_owned());
            let mut words: Vec<String> =
                words.filter(|word| !word.is_empty() && !word.chars().all(is_ink)).collect();
            words.sort();
            words
        };
        // The foot of the one page says again what stands at its top.
        let mut twice = words(&printed);
        for word in words(&format!("{} page 1 of 1", sheet.about)) {
            let at = twice.iter().position(|other| *other == word).unwrap();
            twice.remove(at);
        }
        assert_eq!(twice, words(&shown));
    }
}

// SHEET-1, SHEET-2
#[test]
fn the_words_are_on_it_when_asked_for_and_lines_for_them_otherwise() {
    let words: Vec<&str> = sample_phrase().words().iter().collect();
    let with = sheet_of(&sample(), true);
    let file = pdf(&with);
    let text_with = text(&with);
    for (number, word) in (1..).zip(&words) {
        let drawn = format!("({word})");
        assert!(file.windows(drawn.len()).any(|piece| piece == drawn.as_bytes()), "{word}");
        assert!(text_with.contains(&format!("{number:>2}. {word} ")), "{word}");
    }
    let without = sheet_of(&sample(), false);
    let lines =
        pages(&without).iter().flatten().filter(|it| matches!(it, Mark::Rule { .. })).count();
    // One lies under the headings of the table.
    assert_eq!(lines, 24 + 1);
    assert_eq!(text(&without).matches(". ______").count(), 24);
}

// SHEET-1
#[test]
fn what_a_new_device_needs_is_on_it() {
    let known = sample();
    let shown = text(&sheet_of(&known, false));
    let packed: String = shown.chars().filter(|c| !c.is_whitespace()).collect();
    for holder in &known.holders[..2] {
        assert!(packed.contains(&holder.ticket), "{}", holder.name);
    }
    let more = "And 1 more, found through these: sister, at sister's house.";
    for needed in ["1234", "--connect \"TICKET\"", TOKEN, "vault aaaaaaaa", more] {
        assert!(shown.contains(needed), "{needed}");
    }
    // A second page has room for more.
    let two_pages = [known.devices.clone(), vec![known.devices[0].clone(); 60]].concat();
    let shown = text(&sheet_of(&SheetOutcome { devices: two_pages, ..known.clone() }, false));
    assert!(shown.contains("sister") && !shown.contains("more, found through these"));
    let bare = SheetOutcome { holders: Vec::new(), ..known };
    assert!(text(&sheet_of(&bare, false)).contains("! Nobody keeps anything"));
    let many = text(&sheet_of(&crowded(), false));
    assert!(many.contains("And 36 more"));
    let may_be_long = |line: &str| line.contains("https://");
    assert!(many.lines().all(|line| may_be_long(line) || line.chars().count() <= 80));
}

#[test]
fn what_was_made_with_room_for_all_was_never_moved() {
    // A buffer that grows leaves copies of the words behind.
    for known in [sample(), crowded()] {
        let sheet = sheet_of(&known, true);
        assert_eq!(text(&sheet).capacity(), text::BYTES_MAX);
        let file = pdf(&sheet);
        assert_eq!(file.capacity(), (pages(&sheet).len() + 1) * pdf::PAGE_BYTES);
    }
}
