//! A `status` with something in every field.

use super::*;

pub(super) fn sample() -> StatusOutcome {
    StatusOutcome {
        running: true,
        vault: Some(id("a")),
        device: id("d"),
        name: "laptop".to_owned(),
        site: "home".to_owned(),
        safety: Safety::Partly,
        copies_wanted: 2,
        survives_households: 1,
        survives_holders: 2,
        folders: vec![folder()],
        backup_every_s: Some(3600),
        spool_bytes: 1024,
        kept_bytes: 4096,
        offered_bytes: 500_000_000_000,
        depot_read_since: Some(time(1_690_000_000)),
        last_drill: Some(LastDrill {
            time: time(1_695_000_000),
            files: 64,
            bytes: 200_000_000,
            failed: 1,
        }),
        phrase_proved: Some(time(1_690_000_000)),
        peers_online: 1,
        peers_total: 2,
        peers_relayed: 1,
        relays: vec![Relay {
            address: "https://relay.example.org:8443".to_owned(),
            state: RelayState::Connected,
        }],
        tending: vec![TendedVault {
            vault: id("b"),
            devices: vec!["friend".to_owned()],
            silent_ms: 432_000_000,
            fellows: 2,
            present: 1,
            packs: 120,
            short: 3,
            nowhere: 0,
            is_full: false,
        }],
        rekey: Some(rekey::progress()),
        advice: vec![Advice { text: "nas is away".to_owned(), hint: "switch it on".to_owned() }],
    }
}
