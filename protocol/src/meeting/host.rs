//! The side that made the code. Source: specs/meeting.md.

use std::fmt;

use zeroize::Zeroizing;

use super::{
    Ending, Failed, Input, Output, Party, Refusal, SpokenCode, VERSION,
    cpace::{Keys, answer},
    exchange::{Event, Exchange},
    frame::Frame,
};
use crate::{
    ticket::{Invite, Ticket},
    time::Instant,
};

/// One meeting, seen from the host.
pub struct Host {
    code: SpokenCode,
    invite: Invite,
    seed: Zeroizing<[u8; 32]>,
    exchange: Exchange,
    state: State,
}

enum State {
    /// Waits for the guest's point.
    Greeting,
    /// Waits for its proof.
    Answered(Keys),
    /// Has the proof, and waits until the code is taken.
    Taking(Keys, [u8; 32]),
    /// Over.
    Over,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({:?}, {:?})", self.code, self.invite)
    }
}

impl Party for Host {
    fn handle_input(&mut self, now: Instant, input: Input) {
        let Some(event) = self.exchange.sift(now, input) else { return };
        let state = std::mem::replace(&mut self.state, State::Over);
        match (state, event) {
            (state, Event::Frame(frame)) => self.state = self.framed(state, frame),
            (State::Taking(keys, proof), Event::Taken(taken)) => self.taken(&keys, proof, taken),
            (state, Event::Taken(_)) => self.state = state,
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.exchange.poll()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.timeout()
    }
}

impl Host {
    /// Begins when somebody has opened a stream. `seed` is random.
    pub fn new(code: SpokenCode, invite: Invite, seed: [u8; 32], start: Instant) -> Self {
        let (seed, exchange) = (Zeroizing::new(seed), Exchange::begun(start));
        Self { code, invite, seed, exchange, state: State::Greeting }
    }

    fn framed(&mut self, state: State, frame: Frame) -> State {
        match (state, frame) {
            (_, Frame::Refuse { reason }) => self.exchange.fail(Failed::Refused(reason)),
            (State::Greeting, Frame::Hello { version, .. }) if version != VERSION => {
                self.exchange.refuse(Refusal::Version, Failed::Version);
            }
            (State::Greeting, Frame::Hello { version, point }) => {
                match answer(&self.code, version, *self.seed, &point) {
                    Ok((point, keys)) => {
                        self.exchange.send(&Frame::Answer { point });
                        return State::Answered(keys);
                    }
                    Err(failed) => self.exchange.refuse(Refusal::Invalid, failed),
                }
            }
            (State::Answered(keys), Frame::Proof { proof }) => {
                self.exchange.take();
                return State::Taking(keys, proof);
            }
            (_, _) => self.exchange.refuse(Refusal::Invalid, Failed::OutOfTurn),
        }
        State::Over
    }

    /// Nobody else can use the code now: looks at the proof.
    fn taken(&mut self, keys: &Keys, proof: [u8; 32], taken: bool) {
        if !taken {
            return self.exchange.refuse(Refusal::Gone, Failed::Gone);
        }
        // Compared in constant time.
        if keys.guest_proof() != blake3::Hash::from_bytes(proof) {
            return self.exchange.refuse(Refusal::WrongCode, Failed::WrongCode);
        }
        let sealed = keys.seal(&Ticket::Invite(self.invite.clone()).to_text());
        let proof = *keys.host_proof(&sealed).as_bytes();
        self.exchange.send(&Frame::Invitation { proof, sealed: sealed.into() });
        self.exchange.end(Ending::Given);
    }
}
