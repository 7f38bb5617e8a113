//! Reading real files.

use std::{
    fs,
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use super::*;
use crate::files::{Event, Walk, WalkOptions, testing::*};

fn open(path: &Path) -> Result<FileReader, ReadError> {
    let (directory, _) = Directory::root(path.parent().unwrap()).unwrap();
    FileReader::open(&directory, path.file_name().unwrap().as_encoded_bytes())
}

/// All pieces; neighbouring data pieces are joined.
fn read_all(reader: &mut FileReader) -> (Vec<u8>, Vec<Piece>) {
    let (mut data, mut pieces) = (Vec::new(), Vec::new());
    let mut buffer = vec![0; 10_000];
    loop {
        match reader.read(&mut buffer).unwrap() {
            Piece::Data(read) => {
                data.extend_from_slice(&buffer[..read]);
                match pieces.last_mut() {
                    Some(Piece::Data(before)) => *before += read,
                    _ => pieces.push(Piece::Data(read)),
                }
            }
            hole @ Piece::Hole(_) => pieces.push(hole),
            Piece::End => return (data, pieces),
        }
    }
}

// FILES-14
#[test]
fn a_hundred_gigabytes_with_little_data_are_read_at_once() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(100 << 30).unwrap();
    let data: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    file.write_at(&data, 50 << 30).unwrap();
    let start = Instant::now();
    let mut reader = open(&path).unwrap();
    let (read, pieces) = read_all(&mut reader);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(read, data);
    let hole = 50 << 30;
    let rest = (50 << 30) - (1 << 20);
    assert_eq!(pieces, [Piece::Hole(hole), Piece::Data(1 << 20), Piece::Hole(rest)]);
    assert_eq!(reader.finish().unwrap().verdict, Verdict::Unchanged);
}

#[test]
fn dense_small_and_empty_files_are_read_whole() {
    let temporary = tempfile::tempdir().unwrap();
    for bytes in [0, 1, 9_999, 10_000, 65_536, 200_001] {
        let path = temporary.path().join("file");
        let content: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        fs::write(&path, &content).unwrap();
        let mut reader = open(&path).unwrap();
        assert_eq!(reader.bytes(), length(bytes));
        assert_eq!(read_all(&mut reader).0, content);
        assert_eq!(reader.finish().unwrap().verdict, Verdict::Unchanged);
    }
}

// FILES-15
#[test]
fn only_regular_files_are_opened() {
    let temporary = tempfile::tempdir().unwrap();
    make_odd_tree(temporary.path());
    for name in ["fifo", "socket", "dangling", "absolute", "parent", "empty dir"] {
        let error = open(&temporary.path().join(name)).unwrap_err();
        assert_eq!(error, ReadError::NotAFile, "{name}");
    }
    if is_root() {
        assert_eq!(open(&temporary.path().join("char")).unwrap_err(), ReadError::NotAFile);
    }
    assert_eq!(open(&temporary.path().join("absent")).unwrap_err(), ReadError::Vanished);
}

/// Reads a file of which `change` does something after its first half was read.
fn read_while(change: impl FnOnce(&Path)) -> Finished {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("file");
    fs::write(&path, vec![1; 20_000]).unwrap();
    let mut reader = open(&path).unwrap();
    assert_eq!(reader.read(&mut [0; 10_000]).unwrap(), Piece::Data(10_000));
    change(&path);
    read_all(&mut reader);
    reader.finish().unwrap()
}

// FILES-16
#[test]
fn a_change_while_reading_is_noticed() {
    let append = |path: &Path| {
        fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b"more").unwrap();
    };
    let cut =
        |path: &Path| fs::OpenOptions::new().write(true).open(path).unwrap().set_len(5).unwrap();
    // Writes through `path` and puts the old time back: the change time tells.
    let sly = |path: &Path| {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_at(b"x", 15_000).unwrap();
        file.set_modified(modified).unwrap();
    };
    assert_eq!(read_while(append).verdict, Verdict::ChangedWhileRead);
    assert_eq!(read_while(cut).verdict, Verdict::ChangedWhileRead);
    // The clock of the file system may not have ticked since the file was made.
    let ticking = |path: &Path| {
        let before = fs::metadata(path).unwrap();
        while fs::metadata(path).unwrap().modified().unwrap() == before.modified().unwrap() {
            fs::OpenOptions::new().write(true).open(path).unwrap().write_at(b"x", 3).unwrap();
        }
        sly(path);
    };
    assert_eq!(read_while(ticking).verdict, Verdict::ChangedWhileRead);
    assert_eq!(read_while(|_| {}).verdict, Verdict::Unchanged);
}

// FILES-16
#[test]
fn a_file_that_vanishes_while_read_is_noticed() {
    assert_eq!(read_while(|path| fs::remove_file(path).unwrap()).verdict, Verdict::Vanished);
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), b"new").unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    assert_eq!(read_while(replace).verdict, Verdict::Vanished);
}

// FILES-9
#[test]
fn only_files_that_held_still_for_a_while_enter_the_cache() {
    assert_eq!(read_while(|_| {}).cacheable, None);
    // An old file: the program that contains this test, or the shell.
    let old = Path::new("/bin/sh").canonicalize().unwrap();
    let mut reader = open(&old).unwrap();
    let stamp = reader.stamp();
    read_all(&mut reader);
    assert_eq!(reader.finish().unwrap().cacheable, Some(stamp));
    // Changed a second before it was opened, and read for longer than that.
    let mut reader = open(&old).unwrap();
    let changed = u64::try_from(reader.opened.changed.seconds).unwrap();
    reader.before = std::time::UNIX_EPOCH + Duration::from_secs(changed + 1);
    read_all(&mut reader);
    assert_eq!(reader.finish().unwrap().cacheable, None);
}

// FILES-17
#[test]
fn what_was_walked_over_is_brought_up_to_date() {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("file");
    fs::write(&path, b"short").unwrap();
    let mut found = Walk::new(temporary.path(), &WalkOptions::default())
        .unwrap()
        .find_map(|event| match event {
            Event::Entry(found) => Some(found),
            _ => None,
        })
        .unwrap();
    let before = found.clone();
    let reader = FileReader::open(&found.directory, &found.name).unwrap();
    assert!(!reader.refresh(&mut found).unwrap());
    fs::write(&path, b"much longer").unwrap();
    set_modified(&path, 5, 6);
    let reader = FileReader::open(&found.directory, &found.name).unwrap();
    assert!(reader.refresh(&mut found).unwrap());
    assert_eq!(found.what, What::File { bytes: 11 });
    assert_eq!(found.attributes.modified.seconds, 5);
    assert_eq!(found.attributes.identity, before.attributes.identity);
    assert_eq!(found.stamp, reader.stamp());
}

// FILES-18
#[test]
fn reading_leaves_cache_and_access_time_as_they_were() {
    let temporary = tempfile::tempdir_in("/var/tmp").unwrap();
    let path = temporary.path().join("file");
    let file = fs::File::create(&path).unwrap();
    file.write_all_at(&vec![5; 4 << 20], 0).unwrap();
    file.sync_all().unwrap();
    // Making this file and looking at it below touch the access time: only `read` may not.
    let read = |path: &Path| {
        let accessed = fs::metadata(path).unwrap().accessed().unwrap();
        let mut reader = open(path).unwrap();
        read_all(&mut reader);
        reader.finish().unwrap();
        assert_eq!(fs::metadata(path).unwrap().accessed().unwrap(), accessed);
    };
    let is_cached_at = |offset| is_cached(&fs::File::open(&path).unwrap().into(), offset);
    read(&path);
    if !is_cached_at(0) {
        return skipped("page cache: this file system does not tell");
    }
    assert!(is_cached_at(2 << 20), "what was cached stays cached");
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    if is_cached_at(0) {
        return skipped("page cache: this file system keeps all in memory");
    }
    read(&path);
    assert!(!is_cached_at(0) && !is_cached_at(2 << 20), "what was not cached is given back");
}
