//! One device: its disk, its machines, and the model of its shell around them.
//!
//! Members of the circle have a source and a holder; devices that recover have a restorer. The
//! machines are the real ones; what is modelled is what a shell does with their orders.
//!
//! **Invariant:** a shell here decides nothing that a machine decides. What it may do wrong is in
//! [`crate::bug::Bug`], and only there.

use std::collections::BTreeSet;

use larder_protocol::{
    fetching::StripeFailure,
    head::VerifiedHead,
    ids::ShardRoot,
    index::ShardRef,
    limits::{FETCH_BYTES_TOTAL_MAX, PUTS_TOTAL_MAX, UPLOADS_TOTAL_MAX},
    order::OrderId,
    time::Instant,
    wire::message::Refusal,
};

use crate::{
    bug::Bug,
    circle::Circle,
    dice::Dice,
    disk::{Disk, Ticket, Write},
    event::{Event, Line, Synced, ToClient, ToHolder},
    model::Property,
    schedule::Hostility,
    world::Shared,
};

pub(crate) mod holder;
pub(crate) mod restorer;
pub(crate) mod source;
pub(crate) mod tender;
mod word;

use holder::Holder;
use restorer::{Proof, Restorer};
use source::Source;
use tender::Tender;

/// Whether it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    Up,
    /// Crashed or switched off; it will boot.
    Off,
    /// For good.
    Gone,
}

#[derive(Debug)]
enum Role {
    Member { source: Box<Source>, holder: Box<Holder>, tender: Box<Tender> },
    Recovering(Box<Restorer>),
}

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    number: usize,
    vault: usize,
    pub(crate) power: Power,
    /// Hit by something that the fault budget pays for: it owes nothing any more.
    pub(crate) broken: bool,
    pub(crate) was_set_back: bool,
    pub(crate) asleep_until: Option<Instant>,
    /// Crashes after so many more things have happened to it, and stays down for so many seconds.
    pub(crate) crash_in: Option<(u64, u64)>,
    /// After so many more messages the line of the last one is cut for so many seconds, one way
    /// or both.
    pub(crate) sever_in: Option<(u64, u64, bool)>,
    pub(crate) clock_off_s: i64,
    pub(crate) disk: Disk,
    boots: u64,
    wake_at: Option<Instant>,
    timers_dead: bool,
    hostile: Option<Hostility>,
    dice: Dice,
    role: Role,
}

/// What the parts of a device work with.
pub(crate) struct Here<'a> {
    pub(crate) number: usize,
    pub(crate) vault: usize,
    pub(crate) boot: u64,
    pub(crate) clock_off_s: i64,
    pub(crate) hostile: Option<Hostility>,
    pub(crate) disk: &'a mut Disk,
    pub(crate) dice: &'a mut Dice,
    pub(crate) shared: &'a mut Shared,
}

impl Here<'_> {
    /// Syncs a write; the device hears of it later.
    pub(crate) fn sync(&mut self, ticket: Ticket, what: Synced) {
        let usual_ms = self.shared.circle.devices.get(self.number).map_or(5, |it| it.sync_ms);
        let delay_ms = self.dice.range(1, usual_ms.max(1));
        let (device, boot) = (self.number, self.boot);
        self.shared.queue.after(delay_ms, Event::Synced { device, boot, ticket, what });
    }

    pub(crate) fn commit(&mut self, ticket: Ticket) {
        self.disk.commit(ticket);
    }

    pub(crate) fn write_now(&mut self, write: Write) {
        self.disk.write_now(write);
    }

    /// A head that came just now, by the clock of this device.
    pub(crate) fn head_kept(&self, vault: usize, head: VerifiedHead) -> Write {
        Write::Head(vault, head, self.shared.wall(self.clock_off_s))
    }
}

macro_rules! here {
    ($device:expr, $shared:expr) => {
        Here {
            number: $device.number,
            vault: $device.vault,
            boot: $device.boots,
            clock_off_s: $device.clock_off_s,
            hostile: $device.hostile,
            disk: &mut $device.disk,
            dice: &mut $device.dice,
            shared: $shared,
        }
    };
}

impl Device {
    fn new(seed: u64, number: usize, vault: usize, role: Role) -> Self {
        let entity = u64::try_from(number).expect("few devices");
        Self {
            number,
            vault,
            power: Power::Off,
            broken: false,
            was_set_back: false,
            asleep_until: None,
            crash_in: None,
            sever_in: None,
            clock_off_s: 0,
            disk: Disk::default(),
            boots: 0,
            wake_at: None,
            timers_dead: false,
            hostile: None,
            dice: Dice::new(seed, entity, "shell"),
            role,
        }
    }

    /// A device of the circle.
    pub(crate) fn member(seed: u64, number: usize, circle: &Circle) -> Self {
        let vault = circle.devices[number].vault;
        let source = Box::new(Source::new(circle.vaults[vault].id, circle.policy));
        let holder = Box::new(Holder::new(circle.devices[number].grant_bytes));
        let tender = Box::new(Tender::new(seed, number, circle));
        Self::new(seed, number, vault, Role::Member { source, holder, tender })
    }

    /// A new device that recovers the backup of `of`.
    pub(crate) fn recovering(
        shared: &Shared,
        number: usize,
        (of, kills): (usize, u64),
        proof: Proof,
    ) -> Self {
        let vault = shared.circle.devices[of].vault;
        let published = shared.model.published.get(&of).copied().unwrap_or(0);
        let restorer = Box::new(Restorer::new(of, published, kills, proof));
        Self::new(shared.seed, number, vault, Role::Recovering(restorer))
    }

    pub(crate) fn is_up(&self) -> bool {
        self.power == Power::Up
    }

    pub(crate) const fn is_hostile(&self) -> bool {
        self.hostile.is_some()
    }

    pub(crate) fn drops(&self) -> bool {
        self.hostile == Some(Hostility::Drops)
    }

    pub(crate) fn stalls(&self) -> bool {
        self.hostile == Some(Hostility::Stalls)
    }

    /// Starts, with nothing but what is durable.
    pub(crate) fn boot(&mut self, shared: &mut Shared) {
        self.boots += 1;
        self.power = Power::Up;
        self.wake_at = None;
        self.timers_dead = false;
        self.disk.clean();
        let mut here = here!(self, shared);
        match &mut self.role {
            Role::Member { source, holder, tender } => {
                holder.start(&mut here);
                tender.start(&mut here, holder);
                source.start(&mut here);
            }
            Role::Recovering(restorer) => {
                self.crash_in = restorer.next_kill(&mut here);
                restorer.start(&mut here);
            }
        }
        self.plan_wake(shared);
    }

    /// Power fails.
    pub(crate) fn crash(&mut self, shared: &mut Shared) {
        self.boots += 1;
        self.power = Power::Off;
        self.asleep_until = None;
        self.crash_in = None;
        let mut here = here!(self, shared);
        if let Role::Member { tender, .. } = &mut self.role {
            tender.crashed(&mut here);
        }
        if self.disk.crash(&mut self.dice) > 0 {
            shared.saw("unsynced write lost");
        }
    }

    /// Switched off: what was written is synced.
    pub(crate) fn shut_down(&mut self) {
        self.boots += 1;
        self.power = Power::Off;
        self.asleep_until = None;
        self.crash_in = None;
        self.disk.abandon_all();
    }

    pub(crate) fn resumed(&mut self, shared: &mut Shared) {
        self.timers_dead = shared.has(Bug::ForgetTimers);
        self.plan_wake(shared);
    }

    pub(crate) fn turn_hostile(&mut self, way: Hostility, dice: &mut Dice) {
        self.hostile = Some(way);
        let Role::Member { holder, .. } = &mut self.role else { return };
        match way {
            Hostility::Drops => {
                let percent = dice.range(10, 100);
                self.disk.drop_files(dice, percent);
            }
            Hostility::Hides => holder.hide(&self.disk),
            Hostility::Lies | Hostility::Forges | Hostility::Stalls => {}
        }
    }

    /// A message from somebody who dialled this device.
    pub(crate) fn asked(&mut self, shared: &mut Shared, line: Line, message: ToHolder) {
        if self.stalls() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { holder, source, tender } = &mut self.role {
            let client = line.link.client;
            match message {
                ToHolder::Introduce { introduction } => {
                    tender.introduced(&mut here, holder, client, &introduction);
                    return self.plan_wake(shared);
                }
                ToHolder::Tend { order, vault, question } => {
                    if tender.permits(&mut here, client, vault) {
                        return holder.tended(&mut here, line, (order, vault), question);
                    }
                    let reason = Refusal::Forbidden;
                    return here.shared.tell_client(line, ToClient::Refused { order, reason });
                }
                ToHolder::Greet => {
                    tender.heard(&mut here, holder, client);
                    holder.asked(&mut here, line, message);
                    return self.plan_wake(shared);
                }
                _ => {}
            }
            if let ToHolder::Read { order, shard, .. } = &message
                && source.has_to_show(line.link.client, shard.root)
            {
                let failure = StripeFailure::Forbidden;
                return here
                    .shared
                    .tell_client(line, ToClient::ReadFailed { order: *order, failure });
            }
            holder.asked(&mut here, line, message);
        }
    }

    /// A message from somebody whom this device dialled.
    pub(crate) fn answered(&mut self, shared: &mut Shared, line: Line, message: ToClient) {
        let mut here = here!(self, shared);
        match &mut self.role {
            Role::Member { tender, holder, .. } if Tender::is_asked(&message) => {
                tender.answered(&mut here, holder, line, message);
            }
            Role::Member { source, tender, holder } => {
                if matches!(message, ToClient::Welcome { .. }) {
                    tender.heard(&mut here, holder, line.link.holder);
                }
                source.answered(&mut here, line, message);
            }
            Role::Recovering(restorer) => restorer.answered(&mut here, line, message),
        }
        self.plan_wake(shared);
    }

    pub(crate) fn connected(&mut self, shared: &mut Shared, line: Line) {
        let mut here = here!(self, shared);
        match &mut self.role {
            Role::Member { tender, .. } => {
                here.shared.tell_holder(line, ToHolder::Greet);
                tender.connected(&mut here, line);
            }
            Role::Recovering(restorer) => restorer.connected(&mut here, line),
        }
        self.plan_wake(shared);
    }

    /// A connection that this device had dialled is over, or never came about.
    pub(crate) fn lost(&mut self, shared: &mut Shared, holder: usize) {
        if !self.is_up() {
            return;
        }
        let mut here = here!(self, shared);
        match &mut self.role {
            Role::Member { source, holder: own, tender } => {
                source.lost(&mut here, holder);
                tender.lost(&mut here, own, holder);
            }
            Role::Recovering(restorer) => restorer.lost(&mut here, holder),
        }
        self.plan_wake(shared);
    }

    /// A connection from somebody else is over.
    pub(crate) fn caller_lost(&mut self, shared: &mut Shared, client: usize) {
        if !self.is_up() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { holder, .. } = &mut self.role {
            holder.caller_lost(&mut here, client);
        }
    }

    pub(crate) fn send_piece(&mut self, shared: &mut Shared, line: Line, order: OrderId) {
        let mut here = here!(self, shared);
        if let Role::Member { source, .. } = &mut self.role {
            source.send_piece(&mut here, line, order);
        }
        self.plan_wake(shared);
    }

    pub(crate) fn read_piece(&mut self, shared: &mut Shared, line: Line, order: OrderId) {
        let mut here = here!(self, shared);
        if let Role::Member { holder, .. } = &mut self.role {
            holder.read_piece(&mut here, line, order);
        }
    }

    pub(crate) fn put_over(&mut self, shared: &mut Shared, boot: u64, request: OrderId) {
        if boot != self.boots {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { holder, .. } = &mut self.role {
            holder.put_over(&mut here, request);
        }
        self.plan_wake(shared);
    }

    pub(crate) fn synced(&mut self, shared: &mut Shared, boot: u64, ticket: Ticket, what: Synced) {
        if boot != self.boots {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { source, holder, tender } = &mut self.role {
            match what {
                Synced::Vigil { vault } => tender.synced(&mut here, ticket, vault),
                Synced::HeldFile { .. } | Synced::HeldRow { .. } | Synced::HeldHead { .. } => {
                    holder.synced(&mut here, ticket, what);
                }
                Synced::Pack { .. } | Synced::OwnHead { .. } | Synced::Receipt { .. } => {
                    source.synced(&mut here, ticket, what);
                }
            }
        }
        self.plan_wake(shared);
    }

    pub(crate) fn wake(&mut self, shared: &mut Shared, boot: u64) {
        let due = self.wake_at.is_some_and(|at| at <= shared.now());
        if boot != self.boots || !due || self.timers_dead {
            return;
        }
        self.wake_at = None;
        if self.timeout().is_none_or(|at| at > shared.now()) {
            // What it was to wake for is over, or was put off.
            return self.plan_wake(shared);
        }
        let mut here = here!(self, shared);
        match &mut self.role {
            Role::Member { source, holder, tender } => {
                source.time_passed(&mut here);
                tender.time_passed(&mut here, holder);
            }
            Role::Recovering(restorer) => restorer.time_passed(&mut here),
        }
        self.plan_wake(shared);
    }

    fn timeout(&self) -> Option<Instant> {
        match &self.role {
            Role::Member { source, tender, .. } => {
                [source.timeout(), tender.timeout()].into_iter().flatten().min()
            }
            Role::Recovering(restorer) => restorer.timeout(),
        }
    }

    fn plan_wake(&mut self, shared: &mut Shared) {
        self.tell_itself(shared);
        let Some(at) = self.timeout() else { return };
        if self.wake_at.is_none_or(|old| at < old || old <= shared.now()) {
            self.wake_at = Some(at);
            let (device, boot) = (self.number, self.boots);
            shared.queue.at(at, Event::Wake { device, boot });
        }
    }

    /// What the source and the holder of one device have to tell each other, and its tender.
    fn tell_itself(&mut self, shared: &mut Shared) {
        let mut here = here!(self, shared);
        let Role::Member { source, holder, tender } = &mut self.role else { return };
        for presumed in source.newly_presumed() {
            tender.presumed(&mut here, holder, presumed);
        }
        while let Some((order, part)) = source.own_claims() {
            let was_told = holder.own_claims(&mut here, part);
            source.claims_ended(&mut here, order, was_told);
        }
        tender.hear_holder(&mut here, holder);
    }

    pub(crate) fn forget(&mut self, shared: &mut Shared, dice: &Dice, percent: u64) {
        if !self.is_up() || self.asleep_until.is_some() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { source, .. } = &mut self.role {
            source.forget(&mut here, dice, percent);
        }
    }

    pub(crate) fn back_up(&mut self, shared: &mut Shared, dice: &mut Dice, packs: u64) {
        if !self.is_up() || self.asleep_until.is_some() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { source, .. } = &mut self.role {
            source.back_up(&mut here, dice, packs);
        }
        self.plan_wake(shared);
    }

    pub(crate) fn verify(&mut self, shared: &mut Shared) {
        if !self.is_up() || self.asleep_until.is_some() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { source, .. } = &mut self.role {
            source.verify(&mut here);
        }
        self.plan_wake(shared);
    }

    /// Its user says of another device that it is lost, or not.
    pub(crate) fn said(&mut self, shared: &mut Shared, other: usize, is_lost: bool) {
        if !self.is_up() || self.asleep_until.is_some() {
            return;
        }
        let mut here = here!(self, shared);
        if let Role::Member { source, .. } = &mut self.role {
            source.said(&mut here, other, is_lost);
        }
        self.plan_wake(shared);
    }

    /// Whose backup it restores, if it does.
    pub(crate) fn restores(&self) -> Option<usize> {
        match &self.role {
            Role::Member { .. } => None,
            Role::Recovering(restorer) => Some(restorer.of()),
        }
    }

    /// Whom it does not count on.
    pub(crate) fn presumed_lost(&self) -> BTreeSet<usize> {
        match &self.role {
            Role::Member { source, .. } => source.presumed_lost().clone(),
            Role::Recovering(_) => BTreeSet::new(),
        }
    }

    pub(crate) fn set_grant(&mut self, shared: &mut Shared, bytes: u64) {
        let up = self.is_up();
        let mut here = here!(self, shared);
        if let Role::Member { holder, .. } = &mut self.role {
            holder.set_grant(&mut here, bytes, up);
        }
    }

    /// What has not converged; `can` tells whether there are holders enough.
    pub(crate) fn unconverged(&self, can: bool) -> Option<String> {
        match &self.role {
            Role::Member { source, .. } if can && !self.broken => source.unconverged(&self.disk),
            Role::Member { .. } => None,
            Role::Recovering(restorer) => restorer.unconverged(),
        }
    }

    pub(crate) fn has_restored(&self) -> bool {
        matches!(&self.role, Role::Recovering(restorer) if restorer.is_done())
    }

    pub(crate) fn check_restored(&mut self, shared: &mut Shared, newest: bool) {
        let mut here = here!(self, shared);
        if let Role::Recovering(restorer) = &self.role {
            restorer.check(&mut here, newest);
        }
    }

    /// SIM-9: orders, uploads, bytes in flight.
    pub(crate) fn check_bounds(&self, shared: &mut Shared) {
        let broken = match &self.role {
            Role::Member { source, holder, .. } => {
                let holders = shared.circle.devices.len();
                source.orders_pending() > UPLOADS_TOTAL_MAX + 3 * holders
                    || holder.puts_pending() > PUTS_TOTAL_MAX
            }
            Role::Recovering(restorer) => restorer.bytes_in_flight() > FETCH_BYTES_TOTAL_MAX,
        };
        if broken {
            let text = format!("device {} has too much under way", self.number);
            shared.violation(Property::Bounds, text);
        }
    }

    /// A number that changes with the state, cheap enough for every step.
    pub(crate) fn digest(&self) -> u64 {
        let image = &self.disk.image;
        let machines = match &self.role {
            Role::Member { source, holder, tender } => {
                source.digest() ^ (holder.digest() << 20) ^ tender.digest().rotate_left(40)
            }
            Role::Recovering(restorer) => restorer.digest(),
        };
        let counts = [
            self.boots,
            self.disk.file_bytes(),
            count(image.files.len()),
            count(image.rows.len()),
            count(image.receipts.len()),
            count(image.own_heads.len()),
            image.published,
            count(self.disk.pending_writes()),
            machines,
        ];
        counts.iter().fold(0x9e37_79b9_7f4a_7c15, |sum: u64, number| {
            (sum ^ number).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd)
        })
    }

    /// Everything, as text.
    pub(crate) fn whole_state(&self) -> String {
        format!("{self:?}")
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).expect("a count of things in memory")
}

/// What group `group` of a shard holds is told by the root; only wrong ones are written down.
pub(crate) fn rotten_between(disk: &Disk, root: ShardRoot, groups: (u64, u64)) -> Option<u64> {
    let file = disk.image.files.get(&root)?;
    file.rotten.range(groups.0..groups.1).next().copied()
}

/// Groups of a shard.
pub(crate) fn groups_of(shard: ShardRef) -> u64 {
    shard.bytes.div_ceil(larder_protocol::limits::GROUP_BYTES)
}
