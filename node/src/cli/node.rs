//! `status`, `verify`, `doctor`, `down`: how this node is.

use clap::Args;

use crate::command::Command;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  larder down")]
pub(super) struct DownArguments {}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  larder status\n  larder status --json | jq -e '.safety == \"safe\"'"
)]
pub(super) struct StatusArguments {}

#[derive(Debug, Args)]
#[command(
    after_help = "Ends with 1 when something is damaged, missing or lacking, else with 4 when a \
    holder did not answer or, with --drill, files are with nobody who did.

Examples:
  larder verify                 everything
  larder verify --sample 5      a random twentieth of it
  larder verify --drill         tries a restore: random files, from holders alone"
)]
pub(super) struct VerifyArguments {
    /// Everything (the default)
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// Only so many percent, chosen at random
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    sample: Option<u8>,
    /// Reads random files back from holders, as a restore without this device would, and compares
    /// them: 64 files, or parts of 4 MiB of larger ones. Writes none of them
    #[arg(long, conflicts_with_all = ["all", "sample"])]
    drill: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Ends with 1 when something is bad, with 4 when that is only that too few \
    holders answer.

Examples:
  larder doctor")]
pub(super) struct DoctorArguments {}

impl VerifyArguments {
    pub(super) fn command(self) -> Command {
        if self.drill {
            return Command::Drill;
        }
        Command::Verify { percent: self.sample.unwrap_or(100) }
    }
}
