//! Restoring against real directories.

mod hostile;
mod resume;

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Command,
};

use larder_protocol::tree::entry::{DeviceNumber, Identity, Xattr};
use minicbor::bytes::ByteVec;

use super::*;
use crate::files::{WalkOptions, testing::*};

fn open(path: &Path, policy: Policy) -> Target {
    Target::open(path, TargetOptions { policy }).unwrap()
}

/// Attributes of a plain file of this process, modified at `seconds`.
fn plain(seconds: i64) -> Attributes {
    Attributes {
        mode: 0o644,
        uid: geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        modified: FileTime { seconds, nanoseconds: 5 },
        identity: Some(Identity([1; 16])),
        links: 1,
        xattrs: None,
    }
}

fn enter(target: &Target, parent: &DirHandle, name: &str) -> DirHandle {
    target.enter_dir(parent, name.as_bytes()).unwrap()
}

/// Restores a file of `content`, and tells whether it was written, unchanged or kept.
fn restore(
    target: &Target,
    directory: &DirHandle,
    name: &str,
    content: &[u8],
    seconds: i64,
) -> Result<&'static str, TargetError> {
    let bytes = crate::files::reader::length(content.len());
    match target.begin_file(directory, name.as_bytes(), bytes, &plain(seconds))? {
        Begun::Part(part) => {
            part.write_at(0, content)?;
            part.finish(&plain(seconds))?;
            Ok("written")
        }
        Begun::Unchanged => Ok("unchanged"),
        Begun::Kept => Ok("kept"),
    }
}

// FILES-1, FILES-14, FILES-30, FILES-36
#[test]
fn a_tree_with_every_kind_of_entry_is_copied_identically() {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (temporary.path().join("from"), temporary.path().join("to"));
    make_odd_tree(&from);
    let target = open(&to, Policy::Changed);
    let copied = copy_tree(&from, &target, &WalkOptions::default());
    assert_eq!(copied.unreadable, Vec::<Vec<u8>>::new());
    assert_eq!(copied.skipped, []);
    if is_root() {
        assert_eq!(target.shortfalls(), Shortfalls::default());
        assert_identical(&from, &to);
    }
    for sparse in ["sparse", "all hole"] {
        let (source, copy) =
            (fs::metadata(from.join(sparse)).unwrap(), fs::metadata(to.join(sparse)).unwrap());
        assert!(copy.blocks() <= source.blocks() + 8, "{sparse} takes {} blocks", copy.blocks());
    }
    // A second time nothing is written, not even a change time.
    drop(target);
    let changed = |name: &str| {
        let metadata = fs::symlink_metadata(to.join(name)).unwrap();
        (metadata.ctime(), metadata.ctime_nsec())
    };
    let before = ["setuid", "with acl", "dangling", "read-only dir"].map(changed);
    let again = copy_tree(&from, &open(&to, Policy::Changed), &WalkOptions::default());
    assert_eq!(again.data_bytes, 0);
    assert_eq!(again.kept, 0);
    assert_eq!(["setuid", "with acl", "dangling", "read-only dir"].map(changed), before);
    if is_root() {
        assert_identical(&from, &to);
    }
}

/// A large real tree: `cargo test -p larder-node a_real_tree -- --ignored --nocapture`, with
/// `LARDER_TEST_TREE` naming it.
#[test]
#[ignore = "takes a minute and needs a large tree"]
fn a_real_tree_is_copied_identically() {
    let from = std::env::var_os("LARDER_TEST_TREE").expect("LARDER_TEST_TREE names a folder");
    let from = Path::new(&from);
    let temporary = tempfile::tempdir_in("/var/tmp").unwrap();
    let to = temporary.path().join("to");
    let start = std::time::Instant::now();
    let copied = copy_tree(from, &open(&to, Policy::Changed), &WalkOptions::default());
    measured(&format!("{copied:?} in {:?}", start.elapsed()));
    let start = std::time::Instant::now();
    let events = crate::files::Walk::new(from, &WalkOptions::default()).unwrap().count();
    measured(&format!("{events} events of a warm walk in {:?}", start.elapsed()));
    assert_identical(from, &to);
}

// FILES-31
#[test]
fn existing_files_are_treated_by_policy() {
    use Policy::{Always, Changed, Never, Newer};
    // Policy; length and time there; what happens to a file of length 4 and time 100.
    let cases = [
        (Never, "same", 100, "unchanged"),
        (Never, "same", 99, "kept"),
        (Newer, "same", 100, "unchanged"),
        (Newer, "other", 101, "kept"),
        (Newer, "other", 99, "written"),
        (Newer, "other", 100, "written"),
        (Changed, "same", 100, "unchanged"),
        (Changed, "longer", 100, "written"),
        (Changed, "same", 101, "written"),
        (Always, "same", 100, "written"),
    ];
    for (policy, there, seconds, expected) in cases {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        fs::write(&path, if there == "same" { "same" } else { "different" }).unwrap();
        set_modified(&path, seconds, 5);
        let target = open(temporary.path(), policy);
        let plan = target.plan_file(&target.root(), b"file", 4, &plain(100)).unwrap();
        let met = restore(&target, &target.root(), "file", b"SAME", 100).unwrap();
        assert_eq!(met, expected, "{policy:?} {there} {seconds}");
        let planned = match plan {
            Plan::Make => "written",
            Plan::Unchanged => "unchanged",
            Plan::Keep => "kept",
        };
        assert_eq!(planned, expected);
        let is_new = fs::read(&path).unwrap() == b"SAME";
        assert_eq!(is_new, expected == "written");
    }
}

// FILES-31
#[test]
fn what_was_saved_while_a_file_was_being_restored_is_treated_by_policy_too() {
    use Policy::{Always, Never, Newer};
    // Policy; what stood there at the begin (if anything) and what stands there at the end, by
    // its time; whether a file of time 100 takes its place.
    let cases = [
        (Never, None, 300, false),
        (Newer, None, 300, false),
        (Newer, Some(50), 300, false),
        (Newer, Some(50), 60, true),
        (Always, None, 300, true),
    ];
    for (policy, before, after, is_replaced) in cases {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("file");
        let save = |seconds| {
            fs::write(&path, format!("saved at {seconds}")).unwrap();
            set_modified(&path, seconds, 0);
        };
        before.into_iter().for_each(save);
        let target = open(temporary.path(), policy);
        let begun = target.begin_file(&target.root(), b"file", 3, &plain(100)).unwrap();
        let Begun::Part(part) = begun else { panic!("{begun:?}") };
        part.write_at(0, b"old").unwrap();
        save(after);
        match part.finish(&plain(100)).unwrap() {
            Placed::New => assert!(is_replaced, "{policy:?} {before:?} {after}"),
            Placed::Kept(part) => {
                part.discard().unwrap();
                assert!(!is_replaced, "{policy:?} {before:?} {after}");
            }
            Placed::Unchanged => panic!("nothing is equal"),
        }
        let expected = if is_replaced { "old".to_owned() } else { format!("saved at {after}") };
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
        target.sync().unwrap();
        assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
    }
}

// FILES-31
#[test]
fn never_changes_no_attribute_of_what_was_there() {
    let temporary = shared_dir();
    if is_root() {
        // Root needs no usable mode: both ways are gone.
        run_in_child("target::tests::child_restores_with_never", AS_NOBODY, temporary.path());
    }
    let own = tempfile::tempdir().unwrap();
    restore_with_never(own.path());
}

#[test]
#[ignore = "run by never_changes_no_attribute_of_what_was_there"]
fn child_restores_with_never() {
    let Some(root) = child_dir() else { return };
    restore_with_never(&root);
}

fn restore_with_never(around: &Path) {
    let root = around.join("target");
    fs::create_dir(&root).unwrap();
    let set = |name: &str, mode| {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let mode = |name: &str| fs::symlink_metadata(root.join(name)).unwrap().mode() & 0o7777;
    fs::write(root.join("file"), b"same").unwrap();
    set_modified(&root.join("file"), 100, 5);
    set("file", 0o600);
    for name in ["private", "read-only"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    set("private", 0o700);
    set("read-only", 0o500);
    let lax = |seconds| Attributes { mode: 0o777, ..plain(seconds) };
    drop(open(&root, Policy::Never));
    // The second one is resumed: directories that it finds may be of the first.
    for is_resumed in [true, true] {
        let target = open(&root, Policy::Never);
        assert_eq!(target.is_resumed(), is_resumed);
        let top = target.root();
        let begun = target.begin_file(&top, b"file", 4, &lax(100)).unwrap();
        assert!(matches!(begun, Begun::Unchanged));
        for name in ["private", "read-only"] {
            let dir = enter(&target, &top, name);
            restore(&target, &dir, "new", b"x", 1).unwrap();
            target.finish_dir(&dir, &lax(1)).unwrap();
        }
        // Made by a restore that was killed before it came to the end of it.
        enter(&target, &top, "of a restore");
    }
    let target = open(&root, Policy::Never);
    let dir = enter(&target, &target.root(), "of a restore");
    target.finish_dir(&dir, &lax(1)).unwrap();
    let modes = ["file", "private", "read-only", "of a restore"].map(mode);
    assert_eq!(modes, [0o600, 0o700, 0o500, 0o777]);
    assert!(root.join("read-only/new").exists());
    set("read-only", 0o700);
}

// FILES-30
#[test]
fn others_see_no_more_during_a_restore_than_afterwards() {
    let temporary = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(temporary.path().join(name)).unwrap().mode() & 0o7777;
    let target = open(temporary.path(), Policy::Changed);
    let way = target.pass_dir(&target.root(), b"home").unwrap();
    assert_eq!((mode("home"), way.path()), (0o700, &b"home"[..]));
    fs::create_dir(temporary.path().join("lax")).unwrap();
    fs::set_permissions(temporary.path().join("lax"), fs::Permissions::from_mode(0o777)).unwrap();
    let recorded = Attributes { mode: 0o1750, ..plain(1) };
    let dir = enter(&target, &target.root(), "lax");
    target.shut(&dir, &recorded);
    assert_eq!(mode("lax"), 0o750);
    target.finish_dir(&dir, &recorded).unwrap();
    assert_eq!(mode("lax"), 0o1750);
    // What it has and will have is left alone.
    let changed = || fs::metadata(temporary.path().join("lax")).unwrap().ctime_nsec();
    let before = changed();
    target.shut(&enter(&target, &target.root(), "lax"), &recorded);
    assert_eq!(changed(), before);
}

// FILES-21
#[test]
fn a_hard_link_that_looks_equal_gets_no_attributes() {
    let temporary = tempfile::tempdir().unwrap();
    let (root, shadow) = (temporary.path().join("target"), temporary.path().join("shadow"));
    fs::create_dir(&root).unwrap();
    fs::write(&shadow, b"same").unwrap();
    set_modified(&shadow, 100, 5);
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["by looks", "by content"] {
        fs::hard_link(&shadow, root.join(name)).unwrap();
    }
    let mode = || fs::metadata(&shadow).unwrap().mode() & 0o7777;
    let target = open(&root, Policy::Changed);
    assert_eq!(restore(&target, &target.root(), "by looks", b"same", 100).unwrap(), "written");
    let compared = target.open_existing(&target.root(), b"by content").unwrap().unwrap();
    let kept = target.keep_content(&target.root(), b"by content", &compared, &plain(100));
    assert!(!kept.unwrap(), "a new file has to take its place");
    assert_eq!(mode(), 0o600);
    assert_eq!(fs::metadata(root.join("by looks")).unwrap().mode() & 0o7777, 0o644);
    // With the very attributes it is left where it is: links of the snapshot itself are such.
    fs::hard_link(root.join("by looks"), root.join("second")).unwrap();
    assert_eq!(restore(&target, &target.root(), "second", b"same", 100).unwrap(), "unchanged");
}

// FILES-32
#[test]
fn files_and_directories_take_each_others_place_but_nothing_with_entries_is_deleted() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    for dir in ["empty", "full", "for link"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    fs::write(root.join("full/inside"), b"precious").unwrap();
    fs::write(root.join("file"), b"").unwrap();
    let target = open(root, Policy::Always);
    let top = target.root();
    assert_eq!(restore(&target, &top, "empty", b"now a file", 1).unwrap(), "written");
    let error = restore(&target, &top, "full", b"x", 1).unwrap_err();
    assert!(matches!(error, TargetError::NotEmpty { path } if path == b"full"));
    let link = |name: &[u8]| target.make_special(&top, name, Special::Symlink(b"x"), &plain(1));
    assert!(matches!(link(b"full"), Err(TargetError::NotEmpty { .. })));
    assert_eq!(link(b"for link").unwrap(), Made::New);
    let now_a_directory = enter(&target, &top, "file");
    assert_eq!(restore(&target, &now_a_directory, "inside", b"y", 1).unwrap(), "written");
    assert_eq!(fs::read(root.join("full/inside")).unwrap(), b"precious");
    assert!(root.join("empty").is_file() && root.join("file/inside").is_file());
}

// FILES-42
#[test]
fn what_is_of_another_kind_is_kept_unless_it_is_to_go_always() {
    for policy in [Policy::Never, Policy::Newer, Policy::Changed] {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path();
        fs::write(root.join("file"), b"precious").unwrap();
        std::os::unix::fs::symlink("file", root.join("link")).unwrap();
        fs::create_dir(root.join("empty")).unwrap();
        fs::create_dir(root.join("full")).unwrap();
        fs::write(root.join("full/inside"), b"precious").unwrap();
        for name in ["file", "link"] {
            set_modified(&root.join(name), 1, 0);
        }
        let target = open(root, policy);
        let top = target.root();
        restore(&target, &top, "first", b"x", 9).unwrap();
        let special = Special::Symlink(b"elsewhere");
        let in_the_way = |result: Result<(), TargetError>| {
            let is_so =
                matches!(result, Err(TargetError::InTheWay { .. } | TargetError::NotEmpty { .. }));
            assert!(is_so, "{policy:?}: {result:?}");
        };
        for name in [&b"file"[..], b"link"] {
            in_the_way(target.enter_dir(&top, name).map(drop));
            in_the_way(target.plan_dir(&top, name).map(drop));
            in_the_way(target.pass_dir(&top, name).map(drop));
            in_the_way(target.plan_way(&top, name).map(drop));
        }
        for name in ["link", "empty", "full"] {
            in_the_way(restore(&target, &top, name, b"new", 9).map(drop));
            let bytes = name.as_bytes();
            in_the_way(target.plan_file(&top, bytes, 3, &plain(9)).map(drop));
            in_the_way(target.hardlink(&top, bytes, &[b"first"]).map(drop));
        }
        for name in [&b"file"[..], b"empty", b"full"] {
            in_the_way(target.make_special(&top, name, special, &plain(9)).map(drop));
            in_the_way(target.plan_special(&top, name, special, &plain(9)).map(drop));
        }
        target.sync().unwrap();
        assert_eq!(fs::read(root.join("file")).unwrap(), b"precious");
        assert_eq!(fs::read(root.join("link")).unwrap(), b"precious");
        assert_eq!(fs::read(root.join("full/inside")).unwrap(), b"precious");
        assert_eq!(fs::read_dir(root).unwrap().count(), 5);
    }
}

// FILES-30
#[test]
fn a_directory_keeps_its_time_and_a_read_only_one_can_be_filled() {
    let temporary = tempfile::tempdir().unwrap();
    let target = open(temporary.path(), Policy::Changed);
    let attributes = Attributes { mode: 0o555, ..plain(-77) };
    for round in 0..2 {
        let dir = enter(&target, &target.root(), "dir");
        restore(&target, &dir, &format!("file {round}"), b"x", 1).unwrap();
        target.finish_dir(&dir, &attributes).unwrap();
        let metadata = fs::metadata(temporary.path().join("dir")).unwrap();
        assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (-77, 5));
        assert_eq!(metadata.mode() & 0o7777, 0o555);
    }
}

// FILES-30
#[test]
fn a_default_acl_around_the_target_leaves_no_trace() {
    let temporary = tempfile::tempdir().unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    let name = "system.posix_acl_default";
    if rustix::fs::lsetxattr(temporary.path(), name, &ACL, flags).is_err() {
        return skipped("ACLs: not on this file system");
    }
    let target = open(temporary.path(), Policy::Changed);
    let dir = enter(&target, &target.root(), "dir");
    restore(&target, &dir, "file", b"x", 1).unwrap();
    target.finish_dir(&dir, &plain(1)).unwrap();
    for path in ["dir", "dir/file"] {
        let path = temporary.path().join(path);
        assert_eq!(rustix::fs::llistxattr(&path, &mut [0; 200]).unwrap(), 0);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o644);
    }
}

// FILES-33
#[test]
fn an_ordinary_user_restores_what_he_may_and_hears_what_he_may_not() {
    let temporary = shared_dir();
    if is_root() {
        let name = "target::tests::child_restores_as_nobody";
        run_in_child(name, AS_NOBODY, temporary.path());
    } else {
        restore_anothers_things(temporary.path());
    }
}

#[test]
#[ignore = "run by an_ordinary_user_restores_what_he_may_and_hears_what_he_may_not"]
fn child_restores_as_nobody() {
    let Some(root) = child_dir() else { return };
    restore_anothers_things(&root);
}

fn restore_anothers_things(dir: &Path) {
    let root = dir.join("target");
    let target = open(&root, Policy::Changed);
    let top = target.root();
    let xattr = |name: &str, value: &[u8]| Xattr {
        name: ByteVec::from(name.as_bytes().to_vec()),
        value: ByteVec::from(value.to_vec()),
    };
    let attributes = Attributes {
        mode: 0o6755,
        uid: 0,
        gid: 0,
        xattrs: Some(vec![xattr("security.capability", &CAPABILITY), xattr("user.mine", b"1")]),
        ..plain(-9)
    };
    let Begun::Part(part) = target.begin_file(&top, b"program", 1, &attributes).unwrap() else {
        panic!("nothing is there yet");
    };
    part.write_at(0, b"p").unwrap();
    part.finish(&attributes).unwrap();
    let null = DeviceNumber { major: 1, minor: 3 };
    let made = target.make_special(&top, b"null", Special::CharDevice(null), &plain(1)).unwrap();
    assert_eq!(made, Made::Lacking);
    let dir = enter(&target, &top, "dir");
    target.finish_dir(&dir, &Attributes { uid: 0, mode: 0o700, ..plain(1) }).unwrap();
    target.sync().unwrap();
    let met: Vec<_> = target
        .shortfalls()
        .listed
        .into_iter()
        .map(|shortfall| (String::from_utf8(shortfall.path).unwrap(), shortfall.what))
        .collect();
    let expected = [
        ("program", Lack::Xattr(b"security.capability".to_vec())),
        ("program", Lack::Owner),
        ("program", Lack::Mode),
        ("null", Lack::Device),
        ("dir", Lack::Owner),
    ];
    assert_eq!(met, expected.map(|(path, what)| (path.to_owned(), what)));
    let program = fs::metadata(root.join("program")).unwrap();
    assert_eq!(program.mode() & 0o7777, 0o755, "no setuid for another owner");
    assert_eq!(program.mtime(), -9);
    let value = rustix::fs::lgetxattr(root.join("program"), "user.mine", &mut [0; 9]);
    assert_eq!(value, Ok(1));
}

// FILES-34
#[test]
fn a_full_target_is_told_apart_and_goes_on_when_there_is_room() {
    let temporary = shared_dir();
    let name = "target::tests::child_restores_to_a_full_target";
    run_in_child(name, WITH_OWN_MOUNTS, temporary.path());
}

#[test]
#[ignore = "run by a_full_target_is_told_apart_and_goes_on_when_there_is_room"]
fn child_restores_to_a_full_target() {
    let Some(root) = child_dir() else { return };
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(&root);
    assert!(mount.status().unwrap().success());
    fs::write(root.join("other"), vec![1; 150_000]).unwrap();
    {
        let target = open(&root, Policy::Changed);
        let error = restore(&target, &target.root(), "file", &[2; 150_000], 1).unwrap_err();
        assert!(matches!(error, TargetError::Full), "{error}");
        assert!(!root.join("file").exists(), "a part never has the name of the whole");
        target.sync().unwrap();
    }
    fs::remove_file(root.join("other")).unwrap();
    let target = open(&root, Policy::Changed);
    assert!(target.is_resumed());
    let root_dir = target.root();
    assert_eq!(restore(&target, &root_dir, "file", &[2; 150_000], 1).unwrap(), "written");
    target.sync().unwrap();
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
}

// FILES-35
#[test]
fn a_survey_changes_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let options = TargetOptions::default();
    assert!(Target::survey(&temporary.path().join("absent"), options).unwrap().is_none());
    fs::create_dir(temporary.path().join("dir")).unwrap();
    set_modified(temporary.path(), 10, 0);
    let target = Target::survey(temporary.path(), options).unwrap().unwrap();
    let top = target.root();
    let dir = target.plan_dir(&top, b"dir").unwrap();
    assert_eq!(target.plan_file(&dir.unwrap(), b"x", 1, &plain(1)).unwrap(), Plan::Make);
    assert!(target.plan_dir(&top, b"absent").unwrap().is_none());
    assert!(target.plan_way(&top, b"absent").unwrap().is_none());
    assert_eq!(target.plan_special(&top, b"f", Special::Fifo, &plain(1)).unwrap(), Plan::Make);
    assert_eq!(fs::metadata(temporary.path()).unwrap().mtime(), 10);
}

// FILES-30
#[test]
fn a_link_is_made_to_what_was_restored_earlier() {
    let temporary = tempfile::tempdir().unwrap();
    let target = open(temporary.path(), Policy::Changed);
    let top = target.root();
    let dir = enter(&target, &top, "dir");
    restore(&target, &dir, "first", b"x", 1).unwrap();
    let earlier = [&b"dir"[..], b"first"];
    fs::write(temporary.path().join("second"), b"in the way").unwrap();
    assert_eq!(target.hardlink(&top, b"second", &earlier).unwrap(), Made::New);
    assert_eq!(target.hardlink(&top, b"second", &earlier).unwrap(), Made::Unchanged);
    let inode = |name: &str| fs::metadata(temporary.path().join(name)).unwrap().ino();
    assert_eq!(inode("dir/first"), inode("second"));
    assert!(target.hardlink(&top, b"third", &[b"absent"]).is_err());
    target.sync().unwrap();
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 2);
}

// FILES-1
#[test]
fn paths_longer_than_the_kernel_takes_are_restored_and_found_again() {
    for resolver in [Resolver::Openat2, Resolver::Steps] {
        let temporary = tempfile::tempdir().unwrap();
        let to = temporary.path().join("to");
        let target = Target::open_with(&to, TargetOptions::default(), resolver).unwrap();
        let name = "n".repeat(250);
        let mut dir = target.root();
        for _ in 0..40 {
            dir = enter(&target, &dir, &name);
        }
        restore(&target, &dir, "first", b"deep", 1).unwrap();
        let mut path = vec![name.clone(); 40];
        let again = target.open_dir(&path).unwrap();
        assert_eq!(again.path().len(), 40 * 251 - 1);
        path.push("first".to_owned());
        assert_eq!(target.hardlink(&again, b"second", &path).unwrap(), Made::New);
        target.finish_dir(&again, &plain(7)).unwrap();
        target.sync().unwrap();
        let found: Vec<_> = crate::files::Walk::new(&to, &WalkOptions::default())
            .unwrap()
            .filter_map(|event| match event {
                crate::files::Event::Entry(found) => {
                    let reader = crate::files::FileReader::open(&found.directory, &found.name);
                    Some((found.path().len(), found.attributes.links, reader.unwrap().bytes()))
                }
                _ => None,
            })
            .collect();
        assert_eq!(found, [(40 * 251 + 5, 2, 4), (40 * 251 + 6, 2, 4)]);
        Command::new("rm").arg("-rf").arg(&to).status().unwrap();
    }
}
