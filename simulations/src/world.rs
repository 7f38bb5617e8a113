//! The world: clock, queue, devices; what happens next, and to whom.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

use larder_protocol::{
    head::{HeadError, SignedHead, VerifiedHead},
    ids::{DeviceId, HeadHash, ShardRoot},
    time::{Instant, Timestamp},
};

use crate::{
    bug::Bug,
    circle::{Circle, EPOCH_S},
    device::{Device, Power},
    event::{Event, Line, Link, ToClient, ToHolder},
    model::{Check, Model, Property},
    network::Network,
    schedule::Scenario,
};

mod checks;
mod phases;
mod steps;
mod tending;

/// Events within one phase: a machine that goes round in circles is found.
const EVENTS_PER_DEVICE_DAY_MAX: u64 = 200_000;

/// What is to happen, in order of time, then of planning.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) now: Instant,
    /// When, the how manieth that was planned, and its place among the events: the heap moves these
    /// small things about, and the events stay where they are.
    heap: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: Vec<Option<Event>>,
    /// Places whose event has happened.
    free: Vec<usize>,
    planned: u64,
}

impl Queue {
    pub(crate) fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now.after_ms(delay_ms), event);
    }

    pub(crate) fn at(&mut self, when: Instant, event: Event) {
        self.planned += 1;
        let at = when.max(self.now);
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.heap.push(Reverse((at, self.planned, place)));
    }

    fn pop_until(&mut self, end: Instant) -> Option<Event> {
        let Reverse((at, _, place)) = *self.heap.peek()?;
        if at > end {
            return None;
        }
        self.heap.pop();
        self.now = at;
        self.free.push(place);
        self.events[place].take()
    }
}

/// Everything that devices share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) circle: Circle,
    pub(crate) bug: Option<Bug>,
    pub(crate) queue: Queue,
    pub(crate) network: Network,
    pub(crate) model: Model,
    /// The faults are over.
    pub(crate) healed: bool,
    /// Links that somebody wants to have; dialled once the step is over.
    pub(crate) wanted: Vec<Link>,
    /// Heads that were checked.
    verified: BTreeMap<HeadHash, VerifiedHead>,
}

impl Shared {
    pub(crate) const fn now(&self) -> Instant {
        self.queue.now
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The wall clock of a device that is off by so much.
    pub(crate) fn wall(&self, off_s: i64) -> Timestamp {
        let true_s = EPOCH_S + self.now().0 / 1_000_000_000;
        Timestamp(true_s.saturating_add_signed(off_s))
    }

    /// Checks a head, once for all devices: each of them would come to the same, for a vault has one
    /// log here and it does not change.
    pub(crate) fn check_head(
        &mut self,
        vault: usize,
        head: &SignedHead,
    ) -> Result<VerifiedHead, HeadError> {
        let known = self.verified.get(&head.hash()).filter(|known| known.head() == head);
        if let Some(known) = known {
            return Ok(known.clone());
        }
        let checked = head.clone().verified(&self.circle.vaults[vault].log)?;
        self.verified.insert(head.hash(), checked.clone());
        Ok(checked)
    }

    pub(crate) fn tell_holder(&mut self, line: Line, message: ToHolder) {
        self.network.tell_holder(&mut self.queue, line, message);
    }

    pub(crate) fn tell_client(&mut self, line: Line, message: ToClient) {
        self.network.tell_client(&mut self.queue, line, message);
    }

    pub(crate) fn check(&mut self, check: Check) {
        self.model.checks.push(check);
    }

    pub(crate) fn saw(&mut self, what: &'static str) {
        self.model.saw(what);
    }

    pub(crate) fn violation(&mut self, property: Property, text: impl Into<String>) {
        self.model.violation(self.queue.now, property, text);
    }

    /// The number of a device; every id in a message here is that of one.
    pub(crate) fn number(&self, id: DeviceId) -> usize {
        self.circle.device_of(id).expect("only devices of the circle are spoken of")
    }
}

/// The whole of one run.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) shared: Shared,
    pub(crate) scenario: Scenario,
    /// The devices of the circle, then those that recover.
    pub(crate) devices: Vec<Device>,
    pub(crate) images: BTreeMap<usize, crate::disk::Image>,
    /// Switched off for the silence after healing: no holiday that ends switches them on.
    silent: Vec<usize>,
    trace: blake3::Hasher,
    pub(crate) events: u64,
    pub(crate) verbose: bool,
}

impl World {
    pub(crate) fn new(scenario: Scenario, verbose: bool) -> Self {
        let circle = Circle::new(scenario.seed, scenario.devices);
        let devices = (0..scenario.devices)
            .map(|number| Device::member(scenario.seed, number, &circle))
            .collect();
        let network = Network::new(scenario.seed, &circle);
        let shared = Shared {
            seed: scenario.seed,
            circle,
            bug: scenario.bug,
            queue: Queue::default(),
            network,
            model: Model::default(),
            healed: false,
            wanted: Vec::new(),
            verified: BTreeMap::new(),
        };
        let mut world = Self {
            shared,
            scenario,
            devices,
            images: BTreeMap::new(),
            silent: Vec::new(),
            trace: blake3::Hasher::new(),
            events: 0,
            verbose,
        };
        for device in 0..world.devices.len() {
            world.devices[device].boot(&mut world.shared);
        }
        world.dial_wanted();
        world
    }

    /// The rolling hash of everything so far.
    pub(crate) fn trace(&self) -> blake3::Hash {
        self.trace.finalize()
    }

    /// Runs until `end`, or until `over`, which is asked now and then.
    pub(crate) fn run_until(&mut self, end: Instant, over: impl Fn(&Self) -> bool) {
        let days = 1 + end.0.saturating_sub(self.shared.now().0) / (86_400 * 1_000_000_000);
        let count = u64::try_from(self.devices.len()).expect("few devices");
        let most = self.events + days * count * EVENTS_PER_DEVICE_DAY_MAX;
        let mut looked = self.shared.now();
        while self.shared.model.violations.is_empty() {
            if self.shared.now().ms_since(looked) >= 60_000 {
                looked = self.shared.now();
                if over(self) {
                    return;
                }
            }
            let Some(event) = self.shared.queue.pop_until(end) else {
                self.shared.queue.now = end.max(self.shared.queue.now);
                return;
            };
            self.events += 1;
            if self.events > most {
                let text = "a machine goes round in circles";
                return self.shared.violation(Property::Bounds, text);
            }
            self.step(event);
        }
    }

    fn step(&mut self, event: Event) {
        let mark = event.mark();
        if self.verbose {
            println!("{:>14} {event:?}", self.shared.now().0 / 1_000_000);
        }
        let (taker, line) = (event.taker(), event.line());
        if let Some(device) = taker
            && let Some(until) = self.devices[device].asleep_until
        {
            // A process that is asleep takes it when it wakes, in the same order.
            self.shared.queue.at(until, event);
            return;
        }
        self.happen(event);
        self.dial_wanted();
        self.run_checks();
        if let Some(device) = taker {
            self.count_step(device);
            if let Some(line) = line {
                self.count_message(device, line);
            }
            self.devices[device].check_bounds(&mut self.shared);
        }
        let digest = taker.map_or(0, |device| self.devices[device].digest());
        let mut bytes = [0; 48];
        for (place, number) in bytes.chunks_mut(8).zip([
            self.shared.now().0,
            mark[0],
            mark[1],
            mark[2],
            mark[3],
            digest,
        ]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.trace.update(&bytes);
    }

    fn happen(&mut self, event: Event) {
        let shared = &mut self.shared;
        match event {
            Event::Dialled { link } => self.dialled(link),
            Event::DialFailed { link } => {
                shared.network.call_over(link);
                if shared.network.line(link).is_none() {
                    self.devices[link.client].lost(shared, link.holder);
                }
            }
            Event::ToHolder { line, message } => {
                if shared.network.is_open(line) && self.devices[line.link.holder].is_up() {
                    self.devices[line.link.holder].asked(shared, line, message);
                }
            }
            Event::ToClient { line, message } => {
                if shared.network.is_open(line) && self.devices[line.link.client].is_up() {
                    self.devices[line.link.client].answered(shared, line, message);
                }
            }
            Event::SendPiece { line, order } => {
                if shared.network.is_open(line) {
                    self.devices[line.link.client].send_piece(shared, line, order);
                }
            }
            Event::ReadPiece { line, order } => {
                if shared.network.is_open(line) {
                    self.devices[line.link.holder].read_piece(shared, line, order);
                }
            }
            Event::IdleOver { line } => {
                let Link { client, holder } = line.link;
                let now = shared.now();
                let cut = |from, to| shared.network.is_cut(now, from, to);
                if cut(client, holder) || cut(holder, client) {
                    shared.saw("silent line given up");
                    self.hang_up(line);
                }
            }
            Event::Synced { device, boot, ticket, what } => {
                self.devices[device].synced(shared, boot, ticket, what);
            }
            Event::Wake { device, boot } => self.devices[device].wake(shared, boot),
            Event::PutOver { device, boot, request } => {
                self.devices[device].put_over(shared, boot, request);
            }
            Event::Boot { device } => self.boot(device),
            Event::Resume { device } => self.resume(device),
            Event::DiskFreed { device } => self.devices[device].disk.noise_bytes = 0,
            Event::TakeImage { step } => {
                let device = self.scenario.steps[step].what.device();
                self.images.insert(step, self.devices[device].disk.image.clone());
            }
            Event::Step { step } => self.take_step(step),
        }
    }

    pub(crate) fn dial_wanted(&mut self) {
        for link in std::mem::take(&mut self.shared.wanted) {
            self.shared.network.dial(&mut self.shared.queue, link);
        }
    }

    fn dialled(&mut self, link: Link) {
        let shared = &mut self.shared;
        let now = shared.now();
        let cut = shared.network.is_cut(now, link.client, link.holder)
            || shared.network.is_cut(now, link.holder, link.client);
        let awake = |device: &Device| device.is_up() && device.asleep_until.is_none();
        let stalls = self.devices[link.holder].stalls();
        if !self.devices[link.client].is_up() {
            shared.network.call_over(link);
            return;
        }
        if let Some(until) = self.devices[link.client].asleep_until {
            return self.shared.queue.at(until, Event::DialFailed { link });
        }
        if cut {
            shared.saw("partition: nobody reached");
        }
        if cut || stalls || !awake(&self.devices[link.holder]) {
            return shared.network.no_answer(&mut shared.queue, link);
        }
        shared.network.call_over(link);
        if let Some(line) = shared.network.open(link) {
            self.devices[link.client].connected(shared, line);
        }
    }

    /// A connection is over: both ends hear of it, one that is asleep when it wakes.
    pub(crate) fn hang_up(&mut self, line: Line) {
        if !self.shared.network.close(line) {
            return;
        }
        let Link { client, holder } = line.link;
        self.devices[holder].caller_lost(&mut self.shared, client);
        if let Some(until) = self.devices[client].asleep_until {
            self.shared.queue.at(until, Event::DialFailed { link: line.link });
        } else {
            self.devices[client].lost(&mut self.shared, holder);
        }
    }

    pub(crate) fn hang_up_all(&mut self, device: usize) {
        for line in self.shared.network.lines_of(device) {
            self.hang_up(line);
        }
    }

    fn boot(&mut self, device: usize) {
        if self.devices[device].power == Power::Off && !self.silent.contains(&device) {
            self.devices[device].boot(&mut self.shared);
            self.shared.check(Check::Back { holder: device });
        }
    }

    fn resume(&mut self, device: usize) {
        let due = |until: Instant| until <= self.shared.now();
        if self.devices[device].asleep_until.is_some_and(due) {
            self.devices[device].asleep_until = None;
            self.devices[device].resumed(&mut self.shared);
        }
    }

    /// Sites at which a pack of `source` is, as far as the truth goes: healthy holders that have
    /// it, and others whose word is durable at the source.
    pub(crate) fn sites_of(&self, source: usize, root: ShardRoot) -> usize {
        let none = BTreeSet::new();
        let receipts = self.devices[source].disk.image.receipts.get(&root).unwrap_or(&none);
        self.sites_by(source, root, receipts)
    }

    /// The same, where these receipts are what is durable at the source.
    pub(crate) fn sites_by(
        &self,
        source: usize,
        root: ShardRoot,
        receipts: &BTreeSet<usize>,
    ) -> usize {
        let vault = self.shared.circle.devices[source].vault;
        let mut sites = BTreeSet::new();
        for (number, device) in self.devices.iter().enumerate().take(self.scenario.devices) {
            let word = receipts.contains(&number);
            let there = if device.broken { word } else { device.disk.keeps(root, vault) };
            if number != source && there {
                sites.insert(self.shared.circle.devices[number].site);
            }
        }
        sites.len()
    }
}
