//! The socket with a stand-in for the engine.

use std::{path::Path, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{server::admits, *};
use crate::command::*;

/// Streams rows for `ls`, waits for ever for `status`, panics for `doctor`.
struct Fake {
    began: Notify,
    cancelled: Notify,
}

impl Engine for Fake {
    async fn run(&self, command: Command, events: EventSink) -> Result<Outcome, Failure> {
        match command {
            Command::List { snapshot: _, path, recursive: _ } => {
                events.progress(Progress::new(Stage::Asking));
                for _ in 0..5000 {
                    events.row(row(path.as_bytes())).await?;
                }
                events.send(Event::Bytes(vec![0, 159, 255])).await?;
                let snapshot = "ab".repeat(32);
                Ok(Outcome::List(ListOutcome {
                    snapshot,
                    origin: origin(),
                    entries_total: 5000,
                    bytes: 1,
                }))
            }
            Command::Status => {
                self.began.notify_one();
                events.cancelled().await;
                self.cancelled.notify_one();
                Err(Failure::interrupted())
            }
            Command::Doctor => panic!("on purpose"),
            _ => Err(Failure::failed("no").hint("yes")),
        }
    }

    async fn ready(&self) -> ReadyOutcome {
        unreachable!()
    }

    async fn close(&self) {}
}

fn origin() -> SnapshotOrigin {
    SnapshotOrigin {
        time: Time::now(),
        device: "bb".repeat(32),
        device_name: "laptop".to_owned(),
        path: PathField::new(b"/home/anna"),
        others: 0,
    }
}

fn row(path: &[u8]) -> Entry {
    Entry {
        path: PathField::new(path),
        kind: EntryKind::File,
        bytes: 1,
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: None,
        target: None,
    }
}

fn start(home: &Path) -> (Arc<Fake>, CancellationToken, JoinHandle<()>) {
    let fake = Arc::new(Fake { began: Notify::new(), cancelled: Notify::new() });
    let stop = CancellationToken::new();
    let server = Server::bind(home).unwrap();
    let task = tokio::spawn(server.serve(Arc::clone(&fake), stop.clone()));
    (fake, stop, task)
}

async fn ask(home: &Path, command: Command) -> (Vec<Event>, Result<Outcome, Failure>) {
    let client = Client::connect(home).await.unwrap().expect("the server listens");
    let (sink, mut stream) = EventSink::channel(CancellationToken::new());
    let work = tokio::spawn(client.run(command, sink));
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    (events, work.await.unwrap())
}

fn list(path: &[u8]) -> Command {
    Command::List { snapshot: SnapshotName::Latest, path: path.into(), recursive: true }
}

// CLI-6, CLI-7
#[tokio::test]
async fn rows_bytes_and_the_outcome_come_through_unharmed() {
    let home = tempfile::tempdir().unwrap();
    let (_fake, _stop, _task) = start(home.path());
    let (events, result) = ask(home.path(), list(b"caf\xe9\n")).await;
    let rows: Vec<_> = events.iter().filter(|event| matches!(event, Event::Row(_))).collect();
    assert_eq!(rows.len(), 5000);
    assert_eq!(*rows[4999], Event::Row(row(b"caf\xe9\n").into()));
    assert_eq!(events.last(), Some(&Event::Bytes(vec![0, 159, 255])));
    assert!(matches!(result, Ok(Outcome::List(ListOutcome { entries_total: 5000, .. }))));
    let (_, result) = ask(home.path(), Command::Folders).await;
    assert_eq!(result, Err(Failure::failed("no").hint("yes")));
}

// CLI-7
#[tokio::test]
async fn a_client_that_leaves_or_cancels_stops_its_command() {
    let home = tempfile::tempdir().unwrap();
    let (fake, _stop, _task) = start(home.path());
    let gone = Client::connect(home.path()).await.unwrap().unwrap();
    let (sink, stream) = EventSink::channel(CancellationToken::new());
    let work = tokio::spawn(gone.run(Command::Status, sink));
    fake.began.notified().await;
    work.abort();
    fake.cancelled.notified().await;

    let client = Client::connect(home.path()).await.unwrap().unwrap();
    let cancel = CancellationToken::new();
    let (sink, _stream) = EventSink::channel(cancel.clone());
    let work = tokio::spawn(client.run(Command::Status, sink));
    fake.began.notified().await;
    cancel.cancel();
    fake.cancelled.notified().await;
    assert_eq!(work.await.unwrap(), Err(Failure::interrupted()));
    drop(stream);
}

// CLI-7
#[tokio::test]
async fn garbage_is_answered_with_an_error_and_the_server_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let (_fake, _stop, _task) = start(home.path());
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[255; 64],
        &[2, 0, 0, 0, b'{', b'}'],
        &[9, 0, 0, 0, b'{'],
        b"\x0e\0\0\0{\"version\": 7}",
        b"",
    ];
    for bytes in garbage {
        let mut stream = UnixStream::connect(home.path().join("node.sock")).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let reply: Reply = serde_json::from_slice(&answer[4..]).unwrap();
        assert!(matches!(reply, Reply::Failed(_)), "{bytes:?}");
    }
    ask(home.path(), list(b"x")).await.1.unwrap();
}

#[tokio::test]
async fn a_panic_ends_one_command_and_not_the_node() {
    let home = tempfile::tempdir().unwrap();
    let (_fake, _stop, _task) = start(home.path());
    let (_, result) = ask(home.path(), Command::Doctor).await;
    assert!(result.unwrap_err().message.starts_with("internal error"));
    ask(home.path(), list(b"x")).await.1.unwrap();
}

// CLI-7
#[tokio::test]
async fn shutdown_cancels_what_runs_and_takes_the_socket_away() {
    let home = tempfile::tempdir().unwrap();
    let (fake, _stop, task) = start(home.path());
    let path = home.path().to_owned();
    let (sent, began) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        let client = Client::connect(&path).await.unwrap().unwrap();
        sent.send(()).unwrap();
        let (sink, _stream) = EventSink::channel(CancellationToken::new());
        client.run(Command::Status, sink).await
    });
    began.await.unwrap();
    fake.began.notified().await;
    assert_eq!(ask(home.path(), Command::Shutdown).await.1, Ok(Outcome::Stopping));
    task.await.unwrap();
    assert_eq!(waiting.await.unwrap(), Err(Failure::interrupted()));
    assert!(Client::connect(home.path()).await.unwrap().is_none());
}

// CLI-7
#[tokio::test]
async fn the_socket_is_for_its_owner_and_works_at_the_end_of_a_long_path() {
    use std::os::unix::fs::PermissionsExt;
    let outer = tempfile::tempdir().unwrap();
    let home = outer.path().join("long".repeat(50)).join("longer".repeat(30));
    std::fs::create_dir_all(&home).unwrap();
    let (_fake, _stop, _task) = start(&home);
    let mode = std::fs::metadata(home.join("node.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    ask(&home, list(b"x")).await.1.unwrap();
    assert!(admits(1000, 1000) && admits(0, 1000));
    assert!(!admits(1001, 1000) && !admits(1000, 0));
}

#[tokio::test]
async fn the_socket_of_a_dead_node_is_no_node() {
    let home = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(home.path().join("node.sock")).unwrap());
    assert!(Client::connect(home.path()).await.unwrap().is_none());
    let (_fake, _stop, _task) = start(home.path());
    ask(home.path(), list(b"x")).await.1.unwrap();
}
