//! Real nodes on temporary homes and loopback, in this process.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{Launcher, Node};
use crate::{
    command::{
        ByteSize, Command, DeviceRole, Engine, Event, EventSink, Failure, Guest, InitOptions,
        InviteKind, Launch, OpenOptions, Outcome, RawPath, Row, SnapshotName, Wait, Waiting,
    },
    home::Home,
};

/// What should happen at once is waited for this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An open node; its home goes with it.
pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) directory: TempDir,
}

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) rows: Vec<Row>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) piece_bytes_max: usize,
    pub(crate) outcome: Outcome,
}

impl TestNode {
    /// A node that belongs to no vault.
    pub(crate) async fn bare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        drop(Home::create(&path, "test", None).unwrap());
        let node = open(&path).await;
        Self { node, directory }
    }

    /// A node with a vault of its own that keeps its packs.
    pub(crate) async fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        let home = Home::create(&path, "init", None).unwrap();
        let options = InitOptions { name: name.to_owned(), site: name.to_owned() };
        Launcher.init(&home, options, &mut |_| Ok(())).await.unwrap();
        home.change_setting("depot.keep_own", Some("all")).unwrap();
        drop(home);
        let node = open(&path).await;
        Self { node, directory }
    }

    /// The same, which has room for others.
    pub(crate) async fn holder(name: &str) -> Self {
        let node = Self::new(name).await;
        node.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
        node
    }

    /// An empty directory beside the home.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Closes the node and opens the same home again.
    pub(crate) async fn reopen(self) -> Self {
        self.node.close().await;
        let Self { node, directory } = self;
        drop(node);
        let path = directory.path().join("home");
        // Tasks that end with the node may hold the home for a moment.
        let started = Instant::now();
        let node = loop {
            match Home::open(&path, "test") {
                Ok(home) => break Launcher.open(home, options()).await.unwrap(),
                Err(crate::home::HomeError::Busy { .. }) => {
                    assert!(started.elapsed() < PATIENCE, "the home stays busy");
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Err(error) => panic!("{error}"),
            }
        };
        Self { node, directory }
    }

    /// Carries out a command to its end.
    pub(crate) async fn run(&self, command: Command) -> Result<Said, Failure> {
        let (sink, mut events) = EventSink::channel(CancellationToken::new());
        let gather = tokio::spawn(async move {
            let (mut rows, mut bytes, mut piece_bytes_max) = (Vec::new(), Vec::new(), 0);
            while let Some(event) = events.next().await {
                match event {
                    Event::Row(row) => rows.push(row),
                    Event::Bytes(piece) => {
                        piece_bytes_max = piece_bytes_max.max(piece.len());
                        bytes.extend(piece);
                    }
                    _ => {}
                }
            }
            (rows, bytes, piece_bytes_max)
        });
        let outcome = self.node.run(command, sink).await?;
        let (rows, bytes, piece_bytes_max) = gather.await.unwrap();
        Ok(Said { rows, bytes, piece_bytes_max, outcome })
    }

    /// The outcome of a command that must succeed.
    pub(crate) async fn ask(&self, command: Command) -> Outcome {
        self.run(command).await.unwrap().outcome
    }

    /// Backs a folder up; the id of the snapshot.
    pub(crate) async fn backup(&self, folder: &Path, wait: Wait) -> String {
        let command = Command::Backup {
            paths: vec![raw(folder)],
            excludes: Vec::new(),
            wait,
            timeout_s: Some(60),
        };
        match self.ask(command).await {
            Outcome::Backup(done) => {
                assert_eq!(done.reached, wait, "{done:?}");
                done.snapshots[0].snapshot.clone()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Both keep shards for each other.
pub(crate) async fn pair(inviting: &TestNode, joining: &TestNode) {
    join((InviteKind::Circle, DeviceRole::Owner), inviting, joining, None).await;
}

/// A bare node becomes a device of the other one's vault.
pub(crate) async fn admit(inviting: &TestNode, joining: &TestNode, name: &str) {
    admit_as(DeviceRole::Owner, inviting, joining, name).await;
}

/// The same, in this role.
pub(crate) async fn admit_as(
    role: DeviceRole,
    inviting: &TestNode,
    joining: &TestNode,
    name: &str,
) {
    join((InviteKind::Device, role), inviting, joining, Some(name.to_owned())).await;
}

async fn join(
    (kind, role): (InviteKind, DeviceRole),
    inviting: &TestNode,
    joining: &TestNode,
    name: Option<String>,
) {
    let invite = Command::Invite {
        kind,
        role,
        guest: Guest::default(),
        expires_s: 600,
        waiting: Waiting::No,
    };
    let Outcome::Invite(invited) = inviting.ask(invite).await else { panic!() };
    joining.ask(Command::Join { code: invited.code, site: name.clone(), name, asks: false }).await;
}

pub(crate) fn raw(path: &Path) -> RawPath {
    RawPath::from(path.as_os_str().as_bytes())
}

pub(crate) fn named(id: &str) -> SnapshotName {
    SnapshotName::Prefix(id.to_owned())
}

pub(crate) async fn open(path: &Path) -> Node {
    let home = Home::open(path, "test").unwrap();
    Launcher.open(home, options()).await.unwrap()
}

fn options() -> OpenOptions {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    OpenOptions { serve: true, listen, ..OpenOptions::default() }
}
