//! Placing: which packs of this vault go to which holders, and when a head is safe to publish.
//!
//! The source's side of custody. It is told which packs are durable here, which holders exist and
//! what they answered; it orders offers and uploads and says when policy is met. It moves no
//! bytes, signs nothing and never deletes anything at a holder.
//!
//! A pack that met the policy once and is on too few sites now, because a holder lost it or was
//! removed, is brought back from another holder and placed anew: see `bringing`.
//!
//! A pack as one holder has it:
//! ```text
//!            offer                  upload               receipt          ReceiptKept
//!  Unasked ────────> Asked ──> Wanted ────> Uploading ──────────> Keeping ───────────> Kept
//!     ^                │ └─────────────────────────────────────────^                    │
//!     │<── refused, failed, lost, time over ───────────────┘                            │
//!     └<──────────────────────────── an audit finds that it is not there ───────────────┘
//! ```
//! **A receipt counts only in `Kept`**: after the shell has said that it is durable here.
//!
//! Facts come in verified: the shell turns every [`Verdict`] and [`Answer::Stored`] into a
//! [`Claim`], checking the signature with `Receipt::verify` in that one place. What a receipt
//! says (vault, shard, holder, retention) is checked here.
//!
//! Drive it so: [`Placing::handle_input`], then [`Placing::poll_output`] until `None`, then wait
//! for the next input or for [`Placing::poll_timeout`], whichever is first; when it was the time,
//! give [`Input::TimePassed`].
//!
//! Invariants: a data pack leaves this device only after it was safe (PLACE-4); a head is reported
//! safe only while every pack that it needs is (PLACE-5), and goes to a holder before only if that has
//! the rest itself (PLACE-24); at most [`UPLOADS_TOTAL_MAX`] uploads and
//! one offer and one push per holder are under way. Source: specs/placing.md.
//!
//! [`Answer::Stored`]: crate::wire::message::Answer::Stored
//! [`UPLOADS_TOTAL_MAX`]: crate::limits::UPLOADS_TOTAL_MAX

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    order::{OrderId, OrderNumbers},
    pacing::{Line, Side},
    receipt::Receipt,
    time::Instant,
    wire::message::{OfferedShard, Refusal, Verdict},
};

mod answers;
mod bringing;
mod dropping;
mod errands;
mod heads;
mod holder;
mod leaving;
mod moving;
mod order;
mod pack;
mod policy;
mod scheduling;
mod sites;
mod sparing;
mod status;

pub use errands::Wish;
pub use holder::{Acquaintance, Condition, Site};
pub use moving::Moves;
pub use pack::KnownPack;
pub use policy::{Copies, Policy, spread, turns};
pub use status::{Blocked, HolderStatus, Status};

use bringing::Bringing;
use errands::Errands;
use heads::Heads;
use holder::Holder;
use order::Order;
use pack::Pack;

/// What a holder said of one shard, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Not there; there is room.
    Wanted,
    /// There and durable. The signature is the holder's.
    Kept(Receipt),
    /// Not there and not taken.
    Refused(Refusal),
    /// A receipt whose signature is wrong.
    Forged,
}

impl Claim {
    /// Turns a verdict into a claim; `verified` says whether a receipt's signature is good.
    ///
    /// The one place where the shell checks signatures of receipts on the source's side.
    pub fn from_verdict(verdict: Verdict, verified: impl FnOnce(&Receipt) -> bool) -> Self {
        match verdict {
            Verdict::Wanted => Self::Wanted,
            Verdict::Refused(reason) => Self::Refused(reason),
            Verdict::Kept(receipt) if verified(&receipt) => Self::Kept(receipt),
            Verdict::Kept(_) => Self::Forged,
        }
    }
}

/// How an upload ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upload {
    /// The holder answered `Stored`; the signature of the receipt is the holder's.
    Stored(Receipt),
    /// The holder answered `Stored` with a wrong signature.
    Forged,
    /// The holder refused, before or after the bytes.
    Refused(Refusal),
    /// Connection lost, stream reset, or our own order cancelled.
    Lost,
    /// Our own copy could not be read or does not have its root any more.
    Unreadable,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A pack is durable on this device.
    PackStored {
        /// Name and length.
        shard: ShardRef,
        /// By which rules it is placed.
        class: PackClass,
    },
    /// The local copy of a pack is damaged or gone.
    PackLost {
        /// Which.
        root: ShardRoot,
    },
    /// No manifest of the vault needs a pack any more, and none that does is waited for.
    PackDropped {
        /// Which.
        root: ShardRoot,
    },
    /// A pack known from before: at start, or of another device of the vault.
    PackKnown(KnownPack),
    /// A holder was added, its site changed, or it granted room otherwise than by greeting.
    HolderKnown {
        /// Who.
        holder: DeviceId,
        /// The unit that fails together.
        site: Site,
        /// As the database or pairing knows it.
        acquaintance: Acquaintance,
    },
    /// The user removed a holder: its receipts count no more.
    HolderRemoved {
        /// Who.
        holder: DeviceId,
    },
    /// A connection to a holder is up and greeted. Repeat it when the grant changed.
    HolderConnected {
        /// Who.
        holder: DeviceId,
        /// Bytes it grants to this vault, from its `Standing`.
        granted_bytes: u64,
    },
    /// It is presumed lost, or not any more: its receipts count, or do not, see
    /// [`watching`](crate::watching).
    HolderPresumed {
        /// Who.
        holder: DeviceId,
        /// Whether it is.
        is_lost: bool,
    },
    /// Its vault and this one go apart: its receipts make no copy, and what it keeps is placed elsewhere, fetched
    /// from it where need be, see [`leaving`](crate::leaving). When it is over, `HolderRemoved`; when they stay
    /// together after all, `HolderKnown` follows: what it said that it keeps is asked for anew.
    HolderLeaves {
        /// Who.
        holder: DeviceId,
    },
    /// It called us: it is there, whatever it was when we called last.
    HolderHeard {
        /// Who.
        holder: DeviceId,
    },
    /// The connection was lost, or an ordered one could not be made.
    HolderLost {
        /// Who.
        holder: DeviceId,
    },
    /// It is there and turned our call away: it does not know us, or not any more.
    HolderRefused {
        /// Who.
        holder: DeviceId,
    },
    /// Answer to [`Output::Offer`]: one claim for each shard, in the order asked.
    OfferAnswered {
        /// Which offer.
        order: OrderId,
        /// As many as shards were offered.
        claims: Vec<Claim>,
    },
    /// An offer as a whole was refused, or (`None`) got no sound answer.
    OfferFailed {
        /// Which offer.
        order: OrderId,
        /// The refusal, if there was one.
        refusal: Option<Refusal>,
    },
    /// Some bytes of an upload were taken by the network. Keeps its time limit away.
    UploadProgressed {
        /// Which upload.
        order: OrderId,
    },
    /// Answer to [`Output::Upload`].
    UploadEnded {
        /// Which upload.
        order: OrderId,
        /// How.
        upload: Upload,
    },
    /// Answer to [`Output::KeepReceipt`]: the receipt is durable here.
    ReceiptKept {
        /// Whose receipt.
        holder: DeviceId,
        /// For which shard.
        root: ShardRoot,
    },
    /// Answer to [`Output::KeepReceipt`]: it could not be made durable. The holder is asked again.
    ReceiptNotKept {
        /// Whose receipt.
        holder: DeviceId,
        /// For which shard.
        root: ShardRoot,
    },
    /// A head is durable here; it must not leave this device before [`Output::PushHead`].
    HeadCommitted {
        /// Number of the head.
        seq: u64,
        /// Every pack that its manifest needs, the commit pack included.
        needs: Vec<(ShardRef, PackClass)>,
    },
    /// A holder is known to have this head or a newer one of ours: at start, from the database.
    HeadHeld {
        /// Who.
        holder: DeviceId,
        /// Number of the head.
        seq: u64,
    },
    /// Answer to [`Output::PushHead`].
    HeadPushed {
        /// Which push.
        order: OrderId,
        /// Whether the holder answered `HeadTaken`.
        taken: bool,
    },
    /// The user changed the policy.
    PolicyChanged(Policy),
    /// Answer to [`Output::BringBack`].
    BroughtBack {
        /// Which order.
        order: OrderId,
        /// Whether the pack is durable on this device now.
        came: bool,
    },
    /// An audit found that a copy is none: see [`auditing`](crate::auditing).
    CopyFailed {
        /// Whose.
        holder: DeviceId,
        /// Of which pack.
        root: ShardRoot,
        /// What it is blamed for; nothing when it owned up to damage.
        fault: Option<Fault>,
    },
    /// A holder that is away has left word at another one for this device: its receipts, signatures checked.
    Replied {
        /// Who.
        holder: DeviceId,
        /// For which shard, and what.
        claims: Vec<(ShardRoot, Claim)>,
    },
    /// Answer to [`Output::Errands`], after what was found there was told.
    ErrandsEnded {
        /// Which order.
        order: OrderId,
        /// Whether all was left, and all replies taken.
        is_done: bool,
    },
    /// The line out of the local network is another one, or costs something else.
    LineIs(Line),
    /// On which side of the line a holder stands; beyond it, as long as nobody has said so.
    HolderStands(DeviceId, Side),
    /// The time named by [`Placing::poll_timeout`] has come.
    TimePassed,
}

/// What a holder did wrong, provably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A receipt with a wrong signature.
    ForgedReceipt,
    /// A receipt for another vault, shard, length or holder than asked, or one that is too short.
    WrongReceipt,
    /// It gave a receipt and says now that it does not have the shard.
    LostShard,
    /// It gave a receipt and shows other bytes.
    WrongProof,
    /// It lost the same shard again, just after it was sent once more.
    LostAgain,
    /// Another number of verdicts than shards offered.
    WrongCount,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect to a holder; answer with `HolderConnected` or `HolderLost`.
    Connect {
        /// To whom.
        holder: DeviceId,
    },
    /// Send an offer; answer with `OfferAnswered` or `OfferFailed`.
    Offer {
        /// Number for the answer.
        order: OrderId,
        /// To whom.
        holder: DeviceId,
        /// At most [`OFFER_SHARDS_MAX`](crate::limits::OFFER_SHARDS_MAX).
        shards: Vec<OfferedShard>,
    },
    /// Upload a pack; answer with `UploadEnded`.
    Upload {
        /// Number for the answer.
        order: OrderId,
        /// To whom.
        holder: DeviceId,
        /// What.
        shard: ShardRef,
        /// By which rules it is placed.
        class: PackClass,
    },
    /// Stop an upload that made no progress; no answer is needed.
    CancelUpload {
        /// Which.
        order: OrderId,
    },
    /// Make a receipt durable, then answer `ReceiptKept`, or `ReceiptNotKept`.
    KeepReceipt {
        /// The receipt.
        receipt: Receipt,
    },
    /// The receipt is worth nothing any more: forget it.
    ForgetReceipt {
        /// Whose.
        holder: DeviceId,
        /// For which shard.
        root: ShardRoot,
    },
    /// A pack meets the policy. Of a pack of another device, write `sites` into its row; it comes
    /// back as [`KnownPack::promised_sites`].
    PackSafe {
        /// Which.
        root: ShardRoot,
        /// On how many sites it is kept now.
        sites: u8,
    },
    /// A pack is neither here nor known to be at any holder that is not presumed lost. Nothing new may rely on it: its chunks
    /// are to be stored anew, if they can be read once more. Said again at every start; taken back
    /// by `PackSafe`, should it be found after all.
    PackNowhere {
        /// Which.
        root: ShardRoot,
    },
    /// A pack that met the policy once is on too few sites and not here: fetch it from whoever has
    /// it, make it durable here, and answer with `BroughtBack`. It is placed anew then.
    BringBack {
        /// Number for the answer.
        order: OrderId,
        /// What.
        shard: ShardRef,
        /// By which rules it is placed.
        class: PackClass,
    },
    /// Every pack that this head needs is safe. Orders to push it follow.
    HeadSafe {
        /// Number of the head.
        seq: u64,
    },
    /// Push this head of ours to a holder; answer with `HeadPushed`. Note durably before it leaves that
    /// it does: from then on this device shows it to whoever asks, and no older one.
    PushHead {
        /// Number for the answer.
        order: OrderId,
        /// To whom.
        holder: DeviceId,
        /// Number of the head.
        seq: u64,
    },
    /// Holders on as many sites as the policy asks have this head: what it and the heads before it
    /// name survives the loss of this device. This is when a backup is safe.
    HeadPublished {
        /// Number of the head.
        seq: u64,
    },
    /// The local copy of a data pack may go. Write `sites` into the pack's row first; it comes
    /// back as [`KnownPack::promised_sites`].
    DropLocal {
        /// Which.
        shard: ShardRef,
        /// On how many sites it is kept now.
        sites: u8,
    },
    /// A holder says that the bytes we sent are not this shard: hash the local copy, and answer
    /// `PackLost` if it is damaged.
    CheckLocal {
        /// Which.
        shard: ShardRef,
    },
    /// Our own copy of a pack is not readable.
    LocalLost {
        /// Which.
        root: ShardRoot,
    },
    /// Leave errands for others at a holder, and ask it for what others have left there for this device. Tell
    /// that as `Replied` and `HeadHeld`, then answer with `ErrandsEnded`.
    Errands {
        /// Number for the answer.
        order: OrderId,
        /// At whom.
        carrier: DeviceId,
        /// One for each holder that is to be told something else than was left there.
        wishes: Vec<Wish>,
    },
    /// The condition of a holder changed; for people.
    HolderIs {
        /// Who.
        holder: DeviceId,
        /// How it stands now.
        condition: Condition,
    },
    /// What is known of a holder changed: note it durably. It comes back as
    /// [`Input::HolderKnown`].
    Acquainted {
        /// Who.
        holder: DeviceId,
        /// How far it has shown that it can hold.
        acquaintance: Acquaintance,
    },
    /// A holder broke its word or the protocol.
    Blame {
        /// Who.
        holder: DeviceId,
        /// What it did.
        fault: Fault,
        /// About which shard, if about one.
        root: Option<ShardRoot>,
    },
}

/// The machine. See the head of this file for how to drive it.
///
/// Memory: about 200 bytes for each pack and holder known. Outputs: bounded by the shards of one
/// offer, except that a change of policy or of sites may speak of every pack once.
#[derive(Debug, Clone)]
pub struct Placing {
    vault: VaultId,
    policy: Policy,
    /// Sites on which a pack must be; recomputed when holders or policy change.
    copies: usize,
    now: Instant,
    packs: BTreeMap<ShardRoot, Pack>,
    packs_seen: u64,
    /// Bytes of data packs that are here: the spool.
    spool_bytes: u64,
    holders: BTreeMap<DeviceId, Holder>,
    /// How many distinct sites they are on.
    sites: usize,
    heads: Heads,
    bringing: Bringing,
    errands: Errands,
    line: Line,
    orders: BTreeMap<OrderId, Order>,
    numbers: OrderNumbers,
    /// Something changed that may let an upload start.
    uploads_due: bool,
    /// When orders were last looked for.
    scheduled: Instant,
    /// Before this, nothing happens because of time alone.
    timeout: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Placing {
    /// A machine that knows nothing yet. At start the shell gives `HolderKnown` for every holder,
    /// `HolderPresumed` for those presumed lost and `HolderLeaves` for those that leave, before anything is taken for safe because of them,
    /// then `PackKnown` for every pack in its database, then `HeadCommitted` for its newest head
    /// and `HeadHeld` for every holder that acknowledged it or an older one.
    pub fn new(vault: VaultId, policy: Policy) -> Self {
        let mut placing = Self {
            vault,
            policy,
            copies: 1,
            now: Instant::default(),
            packs: BTreeMap::new(),
            packs_seen: 0,
            spool_bytes: 0,
            holders: BTreeMap::new(),
            sites: 0,
            heads: Heads::default(),
            bringing: Bringing::default(),
            errands: Errands::default(),
            line: Line::Free,
            orders: BTreeMap::new(),
            numbers: OrderNumbers::default(),
            uploads_due: false,
            scheduled: Instant::default(),
            timeout: None,
            outputs: VecDeque::new(),
        };
        placing.copies = placing.copies_wanted();
        placing
    }

    /// Takes one input. `now` never goes back; early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        // These alone let no upload start; what comes of them may, see `uploads_due`.
        let is_idle = matches!(
            input,
            Input::TimePassed
                | Input::HolderHeard { .. }
                | Input::HolderLost { .. }
                | Input::HolderRefused { .. }
                | Input::UploadProgressed { .. }
        );
        self.uploads_due |= !is_idle;
        let frees_nothing = matches!(input, Input::UploadProgressed { .. });
        if !matches!(input, Input::UploadProgressed { .. } | Input::TimePassed) {
            self.look_at_errands_soon();
        }
        match input {
            Input::PackStored { shard, class } => self.pack_stored(shard, class),
            Input::PackLost { root } => self.local_lost(root),
            Input::PackDropped { root } => self.pack_dropped(root),
            Input::PackKnown(known) => self.pack_known(known),
            Input::HolderKnown { holder, site, acquaintance } => {
                self.holder_known(holder, site, acquaintance);
            }
            Input::LineIs(line) => self.set_line(line),
            Input::HolderStands(holder, side) => self.set_side(holder, side),
            Input::HolderRemoved { holder } => self.holder_removed(holder),
            Input::HolderConnected { holder, granted_bytes } => {
                self.holder_connected(holder, granted_bytes);
            }
            Input::HolderPresumed { holder, is_lost } => self.holder_presumed(holder, is_lost),
            Input::HolderLeaves { holder } => self.holder_leaves(holder),
            Input::HolderHeard { holder } => {
                self.set_heard_of(holder);
                self.holder_heard(holder);
            }
            Input::HolderLost { holder } => {
                self.holder_lost(holder, Condition::Away);
                self.set_away(holder);
            }
            Input::HolderRefused { holder } => self.holder_lost(holder, Condition::Forbidden),
            Input::OfferAnswered { order, claims } => self.offer_answered(order, claims),
            Input::OfferFailed { order, refusal } => self.offer_failed(order, refusal),
            Input::UploadProgressed { order } => self.upload_progressed(order),
            Input::UploadEnded { order, upload } => self.upload_ended(order, upload),
            Input::ReceiptKept { holder, root } => self.receipt_kept(holder, root),
            Input::ReceiptNotKept { holder, root } => self.receipt_not_kept(holder, root),
            Input::HeadCommitted { seq, needs } => self.head_committed(seq, needs),
            Input::HeadHeld { holder, seq } => self.head_held(holder, seq),
            Input::HeadPushed { order, taken } => self.head_pushed(order, taken),
            Input::PolicyChanged(policy) => {
                self.policy = policy;
                self.reconsider_all();
            }
            Input::BroughtBack { order, came } => self.brought_back(order, came),
            Input::CopyFailed { holder, root, fault } => self.copy_failed(holder, root, fault),
            Input::Replied { holder, claims } => self.replied(holder, claims),
            Input::ErrandsEnded { order, is_done } => self.errands_ended(order, is_done),
            Input::TimePassed => {}
        }
        if !frees_nothing {
            if self.timeout.is_some_and(|timeout| timeout <= self.now) {
                self.end_overdue();
                self.answer_late_calls();
                self.note_ended_rests();
            }
            self.schedule();
        }
        self.timeout = self.next_timeout();
    }

    /// When to come back with `TimePassed` at the latest.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many orders wait for their answers: bounded by offers and uploads.
    pub fn orders_pending(&self) -> usize {
        self.orders.len() + self.bringing.orders_pending()
    }

    fn pack_stored(&mut self, shard: ShardRef, class: PackClass) {
        let root = shard.root;
        if !self.packs.contains_key(&root) {
            self.insert_pack(shard, class);
        }
        self.set_here(root, true);
        self.requeue(root);
        self.reconsider(root);
    }

    fn pack_known(&mut self, known: KnownPack) {
        let root = known.shard.root;
        if !self.packs.contains_key(&root) {
            self.insert_pack(known.shard, known.class);
        }
        if known.here {
            self.set_here(root, true);
        }
        let Some(pack) = self.packs.get_mut(&root) else { return };
        pack.promised_sites = pack.promised_sites.max(known.promised_sites);
        for holder_id in known.kept_by {
            let Some(holder) = self.holders.get_mut(&holder_id) else { continue };
            holder.acquaintance = Acquaintance::Granted;
            holder.leave_queues(&(pack.seq, root));
            pack.custody.insert(holder_id, pack::Custody::Kept);
        }
        self.requeue(root);
        self.reconsider(root);
        if let Some(pack) = self.packs.get(&root) {
            self.bringing.resume(pack);
        }
        self.note_if_nowhere(root);
    }

    fn insert_pack(&mut self, shard: ShardRef, class: PackClass) {
        self.packs_seen += 1;
        let mut pack = Pack::new(shard, class, self.packs_seen);
        for holder in self.holders.keys() {
            pack.custody.insert(*holder, pack::Custody::Unasked);
        }
        self.packs.insert(shard.root, pack);
        self.requeue(shard.root);
    }

    /// Notes whether the bytes of a pack are here; returns whether they were.
    fn set_here(&mut self, root: ShardRoot, here: bool) -> bool {
        let Some(pack) = self.packs.get_mut(&root) else { return false };
        let was_here = std::mem::replace(&mut pack.here, here);
        if pack.class == PackClass::Data {
            let bytes = pack.shard.bytes;
            let left = self.spool_bytes.saturating_sub(if was_here { bytes } else { 0 });
            self.spool_bytes = left.saturating_add(if here { bytes } else { 0 });
        }
        was_here
    }

    /// Says so when nobody is known to have a pack.
    fn note_if_nowhere(&mut self, root: ShardRoot) {
        if self.packs.get(&root).is_some_and(|pack| self.is_nowhere(pack)) {
            self.outputs.push_back(Output::PackNowhere { root });
        }
    }

    /// Whether a holder is known and not presumed lost.
    fn is_counted_on(&self, holder: &DeviceId) -> bool {
        self.holders.get(holder).is_some_and(|holder| !holder.is_presumed_lost)
    }

    /// Whether its bytes are neither here nor known to be, or about to be, at any holder that is not
    /// presumed lost.
    fn is_nowhere(&self, pack: &Pack) -> bool {
        let keeps =
            |(id, custody): (&DeviceId, &pack::Custody)| custody.covers() && self.is_counted_on(id);
        !pack.here && !pack.custody.iter().any(keeps)
    }

    /// Bytes of data packs that are on this device: those that still have to be placed, and all of
    /// them where the policy keeps them.
    pub const fn spool_bytes(&self) -> u64 {
        self.spool_bytes
    }

    /// Whether a pack meets the policy. A head is safe when all of its packs are.
    pub fn is_safe(&self, root: &ShardRoot) -> bool {
        self.packs.get(root).is_some_and(Pack::is_safe)
    }
}

#[cfg(test)]
mod tests;
