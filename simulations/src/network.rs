//! The network: lines between devices, how long messages take, and what becomes of them.
//!
//! Connections are QUIC's: the bytes of one upload or download come in order or not at all, while
//! questions and answers, each on a stream of its own, overtake each other. When nothing passes for
//! half a minute both ends notice.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::time::Instant;

use crate::{
    circle::Circle,
    dice::Dice,
    event::{Event, Line, Link, ToClient, ToHolder},
    world::Queue,
};

/// Both ends give a silent connection up.
pub(crate) const IDLE_MS: u64 = 30_000;
/// An attempt to connect that nobody answers.
const DIAL_MS: u64 = 12_000;
/// Added to a delay at most, rarely.
const TAIL_MS_MAX: u64 = 8_000;

#[derive(Debug, Clone)]
struct Connection {
    epoch: u64,
    /// When the wire is free again, up and down.
    free: [Instant; 2],
    /// When the last piece of a stream arrives, up and down: pieces do not overtake each other.
    last: [Instant; 2],
}

/// What is wrong with all messages of one device for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    Loss { percent: u64 },
    Delay { ms: u64 },
    Duplicate { percent: u64 },
    Slow { bytes_per_ms: u64 },
}

/// How often each thing happened to a message.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) swallowed: u64,
    pub(crate) lost: u64,
    pub(crate) delayed: u64,
    pub(crate) doubled: u64,
    pub(crate) slowed: u64,
    pub(crate) overtook: u64,
}

#[derive(Debug)]
pub(crate) struct Network {
    connections: BTreeMap<Link, Connection>,
    epochs: BTreeMap<Link, u64>,
    /// Calls under way: nobody calls twice at once.
    calling: BTreeSet<Link>,
    /// From, to: nothing passes before this time.
    cut: BTreeMap<(usize, usize), Instant>,
    weather: Vec<(usize, Weather, Instant)>,
    dice: Vec<Dice>,
    latency_ms: Vec<u64>,
    bytes_per_ms: Vec<u64>,
    last_at: BTreeMap<Link, Instant>,
    pub(crate) counts: Counts,
    pub(crate) calm: bool,
}

impl Network {
    pub(crate) fn new(seed: u64, circle: &Circle) -> Self {
        let mut network = Self {
            connections: BTreeMap::new(),
            epochs: BTreeMap::new(),
            calling: BTreeSet::new(),
            cut: BTreeMap::new(),
            weather: Vec::new(),
            dice: Vec::new(),
            latency_ms: Vec::new(),
            bytes_per_ms: Vec::new(),
            last_at: BTreeMap::new(),
            counts: Counts::default(),
            calm: false,
        };
        for device in &circle.devices {
            network.join(seed, device.latency_ms, device.bytes_per_ms);
        }
        network
    }

    /// One more device has a line.
    pub(crate) fn join(&mut self, seed: u64, latency_ms: u64, bytes_per_ms: u64) {
        let number = u64::try_from(self.dice.len()).expect("few devices");
        self.dice.push(Dice::new(seed, number, "line"));
        self.latency_ms.push(latency_ms);
        self.bytes_per_ms.push(bytes_per_ms);
    }

    pub(crate) fn line(&self, link: Link) -> Option<Line> {
        self.connections.get(&link).map(|connection| Line { link, epoch: connection.epoch })
    }

    pub(crate) fn is_open(&self, line: Line) -> bool {
        self.connections.get(&line.link).is_some_and(|it| it.epoch == line.epoch)
    }

    /// All open lines of a device, at either end.
    pub(crate) fn lines_of(&self, device: usize) -> Vec<Line> {
        let of = |link: &Link| link.client == device || link.holder == device;
        let links = self.connections.iter().filter(|(link, _)| of(link));
        links.map(|(link, it)| Line { link: *link, epoch: it.epoch }).collect()
    }

    pub(crate) fn open(&mut self, link: Link) -> Option<Line> {
        if self.connections.contains_key(&link) {
            return None;
        }
        let epoch = self.epochs.entry(link).or_default();
        *epoch += 1;
        let zero = [Instant(0); 2];
        let connection = Connection { epoch: *epoch, free: zero, last: zero };
        self.connections.insert(link, connection);
        Some(Line { link, epoch: *epoch })
    }

    pub(crate) fn close(&mut self, line: Line) -> bool {
        let open = self.is_open(line);
        if open {
            self.connections.remove(&line.link);
        }
        open
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, until: Instant) {
        let cut = self.cut.entry((from, to)).or_default();
        *cut = until.max(*cut);
    }

    pub(crate) fn is_cut(&self, now: Instant, from: usize, to: usize) -> bool {
        self.cut.get(&(from, to)).is_some_and(|until| *until > now)
    }

    pub(crate) fn add_weather(
        &mut self,
        now: Instant,
        device: usize,
        weather: Weather,
        until: Instant,
    ) {
        self.weather.retain(|(_, _, until)| *until > now);
        self.weather.push((device, weather, until));
    }

    /// Every fault of the network ends.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.weather.clear();
        self.calm = true;
    }

    fn weather_of(&self, now: Instant, link: Link) -> impl Iterator<Item = Weather> {
        let on = move |(device, _, until): &&(usize, Weather, Instant)| {
            *until > now && (*device == link.client || *device == link.holder)
        };
        self.weather.iter().filter(on).map(|(_, weather, _)| *weather)
    }

    /// Calls somebody, unless a call is under way.
    pub(crate) fn dial(&mut self, queue: &mut Queue, link: Link) {
        if self.connections.contains_key(&link) || !self.calling.insert(link) {
            return;
        }
        let rtt_ms = 2 * (self.latency_ms[link.client] + self.latency_ms[link.holder]);
        let unlucky = !self.calm && self.dice[link.client].chance(4);
        let event = if unlucky { Event::DialFailed { link } } else { Event::Dialled { link } };
        let delay_ms = if unlucky { DIAL_MS } else { rtt_ms };
        queue.after(delay_ms, event);
    }

    /// A call is over; whether there was one.
    pub(crate) fn call_over(&mut self, link: Link) -> bool {
        self.calling.remove(&link)
    }

    /// Who was calling is not there any more.
    pub(crate) fn calls_over(&mut self, client: usize) {
        self.calling.retain(|link| link.client != client);
    }

    /// Nobody answered: the caller hears so a little later.
    pub(crate) fn no_answer(&self, queue: &mut Queue, link: Link) {
        queue.after(DIAL_MS, Event::DialFailed { link });
    }

    pub(crate) fn tell_holder(&mut self, queue: &mut Queue, line: Line, message: ToHolder) {
        let stream = matches!(message, ToHolder::Piece { .. });
        let (from, to) = (line.link.client, line.link.holder);
        let mut times = self.deliveries(queue.now, line, (from, to), stream);
        let last = times.pop();
        for at in times {
            queue.at(at, Event::ToHolder { line, message: message.clone() });
        }
        if let Some(at) = last {
            queue.at(at, Event::ToHolder { line, message });
        }
    }

    pub(crate) fn tell_client(&mut self, queue: &mut Queue, line: Line, message: ToClient) {
        let stream = matches!(message, ToClient::Groups { .. } | ToClient::ReadFailed { .. });
        let (from, to) = (line.link.holder, line.link.client);
        let mut times = self.deliveries(queue.now, line, (from, to), stream);
        let last = times.pop();
        for at in times {
            queue.at(at, Event::ToClient { line, message: message.clone() });
        }
        if let Some(at) = last {
            queue.at(at, Event::ToClient { line, message });
        }
    }

    /// When a message arrives: never, once, or twice.
    fn deliveries(
        &mut self,
        now: Instant,
        line: Line,
        (from, to): (usize, usize),
        stream: bool,
    ) -> Vec<Instant> {
        if !self.is_open(line) {
            return Vec::new();
        }
        if self.is_cut(now, from, to) {
            self.counts.swallowed += 1;
            return Vec::new();
        }
        let mut delay_ms = self.latency_ms[from] + self.latency_ms[to];
        let mut copies = 1;
        let weather: Vec<Weather> = self.weather_of(now, line.link).collect();
        let dice = &mut self.dice[from];
        if dice.chance(3) {
            delay_ms += dice.tail(1, TAIL_MS_MAX);
        }
        for weather in weather {
            match weather {
                Weather::Loss { percent } if dice.chance(percent) => {
                    self.counts.lost += 1;
                    return Vec::new();
                }
                Weather::Delay { ms } => {
                    self.counts.delayed += 1;
                    delay_ms += dice.range(0, ms);
                }
                Weather::Duplicate { percent } if !stream && dice.chance(percent) => {
                    self.counts.doubled += 1;
                    copies = 2;
                }
                Weather::Loss { .. } | Weather::Duplicate { .. } | Weather::Slow { .. } => {}
            }
        }
        let mut times = vec![now.after_ms(delay_ms)];
        if copies == 2 {
            times.push(now.after_ms(delay_ms + dice.range(0, 5_000)));
        }
        self.order(line, from == line.link.client, stream, &mut times);
        times
    }

    fn order(&mut self, line: Line, up: bool, stream: bool, times: &mut [Instant]) {
        if stream {
            let connection = self.connections.get_mut(&line.link).expect("it is open");
            let last = &mut connection.last[usize::from(up)];
            for at in times.iter_mut() {
                *at = (*at).max(*last);
                *last = *at;
            }
        } else if up {
            let last = self.last_at.entry(line.link).or_default();
            for at in times.iter() {
                self.counts.overtook += u64::from(*at < *last);
                *last = (*last).max(*at);
            }
        }
    }

    fn speed(&mut self, now: Instant, link: Link) -> u64 {
        let own = self.bytes_per_ms[link.client].min(self.bytes_per_ms[link.holder]);
        let slow = self.weather_of(now, link).filter_map(|weather| match weather {
            Weather::Slow { bytes_per_ms } => Some(bytes_per_ms),
            Weather::Loss { .. } | Weather::Delay { .. } | Weather::Duplicate { .. } => None,
        });
        let least = slow.min().unwrap_or(u64::MAX);
        self.counts.slowed += u64::from(least < own);
        own.min(least)
    }

    /// Bytes that leave at once: about half a second of the line, within bounds.
    pub(crate) fn piece_bytes(&mut self, now: Instant, link: Link) -> u64 {
        (self.speed(now, link) * 500).clamp(128 * 1024, 1024 * 1024) / 16_384 * 16_384
    }

    /// When so many more bytes have left.
    pub(crate) fn sent_at(&mut self, now: Instant, line: Line, up: bool, bytes: u64) -> Instant {
        let duration_ms = bytes / self.speed(now, line.link);
        let Some(connection) = self.connections.get_mut(&line.link) else { return now };
        let free = &mut connection.free[usize::from(up)];
        *free = (*free).max(now).after_ms(duration_ms);
        *free
    }
}
