//! Fetching ranges of shards: from honest, damaged, lying and vanishing peers.

use std::{
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
};

use bao_tree::io::{outboard::PreOrderMemOutboard, sync::encode_ranges};
use iroh_blobs::{protocol::Request, store::mem::MemStore};
use larder_protocol::index::ShardRef;

use super::world::{Node, bare, settings, until};
use crate::{
    depot::{
        Origin, ShardState,
        tests::{bytes, damage::make_unreadable},
    },
    net::{AdmitAll, FetchError, Net, NetError, Protocol},
};

#[tokio::test(flavor = "multi_thread")]
async fn ranges_arrive_verified_and_make_a_whole_shard() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(1, 5_000_001);
    let shard = holder.keep(&content);
    let peer = holder.seen_by(&source);
    let partial = source.partial(shard);
    let some = [100_000..300_000, 4_999_999..5_000_001];
    let heard = Arc::new(Mutex::new(0));
    let sum = Arc::clone(&heard);
    let progress =
        move |range: std::ops::Range<u64>| *sum.lock().unwrap() += range.end - range.start;
    peer.fetch(&some, partial.clone(), progress).await.unwrap();
    assert_eq!(partial.present(), [98_304..311_296, 4_997_120..5_000_001]);
    assert_eq!(*heard.lock().unwrap(), 212_992 + 2_881);
    assert_eq!(partial.read(100_000..300_000).unwrap(), &content[100_000..300_000]);
    let missing = partial.missing();
    peer.fetch(&missing, partial.clone(), |_| {}).await.unwrap();
    assert!(partial.is_complete());
    peer.fetch(&[], partial.clone(), |_| {}).await.unwrap();
    let tenure = crate::depot::tests::tenure(7, Origin::Own);
    source.depot.adopt(&partial, tenure).unwrap();
    assert_eq!(source.depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
}

/// NET-12
#[tokio::test(flavor = "multi_thread")]
async fn a_stock_iroh_blobs_client_fetches_what_it_may() {
    let (stranger, holder) = (Node::start(1).await, Node::start(2).await);
    let (content, hidden) = (bytes(1, 3_000_000), bytes(2, 100_000));
    let (shard, secret) = (holder.keep(&content), holder.keep(&hidden));
    holder.script.unreadable.lock().unwrap().insert(secret.root);
    let store = MemStore::new();
    let connection = bare(&stranger, &holder, Protocol::Shards).await;
    let hash = iroh_blobs::Hash::from_bytes(*shard.root.as_bytes());
    store.remote().fetch(connection.clone(), hash).await.unwrap();
    assert_eq!(store.get_bytes(hash).await.unwrap(), content);
    let hash = iroh_blobs::Hash::from_bytes(*secret.root.as_bytes());
    assert!(store.remote().fetch(connection, hash).await.is_err());
}

/// NET-2
#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_forbidden_shards_look_the_same() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let secret = holder.keep(&bytes(1, 100_000));
    let unknown = source.keep(&bytes(2, 100_000));
    holder.script.unreadable.lock().unwrap().extend([secret.root, unknown.root]);
    for shard in [secret, unknown] {
        let partial = source.partial(shard);
        let fetched = holder.seen_by(&source).fetch(&[0..10], partial, |_| {}).await;
        assert!(matches!(fetched, Err(FetchError::Denied)), "{fetched:?}");
    }
}

/// DEPOT-8: what is whole before the damage arrives, the damage does not, and both sides know.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_holder_says_so_and_sends_nothing_wrong() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(1, 1_000_000);
    let shard = holder.keep(&content);
    let name = format!("{:02x}/{}", shard.root.as_bytes()[0], shard.root);
    let path = holder.depot.dir().join(name);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.write_all_at(b"rot", 600_000).unwrap();
    let partial = source.partial(shard);
    let peer = holder.seen_by(&source);
    let fetched = peer.fetch(&[0..shard.bytes], partial.clone(), |_| {}).await;
    assert!(matches!(fetched, Err(FetchError::Unreadable)), "{fetched:?}");
    until("the node is told", || !holder.script.corrupt.lock().unwrap().is_empty()).await;
    assert_eq!(*holder.script.corrupt.lock().unwrap(), [shard.root]);
    assert_eq!(holder.depot.rows_of(&shard.root).unwrap()[0].state, ShardState::Corrupt);
    for range in partial.present() {
        let expected = &content[range.start as usize..range.end as usize];
        assert_eq!(partial.read(range).unwrap(), expected);
    }
    // The rest can still be had.
    peer.fetch(&[0..500_000, 700_000..shard.bytes], partial.clone(), |_| {}).await.unwrap();
    assert!(!partial.has(&(600_000..600_001)) && partial.has(&(700_000..1_000_000)));
}

/// HOLD-7, DEPOT-17: a shard whose file is gone, or that the disk cannot read, is lost to whoever
/// keeps the books, and the others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_cannot_read_one_shard_says_so_and_serves_the_others() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let (gone, unread) = (holder.keep(&bytes(1, 100_000)), holder.keep(&bytes(2, 2000)));
    let fine = holder.keep(&bytes(3, 100_000));
    let path = |shard: &ShardRef| {
        let name = format!("{:02x}/{}", shard.root.as_bytes()[0], shard.root);
        holder.depot.dir().join(name)
    };
    std::fs::remove_file(path(&gone)).unwrap();
    make_unreadable(&path(&unread), 2000);
    let peer = holder.seen_by(&source);
    for (shard, state) in [(gone, ShardState::Missing), (unread, ShardState::Corrupt)] {
        let partial = source.partial(shard);
        let fetched = peer.fetch(&[0..shard.bytes], partial, |_| {}).await;
        assert!(matches!(fetched, Err(FetchError::Unreadable)), "{fetched:?}");
        let told = || holder.script.corrupt.lock().unwrap().contains(&shard.root);
        until("the node is told", told).await;
        assert_eq!(holder.depot.rows_of(&shard.root).unwrap()[0].state, state);
    }
    let partial = source.partial(fine);
    peer.fetch(&[0..fine.bytes], partial.clone(), |_| {}).await.unwrap();
    assert!(partial.is_complete());
}

/// What a lying peer does.
#[derive(Clone, Copy)]
enum Lie {
    /// One wrong byte in this place.
    Byte(usize),
    /// Another length in front.
    Length(u64),
    /// Ends cleanly after so many bytes.
    CutShort(usize),
    /// Vanishes after so many bytes.
    Vanish(usize),
    /// Sends so many bytes and then nothing.
    Stall(usize),
    /// Any bytes at all.
    Garbage,
}

/// A peer that serves `content` with a lie, past all our own code.
async fn liar(content: &[u8], lie: Lie) -> Net {
    let net = Net::start(settings(9, 0), Arc::new(AdmitAll)).await.unwrap();
    net.inner.endpoint.set_alpns(vec![Protocol::Shards.alpn().to_vec()]);
    let content = content.to_vec();
    let endpoint = net.inner.endpoint.clone();
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            let Ok((Request::Get(get), _)) = Request::read_async(&mut recv).await else { break };
            let outboard = PreOrderMemOutboard::create(&content, crate::depot::tests::BLOCK);
            let ranges = get.ranges.iter_infinite().next().unwrap().clone();
            let mut told = content.clone();
            if let Lie::Byte(at) = lie {
                told[at] ^= 1;
            }
            let length = if let Lie::Length(length) = lie { length } else { told.len() as u64 };
            let mut answer = length.to_le_bytes().to_vec();
            encode_ranges(&told[..], &outboard, &ranges, &mut answer).unwrap();
            match lie {
                Lie::Byte(_) | Lie::Length(_) => {}
                Lie::CutShort(bytes) | Lie::Vanish(bytes) | Lie::Stall(bytes) => {
                    answer.truncate(bytes)
                }
                Lie::Garbage => answer = bytes(77, 50_000),
            }
            let _ = send.write_all(&answer).await;
            match lie {
                Lie::Vanish(_) => return endpoint.close().await,
                Lie::Stall(_) => drop(send.stopped().await),
                _ => drop(send.finish()),
            }
        }
    });
    net
}

async fn fetch_from_liar(lie: Lie) -> (Result<(), FetchError>, u64) {
    let source = Node::start(1).await;
    let content = bytes(1, 1_000_000);
    let honest = Node::start(2).await;
    let shard: ShardRef = honest.keep(&content);
    let liar = liar(&content, lie).await;
    source.net.set_addresses(liar.id(), liar.own_addresses());
    let partial = source.partial(shard);
    let peer = source.net.peer(liar.id());
    let fetched = peer.fetch(&[0..shard.bytes], partial.clone(), |_| {}).await;
    let mut present = 0;
    for range in partial.present() {
        present += range.end - range.start;
        let expected = &content[range.start as usize..range.end as usize];
        assert_eq!(partial.read(range).unwrap(), expected, "something wrong was written");
    }
    // Another peer completes what the liar began, the same file and all.
    let missing = partial.missing();
    honest.seen_by(&source).fetch(&missing, partial.clone(), |_| {}).await.unwrap();
    assert_eq!(partial.read(0..shard.bytes).unwrap(), content);
    (fetched, present)
}

/// NET-3
#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_named_and_not_written() {
    let (fetched, present) = fetch_from_liar(Lie::Byte(500_000)).await;
    assert!(matches!(fetched, Err(FetchError::WrongBytes)), "{fetched:?}");
    assert_eq!(present, 491_520, "all groups before the wrong one");
    let (fetched, _) = fetch_from_liar(Lie::Garbage).await;
    assert!(matches!(fetched, Err(FetchError::WrongBytes)), "{fetched:?}");
}

/// NET-4
#[tokio::test(flavor = "multi_thread")]
async fn another_length_is_a_lie_even_where_the_proof_would_hold() {
    for length in [0, 999_999, 1_000_001, u64::MAX] {
        let (fetched, present) = fetch_from_liar(Lie::Length(length)).await;
        assert!(matches!(fetched, Err(FetchError::WrongBytes)), "{length}: {fetched:?}");
        assert_eq!(present, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stops_short_vanishes_or_stalls_is_not_accused() {
    let (fetched, _) = fetch_from_liar(Lie::CutShort(0)).await;
    assert!(matches!(fetched, Err(FetchError::Denied)), "{fetched:?}");
    let (fetched, present) = fetch_from_liar(Lie::CutShort(400_000)).await;
    let short = matches!(fetched, Err(FetchError::Denied | FetchError::Net(NetError::Lost)));
    assert!(short && present > 300_000, "{fetched:?} {present}");
    let (fetched, _) = fetch_from_liar(Lie::Vanish(400_000)).await;
    assert!(matches!(fetched, Err(FetchError::Net(NetError::Lost))), "{fetched:?}");
    let (fetched, present) = fetch_from_liar(Lie::Stall(400_000)).await;
    assert!(matches!(fetched, Err(FetchError::Stalled)), "{fetched:?}");
    assert!(present > 300_000, "what came before is kept");
}
