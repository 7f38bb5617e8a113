//! Seeking: which of those who may hold a vault are asked for it, and when that is enough.
//!
//! Anybody may claim to hold it: who is asked proves by the device log that he does. One that does is
//! enough to go on with; others are given a moment, because each is one more witness.
//!
//! Drive it: [`Seeking::handle_input`], then [`Seeking::poll_output`] until `None`; come back at
//! [`Seeking::poll_timeout`]. Source: specs/locating.md.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::DeviceId,
    limits::{
        SEEK_ASKED_AGAIN_MAX, SEEK_ASKED_MAX, SEEK_CANDIDATES_MAX, SEEK_MS_MAX, SEEK_SETTLE_MS,
    },
    time::Instant,
};

/// A fact for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekInput {
    /// Somebody may hold the vault: named by a ticket or a record, or it called.
    Candidate {
        /// Who.
        device: DeviceId,
    },
    /// Answer to [`SeekOutput::Ask`].
    Answered {
        /// Who was asked.
        device: DeviceId,
        /// What it said.
        answer: SeekAnswer,
    },
    /// The time named by [`Seeking::poll_timeout`] has come.
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
    /// Ask it for the device log; answer within a bounded time.
    Ask {
        /// Whom.
        device: DeviceId,
    },
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

#[derive(Debug, Clone, Copy)]
struct Candidate {
    turn: Turn,
    asked: u8,
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Seeking {
    now: Instant,
    /// More may show themselves at any time.
    goes_on: bool,
    /// Until then somebody new may show himself.
    open_until: Instant,
    /// Once one holds: who else does by then counts as well.
    settled: Option<Instant>,
    candidates: BTreeMap<DeviceId, Candidate>,
    /// Candidates in the order in which they came.
    order: Vec<DeviceId>,
    found: Vec<DeviceId>,
    has_ended: bool,
    outputs: VecDeque<SeekOutput>,
}

impl Seeking {
    /// A search that begins now. When `goes_on`, more may show themselves at any time; else there are the
    /// candidates that are named at once and no others.
    pub const fn new(now: Instant, goes_on: bool) -> Self {
        Self {
            now,
            goes_on,
            open_until: if goes_on { now.after_ms(SEEK_MS_MAX) } else { now },
            settled: None,
            candidates: BTreeMap::new(),
            order: Vec::new(),
            found: Vec::new(),
            has_ended: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input. `now` never goes back; early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: SeekInput) {
        self.now = self.now.max(now);
        match input {
            SeekInput::Candidate { device } => self.candidate(device),
            SeekInput::Answered { device, answer } => self.answered(device, answer),
            SeekInput::TimePassed => {}
        }
        if !self.has_ended {
            self.ask();
            self.end_if_over();
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<SeekOutput> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest; `None` when only answers are waited for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let open = Some(self.open_until).filter(|open| *open > self.now);
        let next = self.settled.or(open).unwrap_or_else(|| self.last());
        Some(next).filter(|_| !self.has_ended)
    }

    /// Whoever was asked at the last moment has answered by then, or does not count.
    const fn last(&self) -> Instant {
        self.open_until.after_ms(SEEK_MS_MAX)
    }

    fn candidate(&mut self, device: DeviceId) {
        if self.goes_on && self.now >= self.open_until {
            return;
        }
        if let Some(known) = self.candidates.get_mut(&device) {
            let is_worth_it = known.asked < SEEK_ASKED_AGAIN_MAX;
            if known.turn == Turn::Over(SeekAnswer::Silent) && is_worth_it {
                known.turn = Turn::Waits;
            }
        } else if self.candidates.len() < SEEK_CANDIDATES_MAX {
            self.candidates.insert(device, Candidate { turn: Turn::Waits, asked: 0 });
            self.order.push(device);
        }
    }

    fn answered(&mut self, device: DeviceId, answer: SeekAnswer) {
        let asked = self.candidates.get_mut(&device).filter(|known| known.turn == Turn::Asked);
        let Some(known) = asked else { return };
        known.turn = Turn::Over(answer);
        if answer == SeekAnswer::Holds {
            self.found.push(device);
            self.settled.get_or_insert(self.now.after_ms(SEEK_SETTLE_MS));
        }
    }

    fn asked(&self) -> usize {
        self.candidates.values().filter(|known| known.turn == Turn::Asked).count()
    }

    fn ask(&mut self) {
        let mut free = SEEK_ASKED_MAX.saturating_sub(self.asked());
        for device in &self.order {
            let Some(known) = self.candidates.get_mut(device) else { continue };
            if free > 0 && known.turn == Turn::Waits {
                free -= 1;
                known.turn = Turn::Asked;
                known.asked += 1;
                self.outputs.push_back(SeekOutput::Ask { device: *device });
            }
        }
    }

    fn end_if_over(&mut self) {
        let is_exhausted = self.asked() == 0 && self.now >= self.open_until;
        let is_settled = self.settled.is_some_and(|settled| self.now >= settled);
        if !is_exhausted && !is_settled && self.now < self.last() {
            return;
        }
        self.has_ended = true;
        let was_unknown = |known: &Candidate| known.turn == Turn::Over(SeekAnswer::Unknown);
        let end = if !self.found.is_empty() {
            SeekEnd::Found(std::mem::take(&mut self.found))
        } else if !self.goes_on && self.candidates.values().any(was_unknown) {
            SeekEnd::Unknown
        } else if self.candidates.values().all(was_unknown) {
            SeekEnd::Nobody
        } else {
            SeekEnd::Silent
        };
        self.outputs.push_back(SeekOutput::Ended(end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(0);

    fn device(of: u8) -> DeviceId {
        DeviceId::from_bytes([of; 32])
    }

    fn named(of: u8) -> SeekInput {
        SeekInput::Candidate { device: device(of) }
    }

    fn said(of: u8, answer: SeekAnswer) -> SeekInput {
        SeekInput::Answered { device: device(of), answer }
    }

    fn ask(of: u8) -> SeekOutput {
        SeekOutput::Ask { device: device(of) }
    }

    fn found(of: &[u8]) -> SeekOutput {
        SeekOutput::Ended(SeekEnd::Found(of.iter().map(|of| device(*of)).collect()))
    }

    fn tell(machine: &mut Seeking, at_ms: u64, input: SeekInput) -> Vec<SeekOutput> {
        machine.handle_input(START.after_ms(at_ms), input);
        std::iter::from_fn(|| machine.poll_output()).collect()
    }

    // LOC-8
    #[test]
    fn the_first_that_holds_is_enough_and_others_get_a_moment() {
        let mut machine = Seeking::new(START, true);
        assert_eq!(tell(&mut machine, 10, named(1)), [ask(1)]);
        assert_eq!(tell(&mut machine, 20, named(2)), [ask(2)]);
        assert_eq!(tell(&mut machine, 30, said(1, SeekAnswer::Holds)), []);
        assert_eq!(machine.poll_timeout(), Some(START.after_ms(30 + SEEK_SETTLE_MS)));
        assert_eq!(tell(&mut machine, 40, said(2, SeekAnswer::Holds)), []);
        assert_eq!(tell(&mut machine, 50, named(3)), [ask(3)]);
        let end = tell(&mut machine, 30 + SEEK_SETTLE_MS, SeekInput::TimePassed);
        assert_eq!(end, [found(&[1, 2])]);
        assert_eq!(machine.poll_timeout(), None);
        assert_eq!(tell(&mut machine, 9_000, named(4)), [], "it is over");
    }

    // LOC-8
    #[test]
    fn with_tickets_alone_it_is_over_when_all_have_answered() {
        let mut machine = Seeking::new(START, false);
        assert_eq!(tell(&mut machine, 0, named(1)), [ask(1)]);
        assert_eq!(machine.poll_timeout(), Some(START.after_ms(SEEK_MS_MAX)));
        let end = tell(&mut machine, 5, said(1, SeekAnswer::Holds));
        assert_eq!(end, [found(&[1])], "there is nobody else to wait for");
        let mut machine = Seeking::new(START, false);
        tell(&mut machine, 0, named(1));
        tell(&mut machine, 0, named(2));
        assert_eq!(tell(&mut machine, 5, said(1, SeekAnswer::Silent)), []);
        let end = tell(&mut machine, 9, said(2, SeekAnswer::Unknown));
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Unknown)]);
        let mut machine = Seeking::new(START, false);
        tell(&mut machine, 0, named(1));
        let end = tell(&mut machine, 5, said(1, SeekAnswer::Silent));
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Silent)]);
        let mut machine = Seeking::new(START, false);
        let end = tell(&mut machine, 0, SeekInput::TimePassed);
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Nobody)]);
    }

    // LOC-8
    #[test]
    fn a_slow_one_is_not_waited_for_once_another_has_answered() {
        let mut machine = Seeking::new(START, false);
        tell(&mut machine, 0, named(1));
        tell(&mut machine, 0, named(2));
        assert_eq!(tell(&mut machine, 5, said(2, SeekAnswer::Holds)), []);
        let late = START.after_ms(5 + SEEK_SETTLE_MS);
        assert_eq!(machine.poll_timeout(), Some(late));
        let end = tell(&mut machine, 5 + SEEK_SETTLE_MS, SeekInput::TimePassed);
        assert_eq!(end, [found(&[2])]);
    }

    // LOC-8
    #[test]
    fn who_does_not_answer_is_asked_again_a_few_times_when_he_shows_himself() {
        let mut machine = Seeking::new(START, true);
        for at in 0..3 {
            assert_eq!(tell(&mut machine, at, named(1)), [ask(1)]);
            assert_eq!(tell(&mut machine, at, named(1)), [], "he is being asked");
            assert_eq!(tell(&mut machine, at, said(1, SeekAnswer::Silent)), []);
        }
        assert_eq!(tell(&mut machine, 9, named(1)), []);
        let end = tell(&mut machine, SEEK_MS_MAX, SeekInput::TimePassed);
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Silent)]);
    }

    // LOC-8
    #[test]
    fn it_ends_whatever_strangers_do_and_their_no_says_nothing_of_the_phrase() {
        let mut machine = Seeking::new(START, true);
        tell(&mut machine, 1, named(1));
        assert_eq!(tell(&mut machine, 2, said(1, SeekAnswer::Unknown)), []);
        let end = tell(&mut machine, SEEK_MS_MAX, SeekInput::TimePassed);
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Nobody)]);
        let mut machine = Seeking::new(START, true);
        tell(&mut machine, 1, named(1));
        assert_eq!(tell(&mut machine, SEEK_MS_MAX, named(2)), [], "too late to be asked");
        let last = START.after_ms(2 * SEEK_MS_MAX);
        assert_eq!(machine.poll_timeout(), Some(last));
        let end = tell(&mut machine, 2 * SEEK_MS_MAX, SeekInput::TimePassed);
        assert_eq!(end, [SeekOutput::Ended(SeekEnd::Silent)]);
    }

    // LOC-8
    #[test]
    fn few_are_asked_at_once_and_strangers_do_not_fill_the_search() {
        let mut machine = Seeking::new(START, true);
        let asked: Vec<_> = (0..100).flat_map(|of| tell(&mut machine, 1, named(of))).collect();
        assert_eq!(asked.len(), SEEK_ASKED_MAX);
        let next = tell(&mut machine, 2, said(0, SeekAnswer::Unknown));
        assert_eq!(next, [ask(8)]);
        assert_eq!(machine.candidates.len(), SEEK_CANDIDATES_MAX);
    }
}
