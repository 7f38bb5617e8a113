//! What a trial of the phrase may say.

use super::*;

pub(super) fn sample() -> TrialOutcome {
    let holder = |of: &str, name: &str, answered| TrialHolder {
        device: id(of),
        name: name.to_owned(),
        answered,
    };
    TrialOutcome {
        vault: id("a"),
        own: true,
        proved: Some(time(1_700_000_000)),
        witnesses_answered: 1,
        witnesses_known: 2,
        holders: vec![holder("e", "desktop", true), holder("b", "nas", false)],
        snapshots: vec![TrialSnapshot {
            snapshot: id("c"),
            time: time(1_699_000_000),
            device: id("f"),
            device_name: "laptop".to_owned(),
            path: PathField::new(b"/home/anna/caf\xe9"),
            files: 7,
            bytes: 1_000_000,
            complete: true,
        }],
        unread: vec![TrialLack {
            device: id("f"),
            device_name: "laptop".to_owned(),
            what: "its state 9 is known to be, and nobody that answered has it".to_owned(),
        }],
    }
}
