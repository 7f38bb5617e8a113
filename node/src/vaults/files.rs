//! The files of one vault: written whole, durable before anybody is told.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use larder_protocol::{
    head::{
        SignedHead,
        past::{Superseded, worth_keeping},
    },
    ids::{DeviceId, VaultId},
    limits::{
        CLAIMED_BYTES_MAX, ERRAND_FILE_BYTES_MAX, GUARD_BYTES_MAX, HEAD_BYTES_MAX,
        INTRODUCTIONS_BYTES_MAX, LOG_ENTRY_BYTES_MAX,
    },
    log::LogEntry,
    time::Timestamp,
};
use tracing::warn;

use super::VaultError;

/// Names that were being written when the program ended.
const NEW_PREFIX: &str = ".new-";
/// Folders of vaults that are being removed.
const FORGOTTEN_PREFIX: &str = ".forgotten-";

/// The file of a vault's guardians.
const GUARD: &str = "guard";
/// The file of who holds for a vault.
const INTRODUCTIONS: &str = "introductions";

/// `vaults/<vault hex>/`.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    vault: VaultId,
    own: PathBuf,
    log: PathBuf,
    heads: PathBuf,
    past: PathBuf,
    claims: PathBuf,
    errands: PathBuf,
}

/// The folders of all vaults below `directory`.
pub(super) fn vault_folders(directory: &Path) -> Result<Vec<Folder>, VaultError> {
    fs::create_dir_all(directory).map_err(|source| disk(directory, source))?;
    let mut folders = Vec::new();
    for name in names(directory)? {
        if name.starts_with(FORGOTTEN_PREFIX) {
            remove_forgotten(&directory.join(&name));
            continue;
        }
        match name.parse::<VaultId>() {
            Ok(vault) => folders.push(Folder::create(directory, vault)?),
            Err(_) => warn!("{}: not a vault's folder", directory.join(name).display()),
        }
    }
    Ok(folders)
}

impl Folder {
    /// Makes the folder durable if it is new.
    pub(super) fn create(directory: &Path, vault: VaultId) -> Result<Self, VaultError> {
        let own = directory.join(vault.to_string());
        let (log, heads, past) = (own.join("log"), own.join("heads"), own.join("past"));
        let (claims, errands) = (own.join("claims"), own.join("errands"));
        let folder = Self { vault, own, log, heads, past, claims, errands };
        let all = [&folder.log, &folder.heads, &folder.past, &folder.claims, &folder.errands];
        for path in all {
            fs::create_dir_all(path).map_err(|source| disk(path, source))?;
            remove_unfinished(path)?;
        }
        remove_unfinished(&folder.own)?;
        for path in [folder.own.as_path(), directory] {
            sync_directory(path)?;
        }
        Ok(folder)
    }

    /// Removes it with everything in it. It gets another name first: what a crash leaves is no vault's folder.
    pub(super) fn remove(&self) -> Result<(), VaultError> {
        let directory = self.own.parent().unwrap_or(&self.own);
        let forgotten = directory.join(format!("{FORGOTTEN_PREFIX}{}", self.vault));
        remove_forgotten(&forgotten);
        fs::rename(&self.own, &forgotten).map_err(|source| disk(&self.own, source))?;
        sync_directory(directory)?;
        remove_forgotten(&forgotten);
        Ok(())
    }

    pub(super) const fn vault(&self) -> VaultId {
        self.vault
    }

    /// Makes these entries durable, all together.
    pub(super) fn keep_entries<'e>(
        &self,
        entries: impl Iterator<Item = &'e [u8]>,
    ) -> Result<(), VaultError> {
        for entry in entries {
            let hash = LogEntry::decode(entry)?.hash();
            write_whole(&self.log, &hash.to_string(), entry)?;
        }
        sync_directory(&self.log)
    }

    /// Makes exactly these heads of a device durable as its newest. New ones come before old ones
    /// go to the past.
    pub(super) fn keep_heads<'h>(
        &self,
        device: &DeviceId,
        heads: impl Iterator<Item = &'h SignedHead>,
    ) -> Result<(), VaultError> {
        let mut kept = Vec::new();
        for head in heads {
            let name = format!("{device}-{}", head.hash());
            // Also what has that name already: it may be damaged, and is acknowledged now.
            write_whole(&self.heads, &name, head.bytes())?;
            kept.push(name);
        }
        sync_directory(&self.heads)?;
        let prefix = format!("{device}-");
        for name in names(&self.heads)? {
            if name.starts_with(&prefix) && !kept.contains(&name) {
                self.supersede(&name)?;
            }
        }
        self.thin_past(device)
    }

    /// Moves a head to the past. When it came is the time of its file, by this node's clock.
    fn supersede(&self, name: &str) -> Result<(), VaultError> {
        let path = self.heads.join(name);
        let arrived = fs::metadata(&path).and_then(|file| file.modified());
        let arrived = arrived.map_err(|source| disk(&path, source))?;
        let since = arrived.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (device, hash) = name.split_once('-').unwrap_or((name, ""));
        let past = self.past.join(format!("{device}-{since:016x}-{hash}"));
        fs::rename(&path, &past).map_err(|source| disk(&past, source))
    }

    /// Removes superseded heads that are not worth keeping. One that cannot be read stays.
    fn thin_past(&self, device: &DeviceId) -> Result<(), VaultError> {
        let all = self.past(device)?;
        let stay = worth_keeping(all.iter().map(|(superseded, _, _)| *superseded));
        for (superseded, path, _) in &all {
            if !stay.contains(&superseded.head) {
                fs::remove_file(path).map_err(|source| disk(path, source))?;
            }
        }
        sync_directory(&self.past)?;
        sync_directory(&self.heads)
    }

    /// The superseded heads of a device that are kept, as far as they can be read.
    pub(super) fn past(
        &self,
        device: &DeviceId,
    ) -> Result<Vec<(Superseded, PathBuf, SignedHead)>, VaultError> {
        let prefix = format!("{device}-");
        let mut all = Vec::new();
        for name in names(&self.past)? {
            let Some(rest) = name.strip_prefix(&prefix) else { continue };
            let path = self.past.join(&name);
            let arrived = rest.split_once('-').map(|(arrived, _)| u64::from_str_radix(arrived, 16));
            let Some(Ok(arrived)) = arrived else { continue };
            let bytes = read_bounded(&path, HEAD_BYTES_MAX)?.unwrap_or_default();
            match SignedHead::decode(&bytes) {
                Ok(head) => {
                    let arrived = Timestamp(arrived);
                    let (seq, hash) = (head.body().seq, head.hash());
                    all.push((Superseded { arrived, seq, head: hash }, path, head));
                }
                Err(error) => warn!("{}: {error}", path.display()),
            }
        }
        Ok(all)
    }

    /// What is kept of its guardians, if anything is.
    pub(super) fn guard(&self) -> Result<Option<Vec<u8>>, VaultError> {
        // What a newer program keeps may be longer: its beginning says that it is newer.
        let path = self.own.join(GUARD);
        let most = u64::try_from(GUARD_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
        let file = match File::open(&path) {
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|source| disk(&path, source))?,
        };
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(|source| disk(&path, source))?;
        Ok(Some(bytes))
    }

    /// Makes it durable.
    pub(super) fn keep_guard(&self, bytes: &[u8]) -> Result<(), VaultError> {
        write_whole(&self.own, GUARD, bytes)?;
        sync_directory(&self.own)
    }

    /// Who holds for it, if anybody has said so.
    pub(super) fn introductions(&self) -> Result<Option<Vec<u8>>, VaultError> {
        read_if_there(&self.own.join(INTRODUCTIONS), INTRODUCTIONS_BYTES_MAX)
    }

    /// Makes it durable.
    pub(super) fn keep_introductions(&self, bytes: &[u8]) -> Result<(), VaultError> {
        write_whole(&self.own, INTRODUCTIONS, bytes)?;
        sync_directory(&self.own)
    }

    /// Devices whose list of claims is kept.
    pub(super) fn claiming_devices(&self) -> Result<Vec<DeviceId>, VaultError> {
        Ok(names(&self.claims)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// What a device needs, if it has told.
    pub(super) fn claimed(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, VaultError> {
        read_if_there(&self.claims.join(device.to_string()), CLAIMED_BYTES_MAX)
    }

    /// Makes it durable.
    pub(super) fn keep_claimed(&self, device: &DeviceId, bytes: &[u8]) -> Result<(), VaultError> {
        write_whole(&self.claims, &device.to_string(), bytes)?;
        sync_directory(&self.claims)
    }

    /// What is kept for holders that devices of the vault do not reach.
    pub(super) fn errands(&self) -> Result<Vec<Vec<u8>>, VaultError> {
        read_all(&self.errands, ERRAND_FILE_BYTES_MAX)
    }

    /// Makes it durable, in place of the one before.
    pub(super) fn keep_errand(
        &self,
        device: &DeviceId,
        holder: &DeviceId,
        bytes: &[u8],
    ) -> Result<(), VaultError> {
        write_whole(&self.errands, &format!("{device}-{holder}"), bytes)?;
        sync_directory(&self.errands)
    }

    /// Removes one that counts no more. A crash may bring it back, and then it counts no more either.
    pub(super) fn drop_errand(
        &self,
        device: &DeviceId,
        holder: &DeviceId,
    ) -> Result<(), VaultError> {
        let path = self.errands.join(format!("{device}-{holder}"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => Err(disk(&path, source)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(super) fn log_entries(&self) -> Result<Vec<Vec<u8>>, VaultError> {
        read_all(&self.log, LOG_ENTRY_BYTES_MAX)
    }

    pub(super) fn heads(&self) -> Result<Vec<Vec<u8>>, VaultError> {
        read_all(&self.heads, HEAD_BYTES_MAX)
    }
}

/// temp, write, fsync, rename. Durable once the caller has synced the directory.
fn write_whole(directory: &Path, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
    let temporary = directory.join(format!("{NEW_PREFIX}{name}"));
    let path = directory.join(name);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    write().map_err(|source| {
        // The error counts; what is left of the temporary file goes at the next start.
        let _ = fs::remove_file(&temporary);
        disk(&path, source)
    })
}

fn read_all(directory: &Path, bytes_max: usize) -> Result<Vec<Vec<u8>>, VaultError> {
    let mut all = Vec::new();
    for name in names(directory)? {
        all.extend(read_bounded(&directory.join(&name), bytes_max)?);
    }
    Ok(all)
}

/// The same of a file that need not be there.
fn read_if_there(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, VaultError> {
    match path.try_exists() {
        Ok(true) => read_bounded(path, bytes_max),
        Ok(false) => Ok(None),
        Err(source) => Err(disk(path, source)),
    }
}

/// The bytes of a file, unless it is too long for what it should be.
fn read_bounded(path: &Path, bytes_max: usize) -> Result<Option<Vec<u8>>, VaultError> {
    let length = fs::metadata(path).map_err(|source| disk(path, source))?.len();
    if usize::try_from(length).is_ok_and(|length| length <= bytes_max) {
        return fs::read(path).map(Some).map_err(|source| disk(path, source));
    }
    warn!("{}: too long for a record, left alone", path.display());
    Ok(None)
}

/// The names in a directory, ascending.
fn names(directory: &Path) -> Result<Vec<String>, VaultError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|source| disk(directory, source))? {
        let entry = entry.map_err(|source| disk(directory, source))?;
        match entry.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => warn!("{}: a foreign file", directory.join(name).display()),
        }
    }
    names.sort();
    Ok(names)
}

fn remove_unfinished(directory: &Path) -> Result<(), VaultError> {
    for name in names(directory)?.iter().filter(|name| name.starts_with(NEW_PREFIX)) {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != ErrorKind::NotFound => return Err(disk(&path, source)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// What cannot be removed now is no vault's folder any more, and in nobody's way.
fn remove_forgotten(path: &Path) {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            warn!("{}: what was forgotten could not be removed: {error}", path.display());
        }
        Ok(()) | Err(_) => {}
    }
}

fn sync_directory(path: &Path) -> Result<(), VaultError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| disk(path, source))
}

fn disk(path: &Path, source: std::io::Error) -> VaultError {
    VaultError::Disk { path: path.to_owned(), source }
}
