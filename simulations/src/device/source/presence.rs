//! How the source's shell sees whether holders are there: a greeting, answered or not.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    order::OrderId,
    placing,
    time::Instant,
    watching::{History, Input, Kind, Output, Watching, Word},
};

use super::{Here, Source};
use crate::{
    bug::Bug,
    event::{Link, ToHolder},
    model::Check,
};

/// The machine, and what it waits for.
#[derive(Debug, Default)]
pub(super) struct Watch {
    machine: Watching,
    calls: BTreeMap<usize, OrderId>,
    presumed_lost: BTreeSet<usize>,
    /// What the tender of this device has not heard of that yet.
    untold: Vec<(usize, bool)>,
}

impl Watch {
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

impl Source {
    /// Whose receipts do not count here, by word or by silence.
    pub(crate) const fn presumed_lost(&self) -> &BTreeSet<usize> {
        &self.presence.presumed_lost
    }

    /// Before packs are told of: nothing is safe because of who is presumed lost.
    pub(super) fn start_watching(&mut self, here: &mut Here<'_>) {
        let own_site = here.shared.circle.devices[here.number].site;
        for number in 0..here.shared.circle.devices.len() {
            let (holder, site) = {
                let line = &here.shared.circle.devices[number];
                (line.id, line.site)
            };
            if number == here.number {
                continue;
            }
            let history = here.disk.image.histories.get(&number).cloned();
            let is_new = history.is_none();
            let is_elsewhere = site != own_site;
            self.watch(here, Input::HolderKnown { holder, is_elsewhere, history });
            // Half of all circles have somebody who said what their devices are.
            if is_new && here.shared.circle.are_described {
                self.watch(here, Input::KindSaid { holder, kind: Kind::AlwaysOn });
            }
        }
    }

    pub(super) fn watch(&mut self, here: &mut Here<'_>, input: Input) {
        let clock = here.shared.wall(here.clock_off_s);
        self.presence.machine.handle_input(here.shared.now(), clock, input);
        while let Some(output) = self.presence.machine.poll_output() {
            match output {
                Output::Call { order, holder } => {
                    let holder = here.shared.number(holder);
                    self.call(here, order, holder);
                }
                Output::Keep { holder, history } => {
                    let holder = here.shared.number(holder);
                    here.disk.image.histories.insert(holder, history);
                }
                Output::Presumed { holder, is_lost } => {
                    let number = here.shared.number(holder);
                    self.presumed(here, number, is_lost);
                    self.give(here, placing::Input::HolderPresumed { holder, is_lost });
                }
            }
        }
    }

    fn call(&mut self, here: &mut Here<'_>, order: OrderId, holder: usize) {
        self.presence.calls.insert(holder, order);
        let link = Link { client: here.number, holder };
        match here.shared.network.line(link) {
            Some(line) => here.shared.tell_holder(line, ToHolder::Greet),
            None => here.shared.wanted.push(link),
        }
    }

    /// Who is presumed lost since this was asked last, or counted on again.
    pub(crate) fn newly_presumed(&mut self) -> Vec<(usize, bool)> {
        std::mem::take(&mut self.presence.untold)
    }

    fn presumed(&mut self, here: &mut Here<'_>, holder: usize, is_lost: bool) {
        self.presence.untold.push((holder, is_lost));
        if !is_lost {
            here.shared.saw("counted on again");
            self.presence.presumed_lost.remove(&holder);
            return;
        }
        self.presence.presumed_lost.insert(holder);
        let id = here.shared.circle.devices[holder].id;
        let word = self.presence.machine.history(&id).map(History::word);
        if word == Some(Word::Lost) {
            return here.shared.saw("said to be lost");
        }
        here.shared.saw("presumed lost");
        here.shared.check(Check::PresumedLost { source: here.number, holder });
    }

    /// It answered, whatever.
    pub(super) fn was_heard(&mut self, here: &mut Here<'_>, holder: usize) {
        let now = here.shared.now();
        here.shared.model.heard.insert((here.number, holder), now);
        self.presence.calls.remove(&holder);
        let holder = here.shared.circle.devices[holder].id;
        self.watch(here, Input::Heard { holder });
    }

    /// It did not, or the line broke.
    pub(super) fn was_silent(&mut self, here: &mut Here<'_>, holder: usize) {
        if let Some(order) = self.presence.calls.remove(&holder) {
            self.watch(here, Input::CallEnded { order, answered: false });
            if here.shared.has(Bug::PresumeAtOnce) {
                self.presumed(here, holder, true);
                let holder = here.shared.circle.devices[holder].id;
                self.give(here, placing::Input::HolderPresumed { holder, is_lost: true });
            }
        }
    }

    /// The user says that a holder is lost, or that it is back.
    pub(crate) fn said(&mut self, here: &mut Here<'_>, other: usize, is_lost: bool) {
        let holder = here.shared.circle.devices[other].id;
        let word = if is_lost { Word::Lost } else { Word::Nothing };
        self.watch(here, Input::Said { holder, word });
    }
}
