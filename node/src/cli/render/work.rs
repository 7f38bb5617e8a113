//! What long commands report when they are done.

use std::{collections::BTreeMap, fmt::Write};

use super::{line, lists, plain, short, visible};
use crate::{
    cli::progress::took,
    command::{
        BackupOutcome, BackupSnapshot, ByteSize, DiffOutcome, DrillOutcome, FindOutcome,
        ForgetOutcome, PinOutcome, RecoverOutcome, RestoreOutcome, Snapshot, VerifyOutcome, Wait,
        count,
    },
};

pub(super) fn backup(text: &mut String, done: &BackupOutcome) {
    for snapshot in &done.snapshots {
        backup_snapshot(text, snapshot);
    }
    let took = took(done.duration_ms);
    let copies = format!("{} of {}", done.copies_reached, count(done.copies_wanted.into(), "copy"));
    let sent = ByteSize(done.sent_bytes);
    match (done.reached, done.wanted) {
        (Wait::Safe, _) => line(text, &format!("safe: {copies}, {sent} sent, {took}")),
        (Wait::Local, Wait::Local) => {
            line(text, &format!("complete on this device ({copies} so far), {took}"));
            line(text, "`larder up` goes on sending; `larder status` tells when it is safe");
        }
        (Wait::Local, Wait::Safe) => {
            line(text, &format!("NOT SAFE YET: {copies}, {sent} sent, {took}"));
            match &done.advice {
                Some(advice) => {
                    line(text, &plain(&advice.text));
                    line(text, &format!("  {}", plain(&advice.hint)));
                }
                None => line(text, "it is on its way: `larder up` goes on sending"),
            }
        }
    }
    problems(text, done.problems_total, "read");
}

fn backup_snapshot(text: &mut String, snapshot: &BackupSnapshot) {
    let id = short(&snapshot.snapshot);
    let path = visible(&snapshot.path.to_bytes());
    if snapshot.unchanged {
        return line(text, &format!("{id}  {path}: nothing has changed"));
    }
    let _infallible = writeln!(
        text,
        "{id}  {path}: {}, {} ({} new, {} changed); {} read, {} new, {} stored",
        count(snapshot.files, "file"),
        ByteSize(snapshot.bytes),
        snapshot.files_new,
        snapshot.files_changed,
        ByteSize(snapshot.read_bytes),
        ByteSize(snapshot.new_bytes),
        ByteSize(snapshot.stored_bytes),
    );
}

fn problems(text: &mut String, total: u64, verb: &str) {
    if total > 0 {
        let problems = count(total, "problem");
        line(text, &format!("{problems}: not all could be {verb} as it should; see the warnings"));
    }
}

pub(super) fn diff(text: &mut String, done: &DiffOutcome) {
    let _infallible = writeln!(
        text,
        "{} added, {} removed, {} changed, {} with other attributes only",
        done.added, done.removed, done.changed, done.attributes,
    );
}

pub(super) fn find(text: &mut String, done: &FindOutcome) {
    if done.matches_total == 0 {
        let searched = count(done.snapshots_searched, "snapshot");
        line(text, &format!("nothing found in {searched}"));
    }
}

pub(super) fn restore(text: &mut String, done: &RestoreOutcome) {
    let took = took(done.duration_ms);
    let verb = if done.dry_run { "would be written" } else { "written" };
    let _infallible = writeln!(
        text,
        "{} from {} to {}: {} {verb} ({}), {} already the same, {} left as they are, {}",
        if done.dry_run { "dry run" } else { "restored" },
        short(&done.snapshot),
        visible(&done.path.to_bytes()),
        count(done.files_written, "file"),
        ByteSize(done.bytes),
        done.files_same,
        done.files_left,
        count(done.directories, "directory"),
    );
    if !done.dry_run {
        line(text, &format!("{} fetched from holders, {took}", ByteSize(done.fetched_bytes)));
    }
    for blame in &done.blamed {
        let (name, device) = (plain(&blame.name), short(&blame.device));
        line(text, &format!("holder {name} ({device}): {}", plain(&blame.what)));
    }
    problems(text, done.problems_total, "restored");
}

pub(super) fn recover(text: &mut String, done: &RecoverOutcome) {
    let _infallible = writeln!(
        text,
        "this is now device {} ({}) of vault {}; {} of {} known holders answered",
        plain(&done.name),
        short(&done.device),
        short(&done.vault),
        done.witnesses_answered,
        done.witnesses_known,
    );
    let site = plain(&done.site);
    line(text, &format!("it stands at site {site}; elsewhere: larder config set device.site NAME"));
    if done.witnesses_answered < done.witnesses_known {
        line(text, "holders that did not answer may know newer snapshots");
    }
    if done.snapshots.is_empty() {
        return line(text, "no snapshot of this vault was found");
    }
    lists::snapshot_table(text, &done.snapshots);
    next_steps(text, &done.snapshots);
}

/// `latest` is of one folder: with several, each has a command of its own.
fn next_steps(text: &mut String, snapshots: &[Snapshot]) {
    let folder = |one: &Snapshot| (one.path.to_bytes(), one.device.clone());
    // Oldest first: the newest takes the place of those before it, a complete one for good.
    let mut newest: BTreeMap<_, &Snapshot> = BTreeMap::new();
    for one in snapshots {
        let kept = newest.entry(folder(one)).or_insert(one);
        if one.complete || !kept.complete {
            *kept = one;
        }
    }
    match newest.len() {
        0 => {}
        1 if newest.values().all(|one| one.complete) => {
            line(text, "next: larder restore latest --to DIR");
        }
        _ => {
            line(text, "next, for each folder:");
            for ((path, _), one) in &newest {
                let (id, path, of) = (short(&one.snapshot), visible(path), plain(&one.device_name));
                line(text, &format!("  larder restore {id} --to DIR    {path} of {of}"));
            }
        }
    }
}

pub(super) fn verify(text: &mut String, done: &VerifyOutcome) {
    let read = format!("{} ({})", count(done.shards, "shard"), ByteSize(done.bytes));
    if done.damaged + done.missing == 0 {
        line(text, &format!("{read} read back: all as they should be"));
    } else {
        let (damaged, missing) = (done.damaged, done.missing);
        line(text, &format!("{read} read back: {damaged} damaged, {missing} missing"));
        for root in &done.roots {
            line(text, &format!("  {root}"));
        }
        line(text, "this disk may be failing; `larder doctor` looks further");
    }
    for asked in &done.holders {
        let (name, device) = (plain(&asked.name), short(&asked.device));
        let shards = count(asked.shards, "shard");
        let said = match (asked.answered, asked.lacking) {
            (_, 1..) => format!("CANNOT SHOW {} of {shards} that it signed for", asked.lacking),
            (true, 0) => format!("has shown that it has all {shards} that it signed for"),
            (false, 0) => format!("signed for {shards} and did not answer now"),
        };
        line(text, &format!("holder {name} ({device}) {said}"));
    }
}

pub(super) fn drill(text: &mut String, done: &DrillOutcome) {
    let (files, failed) = (count(done.files, "file"), done.failed.len());
    let (bytes, folders) = (ByteSize(done.bytes), count(done.folders, "folder"));
    if failed == 0 {
        line(text, &format!("{files} of {folders} came back from holders as they were backed up"));
    } else {
        line(text, &format!("{failed} of {files} of {folders} DID NOT COME BACK as they should"));
    }
    let compared = match done.compared {
        0 => "none of them stands here unchanged to compare with".to_owned(),
        some => format!("{some} of them compared with the files here"),
    };
    if done.bytes > 0 {
        let took = took(done.duration_ms);
        line(text, &format!("{bytes} read in {took}; {compared}"));
    }
    for file in &done.failed {
        line(text, &format!("  {}: {}", visible(&file.path.to_bytes()), plain(&file.what)));
    }
    for holder in &done.holders {
        let (name, device) = (plain(&holder.name), short(&holder.device));
        line(text, &format!("holder {name} ({device}) gave {}", ByteSize(holder.bytes)));
    }
    for blame in &done.blamed {
        let (name, device) = (plain(&blame.name), short(&blame.device));
        line(text, &format!("holder {name} ({device}): {}", plain(&blame.what)));
    }
    if failed > 0 {
        line(
            text,
            "see `larder status` for what is not safe, and `larder verify` for who lacks what",
        );
    }
}

pub(super) fn pin(text: &mut String, done: &PinOutcome) {
    let said = match done.pinned {
        true => "pinned: no rule forgets it",
        false => "not pinned: rules forget it as any other",
    };
    line(text, said);
    lists::snapshot_table(text, &done.snapshots);
}

pub(super) fn forget(text: &mut String, done: &ForgetOutcome) {
    let verb = if done.dry_run { "would be forgotten" } else { "forgotten" };
    let forgotten = u64::try_from(done.forgotten.len()).unwrap_or(u64::MAX);
    line(text, &format!("{} {verb}, {} kept", count(forgotten, "snapshot"), done.kept.len()));
    if !done.forgotten.is_empty() {
        lists::snapshot_table(text, &done.forgotten);
    }
    let days = done.retention_days;
    match done.freed_bytes {
        None => line(
            text,
            "what of their data nothing else needs could not be told now; it is looked for again \
             by a running node, and by the next forget",
        ),
        Some(0) => line(text, "nothing is freed: what stays needs all that is stored"),
        Some(bytes) => line(
            text,
            &format!(
                "{} {} needed no more: holders let go of it after {days} days, once every device \
                 of the vault has told them that it does not need it",
                ByteSize(bytes),
                if done.dry_run { "would be" } else { "are" },
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{PathField, Safety};

    fn snapshot(id: &str, path: &[u8], complete: bool) -> Snapshot {
        Snapshot {
            snapshot: id.repeat(32),
            time: larder_protocol::time::Timestamp(1).into(),
            device: "dd".to_owned(),
            device_name: "laptop".to_owned(),
            path: PathField::new(path),
            files: 1,
            bytes: 1,
            complete,
            automatic: false,
            pinned: false,
            safety: Safety::Safe,
            safe_since: None,
        }
    }

    // FILES-40
    #[test]
    fn recover_names_the_next_step_for_each_folder() {
        let mut text = String::new();
        let one = [snapshot("a1", b"/docs", true), snapshot("a2", b"/docs", true)];
        next_steps(&mut text, &one);
        assert_eq!(text, "next: larder restore latest --to DIR\n");
        let mut text = String::new();
        let [first, second] = one;
        let mail = [snapshot("b1", b"/mail", true), snapshot("b2", b"/mail", false)];
        next_steps(&mut text, &[first, second].into_iter().chain(mail).collect::<Vec<_>>());
        let expected = "next, for each folder:\n  \
            larder restore a2a2a2a2 --to DIR    /docs of laptop\n  \
            larder restore b1b1b1b1 --to DIR    /mail of laptop\n";
        assert_eq!(text, expected);
    }
}
