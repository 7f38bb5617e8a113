//! `snapshots`, `ls`, `diff`, `find`, `cat`: looking without restoring.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;

use super::arguments::{absolute, inside, snapshot_name};
use crate::command::{Command, Failure, SnapshotName};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder snapshots
  larder snapshots --folder ~/Documents --device laptop
  larder snapshots --json | jq -r .snapshots[-1].snapshot")]
pub(super) struct SnapshotsArguments {
    /// Only of this device: its name, or the first digits of its id
    #[arg(long)]
    device: Option<String>,
    /// Only of this folder
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "SNAP is the first digits of an id, or `latest`: the snapshot saved last, of \
    one folder of one device. PATH is counted from the root of the snapshot, or is the whole path on the device.

Examples:
  larder ls latest
  larder ls 3fa9 letters/2025
  larder ls latest --recursive --json | jq -r .entries[].path"
)]
pub(super) struct LsArguments {
    /// Snapshot
    #[arg(value_name = "SNAP", value_parser = snapshot_name)]
    snapshot: SnapshotName,
    /// Directory or file in it
    #[arg(value_name = "PATH", default_value = "")]
    path: OsString,
    /// List what is below as well
    #[arg(long, short = 'R')]
    recursive: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder diff 3fa9 latest
  larder diff 3fa9 latest --path letters")]
pub(super) struct DiffArguments {
    /// Older snapshot
    #[arg(value_name = "A", value_parser = snapshot_name)]
    old: SnapshotName,
    /// Newer snapshot
    #[arg(value_name = "B", value_parser = snapshot_name)]
    new: SnapshotName,
    /// Only below this path
    #[arg(long, default_value = "")]
    path: OsString,
}

#[derive(Debug, Args)]
#[command(after_help = "A pattern without a slash is matched to names, one with a slash to whole \
    paths, counted from the root of the snapshot or, with a slash in front, from the root of the \
    device; `*` stays within a name, `**` does not.

Examples:
  larder find 'invoice*.pdf'
  larder find 'photos/**/*.jpg' --snapshot latest")]
pub(super) struct FindArguments {
    /// Glob
    pattern: String,
    /// Only in this snapshot
    #[arg(long, value_name = "SNAP", value_parser = snapshot_name)]
    snapshot: Option<SnapshotName>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  larder cat latest letters/will.txt
  larder cat 3fa9 photos.tar | tar t")]
pub(super) struct CatArguments {
    /// Snapshot
    #[arg(value_name = "SNAP", value_parser = snapshot_name)]
    snapshot: SnapshotName,
    /// File in it
    path: OsString,
}

impl SnapshotsArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let path = self.folder.map(absolute).transpose()?;
        Ok(Command::Snapshots { device: self.device, path })
    }
}

impl LsArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let path = inside(&self.path)?;
        Ok(Command::List { snapshot: self.snapshot, path, recursive: self.recursive })
    }
}

impl DiffArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(Command::Diff { old: self.old, new: self.new, path: inside(&self.path)? })
    }
}

impl FindArguments {
    pub(super) fn command(self) -> Command {
        Command::Find { pattern: self.pattern, snapshot: self.snapshot }
    }
}

impl CatArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        Ok(Command::Cat { snapshot: self.snapshot, path: inside(&self.path)? })
    }
}
