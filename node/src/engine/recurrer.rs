//! Carries out the orders of the recurring machine: looks how old what is saved is, backs the folders
//! up, and thins out what was saved so.
//!
//! Runs in a node that goes on running. Decides nothing: what is done when is
//! `larder_protocol::recurring`, which snapshots stay is `larder_protocol::retention`.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use larder_protocol::{
    order::OrderId,
    recurring::{Came, Input, Output, Power, Recurring, kept_away},
    time::Timestamp,
};
use tokio::sync::{RwLock, RwLockReadGuard};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Core, EngineError,
    backups::{self, Occasion, Saved},
    clock::{age_ms, wall},
    driver::{self, Facts, Inbox, Machine},
    forget, on_disk,
};
use crate::{
    command::{Advice, Cancelled, EventSink, Failure, Level, PathField, count},
    home::Config,
    power::power,
    state::folders::Folder,
};

/// A note that lies further ahead of the clock was made by a clock that was wrong.
const CLOCK_SLACK_S: u64 = 600;
/// Between two attempts to have a run make way: it may be about to begin.
const MAKE_WAY_AGAIN: Duration = Duration::from_millis(100);
/// After so long a person is told what is waited for.
const MAKE_WAY_TOLD: Duration = Duration::from_secs(1);

/// The handle of the task, and what came of its last run.
#[derive(Debug)]
pub(crate) struct Recurrer {
    facts: Facts<Input>,
    /// Shared by backups and restores that somebody asked for; had alone by a run.
    way: RwLock<()>,
    last: Mutex<Last>,
}

/// The last run.
#[derive(Debug, Default)]
struct Last {
    /// When it began.
    at: Option<Timestamp>,
    /// Ends it.
    stop: CancellationToken,
    /// Since when runs make way for somebody who goes on.
    kept_away: Option<Timestamp>,
    /// Why nothing could be saved.
    failure: Option<Failure>,
    /// Folders that could not be saved, and why; and those of which files could not be read, and how many.
    troubles: Vec<(PathBuf, Trouble)>,
}

/// What is wrong with a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// It could not be saved.
    Failed(Failure),
    /// It was saved without so many files.
    Unreadable(u64),
}

impl Recurrer {
    pub(super) fn new() -> (Self, Inbox<Input>) {
        let (facts, inbox) = Facts::new();
        (Self { facts, way: RwLock::default(), last: Mutex::default() }, inbox)
    }

    /// Tells the machine a fact.
    pub(crate) async fn tell(&self, input: Input) {
        self.facts.tell(input).await;
    }

    /// Has a run end that nobody asked for, and keeps others from beginning as long as the answer lives. What was
    /// stored is met again by whoever backs up next.
    pub(super) async fn make_way(
        &self,
        events: &EventSink,
    ) -> Result<RwLockReadGuard<'_, ()>, Cancelled> {
        let begun = std::time::Instant::now();
        let mut is_told = false;
        loop {
            events.check()?;
            self.last().stop.cancel();
            if let Ok(way) = tokio::time::timeout(MAKE_WAY_AGAIN, self.way.read()).await {
                return Ok(way);
            }
            if !is_told && begun.elapsed() > MAKE_WAY_TOLD {
                is_told = true;
                let text = "waiting for a backup to stop that this node makes by itself";
                events.notice(Level::Normal, text);
            }
        }
    }

    /// What there is to say of the last run, and of which folder.
    pub(super) fn advice(&self, config: &Config) -> Vec<(Option<PathField>, Advice)> {
        let last = self.last();
        let kept_away = last.kept_away.filter(|since| {
            // Who went meanwhile is not told of, though no run has begun yet.
            let is_busy = || self.way.try_write().is_err();
            every_ms(config).is_some_and(|every| kept_away::is_long(*since, wall(), every))
                && is_busy()
        });
        let kept_away = kept_away.map(|since| (None, waits_since(since)));
        let general = last.failure.iter().map(|failure| (None, told(failure)));
        let troubles = last
            .troubles
            .iter()
            .map(|(path, trouble)| (Some(PathField::from(path.as_path())), trouble.told(path)));
        kept_away.into_iter().chain(general).chain(troubles).collect()
    }

    /// A folder was saved, or is on the list no more: what was said of it is past.
    pub(super) fn forgive(&self, path: &Path) {
        self.last().troubles.retain(|(folder, _)| folder != path);
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().expect("no code panics while holding this lock")
    }

    /// What was said of the run before stays until there is something new to say.
    fn begin(&self, stop: CancellationToken) {
        let mut last = self.last();
        (last.at, last.stop) = (Some(wall()), stop);
    }
}

impl Trouble {
    fn told(&self, path: &Path) -> Advice {
        match self {
            Self::Failed(failure) => told(failure),
            Self::Unreadable(number) => Advice {
                text: format!(
                    "in {} there {}",
                    path.display(),
                    match number {
                        1 => "is 1 entry that could not be read, and was not saved".to_owned(),
                        more => format!(
                            "are {} that could not be read, and were not saved",
                            count(*more, "entry")
                        ),
                    }
                ),
                hint: "`larder backup` names each; leave out with `larder add --exclude` what is \
                       not needed"
                    .to_owned(),
            },
        }
    }
}

fn waits_since(since: Timestamp) -> Advice {
    let hours = wall().0.saturating_sub(since.0) / 3_600;
    Advice {
        text: format!(
            "nothing has been saved by itself for {}: a restore or a backup that somebody asked for still runs",
            count(hours, "hour")
        ),
        hint: "end it with Ctrl-C where it was begun, if nobody needs it any more; `larder backup` saves meanwhile"
            .to_owned(),
    }
}

fn told(failure: &Failure) -> Advice {
    let hint = failure.hint.clone();
    let hint = hint.unwrap_or_else(|| "`larder backup` shows what is wrong".to_owned());
    Advice { text: failure.message.clone(), hint }
}

/// What the settings ask for, as the machine takes it.
pub(super) fn every_ms(config: &Config) -> Option<u64> {
    config.every_s().map(|seconds| seconds.saturating_mul(1000))
}

/// Starts the task. It ends with the node.
pub(super) fn start(core: &Arc<Core>, inbox: Inbox<Input>) {
    driver::start(core, Recurring::new(every_ms(&core.config())), inbox);
}

impl Machine for Recurring {
    driver::forwards!();

    async fn carry_out(core: Arc<Core>, output: Output) {
        tokio::spawn(async move {
            let working = tokio::spawn(work(Arc::clone(&core), output));
            // A fault of this program must not be the end of all backups.
            let answer = working.await.unwrap_or_else(|_| without_answer(output));
            core.recurrer.tell(answer).await;
        });
    }
}

async fn work(core: Arc<Core>, output: Output) -> Input {
    match output {
        Output::Look { order } => look(&core, order).await,
        Output::BackUp { order } => Input::BackedUp { order, came: back_up(&core).await },
        Output::Thin { order } => {
            thin(&core).await;
            Input::Thinned { order }
        }
    }
}

fn without_answer(output: Output) -> Input {
    match output {
        Output::Look { order } => {
            Input::Looked { order, age_ms: None, tried_ms: 0, power: Power::Mains }
        }
        Output::BackUp { order } => Input::BackedUp { order, came: Came::Nothing },
        Output::Thin { order } => Input::Thinned { order },
    }
}

async fn look(core: &Arc<Core>, order: OrderId) -> Input {
    let looking = Arc::clone(core);
    let found = on_disk(move || Ok::<_, EngineError>((oldest_ms(&looking, wall())?, power())));
    let (age_ms, power) = found.await.unwrap_or_else(|error| {
        warn!("how old the last backup is could not be told: {error}");
        (None, Power::Mains)
    });
    let tried = core.recurrer.last().at;
    let tried_ms = tried.map_or(u64::MAX, |at| age_ms_of(at, wall()));
    Input::Looked { order, age_ms, tried_ms, power }
}

/// Since the folder that was saved least lately was saved; `None` where there is nothing to save.
fn oldest_ms(core: &Core, now: Timestamp) -> Result<Option<u64>, EngineError> {
    if core.member().is_err() {
        return Ok(None);
    }
    let folders = backups::listed(core)?;
    let saved = core.state.saved()?;
    let age = |folder: &Folder| saved.get(&folder.path).map_or(u64::MAX, |at| age_ms_of(*at, now));
    Ok(folders.iter().map(age).max())
}

fn age_ms_of(at: Timestamp, now: Timestamp) -> u64 {
    age_ms(at, now, CLOCK_SLACK_S)
}

/// Saves all folders of the list, unless somebody is at work.
async fn back_up(core: &Arc<Core>) -> Came {
    let recurrer = &core.recurrer;
    let Ok(_alone) = recurrer.way.try_write() else {
        recurrer.last().kept_away.get_or_insert(wall());
        return Came::MadeWay;
    };
    recurrer.last().kept_away = None;
    let stop = core.closing.child_token();
    recurrer.begin(stop.clone());
    let events = EventSink::nobody(stop.clone());
    let saved = match in_turn(core) {
        Ok(folders) => backups::save_all(core, folders, Occasion::Recurring, &events).await,
        Err(error) => Err(error.into()),
    };
    match saved {
        Ok(saved) => note(recurrer, saved),
        Err(_) if stop.is_cancelled() => Came::MadeWay,
        Err(failure) => {
            warn!("the folders could not be backed up: {}", failure.message);
            recurrer.last().failure = Some(failure);
            Came::Nothing
        }
    }
}

/// The folders of the list, those first that were saved least lately: a run that is cut off again and again
/// comes to all of them.
fn in_turn(core: &Core) -> Result<Vec<Folder>, EngineError> {
    let saved = core.state.saved()?;
    let mut folders = backups::listed(core)?;
    folders.sort_by_key(|folder| saved.get(&folder.path).copied());
    Ok(folders)
}

/// Remembers what was not as it should be.
fn note(recurrer: &Recurrer, saved: Saved) -> Came {
    for (path, failure) in &saved.failed {
        warn!("{} could not be backed up: {}", path.display(), failure.message);
    }
    let came = match (saved.failed.is_empty(), saved.snapshots.is_empty()) {
        (true, _) => Came::Whole,
        (false, false) => Came::Partly,
        (false, true) => Came::Nothing,
    };
    let failed = saved.failed.into_iter().map(|(path, failure)| (path, Trouble::Failed(failure)));
    let unread =
        saved.unreadable.into_iter().map(|(path, number)| (path, Trouble::Unreadable(number)));
    let mut last = recurrer.last();
    last.failure = None;
    last.troubles = failed.chain(unread).collect();
    came
}

async fn thin(core: &Arc<Core>) {
    match forget::thin(core, core.config().keep()).await {
        Ok(0) => {}
        Ok(forgotten) => info!("forgot {forgotten} snapshots that the settings keep no longer"),
        Err(failure) => warn!("old snapshots could not be forgotten: {}", failure.message),
    }
}

#[cfg(test)]
mod tests;
