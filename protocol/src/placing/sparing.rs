//! Sparing a metered line: packs wait for another one, or go to holders in the local network.
//!
//! Offers, heads, logs and audits go on, so that everything is known and can begin at once when it may.
//! Source: specs/pacing.md, "Metered lines".

use super::{Order, Output, Placing, holder::Holder};
use crate::{
    ids::DeviceId,
    order::OrderId,
    pacing::{Line, Side},
};

impl Placing {
    /// What the packets of this device cross from now on.
    pub(super) fn set_line(&mut self, line: Line) {
        if std::mem::replace(&mut self.line, line) != line {
            let all: Vec<DeviceId> = self.holders.keys().copied().collect();
            all.into_iter().for_each(|holder| self.line_changed(holder));
        }
    }

    pub(super) fn set_side(&mut self, id: DeviceId, side: Side) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if std::mem::replace(&mut holder.side, side) != side {
            self.line_changed(id);
        }
    }

    /// Whether packs may go there now, as far as the line is concerned.
    pub(super) const fn is_spared(&self, holder: &Holder) -> bool {
        !self.line.carries_packs(holder.side)
    }

    /// Whether packs that are to count may be sent there now.
    pub(super) fn may_receive(&self, holder: &Holder) -> bool {
        holder.may_take(self.now) && !self.is_spared(holder)
    }

    /// Stops what may not go on, without holding it against the holder, and looks for what may begin.
    fn line_changed(&mut self, id: DeviceId) {
        if self.holders.get(&id).is_some_and(|holder| self.is_spared(holder)) {
            let goes_there =
                |order: &Order| matches!(order, Order::Upload { holder, .. } if *holder == id);
            let uploads = self.orders.iter().filter(|(_, order)| goes_there(order));
            let uploads: Vec<OrderId> = uploads.map(|(order, _)| *order).collect();
            for order in uploads {
                self.outputs.push_back(Output::CancelUpload { order });
                let roots = self.end_order(order).map(|(_, roots)| roots).unwrap_or_default();
                roots.into_iter().for_each(|root| self.reconsider(root));
            }
        }
        self.release_awaited(id);
    }
}
