//! The side that made the invitation.
//!
//! ```text
//! Greeting ─► Spending ─┬► Meeting ──┬► Asking ─┬► Drafted ─┬► Storing ─► Parting ─► over
//!                       └► Learning ─┘          └───────────┘
//!                                                 a vault, or a device that is in already
//! ```
//! Source: specs/pairing.md.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    Asked, CompareWords, Ending, Fault, Input, Member, Output, Pair, PartsError, Refusal, Store,
    VERSION,
    compare::{Commitment, Nonce, Nonces},
    exchange::{Arriving, Exchange, Shares, befriend},
    frame::{Frame, InviteId, Terms, peers_that_fit},
};
use crate::{
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, DevicePublic},
    limits::{FRAME_BYTES_MAX, PAIRING_HELLO_BYTES_MAX},
    log::{AddDraft, DeviceLog, Label, Newcomer, Role},
    peer::{PeerRecord, are_addresses},
    ticket::{Invite, InviteKind},
    time::{Instant, Timestamp},
};

/// An invitation that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// What whoever comes has to prove that he has.
    pub invite: Invite,
    /// What a new device becomes that comes with it. Of no meaning for another vault.
    pub role: Role,
    /// Bytes that another vault may keep here that comes with it; `None` for as many as this device offers
    /// in all. Of no meaning for a new device.
    pub allowed_bytes: Option<u64>,
}

/// What an inviter starts with.
#[derive(Debug, Clone)]
pub struct InviterParts {
    /// This device.
    pub keys: DeviceKeys,
    /// Its vault.
    pub member: Member,
    /// Outstanding invitations: neither spent nor withdrawn. Expired ones may be among them.
    pub invites: Vec<Invitation>,
    /// Who is at the other end, as the connection has proved.
    pub peer: DeviceId,
    /// Wall-clock time.
    pub time: Timestamp,
    /// Monotonic time.
    pub start: Instant,
    /// Randomness for the words to compare and for wrapping keys.
    pub seed: [u8; 32],
}

/// One pairing, seen from the inviter.
#[derive(Debug, Clone)]
pub struct Inviter {
    keys: DeviceKeys,
    member: Member,
    invites: Vec<Invitation>,
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
    Spending(Proved),
    /// Waits for the new device's keys.
    Meeting(Welcomed),
    /// Waits for its consent.
    Drafted { draft: Box<AddDraft>, peer: PeerRecord },
    /// Waits for the other vault's log and nodes.
    Learning(Welcomed, Arriving),
    /// A person is asked, on both sides.
    Asking(Wish, Answers),
    /// The result is being stored; this is sent when it is.
    Storing(Then),
    /// Waits for the joiner's last word.
    Parting,
    /// Over.
    Over,
}

/// What the joiner has proved, and fixed.
#[derive(Debug, Clone)]
struct Proved {
    invite: Invite,
    allowed_bytes: Option<u64>,
    terms: Terms,
    commitment: Commitment,
}

/// With the number that it was told.
#[derive(Debug, Clone)]
struct Welcomed {
    proved: Proved,
    nonce: Nonce,
}

/// What was answered so far.
#[derive(Debug, Clone, Copy, Default)]
struct Answers {
    /// The person here says yes.
    here: bool,
    /// The joiner's person does.
    there: bool,
}

/// A device that wants to be let in.
#[derive(Debug, Clone)]
struct Applicant {
    device: DevicePublic,
    label: Label,
    addresses: Vec<String>,
    role: Role,
}

/// What is done if both answers are yes.
#[derive(Debug, Clone)]
enum Wish {
    Device(Box<Applicant>),
    /// With what it may keep here.
    Vault(Box<Store>, Option<u64>),
}

/// What is sent once the result is stored.
#[derive(Debug, Clone)]
enum Then {
    /// The log and all keys: it is durable who gets them.
    Draft {
        draft: Box<AddDraft>,
        peer: PeerRecord,
    },
    Added(Frame),
    /// With what the other vault may keep here.
    Introduction(Option<u64>),
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
            State::Spending(_)
            | State::Meeting(_)
            | State::Drafted { .. }
            | State::Learning(..)
            | State::Asking(..)
            | State::Storing(_)
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
            (
                state @ State::Storing(Then::Added(_) | Then::Introduction(_)),
                Input::Lost | Input::TimePassed | Input::Frame(_) | Input::Declined,
            ) => self.state = state,
            (State::Asking(..), Input::TimePassed) => {
                self.exchange.refuse(Refusal::Declined, Ending::Declined);
            }
            (state @ State::Parting, Input::Declined) => self.state = state,
            (_, Input::Declined) => self.exchange.refuse(Refusal::Declined, Ending::Declined),
            (_, Input::Lost) => self.exchange.end(Ending::Lost),
            (_, Input::TimePassed) => self.exchange.end(Ending::TimedOut),
            (State::Spending(proved), Input::Stored) => {
                self.exchange.allow_whole_time(now);
                self.state = self.welcome(proved);
            }
            (State::Asking(wish, answers), Input::Accepted(member)) => {
                if member.log.vault() == self.member.log.vault() {
                    self.member = *member;
                }
                let accepted = self.answered(now, wish, Answers { here: true, ..answers });
                self.go_on(accepted);
            }
            (State::Asking(wish, answers), Input::Frame(bytes))
                if Frame::decode(&bytes) == Ok(Frame::Confirm) =>
            {
                let accepted = self.answered(now, wish, Answers { there: true, ..answers });
                self.go_on(accepted);
            }
            (State::Storing(then), Input::Stored) => self.state = self.stored(then),
            (State::Spending(_) | State::Storing(_), Input::StoreFailed) => {
                self.exchange.refuse(Refusal::Internal, Ending::StoreFailed);
            }
            (state, Input::Stored | Input::StoreFailed | Input::Accepted(_) | Input::Confirmed) => {
                self.state = state;
            }
            (state, Input::Frame(bytes)) => {
                let handled = self.handle_frame(state, &bytes);
                if matches!(handled, Ok(State::Asking(..))) {
                    self.exchange.allow_asking(now);
                }
                self.go_on(handled);
            }
        }
    }

    fn stored(&mut self, then: Then) -> State {
        match then {
            Then::Draft { draft, peer } => {
                self.exchange.send_log(&self.member.log);
                self.exchange.send(&Frame::Draft { body: draft.bytes().to_vec().into() });
                return State::Drafted { draft, peer };
            }
            Then::Added(frame) => self.exchange.send(&frame),
            Then::Introduction(allowed) => {
                self.exchange.send_introduction(&self.member, allowed, None);
            }
        }
        State::Parting
    }

    fn go_on(&mut self, handled: Result<State, Fault>) {
        match handled {
            Ok(state) => self.state = state,
            Err(fault) => self.exchange.blame(fault),
        }
    }

    /// Returns the next order; decides nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll()
    }

    /// When to say [`Input::TimePassed`]; `None` when it is over, or while the result is stored.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.timeout().filter(|_| !matches!(self.state, State::Storing(_)))
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
            (State::Greeting, Frame::Hello { kind, invite, vault, proof, commitment, .. }) => {
                Ok(self.greet(kind, invite, (vault, proof, commitment)))
            }
            (State::Meeting(welcomed), Frame::Joining { device, label, addresses, nonce }) => {
                if device.id != self.peer || !label.is_plain() || !are_addresses(&addresses) {
                    return Err(Fault::Implausible);
                }
                let words = self.words(&welcomed, nonce)?;
                let (Label { name, site }, role) = (label.clone(), welcomed.proved.terms.role);
                self.exchange.ask(Asked {
                    name,
                    site,
                    vault: None,
                    role,
                    granted_bytes: 0,
                    allowed_bytes: None,
                    words,
                });
                let applicant = Applicant { device, label, addresses, role };
                Ok(State::Asking(Wish::Device(Box::new(applicant)), Answers::default()))
            }
            (State::Drafted { draft, peer }, Frame::Consent { signature }) => {
                let log = &mut self.member.log;
                let entry = log.append_add(&draft, signature, &self.keys).map_err(Fault::Log)?;
                let then = self.added(entry.clone());
                self.exchange.store(Store::Added { entry, peer });
                Ok(State::Storing(then))
            }
            (State::Learning(welcomed, arriving), Frame::Log { entries, last }) => {
                Ok(State::Learning(welcomed, arriving.take(&entries, last)?))
            }
            (
                State::Learning(welcomed, arriving),
                Frame::Introduction { peers, granted_bytes, nonce: Some(nonce) },
            ) => {
                let log = arriving.complete(&self.peer)?;
                self.introduced(&welcomed, (log, peers), (granted_bytes, nonce))
            }
            (_, _) => Err(Fault::OutOfTurn),
        }
    }

    /// The other vault is known: asks whether it is let in.
    fn introduced(
        &mut self,
        welcomed: &Welcomed,
        (log, peers): (DeviceLog, Vec<PeerRecord>),
        (granted_bytes, nonce): (u64, Nonce),
    ) -> Result<State, Fault> {
        let words = self.words(welcomed, nonce)?;
        let own = peers.iter().find(|peer| peer.device == self.peer);
        let PeerRecord { name, site, .. } = own.cloned().ok_or(Fault::Implausible)?;
        let vault = Some(log.vault());
        let proved = &welcomed.proved;
        // PAIR-24: what it would grant all the same is not wanted.
        let is_one_way = proved.invite.kind == InviteKind::OneWay;
        let granted = (!is_one_way).then_some(granted_bytes);
        let allowed_bytes = proved.allowed_bytes;
        let shares = Shares { granted, allowed: allowed_bytes };
        let store = befriend(log, &self.peer, peers, shares)?;
        self.exchange.ask(Asked {
            name,
            site,
            vault,
            role: Role::default(),
            granted_bytes: granted.unwrap_or(0),
            allowed_bytes,
            words,
        });
        Ok(State::Asking(Wish::Vault(Box::new(store), allowed_bytes), Answers::default()))
    }

    /// Looks the invitation up and, if it is known and proved, spends it.
    fn greet(
        &mut self,
        kind: InviteKind,
        id: InviteId,
        (vault, proof, commitment): (Option<VaultId>, [u8; 32], Commitment),
    ) -> State {
        let pair = self.pair();
        let proof = blake3::Hash::from_bytes(proof);
        let known = self.invites.iter().find(|open| open.invite.id() == id);
        let proved = known.filter(|open| open.invite.joiner_proof(pair, vault) == proof);
        let Some(Invitation { invite, role, allowed_bytes }) = proved.cloned() else {
            let ending = known
                .map_or(Ending::Refused(Refusal::UnknownInvite), |_| Ending::Fault(Fault::Proof));
            self.exchange.refuse(Refusal::UnknownInvite, ending);
            return State::Over;
        };
        let brings_vault = kind.is_for_vault();
        let own_vault = vault == Some(self.member.log.vault());
        // A member takes nobody in.
        let may = brings_vault || self.member.log.is_owner(&self.keys.id());
        let refusal = if invite.expires <= self.time {
            Some(Refusal::Expired)
        } else if invite.kind != kind
            || kind == InviteKind::Help
            || brings_vault != vault.is_some()
            || own_vault
            || !may
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
        let terms = Terms {
            joiner_vault: vault,
            vault: self.member.log.vault(),
            role: if brings_vault { Role::default() } else { self.role_for_peer(role) },
        };
        State::Spending(Proved { invite, allowed_bytes, terms, commitment })
    }

    /// Whoever is in already keeps the role that it was taken in with.
    fn role_for_peer(&self, invited: Role) -> Role {
        let log = &self.member.log;
        let known = log.device(&self.peer).filter(|known| log.is_device(&known.public.id));
        known.map_or(invited, |known| known.role)
    }

    fn pair(&self) -> Pair {
        Pair { inviter: self.keys.id(), joiner: self.peer }
    }

    fn welcome(&mut self, proved: Proved) -> State {
        let Terms { joiner_vault: theirs, vault, role } = proved.terms;
        let proof = *proved.invite.inviter_proof(self.pair(), &proved.terms).as_bytes();
        let own = self.member.peers.iter().find(|peer| peer.device == self.keys.id());
        let site = own.filter(|_| theirs.is_none()).map(|own| own.site.clone());
        let mut number = [0; 32];
        self.rng.fill_bytes(&mut number);
        let nonce = Nonce(number);
        self.exchange.send(&Frame::Welcome { vault, proof, site, nonce, role });
        let welcomed = Welcomed { proved, nonce };
        match theirs {
            None => State::Meeting(welcomed),
            Some(theirs) => State::Learning(welcomed, Arriving::of(theirs)),
        }
    }

    /// The words to compare, of the number that the joiner had fixed before.
    fn words(&self, welcomed: &Welcomed, joiner: Nonce) -> Result<CompareWords, Fault> {
        let Welcomed { proved: Proved { invite, terms, commitment, .. }, nonce } = welcomed;
        if joiner.commitment() != *commitment {
            return Err(Fault::Number);
        }
        let nonces = Nonces { joiner, inviter: *nonce };
        Ok(invite.words(self.pair(), terms, &nonces))
    }

    /// Goes on once both persons have said yes.
    fn answered(&mut self, now: Instant, wish: Wish, answers: Answers) -> Result<State, Fault> {
        if !(answers.here && answers.there) {
            return Ok(State::Asking(wish, answers));
        }
        self.exchange.allow_whole_time(now);
        match wish {
            Wish::Device(applicant) => self.take_in(*applicant),
            Wish::Vault(store, allowed) => {
                self.exchange.store(*store);
                Ok(State::Storing(Then::Introduction(allowed)))
            }
        }
    }

    fn take_in(&mut self, applicant: Applicant) -> Result<State, Fault> {
        let Applicant { device, label, addresses, role } = applicant;
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
            return Ok(State::Storing(then));
        }
        let newcomer = Newcomer { device, label, role, time: self.time };
        let draft = log.draft_add(&self.keys, &newcomer, &mut self.rng).map_err(Fault::Draft)?;
        self.exchange.store(Store::Exposed(self.peer));
        Ok(State::Storing(Then::Draft { draft: Box::new(draft), peer }))
    }

    fn added(&self, entry: Vec<u8>) -> Then {
        let peers = peers_that_fit(self.member.peers.iter());
        Then::Added(Frame::Added { entry: entry.into(), peers })
    }
}
