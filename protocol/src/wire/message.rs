//! The messages. Everything in them is hostile until checked: lengths by the frame, shapes by the
//! decoder, meaning by the machine that takes them.

use std::fmt;

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::{
    discovering::BeaconKey,
    guarding::{
        SealedPhrase,
        keeping::{ReleaseState, ToldRequest},
    },
    ids::{DeviceId, EntryHash, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    keys::epoch::ReceivingPublic,
    proof::Challenge,
    receipt::Receipt,
    time::Timestamp,
};

/// The one version of this protocol so far.
pub const VERSION: u16 = 1;

/// A question or order from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// First request of every connection.
    #[n(0)]
    Hello {
        /// Versions that the caller speaks, best first.
        #[n(0)]
        versions: Vec<u16>,
        /// By which the caller is recognised on a local network, as far as it shows itself there.
        #[n(1)]
        beacon_key: Option<BeaconKey>,
        /// Where the caller stands now.
        #[n(2)]
        site: Option<String>,
        /// What the caller is called now.
        #[n(3)]
        name: Option<String>,
    },
    /// Entries of `vault`'s device log that the callee may lack, parents before children.
    #[n(1)]
    PushLog {
        /// Whose log.
        #[n(0)]
        vault: VaultId,
        /// Encoded log entries.
        #[n(1)]
        entries: Vec<ByteVec>,
    },
    /// Asks for all log entries of `vault` beyond those the caller names.
    #[n(2)]
    PullLog {
        /// Whose log.
        #[n(0)]
        vault: VaultId,
        /// Newest entries that the caller already has; the callee leaves out their ancestors.
        #[n(1)]
        have: Vec<EntryHash>,
    },
    /// A newer head of one of `vault`'s devices.
    #[n(3)]
    PushHead {
        /// Whose head.
        #[n(0)]
        vault: VaultId,
        /// Encoded signed head.
        #[n(1)]
        head: ByteVec,
    },
    /// Asks for the highest heads of the devices of `vault`, in ascending order of device. An
    /// answer may be cut at the end; an empty one says that there are no more.
    #[n(4)]
    PullHeads {
        /// Whose heads.
        #[n(0)]
        vault: VaultId,
        /// The last device of the answer before; `None` to begin.
        #[n(1)]
        after: Option<DeviceId>,
    },
    /// Asks which of these shards the callee keeps or would take.
    #[n(5)]
    Offer {
        /// For whom.
        #[n(0)]
        vault: VaultId,
        /// At most [`OFFER_SHARDS_MAX`](crate::limits::OFFER_SHARDS_MAX).
        #[n(1)]
        shards: Vec<OfferedShard>,
    },
    /// Stores a shard: on [`Answer::Go`] the caller sends exactly `shard.bytes` raw bytes and
    /// finishes its side; the callee answers [`Answer::Stored`] once they are durable.
    #[n(6)]
    Put {
        /// For whom.
        #[n(0)]
        vault: VaultId,
        /// Name and length.
        #[n(1)]
        shard: ShardRef,
        /// By which rules it is placed.
        #[n(2)]
        class: PackClass,
    },
    /// Asks for superseded heads of one device that the callee still keeps, from the highest
    /// number down. An answer may be cut at the end; an empty one says that there are no more.
    #[n(7)]
    PullPast {
        /// Whose heads.
        #[n(0)]
        vault: VaultId,
        /// Of which device.
        #[n(1)]
        device: DeviceId,
        /// The lowest number of the answer before; `None` to begin.
        #[n(2)]
        below: Option<u64>,
    },
    /// Asks the callee to show that it has these chunks.
    #[n(8)]
    Audit {
        /// For whom they are kept.
        #[n(0)]
        vault: VaultId,
        /// At most [`AUDIT_CHALLENGES_MAX`](crate::limits::AUDIT_CHALLENGES_MAX).
        #[n(1)]
        challenges: Vec<Challenge>,
    },
    /// A device tells which packs its newest head needs, in parts.
    #[n(9)]
    Claim {
        /// Whose packs.
        #[n(0)]
        vault: VaultId,
        /// A part of the list.
        #[n(1)]
        part: ClaimsPart,
    },
    /// Who the guardians of a vault are: hands over what the caller has, and asks for what is newer.
    #[n(10)]
    Guardians {
        /// Whose phrase.
        #[n(0)]
        vault: VaultId,
        /// The signed set that the caller has.
        #[n(1)]
        set: Option<ByteVec>,
        /// The phrase sealed for it.
        #[n(2)]
        sealed: Option<SealedPhrase>,
    },
    /// Whoever has the secret of the set asks for the phrase.
    #[n(11)]
    AskRelease {
        /// Whose phrase.
        #[n(0)]
        vault: VaultId,
        /// The signed request.
        #[n(1)]
        request: ByteVec,
    },
    /// What the caller knows of such requests, and of words against them; asks for what the callee knows.
    #[n(12)]
    Releases {
        /// Whose phrase.
        #[n(0)]
        vault: VaultId,
        /// At most [`RELEASE_REQUESTS_MAX`](crate::limits::RELEASE_REQUESTS_MAX).
        #[n(1)]
        told: Vec<ToldRequest>,
    },
    /// A device names the other holders of its vault to one of them.
    #[n(13)]
    Introduce {
        /// Whose holders.
        #[n(0)]
        vault: VaultId,
        /// The signed introduction.
        #[n(1)]
        introduction: ByteVec,
    },
    /// Asks which shards the callee keeps for a vault. An answer may be cut at the end; an empty one says
    /// that there are no more.
    #[n(14)]
    ListKept {
        /// For whom.
        #[n(0)]
        vault: VaultId,
        /// The last root of the answer before; `None` to begin.
        #[n(1)]
        after: Option<ShardRoot>,
    },
    /// Asks for the list of claims that a device told last. An answer may be cut at the end; an empty one
    /// says that there are no more.
    #[n(15)]
    ListClaimed {
        /// Of which vault.
        #[n(0)]
        vault: VaultId,
        /// Of which device.
        #[n(1)]
        device: DeviceId,
        /// The last root of the answer before; `None` to begin, and to be given the head.
        #[n(2)]
        after: Option<ShardRoot>,
    },
    /// What the caller knows of words by which the vaults of the two, or of a device of the same vault any, go
    /// apart; asks for what the callee knows.
    #[n(16)]
    Leaving {
        /// Signed words; at most [`LEAVING_PART_MAX`](crate::limits::LEAVING_PART_MAX).
        #[n(0)]
        words: Vec<ByteVec>,
    },
    /// A device leaves word for a holder that it does not reach.
    #[n(17)]
    LeaveErrand {
        /// Of which vault.
        #[n(0)]
        vault: VaultId,
        /// The signed errand.
        #[n(1)]
        errand: ByteVec,
    },
    /// Asks for the errands that were left for the caller.
    #[n(18)]
    PullErrands {
        /// Of which vault.
        #[n(0)]
        vault: VaultId,
    },
    /// The addressee of an errand leaves what it says to that.
    #[n(19)]
    LeaveReply {
        /// Of which vault.
        #[n(0)]
        vault: VaultId,
        /// The signed reply.
        #[n(1)]
        reply: ByteVec,
        /// For packs that the errand names; at most [`REPLY_RECEIPTS_MAX`](crate::limits::REPLY_RECEIPTS_MAX).
        #[n(2)]
        receipts: Vec<Receipt>,
    },
    /// Asks for the reply to one of the errands that the calling device has left.
    #[n(20)]
    PullReply {
        /// Of which vault.
        #[n(0)]
        vault: VaultId,
        /// The addressee of the answer before; `None` to begin.
        #[n(1)]
        after: Option<DeviceId>,
    },
}

/// A part of the list of packs that the newest head of a device needs. Parts come in order, one
/// request each.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClaimsPart {
    /// Number of the head; 0 when the device has none.
    #[n(0)]
    pub seq: u64,
    /// The wall clock of the device.
    #[n(1)]
    pub time: Timestamp,
    /// 0 for the first part, and one more for each after it.
    #[n(2)]
    pub part: u32,
    /// Whether the list ends with this part.
    #[n(3)]
    pub is_last: bool,
    /// Roots, ascending over all parts; at most [`CLAIMS_PART_MAX`](crate::limits::CLAIMS_PART_MAX).
    #[n(4)]
    pub roots: Vec<ShardRoot>,
}

/// One shard of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct OfferedShard {
    /// Name and length.
    #[n(0)]
    pub shard: ShardRef,
    /// By which rules it is placed.
    #[n(1)]
    pub class: PackClass,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// To [`Request::Hello`].
    #[n(0)]
    Welcome {
        /// The version both sides speak from here on.
        #[n(0)]
        version: u16,
        /// What the callee does for the vault of the caller; `None` for a caller of no vault.
        #[n(1)]
        standing: Option<Standing>,
        /// By which the callee is recognised on a local network, as far as it shows itself there.
        #[n(2)]
        beacon_key: Option<BeaconKey>,
        /// Where the callee stands now; told to devices only.
        #[n(3)]
        site: Option<String>,
        /// What the callee is called now; told to devices only.
        #[n(4)]
        name: Option<String>,
    },
    /// To [`Request::PushLog`]: the newest entries that the callee now has.
    #[n(1)]
    LogAt {
        /// Entries without children.
        #[n(0)]
        heads: Vec<EntryHash>,
    },
    /// To [`Request::PullLog`]: parents before children.
    #[n(2)]
    Log {
        /// Encoded log entries.
        #[n(0)]
        entries: Vec<ByteVec>,
    },
    /// To [`Request::PushHead`]: taken, or already known.
    #[n(3)]
    HeadTaken,
    /// To [`Request::PullHeads`] and [`Request::PullPast`], and to a [`Request::PushHead`] below or beside what the callee
    /// has: the highest head it knows of each device, and both of a fork.
    #[n(4)]
    Heads {
        /// Encoded signed heads.
        #[n(0)]
        heads: Vec<ByteVec>,
    },
    /// To [`Request::Offer`]: one verdict for each shard, in the order asked.
    #[n(5)]
    Verdicts {
        /// As many as shards were offered.
        #[n(0)]
        verdicts: Vec<Verdict>,
    },
    /// To [`Request::Put`]: room is reserved, send the bytes.
    #[n(6)]
    Go,
    /// After the bytes of a [`Request::Put`]: they are durable.
    #[n(7)]
    Stored {
        /// The holder's word.
        #[n(0)]
        receipt: Receipt,
    },
    /// To any request.
    #[n(8)]
    Refused {
        /// Why.
        #[n(0)]
        reason: Refusal,
    },
    /// To [`Request::Audit`]: one for each challenge, in the order asked.
    #[n(9)]
    Shown {
        /// As many as challenges.
        #[n(0)]
        shown: Vec<Shown>,
    },
    /// To [`Request::Claim`]: the part was taken; with the last one the whole list counts.
    #[n(10)]
    ClaimsTaken,
    /// To [`Request::Guardians`]: what counts at the callee now.
    #[n(11)]
    GuardiansAt {
        /// The signed set; left off when it is that of the caller, or there is none.
        #[n(0)]
        set: Option<ByteVec>,
    },
    /// To [`Request::AskRelease`].
    #[n(12)]
    Release {
        /// How it stands.
        #[n(0)]
        state: ReleaseState,
    },
    /// To [`Request::Introduce`]: taken, or not newer than what was here.
    #[n(14)]
    Introduced,
    /// To [`Request::ListKept`].
    #[n(15)]
    Kept {
        /// Whole ones that some device may claim, ascending by root; at most
        /// [`INVENTORY_PART_MAX`](crate::limits::INVENTORY_PART_MAX).
        #[n(0)]
        shards: Vec<OfferedShard>,
    },
    /// To [`Request::ListClaimed`].
    #[n(16)]
    Claimed {
        /// The head that signs for the list, with its first part; `None` where there is no list.
        #[n(0)]
        head: Option<ByteVec>,
        /// Ascending; at most [`INVENTORY_PART_MAX`](crate::limits::INVENTORY_PART_MAX).
        #[n(1)]
        roots: Vec<ShardRoot>,
    },
    /// To [`Request::Leaving`]: all that the callee knows after that, and the caller may know.
    #[n(17)]
    LeavingIs {
        /// Signed words; at most [`LEAVING_PART_MAX`](crate::limits::LEAVING_PART_MAX).
        #[n(0)]
        words: Vec<ByteVec>,
    },
    /// To [`Request::LeaveErrand`].
    #[n(18)]
    ErrandLeft {
        /// Number of the errand of that device for that holder that is kept now.
        #[n(0)]
        number: u64,
    },
    /// To [`Request::PullErrands`]: those that are not done, as many as fit a frame.
    #[n(19)]
    Errands {
        /// Signed errands; at most [`ERRANDS_MAX`](crate::limits::ERRANDS_MAX).
        #[n(0)]
        errands: Vec<ByteVec>,
    },
    /// To [`Request::LeaveReply`]: it is durable there.
    #[n(20)]
    ReplyTaken,
    /// To [`Request::PullReply`]: the next one, by addressee; nothing when there are no more.
    #[n(21)]
    Replied {
        /// The addressee.
        #[n(0)]
        holder: Option<DeviceId>,
        /// What it said last.
        #[n(1)]
        reply: Option<ByteVec>,
        /// For packs of the errand that is kept; at most [`ERRAND_PACKS_MAX`](crate::limits::ERRAND_PACKS_MAX).
        #[n(2)]
        receipts: Vec<Receipt>,
    },
    /// To [`Request::Releases`]; none to a caller that tells of another vault than its own.
    #[n(13)]
    ReleasesAre {
        /// At most [`RELEASE_REQUESTS_MAX`](crate::limits::RELEASE_REQUESTS_MAX).
        #[n(0)]
        told: Vec<ToldRequest>,
    },
}

/// What a holder shows for one challenge.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Shown {
    /// The chunk, and the way to it: see [`proof`](crate::proof).
    #[n(0)]
    Proof(#[n(0)] ByteVec),
    /// It does not keep this shard for that vault.
    #[n(1)]
    Absent,
    /// Its copy is damaged or gone.
    #[n(2)]
    Damaged,
    /// It could not look now.
    #[n(3)]
    Unable(#[n(0)] Refusal),
}

/// What a node does for the vault of the device that called it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Standing {
    /// The caller's vault as the callee knows it. A device in recovery learns its vault here.
    #[n(0)]
    pub vault: VaultId,
    /// Bytes that the callee lets this vault keep with it.
    #[n(1)]
    pub granted_bytes: u64,
    /// Bytes of it in use or reserved.
    #[n(2)]
    pub used_bytes: u64,
    /// Bytes that could be taken now: grant, total offer and free disk all considered.
    #[n(3)]
    pub free_bytes: u64,
    /// Bytes of those used that no device of the vault claims any more: they go after a time.
    #[cbor(n(4), skip_if = "is_zero")]
    pub unclaimed_bytes: u64,
    /// What it says as a node that may be a guardian, and that keeps who the guardians are.
    #[n(5)]
    pub guarding: Option<Guarding>,
    /// Number of the introduction of the calling device that is kept here; 0 for none.
    #[cbor(n(6), skip_if = "is_zero")]
    pub introduced: u64,
    /// Stands for the words of who leaves whom that the callee knows and the caller may know; 0 for none, see
    /// [`Words::tag`](crate::leaving::Words::tag).
    #[cbor(n(7), skip_if = "is_zero")]
    pub leaving: u64,
}

/// What a node says of guardians.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Guarding {
    /// Number of the set that it keeps for the vault of the caller; 0 for none.
    #[n(0)]
    pub number: u64,
    /// Requests for the phrase that it was told of and nobody has stopped.
    #[n(1)]
    pub open_requests: u64,
    /// To which its own vault receives a share as a guardian; `None` where it has no vault, or no epoch is in force there.
    #[n(3)]
    pub receiving: Option<ReceivingPublic>,
}

/// Left out of a standing while there is nothing to say.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that the encoder calls")]
const fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// A holder's answer for one offered shard.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// Not here; there is room.
    #[n(0)]
    Wanted,
    /// Here and durable.
    #[n(1)]
    Kept(#[n(0)] Receipt),
    /// Not here, and not taken.
    #[n(2)]
    Refused(#[n(0)] Refusal),
}

/// Why a request was not carried out. Never names a path, key or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// No common version.
    #[n(0)]
    Version,
    /// The caller may not do this for that vault.
    #[n(1)]
    Forbidden,
    /// The vault's grant is used up.
    #[n(2)]
    Quota,
    /// The holder's disk or total offer is full.
    #[n(3)]
    Full,
    /// Too many requests or uploads at once: try again later.
    #[n(4)]
    Busy,
    /// The request breaks a limit or makes no sense.
    #[n(5)]
    Malformed,
    /// The bytes sent do not have the promised root and length.
    #[n(6)]
    WrongBytes,
    /// The head or log entry is not valid: bad signature, unknown parent, unknown device.
    #[n(7)]
    Invalid,
    /// The callee could not do it (disk error): the caller is not to blame.
    #[n(8)]
    Internal,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version => "it speaks no version that this one does",
            Self::Forbidden => "it does not allow that for this vault",
            Self::Quota => "its grant to this vault is used up",
            Self::Full => "its disk or offer is full",
            Self::Busy => "it is busy",
            Self::Malformed => "it could make no sense of the request",
            Self::WrongBytes => "the bytes that came were not those promised",
            Self::Invalid => "it found a record not valid",
            Self::Internal => "its disk failed",
        })
    }
}
