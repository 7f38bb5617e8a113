//! What one device does about one vault that its own is apart from.

use super::{DaysSeen, Side, apart_since};
use crate::ids::DeviceId;

/// How what this device needs would stand without the holders of the other vault, see
/// [`Placing::cover_without`](crate::placing::Placing::cover_without).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cover {
    /// Packs that those holders keep for this vault.
    pub kept_packs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Those of them that are on too few other sites.
    pub moving_packs: u64,
    /// Their bytes.
    pub moving_bytes: u64,
    /// On how many sites each pack is wanted while those holders count.
    pub copies_now: usize,
    /// And without them.
    pub copies_after: usize,
    /// Whether the newest published head is at as many other sites, or not with those holders anyway.
    pub is_head_elsewhere: bool,
}

impl Cover {
    /// Whether everything is on as many other sites as are wanted without those holders. That these may be
    /// fewer than before is for a person to accept: whoever wishes to leave has.
    pub const fn is_covered(&self, accepts_fewer: bool) -> bool {
        let is_as_good = accepts_fewer || self.copies_after >= self.copies_now;
        let is_elsewhere = self.moving_packs == 0 && self.is_head_elsewhere;
        is_elsewhere && (self.kept_packs == 0 || is_as_good)
    }
}

/// What the person at this device has said besides, about what is kept here for the other vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Say {
    /// Nothing: it goes after the wait.
    #[default]
    Waits,
    /// It goes as soon as every device of the other vault has waived it.
    OnceWaived,
    /// It goes, whatever those devices say: it is this person's disk.
    Regardless,
}

/// Everything that decides.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// This device.
    pub own: DeviceId,
    /// The devices of its vault.
    pub ours: &'a Side,
    /// Those of the other one.
    pub theirs: &'a Side,
    /// What this device would lose.
    pub cover: Cover,
    /// Whether anything is known of the other vault here, its log or its devices.
    pub is_known: bool,
    /// Its user gives that up.
    pub gives_up: bool,
    /// Shards that are kept here for the other vault.
    pub kept: u64,
    /// How long they have been of no use to it.
    pub days: Option<DaysSeen>,
    /// What the person here said of them.
    pub say: Say,
    /// Whether some device of the other vault knows all that is known here, or has forgotten this vault; or, where
    /// nothing depends on what it says, whether it was tried.
    pub is_told: bool,
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Count no copy there any more, durably, and then say that what is kept there is waived.
    Waive {
        /// For the wish of this number.
        since: u64,
    },
    /// Take that back: what is there may be counted on from then on, once it was asked for anew.
    Unwaive,
    /// Begin to count days, or begin anew.
    Await {
        /// For the wish of this number.
        since: u64,
    },
    /// Count no days any more: somebody needs what is here.
    StopWaiting,
    /// Erase what is kept for the other vault.
    Drop,
    /// Forget the other vault: its log, its devices, its grant. The words stay.
    Forget,
}

/// What is to be done now. Done in this order, durably one by one; looked at again after each change.
pub fn deeds(facts: &Facts<'_>) -> Vec<Deed> {
    let waived = facts.ours.waives.get(&facts.own).copied().flatten();
    let Some(since) = apart_since(facts.ours, facts.theirs) else {
        // Of a vault that was forgotten there is nothing to count on.
        let unwaive = waived.filter(|_| facts.is_known).map(|_| Deed::Unwaive);
        let stop = facts.days.map(|_| Deed::StopWaiting);
        return unwaive.into_iter().chain(stop).collect();
    };
    let mut deeds = Vec::new();
    let has_waived = waived.is_some_and(|waived| waived >= since);
    let accepts_fewer = facts.ours.leaves().is_some();
    if !has_waived && (facts.cover.is_covered(accepts_fewer) || facts.gives_up) {
        deeds.push(Deed::Waive { since });
    }
    let they_have = facts.theirs.has_waived(since);
    let is_counting = facts.days.is_some_and(|days| days.since() == since);
    match (they_have && facts.kept > 0, is_counting) {
        (true, false) => deeds.push(Deed::Await { since }),
        (false, _) if facts.days.is_some() => deeds.push(Deed::StopWaiting),
        _ => {}
    }
    let is_over = is_counting && facts.days.is_some_and(|days| days.left() == 0);
    let may_drop = match facts.say {
        Say::Waits => they_have && is_over,
        Say::OnceWaived => they_have,
        Say::Regardless => true,
    };
    if facts.kept > 0 && may_drop {
        deeds.push(Deed::Drop);
    }
    let is_done = facts.ours.has_waived(since) && facts.kept == 0 && facts.is_told;
    if facts.is_known && is_done && (they_have || facts.say == Say::Regardless) {
        deeds.push(Deed::Forget);
    }
    deeds
}
