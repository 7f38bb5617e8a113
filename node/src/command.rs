//! What a person or a program can ask of a node: the one vocabulary of the command line, the
//! control socket and the engine.
//!
//! A [`Command`] goes in, [`Event`]s stream out while it works, an [`Outcome`] or a [`Failure`]
//! ends it. It makes no difference whether the engine runs in this process or in `larder up`
//! behind the socket. Nothing here does anything. Source: specs/command_line.md.

mod attendance;
mod count;
mod deeds;
mod doctor;
mod drill;
mod engine;
mod event;
mod failure;
mod guardians;
mod invited;
mod joined;
mod leaving;
mod logged;
mod outcome;
mod passphrase;
mod peer;
mod rekey;
mod removal;
mod renamed;
mod role;
mod row;
mod sheet;
mod size;
mod span;
mod tending;
mod text;
mod trial;

use serde::{Deserialize, Serialize};

pub use self::{
    attendance::{Attendance, ExpectOutcome, Expectation, HolderKind, Presence},
    count::count,
    doctor::{Check, DoctorOutcome, Health},
    drill::{DrillFailure, DrillOutcome, FailedFile, LastDrill, ServingHolder},
    engine::{Engine, InitOptions, Launch, OpenOptions, Reveal},
    event::{Cancelled, Event, EventSink, EventStream, Level, Progress, Stage},
    failure::{ExitKind, Failure},
    guardians::{
        GatheredOutcome, GatheredVault, GaveOutcome, GuardianName, GuardianOf, GuardiansAct,
        GuardiansOutcome, PhraseRequest, WaitingOutcome,
    },
    invited::{About, Guest, InviteOutcome, Joined, Question, Waiting},
    joined::JoinOutcome,
    leaving::{Kept, LeaveAct, LeaveOutcome, LeavingCircle, LeavingSide, WhoLeaves},
    logged::{LogLine, LogOutcome, LogSource},
    outcome::*,
    passphrase::{OpenedBy, PassphraseAct, PassphraseDone, PassphraseOutcome, SealKind},
    peer::{Peer, PeerPath, PeerState, PeersOutcome},
    rekey::{OlderKey, OtherClaims, RekeyAct, RekeyOutcome, RekeyProgress, RemovedReader},
    removal::{Removal, RemovalReason, RevokeOutcome},
    renamed::RenameOutcome,
    role::DeviceRole,
    row::{Change, ChangeKind, Entry, EntryKind, Found, Problem, Row},
    sheet::{SheetAside, SheetDevice, SheetHolder, SheetOutcome},
    size::{ByteSize, ParseSizeError},
    span::{parse_span, show_span},
    tending::TendedVault,
    text::{PathField, RawPath, Secret, TargetField, Time},
    trial::{TrialHolder, TrialLack, TrialOutcome, TrialSnapshot},
};

/// One request to a node. Paths are absolute when they name something on this machine, and
/// relative to the snapshot's root (empty for the root itself) when they name something in a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Adds folders to what this device backs up; an existing one gets the new excludes added.
    Add {
        /// Folders.
        paths: Vec<RawPath>,
        /// Patterns in gitignore syntax, relative to each folder.
        excludes: Vec<String>,
    },
    /// Takes folders off the list. Their snapshots stay.
    Remove {
        /// Folders.
        paths: Vec<RawPath>,
    },
    /// Lists what this device backs up.
    Folders,
    /// Makes one snapshot of each folder now.
    Backup {
        /// Folders, all added ones when empty.
        paths: Vec<RawPath>,
        /// Patterns for this run, beside those kept with the folder.
        excludes: Vec<String>,
        /// What to wait for.
        wait: Wait,
        /// Seconds to wait for safety after reading is done; `None` waits until interrupted.
        timeout_s: Option<u64>,
    },
    /// Lists snapshots, oldest first.
    Snapshots {
        /// Only of this device (name or id prefix).
        device: Option<String>,
        /// Only of this folder.
        path: Option<RawPath>,
    },
    /// Streams the entries of a directory of a snapshot as [`Row::Entry`].
    List {
        /// Which snapshot.
        snapshot: SnapshotName,
        /// Directory or file in it.
        path: RawPath,
        /// Whether to go down.
        recursive: bool,
    },
    /// Streams a file of a snapshot as [`Event::Bytes`].
    Cat {
        /// Which snapshot.
        snapshot: SnapshotName,
        /// File in it.
        path: RawPath,
    },
    /// Streams what differs between two snapshots as [`Row::Change`].
    Diff {
        /// Older side.
        old: SnapshotName,
        /// Newer side.
        new: SnapshotName,
        /// Only below this path, the whole tree when empty.
        path: RawPath,
    },
    /// Streams entries whose name or path matches as [`Row::Found`].
    Find {
        /// A glob (`*.jpg`, `photos/**/img_*`); without a slash it is matched to the name alone.
        pattern: String,
        /// Only in this one, all when `None`.
        snapshot: Option<SnapshotName>,
    },
    /// Restores paths of a snapshot into a directory.
    Restore {
        /// Which snapshot.
        snapshot: SnapshotName,
        /// What of it, everything when empty.
        paths: Vec<RawPath>,
        /// Where to; made when it does not exist.
        to: RawPath,
        /// What happens to a file that is already there.
        overwrite: Overwrite,
        /// Only streams what would be done, as [`Row::Entry`].
        dry_run: bool,
    },
    /// Sets (or with `None` shows) how many bytes this device keeps for others.
    Offer {
        /// Bytes.
        bytes: Option<ByteSize>,
        /// For this vault alone, of what is offered in all: what it is called here, the name of one of its
        /// devices, or the beginning of an id.
        #[serde(default)]
        to: Option<String>,
    },
    /// Makes an invitation and keeps it open.
    Invite {
        /// Whom it invites.
        kind: InviteKind,
        /// What a new device becomes. Of no meaning for another vault.
        #[serde(default)]
        role: DeviceRole,
        /// What another vault gets. Of no meaning for a new device.
        #[serde(default)]
        guest: Guest,
        /// Seconds until it expires.
        expires_s: u64,
        /// Whether it waits for whoever comes.
        #[serde(default)]
        waiting: Waiting,
    },
    /// Streams what happened to this vault and at this node as [`Row::Logged`].
    Log,
    /// Answers a [`Question`] of another command.
    Answer {
        /// Its number.
        question: u32,
        /// The answer.
        yes: bool,
    },
    /// Accepts an invitation.
    Join {
        /// The text that `invite` printed.
        code: String,
        /// Name of this device; for a device that has no vault yet.
        name: Option<String>,
        /// Household of this device.
        site: Option<String>,
        /// Whether a person is asked if the words on both screens are the same.
        #[serde(default)]
        asks: bool,
    },
    /// Shows this node's addresses as one text.
    Ticket,
    /// Learns the addresses in a ticket and tries them.
    Connect {
        /// The text that `ticket` printed.
        ticket: String,
    },
    /// Makes this fresh home a device of the vault of a recovery phrase.
    Recover {
        /// The 24 words.
        phrase: Secret,
        /// Tickets of nodes to ask.
        connect: Vec<String>,
        /// Name of this device.
        name: Option<String>,
        /// Household of this device.
        site: Option<String>,
    },
    /// Makes this fresh home a device of a vault whose phrase its guardians give back. Goes on where it
    /// was when it is given again.
    RecoverByGuardians {
        /// Tickets of holders to ask, beside those that guardians name.
        connect: Vec<String>,
        /// Name of this device.
        name: Option<String>,
        /// Household of this device.
        site: Option<String>,
        /// New file for the phrase.
        phrase_out: RawPath,
        /// Beginning of the id of the vault that is meant.
        vault: Option<String>,
        /// Forget what was gathered before.
        anew: bool,
    },
    /// Who the guardians of this vault are, or what is to be done about them.
    Guardians {
        /// What.
        act: GuardiansAct,
    },
    /// Hands this vault's share of another one's phrase to somebody who asks for help.
    GiveShare {
        /// The code that he told.
        code: String,
        /// Whose share: name of a device or beginning of an id; may be left out where there is one.
        of: Option<String>,
    },
    /// Shows that the phrase would bring the vault back, and changes nothing.
    Trial {
        /// The 24 words.
        phrase: Secret,
        /// Tickets of nodes to ask.
        connect: Vec<String>,
        /// Relays to look at beside those of the settings, with their tokens.
        relays: Vec<Secret>,
    },
    /// Gathers what a recovery sheet says.
    Sheet,
    /// Lists the devices of this vault.
    Devices,
    /// Gives a device another name.
    Rename {
        /// The name.
        name: String,
        /// Which, by its name or the beginning of its id; this one when `None`.
        device: Option<String>,
    },
    /// Removes a device from the vault.
    Revoke {
        /// Its name, or the beginning of its id.
        device: String,
        /// Why.
        reason: RemovalReason,
        /// Devices that it removed come back.
        undo: bool,
        /// The recovery phrase, whose word comes before that of every device.
        phrase: Option<Secret>,
    },
    /// Has what is sealed under older keys made anew under the newest one, or tells of it.
    Rekey {
        /// What is to be done.
        act: RekeyAct,
    },
    /// Goes apart from another vault of the circle, or tells how that stands.
    Leave {
        /// Name of one of its devices, or the beginning of an id; all when `None`.
        whom: Option<String>,
        /// What is to be done.
        act: LeaveAct,
    },
    /// Lists the nodes that this one knows.
    Peers,
    /// Says what is to be expected of a holder, or (with `None`) shows what was learnt of it.
    Expect {
        /// Its name, or the beginning of its id.
        device: String,
        /// What is to be expected.
        expectation: Option<Expectation>,
    },
    /// Tells how safe everything is.
    Status,
    /// Reads back what this device keeps, for itself and for others.
    Verify {
        /// How much of it, in percent (1 to 100).
        percent: u8,
    },
    /// Reads files that were drawn back from holders, as a restore would.
    Drill,
    /// Marks snapshots that are not needed any more.
    Forget {
        /// What to keep.
        keep: Keep,
        /// Only tells what would be marked.
        dry_run: bool,
    },
    /// Marks the snapshots of this device that are named, whatever rules there are.
    ForgetNamed {
        /// Which.
        snapshots: Vec<SnapshotName>,
        /// Also where no complete snapshot of a folder is left.
        even_last: bool,
        /// Only tells what would be marked.
        dry_run: bool,
    },
    /// Has snapshots of this device stay whatever rules there are, or not any more.
    Pin {
        /// Which.
        snapshots: Vec<SnapshotName>,
        /// Whether they are to stay.
        pinned: bool,
    },
    /// Checks home, clock, network and holders.
    Doctor,
    /// Shows settings.
    ConfigGet {
        /// One key, all when `None`.
        key: Option<String>,
    },
    /// Changes a setting.
    ConfigSet {
        /// Key, such as `policy.copies`.
        key: String,
        /// Value as text; `None` goes back to the default.
        value: Option<String>,
    },
    /// Shows, checks or changes the passphrase of the device key.
    Passphrase {
        /// What.
        act: PassphraseAct,
    },
    /// Stops the running node. Answered by the control socket, never seen by an engine.
    Shutdown,
}

/// How far `backup` waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Until the snapshot is complete and durable on this device.
    Local,
    /// Until enough holders have signed that they keep it.
    #[default]
    Safe,
}

/// What `restore` does with a file that is already there and differs. Something of another kind (a
/// file where a folder goes) is kept and named as a problem, except by `always`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Overwrite {
    /// Leaves it.
    Never,
    /// Replaces it when the snapshot's is newer.
    Newer,
    /// Replaces it when size or time differ.
    #[default]
    Changed,
    /// Replaces it without looking, unless its content is the same; also what is of another kind,
    /// but never a folder with entries.
    Always,
}

/// Whom an invitation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InviteKind {
    /// Another vault, which will keep shards for this one and the other way round.
    #[default]
    Circle,
    /// Another device of this vault: it can read everything.
    Device,
    /// Another vault, for which this device keeps shards, and not the other way round.
    OneWay,
}

/// A snapshot as a person names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotName {
    /// The newest complete one of all, whichever folder and device it is of.
    Latest,
    /// The first hex digits of its id, lower case, 1 to 64 of them.
    Prefix(String),
}

/// What `forget` keeps; a snapshot kept by any rule stays. Counted per device and folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Keep {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many hours that have one.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for weeks.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// Everything made within so many seconds before the newest.
    pub within_s: u64,
}

impl Keep {
    /// Whether there is no rule at all, which would forget everything and is refused.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests;
