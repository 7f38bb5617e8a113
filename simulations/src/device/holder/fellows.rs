//! How the holder's shell answers fellows, and keeps what the tender of this device fetches.

use larder_protocol::{
    fetching::StripeFailure,
    holding::{Caller, Input, PutFailure, ReadVerdict},
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    limits::GROUP_BYTES,
    order::OrderId,
    tending::Inventory,
};

use super::{Here, Holder, Whom, serving::Reading};
use crate::{
    event::{Line, Question, ToClient, Told},
    schedule::Hostility,
};

impl Holder {
    /// A question of a fellow that may ask it.
    pub(crate) fn tended(
        &mut self,
        here: &mut Here<'_>,
        line: Line,
        (order, vault): (OrderId, usize),
        question: Question,
    ) {
        let id = here.shared.circle.vaults[vault].id;
        match question {
            Question::Tell => {
                let told = Box::new(self.told(here, vault));
                here.shared.tell_client(line, ToClient::Told { order, told });
            }
            Question::Show(challenges) => {
                let shown =
                    challenges.iter().map(|challenge| self.show(here, id, *challenge)).collect();
                here.shared.tell_client(line, ToClient::Shown { order, shown });
            }
            Question::Read(shard, range) => {
                let node = here.shared.circle.devices[line.link.client].id;
                let caller = Caller::Fellow { node, vault: id };
                let verdict = self.machine.may_read(&caller, shard.root);
                if matches!(verdict, ReadVerdict::Allowed(kept) if kept != shard) {
                    // Of another length it would not be what the root says.
                    let failure = StripeFailure::NotFound;
                    here.shared.tell_client(line, ToClient::ReadFailed { order, failure });
                } else {
                    self.read(here, (line, order), Reading::new(caller, shard, range, false));
                }
            }
        }
        self.drain(here);
    }

    fn told(&self, here: &mut Here<'_>, vault: usize) -> Told {
        let id = here.shared.circle.vaults[vault].id;
        let kept = self.machine.kept_after(id, None);
        let mut kept: Inventory =
            kept.map(|it| (it.shard.root, (it.shard.bytes, it.class))).collect();
        let lists = here.disk.image.claimed.get(&vault).into_iter().flatten();
        let lists = lists.map(|(_, list)| (list.head().clone(), list.roots().to_vec()));
        let mut lists: Vec<_> = lists.collect();
        match here.hostile {
            Some(Hostility::Lies) if here.dice.chance(30) => {
                here.shared.saw("hostile: says that it keeps everything");
                for root in lists.iter().flat_map(|(_, roots)| roots) {
                    kept.entry(*root).or_insert((GROUP_BYTES, PackClass::Data));
                }
            }
            Some(Hostility::Forges) => {
                let made_up = ShardRoot::from_bytes(here.dice.bytes());
                for (_, roots) in &mut lists {
                    roots.push(made_up);
                    roots.sort_unstable();
                }
                kept.insert(made_up, (GROUP_BYTES, PackClass::Metadata));
            }
            Some(Hostility::Hides) => lists.clear(),
            Some(Hostility::Lies | Hostility::Drops | Hostility::Stalls) | None => {}
        }
        Told { heads: self.heads(here, vault), lists, kept }
    }

    /// Whether this very shard is kept for a vault, as the machine says.
    pub(crate) fn keeps(&self, vault: VaultId, root: ShardRoot) -> bool {
        self.machine.keeps(vault, root)
    }

    /// Reserves room for what the tender fetches under this number.
    pub(crate) fn reserve(
        &mut self,
        here: &mut Here<'_>,
        (order, vault): (OrderId, usize),
        (shard, class): (ShardRef, PackClass),
    ) {
        self.tell_terms(here);
        let request = self.request(Whom::Tender(order), vault, shard);
        let vault = here.shared.circle.vaults[vault].id;
        let caller = Caller::Tender { node: here.shared.circle.devices[here.number].id, vault };
        self.machine.handle_input(Input::PutAsked { request, caller, vault, shard, class });
        self.drain(here);
    }

    /// Verified bytes came of what the tender fetches: so many are to come.
    pub(crate) fn fetched(&mut self, here: &mut Here<'_>, order: OrderId, left: u64) {
        let Some(request) = self.of(Whom::Tender(order)) else { return };
        let Some(receiving) = self.receiving.get_mut(&request) else { return };
        receiving.left = left;
        if left == 0 && receiving.ticket.is_none() {
            self.all_came(here, request);
        }
    }

    /// Nobody gives what the tender wants to fetch.
    pub(crate) fn not_fetched(&mut self, here: &mut Here<'_>, order: OrderId) {
        if let Some(request) = self.of(Whom::Tender(order)) {
            self.fail(here, request, PutFailure::Aborted);
        }
    }

    /// The next answer for the tender of this device.
    pub(crate) fn next_to_tender(&mut self) -> Option<ToClient> {
        self.to_tender.pop_front()
    }

    /// A list of claims that a device has told whole.
    pub(crate) fn next_claimed(&mut self) -> Option<(VaultId, DeviceId, Vec<ShardRoot>)> {
        self.claimed.pop_front()
    }
}
