//! What the shell tells the machine, and what it does on its orders.

use larder_protocol::{ids::VaultId, index::PackClass, time::Timestamp};

use super::*;
use crate::command::{ByteSize, Command, Wait};

// PLACE-11
#[test]
fn a_shard_held_for_another_device_is_no_local_copy() {
    let vault = VaultId::from_bytes([1; 32]);
    let row = |origin, state| ShardRow {
        bytes: 1,
        class: PackClass::Data,
        vault,
        origin,
        stored: Timestamp(0),
        keep_until: Timestamp(0),
        state,
        unclaimed: None,
    };
    let held = row(Origin::Held, ShardState::Ok);
    assert!(!is_to_be_placed(&held, false), "of another device, with a receipt");
    assert!(is_to_be_placed(&held, true), "its own, and another device had it kept here as well");
    assert!(is_to_be_placed(&row(Origin::Own, ShardState::Ok), true));
    assert!(is_to_be_placed(&row(Origin::Own, ShardState::Ok), false), "read here and kept");
    assert!(!is_to_be_placed(&row(Origin::Own, ShardState::Missing), true));
    assert!(!is_to_be_placed(&row(Origin::Own, ShardState::Corrupt), true));
}

// PLACE-16
#[test]
fn an_error_that_passes_is_no_loss() {
    let root = ShardRoot::from_bytes([1; 32]);
    for lost in [DepotError::Corrupt(root), DepotError::Missing(root), DepotError::Unknown(root)] {
        assert!(is_loss(&lost), "{lost}");
    }
    let files = std::io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
    let open = DepotError::Disk { doing: "open a shard", source: Arc::new(files) };
    for passes in [open, DepotError::NoSpace, DepotError::BadRow] {
        assert!(!is_loss(&passes), "{passes}");
    }
}

// PLACE-21
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_larger_offer_is_noticed_at_once() {
    use crate::engine::testing::{PATIENCE, TestNode, pair};
    let (source, holder) = (TestNode::new("source").await, TestNode::new("holder").await);
    holder.ask(Command::Offer { bytes: Some(ByteSize(150_000)), to: None }).await;
    pair(&source, &holder).await;
    let folder = source.folder("docs");
    std::fs::write(folder.join("a"), crate::depot::tests::bytes(1, 300_000)).unwrap();
    source.backup(&folder, Wait::Local).await;
    let custody = || source.node.core.member().unwrap().custody().unwrap().clone();
    let status = || async { custody().status().await.unwrap() };
    let begun = std::time::Instant::now();
    let has = |it: &Status, condition| it.holders.values().any(|one| one.condition == condition);
    while !has(&status().await, Condition::QuotaUsed) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", status().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    // Without the call it would be asked again after a minute at the earliest.
    while status().await.published_seq == 0 {
        assert!(begun.elapsed() < PATIENCE, "{:?}", status().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
