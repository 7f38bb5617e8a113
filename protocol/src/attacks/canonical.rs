//! One value has one encoding: every other form of some records is refused, wherever in them it is.

use minicbor::{Decode, Encode};

use crate::{
    cbor::{self, DecodeError},
    head::{Claims, HEAD_VERSION, HeadBody, Seen},
    ids::{DeviceId, EntryHash, HeadHash, ShardRoot, VaultId},
    index::ShardRef,
    leaving::{VERSION, Wish, WordBody},
    tending::introduction::{Fellow, IntroductionBody, SiteTag},
    time::Timestamp,
    wire::message::Request,
};

/// A value in the middle of an encoding.
#[derive(Debug, Clone, Copy)]
struct Item {
    major: u8,
    argument: u64,
    start: usize,
    /// Where its content begins, behind type and argument.
    content: usize,
    end: usize,
}

/// All values of an encoding, outer ones first; the place behind the first of them.
fn items(bytes: &[u8], start: usize, all: &mut Vec<Item>) -> usize {
    let (major, short) = (bytes[start] >> 5, bytes[start] & 0x1f);
    let long = match short {
        0..24 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => panic!("a canonical encoding has no such byte"),
    };
    let content = start + 1 + long;
    let digits = bytes[start + 1..content].iter();
    let argument = match long {
        0 => u64::from(short),
        _ => digits.fold(0, |number, digit| number << 8 | u64::from(*digit)),
    };
    let place = all.len();
    all.push(Item { major, argument, start, content, end: content });
    let mut end = content;
    let length = usize::try_from(argument).unwrap_or(usize::MAX);
    match major {
        2 | 3 => end += length,
        4 => (0..length).for_each(|_| end = items(bytes, end, all)),
        5 => (0..2 * length).for_each(|_| end = items(bytes, end, all)),
        _ => {}
    }
    all[place].end = end;
    end
}

/// The head of a value with its argument in so many bytes.
fn head(major: u8, argument: u64, bytes: u8) -> Vec<u8> {
    let short = match bytes {
        1 => 24,
        2 => 25,
        4 => 26,
        _ => 27,
    };
    let digits = &argument.to_be_bytes()[8 - usize::from(bytes)..];
    [&[major << 5 | short], digits].concat()
}

/// The same value in every other form that CBOR has, and something else in its place.
fn others(bytes: &[u8], item: &Item) -> Vec<(&'static str, Vec<u8>)> {
    let Item { major, argument, start, content, end } = *item;
    let put = |parts: &[&[u8]]| [&bytes[..start], &parts.concat(), &bytes[end..]].concat();
    let (whole, inner) = (&bytes[start..end], &bytes[content..end]);
    let mut forms = Vec::new();
    let is_wider = |width: &u8| usize::from(*width) > content - start - 1;
    for width in [1, 2, 4, 8].into_iter().filter(is_wider).filter(|_| major < 6) {
        forms.push(("a longer number or length", put(&[&head(major, argument, width), inner])));
    }
    forms.push(("a tag", put(&[&[0xd9, 0xd9, 0xf7], whole])));
    forms.push(("a tag for dates", put(&[&[0xc1], whole])));
    forms.push(("a break", put(&[&[0xff]])));
    forms.push(("null", put(&[&[0xf6]])));
    forms.push(("undefined", put(&[&[0xf7]])));
    if major <= 1 {
        forms.push(("a half float", put(&[&[0xf9, 0x3c, 0x00]])));
        forms.push(("a double", put(&[&[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0]])));
        forms.push(("a big number", put(&[&[0xc2, 0x41, 0x01]])));
    }
    let open = [major << 5 | 31];
    match major {
        2 | 3 => forms.push(("a string in parts", put(&[&open, whole, &[0xff]]))),
        4 | 5 => forms.push(("no length", put(&[&open, inner, &[0xff]]))),
        _ => {}
    }
    if major == 5 && argument > 0 {
        let mut pairs = Vec::new();
        let mut at = content;
        while at < end {
            let from = at;
            (0..2).for_each(|_| at = items(bytes, at, &mut Vec::new()));
            pairs.push(&bytes[from..at]);
        }
        let more = [5 << 5 | u8::try_from(argument + 1).unwrap()];
        forms.push(("a key twice", put(&[&more, pairs[0], inner])));
        forms.push(("a key twice at the end", put(&[&more, inner, pairs[pairs.len() - 1]])));
        forms.push(("an unknown key", put(&[&more, inner, &[0x17, 0x00]])));
        forms.push(("a negative key", put(&[&more, inner, &[0x20, 0x00]])));
        forms.push(("a text for a key", put(&[&more, inner, &[0x61, b'a', 0x00]])));
        if pairs.len() > 1 {
            pairs.swap(0, 1);
            forms.push(("keys in another order", put(&[&bytes[start..content], &pairs.concat()])));
        }
    }
    forms
}

/// Refuses every other form of this record; returns how many were tried.
fn has_one_form<T>(record: &T) -> usize
where
    T: Encode<()> + for<'b> Decode<'b, ()> + PartialEq + std::fmt::Debug,
{
    let bytes = cbor::encode(record);
    let max = 2 * bytes.len() + 64;
    assert_eq!(cbor::decode::<T>(&bytes, max).as_ref(), Ok(record));
    let mut all = Vec::new();
    assert_eq!(items(&bytes, 0, &mut all), bytes.len());
    let mut tried = 0;
    for item in &all {
        for (form, other) in others(&bytes, item) {
            let refused = cbor::decode::<T>(&other, max).err();
            let is_refusal =
                matches!(refused, Some(DecodeError::Malformed | DecodeError::NotCanonical));
            assert!(is_refusal, "{form} at byte {} of {record:?}: {refused:?}", item.start);
            tried += 1;
        }
    }
    for behind in [&[0x00][..], &[0xf6], &[0xff], &bytes] {
        let longer = [&bytes[..], behind].concat();
        assert_eq!(cbor::decode::<T>(&longer, max), Err(DecodeError::NotCanonical));
        tried += 1;
    }
    (0..bytes.len()).for_each(|end| assert!(cbor::decode::<T>(&bytes[..end], max).is_err()));
    tried
}

fn commit() -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([3; 32]), bytes: 16_384 }
}

// VERSIONS-3
#[test]
fn a_record_in_any_other_form_is_refused() {
    let (vault, device) = (VaultId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
    let head = HeadHash::from_bytes([4; 32]);
    let tried = has_one_form(&HeadBody {
        version: HEAD_VERSION,
        vault,
        device,
        seq: 70_000,
        prev: Some(head),
        log: vec![EntryHash::from_bytes([5; 32])],
        commit: commit(),
        claims: Claims::of([commit()]),
        seen: vec![Seen { device, seq: 9, head }],
        time: Timestamp(1_800_000_000),
    });
    assert!(tried > 200, "{tried}");
    has_one_form(&WordBody {
        version: VERSION,
        vault,
        device,
        other: VaultId::from_bytes([6; 32]),
        number: 300,
        wish: Some(Wish { number: 300, leaves: true, stayed: 0 }),
        waives: Some(300),
    });
    has_one_form(&IntroductionBody {
        version: 1,
        vault,
        device,
        number: 1,
        copies: 2,
        holders: vec![Fellow {
            device,
            site: SiteTag([7; 8]),
            addresses: vec!["192.0.2.1:4711".to_owned()],
        }],
    });
    has_one_form(&Request::PullLog { vault, have: vec![EntryHash::from_bytes([8; 32])] });
}
