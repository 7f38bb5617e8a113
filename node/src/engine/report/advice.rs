//! What is wrong, in words, and what to do about it. Pure: facts in, sentences out.

use larder_protocol::placing::{Blocked, Status};

use super::super::Blamed;
use crate::command::{Advice, ByteSize, Folder, Safety};

/// A newest snapshot older than this is worth a word, in seconds.
const STALE_S: i64 = 7 * 86_400;
/// A disk with less free space than this can hardly work.
const DISK_LOW_BYTES: u64 = 512 * 1024 * 1024;

/// Everything that advice is made from.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) has_vault: bool,
    /// Whether a node goes on running on this home.
    pub(super) running: bool,
    pub(super) placing: Option<Status>,
    pub(super) folders: Vec<Folder>,
    /// Now, in seconds since 1970.
    pub(super) now_s: i64,
    /// Head numbers that two machines used, by device name.
    pub(super) forked: Vec<String>,
    /// Another machine publishes as this very device.
    pub(super) cloned: bool,
    /// Who broke its word: name and deed.
    pub(super) blames: Vec<(String, String)>,
    /// Damaged or missing shards of this device's own packs, and of others'.
    pub(super) damaged_own: u64,
    pub(super) damaged_held: u64,
    pub(super) disk_free_bytes: u64,
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

    /// What endangers data that was safe.
    fn broken(&self, all: &mut Vec<Advice>) {
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
        if self.damaged_own > 0 {
            say(
                all,
                format!(
                    "{} kept for this vault on this disk are damaged",
                    shards(self.damaged_own)
                ),
                "run `larder doctor`; holders that have them are asked when they are needed",
            );
        }
        if self.damaged_held > 0 {
            say(
                all,
                format!("{} kept for others on this disk are damaged", shards(self.damaged_held)),
                "this disk may be failing: run `larder doctor`; their owners will send them again",
            );
        }
        for (name, what) in &self.blames {
            say(
                all,
                format!("{name} {what}"),
                "new copies go elsewhere; ask its owner to run `larder doctor` there",
            );
        }
        if let Some(lost) = self.placing.as_ref().map(|status| status.nowhere_packs)
            && lost > 0
        {
            let packs =
                if lost == 1 { "1 pack is".to_owned() } else { format!("{lost} packs are") };
            say(
                all,
                format!("{packs} neither here nor at any holder that has answered"),
                "start the other devices of the vault; what is missing is made again by \
                 `larder backup` as far as the files are still here",
            );
        }
    }

    /// What is not as safe as it should be, and why.
    fn unsafe_data(&self, all: &mut Vec<Advice>) {
        let Some(status) = &self.placing else { return };
        let waits = status.safe_packs < status.packs || !status.waiting_heads.is_empty();
        let blocked = status.blocked.filter(|blocked| self.running || is_hopeless(Some(blocked)));
        match blocked {
            Some(blocked) => {
                let (text, hint) = words(&blocked);
                say(all, text, hint);
            }
            None if waits && !self.running => say(
                all,
                "not everything is safe yet, and no node is running that would send it",
                "start `larder up`, or run `larder backup` and let it wait",
            ),
            None => {}
        }
        if status.one_site_only && status.blocked != Some(Blocked::NoHolder) && status.packs > 0 {
            say(
                all,
                "all copies are on one site: a fire or a theft there takes them all",
                "invite another household: `larder invite --circle`",
            );
        }
        if status.below_policy_packs > 0 {
            let packs = status.below_policy_packs;
            say(
                all,
                format!("{packs} older packs have fewer copies than the policy asks for now"),
                "their local copies are gone, so they stay as they are; with \
                 `larder config set depot.keep_own all` new ones can always be copied again",
            );
        }
    }

    fn folders(&self, all: &mut Vec<Advice>) {
        if self.folders.is_empty() {
            say(all, "no folder is backed up", "choose one: `larder add FOLDER`");
        }
        for folder in &self.folders {
            let path = String::from_utf8_lossy(&folder.path.to_bytes()).into_owned();
            match &folder.last {
                None => say(all, format!("{path} was never backed up"), "run `larder backup`"),
                Some(last) if !last.complete => say(
                    all,
                    format!("the first backup of {path} is not complete"),
                    "run `larder backup`: it goes on where it was",
                ),
                Some(last) if self.now_s - last.time.0.as_second() > STALE_S => say(
                    all,
                    format!("{path} was last backed up more than a week ago"),
                    "run `larder backup`, from a timer if you like",
                ),
                Some(_) => {}
            }
        }
    }

    fn surroundings(&self, all: &mut Vec<Advice>) {
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

/// The least safe of the folders; `Local` without any.
pub(super) fn least_safe(folders: &[Folder]) -> Safety {
    let of = |folder: &Folder| match &folder.last {
        Some(last) if last.complete => last.safety,
        Some(_) | None => Safety::Local,
    };
    folders.iter().map(of).min().unwrap_or(Safety::Local)
}

/// Why nothing gets on, and what to do, in one line.
pub(crate) fn say_blocked(blocked: &Blocked) -> String {
    let (text, hint) = words(blocked);
    format!("{text}: {hint}")
}

/// Whether waiting cannot help: the user has to do something first.
pub(crate) const fn is_hopeless(blocked: Option<&Blocked>) -> bool {
    matches!(blocked, Some(Blocked::NoHolder | Blocked::TooFewSites { .. }))
}

fn words(blocked: &Blocked) -> (String, String) {
    let (text, hint) = match blocked {
        Blocked::NoHolder => (
            "nobody keeps a copy yet",
            "invite another household with `larder invite --circle`, or another device of yours \
             with `larder invite --device`",
        ),
        Blocked::TooFewSites { known, wanted } => {
            let are = if *known == 1 { "is" } else { "are" };
            let text = format!("the policy asks for copies on {wanted} sites; {known} {are} known");
            let hint = "invite another household with `larder invite --circle`, or ask for fewer \
                        with `larder config set policy.copies`";
            return (text, hint.to_owned());
        }
        Blocked::NotConnected => (
            "no holder that could take more can be reached now",
            "see `larder peers`, start those devices, or tell their new addresses with \
             `larder connect TICKET`",
        ),
        Blocked::NoRoom => (
            "the holders that can be reached have no more room for this vault",
            "ask their owners to run `larder offer` with a larger size, or invite another holder",
        ),
        Blocked::Refused => (
            "the holders that can be reached refuse or fail",
            "see `larder peers`; pair again with `larder invite` and `larder join`, or run \
             `larder doctor` there",
        ),
    };
    (text.to_owned(), hint.to_owned())
}

fn shards(count: u64) -> String {
    if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") }
}

fn say(all: &mut Vec<Advice>, text: impl Into<String>, hint: impl Into<String>) {
    all.push(Advice { text: text.into(), hint: hint.into() });
}
