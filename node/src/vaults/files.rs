//! The files of one vault: written whole, durable before anybody is told.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, VaultId},
    limits::{HEAD_BYTES_MAX, LOG_ENTRY_BYTES_MAX},
    log::LogEntry,
};
use tracing::warn;

use super::VaultError;

/// Names that were being written when the program ended.
const NEW_PREFIX: &str = ".new-";

/// `vaults/<vault hex>/`.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    vault: VaultId,
    log: PathBuf,
    heads: PathBuf,
}

/// The folders of all vaults below `directory`.
pub(super) fn vault_folders(directory: &Path) -> Result<Vec<Folder>, VaultError> {
    fs::create_dir_all(directory).map_err(|source| disk(directory, source))?;
    let mut folders = Vec::new();
    for name in names(directory)? {
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
        let folder = Self { vault, log: own.join("log"), heads: own.join("heads") };
        for path in [&folder.log, &folder.heads] {
            fs::create_dir_all(path).map_err(|source| disk(path, source))?;
            remove_unfinished(path)?;
        }
        for path in [&own, directory] {
            sync_directory(path)?;
        }
        Ok(folder)
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

    /// Makes exactly these heads of a device durable. New ones come before old ones go.
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
                let path = self.heads.join(name);
                fs::remove_file(&path).map_err(|source| disk(&path, source))?;
            }
        }
        Ok(())
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
        let path = directory.join(&name);
        let length = fs::metadata(&path).map_err(|source| disk(&path, source))?.len();
        if usize::try_from(length).is_ok_and(|length| length <= bytes_max) {
            all.push(fs::read(&path).map_err(|source| disk(&path, source))?);
        } else {
            warn!("{}: too long for a record, left alone", path.display());
        }
    }
    Ok(all)
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

fn sync_directory(path: &Path) -> Result<(), VaultError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| disk(path, source))
}

fn disk(path: &Path, source: std::io::Error) -> VaultError {
    VaultError::Disk { path: path.to_owned(), source }
}
