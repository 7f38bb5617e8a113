//! The side that was given the invitation.
//!
//! ```text
//! Greeting ─► Comparing ─► Learning ─┬► Consented ─┬► Storing ─► over
//!                                    └─────────────┘
//!                                      a vault, or a device that is in already
//! ```
//! Source: specs/pairing.md.

use super::{
    Ending, Fault, Input, Member, Output, Pair, PartsError, Refusal, Store, VERSION, are_plausible,
    check_invite,
    compare::{Nonce, Nonces},
    exchange::{Arriving, Exchange, Shares, befriend},
    frame::{Frame, Terms},
};
use crate::{
    ids::VaultId,
    keys::DeviceKeys,
    log::{AddDraft, DeviceLog, DraftError, Label, Role},
    peer::{PeerRecord, are_addresses},
    text::is_plain,
    ticket::Invite,
    time::Instant,
};

/// What a joiner wants to be.
#[derive(Debug, Clone)]
pub enum JoinAs {
    /// A new device of the inviter's vault.
    Device {
        /// Its name.
        name: String,
        /// Its site; `None` for that of the inviter: the two usually stand in one household, and where
        /// that is not so, one too few is counted and none too many.
        site: Option<String>,
        /// Where it listens.
        addresses: Vec<String>,
    },
    /// A vault in the inviter's circle.
    Circle(Box<Member>),
}

/// What a joiner starts with.
#[derive(Debug, Clone)]
pub struct JoinerParts {
    /// This device. Its keys must be durable already: after a cut at the last step the log may
    /// hold them.
    pub keys: DeviceKeys,
    /// The invitation.
    pub invite: Invite,
    /// What for.
    pub join_as: JoinAs,
    /// Monotonic time.
    pub start: Instant,
    /// Randomness for the words to compare.
    pub seed: [u8; 32],
}

/// One pairing, seen from the joiner.
#[derive(Debug, Clone)]
pub struct Joiner {
    keys: DeviceKeys,
    invite: Invite,
    join_as: JoinAs,
    /// What this device will be, as it was told and shown.
    role: Role,
    nonce: Nonce,
    exchange: Exchange,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    /// Waits for the inviter's proof.
    Greeting,
    /// A person is asked whether the words are the same.
    Comparing(Arriving),
    /// Waits for the answer of a person there, for the inviter's log, and for what follows it. A vault
    /// that joins a circle may be stored there meanwhile.
    Learning(Arriving),
    /// The consent is sent: the inviter may take this device in from now on.
    Consented(Box<DeviceLog>),
    /// The result is being stored.
    Storing,
    /// Over.
    Over,
}

impl Joiner {
    /// Begins when the stream to the inviter is open.
    ///
    /// # Errors
    /// [`PartsError`].
    pub fn new(parts: JoinerParts) -> Result<Self, PartsError> {
        let JoinerParts { keys, invite, join_as, start, seed } = parts;
        let (device, own) = match &join_as {
            JoinAs::Device { name, site, addresses } => {
                let is_plain = is_plain(name) && site.as_deref().is_none_or(is_plain);
                (true, is_plain && are_addresses(addresses))
            }
            JoinAs::Circle(member) => (false, member.log.is_device(&keys.id())),
        };
        check_invite(&invite, &keys, device)?;
        if !own {
            return Err(PartsError::Own);
        }
        let exchange = Exchange::under_way(start);
        let (nonce, state) = (Nonce(seed), State::Greeting);
        let mut joiner =
            Self { keys, invite, join_as, role: Role::default(), nonce, exchange, state };
        let vault = joiner.own_vault();
        let proof = *joiner.invite.joiner_proof(joiner.pair(), vault).as_bytes();
        let (kind, invite) = (joiner.invite.kind, joiner.invite.id());
        let (version, commitment) = (VERSION, nonce.commitment());
        let hello = Frame::Hello { version, kind, invite, vault, proof, commitment };
        joiner.exchange.send(&hello);
        Ok(joiner)
    }

    /// Takes one input. Early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        if self.exchange.is_over() {
            return;
        }
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, input) {
            (state, Input::TimePassed) if !self.exchange.is_late(now) => self.state = state,
            // The inviter has stored, and the shell is storing: nothing more is needed of anybody.
            (State::Storing, Input::Lost | Input::TimePassed | Input::Frame(_)) => {
                self.state = State::Storing;
            }
            (State::Consented(_), Input::Lost | Input::TimePassed) => {
                self.exchange.end(Ending::Unconfirmed)
            }
            (State::Learning(_), Input::Lost | Input::TimePassed) if self.own_vault().is_some() => {
                self.exchange.end(Ending::Unconfirmed)
            }
            (_, Input::Lost) => self.exchange.end(Ending::Lost),
            (_, Input::TimePassed) => self.exchange.end(Ending::TimedOut),
            (State::Comparing(arriving), Input::Confirmed) => {
                self.exchange.allow_answer(now);
                self.exchange.send(&Frame::Confirm);
                self.state = State::Learning(arriving);
            }
            (State::Greeting | State::Comparing(_), Input::Declined) => {
                self.exchange.refuse(Refusal::Declined, Ending::Declined);
            }
            (State::Storing, Input::Stored) => {
                self.exchange.send(&Frame::Bye);
                self.exchange.end(Ending::Done);
            }
            (State::Storing, Input::StoreFailed) => {
                self.exchange.refuse(Refusal::Internal, Ending::StoreFailed);
            }
            (
                state,
                Input::Stored
                | Input::StoreFailed
                | Input::Accepted(_)
                | Input::Confirmed
                | Input::Declined,
            ) => self.state = state,
            (state, Input::Frame(bytes)) => {
                let was_greeting = matches!(state, State::Greeting);
                match self.handle_frame(state, &bytes) {
                    Ok(state) => self.state = state,
                    Err(fault) => return self.exchange.blame(fault),
                }
                if was_greeting {
                    self.exchange.allow_asking(now);
                }
            }
        }
    }

    /// Returns the next order; decides nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll()
    }

    /// When to say [`Input::TimePassed`]; `None` when it is over, or while the result is stored.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.timeout().filter(|_| !matches!(self.state, State::Storing))
    }

    fn pair(&self) -> Pair {
        Pair { inviter: self.invite.inviter, joiner: self.keys.id() }
    }

    fn own_vault(&self) -> Option<VaultId> {
        match &self.join_as {
            JoinAs::Device { .. } => None,
            JoinAs::Circle(member) => Some(member.log.vault()),
        }
    }

    fn handle_frame(&mut self, state: State, bytes: &[u8]) -> Result<State, Fault> {
        match (state, Frame::decode(bytes)?) {
            (_, Frame::Refuse { reason }) => {
                self.exchange.end(Ending::Refused(reason));
                Ok(State::Over)
            }
            (State::Greeting, Frame::Welcome { vault, proof, site, nonce, role }) => {
                let terms = Terms { joiner_vault: self.own_vault(), vault, role };
                self.welcomed(&terms, proof, (site, nonce))
            }
            (State::Learning(arriving), Frame::Log { entries, last }) => {
                Ok(State::Learning(arriving.take(&entries, last)?))
            }
            (State::Learning(arriving), frame) => {
                let log = arriving.complete(&self.invite.inviter)?;
                self.learnt(log, frame)
            }
            (State::Consented(log), Frame::Added { entry, peers }) => {
                self.added(*log, &entry, peers)
            }
            (_, _) => Err(Fault::OutOfTurn),
        }
    }

    fn welcomed(
        &mut self,
        terms: &Terms,
        proof: [u8; 32],
        (of_inviter, inviter): (Option<String>, Nonce),
    ) -> Result<State, Fault> {
        let expected = self.invite.inviter_proof(self.pair(), terms);
        if expected != blake3::Hash::from_bytes(proof) {
            return Err(Fault::Proof);
        }
        // A vault that joins a circle has no role in the other one.
        if terms.joiner_vault.is_some() && terms.role != Role::default() {
            return Err(Fault::Implausible);
        }
        self.role = terms.role;
        let nonce = self.nonce;
        let nonces = Nonces { joiner: nonce, inviter };
        let words = self.invite.words(self.pair(), terms, &nonces);
        self.exchange.show(words, terms.role);
        match &mut self.join_as {
            JoinAs::Device { name, site, addresses } => {
                let device = self.keys.public();
                let stands_at = site.take().or(of_inviter).filter(|site| is_plain(site));
                let stands_at = stands_at.ok_or(Fault::Implausible)?;
                *site = Some(stands_at.clone());
                let (label, addresses) =
                    (Label { name: name.clone(), site: stands_at }, addresses.clone());
                self.exchange.send(&Frame::Joining { device, label, addresses, nonce });
            }
            JoinAs::Circle(member) => {
                self.exchange.send_introduction(member, self.invite.kind.allows(), Some(nonce));
            }
        }
        Ok(State::Comparing(Arriving::of(terms.vault)))
    }

    /// The inviter's log is complete; what it wants with it.
    fn learnt(&mut self, log: DeviceLog, frame: Frame) -> Result<State, Fault> {
        match (&self.join_as, frame) {
            (JoinAs::Device { name, site: Some(site), .. }, Frame::Draft { body }) => {
                let label = Label { name: name.clone(), site: site.clone() };
                let draft = AddDraft::decode(&body).map_err(Fault::Log)?;
                let asked = (&label, self.role);
                let signature = draft.consent(&log, &self.keys, asked).map_err(Fault::Draft)?;
                self.exchange.send(&Frame::Consent { signature });
                Ok(State::Consented(Box::new(log)))
            }
            (JoinAs::Device { .. }, Frame::Added { entry, peers }) => {
                self.added(log, &entry, peers)
            }
            (JoinAs::Circle(member), Frame::Introduction { peers, granted_bytes, .. }) => {
                if log.vault() == member.log.vault() {
                    return Err(Fault::WrongVault);
                }
                let (granted, allowed) = (Some(granted_bytes), self.invite.kind.allows());
                let shares = Shares { granted, allowed };
                self.exchange.store(befriend(log, &self.invite.inviter, peers, shares)?);
                Ok(State::Storing)
            }
            (_, _) => Err(Fault::OutOfTurn),
        }
    }

    /// This device is in: checks it before believing it.
    fn added(
        &mut self,
        mut log: DeviceLog,
        entry: &[u8],
        peers: Vec<PeerRecord>,
    ) -> Result<State, Fault> {
        log.merge(entry).map_err(Fault::Log)?;
        let own = log.device(&self.keys.id());
        if own.is_none_or(|device| device.public != self.keys.public()) {
            return Err(Fault::WrongVault);
        }
        // One that was in before has not seen the draft.
        if own.is_some_and(|device| device.role != self.role) {
            return Err(Fault::Draft(DraftError::Role));
        }
        log.epoch_keys(&self.keys).map_err(|error| Fault::Draft(error.into()))?;
        if !are_plausible(&peers) {
            return Err(Fault::Implausible);
        }
        let JoinAs::Device { site: Some(site), .. } = &self.join_as else {
            return Err(Fault::OutOfTurn);
        };
        self.exchange.store(Store::Joined { log, peers, site: site.clone() });
        Ok(State::Storing)
    }
}
