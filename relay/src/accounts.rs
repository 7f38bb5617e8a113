//! Whose sealed data a relay keeps: commands that the running relay carries out.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use larder_node::command::{
    ByteSize, Command, DeviceRole, Guest, InviteKind, InviteOutcome, LeaveAct, LeavingCircle,
    OfferOutcome, OfferedTo, Outcome, Waiting,
};
use larder_protocol::holding::granted;
use larder_relay::Config;

use crate::{explain, say};

/// How long a code can be used.
const CODE_VALID_S: u64 = 24 * 3600;

#[derive(Debug, Args)]
#[command(
    after_help = "Its devices bring what they need elsewhere first; what they need no more goes 90 days later. \
    --even-if-needed --yes erases it now: what they have nowhere else is lost, and nobody brings it back."
)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(crate) struct LeaveArguments {
    /// Its name
    name: String,
    /// Only tell how it stands
    #[arg(long, conflicts_with_all = ["cancel", "even_if_needed"])]
    show: bool,
    /// Keep for it after all
    #[arg(long, conflicts_with = "even_if_needed")]
    cancel: bool,
    /// Erase it now, whatever its devices need
    #[arg(long, requires = "yes")]
    even_if_needed: bool,
    /// It may be the only copy, and is to be erased all the same
    #[arg(long, requires = "even_if_needed")]
    yes: bool,
}

/// Has the running relay carry out a command.
fn ask(config: &Config, command: Command) -> Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot start")?.block_on(larder_relay::ask(config, command))?)
}

/// Makes a code for a vault that is to keep so much here.
pub(crate) fn code(config: &Config, name: &str, space: ByteSize) -> Result<InviteOutcome> {
    let invite = Command::Invite {
        kind: InviteKind::OneWay,
        role: DeviceRole::default(),
        guest: Guest { allowed: Some(space), called: Some(name.to_owned()) },
        expires_s: CODE_VALID_S,
        waiting: Waiting::No,
    };
    match ask(config, invite)? {
        Outcome::Invite(invited) => Ok(invited),
        _ => bail!("the relay answered something else"),
    }
}

/// Shows such a code.
pub(crate) fn show_code(config: &Config, invited: &InviteOutcome, space: ByteSize) -> Result<()> {
    say(&invited.code)?;
    explain(&format!(
        "This is a code for up to {space} of sealed data: good once, for a day, while the relay runs. One \
         device of that vault takes it, after the address of the relay, with: larder join CODE"
    ));
    if let Some(spoken) = &invited.spoken {
        explain(&format!("Within five minutes this is enough, for one try: larder join {spoken}"));
    }
    // What is shown is good, whether or not this can be told.
    if let Ok(held) = held(config, None, None) {
        warn_of_promises(&held, space.0);
    }
    Ok(())
}

fn held(config: &Config, to: Option<String>, bytes: Option<ByteSize>) -> Result<OfferOutcome> {
    match ask(config, Command::Offer { bytes, to })? {
        Outcome::Offer(held) => Ok(held),
        _ => bail!("the relay answered something else"),
    }
}

/// Says it where more is promised than there is; `more` is promised beside what is allowed.
fn warn_of_promises(held: &OfferOutcome, more: u64) {
    let allowed = held.vaults.iter().filter_map(|vault| vault.allowed_bytes);
    let promised = allowed.fold(more, u64::saturating_add);
    if promised > held.offered_bytes {
        explain(&format!(
            "More is promised than there is: {} in all, and `hold.space` is {}. Who comes last finds it full",
            ByteSize(promised),
            ByteSize(held.offered_bytes)
        ));
    }
}

/// Lists whose data is kept.
pub(crate) fn list(config: &Config) -> Result<()> {
    let held = held(config, None, None)?;
    for vault in &held.vaults {
        say(&line(vault, held.offered_bytes))?;
    }
    let (kept, offered) = (ByteSize(held.kept_bytes), ByteSize(held.offered_bytes));
    let free = ByteSize(held.disk_free_bytes);
    explain(&format!("{kept} of {offered} in all; {free} free on the disk"));
    warn_of_promises(&held, 0);
    Ok(())
}

/// Allows a vault more or less.
pub(crate) fn allow(config: &Config, name: String, space: ByteSize) -> Result<()> {
    let changed = held(config, Some(name), Some(space))?;
    for vault in &changed.vaults {
        say(&line(vault, changed.offered_bytes))?;
    }
    warn_of_promises(&held(config, None, None)?, 0);
    Ok(())
}

fn line(vault: &OfferedTo, offered: u64) -> String {
    let (kept, allowed) =
        (ByteSize(vault.kept_bytes), ByteSize(granted(vault.allowed_bytes, offered)));
    let seen = match vault.last_seen {
        Some(time) => format!("last heard of {time}"),
        None => "not heard of yet".to_owned(),
    };
    let leaves = if vault.leaving { "; goes apart: nothing more is taken" } else { "" };
    let (name, id) = (&vault.name, vault.vault.get(..8).unwrap_or(&vault.vault));
    format!("{name}: {kept} of {allowed}, vault {id}, {seen}{leaves}")
}

/// Goes apart from a vault, or tells how that stands.
pub(crate) fn leave(config: &Config, arguments: LeaveArguments) -> Result<()> {
    let LeaveArguments { name, show, cancel, even_if_needed, yes: _ } = arguments;
    let acts: &[LeaveAct] = match (show, cancel, even_if_needed) {
        (true, ..) => &[LeaveAct::Show],
        (_, true, _) => &[LeaveAct::Cancel],
        // Said first, so that its devices hear of it.
        (_, _, true) => &[LeaveAct::Want, LeaveAct::DropRegardless],
        (false, false, false) => &[LeaveAct::Want],
    };
    let mut circles = Vec::new();
    for act in acts {
        let leave = Command::Leave { whom: Some(name.clone()), act: *act };
        let Outcome::Leave(told) = ask(config, leave)? else {
            bail!("the relay answered something else")
        };
        circles = told.circles;
        // There was nothing that anybody had to wait for.
        if circles.iter().all(|circle| circle.done) {
            break;
        }
    }
    circles.iter().try_for_each(|circle| say(&standing(&name, circle)))
}

fn standing(name: &str, circle: &LeavingCircle) -> String {
    let kept = ByteSize(circle.kept_bytes);
    match (circle.done, circle.who, circle.days_left) {
        (true, ..) => format!("{name}: nothing is kept any more"),
        (_, None, _) => format!("{name}: {kept} are kept, and nobody leaves"),
        (_, Some(_), None) => {
            let waits = circle.theirs.waits_for.join(", ");
            format!("{name}: {kept} are kept until its devices need them no more: {waits}")
        }
        (_, Some(_), Some(days)) => {
            format!("{name}: {kept} are needed no more, and go in {days} days")
        }
    }
}
