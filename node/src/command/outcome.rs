//! How a command ended well: one typed document per command.
//!
//! With `--json` this is what stands on stdout, so names of fields and variants are a promise
//! (CLI-5): new fields may come, none is renamed or dropped. Sizes end in `_bytes` or are called
//! `bytes`; times are RFC 3339; ids are full lower-case hex.

use serde::{Deserialize, Serialize};

use super::{
    ByteSize, DeviceRole, DoctorOutcome, DrillOutcome, ExitKind, ExpectOutcome, GatheredOutcome,
    GaveOutcome, GuardiansOutcome, InviteOutcome, JoinOutcome, LastDrill, LeaveOutcome, LogOutcome,
    PassphraseOutcome, PathField, PeersOutcome, RekeyOutcome, RekeyProgress, Removal,
    RenameOutcome, RevokeOutcome, SheetOutcome, TendedVault, Time, TrialOutcome, Wait,
    WaitingOutcome,
};

/// The document of a finished command; `outcome` in JSON says which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Of `init`.
    Init(InitOutcome),
    /// Of `up`, printed when it is ready.
    Ready(ReadyOutcome),
    /// Of `add`, `remove` and `folders`: the list as it is now.
    Folders(FoldersOutcome),
    /// Of `backup`.
    Backup(BackupOutcome),
    /// Of `snapshots`.
    Snapshots(SnapshotsOutcome),
    /// Of `ls`, after the rows.
    List(ListOutcome),
    /// Of `cat`, after the bytes.
    Cat(CatOutcome),
    /// Of `diff`, after the rows.
    Diff(DiffOutcome),
    /// Of `find`, after the rows.
    Find(FindOutcome),
    /// Of `restore`.
    Restore(RestoreOutcome),
    /// Of `offer`.
    Offer(OfferOutcome),
    /// Of `invite`.
    Invite(InviteOutcome),
    /// Of `join`.
    Join(JoinOutcome),
    /// Of `ticket`.
    Ticket(TicketOutcome),
    /// Of `connect`.
    Connect(ConnectOutcome),
    /// Of `recover`.
    Recover(RecoverOutcome),
    /// Of `recover --guardians` with shares enough, until somebody says which vault is meant.
    Gathered(GatheredOutcome),
    /// Of `recover --guardians` while the delay runs.
    Waiting(WaitingOutcome),
    /// Of `guardians`, whatever was done about them: how it is now.
    Guardians(GuardiansOutcome),
    /// Of `guardians give`.
    Gave(GaveOutcome),
    /// Of `recover --dry-run`.
    Trial(TrialOutcome),
    /// Of `sheet`.
    Sheet(SheetOutcome),
    /// Of `devices`.
    Devices(DevicesOutcome),
    /// Of `rename`.
    Rename(RenameOutcome),
    /// Of `revoke`.
    Revoke(RevokeOutcome),
    /// Of `rekey`.
    Rekey(RekeyOutcome),
    /// Of `leave`.
    Leave(LeaveOutcome),
    /// Of `peers`.
    Peers(PeersOutcome),
    /// Of `expect`.
    Expect(ExpectOutcome),
    /// Of `status`.
    Status(StatusOutcome),
    /// Of `verify`.
    Verify(VerifyOutcome),
    /// Of `verify --drill`.
    Drill(DrillOutcome),
    /// Of `forget`.
    Forget(ForgetOutcome),
    /// Of `pin` and `unpin`.
    Pin(PinOutcome),
    /// Of `doctor`.
    Doctor(DoctorOutcome),
    /// Of `config`.
    Config(ConfigOutcome),
    /// Of `passphrase`: how the device key is kept now.
    Passphrase(PassphraseOutcome),
    /// Of `log`, after the rows.
    Log(LogOutcome),
    /// Of an answer to a question: it was taken.
    Answered,
    /// Of `down`: the node stops.
    Stopping,
}

impl Outcome {
    /// How the process exits: done, or done with something missing. Where several hold, the first
    /// in the order of `specs/command_line.md`: failed, holders, unreadable.
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            Self::Backup(done) if done.wanted == Wait::Safe && done.reached == Wait::Local => {
                ExitKind::Holders
            }
            Self::Backup(done) if done.problems_total > 0 => ExitKind::Unreadable,
            Self::Restore(done) if done.problems_total > 0 => ExitKind::Unreadable,
            Self::Verify(done) if done.damaged + done.missing > 0 => ExitKind::Failed,
            Self::Verify(done) if done.holders.iter().any(|asked| asked.lacking > 0) => {
                ExitKind::Failed
            }
            // What a silent holder has was not verified.
            Self::Verify(done) if done.holders.iter().any(|asked| !asked.answered) => {
                ExitKind::Holders
            }
            Self::Drill(done) => done.exit_kind(),
            Self::Connect(done) if !done.reached => ExitKind::Holders,
            Self::Doctor(done) => done.exit_kind(),
            Self::Trial(done) => done.exit_kind(),
            Self::Rekey(done) => done.exit_kind(),
            _ => ExitKind::Done,
        }
    }
}

/// See [`Outcome::Init`]. The phrase is never in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitOutcome {
    /// Id of the new vault.
    pub vault: String,
    /// Id of this device.
    pub device: String,
    /// Name of this device.
    pub name: String,
    /// Household of this device.
    pub site: String,
    /// Whether the device key is sealed with a passphrase.
    pub sealed: bool,
}

/// See [`Outcome::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyOutcome {
    /// Id of this device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Its vault, `null` when this home waits for `join` or `recover`.
    pub vault: Option<String>,
    /// Socket addresses at which it listens.
    pub addresses: Vec<String>,
    /// The same as one text for `connect`.
    pub ticket: String,
    /// Process id.
    pub pid: u32,
}

/// See [`Outcome::Folders`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoldersOutcome {
    /// The folders, ascending by path.
    pub folders: Vec<Folder>,
}

/// A folder that this device backs up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Absolute path.
    #[serde(flatten)]
    pub path: PathField,
    /// Patterns in gitignore syntax.
    pub excludes: Vec<String>,
    /// Its newest snapshot.
    pub last: Option<Snapshot>,
    /// When it was last saved as it was then, changed or not: an unchanged folder makes no snapshot.
    #[serde(default)]
    pub saved: Option<Time>,
    /// Whether it is on the list (`add`). Only `status` names others: folders that were backed up
    /// by name, or taken off the list since.
    pub listed: bool,
}

/// One snapshot, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Id.
    pub snapshot: String,
    /// When it was begun.
    pub time: Time,
    /// Id of the device that made it.
    pub device: String,
    /// Name of that device.
    pub device_name: String,
    /// The folder.
    #[serde(flatten)]
    pub path: PathField,
    /// Files in it (everything that is no directory).
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it holds the whole folder; a checkpoint of a running first backup does not.
    pub complete: bool,
    /// Whether its device made it by itself; such ones are thinned out (`backup.keep`).
    #[serde(default)]
    pub automatic: bool,
    /// Whether it stays whatever rules there are (`larder pin`).
    #[serde(default)]
    pub pinned: bool,
    /// How far it has come.
    pub safety: Safety,
    /// Since when it has been safe: when enough holders had signed for all of it. `null` while it is
    /// not, and of snapshots of other devices.
    #[serde(default)]
    pub safe_since: Option<Time>,
}

/// How safe something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Safety {
    /// Only (or not even completely) on this device.
    Local,
    /// Some holders have it, fewer than the policy asks for.
    Partly,
    /// The policy is met: enough holders have signed for all of it.
    Safe,
}

/// See [`Outcome::Backup`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupOutcome {
    /// One per folder.
    pub snapshots: Vec<BackupSnapshot>,
    /// What was waited for.
    pub wanted: Wait,
    /// What was reached. Exit code 4 when `safe` was wanted and `local` reached.
    pub reached: Wait,
    /// Copies that the policy asks for.
    pub copies_wanted: u32,
    /// Copies that the least-held pack has on distinct sites.
    pub copies_reached: u32,
    /// Files that could not be read, or changed while they were read. Exit code 3 when not 0.
    pub problems_total: u64,
    /// Bytes of shards that were sent to holders.
    pub sent_bytes: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// What stands in the way of safety, when it was wanted and not reached; `null` too while
    /// nothing does but time.
    pub advice: Option<Advice>,
}

/// One folder of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSnapshot {
    /// Id; the previous one when nothing had changed.
    pub snapshot: String,
    /// The folder.
    #[serde(flatten)]
    pub path: PathField,
    /// Whether the folder is exactly as in the previous snapshot.
    pub unchanged: bool,
    /// Files in the snapshot.
    pub files: u64,
    /// Directories in the snapshot.
    pub directories: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Files that were not in the previous snapshot.
    pub files_new: u64,
    /// Files that differ from the previous snapshot.
    pub files_changed: u64,
    /// Bytes that had to be read.
    pub read_bytes: u64,
    /// Bytes of chunks that the vault did not have.
    pub new_bytes: u64,
    /// The same after compression, sealing and padding, metadata included.
    pub stored_bytes: u64,
}

/// See [`Outcome::Snapshots`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsOutcome {
    /// All snapshots that are known, listed or not.
    pub snapshots_total: u64,
    /// Devices of the vault: what others have backed up may not be known here yet.
    pub devices_total: u64,
    /// Oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// Which folder a snapshot is of, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOrigin {
    /// When it was begun.
    pub time: Time,
    /// Id of the device.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// The folder there.
    #[serde(flatten)]
    pub path: PathField,
    /// Folders of this and other devices that have snapshots as well and that `latest` left out;
    /// 0 when the snapshot was named by its id.
    pub others: u64,
}

/// See [`Outcome::List`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOutcome {
    /// Id of the snapshot.
    pub snapshot: String,
    /// What it is of.
    pub origin: SnapshotOrigin,
    /// Rows that were streamed.
    pub entries_total: u64,
    /// Bytes of the files among them.
    pub bytes: u64,
}

/// See [`Outcome::Cat`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatOutcome {
    /// Id of the snapshot.
    pub snapshot: String,
    /// What it is of.
    pub origin: SnapshotOrigin,
    /// Bytes that were streamed.
    pub bytes: u64,
}

/// See [`Outcome::Diff`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffOutcome {
    /// Id of the older side.
    pub old: String,
    /// Id of the newer side.
    pub new: String,
    /// What the older side is of.
    pub old_origin: SnapshotOrigin,
    /// What the newer side is of.
    pub new_origin: SnapshotOrigin,
    /// Entries only in the newer one.
    pub added: u64,
    /// Entries only in the older one.
    pub removed: u64,
    /// Entries with other content.
    pub changed: u64,
    /// Entries with other attributes only.
    pub attributes: u64,
}

/// See [`Outcome::Find`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindOutcome {
    /// Rows that were streamed.
    pub matches_total: u64,
    /// Snapshots that were searched.
    pub snapshots_searched: u64,
}

/// See [`Outcome::Restore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreOutcome {
    /// Id of the snapshot.
    pub snapshot: String,
    /// What it is of.
    pub origin: SnapshotOrigin,
    /// Where it was restored to.
    #[serde(flatten)]
    pub path: PathField,
    /// Whether it was only tried.
    pub dry_run: bool,
    /// Files written (to be written, in a dry run).
    pub files_written: u64,
    /// Files that were there already with the same content.
    pub files_same: u64,
    /// Files of the same kind that were there and were left as they are, by `--overwrite`.
    pub files_left: u64,
    /// Directories made or set.
    pub directories: u64,
    /// Bytes of the files written.
    pub bytes: u64,
    /// Bytes of shards that came from holders.
    pub fetched_bytes: u64,
    /// Files that could not be restored, or not with everything. Exit code 3 when not 0.
    pub problems_total: u64,
    /// Holders that served something wrong; it was fetched elsewhere.
    pub blamed: Vec<Blame>,
    /// How long it took.
    pub duration_ms: u64,
}

/// A peer that did something wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// Id of the peer's device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// What it did, in one line.
    pub what: String,
}

/// See [`Outcome::Offer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferOutcome {
    /// Bytes that this device keeps for others at most.
    pub offered_bytes: u64,
    /// Bytes that it keeps now.
    pub kept_bytes: u64,
    /// Bytes free on the disk of its depot.
    pub disk_free_bytes: u64,
    /// The other vaults that may keep something here, or the one that was named; ascending by name.
    #[serde(default)]
    pub vaults: Vec<OfferedTo>,
}

/// A vault that may keep something here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedTo {
    /// Its id.
    pub vault: String,
    /// What it is called here.
    pub name: String,
    /// Bytes that it may keep; `null` for as many as are offered in all.
    pub allowed_bytes: Option<u64>,
    /// Bytes that it keeps now.
    pub kept_bytes: u64,
    /// Shards that it keeps now.
    pub kept_shards: u64,
    /// When a device of it was last heard of.
    pub last_seen: Option<Time>,
    /// Whether it goes apart from this one, and nothing more is taken.
    pub leaving: bool,
}

/// See [`Outcome::Ticket`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketOutcome {
    /// The text for `connect`.
    pub ticket: String,
    /// Id of this device.
    pub device: String,
    /// Addresses in it.
    pub addresses: Vec<String>,
}

/// See [`Outcome::Connect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectOutcome {
    /// Id of the node in the ticket.
    pub device: String,
    /// Its name.
    pub name: Option<String>,
    /// Whether it answered; its addresses are kept either way. Exit code 4 when not.
    pub reached: bool,
    /// How long an answer took.
    pub rtt_ms: Option<u64>,
    /// Relays in the ticket that this node does not use.
    #[serde(default)]
    pub relays_unused: Vec<String>,
}

/// See [`Outcome::Recover`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverOutcome {
    /// Id of the vault.
    pub vault: String,
    /// Id of this new device.
    pub device: String,
    /// Name of this device.
    pub name: String,
    /// Household of this device.
    pub site: String,
    /// Holders that answered: witnesses of the newest heads.
    pub witnesses_answered: u32,
    /// Holders that are known.
    pub witnesses_known: u32,
    /// What can be restored, oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// See [`Outcome::Devices`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesOutcome {
    /// In the order in which they were added.
    pub devices: Vec<Device>,
}

/// A device of this vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Id.
    pub device: String,
    /// Name.
    pub name: String,
    /// Whether it is this one.
    pub this: bool,
    /// What it may do.
    #[serde(default)]
    pub role: DeviceRole,
    /// When it was added.
    pub added: Option<Time>,
    /// When it was last heard of.
    pub last_seen: Option<Time>,
    /// When its newest snapshot was made.
    pub last_snapshot: Option<Time>,
    /// How it was removed; `null` while it belongs to the vault.
    #[serde(default)]
    pub removed: Option<Removal>,
}

/// See [`Outcome::Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusOutcome {
    /// Whether a node runs in the background on this home.
    pub running: bool,
    /// Id of the vault, `null` before `join` or `recover`.
    pub vault: Option<String>,
    /// Id of this device.
    pub device: String,
    /// Name of this device.
    pub name: String,
    /// Household of this device.
    pub site: String,
    /// The least safe of all folders; `local` when none was backed up yet.
    pub safety: Safety,
    /// Copies that the policy asks for.
    pub copies_wanted: u32,
    /// Households that may be lost at once beside this device, whichever they are, before anything of
    /// the newest backup is; computed from what holders signed for.
    #[serde(default)]
    pub survives_households: u32,
    /// The same of single holders.
    #[serde(default)]
    pub survives_holders: u32,
    /// Folders with their newest snapshots.
    pub folders: Vec<Folder>,
    /// How often a running node backs them up by itself, in seconds; `null` for never.
    #[serde(default)]
    pub backup_every_s: Option<u64>,
    /// Own bytes that wait to be sent.
    pub spool_bytes: u64,
    /// Bytes that this device keeps for others.
    pub kept_bytes: u64,
    /// Bytes that it offers to keep.
    pub offered_bytes: u64,
    /// Since when every shard on this disk has been read back or stored, known damage left out;
    /// `null` while there is none.
    #[serde(default)]
    pub depot_read_since: Option<Time>,
    /// The last restore drill, `null` when there was none.
    #[serde(default)]
    pub last_drill: Option<LastDrill>,
    /// When the phrase was last proved to work, `null` when it never was.
    #[serde(default)]
    pub phrase_proved: Option<Time>,
    /// Peers that answered lately.
    pub peers_online: u32,
    /// Peers that are known.
    pub peers_total: u32,
    /// Those of them that are reached through a relay just now.
    #[serde(default)]
    pub peers_relayed: u32,
    /// Relays of this node.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// Vaults of the circle of which no device is heard of, whose copies this node looks after.
    #[serde(default)]
    pub tending: Vec<TendedVault>,
    /// How far what is sealed under older keys is made anew, `null` when nobody wants that.
    #[serde(default)]
    pub rekey: Option<RekeyProgress>,
    /// What is wrong, worst first.
    pub advice: Vec<Advice>,
}

/// A relay of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relay {
    /// Where it is, without its token.
    pub address: String,
    /// How it stands.
    pub state: RelayState,
}

/// How a relay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RelayState {
    /// Others reach this node there.
    Connected,
    /// Not connected, and not needed or not chosen yet.
    Idle,
    /// It turns this device away.
    Denied,
    /// It does not answer.
    Unreachable,
}

/// Something wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// See [`Outcome::Verify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyOutcome {
    /// Shards that were read back.
    pub shards: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Shards whose bytes are wrong. Exit code 1 when not 0.
    pub damaged: u64,
    /// Shards that should be there and are not. Exit code 1 when not 0.
    pub missing: u64,
    /// Their roots, at most 1,000.
    pub roots: Vec<String>,
    /// Holders that were asked whether they still have what they signed for.
    #[serde(default)]
    pub holders: Vec<AskedHolder>,
}

/// A holder that had to show what it signed for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedHolder {
    /// Id of its device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Whether it answered about all of it in time. Silence is no failure.
    pub answered: bool,
    /// Shards it has signed for.
    pub shards: u64,
    /// Those of them that it could not show. Exit code 1 when not 0.
    pub lacking: u64,
}

/// See [`Outcome::Forget`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetOutcome {
    /// Whether it was only tried.
    pub dry_run: bool,
    /// What stays.
    pub kept: Vec<Snapshot>,
    /// What was forgotten.
    pub forgotten: Vec<Snapshot>,
    /// Bytes that no snapshot of this device needs any more: whole packs, which it claims no more (if
    /// `dry_run`: would not), and what can be had back by making packs anew. `None` when that could
    /// not be told.
    pub freed_bytes: Option<u64>,
    /// Days that holders keep them still, at least.
    pub retention_days: u64,
}

/// See [`Outcome::Pin`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinOutcome {
    /// Whether they are pinned now.
    pub pinned: bool,
    /// Those that were named.
    pub snapshots: Vec<Snapshot>,
}

/// See [`Outcome::Config`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigOutcome {
    /// Ascending by key.
    pub settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Key, such as `policy.copies`.
    pub key: String,
    /// Value in the form that `config set` takes.
    pub value: String,
    /// Whether nothing else was set.
    pub default: bool,
    /// What it does.
    pub help: String,
}

impl From<ByteSize> for u64 {
    fn from(size: ByteSize) -> Self {
        size.0
    }
}
