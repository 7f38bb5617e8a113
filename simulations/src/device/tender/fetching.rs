//! How the tender's shell fetches a pack: room first, then the bytes from one fellow after the other, whole
//! and verified; the holder of this device keeps it like an upload.

use larder_protocol::{
    fetching::ByteRange,
    limits::GROUP_BYTES,
    order::OrderId,
    tending::{Fetched, Input, Wanted},
    wire::message::Refusal,
};

use super::{Here, Holder, Tender, line_to};
use crate::{
    device::groups_of,
    event::{Question, ToClient, ToHolder},
    model::Check,
};

/// A pack that is fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    order: OrderId,
    vault: usize,
    wanted: Wanted,
    /// Fellows that were not asked for it yet, the next one last.
    left: Vec<usize>,
    reading: Option<Reading>,
}

/// What comes from one fellow.
#[derive(Debug)]
struct Reading {
    question: OrderId,
    fellow: usize,
    /// The next group: a stream has no gaps.
    next: u64,
}

impl Tender {
    pub(super) fn fetch(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        (order, vault): (OrderId, usize),
        wanted: Wanted,
    ) {
        let root = wanted.shard.root;
        here.shared.check(Check::Fetched { holder: here.number, root, vault });
        let mut left: Vec<usize> = wanted.from.iter().map(|id| here.shared.number(*id)).collect();
        left.reverse();
        let (shard, class) = (wanted.shard, wanted.class);
        let fetching = Fetching { order, vault, wanted, left, reading: None };
        let number = self.next_question();
        self.fetching.insert(number, fetching);
        holder.reserve(here, (number, vault), (shard, class));
        self.hear_holder(here, holder);
    }

    /// What the holder of this device says of the room for it, and in the end of the row.
    pub(super) fn reserved(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        message: &ToClient,
    ) {
        match message {
            ToClient::Go { order } => self.read_from_next(here, holder, *order),
            ToClient::Stored { order, .. } => {
                if let Some(fetching) = self.fetching.get(order) {
                    here.shared.saw("pack fetched by tending");
                    let (root, vault) = (fetching.wanted.shard.root, fetching.vault);
                    here.shared.check(Check::Receipt { holder: here.number, root, vault });
                }
                self.fetch_ended(here, holder, *order, Fetched::Kept);
            }
            ToClient::Refused { order, reason: Refusal::Quota | Refusal::Full } => {
                here.shared.saw("no room to tend");
                self.fetch_ended(here, holder, *order, Fetched::NoRoom);
            }
            ToClient::Refused { order, .. } => {
                self.fetch_ended(here, holder, *order, Fetched::Failed);
            }
            _ => {}
        }
    }

    fn fetch_ended(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        number: OrderId,
        fetched: Fetched,
    ) {
        if let Some(Fetching { order, .. }) = self.fetching.remove(&number) {
            self.give(here, holder, Input::Fetched { order, fetched });
        }
    }

    fn read_from_next(&mut self, here: &mut Here<'_>, holder: &mut Holder, number: OrderId) {
        let question = self.next_question();
        let Some(fetching) = self.fetching.get_mut(&number) else { return };
        fetching.reading = None;
        while let Some(fellow) = fetching.left.pop() {
            let Some(line) = line_to(here, fellow) else { continue };
            fetching.reading = Some(Reading { question, fellow, next: 0 });
            let (shard, vault) = (fetching.wanted.shard, fetching.vault);
            let asked = Question::Read(shard, ByteRange::new(0, shard.bytes));
            let message = ToHolder::Tend { order: question, vault, question: asked };
            return here.shared.tell_holder(line, message);
        }
        here.shared.saw("fetch by tending failed");
        holder.not_fetched(here, number);
        self.fetch_ended(here, holder, number, Fetched::Failed);
    }

    fn read_as(&mut self, question: OrderId) -> Option<(OrderId, &mut Reading, u64)> {
        self.fetching.iter_mut().find_map(|(number, it)| {
            let groups = groups_of(it.wanted.shard);
            let reading = it.reading.as_mut().filter(|reading| reading.question == question)?;
            Some((*number, reading, groups))
        })
    }

    /// Groups came, each compared with the root.
    pub(super) fn groups_came(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        question: OrderId,
        (first, last, wrong): (u64, u64, Option<u64>),
    ) {
        let Some((number, reading, groups)) = self.read_as(question) else { return };
        if wrong.is_some() || first != reading.next {
            return self.read_from_next(here, holder, number);
        }
        reading.next = last;
        if last >= groups
            && let Some(fetching) = self.fetching.get_mut(&number)
        {
            // All of it came, whoever leaves now.
            fetching.reading = None;
        }
        holder.fetched(here, number, groups.saturating_sub(last) * GROUP_BYTES);
        self.hear_holder(here, holder);
    }

    pub(super) fn reading_failed(
        &mut self,
        here: &mut Here<'_>,
        holder: &mut Holder,
        question: OrderId,
    ) {
        if let Some((number, ..)) = self.read_as(question) {
            self.read_from_next(here, holder, number);
        }
    }

    /// The connection to a fellow is over.
    pub(super) fn fellow_lost(&mut self, here: &mut Here<'_>, holder: &mut Holder, fellow: usize) {
        let from = |it: &Fetching| it.reading.as_ref().is_some_and(|it| it.fellow == fellow);
        let cut = self.fetching.iter().filter(|(_, it)| from(it)).map(|(number, _)| *number);
        for number in cut.collect::<Vec<_>>() {
            self.read_from_next(here, holder, number);
        }
    }
}
