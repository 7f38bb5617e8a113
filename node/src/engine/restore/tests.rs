//! Backups and restores within one process, without a network: a home that keeps its own packs.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command as Program,
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    command::{
        BackupOutcome, Command, Engine, Event, ExitKind, InitOptions, Launch, OpenOptions, Row,
        Wait,
    },
    engine::{
        Launcher, Node,
        testing::{TestNode, pair},
    },
    files::{
        part_name,
        testing::{make_odd_tree, set_modified, skipped},
    },
    home::Home,
};

mod in_the_way;
mod interrupted;
mod targets;
mod unchanged;

/// A node with a folder to back up, and places to restore to.
struct Bed {
    node: Node,
    folder: PathBuf,
    temporary: TempDir,
}

/// What a command said and how it ended.
struct Said {
    ended: Result<Outcome, Failure>,
    events: Vec<Event>,
}

impl Bed {
    async fn make() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let home = Home::create(&temporary.path().join("home"), "test", None).unwrap();
        let mut config = home.config().unwrap();
        config.set("depot.keep_own", Some("all")).unwrap();
        config.store(&home.config_file()).unwrap();
        let names = InitOptions { name: "here".to_owned(), site: "home".to_owned() };
        Launcher.init(&home, names, &mut |_| Ok(())).await.unwrap();
        let listen = Some("127.0.0.1:0".parse().unwrap());
        let options = OpenOptions { listen, ..OpenOptions::default() };
        let node = Launcher.open(home, options).await.unwrap();
        let folder = temporary.path().join("folder");
        fs::create_dir(&folder).unwrap();
        Self { node, folder, temporary }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    /// Runs a command; `react` hears every event and may cancel it.
    async fn ask(&self, command: Command, mut react: impl FnMut(&Event) -> bool) -> Said {
        let cancel = CancellationToken::new();
        let (sink, mut stream) = EventSink::channel(cancel.clone());
        let mut events = Vec::new();
        let running = self.node.run(command, sink);
        tokio::pin!(running);
        let mut hear = |event: Event, events: &mut Vec<Event>| {
            if react(&event) {
                cancel.cancel();
            }
            events.push(event);
        };
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                Some(event) = stream.next() => hear(event, &mut events),
            }
        };
        while let Some(event) = stream.try_next() {
            hear(event, &mut events);
        }
        Said { ended, events }
    }

    async fn backup(&self) -> BackupOutcome {
        let command = Command::Backup {
            paths: vec![RawPath::from(self.folder.as_path())],
            excludes: Vec::new(),
            wait: Wait::Local,
            timeout_s: None,
        };
        match self.ask(command, |_| false).await.ended {
            Ok(Outcome::Backup(done)) => done,
            other => panic!("{other:?}"),
        }
    }

    fn restore(&self, to: &str) -> Command {
        Command::Restore {
            snapshot: SnapshotName::Latest,
            paths: Vec::new(),
            to: RawPath::from(self.path(to)),
            overwrite: Overwrite::Changed,
            dry_run: false,
        }
    }

    fn restore_with(&self, to: &str, policy: Overwrite) -> Command {
        match self.restore(to) {
            Command::Restore { snapshot, paths, to, dry_run, .. } => {
                Command::Restore { snapshot, paths, to, overwrite: policy, dry_run }
            }
            other => other,
        }
    }

    fn restore_paths(&self, to: &str, names: &[&str], dry: bool) -> Command {
        match self.restore(to) {
            Command::Restore { snapshot, to, overwrite, .. } => Command::Restore {
                snapshot,
                paths: names.iter().map(|name| RawPath::from(*name)).collect(),
                to,
                overwrite,
                dry_run: dry,
            },
            other => other,
        }
    }

    /// Where the folder is in a target.
    fn below(&self, to: &str) -> PathBuf {
        self.path(to).join(self.folder.strip_prefix("/").unwrap())
    }

    /// Everything as it was, and nothing of the restore itself left.
    fn assert_restored(&self, to: &str) {
        assert_same(&self.folder, &self.below(to));
        assert_eq!(parts_below(&self.path(to)), Vec::<PathBuf>::new());
    }
}

impl Said {
    fn done(&self) -> &RestoreOutcome {
        match &self.ended {
            Ok(Outcome::Restore(done)) => done,
            other => panic!("{other:?}, {:?}", self.problems()),
        }
    }

    fn failure(&self) -> &Failure {
        self.ended.as_ref().expect_err("this was to fail")
    }

    fn problems(&self) -> Vec<String> {
        let problems = self.events.iter().filter_map(|event| match event {
            Event::Problem(problem) => {
                let path = problem.path.to_bytes();
                Some(format!("{}: {}", path.escape_ascii(), problem.what))
            }
            _ => None,
        });
        problems.collect()
    }

    fn rows(&self) -> BTreeMap<String, u64> {
        let rows = self.events.iter().filter_map(|event| match event {
            Event::Row(Row::Entry(entry)) => {
                Some((String::from_utf8(entry.path.to_bytes()).unwrap(), entry.bytes))
            }
            _ => None,
        });
        rows.collect()
    }
}

/// By content and with every attribute, as rsync sees it.
#[track_caller]
fn assert_same(original: &Path, restored: &Path) {
    let slash = |path: &Path| path.join("").into_os_string();
    let mut rsync = Program::new("rsync");
    rsync.args(["-aHAXnc", "--itemize-changes", "--delete", "--modify-window=-1"]);
    let Ok(output) = rsync.arg(slash(original)).arg(slash(restored)).output() else {
        return skipped("comparison by rsync: not installed");
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text, "");
}

fn parts_below(dir: &Path) -> Vec<PathBuf> {
    let mut parts = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().unwrap().is_dir() {
            parts.extend(parts_below(&entry.path()));
        } else if entry.file_name().as_encoded_bytes().starts_with(b".larder-part-") {
            parts.push(entry.path());
        }
    }
    parts
}

/// Bytes that look random, the same for the same seed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut noise);
    noise
}

/// Many small files in some directories, and some of several chunks: more than one window.
fn make_files(folder: &Path) {
    for dir in ["a", "b/c", "b/d"] {
        let dir = folder.join(dir);
        fs::create_dir_all(&dir).unwrap();
        for number in 0..40 {
            fs::write(dir.join(format!("small {number}")), noise(number, 3000)).unwrap();
        }
        fs::write(dir.join("copy of a small one"), noise(7, 3000)).unwrap();
    }
    fs::write(folder.join("b/large"), noise(1000, 9 << 20)).unwrap();
    fs::write(folder.join("larger"), noise(1001, 14 << 20)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_entry_comes_back_the_same_and_is_not_written_twice() {
    let bed = Bed::make().await;
    make_odd_tree(&bed.folder);
    make_files(&bed.folder.join("files"));
    fs::hard_link(bed.folder.join("files/larger"), bed.folder.join("larger too")).unwrap();
    let backup = bed.backup().await;
    assert_eq!(backup.problems_total, 0);

    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!(said.problems(), [""; 0]);
    let done = said.done().clone();
    assert_eq!((done.files_same, done.files_left, done.fetched_bytes), (0, 0, 0));
    bed.assert_restored("to");
    assert_as_sparse(&bed.folder, &bed.below("to"));

    let before = fs::metadata(bed.below("to").join("larger too")).unwrap();
    let said = bed.ask(bed.restore("to"), |_| false).await;
    assert_eq!((said.done().files_written, said.done().files_same), (0, done.files_written));
    let after = fs::metadata(bed.below("to").join("larger too")).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    bed.assert_restored("to");
}

#[track_caller]
fn assert_as_sparse(original: &Path, restored: &Path) {
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(original.join(&dir)).unwrap() {
            let (kind, name) = {
                let entry = entry.unwrap();
                (entry.file_type().unwrap(), dir.join(entry.file_name()))
            };
            // Deeper paths are longer than a path may be.
            if kind.is_dir() && name.as_os_str().len() < 1000 {
                dirs.push(name);
            } else if kind.is_file() {
                let blocks = |root: &Path| fs::metadata(root.join(&name)).unwrap().blocks();
                assert!(blocks(restored) <= blocks(original) + 128, "{}", name.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_and_a_second_snapshot_come_back() {
    let bed = Bed::make().await;
    let first = bed.backup().await.snapshots[0].snapshot.clone();
    make_files(&bed.folder);
    set_modified(&bed.folder, 1_000_000, 0);
    bed.backup().await;
    bed.ask(bed.restore("new"), |_| false).await.done();
    bed.assert_restored("new");
    let command = Command::Restore {
        snapshot: SnapshotName::Prefix(first[..12].to_owned()),
        paths: Vec::new(),
        to: RawPath::from(bed.path("old")),
        overwrite: Overwrite::Changed,
        dry_run: false,
    };
    let said = bed.ask(command, |_| false).await;
    assert_eq!((said.done().files_written, said.done().directories), (0, 1));
    assert_eq!(fs::read_dir(bed.below("old")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_in_the_depot_is_named_and_nothing_wrong_is_written() {
    let bed = Bed::make().await;
    make_files(&bed.folder);
    bed.backup().await;
    let mut flipped = 0;
    for file in files_below(&bed.path("home/depot")) {
        let is_shard = file.file_name().unwrap().len() == 64;
        let length = fs::metadata(&file).unwrap().len();
        // Data packs alone: those that are longer than all metadata of so small a tree.
        if is_shard && length > 1 << 20 {
            let shard = fs::File::options().read(true).write(true).open(&file).unwrap();
            for at in (100_000..length).step_by(2 << 20) {
                let mut byte = [0];
                shard.read_exact_at(&mut byte, at).unwrap();
                shard.write_all_at(&[!byte[0]], at).unwrap();
                flipped += 1;
            }
        }
    }
    assert!(flipped > 5);
    let said = bed.ask(bed.restore("to"), |_| false).await;
    let done = said.done();
    assert!(done.problems_total > 0 && done.files_written > 0, "{done:?}");
    assert_eq!(Outcome::Restore(done.clone()).exit_kind(), ExitKind::Unreadable);
    assert_eq!(u64::try_from(said.problems().len()).unwrap(), done.problems_total);
    assert!(said.problems().iter().all(|it| it.contains("damaged")), "{:?}", said.problems());
    let mut restored = 0;
    for file in files_below(&bed.below("to")) {
        let name = file.strip_prefix(bed.below("to")).unwrap();
        if !name.file_name().unwrap().as_encoded_bytes().starts_with(b".larder-part-") {
            assert!(fs::read(&file).unwrap() == fs::read(bed.folder.join(name)).unwrap());
            restored += 1;
        }
    }
    assert_eq!(restored, done.files_written);
}

// RESTORE-15
#[tokio::test(flavor = "multi_thread")]
async fn what_the_own_disk_does_not_give_comes_from_holders() {
    let (node, holder) = (TestNode::new("here").await, TestNode::new("there").await);
    let offer = Command::Offer { bytes: Some(crate::command::ByteSize(1 << 30)), to: None };
    holder.ask(offer).await;
    pair(&node, &holder).await;
    let folder = node.folder("folder");
    make_files(&folder);
    node.backup(&folder, Wait::Safe).await;
    let mut broken = 0;
    for file in files_below(&node.home().join("depot")) {
        // Data packs alone. A directory opens like a file, and reading it is an error of the disk.
        if file.file_name().unwrap().len() == 64 && fs::metadata(&file).unwrap().len() > 1 << 20 {
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            broken += 1;
        }
    }
    assert!(broken > 0);
    let to = node.directory.path().join("to");
    let restore = Command::Restore {
        snapshot: SnapshotName::Latest,
        paths: Vec::new(),
        to: RawPath::from(to.as_path()),
        overwrite: Overwrite::Changed,
        dry_run: false,
    };
    let Outcome::Restore(done) = node.ask(restore).await else { panic!() };
    assert_eq!(done.problems_total, 0, "{done:?}");
    assert!(done.fetched_bytes > 0);
    assert_same(&folder, &to.join(folder.strip_prefix("/").unwrap()));
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
