//! The device log of one vault among its devices, its holders, and a thief who has one of the devices.
//!
//! ```text
//!  plan ──> world ──> homes: [ device log, what waits, book of heads of protocol/ ]
//!             │          ^
//!             ├──> thief ┘  several logs, accomplices, anything that he can sign
//!             └──> family: what people really did
//! ```
//! Trouble first: homes meet in any order, lines break, the power goes, devices come and are lost, and the thief shows
//! each home what he likes. Then people throw out whom they do not know, as long as that takes, and all who are
//! left have to see the same. Source: specs/simulation.md, "Trust".

use std::collections::BTreeMap;

use larder_protocol::log::Label;

use crate::model::{Property, Violation};

mod family;
mod healing;
mod home;
pub mod plan;
mod thief;
mod world;

pub use plan::{Plan, PlanError, Slip, Turn};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustOutcome {
    /// The first property that broke, if one did; the run ended there.
    pub violation: Option<Violation>,
    /// Hash of everything that happened.
    pub trace: String,
    /// Messages that were sent.
    pub messages: u64,
    /// How often each thing that should happen sometimes did.
    pub sometimes: BTreeMap<&'static str, u64>,
}

/// Runs a plan. `verbose` prints every turn and what came of it.
///
/// # Errors
/// [`PlanError`] for one that cannot be run.
pub fn run(plan: &Plan, verbose: bool) -> Result<TrustOutcome, PlanError> {
    plan.check()?;
    let mut world = world::World::new(plan, verbose);
    world.run(&plan.turns);
    Ok(world.outcome())
}

/// The smallest plan found that breaks `property` as `plan` does.
pub fn shrink(plan: &Plan, property: Property) -> Plan {
    let mut least = plan.clone();
    least.broke = Some(property.id().to_owned());
    let breaks = |plan: &Plan| {
        let violation = run(plan, false).ok().and_then(|outcome| outcome.violation);
        violation.is_some_and(|violation| violation.property == property)
    };
    let mut runs_left = crate::shrink::RUNS_MAX;
    let head = Plan { turns: Vec::new(), ..least.clone() };
    crate::shrink::fewer(&mut least.turns, |turns| {
        runs_left = usize::saturating_sub(runs_left, 1);
        (runs_left > 0).then(|| breaks(&Plan { turns: turns.to_vec(), ..head.clone() }))
    });
    for smaller in [|plan: &mut Plan| plan.holders -= 1, |plan: &mut Plan| plan.devices -= 1] {
        loop {
            let mut tried = least.clone();
            smaller(&mut tried);
            if !breaks(&tried) {
                break;
            }
            least = tried;
        }
    }
    least
}

fn label(name: &str) -> Label {
    Label { name: name.into(), site: "home".into() }
}
