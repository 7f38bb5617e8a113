//! Coming and going: devices that are switched on and off, houses whose line or power fails.

use super::{Circle, Event, Millis, Streams};
use crate::lab::{
    agenda::NEVER,
    numbers::{
        float,
        stream::{Purpose, Stream},
    },
    plan::{DAY_MS, HOUR_MS, Plan, YEAR_MS, only},
    scenario::Presence,
};

/// The streams of all comings and goings.
#[derive(Debug, Clone)]
pub(super) struct Comings {
    devices: Vec<Stream>,
    houses: Vec<Stream>,
    renewals: Vec<Stream>,
    /// The day of its present or last session, of devices that are on once a day.
    days: Vec<f64>,
}

impl Comings {
    pub(super) fn new(plan: &Plan, streams: &Streams) -> Self {
        let (devices, houses) = (plan.devices.len(), plan.houses.len());
        let of = |first: usize, count: usize, purpose| {
            (first..first + count).map(|entity| streams.stream(entity, purpose)).collect()
        };
        Self {
            devices: of(0, devices, Purpose::Presence),
            houses: of(devices, houses, Purpose::Presence),
            renewals: of(0, devices, Purpose::Replacement),
            days: vec![-1.0; devices],
        }
    }

    pub(super) fn renewal_gap(&mut self, device: usize) -> f64 {
        self.renewals[device].exponential()
    }
}

impl Circle<'_> {
    pub(super) fn start_presence(&mut self) {
        for device in 0..self.plan.devices.len() {
            let at = self.first_change(device);
            self.set(Event::Presence(device), at);
        }
        for house in 0..self.plan.houses.len() {
            self.outage_next(house);
        }
    }

    fn first_change(&mut self, device: usize) -> Millis {
        let stream = &mut self.comings.devices[device];
        match self.plan.devices[device].class.presence {
            Presence::Always => {
                self.awake |= only(device);
                NEVER
            }
            Presence::OnOff { up_hours, down_hours } => {
                let up = up_hours.mean();
                let is_up = stream.uniform() < up / (up + down_hours.mean());
                let law = if is_up { up_hours } else { down_hours };
                // Met at any moment of a stretch; that long ones are met more often is left out.
                let rest = law.sample(stream) * stream.uniform() * HOUR_MS;
                self.awake |= if is_up { only(device) } else { 0 };
                self.after(rest)
            }
            Presence::Daily { .. } => self.next_session(device),
        }
    }

    pub(super) fn presence_changed(&mut self, device: usize) {
        let is_up = self.awake & only(device) == 0;
        self.awake ^= only(device);
        let stream = &mut self.comings.devices[device];
        let next = match self.plan.devices[device].class.presence {
            Presence::Always => NEVER,
            Presence::OnOff { up_hours, down_hours } => {
                let law = if is_up { up_hours } else { down_hours };
                let hours = law.sample(stream);
                self.after(hours * HOUR_MS)
            }
            Presence::Daily { hours, .. } => {
                if is_up {
                    let hours = hours.sample(stream).min(23.0);
                    self.after(hours * HOUR_MS)
                } else {
                    self.next_session(device)
                }
            }
        };
        self.set(Event::Presence(device), next);
        self.refresh(only(device));
    }

    fn next_session(&mut self, device: usize) -> Millis {
        let Presence::Daily { start_hour, spread_hours, skip, trips_per_year, trip_days, .. } =
            self.plan.devices[device].class.presence
        else {
            return NEVER;
        };
        let stream = &mut self.comings.devices[device];
        let mut day = self.comings.days[device] + 1.0;
        while stream.uniform() < skip {
            day += 1.0;
        }
        if stream.uniform() < trips_per_year / 365.0 {
            day += trip_days;
        }
        let hour = start_hour + spread_hours * stream.normal();
        self.comings.days[device] = day;
        let at = (day * DAY_MS + hour * HOUR_MS).max(float(self.now) + 0.1 * HOUR_MS);
        crate::lab::numbers::whole(at)
    }

    fn outage_next(&mut self, house: usize) {
        let per_year = self.plan.scenario.profile.houses.outages_per_year;
        let gap = self.comings.houses[house].exponential();
        let at = if per_year > 0.0 { self.after(gap / per_year * YEAR_MS) } else { NEVER };
        self.set(Event::Outage(house), at);
    }

    /// An outage begins or ends. Of power or of the line: nobody in the house is reached, nor reaches
    /// another.
    pub(super) fn outage(&mut self, house: usize) {
        let devices = self.plan.houses[house];
        self.cut ^= devices;
        if self.cut & devices == 0 {
            self.outage_next(house);
        } else {
            let law = self.plan.scenario.profile.houses.outage_hours;
            let hours = law.sample(&mut self.comings.houses[house]);
            let at = self.after(hours * HOUR_MS);
            self.set(Event::Outage(house), at);
        }
        self.refresh(devices);
    }
}
