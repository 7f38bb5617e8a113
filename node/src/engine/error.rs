//! Why the engine could not do something, and how that is told to people.

use larder_protocol::{
    errands::ErrandError,
    guarding::set::SetError,
    head::{HeadError, book::CloneError},
    ids::{ChunkId, ShardRoot},
    keys::wrap::WrapError,
    leaving::WordError,
    manifest::ManifestError,
    pack::{BuildError, PackError},
    tending::introduction::IntroductionError,
    wire::message::Refusal,
};
use thiserror::Error;

use super::backup::BackupError;
use crate::{
    command::{Cancelled, ExitKind, Failure},
    depot::DepotError,
    net::NetError,
    state::StateError,
    vaults::VaultError,
};

/// Why the engine could not do something.
#[derive(Debug, Error)]
pub enum EngineError {
    /// This home belongs to no vault yet.
    #[error("this home belongs to no vault yet")]
    NoVault,
    /// The other side does not know this vault.
    #[error("the other device does not know this vault")]
    Stranger,
    /// Two came with one invitation.
    #[error("the invitation has just been used by somebody else")]
    InviteSpent,
    /// The other side said no.
    #[error("the other device refused: {0}")]
    Refused(Refusal),
    /// It does not know yet, or does not believe, how the two vaults stand.
    #[error(
        "the other device goes by something older about who leaves whom; its clock may be wrong"
    )]
    NotTold,
    /// The other side answered what the protocol does not allow.
    #[error("the other device answered out of turn")]
    OutOfTurn,
    /// No reachable holder has a shard.
    #[error("no holder that can be reached has shard {}", .0.short())]
    NoHolder(ShardRoot),
    /// Fetched bytes could not be written.
    #[error("the disk of the home took no more fetched bytes")]
    FetchDisk,
    /// A chunk that the index does not know.
    #[error("chunk {} is not in the index", .0.short())]
    UnknownChunk(ChunkId),
    /// A snapshot whose tree is broken.
    #[error("snapshot {} cannot be read to its end", .0.short())]
    Unreadable(ChunkId),
    /// What a backup left out because it was stored before is not claimed any more.
    #[error("what earlier backups had stored was given up while this one ran; run it again")]
    Dropped,
    /// Something else has to be over first.
    #[error("something else has to be over first")]
    Busy,
    /// A pack that should be here is not.
    #[error("pack {} is not here any more", .0.short())]
    Lost(ShardRoot),
    /// An epoch whose key this device was never given.
    #[error("the key of epoch {0} is not known")]
    UnknownEpoch(u32),
    /// This device was thrown out of the vault.
    #[error("this device was removed from the vault")]
    Removed,
    /// No epoch key is known to exactly those who belong to the vault.
    #[error("a device was removed and there is no new key yet: back up again in a moment")]
    EpochDue,
    /// More snapshots than one manifest can name.
    #[error("the manifest has grown too large; forget some snapshots")]
    CommitTooLarge,
    /// Cloned or set back to an older state.
    #[error(transparent)]
    Clone(#[from] CloneError),
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
    /// The command was interrupted.
    #[error("interrupted")]
    Interrupted,
    /// The node is closing.
    #[error("the node is closing")]
    Stopped,
    /// A record of the vault does not decode or verify.
    #[error("a record of the vault is not valid")]
    Record(#[source] RecordError),
    /// The machine under the program: disk, database, network.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A log or head was not taken.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// A record of the vault that is not as it should be, though its seal or signature was good.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A head.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A pack or a chunk of it.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An index segment.
    #[error(transparent)]
    Index(#[from] larder_protocol::index::IndexError),
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] larder_protocol::snapshot::SnapshotError),
    /// A directory node.
    #[error(transparent)]
    Node(#[from] larder_protocol::tree::node::NodeError),
    /// An entry of the device log could not be made.
    #[error(transparent)]
    Draft(#[from] larder_protocol::log::DraftError),
    /// A pack could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An epoch key.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// A set of guardians.
    #[error(transparent)]
    Guardians(#[from] SetError),
    /// An introduction of holders.
    #[error(transparent)]
    Introduction(#[from] IntroductionError),
    /// An errand.
    #[error(transparent)]
    Errand(#[from] ErrandError),
    /// A word about who leaves whom.
    #[error(transparent)]
    Leaving(#[from] WordError),
}

/// The machine under the program.
#[derive(Debug, Error)]
pub enum HostError {
    /// The depot.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The database.
    #[error(transparent)]
    State(#[from] StateError),
    /// The network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The home.
    #[error(transparent)]
    Home(#[from] crate::home::HomeError),
}

impl EngineError {
    /// Whether this node's own disk or database is at fault.
    pub(crate) const fn is_own_fault(&self) -> bool {
        matches!(self, Self::Vault(error) if error.is_disk())
            || matches!(self, Self::Vault(VaultError::NewerGuard { .. }))
            || matches!(self, Self::Host(_) | Self::Stopped)
    }

    /// Whether the other side is there and said no, for whatever reason.
    pub(crate) const fn is_refusal(&self) -> bool {
        self.turns_away() || matches!(self, Self::Refused(_))
    }

    /// Whether the other side wants nothing to do with us; not that it is busy, or that its disk failed.
    pub(crate) const fn turns_away(&self) -> bool {
        let by_network = matches!(self, Self::Host(HostError::Net(NetError::Refused)));
        by_network || matches!(self, Self::Stranger | Self::Refused(Refusal::Forbidden))
    }
}

macro_rules! by_way_of {
    ($variant:ident, $middle:ident: $($error:ty),+ $(,)?) => {$(
        impl From<$error> for EngineError {
            fn from(error: $error) -> Self {
                Self::$variant($middle::from(error))
            }
        }
    )+};
}

by_way_of!(Host, HostError: DepotError, StateError, NetError, crate::home::HomeError);
by_way_of!(
    Record,
    RecordError: HeadError,
    ManifestError,
    PackError,
    larder_protocol::index::IndexError,
    larder_protocol::snapshot::SnapshotError,
    larder_protocol::tree::node::NodeError,
    BuildError,
    WrapError,
    SetError,
    IntroductionError,
    ErrandError,
    WordError,
    larder_protocol::log::DraftError,
);

impl From<Cancelled> for EngineError {
    fn from(_: Cancelled) -> Self {
        Self::Interrupted
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let error = match error {
            EngineError::Host(HostError::Home(error)) => return error.into(),
            error => error,
        };
        let (kind, hint) = match &error {
            EngineError::Interrupted | EngineError::Stopped => return Self::interrupted(),
            EngineError::NoVault => (
                ExitKind::Failed,
                "make a vault with `larder init`, or join one with `larder join` or `larder recover`",
            ),
            EngineError::Removed => (
                ExitKind::Failed,
                "`larder restore` still reads what it can reach. To go on, make a fresh home a device of \
                 the vault; if somebody else removed it, see `larder revoke --help`",
            ),
            EngineError::NoHolder(_) => (
                ExitKind::Holders,
                "see `larder peers` for who holds what, start those devices, and run this again: \
                 what was fetched is kept",
            ),
            EngineError::Stranger | EngineError::Refused(_) => (
                ExitKind::Failed,
                "pair the two devices again with `larder invite` and `larder join`",
            ),
            EngineError::FetchDisk => (ExitKind::Failed, CHECK_DISK),
            EngineError::Host(error) => about_host(error),
            EngineError::Clone(_) => (
                ExitKind::Failed,
                "recover into a fresh home with `larder recover`: it becomes a device of its own",
            ),
            _ => (ExitKind::Failed, "run `larder doctor`"),
        };
        let told = Self::from_error("could not go on", &error);
        Self { kind, ..told }.hint(hint)
    }
}

const CHECK_DISK: &str = "check the disk of the home, then run this again";

/// What to do about an error of the machine under the program, or of the way to another one.
fn about_host(error: &HostError) -> (ExitKind, &'static str) {
    match error {
        HostError::Net(NetError::Bind(_)) => (
            ExitKind::Failed,
            "another program may have that UDP port: stop it, or set net.listen to another one",
        ),
        HostError::Net(NetError::Refused) => {
            (ExitKind::Failed, "pair the two devices again with `larder invite` and `larder join`")
        }
        HostError::Net(
            NetError::Unreachable(_) | NetError::Busy | NetError::Timeout | NetError::Lost,
        ) => (
            ExitKind::Holders,
            "see whether that device runs (`larder up`) and a firewall lets its UDP port through, \
             then run this again",
        ),
        HostError::Net(_) => (ExitKind::Failed, "update larder on both devices"),
        HostError::State(StateError::Newer { .. }) => (ExitKind::Failed, "update larder"),
        _ if is_open_elsewhere(error) => (
            ExitKind::Failed,
            "something else has this home open: wait until it has ended, then run this again",
        ),
        HostError::State(_) | HostError::Depot(_) | HostError::Home(_) => {
            (ExitKind::Failed, CHECK_DISK)
        }
    }
}

/// Whether a database is held open, by another process or by work of this one that is ending.
fn is_open_elsewhere(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        let boxed = error.downcast_ref::<Box<redb::Error>>().map(AsRef::as_ref);
        let found = error.downcast_ref().or(boxed);
        matches!(found, Some(redb::Error::DatabaseAlreadyOpen))
    })
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Cancelled => Self::interrupted(),
            BackupError::Engine(error) => (*error).into(),
            BackupError::Depot(DepotError::NoSpace) => Self::from_error("backing up", &error)
                .hint("free some space on the disk of the home, then run the backup again"),
            BackupError::Walk(_) => Self::from_error("backing up", &error)
                .hint("name a folder that exists and can be read"),
            error => Self::from_error("backing up", &error)
                .hint("run it again: what is stored already is not done twice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;

    // CLI-19
    #[test]
    fn what_to_do_fits_what_happened() {
        let directory = tempfile::tempdir().unwrap();
        let _open = State::open(directory.path()).unwrap();
        let twice = EngineError::from(State::open(directory.path()).unwrap_err());
        let told = Failure::from(twice);
        assert!(told.hint.as_deref().unwrap().contains("wait until it has ended"), "{told:?}");
        let told = Failure::from(EngineError::from(NetError::Unreachable(None)));
        assert_eq!(told.kind, ExitKind::Holders);
        assert!(!told.hint.unwrap().contains("disk"));
        let told = Failure::from(EngineError::from(DepotError::NoSpace));
        assert!(told.hint.unwrap().contains("disk"));
        let told = Failure::from(EngineError::Refused(Refusal::Quota));
        assert!(told.message.contains("its grant to this vault is used up"), "{told:?}");
        let missing = crate::home::HomeError::Missing("/x".into());
        assert!(Failure::from(EngineError::from(missing)).hint.unwrap().contains("larder init"));
    }
}
