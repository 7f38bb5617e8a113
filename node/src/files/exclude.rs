//! What a walk leaves out: patterns in gitignore syntax, the larder home, other file systems.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{CWD, FileType};
use thiserror::Error;

use super::{Why, names::is_part_name, status::Status};

/// A pattern that is not valid gitignore syntax.
#[derive(Debug, Error)]
#[error("exclude pattern number {number} is not valid gitignore syntax")]
pub struct PatternError {
    /// Which one, counted from 1.
    pub number: usize,
    /// What is wrong with it.
    #[source]
    pub source: ignore::Error,
}

/// Checks that all patterns are valid gitignore syntax. A bracket that is never closed is not: it
/// matches nothing in git and itself in a walk, and neither is what a person meant.
///
/// # Errors
/// [`PatternError`] for the first that is not.
pub fn check_patterns(patterns: &[String]) -> Result<(), PatternError> {
    let mut strict = GitignoreBuilder::new("");
    strict.allow_unclosed_class(false);
    for (index, pattern) in patterns.iter().enumerate() {
        let number = index + 1;
        strict.add_line(None, pattern).map_err(|source| PatternError { number, source })?;
    }
    Rules::new(patterns, &[], false).map(|_| ())
}

/// Everything that decides whether an entry is left out.
#[derive(Debug)]
pub(crate) struct Rules {
    patterns: Option<Gitignore>,
    /// Objects left out wherever they are met.
    never: BTreeSet<(u64, u64)>,
    cross_file_systems: bool,
}

impl Rules {
    /// Reads `patterns`, relative to the root of the walk, and looks at the paths in `never`; one
    /// that does not exist cannot be met.
    pub(crate) fn new(
        patterns: &[String],
        never: &[PathBuf],
        cross_file_systems: bool,
    ) -> Result<Self, PatternError> {
        let mut builder = GitignoreBuilder::new("");
        for (index, pattern) in patterns.iter().enumerate() {
            let number = index + 1;
            builder.add_line(None, pattern).map_err(|source| PatternError { number, source })?;
        }
        let compiled =
            builder.build().map_err(|source| PatternError { number: patterns.len(), source })?;
        // The directory meant, and a symlink by which it is named.
        let objects = |path: &PathBuf| {
            let name = path.as_os_str().as_bytes();
            [Status::at(CWD, name), Status::followed(path)].into_iter().flatten()
        };
        let never = never.iter().flat_map(objects).map(|status| status.object()).collect();
        let patterns = (!patterns.is_empty()).then_some(compiled);
        Ok(Self { patterns, never, cross_file_systems })
    }

    pub(crate) fn is_never(&self, status: &Status) -> bool {
        self.never.contains(&status.object())
    }

    /// Why the entry at `path` is left out, if it is. `path` is made only when there are patterns.
    pub(crate) fn leaves_out(
        &self,
        name: &[u8],
        status: &Status,
        path: impl FnOnce() -> Vec<u8>,
    ) -> Option<Why> {
        if is_part_name(name) {
            return Some(Why::Part);
        }
        if self.is_never(status) {
            return Some(Why::Home);
        }
        let patterns = self.patterns.as_ref()?;
        let path = path();
        let is_directory = status.file_type == FileType::Directory;
        let path = Path::new(OsStr::from_bytes(&path));
        patterns.matched(path, is_directory).is_ignore().then_some(Why::Excluded)
    }

    /// Why the entries of the directory `inner` within `outer` are left out, if they are.
    pub(crate) fn stays_out_of(&self, outer_device: u64, inner: &Status) -> Option<Why> {
        let other = !self.cross_file_systems && inner.device != outer_device;
        other.then_some(Why::OtherFileSystem)
    }
}
