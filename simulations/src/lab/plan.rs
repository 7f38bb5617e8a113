//! A scenario made ready to run: devices numbered through all houses, laws in the units of the
//! engine, and the timeline of shocks that all circles share.

use larder_protocol::watching;

use super::{
    agenda::Millis,
    numbers::{
        float,
        law::Hazard,
        stream::{Purpose, Streams},
        whole,
    },
    scenario::{Class, Hits, Kind, Scenario},
};

/// Milliseconds of an hour.
pub const HOUR_MS: f64 = 3_600_000.0;
/// Milliseconds of a day.
pub const DAY_MS: f64 = 24.0 * HOUR_MS;
/// Milliseconds of a year of 365 days, as textbook models have it.
pub const YEAR_MS: f64 = 365.0 * DAY_MS;

/// A set of devices: one bit for each.
pub type Devices = u128;

/// The set of one device.
pub const fn only(device: usize) -> Devices {
    1 << device
}

/// The devices of a set, in ascending order.
pub fn each(set: Devices) -> impl Iterator<Item = usize> {
    let mut left = set;
    std::iter::from_fn(move || {
        let device = usize::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
        left &= left - 1;
        Some(device)
    })
}

/// How many devices a set has.
pub fn size(set: Devices) -> usize {
    usize::try_from(set.count_ones()).unwrap_or(usize::MAX)
}

/// One device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its house.
    pub house: usize,
    /// What it is like.
    pub class: Class,
    /// When it is lost, by its age; none if never.
    pub hazard: Option<Hazard>,
    /// What the product was told that it is.
    pub kind: watching::Kind,
}

/// A shock strikes a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// When.
    pub at: Millis,
    /// Which one of the profile.
    pub shock: usize,
    /// Circles whose number has this rest.
    pub region: u64,
}

/// A scenario ready to run. Read only: all threads share it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it came from.
    pub scenario: Scenario,
    /// All devices.
    pub devices: Vec<Device>,
    /// The devices of each house.
    pub houses: Vec<Devices>,
    /// The number of each source.
    pub sources: Vec<usize>,
    /// When a run ends.
    pub end: Millis,
    /// Shocks in the order of time.
    pub timeline: Vec<Strike>,
}

impl Plan {
    /// Makes a scenario ready.
    pub fn new(scenario: Scenario) -> Self {
        let mut devices = Vec::new();
        let mut houses = Vec::new();
        let mut firsts = Vec::new();
        for (number, house) in scenario.house.iter().enumerate() {
            firsts.push(devices.len());
            let mut own: Devices = 0;
            for name in &house.devices {
                own |= only(devices.len());
                devices.push(device(number, &scenario.profile.class[name]));
            }
            houses.push(own);
        }
        let sources = scenario.vaults.sources.iter();
        let sources = sources.map(|(house, number)| firsts[*house] + number).collect();
        let end = whole(scenario.years * YEAR_MS);
        let timeline = timeline(&scenario, end);
        Self { scenario, devices, houses, sources, end, timeline }
    }

    /// All of them.
    pub fn all(&self) -> Devices {
        Devices::MAX.checked_shr(128 - self.devices.len().try_into().unwrap_or(128)).unwrap_or(0)
    }

    /// Devices that hold for others.
    pub fn holders(&self) -> Devices {
        let holds = |(number, device): (usize, &Device)| device.class.holds.then(|| only(number));
        self.devices.iter().enumerate().filter_map(holds).sum()
    }

    /// Placement groups of one circle.
    pub fn groups(&self) -> usize {
        let sets = self.scenario.policy.sets.len();
        let of_a_vault = if sets > 0 { sets } else { self.scenario.vaults.groups };
        of_a_vault * self.sources.len().max(1)
    }

    /// Bytes of one placement group.
    pub fn group_bytes(&self) -> u64 {
        let groups = super::numbers::count(self.groups() / self.sources.len().max(1));
        whole(self.scenario.vaults.gb * 1e9 / groups.max(1.0))
    }
}

fn device(house: usize, class: &Class) -> Device {
    let hazard = (class.loss_per_year > 0.0).then(|| match class.shape {
        Some(shape) => Hazard::weibull(1.0 / class.loss_per_year, shape),
        None => Hazard::constant(class.loss_per_year),
    });
    let kind = match class.kind {
        Kind::AlwaysOn => watching::Kind::AlwaysOn,
        Kind::Laptop => watching::Kind::Laptop,
        Kind::Phone => watching::Kind::Phone,
    };
    Device { house, class: class.clone(), hazard, kind }
}

fn timeline(scenario: &Scenario, end: Millis) -> Vec<Strike> {
    let streams = Streams::new(scenario.seed, u64::MAX);
    let mut strikes = Vec::new();
    for (number, shock) in scenario.profile.shock.iter().enumerate() {
        if shock.per_year <= 0.0 {
            continue;
        }
        let mut stream = streams.stream(number, Purpose::Timeline);
        let pace = shock.per_year * float(shock.regions);
        let mut at = 0.0;
        loop {
            at += stream.exponential() / pace * YEAR_MS;
            if at >= float(end) {
                break;
            }
            let region = stream.below(shock.regions);
            strikes.push(Strike { at: whole(at), shock: number, region });
        }
    }
    strikes.sort_by_key(|strike| (strike.at, strike.shock, strike.region));
    strikes
}

impl Strike {
    /// Whether a circle is where it strikes.
    pub fn hits(&self, plan: &Plan, circle: u64) -> bool {
        circle % plan.scenario.profile.shock[self.shock].regions == self.region
    }

    /// Whether it takes houses rather than single devices.
    pub fn takes_houses(&self, plan: &Plan) -> bool {
        plan.scenario.profile.shock[self.shock].hits == Hits::Houses
    }
}
