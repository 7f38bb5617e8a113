//! `invite`: shows a code, and on a terminal waits beside it for whoever comes.

use std::io::{self, IsTerminal};

use clap::Args;
use serde_json::Map;

use super::{household::is_somebody_there, output::Output, session::Session};
use crate::command::{
    ByteSize, Command, DeviceRole, ExitKind, Failure, Guest, InviteKind, InviteOutcome, Launch,
    Outcome, Waiting, parse_span,
};

#[derive(Debug, Args)]
#[command(after_help = "Whoever has the code can join, so send it over something that you trust. \
    It works once, and only while this node is running (`larder up`). The short code beside it can be \
    spoken: it is good for one try, for five minutes, in the same network or by a relay of both.

On a terminal it waits until somebody has come, and asks whether to let him in: both screens show the same \
two words. Two that differ mean that somebody has put himself between: say no. Ctrl-C takes the \
invitation back.

Examples:
  larder invite                 a friend's vault: both keep shards for each other
  larder invite --space 200GB   of what this device offers, that vault may use so much
  larder invite --one-way       another's vault, for which this device keeps and which keeps nothing for it
  larder invite --device        another device of mine: it can read everything
  larder invite --device --qr   with a square for the camera of a phone
  larder invite --device --role member
                                one that reads and backs up, and has no say in which devices there are
  larder invite --no-wait --expires 2h")]
pub(super) struct InviteArguments {
    #[command(flatten)]
    whom: Whom,
    /// The code works once; this is always so, and stands here to say it
    #[arg(long)]
    once: bool,
    /// How long the code works
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_span)]
    expires: u64,
    /// Show the long code as a square as well
    #[arg(long)]
    qr: bool,
    #[command(flatten)]
    stay: Stay,
}

#[derive(Debug, Args)]
struct Whom {
    /// Invite another vault into my circle (the default)
    #[arg(long, conflicts_with = "device")]
    circle: bool,
    /// Keep for another vault, and have it keep nothing for mine
    #[arg(long, conflicts_with = "device")]
    one_way: bool,
    /// How much that vault may keep here [default: as much as is offered in all]
    #[arg(long, value_name = "BYTES", conflicts_with = "device")]
    space: Option<ByteSize>,
    /// What to call that vault here [default: the name of the device that joins]
    #[arg(long = "as", value_name = "NAME", conflicts_with = "device")]
    called: Option<String>,
    /// Invite another device into my vault
    #[arg(long)]
    device: bool,
    /// What it may do: an owner invites, removes and names devices, a member does not; both read everything
    #[arg(long, value_enum, default_value_t, requires = "device")]
    role: DeviceRole,
}

#[derive(Debug, Args)]
struct Stay {
    /// Wait until somebody has come; where nobody can be asked, he is let in
    #[arg(long)]
    wait: bool,
    /// Do not wait, and let in whoever comes with the code
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
}

impl InviteArguments {
    fn waiting(&self, output: &Output) -> Result<Waiting, Failure> {
        let Stay { wait, no_wait } = self.stay;
        if wait && output.is_json() {
            return Err(Failure::usage("a document is written at the end: the code would be late")
                .hint("without --wait it is written at once, and the invitation stays open"));
        }
        let is_asked = !no_wait && is_somebody_there(output) && io::stdout().is_terminal();
        Ok(match (is_asked, wait) {
            (true, _) => Waiting::Ask,
            (false, true) => Waiting::Report,
            (false, false) => Waiting::No,
        })
    }
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: InviteArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let waiting = arguments.waiting(output)?;
    if arguments.qr {
        output.draw_codes();
    }
    let Whom { circle: _, one_way, space: allowed, called, device, role } = arguments.whom;
    let kind = match (device, one_way) {
        (true, _) => InviteKind::Device,
        (false, true) => InviteKind::OneWay,
        (false, false) => InviteKind::Circle,
    };
    let (guest, expires_s) = (Guest { allowed, called }, arguments.expires);
    let command = Command::Invite { kind, role, guest, expires_s, waiting };
    let outcome = session.answer(command, output).await?;
    if let Outcome::Invite(InviteOutcome { joined: None, .. }) = &outcome
        && waiting != Waiting::No
    {
        let message =
            "the node of this home does not wait: it is of another version than this program";
        return Err(Failure::failed(message).hint("start it anew, and invite again"));
    }
    Ok(output.outcome(&outcome, Map::new()))
}
