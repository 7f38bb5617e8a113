//! Walking real directories.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt},
    },
    process::Command,
};

use larder_protocol::{
    limits::TREE_DEPTH_MAX,
    tree::entry::{DeviceNumber, Identity},
};
use rustix::fs::{Mode, OFlags, XattrFlags, mkdirat, openat};

use super::*;
use crate::files::{directory::open_directory, names::part_name, testing::*};

/// Events as lines: `+` for entering, `-` for leaving, `?` for skipped, `!` for unreadable.
fn lines(root: &Path, options: &Options) -> Vec<String> {
    let text = |path: Vec<u8>| path.escape_ascii().to_string();
    Walk::new(root, options)
        .unwrap()
        .map(|event| match event {
            Event::Enter { directory, .. } => format!("+{}", text(directory.path())),
            Event::Leave { directory } => format!("-{}", text(directory.path())),
            Event::Entry(found) => text(found.path()),
            Event::Unreadable { path, error } => format!("!{} {error:?}", text(path)),
            Event::Skipped { path, why } => format!("?{} {why:?}", text(path)),
        })
        .collect()
}

fn tree(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in names {
        let path = root.path().join(name);
        if name.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
    }
    root
}

fn excluding(patterns: &[&str]) -> Options {
    Options {
        excludes: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
        ..Options::default()
    }
}

// FILES-2
#[test]
fn names_ascend_by_bytes_and_directories_stand_among_files() {
    let root = tree(&["b", "a/z", "a/B/", "a.txt", "a-", "\u{e9}", "Z"]);
    fs::write(root.path().join(OsStr::from_bytes(b"\xff")), b"").unwrap();
    let expected = [
        "+",
        "Z",
        "+a",
        "+a/B",
        "-a/B",
        "a/z",
        "-a",
        "a-",
        "a.txt",
        "b",
        "\\xc3\\xa9",
        "\\xff",
        "-",
    ];
    assert_eq!(lines(root.path(), &Options::default()), expected);
}

// FILES-2
#[test]
fn the_order_does_not_depend_on_the_number_of_threads() {
    let temporary = fast_dir();
    let root = temporary.path();
    for outer in 0..40 {
        for inner in 0..outer % 7 {
            let dir = root.join(format!("{outer}/{inner}"));
            fs::create_dir_all(&dir).unwrap();
            for file in 0..(outer * inner * 3) {
                fs::write(dir.join(format!("f{file}")), b"").unwrap();
            }
        }
    }
    let one = lines(root, &Options { threads: 1, ..Options::default() });
    assert!(one.len() > 1000);
    for threads in [2, 8, 32] {
        assert_eq!(lines(root, &Options { threads, ..Options::default() }), one);
    }
}

// FILES-5
#[test]
fn excludes_follow_gitignore() {
    let root = tree(&["a.o", "keep.o", "build/x", "src/build", "src/a.o", "docs/private/x"]);
    let options = excluding(&["*.o", "!keep.o", "build/", "/docs/private"]);
    let expected = [
        "+",
        "?a.o Excluded",
        "?build Excluded",
        "+docs",
        "?docs/private Excluded",
        "-docs",
        "keep.o",
        "+src",
        "?src/a.o Excluded",
        "src/build",
        "-src",
        "-",
    ];
    assert_eq!(lines(root.path(), &options), expected);
    let wrong = Walk::new(root.path(), &excluding(&["fine", "[z-a]"]));
    assert!(matches!(wrong, Err(WalkError::Pattern(PatternError { number: 2, .. }))));
    for pattern in ["[x", "a[b-", "{a"] {
        let patterns = ["*.o".to_owned(), pattern.to_owned()];
        let error = crate::files::check_patterns(&patterns).unwrap_err();
        assert_eq!(error.number, 2, "{pattern}");
        assert!(error.source.to_string().contains(pattern), "{}", error.source);
    }
    let fine = ["*.[ch]", r"\[x", "!keep", "", "# a comment"].map(str::to_owned);
    crate::files::check_patterns(&fine).unwrap();
}

// FILES-6
#[test]
fn of_a_cache_directory_only_the_tag_is_kept() {
    let root = tree(&["cache/data", "cache/sub/data", "other/CACHEDIR.TAG", "other/data"]);
    let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test";
    fs::write(root.path().join("cache/CACHEDIR.TAG"), tag).unwrap();
    let expected = [
        "+",
        "+cache",
        "?cache CacheDirectory",
        "cache/CACHEDIR.TAG",
        "-cache",
        "+other",
        "other/CACHEDIR.TAG",
        "other/data",
        "-other",
        "-",
    ];
    assert_eq!(lines(root.path(), &Options::default()), expected);
}

// FILES-7
#[test]
fn the_home_is_left_out_by_identity_wherever_it_is_met() {
    let root = tree(&["a/home/secret", "b"]);
    let home = root.path().join("a/home");
    std::os::unix::fs::symlink(&home, root.path().join("c")).unwrap();
    let options = Options { never: vec![home.clone()], ..Options::default() };
    assert_eq!(lines(root.path(), &options), ["+", "+a", "?a/home Home", "-a", "b", "c", "-"]);
    // Moved meanwhile, it is still the home, for whoever looked before.
    let rules_made_before = Walk::new(root.path(), &options).unwrap();
    drop(rules_made_before);
    for inside in [home.clone(), root.path().join("c")] {
        assert!(matches!(Walk::new(&inside, &options), Err(WalkError::Home)));
    }
    fs::create_dir(home.join("depot")).unwrap();
    assert!(matches!(Walk::new(&home.join("depot"), &options), Err(WalkError::Home)));
}

// FILES-7
#[test]
fn a_home_that_is_named_by_a_symlink_is_left_out_with_the_symlink() {
    let root = tree(&["a/home/secret", "b"]);
    let link = root.path().join("c");
    std::os::unix::fs::symlink(root.path().join("a/home"), &link).unwrap();
    let options = Options { never: vec![link.clone()], ..Options::default() };
    let expected = ["+", "+a", "?a/home Home", "-a", "b", "?c Home", "-"];
    assert_eq!(lines(root.path(), &options), expected);
    assert!(matches!(Walk::new(&link, &options), Err(WalkError::Home)));
}

// FILES-8
#[test]
fn unfinished_restores_are_not_backed_up() {
    let root = tree(&["a"]);
    let part = part_name(b"a");
    fs::write(root.path().join(OsStr::from_bytes(&part)), b"").unwrap();
    let skipped = format!("?{} Part", part.escape_ascii());
    assert_eq!(lines(root.path(), &Options::default()), ["+", &skipped, "a", "-"]);
}

// FILES-4
#[test]
fn identities_group_hardlinks_and_survive_a_rename() {
    let root = tree(&["one", "other", "dir/"]);
    fs::hard_link(root.path().join("one"), root.path().join("dir/two")).unwrap();
    let identities = || -> BTreeMap<Vec<u8>, (Identity, u32)> {
        Walk::new(root.path(), &Options::default())
            .unwrap()
            .filter_map(|event| match event {
                Event::Entry(found) => {
                    let identity = found.attributes.identity.expect("birth times are there");
                    Some((found.path(), (identity, found.attributes.links)))
                }
                _ => None,
            })
            .collect()
    };
    let before = identities();
    assert_eq!(before[&b"one"[..]], before[&b"dir/two"[..]]);
    assert_eq!(before[&b"one"[..]].1, 2);
    assert_ne!(before[&b"one"[..]].0, before[&b"other"[..]].0);
    fs::rename(root.path().join("other"), root.path().join("dir/moved")).unwrap();
    assert_eq!(before[&b"other"[..]], identities()[&b"dir/moved"[..]]);
}

// FILES-3
#[test]
fn attributes_are_what_the_file_system_says() {
    let temporary = tempfile::tempdir().unwrap();
    let root = temporary.path();
    make_odd_tree(root);
    let mut found = BTreeMap::new();
    let mut directories = BTreeMap::new();
    for event in Walk::new(root, &Options::default()).unwrap() {
        match event {
            Event::Entry(entry) => drop(found.insert(entry.path(), entry)),
            Event::Enter { directory, attributes, .. } => {
                directories.insert(directory.path(), attributes);
            }
            Event::Leave { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    let old = &found[&b"large"[..]];
    assert_eq!(old.attributes.modified.seconds, -86_400);
    assert_eq!(old.attributes.modified.nanoseconds, 999_999_999);
    assert_eq!(old.what, What::File { bytes: 300_000 });
    assert_eq!(old.stamp.bytes(), 300_000);
    let modes = [("setuid", 0o4755), ("setgid", 0o2711), ("nothing", 0), ("sticky", 0o1777)];
    for (name, mode) in modes {
        assert_eq!(found[name.as_bytes()].attributes.mode, mode, "{name}");
    }
    let names = |entry: &Found| -> Vec<String> {
        let xattrs = entry.attributes.xattrs.as_deref().unwrap_or_default();
        xattrs.iter().map(|it| it.name.escape_ascii().to_string()).collect()
    };
    let with = names(&found[&b"with xattrs"[..]]);
    assert!(with.ends_with(&["user.binary".into(), "user.empty".into(), "user.long".into()]));
    assert_eq!(names(&found[&b"with acl"[..]]), ["system.posix_acl_access"]);
    assert!(found[&b"empty"[..]].attributes.xattrs.is_none());
    assert!(directories[&b"empty dir"[..]].xattrs.is_some());
    assert_eq!(found[&b"long target"[..]].what, What::Symlink { target: vec![b't'; 4095] });
    assert_eq!(found[&b"fifo"[..]].what, What::Fifo);
    assert_eq!(found[&b"socket"[..]].what, What::Socket);
    if is_root() {
        let number = DeviceNumber { major: 4095, minor: 0xf_ffff };
        assert_eq!(found[&b"block"[..]].what, What::BlockDevice(number));
        assert_eq!(found[&b"setuid"[..]].attributes.uid, 12345);
        assert_eq!(names(&found[&b"with capability"[..]]), ["security.capability"]);
        assert_eq!(names(&found[&b"dangling"[..]]), ["trusted.on a symlink"]);
        assert_eq!(names(&found[&b"fifo"[..]]), ["trusted.on a fifo"]);
    }
    let metadata = fs::symlink_metadata(root.join("fifo")).unwrap();
    assert_eq!(found[&b"fifo"[..]].attributes.gid, metadata.gid());
}

/// Makes a chain of `depth` directories named `d`, each with a file before and behind it.
fn make_chain(root: &Path, depth: usize) {
    let mut dir = open_directory(rustix::fs::CWD, root.as_os_str().as_bytes()).unwrap();
    let file = OFlags::CREATE | OFlags::WRONLY;
    for _ in 0..depth {
        openat(&dir, "a", file, Mode::RUSR).unwrap();
        openat(&dir, "z", file, Mode::RUSR).unwrap();
        mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = open_directory(&dir, b"d").unwrap();
    }
}

/// Removes what `std::fs` may find too deep.
fn remove_chain(root: &Path) {
    Command::new("rm").arg("-rf").arg(root).status().unwrap();
}

// FILES-10
#[test]
fn deep_trees_need_few_open_files() {
    let temporary = fast_dir();
    run_in_child("walk::tests::child_walks_a_deep_tree", WITH_FEW_FILES, temporary.path());
    remove_chain(&temporary.path().join("chain"));
}

#[test]
#[ignore = "run by deep_trees_need_few_open_files"]
fn child_walks_a_deep_tree() {
    let Some(root) = child_dir() else { return };
    let root = root.join("chain");
    fs::create_dir(&root).unwrap();
    make_chain(&root, TREE_DEPTH_MAX + 50);
    let (mut entered, mut left, mut files, mut too_deep) = (0, 0, 0, 0);
    for event in Walk::new(&root, &Options::default()).unwrap() {
        match event {
            Event::Enter { .. } => entered += 1,
            Event::Leave { .. } => left += 1,
            Event::Entry(_) => files += 1,
            Event::Skipped { why: Why::TooDeep, .. } => too_deep += 1,
            other => panic!("{other:?}"),
        }
    }
    // What is in the last directory is left out.
    assert_eq!((entered, left, too_deep), (TREE_DEPTH_MAX, TREE_DEPTH_MAX, 1));
    assert_eq!(files, 2 * (TREE_DEPTH_MAX - 1));
}

// FILES-11
#[test]
fn what_may_not_be_read_is_reported_and_the_rest_is_walked() {
    let root = shared_dir();
    fs::create_dir(root.path().join("closed")).unwrap();
    fs::write(root.path().join("closed/inside"), b"").unwrap();
    fs::create_dir(root.path().join("unsearchable")).unwrap();
    fs::write(root.path().join("unsearchable/inside"), b"").unwrap();
    fs::write(root.path().join("secret"), b"s").unwrap();
    fs::write(root.path().join("z"), b"z").unwrap();
    let chmod = |name: &str, mode| {
        let mode = PermissionsExt::from_mode(mode);
        fs::set_permissions(root.path().join(name), mode).unwrap();
    };
    chmod("closed", 0);
    chmod("unsearchable", 0o444);
    chmod("secret", 0);
    if is_root() {
        run_in_child("walk::tests::child_walks_closed_things", AS_NOBODY, root.path());
    } else {
        walk_closed_things(root.path());
    }
    chmod("closed", 0o700);
    chmod("unsearchable", 0o700);
}

#[test]
#[ignore = "run by what_may_not_be_read_is_reported_and_the_rest_is_walked"]
fn child_walks_closed_things() {
    let Some(root) = child_dir() else { return };
    walk_closed_things(&root);
}

fn walk_closed_things(root: &Path) {
    let expected = [
        "+",
        "+closed",
        "!closed EACCES",
        "-closed",
        "secret",
        "+unsearchable",
        "!unsearchable/inside EACCES",
        "-unsearchable",
        "z",
        "-",
    ];
    let met: Vec<String> = lines(root, &Options::default())
        .into_iter()
        .map(|line| {
            line.replace(
                "Os { code: 13, kind: PermissionDenied, message: \"Permission denied\" }",
                "EACCES",
            )
        })
        .collect();
    assert_eq!(met, expected);
    let (directory, _) = Directory::root(root).unwrap();
    let refused = crate::files::FileReader::open(&directory, b"secret").unwrap_err();
    assert_eq!(refused, crate::files::ReadError::Io(Errno::ACCESS));
}

// FILES-12
#[test]
fn other_file_systems_are_entered_only_when_told() {
    let temporary = shared_dir();
    run_in_child("walk::tests::child_walks_over_a_mount", WITH_OWN_MOUNTS, temporary.path());
}

#[test]
#[ignore = "run by other_file_systems_are_entered_only_when_told"]
fn child_walks_over_a_mount() {
    let Some(root) = child_dir() else { return };
    fs::create_dir(root.join("mount")).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "none"]).arg(root.join("mount"));
    assert!(mount.status().unwrap().success());
    fs::write(root.join("mount/inside"), b"").unwrap();
    fs::write(root.join("outside"), b"").unwrap();
    let expected = ["+", "+mount", "?mount OtherFileSystem", "-mount", "outside", "-"];
    assert_eq!(lines(&root, &Options::default()), expected);
    let options = Options { cross_file_systems: true, ..Options::default() };
    let expected = ["+", "+mount", "mount/inside", "-mount", "outside", "-"];
    assert_eq!(lines(&root, &options), expected);
}

// FILES-13
#[test]
fn a_tree_that_changes_under_the_walk_gives_a_balanced_walk() {
    let temporary = fast_dir();
    let root = temporary.path().join("root");
    for dir in 0..200 {
        fs::create_dir_all(root.join(format!("{dir}/sub"))).unwrap();
        for file in 0..50 {
            fs::write(root.join(format!("{dir}/{file}")), b"").unwrap();
        }
    }
    let mut depth = 0;
    let mut walk = Walk::new(&root, &Options::default()).unwrap();
    for _ in 0..100 {
        depth += match walk.next() {
            Some(Event::Enter { .. }) => 1,
            Some(Event::Leave { .. }) => -1,
            _ => 0,
        };
    }
    fs::remove_dir_all(&root).unwrap();
    for event in walk {
        match event {
            Event::Enter { .. } => depth += 1,
            Event::Leave { .. } => depth -= 1,
            Event::Entry(_) | Event::Skipped { why: Why::Vanished, .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(depth, 0);
}

// FILES-10
#[test]
fn a_directory_of_a_hundred_thousand_entries_is_walked_in_order() {
    walk_wide(100_000, None);
}

/// `cargo test -p larder-node a_million_entries -- --ignored --nocapture`
#[test]
#[ignore = "makes a million files"]
fn a_directory_of_a_million_entries_stays_below_150_mib() {
    let temporary = shared_dir();
    run_in_child("walk::tests::child_walks_a_million", &["env"], temporary.path());
}

#[test]
#[ignore = "run by a_directory_of_a_million_entries_stays_below_150_mib"]
fn child_walks_a_million() {
    if child_dir().is_some() {
        walk_wide(1_000_000, Some(150));
    }
}

fn walk_wide(entries: usize, memory_mib_max: Option<u64>) {
    let root = if memory_mib_max.is_some() { tempfile::tempdir().unwrap() } else { fast_dir() };
    let dir = open_directory(rustix::fs::CWD, root.path().as_os_str().as_bytes()).unwrap();
    for index in 0..entries {
        let flags = OFlags::CREATE | OFlags::WRONLY;
        openat(&dir, format!("a file with number {index:08}"), flags, Mode::RUSR).unwrap();
    }
    let start = std::time::Instant::now();
    let (mut last, mut met) = (Vec::new(), 0);
    for event in Walk::new(root.path(), &Options::default()).unwrap() {
        if let Event::Entry(found) = event {
            assert!(last < found.name);
            last = found.name;
            met += 1;
        }
    }
    assert_eq!(met, entries);
    let (took, peak) = (start.elapsed(), peak_memory_mib());
    measured(&format!("{entries} entries in {took:?}, {peak} MiB at most"));
    if let Some(most) = memory_mib_max {
        assert!(peak < most, "{peak} MiB");
    }
}

/// `LARDER_TEST_TREE=... LARDER_TEST_THREADS=4 cargo test ... a_walk_is_timed -- --ignored`
#[test]
#[ignore = "a measurement: needs a tree, cold or warm"]
fn a_walk_is_timed() {
    let Some(root) = std::env::var_os("LARDER_TEST_TREE") else { return };
    let threads = std::env::var("LARDER_TEST_THREADS").map_or(THREADS, |it| it.parse().unwrap());
    let start = std::time::Instant::now();
    let options = Options { threads, ..Options::default() };
    let events = Walk::new(Path::new(&root), &options).unwrap().count();
    let took = start.elapsed();
    measured(&format!("{events} events by {threads} threads in {took:?}"));
}

/// Remembers what it is told.
#[derive(Debug, Default)]
struct Memory(std::sync::Mutex<BTreeMap<(DirectoryKey, Vec<u8>), Remembered>>);

impl Memory {
    /// Takes in all that a walk found, as an engine would that read every file.
    fn learn(&self, root: &Path, memory: Option<Arc<dyn Remembers>>) -> Vec<Option<u64>> {
        let mut traces = Vec::new();
        let mut parents = Vec::new();
        for event in Walk::remembering(root, &Options::default(), memory).unwrap() {
            let (parent, name, attributes, stamp, trace, target) = match event {
                Event::Enter { directory, attributes, stamp, trace, .. } => {
                    let parent = parents.last().copied();
                    parents.push(directory.key());
                    let Some(parent) = parent else { continue };
                    (parent, directory.name().to_vec(), attributes, stamp, trace, Vec::new())
                }
                Event::Entry(found) => {
                    let target = match found.what {
                        What::Symlink { target } => target,
                        _ => Vec::new(),
                    };
                    let parent = *parents.last().unwrap();
                    (parent, found.name, found.attributes, found.stamp, found.trace, target)
                }
                Event::Leave { .. } => {
                    parents.pop();
                    continue;
                }
                Event::Unreadable { .. } | Event::Skipped { .. } => continue,
            };
            traces.push(trace.recalled);
            let remembered = Remembered {
                name: name.clone(),
                stamp: stamp.to_bytes(),
                looked: 77,
                xattrs: Some(attributes.xattrs.unwrap_or_default()),
                target,
                content: None,
            };
            if trace.is_settled && trace.is_whole {
                self.0.lock().unwrap().insert((parent, name), remembered);
            }
        }
        traces
    }
}

impl Remembers for Memory {
    fn remembered(&self, directory: DirectoryKey, first: &[u8], last: &[u8]) -> Recollection {
        let all = self.0.lock().unwrap();
        let entries: Vec<_> = all
            .range((directory, first.to_vec())..=(directory, last.to_vec()))
            .map(|(_, entry)| entry.clone())
            .collect();
        Recollection { whole: Some(entries.len()), entries }
    }
}

// FILES-44
#[test]
fn what_is_as_it_was_is_not_looked_at_again_and_what_changed_is() {
    let root = tree(&["a", "sub/b", "sub/c", "z"]);
    std::os::unix::fs::symlink("over there", root.path().join("link")).unwrap();
    let named = |name: &str| root.path().join(name);
    let memory = Arc::new(Memory::default());
    let look = || memory.learn(root.path(), Some(memory.clone()));
    assert_eq!(look(), [None; 6], "nothing is known");
    assert_eq!(look(), [None; 6], "so fresh that another change would leave the same stamp");
    assert!(memory.0.lock().unwrap().is_empty());
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert_eq!(look(), [None; 6]);
    assert_eq!(look(), [Some(77); 6]);
    // A lie in the memory shows that it is believed.
    let lie = |remembered: &mut Remembered| remembered.target = b"elsewhere".to_vec();
    memory.0.lock().unwrap().values_mut().for_each(lie);
    let targets = || {
        let walk = Walk::remembering(root.path(), &Options::default(), Some(memory.clone()));
        let target = |event| match event {
            Event::Entry(Found { what: What::Symlink { target }, .. }) => Some(target),
            _ => None,
        };
        walk.unwrap().filter_map(target).collect::<Vec<_>>()
    };
    assert_eq!(targets(), [b"elsewhere".to_vec()]);
    // Each of these changes one stamp, and one alone.
    let set = |name: &str| rustix::fs::lsetxattr(named(name), "user.x", b"1", XattrFlags::empty());
    set("a").unwrap();
    set("sub").unwrap();
    fs::set_permissions(named("sub/c"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(named("link")).unwrap();
    std::os::unix::fs::symlink("over there", named("link")).unwrap();
    assert_eq!(look(), [None, None, None, Some(77), None, Some(77)]);
    assert_eq!(targets(), [b"over there".to_vec()]);
}

// FILES-44
#[test]
fn a_directory_that_was_moved_is_known_and_its_long_list_is_found_in_pieces() {
    let root = tree(&["old/inner/x", "one"]);
    for number in 0..300 {
        fs::write(root.path().join(format!("old/inner/{number}")), b"1").unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let memory = Arc::new(Memory::default());
    memory.learn(root.path(), None);
    fs::rename(root.path().join("old"), root.path().join("new")).unwrap();
    let look = memory.learn(root.path(), Some(memory.clone()));
    let again = look.iter().filter(|trace| trace.is_none()).count();
    assert_eq!((look.len(), again), (304, 1), "the moved directory itself was changed");
    fs::remove_file(root.path().join("new/inner/150")).unwrap();
    fs::write(root.path().join("new/inner/1500"), b"1").unwrap();
    let look = memory.learn(root.path(), Some(memory.clone()));
    let again = look.iter().filter(|trace| trace.is_none()).count();
    assert_eq!((look.len(), again), (304, 3), "new, its directory, and the one moved just before");
}
