//! When a source presumes a holder lost: the times at which `larder_protocol::watching` would, computed
//! from who was there when, without making its calls.
//!
//! Two clocks advance as the machine counts: one while the source runs, and with no more than
//! `WATCH_CREDIT_S` of any time that it did not; the other one only while a holder at another house
//! answers, for only such silence is sure. What a limit is says `watching::limit_s`. A test beside it
//! drives the real machine through the same comings and goings.

use larder_protocol::{
    limits::{WATCH_CREDIT_S, WATCH_EVERY_MS, WATCH_FIRST_MS},
    watching::{Kind, limit_s, remembered_s},
};

use crate::lab::{
    agenda::{Millis, NEVER},
    plan::{Devices, each, only},
};

/// Calls come this far apart on average, by which a short absence goes unnoticed.
const CALLS_MS: Millis = WATCH_EVERY_MS + WATCH_EVERY_MS / 8;
/// Lengths that absences are remembered by: 1, 2, 4 ... hours.
const LENGTHS: usize = 12;
/// An absence is forgotten after so many days.
const REMEMBERED_DAYS: u16 = 400;

/// What is known of one holder.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Both clocks when it was last met.
    counted: Millis,
    sure: Millis,
    /// The first clock when it became known.
    known: Millis,
    /// Days after the start, plus one, on which an absence of each length ended last.
    ended: [u16; LENGTHS],
}

/// How one source watches.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    kinds: Vec<Kind>,
    /// Holders at other houses than the source's.
    elsewhere: Devices,
    /// Whom it watches.
    holders: Devices,
    on: Devices,
    is_on: bool,
    at: Millis,
    counted: Millis,
    sure: Millis,
    marks: Vec<Mark>,
}

impl Watch {
    pub(super) fn new(kinds: Vec<Kind>, holders: Devices, elsewhere: Devices) -> Self {
        let marks = vec![Mark::default(); kinds.len()];
        let (on, is_on, at, counted, sure) = (0, false, 0, 0, 0);
        Self { kinds, elsewhere, holders, on, is_on, at, counted, sure, marks }
    }

    /// Whoever it can hear answers now.
    pub(super) const fn met(&self) -> Devices {
        if self.is_on { self.on & self.holders } else { 0 }
    }

    const fn hears_elsewhere(&self) -> bool {
        self.on & self.elsewhere & self.holders != 0
    }

    fn advance(&mut self, now: Millis) {
        let since = now - self.at;
        let counts = if self.is_on { since } else { 0 };
        self.counted += counts;
        if self.hears_elsewhere() {
            self.sure += counts;
        }
        if self.is_on || self.at == 0 {
            self.at = now;
        }
    }

    /// The source comes or goes; `on` is who can be reached.
    pub(super) fn source_is(&mut self, now: Millis, is_on: bool, on: Devices) {
        if is_on == self.is_on {
            return;
        }
        if is_on {
            let credit = (now - self.at).min(WATCH_CREDIT_S * 1_000);
            self.at = now;
            self.on = on;
            self.counted += credit;
            if self.hears_elsewhere() {
                self.sure += credit;
            }
            self.is_on = true;
            each(on & self.holders).for_each(|holder| self.meet(now, holder));
        } else {
            self.advance(now);
            each(self.met()).for_each(|holder| self.leave(holder));
            self.is_on = false;
        }
    }

    /// A holder comes or goes; whoever is as it was before does not.
    pub(super) fn holder_is(&mut self, now: Millis, holder: usize, is_on: bool) {
        let was_on = self.on & only(holder) != 0;
        if !self.is_on || was_on == is_on || self.holders & only(holder) == 0 {
            return;
        }
        self.advance(now);
        if is_on {
            self.on |= only(holder);
            self.meet(now, holder);
        } else {
            self.leave(holder);
            self.on &= !only(holder);
        }
    }

    /// Another device takes its place, of which nothing is known.
    pub(super) fn holder_is_new(&mut self, now: Millis, holder: usize) {
        self.advance(now);
        let (counted, sure) = (self.counted, self.sure);
        self.marks[holder] = Mark { counted, sure, known: counted, ended: [0; LENGTHS] };
    }

    fn leave(&mut self, holder: usize) {
        let mark = &mut self.marks[holder];
        (mark.counted, mark.sure) = (self.counted, self.sure);
    }

    fn meet(&mut self, now: Millis, holder: usize) {
        let absent = self.sure - self.marks[holder].sure;
        if absent >= CALLS_MS {
            let hours = remembered_s(absent / 1_000) / 3_600;
            let length = usize::try_from(hours.max(1).ilog2()).unwrap_or(LENGTHS - 1);
            self.marks[holder].ended[length.min(LENGTHS - 1)] = day(now);
        }
        self.leave(holder);
    }

    fn longest_s(&self, now: Millis, holder: usize) -> u64 {
        let is_remembered = |ended: &u16| *ended > 0 && day(now) - *ended <= REMEMBERED_DAYS;
        let longest = self.marks[holder].ended.iter().rposition(is_remembered);
        longest.map_or(0, |length| 3_600 << length)
    }

    /// When a holder that is not there would be presumed lost, if nothing else happens before.
    fn due(&self, now: Millis, holder: usize) -> Millis {
        let mark = &self.marks[holder];
        let watched_s = (mark.counted - mark.known) / 1_000;
        let limit = limit_s(self.kinds[holder], watched_s, self.longest_s(now, holder)) * 1_000;
        let absent = self.sure - mark.sure;
        now + limit.saturating_sub(absent).max(WATCH_FIRST_MS)
    }

    /// Whoever is presumed lost by now, beside those that are already, and when the next one will be.
    pub(super) fn look(&mut self, now: Millis, presumed: Devices) -> (Devices, Millis) {
        if !self.is_on || !self.hears_elsewhere() {
            return (0, NEVER);
        }
        self.advance(now);
        let (mut lost, mut next) = (0, NEVER);
        for holder in each(self.holders & !self.on & !presumed) {
            let at = self.due(now, holder);
            if at <= now + WATCH_FIRST_MS && self.is_over(now, holder) {
                lost |= only(holder);
            } else {
                next = next.min(at);
            }
        }
        (lost, next)
    }

    fn is_over(&self, now: Millis, holder: usize) -> bool {
        let mark = &self.marks[holder];
        let watched_s = (mark.counted - mark.known) / 1_000;
        let limit_s = limit_s(self.kinds[holder], watched_s, self.longest_s(now, holder));
        self.sure - mark.sure >= limit_s * 1_000
    }
}

fn day(now: Millis) -> u16 {
    u16::try_from(now / 86_400_000 + 1).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::DeviceId,
        time::{Instant, Timestamp},
        watching::{Input, Output, Presence, Watching},
    };

    use super::*;
    use crate::lab::numbers::stream::{Purpose, Stream, Streams};

    const HOUR: Millis = 3_600_000;

    /// Four holders, the first one in the house of the source. When who comes and goes.
    struct Story {
        changes: Vec<(Millis, usize)>,
        end: Millis,
    }

    const SOURCE: usize = 4;
    const KINDS: [Kind; 4] = [Kind::AlwaysOn, Kind::Laptop, Kind::AlwaysOn, Kind::Laptop];

    impl Story {
        fn draw(stream: &mut Stream) -> Self {
            let mut changes = Vec::new();
            for device in 0..5 {
                let mut at = 0;
                loop {
                    let hours = if changes.len() % 2 == 0 { 30 } else { 14 };
                    let long = if stream.below(12) == 0 { 20 } else { 1 };
                    at += (1 + stream.below(hours * long)) * HOUR;
                    if at > 2_400 * HOUR {
                        break;
                    }
                    changes.push((at, device));
                }
            }
            // One of them is gone for good.
            let gone = usize::try_from(stream.below(4)).unwrap();
            changes.retain(|(at, device)| *device != gone || *at < 900 * HOUR);
            changes.sort_unstable();
            Self { changes, end: 6_000 * HOUR }
        }

        /// When each holder is first presumed lost by the times that the lab computes.
        fn computed(&self) -> [Option<Millis>; 4] {
            let mut watch = Watch::new(KINDS.to_vec(), 0b1111, 0b1110);
            let (mut on, mut firsts, mut presumed) = (0b11111, [None; 4], 0);
            watch.source_is(0, true, on & 0b1111);
            let mut next = watch.look(0, presumed).1;
            let mut changes = self.changes.iter().copied().peekable();
            loop {
                let at = changes.peek().map_or(self.end, |(at, _)| *at);
                let now = at.min(next);
                if now >= self.end {
                    return firsts;
                }
                if next > at {
                    let (_, device) = changes.next().unwrap();
                    on ^= only(device);
                    let is_on = on & only(device) != 0;
                    if device == SOURCE {
                        watch.source_is(now, is_on, on & 0b1111);
                    } else {
                        watch.holder_is(now, device, is_on);
                    }
                    presumed &= !watch.met();
                }
                let (lost, at) = watch.look(now, presumed);
                each(lost).for_each(|it| firsts[it] = firsts[it].or(Some(now)));
                presumed |= lost;
                next = at.max(now + 1);
            }
        }

        /// The same by the real machine, called minute by minute where it wants to be.
        fn real(&self) -> [Option<Millis>; 4] {
            let id = |holder: usize| DeviceId::from_bytes([u8::try_from(holder).unwrap() + 1; 32]);
            let mut machine = Watching::new();
            let clock = |now: Millis| Timestamp(1_700_000_000 + now / 1_000);
            let (mut on, mut firsts) = (0b11111, [None; 4]);
            let mut changes = self.changes.iter().copied().peekable();
            let mut histories = KINDS.map(|kind| {
                let mut machine = Watching::new();
                let known =
                    |history| Input::HolderKnown { holder: id(0), is_elsewhere: true, history };
                machine.handle_input(Instant(0), clock(0), known(None));
                machine.handle_input(Instant(0), clock(0), Input::KindSaid { holder: id(0), kind });
                machine.history(&id(0)).unwrap().clone()
            });
            let start = |machine: &mut Watching, now: Millis, on: Devices, histories: &[_; 4]| {
                for (holder, history) in histories.iter().enumerate() {
                    let known = Input::HolderKnown {
                        holder: id(holder),
                        is_elsewhere: holder != 0,
                        history: Some(Box::new(larder_protocol::watching::History::clone(history))),
                    };
                    machine.handle_input(Instant(now * 1_000_000), clock(now), known);
                    if on & only(holder) != 0 {
                        let heard = Input::Heard { holder: id(holder) };
                        machine.handle_input(Instant(now * 1_000_000), clock(now), heard);
                    }
                }
            };
            start(&mut machine, 0, on, &histories);
            let mut now = 0;
            while now < self.end {
                if on & only(SOURCE) != 0 {
                    machine.handle_input(Instant(now * 1_000_000), clock(now), Input::TimePassed);
                    while let Some(output) = machine.poll_output() {
                        if let Output::Call { order, holder } = output {
                            let number = usize::from(holder.as_bytes()[0]) - 1;
                            let answered = on & only(number) != 0;
                            let ended = Input::CallEnded { order, answered };
                            machine.handle_input(Instant(now * 1_000_000), clock(now), ended);
                        }
                    }
                    for (holder, first) in firsts.iter_mut().enumerate() {
                        let history = machine.history(&id(holder)).unwrap();
                        if history.presence() == Presence::Lost && first.is_none() {
                            *first = Some(now);
                        }
                        histories[holder] = history.clone();
                    }
                }
                let change = changes.peek().map_or(self.end, |(at, _)| *at);
                let due = machine.poll_timeout().map_or(self.end, |at| at.0.div_ceil(1_000_000));
                let due = if on & only(SOURCE) == 0 { self.end } else { due.max(now + 1) };
                now = change.min(due);
                while changes.peek().is_some_and(|(at, _)| *at == now) {
                    let (_, device) = changes.next().unwrap();
                    on ^= only(device);
                    let is_on = on & only(device) != 0;
                    if device == SOURCE && is_on {
                        machine = Watching::new();
                        start(&mut machine, now, on, &histories);
                    } else if is_on && on & only(SOURCE) != 0 {
                        let heard = Input::Heard { holder: id(device) };
                        machine.handle_input(Instant(now * 1_000_000), clock(now), heard);
                    }
                }
            }
            firsts
        }
    }

    // LAB-6
    #[test]
    fn lab_6_holders_are_presumed_lost_when_the_real_machine_presumes_them_lost() {
        let (mut agree, mut lost, mut later, mut off_by) = (0, 0, 0, Vec::new());
        for number in 0..60 {
            let mut stream = Streams::new(5, number).stream(0, Purpose::Presence);
            let story = Story::draw(&mut stream);
            for (computed, real) in story.computed().into_iter().zip(story.real()) {
                agree += i32::from(computed.is_some() == real.is_some());
                if let (Some(computed), Some(real)) = (computed, real) {
                    lost += 1;
                    later += i32::from(computed > real);
                    off_by.push(computed.abs_diff(real) / HOUR);
                }
            }
        }
        off_by.sort_unstable();
        println!("{agree} of 240 agree, {lost} lost, {later} of them later, off by {off_by:?}");
        assert!(agree >= 234 && lost >= 120, "{agree} of 240 agree, {lost} were lost");
        let share = |of_hundred: usize| off_by[off_by.len() * of_hundred / 100];
        // The last ones are absences that hardly reach a limit, judged otherwise: off by as long as it
        // takes until the next one.
        let shares = [share(50), share(75), share(90), share(95)];
        assert!(shares[0] <= 4 && shares[1] <= 16, "off by hours: {off_by:?}");
        assert!(shares[2] <= 48 && shares[3] <= 120, "off by hours: {off_by:?}");
        assert!(off_by.last().is_some_and(|most| *most <= 75 * 24), "off by hours: {off_by:?}");
    }

    // LAB-6
    #[test]
    fn lab_6_absences_are_remembered_as_the_real_machine_remembers_them() {
        // Lengths and days are the machine's own: the last length takes all that is longer.
        assert_eq!(remembered_s(u64::MAX), 3_600 << (LENGTHS - 1));
        let mut watch = Watch::new(vec![Kind::AlwaysOn; 2], 0b11, 0b11);
        watch.source_is(0, true, 0b11);
        // Told again that it is there, it was not away since it came.
        watch.holder_is(400 * HOUR, 0, true);
        watch.holder_is(401 * HOUR, 0, false);
        assert_eq!(watch.look(401 * HOUR, 0), (0, 473 * HOUR));
        assert_eq!(watch.look(473 * HOUR, 0).0, 0b01);
    }
}
