//! A `rekey` with something in every field.

use super::*;

pub(super) fn progress() -> RekeyProgress {
    RekeyProgress {
        key: 3,
        since: time(1_750_000_100),
        moved_packs: 4,
        moved_bytes: 134_217_728,
        behind_packs: 2,
        behind_bytes: 67_108_864,
    }
}

pub(super) fn sample() -> RekeyOutcome {
    RekeyOutcome {
        act: RekeyAct::Want,
        key: 3,
        wanted: Some(progress()),
        index_behind: true,
        older: vec![OlderKey { key: 2, packs: 2, bytes: 67_108_864 }],
        fetch_bytes: 33_554_432,
        send_bytes: 134_217_728,
        signed_packs: 2,
        signed_bytes: 32_768,
        lost_packs: 1,
        removed: vec![RemovedReader {
            device: id("f"),
            name: "phone".to_owned(),
            reason: RemovalReason::Stolen,
            at: time(1_750_000_000),
            key: Some(2),
            snapshots: 12,
            packs: 4,
            bytes: 67_141_632,
            signed_packs: 2,
            lost_packs: 1,
        }],
        others: vec![OtherClaims {
            device: id("d"),
            name: "laptop".to_owned(),
            packs: 3,
            bytes: 4096,
        }],
        retention_days: 30,
        mass_retention_days: 90,
    }
}
