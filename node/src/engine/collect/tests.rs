//! Forgetting, with real nodes: what goes, when, and what stays.

use std::{fs, future::Future, path::Path};

use super::*;
use crate::{
    command::{Command, ForgetOutcome, Keep, Outcome, Wait},
    engine::testing::{PATIENCE, TestNode, admit, named, pair, raw},
};

const LARGE: u32 = 3_000_000;

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(LARGE).unwrap()];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

async fn forget_all_but_last(node: &TestNode, dry_run: bool) -> ForgetOutcome {
    let keep = Keep { last: 1, ..Keep::default() };
    match node.ask(Command::Forget { keep, dry_run }).await {
        Outcome::Forget(done) => done,
        other => panic!("{other:?}"),
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn vault(node: &TestNode) -> larder_protocol::ids::VaultId {
    node.node.core.member().unwrap().vault
}

/// Bytes that a holder keeps for the vault of another node, and how many of them nobody claims.
fn kept(holder: &TestNode, of: &TestNode) -> (u64, u64) {
    let standing = holder.node.core.holding.standing(vault(of));
    (standing.used_bytes, standing.unclaimed_bytes)
}

/// The same of what nobody claims, by what is on the disk of the holder.
fn noted(holder: &TestNode, of: &TestNode) -> u64 {
    let rows = holder.node.core.depot.rows(Some(&vault(of))).unwrap();
    rows.iter().filter(|(_, row)| row.unclaimed.is_some()).map(|(_, row)| row.bytes).sum()
}

fn long_ago() -> larder_protocol::time::Timestamp {
    larder_protocol::time::Timestamp(wall().0 - 3600)
}

/// The node learns where a holder is now: ports change when nodes of tests are opened again.
async fn meet(node: &TestNode, holder: &TestNode) {
    let Outcome::Ticket(told) = holder.ask(Command::Ticket).await else { panic!() };
    node.ask(Command::Connect { ticket: told.ticket }).await;
}

/// What the newest snapshot has for a file is what the folder has.
async fn assert_restores(node: &TestNode, id: &str, file: &Path) {
    let command = Command::Cat { snapshot: named(id), path: raw(file) };
    let said = node.run(command).await.unwrap();
    assert_eq!(said.bytes, fs::read(file).unwrap());
}

// DEL-13, DEL-5, DEL-10
#[tokio::test(flavor = "multi_thread")]
async fn what_was_forgotten_leaves_the_holder_after_the_wait_and_what_stays_restores() {
    let (source, keeper) = (TestNode::new("source").await, TestNode::holder("keeper").await);
    pair(&source, &keeper).await;
    let folder = source.folder("docs");
    for seed in 0..8 {
        fs::write(folder.join(format!("stays {seed}")), noise(seed)).unwrap();
    }
    source.backup(&folder, Wait::Safe).await;
    // In a pack of its own.
    fs::write(folder.join("goes"), noise(99)).unwrap();
    source.backup(&folder, Wait::Safe).await;
    fs::remove_file(folder.join("goes")).unwrap();
    let last = source.backup(&folder, Wait::Safe).await;
    let before = kept(&keeper, &source).0;

    let tried = forget_all_but_last(&source, true).await;
    assert_eq!((tried.kept.len(), tried.forgotten.len()), (1, 2));
    let done = forget_all_but_last(&source, false).await;
    assert_eq!(done.freed_bytes, tried.freed_bytes, "the preview says what happens");
    assert!(done.freed_bytes.unwrap() > u64::from(LARGE), "{done:?}");
    assert_restores(&source, &last, &folder.join("stays 3")).await;

    // The next list that the holder is told is that of the new head.
    let source = source.reopen().await;
    let knows = async || kept(&keeper, &source).1 > u64::from(LARGE);
    eventually("the holder knows what is not claimed", knows).await;
    // It knows before that is on its disk; what is not there yet would not be set back.
    let is_noted = async || noted(&keeper, &source) == kept(&keeper, &source).1;
    eventually("and has written it down", is_noted).await;
    assert!(kept(&keeper, &source).0 >= before, "the wait has begun");
    keeper.node.core.depot.backdate(long_ago());
    let keeper = keeper.reopen().await;
    assert!(kept(&keeper, &source).1 > 0, "what was written down is known after a restart");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(kept(&keeper, &source).1 > 0, "nobody has told since");
    let source = source.reopen().await;
    meet(&source, &keeper).await;
    let is_gone = async || kept(&keeper, &source).0 + u64::from(LARGE) < before;
    eventually("it is let go", is_gone).await;
    eventually("with everything else", async || kept(&keeper, &source).1 == 0).await;
    assert_restores(&source, &last, &folder.join("stays 3")).await;
    // And from the holder alone: own copies are of no account.
    for seed in 0..8 {
        assert_restores(&source, &last, &folder.join(format!("stays {seed}"))).await;
    }
    let outcome = source.ask(Command::Verify { percent: 100 }).await;
    let Outcome::Verify(verified) = outcome else { panic!() };
    assert!(verified.holders.iter().all(|holder| holder.lacking == 0), "{verified:?}");
}

// DEL-7, DEL-10
#[tokio::test(flavor = "multi_thread")]
async fn nothing_new_relies_on_what_was_dropped() {
    let (source, keeper) = (TestNode::new("source").await, TestNode::holder("keeper").await);
    pair(&source, &keeper).await;
    let folder = source.folder("docs");
    fs::write(folder.join("stays"), noise(1)).unwrap();
    fs::write(folder.join("comes back"), noise(2)).unwrap();
    source.backup(&folder, Wait::Safe).await;
    fs::remove_file(folder.join("comes back")).unwrap();
    source.backup(&folder, Wait::Safe).await;
    forget_all_but_last(&source, false).await;
    fs::write(folder.join("comes back"), noise(2)).unwrap();
    let again = source.backup(&folder, Wait::Safe).await;
    assert_restores(&source, &again, &folder.join("comes back")).await;
    let core = &source.node.core;
    let dropped = core.state.pack_facts().unwrap().into_iter().filter(|facts| facts.dropped_at > 0);
    assert!(dropped.clone().all(|facts| !facts.listed), "none is claimed again");
}

// DEL-7
#[tokio::test(flavor = "multi_thread")]
async fn what_another_device_of_the_vault_needs_stays() {
    let (ann, ben, keeper) =
        (TestNode::new("ann").await, TestNode::bare().await, TestNode::holder("keeper").await);
    pair(&ann, &keeper).await;
    admit(&ann, &ben, "ben").await;
    let folder = ann.folder("docs");
    fs::write(folder.join("shared"), noise(7)).unwrap();
    ann.backup(&folder, Wait::Safe).await;
    // The same bytes on the other device: it relies on the pack of the first.
    let theirs = ben.folder("docs");
    fs::write(theirs.join("shared"), noise(7)).unwrap();
    let of_ben = ben.backup(&theirs, Wait::Safe).await;
    fs::remove_file(folder.join("shared")).unwrap();
    fs::write(folder.join("other"), noise(8)).unwrap();
    ann.backup(&folder, Wait::Safe).await;
    forget_all_but_last(&ann, false).await;
    let (mut ann, mut ben, mut keeper) = (ann.reopen().await, ben.reopen().await, keeper);
    eventually("some of it is not claimed", async || kept(&keeper, &ann).1 > 0).await;
    // What ben had not spoken of before comes to be unclaimed later, and waits from then on.
    let mut rounds = 0;
    while kept(&keeper, &ann).1 > 0 {
        rounds += 1;
        assert!(rounds <= 5, "it does not go");
        keeper.node.core.depot.backdate(long_ago());
        keeper = keeper.reopen().await;
        (ann, ben) = (ann.reopen().await, ben.reopen().await);
        meet(&ann, &keeper).await;
        meet(&ben, &keeper).await;
        let begun = Instant::now();
        while kept(&keeper, &ann).1 > 0 && begun.elapsed() < PATIENCE / 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_restores(&ben, &of_ben, &theirs.join("shared")).await;
    let verified = ben.ask(Command::Verify { percent: 100 }).await;
    let Outcome::Verify(verified) = verified else { panic!() };
    assert!(verified.holders.iter().all(|holder| holder.lacking == 0), "{verified:?}");
    drop(ann);
}

// DEL-12
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_drops_nothing() {
    let source = TestNode::new("source").await;
    let folder = source.folder("docs");
    fs::write(folder.join("a"), noise(1)).unwrap();
    source.backup(&folder, Wait::Local).await;
    fs::write(folder.join("b"), noise(2)).unwrap();
    source.backup(&folder, Wait::Local).await;
    let core = &source.node.core;
    let metadata = core.state.pack_facts().unwrap().into_iter();
    let metadata = metadata.filter(|facts| facts.class == PackClass::Metadata);
    for facts in metadata {
        let vault = vault(&source);
        core.depot.remove(&facts.shard.root, &vault).unwrap();
    }
    let done = forget_all_but_last(&source, false).await;
    assert_eq!((done.forgotten.len(), done.freed_bytes), (1, None));
    let facts = core.state.pack_facts().unwrap();
    let is_dropped_data =
        |facts: &&PackFacts| facts.dropped_at > 0 && facts.class == PackClass::Data;
    assert!(!facts.iter().any(|facts| is_dropped_data(&facts)));
    assert!(core.state.note(TO_COLLECT).unwrap().is_some(), "it is looked at again");
}

// DEL-14, DEL-13
#[tokio::test(flavor = "multi_thread")]
async fn what_is_mostly_waste_is_made_anew_and_every_snapshot_that_stays_restores() {
    let (source, keeper) = (TestNode::new("source").await, TestNode::holder("keeper").await);
    pair(&source, &keeper).await;
    let folder = source.folder("docs");
    for seed in 0..8 {
        fs::write(folder.join(format!("file {seed}")), noise(seed)).unwrap();
    }
    source.backup(&folder, Wait::Safe).await;
    for seed in 2..8 {
        fs::remove_file(folder.join(format!("file {seed}"))).unwrap();
    }
    let last = source.backup(&folder, Wait::Safe).await;
    let data_packs = |node: &TestNode| -> BTreeSet<ShardRoot> {
        let all = node.node.core.state.pack_facts().unwrap().into_iter();
        let listed = all.filter(|facts| facts.listed && facts.class == PackClass::Data);
        listed.map(|facts| facts.shard.root).collect()
    };
    let before = data_packs(&source);
    let done = forget_all_but_last(&source, false).await;
    assert!(done.freed_bytes.unwrap() > u64::from(LARGE) * 5, "{done:?}");
    assert_eq!(data_packs(&source), before, "the one pack is needed still");
    let source = source.reopen().await;
    eventually("it is made anew", async || {
        !data_packs(&source).is_empty() && data_packs(&source).is_disjoint(&before)
    })
    .await;
    let published = async || {
        let state = &source.node.core.state;
        let newest = state.commit_of(&source.node.core.keys.id()).unwrap().unwrap().seq;
        state.published_seq().unwrap() == newest
    };
    eventually("and is safe", published).await;
    for seed in 0..2 {
        assert_restores(&source, &last, &folder.join(format!("file {seed}"))).await;
    }
    let core = &source.node.core;
    assert!(core.state.note(TO_COLLECT).unwrap().is_none(), "nothing more is to be done");
    let again = forget_all_but_last(&source, false).await;
    assert_eq!(again.freed_bytes, Some(0), "what was made anew is not made anew again");
}

// DEL-14
#[tokio::test(flavor = "multi_thread")]
async fn a_pack_is_dropped_only_when_what_is_needed_of_it_is_elsewhere() {
    let source = TestNode::new("source").await;
    let folder = source.folder("docs");
    fs::write(folder.join("file"), noise(1)).unwrap();
    source.backup(&folder, Wait::Local).await;
    let core = Arc::clone(&source.node.core);
    let member = core.member().unwrap();
    let reader = ChunkSource::new(&core, &member);
    let working = move || {
        let stay = commit::own_manifest(&core, &member).unwrap().snapshots;
        let survey = survey(&core, &member, &reader, &stay).unwrap();
        let all = core.state.pack_facts().unwrap();
        let data = all.iter().find(|facts| facts.class == PackClass::Data).unwrap();
        let drop = BTreeSet::from([data.shard.root]);
        // As after a disk that failed: it was read, and never written.
        assert!(matches!(check_moved(&core, &survey, &drop), Err(EngineError::UnknownChunk(_))));
        // And when it was written.
        let (class, custody) = (PackClass::Data, member.custody().unwrap());
        let store = commit::Store::own(&core, &member, custody, class);
        let mut open = None;
        assert!(move_pack(&store, &mut open, &reader, &survey, data.number).unwrap());
        check_moved(&core, &survey, &drop).unwrap_err();
        store.keep(open.unwrap()).unwrap();
        check_moved(&core, &survey, &drop).unwrap();
    };
    tokio::task::spawn_blocking(working).await.unwrap();
}

// DEL-15, DEL-7
#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_that_was_cut_off_has_stored_is_claimed_before_anything_is_told() {
    let source = TestNode::new("source").await;
    let core = Arc::clone(&source.node.core);
    let member = core.member().unwrap();
    let working = move || {
        let (class, custody) = (PackClass::Data, member.custody().unwrap());
        let store = commit::Store::own(&core, &member, custody, class);
        let mut open = None;
        add(&store, &mut open, ChunkKind::Data, &noise(5)).unwrap();
        let root = store.keep(open.unwrap()).unwrap().shard.root;
        assert!(!commit::claimed(&core, &member).unwrap().1.contains(&root));
        commit::list_left_over(&core, &member).unwrap();
        let (seq, roots) = commit::claimed(&core, &member).unwrap();
        assert!(seq == 1 && roots.contains(&root));
        commit::list_left_over(&core, &member).unwrap();
        assert_eq!(commit::claimed(&core, &member).unwrap().0, 1, "nothing more is left over");
        // A pack that is being dropped is not one to rely on.
        let number = core.state.facts_of(&root).unwrap().unwrap().number;
        let drop = BTreeSet::from([root]);
        let change = commit::Change { drop, ..commit::Change::default() };
        commit::commit(&core, &member, custody, change).unwrap();
        let change = commit::Change { relied_on: vec![number], ..commit::Change::default() };
        let refused = commit::commit(&core, &member, custody, change);
        assert!(matches!(refused, Err(EngineError::Dropped)));
    };
    tokio::task::spawn_blocking(working).await.unwrap();
}
