//! Folders, offer and settings.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use larder_protocol::{manifest::SnapshotSummary, placing::Input, recurring, scrubbing};

use super::{
    Core, EngineError, launch, look::Shelf, names, on_disk, recurrer, rename, scrubber, sites,
    trail,
};
use crate::{
    command::{
        Failure, Folder as FolderLine, FoldersOutcome, Outcome, PassphraseAct, PathField, RawPath,
        Time,
    },
    files::check_patterns,
    home::DEVICE_NAME,
    state::folders::Folder,
};

/// Patterns kept with one folder: each is matched to every path of every backup.
const EXCLUDES_MAX: usize = 1000;

/// Adds folders, all or none; one that is there already gets the new excludes added.
pub(crate) async fn add(
    core: &Arc<Core>,
    paths: Vec<RawPath>,
    excludes: Vec<String>,
) -> Result<Outcome, Failure> {
    core.member()?;
    check_excludes(&excludes)?;
    let adding = Arc::clone(core);
    let work = move || -> Result<(), Failure> {
        let home = adding.home.directory();
        let folders = paths.iter().map(|path| folder_at(path.as_path(), home));
        for path in folders.collect::<Result<Vec<_>, _>>()? {
            let mut folder = adding
                .state
                .folder(&path)
                .map_err(EngineError::from)?
                .unwrap_or(Folder { path, excludes: Vec::new() });
            for pattern in &excludes {
                if !folder.excludes.contains(pattern) {
                    folder.excludes.push(pattern.clone());
                }
            }
            if folder.excludes.len() > EXCLUDES_MAX {
                let message = format!("a folder has at most {EXCLUDES_MAX} exclude patterns");
                return Err(Failure::usage(message));
            }
            adding.state.add_folder(&folder).map_err(EngineError::from)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)??;
    core.recurrer.tell(recurring::Input::FolderAdded).await;
    folders(core).await
}

/// Refuses patterns that mean nothing, before anything is kept or read.
pub(crate) fn check_excludes(excludes: &[String]) -> Result<(), Failure> {
    check_patterns(excludes).map_err(|error| {
        Failure::usage(Failure::from_error("cannot take the excludes", &error).message).hint(
            "patterns are in gitignore syntax, such as `target/`, `*.o` or `[ab]*`; a bracket that \
             is part of a name is written `\\[`",
        )
    })
}

/// The path under which a folder is added, if it can be.
fn folder_at(path: &Path, home: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    if !path.is_absolute() {
        return Err(Failure::usage(format!("`{shown}` is not an absolute path")));
    }
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::failed(format!("there is no folder {shown}"))
            .hint("check the spelling; what is added has to exist"),
        _ => Failure::failed(format!("cannot look at {shown}: {error}"))
            .hint("run larder as a user who may read the folder"),
    })?;
    if !found.is_dir() {
        return Err(Failure::usage(format!("{shown} is a file, not a folder"))
            .hint("add the folder in which it stands, and leave out the rest with --exclude"));
    }
    let folder = real(path);
    if folder.starts_with(real(home)) {
        return Err(Failure::usage(format!("{shown} lies in the home of larder itself"))
            .hint("name a folder of your own; larder never backs up its own home"));
    }
    Ok(folder)
}

/// The path of a folder without links, `..` and slashes in the end: under it the folder is kept,
/// and below it restored. As it is typed where nothing stands.
pub(super) fn real(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.components().collect())
}

/// The folder on the list that a person means: by the path it stands there under, else by the
/// directory that it is.
pub(super) fn kept_at<'a>(kept: &'a [Folder], path: &Path) -> Option<&'a Folder> {
    let typed: PathBuf = path.components().collect();
    let real = real(path);
    kept.iter().find(|one| one.path == typed).or_else(|| kept.iter().find(|one| one.path == real))
}

/// Takes folders off the list, all or none. A folder that is gone from the disk can be removed.
pub(crate) async fn remove(core: &Arc<Core>, paths: Vec<RawPath>) -> Result<Outcome, Failure> {
    let removing = Arc::clone(core);
    let work = move || -> Result<(), Failure> {
        let kept = removing.state.folders().map_err(EngineError::from)?;
        let listed = paths.iter().map(|path| {
            kept_at(&kept, path.as_path()).ok_or_else(|| {
                let message = format!("{} is not on the list", path.as_path().display());
                Failure::failed(message)
                    .hint("`larder folders` shows the list; name a folder as it stands there")
            })
        });
        for folder in listed.collect::<Result<Vec<_>, _>>()? {
            removing.state.remove_folder(&folder.path).map_err(EngineError::from)?;
            removing.recurrer.forgive(&folder.path);
        }
        Ok(())
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)??;
    folders(core).await
}

/// Lists folders with their newest snapshots.
pub(crate) async fn folders(core: &Arc<Core>) -> Result<Outcome, Failure> {
    Ok(Outcome::Folders(FoldersOutcome { folders: folder_lines(core).await? }))
}

/// The folders on this device's list, as [`all_lines`] has them.
pub(crate) async fn folder_lines(core: &Arc<Core>) -> Result<Vec<FolderLine>, EngineError> {
    let mut lines = all_lines(core).await?;
    lines.retain(|line| line.listed);
    Ok(lines)
}

/// The folders that this device backs up or has backed up, ascending by path, each with its newest
/// complete snapshot (or the newest checkpoint, before there is a complete one).
pub(crate) async fn all_lines(core: &Arc<Core>) -> Result<Vec<FolderLine>, EngineError> {
    let shelf = Shelf::of(core).await?;
    let own = core.keys.id();
    let reading = Arc::clone(core);
    on_disk(move || {
        let saved = reading.state.saved()?;
        let mut folders: BTreeMap<Vec<u8>, FolderLine> = BTreeMap::new();
        for folder in reading.state.folders()? {
            let path = PathField::from(folder.path.as_path());
            let excludes = folder.excludes;
            let saved = saved.get(&folder.path).copied().map(Time::from);
            let line = FolderLine { path, excludes, last: None, saved, listed: true };
            folders.insert(line.path.to_bytes(), line);
        }
        let mut newest: BTreeMap<Vec<u8>, SnapshotSummary> = BTreeMap::new();
        for one in names::live_snapshots(&reading)?.into_iter().filter(|one| one.device == own) {
            let age = |one: &SnapshotSummary| (one.complete, one.started);
            match newest.get(&*one.root_path) {
                Some(known) if age(known) > age(&one) => {}
                _ => {
                    newest.insert(one.root_path.to_vec(), one);
                }
            }
        }
        for (bytes, last) in newest {
            let path = PathField::new(&bytes);
            let unlisted =
                FolderLine { path, excludes: Vec::new(), last: None, saved: None, listed: false };
            folders.entry(bytes).or_insert(unlisted).last = Some(shelf.line(&last));
        }
        Ok::<_, EngineError>(folders.into_values().collect())
    })
    .await
}

/// Shows settings.
pub(crate) async fn config_get(core: &Arc<Core>, key: Option<String>) -> Result<Outcome, Failure> {
    let core = Arc::clone(core);
    let show = move || core.home.show_settings(key.as_deref());
    tokio::task::spawn_blocking(show).await.map_err(|_| EngineError::Stopped)?
}

/// Shows, checks or changes the passphrase of the device key.
pub(crate) async fn passphrase(core: &Arc<Core>, act: PassphraseAct) -> Result<Outcome, Failure> {
    let core = Arc::clone(core);
    // A guess takes its time, on purpose.
    let work = move || core.home.passphrase(&act);
    tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)?
}

/// The setting that says what is kept for others.
pub(super) const OFFER: &str = "depot.offer";
/// The setting that says where this device stands.
const SITE: &str = "device.site";

/// Changes a setting and lets it take effect at once, as far as it can.
pub(crate) async fn config_set(
    core: &Arc<Core>,
    key: String,
    value: Option<String>,
) -> Result<Outcome, Failure> {
    if key == DEVICE_NAME && core.member().is_ok() {
        rename::rename_this(core, value.clone()).await?;
    }
    let (changing, is_offer, is_site) = (Arc::clone(core), key == OFFER, key == SITE);
    let work = move || -> Result<Outcome, Failure> {
        // The lock is held over file and memory, so that two changes cannot cross.
        let mut config = changing.config.write().expect("no code panics while holding this lock");
        let outcome = changing.home.change_setting(&key, value.as_deref())?;
        *config = changing.home.config()?;
        changing.net.set_rates(launch::rates(&config));
        changing.holding.set_terms(&changing.state, config.offer_bytes())?;
        Ok(outcome)
    };
    let outcome = tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)??;
    if is_offer {
        let noting = Arc::clone(core);
        on_disk(move || trail::note_offer(&noting)).await?;
    }
    if let Ok(member) = core.member() {
        let policy = launch::policy(&core.config());
        member.custody()?.tell(Input::PolicyChanged(policy)).await;
        if is_offer && core.serves {
            // Who was refused for want of room hears that there may be some.
            super::sync::meet_everybody(core, &member);
        }
    }
    if is_site {
        sites::moved(core).await?;
    }
    core.tending.switch(core, core.serves && core.config().tends());
    core.meter.look();
    let period_ms = scrubber::period_ms(&core.config());
    core.scrubber.tell(scrubbing::Input::PeriodChanged { period_ms }).await;
    let every_ms = recurrer::every_ms(&core.config());
    core.recurrer.tell(recurring::Input::EveryChanged { every_ms }).await;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-37
    #[test]
    fn a_folder_must_exist_be_a_folder_and_lie_outside_the_home() {
        let outer = tempfile::tempdir().unwrap();
        let home = outer.path().join("home");
        fs::create_dir_all(home.join("depot")).unwrap();
        fs::create_dir(outer.path().join("docs")).unwrap();
        fs::write(outer.path().join("file"), b"x").unwrap();
        std::os::unix::fs::symlink(home.join("depot"), outer.path().join("link")).unwrap();
        let at = |name: &str| folder_at(&outer.path().join(name), &home);
        assert_eq!(at("docs//").unwrap(), outer.path().join("docs"));
        assert!(at("missing").unwrap_err().message.contains("no folder"));
        assert!(at("file").unwrap_err().hint.unwrap().contains("folder in which it stands"));
        for inside in ["home", "home/depot", "link"] {
            assert!(at(inside).unwrap_err().message.contains("home of larder"), "{inside}");
        }
        folder_at(Path::new("docs"), &home).unwrap_err();
        // One directory is one folder, however it is named.
        std::os::unix::fs::symlink("docs", outer.path().join("link to docs")).unwrap();
        for name in ["docs/../docs", "home/../docs/.", "link to docs"] {
            assert_eq!(at(name).unwrap(), outer.path().join("docs"), "{name}");
        }
        // The folder around the home may be added: the walk leaves the home out.
        folder_at(outer.path(), &home).unwrap();
    }
}
