//! How the holder's shell hears what devices need.

use std::collections::BTreeSet;

use larder_protocol::{
    holding::{Caller, Circumstances, Input, Output, Row},
    ids::VaultId,
    order::OrderId,
    wire::message::ClaimsPart,
};

use super::{Here, Holder};
use crate::bug::Bug;

impl Holder {
    pub(super) fn claims_told(
        &mut self,
        here: &Here<'_>,
        request: OrderId,
        (caller, vault): (Caller, VaultId),
        part: ClaimsPart,
    ) {
        let number = here.shared.circle.vault_of(vault).expect("of the circle");
        let book = here.disk.image.books.get(&number);
        let head = book.and_then(|book| book.highest(&caller.key()));
        let of_vault = here.shared.circle.devices.iter().filter(|it| it.vault == number);
        let mut devices: BTreeSet<_> = of_vault.map(|it| it.id).collect();
        if here.shared.has(Bug::TakeSilenceForConsent) {
            devices = BTreeSet::from([caller.key()]);
        }
        let is_forked = devices.iter().any(|id| book.is_some_and(|book| book.fork(id).is_some()));
        let wall = here.shared.wall(here.clock_off_s);
        let head = head.map(|head| (head.body().seq, head.body().claims));
        let now = Circumstances { head, is_forked, devices, wall };
        let told = Input::ClaimsTold { request, caller, vault, part, now };
        self.machine.handle_input(told);
    }

    /// This device tells itself, as it tells every holder; returns whether the list was taken.
    pub(crate) fn own_claims(&mut self, here: &mut Here<'_>, part: ClaimsPart) -> bool {
        let vault = here.shared.circle.vaults[here.vault].id;
        let device = here.shared.circle.devices[here.number].id;
        self.requests += 1;
        let request = OrderId(self.requests);
        let caller = Caller::Member { device, vault };
        self.claims_told(here, request, (caller, vault), part);
        let mut was_taken = false;
        while let Some(output) = self.machine.poll_output() {
            was_taken |= output == Output::AnswerClaims { request };
            self.carry_out(here, output);
        }
        was_taken
    }
}

pub(super) fn note_rows(here: &mut Here<'_>, rows: &[Row]) {
    for row in rows {
        let vault = here.shared.circle.vault_of(row.vault).expect("of the circle");
        here.disk.note_row(vault, row);
    }
}
