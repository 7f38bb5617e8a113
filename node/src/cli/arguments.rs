//! The shape of the command line: global flags and one verb. Scripts rely on these names.

use std::{mem::take, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use larder_protocol::relaying::RelayAddress;

use super::{
    folders, guardians, init, invite, leave, log, look, node, pair, passphrase, rekey, rename,
    restore, retention, revoke, settings, sheet, up,
};
use crate::command::{Command, Failure, SnapshotName};

/// Keeps your data on the devices that you and your family already own.
///
/// Every device runs a node. A node backs up its folders, encrypted, onto devices that you trust,
/// and a new device restores from them with nothing but a recovery phrase.
#[derive(Debug, Parser)]
#[command(
    name = "larder",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Examples:
  larder init --name laptop                 make a vault; write the 24 words on paper
  larder add ~/Documents --exclude '*.tmp'  what to back up
  larder up                                 run the node
  larder invite                             then `larder join CODE` at a friend's node
  larder backup                             one snapshot now, safe when it returns
  larder snapshots                          one line for each folder and time
  larder restore latest --to ~/restored     get back what was saved last

Exit codes: 0 done, 1 failed, 2 usage, 3 done but some files could not be read or written,
4 not enough holders reachable, 5 wrong phrase or key, 130 interrupted. Where several hold, the
first of 130, 2, 5, 1, 4, 3."
)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// Flags that every verb has.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Global {
    /// Directory with all state of one node [default: larder in the user's data directory]
    #[arg(long, global = true, env = "LARDER_HOME", value_name = "DIR", hide_env_values = true)]
    pub(super) home: Option<PathBuf>,
    /// File with the passphrase that seals the device key; seals a key that is made now [default: asked for]
    #[arg(
        long,
        global = true,
        env = "LARDER_PASSPHRASE_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub(super) passphrase_file: Option<PathBuf>,
    /// Print one JSON document on stdout: sizes in bytes, times in RFC 3339
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Print results and errors only: no progress, no summaries
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Tell more about what is going on
    #[arg(long, short, global = true)]
    pub(super) verbose: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Make a vault and its first device, and show the recovery phrase once
    Init(init::InitArguments),
    /// Run the node in the foreground
    Up(up::UpArguments),
    /// Stop the node that runs on this home
    Down(node::DownArguments),
    /// Add folders to what this device backs up
    Add(folders::AddArguments),
    /// Take folders off the list; their snapshots stay
    Remove(folders::RemoveArguments),
    /// Show what this device backs up
    Folders(folders::FoldersArguments),
    /// Make one snapshot of each folder now
    Backup(folders::BackupArguments),
    /// Show the snapshots, oldest first
    Snapshots(look::SnapshotsArguments),
    /// List a directory of a snapshot
    Ls(look::LsArguments),
    /// Show what changed between two snapshots
    Diff(look::DiffArguments),
    /// Find files in snapshots
    Find(look::FindArguments),
    /// Write a file of a snapshot to stdout
    Cat(look::CatArguments),
    /// Restore a snapshot, or some of it, into a directory
    Restore(restore::RestoreArguments),
    /// Say how much this device keeps for others
    Offer(pair::OfferArguments),
    /// Invite another vault into the circle, or another device of mine
    Invite(invite::InviteArguments),
    /// Accept an invitation
    Join(pair::JoinArguments),
    /// Show the addresses of this node as one text
    Ticket(pair::TicketArguments),
    /// Learn the addresses of another node
    Connect(pair::ConnectArguments),
    /// Make this fresh home a device of my vault, from the recovery phrase
    Recover(restore::RecoverArguments),
    /// Appoint relatives who can give the recovery phrase back, help one who asks, stop one who should not
    Guardians(guardians::GuardiansArguments),
    /// Make a recovery sheet: the page of paper that brings everything back
    Sheet(sheet::SheetArguments),
    /// Show the devices of this vault
    Devices(pair::DevicesArguments),
    /// What happened to this vault and at this device, signed
    Log(log::LogArguments),
    /// Give this device, or another one of this vault, another name
    Rename(rename::RenameArguments),
    /// Remove a lost or stolen device from this vault
    Revoke(revoke::RevokeArguments),
    /// Seal anew, with the newest key, what removed devices have the keys of
    Rekey(rekey::RekeyArguments),
    /// Go apart from another person's vault, without either losing anything
    Leave(leave::LeaveArguments),
    /// Show the nodes that this one knows, and what they hold
    Peers(pair::PeersArguments),
    /// Say what to expect of a holder: that it is lost, or away for a while
    Expect(pair::ExpectArguments),
    /// Tell how safe everything is, what is wrong, and what to do about it
    Status(node::StatusArguments),
    /// Read back what this device keeps and compare
    Verify(node::VerifyArguments),
    /// Mark snapshots that are not needed any more
    Forget(retention::ForgetArguments),
    /// Have snapshots stay whatever rules there are
    Pin(retention::PinArguments),
    /// Take pins off: rules forget them as any other
    Unpin(retention::UnpinArguments),
    /// Seal the key of this device with a passphrase
    Passphrase(passphrase::PassphraseArguments),
    /// Check home, clock, network and holders
    Doctor(node::DoctorArguments),
    /// Show or change settings
    Config(settings::ConfigArguments),
    /// Show it all: back up, lose the device, restore; in temporary homes on this machine
    Demo(crate::demo::DemoArguments),
    /// Print a completion script for a shell
    Completions(settings::CompletionsArguments),
}

/// What a verb comes down to.
#[derive(Debug)]
pub(super) enum Step {
    /// Make a home and a vault.
    Init(init::InitArguments),
    /// Run the node.
    Up(up::UpArguments),
    /// Invite somebody, and wait for him.
    Invite(invite::InviteArguments),
    /// Show or change guardians.
    Guardians(guardians::GuardiansArguments),
    /// Make a recovery sheet.
    Sheet(sheet::SheetArguments),
    /// Show or change how the device key is kept.
    Passphrase(passphrase::PassphraseArguments),
    /// Ask the engine.
    Ask(Command),
    /// Keep these relays for a home that may not be there yet, then ask the engine.
    AskBehind(Vec<RelayAddress>, Command),
    /// Make a completion script; needs no home.
    Completions(clap_complete::Shell),
    /// Check a document of `log`; needs no home.
    CheckLog(PathBuf),
    /// Play the demo; has homes of its own.
    Demo(crate::demo::DemoArguments),
}

impl Verb {
    /// The step; paths become absolute here, because a node has another working directory.
    pub(super) fn step(self) -> Result<Step, Failure> {
        let command = match self {
            Self::Init(arguments) => return Ok(Step::Init(arguments)),
            Self::Up(arguments) => return Ok(Step::Up(arguments)),
            Self::Guardians(arguments) => return Ok(Step::Guardians(arguments)),
            Self::Sheet(arguments) => return Ok(Step::Sheet(arguments)),
            Self::Passphrase(arguments) => return Ok(Step::Passphrase(arguments)),
            Self::Demo(arguments) => return Ok(Step::Demo(arguments)),
            Self::Completions(arguments) => return Ok(Step::Completions(arguments.shell)),
            Self::Down(_) => Command::Shutdown,
            Self::Add(arguments) => arguments.command()?,
            Self::Remove(arguments) => arguments.command()?,
            Self::Folders(_) => Command::Folders,
            Self::Backup(arguments) => arguments.command()?,
            Self::Snapshots(arguments) => arguments.command()?,
            Self::Ls(arguments) => arguments.command()?,
            Self::Diff(arguments) => arguments.command()?,
            Self::Find(arguments) => arguments.command(),
            Self::Cat(arguments) => arguments.command()?,
            Self::Restore(arguments) => arguments.command()?,
            Self::Offer(arguments) => arguments.command(),
            Self::Invite(arguments) => return Ok(Step::Invite(arguments)),
            Self::Join(mut arguments) => {
                let relays = take(&mut arguments.relays.relay);
                return Ok(Step::AskBehind(relays, arguments.command()));
            }
            Self::Ticket(_) => Command::Ticket,
            Self::Connect(arguments) => arguments.command(),
            Self::Recover(arguments) if arguments.is_dry() => arguments.command()?,
            Self::Recover(mut arguments) => {
                let relays = take(&mut arguments.relays.relay);
                return Ok(Step::AskBehind(relays, arguments.command()?));
            }
            Self::Log(log::LogArguments { check: Some(path) }) => return Ok(Step::CheckLog(path)),
            Self::Log(log::LogArguments { check: None }) => Command::Log,
            Self::Devices(_) => Command::Devices,
            Self::Rename(arguments) => arguments.command(),
            Self::Revoke(arguments) => arguments.command()?,
            Self::Rekey(arguments) => arguments.command(),
            Self::Leave(arguments) => arguments.command(),
            Self::Peers(_) => Command::Peers,
            Self::Expect(arguments) => arguments.command(),
            Self::Status(_) => Command::Status,
            Self::Verify(arguments) => arguments.command(),
            Self::Forget(arguments) => arguments.command()?,
            Self::Pin(arguments) => arguments.command(),
            Self::Unpin(arguments) => arguments.command(),
            Self::Doctor(_) => Command::Doctor,
            Self::Config(arguments) => arguments.command(),
        };
        Ok(Step::Ask(command))
    }
}

/// Reads the name of a snapshot: `latest`, or hex digits.
pub(super) fn snapshot_name(text: &str) -> Result<SnapshotName, String> {
    let prefix = text.to_ascii_lowercase();
    if prefix == "latest" {
        return Ok(SnapshotName::Latest);
    }
    let hex = prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex && (1..=64).contains(&prefix.len()) {
        Ok(SnapshotName::Prefix(prefix))
    } else {
        Err("a snapshot is `latest` or the first digits of an id that `larder snapshots` shows"
            .to_owned())
    }
}

/// A path of this machine, absolute; links in it are left as they are.
pub(super) fn absolute(path: PathBuf) -> Result<crate::command::RawPath, Failure> {
    std::path::absolute(&path)
        .map(Into::into)
        .map_err(|error| Failure::usage(format!("`{}` is not a path: {error}", path.display())))
}

/// A path in a snapshot: from its root, no matter how many slashes were typed.
pub(super) fn inside(path: &std::ffi::OsStr) -> Result<crate::command::RawPath, Failure> {
    use std::os::unix::ffi::OsStrExt;
    let parts: Vec<&[u8]> = path
        .as_bytes()
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(Failure::usage("`..` has no meaning in a path of a snapshot")
            .hint("give the path from the root of the snapshot, as `larder ls` shows it"));
    }
    Ok(parts.join(&b'/').into())
}
