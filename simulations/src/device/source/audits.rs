//! How the source's shell audits holders: a question over a line that is there, or else none.

use larder_protocol::{
    auditing::{Auditing, Failure, Finding, Input, Output},
    ids::ShardRoot,
    order::OrderId,
    placing::{self, Fault},
};

use super::{Here, Source, tell};
use crate::{
    bug::Bug,
    event::{Link, ToHolder},
    model::{Check, Property},
};

/// The machine, and what it may ask for.
#[derive(Debug)]
pub(super) struct Audits {
    machine: Auditing,
    /// Challenges under way, and of whom.
    asked: std::collections::BTreeMap<OrderId, (usize, Vec<ShardRoot>)>,
}

impl Audits {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { machine: Auditing::new(seed), asked: std::collections::BTreeMap::new() }
    }

    pub(super) const fn machine(&self) -> &Auditing {
        &self.machine
    }

    /// AUDIT-8: who has to show a shard does not get it here.
    pub(super) fn has_to_show(&self, holder: usize, root: ShardRoot) -> bool {
        self.asked.values().any(|(of, roots)| *of == holder && roots.contains(&root))
    }
}

impl Source {
    pub(super) fn audit(&mut self, here: &mut Here<'_>, input: Input) {
        self.audits.machine.handle_input(here.shared.now(), input);
        while let Some(output) = self.audits.machine.poll_output() {
            match output {
                Output::Challenge { order, holder, challenges } => {
                    let holder = here.shared.number(holder);
                    let link = Link { client: here.number, holder };
                    if here.shared.network.line(link).is_none() {
                        here.shared.wanted.push(link);
                        self.audits
                            .machine
                            .handle_input(here.shared.now(), Input::Failed { order });
                        continue;
                    }
                    let roots = challenges.iter().map(|challenge| challenge.shard.root).collect();
                    self.audits.asked.insert(order, (holder, roots));
                    tell(here, holder, ToHolder::Audit { order, challenges });
                }
                Output::NoteProven { .. } => here.shared.saw("audit: proven"),
                Output::CopyFailed { holder, root, failure } => {
                    here.shared.saw("audit: copy failed");
                    let (by, of) = (here.number, here.shared.number(holder));
                    let fault = format!("an audit: {failure:?}");
                    here.shared.check(Check::Blamed { by, holder: of, fault });
                    let fault = match failure {
                        Failure::Wrong => Some(Fault::WrongProof),
                        Failure::Absent => Some(Fault::LostShard),
                        Failure::Again => Some(Fault::LostAgain),
                        Failure::Damaged => None,
                    };
                    self.give(here, placing::Input::CopyFailed { holder, root, fault });
                }
            }
        }
    }

    /// `had`: whether the holder really had what it showed.
    pub(super) fn shown(&mut self, here: &mut Here<'_>, order: OrderId, shown: &[(Finding, bool)]) {
        self.audits.asked.remove(&order);
        let lax = here.shared.has(Bug::AcceptAnyProof);
        let finding = |(finding, had): &(Finding, bool)| {
            let taken = if lax && *finding == Finding::Wrong { Finding::Proven } else { *finding };
            (taken, *had)
        };
        let taken: Vec<(Finding, bool)> = shown.iter().map(finding).collect();
        if taken.contains(&(Finding::Proven, false)) {
            let text = format!("device {} takes a proof of what is not there", here.number);
            here.shared.violation(Property::Word, text);
        }
        let findings = taken.into_iter().map(|(finding, _)| finding).collect();
        self.audit(here, Input::Answered { order, findings });
    }

    /// Answers that will not come any more.
    pub(super) fn audits_lost(&mut self, here: &mut Here<'_>, holder: usize) {
        let of = |(order, (of, _)): (&OrderId, &(usize, Vec<ShardRoot>))| {
            (*of == holder).then_some(*order)
        };
        let orders: Vec<OrderId> = self.audits.asked.iter().filter_map(of).collect();
        for order in orders {
            self.audits.asked.remove(&order);
            self.audit(here, Input::Failed { order });
        }
    }
}
