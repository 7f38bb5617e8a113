//! What commits list, claim and wait for, against a node in this process.

use std::fs;

use larder_protocol::limits::SEGMENTS_SMALL_MAX;

use super::*;
use crate::{
    command::{Command, Overwrite, Wait},
    engine::testing::{TestNode, named, raw},
};

fn noise(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(b"commit").finalize_xof().fill(&mut out);
    out
}

/// Roots of data packs that the newest own head waits for.
fn data_needed(node: &TestNode) -> BTreeSet<ShardRoot> {
    let core = &node.node.core;
    let needs = needs(core, &core.member().unwrap()).unwrap();
    let data = needs.into_iter().filter(|(_, class)| *class == PackClass::Data);
    data.map(|(shard, _)| shard.root).collect()
}

// HOME-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_nowhere_any_more_is_stored_anew_from_an_unchanged_folder() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    fs::write(folder.join("big"), noise(900_000)).unwrap();
    fs::write(folder.join("small"), b"small").unwrap();
    let first = node.backup(&folder, Wait::Local).await;
    assert_eq!(node.backup(&folder, Wait::Local).await, first, "nothing has changed");
    let before = data_needed(&node);
    let lost = *before.first().unwrap();
    let core = &node.node.core;
    core.depot.remove(&lost, &core.member().unwrap().vault).unwrap();
    core.state.revoke(&lost).unwrap();
    assert_eq!(data_needed(&node), before, "the newest head needs it as before");

    let second = node.backup(&folder, Wait::Local).await;
    assert_ne!(second, first);
    let after = data_needed(&node);
    assert!(!after.contains(&lost) && after.is_disjoint(&before), "a new head does not");
    assert!(in_doubt(core).unwrap().iter().any(|id| id.to_string() == first));
    assert!(!in_doubt(core).unwrap().iter().any(|id| id.to_string() == second));
    let facts = core.state.facts_of(&lost).unwrap().unwrap();
    assert!(facts.listed && facts.is_given_up, "should a holder turn out to have it");
    assert_eq!(node.backup(&folder, Wait::Local).await, second, "once is enough");
    let to = node.directory.path().join("restored");
    let command = Command::Restore {
        snapshot: named(&second),
        paths: Vec::new(),
        to: raw(&to),
        overwrite: Overwrite::Changed,
        dry_run: false,
    };
    let restored = node.ask(command).await;
    let read = fs::read(to.join(folder.strip_prefix("/").unwrap()).join("big"));
    assert!(read.is_ok_and(|read| read == noise(900_000)), "{restored:?}");

    core.state.vouch(&lost, 1).unwrap();
    assert!(in_doubt(core).unwrap().is_empty(), "it was found after all");
}

// MANIFEST-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_are_merged_and_list_what_they_listed() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    fs::write(folder.join("file"), b"file").unwrap();
    node.backup(&folder, Wait::Local).await;
    let core = &node.node.core;
    let member = core.member().unwrap();
    let listed = || -> BTreeSet<ShardRoot> {
        let all = core.state.pack_facts().unwrap();
        all.iter().filter(|facts| facts.listed).map(|facts| facts.shard.root).collect()
    };
    let (mut most, mut counts) = (0, Vec::new());
    for number in 0..=SEGMENTS_SMALL_MAX + 1 {
        fs::write(folder.join("file"), number.to_string()).unwrap();
        node.backup(&folder, Wait::Local).await;
        let count = own_manifest(core, &member).unwrap().segments.len();
        (most, counts) = (most.max(count), [counts, vec![count]].concat());
    }
    assert!(most <= SEGMENTS_SMALL_MAX + 1 && *counts.last().unwrap() < most, "{counts:?}");
    let mut named = BTreeSet::new();
    for location in own_manifest(core, &member).unwrap().segments {
        let plain = super::super::chunk_here(core, &member, &location).unwrap();
        named.extend(Segment::decode(&plain).unwrap().packs.iter().map(|pack| pack.shard.root));
    }
    assert_eq!(named, listed());
    core.state.drop_note(LISTED_CORRECTED).unwrap();
    correct_listed(core, &member).unwrap();
    assert_eq!(named, listed(), "nothing to correct");
}
