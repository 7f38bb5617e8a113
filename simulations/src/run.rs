//! One run from a scenario to its outcome.

use std::collections::BTreeMap;

use crate::{
    model::Violation,
    schedule::{Scenario, ScenarioError},
    world::World,
};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first property that broke, if one did; the run ended there.
    pub violation: Option<Violation>,
    /// Hash of everything that happened and of the state it left.
    pub trace: String,
    /// Things that happened.
    pub events: u64,
    /// How often each thing that should happen sometimes did.
    pub sometimes: BTreeMap<&'static str, u64>,
    /// Devices times virtual days, healing and examination included.
    pub device_days: u64,
}

/// Runs a scenario. `verbose` prints every event.
///
/// # Errors
/// [`ScenarioError`] for one that cannot be run.
pub fn run(scenario: &Scenario, verbose: bool) -> Result<Outcome, ScenarioError> {
    scenario.check()?;
    let mut world = World::new(scenario.clone(), verbose);
    world.run();
    let virtual_s = world.shared.now().0 / 1_000_000_000;
    let devices = u64::try_from(scenario.devices).expect("few devices");
    Ok(Outcome {
        trace: world.trace().to_hex().to_string(),
        events: world.events,
        device_days: devices * virtual_s / 86_400,
        violation: world.shared.model.violations.into_iter().next(),
        sometimes: world.shared.model.sometimes,
    })
}
