//! Somebody is let in, gets the keys, and is gone.

use std::time::Instant;

use larder_protocol::{
    pairing::{Input, JoinAs, Joiner, JoinerParts, Output},
    ticket::{Invite, Ticket},
};

use super::*;
use crate::{
    command::{Command, DeviceRole, Guest, InviteKind, Outcome, Wait, Waiting},
    engine::testing::{PATIENCE, TestNode, admit},
    net::{FrameStream, Peer},
};

async fn invitation(node: &TestNode) -> Invite {
    let (kind, role) = (InviteKind::Device, DeviceRole::Owner);
    let invite = Command::Invite {
        kind,
        role,
        guest: Guest::default(),
        expires_s: 600,
        waiting: Waiting::No,
    };
    let Outcome::Invite(invited) = node.ask(invite).await else { panic!() };
    match invited.code.parse().unwrap() {
        Ticket::Invite(invite) => invite,
        Ticket::Address(_) => panic!(),
    }
}

/// Joins up to where it would consent, with the draft and its keys in hand. Frames it sends: hello, joining,
/// confirm, consent.
async fn takes_the_keys_and_goes(thief: &TestNode, inviting: &TestNode) {
    let (core, invite) = (&thief.node.core, invitation(inviting).await);
    let (name, site) = ("gone".to_owned(), Some("away".to_owned()));
    let join_as = JoinAs::Device { name, site, addresses: Vec::new() };
    let (keys, start) = (core.keys.clone(), core.clock.now());
    let addresses = invite.addresses.iter().map(|one| one.parse().unwrap()).collect();
    core.net.set_addresses(invite.inviter, addresses);
    let peer: Peer = core.net.peer(invite.inviter);
    let mut joiner =
        Joiner::new(JoinerParts { keys, invite, join_as, start, seed: [7; 32] }).unwrap();
    let mut stream: FrameStream = peer.pair().await.unwrap();
    let mut sent = 0;
    loop {
        while let Some(output) = joiner.poll_output() {
            match output {
                Output::Send(_) if sent == 3 => return,
                Output::Send(frame) => {
                    sent += 1;
                    stream.send_frame(frame).await.unwrap();
                }
                Output::Show(..) => joiner.handle_input(start, Input::Confirmed),
                other => panic!("{other:?}"),
            }
        }
        let body = stream.receive_body(1 << 20).await.unwrap();
        joiner.handle_input(start, Input::Frame(body));
    }
}

fn newest(node: &TestNode) -> u32 {
    node.node.core.member().unwrap().keyring().newest_number()
}

// PAIR-23
#[tokio::test(flavor = "multi_thread")]
async fn who_got_the_keys_and_did_not_become_a_device_lacks_the_next_ones() {
    let (anna, thief) = (TestNode::new("anna").await, TestNode::bare().await);
    assert_eq!(newest(&anna), 1);
    takes_the_keys_and_goes(&thief, &anna).await;
    let begun = Instant::now();
    while newest(&anna) == 1 {
        assert!(begun.elapsed() < PATIENCE, "no new key was begun");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let core = &anna.node.core;
    let log = core.log_of(&core.member().unwrap().vault).unwrap();
    assert!(!log.knows(&thief.node.core.keys.id()));
    assert!(stray(core, &log).unwrap().is_empty(), "once is enough");
    assert!(noted(core).unwrap().is_empty());
    // Who does become one costs no key.
    let phone = TestNode::bare().await;
    admit(&anna, &phone, "phone").await;
    roster::ensure_epoch(core, &core.member().unwrap()).await.unwrap();
    assert_eq!(newest(&anna), 2);
}

// PAIR-23: the machine of whoever invites is switched off before the pairing has ended.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nothing_is_sealed_before_there_is_a_new_key() {
    let (anna, thief) = (TestNode::new("anna").await, TestNode::bare().await);
    begin(&anna.node.core, thief.node.core.keys.id()).await.unwrap();
    let folder = anna.folder("folder");
    std::fs::write(folder.join("file"), b"sealed while it goes on").unwrap();
    anna.backup(&folder, Wait::Local).await;
    assert_eq!(newest(&anna), 1, "a pairing that goes on may end well");
    let anna = anna.reopen().await;
    std::fs::write(folder.join("file"), b"sealed afterwards").unwrap();
    anna.backup(&folder, Wait::Local).await;
    assert_eq!(newest(&anna), 2);
    assert!(noted(&anna.node.core).unwrap().is_empty());
}
