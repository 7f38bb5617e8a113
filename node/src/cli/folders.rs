//! `add`, `remove`, `folders`, `backup`: what is backed up, and now.

use std::path::PathBuf;

use clap::Args;

use super::arguments::absolute;
use crate::command::{Command, Failure, RawPath, Wait};

#[derive(Debug, Args)]
#[command(after_help = "Patterns are in gitignore syntax, relative to each folder. Directories \
    with a CACHEDIR.TAG, other file systems below a folder, and larder's own home are always left out.

A running node (`larder up`) saves them by itself; `larder backup` does it now.

Examples:
  larder add ~/Documents ~/Pictures
  larder add ~/src --exclude target/ --exclude '*.o'")]
pub(super) struct AddArguments {
    /// Folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Leave out what matches; may be given many times
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder remove ~/Documents")]
pub(super) struct RemoveArguments {
    /// Folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  larder folders\n  larder folders --json | jq -r .folders[].path"
)]
pub(super) struct FoldersArguments {}

#[derive(Debug, Args)]
#[command(
    after_help = "A running node backs up by itself (`larder config get backup.every`). What is saved by this \
    command stays until `larder forget`.

A folder that is not there is named, and the others are backed up (exit code 3).
A snapshot is safe when enough holders have signed that they keep it, see \
    `larder config get policy.copies`.

Examples:
  larder backup                        all folders; returns when they are safe
  larder backup --wait local           returns when the snapshot is complete on this device
  larder backup ~/Documents --timeout 600"
)]
pub(super) struct BackupArguments {
    /// Folders, all added ones when none is given
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Leave out what matches in this run, beside what was excluded by `add`
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// What to wait for
    #[arg(long, value_enum, default_value_t)]
    wait: Wait,
    /// Do not wait for safety when so many seconds have passed since the command began (exit code
    /// 4); the backup itself is completed and stays
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

impl AddArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(Command::Add { paths: all_absolute(self.paths)?, excludes: self.exclude })
    }
}

impl RemoveArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(Command::Remove { paths: all_absolute(self.paths)? })
    }
}

impl BackupArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(Command::Backup {
            paths: all_absolute(self.paths)?,
            excludes: self.exclude,
            wait: self.wait,
            timeout_s: self.timeout,
        })
    }
}

fn all_absolute(paths: Vec<PathBuf>) -> Result<Vec<RawPath>, Failure> {
    paths.into_iter().map(absolute).collect()
}
