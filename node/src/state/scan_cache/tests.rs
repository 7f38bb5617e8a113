//! The scan cache on real files.

use larder_protocol::tree::entry::{Content, Xattr};

use super::*;
use crate::files::Stamp;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 24 * 3600;

fn directory(number: u8) -> DirectoryKey {
    DirectoryKey([number; 16])
}

fn folder() -> FolderKey {
    FolderKey::of(directory(200))
}

fn entry(name: &str) -> Remembered {
    Remembered {
        name: name.into(),
        stamp: [7; Stamp::BYTES],
        looked: NOW,
        xattrs: Some(vec![Xattr { name: b"user.a".to_vec().into(), value: vec![1].into() }]),
        target: b"there".to_vec(),
        content: Some(Content::Inline(Vec::new())),
    }
}

fn entries(names: &[&str]) -> Vec<Remembered> {
    names.iter().copied().map(entry).collect()
}

fn part(number: u8, names: &[&str], is_whole: bool) -> Note {
    Note::Part { directory: directory(number), entries: entries(names), is_whole }
}

fn names(found: &Recollection) -> Vec<String> {
    let name = |entry: &Remembered| String::from_utf8(entry.name.clone()).unwrap();
    found.entries.iter().map(name).collect()
}

fn find(cache: &ScanCache, number: u8, first: &str, last: &str) -> Recollection {
    let view = cache.view(folder(), NOW);
    view.remembered(directory(number), first.as_bytes(), last.as_bytes())
}

// HOME-17
#[test]
fn what_was_kept_of_a_directory_is_found_and_nothing_of_its_neighbours() {
    let home = tempfile::tempdir().unwrap();
    let cache = ScanCache::open(home.path());
    cache.keep(folder(), &[part(1, &["a", "b"], true), part(2, &["c", "d", "e"], true)]);
    let found = find(&cache, 2, "c", "e");
    assert_eq!((found.entries, found.whole), (entries(&["c", "d", "e"]), Some(3)));
    assert_eq!(names(&find(&cache, 2, "d", "d")), ["d"]);
    assert_eq!(find(&cache, 2, "x", "z").whole, Some(3), "also when others are asked for");
    assert_eq!(find(&cache, 3, "a", "z").whole, None);
    let other = cache.view(FolderKey::of(directory(201)), NOW);
    assert!(other.remembered(directory(1), b"a", b"z").entries.is_empty());
}

// HOME-17
#[test]
fn a_long_directory_is_found_part_by_part_and_old_parts_go() {
    let home = tempfile::tempdir().unwrap();
    let cache = ScanCache::open(home.path());
    let end = |firsts: &[&str]| Note::End {
        directory: directory(1),
        firsts: firsts.iter().map(|first| first.as_bytes().to_vec()).collect(),
    };
    cache.keep(
        folder(),
        &[
            part(1, &["a", "b"], false),
            part(1, &["c", "d"], false),
            part(1, &["e", "f"], false),
            end(&["a", "c", "e"]),
            part(2, &["a"], true),
        ],
    );
    assert_eq!(names(&find(&cache, 1, "b", "e")), ["b", "c", "d", "e"]);
    assert_eq!(find(&cache, 1, "a", "f").whole, None);
    cache.keep(folder(), &[part(1, &["a", "bb"], false), part(1, &["d"], false), end(&["a", "d"])]);
    assert_eq!(names(&find(&cache, 1, "a", "f")), ["a", "bb", "d"]);
    cache.keep(folder(), &[part(1, &["b"], true)]);
    assert_eq!(names(&find(&cache, 1, "a", "f")), ["b"], "of the whole directory one part is left");
    assert_eq!(names(&find(&cache, 2, "a", "f")), ["a"], "the next directory is another matter");
    cache.keep(folder(), &[end(&[])]);
    assert!(find(&cache, 1, "a", "f").entries.is_empty());
}

// HOME-5
#[test]
fn attributes_are_read_again_once_a_week_and_what_the_future_saw_at_once() {
    let home = tempfile::tempdir().unwrap();
    let cache = ScanCache::open(home.path());
    let at = |looked| Remembered { looked, ..entry("a") };
    for (looked, is_good) in
        [(NOW, true), (NOW - 6 * DAY, true), (NOW - 8 * DAY, false), (NOW + 1, false)]
    {
        let entries = || vec![at(looked)];
        let note = |number| Note::Part {
            directory: directory(number),
            entries: entries(),
            is_whole: true,
        };
        cache.keep(folder(), &[note(1), note(255)]);
        let found = find(&cache, 1, "a", "a").entries.pop().unwrap();
        assert_eq!(found.xattrs.is_some(), is_good, "{looked}");
        // In some directories up to three and a half days later.
        let other = find(&cache, 255, "a", "a").entries.pop().unwrap();
        assert_eq!(other.xattrs.is_some(), is_good || looked == NOW - 8 * DAY, "{looked}");
        assert_eq!(found.content, entry("a").content, "the bytes are another matter");
    }
}

// HOME-5
#[test]
fn a_row_with_a_wrong_bit_anywhere_is_no_row() {
    let row = part::row(&entries(&["a", "b"]), true);
    let decode = |row: &[u8]| {
        let mut found = Recollection::default();
        Reader::new(NOW).read(row, directory(1), (b"a", b"z"), &mut found);
        found
    };
    assert_eq!(decode(&row).entries.len(), 2);
    for at in 0..row.len() {
        for bit in 0..8 {
            let mut damaged = row.clone();
            damaged[at] ^= 1 << bit;
            assert!(decode(&damaged).entries.is_empty(), "byte {at}, bit {bit}");
        }
        assert!(decode(&row[..at]).entries.is_empty());
    }
}

// HOME-17
#[test]
fn directories_that_are_gone_are_forgotten_once_much_was_written() {
    let home = tempfile::tempdir().unwrap();
    let cache = ScanCache::open(home.path());
    let alive = HashSet::from([directory(1)]);
    cache.keep(folder(), &[part(1, &["a"], true), part(2, &["b"], true)]);
    let other = FolderKey::of(directory(201));
    cache.keep(other, &[part(2, &["b"], true)]);
    cache.sweep(folder(), &alive, NOW);
    assert_eq!(names(&find(&cache, 2, "b", "b")), ["b"], "too few to be worth reading all");
    for round in 0..5_000_u64 {
        let stamp = Remembered { looked: NOW - round, ..entry("a") };
        let directory = directory(1);
        cache.keep(folder(), &[Note::Part { directory, entries: vec![stamp], is_whole: true }]);
    }
    cache.sweep(folder(), &alive, NOW + 1);
    assert!(find(&cache, 2, "b", "b").entries.is_empty());
    assert_eq!(names(&find(&cache, 1, "a", "a")), ["a"]);
    let kept = cache.view(other, NOW).remembered(directory(2), b"b", b"b");
    assert_eq!(names(&kept), ["b"], "of another folder");
}

// HOME-17
#[test]
fn the_folder_that_was_not_scanned_for_longest_gives_way() {
    let home = tempfile::tempdir().unwrap();
    let cache = ScanCache::open(home.path());
    let none = HashSet::new();
    for number in 0..70_u8 {
        let one = FolderKey::of(directory(number));
        cache.keep(one, &[part(1, &["a"], true)]);
        cache.sweep(one, &none, NOW + u64::from(number));
    }
    let is_kept = |number: u8| {
        let view = cache.view(FolderKey::of(directory(number)), NOW);
        !view.remembered(directory(1), b"a", b"a").entries.is_empty()
    };
    let kept: Vec<u8> = (0..70).filter(|number| is_kept(*number)).collect();
    assert_eq!(kept, (6..70).collect::<Vec<_>>());
}
