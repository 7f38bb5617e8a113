//! What a circle survives, without any chance: take away each device, house, and pair of them at
//! once, and look whether anything is gone for good.

use serde::Serialize;

use crate::lab::{
    circle::Circle,
    plan::{Devices, Plan, only},
};

/// Of so many ways to lose something at once, so many are survived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survived {
    /// What is lost at once.
    pub what: &'static str,
    /// Ways that are survived.
    pub survived: usize,
    /// All ways.
    pub ways: usize,
    /// One that is not.
    pub example: Option<String>,
}

impl Survived {
    /// In a sentence.
    pub fn sentence(&self) -> String {
        let (what, survived, ways) = (self.what, self.survived, self.ways);
        match &self.example {
            None => format!("The loss of {what}: survived, whichever it is."),
            Some(example) if survived == 0 => {
                format!("The loss of {what}: not survived, for example {example}.")
            }
            Some(example) => {
                format!(
                    "The loss of {what}: survived in {survived} of {ways} cases, not {example}."
                )
            }
        }
    }
}

/// What circle 0 of a plan survives at its start.
pub fn survives(plan: &Plan) -> Vec<Survived> {
    let houses: Vec<(String, Devices)> = named_houses(plan);
    let devices: Vec<(String, Devices)> = named_devices(plan);
    let circle = Circle::new(plan, 0);
    let look = |what, ways: Vec<(String, Devices)>| {
        let (mut survived, mut example) = (0, None);
        for (name, set) in &ways {
            if circle.survives(*set) {
                survived += 1;
            } else {
                example.get_or_insert_with(|| name.clone());
            }
        }
        Survived { what, survived, ways: ways.len(), example }
    };
    let mut all = vec![
        look("any one device", devices.clone()),
        look("any one house with all that is in it", houses.clone()),
        look("any two devices at once", pairs(&devices)),
    ];
    if houses.len() > 2 {
        all.push(look("any two houses at once", pairs(&houses)));
    }
    all
}

fn named_houses(plan: &Plan) -> Vec<(String, Devices)> {
    let names = plan.scenario.house.iter().map(|house| house.name.clone());
    names.zip(plan.houses.iter().copied()).collect()
}

fn named_devices(plan: &Plan) -> Vec<(String, Devices)> {
    let houses = plan.scenario.house.iter();
    let names = houses
        .flat_map(|house| house.devices.iter().map(|class| format!("a {class} at {}", house.name)));
    names.enumerate().map(|(number, name)| (name, only(number))).collect()
}

fn pairs(ways: &[(String, Devices)]) -> Vec<(String, Devices)> {
    let mut pairs = Vec::new();
    for (place, (name, set)) in ways.iter().enumerate() {
        for (other, more) in &ways[place + 1..] {
            pairs.push((format!("{name} and {other}"), set | more));
        }
    }
    pairs
}
