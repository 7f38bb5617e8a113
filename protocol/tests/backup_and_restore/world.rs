//! The world: clock, events, network, faults, and the checks that look at everything at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use larder_protocol::{
    ids::{DeviceId, HeadHash, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    recovering::HeadSeen,
    time::{Instant, Timestamp},
};

pub(crate) use crate::event::{Bug, Client, DiskDone, Event, ToClient, ToHolder, Villain};
use crate::{dice::Dice, holder::HolderNode, restorer::RestorerNode, source::SourceNode};

pub(crate) const VAULT: VaultId = VaultId::from_bytes([0x55; 32]);
pub(crate) const SOURCE: DeviceId = DeviceId::from_bytes([0x50; 32]);
pub(crate) const HOLDERS: usize = 3;
pub(crate) const COPIES: usize = 2;
const MINUTE_MS: u64 = 60_000;
const TROUBLE_MS: u64 = 40 * MINUTE_MS;
/// After the faults end, everything must be safe within this, back-off included.
const HEALING_MS: u64 = 8 * 60 * MINUTE_MS;
/// An attempt to connect that nobody answers.
const DIAL_MS: u64 = 6_000;
/// Ten times what a seed takes.
const EVENTS_MAX: u64 = 100_000;
const RESTORE_MS: u64 = 4 * 60 * MINUTE_MS;

/// One head and what it stands for.
#[derive(Debug, Clone)]
pub(crate) struct Commit {
    pub(crate) head: HeadSeen,
    pub(crate) commit_pack: ShardRef,
    pub(crate) needs: Vec<(ShardRef, PackClass)>,
}

#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) villain: Villain,
    pub(crate) villain_blamed: bool,
    pub(crate) villain_was_caught_in_the_act: bool,
    pub(crate) violations: Vec<String>,
    pub(crate) crashes: usize,
    pub(crate) refused_for_room: usize,
    /// What happened, for people who look at a seed.
    #[expect(dead_code, reason = "shown with STATS=1")]
    pub(crate) figures: String,
    pub(crate) trace: blake3::Hash,
}

/// Everything but the nodes: what they share.
pub(crate) struct Shared {
    pub(crate) now: Instant,
    pub(crate) dice: Dice,
    pub(crate) bug: Option<Bug>,
    pub(crate) villain: Villain,
    pub(crate) villain_at: usize,
    /// The household of each holder: what fails together.
    pub(crate) sites: [usize; HOLDERS],
    pub(crate) trouble: bool,
    pub(crate) restoring: bool,
    faults_left: u64,
    /// Until then everything sent between the two is swallowed, and nobody is told.
    swallowed: BTreeMap<(Client, usize), Instant>,
    events: BTreeMap<(Instant, u64), Event>,
    events_made: u64,
    epochs: BTreeMap<(Client, usize), u64>,
    pub(crate) connected: BTreeMap<(Client, usize), u64>,
    wire_free: BTreeMap<(Client, usize), Instant>,
    latency_ms: [u64; HOLDERS],
    bytes_per_ms: [u64; HOLDERS],
    pub(crate) commits: BTreeMap<HeadHash, Commit>,
    pub(crate) violations: Vec<String>,
    pub(crate) blamed: BTreeSet<DeviceId>,
    pub(crate) caught: bool,
    pub(crate) crashes: usize,
    pub(crate) refused_for_room: usize,
    trace: blake3::Hasher,
}

pub(crate) struct World {
    shared: Shared,
    source: Option<SourceNode>,
    holders: Vec<HolderNode>,
    restorer: Option<RestorerNode>,
    figures: String,
}

pub(crate) fn holder_id(holder: usize) -> DeviceId {
    DeviceId::from_bytes([u8::try_from(holder + 1).expect("few holders"); 32])
}

pub(crate) fn holder_of(id: DeviceId) -> usize {
    usize::from(id.as_bytes()[0]) - 1
}

/// What group `group` of a shard holds. The root names the content, as a hash would.
pub(crate) fn truth(root: ShardRoot, group: u64) -> u64 {
    let mut number = group.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for piece in root.as_bytes().chunks(8) {
        let piece = u64::from_le_bytes(piece.try_into().expect("32 bytes"));
        number = (number ^ piece).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }
    number
}

impl Shared {
    pub(crate) fn wall(&self) -> Timestamp {
        Timestamp(1_800_000_000 + self.now.0 / 1_000_000_000)
    }

    pub(crate) fn violation(&mut self, text: impl Into<String>) {
        if self.violations.len() < 10 {
            let text = format!("{} ms: {}", self.now.0 / 1_000_000, text.into());
            self.violations.push(text);
        }
    }

    pub(crate) fn after(&mut self, delay_ms: u64, event: Event) {
        self.at(self.now.after_ms(delay_ms), event);
    }

    pub(crate) fn at(&mut self, when: Instant, event: Event) {
        self.events_made += 1;
        self.events.insert((when.max(self.now), self.events_made), event);
    }

    pub(crate) fn epoch(&self, client: Client, holder: usize) -> Option<u64> {
        self.connected.get(&(client, holder)).copied()
    }

    fn is_swallowed(&self, client: Client, holder: usize) -> bool {
        self.swallowed.get(&(client, holder)).is_some_and(|until| *until > self.now)
    }

    pub(crate) fn tell_holder(&mut self, client: Client, holder: usize, message: ToHolder) {
        let Some(epoch) = self.epoch(client, holder) else { return };
        if self.is_swallowed(client, holder) {
            return;
        }
        self.after(self.latency_ms[holder], Event::AtHolder { client, holder, epoch, message });
    }

    pub(crate) fn tell_client(&mut self, client: Client, holder: usize, message: ToClient) {
        let Some(epoch) = self.epoch(client, holder) else { return };
        if self.is_swallowed(client, holder) {
            return;
        }
        self.after(self.latency_ms[holder], Event::AtClient { client, holder, epoch, message });
    }

    /// When `bytes` more have left over the wire between the two.
    pub(crate) fn sent_at(&mut self, client: Client, holder: usize, bytes: u64) -> Instant {
        let duration_ms = bytes / self.bytes_per_ms[holder];
        let free = self.wire_free.entry((client, holder)).or_default();
        *free = (*free).max(self.now).after_ms(duration_ms);
        *free
    }

    pub(crate) fn connect(&mut self, client: Client, holder: usize, up: bool) {
        let unlucky = self.trouble && self.dice.chance(10);
        let delay_ms = 2 * self.latency_ms[holder];
        if up && !unlucky {
            self.after(delay_ms, Event::Connected { client, holder });
        } else {
            self.after(DIAL_MS + delay_ms, Event::ConnectFailed { client, holder });
        }
    }

    pub(crate) fn is_villain(&self, holder: usize, kind: Villain) -> bool {
        self.villain == kind && self.villain_at == holder
    }

    /// A holder was blamed: an honest one never may be.
    pub(crate) fn blame(&mut self, holder: DeviceId, why: &dyn std::fmt::Debug) {
        self.blamed.insert(holder);
        let bad = matches!(self.villain, Villain::Liar | Villain::Forgetful | Villain::Hider)
            && self.restoring
            && holder == holder_id(self.villain_at);
        if !bad {
            self.violation(format!("honest {holder:?} blamed: {why:?}"));
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut dice = Dice::new(seed);
        // The villain is chosen first, so that it stays with its seed when the world changes.
        let villain = Villain::ALL[dice.pick(Villain::ALL.len())];
        let villain_at = dice.pick(HOLDERS);
        let sites = if dice.chance(50) { [0, 1, 2] } else { [0, 1, 1] };
        let latency_ms = std::array::from_fn(|_| dice.range(1, 200));
        let bytes_per_ms = std::array::from_fn(|_| dice.range(60, 6_000));
        let holders = (0..HOLDERS).map(|holder| HolderNode::new(holder, &mut dice)).collect();
        let shared = Shared {
            now: Instant(0),
            dice,
            bug,
            villain,
            villain_at,
            sites,
            trouble: true,
            faults_left: 60,
            swallowed: BTreeMap::new(),
            restoring: false,
            events: BTreeMap::new(),
            events_made: 0,
            epochs: BTreeMap::new(),
            connected: BTreeMap::new(),
            wire_free: BTreeMap::new(),
            latency_ms,
            bytes_per_ms,
            commits: BTreeMap::new(),
            violations: Vec::new(),
            blamed: BTreeSet::new(),
            caught: false,
            crashes: 0,
            refused_for_room: 0,
            trace: blake3::Hasher::new(),
        };
        Self { shared, source: None, holders, restorer: None, figures: String::new() }
    }

    pub(crate) fn run(mut self) -> Story {
        self.trouble();
        self.heal();
        self.disaster();
        self.restore();
        let figures = self.figures.clone();
        let shared = self.shared;
        let villain_id = holder_id(shared.villain_at);
        Story {
            villain: shared.villain,
            villain_blamed: shared.blamed.contains(&villain_id),
            villain_was_caught_in_the_act: shared.caught,
            violations: shared.violations,
            crashes: shared.crashes,
            refused_for_room: shared.refused_for_room,
            figures,
            trace: shared.trace.finalize(),
        }
    }

    /// Backups under every fault.
    fn trouble(&mut self) {
        let mut source = SourceNode::new();
        source.start(&mut self.shared);
        self.source = Some(source);
        for holder in 0..HOLDERS {
            self.shared.after(0, Event::Measure { holder });
        }
        self.plan_faults();
        let count = self.shared.dice.range(3, 12);
        for _ in 0..count {
            let when = self.shared.dice.range(0, TROUBLE_MS);
            self.shared.after(when, Event::Make);
        }
        self.run_until(Instant(0).after_ms(TROUBLE_MS), |_| false);
    }

    fn plan_faults(&mut self) {
        let shared = &mut self.shared;
        let any_time = |dice: &mut Dice| dice.range(0, TROUBLE_MS);
        for _ in 0..shared.dice.range(0, 40) {
            let when = any_time(&mut shared.dice);
            let holder = shared.dice.pick(HOLDERS);
            shared.after(when, Event::Drop { client: Client::Source, holder });
        }
        for _ in 0..shared.dice.range(0, 12) {
            let when = any_time(&mut shared.dice);
            let holder = shared.dice.pick(HOLDERS);
            shared.after(when, Event::Crash { holder });
        }
        for _ in 0..shared.dice.range(0, 3) {
            let when = any_time(&mut shared.dice);
            shared.after(when, Event::SourceRestart);
        }
        for holder in 0..HOLDERS {
            if shared.dice.chance(40) {
                let when = any_time(&mut shared.dice);
                let bytes = shared.dice.range(10, 400) << 20;
                shared.after(when, Event::Noise { holder, bytes });
            }
        }
    }

    /// No new faults; every head must be published.
    fn heal(&mut self) {
        self.shared.trouble = false;
        for holder in 0..HOLDERS {
            self.shared.after(0, Event::Noise { holder, bytes: 0 });
            if !self.holders[holder].is_up() {
                self.shared.after(0, Event::Boot { holder });
            }
        }
        let end = self.shared.now.after_ms(HEALING_MS);
        self.run_until(end, |world| {
            world.source.as_ref().is_some_and(SourceNode::is_all_published)
        });
        let source = self.source.as_ref().expect("the source lives until the disaster");
        if !source.is_all_published() {
            let status = source.placing.status();
            self.shared.violation(format!("not published after healing: {status:#?}"));
        }
    }

    /// The source is gone, and the villain shows itself.
    fn disaster(&mut self) {
        let source = self.source.take().expect("the source lives until now");
        self.check_promises(&source);
        let (now_ms, events) = (self.shared.now.0 / 1_000_000, self.shared.events_made);
        self.figures = format!("{}; disaster at {now_ms} ms, {events} events", source.figures());
        let villain_at = self.shared.villain_at;
        self.client_died(Client::Source);
        self.shared.restoring = true;
        self.shared.faults_left = 20;
        // Holders are devices as well: each signs what it has seen and shows it to the others.
        let own: Vec<HeadSeen> = self.holders.iter().map(HolderNode::own_head).collect();
        for holder in &mut self.holders {
            holder.heads.extend(own.iter().map(|head| (head.hash, head.clone())));
        }
        match self.shared.villain {
            Villain::Lost => {
                // The whole household: copies are spread over sites, not over devices.
                let sites = self.shared.sites;
                for holder in 0..HOLDERS {
                    if sites[holder] == sites[villain_at] {
                        self.holders[holder].burn();
                    }
                }
            }
            Villain::Forgetful => {
                let dice = &mut self.shared.dice;
                self.holders[villain_at].forget_some(dice);
            }
            Villain::Hider => self.holders[villain_at].hide_newest(),
            Villain::None | Villain::Liar => {}
        }
        let mut restorer = RestorerNode::new(&source, &mut self.shared.dice);
        restorer.start(&mut self.shared);
        self.restorer = Some(restorer);
    }

    fn restore(&mut self) {
        let shared = &mut self.shared;
        for _ in 0..shared.dice.range(0, 6) {
            let when = shared.dice.range(0, 5 * MINUTE_MS);
            let holder = shared.dice.pick(HOLDERS);
            shared.after(when, Event::Drop { client: Client::Restorer, holder });
        }
        for _ in 0..shared.dice.range(0, 2) {
            let when = shared.dice.range(0, 2 * MINUTE_MS);
            shared.after(when, Event::RestorerRestart);
        }
        let end = self.shared.now.after_ms(RESTORE_MS);
        self.run_until(end, |world| world.restorer.as_ref().is_some_and(RestorerNode::is_done));
        let restorer = self.restorer.take().expect("there is a restorer");
        restorer.check(&mut self.shared);
        let (now_ms, events) = (self.shared.now.0 / 1_000_000, self.shared.events_made);
        write!(self.figures, "; {}; end at {now_ms} ms, {events} events", restorer.figures())
            .expect("a String takes anything");
    }

    fn run_until(&mut self, end: Instant, over: impl Fn(&Self) -> bool) {
        let mut text = String::new();
        while !over(self) {
            let Some(entry) = self.shared.events.first_entry() else { break };
            if entry.key().0 > end {
                break;
            }
            let ((when, _), event) = entry.remove_entry();
            if self.shared.events_made > EVENTS_MAX {
                return self.shared.violation("a machine goes round in circles");
            }
            self.shared.now = when;
            text.clear();
            write!(text, "{} {event:?}", when.0).expect("a String takes anything");
            if std::env::var_os("TRACE").is_some() {
                println!("{text}");
            }
            self.shared.trace.update(text.as_bytes());
            self.happen(event);
            self.strike();
            self.check_bounds();
        }
        self.shared.now = self.shared.now.max(end.min(self.shared.now));
    }

    /// Now and then, right after whatever happened, something fails: faults that come at planned
    /// times mostly meet idle nodes.
    fn strike(&mut self) {
        let shared = &mut self.shared;
        let busy = shared.trouble || shared.restoring;
        if !busy || shared.faults_left == 0 || shared.dice.range(0, 149) > 0 {
            return;
        }
        shared.faults_left -= 1;
        let holder = shared.dice.pick(HOLDERS);
        let client = if shared.restoring { Client::Restorer } else { Client::Source };
        match shared.dice.range(0, 9) {
            0..3 => self.drop_connection(client, holder),
            3..5 => {
                let until = shared.now.after_ms(shared.dice.range(100, 20_000));
                shared.swallowed.insert((client, holder), until);
            }
            5..8 => self.crash(holder),
            _ if shared.restoring => shared.after(0, Event::RestorerRestart),
            _ => shared.after(0, Event::SourceRestart),
        }
        self.connect_wanted();
    }

    fn happen(&mut self, event: Event) {
        let shared = &mut self.shared;
        match event {
            Event::Connected { client, holder } => self.connected(client, holder),
            Event::ConnectFailed { client, holder } => self.lost(client, holder),
            Event::Drop { client, holder } => self.drop_connection(client, holder),
            Event::AtHolder { client, holder, epoch, message } => {
                if shared.epoch(client, holder) == Some(epoch) {
                    self.holders[holder].receive(shared, client, message);
                }
            }
            Event::AtClient { client, holder, epoch, message } => {
                if shared.epoch(client, holder) == Some(epoch) {
                    self.at_client(client, holder, message);
                }
            }
            Event::SendPiece { holder, epoch, order } => {
                if shared.epoch(Client::Source, holder) == Some(epoch)
                    && let Some(source) = &mut self.source
                {
                    source.send_piece(shared, holder, order);
                }
            }
            Event::ReadPiece { client, holder, epoch, order } => {
                if shared.epoch(client, holder) == Some(epoch) {
                    self.holders[holder].read_piece(shared, client, order);
                }
            }
            Event::HolderDisk { holder, boot, done } => {
                self.holders[holder].disk_done(shared, boot, done);
            }
            Event::Measure { holder } => self.holders[holder].measure(shared),
            Event::Noise { holder, bytes } => self.holders[holder].noise_bytes = bytes,
            Event::PutOver { holder, boot, request } => {
                self.holders[holder].put_over(shared, boot, request);
            }
            Event::Crash { holder } => self.crash(holder),
            Event::Boot { holder } => self.holders[holder].boot(shared),
            Event::SourceKept { .. } | Event::Make | Event::SourceRestart => {
                if matches!(event, Event::SourceRestart) {
                    self.client_died(Client::Source);
                }
                let shared = &mut self.shared;
                if let Some(source) = &mut self.source {
                    source.happen(shared, event);
                }
            }
            Event::RestorerRestart => {
                self.client_died(Client::Restorer);
                let shared = &mut self.shared;
                if let Some(restorer) = &mut self.restorer {
                    restorer.restart(shared);
                }
            }
            Event::Wake(Client::Source) => {
                if let Some(source) = &mut self.source {
                    source.wake(shared);
                }
            }
            Event::Wake(Client::Restorer) => {
                if let Some(restorer) = &mut self.restorer {
                    restorer.wake(shared);
                }
            }
        }
        self.connect_wanted();
    }

    fn connected(&mut self, client: Client, holder: usize) {
        let shared = &mut self.shared;
        if !self.holders[holder].is_up() || shared.connected.contains_key(&(client, holder)) {
            return self.lost(client, holder);
        }
        let epoch = shared.epochs.entry((client, holder)).or_default();
        *epoch += 1;
        shared.connected.insert((client, holder), *epoch);
        shared.wire_free.remove(&(client, holder));
        let granted_bytes = self.holders[holder].granted_bytes;
        match client {
            Client::Source => {
                if let Some(source) = &mut self.source {
                    source.connected(shared, holder, granted_bytes);
                }
            }
            Client::Restorer => {
                if let Some(restorer) = &mut self.restorer {
                    restorer.connected(shared, holder);
                }
            }
        }
    }

    fn drop_connection(&mut self, client: Client, holder: usize) {
        if self.shared.connected.contains_key(&(client, holder)) {
            self.lost(client, holder);
        }
    }

    fn lost(&mut self, client: Client, holder: usize) {
        let shared = &mut self.shared;
        shared.connected.remove(&(client, holder));
        self.holders[holder].client_lost(shared, client);
        match client {
            Client::Source => {
                if let Some(source) = &mut self.source {
                    source.lost(shared, holder);
                }
            }
            Client::Restorer => {
                if let Some(restorer) = &mut self.restorer {
                    restorer.lost(shared, holder);
                }
            }
        }
    }

    /// The process at one end of all its connections is gone: the holders notice.
    fn client_died(&mut self, client: Client) {
        self.shared.connected.retain(|(of, _), _| *of != client);
        for holder in &mut self.holders {
            holder.client_lost(&mut self.shared, client);
        }
    }

    fn at_client(&mut self, client: Client, holder: usize, message: ToClient) {
        let shared = &mut self.shared;
        match client {
            Client::Source => {
                if let ToClient::Stored { receipt, .. } = &message {
                    self.holders[holder].check_receipt(shared, receipt);
                }
                if let Some(source) = &mut self.source {
                    source.receive(shared, holder, message);
                }
            }
            Client::Restorer => {
                if let Some(restorer) = &mut self.restorer {
                    restorer.receive(shared, holder, message);
                }
            }
        }
    }

    fn crash(&mut self, holder: usize) {
        if !self.holders[holder].is_up() {
            return;
        }
        self.shared.crashes += 1;
        let down_ms = self.shared.dice.range(1_000, 300_000);
        for client in [Client::Source, Client::Restorer] {
            self.drop_connection(client, holder);
        }
        self.holders[holder].crash(&mut self.shared);
        self.shared.after(down_ms, Event::Boot { holder });
    }

    /// Carries out the orders to connect.
    fn connect_wanted(&mut self) {
        let shared = &mut self.shared;
        let mut wanted: Vec<(Client, usize)> = Vec::new();
        if let Some(source) = &mut self.source {
            wanted.extend(source.take_wanted().into_iter().map(|h| (Client::Source, h)));
        }
        if let Some(restorer) = &mut self.restorer {
            wanted.extend(restorer.take_wanted().into_iter().map(|h| (Client::Restorer, h)));
        }
        for (client, holder) in wanted {
            shared.connect(client, holder, self.holders[holder].is_up());
        }
    }

    fn check_bounds(&mut self) {
        for holder in &self.holders {
            holder.check(&mut self.shared);
        }
        if let Some(source) = &self.source {
            source.check_bounds(&mut self.shared);
        }
        if let Some(restorer) = &self.restorer {
            restorer.check_bounds(&mut self.shared);
        }
    }

    /// Everything reported safe is really on enough sites, durably: before anybody turns bad.
    fn check_promises(&mut self, source: &SourceNode) {
        for root in &source.safe {
            let sites = self.shared.sites;
            let keeping = (0..HOLDERS).filter(|holder| self.holders[*holder].keeps(*root));
            let kept = keeping.map(|holder| sites[holder]).collect::<BTreeSet<usize>>().len();
            if kept < COPIES {
                self.shared.violation(format!("{root:?} is called safe, {kept} keep it"));
            }
        }
        for (holder, root) in source.receipts() {
            if !self.holders[holder].keeps(root) {
                self.shared.violation(format!("holder {holder} receipted {root:?}, has it not"));
            }
        }
    }
}
