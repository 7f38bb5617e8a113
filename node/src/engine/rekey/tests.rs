//! Rekeying, with real nodes: what is sealed with what, and what stays readable.

use std::{fs, path::Path};

use larder_protocol::{
    index::PackClass,
    keys::epoch::EpochKey,
    log::{Leaver, Reason},
};

use super::*;
use crate::{
    command::{Command, Keep, RekeyOutcome, RemovalReason, Wait},
    engine::{
        collect, commit, sync,
        testing::{TestNode, admit, named, pair, raw},
    },
};

const LARGE: usize = 3_000_000;

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; LARGE];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

fn fill(folder: &Path, seeds: impl IntoIterator<Item = u8>) {
    for seed in seeds {
        fs::write(folder.join(format!("file {seed}")), noise(seed)).unwrap();
    }
}

async fn rekey(node: &TestNode, act: RekeyAct) -> RekeyOutcome {
    match node.ask(Command::Rekey { act }).await {
        Outcome::Rekey(done) => done,
        other => panic!("{other:?}"),
    }
}

async fn revoke(node: &TestNode, device: &str) {
    let (device, reason) = (device.to_owned(), RemovalReason::Stolen);
    node.ask(Command::Revoke { device, reason, undo: false, phrase: None }).await;
}

async fn assert_reads(node: &TestNode, id: &str, folder: &Path, seed: u8) {
    let path = raw(&folder.join(format!("file {seed}")));
    let said = node.run(Command::Cat { snapshot: named(id), path }).await.unwrap();
    assert_eq!(said.bytes, noise(seed));
}

/// Keys of a device, as whoever takes it has them.
fn keys_of(node: &TestNode) -> Vec<EpochKey> {
    node.node.core.member().unwrap().keyring().all().to_vec()
}

/// Claimed packs that one of these keys opens, by their headers: where they are kept.
fn opened_by(node: &TestNode, keeper: &TestNode, keys: &[EpochKey]) -> BTreeSet<ShardRoot> {
    let core = &node.node.core;
    let (_, claimed) = commit::claimed(core, &core.member().unwrap()).unwrap();
    assert!(!claimed.is_empty());
    let is_open = |root: &ShardRoot| {
        let header = core.depot.read_range(root, 0..80);
        let header = header.or_else(|_| keeper.node.core.depot.read_range(root, 0..80)).unwrap();
        let salt: [u8; 32] = header[16..48].try_into().unwrap();
        keys.iter().any(|key| key.pack_commitment(&salt) == header[48..80])
    };
    claimed.into_iter().filter(is_open).collect()
}

/// Lists that a removed device has signed.
fn signed(node: &TestNode) -> BTreeSet<ShardRoot> {
    let core = &node.node.core;
    let member = core.member().unwrap();
    let (left, seals) =
        (commit::left_behind(core, &member).unwrap(), core.state.pack_seals().unwrap());
    let facts = core.state.pack_facts().unwrap().into_iter();
    let is_signed = |number| seals.get(&number).is_some_and(|seal| seal.is_of_commits);
    let roots = facts.filter(|facts| is_signed(facts.number)).map(|facts| facts.shard.root);
    roots.filter(|root| left.contains(root)).collect()
}

/// A vault of two devices, of which `ben` has a backup with one file of `ann`'s, and a holder.
struct Family {
    ann: TestNode,
    ben: TestNode,
    keeper: TestNode,
    of_ann: (String, std::path::PathBuf),
    of_ben: (String, std::path::PathBuf),
}

async fn family() -> Family {
    let (ann, ben, keeper) =
        (TestNode::new("ann").await, TestNode::bare().await, TestNode::holder("keeper").await);
    pair(&ann, &keeper).await;
    admit(&ann, &ben, "ben").await;
    let (folder, theirs) = (ann.folder("docs"), ben.folder("docs"));
    fill(&folder, 1..5);
    let of_ann = ann.backup(&folder, Wait::Safe).await;
    fill(&theirs, [4, 7]);
    let of_ben = ben.backup(&theirs, Wait::Safe).await;
    sync::refresh(&ann.node.core, &ann.node.core.member().unwrap()).await;
    Family { ann, ben, keeper, of_ann: (of_ann, folder), of_ben: (of_ben, theirs) }
}

// REKEY-1, REKEY-2, REKEY-3, REKEY-7, DEL-17
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_claimed_opens_with_the_keys_of_a_removed_device_and_all_of_it_restores() {
    let Family { ann, ben, keeper, of_ann, of_ben } = family().await;
    let old = keys_of(&ben);
    assert_eq!(rekey(&ann, RekeyAct::Want).await.wanted, None, "there is no older key");
    revoke(&ann, "ben").await;
    let before = rekey(&ann, RekeyAct::Show).await;
    assert!(before.index_behind && before.wanted.is_none() && before.key == 2, "{before:?}");
    assert!(before.older.len() == 1 && before.older[0].bytes > 15_000_000, "{before:?}");
    let reader = &before.removed[0];
    assert_eq!((reader.name.as_str(), reader.key, reader.snapshots), ("ben", Some(1), 2));
    assert!(!opened_by(&ann, &keeper, &old).is_empty());

    let done = rekey(&ann, RekeyAct::Now).await;
    assert!(!done.is_behind() && done.wanted.is_none(), "{done:?}");
    let left = signed(&ann);
    assert_eq!(opened_by(&ann, &keeper, &old), left, "what ben has signed alone");
    assert_eq!(done.signed_packs, u64::try_from(left.len()).unwrap());
    assert_eq!((done.removed[0].packs, done.removed[0].signed_packs), (0, done.signed_packs));
    assert_eq!(done.removed[0].snapshots, 2, "what it could read it could read");
    for seed in 1..5 {
        assert_reads(&ann, &of_ann.0, &of_ann.1, seed).await;
    }
    for seed in [4, 7] {
        assert_reads(&ann, &of_ben.0, &of_ben.1, seed).await;
    }
    let again = rekey(&ann, RekeyAct::Want).await;
    assert!(again.wanted.is_none(), "there is nothing to do");

    // What a removed device has left stays after a forget, and after another removal.
    let keep = Keep { last: 1, ..Keep::default() };
    ann.ask(Command::Forget { keep, dry_run: false }).await;
    let ann = ann.reopen().await;
    let carl = TestNode::bare().await;
    admit(&ann, &carl, "carl").await;
    let of_carl = keys_of(&carl);
    assert_eq!(of_carl.len(), 2);
    revoke(&ann, "carl").await;
    let Outcome::Ticket(told) = keeper.ask(Command::Ticket).await else { panic!() };
    ann.ask(Command::Connect { ticket: told.ticket }).await;
    let done = rekey(&ann, RekeyAct::Now).await;
    assert!(!done.is_behind(), "{done:?}");
    assert_eq!(opened_by(&ann, &keeper, &of_carl), signed(&ann));
    for seed in [4, 7] {
        assert_reads(&ann, &of_ben.0, &of_ben.1, seed).await;
    }
    for seed in 1..5 {
        assert_reads(&ann, &of_ann.0, &of_ann.1, seed).await;
    }
}

fn data_packs(node: &TestNode) -> BTreeSet<ShardRoot> {
    let facts = node.node.core.state.pack_facts().unwrap().into_iter();
    let is_data = |facts: &crate::state::index::PackFacts| {
        facts.class == PackClass::Data && facts.own && facts.dropped_at == 0
    };
    facts.filter(is_data).map(|facts| facts.shard.root).collect()
}

async fn round_of(node: &TestNode) -> Round {
    let core = &node.node.core;
    let member = core.member().unwrap();
    roster::ensure_epoch(core, &member).await.unwrap();
    let up_to = member.keyring().sealing().unwrap().number();
    core.state.want_rekey(up_to, wall()).unwrap();
    Round::new(core, &member, up_to, CancellationToken::new())
}

// REKEY-4, REKEY-5, REKEY-6
#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_was_cut_off_costs_nothing_twice_and_nothing_is_dropped_while_a_backup_runs() {
    let Family { ann, keeper, of_ann, .. } = family().await;
    revoke(&ann, "ben").await;
    let old = data_packs(&ann);
    // Everything is made anew, and the process ends before the commit.
    let round = round_of(&ann).await;
    let core = Arc::clone(&ann.node.core);
    let moved = on_disk(move || {
        let mut memory = Memory::default();
        let relying = core.relying.try_read().unwrap();
        let busy = round.run(&mut memory)?;
        assert_eq!((busy, memory.moved.len()), (Ended::Busy, 0), "a backup goes first");
        drop(relying);
        let packs = round.make_all()?;
        let relying = core.relying.try_read().unwrap();
        assert!(!round.finish_begun()?, "nothing is dropped while somebody relies on packs");
        drop(relying);
        Ok::<_, EngineError>(packs)
    })
    .await
    .unwrap();
    assert!(moved > 0);
    let made = data_packs(&ann);
    assert!(old.is_subset(&made) && made.len() > old.len());
    // A backup of what has not changed makes no snapshot, and collecting throws away nothing that was made: to what
    // a removed device has left no snapshot of this one leads.
    assert_eq!(ann.backup(&of_ann.1, Wait::Safe).await, of_ann.0, "nothing has changed");
    let keep = Keep { last: 1, ..Keep::default() };
    ann.ask(Command::Forget { keep, dry_run: false }).await;
    let (core, member) = (&ann.node.core, ann.node.core.member().unwrap());
    collect::put_off(core).unwrap();
    collect::sweep(core, &member).await.unwrap();
    assert_eq!(data_packs(&ann), made);
    let ann = ann.reopen().await;
    assert!(ann.node.core.state.rekey_wish().unwrap().is_some(), "it is wanted still");
    let Outcome::Ticket(told) = keeper.ask(Command::Ticket).await else { panic!() };
    ann.ask(Command::Connect { ticket: told.ticket }).await;
    let done = rekey(&ann, RekeyAct::Now).await;
    assert!(!done.is_behind() && done.wanted.is_none(), "{done:?}");
    let expected: BTreeSet<ShardRoot> = made.difference(&old).copied().collect();
    assert_eq!(data_packs(&ann), expected, "what was made is used");
    for seed in 1..5 {
        assert_reads(&ann, &of_ann.0, &of_ann.1, seed).await;
    }
}

// REKEY-5, REKEY-6
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_had_stays_as_it_is_and_what_was_begun_is_used_when_the_wish_is_taken_back()
{
    let Family { ann, keeper, of_ann, .. } = family().await;
    fs::write(of_ann.1.join("later"), noise(9)).unwrap();
    let before = data_packs(&ann);
    ann.backup(&of_ann.1, Wait::Safe).await;
    let later = *data_packs(&ann).difference(&before).next().unwrap();
    revoke(&ann, "ben").await;
    // Neither here nor at the holder.
    let (core, vault) = (&ann.node.core, ann.node.core.member().unwrap().vault);
    core.depot.remove(&later, &vault).unwrap();
    keeper.node.core.depot.remove(&later, &vault).unwrap();
    let round = round_of(&ann).await;
    on_disk(move || {
        let mut memory = Memory::default();
        assert_eq!(round.run(&mut memory)?, Ended::Moved);
        assert_eq!(round.run(&mut memory)?, Ended::Stuck);
        Ok::<_, EngineError>(())
    })
    .await
    .unwrap();
    let left = data_packs(&ann);
    assert!(left.contains(&later), "it is claimed as before");
    assert!(left.is_disjoint(&before), "the others are made anew");
    let shown = rekey(&ann, RekeyAct::Show).await;
    assert_eq!(shown.wanted.map(|far| far.behind_packs), Some(1), "{shown:?}");
    let stopped = rekey(&ann, RekeyAct::Stop).await;
    assert!(stopped.wanted.is_none() && stopped.is_behind(), "{stopped:?}");
    assert_reads(&ann, &of_ann.0, &of_ann.1, 2).await;
}

// REKEY-1, REKEY-5
#[tokio::test(flavor = "multi_thread")]
async fn the_index_does_not_wait_for_packs_that_cannot_be_had() {
    let ann = TestNode::new("ann").await;
    let folder = ann.folder("docs");
    fill(&folder, [1]);
    ann.backup(&folder, Wait::Local).await;
    let core = Arc::clone(&ann.node.core);
    let member = core.member().unwrap();
    for root in commit::claimed(&core, &member).unwrap().1 {
        core.depot.remove(&root, &member.vault).unwrap();
    }
    let mut log = core.log_of(&member.vault).unwrap();
    let entry = log.rotate(&core.keys, wall(), &mut launch::rng().unwrap()).unwrap();
    roster::keep_entry(&core, member.vault, entry).await.unwrap();
    let round = round_of(&ann).await;
    on_disk(move || {
        let mut memory = Memory::default();
        assert!(round::is_index_behind(&core, &member, 2)?);
        assert_eq!(round.run(&mut memory)?, Ended::Moved);
        assert!(!round::is_index_behind(&core, &member, 2)?);
        assert_eq!(round.run(&mut memory)?, Ended::Stuck);
        Ok::<_, EngineError>(())
    })
    .await
    .unwrap();
}

// REKEY-1, REKEY-5, REKEY-7
#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_device_has_left_and_nobody_has_holds_nothing_up() {
    let Family { ann, ben, keeper, of_ann, .. } = family().await;
    revoke(&ann, "ben").await;
    let core = &ann.node.core;
    let vault = core.member().unwrap().vault;
    let theirs = core.state.claimed_of(&[ben.node.core.keys.id()]).unwrap();
    let facts = core.state.pack_facts().unwrap().into_iter();
    let lost: Vec<ShardRoot> = facts
        .filter(|facts| facts.class == PackClass::Data && !facts.own)
        .map(|facts| facts.shard.root)
        .collect();
    assert!(lost.len() == 1 && theirs.contains(&lost[0]));
    keeper.node.core.depot.remove(&lost[0], &vault).unwrap();
    let done = rekey(&ann, RekeyAct::Now).await;
    assert!(done.wanted.is_none() && !done.is_behind(), "{done:?}");
    assert_eq!((done.lost_packs, done.removed[0].lost_packs, done.removed[0].packs), (1, 1, 0));
    assert!(commit::left_behind(core, &core.member().unwrap()).unwrap().contains(&lost[0]));
    // Nor is another device told to make it anew, or what only a removed one could sign.
    let older = told::replaceable(core, &theirs, done.key).unwrap();
    let lists = signed(&ann);
    assert!(!lists.is_empty() && lists.iter().chain(&lost).all(|root| !older.contains_key(root)));
    for seed in 1..5 {
        assert_reads(&ann, &of_ann.0, &of_ann.1, seed).await;
    }
}

// REKEY-6, REKEY-8
#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_does_it_by_itself() {
    let Family { ann, keeper, ben, .. } = family().await;
    let old = keys_of(&ben);
    revoke(&ann, "ben").await;
    let begun = rekey(&ann, RekeyAct::Want).await;
    assert!(begun.wanted.is_some(), "{begun:?}");
    let patience = crate::engine::testing::PATIENCE;
    let since = std::time::Instant::now();
    while opened_by(&ann, &keeper, &old) != signed(&ann) {
        assert!(since.elapsed() < patience, "{:?}", rekey(&ann, RekeyAct::Show).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

// REKEY-3
#[tokio::test(flavor = "multi_thread")]
async fn where_two_epochs_have_the_newest_number_one_with_its_own_is_begun_first() {
    let (ann, ben) = (TestNode::new("ann").await, TestNode::bare().await);
    admit(&ann, &ben, "ben").await;
    let folder = ann.folder("docs");
    fill(&folder, [1]);
    ann.backup(&folder, Wait::Local).await;
    let core = &ann.node.core;
    let vault = core.member().unwrap().vault;
    let log = core.log_of(&vault).unwrap();
    for node in [&ann, &ben] {
        let rng = &mut launch::rng().unwrap();
        let entry = log.clone().rotate(&node.node.core.keys, wall(), rng).unwrap();
        roster::keep_entry(core, vault, entry).await.unwrap();
    }
    let numbers = || -> Vec<u32> { keys_of(&ann).iter().map(EpochKey::number).collect() };
    assert_eq!(numbers(), [1, 2, 2]);
    let shown = rekey(&ann, RekeyAct::Show).await;
    assert!(shown.key == 3 && shown.is_behind(), "{shown:?}");
    let before = core.log_of(&vault).unwrap();
    let wanted = rekey(&ann, RekeyAct::Want).await;
    assert_eq!(wanted.wanted.map(|far| far.key), Some(3), "{wanted:?}");
    assert_eq!(numbers(), [1, 2, 2, 3]);
    // Another one with the wanted number comes later.
    let entry = before.clone().rotate(&ben.node.core.keys, wall(), &mut launch::rng().unwrap());
    roster::keep_entry(core, vault, entry.unwrap()).await.unwrap();
    let wanted = rekey(&ann, RekeyAct::Now).await;
    assert_eq!(wanted.wanted.map(|far| far.key), Some(4), "{wanted:?}");
    assert!(!wanted.is_behind(), "{wanted:?}");
    assert_eq!(numbers(), [1, 2, 2, 3, 3, 4]);
}

// REKEY-3, REKEY-4
#[tokio::test(flavor = "multi_thread")]
async fn where_the_wanted_epoch_turns_out_void_a_higher_one_is_begun_and_nothing_is_made_before() {
    let (ann, ben, carl) =
        (TestNode::new("ann").await, TestNode::bare().await, TestNode::bare().await);
    admit(&ann, &ben, "ben").await;
    admit(&ann, &carl, "carl").await;
    let folder = ann.folder("docs");
    fill(&folder, [1]);
    ann.backup(&folder, Wait::Local).await;
    let core = &ann.node.core;
    let member = core.member().unwrap();
    let mut apart = core.log_of(&member.vault).unwrap();
    let rng = &mut launch::rng().unwrap();
    for _ in 0..2 {
        let mut log = core.log_of(&member.vault).unwrap();
        let entry = log.rotate(&ben.node.core.keys, wall(), rng).unwrap();
        roster::keep_entry(core, member.vault, entry).await.unwrap();
    }
    core.state.want_rekey(3, wall()).unwrap();
    // Somebody has thrown out before who began those epochs.
    let (device, reason) = (ben.node.core.keys.id(), Reason::Stolen);
    let leaver = Leaver { device, reason, last: None, undo_removals: false, time: wall() };
    let entry = apart.remove(&carl.node.core.keys, &leaver, rng).unwrap();
    roster::keep_entry(core, member.vault, entry).await.unwrap();
    assert_eq!(member.keyring().sealing().unwrap().number(), 2);
    let before = data_packs(&ann);
    let round = Round::new(core, &member, 3, CancellationToken::new());
    let how = on_disk(move || round.run(&mut Memory::default())).await.unwrap();
    assert_eq!((how, data_packs(&ann)), (Ended::Busy, before.clone()));
    let wanted = rekey(&ann, RekeyAct::Now).await;
    assert_eq!(wanted.wanted.map(|far| far.key), Some(4), "{wanted:?}");
    assert!(!wanted.is_behind() && data_packs(&ann).is_disjoint(&before), "{wanted:?}");
}
