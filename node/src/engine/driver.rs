//! Drives a machine of the core in a task of its own: takes facts in, has orders carried out, and wakes
//! it when it wants to be woken.

use std::sync::{Arc, Weak};

use larder_protocol::time::Instant;
use tokio::sync::mpsc;

use super::Core;

/// Facts waiting for a machine: one answer, changes of settings, what others have done.
const FACTS_MAX: usize = 16;

/// What such machines have in common, and how their orders are carried out.
pub(super) trait Machine: Send + 'static {
    type Input: Send;
    type Output: Send;
    /// The input that says that the named time has come.
    const TIME_PASSED: Self::Input;

    fn handle_input(&mut self, now: Instant, input: Self::Input);
    fn poll_output(&mut self) -> Option<Self::Output>;
    fn poll_timeout(&self) -> Option<Instant>;
    /// What takes time belongs into a task of its own: the machine hears nothing meanwhile.
    fn carry_out(core: Arc<Core>, output: Self::Output) -> impl Future<Output = ()> + Send;
}

/// What every machine has by itself, for an implementation in a module that knows its `Input` and `Output`.
macro_rules! forwards {
    () => {
        type Input = Input;
        type Output = Output;
        const TIME_PASSED: Input = Input::TimePassed;

        fn handle_input(&mut self, now: larder_protocol::time::Instant, input: Input) {
            self.handle_input(now, input);
        }

        fn poll_output(&mut self) -> Option<Output> {
            self.poll_output()
        }

        fn poll_timeout(&self) -> Option<larder_protocol::time::Instant> {
            self.poll_timeout()
        }
    };
}
pub(super) use forwards;

/// The way to a machine. In a node for one command nobody listens.
#[derive(Debug)]
pub(crate) struct Facts<Input>(mpsc::Sender<Input>);

/// The facts for a task that is yet to be started.
pub(super) type Inbox<Input> = mpsc::Receiver<Input>;

impl<Input> Facts<Input> {
    pub(super) fn new() -> (Self, Inbox<Input>) {
        let (facts, inbox) = mpsc::channel(FACTS_MAX);
        (Self(facts), inbox)
    }

    /// Tells the machine a fact.
    pub(crate) async fn tell(&self, input: Input) {
        let _ = self.0.send(input).await;
    }
}

/// Drives `machine` until the node ends. The core is held only while it does something.
pub(super) fn start<M: Machine>(core: &Arc<Core>, machine: M, inbox: Inbox<M::Input>) {
    tokio::spawn(drive(Arc::downgrade(core), machine, inbox));
}

async fn drive<M: Machine>(weak: Weak<Core>, mut machine: M, mut inbox: Inbox<M::Input>) {
    let Some((closing, clock)) = weak.upgrade().map(|core| (core.closing.clone(), core.clock))
    else {
        return;
    };
    loop {
        while let Some(output) = machine.poll_output() {
            let Some(core) = weak.upgrade() else { return };
            M::carry_out(core, output).await;
        }
        let wake = clock.reached(machine.poll_timeout());
        let input = tokio::select! {
            fact = inbox.recv() => match fact {
                Some(input) => input,
                None => return,
            },
            () = wake => M::TIME_PASSED,
            () = closing.cancelled() => return,
        };
        machine.handle_input(clock.now(), input);
    }
}
