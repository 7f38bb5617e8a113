//! `leave`: going apart from another person's vault.

use clap::Args;

use crate::command::{Command, LeaveAct};

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is lost by it: what the other side keeps for you is placed with others first, and what \
    you keep for it stays until each of its devices has done the same. Then it waits 90 days more, against \
    thieves and mistakes. Everything goes on by itself while the nodes run; devices that are away are waited \
    for. A device that will not come back is thrown out by its own vault (`larder revoke`).

Nobody can be made to keep anything: --drop-theirs --even-if-needed makes the room free at once, whatever the \
    other side says. It may be the only copy.

Examples:
  larder leave anna --dry-run           what would have to be moved, and whether there is room
  larder leave anna                     begin
  larder leave                          how it stands
  larder leave anna --cancel            stay after all
  larder leave anna --give-up-copies    do without what cannot be placed elsewhere
  larder leave anna --drop-theirs       as soon as her devices need it no more, without the 90 days"
)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct LeaveArguments {
    /// Name of one of its devices, or the beginning of an id [default: tell how all stand]
    #[arg(value_name = "WHO")]
    whom: Option<String>,
    /// Only tell what would have to be done
    #[arg(long, requires = "whom", conflicts_with_all = ["cancel", "give_up_copies", "drop_theirs"])]
    dry_run: bool,
    /// Stay after all
    #[arg(long, requires = "whom", conflicts_with_all = ["give_up_copies", "drop_theirs"])]
    cancel: bool,
    /// Do without what it keeps, though it is not on as many other sites
    #[arg(long, requires = "whom", conflicts_with = "drop_theirs")]
    give_up_copies: bool,
    /// Erase what is kept here for it as soon as its devices need it no more
    #[arg(long, requires = "whom")]
    drop_theirs: bool,
    /// Erase it now: what its devices have nowhere else is lost
    #[arg(long, requires = "drop_theirs")]
    even_if_needed: bool,
}

impl LeaveArguments {
    pub(super) fn command(self) -> Command {
        let flags = [self.cancel, self.give_up_copies, self.even_if_needed, self.drop_theirs];
        let act = match (&self.whom, flags) {
            (None, _) => LeaveAct::Show,
            _ if self.dry_run => LeaveAct::Show,
            (_, [true, ..]) => LeaveAct::Cancel,
            (_, [_, true, ..]) => LeaveAct::GiveUp,
            (_, [_, _, true, _]) => LeaveAct::DropRegardless,
            (_, [.., true]) => LeaveAct::Drop,
            (Some(_), [false, false, false, false]) => LeaveAct::Want,
        };
        Command::Leave { whom: self.whom, act }
    }
}
