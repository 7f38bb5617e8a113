//! Audits between real nodes.

use std::{fs, path::Path};

use larder_protocol::{ids::DeviceId, index::ShardRef};

use super::*;
use crate::{
    command::{Command, ExitKind, Outcome, Wait},
    engine::testing::{TestNode, pair},
};

async fn verify(node: &TestNode) -> (ExitKind, crate::command::VerifyOutcome) {
    let outcome = node.ask(Command::Verify { percent: 100 }).await;
    let kind = outcome.exit_kind();
    let Outcome::Verify(done) = outcome else { panic!() };
    (kind, done)
}

/// Overwrites everything that a depot keeps with other bytes of the same length.
fn damage_all(depot: &Path) -> usize {
    let mut damaged = 0;
    for entry in fs::read_dir(depot).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damaged += damage_all(&path);
        } else if path.file_name().unwrap().len() == 64 {
            let length = fs::metadata(&path).unwrap().len();
            fs::write(&path, vec![0xaa; usize::try_from(length).unwrap()]).unwrap();
            damaged += 1;
        }
    }
    damaged
}

// AUDIT-7, AUDIT-9, PLACE-9, HOLD-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_nobody_knew_of_is_found_from_afar_and_mended() {
    // The source keeps its own packs, so what the holder lost can be sent again.
    let (source, holder) = (TestNode::new("source").await, TestNode::holder("holder").await);
    pair(&source, &holder).await;
    let folder = source.folder("docs");
    fs::write(folder.join("a"), crate::depot::tests::bytes(1, 300_000)).unwrap();
    source.backup(&folder, Wait::Safe).await;
    let (kind, well) = verify(&source).await;
    assert_eq!(kind, ExitKind::Done, "{well:?}");
    let shards = well.holders[0].shards;
    assert!(well.holders[0].answered && shards > 1);
    let proofs = source.node.core.state.proofs().unwrap();
    assert_eq!(proofs.values().map(BTreeMap::len).sum::<usize>(), usize::try_from(shards).unwrap());

    let damaged = damage_all(&holder.home().join("depot"));
    assert!(u64::try_from(damaged).unwrap() >= shards);
    let (kind, found) = verify(&source).await;
    assert_eq!(kind, ExitKind::Failed);
    assert_eq!((found.holders[0].answered, found.holders[0].lacking), (true, shards));
    assert!(source.node.core.blames().is_empty(), "it owned up to it");

    // It was told, wants them again, and gets them.
    let begun = std::time::Instant::now();
    loop {
        let (kind, again) = verify(&source).await;
        // While none of them is back it has nothing to show.
        let shown = again.holders.first().map_or(0, |holder| holder.shards);
        if kind == ExitKind::Done && shown == shards {
            break;
        }
        assert!(begun.elapsed() < crate::engine::testing::PATIENCE, "{again:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

// AUDIT-8
#[test]
fn who_has_to_show_a_shard_does_not_get_it_meanwhile() {
    let (holder, other) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
    let root = ShardRoot::from_bytes([3; 32]);
    let challenge = Challenge { shard: ShardRef { root, bytes: 1 }, chunk: 0 };
    let examined = Examined::default();
    examined.begin(holder, &[challenge]);
    assert!(examined.has_to_show(&holder, &root));
    assert!(!examined.has_to_show(&other, &root));
    assert!(!examined.has_to_show(&holder, &ShardRoot::from_bytes([4; 32])));
    examined.end(holder);
    assert!(!examined.has_to_show(&holder, &root));
}
