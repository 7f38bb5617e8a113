//! A scenario of the lab as it is written in TOML: who, where, how often things fail, which policy.
//!
//! Unknown keys are refused by name. What is not said comes from a profile (low, base, high), whose
//! figures have their sources beside them in `scenarios/lab/profiles/`.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

use super::numbers::law::Law;

mod bounds;

pub use bounds::DEVICES_MAX;

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// Not TOML, or with keys or values that do not exist.
    #[error("{0}")]
    Malformed(#[from] toml::de::Error),
    /// It says what cannot be.
    #[error("{0}")]
    Impossible(&'static str),
    /// It names something that is nowhere defined.
    #[error("there is no {kind} named {name}")]
    Unknown {
        /// Class or profile.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

/// What a device of a class is like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Class {
    /// What the user told Larder that it is; decides how long silence is borne at first.
    #[serde(default)]
    pub kind: Kind,
    /// Permanent losses a year, without warning.
    pub loss_per_year: f64,
    /// Shape of a Weibull law of that mean; without it, losses have no memory.
    pub shape: Option<f64>,
    /// Whether devices are new at the start, rather than of any age.
    #[serde(default)]
    pub new: bool,
    /// Replaced so often a year while it still works, its owner saying so.
    #[serde(default)]
    pub replaced_per_year: f64,
    /// The share of those whose contents move to the new one.
    #[serde(default)]
    pub replaced_gently: f64,
    /// When it is there.
    #[serde(default)]
    pub presence: Presence,
    /// Whether it holds for others.
    #[serde(default = "yes")]
    pub holds: bool,
}

const fn yes() -> bool {
    true
}

/// As `larder expect --kind`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// May be away for a weekend.
    #[default]
    Laptop,
    /// Meant never to be off.
    AlwaysOn,
    /// May be off for weeks.
    Phone,
}

/// When a device can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(
    tag = "when",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Presence {
    /// Always, but for its house and its losses.
    #[default]
    Always,
    /// On and off by two laws, in hours.
    OnOff {
        /// How long it is on.
        up_hours: Law,
        /// How long it is off.
        down_hours: Law,
    },
    /// Once a day, but for days without and journeys.
    Daily {
        /// When it starts on average.
        start_hour: f64,
        /// Standard deviation of that.
        spread_hours: f64,
        /// How long it is on.
        hours: Law,
        /// Share of days on which it is not.
        skip: f64,
        /// Journeys a year.
        trips_per_year: f64,
        /// How many days one is long.
        trip_days: f64,
    },
}

/// What a house and its line are like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HouseLaws {
    /// All of its devices are lost at once so often a year: fire, flood, burglary.
    pub loss_per_year: f64,
    /// Outages of power or line a year.
    #[serde(default)]
    pub outages_per_year: f64,
    /// How long one takes.
    #[serde(default = "an_hour")]
    pub outage_hours: Law,
    /// What it can send, in Mbit/s; drawn once for each house.
    pub uplink_mbit: Law,
    /// The share of that which backups and repairs may use.
    pub uplink_share: f64,
    /// The share that restores may use.
    #[serde(default = "three_quarters")]
    pub restore_share: f64,
}

const fn an_hour() -> Law {
    Law::Constant { value: 1.0 }
}

const fn three_quarters() -> f64 {
    0.75
}

/// What people do after a loss, in days.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct People {
    /// Until a lost device is replaced by a new one.
    pub replace_days: Law,
    /// Until somebody says that it is lost; without it nobody ever does before it is replaced.
    pub say_days: Option<Law>,
}

/// Something that hits many at once, from a timeline that is the same for all circles.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Shock {
    /// Its name in the report.
    pub name: String,
    /// So often a year, in each region.
    pub per_year: f64,
    /// Into how many regions circles are divided.
    #[serde(default = "one")]
    pub regions: u64,
    /// What it destroys.
    pub hits: Hits,
    /// Each of them with this chance;
    pub share: Option<f64>,
    /// or exactly so many of them.
    pub count: Option<usize>,
}

const fn one() -> u64 {
    1
}

/// What a shock destroys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hits {
    /// Houses, with all that is in them.
    Houses,
    /// Single devices.
    Devices,
}

/// All that is assumed of the world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Classes of devices by name.
    pub class: BTreeMap<String, Class>,
    /// Houses.
    pub houses: HouseLaws,
    /// People.
    pub people: People,
    /// Common causes a year: a bad release, a stolen phrase. Told apart, never part of the nines.
    #[serde(default)]
    pub common_per_year: f64,
    /// Shocks.
    #[serde(default)]
    pub shock: Vec<Shock>,
}

/// A house of the circle.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct House {
    /// Its name in the report.
    pub name: String,
    /// Classes of its devices.
    pub devices: Vec<String>,
}

/// What is backed up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Vaults {
    /// Devices whose files these are: by house, and number in the house. None: the shards are all
    /// that there is, and an ideal repairer looks after them.
    #[serde(default)]
    pub sources: Vec<(usize, usize)>,
    /// Bytes of each, in GB.
    pub gb: f64,
    /// Placement groups of each.
    #[serde(default = "four")]
    pub groups: usize,
    /// Whether nothing is placed yet at the start.
    #[serde(default)]
    pub empty: bool,
}

const fn four() -> usize {
    4
}

/// Where shards go and how they are repaired.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// So many shards give a pack back.
    #[serde(default = "one_shard")]
    pub k: usize,
    /// Shards of a pack. Without it the number of copies is the product's own: automatic.
    pub n: Option<usize>,
    /// By which rule.
    #[serde(default)]
    pub place: Place,
    /// Sets of devices, each of them one placement group: devices are numbered through all houses.
    #[serde(default)]
    pub sets: Vec<Vec<usize>>,
    /// How what is lost is made good.
    #[serde(default)]
    pub repair: Repair,
}

const fn one_shard() -> usize {
    1
}

/// Rules of placement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The product's: site first, whose turn it is by the root.
    #[default]
    Turns,
    /// Any devices, without regard to sites.
    Random,
    /// The sets of the scenario.
    Sets,
}

/// How repair works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(
    tag = "how",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Repair {
    /// As the product: presumed lost by `watching`, over the line of the source.
    #[default]
    Real,
    /// Textbook: every missing shard comes back on its device after an exponential time.
    Exponential {
        /// Its mean.
        mean_days: f64,
    },
    /// Textbook: it is looked at times; below a number of shards all missing come back at once.
    Periodic {
        /// How often.
        every_days: f64,
        /// Repaired when fewer are left.
        below: usize,
    },
    /// Never.
    None,
}

/// How rare losses are made frequent, and weighed back: balanced failure biasing. Of what is lost, half
/// are single devices and half whole houses, where there are both.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rare {
    /// Losses in a whole run, if nothing were ever missing. A few: with many, those runs in which none
    /// comes for long are seldom seen and weigh most.
    pub full_per_run: f64,
    /// Losses a year for each shard that is missing. Half as often as shards are repaired: with more,
    /// weights have no variance.
    pub missing_per_year: f64,
}

/// A scenario, with what its profile says filled in.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its title.
    pub name: String,
    /// Seed of all chance.
    pub seed: u64,
    /// Circles, each on its own.
    pub circles: u64,
    /// How long.
    pub years: f64,
    /// Houses with their devices.
    pub house: Vec<House>,
    /// What is backed up.
    pub vaults: Vaults,
    /// Policy.
    pub policy: Policy,
    /// Importance sampling, if it is asked for.
    pub rare: Option<Rare>,
    /// The world.
    pub profile: Profile,
}

/// As it stands in the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    name: String,
    #[serde(default = "one")]
    seed: u64,
    #[serde(default = "some_circles")]
    circles: u64,
    #[serde(default = "one_year")]
    years: f64,
    profile: Option<String>,
    house: Vec<House>,
    vaults: Vaults,
    policy: Policy,
    rare: Option<Rare>,
    #[serde(default)]
    class: BTreeMap<String, Class>,
    houses: Option<HouseLaws>,
    /// What a usual line uploads; lines differ as in the profile.
    uplink_mbit: Option<f64>,
    people: Option<People>,
    common_per_year: Option<f64>,
    shock: Option<Vec<Shock>>,
}

const fn some_circles() -> u64 {
    10_000
}

const fn one_year() -> f64 {
    1.0
}

impl Profile {
    /// The profile of that name.
    ///
    /// # Errors
    /// [`ScenarioError::Unknown`] when there is none.
    pub fn named(name: &str) -> Result<Self, ScenarioError> {
        let text = match name {
            "low" => include_str!("../../scenarios/lab/profiles/low.toml"),
            "base" => include_str!("../../scenarios/lab/profiles/base.toml"),
            "high" => include_str!("../../scenarios/lab/profiles/high.toml"),
            _ => return Err(ScenarioError::Unknown { kind: "profile", name: name.to_owned() }),
        };
        Ok(toml::from_str(text)?)
    }

    /// A world without any trouble: textbook models say all that there is themselves.
    fn quiet() -> Self {
        let never = Law::Constant { value: 0.0 };
        let houses = HouseLaws {
            loss_per_year: 0.0,
            outages_per_year: 0.0,
            outage_hours: an_hour(),
            uplink_mbit: Law::Constant { value: 1_000.0 },
            uplink_share: 1.0,
            restore_share: 1.0,
        };
        let people = People { replace_days: never, say_days: Some(never) };
        Self { class: BTreeMap::new(), houses, people, common_per_year: 0.0, shock: Vec::new() }
    }
}

impl Scenario {
    /// Reads a scenario and fills in what its profile says.
    ///
    /// # Errors
    /// [`ScenarioError`] with the line and the key, or with what cannot be.
    pub fn read(text: &str) -> Result<Self, ScenarioError> {
        let written: Written = toml::from_str(text)?;
        let mut profile = match &written.profile {
            Some(name) => Profile::named(name)?,
            None => Profile::quiet(),
        };
        profile.class.extend(written.class);
        profile.houses = written.houses.unwrap_or(profile.houses);
        if let (Some(mbit), Law::Lognormal { median, .. }) =
            (written.uplink_mbit, &mut profile.houses.uplink_mbit)
        {
            *median = mbit;
        } else if let Some(value) = written.uplink_mbit {
            profile.houses.uplink_mbit = Law::Constant { value };
        }
        profile.people = written.people.unwrap_or(profile.people);
        profile.common_per_year = written.common_per_year.unwrap_or(profile.common_per_year);
        profile.shock = written.shock.unwrap_or(profile.shock);
        let scenario = Self {
            name: written.name,
            seed: written.seed,
            circles: written.circles,
            years: written.years,
            house: written.house,
            vaults: written.vaults,
            policy: written.policy,
            rare: written.rare,
            profile,
        };
        scenario.check()?;
        Ok(scenario)
    }

    /// Devices of all houses.
    pub fn devices(&self) -> usize {
        self.house.iter().map(|house| house.devices.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_HOUSES: &str = r#"
name = "two houses"
profile = "base"
house = [{ name = "home", devices = ["nas", "laptop"] }, { name = "oma", devices = ["nas"] }]
vaults = { sources = [[0, 1]], gb = 100 }
policy = {}
"#;

    fn shock(what: &str) -> String {
        format!("policy = {{}}\nshock = [{{ name = \"it\", {what} }}]")
    }

    fn class(what: &str) -> String {
        format!("policy = {{}}\n[class.it]\n{what}")
    }

    fn on_off(hours: f64) -> String {
        let law = format!("{{ law = \"constant\", value = {hours:?} }}");
        let presence = format!("when = \"on-off\", up-hours = {law}, down-hours = {law}");
        format!("loss-per-year = 0.1\npresence = {{ {presence} }}")
    }

    fn daily(wrong: &str) -> String {
        let mut fields = vec![
            "when = \"daily\"",
            "start-hour = 8.0",
            "spread-hours = 1.0",
            "hours = { law = \"constant\", value = 4.0 }",
            "skip = 0.1",
            "trips-per-year = 1.0",
            "trip-days = 7.0",
        ];
        let key = wrong.split(' ').next().unwrap_or_default();
        fields.retain(|field| !field.starts_with(key));
        fields.push(wrong);
        format!("loss-per-year = 0.1\npresence = {{ {} }}", fields.join(", "))
    }

    // LAB-5
    #[test]
    fn lab_5_a_scenario_is_read_and_what_is_unknown_or_impossible_is_refused_by_name() {
        let scenario = Scenario::read(TWO_HOUSES).expect("it is sound");
        assert_eq!((scenario.devices(), scenario.vaults.groups), (3, 4));
        let wrongs = [
            ("gb = 100", "gb = 100, colour = 3", "colour"),
            ("\"oma\", devices = [\"nas\"]", "\"oma\", devices = [\"mainframe\"]", "mainframe"),
            ("policy = {}", "policy = { k = 3, n = 2 }", "at most n"),
            ("policy = {}", "policy = { repair = { how = \"magic\" } }", "magic"),
            ("[[0, 1]]", "[[2, 0]]", "device of a house"),
            ("profile = \"base\"", "profile = \"rosy\"", "rosy"),
            // What would never end, or panic.
            (
                "policy = {}",
                "policy = { n = 2, repair = { how = \"periodic\", every-days = 0, below = 2 } }",
                "repair",
            ),
            (
                "policy = {}",
                "policy = { n = 2, repair = { how = \"exponential\", mean-days = nan } }",
                "repair",
            ),
            (
                "policy = {}",
                "policy = { n = 2, repair = { how = \"periodic\", every-days = 1, below = 3 } }",
                "below",
            ),
            ("policy = {}", "policy = { n = 2, place = \"sets\", sets = [[0, 0]] }", "twice"),
            ("policy = {}", "policy = { n = 129 }", "128"),
            ("policy = {}", "policy = {}\nyears = inf", "years"),
            ("policy = {}", "policy = {}\ncircles = 1000000000", "circles"),
            ("policy = {}", "policy = {}\nuplink-mbit = -3", "law"),
            ("policy = {}", "policy = {}\nuplink-mbit = 1e7", "line"),
            ("policy = {}", "policy = {}\ncommon-per-year = 1e12", "rate"),
            (
                "policy = {}",
                "policy = {}\nrare = { full-per-run = 0, missing-per-year = 1 }",
                "rare",
            ),
            ("policy = {}", &shock("per-year = 1e12, hits = \"devices\", share = 0.1"), "shock"),
            ("policy = {}", &shock("per-year = 1, hits = \"devices\", share = 1.5"), "share"),
            ("policy = {}", &shock("per-year = 1, hits = \"devices\", count = 0"), "shock"),
            ("policy = {}", &class("loss-per-year = 1e12"), "rate"),
            ("policy = {}", &class("loss-per-year = 0.1\nshape = 1e-9"), "shape"),
            ("policy = {}", &class("loss-per-year = 0.1\nreplaced-gently = 2"), "share"),
            ("policy = {}", &class(&on_off(0.0)), "minute"),
            ("policy = {}", &class(&on_off(1e-3)), "minute"),
            ("policy = {}", &class(&daily("skip = 1.0")), "skip"),
            ("policy = {}", &class(&daily("skip = nan")), "skip"),
            ("policy = {}", &class(&daily("trip-days = -3")), "journey"),
            ("policy = {}", &class(&daily("start-hour = 1e9")), "hour"),
            ("gb = 100", "gb = 0", "gb"),
            ("gb = 100", "gb = 1e12", "gb"),
            ("gb = 100", "gb = 100, groups = 4000", "groups"),
        ];
        for (right, wrong, named) in wrongs {
            let text = TWO_HOUSES.replace(right, wrong);
            let error = Scenario::read(&text).map(|_| ()).expect_err(wrong).to_string();
            assert!(error.contains(named), "{wrong}: {error}");
        }
    }

    // LAB-5
    #[test]
    fn lab_5_whatever_is_allowed_comes_to_an_end() {
        use crate::lab::{circle::Circle, plan::Plan};
        let all_devices = vec!["\"nas\""; 127].join(", ");
        let sound = [
            // As many devices as there may be.
            TWO_HOUSES
                .replace("\"nas\", \"laptop\"", &format!("\"laptop\", {all_devices}"))
                .replace(", { name = \"oma\", devices = [\"nas\"] }", "")
                .replace("[[0, 1]]", "[[0, 0]]"),
            TWO_HOUSES.replace("policy = {}", &class(&on_off(0.02))),
            TWO_HOUSES
                .replace("policy = {}", "policy = {}\ncommon-per-year = 1000")
                .replace("circles", "years = 0.01\ncircles"),
            TWO_HOUSES.replace(
                "policy = {}",
                "policy = { n = 2, repair = { how = \"periodic\", every-days = 0.01, below = 2 } }",
            ),
        ];
        for text in sound {
            let plan = Plan::new(Scenario::read(&text).expect(&text));
            assert!(Circle::new(&plan, 0).run().events < 1_000_000, "{text}");
        }
    }

    #[test]
    fn the_profiles_are_sound_and_ordered() {
        let read = |name: &str| Profile::named(name).expect("it is sound");
        let [low, base, high] = ["low", "base", "high"].map(read);
        for (name, class) in &base.class {
            assert!(low.class[name].loss_per_year < class.loss_per_year, "{name}");
            assert!(class.loss_per_year < high.class[name].loss_per_year, "{name}");
        }
        assert!(low.houses.loss_per_year < base.houses.loss_per_year);
        assert!(base.houses.loss_per_year < high.houses.loss_per_year);
    }
}
