//! A snapshot, or somebody beside us, that wants to write outside of the target.

use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

// FILES-20
#[test]
fn names_that_lead_elsewhere_are_refused_everywhere() {
    let temporary = tempfile::tempdir().unwrap();
    let inside = temporary.path().join("inside");
    let target = open(&inside, Policy::Always);
    let top = target.root();
    restore(&target, &top, "file", b"x", 1).unwrap();
    let too_long = [b'x'; 256];
    let names: [&[u8]; 9] =
        [b"", b".", b"..", b"/", b"/etc/x", b"../x", b"a/b", b"a\0b", &too_long];
    let part = part_name(b"file");
    for name in names.into_iter().chain([part.as_slice()]) {
        let attributes = plain(1);
        let is_refused = |result: Result<(), TargetError>| {
            assert!(matches!(result, Err(TargetError::Name(_))), "{}", name.escape_ascii());
        };
        is_refused(target.enter_dir(&top, name).map(drop));
        is_refused(target.plan_dir(&top, name).map(drop));
        is_refused(target.plan_way(&top, name).map(drop));
        is_refused(target.begin_file(&top, name, 1, &attributes).map(drop));
        is_refused(target.plan_file(&top, name, 1, &attributes).map(drop));
        is_refused(target.open_existing(&top, name).map(drop));
        is_refused(target.make_special(&top, name, Special::Fifo, &attributes).map(drop));
        is_refused(target.plan_special(&top, name, Special::Fifo, &attributes).map(drop));
        is_refused(target.hardlink(&top, name, &[b"file"]).map(drop));
        is_refused(target.hardlink(&top, b"link", &[name]).map(drop));
        is_refused(target.hardlink(&top, b"link", &[name, b"file"]).map(drop));
        is_refused(target.open_dir(&[name]).map(drop));
        is_refused(target.open_dir(&[b"a", name]).map(drop));
    }
    drop((target, top));
    assert_eq!(fs::read_dir(temporary.path()).unwrap().count(), 1);
}

// FILES-21
#[test]
fn a_symlink_in_place_of_a_directory_is_not_entered() {
    for resolver in [Resolver::Openat2, Resolver::Steps] {
        let temporary = tempfile::tempdir().unwrap();
        let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
        fs::create_dir_all(outside.join("deep")).unwrap();
        fs::write(outside.join("file"), b"precious").unwrap();
        let options = TargetOptions { policy: Policy::Always };
        let target = Target::open_with(&inside, options, resolver).unwrap();
        assert_eq!(target.inner.resolver, resolver, "this kernel has openat2");
        symlink(&outside, inside.join("link")).unwrap();
        symlink("/proc/self/root", inside.join("magic")).unwrap();
        for path in [vec!["link"], vec!["link", "deep"], vec!["magic", "etc"]] {
            let error = target.open_dir(&path).unwrap_err();
            assert!(matches!(error, TargetError::NotDirectory { .. }), "{error}");
        }
        let link = [&b"link"[..], b"file"];
        assert!(target.hardlink(&target.root(), b"stolen", &link).is_err());
        // As an entry in the way it is replaced, not followed.
        let dir = enter(&target, &target.root(), "link");
        restore(&target, &dir, "file", b"new", 1).unwrap();
        assert!(inside.join("link").symlink_metadata().unwrap().is_dir());
        let error = target.pass_dir(&target.root(), b"magic").unwrap_err();
        assert!(matches!(error, TargetError::InTheWay { .. }), "{error}");
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"precious");
    }
}

// FILES-21
#[test]
fn files_are_not_written_through_links() {
    let temporary = tempfile::tempdir().unwrap();
    let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::write(&outside, b"precious").unwrap();
    set_modified(&outside, 3, 3);
    let part = |name: &str| inside.join(String::from_utf8(part_name(name.as_bytes())).unwrap());
    // What stands at the final name, and things planted at the part's name.
    symlink(&outside, inside.join("final")).unwrap();
    symlink(&outside, part("symlink")).unwrap();
    fs::hard_link(&outside, part("hardlink")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, part("fifo"), Mode::RWXU).unwrap();
    let target = open(&inside, Policy::Always);
    for name in ["final", "symlink", "hardlink", "fifo"] {
        restore(&target, &target.root(), name, b"new", 1).unwrap();
        assert!(inside.join(name).symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read(inside.join(name)).unwrap(), b"new");
    }
    for name in ["symlink", "hardlink", "fifo"] {
        symlink(&outside, part(name)).unwrap();
        let special = Special::Symlink(b"elsewhere");
        let attributes = Attributes { mode: 0o777, ..plain(9) };
        target.make_special(&target.root(), name.as_bytes(), special, &attributes).unwrap();
        assert_eq!(fs::read_link(inside.join(name)).unwrap().as_os_str(), "elsewhere");
    }
    let metadata = fs::metadata(&outside).unwrap();
    assert_eq!(fs::read(&outside).unwrap(), b"precious");
    assert_eq!((metadata.mtime(), metadata.nlink()), (3, 1));
}

/// Ends the other thread also when this one panics.
struct SetWhenDropped<'a>(&'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// FILES-22
#[test]
fn nothing_is_written_outside_while_directories_are_swapped_for_symlinks() {
    for resolver in [Resolver::Openat2, Resolver::Steps] {
        let temporary = fast_dir();
        let (inside, outside) = (temporary.path().join("in"), temporary.path().join("out"));
        fs::create_dir_all(outside.join("sub")).unwrap();
        fs::create_dir_all(inside.join("dir/sub")).unwrap();
        symlink(&outside, inside.join("link")).unwrap();
        let options = TargetOptions { policy: Policy::Never };
        let target = Target::open_with(&inside, options, resolver).unwrap();
        let is_over = AtomicBool::new(false);
        let (mut written, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (dir, link) = (inside.join("dir"), inside.join("link"));
                let (cwd, exchange) = (rustix::fs::CWD, RenameFlags::EXCHANGE);
                while !is_over.load(Ordering::Relaxed) {
                    renameat_with(cwd, &dir, cwd, &link, exchange).unwrap();
                }
            });
            let _over = SetWhenDropped(&is_over);
            for round in 0..5_000_000 {
                if written > 500 && refused > 500 {
                    break;
                }
                // On a busy machine each side would else have the processor to itself for long.
                std::thread::yield_now();
                let top = target.root();
                let entered = match round % 3 {
                    0 => target.open_dir(&["dir"]),
                    1 => target.open_dir(&["dir", "sub"]),
                    _ => target.enter_dir(&top, b"dir"),
                };
                let Ok(dir) = entered else {
                    refused += 1;
                    continue;
                };
                let name = format!("file {}", round % 500);
                written += usize::from(restore(&target, &dir, &name, b"bytes", 1).is_ok());
                let link = Special::Symlink(b"x");
                target.make_special(&dir, b"symlink", link, &plain(1)).unwrap();
                // The way to the earlier file may be the symlink at this moment.
                let _ = target.hardlink(&dir, b"hard link", &[b"dir".to_vec(), name.into_bytes()]);
                target.finish_dir(&dir, &plain(1)).unwrap();
            }
        });
        assert!(written > 500 && refused > 500, "{written} written, {refused} refused: no race");
        for dir in [outside.join("sub"), outside.clone()] {
            let found: Vec<_> = fs::read_dir(&dir).unwrap().map(|it| it.unwrap().path()).collect();
            assert!(found.iter().all(|path| path.ends_with("sub")), "outside: {found:?}");
        }
    }
}

// FILES-23
#[test]
fn absurd_attributes_do_no_harm() {
    let temporary = tempfile::tempdir().unwrap();
    let target = open(temporary.path(), Policy::Always);
    let xattr = |name: &[u8], bytes: usize| Xattr {
        name: ByteVec::from(name.to_vec()),
        value: ByteVec::from(vec![1; bytes]),
    };
    let names: [&[u8]; 6] = [b"", b"nonsense", b"user.", b"user.a\0b", &[b'u'; 300], b"system.x"];
    let mut xattrs: Vec<Xattr> = names.iter().map(|name| xattr(name, 1)).collect();
    xattrs.push(xattr(b"user.huge", 100_000));
    let seconds = [i64::MIN, -1, i64::MAX];
    for (seconds, nanoseconds) in seconds.into_iter().zip([0, 0x3fff_ffff, u32::MAX]) {
        let attributes = Attributes {
            mode: u32::MAX,
            uid: u32::MAX,
            gid: u32::MAX,
            modified: FileTime { seconds, nanoseconds },
            identity: None,
            links: 0,
            xattrs: Some(xattrs.clone()),
        };
        let top = target.root();
        let Begun::Part(part) = target.begin_file(&top, b"file", 1, &attributes).unwrap() else {
            panic!("the policy replaces");
        };
        part.finish(&attributes).unwrap();
        let device = Special::BlockDevice(DeviceNumber { major: u32::MAX, minor: u32::MAX });
        let made = target.make_special(&top, b"device", device, &attributes).unwrap();
        assert_eq!(made, Made::Lacking);
        let link = target.make_special(&top, b"link", Special::Symlink(b""), &attributes);
        assert!(link.is_err(), "an empty target is no target");
        let dir = enter(&target, &top, "dir");
        target.finish_dir(&dir, &attributes).unwrap();
    }
    let shortfalls = target.shortfalls();
    for what in [Lack::Owner, Lack::Mode, Lack::Modified, Lack::Xattr(b"user.huge".to_vec())] {
        assert!(shortfalls.by_kind.contains_key(&what), "{what:?}");
    }
}

#[test]
fn shortfalls_are_counted_without_end_and_listed_to_a_bound() {
    let mut shortfalls = Shortfalls::default();
    for number in 0..5000 {
        shortfalls.add(b"path", Lack::Xattr(format!("user.{number}").into_bytes()));
    }
    assert_eq!(shortfalls.total, 5000);
    assert!(shortfalls.listed.len() <= 1000 && shortfalls.by_kind.len() <= 1000);
}
