//! Removal, with real nodes: a thief has told each of them as much as it takes, and something else.

use std::sync::Arc;

use larder_protocol::{
    keys::DeviceKeys,
    limits::FRAME_BYTES_MAX,
    log::{DeviceLog, Label, Newcomer, Role},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    command::{Command, Engine, Wait},
    engine::testing::{TestNode, admit, pair},
    vaults::VaultError,
};

const EPOCHS: u8 = 90;
const ACCOMPLICES: u8 = 60;

/// What the thief of an owner's device writes on top of a log: more than one request carries, and so much that two
/// such lots do not fit together.
fn lot(before: &DeviceLog, thief: &DeviceKeys, seed: u8) -> DeviceLog {
    let (mut log, mut rng) = (before.clone(), ChaCha20Rng::from_seed([seed; 32]));
    for _ in 0..EPOCHS {
        log.rotate(thief, wall(), &mut rng).unwrap();
    }
    for number in 0..ACCOMPLICES {
        let device = DeviceKeys::from_seeds([number ^ seed.rotate_left(6); 32], [seed; 32]);
        let label = Label { name: format!("accomplice {number}"), site: "away".to_owned() };
        let newcomer = Newcomer {
            device: device.public(),
            label: label.clone(),
            role: Role::Owner,
            time: wall(),
        };
        let draft = log.draft_add(thief, &newcomer, &mut rng).unwrap();
        let consent = draft.consent(&log, &device, (&label, Role::Owner)).unwrap();
        log.append_add(&draft, consent, thief).unwrap();
    }
    let bytes: usize = log.entries().map(<[u8]>::len).sum();
    assert!(bytes > FRAME_BYTES_MAX, "{bytes}");
    log
}

/// What a node has taken of that.
fn tell(node: &TestNode, log: &DeviceLog) -> Result<bool, VaultError> {
    let entries: Vec<&[u8]> = log.entries().collect();
    node.node.core.vaults.merge_log(log.vault(), &entries)
}

// LOG-33
#[tokio::test(flavor = "multi_thread")]
async fn a_thief_who_has_told_everybody_something_else_is_thrown_out_everywhere() {
    let (ann, ben) = (TestNode::new("ann").await, TestNode::bare().await);
    let keeper = TestNode::holder("keeper").await;
    admit(&ann, &ben, "ben").await;
    pair(&ann, &keeper).await;
    let core = Arc::clone(&ann.node.core);
    let (vault, thief) = (core.member().unwrap().vault, &ben.node.core.keys);
    let before = core.log_of(&vault).unwrap();
    let lots = [1, 2].map(|seed| lot(&before, thief, seed));
    for (node, lot) in [&ann, &keeper].into_iter().zip(&lots) {
        assert!(tell(node, lot).unwrap());
    }
    assert!(tell(&keeper, &lots[0]).is_err(), "it has as much as it takes");
    ben.node.close().await;

    let revoke = Command::Revoke {
        device: "ben".to_owned(),
        reason: RemovalReason::Stolen,
        undo: false,
        phrase: None,
    };
    let Outcome::Revoke(revoked) = ann.ask(revoke).await else { panic!() };
    assert_eq!(revoked.not_told, Vec::<String>::new());
    let known = keeper.node.core.log_of(&vault).unwrap();
    assert!(!known.is_device(&thief.id()));
    assert_eq!(known.current_epoch(), core.log_of(&vault).unwrap().current_epoch());
    // And it takes what is saved from then on.
    let folder = ann.folder("docs");
    std::fs::write(folder.join("letter"), "to the keeper").unwrap();
    ann.backup(&folder, Wait::Safe).await;
    // Also after a start, from what is on the disk.
    let keeper = keeper.reopen().await;
    assert!(!keeper.node.core.log_of(&vault).unwrap().is_device(&thief.id()));
}

// LOG-34
#[tokio::test(flavor = "multi_thread")]
async fn what_a_thief_has_shown_to_one_device_alone_is_built_on_before_a_head_names_it() {
    let ann = TestNode::new("ann").await;
    let (ben, cat) = (TestNode::bare().await, TestNode::bare().await);
    let keeper = TestNode::holder("keeper").await;
    admit(&ann, &ben, "ben").await;
    admit(&ann, &cat, "cat").await;
    pair(&ann, &keeper).await;
    let core = Arc::clone(&cat.node.core);
    let member = core.member().unwrap();
    let before = ann.node.core.log_of(&member.vault).unwrap();
    let [here, mut there] = [1, 2].map(|seed| {
        let (mut log, mut rng) = (before.clone(), ChaCha20Rng::from_seed([seed; 32]));
        for _ in 0..EPOCHS {
            log.rotate(&ben.node.core.keys, wall(), &mut rng).unwrap();
        }
        log
    });
    assert!(tell(&cat, &here).unwrap());
    let leaver = Leaver {
        device: ben.node.core.keys.id(),
        reason: Reason::Stolen,
        last: None,
        undo_removals: false,
        time: wall(),
    };
    let rng = &mut ChaCha20Rng::from_seed([3; 32]);
    there.remove(&ann.node.core.keys, &leaver, rng).unwrap();
    for node in [&ann, &keeper, &cat] {
        assert!(tell(node, &there).unwrap());
    }
    let known = core.log_of(&member.vault).unwrap();
    assert!(tell(&keeper, &known).is_err(), "there is no room for so much that does not count");
    roster::ensure_epoch(&core, &member).await.unwrap();
    let known = core.log_of(&member.vault).unwrap();
    tell(&keeper, &known).unwrap();
    let kept = keeper.node.core.log_of(&member.vault).unwrap();
    assert!(known.tips_beside_names().iter().all(|tip| kept.contains(tip)));
}
