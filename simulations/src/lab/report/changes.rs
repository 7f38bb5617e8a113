//! What single change would help most: each is run, under the same fate, and compared.

use larder_protocol::placing::Copies;
use serde::Serialize;

use super::{Estimate, Method, Plan, loss};
use crate::lab::{
    numbers::law::Law,
    scenario::{House, Place, Repair, Scenario},
};

/// A change that was tried.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// In words.
    pub what: String,
    /// The chance of a loss in a year with it.
    pub loss: Estimate,
    /// So many times as rare as without it.
    pub factor: f64,
    /// Whether the intervals of with and without leave no doubt.
    pub is_sure: bool,
}

/// The circle as it is, and each change; the one that helps most first. All by the same method.
pub fn changes(plan: &Plan, circles: u64) -> (Estimate, Vec<Change>) {
    let method = Method::of(plan, circles);
    let base = loss(plan, circles, method);
    let mut changes: Vec<Change> = candidates(&plan.scenario)
        .into_iter()
        .filter(|(_, scenario)| scenario.check().is_ok())
        .map(|(what, scenario)| {
            let loss = loss(&Plan::new(scenario), circles, method);
            // Of what was never seen only the bound is known.
            let least = if loss.value > 0.0 { loss.value } else { loss.high };
            let factor = base.value / least.max(1e-300);
            Change { what, loss, factor, is_sure: loss.high < base.low }
        })
        .collect();
    changes.sort_by(|a, b| a.loss.value.total_cmp(&b.loss.value));
    (base, changes)
}

fn candidates(scenario: &Scenario) -> Vec<(String, Scenario)> {
    let is_of_the_product =
        scenario.policy.repair == Repair::Real && scenario.policy.place == Place::Turns;
    if !is_of_the_product {
        return Vec::new();
    }
    let with = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        changed
    };
    let mut all = Vec::new();
    let has_nas = scenario.profile.class.contains_key("nas");
    if has_nas {
        let house = House { name: "a friend".to_owned(), devices: vec!["nas".to_owned()] };
        let further = with(&|it| it.house.push(house.clone()));
        all.push(("a NAS at one more house".to_owned(), further));
        for (number, house) in scenario.house.iter().enumerate() {
            if !house.devices.iter().any(|class| class == "nas") {
                let added = with(&|it| it.house[number].devices.push("nas".to_owned()));
                all.push((format!("a NAS at {}", house.name), added));
            }
        }
    }
    let holds = |class: &String| scenario.profile.class.get(class).is_some_and(|it| it.holds);
    let houses = scenario.house.iter().filter(|house| house.devices.iter().any(holds)).count();
    let copies = scenario.policy.n.unwrap_or_else(|| Copies::Auto.wanted(houses));
    if scenario.policy.k == 1 && copies < houses {
        let more = with(&|it| it.policy.n = Some(copies + 1));
        all.push((format!("{} copies instead of {copies}", copies + 1), more));
    }
    let at_once = Law::Constant { value: 1.0 };
    let said = with(&|it| it.profile.people.say_days = Some(at_once));
    all.push(("saying within a day that a device is gone".to_owned(), said));
    let replaced = with(&|it| it.profile.people.replace_days = Law::Constant { value: 3.0 });
    all.push(("replacing lost devices within three days".to_owned(), replaced));
    let line = with(&|it| it.profile.houses.uplink_share = 0.75);
    all.push(("letting repairs use three quarters of the line".to_owned(), line));
    let gentle = with(&|it| {
        it.profile.class.values_mut().for_each(|class| class.replaced_gently = 1.0);
    });
    all.push(("moving what an old device keeps to the new one".to_owned(), gentle));
    all
}

/// How the chance of loss moves with what it is most sensitive to.
#[derive(Debug, Clone, Serialize)]
pub struct Sensitivity {
    /// What was changed.
    pub what: &'static str,
    /// Times its value in the scenario.
    pub times: f64,
    /// Chance of a loss in a year.
    pub loss: Estimate,
}

/// Loss against losses of houses and losses of devices.
pub fn sensitivities(plan: &Plan, circles: u64) -> Vec<Sensitivity> {
    let method = Method::of(plan, circles);
    let mut all = Vec::new();
    for times in [0.2, 0.5, 1.0, 2.0, 4.0] {
        for what in ["losses of houses", "losses of devices"] {
            let mut scenario = plan.scenario.clone();
            if what == "losses of houses" {
                scenario.profile.houses.loss_per_year *= times;
            } else {
                scenario.profile.class.values_mut().for_each(|it| it.loss_per_year *= times);
            }
            all.push(Sensitivity {
                what,
                times,
                loss: loss(&Plan::new(scenario), circles, method),
            });
        }
    }
    all.sort_by_key(|it| it.what);
    all
}
