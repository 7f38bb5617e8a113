//! How the source's shell forgets, and tells holders what it still needs.

use std::collections::BTreeMap;

use larder_protocol::{
    claiming::{Claiming, Input, Output},
    ids::ShardRoot,
    order::OrderId,
    placing,
    wire::message::ClaimsPart,
};

use super::{Here, Source, tell};
use crate::{
    bug::Bug,
    dice::Dice,
    disk::PackRow,
    event::{Link, ToHolder},
};

/// The machine, and what it waits for.
#[derive(Debug, Default)]
pub(super) struct Telling {
    machine: Claiming,
    /// Lists under way, and to whom.
    told: BTreeMap<OrderId, usize>,
    /// For the holder that this device is itself.
    own: Option<(OrderId, ClaimsPart)>,
    /// Of a hundred packs, so many are forgotten with the next backup.
    forget: Option<(Dice, u64)>,
}

impl Telling {
    pub(super) const fn machine(&self) -> &Claiming {
        &self.machine
    }
}

impl Source {
    /// The user forgets old snapshots.
    pub(crate) fn forget(&mut self, here: &mut Here<'_>, dice: &Dice, percent: u64) {
        here.shared.saw("forget");
        self.claims.forget = Some((dice.clone(), percent));
    }

    /// Packs that the next head does not need any more.
    pub(super) fn forgotten(&mut self, here: &Here<'_>, commit_pack: ShardRoot) -> Vec<ShardRoot> {
        let Some((mut dice, percent)) = self.claims.forget.take() else { return Vec::new() };
        let rows = here.disk.image.packs.values();
        let live = rows.filter(|row| row.dropped == 0 && row.shard.root != commit_pack);
        live.map(|row| row.shard.root).filter(|_| dice.chance(percent)).collect()
    }

    pub(super) fn start_claims(&mut self, here: &mut Here<'_>) {
        let image = &here.disk.image;
        let newest = image.own_heads.keys().last().copied().unwrap_or(0);
        let published = image.published;
        let held = image.held.clone();
        self.claim(here, Input::HeadCommitted { seq: newest });
        self.claim(here, Input::HeadPublished { seq: published });
        for number in 0..here.shared.circle.devices.len() {
            let holder = here.shared.circle.devices[number].id;
            let own = if number == here.number { newest } else { 0 };
            let seq = held.get(&number).copied().unwrap_or(own);
            self.claim(here, Input::HolderKnown { holder });
            self.claim(here, Input::HeadHeld { holder, seq });
        }
    }

    pub(super) fn claim(&mut self, here: &mut Here<'_>, input: Input) {
        self.claims.machine.handle_input(here.shared.now(), input);
        while let Some(Output::Tell { order, holder, seq }) = self.claims.machine.poll_output() {
            let holder = here.shared.number(holder);
            match self.claims_part(here, seq) {
                Some(part) => self.tell_claims(here, order, (holder, part)),
                None => {
                    let failed = Input::NotTold { order };
                    self.claims.machine.handle_input(here.shared.now(), failed);
                }
            }
        }
    }

    fn tell_claims(
        &mut self,
        here: &mut Here<'_>,
        order: OrderId,
        (holder, part): (usize, ClaimsPart),
    ) {
        if holder == here.number {
            self.claims.own = Some((order, part));
            return;
        }
        let link = Link { client: here.number, holder };
        if here.shared.network.line(link).is_none() {
            here.shared.wanted.push(link);
            self.claims.machine.handle_input(here.shared.now(), Input::NotTold { order });
            return;
        }
        self.claims.told.insert(order, holder);
        tell(here, holder, ToHolder::Claim { order, part: Box::new(part) });
    }

    /// What the newest head needs. Nothing is told by a device that was cloned or set back.
    fn claims_part(&mut self, here: &mut Here<'_>, seq: u64) -> Option<ClaimsPart> {
        self.take_leave(here);
        let image = &here.disk.image;
        let newest = image.own_heads.keys().last().copied().unwrap_or(0);
        if self.frozen || newest != seq {
            return None;
        }
        let mut roots = image.needs.get(&seq).cloned().unwrap_or_default();
        roots.sort_unstable();
        roots.dedup();
        if here.shared.has(Bug::ClaimLess) && roots.len() > 1 {
            roots.remove(0);
        }
        let time = here.shared.wall(here.clock_off_s);
        Some(ClaimsPart { seq, time, part: 0, is_last: true, roots })
    }

    /// What the published head does not need is placed no more, and its local copy goes.
    fn take_leave(&mut self, here: &mut Here<'_>) {
        let published = here.disk.image.published;
        let is_left = |row: &&PackRow| (1..=published).contains(&row.dropped);
        let rows = here.disk.image.packs.values();
        let left: Vec<ShardRoot> = rows.filter(is_left).map(|row| row.shard.root).collect();
        for root in left {
            here.shared.saw("pack left the index");
            here.disk.image.packs.remove(&root);
            here.disk.image.receipts.remove(&root);
            self.spoilt.remove(&root);
            self.give(here, placing::Input::PackDropped { root });
            here.disk.remove_file_if_unnamed(root);
        }
    }

    /// The list that this device's own holder is to hear.
    pub(crate) fn own_claims(&mut self) -> Option<(OrderId, ClaimsPart)> {
        self.claims.own.take()
    }

    pub(crate) fn claims_ended(&mut self, here: &mut Here<'_>, order: OrderId, was_told: bool) {
        self.claims.told.remove(&order);
        if was_told {
            here.shared.saw("claims told");
        }
        // Lists of a simulated circle are short.
        let told = Input::Told { order, packs: 0 };
        let input = if was_told { told } else { Input::NotTold { order } };
        self.claim(here, input);
    }

    pub(super) fn is_claim(&self, order: OrderId, holder: usize) -> bool {
        self.claims.told.get(&order) == Some(&holder)
    }

    /// Answers that will not come any more.
    pub(super) fn claims_lost(&mut self, here: &mut Here<'_>, holder: usize) {
        let of = self.claims.told.iter().filter(|(_, of)| **of == holder);
        for order in of.map(|(order, _)| *order).collect::<Vec<_>>() {
            self.claims_ended(here, order, false);
        }
    }
}
