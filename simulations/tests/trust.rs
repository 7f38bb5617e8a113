//! What a thief does to a device log: fixed seeds keep every property, one plan gives one trace, every deliberate bug
//! is found, and what was found once stays found.

use std::{collections::BTreeMap, fs, path::PathBuf};

use larder_simulations::{
    Property,
    trust::{Plan, PlanError, Slip, TrustOutcome, run, shrink},
};

fn outcome(plan: &Plan) -> TrustOutcome {
    run(plan, false).expect("a plan that can be run")
}

fn plans() -> Vec<(String, Plan)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios/trust");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .expect("there are plans")
        .map(|entry| entry.expect("they can be listed").path())
        .collect();
    files.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let text = fs::read_to_string(path).expect("it can be read");
        (name, Plan::read(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")))
    };
    files.iter().map(read).collect()
}

/// Things that must happen, and in how many of a hundred runs at least: half of what was measured over 100.
const SHARES: &[(&str, usize)] = &[
    ("backup", 95),
    ("device taken in", 95),
    ("restart", 30),
    ("line broken", 20),
    ("founder stolen", 10),
    ("owner stolen", 15),
    ("member stolen", 2),
    ("accomplice", 25),
    ("device thrown out by the thief", 5),
    ("many names by the thief", 8),
    ("many names beside each other", 8),
    ("many epochs of the thief", 10),
    ("entries of the thief taken", 30),
    ("entries of the thief refused", 25),
    ("forged entries", 5),
    ("thrown out", 40),
    ("healed by an older device", 15),
    ("healed by the phrase", 15),
];

// SIM-20, SIM-21, SIM-22, SIM-23, SIM-24, SIM-25, SIM-26, SIM-27, SIM-12
#[test]
fn no_thief_splits_a_family_or_throws_anybody_out() {
    const SEEDS: u64 = 24;
    let mut sometimes: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..SEEDS {
        let outcome = outcome(&Plan::generate(seed));
        if let Some(violation) = outcome.violation {
            panic!("seed {seed}: {violation}");
        }
        outcome.sometimes.keys().for_each(|what| *sometimes.entry(what).or_default() += 1);
    }
    let seeds = usize::try_from(SEEDS).expect("few seeds");
    for (what, share) in SHARES {
        let met = sometimes.get(what).copied().unwrap_or_default() * 100 / seeds;
        assert!(met >= *share, "{what}: in {met} of 100 runs, {share} expected");
    }
}

// SIM-1
#[test]
fn one_plan_gives_one_trace() {
    let plan = Plan::generate(3);
    let read = Plan::read(&plan.write()).expect("what was written is read");
    assert_eq!(read, plan);
    assert_eq!(outcome(&plan), outcome(&read));
    assert_ne!(outcome(&plan).trace, outcome(&Plan::generate(4)).trace);
}

// SIM-13
#[test]
fn every_slip_is_found() {
    for (name, plan) in plans() {
        let Some(slip) = plan.slip else { continue };
        let violation = outcome(&plan).violation;
        let violation = violation.unwrap_or_else(|| panic!("{name}: {slip:?} breaks nothing"));
        assert_eq!(Some(violation.property.id()), plan.broke.as_deref(), "{name}");
    }
    for slip in Slip::ALL {
        let has = |(_, plan): &(String, Plan)| plan.slip == Some(*slip);
        assert!(plans().iter().any(has), "{slip:?} has no plan that finds it");
    }
}

// SIM-14
#[test]
fn plans_that_were_found_once_are_clean_without_their_slip() {
    for (name, plan) in plans() {
        if let Some(violation) = outcome(&Plan { slip: None, ..plan }).violation {
            panic!("{name}: {violation}");
        }
    }
}

// SIM-14
#[test]
fn a_failing_plan_becomes_smaller_and_breaks_the_same() {
    let (_, plan) =
        plans().into_iter().find(|(_, it)| it.slip == Some(Slip::KeepTorn)).expect("there is one");
    let least = shrink(&plan, Property::ReadBack);
    assert!(least.turns.len() <= plan.turns.len());
    let violation = outcome(&least).violation.expect("it still breaks");
    assert_eq!(violation.property, Property::ReadBack);
}

// SIM-15
#[test]
fn a_plan_that_means_nothing_is_refused() {
    let plan = Plan::generate(1);
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan.clone();
        change(&mut plan);
        plan.check().expect_err("it means nothing")
    };
    assert!(matches!(refused(&|it| it.devices = 0), PlanError::Homes { devices: 0, .. }));
    assert!(matches!(refused(&|it| it.holders = 99), PlanError::Homes { holders: 99, .. }));
    assert!(matches!(refused(&|it| it.turns.reverse()), PlanError::Turns));
    let nothing = "seed = 1\ndevices = 2\nholders = 1\n[[turns]]\nat_s = 1\n";
    assert!(matches!(Plan::read(nothing), Err(PlanError::Form(_))));
    let no_lot = format!("{nothing}do = \"meet\"\nfrom = 0\nto = 1\nlot = 0\ncut = 0\n");
    assert!(matches!(Plan::read(&no_lot), Err(PlanError::Value { index: 0 })));
}
