//! Restores that were cut off, and the next one to the same directory.

use super::*;

fn parts_in(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| is_part_name(name.as_encoded_bytes())).count()
}

fn begin(target: &Target, name: &str, bytes: u64) -> PartFile {
    match target.begin_file(&target.root(), name.as_bytes(), bytes, &plain(1)).unwrap() {
        Begun::Part(part) => part,
        other => panic!("{other:?}"),
    }
}

// FILES-24
#[test]
fn a_file_goes_on_where_it_was_cut_off() {
    let temporary = tempfile::tempdir().unwrap();
    {
        let target = open(temporary.path(), Policy::Changed);
        assert!(!target.is_resumed());
        let part = begin(&target, "file", 30_000);
        assert!(!part.is_resumed());
        part.write_at(0, &[1; 10_000]).unwrap();
        part.write_at(20_000, &[9; 20_000]).unwrap();
        drop(part);
        target.sync().unwrap();
    }
    assert_eq!(parts_in(temporary.path()), 2, "the part and the marker");
    let target = open(temporary.path(), Policy::Changed);
    assert!(target.is_resumed());
    let part = begin(&target, "file", 30_000);
    assert!(part.is_resumed());
    let mut buffer = vec![0; 50_000];
    assert_eq!(part.read_at(0, &mut buffer).unwrap(), 40_000);
    assert!(buffer[..10_000].iter().all(|byte| *byte == 1));
    part.hole(10_000, 20_000).unwrap();
    part.finish(&plain(1)).unwrap();
    target.finish_dir(&target.root(), &plain(7)).unwrap();
    target.sync().unwrap();
    let content = fs::read(temporary.path().join("file")).unwrap();
    assert_eq!(content, [vec![1; 10_000], vec![0; 20_000]].concat());
    assert_eq!(parts_in(temporary.path()), 0);
    assert_eq!(fs::metadata(temporary.path()).unwrap().mtime(), 7);
}

// FILES-24
#[test]
fn a_part_that_outlived_its_marker_leaves_nothing_in_the_holes_of_the_new_file() {
    let temporary = tempfile::tempdir().unwrap();
    {
        let target = open(temporary.path(), Policy::Changed);
        let dir = enter(&target, &target.root(), "vm");
        let Begun::Part(part) = target.begin_file(&dir, b"disk", 30_000, &plain(1)).unwrap() else {
            panic!("nothing is there yet");
        };
        part.write_at(0, &[9; 30_000]).unwrap();
    }
    // A restore of something else ends well, takes the marker away and never comes to `vm`.
    open(temporary.path(), Policy::Changed).sync().unwrap();
    let target = open(temporary.path(), Policy::Changed);
    assert!(!target.is_resumed());
    let dir = enter(&target, &target.root(), "vm");
    let Begun::Part(part) = target.begin_file(&dir, b"disk", 30_000, &plain(2)).unwrap() else {
        panic!("nothing is there yet");
    };
    part.hole(0, 20_000).unwrap();
    part.write_at(20_000, &[1; 10_000]).unwrap();
    part.finish(&plain(2)).unwrap();
    let content = fs::read(temporary.path().join("vm/disk")).unwrap();
    assert!(content == [vec![0; 20_000], vec![1; 10_000]].concat());
}

// FILES-25
#[test]
fn parts_that_nobody_takes_up_are_removed() {
    let temporary = tempfile::tempdir().unwrap();
    {
        let target = open(temporary.path(), Policy::Changed);
        drop(begin(&target, "of an old snapshot", 1));
        drop(begin(&target, "wanted", 1));
    }
    let target = open(temporary.path(), Policy::Changed);
    let wanted = begin(&target, "wanted", 1);
    assert_eq!(parts_in(temporary.path()), 3);
    // A holder is away: this part is left for the next time.
    drop(wanted);
    target.finish_dir(&target.root(), &plain(1)).unwrap();
    target.sync().unwrap();
    assert_eq!(parts_in(temporary.path()), 2);
    drop(target);
    let target = open(temporary.path(), Policy::Changed);
    begin(&target, "wanted", 1).discard().unwrap();
    target.finish_dir(&target.root(), &plain(1)).unwrap();
    target.sync().unwrap();
    assert_eq!(parts_in(temporary.path()), 0);
}

// FILES-26
#[test]
fn after_a_crash_of_the_machine_equal_length_and_time_are_not_believed() {
    let temporary = tempfile::tempdir().unwrap();
    let marker = temporary.path().join(String::from_utf8(part_name(b"")).unwrap());
    drop(open(temporary.path(), Policy::Changed));
    fs::write(temporary.path().join("file"), b"????").unwrap();
    set_modified(&temporary.path().join("file"), 1, 5);
    let plan = || {
        let target = open(temporary.path(), Policy::Changed);
        assert!(target.is_resumed());
        target.plan_file(&target.root(), b"file", 4, &plain(1)).unwrap()
    };
    assert_eq!(plan(), Plan::Unchanged);
    fs::write(&marker, b"another boot").unwrap();
    assert_eq!(plan(), Plan::Make);
    assert_eq!(plan(), Plan::Make, "until a restore has ended");
    open(temporary.path(), Policy::Changed).sync_some().unwrap();
    assert_eq!(plan(), Plan::Make, "and not one of other paths alone");
    open(temporary.path(), Policy::Changed).sync().unwrap();
    assert!(!marker.exists());
}

// FILES-26
#[test]
fn every_file_system_that_was_entered_is_made_durable() {
    let name = "target::tests::resume::child_restores_to_two_file_systems";
    run_in_child(name, WITH_OWN_MOUNTS, shared_dir().path());
}

#[test]
#[ignore = "run by every_file_system_that_was_entered_is_made_durable"]
fn child_restores_to_two_file_systems() {
    let Some(root) = child_dir() else { return };
    fs::create_dir(root.join("mounted")).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(root.join("mounted"));
    assert!(mount.status().unwrap().success());
    let target = open(&root, Policy::Never);
    for name in ["mounted", "beside"] {
        let dir = enter(&target, &target.root(), name);
        restore(&target, &dir, "file", b"x", 1).unwrap();
    }
    assert_eq!(target.inner.file_systems.lock().unwrap().len(), 2);
    target.sync().unwrap();
}

// FILES-27
#[test]
fn two_restores_to_one_directory_do_not_meet() {
    let temporary = tempfile::tempdir().unwrap();
    let first = open(temporary.path(), Policy::Changed);
    let second = Target::open(temporary.path(), TargetOptions::default());
    assert!(matches!(second, Err(TargetError::Busy)));
    drop(first);
    drop(open(temporary.path(), Policy::Changed));
}

// FILES-28
#[test]
fn right_bytes_are_taken_from_the_file_that_stands_there() {
    let temporary = tempfile::tempdir().unwrap();
    let old: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    fs::write(temporary.path().join("file"), &old).unwrap();
    let target = open(temporary.path(), Policy::Changed);
    let existing = target.open_existing(&target.root(), b"file").unwrap().unwrap();
    assert_eq!(existing.bytes(), 3_000_000);
    let mut buffer = vec![0; 1000];
    assert_eq!(existing.read_at(2_999_500, &mut buffer).unwrap(), 500);
    let part = begin(&target, "file", 3_000_000);
    part.copy_from(&existing, 0, 1_000_000).unwrap();
    part.write_at(1_000_000, b"changed").unwrap();
    part.copy_from(&existing, 1_000_007, 1_999_993).unwrap();
    assert!(part.copy_from(&existing, 2_999_999, 2).is_err());
    part.finish(&plain(1)).unwrap();
    let mut expected = old;
    expected[1_000_000..1_000_007].copy_from_slice(b"changed");
    assert!(fs::read(temporary.path().join("file")).unwrap() == expected);
    std::os::unix::fs::symlink("file", temporary.path().join("link")).unwrap();
    for name in [&b"link"[..], b"absent"] {
        assert!(target.open_existing(&target.root(), name).unwrap().is_none());
    }
}
