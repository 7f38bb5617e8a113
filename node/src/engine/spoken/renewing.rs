//! One spoken code after the other: brings what happens to each to the renewing machine, whose orders the
//! caller carries out. Source: specs/meeting.md, "New codes".

use std::{future::pending, time::Duration};

use larder_protocol::{
    meeting::{Audience, Renewal, RenewalInput, RenewalOutput},
    time::Timestamp,
};
use tokio::time::sleep;

use super::{Core, Opened};
use crate::engine::clock::wall;

/// How often the wall clock and the invitation are looked at, which a suspend does not hold up.
const LOOK: Duration = Duration::from_secs(1);

/// The codes of one invitation, of which the last is open.
pub(in crate::engine) struct Renewing<'a> {
    core: &'a Core,
    machine: Renewal,
    opened: Option<Opened>,
}

impl<'a> Renewing<'a> {
    /// Begins with the order for the first code.
    pub(in crate::engine) fn new(core: &'a Core, audience: Audience) -> Self {
        Self { core, machine: Renewal::new(audience), opened: None }
    }

    /// Waits for the next order. `is_open` tells whether the invitation is still of use.
    pub(in crate::engine) async fn next(&mut self, is_open: impl Fn() -> bool) -> RenewalOutput {
        loop {
            if let Some(output) = self.machine.poll_output() {
                return output;
            }
            let input = tokio::select! {
                input = happened(self.opened.as_mut()) => input,
                () = self.core.clock.reached(self.machine.poll_timeout()) => RenewalInput::TimePassed,
                () = closed(&is_open) => RenewalInput::Closed,
            };
            self.machine.handle_input(self.core.clock.now(), input);
        }
    }

    /// Answers the order for a code.
    pub(in crate::engine) fn opened(&mut self, opened: Option<Opened>) {
        let input = opened.as_ref().map_or(RenewalInput::NotOpened, |_| RenewalInput::Opened);
        self.opened = opened;
        self.machine.handle_input(self.core.clock.now(), input);
    }

    /// The code that was made last, to be spoken.
    pub(in crate::engine) fn code(&self) -> &str {
        self.opened.as_ref().map_or("", |opened| &opened.text)
    }
}

/// What becomes of a code: each is told once. One that is of no use any more stays, so that whoever comes
/// late is told so.
async fn happened(opened: Option<&mut Opened>) -> RenewalInput {
    let Some(opened) = opened else { return pending().await };
    if opened.stays() {
        opened.guessed.cancelled().await;
        return RenewalInput::Guessed;
    }
    let input = tokio::select! {
        () = opened.tried.cancelled() => RenewalInput::Tried,
        () = passed(opened.expires) => RenewalInput::Expired,
    };
    opened.stay();
    input
}

/// Waits until this time by the wall clock.
async fn passed(time: Timestamp) {
    while wall() < time {
        sleep(LOOK).await;
    }
}

async fn closed(is_open: impl Fn() -> bool) {
    while is_open() {
        sleep(LOOK).await;
    }
}
