//! Fetching ranges of shards.

use super::world::Node;
use crate::depot::tests::bytes;

#[tokio::test(flavor = "multi_thread")]
async fn ranges_arrive_verified_and_make_a_whole_shard() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(1, 5_000_001);
    let shard = holder.keep(&content);
    let peer = holder.seen_by(&source);
    let partial = source.partial(shard);
    let some = [100_000..300_000, 4_999_999..5_000_001];
    peer.fetch(&some, partial.clone(), |_| {}).await.unwrap();
    assert_eq!(partial.present(), [98_304..311_296, 4_997_120..5_000_001]);
    assert_eq!(partial.read(100_000..300_000).unwrap(), &content[100_000..300_000]);
    let missing = partial.missing();
    peer.fetch(&missing, partial.clone(), |_| {}).await.unwrap();
    assert!(partial.is_complete());
    let tenure = crate::depot::tests::tenure(7, crate::depot::Origin::Own);
    source.depot.adopt(&partial, tenure).unwrap();
    assert_eq!(source.depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
}
