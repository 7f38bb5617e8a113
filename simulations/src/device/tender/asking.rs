//! How the tender's shell asks fellows: what they know of a vault, what they keep for it, and to show some
//! of that.

use std::sync::Arc;

use larder_protocol::{
    auditing::Finding,
    head::{Offered, SignedHead},
    ids::{DeviceId, ShardRoot, VaultId},
    order::OrderId,
    tending::{Input, choosing::sample, claimed::ClaimedList},
};

use super::{Asking, Here, Holder, Tender, line_to};
use crate::{
    bug::Bug,
    event::{Line, Question, ToHolder, Told},
};

impl Tender {
    pub(super) fn ask(
        &mut self,
        here: &mut Here<'_>,
        (order, vault): (OrderId, usize),
        fellow: usize,
    ) {
        let line = line_to(here, fellow);
        let asking = Asking { order, vault, fellow, is_waiting: line.is_none(), told: None };
        let order = self.next_question();
        self.asking.insert(order, asking);
        if let Some(line) = line {
            let question = Question::Tell;
            here.shared.tell_holder(line, ToHolder::Tend { order, vault, question });
        }
    }

    /// It told; now it has to show some of that.
    pub(super) fn told(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        (line, order): (Line, OrderId),
        told: Told,
    ) {
        // An answer that comes twice is taken once.
        let Some(asking) = self.asking.get_mut(&order).filter(|it| it.told.is_none()) else {
            return;
        };
        let vault = asking.vault;
        take_heads(here, vault, told.heads);
        for (head, roots) in told.lists {
            take_list(here, vault, head, roots);
        }
        let challenges = sample(&told.kept, self.dice.source());
        asking.told = Some(told.kept);
        if challenges.is_empty() {
            return self.shown(here, holder, order, &[]);
        }
        let question = Question::Show(challenges);
        here.shared.tell_holder(line, ToHolder::Tend { order, vault, question });
    }

    /// TEND-7: it has each chunk that it was asked for.
    pub(super) fn shown(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        order: OrderId,
        shown: &[(Finding, bool)],
    ) {
        let Some(kept) = self.asking.get_mut(&order).and_then(|it| it.told.take()) else { return };
        let is_right = |(finding, _): &(Finding, bool)| matches!(finding, Finding::Proven);
        let believes = here.shared.has(Bug::BelieveFellows);
        let is_shown = believes || shown.iter().all(is_right);
        if !is_shown {
            here.shared.saw("fellow could not show");
        }
        self.asked(here, holder, order, |order| Input::Answered { order, kept, is_shown });
    }

    /// The question is over.
    pub(super) fn asked(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        order: OrderId,
        input: impl FnOnce(OrderId) -> Input,
    ) {
        if let Some(asking) = self.asking.remove(&order) {
            self.give(here, holder, input(asking.order));
        }
    }
}

/// A device has told all that its newest head needs.
pub(super) fn keep_claimed(
    here: &mut Here<'_>,
    (vault, device): (VaultId, DeviceId),
    roots: Vec<ShardRoot>,
) {
    let vault = here.shared.circle.vault_of(vault).expect("of the circle");
    let head = here.disk.image.books.get(&vault).and_then(|book| book.highest(&device)).cloned();
    if let Some(head) = head {
        take_list(here, vault, head, roots);
    }
}

/// Keeps a list if it is the one of its head, and newer than the one here.
fn take_list(here: &mut Here<'_>, vault: usize, head: SignedHead, roots: Vec<ShardRoot>) {
    let (device, seq) = (head.body().device, head.body().seq);
    let known = here.disk.image.claimed.get(&vault).and_then(|lists| lists.get(&device));
    if known.is_some_and(|known| known.head().body().seq >= seq) {
        return;
    }
    match ClaimedList::new(head, roots, &here.shared.circle.vaults[vault].log) {
        Ok(list) => {
            let lists = here.disk.image.claimed.entry(vault).or_default();
            lists.insert(device, Arc::new(list));
        }
        Err(_) => here.shared.saw("list of claims that is none"),
    }
}

fn take_heads(here: &mut Here<'_>, vault: usize, heads: Vec<SignedHead>) {
    for head in heads {
        let device = head.body().device;
        let book = here.disk.image.books.get(&vault);
        let mut book = book.map(|book| book.part(&device)).unwrap_or_default();
        if book.heads_of(&device).any(|known| known.hash() == head.hash()) {
            continue;
        }
        let Ok(head) = here.shared.check_head(vault, &head) else { continue };
        if matches!(book.take(head.clone()), Offered::Taken | Offered::Forked(_)) {
            here.shared.saw("head learnt from a fellow");
            here.write_now(here.head_kept(vault, head));
        }
    }
}
