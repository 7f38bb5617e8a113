//! Real nodes of which one looks after another vault: who is told what, who may ask for what, and what
//! is kept.

use std::{collections::BTreeSet, fs, future::Future, time::Instant};

use larder_protocol::{
    ids::VaultId,
    wire::message::{Answer, Refusal, Request},
};

use super::*;
use crate::{
    command::{ByteSize, Command, Engine, Expectation, Outcome, Wait},
    engine::testing::{PATIENCE, TestNode, admit, pair},
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

/// A source whose packs are at two holders that do not know each other, who know what it needs.
async fn story() -> (TestNode, TestNode, TestNode) {
    let source = TestNode::new("source").await;
    let (one, two) = (TestNode::holder("one").await, TestNode::holder("two").await);
    pair(&source, &one).await;
    pair(&source, &two).await;
    let folder = source.folder("docs");
    for seed in 0..3 {
        fs::write(folder.join(format!("file {seed}")), noise(seed)).unwrap();
    }
    source.backup(&folder, Wait::Safe).await;
    // The first telling after a start is at once, of the newest head.
    let source = source.reopen().await;
    for holder in [&one, &two] {
        let knows = async || !needs(holder, &source).is_empty();
        eventually("it knows what is needed", knows).await;
        let is_introduced = async || fellows(holder, &source) == 2;
        eventually("it knows who holds", is_introduced).await;
    }
    (source, one, two)
}

fn needs(holder: &TestNode, of: &TestNode) -> BTreeSet<larder_protocol::ids::ShardRoot> {
    holder.node.core.vaults.claimed(&vault(of)).unwrap()
}

fn fellows(holder: &TestNode, of: &TestNode) -> usize {
    holder.node.core.vaults.circle_of(&vault(of)).fellows.len()
}

fn keeps_all(holder: &TestNode, of: &TestNode) -> bool {
    let needs = needs(holder, of);
    !needs.is_empty() && needs.iter().all(|it| holder.node.core.holding.keeps(vault(of), *it))
}

async fn say(holder: &TestNode, expectation: Expectation) {
    let command = Command::Expect { device: "source".to_owned(), expectation: Some(expectation) };
    holder.ask(command).await;
}

/// Asks as one holder another one, of whose address it knows nothing else.
async fn ask(from: &TestNode, to: &TestNode, request: Request) -> Result<Answer, String> {
    let core = &from.node.core;
    for address in to.node.core.net.own_addresses() {
        core.net.hint_address(id(to), address);
    }
    core.net.peer(id(to)).request(&request).await.map_err(|error| error.to_string())
}

const FORBIDDEN: Answer = Answer::Refused { reason: Refusal::Forbidden };

// TEND-14
#[tokio::test(flavor = "multi_thread")]
async fn a_fellow_is_told_of_an_unattended_vault_alone_and_changes_nothing() {
    let (source, one, two) = story().await;
    let of = vault(&source);
    let list = || Request::ListKept { vault: of, after: None };
    assert_eq!(ask(&one, &two, list()).await.unwrap(), FORBIDDEN, "a device is heard of");
    let root = *needs(&two, &source).first().unwrap();
    let serves = |from: &TestNode| crate::engine::serve::may_read(&two.node.core, &id(from), &root);
    assert!(!serves(&one));

    say(&two, Expectation::Lost).await;
    let is_unattended = async || two.node.core.tending.is_unattended(&of);
    eventually("it is taken to be lost", is_unattended).await;
    let Answer::Kept { shards } = ask(&one, &two, list()).await.unwrap() else { panic!() };
    let kept: BTreeSet<_> = shards.iter().map(|it| it.shard.root).collect();
    assert!(kept.is_superset(&needs(&two, &source)), "all that is here");
    let device = id(&source);
    let claimed = Request::ListClaimed { vault: of, device, after: None };
    let Answer::Claimed { head: Some(_), roots } = ask(&one, &two, claimed).await.unwrap() else {
        panic!()
    };
    assert_eq!(roots, needs(&two, &source).into_iter().collect::<Vec<_>>());
    assert!(serves(&one));
    let heads = Request::PullHeads { vault: of, after: None };
    assert!(matches!(ask(&one, &two, heads).await.unwrap(), Answer::Heads { .. }));

    // Nothing of another vault, and nothing that changes anything.
    let own = Request::ListKept { vault: vault(&two), after: None };
    assert_eq!(ask(&one, &two, own).await.unwrap(), FORBIDDEN);
    let founding = two.node.core.vaults.log_beyond(&of, &[]).unwrap();
    let entries = founding.into_iter().take(1).map(Into::into).collect();
    let push = Request::PushLog { vault: of, entries };
    assert_eq!(ask(&one, &two, push).await.unwrap(), FORBIDDEN);
    let offer = Request::Offer { vault: of, shards: shards[..1].to_vec() };
    assert_eq!(ask(&one, &two, offer).await.unwrap(), FORBIDDEN);
    let introduction = vec![1].into();
    let introduce = Request::Introduce { vault: of, introduction };
    assert_eq!(ask(&one, &two, introduce).await.unwrap(), FORBIDDEN);
    // Whoever is named by nobody is not let in at all.
    let stranger = TestNode::holder("stranger").await;
    assert!(ask(&stranger, &two, list()).await.is_err());
    // The source itself asks as ever.
    assert!(matches!(ask(&source, &two, list()).await.unwrap(), Answer::Kept { .. }));
    // The user does not want any of it.
    two.node.core.tending.switch(&two.node.core, false);
    assert_eq!(ask(&one, &two, list()).await.unwrap(), FORBIDDEN);
}

// TEND-1, TEND-8
#[tokio::test(flavor = "multi_thread")]
async fn what_a_holder_has_lost_comes_back_from_the_other_within_its_grant() {
    let (source, one, two) = story().await;
    let of = vault(&source);
    let lost: Vec<_> = needs(&one, &source).into_iter().collect();
    source.node.close().await;
    for root in &lost {
        assert!(one.node.core.depot.remove(root, &of).unwrap());
    }
    // A new start: nothing is known here but what the disk has.
    let one = one.reopen().await;
    assert!(!keeps_all(&one, &source) && keeps_all(&two, &source));
    // There is room for a part.
    one.ask(Command::Offer { bytes: Some(ByteSize(400_000)), to: None }).await;
    for holder in [&one, &two] {
        say(holder, Expectation::Lost).await;
    }
    let status = async |node: &TestNode| match node.ask(Command::Status).await {
        Outcome::Status(status) => status,
        other => panic!("{other:?}"),
    };
    let is_full = async || status(&one).await.tending.iter().any(|it| it.is_full);
    eventually("it says that there is no room", is_full).await;
    assert!(one.node.core.holding.standing(of).used_bytes <= 400_000);
    one.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    // People say it again, and need not wait for a day.
    say(&one, Expectation::Back).await;
    say(&one, Expectation::Lost).await;
    eventually("all is here again", async || keeps_all(&one, &source)).await;
    for root in &lost {
        assert!(one.node.core.depot.scrub(root).unwrap().is_empty());
    }
    let well = async || {
        let told = status(&one).await;
        let is_well = |it: &crate::command::TendedVault| {
            (it.short, it.nowhere, it.fellows) == (0, 0, 1) && it.packs > 0 && !it.is_full
        };
        told.tending.iter().any(is_well)
    };
    eventually("TEND-17: status says so", well).await;
    let told = status(&one).await;
    let advice = told.advice.iter().find(|it| it.text.contains("not counted on")).unwrap();
    assert!(advice.text.contains("all are on as many sites"), "{}", advice.text);
}

// TEND-2
#[tokio::test(flavor = "multi_thread")]
async fn another_device_that_lives_ends_it_and_what_it_says_opens_nothing() {
    let (source, one, two) = story().await;
    let of = vault(&source);
    let second = TestNode::bare().await;
    admit(&source, &second, "second").await;
    // The new device greets whom it was told of: until it has, it is heard of and ends what is said.
    let is_unattended = async || {
        say(&two, Expectation::Lost).await;
        two.node.core.tending.is_unattended(&of)
    };
    eventually("it is taken to be lost", is_unattended).await;
    // It is known to the log, and watched by nobody.
    let Outcome::Ticket(told) = two.ask(Command::Ticket).await else { panic!() };
    second.ask(Command::Connect { ticket: told.ticket }).await;
    eventually("a device is heard of", async || !two.node.core.tending.is_unattended(&of)).await;
    two.node.core.tending.introduced(&two.node.core, of);
    assert!(!two.node.core.tending.is_unattended(&of));
    drop(one);
}

// TEND-9, TEND-15
#[tokio::test(flavor = "multi_thread")]
async fn who_holds_and_what_is_needed_outlives_a_restart_and_damage_harms_nothing_else() {
    let (source, one, _two) = story().await;
    let of = vault(&source);
    let known = (fellows(&one, &source), needs(&one, &source));
    let one = one.reopen().await;
    assert_eq!((fellows(&one, &source), needs(&one, &source)), known);
    let folder = one.home().join("vaults").join(of.to_string());
    fs::write(folder.join("introductions"), b"no such thing").unwrap();
    fs::write(folder.join("claims").join(id(&source).to_string()), b"nor this").unwrap();
    let one = one.reopen().await;
    assert_eq!((fellows(&one, &source), needs(&one, &source).len()), (0, 0));
    assert!(one.node.core.vaults.read().contains_key(&of), "the vault itself is known");
    // The next greeting brings them again.
    let source = source.reopen().await;
    let Outcome::Ticket(told) = one.ask(Command::Ticket).await else { panic!() };
    source.ask(Command::Connect { ticket: told.ticket }).await;
    let is_back = async || (fellows(&one, &source), needs(&one, &source)) == known;
    eventually("all of it is known again", is_back).await;
}

// TEND-10
#[tokio::test(flavor = "multi_thread")]
async fn a_new_holder_is_named_to_those_before_it() {
    let (source, one, _two) = story().await;
    let three = TestNode::holder("three").await;
    pair(&source, &three).await;
    let folder = source.folder("more");
    fs::write(folder.join("file"), noise(9)).unwrap();
    source.backup(&folder, Wait::Safe).await;
    // Whoever was met before it had granted anything hears of it at the next greeting.
    let source = source.reopen().await;
    let Outcome::Ticket(told) = one.ask(Command::Ticket).await else { panic!() };
    source.ask(Command::Connect { ticket: told.ticket }).await;
    eventually("it is named", async || fellows(&one, &source) == 3).await;
    let circle = one.node.core.vaults.circle_of(&vault(&source));
    let sites: BTreeSet<_> = circle.fellows.values().map(|it| it.site).collect();
    assert_eq!((circle.copies, sites.len()), (2, 3));
    assert!(circle.fellows.values().all(|it| !it.addresses.is_empty()));
}
