//! Real nodes of which two are never on together, and a third one that each of them reaches.

use std::{fs, future::Future, time::Instant};

use larder_protocol::{
    errands::Posted,
    wire::message::{Refusal, Request},
};

use super::*;
use crate::{
    command::{ByteSize, Command, Engine, Wait},
    engine::testing::{PATIENCE, TestNode, pair},
};

async fn eventually<F: Future<Output = bool>>(what: &str, mut is: impl FnMut() -> F) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

fn vault(node: &TestNode) -> VaultId {
    node.node.core.member().unwrap().vault
}

fn id(node: &TestNode) -> DeviceId {
    node.node.core.keys.id()
}

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 300_000];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

/// What a device has left at a carrier for an addressee.
fn posted(at: &TestNode, of: (VaultId, DeviceId), to: DeviceId) -> Option<Posted> {
    let vaults = at.node.core.vaults.read();
    vaults.get(&of.0)?.errands().of(&of.1, &to).cloned()
}

/// A source, a carrier and an addressee that have met; then the addressee is off, and something is backed up.
async fn parted(room: u64) -> (TestNode, TestNode, TestNode) {
    let source = TestNode::new("source").await;
    let (carrier, addressee) =
        (TestNode::holder("carrier").await, TestNode::holder("addressee").await);
    pair(&source, &carrier).await;
    pair(&source, &addressee).await;
    let fellows = || addressee.node.core.vaults.circle_of(&vault(&source)).fellows;
    eventually("it knows who else holds", async || fellows().len() == 2).await;
    addressee.ask(Command::Offer { bytes: Some(ByteSize(room)), to: None }).await;
    addressee.node.close().await;
    let folder = source.folder("docs");
    for seed in 0..3 {
        fs::write(folder.join(format!("file {seed}")), noise(seed)).unwrap();
    }
    source.backup(&folder, Wait::Local).await;
    let of = (vault(&source), id(&source));
    let to = id(&addressee);
    let is_left = async || {
        let left = posted(&carrier, of, to);
        left.is_some_and(|it| it.errand().body().head.is_some())
    };
    eventually("what is to be fetched is left with the other one", is_left).await;
    (source, carrier, addressee)
}

/// Less than what is backed up.
const LITTLE: u64 = 400_000;

async fn ask(from: &TestNode, to: &TestNode, request: Request) -> Result<Answer, String> {
    let core = &from.node.core;
    for address in to.node.core.net.own_addresses() {
        core.net.hint_address(id(to), address);
    }
    core.net.peer(id(to)).request(&request).await.map_err(|error| error.to_string())
}

async fn published(node: &TestNode) -> u64 {
    let custody = node.node.core.member().unwrap().custody().unwrap().clone();
    custody.status().await.unwrap().published_seq
}

// ERR-1, ERR-3, ERR-6, ERR-8, ERR-11
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_safe_with_a_holder_that_its_source_never_meets_again() {
    let (source, carrier, addressee) = parted(1 << 30).await;
    let (of, to) = ((vault(&source), id(&source)), id(&addressee));
    assert_eq!(published(&source).await, 0, "one of two sites has it");
    source.node.close().await;
    let errand = posted(&carrier, of, to).unwrap().errand().clone();
    let roots: Vec<_> = errand.body().packs.iter().map(|pack| pack.shard.root).collect();
    let serves = |root| serve::may_read(&carrier.node.core, &to, root);
    assert!(roots.iter().all(serves));

    let addressee = addressee.reopen().await;
    let is_done = async || posted(&carrier, of, to).is_some_and(|it| it.is_done());
    eventually("it has fetched all, and says so", is_done).await;
    assert!(roots.iter().all(|root| addressee.node.core.holding.keeps(of.0, *root)));
    let highest = |node: &TestNode| {
        let vaults = node.node.core.vaults.read();
        let head = vaults.get(&of.0).and_then(|known| known.heads().highest(&of.1).cloned());
        head.map(|head| head.body().seq)
    };
    assert_eq!(highest(&addressee), errand.head().map(|head| head.body().seq));
    assert!(!addressee.node.core.tending.is_unattended(&of.0));
    assert!(!roots.iter().any(serves), "it gets nothing back here that it dropped");
    addressee.node.close().await;

    let source = source.reopen().await;
    eventually("the backup is safe", async || published(&source).await > 0).await;
    let held = source.node.core.state.heads_held().unwrap();
    assert!(
        held.iter()
            .any(|(holder, seq)| (*holder, Some(*seq))
                == (to, errand.head().map(|it| it.body().seq)))
    );
    let asks_for_a_reply =
        async || posted(&carrier, of, to).is_some_and(|it| it.errand().body().packs.is_empty());
    eventually("the carrier need not keep the receipts any more", asks_for_a_reply).await;
}

// ERR-3, ERR-4
#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_tells_and_takes_what_an_errand_says_and_nothing_else() {
    let (source, carrier, addressee) = parted(1 << 30).await;
    let (of, to) = ((vault(&source), id(&source)), id(&addressee));
    let forbidden = Ok(Answer::Refused { reason: Refusal::Forbidden });
    let bystander = TestNode::holder("bystander").await;
    pair(&bystander, &carrier).await;
    let pull = || Request::PullErrands { vault: of.0 };
    assert_eq!(ask(&bystander, &carrier, pull()).await, forbidden, "it knows of no such vault");
    let own = Request::PullErrands { vault: vault(&bystander) };
    assert_eq!(ask(&bystander, &carrier, own).await, Ok(Answer::Errands { errands: vec![] }));
    let log = Request::PullLog { vault: of.0, have: vec![] };
    assert_eq!(ask(&bystander, &carrier, log).await, forbidden);
    let errand = posted(&carrier, of, to).unwrap().errand().clone();
    let root = errand.body().packs[0].shard.root;
    assert!(!serve::may_read(&carrier.node.core, &id(&bystander), &root));

    // Nobody leaves anything in another one's name.
    let leave = Request::LeaveErrand { vault: of.0, errand: errand.bytes().to_vec().into() };
    assert_eq!(ask(&bystander, &carrier, leave).await, forbidden);
    let said = |holder: &TestNode, number: u64| {
        let (vault, device, holder_id) = (of.0, of.1, id(holder));
        let body =
            ReplyBody { version: VERSION, vault, holder: holder_id, device, number, head_seq: 1 };
        let reply = Reply::sign(body, &holder.node.core.keys).unwrap();
        Request::LeaveReply { vault, reply: reply.bytes().to_vec().into(), receipts: vec![] }
    };
    let number = errand.body().number;
    assert_eq!(ask(&bystander, &carrier, said(&bystander, number)).await, forbidden);
    let of_another = said(&addressee, number);
    assert_eq!(ask(&bystander, &carrier, of_another).await, forbidden, "not its own");
    let replies = Request::PullReply { vault: of.0, after: None };
    assert_eq!(ask(&bystander, &carrier, replies).await, forbidden);
    assert_eq!(posted(&carrier, of, to).unwrap().reply(), None);

    // What is kept outlives a restart, damage of one file harms nothing else.
    let carrier = carrier.reopen().await;
    assert_eq!(posted(&carrier, of, to).map(|it| it.errand().clone()), Some(errand));
    let file = carrier.home().join("vaults").join(of.0.to_string()).join("errands");
    let file = file.join(format!("{}-{to}", of.1));
    fs::write(&file, b"no such thing").unwrap();
    let carrier = carrier.reopen().await;
    assert_eq!(posted(&carrier, of, to), None);
    assert!(carrier.node.core.vaults.read().contains_key(&of.0), "the vault itself is known");
}

// ERR-9
#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_stays_within_what_was_offered() {
    let (source, carrier, addressee) = parted(LITTLE).await;
    let (of, to) = ((vault(&source), id(&source)), id(&addressee));
    source.node.close().await;
    let addressee = addressee.reopen().await;
    let has_replied = async || posted(&carrier, of, to).is_some_and(|it| it.reply().is_some());
    eventually("it says what it could take", has_replied).await;
    let left = posted(&carrier, of, to).unwrap();
    assert!(!left.is_done());
    assert!(left.receipts().count() > 0, "metadata has room");
    assert_eq!(left.reply().unwrap().body().head_seq, 0, "it is not complete");
    assert!(addressee.node.core.holding.standing(of.0).used_bytes <= LITTLE);
}
