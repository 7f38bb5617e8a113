//! What a trial of the phrase found.

use super::{line, plain, short, visible, when};
use crate::command::{ByteSize, TrialOutcome, count};

pub(super) fn trial(text: &mut String, done: &TrialOutcome) {
    let vault = short(&done.vault);
    let whose = if done.own { "this home's vault" } else { "vault" };
    let (answered, known) = (done.witnesses_answered, done.witnesses_known);
    let verdict = match done.proved {
        Some(_) => format!("the phrase works: it opens {whose} {vault}"),
        None => format!("the phrase opens {whose} {vault}, but not all that was saved can be read"),
    };
    line(text, &format!("{verdict}; {answered} of {known} known holders answered"));
    for holder in done.holders.iter().filter(|holder| !holder.answered) {
        let (name, device) = (plain(&holder.name), short(&holder.device));
        line(text, &format!("did not answer: {name} ({device}); it may know newer snapshots"));
    }
    for lack in &done.unread {
        let (name, device) = (plain(&lack.device_name), short(&lack.device));
        line(text, &format!("! {name} ({device}): {}", plain(&lack.what)));
    }
    if done.snapshots.is_empty() {
        line(text, "no snapshot of this vault was found");
    } else {
        let snapshots = count(u64::try_from(done.snapshots.len()).unwrap_or(u64::MAX), "snapshot");
        line(text, &format!("{snapshots} would come back:"));
    }
    for one in &done.snapshots {
        let (id, name, at) = (short(&one.snapshot), plain(&one.device_name), when(one.time));
        let (files, bytes) = (count(one.files, "file"), ByteSize(one.bytes));
        let incomplete = if one.complete { "" } else { ", incomplete" };
        let path = visible(&one.path.to_bytes());
        line(text, &format!("  {id}  {at}  {path} of {name}, {files}, {bytes}{incomplete}"));
    }
    line(text, "nothing was changed, here or there; `larder verify --drill` reads files back");
}
