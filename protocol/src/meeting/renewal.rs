//! Spoken codes one after the other, for somebody who waits beside an invitation: when another one is
//! made, and when no more are.
//!
//! ```text
//!            none could be made
//!  Opening ◄────────────────────► Resting
//!   │    ▲
//!   ▼    │ its time is over, a wrong guess
//!  Showing ──► Coming: somebody had the right words, and does not come
//!     tried      │
//!                └─► Opening             from everywhere ─► Over: the invitation is, or too many have guessed
//! ```
//! Not the code itself, and not who is heard of those who try it: that is [`Offer`](super::Offer).
//! **Invariant:** no more than [`SPOKEN_GUESSES_MAX`] + 1 wrong guesses are answered for one invitation.
//! Source: specs/meeting.md, "New codes".

use std::collections::VecDeque;

use crate::{
    limits::{SPOKEN_AGAIN_MS, SPOKEN_COMES_MS_MAX, SPOKEN_GUESSES_MAX, SPOKEN_NEXT_MS},
    time::Instant,
};

/// Whom codes are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// One, who uses the invitation up.
    One,
    /// Several, one after the other: guardians who bring their shares.
    Several,
}

/// A fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalInput {
    /// The code that was ordered is there.
    Opened,
    /// None could be made.
    NotOpened,
    /// The time of the code is over, by the wall clock.
    Expired,
    /// Somebody has tried the code, right or wrong.
    Tried,
    /// What was tried was wrong.
    Guessed,
    /// The invitation was used, taken back, or has expired.
    Closed,
    /// The time named by `poll_timeout` has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalOutput {
    /// Make a code and say [`RenewalInput::Opened`] or [`RenewalInput::NotOpened`]. The last one answers
    /// "gone" until its time is over.
    Open,
    /// Show the code that was made last, and say why there is another.
    Show(Why),
    /// There are no more. The last output.
    Ended(NoMore),
}

/// Why a code is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is the first.
    First,
    /// It is the first, and could not be made before.
    Late,
    /// The time of the last one is over.
    Expired,
    /// The last one brought the invitation to somebody, who did not use it up.
    Given,
    /// A wrong guess has used the last one up.
    Guessed,
}

/// Why there are no more codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMore {
    /// Too many were guessed wrong. The invitation itself is as good as before.
    Guessed,
    /// The invitation is of no use any more.
    Closed,
}

/// The codes of one invitation.
#[derive(Debug, Clone)]
pub struct Renewal {
    audience: Audience,
    wrong_guesses: u32,
    /// At most one for each input.
    outputs: VecDeque<RenewalOutput>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// One is being made.
    Opening(Why),
    /// None could be made; it is tried again then.
    Resting(Why, Instant),
    /// It can be used.
    Showing,
    /// It was tried; whoever has the invitation may come until then.
    Coming(Instant),
    Over,
}

impl Renewal {
    /// Begins by ordering the first code.
    pub fn new(audience: Audience) -> Self {
        let (outputs, state) = (VecDeque::from([RenewalOutput::Open]), State::Opening(Why::First));
        Self { audience, wrong_guesses: 0, outputs, state }
    }

    /// Takes one input. Early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: RenewalInput) {
        match (self.state, input) {
            (State::Over, _) => {}
            (_, RenewalInput::Closed) => self.end(NoMore::Closed),
            (State::Opening(why), RenewalInput::Opened) => {
                self.state = State::Showing;
                self.outputs.push_back(RenewalOutput::Show(why));
            }
            (State::Opening(why), RenewalInput::NotOpened) => {
                let why = if why == Why::First { Why::Late } else { why };
                self.state = State::Resting(why, now.after_ms(SPOKEN_AGAIN_MS));
            }
            (State::Resting(why, until), RenewalInput::TimePassed) if now >= until => {
                self.open(why);
            }
            (State::Showing, RenewalInput::Expired) => self.open(Why::Expired),
            (State::Showing, RenewalInput::Tried) => {
                self.state = State::Coming(now.after_ms(self.patience_ms()));
            }
            (State::Showing | State::Coming(_), RenewalInput::Guessed) => {
                self.wrong_guesses = self.wrong_guesses.saturating_add(1);
                if self.wrong_guesses > SPOKEN_GUESSES_MAX {
                    self.end(NoMore::Guessed);
                } else {
                    self.open(Why::Guessed);
                }
            }
            (State::Coming(until), RenewalInput::TimePassed) if now >= until => {
                self.open(Why::Given);
            }
            (
                State::Opening(_) | State::Resting(..) | State::Showing | State::Coming(_),
                RenewalInput::Opened
                | RenewalInput::NotOpened
                | RenewalInput::Expired
                | RenewalInput::Tried
                | RenewalInput::Guessed
                | RenewalInput::TimePassed,
            ) => {}
        }
    }

    /// Returns the next order; decides nothing.
    pub fn poll_output(&mut self) -> Option<RenewalOutput> {
        self.outputs.pop_front()
    }

    /// When to say [`RenewalInput::TimePassed`]; `None` while something else is waited for.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Resting(_, until) | State::Coming(until) => Some(until),
            State::Opening(_) | State::Showing | State::Over => None,
        }
    }

    const fn patience_ms(&self) -> u64 {
        match self.audience {
            Audience::One => SPOKEN_COMES_MS_MAX,
            Audience::Several => SPOKEN_NEXT_MS,
        }
    }

    fn open(&mut self, why: Why) {
        self.state = State::Opening(why);
        self.outputs.push_back(RenewalOutput::Open);
    }

    fn end(&mut self, why: NoMore) {
        self.state = State::Over;
        self.outputs.push_back(RenewalOutput::Ended(why));
    }
}
