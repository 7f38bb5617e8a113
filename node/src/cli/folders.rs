//! `add`, `remove`, `folders`, `backup`, `forget`: what is backed up, now, and for how long.

use std::path::PathBuf;

use clap::Args;

use super::arguments::absolute;
use crate::command::{Command, Failure, Keep, RawPath, Wait, parse_span};

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

#[derive(Debug, Args)]
#[command(after_help = "A snapshot stays when any rule keeps it. Rules count for each device and \
    folder on its own, in UTC; the newest complete one always stays. Only snapshots of this \
    device are forgotten. Holders keep the data of forgotten ones for 30 days more, or 90 when it \
    is a quarter of all that they keep, and until every device of the vault has told them that it \
    does not need it.

What a running node has saved by itself it thins out by itself: `larder config get backup.keep`.

Examples:
  larder forget --keep-last 10 --dry-run
  larder forget --keep-daily 14 --keep-weekly 8 --keep-monthly 24
  larder forget --keep-within 90d")]
pub(super) struct ForgetArguments {
    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t)]
    keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_hourly: u32,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_daily: u32,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_weekly: u32,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_monthly: u32,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_yearly: u32,
    /// Keep everything made within this time before the newest: 12h, 90d, 8w, 1y
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    keep_within: Option<u64>,
    /// Only tell what would be forgotten, and what space returns
    #[arg(long)]
    dry_run: bool,
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

impl ForgetArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let keep = Keep {
            last: self.keep_last,
            hourly: self.keep_hourly,
            daily: self.keep_daily,
            weekly: self.keep_weekly,
            monthly: self.keep_monthly,
            yearly: self.keep_yearly,
            within_s: self.keep_within.unwrap_or(0),
        };
        if keep.is_empty() {
            return Err(Failure::usage("without a rule nothing would be kept")
                .hint("say what stays, such as --keep-daily 14 --keep-monthly 12"));
        }
        Ok(Command::Forget { keep, dry_run: self.dry_run })
    }
}

fn all_absolute(paths: Vec<PathBuf>) -> Result<Vec<RawPath>, Failure> {
    paths.into_iter().map(absolute).collect()
}
