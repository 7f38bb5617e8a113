//! How fast transfers are beside a bare stream of the same machine in the same run.
//!
//! `cargo test -p larder-node --lib speed -- --ignored --nocapture`

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::index::{PackClass, ShardRef};
use tokio::task::JoinSet;

use super::world::{Node, VAULT, settings};
use crate::{
    depot::tests::bytes,
    net::{AdmitAll, Net, Protocol},
};

const SHARDS: u64 = 16;
const BYTES: usize = 32 * 1024 * 1024;
const STRIPE: u64 = 1024 * 1024;

fn say(what: &str, took: Duration) {
    let mib = SHARDS * (BYTES as u64) / (1024 * 1024);
    println!("{what}: {} MiB/s", u128::from(mib) * 1000 / took.as_millis().max(1));
}

/// Four streams at a time, as a bare program on the same transport would do it.
async fn bare_streams() -> Duration {
    let (from, to) = (settings(8, 0), settings(9, 0));
    let from = Net::start(from, Arc::new(AdmitAll)).await.unwrap();
    let to = Net::start(to, Arc::new(AdmitAll)).await.unwrap();
    to.inner.endpoint.set_alpns(vec![Protocol::Control.alpn().to_vec()]);
    from.set_addresses(to.id(), to.own_addresses());
    let endpoint = to.inner.endpoint.clone();
    tokio::spawn(async move {
        let connection = endpoint.accept().await.unwrap().await.unwrap();
        while let Ok((mut send, mut recv)) = connection.accept_bi().await {
            tokio::spawn(async move {
                while let Ok(Some(_)) = recv.read_chunk(128 * 1024).await {}
                send.write_all(b"k").await.unwrap();
                send.finish().unwrap();
            });
        }
    });
    let lease = from.lease(to.id(), Protocol::Control).await.unwrap();
    let content = bytes::Bytes::from(bytes(1, BYTES));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..SHARDS {
        let (connection, content) = (lease.connection.clone(), content.clone());
        tasks.spawn(async move {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_chunk(content).await.unwrap();
            send.finish().unwrap();
            recv.read_to_end(1).await.unwrap();
        });
        if number >= 3 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    while tasks.join_next().await.is_some() {}
    begun.elapsed()
}

async fn puts(source: &Node, holder: &Node, shards: &[ShardRef]) -> Duration {
    let peer = holder.seen_by(source);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, shard) in shards.iter().enumerate() {
        let (peer, depot, root) = (peer.clone(), source.depot.clone(), shard.root);
        tasks.spawn(async move {
            let opened = depot.open_shard(&root).unwrap();
            peer.put(VAULT, PackClass::Data, opened).await.unwrap();
        });
        if number >= 3 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begun.elapsed()
}

async fn fetches(source: &Node, holder: &Node, shards: &[ShardRef]) -> Duration {
    let peer = holder.seen_by(source);
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for shard in shards {
        let partial = source.partial(*shard);
        for start in (0..shard.bytes).step_by(STRIPE as usize) {
            let (peer, partial) = (peer.clone(), partial.clone());
            tasks.spawn(async move {
                let range = start..(start + STRIPE).min(partial.shard().bytes);
                peer.fetch(&[range], partial, |_| {}).await.unwrap();
            });
            if tasks.len() >= 8 {
                tasks.join_next().await.unwrap().unwrap();
            }
        }
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check"]
async fn speed_of_transfers_beside_a_bare_stream() {
    say("bare streams, 4 at once", bare_streams().await);
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let begun = Instant::now();
    let shards: Vec<_> = (0..SHARDS).map(|seed| source.keep(&bytes(seed, BYTES))).collect();
    say("own depot, import one after the other", begun.elapsed());
    say("put with receipt, 4 at once", puts(&source, &holder, &shards).await);
    say("fetch in 1 MiB stripes, 8 at once", fetches(&source, &holder, &shards).await);
    say("bare streams again", bare_streams().await);
}
