//! A `leave` with something in every field.

use super::*;

pub(super) fn sample() -> LeaveOutcome {
    let waits_for = vec!["desk".to_owned()];
    LeaveOutcome {
        act: LeaveAct::Want,
        circles: vec![LeavingCircle {
            vault: id("b"),
            name: "bob-pc".to_owned(),
            who: Some(WhoLeaves::Us),
            since: Some(time(1_750_000_000)),
            ours: LeavingSide { waived: false, waits_for: waits_for.clone() },
            theirs: LeavingSide { waived: true, waits_for },
            there: Kept {
                packs: 4,
                bytes: 134_217_728,
                moving_packs: 3,
                moving_bytes: 100_663_296,
                head_elsewhere: true,
            },
            copies_now: 2,
            copies_after: 1,
            kept_shards: 7,
            kept_bytes: 9_000_000,
            days_left: Some(89),
            wait_days: 90,
            told: true,
            guards_us: true,
            guards_them: false,
            done: false,
        }],
    }
}
