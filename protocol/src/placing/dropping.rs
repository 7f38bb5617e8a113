//! Dropping: a pack that no manifest needs any more is placed no more. Its holders are told by the list
//! of claims, see [`claiming`](crate::claiming), not by this machine.

use super::{Order, Output, Placing, pack::Custody};
use crate::{ids::ShardRoot, order::OrderId};

impl Placing {
    /// Forgets a pack and everything that is under way because of it. Heads that need it are
    /// superseded by one that does not, and wait no longer.
    pub(super) fn pack_dropped(&mut self, root: ShardRoot) {
        let Some(key) = self.packs.get(&root).map(|pack| (pack.seq, root)) else { return };
        let of_pack =
            |order: &Order| matches!(order, Order::Upload { root: of, .. } if *of == root);
        let uploads: Vec<OrderId> =
            self.orders.iter().filter(|(_, order)| of_pack(order)).map(|(id, _)| *id).collect();
        for order in uploads {
            self.outputs.push_back(Output::CancelUpload { order });
            self.end_order(order);
        }
        self.set_here(root, false);
        let Some(pack) = self.packs.remove(&root) else { return };
        for (id, custody) in pack.custody {
            if matches!(custody, Custody::Kept | Custody::Keeping) {
                self.outputs.push_back(Output::ForgetReceipt { holder: id, root });
            }
            if let Some(holder) = self.holders.get_mut(&id) {
                holder.leave_queues(&key);
            }
        }
        self.bringing.forget(&key);
        self.heads.forget(&root);
    }
}
