//! How vaults stand that go apart, for people.

use super::{line, plain, when};
use crate::command::{
    ByteSize, LeaveAct, LeaveOutcome, LeavingCircle, LeavingSide, WhoLeaves, count,
};

pub(super) fn leave(text: &mut String, done: &LeaveOutcome) {
    if done.circles.is_empty() {
        line(text, "this vault goes apart from nobody");
    }
    for circle in &done.circles {
        head(text, done.act, circle);
        if circle.done {
            continue;
        }
        ours(text, circle);
        theirs(text, circle);
        if circle.guards_us {
            line(text, "  it is one of your guardians: appoint others with `larder guardians set`");
        }
        if circle.guards_them {
            line(text, "  you are its guardian: it has to appoint others before this can end");
        }
    }
}

fn head(text: &mut String, act: LeaveAct, circle: &LeavingCircle) {
    let name = plain(&circle.name);
    let since = circle.since.map_or_else(String::new, |since| format!(" since {}", when(since)));
    let said = match (circle.who, act) {
        (Some(_), _) if circle.done => {
            format!("{name}: it is over, neither keeps anything for the other")
        }
        (Some(WhoLeaves::Us), _) => format!("you leave the circle of {name}{since}"),
        (Some(WhoLeaves::Them), _) => format!("{name} leaves your circle{since}"),
        (Some(WhoLeaves::Both), _) => format!("you and {name} go apart{since}"),
        (None, LeaveAct::Cancel) => format!("you and {name} stay together"),
        (None, _) => format!("you and {name} are together; if you leave:"),
    };
    line(text, &said);
}

/// What they keep for us.
fn ours(text: &mut String, circle: &LeavingCircle) {
    let there = &circle.there;
    if circle.ours.waived {
        line(text, "  they keep nothing that you need any more");
        return;
    }
    let bytes = ByteSize(there.bytes);
    line(text, &format!("  they keep {} ({bytes}) of this device", count(there.packs, "pack")));
    if there.moving_packs > 0 || !there.head_elsewhere {
        let moving = ByteSize(there.moving_bytes);
        line(
            text,
            &format!(
                "  {} ({moving}) of that have to be placed with others first; they stay until then",
                count(there.moving_packs, "pack")
            ),
        );
    }
    if there.packs > 0 && circle.copies_after < circle.copies_now {
        line(
            text,
            &format!(
                "  without them there are places for {} of {} copies: invite somebody else, if you can",
                circle.copies_after, circle.copies_now
            ),
        );
        if circle.who == Some(WhoLeaves::Them) {
            line(text, "  nothing is given up by itself for that: --give-up-copies accepts it");
        }
    }
    waits(text, "your devices", &circle.ours);
}

/// What we keep for them.
fn theirs(text: &mut String, circle: &LeavingCircle) {
    let bytes = ByteSize(circle.kept_bytes);
    let kept = match circle.kept_shards {
        0 => "  you keep nothing for them on this device".to_owned(),
        shards => format!("  you keep {} ({bytes}) for them", count(shards, "pack")),
    };
    line(text, &kept);
    waits(text, "their devices", &circle.theirs);
    match circle.days_left {
        Some(days) => line(
            text,
            &format!(
                "  they need it no more; it goes in {} (--drop-theirs: now)",
                count(u64::from(days), "day")
            ),
        ),
        None if circle.who.is_none() && circle.kept_shards > 0 => line(
            text,
            &format!(
                "  that stays until they have it elsewhere, and {} more",
                count(u64::from(circle.wait_days), "day")
            ),
        ),
        None => {}
    }
    if circle.who.is_some() && !circle.told {
        line(text, "  none of their devices knows all of this yet: it is told when one is met");
    }
}

fn waits(text: &mut String, whose: &str, side: &LeavingSide) {
    if !side.waits_for.is_empty() {
        let names: Vec<String> = side.waits_for.iter().map(|name| plain(name)).collect();
        line(text, &format!("  {whose} that still need what is kept: {}", names.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Kept;

    fn circle() -> LeavingCircle {
        LeavingCircle {
            vault: "b".repeat(64),
            name: "bob-pc".to_owned(),
            who: None,
            since: None,
            ours: LeavingSide::default(),
            theirs: LeavingSide::default(),
            there: Kept {
                packs: 4,
                bytes: 4_000_000,
                moving_packs: 3,
                moving_bytes: 3_000_000,
                head_elsewhere: true,
            },
            copies_now: 2,
            copies_after: 1,
            kept_shards: 7,
            kept_bytes: 9_000_000,
            days_left: None,
            wait_days: 90,
            told: false,
            guards_us: true,
            guards_them: false,
            done: false,
        }
    }

    fn text(act: LeaveAct, circle: LeavingCircle) -> String {
        let mut text = String::new();
        leave(&mut text, &LeaveOutcome { act, circles: vec![circle] });
        text
    }

    // LEAVE-8
    #[test]
    fn it_is_said_before_what_would_have_to_move_and_what_stays() {
        let said = text(LeaveAct::Show, circle());
        for part in [
            "you and bob-pc are together; if you leave:",
            "they keep 4 packs (4.00 MB) of this device",
            "3 packs (3.00 MB) of that have to be placed with others first",
            "places for 1 of 2 copies",
            "you keep 7 packs (9.00 MB) for them",
            "that stays until they have it elsewhere, and 90 days more",
            "one of your guardians",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    // LEAVE-8
    #[test]
    fn who_is_waited_for_is_named() {
        let theirs = LeavingSide { waived: false, waits_for: vec!["bob\u{7}-phone".to_owned()] };
        let they = Some(WhoLeaves::Them);
        let said = text(LeaveAct::Show, LeavingCircle { who: they, theirs, ..circle() });
        assert!(said.contains("bob-pc leaves your circle"), "{said}");
        assert!(said.contains("nothing is given up by itself"), "{said}");
        assert!(said.contains("their devices that still need what is kept: bob"), "{said}");
        assert!(!said.contains('\u{7}'), "{said:?}");
        let us = Some(WhoLeaves::Us);
        let waived = LeavingSide { waived: true, waits_for: vec![] };
        let (ours, theirs) = (waived.clone(), waived);
        let after = LeavingCircle { who: us, ours, theirs, days_left: Some(12), ..circle() };
        let said = text(LeaveAct::Show, after.clone());
        assert!(said.contains("it goes in 12 days (--drop-theirs: now)"), "{said}");
        let said = text(LeaveAct::Show, LeavingCircle { done: true, ..after });
        assert!(said.contains("it is over"), "{said}");
    }
}
