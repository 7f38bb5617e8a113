//! A tree with every kind of entry that must survive a round trip, the same for the same seed.
//!
//! Attributes are set by plain system calls, so no tool has to be installed to make them.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Seek, SeekFrom, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev,
        mknodat, utimensat,
    },
    io::Errno,
};

use crate::{dice::Dice, is_root, skipped};

/// Fills the existing directory `root` with one of everything. What this process may not make is
/// left out, and said.
pub fn every_kind(root: &Path, seed: u64) {
    let mut dice = Dice::new(seed);
    names(root, &mut dice);
    contents(root, &mut dice);
    links(root);
    nodes(root);
    attributes(root, &mut dice);
    nested(&root.join("nested"), 4);
    // Times last: whatever is made in a directory changes its time.
    times(root, &mut dice);
}

/// Fills the existing directory `root` with `files` ordinary files of `bytes` bytes on average, in
/// directories of up to 40: most small, a few large, as trees are.
pub fn ordinary(root: &Path, seed: u64, files: u64, bytes: u64) {
    let mut dice = Dice::new(seed);
    let mut directory = root.to_path_buf();
    for number in 0..files {
        if number % 40 == 0 {
            directory = root.join(format!("d{}/e{}", number / 400, number / 40));
            fs::create_dir_all(&directory).expect("directories can be made");
        }
        // One in 20 is ten times as long, the others are half as long: about the average.
        let length = if dice.hits(20) { bytes * 10 } else { dice.below(bytes) + 1 };
        let length = usize::try_from(length).expect("lengths of test files fit");
        let content = if dice.hits(3) { dice.bytes(length) } else { dice.text(length) };
        write(&directory.join(format!("f{number}")), &content);
    }
}

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn make_directory(path: &Path) {
    fs::create_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn names(root: &Path, dice: &mut Dice) {
    let names = root.join("names");
    make_directory(&names);
    let odd: [&[u8]; 14] = [
        b"not utf-8 \xff\xfe\x80",
        b"new\nline",
        b"\n",
        b" ",
        b"  leading and trailing  ",
        b"-rf",
        b"...",
        b"back\\slash",
        b"quote'\"`",
        b"*?[glob]",
        b"bell\x07escape\x1b[31m",
        b"\xf0\x9f\xab\x99 jar",
        "e\u{301}".as_bytes(),
        "\u{e9}".as_bytes(),
    ];
    for name in odd {
        write(&names.join(OsStr::from_bytes(name)), &dice.text(40));
    }
    for letter in [b'l', 0xfe] {
        write(&names.join(OsStr::from_bytes(&[letter; 255])), b"255 bytes long");
    }
    // Names that tools of backup treat specially elsewhere must be ordinary here.
    for name in [".larder-part", "larder", "CON", "lost+found", ".git", "core"] {
        make_directory(&names.join(name));
        write(&names.join(name).join("inside"), name.as_bytes());
    }
    deep(root);
}

/// A path of 4,000 bytes below the root: 15 directories of 250 and a file.
fn deep(root: &Path) {
    let mut path = root.to_path_buf();
    for level in 0..15 {
        path.push(format!("{level:0>250}"));
    }
    fs::create_dir_all(&path).expect("a deep path can be made");
    let inside = path.as_os_str().len() - root.as_os_str().len() - 1;
    let last = "f".repeat(4000 - inside - 1);
    write(&path.join(last), b"at the end of 4,000 bytes");
}

fn contents(root: &Path, dice: &mut Dice) {
    let contents = root.join("contents");
    make_directory(&contents);
    // Around every bound: bundles (64 KiB), chunks (256 KiB to 4 MiB), groups (16 KiB).
    let lengths = [
        0, 1, 2, 100, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 262_143, 262_144,
        262_145, 1_048_576, 4_194_303, 4_194_304, 4_194_305, 9_000_000,
    ];
    for length in lengths {
        write(&contents.join(format!("random.{length}")), &dice.bytes(length));
    }
    write(&contents.join("text"), &dice.text(700_000));
    write(&contents.join("zeros"), &vec![0; 3_000_000]);
    write(&contents.join("repeated"), &dice.bytes(4096).repeat(700));
    let twin = dice.bytes(300_000);
    write(&contents.join("twin.a"), &twin);
    write(&contents.join("twin.b"), &twin);
    for number in 0..300 {
        let length = 200 + dice.index(3000);
        write(&contents.join(format!("small.{number}")), &dice.text(length));
    }
    sparse(&contents, dice);
    let empty = root.join("empty");
    make_directory(&empty);
    for name in ["a", "b", "c"] {
        make_directory(&empty.join(name));
    }
}

fn sparse(directory: &Path, dice: &mut Dice) {
    let mut file = File::create(directory.join("sparse")).expect("files can be made");
    for start in [0, 9 << 20, 30 << 20] {
        file.seek(SeekFrom::Start(start)).expect("files can be sought");
        file.write_all(&dice.bytes(100_000)).expect("files can be written");
    }
    file.set_len(64 << 20).expect("files can be extended");
    let only_hole = File::create(directory.join("only.hole")).expect("files can be made");
    only_hole.set_len(20 << 20).expect("files can be extended");
    let small = File::create(directory.join("small.hole")).expect("files can be made");
    small.set_len(8192).expect("files can be extended");
}

fn links(root: &Path) {
    let links = root.join("links");
    make_directory(&links);
    make_directory(&links.join("far"));
    let targets: [(&str, &str); 6] = [
        ("relative", "../contents/text"),
        ("absolute", "/etc/hostname"),
        ("dangling", "nowhere/at all"),
        ("to directory", "../empty"),
        ("to itself", "to itself"),
        ("out", "../../../../../../etc"),
    ];
    for (name, target) in targets {
        symlink(target, links.join(name)).expect("links can be made");
    }
    symlink(OsStr::from_bytes(b"\xff\n"), links.join("odd")).expect("links can be made");
    symlink("t".repeat(4000), links.join("long")).expect("links can be made");
    write(&links.join("group.1"), b"one file, four names");
    for name in ["group.2", "far/group.3", "far/group.4"] {
        fs::hard_link(links.join("group.1"), links.join(name)).expect("links can be made");
    }
    // Two groups with the same content stay two groups.
    write(&links.join("other.1"), b"one file, four names");
    fs::hard_link(links.join("other.1"), links.join("other.2")).expect("links can be made");
    let large = root.join("contents/random.9000000");
    fs::hard_link(large, links.join("large")).expect("links can be made");
}

fn nodes(root: &Path) {
    let nodes = root.join("nodes");
    make_directory(&nodes);
    let make = |name: &str, kind, device| {
        let mode = Mode::from_raw_mode(0o640);
        mknodat(CWD, nodes.join(name), kind, mode, device).expect("nodes can be made");
    };
    make("fifo", FileType::Fifo, 0);
    fs::hard_link(nodes.join("fifo"), nodes.join("fifo.again")).expect("links can be made");
    if is_root() {
        make("null", FileType::CharacterDevice, makedev(1, 3));
        make("large numbers", FileType::CharacterDevice, makedev(511, 0x000f_ffff));
        make("loop", FileType::BlockDevice, makedev(7, 0));
    } else {
        skipped("device nodes", "only root can make them");
    }
}

fn attributes(root: &Path, dice: &mut Dice) {
    let attributes = root.join("attributes");
    make_directory(&attributes);
    for mode in [0o000, 0o400, 0o644, 0o755, 0o777, 0o4755, 0o2755, 0o6711, 0o1644] {
        // Without root, a file that nobody may read would only be a problem to report.
        let path = attributes.join(format!("mode.{mode:04o}"));
        write(&path, &dice.text(50));
        if is_root() || mode & 0o400 != 0 {
            set_mode(&path, mode);
        }
    }
    for (name, mode) in [("sticky", 0o1777), ("setgid", 0o2775), ("closed", 0o700)] {
        make_directory(&attributes.join(name));
        write(&attributes.join(name).join("inside"), b"x");
        set_mode(&attributes.join(name), mode);
    }
    if is_root() {
        owners(&attributes);
    } else {
        skipped("owners and capabilities", "only root can set them");
    }
    extended(&attributes, dice);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("modes can be set");
}

fn owners(attributes: &Path) {
    let path = attributes.join("owned");
    write(&path, b"by somebody without a name");
    std::os::unix::fs::chown(&path, Some(54_321), Some(4_000_000_000)).expect("root can chown");
    // Changing the owner clears setuid, so restoring must do it in the right order.
    let path = attributes.join("owned.setuid");
    write(&path, b"setuid of somebody else");
    std::os::unix::fs::chown(&path, Some(1234), Some(5678)).expect("root can chown");
    set_mode(&path, 0o6755);
    let link = attributes.join("owned.link");
    symlink("owned", &link).expect("links can be made");
    std::os::unix::fs::lchown(&link, Some(77), Some(88)).expect("root can chown");
    // cap_net_raw+ep, revision 2 of `struct vfs_cap_data`, as setcap writes it.
    let mut capability = vec![1, 0, 0, 2];
    capability.extend([0, 0x20, 0, 0]);
    capability.extend([0; 12]);
    let path = attributes.join("capable");
    write(&path, b"#!/bin/true\n");
    set_mode(&path, 0o755);
    set_xattr(&path, "security.capability", &capability);
    set_xattr(&path, "trusted.larder", b"only root sees this");
}

/// POSIX ACL of version 2: `u::rw- u:1000:r-- g::r-- m::r-- o::---` as the kernel keeps it.
fn acl(user: u32) -> Vec<u8> {
    let mut acl = vec![2, 0, 0, 0];
    let undefined = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [
        (1, 6, undefined),
        (2, 4, user),
        (4, 4, undefined),
        (16, 4, undefined),
        (32, 0, undefined),
    ];
    for (tag, permissions, id) in entries {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    acl
}

fn extended(attributes: &Path, dice: &mut Dice) {
    let path = attributes.join("extended");
    write(&path, b"with attributes");
    let fits = set_xattr(&path, "user.note", b"shelf three");
    set_xattr(&path, "user.empty", b"");
    set_xattr(&path, "user.binary", &dice.bytes(1500));
    for number in 0..12 {
        set_xattr(&path, &format!("user.many.{number}"), format!("value {number}").as_bytes());
    }
    if !fits {
        skipped("extended attributes", "this file system has none");
    }
    let directory = attributes.join("extended directory");
    make_directory(&directory);
    set_xattr(&directory, "user.of", b"a directory");
    set_xattr(&directory, "system.posix_acl_default", &acl(1000));
    set_xattr(&directory, "system.posix_acl_access", &acl(1001));
    write(&directory.join("inherits"), b"the default ACL");
    let path = attributes.join("acl");
    write(&path, b"readable by user 1000");
    set_xattr(&path, "system.posix_acl_access", &acl(1000));
}

/// Whether the file system takes it.
fn set_xattr(path: &Path, name: &str, value: &[u8]) -> bool {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => true,
        Err(Errno::OPNOTSUPP) => false,
        Err(error) => panic!("{name} of {}: {error}", path.display()),
    }
}

fn nested(path: &Path, levels: u32) {
    make_directory(path);
    for number in 0..3 {
        write(&path.join(format!("file{number}")), format!("level {levels}").as_bytes());
        if levels > 0 {
            nested(&path.join(format!("directory{number}")), levels - 1);
        }
    }
}

/// Gives everything a time of its own, to the nanosecond, before 1970 and far ahead too.
fn times(root: &Path, dice: &mut Dice) {
    for path in bottom_up(root) {
        let seconds = match dice.below(6) {
            // Within what ext4 can keep: 1901 to 2446.
            0 => -i64::try_from(dice.below(2_000_000_000)).expect("it is small"),
            1 => 4_000_000_000 + i64::try_from(dice.below(2_000_000_000)).expect("it is small"),
            _ => 1_600_000_000 + i64::try_from(dice.below(150_000_000)).expect("it is small"),
        };
        let nanoseconds = i64::try_from(dice.below(1_000_000_000)).expect("it is small");
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("times can be set");
    }
}

/// Every path below and with `root`, in a fixed order, directories after what is in them. What a running
/// node takes away meanwhile may be among them.
pub fn bottom_up(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![root.to_path_buf()];
    let mut next = 0;
    while let Some(path) = found.get(next).cloned() {
        next += 1;
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        if is_directory && let Ok(entries) = fs::read_dir(&path) {
            let mut inside: Vec<PathBuf> =
                entries.map(|entry| entry.expect("it can be listed").path()).collect();
            inside.sort();
            found.extend(inside);
        }
    }
    found.reverse();
    found
}
