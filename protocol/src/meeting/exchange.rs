//! What both sides of a meeting have in common: outputs that wait, and the time limit.

use std::collections::VecDeque;

use super::{Ending, Failed, Input, Output, Refusal, frame::Frame};
use crate::{limits::MEETING_MS_MAX, time::Instant};

/// Something that moves a machine.
pub(super) enum Event {
    /// The other side spoke.
    Frame(Frame),
    /// The code was taken, or was gone.
    Taken(bool),
}

/// Outputs and time of one meeting. Bounded: five frames.
#[derive(Debug, Clone)]
pub(super) struct Exchange {
    outputs: VecDeque<Output>,
    deadline: Instant,
    is_over: bool,
}

impl Exchange {
    pub(super) fn begun(start: Instant) -> Self {
        let deadline = start.after_ms(MEETING_MS_MAX);
        Self { outputs: VecDeque::new(), deadline, is_over: false }
    }

    /// What is left for the machine to look at; all else ends the meeting here, or changes nothing.
    pub(super) fn sift(&mut self, now: Instant, input: Input) -> Option<Event> {
        match input {
            _ if self.is_over => {}
            Input::Taken(taken) => return Some(Event::Taken(taken)),
            Input::Frame(bytes) => match Frame::decode(&bytes) {
                Ok(frame) => return Some(Event::Frame(frame)),
                Err(failed) => self.refuse(Refusal::Invalid, failed),
            },
            Input::Lost => self.fail(Failed::Lost),
            Input::TimePassed if now >= self.deadline => self.fail(Failed::TimedOut),
            Input::TimePassed => {}
        }
        None
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        (!self.is_over).then_some(self.deadline)
    }

    pub(super) fn send(&mut self, frame: &Frame) {
        self.outputs.push_back(Output::Send(frame.encode()));
    }

    /// Asks for the code to be taken away.
    pub(super) fn take(&mut self) {
        self.outputs.push_back(Output::Take);
    }

    pub(super) fn end(&mut self, ending: Ending) {
        self.is_over = true;
        self.outputs.push_back(Output::Ended(ending));
    }

    pub(super) fn fail(&mut self, failed: Failed) {
        self.end(Ending::Failed(failed));
    }

    /// Ends it, and tells the other side why.
    pub(super) fn refuse(&mut self, reason: Refusal, failed: Failed) {
        self.send(&Frame::Refuse { reason });
        self.fail(failed);
    }
}
