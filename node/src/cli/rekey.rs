//! `rekey`: making anew what is sealed under keys that a removed device had.

use clap::Args;

use crate::command::{Command, RekeyAct};

#[derive(Debug, Args)]
#[command(
    after_help = "A removed device has the keys of all that was saved before it was removed. Holders \
    refuse it since, so it does not get what they keep; should somebody come by that in another way, those \
    keys would open it. This seals all of it with the newest key. It cannot take back what somebody has \
    copied already.

`larder up` does it by and by, a quarter of the time at most, after backups, and goes on after a restart; \
    without a running node this command does all of it. Each device does its own part. Everything is \
    stored anew: holders need room for it, and let go of the old packs after 30 days (90 where it is much).

Examples:
  larder rekey --dry-run      what would be done, and what removed devices could read
  larder rekey                done by and by while the node runs
  larder rekey --now          all of it now
  larder rekey --stop         not any more; what was done stays"
)]
pub(super) struct RekeyArguments {
    /// Do all of it now, and wait until it is safe
    #[arg(long, conflicts_with_all = ["dry_run", "stop"])]
    now: bool,
    /// Only tell what there is to do, how far it is, and what removed devices could read
    #[arg(long, conflicts_with = "stop")]
    dry_run: bool,
    /// Take the wish back
    #[arg(long)]
    stop: bool,
}

impl RekeyArguments {
    pub(super) const fn command(self) -> Command {
        let act = match (self.now, self.dry_run, self.stop) {
            (true, ..) => RekeyAct::Now,
            (_, true, _) => RekeyAct::Show,
            (.., true) => RekeyAct::Stop,
            (false, false, false) => RekeyAct::Want,
        };
        Command::Rekey { act }
    }
}
