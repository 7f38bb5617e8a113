//! The lab as a whole: one scenario gives the same bytes on any number of threads, and what a circle
//! survives is what its copies say.

use larder_simulations::lab::{
    fleet,
    numbers::estimate::Estimate,
    plan::Plan,
    report::{Method, changes::changes, loss, rare_loss, survives::survives},
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
fn lab_10_what_cannot_be_read_now_can_be_read_later_at_least_as_often() {
    let tally = fleet::run(&plan(300), 300, 2).expect("threads start");
    assert!(tally.protection.count() > 50, "{}", tally.protection.count());
    assert!(tally.detection.count() > 50 && tally.restore.count() > 5);
    assert!(tally.protection.unfinished() > 0, "some are always under way at the end");
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

// LAB-4
#[test]
fn lab_4_the_method_is_chosen_before_anything_is_estimated() {
    let often = |scenario: &mut Scenario| {
        scenario.profile.class.values_mut().for_each(|class| class.loss_per_year = 2.0);
        scenario.profile.houses.loss_per_year = 1.0;
        scenario.vaults.gb = 1.0;
    };
    let mut scenario = plan(1).scenario;
    assert_eq!(Method::of(&Plan::new(scenario.clone()), 500), Method::Weighed);
    often(&mut scenario);
    let plan = Plan::new(scenario);
    assert_eq!(Method::of(&plan, 500), Method::Counted);
    let counted = fleet::run_here(&plan, 500).circles_lost;
    assert_eq!(loss(&plan, 500, Method::Counted), Estimate::chance(counted, 500).in_one_of(1.0));
    assert_eq!(loss(&plan, 500, Method::Weighed), rare_loss(&plan, 500));
}

// LAB-5
#[test]
fn lab_5_a_circle_of_a_billion_people_is_refused_at_once() {
    for wrong in [["1000000000", "3"], ["3", "1000000000"], ["64", "3"]] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_larder-sim"))
            .args(["circle", "--people", wrong[0], "--houses", wrong[1], "--always-on", "1"])
            .args(["--gb", "100", "--upload", "30", "--relay", "yes"])
            .output()
            .expect("it starts");
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && told.contains("128 devices"), "{wrong:?}: {told}");
    }
}
