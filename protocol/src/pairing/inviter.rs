//! The side that made the invitation.
//!
//! ```text
//! Greeting ─► Spending ─┬► Meeting ─► Drafted ─┬► Storing ─► Parting ─► over
//!                       │      └─ is in already ┘  ▲
//!                       └► Learning ───────────────┘
//! ```
//! Source: specs/pairing.md.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::{
    Ending, Fault, Input, Member, Output, Pair, PartsError, Refusal, Store, VERSION,
    exchange::{Arriving, Exchange, befriend},
    frame::{Frame, InviteId, peers_that_fit},
};
use crate::{
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, DevicePublic},
    limits::{FRAME_BYTES_MAX, PAIRING_HELLO_BYTES_MAX},
    log::{AddDraft, Label, Newcomer},
    peer::{PeerRecord, are_addresses},
    ticket::{Invite, InviteKind},
    time::{Instant, Timestamp},
};

/// What an inviter starts with.
#[derive(Debug, Clone)]
pub struct InviterParts {
    /// This device.
    pub keys: DeviceKeys,
    /// Its vault.
    pub member: Member,
    /// Outstanding invitations: neither spent nor withdrawn. Expired ones may be among them.
    pub invites: Vec<Invite>,
    /// Who is at the other end, as the connection has proved.
    pub peer: DeviceId,
    /// Wall-clock time.
    pub time: Timestamp,
    /// Monotonic time.
    pub start: Instant,
    /// Randomness for wrapping keys.
    pub seed: [u8; 32],
}

/// One pairing, seen from the inviter.
#[derive(Debug, Clone)]
pub struct Inviter {
    keys: DeviceKeys,
    member: Member,
    invites: Vec<Invite>,
    peer: DeviceId,
    time: Timestamp,
    rng: ChaCha20Rng,
    exchange: Exchange,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Waits for the first word of whoever it is.
    Greeting,
    /// The invitation is being spent.
    Spending { invite: Invite, vault: Option<VaultId> },
    /// Waits for the new device's keys.
    Meeting,
    /// Waits for its consent.
    Drafted { draft: Box<AddDraft>, peer: PeerRecord },
    /// Waits for the other vault's log and nodes.
    Learning(Arriving),
    /// The result is being stored; `then` is sent when it is.
    Storing { then: Frame },
    /// Waits for the joiner's last word.
    Parting,
    /// Over.
    Over,
}

impl Inviter {
    /// Begins when a connection on the pairing protocol has opened its stream.
    ///
    /// # Errors
    /// [`PartsError::Own`] when this device is not in its own log.
    pub fn new(parts: InviterParts) -> Result<Self, PartsError> {
        let InviterParts { keys, member, invites, peer, time, start, seed } = parts;
        if !member.log.is_device(&keys.id()) {
            return Err(PartsError::Own);
        }
        let (exchange, rng) = (Exchange::waiting(start), ChaCha20Rng::from_seed(seed));
        let state = State::Greeting;
        Ok(Self { keys, member, invites, peer, time, rng, exchange, state })
    }

    /// The largest frame content to read now: little before the other side has proved anything.
    pub const fn frame_bytes_max(&self) -> usize {
        match self.state {
            State::Greeting => PAIRING_HELLO_BYTES_MAX,
            State::Spending { .. }
            | State::Meeting
            | State::Drafted { .. }
            | State::Learning(_)
            | State::Storing { .. }
            | State::Parting
            | State::Over => FRAME_BYTES_MAX,
        }
    }

    /// Takes one input. Early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if self.exchange.is_over() {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, input) {
            (state, Input::TimePassed) if !self.exchange.is_late(now) => self.state = state,
            (State::Parting, Input::Lost | Input::TimePassed) => {
                self.exchange.end(Ending::Unconfirmed);
            }
            // The shell is storing: what becomes of it is known only when it answers.
            (state @ State::Storing { .. }, Input::Lost | Input::TimePassed | Input::Frame(_)) => {
                self.state = state
            }
            (_, Input::Lost) => self.exchange.end(Ending::Lost),
            (_, Input::TimePassed) => self.exchange.end(Ending::TimedOut),
            (State::Spending { invite, vault }, Input::Stored) => {
                self.exchange.allow_whole_time(now);
                self.state = self.welcome(&invite, vault);
            }
            (State::Storing { then }, Input::Stored) => {
                self.exchange.send(&then);
                self.state = State::Parting;
            }
            (State::Spending { .. } | State::Storing { .. }, Input::StoreFailed) => {
                self.exchange.refuse(Refusal::Internal, Ending::StoreFailed);
            }
            (state, Input::Stored | Input::StoreFailed) => self.state = state,
            (state, Input::Frame(bytes)) => match self.handle_frame(state, &bytes) {
                Ok(state) => self.state = state,
                Err(fault) => self.exchange.blame(fault),
            },
        }
    }

    /// Returns the next order; decides nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll()
    }

    /// When to say [`Input::TimePassed`]; `None` when it is over, or while the result is stored.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.timeout().filter(|_| !matches!(self.state, State::Storing { .. }))
    }

    fn handle_frame(&mut self, state: State, bytes: &[u8]) -> Result<State, Fault> {
        if matches!(state, State::Greeting)
            && Frame::peek_hello(bytes).is_some_and(|v| v != VERSION)
        {
            self.exchange.refuse(Refusal::Version, Ending::Refused(Refusal::Version));
            return Ok(State::Over);
        }
        if matches!(state, State::Parting) {
            // This side has stored: whatever else the joiner says, that does not change.
            let done = Frame::decode(bytes) == Ok(Frame::Bye);
            self.exchange.end(if done { Ending::Done } else { Ending::Unconfirmed });
            return Ok(State::Over);
        }
        match (state, Frame::decode(bytes)?) {
            (_, Frame::Refuse { reason }) => {
                self.exchange.end(Ending::Refused(reason));
                Ok(State::Over)
            }
            (State::Greeting, Frame::Hello { kind, invite, vault, proof, .. }) => {
                Ok(self.greet(kind, invite, vault, proof))
            }
            (State::Meeting, Frame::Joining { device, label, addresses }) => {
                self.meet(device, label, addresses)
            }
            (State::Drafted { draft, peer }, Frame::Consent { signature }) => {
                let log = &mut self.member.log;
                let entry = log.append_add(&draft, signature, &self.keys).map_err(Fault::Log)?;
                let then = self.added(entry.clone());
                self.exchange.store(Store::Added { entry, peer });
                Ok(State::Storing { then })
            }
            (State::Learning(arriving), Frame::Log { entries, last }) => {
                Ok(State::Learning(arriving.take(&entries, last)?))
            }
            (State::Learning(arriving), Frame::Introduction { peers, granted_bytes }) => {
                let log = arriving.complete(&self.peer)?;
                self.exchange.store(befriend(log, &self.peer, peers, granted_bytes)?);
                Ok(State::Storing { then: Frame::Done })
            }
            (_, _) => Err(Fault::OutOfTurn),
        }
    }

    /// Looks the invitation up and, if it is known and proved, spends it.
    fn greet(
        &mut self,
        kind: InviteKind,
        id: InviteId,
        vault: Option<VaultId>,
        proof: [u8; 32],
    ) -> State {
        let pair = Pair { inviter: self.keys.id(), joiner: self.peer };
        let proof = blake3::Hash::from_bytes(proof);
        let known = self.invites.iter().find(|invite| invite.id() == id);
        let proved = known.filter(|invite| invite.joiner_proof(pair, vault) == proof);
        let Some(invite) = proved.cloned() else {
            let ending = known
                .map_or(Ending::Refused(Refusal::UnknownInvite), |_| Ending::Fault(Fault::Proof));
            self.exchange.refuse(Refusal::UnknownInvite, ending);
            return State::Over;
        };
        let brings_vault = kind == InviteKind::Circle;
        let own_vault = vault == Some(self.member.log.vault());
        let refusal = if invite.expires <= self.time {
            Some(Refusal::Expired)
        } else if invite.kind != kind
            || kind == InviteKind::Help
            || brings_vault != vault.is_some()
            || own_vault
        {
            Some(Refusal::WrongKind)
        } else {
            None
        };
        if let Some(reason) = refusal {
            self.exchange.refuse(reason, Ending::Refused(reason));
            return State::Over;
        }
        self.exchange.store(Store::Spent(id));
        State::Spending { invite, vault }
    }

    fn welcome(&mut self, invite: &Invite, joiner_vault: Option<VaultId>) -> State {
        let pair = Pair { inviter: self.keys.id(), joiner: self.peer };
        let vault = self.member.log.vault();
        let proof = *invite.inviter_proof(pair, joiner_vault, vault).as_bytes();
        let own = self.member.peers.iter().find(|peer| peer.device == self.keys.id());
        let site = own.filter(|_| joiner_vault.is_none()).map(|own| own.site.clone());
        self.exchange.send(&Frame::Welcome { vault, proof, site });
        match joiner_vault {
            None => State::Meeting,
            Some(theirs) => {
                self.exchange.send_introduction(&self.member);
                State::Learning(Arriving::of(theirs))
            }
        }
    }

    fn meet(
        &mut self,
        device: DevicePublic,
        label: Label,
        addresses: Vec<String>,
    ) -> Result<State, Fault> {
        if device.id != self.peer || !label.is_plain() || !are_addresses(&addresses) {
            return Err(Fault::Implausible);
        }
        let log = &self.member.log;
        let peer = PeerRecord {
            device: device.id,
            vault: log.vault(),
            name: label.name.clone(),
            addresses,
            site: label.site.clone(),
        };
        if let Some(known) = log.device(&device.id) {
            // An earlier pairing may have been cut off before its result was stored.
            let entry = log.entry(&known.entry).filter(|_| known.public == device);
            let entry = entry.ok_or(Fault::Implausible)?.bytes().to_vec();
            self.exchange.send_log(log);
            let then = self.added(entry.clone());
            self.exchange.store(Store::Added { entry, peer });
            return Ok(State::Storing { then });
        }
        let newcomer = Newcomer { device, label, time: self.time };
        let draft = log.draft_add(&self.keys, &newcomer, &mut self.rng).map_err(Fault::Draft)?;
        self.exchange.send_log(log);
        self.exchange.send(&Frame::Draft { body: draft.bytes().to_vec().into() });
        Ok(State::Drafted { draft: Box::new(draft), peer })
    }

    fn added(&self, entry: Vec<u8>) -> Frame {
        let peers = peers_that_fit(self.member.peers.iter());
        Frame::Added { entry: entry.into(), peers }
    }
}
