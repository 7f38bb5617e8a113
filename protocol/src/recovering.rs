//! Recovering: the newest heads of a vault, gathered from every holder that can be reached.
//!
//! Holders are witnesses. The highest valid head of each device wins; how many of those that
//! answered serve exactly it is said ("N of M"). Forks and hidden heads are found from what heads
//! say of each other. It verifies no signature: the shell decodes every head, checks it against
//! the device log (pulled from the same holder just before), and passes on a [`HeadSeen`].
//!
//! A holder:
//! ```text
//!  Due ──Ask──> Asked ──HeadsAnswered──> Over
//!   ^ ^          │                         │
//!   │ └─ resting ┴─ HolderFailed, time over│
//!   └── proof came that it knows more ─────┘
//! ```
//! A head that leads to nothing, because what it names cannot be read from anybody now, is passed over for
//! the one before it, for which those that showed it are asked; until somebody else has answered.
//!
//! Finished when every known holder has answered, or the deadline has passed with at least one
//! answer, or without one. A holder that is found or answers later opens it again: the shell acts
//! on the newest [`Recovering::found`].
//!
//! Blame needs proof: a holder served less than it had acknowledged to this device, or less than
//! its own signed head says that it had seen, and the proof was here before it was asked. Merely
//! being behind is noted, never blamed.
//!
//! Drive it so: [`Recovering::handle_input`], then [`Recovering::poll_output`] until `None`, then
//! wait for the next input or for [`Recovering::poll_timeout`]. Source: specs/restoring.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    head::SignedHead,
    ids::{DeviceId, HeadHash},
    limits::{HEADS_MS_MAX, HEADS_OF_DEVICE_MAX, HOLDERS_MAX, LOG_DEVICES_BACKED_MAX},
    order::{Backoff, OrderId, OrderNumbers},
    time::Instant,
};

mod found;
mod seeking;
mod trial;

pub use found::{Finding, Found, FoundHead};
pub use seeking::{Lead, SeekAnswer, SeekEnd, SeekInput, SeekOutput, Seeking};
pub use trial::unproved_days;

/// Between attempts to ask one holder.
const BACKOFF: Backoff = Backoff { first_ms: 500, most_ms: 15_000 };
/// Times that one holder is asked again because of what came to light since its answer. A vault
/// that is being written to all the time must not keep a restorer asking for ever.
const ASKED_AGAIN_MAX: u8 = 3;

/// Heads that a holder can have: of every device of the log, each forked.
const HEADS_SERVED_MAX: usize = HEADS_OF_DEVICE_MAX * LOG_DEVICES_BACKED_MAX;

/// What a verified head says, as far as this machine is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadSeen {
    /// Whose head.
    pub device: DeviceId,
    /// Its number, from 1.
    pub seq: u64,
    /// Its hash.
    pub hash: HeadHash,
    /// The head before it; `None` for the first.
    pub prev: Option<HeadHash>,
    /// Heads of other devices that its author had seen.
    pub seen: Vec<(DeviceId, u64, HeadHash)>,
}

impl From<&SignedHead> for HeadSeen {
    /// Takes what matters here from a head. The caller has verified it.
    fn from(head: &SignedHead) -> Self {
        let body = head.body();
        Self {
            device: body.device,
            seq: body.seq,
            hash: head.hash(),
            prev: body.prev,
            seen: body.seen.iter().map(|seen| (seen.device, seen.seq, seen.head)).collect(),
        }
    }
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A holder exists: from a ticket, from the device log, or named in a manifest found.
    HolderKnown {
        /// Who.
        holder: DeviceId,
    },
    /// This device's own book knows this head (a device that lost nothing, or an earlier try).
    HeadKnown(HeadSeen),
    /// A holder once acknowledged this head to this device.
    HeadAcknowledged {
        /// Who.
        holder: DeviceId,
        /// Whose head.
        device: DeviceId,
        /// Its number.
        seq: u64,
    },
    /// Answer to [`Output::Ask`].
    HeadsAnswered {
        /// Which order.
        order: OrderId,
        /// Heads with a valid signature of a device of the vault.
        heads: Vec<HeadSeen>,
        /// Heads that were not: bad signature or form.
        forged: u32,
    },
    /// Answer to [`Output::Ask`]: no connection, refusal, or no sound answer.
    HolderFailed {
        /// Which order.
        order: OrderId,
    },
    /// What a head that was found leads to cannot be read from anybody now.
    HeadUnreadable {
        /// Which.
        hash: HeadHash,
    },
    /// The time named by [`Recovering::poll_timeout`] has come.
    TimePassed,
}

/// What a holder did wrong, provably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It serves less of this device than it has provably known.
    HidesHead {
        /// Whose head.
        device: DeviceId,
        /// Number of the head it served; 0 for none.
        served: u64,
        /// Number of the head that it knew.
        knew: u64,
    },
    /// It served heads with bad signatures.
    ForgedHead,
    /// It served more heads than a vault can have.
    TooMany,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect if need be, pull the device log, then the heads; verify; answer.
    Ask {
        /// Number for the answer.
        order: OrderId,
        /// Whom.
        holder: DeviceId,
    },
    /// Pull the superseded heads of one device; verify; answer with `HeadsAnswered` or `HolderFailed`.
    AskPast {
        /// Number for the answer.
        order: OrderId,
        /// Whom.
        holder: DeviceId,
        /// Whose heads.
        device: DeviceId,
        /// Only those with a lower number.
        below: u64,
    },
    /// A holder broke its word.
    Blame {
        /// Who.
        holder: DeviceId,
        /// What it did.
        fault: Fault,
    },
    /// As complete as it gets for now: read [`Recovering::found`]. May come again with more.
    Finished {
        /// Every known holder has answered; else the deadline has passed.
        complete: bool,
    },
}

/// One holder as a witness.
#[derive(Debug, Clone)]
struct Witness {
    turn: Turn,
    /// Its last answer: number and hash of its heads of each device.
    served: Option<BTreeMap<DeviceId, BTreeMap<u64, HeadHash>>>,
    /// Times it was asked again because of what came to light after its answer.
    asked_again: u8,
    /// Devices whose superseded heads it was asked for, or is to be asked for.
    past_of: BTreeSet<DeviceId>,
    /// It is asked for the superseded heads of this device below this number, and for nothing else.
    past: Option<(DeviceId, u64)>,
}

#[derive(Debug, Clone)]
enum Turn {
    /// To be asked, not before `at`, after `tries` failures.
    Due { at: Instant, tries: u32 },
    /// Asked; given up at `deadline`. `knew` is what it provably knew before it was asked: an
    /// answer with less is hiding, not a race.
    Asked { order: OrderId, deadline: Instant, tries: u32, knew: BTreeMap<DeviceId, u64> },
    /// Has answered.
    Over,
}

impl Witness {
    const fn new(turn: Turn) -> Self {
        Self { turn, served: None, asked_again: 0, past_of: BTreeSet::new(), past: None }
    }

    fn served_seq(&self, device: &DeviceId) -> u64 {
        let heads = self.served.as_ref().and_then(|served| served.get(device));
        heads.and_then(|heads| heads.keys().last()).copied().unwrap_or(0)
    }
}

/// The machine. Outputs per input: one for each holder at most, and one.
#[derive(Debug, Clone)]
pub struct Recovering {
    now: Instant,
    deadline: Option<Instant>,
    patience_ms: u64,
    witnesses: BTreeMap<DeviceId, Witness>,
    /// Every head met, from any source.
    heads: BTreeMap<HeadHash, HeadSeen>,
    acknowledged: BTreeMap<(DeviceId, DeviceId), u64>,
    /// Heads that led to nothing, and how many holders had answered by then.
    unreadable: BTreeMap<HeadHash, usize>,
    blamed: BTreeSet<(DeviceId, Fault)>,
    finished: bool,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Recovering {
    /// A machine that waits `patience_ms` from its first input for holders that do not answer.
    pub const fn new(patience_ms: u64) -> Self {
        Self {
            now: Instant(0),
            deadline: None,
            patience_ms,
            witnesses: BTreeMap::new(),
            heads: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            blamed: BTreeSet::new(),
            finished: false,
            numbers: OrderNumbers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back; early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        let patience_ms = self.patience_ms;
        self.deadline.get_or_insert(self.now.after_ms(patience_ms));
        match input {
            Input::HolderKnown { holder } => self.holder_known(holder),
            Input::HeadKnown(head) => self.learn(head),
            Input::HeadAcknowledged { holder, device, seq } => {
                let known = self.acknowledged.entry((holder, device)).or_default();
                *known = seq.max(*known);
            }
            Input::HeadsAnswered { order, heads, forged } => {
                self.heads_answered(order, heads, forged);
            }
            Input::HolderFailed { order } => self.holder_failed(order),
            Input::HeadUnreadable { hash } => self.head_unreadable(hash),
            Input::TimePassed => {}
        }
        self.end_overdue();
        self.ask_due();
        self.finish_if_over();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let witnesses = self.witnesses.values().filter_map(|witness| match &witness.turn {
            Turn::Due { at, .. } => Some(*at),
            Turn::Asked { deadline, .. } => Some(*deadline),
            Turn::Over => None,
        });
        witnesses.chain(self.deadline.filter(|_| !self.finished)).min()
    }

    fn holder_known(&mut self, holder: DeviceId) {
        if self.witnesses.len() < HOLDERS_MAX && !self.witnesses.contains_key(&holder) {
            let turn = Turn::Due { at: self.now, tries: 0 };
            self.witnesses.insert(holder, Witness::new(turn));
            self.finished = false;
            // It gets the full time, however late it was found.
            self.deadline = Some(self.now.after_ms(self.patience_ms));
        }
    }

    fn learn(&mut self, head: HeadSeen) {
        // Both of each fork of each device are enough to prove it.
        let of_device = |other: &&HeadSeen| other.device == head.device;
        let count = self.heads.values().filter(of_device).count();
        let highest = self.heads.values().filter(of_device).all(|other| other.seq < head.seq);
        let new = !self.heads.contains_key(&head.hash);
        if new && (highest || count < 2 * HOLDERS_MAX) {
            self.heads.insert(head.hash, head);
            // Whoever acted on what was found before is to look again.
            self.finished = false;
        }
    }

    /// Ends the turn of whoever was asked with this order, if the order still counts.
    fn end_turn(&mut self, order: OrderId) -> Option<(DeviceId, Turn)> {
        let asked = |witness: &Witness| match &witness.turn {
            Turn::Asked { order: own, .. } => *own == order,
            Turn::Due { .. } | Turn::Over => false,
        };
        let (holder, witness) = self.witnesses.iter_mut().find(|(_, witness)| asked(witness))?;
        Some((*holder, std::mem::replace(&mut witness.turn, Turn::Over)))
    }

    fn heads_answered(&mut self, order: OrderId, heads: Vec<HeadSeen>, forged: u32) {
        let Some((holder, turn)) = self.end_turn(order) else { return };
        if forged > 0 {
            self.blame(holder, Fault::ForgedHead);
        }
        if heads.len() > HEADS_SERVED_MAX {
            self.blame(holder, Fault::TooMany);
        }
        let mut served: BTreeMap<DeviceId, BTreeMap<u64, HeadHash>> = BTreeMap::new();
        for head in heads.into_iter().take(HEADS_SERVED_MAX) {
            served.entry(head.device).or_default().insert(head.seq, head.hash);
            self.learn(head);
        }
        let Some(witness) = self.witnesses.get_mut(&holder) else { return };
        if witness.past.take().is_some() {
            let shown = witness.served.get_or_insert_default();
            for (device, heads) in served {
                shown.entry(device).or_default().extend(heads);
            }
            return;
        }
        witness.served = Some(served);
        let Turn::Asked { knew, .. } = turn else { return };
        let hidden: Vec<Fault> = knew
            .into_iter()
            .map(|(device, knew)| (device, witness.served_seq(&device), knew))
            .filter(|(_, served, knew)| served < knew)
            .map(|(device, served, knew)| Fault::HidesHead { device, served, knew })
            .collect();
        for fault in hidden {
            self.blame(holder, fault);
        }
        self.ask_suspects_again();
    }

    /// Whoever showed it is asked, once, for what it replaced.
    fn head_unreadable(&mut self, hash: HeadHash) {
        let Some(head) = self.heads.get(&hash) else { return };
        let (device, below) = (head.device, head.seq);
        self.unreadable.insert(hash, self.answered());
        // What is found is another one now: whoever acts on it is to look again.
        self.finished = false;
        for witness in self.witnesses.values_mut() {
            let is_free = matches!(witness.turn, Turn::Over) && witness.past.is_none();
            let shows = witness.served_seq(&device) >= below;
            if is_free && shows && witness.past_of.insert(device) {
                witness.past = Some((device, below));
                witness.turn = Turn::Due { at: self.now, tries: 0 };
                self.deadline = Some(self.now.after_ms(self.patience_ms));
            }
        }
    }

    /// How many holders have answered.
    fn answered(&self) -> usize {
        self.witnesses.values().filter(|witness| witness.served.is_some()).count()
    }

    fn holder_failed(&mut self, order: OrderId) {
        let Some((holder, Turn::Asked { tries, .. })) = self.end_turn(order) else { return };
        let tries = tries.saturating_add(1);
        let at = self.now.after_ms(BACKOFF.wait_ms(tries, &holder));
        if let Some(witness) = self.witnesses.get_mut(&holder) {
            witness.turn = Turn::Due { at, tries };
        }
    }

    fn end_overdue(&mut self) {
        let overdue: Vec<OrderId> = self
            .witnesses
            .values()
            .filter_map(|witness| match &witness.turn {
                Turn::Asked { order, deadline, .. } if *deadline <= self.now => Some(*order),
                Turn::Due { .. } | Turn::Asked { .. } | Turn::Over => None,
            })
            .collect();
        for order in overdue {
            self.holder_failed(order);
        }
    }

    fn ask_due(&mut self) {
        let now = self.now;
        let due = |witness: &Witness| matches!(witness.turn, Turn::Due { at, .. } if at <= now);
        let holders: Vec<DeviceId> =
            self.witnesses.iter().filter(|(_, it)| due(it)).map(|(holder, _)| *holder).collect();
        for holder in holders {
            let knew = self.knew(holder);
            let Some(witness) = self.witnesses.get_mut(&holder) else { continue };
            let Turn::Due { tries, .. } = witness.turn else { continue };
            let order = self.numbers.take();
            let deadline = now.after_ms(HEADS_MS_MAX);
            witness.turn = Turn::Asked { order, deadline, tries, knew };
            self.outputs.push_back(match witness.past {
                None => Output::Ask { order, holder },
                Some((device, below)) => Output::AskPast { order, holder, device, below },
            });
        }
    }

    fn finish_if_over(&mut self) {
        let open = |witness: &Witness| !matches!(witness.turn, Turn::Over);
        let complete = !self.witnesses.is_empty() && !self.witnesses.values().any(open);
        let over = self.deadline.is_some_and(|deadline| deadline <= self.now);
        if !self.finished && (complete || over) {
            self.finished = true;
            self.deadline = None;
            self.outputs.push_back(Output::Finished { complete });
        }
    }

    fn blame(&mut self, holder: DeviceId, fault: Fault) {
        if self.blamed.insert((holder, fault)) {
            self.outputs.push_back(Output::Blame { holder, fault });
        }
    }

    /// What a holder provably knows by now: its own signed heads and what they have seen, and
    /// what it acknowledged to this device.
    fn knew(&self, holder: DeviceId) -> BTreeMap<DeviceId, u64> {
        let own = self.heads.values().filter(|head| head.device == holder);
        let signed = own.flat_map(|head| {
            let itself = (head.device, head.seq);
            head.seen.iter().map(|(device, seq, _)| (*device, *seq)).chain([itself])
        });
        let first = (holder, DeviceId::from_bytes([0; 32]));
        let last = (holder, DeviceId::from_bytes([0xff; 32]));
        let acknowledged =
            self.acknowledged.range(first..=last).map(|((_, device), seq)| (*device, *seq));
        let mut knew: BTreeMap<DeviceId, u64> = BTreeMap::new();
        for (device, seq) in signed.chain(acknowledged) {
            let known = knew.entry(device).or_default();
            *known = seq.max(*known);
        }
        knew
    }

    /// A holder that served less than it is now proven to know may have learnt it after its
    /// answer: it is asked again, and blamed only if it still serves less.
    fn ask_suspects_again(&mut self) {
        let suspect = |(holder, witness): &(&DeviceId, &Witness)| {
            matches!(witness.turn, Turn::Over)
                && witness.asked_again < ASKED_AGAIN_MAX
                && self.knew(**holder).iter().any(|(device, seq)| witness.served_seq(device) < *seq)
        };
        let suspects: Vec<DeviceId> =
            self.witnesses.iter().filter(suspect).map(|(holder, _)| *holder).collect();
        for holder in suspects {
            let Some(witness) = self.witnesses.get_mut(&holder) else { continue };
            witness.asked_again += 1;
            witness.turn = Turn::Due { at: self.now, tries: 0 };
        }
    }
}

#[cfg(test)]
mod tests;
