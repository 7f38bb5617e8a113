//! What a scenario may say: every figure is bounded, so that whatever is allowed comes to an end.

use super::{Class, HouseLaws, Place, Presence, Rare, Repair, Scenario, ScenarioError, Shock};
use crate::lab::numbers::{count, float, law::Law};

/// Devices of a circle: a set of them is one machine word of the engine.
pub const DEVICES_MAX: usize = 128;
/// Circles of a run; what 64 of them count is kept until the end.
const CIRCLES_MAX: u64 = 10_000_000;
/// Years of a run.
const YEARS: [f64; 2] = [0.001, 1_000.0];
/// Placement groups of a circle: some events look at each.
const GROUPS_MAX: usize = 4_000;
/// GB of a vault: thousandths of its bytes fit into 64 bits.
const GB_MAX: f64 = 1e6;
/// How often anything may happen in a year: about once in nine hours.
const PER_YEAR_MAX: f64 = 1_000.0;
/// Strikes of all shocks in all regions in a run, expected: they are kept in memory.
const STRIKES_MAX: f64 = 1e6;
/// What a device or house does lasts a minute or longer on average, in hours.
const HOURS_MIN: f64 = 1.0 / 60.0;
/// Shapes of laws of failure: below, most of the mean comes from lives that nobody lives to see.
const SHAPES: [f64; 2] = [0.2, 50.0];
/// No mean of any law is longer, in its own unit.
const MEAN_MAX: f64 = 1e9;
/// Events of a circle, expected.
const EVENTS_MAX: f64 = 1e9;

const HOURS_PER_YEAR: f64 = 8_760.0;

type Checked = Result<(), ScenarioError>;

fn needs(rule: bool, message: &'static str) -> Checked {
    if rule { Ok(()) } else { Err(ScenarioError::Impossible(message)) }
}

fn is_within(number: f64, [least, most]: [f64; 2]) -> bool {
    (least..=most).contains(&number)
}

fn is_share(number: f64) -> bool {
    is_within(number, [0.0, 1.0])
}

fn is_rate(number: f64) -> bool {
    is_within(number, [0.0, PER_YEAR_MAX])
}

impl Scenario {
    /// Finds what cannot be.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn check(&self) -> Result<(), ScenarioError> {
        for name in self.house.iter().flat_map(|house| &house.devices) {
            if !self.profile.class.contains_key(name) {
                return Err(ScenarioError::Unknown { kind: "class", name: name.clone() });
            }
        }
        let devices = self.devices();
        needs((1..=DEVICES_MAX).contains(&devices), "a circle has 1 to 128 devices")?;
        needs(self.house.len() <= DEVICES_MAX, "a circle has at most 128 houses")?;
        needs(is_within(self.years, YEARS), "years are 0.001 to 1000")?;
        let runs = 1..=CIRCLES_MAX;
        needs(runs.contains(&self.circles), "circles are 1 to 10 million")?;
        self.check_vaults()?;
        self.check_policy()?;
        self.profile.houses.check()?;
        let people = &self.profile.people;
        law(&people.replace_days)?;
        people.say_days.iter().try_for_each(law)?;
        needs(is_rate(self.profile.common_per_year), "the rate of common causes is 0 to 1000")?;
        self.profile.class.values().try_for_each(Class::check)?;
        self.check_shocks()?;
        self.rare.iter().try_for_each(Rare::check)?;
        needs(
            self.events_expected() <= EVENTS_MAX,
            "a circle has at most a billion events: fewer years, or less coming and going",
        )
    }

    fn check_vaults(&self) -> Checked {
        let vaults = &self.vaults;
        let places = |(house, number): &(usize, usize)| {
            self.house.get(*house).is_some_and(|house| *number < house.devices.len())
        };
        needs(
            vaults.sources.iter().all(places),
            "a source is a device of a house: [house, number]",
        )?;
        needs(vaults.sources.len() <= DEVICES_MAX, "a circle has at most 128 sources")?;
        let groups = vaults.groups.max(self.policy.sets.len());
        needs((1..=1_000).contains(&groups), "a vault has 1 to 1000 groups, or sets")?;
        let all = groups.saturating_mul(vaults.sources.len().max(1));
        needs(all <= GROUPS_MAX, "a circle has at most 4000 groups")?;
        needs(
            is_within(vaults.gb, [1e-6, GB_MAX]),
            "gb of a vault is above 0, and at most a million",
        )
    }

    fn check_policy(&self) -> Checked {
        let (policy, devices) = (&self.policy, self.devices());
        let shards = policy.n.unwrap_or(policy.k.max(2));
        let sets = &policy.sets;
        let is_textbook = policy.repair != Repair::Real;
        needs(policy.n.unwrap_or(1) <= DEVICES_MAX, "n is at most 128")?;
        needs((1..=shards).contains(&policy.k), "k is at least 1, and at most n")?;
        needs(policy.k == 1 || policy.n.is_some(), "k above 1 needs n")?;
        needs(
            is_textbook || !self.vaults.sources.is_empty(),
            "repair as the product does it needs sources; textbook repairs go without",
        )?;
        needs(
            policy.place != Place::Sets || !sets.is_empty(),
            "placement in sets needs policy.sets",
        )?;
        needs(
            sets.iter().flatten().all(|device| *device < devices),
            "a set names a device that is not there",
        )?;
        let of_size = |set: &Vec<usize>| policy.n.is_some_and(|n| n == set.len());
        needs(sets.iter().all(of_size), "each set has n devices")?;
        let is_set = |set: &Vec<usize>| {
            set.iter().collect::<std::collections::BTreeSet<_>>().len() == set.len()
        };
        needs(sets.iter().all(is_set), "a set names a device twice")?;
        needs(
            !is_textbook || policy.n.is_some_and(|n| n <= devices),
            "textbook repair needs n, and n devices",
        )?;
        match policy.repair {
            Repair::Real | Repair::None => Ok(()),
            Repair::Exponential { mean_days: days } => {
                needs(is_within(days, [1e-6, 1e6]), "repair takes 0.000001 to a million days")
            }
            Repair::Periodic { every_days: days, below } => {
                needs(below <= shards, "repair below more shards than there are would never end")?;
                needs(is_within(days, [0.01, 1e6]), "repair comes every 0.01 to a million days")
            }
        }
    }

    fn check_shocks(&self) -> Checked {
        let shocks = &self.profile.shock;
        shocks.iter().try_for_each(Shock::check)?;
        let strikes = |it: &Shock| it.per_year * float(it.regions) * self.years;
        let all = shocks.iter().map(strikes).sum::<f64>();
        needs(all <= STRIKES_MAX, "all shocks strike at most a million times in a run")
    }

    /// Comings and goings, losses and looks, of one circle in a run.
    fn events_expected(&self) -> f64 {
        let profile = &self.profile;
        let classes = self.house.iter().flat_map(|house| &house.devices);
        let devices = classes.filter_map(|name| profile.class.get(name));
        let of_device = |class: &Class| class.changes_per_year() + class.loss_per_year;
        let houses = 2.0 * (profile.houses.outages_per_year + profile.houses.loss_per_year);
        let repairs = match self.policy.repair {
            Repair::Periodic { every_days, .. } => 365.0 / every_days,
            Repair::Real | Repair::Exponential { .. } | Repair::None => 0.0,
        };
        let a_year = devices.map(of_device).sum::<f64>() + houses * count(self.house.len());
        (a_year + repairs) * self.years
    }
}

/// A time that is finite, whatever is drawn.
fn law(law: &Law) -> Checked {
    if let Some(fault) = law.fault() {
        return Err(ScenarioError::Impossible(fault));
    }
    needs(law.mean() <= MEAN_MAX, "the mean of a law is at most a billion")
}

/// The same of something that comes again and again.
fn lasting(hours: &Law) -> Checked {
    law(hours)?;
    needs(hours.mean() >= HOURS_MIN, "being on, being off and outages last a minute or longer")
}

impl Class {
    fn check(&self) -> Checked {
        needs(is_rate(self.loss_per_year), "rates of losses are 0 to 1000 a year")?;
        needs(is_rate(self.replaced_per_year), "rates of replacement are 0 to 1000 a year")?;
        needs(is_share(self.replaced_gently), "replaced-gently is a share: 0 to 1")?;
        let shape = self.shape.unwrap_or(1.0);
        needs(is_within(shape, SHAPES), "the shape of a law of loss is 0.2 to 50")?;
        match self.presence {
            Presence::Always => Ok(()),
            Presence::OnOff { up_hours, down_hours } => {
                [up_hours, down_hours].iter().try_for_each(lasting)
            }
            Presence::Daily {
                start_hour,
                spread_hours,
                hours,
                skip,
                trips_per_year,
                trip_days,
            } => {
                lasting(&hours)?;
                needs(is_within(skip, [0.0, 0.99]), "skip is a share: 0 to 0.99")?;
                needs(
                    is_within(start_hour, [0.0, 24.0]) && is_within(spread_hours, [0.0, 24.0]),
                    "the hour of a day and its spread are 0 to 24",
                )?;
                let is_journey = is_within(trips_per_year, [0.0, 365.0]);
                needs(
                    is_journey && is_within(trip_days, [0.0, 10_000.0]),
                    "journeys are 0 to 365 a year, each journey of 0 to 10000 days",
                )
            }
        }
    }

    fn changes_per_year(&self) -> f64 {
        match self.presence {
            Presence::Always => 0.0,
            Presence::OnOff { up_hours, down_hours } => {
                2.0 * HOURS_PER_YEAR / (up_hours.mean() + down_hours.mean())
            }
            Presence::Daily { .. } => 2.0 * 365.0,
        }
    }
}

impl HouseLaws {
    fn check(&self) -> Checked {
        needs(is_rate(self.loss_per_year), "the rate of losses of houses is 0 to 1000 a year")?;
        needs(is_rate(self.outages_per_year), "the rate of outages is 0 to 1000 a year")?;
        lasting(&self.outage_hours)?;
        law(&self.uplink_mbit)?;
        let mean = self.uplink_mbit.mean();
        needs(is_within(mean, [1e-3, 1e6]), "a line carries 0.001 to a million Mbit/s")?;
        let shares = [self.uplink_share, self.restore_share];
        needs(shares.into_iter().all(is_share), "shares of a line are 0 to 1")
    }
}

impl Shock {
    fn check(&self) -> Checked {
        needs(
            self.share.is_some() != self.count.is_some(),
            "a shock has either a share or a count",
        )?;
        needs(self.share.is_none_or(is_share), "the share of a shock is 0 to 1")?;
        let counts = 1..=DEVICES_MAX;
        needs(self.count.is_none_or(|it| counts.contains(&it)), "a shock takes 1 to 128 at once")?;
        needs((1..=1_000_000).contains(&self.regions), "a shock has 1 to a million regions")?;
        needs(is_rate(self.per_year), "the rate of a shock is 0 to 1000 a year")
    }
}

impl Rare {
    fn check(&self) -> Checked {
        let is_fit = |rate: f64| is_within(rate, [1e-6, 1e4]);
        needs(
            is_fit(self.full_per_run) && is_fit(self.missing_per_year),
            "rates of a rare run are above 0, and at most 10000",
        )
    }
}
