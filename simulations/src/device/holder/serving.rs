//! Downloads: what the holder's shell reads out, verified while it is read.

use larder_protocol::{
    fetching::{ByteRange, StripeFailure},
    holding::{Caller, Input, ReadVerdict},
    index::ShardRef,
    limits::GROUP_BYTES,
    order::OrderId,
};

use super::{Here, Holder};
use crate::{
    device::rotten_between,
    event::{Event, Line, ToClient},
    schedule::Hostility,
};

/// A download under way.
#[derive(Debug)]
pub(super) struct Reading {
    caller: Caller,
    shard: ShardRef,
    range: ByteRange,
    next: u64,
    /// This device placed it itself, for a vault that the caller belongs to.
    is_own_pack: bool,
}

impl Reading {
    pub(super) const fn new(
        caller: Caller,
        shard: ShardRef,
        range: ByteRange,
        is_own_pack: bool,
    ) -> Self {
        let next = range.start / GROUP_BYTES;
        Self { caller, shard, range, next, is_own_pack }
    }
}

impl Holder {
    pub(super) fn read(&mut self, here: &mut Here<'_>, key: (Line, OrderId), reading: Reading) {
        let (line, order) = key;
        let root = reading.shard.root;
        let fail = |failure| ToClient::ReadFailed { order, failure };
        match self.machine.may_read(&reading.caller, root) {
            ReadVerdict::Forbidden => {
                here.shared.tell_client(line, fail(StripeFailure::Forbidden));
            }
            ReadVerdict::Absent if !reading.is_own_pack => {
                here.shared.tell_client(line, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) | ReadVerdict::Absent
                if !here.disk.image.files.contains_key(&root) =>
            {
                self.bytes_lost(here, root);
                here.shared.tell_client(line, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) | ReadVerdict::Absent => {
                if let Some(vault) = reading.caller.vault() {
                    self.machine.handle_input(Input::Served { vault, root });
                }
                self.reading.insert(key, reading);
                next_piece(here, line, order);
            }
        }
    }

    pub(crate) fn read_piece(&mut self, here: &mut Here<'_>, line: Line, order: OrderId) {
        let Some(reading) = self.reading.get_mut(&(line, order)) else { return };
        let now = here.shared.now();
        let groups = here.shared.network.piece_bytes(now, line.link) / GROUP_BYTES;
        let end = reading.range.end.div_ceil(GROUP_BYTES);
        let (first, root) = (reading.next, reading.shard.root);
        let last = end.min(first + groups);
        reading.next = last;
        let rotten = rotten_between(here.disk, root, (first, last));
        // What is let go in the meantime can be read to its end: the file is open.
        let gone = !here.disk.image.files.contains_key(&root) && here.disk.is_named(root);
        let mut wrong = None;
        if here.hostile == Some(Hostility::Lies) && here.dice.chance(30) {
            wrong = Some(here.dice.range(first, last - 1));
        } else if gone || rotten.is_some() {
            // Verified while it is read: what is right goes out, then the truth.
            self.reading.remove(&(line, order));
            if let Some(rotten) = rotten.filter(|rotten| *rotten > first) {
                let groups = ToClient::Groups { order, first, last: rotten, wrong: None };
                here.shared.tell_client(line, groups);
            }
            here.shared.saw("damage met while serving");
            let failure = StripeFailure::Damaged;
            here.shared.tell_client(line, ToClient::ReadFailed { order, failure });
            return self.bytes_lost(here, root);
        }
        here.shared.tell_client(line, ToClient::Groups { order, first, last, wrong });
        if last < end {
            next_piece(here, line, order);
        } else {
            self.reading.remove(&(line, order));
        }
    }
}

fn next_piece(here: &mut Here<'_>, line: Line, order: OrderId) {
    let now = here.shared.now();
    let bytes = here.shared.network.piece_bytes(now, line.link);
    let at = here.shared.network.sent_at(now, line, false, bytes);
    here.shared.queue.at(at, Event::ReadPiece { line, order });
}
