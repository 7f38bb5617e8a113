//! The side that was told the code. Source: specs/meeting.md.

use std::fmt;

use pakery_cpace::InitiatorState;
use pakery_crypto::CpaceRistretto255;

use super::{
    Ending, Failed, Input, Output, Party, Refusal, SpokenCode, VERSION,
    cpace::{Keys, begin, finish},
    exchange::{Event, Exchange},
    frame::Frame,
};
use crate::{
    ticket::{Ticket, TicketError},
    time::Instant,
};

/// One meeting, seen from the guest.
pub struct Guest {
    exchange: Exchange,
    state: State,
}

enum State {
    /// Waits for the host's point.
    Greeted(Box<InitiatorState<CpaceRistretto255>>),
    /// Waits for the invitation.
    Proved(Keys),
    /// Over.
    Over,
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guest(until {:?})", self.exchange.timeout())
    }
}

impl Party for Guest {
    fn handle_input(&mut self, now: Instant, input: Input) {
        if let Some(Event::Frame(frame)) = self.exchange.sift(now, input) {
            let state = std::mem::replace(&mut self.state, State::Over);
            self.state = self.framed(state, frame);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.timeout()
    }
}

impl Guest {
    /// Begins when the stream to the host is open. `seed` is random.
    pub fn new(code: &SpokenCode, seed: [u8; 32], start: Instant) -> Self {
        let (point, state) = begin(code, VERSION, seed);
        let mut exchange = Exchange::begun(start);
        exchange.send(&Frame::Hello { version: VERSION, point });
        Self { exchange, state: State::Greeted(Box::new(state)) }
    }

    fn framed(&mut self, state: State, frame: Frame) -> State {
        match (state, frame) {
            (_, Frame::Refuse { reason: Refusal::WrongCode }) => {
                self.exchange.fail(Failed::WrongCode)
            }
            (_, Frame::Refuse { reason: Refusal::Version }) => self.exchange.fail(Failed::Version),
            (_, Frame::Refuse { reason: Refusal::Gone }) => self.exchange.fail(Failed::Gone),
            (_, Frame::Refuse { reason }) => self.exchange.fail(Failed::Refused(reason)),
            (State::Greeted(state), Frame::Answer { point }) => {
                match finish(*state, VERSION, &point) {
                    Ok(keys) => {
                        let proof = *keys.guest_proof().as_bytes();
                        self.exchange.send(&Frame::Proof { proof });
                        return State::Proved(keys);
                    }
                    Err(failed) => self.exchange.refuse(Refusal::Invalid, failed),
                }
            }
            (State::Proved(keys), Frame::Invitation { proof, sealed }) => {
                self.invited(&keys, proof, &sealed);
            }
            (_, _) => self.exchange.refuse(Refusal::Invalid, Failed::OutOfTurn),
        }
        State::Over
    }

    fn invited(&mut self, keys: &Keys, proof: [u8; 32], sealed: &[u8]) {
        // Compared in constant time.
        if keys.host_proof(sealed) != blake3::Hash::from_bytes(proof) {
            return self.exchange.fail(Failed::WrongCode);
        }
        let opened = keys.open(sealed).ok_or(TicketError::Mistyped);
        let read = opened.and_then(|text| {
            let text = std::str::from_utf8(&text).map_err(|_| TicketError::NotATicket)?;
            text.parse::<Ticket>()
        });
        match read {
            Ok(Ticket::Invite(invite)) => {
                self.exchange.end(Ending::Invited(Box::new(invite)));
            }
            Ok(Ticket::Address(_)) => {
                self.exchange.fail(Failed::NotAnInvitation(TicketError::Malformed))
            }
            Err(error) => self.exchange.fail(Failed::NotAnInvitation(error)),
        }
    }
}
