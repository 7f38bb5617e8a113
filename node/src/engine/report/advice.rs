//! What is wrong, in words, and what to do about it. Pure: facts in, sentences out.

use larder_protocol::{
    placing::{Blocked, Status},
    time::Timestamp,
};

use super::{
    super::{Blamed, recover::Proof},
    blocked::{Names, all_on_one_site, is_hopeless, why_blocked},
};
use crate::command::{
    Advice, ByteSize, Folder, LastDrill, PathField, RekeyProgress, Safety, Snapshot, Time, count,
};

/// A newest snapshot older than this is worth a word, in seconds.
const STALE_S: i64 = 7 * 86_400;
/// A disk with less free space than this can hardly work.
const DISK_LOW_BYTES: u64 = 512 * 1024 * 1024;

/// Everything that advice is made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    pub(super) has_vault: bool,
    /// Whether a node goes on running on this home.
    pub(super) running: bool,
    pub(super) placing: Option<Status>,
    /// What the peers are called, and the site of this device.
    pub(super) names: Names,
    pub(super) own_site: String,
    pub(super) folders: Vec<Folder>,
    /// Now, in seconds since 1970.
    pub(super) now_s: i64,
    /// Who asks for the phrase with the shares of guardians, and from when on holders give it.
    pub(super) phrase_requests: Vec<(String, Timestamp)>,
    /// Head numbers that two machines used, by device name.
    pub(super) forked: Vec<String>,
    /// Names of devices whose newest state is not read here, while keys are missing.
    pub(super) closed: Vec<String>,
    /// Another machine publishes as this very device.
    pub(super) cloned: bool,
    /// Who broke its word: name and deed.
    pub(super) blames: Vec<(String, String)>,
    /// Holders that lost copies without breaking their word, and how many.
    pub(super) ailing: Vec<(String, u64)>,
    /// What there is to say of holders that are presumed lost, or silent for longer than usual.
    pub(super) missed: Vec<Advice>,
    /// What there is to say of folders that the node could not back up when it was time.
    pub(super) unsaved: Vec<(Option<PathField>, Advice)>,
    /// How often it does, in seconds.
    pub(super) every_s: Option<u64>,
    /// What there is to say of vaults that go apart from this one.
    pub(super) leaving: Vec<Advice>,
    /// What there is to say of vaults whose devices are silent.
    pub(super) tended: Vec<Advice>,
    /// Holders that have shown nothing for long, and for how many days.
    pub(super) unproven: Vec<(String, u64)>,
    /// Damaged or missing shards of this device's own packs, and of others'.
    pub(super) damaged_own: u64,
    pub(super) damaged_held: u64,
    /// Since when every shard here was read back or stored.
    pub(super) read_since: Option<Timestamp>,
    /// For how many days not, where that is far too long.
    pub(super) unread_days: Option<u64>,
    /// The last restore drill, and for how many days there was none, where that is too long.
    pub(super) last_drill: Option<LastDrill>,
    pub(super) undrilled_days: Option<u64>,
    /// When the phrase was last proved to work.
    pub(super) phrase: Proof,
    pub(super) disk_free_bytes: u64,
    /// How far older packs are made anew, where that is wanted.
    pub(super) rekey: Option<RekeyProgress>,
    pub(super) peers_total: u32,
}

impl Facts {
    /// What was done by whom, once per deed.
    pub(super) fn blame(&mut self, name: String, blamed: &Blamed) {
        let entry = (name, blamed.what.clone());
        if !self.blames.contains(&entry) {
            self.blames.push(entry);
        }
    }

    /// Everything wrong, worst first.
    pub(super) fn advice(&self) -> Vec<Advice> {
        let mut all = Vec::new();
        self.phrase_requests(&mut all);
        self.broken(&mut all);
        if self.has_vault {
            self.unsafe_data(&mut all);
            self.folders(&mut all);
        } else {
            say(
                &mut all,
                "this home belongs to no vault yet",
                "make one with `larder init`, join one with `larder join CODE`, or bring one back \
                 with `larder recover`",
            );
        }
        self.surroundings(&mut all);
        all
    }

    /// Somebody may be about to get everything.
    fn phrase_requests(&self, all: &mut Vec<Advice>) {
        for (from, due) in &self.phrase_requests {
            let now = u64::try_from(self.now_s).unwrap_or(0);
            let hours = due.0.saturating_sub(now).div_ceil(3600);
            let when = match hours {
                0 => "and gets it now".to_owned(),
                1..=47 => format!("and gets it in {}", count(hours, "hour")),
                _ => format!("and gets it in {}", count(hours / 24, "day")),
            };
            say(
                all,
                format!(
                    "somebody with enough shares of your guardians asks for the recovery phrase, on a \
                     machine that calls itself {from}, {when}"
                ),
                "if that is not you: `larder guardians stop`, then speak with your guardians",
            );
        }
    }

    /// What endangers data that was safe.
    fn broken(&self, all: &mut Vec<Advice>) {
        self.out_of_step(all);
        if self.damaged_own > 0 {
            say(
                all,
                format!("damage on this disk: {} of this vault", count(self.damaged_own, "shard")),
                "run `larder doctor`; holders that have them are asked when they are needed",
            );
        }
        if self.damaged_held > 0 {
            say(
                all,
                format!(
                    "damage on this disk: {} kept for others",
                    count(self.damaged_held, "shard")
                ),
                "this disk may be failing: run `larder doctor`; their owners place them anew, here or elsewhere",
            );
        }
        for (name, what) in &self.blames {
            say(
                all,
                format!("{name} {what}"),
                "new copies go elsewhere; ask its owner to run `larder doctor` there",
            );
        }
        for (name, lost) in &self.ailing {
            say(
                all,
                format!("{name} lost {} that it had signed for", count(*lost, "shard")),
                "its disk may be failing: ask its owner to run `larder doctor` there. What is lost \
                 is sent to it again, or brought back from others first",
            );
        }
        all.extend(self.missed.iter().cloned());
        all.extend(self.leaving.iter().cloned());
        all.extend(self.tended.iter().cloned());
        for (name, days) in &self.unproven {
            say(
                all,
                format!("{name} has not shown for {days} days that it still has your data"),
                "it has not been met since, or does not answer: ask its owner whether it still runs",
            );
        }
        let lost = self.placing.as_ref().map_or(0, |status| status.lost_packs);
        if lost > 0 {
            let (packs, are) = (count(lost, "pack"), if lost == 1 { "is" } else { "are" });
            say(
                all,
                format!("{packs} {are} neither here nor at any holder"),
                "start the other devices of the vault; what is missing is made again by \
                 `larder backup` as far as the files are still here",
            );
        }
    }

    /// Devices that do not stand where their heads say.
    fn out_of_step(&self, all: &mut Vec<Advice>) {
        if self.cloned {
            say(
                all,
                "another machine works with this device's key: nothing is published any more",
                "keep one of the two; make the other a device of its own with `larder recover` in \
                 a fresh home",
            );
        }
        for name in &self.forked {
            say(
                all,
                format!("device {name} has two histories: it was cloned or set back"),
                "both are kept and can be restored; let that device recover into a fresh home",
            );
        }
        for name in &self.closed {
            say(
                all,
                format!("what {name} saved last is sealed with a key that this device has not got"),
                "`larder recover` with the 24 words on this device opens it; so does any device that has the key, when it saves \
                 something the next time",
            );
        }
    }

    /// What is not as safe as it should be, and why.
    fn unsafe_data(&self, all: &mut Vec<Advice>) {
        let Some(status) = &self.placing else { return };
        let waits = status.safe_packs < status.packs || !status.waiting_heads.is_empty();
        let blocked = status.blocked.filter(|blocked| self.running || is_hopeless(Some(blocked)));
        match blocked {
            Some(_) => all.extend(why_blocked(status, &self.names)),
            None if waits && !self.running => say(
                all,
                "not everything is safe yet, and no node is running that would send it",
                "start `larder up`, or run `larder backup` and let it wait",
            ),
            None => {}
        }
        if status.blocked != Some(Blocked::NoHolder) {
            all.extend(all_on_one_site(status, &self.own_site));
        }
        if status.below_policy_packs > 0 {
            let packs = count(status.below_policy_packs, "older pack");
            say(
                all,
                format!("of {packs} there are fewer copies than the policy asks for now"),
                "they are copied by and by, from who keeps them, while `larder up` runs and a holder \
                 of another household has room",
            );
        }
    }

    fn folders(&self, all: &mut Vec<Advice>) {
        if self.folders.is_empty() {
            say(all, "no folder is backed up", "choose one: `larder add FOLDER`");
        } else if !self.folders.iter().any(|folder| folder.listed) {
            say(
                all,
                "no folder is on the list, so a `larder backup` without names has nothing to do",
                "add those that are to be backed up again: `larder add FOLDER`",
            );
        }
        all.extend(self.unsaved.iter().map(|(_, advice)| advice.clone()));
        let is_told = |folder: &Folder| {
            self.unsaved.iter().any(|(path, _)| path.as_ref() == Some(&folder.path))
        };
        // Of others nobody said that they were to be backed up again.
        for folder in self.folders.iter().filter(|one| one.listed && !is_told(one)) {
            let path = String::from_utf8_lossy(&folder.path.to_bytes()).into_owned();
            match &folder.last {
                None if self.running && self.every_s.is_some() => say(
                    all,
                    format!("{path} was never backed up"),
                    "this node does it within minutes; `larder backup` does it now",
                ),
                None => say(all, format!("{path} was never backed up"), "run `larder backup`"),
                Some(last) if !last.complete => say(
                    all,
                    format!("the first backup of {path} is not complete"),
                    "run `larder backup`: it goes on where it was",
                ),
                Some(last) if self.now_s - last_saved(folder, last) > STALE_S => say(
                    all,
                    format!("{path} was last backed up more than a week ago"),
                    match (self.running, self.every_s) {
                        (true, Some(_)) => "run `larder backup`, and see what it says",
                        (false, Some(_)) => {
                            "leave `larder up` running, which does it by itself, or run \
                             `larder backup`"
                        }
                        (_, None) => {
                            "run `larder backup`, or let `larder up` do it: larder config unset \
                             backup.every"
                        }
                    },
                ),
                Some(_) => {}
            }
        }
    }

    fn surroundings(&self, all: &mut Vec<Advice>) {
        if let Some(days) = self.unread_days {
            say(
                all,
                format!("some of what this disk keeps was not read back for {days} days"),
                "leave `larder up` running, which does it by and by, or run `larder verify` now",
            );
        }
        let failed = self.last_drill.map_or(0, |last| last.failed);
        if failed > 0 {
            say(
                all,
                format!("the last restore drill could not bring back {}", count(failed, "file")),
                "see `larder peers` for who is away, then run `larder verify --drill` again",
            );
        } else if let Some(days) = self.undrilled_days {
            say(
                all,
                format!("no restore was tried for {days} days"),
                "run `larder verify --drill`: it reads random files back from your holders",
            );
        }
        if self.phrase.overdue_days.is_some() {
            let day = |at: Timestamp| Time::from(at).to_string().chars().take(10).collect();
            let text = match self.phrase.last.map(day) {
                Some::<String>(day) => format!("the phrase was last proved to work on {day}"),
                None => "the phrase was never proved to work since the vault was made".to_owned(),
            };
            say(
                all,
                text,
                "fetch the 24 words and run `larder recover --dry-run`: it changes nothing",
            );
        }
        if self.rekey.is_some() && !self.running {
            say(
                all,
                "what is sealed under older keys is to be made anew, and no node is running that would",
                "start `larder up`, or do all of it now: `larder rekey --now`",
            );
        }
        if self.disk_free_bytes < DISK_LOW_BYTES {
            let free = ByteSize(self.disk_free_bytes);
            say(
                all,
                format!("only {free} are free on the disk of the home"),
                "free some space: backups and restores need room to work",
            );
        }
        if !self.running && self.has_vault && self.peers_total > 0 {
            say(
                all,
                "no node is running: others cannot reach what is kept here",
                "start `larder up`, best at every boot",
            );
        }
    }
}

/// When a folder was saved last, changed or not, in seconds since 1970.
fn last_saved(folder: &Folder, last: &Snapshot) -> i64 {
    let saved = folder.saved.map_or(last.time, |saved| saved.max(last.time));
    saved.0.as_second()
}

/// The least safe of the folders; `Local` without any.
pub(super) fn least_safe(folders: &[Folder]) -> Safety {
    let of = |folder: &Folder| match &folder.last {
        Some(last) if last.complete => last.safety,
        Some(_) | None => Safety::Local,
    };
    folders.iter().map(of).min().unwrap_or(Safety::Local)
}

fn say(all: &mut Vec<Advice>, text: impl Into<String>, hint: impl Into<String>) {
    all.push(Advice { text: text.into(), hint: hint.into() });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use larder_protocol::{
        ids::DeviceId,
        placing::{Acquaintance, Condition, HolderStatus, Site},
    };

    use super::*;

    fn status() -> Status {
        Status {
            packs: 10,
            bytes: 1000,
            safe_packs: 10,
            safe_bytes: 1000,
            waiting_bytes: 0,
            below_policy_packs: 0,
            copies_least: 2,
            newest_lacks: 0,
            newest_lost: 0,
            heads_lack: BTreeMap::new(),
            holders_least: 2,
            stranded_packs: 0,
            nowhere_packs: 0,
            lost_packs: 0,
            copies: 2,
            sites: 2,
            one_site_only: false,
            waiting_heads: BTreeMap::new(),
            published_seq: 4,
            blocked: None,
            holders: BTreeMap::new(),
        }
    }

    fn folder(last: Option<(i64, bool, Safety)>) -> Folder {
        let last = last.map(|(time, complete, safety)| Snapshot {
            snapshot: "ab".repeat(32),
            time: Time(jiff::Timestamp::from_second(time).unwrap()),
            device: "cd".repeat(32),
            device_name: "laptop".into(),
            path: PathField::new(b"/docs"),
            files: 1,
            bytes: 1,
            complete,
            automatic: false,
            pinned: false,
            safety,
            safe_since: None,
        });
        let path = PathField::new(b"/docs");
        Folder { path, excludes: Vec::new(), last, saved: None, listed: true }
    }

    /// A drill that could not bring so many back.
    fn drilled(failed: u64) -> Option<LastDrill> {
        Some(LastDrill { time: Timestamp(1).into(), files: 64, bytes: 1, failed })
    }

    /// Everything as it should be.
    fn well() -> Facts {
        Facts {
            has_vault: true,
            running: true,
            placing: Some(status()),
            folders: vec![folder(Some((1_000_000, true, Safety::Safe)))],
            now_s: 1_000_100,
            disk_free_bytes: 1 << 40,
            peers_total: 2,
            ..Facts::default()
        }
    }

    #[test]
    fn all_well_needs_no_advice() {
        assert_eq!(well().advice(), []);
    }

    fn on_one_site(status: &mut Status) {
        status.one_site_only = true;
        let holder = HolderStatus {
            site: Site("attic".into()),
            connected: true,
            condition: Condition::Fine,
            acquaintance: Acquaintance::Granted,
            presumed_lost: false,
            is_leaving: false,
            kept_packs: 1,
            kept_bytes: 1,
            pending_packs: 0,
            lost_packs: 0,
            uploads: 0,
            failures: 0,
        };
        status.holders.insert(DeviceId::from_bytes([1; 32]), holder);
    }

    /// One thing wrong at a time: the words by which it is known, and what helps.
    #[test]
    fn every_fault_is_named_with_what_to_do() {
        let blocked = |blocked| Facts {
            placing: Some(Status { blocked: Some(blocked), ..status() }),
            ..well()
        };
        let placing = |change: fn(&mut Status)| {
            let mut status = status();
            change(&mut status);
            Facts { placing: Some(status), ..well() }
        };
        let week_old = folder(Some((0, true, Safety::Safe)));
        let unlisted = Folder { listed: false, ..folder(Some((0, true, Safety::Safe))) };
        let partial = folder(Some((1_000_000, false, Safety::Local)));
        let table: Vec<(Facts, &str, &str)> = vec![
            (Facts { has_vault: false, ..well() }, "no vault", "larder init"),
            (Facts { cloned: true, ..well() }, "another machine", "larder recover"),
            (Facts { forked: vec!["nas".into()], ..well() }, "device nas has two", "fresh home"),
            (Facts { closed: vec!["nas".into()], ..well() }, "what nas saved last", "24 words"),
            (Facts { damaged_own: 1, ..well() }, "1 shard of this vault", "larder doctor"),
            (Facts { damaged_held: 2, ..well() }, "2 shards kept for others", "larder doctor"),
            (
                Facts { blames: vec![("nas".into(), "lied".into())], ..well() },
                "nas lied",
                "larder doctor",
            ),
            (Facts { ailing: vec![("nas".into(), 2)], ..well() }, "nas lost 2 shards", "doctor"),
            (
                Facts { unproven: vec![("nas".into(), 40)], ..well() },
                "nas has not shown for 40 days",
                "ask its owner",
            ),
            (placing(|s| s.lost_packs = 1), "1 pack is neither", "larder backup"),
            (placing(on_one_site), "on one site, attic", "larder invite --circle"),
            (placing(|s| s.below_policy_packs = 3), "3 older packs", "another household"),
            (blocked(Blocked::NoHolder), "nobody keeps a copy", "larder invite"),
            (
                blocked(Blocked::TooFewSites { known: 1, wanted: 2 }),
                "copies on 2 sites; 1 is known",
                "policy.copies",
            ),
            (blocked(Blocked::Metered), "this one is metered", "net.metered off"),
            (blocked(Blocked::NotConnected), "can be reached now", "larder connect"),
            (blocked(Blocked::NoRoom), "no more room", "larder offer"),
            (blocked(Blocked::Refused), "refuse or fail", "larder doctor"),
            (Facts { folders: Vec::new(), ..well() }, "no folder", "larder add"),
            (Facts { folders: vec![folder(None)], ..well() }, "never backed up", "larder backup"),
            (Facts { folders: vec![unlisted], ..well() }, "on the list", "larder add"),
            (Facts { folders: vec![week_old], ..well() }, "a week ago", "larder backup"),
            (Facts { folders: vec![partial], ..well() }, "is not complete", "goes on"),
            (Facts { unread_days: Some(200), ..well() }, "not read back for 200", "larder verify"),
            (Facts { undrilled_days: Some(91), ..well() }, "tried for 91 days", "verify --drill"),
            (Facts { last_drill: drilled(2), ..well() }, "bring back 2 files", "verify --drill"),
            (Facts { disk_free_bytes: 1 << 20, ..well() }, "1.05 MB are free", "free some space"),
            (Facts { running: false, ..well() }, "no node is running", "larder up"),
        ];
        for (facts, text, hint) in table {
            let advice = facts.advice();
            let found = advice.iter().find(|advice| advice.text.contains(text));
            let found = found.unwrap_or_else(|| panic!("{text}: {advice:?}"));
            assert!(found.hint.contains(hint), "{found:?}");
            if facts.has_vault {
                assert_eq!(advice.len(), 1, "{advice:?}");
            }
        }
    }

    // RECUR-10
    #[test]
    fn what_a_node_does_by_itself_is_not_asked_of_people() {
        let hourly = Facts { every_s: Some(3600), ..well() };
        let old = |saved: Option<i64>| {
            let saved = saved.map(|at| Time(jiff::Timestamp::from_second(at).unwrap()));
            Folder { saved, ..folder(Some((1, true, Safety::Safe))) }
        };
        let hints = |facts: Facts| -> Vec<String> {
            facts.advice().into_iter().map(|advice| advice.hint).collect()
        };
        let never = Facts { folders: vec![folder(None)], ..hourly.clone() };
        assert!(hints(never)[0].contains("this node does it"));
        let stale = Facts { folders: vec![old(None)], ..hourly.clone() };
        assert!(hints(stale.clone())[0].contains("see what it says"));
        let without = Facts { every_s: None, ..stale.clone() };
        assert!(hints(without)[0].contains("unset backup.every"));
        let stopped = Facts { running: false, peers_total: 0, ..stale.clone() };
        assert!(hints(stopped)[0].contains("leave `larder up` running"));
        // Looked at a while ago, and nothing had changed.
        let same = Facts { folders: vec![old(Some(999_000))], ..hourly };
        assert!(hints(same).is_empty());
        // What is wrong with a folder is said once.
        let why = Advice { text: "it is empty".to_owned(), hint: "look".to_owned() };
        let path = Some(PathField::new(b"/docs"));
        let failed = Facts { unsaved: vec![(path, why)], ..stale };
        assert_eq!(hints(failed), ["look"]);
    }

    // GUARD-17
    #[test]
    fn who_asks_for_the_phrase_comes_first_with_the_time_that_is_left() {
        let now = u64::try_from(well().now_s).unwrap();
        for (left, told) in [(6 * 86_400, "in 6 days"), (7000, "in 2 hours"), (0, "now")] {
            let phrase_requests = vec![("new-laptop".to_owned(), Timestamp(now + left))];
            let advice = Facts { phrase_requests, cloned: true, ..well() }.advice();
            let expected = format!("calls itself new-laptop, and gets it {told}");
            assert!(advice[0].text.ends_with(&expected), "{advice:?}");
            assert!(advice[0].hint.contains("larder guardians stop"), "{advice:?}");
        }
    }

    // TRIAL-6
    #[test]
    fn a_phrase_that_was_not_proved_for_a_year_is_named_with_the_day() {
        let unproved = |last| Proof { last, overdue_days: Some(400) };
        let last = Some(Timestamp(1_800_000_000));
        for (last, text) in [(None, "never proved"), (last, "proved to work on 2027-01-15")] {
            let advice = Facts { phrase: unproved(last), ..well() }.advice();
            assert_eq!(advice.len(), 1, "{advice:?}");
            assert!(advice[0].text.contains(text), "{advice:?}");
            assert!(advice[0].hint.contains("larder recover --dry-run"), "{advice:?}");
        }
        let proved = Proof { last, overdue_days: None };
        assert!(Facts { phrase: proved, ..well() }.advice().is_empty());
    }

    #[test]
    fn a_node_that_was_just_opened_does_not_call_its_holders_away() {
        let blocked = Some(Blocked::NotConnected);
        let placing = Some(Status { blocked, safe_packs: 9, ..status() });
        let advice = Facts { running: false, placing, ..well() }.advice();
        assert!(advice.iter().all(|advice| !advice.text.contains("reached now")), "{advice:?}");
        assert!(advice.iter().any(|advice| advice.text.contains("no node is running that would")));
    }

    #[test]
    fn one_deed_is_told_once() {
        let mut facts = well();
        let device = DeviceId::from_bytes([1; 32]);
        for root in [1, 2] {
            let root = larder_protocol::ids::ShardRoot::from_bytes([root; 32]);
            let blamed = Blamed { device, what: "lost a shard".into(), root: Some(root) };
            facts.blame("nas".into(), &blamed);
        }
        assert_eq!(facts.advice().len(), 1);
    }

    #[test]
    fn the_whole_is_as_safe_as_its_least_safe_folder() {
        let safe = || folder(Some((1, true, Safety::Safe)));
        let partly = folder(Some((1, true, Safety::Partly)));
        let checkpoint = folder(Some((1, false, Safety::Safe)));
        assert_eq!(least_safe(&[]), Safety::Local);
        assert_eq!(least_safe(&[safe(), safe()]), Safety::Safe);
        assert_eq!(least_safe(&[safe(), partly]), Safety::Partly);
        assert_eq!(least_safe(&[safe(), checkpoint]), Safety::Local);
        assert_eq!(least_safe(&[safe(), folder(None)]), Safety::Local);
    }
}
