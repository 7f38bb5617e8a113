//! What is sealed under older keys, and what removed devices could read, for people.

use super::{line, plain, revoke, when};
use crate::command::{
    ByteSize, OlderKey, RekeyAct, RekeyOutcome, RekeyProgress, RemovedReader, count,
};

pub(super) fn rekey(text: &mut String, done: &RekeyOutcome) {
    standing(text, done);
    for OlderKey { key, packs, bytes } in &done.older {
        line(text, &format!("  key {key}: {}, {}", count(*packs, "pack"), ByteSize(*bytes)));
    }
    if done.is_behind() {
        let (fetch, send) = (ByteSize(done.fetch_bytes), ByteSize(done.send_bytes));
        line(text, &format!("to be fetched first: {fetch}; to be sent, all copies: about {send}"));
    }
    if done.is_behind() || done.wanted.is_some() || done.act == RekeyAct::Now {
        waits(text, done);
    }
    for reader in &done.removed {
        removed(text, reader);
    }
    if done.signed_packs > 0 {
        let (packs, bytes) = (count(done.signed_packs, "pack"), ByteSize(done.signed_bytes));
        line(
            text,
            &format!("lists that removed devices have signed stay as they are: {packs}, {bytes}"),
        );
        line(text, "  (names of their folders, times of their backups and where their data was)");
    }
    if done.lost_packs > 0 {
        let packs = count(done.lost_packs, "pack");
        line(text, &format!("{packs} under older keys are nowhere to be had and stay named"));
    }
    for other in &done.others {
        let (name, packs) = (plain(&other.name), count(other.packs, "pack"));
        let bytes = ByteSize(other.bytes);
        line(
            text,
            &format!("{name} claims {packs} ({bytes}) under older keys: `larder rekey` there"),
        );
    }
}

fn standing(text: &mut String, done: &RekeyOutcome) {
    let key = done.key;
    match &done.wanted {
        Some(far) => {
            line(text, &so_far(far));
            if done.act == RekeyAct::Now {
                line(text, "NOT ALL OF IT YET: `larder up` goes on with it, or give this again");
            }
        }
        None if done.is_behind() && done.act == RekeyAct::Stop => {
            line(text, "not made anew any more; what was done stays. Under older keys are:");
        }
        None if done.is_behind() => {
            line(text, &format!("key {key} is the newest; under older keys are:"));
        }
        None => line(
            text,
            &format!(
                "nothing to do: what this device claims and can make anew is under the newest key ({key})"
            ),
        ),
    }
    if done.is_behind() && done.older.is_empty() {
        line(text, "  manifest and index of this device");
    }
}

/// One line for `rekey` and `status`.
pub(super) fn so_far(far: &RekeyProgress) -> String {
    format!(
        "being made anew under key {} since {}: {} ({}) done, {} ({}) left",
        far.key,
        when(far.since),
        count(far.moved_packs, "pack"),
        ByteSize(far.moved_bytes),
        count(far.behind_packs, "pack"),
        ByteSize(far.behind_bytes),
    )
}

fn waits(text: &mut String, done: &RekeyOutcome) {
    let (days, mass) = (done.retention_days, done.mass_retention_days);
    line(
        text,
        &format!(
            "holders keep the old packs for {days} days at least, {mass} where they are a quarter of the vault \
             or more within a week, and need room for both until then"
        ),
    );
}

fn removed(text: &mut String, reader: &RemovedReader) {
    let (name, at) = (plain(&reader.name), when(reader.at));
    let mark = revoke::mark(reader.reason);
    let keys = reader.key.map_or_else(String::new, |key| format!(", had keys up to {key}"));
    line(text, &format!("{name}{mark} {at}{keys}"));
    line(
        text,
        &format!(
            "  until then it could read everything that this vault had saved: at least {} of those that are here. \
             What was copied by then stays readable to whoever has the copy and its keys",
            count(reader.snapshots, "snapshot")
        ),
    );
    line(
        text,
        &match reader.packs {
            0 => "  nothing that this device claims and can make anew is sealed with its keys any more"
                .to_owned(),
            packs => format!(
                "  sealed with its keys still, of what this device claims: {}, {}; holders that know of \
                 the removal refuse it",
                count(packs, "pack"),
                ByteSize(reader.bytes)
            ),
        },
    );
}

#[cfg(test)]
mod tests {
    use larder_protocol::time::Timestamp;

    use super::*;
    use crate::command::RemovalReason;

    fn done(act: RekeyAct) -> RekeyOutcome {
        RekeyOutcome {
            act,
            key: 2,
            wanted: None,
            index_behind: false,
            older: Vec::new(),
            fetch_bytes: 0,
            send_bytes: 0,
            signed_packs: 0,
            signed_bytes: 0,
            lost_packs: 0,
            removed: Vec::new(),
            others: Vec::new(),
            retention_days: 30,
            mass_retention_days: 90,
        }
    }

    fn text(done: &RekeyOutcome) -> String {
        let mut text = String::new();
        rekey(&mut text, done);
        text
    }

    // REKEY-7
    #[test]
    fn what_a_thief_could_read_is_said_before_and_after() {
        assert!(text(&done(RekeyAct::Want)).starts_with("nothing to do"));
        let reader = RemovedReader {
            device: "f".repeat(64),
            name: "phone".to_owned(),
            reason: RemovalReason::Stolen,
            at: Timestamp(1_750_000_000).into(),
            key: Some(1),
            snapshots: 12,
            packs: 3,
            bytes: 5_000_000,
            signed_packs: 2,
            lost_packs: 0,
        };
        let older = vec![OlderKey { key: 1, packs: 3, bytes: 5_000_000 }];
        let behind = RekeyOutcome {
            older,
            removed: vec![reader.clone()],
            fetch_bytes: 1_000_000,
            send_bytes: 10_000_000,
            ..done(RekeyAct::Show)
        };
        let said = text(&behind);
        for part in [
            "key 1: 3 packs, 5.00 MB",
            "to be fetched first: 1.00 MB; to be sent, all copies: about 10.0 MB",
            "30 days at least, 90 where",
            "phone (removed: stolen)",
            "had keys up to 1",
            "could read everything that this vault had saved: at least 12 snapshots",
            "sealed with its keys still",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let after = RekeyOutcome {
            removed: vec![RemovedReader { packs: 0, bytes: 0, ..reader }],
            ..done(RekeyAct::Show)
        };
        let said = text(&after);
        assert!(said.contains("could read everything"), "that stays true: {said}");
        assert!(
            said.contains("nothing that this device claims and can make anew is sealed"),
            "{said}"
        );
    }
}
