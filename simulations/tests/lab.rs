//! The lab as a whole: one scenario gives the same bytes on any number of threads, and what a circle
//! survives is what its copies say.

use larder_simulations::lab::{
    fleet,
    plan::Plan,
    report::{changes::changes, survives::survives},
    scenario::Scenario,
};

fn plan(circles: u64) -> Plan {
    let text = include_str!("../scenarios/lab/three-houses.toml");
    let mut scenario = Scenario::read(text).expect("the scenario is sound");
    scenario.circles = circles;
    Plan::new(scenario)
}

// LAB-8
#[test]
fn lab_8_threads_change_nothing_and_seeds_do() {
    let plan = plan(300);
    let run = |plan: &Plan, threads| fleet::run(plan, 300, threads).expect("threads start");
    let one = run(&plan, 1);
    assert_eq!(one, run(&plan, 2));
    assert!(one.events > 300_000, "{} events", one.events);
    let mut scenario = plan.scenario.clone();
    scenario.seed += 1;
    assert_ne!(one, run(&Plan::new(scenario), 2));
}

// LAB-9
#[test]
fn lab_9_two_copies_at_two_houses_survive_any_one_house() {
    let all = survives(&plan(1));
    let by = |what: &str| all.iter().find(|it| it.what.contains(what)).expect("it is told");
    assert_eq!(by("one device").survived, by("one device").ways);
    assert_eq!(by("one house").survived, by("one house").ways);
    assert!(by("two houses").survived < by("two houses").ways);
    assert!(by("two houses").example.is_some());
}

// LAB-10
#[test]
fn lab_10_everything_that_was_lost_is_placed_again_unless_it_is_gone() {
    let tally = fleet::run(&plan(300), 300, 2).expect("threads start");
    assert!(tally.protection.count() > 50, "{}", tally.protection.count());
    assert!(tally.detection.count() > 50 && tally.restore.count() > 5);
    let [all, now, day, week] = tally.looks;
    assert!(all > now && now >= day && day >= week, "{:?}", tally.looks);
}

// LAB-11
#[test]
fn lab_11_a_third_copy_is_found_to_help() {
    let (base, changes) = changes(&plan(1), 500);
    assert!(base.value > 0.0);
    let third = changes.iter().find(|it| it.what.starts_with("3 copies")).expect("it is tried");
    assert!(third.factor > 2.0, "{third:?}");
}
