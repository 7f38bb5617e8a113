//! What stands in the way: things of another kind than the snapshot has at their place.
//!
//! Whoever restores may have put something of his own there. So that nothing goes unnoticed, it is
//! kept and told of, and only [`Policy::Always`] replaces it; a directory with entries never goes.

use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, unlinkat};

use super::{DirHandle, Policy, Target, TargetError};
use crate::files::{directory::Listing, names::check_name, status::Status};

impl Target {
    /// What [`Self::enter_dir`] would do: the directory if it is there already, `None` if it would
    /// be made. Changes nothing.
    ///
    /// # Errors
    /// As of entering it.
    pub fn plan_dir(
        &self,
        parent: &DirHandle,
        name: &[u8],
    ) -> Result<Option<DirHandle>, TargetError> {
        check_name(name)?;
        match self.existing(parent, name)? {
            Some(status) if status.file_type == FileType::Directory => self.look_into(parent, name),
            Some(status) => {
                self.may_make_way(parent, name, &status, FileType::Directory).map(|()| None)
            }
            None => Ok(None),
        }
    }

    /// The same for [`Self::pass_dir`].
    ///
    /// # Errors
    /// As of passing it.
    pub fn plan_way(
        &self,
        parent: &DirHandle,
        name: &[u8],
    ) -> Result<Option<DirHandle>, TargetError> {
        check_name(name)?;
        match self.existing(parent, name)? {
            Some(status) => {
                is_way(parent, name, &status)?;
                self.look_into(parent, name)
            }
            None => Ok(None),
        }
    }

    /// Opens a directory that is there.
    fn look_into(&self, parent: &DirHandle, name: &[u8]) -> Result<Option<DirHandle>, TargetError> {
        let path = parent.path_of(name);
        let opened = self.inner.resolver.open(&parent.fd, &[name]);
        let fd = opened.map_err(|source| TargetError::new(&path, source))?;
        Ok(fd.map(|fd| {
            let (fd, path) = (Arc::new(fd), path.into());
            DirHandle { fd, path, is_new: false, is_plain: false, mode_before: None }
        }))
    }

    /// Whether what stands at `name` may go, so that something of another kind takes its place.
    pub(super) fn may_make_way(
        &self,
        parent: &DirHandle,
        name: &[u8],
        existing: &Status,
        wanted: FileType,
    ) -> Result<(), TargetError> {
        let (path, there) = (parent.path_of(name), existing.file_type);
        if there == FileType::Directory && self.has_entries(parent, name) {
            Err(TargetError::NotEmpty { path })
        } else if self.inner.policy == Policy::Always {
            Ok(())
        } else {
            Err(TargetError::InTheWay { path, there, wanted })
        }
    }

    fn has_entries(&self, directory: &DirHandle, name: &[u8]) -> bool {
        let opened = self.inner.resolver.open(&directory.fd, &[name]).ok().flatten();
        // One that cannot be looked into is refused later, with the kernel's reason.
        opened.is_some_and(|fd| Listing::read(&fd).0.len() > 0)
    }

    /// Removes an empty directory that stands where something else should be.
    pub(super) fn clear_way(
        &self,
        parent: &DirHandle,
        name: &[u8],
        existing: Option<&Status>,
    ) -> Result<(), TargetError> {
        if existing.is_some_and(|status| status.file_type == FileType::Directory) {
            unlinkat(&parent.fd, name, AtFlags::REMOVEDIR)
                .map_err(|source| TargetError::new(&parent.path_of(name), source))?;
        }
        Ok(())
    }
}

/// Whether what stands at `name` is a directory, as everything on the way has to be.
pub(super) fn is_way(
    parent: &DirHandle,
    name: &[u8],
    existing: &Status,
) -> Result<(), TargetError> {
    let (there, wanted) = (existing.file_type, FileType::Directory);
    if there == wanted {
        Ok(())
    } else {
        Err(TargetError::InTheWay { path: parent.path_of(name), there, wanted })
    }
}

/// What a person calls an entry of this type.
pub fn called(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symlink",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::Unknown => "something else",
    }
}
