//! What the tests of this module share: a tree with every kind of entry, a copy through walk,
//! reader and target, and a comparison by rsync.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::Command,
};

use larder_protocol::tree::entry::{Attributes, Identity};
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags,
        lsetxattr, makedev, mknodat, utimensat,
    },
    io::Errno,
    process::geteuid,
};

use super::*;

/// Version 2 ACL: user::rw-, user:1234:r--, group::r--, mask::r--, other::---.
pub(super) const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, //
    2, 0, 4, 0, 0xd2, 0x04, 0, 0, //
    4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
    16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, //
    32, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
];
/// Revision 2 capability set: `cap_net_raw` permitted and effective.
pub(super) const CAPABILITY: [u8; 20] =
    [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Says on stderr that a test could not check something here.
pub(crate) fn skipped(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}").unwrap();
}

/// Says on stderr what a test measured; shown with `--nocapture`.
pub(super) fn measured(figures: &str) {
    writeln!(std::io::stderr(), "MEASURED: {figures}").unwrap();
}

pub(crate) fn set_modified(path: &Path, seconds: i64, nanoseconds: i64) {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    match lsetxattr(path, name, value, XattrFlags::empty()) {
        Ok(()) => {}
        Err(error) => skipped(&format!("{name} on {}: {error}", path.display())),
    }
}

/// Makes in `root` one of everything that issue 2 lists under "Fidelity".
pub(crate) fn make_odd_tree(root: &Path) {
    fs::create_dir_all(root).unwrap();
    let file = |name: &[u8], content: &[u8]| {
        let path = root.join(OsStr::from_bytes(name));
        fs::write(&path, content).unwrap();
        path
    };
    file(b"empty", b"");
    file(b"bytes \xff\xfe\x80 not utf-8", b"a");
    file(b"line\nbreak", b"b");
    file(&[b'n'; 255], b"c");
    file(b"-rf *", b"d");
    file(b"large", &vec![7; 300_000]);
    fs::create_dir(root.join("empty dir")).unwrap();
    make_links(root);
    make_sparse(root);
    make_nodes(root);
    make_attributes(root);
    make_deep(root);
    set_modified(&root.join("empty"), 1, 1);
    set_modified(&root.join("large"), -86_400, 999_999_999);
    set_modified(&root.join("empty dir"), -2_000_000_000, 5);
    set_modified(root, 981_173_106, 123_456_789);
}

fn make_links(root: &Path) {
    let link = |target: &[u8], name: &str| {
        std::os::unix::fs::symlink(OsStr::from_bytes(target), root.join(name)).unwrap();
    };
    link(b"nowhere \xff", "dangling");
    link(b"/etc/hostname", "absolute");
    link(b"..", "parent");
    link(&[b't'; 4095], "long target");
    set_modified(&root.join("dangling"), 7, 77);
    fs::create_dir(root.join("links")).unwrap();
    fs::write(root.join("links/one"), b"shared").unwrap();
    fs::hard_link(root.join("links/one"), root.join("links/two")).unwrap();
    fs::hard_link(root.join("links/one"), root.join("a third")).unwrap();
    fs::hard_link(root.join("dangling"), root.join("links/dangling too")).unwrap();
}

fn make_sparse(root: &Path) {
    let file = fs::File::create(root.join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"middle", 32 << 20).unwrap();
    fs::File::create(root.join("all hole")).unwrap().set_len(10 << 20).unwrap();
}

fn make_nodes(root: &Path) {
    let make = |name: &str, kind, device| match mknodat(
        CWD,
        root.join(name),
        kind,
        Mode::from_raw_mode(0o640),
        device,
    ) {
        Err(Errno::PERM) => skipped("device nodes: not the superuser"),
        result => result.unwrap(),
    };
    make("fifo", FileType::Fifo, 0);
    make("socket", FileType::Socket, 0);
    make("char", FileType::CharacterDevice, makedev(1, 3));
    make("block", FileType::BlockDevice, makedev(4095, 0xf_ffff));
    fs::hard_link(root.join("fifo"), root.join("links/fifo too")).unwrap();
    set_modified(&root.join("fifo"), -3, 3);
}

fn make_attributes(root: &Path) {
    let modes = [("setuid", 0o4755), ("setgid", 0o2711), ("nothing", 0), ("sticky", 0o1777)];
    for (name, mode) in modes {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(root.join("read-only dir")).unwrap();
    fs::write(root.join("read-only dir/inside"), b"i").unwrap();
    for name in ["with acl", "with xattrs", "with capability"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::create_dir(root.join("default acl")).unwrap();
    fs::write(root.join("default acl/inside"), b"plain").unwrap();
    set_xattr(&root.join("default acl"), "system.posix_acl_default", &ACL);
    set_xattr(&root.join("with acl"), "system.posix_acl_access", &ACL);
    set_xattr(&root.join("with xattrs"), "user.empty", b"");
    set_xattr(&root.join("with xattrs"), "user.binary", &[0, 255, 10, 0]);
    set_xattr(&root.join("with xattrs"), "user.long", &[9; 3000]);
    set_xattr(&root.join("empty dir"), "user.on a directory", b"yes");
    if is_root() {
        let owner = (Some(Uid::from_raw(12345)), Some(Gid::from_raw(54321)));
        for name in ["setuid", "dangling", "fifo", "with capability", "links"] {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(CWD, root.join(name), owner.0, owner.1, flags).unwrap();
        }
        fs::set_permissions(root.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
        set_xattr(&root.join("with capability"), "security.capability", &CAPABILITY);
        set_xattr(&root.join("with xattrs"), "trusted.of root", b"t");
        set_xattr(&root.join("dangling"), "trusted.on a symlink", b"t");
        set_xattr(&root.join("fifo"), "trusted.on a fifo", b"t");
    }
    let read_only = fs::Permissions::from_mode(0o555);
    fs::set_permissions(root.join("read-only dir"), read_only).unwrap();
}

/// A path of 4,000 bytes; with the folder before it, no single call can name it.
fn make_deep(root: &Path) {
    let name = "d".repeat(198);
    let mut dir = rustix::fs::open(
        root,
        rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::RDONLY,
        Mode::empty(),
    )
    .unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&dir, &name, Mode::from_raw_mode(0o755)).unwrap();
        dir = directory::open_directory(&dir, name.as_bytes()).unwrap();
    }
    rustix::fs::symlinkat("deep", &dir, "the bottom of it all").unwrap();
}

/// Counts of a copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) directories: u64,
    pub(super) entries: u64,
    pub(super) data_bytes: u64,
    pub(super) unchanged: u64,
    pub(super) kept: u64,
    pub(super) unreadable: Vec<Vec<u8>>,
    pub(super) skipped: Vec<(Vec<u8>, Why)>,
}

/// Copies the folder `from` into `target` through walk, reader and target, as a restore would.
pub(super) fn copy_tree(from: &Path, target: &Target, options: &WalkOptions) -> Copied {
    let mut copied = Copied::default();
    let mut stack: Vec<Option<(DirHandle, Attributes)>> = Vec::new();
    let mut links: HashMap<Identity, Vec<Vec<u8>>> = HashMap::new();
    for event in Walk::new(from, options).unwrap() {
        match event {
            Event::Enter { directory, attributes, .. } => {
                copied.directories += 1;
                let entered = match stack.last() {
                    None => Some(target.root()),
                    Some(None) => None,
                    Some(Some((parent, _))) => {
                        Some(target.enter_dir(parent, directory.name()).unwrap())
                    }
                };
                stack.push(entered.map(|entered| (entered, attributes)));
            }
            Event::Leave { .. } => {
                if let Some((directory, attributes)) = stack.pop().unwrap() {
                    target.finish_dir(&directory, &attributes).unwrap();
                }
            }
            Event::Entry(found) => {
                copied.entries += 1;
                let Some(Some((directory, _))) = stack.last() else { continue };
                copy_entry(target, directory, &found, &mut links, &mut copied);
            }
            Event::Unreadable { path, .. } => copied.unreadable.push(path),
            Event::Skipped { path, why } => copied.skipped.push((path, why)),
        }
    }
    target.sync().unwrap();
    copied
}

fn copy_entry(
    target: &Target,
    directory: &DirHandle,
    found: &Found,
    links: &mut HashMap<Identity, Vec<Vec<u8>>>,
    copied: &mut Copied,
) {
    let Found { name, what, attributes, .. } = found;
    if attributes.links > 1
        && let Some(identity) = attributes.identity
    {
        if let Some(earlier) = links.get(&identity) {
            assert_ne!(target.hardlink(directory, name, earlier).unwrap(), Made::Lacking);
            return;
        }
        let path = found.path().split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        links.insert(identity, path);
    }
    let special = match what {
        What::File { bytes } => return copy_file(target, directory, found, *bytes, copied),
        What::Symlink { target } => Special::Symlink(target),
        What::Fifo => Special::Fifo,
        What::Socket => Special::Socket,
        What::CharDevice(number) => Special::CharDevice(*number),
        What::BlockDevice(number) => Special::BlockDevice(*number),
    };
    match target.make_special(directory, name, special, attributes).unwrap() {
        Made::New | Made::Lacking => {}
        Made::Unchanged => copied.unchanged += 1,
        Made::Kept => copied.kept += 1,
    }
}

fn copy_file(
    target: &Target,
    directory: &DirHandle,
    found: &Found,
    bytes: u64,
    copied: &mut Copied,
) {
    let Ok(mut reader) = FileReader::open(&found.directory, &found.name) else {
        return copied.unreadable.push(found.path());
    };
    let part = match target.begin_file(directory, &found.name, bytes, &found.attributes).unwrap() {
        Begun::Part(part) => part,
        Begun::Unchanged => {
            copied.unchanged += 1;
            return;
        }
        Begun::Kept => {
            copied.kept += 1;
            return;
        }
    };
    let mut buffer = vec![0; 128 * 1024];
    let mut offset = 0;
    loop {
        match reader.read(&mut buffer).unwrap() {
            Piece::Data(read) => {
                part.write_at(offset, &buffer[..read]).unwrap();
                let read = reader::length(read);
                offset += read;
                copied.data_bytes += read;
            }
            Piece::Hole(hole) => {
                part.hole(offset, hole).unwrap();
                offset += hole;
            }
            Piece::End => break,
        }
    }
    assert_eq!(offset, bytes);
    assert_eq!(reader.finish().unwrap().verdict, Verdict::Unchanged);
    part.finish(&found.attributes).unwrap();
}

/// Differences that rsync finds between two folders, `None` if there is no rsync here.
pub(super) fn rsync_differences(from: &Path, to: &Path) -> Option<String> {
    let output = Command::new("rsync")
        .args(["-aHAXn", "--itemize-changes", "--delete"])
        .arg(format!("{}/", from.display()))
        .arg(format!("{}/", to.display()))
        .output();
    let Ok(output) = output else {
        skipped("comparison by rsync: not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asserts that rsync finds no difference, if it is here.
pub(super) fn assert_identical(from: &Path, to: &Path) {
    if let Some(differences) = rsync_differences(from, to) {
        assert_eq!(differences, "");
    }
}

/// Names the folder that a test run in a child process works in.
const CHILD_DIR: &str = "LARDER_TEST_CHILD_DIR";

/// The folder to work in, for a test that [`run_in_child`] runs; `None` for anybody else.
pub(super) fn child_dir() -> Option<std::path::PathBuf> {
    std::env::var_os(CHILD_DIR).map(Into::into)
}

/// Runs the (ignored) test `name` of this module in a process of its own, started by `wrapper`.
/// Skips with a message if the wrapper is not here or may not do what it shall.
pub(super) fn run_in_child(name: &str, wrapper: &[&str], dir: &Path) {
    let works = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skipped(&format!("{name}: cannot run {wrapper:?}"));
    }
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("files::{name}"), "--ignored", "--nocapture"])
        .env(CHILD_DIR, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("1 passed"), "{text}");
    for line in String::from_utf8_lossy(&output.stderr).lines() {
        if let Some(figures) = line.strip_prefix("MEASURED: ") {
            measured(figures);
        }
    }
}

/// Wrapper that runs a program as a user without rights; nothing but a shell for who has none.
pub(super) const AS_NOBODY: &[&str] =
    &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
/// Wrapper that gives a program mounts of its own.
pub(super) const WITH_OWN_MOUNTS: &[&str] = &["unshare", "--mount", "--"];
/// Wrapper for few open files.
pub(super) const WITH_FEW_FILES: &[&str] = &["prlimit", "--nofile=256", "--"];

/// A temporary folder in memory where there is one: for tests that make a great many entries.
pub(super) fn fast_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A temporary folder that another user may work in.
pub(super) fn shared_dir() -> tempfile::TempDir {
    let temporary = tempfile::tempdir().unwrap();
    fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    temporary
}

/// Most memory this process ever had resident, in MiB.
pub(super) fn peak_memory_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}
