//! `forget`, `pin`, `unpin`: which snapshots stay.

use clap::Args;

use super::arguments::snapshot_name;
use crate::command::{Command, Failure, Keep, SnapshotName, parse_span};

/// What goes by rules is not named, and the other way round.
const RULES: [&str; 7] = [
    "keep_last",
    "keep_hourly",
    "keep_daily",
    "keep_weekly",
    "keep_monthly",
    "keep_yearly",
    "keep_within",
];

#[derive(Debug, Args)]
#[command(
    after_help = "A snapshot stays when any rule keeps it, or it is pinned. Rules count for each device and \
    folder on its own, in UTC; rules always leave the newest complete one. Only snapshots of this \
    device are forgotten. Holders keep the data of forgotten ones for 30 days more, or 90 when it \
    is a quarter of all that they keep, and until every device of the vault has told them that it \
    does not need it.

What a running node has saved by itself it thins out by itself: `larder config get backup.keep`.

Examples:
  larder forget --keep-last 10 --dry-run
  larder forget --keep-daily 14 --keep-weekly 8 --keep-monthly 24
  larder forget --keep-within 90d
  larder forget 3fa9 77c0 --dry-run"
)]
pub(super) struct ForgetArguments {
    /// Forget these, by their ids, whatever rules there are
    #[arg(value_name = "SNAP", value_parser = snapshot_id, conflicts_with_all = RULES)]
    snapshots: Vec<SnapshotName>,
    /// Also if nothing is left to restore of a folder
    #[arg(long, requires = "snapshots", conflicts_with_all = RULES)]
    even_last: bool,
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

#[derive(Debug, Args)]
#[command(
    after_help = "What is pinned stays whatever `larder forget --keep-...` and `backup.keep` say, and \
    cannot be named to `larder forget` before it is unpinned.

Examples:
  larder pin latest
  larder pin 3fa9 77c0"
)]
pub(super) struct PinArguments {
    /// Snapshots of this device
    #[arg(required = true, value_name = "SNAP", value_parser = snapshot_name)]
    snapshots: Vec<SnapshotName>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder unpin 3fa9")]
pub(super) struct UnpinArguments {
    /// Snapshots of this device
    #[arg(required = true, value_name = "SNAP", value_parser = snapshot_name)]
    snapshots: Vec<SnapshotName>,
}

/// Which is `latest` changes with every backup: what is to go is named by its id.
fn snapshot_id(text: &str) -> Result<SnapshotName, String> {
    match snapshot_name(text)? {
        SnapshotName::Latest => {
            Err("what is to be forgotten is named by its id, see `larder snapshots`".to_owned())
        }
        name => Ok(name),
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
        if !self.snapshots.is_empty() {
            let Self { snapshots, even_last, dry_run, .. } = self;
            return Ok(Command::ForgetNamed { snapshots, even_last, dry_run });
        }
        if keep.is_empty() {
            return Err(Failure::usage("without a rule nothing would be kept").hint(
                "say what stays, such as --keep-daily 14 --keep-monthly 12, or name what is to go",
            ));
        }
        Ok(Command::Forget { keep, dry_run: self.dry_run })
    }
}

impl PinArguments {
    pub(super) fn command(self) -> Command {
        Command::Pin { snapshots: self.snapshots, pinned: true }
    }
}

impl UnpinArguments {
    pub(super) fn command(self) -> Command {
        Command::Pin { snapshots: self.snapshots, pinned: false }
    }
}
