//! How the source's shell brings a pack back: from one holder after the other, whole, verified.

use std::collections::BTreeSet;

use larder_protocol::{
    fetching::ByteRange, ids::ShardRoot, index::ShardRef, order::OrderId, placing::Input,
};

use super::{Here, Source, groups_of, tell};
use crate::{
    disk::{File, PackRow, Write},
    event::{Link, ToHolder},
};

/// A pack on its way back.
#[derive(Debug)]
pub(super) struct Fetch {
    order: OrderId,
    shard: ShardRef,
    holder: usize,
}

/// What is on its way, and who was asked for it in vain.
#[derive(Debug, Default)]
pub(super) struct Bringing {
    fetch: Option<Fetch>,
    in_vain: BTreeSet<(ShardRoot, usize)>,
}

impl Source {
    pub(super) fn bring_back(&mut self, here: &mut Here<'_>, order: OrderId, shard: ShardRef) {
        here.shared.saw("pack brought back: asked");
        // The one before was given up: who was asked then says nothing.
        if let Some(Fetch { shard, holder, .. }) = self.bringing.fetch.take() {
            self.bringing.in_vain.insert((shard.root, holder));
        }
        let mut fresh = here.disk.image.receipts.get(&shard.root).cloned().unwrap_or_default();
        fresh.retain(|holder| !self.bringing.in_vain.contains(&(shard.root, *holder)));
        let link = |holder| Link { client: here.number, holder };
        let reached = |holder: &&usize| here.shared.network.line(link(**holder)).is_some();
        let Some(holder) = fresh.iter().find(reached).copied() else {
            // Everybody was asked who can be: from the beginning, the next time. Some may never come.
            here.shared.wanted.extend(fresh.into_iter().map(link));
            self.bringing.in_vain.retain(|(root, _)| *root != shard.root);
            return self.give(here, Input::BroughtBack { order, came: false });
        };
        self.bringing.fetch = Some(Fetch { order, shard, holder });
        let range = ByteRange::new(0, shard.bytes);
        tell(here, holder, ToHolder::Read { order, shard, range });
    }

    /// Verified groups came; with the last one the pack is here, durably.
    pub(super) fn groups_came(
        &mut self,
        here: &mut Here<'_>,
        order: OrderId,
        last: u64,
        wrong: Option<u64>,
    ) {
        let Some(fetch) = self.bringing.fetch.take_if(|fetch| fetch.order == order) else { return };
        if wrong.is_some() {
            return self.fetch_failed(here, fetch);
        }
        if last < groups_of(fetch.shard) {
            self.bringing.fetch = Some(fetch);
            return;
        }
        let shard = fetch.shard;
        let Some(row) = here.disk.image.packs.get(&shard.root).copied() else {
            // It has left the index meanwhile: nobody needs it.
            here.shared.saw("pack came back too late");
            return self.give(here, Input::BroughtBack { order, came: false });
        };
        here.write_now(Write::File(shard.root, File::sound(shard.bytes)));
        here.write_now(Write::Pack(PackRow { here: true, ..row }));
        here.shared.saw("pack brought back");
        self.give(here, Input::BroughtBack { order, came: true });
    }

    pub(super) fn reading_failed(&mut self, here: &mut Here<'_>, order: OrderId) {
        if let Some(fetch) = self.bringing.fetch.take_if(|fetch| fetch.order == order) {
            self.fetch_failed(here, fetch);
        }
    }

    /// The connection to a holder is lost.
    pub(super) fn fetch_lost(&mut self, here: &mut Here<'_>, holder: usize) {
        if let Some(fetch) = self.bringing.fetch.take_if(|fetch| fetch.holder == holder) {
            self.fetch_failed(here, fetch);
        }
    }

    fn fetch_failed(&mut self, here: &mut Here<'_>, fetch: Fetch) {
        self.bringing.in_vain.insert((fetch.shard.root, fetch.holder));
        self.give(here, Input::BroughtBack { order: fetch.order, came: false });
    }
}
