//! The `backup` command: one snapshot of each folder, then as much waiting as was asked for.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::time::Timestamp;
use tracing::warn;

use super::{
    ChunkSource, Core, EngineError, Member, aside,
    backup::{self, BackupError, Made, Plan},
    clock::wall,
    custody::Custody,
    report, settings,
};
use crate::{
    command::{
        Advice, BackupOutcome, BackupSnapshot, EventSink, Failure, Level, Outcome, PathField,
        Problem, Progress, RawPath, Stage, Wait,
    },
    home::KeepOwn,
    state::folders::Folder,
};

/// How long a process that is to end waits for what it has to tell.
const LET_TELL: Duration = Duration::from_secs(5);

/// What was asked for.
pub(crate) struct Wish {
    pub(crate) paths: Vec<RawPath>,
    pub(crate) excludes: Vec<String>,
    pub(crate) wait: Wait,
    pub(crate) timeout_s: Option<u64>,
}

/// Backs up and waits.
pub(crate) async fn run(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let deadline = wish.timeout_s.map(|seconds| begun + Duration::from_secs(seconds));
    let member = core.member()?;
    let sent_before = member.custody()?.view().borrow().sent_bytes;
    settings::check_excludes(&wish.excludes)?;
    let folders = folders(core, &wish)?;
    let way = core.recurrer.make_way(events).await?;
    let Saved { snapshots, unreadable, mut failed } =
        save_all(core, folders, Occasion::Asked, events).await?;
    drop(way);
    if snapshots.is_empty() && !failed.is_empty() {
        return Err(failed.swap_remove(0).1);
    }
    let problems: u64 = unreadable.iter().map(|(_, number)| number).sum();
    let problems_total = problems + u64::try_from(failed.len()).unwrap_or(u64::MAX);
    let reached = match wish.wait {
        Wait::Local => Wait::Local,
        Wait::Safe => wait_until_safe(core, &member, deadline, events).await?,
    };
    if reached == Wait::Safe && !core.serves {
        let_tell(member.custody()?).await;
    }
    let status = member.custody()?.status().await.ok_or(EngineError::Stopped)?;
    let sent_bytes = member.custody()?.view().borrow().sent_bytes - sent_before;
    let copies_wanted = u32::try_from(status.copies).unwrap_or(u32::MAX);
    if reached == Wait::Safe
        && let Some(Advice { text, hint }) = report::all_on_one_site(&status, &core.own_site())
    {
        events.notice(Level::Warning, format!("{text}; {hint}"));
    }
    let names = report::peer_names(core)?;
    let is_short = reached != wish.wait;
    let advice = if is_short { report::why_blocked(&status, &names) } else { None };
    Ok(Outcome::Backup(BackupOutcome {
        snapshots,
        wanted: wish.wait,
        reached,
        copies_wanted,
        copies_reached: report::copies_reached(&status),
        problems_total,
        sent_bytes,
        duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        advice,
    }))
}

/// Why folders are saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// Somebody said so.
    Asked,
    /// It is time.
    Recurring,
}

/// What came of saving folders.
pub(crate) struct Saved {
    pub(crate) snapshots: Vec<BackupSnapshot>,
    /// Folders in which something could not be read, and how much.
    pub(crate) unreadable: Vec<(PathBuf, u64)>,
    /// Folders that could not be saved, and why.
    pub(crate) failed: Vec<(PathBuf, Failure)>,
}

/// Saves folders one after the other. One that cannot be saved does not concern the others.
pub(crate) async fn save_all(
    core: &Arc<Core>,
    folders: Vec<Folder>,
    occasion: Occasion,
    events: &EventSink,
) -> Result<Saved, Failure> {
    let member = core.member()?;
    let relying = core.relying.read().await;
    if occasion == Occasion::Asked {
        // A node that goes on running hears what is new anyway.
        super::sync::refresh(core, &member).await;
    }
    super::roster::ensure_epoch(core, &member).await?;
    let mut saved = Saved { snapshots: Vec::new(), unreadable: Vec::new(), failed: Vec::new() };
    for folder in folders {
        let path = folder.path.clone();
        match one(core, &member, folder, occasion, events).await? {
            Ok((snapshot, problems)) => {
                saved.snapshots.push(snapshot);
                if problems > 0 {
                    saved.unreadable.push((path, problems));
                }
            }
            Err(failure) => {
                let what = failure.message.clone();
                let problem = Problem { path: PathField::from(path.as_path()), what };
                events.problem(problem).await.map_err(EngineError::from)?;
                saved.failed.push((path, failure));
            }
        }
    }
    drop(relying);
    member.custody()?.may_tell().await;
    Ok(saved)
}

/// The folders of the list.
pub(crate) fn listed(core: &Core) -> Result<Vec<Folder>, EngineError> {
    let mut folders = core.state.folders()?;
    for folder in &mut folders {
        // Added by a version that kept paths as they were typed.
        if folder.path.components().any(|name| name == Component::ParentDir) {
            folder.path = settings::real(&folder.path);
        }
    }
    Ok(folders)
}

fn folders(core: &Core, wish: &Wish) -> Result<Vec<Folder>, Failure> {
    let kept = listed(core)?;
    let mut folders = if wish.paths.is_empty() {
        kept
    } else {
        wish.paths
            .iter()
            .map(|path| {
                let path = path.as_path();
                let kept = settings::kept_at(&kept, path).cloned();
                kept.unwrap_or_else(|| Folder { path: settings::real(path), excludes: Vec::new() })
            })
            .collect()
    };
    if folders.is_empty() {
        return Err(Failure::usage("no folder is backed up yet")
            .hint("add one with `larder add PATH`, or name one: `larder backup PATH`"));
    }
    for folder in &mut folders {
        folder.excludes.extend(wish.excludes.iter().cloned());
    }
    Ok(folders)
}

/// A snapshot and how many problems it has, or why the folder could not be saved.
type One = Result<(BackupSnapshot, u64), Failure>;

/// Backs one folder up. What is wrong with the folder itself does not concern the others.
async fn one(
    core: &Arc<Core>,
    member: &Arc<Member>,
    folder: Folder,
    occasion: Occasion,
    events: &EventSink,
) -> Result<One, Failure> {
    let config = core.config();
    let begun = wall();
    let plan = Plan {
        root: folder.path,
        excludes: folder.excludes,
        level: config.compression_level(),
        spool_bytes_max: (config.keep_own() != KeepOwn::All).then(|| config.spool_bytes_max()),
        is_automatic: occasion == Occasion::Recurring,
    };
    let source = ChunkSource::new(core, member);
    let (core, member, events) = (Arc::clone(core), Arc::clone(member), events.clone());
    let work = move || -> Result<One, Failure> {
        let custody = member.custody()?;
        let made = match backup::run(&core, &member, custody, &plan, &events) {
            Ok(made) => made,
            Err(error) if error.is_of_folder() => return Ok(Err(error.of_folder(&plan.root))),
            Err(error) => return Err(error.into()),
        };
        note_saved(&core, &plan, begun);
        let (files_new, files_changed) = match occasion {
            Occasion::Asked => compare(&source, &made),
            // Nobody looks at them.
            Occasion::Recurring => (0, 0),
        };
        let path = PathField::new(plan.root.as_os_str().as_bytes());
        let snapshot = BackupSnapshot {
            snapshot: made.snapshot.id.to_string(),
            path,
            unchanged: made.is_unchanged,
            files: made.snapshot.files,
            directories: made.directories,
            bytes: made.snapshot.bytes,
            files_new,
            files_changed,
            read_bytes: made.read_bytes,
            new_bytes: made.new_bytes,
            stored_bytes: made.stored_bytes,
        };
        Ok(Ok((snapshot, made.problems)))
    };
    match occasion {
        Occasion::Asked => {
            tokio::task::spawn_blocking(work).await.map_err(|_| BackupError::Panicked)?
        }
        Occasion::Recurring => aside::run(work).await?,
    }
}

/// Notes that a folder of the list was saved with all that belongs to it. Without the note it is only saved again sooner.
fn note_saved(core: &Core, plan: &Plan, begun: Timestamp) {
    let note = || {
        let is_this = |one: &Folder| one.path == plan.root && one.excludes == plan.excludes;
        if !listed(core)?.iter().any(is_this) {
            return Ok(());
        }
        core.recurrer.forgive(&plan.root);
        core.state.note_saved(&plan.root, begun).map_err(EngineError::from)
    };
    if let Err(error) = note() {
        warn!("when {} was saved could not be noted: {error}", plan.root.display());
    }
}

/// Files that came and files that changed since the snapshot before: found by comparing the two
/// trees, in time proportional to the change.
fn compare(source: &ChunkSource, made: &Made) -> (u64, u64) {
    let Some(parent) = made.parent else { return (made.snapshot.files, 0) };
    if made.is_unchanged {
        return (0, 0);
    }
    // Figures for the person: without them the backup is as good.
    super::look::count_files(source, parent, made.snapshot.id).unwrap_or_default()
}

/// A process that ends with its backup tells holders what is needed before it goes, or nothing that
/// was forgotten would ever leave them.
async fn let_tell(custody: &Custody) {
    let telling = async {
        while custody.is_telling().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(LET_TELL, telling).await;
}

/// Waits until the newest own head is safe, or the time that the whole command has is over.
async fn wait_until_safe(
    core: &Core,
    member: &Member,
    deadline: Option<Instant>,
    events: &EventSink,
) -> Result<Wait, Failure> {
    let custody = member.custody()?;
    let commit = core.state.commit_of(&member.keys.id()).map_err(EngineError::from)?;
    let seq = commit.map_or(0, |commit| commit.seq);
    let mut view = custody.view();
    let mut said = None;
    let names = report::peer_names(core)?;
    loop {
        let published = view.borrow_and_update().published_seq;
        events.check().map_err(EngineError::from)?;
        let Some(status) = custody.status().await else { return Err(Failure::interrupted()) };
        // Holders can have lost something of it since it was published.
        if published >= seq && status.is_whole(published) {
            return Ok(Wait::Safe);
        }
        let waiting = status.blocked.is_some();
        events.progress(Progress {
            stage: if waiting { Stage::Waiting } else { Stage::Sending },
            bytes_done: status.safe_bytes,
            bytes_total: Some(status.bytes),
            files_done: status.safe_packs,
            files_total: Some(status.packs),
        });
        if said != status.blocked {
            if let Some(Advice { text, hint }) = report::why_blocked(&status, &names) {
                events.notice(Level::Warning, format!("{text}: {hint}"));
            }
            said = status.blocked;
        }
        let hopeless = report::is_hopeless(said.as_ref()) || status.newest_lost > 0;
        if hopeless || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(Wait::Local);
        }
        let change = tokio::time::timeout(Duration::from_millis(250), view.changed());
        tokio::select! {
            // A time-out is as good as a change: figures are shown either way.
            _ = change => {}
            () = events.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests;
