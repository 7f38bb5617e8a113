//! Seeking: who may hold a vault of which nothing but the phrase is known, who of them is asked, and when
//! that is enough.
//!
//! Whom the user names is asked first, and nobody else is looked for while one of them answers. Then holders
//! show themselves: in the same network by a call, at a relay by a record. Anybody can do both, so who is
//! asked proves by the device log that he holds. One that does is enough to go on with; others are given a
//! moment, because each is one more witness.
//!
//! ```text
//!  named ──one holds──────────────────────────────┐
//!    │ none answers                               ▼
//!    └──LookAround──> open ──one holds──> settling ──> Ended
//!                       └──SEEK_MS_MAX, and all that were asked have answered──> Ended
//! ```
//! Drive it: [`Seeking::handle_input`], then [`Seeking::poll_output`] until `None`; come back at
//! [`Seeking::poll_timeout`]. Invariant: it ends, whatever others do; callers take no more than half of the
//! places, and few from one address. Source: specs/locating.md.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use crate::{
    discovering::is_believable,
    ids::DeviceId,
    limits::{
        ADDRESSES_MAX, SEEK_ADDRESSES_OF_RECORD_MAX, SEEK_ASKED_AGAIN_MAX, SEEK_ASKED_MAX,
        SEEK_CALLERS_PER_ADDRESS_MAX, SEEK_CANDIDATES_MAX, SEEK_MS_MAX, SEEK_SETTLE_MS,
    },
    time::Instant,
};

/// Somebody who may hold, and where he may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Who.
    pub device: DeviceId,
    /// Where.
    pub addresses: Vec<SocketAddr>,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekInput {
    /// A record at a relay says so.
    Recorded(Lead),
    /// It called.
    Called {
        /// Who.
        device: DeviceId,
        /// From where, when it was not by way of a relay.
        address: Option<SocketAddr>,
        /// Where this home is, in the networks in which it shows itself.
        own: Vec<IpAddr>,
    },
    /// Answer to [`SeekOutput::Ask`].
    Answered {
        /// Who was asked.
        device: DeviceId,
        /// What it said.
        answer: SeekAnswer,
    },
    /// The time named by [`Seeking::poll_timeout`] has come; or the search begins.
    TimePassed,
}

/// What a candidate said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekAnswer {
    /// It has the device log of the vault of this phrase.
    Holds,
    /// It is there, and knows nothing of this phrase.
    Unknown,
    /// It did not answer.
    Silent,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekOutput {
    /// Ask it for the device log, looking there first; answer within a bounded time.
    Ask(Lead),
    /// Begin to show this home in its networks, and to ask the relays.
    LookAround,
    /// It is over. The last output.
    Ended(SeekEnd),
}

/// How a search ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SeekEnd {
    /// These hold the vault, the first that answered first; never none.
    Found(Vec<DeviceId>),
    /// Some that were named are there, and none of them knows the phrase. Of those who show themselves that
    /// says nothing: strangers may.
    Unknown,
    /// Some may hold it, and none of them answered.
    Silent,
    /// There is nobody who might hold it.
    Nobody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Waits,
    Asked,
    Over(SeekAnswer),
}

/// How somebody came to be a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// By the user's word, or by a record.
    Told,
    /// By a call from there.
    Called(Option<IpAddr>),
}

#[derive(Debug, Clone)]
struct Candidate {
    origin: Origin,
    addresses: Vec<SocketAddr>,
    turn: Turn,
    asked: u8,
    /// It showed itself again since it was asked.
    has_news: bool,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Seeking {
    now: Instant,
    /// In this time somebody new may show himself; before it, those who were named are asked.
    end_of_turn: Instant,
    can_look: bool,
    is_open: bool,
    candidates: BTreeMap<DeviceId, Candidate>,
    /// Candidates in the order in which they came.
    order: Vec<DeviceId>,
    /// Once one holds: who else does by then counts as well.
    settled: Option<Instant>,
    found: Vec<DeviceId>,
    has_ended: bool,
    outputs: VecDeque<SeekOutput>,
}

impl Seeking {
    /// A search that begins now, with those whom the user names. `can_look` when this home can show itself
    /// somewhere, or has a relay to ask.
    pub fn new(now: Instant, named: Vec<Lead>, can_look: bool) -> Self {
        let mut machine = Self {
            now,
            end_of_turn: now.after_ms(SEEK_MS_MAX),
            can_look,
            is_open: false,
            candidates: BTreeMap::new(),
            order: Vec::new(),
            settled: None,
            found: Vec::new(),
            has_ended: false,
            outputs: VecDeque::new(),
        };
        for lead in named {
            machine.candidate(lead, Origin::Told);
        }
        machine
    }

    /// Takes one input. `now` never goes back; early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: SeekInput) {
        self.now = self.now.max(now);
        match input {
            SeekInput::Recorded(lead) => self.recorded(lead),
            SeekInput::Called { device, address, own } => self.called(device, address, &own),
            SeekInput::Answered { device, answer } => self.answered(device, answer),
            SeekInput::TimePassed => {}
        }
        if !self.has_ended {
            self.ask();
            self.go_on_or_end();
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<SeekOutput> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest; `None` when it is over.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let open = Some(self.end_of_turn).filter(|end| self.is_open && *end > self.now);
        let next = self.settled.or(open).unwrap_or_else(|| self.last());
        Some(next).filter(|_| !self.has_ended)
    }

    /// Whoever was asked at the last moment has answered by then, or does not count.
    const fn last(&self) -> Instant {
        if self.is_open { self.end_of_turn.after_ms(SEEK_MS_MAX) } else { self.end_of_turn }
    }

    fn recorded(&mut self, Lead { device, mut addresses }: Lead) {
        // Whoever has the locator can say where others are: not too much of it, and last.
        addresses.truncate(SEEK_ADDRESSES_OF_RECORD_MAX);
        self.candidate(Lead { device, addresses }, Origin::Told);
    }

    fn called(&mut self, device: DeviceId, address: Option<SocketAddr>, own: &[IpAddr]) {
        if address.is_some_and(|address| !is_believable(address, own)) {
            return;
        }
        let origin = Origin::Called(address.map(|address| address.ip()));
        let callers =
            || self.candidates.values().filter(|it| matches!(it.origin, Origin::Called(_)));
        let of_address = callers().filter(|it| it.origin == origin).count();
        let is_full = callers().count() >= SEEK_CANDIDATES_MAX / 2
            || of_address >= SEEK_CALLERS_PER_ADDRESS_MAX;
        if self.candidates.contains_key(&device) || !is_full {
            self.candidate(Lead { device, addresses: address.into_iter().collect() }, origin);
        }
    }

    fn candidate(&mut self, Lead { device, addresses }: Lead, origin: Origin) {
        if self.is_open && self.now >= self.end_of_turn {
            return;
        }
        if !self.candidates.contains_key(&device) {
            if self.candidates.len() >= SEEK_CANDIDATES_MAX {
                return;
            }
            let new = Candidate {
                origin,
                addresses: Vec::new(),
                turn: Turn::Waits,
                asked: 0,
                has_news: false,
            };
            self.candidates.insert(device, new);
            self.order.push(device);
        }
        let Some(known) = self.candidates.get_mut(&device) else { return };
        if origin == Origin::Told {
            known.origin = origin;
        }
        known.learn(addresses, origin);
        known.has_news = known.turn == Turn::Asked;
        known.ask_again_if_silent();
    }

    fn answered(&mut self, device: DeviceId, answer: SeekAnswer) {
        let asked = self.candidates.get_mut(&device).filter(|known| known.turn == Turn::Asked);
        let Some(known) = asked else { return };
        known.turn = Turn::Over(answer);
        if known.has_news {
            known.has_news = false;
            known.ask_again_if_silent();
        }
        if answer == SeekAnswer::Holds {
            self.found.push(device);
            self.settled.get_or_insert(self.now.after_ms(SEEK_SETTLE_MS));
        }
    }

    fn asked(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.values().filter(|known| known.turn == Turn::Asked)
    }

    fn ask(&mut self) {
        let mut free = SEEK_ASKED_MAX.saturating_sub(self.asked().count());
        let is_caller = |known: &Candidate| matches!(known.origin, Origin::Called(_));
        let callers = self.asked().filter(|known| is_caller(known)).count();
        let mut free_for_callers = (SEEK_ASKED_MAX / 2).saturating_sub(callers);
        for device in &self.order {
            let Some(known) = self.candidates.get_mut(device) else { continue };
            let has_place = free > 0 && (!is_caller(known) || free_for_callers > 0);
            if !has_place || known.turn != Turn::Waits {
                continue;
            }
            free -= 1;
            free_for_callers = free_for_callers.saturating_sub(usize::from(is_caller(known)));
            known.turn = Turn::Asked;
            known.asked += 1;
            let lead = Lead { device: *device, addresses: known.addresses.clone() };
            self.outputs.push_back(SeekOutput::Ask(lead));
        }
    }

    fn go_on_or_end(&mut self) {
        let is_answered = self.asked().next().is_none();
        let is_late = self.now >= self.last();
        if !self.found.is_empty() {
            let is_settled = self.settled.is_some_and(|settled| self.now >= settled);
            // Of those who were named, all have spoken.
            if is_settled || (is_answered && !self.is_open) {
                self.end(SeekEnd::Found(self.found.clone()));
            }
        } else if !self.is_open && (is_answered || is_late) {
            if self.candidates.values().any(Candidate::knows_nothing) {
                self.end(SeekEnd::Unknown);
            } else if self.can_look {
                self.is_open = true;
                self.end_of_turn = self.now.after_ms(SEEK_MS_MAX);
                self.outputs.push_back(SeekOutput::LookAround);
            } else {
                self.end(SeekEnd::Silent);
            }
        } else if self.is_open && (is_late || (is_answered && self.now >= self.end_of_turn)) {
            let is_nobody = self.candidates.values().all(Candidate::knows_nothing);
            self.end(if is_nobody { SeekEnd::Nobody } else { SeekEnd::Silent });
        }
    }

    fn end(&mut self, end: SeekEnd) {
        self.has_ended = true;
        self.outputs.push_back(SeekOutput::Ended(end));
    }
}

impl Candidate {
    fn knows_nothing(&self) -> bool {
        self.turn == Turn::Over(SeekAnswer::Unknown)
    }

    /// From where it called just now comes first; what others say of it last.
    fn learn(&mut self, addresses: Vec<SocketAddr>, origin: Origin) {
        let place = if origin == Origin::Told { self.addresses.len() } else { 0 };
        for (at, address) in (place..).zip(addresses) {
            if !self.addresses.contains(&address) {
                self.addresses.insert(at.min(self.addresses.len()), address);
            }
        }
        self.addresses.truncate(ADDRESSES_MAX);
    }

    fn ask_again_if_silent(&mut self) {
        if self.turn == Turn::Over(SeekAnswer::Silent) && self.asked < SEEK_ASKED_AGAIN_MAX {
            self.turn = Turn::Waits;
        }
    }
}

#[cfg(test)]
mod tests;
