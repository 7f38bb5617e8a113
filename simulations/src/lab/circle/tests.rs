//! Circles followed event by event, with an eye that sees everything.

use super::*;
use crate::lab::{fleet, numbers::law::Law, scenario::Scenario};

const FAMILY: &str = include_str!("../../../scenarios/lab/three-houses.toml");

fn plan(text: &str, change: impl Fn(&mut Scenario)) -> Plan {
    let mut scenario = Scenario::read(text).expect("the scenario is sound");
    change(&mut scenario);
    scenario.check().expect("it still is");
    Plan::new(scenario)
}

impl Circle<'_> {
    /// One event; false at the end.
    fn step(&mut self) -> bool {
        let (at, slot) = self.agenda.next();
        self.now = at;
        let event = self.slots.event(slot);
        if event != Event::End {
            self.handle(event);
        }
        event != Event::End
    }

    /// Nothing fails or goes away any more, and everything lost is replaced.
    fn heal(&mut self, days: f64) {
        for slot in 0..self.slots.slot(Event::End) {
            let stays = matches!(
                self.slots.event(slot),
                Event::Missed(_) | Event::Arrived(_) | Event::Back(_)
            );
            if !stays {
                self.agenda.set(slot, NEVER);
            }
        }
        let end = self.now + whole(days * DAY_MS);
        self.set(Event::End, end);
        (self.awake, self.cut) = (self.plan.all(), 0);
        self.refresh(Devices::MAX);
        while self.step() {
            // New devices neither fail nor wear out.
            for device in 0..self.plan.devices.len() {
                self.set(Event::Loss(device), NEVER);
                self.set(Event::Renewed(device), NEVER);
            }
        }
    }

    fn breaks(&self) -> Option<String> {
        for (number, group) in self.groups.iter().enumerate() {
            if group.held & !self.alive != 0 {
                return Some(format!("group {number} is held by the lost: {group:?}"));
            }
        }
        for (number, vault) in self.vaults.iter().enumerate() {
            let takes = vault.flow.as_ref().map_or(0, Flow::takes);
            if takes & !self.on != 0 {
                return Some(format!("vault {number} moves bytes of the absent"));
            }
            let waits = vault.restoring_since.is_some();
            if waits && self.to_restore(number).is_empty() && self.has_source(number) {
                return Some(format!("vault {number} waits for nothing"));
            }
            // What could be under way is: restores before repairs.
            let mut split = self.clone();
            split.vaults[number].flow = None;
            split.restore_first(number);
            let restore = split.vaults[number].flow.is_some();
            let moves_files = vault.flow.as_ref().is_some_and(|flow| flow.cause == flow::RESTORE);
            if restore && !moves_files {
                return Some(format!("vault {number} could restore at {}", self.now));
            }
            if vault.flow.is_none() && split.next_repair(number).is_some() {
                return Some(format!("vault {number} could repair at {}", self.now));
            }
        }
        None
    }

    fn has_source(&self, number: usize) -> bool {
        self.vaults[number].source.is_some_and(|source| self.on & only(source) != 0)
    }
}

/// Much is lost, lines are poor.
fn hard_times(scenario: &mut Scenario) {
    scenario.profile.class.values_mut().for_each(|class| class.loss_per_year *= 6.0);
    scenario.profile.houses.loss_per_year = 0.2;
    scenario.vaults.gb = 100.0;
}

// LAB-10
#[test]
fn lab_10_no_restore_and_no_repair_waits_that_could_go_on() {
    let plan = plan(FAMILY, hard_times);
    for number in 0..6 {
        let mut circle = Circle::new(&plan, number);
        while circle.step() {
            assert_eq!(circle.breaks(), None, "circle {number}");
        }
    }
}

// LAB-10
#[test]
fn lab_10_once_nothing_fails_all_that_is_not_gone_is_restored_and_whole() {
    for is_coded in [false, true] {
        let plan = plan(FAMILY, |scenario| {
            hard_times(scenario);
            if is_coded {
                (scenario.policy.k, scenario.policy.n) = (2, Some(4));
            }
        });
        let (mut lost, mut restored) = (0, 0);
        for number in 0..40 {
            let mut circle = Circle::new(&plan, number);
            while circle.step() {}
            circle.heal(2_000.0);
            for group in &circle.groups {
                if group.is_dead() {
                    lost += 1;
                    continue;
                }
                assert!(group.original && group.standing == Standing::Placed, "{group:?}");
                assert_eq!(group.below_since, None, "circle {number}: {group:?}");
                let houses = plan.houses.iter().filter(|house| **house & group.held != 0);
                assert!(houses.count() >= 2, "circle {number}: {group:?}");
            }
            assert!(circle.vaults.iter().all(|vault| vault.restoring_since.is_none()));
            restored += circle.tally.restore.count();
        }
        assert!(lost > 0 && restored > 10, "{lost} groups lost, {restored} restores");
    }
}

// LAB-10
#[test]
fn lab_10_a_restore_goes_on_where_it_was_and_waits_for_no_repair() {
    let plan = plan(FAMILY, |scenario| scenario.profile.people.say_days = None);
    let mut circle = Circle::new(&plan, 3);
    let source = plan.sources[0];
    circle.lose(only(source), "a test");
    circle.replaced(source);
    (circle.awake, circle.cut) = (plan.all(), 0);
    circle.refresh(Devices::MAX);
    let begun = circle.vaults[0].flow.clone().expect("it begins");
    assert_eq!((begun.cause, begun.target), (flow::RESTORE, source));
    circle.now += 3_600_000;
    circle.awake = plan.all() & !only(source);
    circle.refresh(Devices::MAX);
    assert!(circle.vaults[0].flow.is_none());
    circle.now += 3_600_000;
    circle.awake = plan.all();
    // Nothing is short: the restore alone makes it look.
    circle.vaults.iter_mut().for_each(|vault| vault.is_short = false);
    circle.refresh(Devices::MAX);
    let again = circle.vaults[0].flow.clone().expect("it goes on");
    assert_eq!((again.group, again.target), (begun.group, source));
    assert!(again.left < begun.left, "an hour of it was for nothing");
}

// LAB-10
#[test]
fn lab_10_protection_is_missed_when_copies_are_too_few_and_not_before() {
    let plan = plan(FAMILY, |_| {});
    let mut circle = Circle::new(&plan, 0);
    let (held, vault) = (circle.groups[0].held, circle.groups[0].vault);
    let source = circle.vaults[vault].source.expect("it has one");
    // A third copy, at the third house, that is not needed.
    let others = plan.houses.iter().filter(|house| **house & held == 0);
    let free = others.fold(0, |set, house| set | house) & plan.holders() & !only(source);
    let third = each(free).next().expect("there is a third house");
    circle.groups[0].held |= only(third);
    circle.lose_contents(only(third), "a test", "a loss");
    assert_eq!(circle.groups[0].below_since, None);
    let first = each(held).next().expect("it is held");
    circle.lose_contents(only(first), "a test", "a loss");
    assert_eq!(circle.groups[0].below_since, Some(circle.now));
}

// LAB-10
#[test]
fn lab_10_files_that_were_never_backed_up_are_lost_with_their_device() {
    let plan = plan(FAMILY, |scenario| scenario.vaults.empty = true);
    let mut circle = Circle::new(&plan, 0);
    circle.lose(only(plan.sources[0]), "a test");
    let lost = circle.groups.iter().filter(|group| group.is_dead()).count();
    assert_eq!(lost, 4, "one vault of four groups");
    assert_eq!(circle.tally.protection.unfinished(), 4);
}

// LAB-13
#[test]
fn lab_13_a_circle_starts_as_if_the_product_had_placed_everything() {
    let unavailable = |is_empty: bool, gb: f64| {
        let plan = plan(FAMILY, |scenario| {
            let world = &mut scenario.profile;
            world.shock.clear();
            world.houses.loss_per_year = 0.0;
            world.houses.uplink_mbit = Law::Constant { value: 30.0 };
            for class in world.class.values_mut() {
                (class.loss_per_year, class.replaced_per_year) = (0.0, 0.0);
            }
            (scenario.vaults.empty, scenario.vaults.gb) = (is_empty, gb);
        });
        let looks = fleet::run_here(&plan, 600).looks.map(float);
        looks[1] / looks[0]
    };
    // Sent as the lines allow, in pieces that are small as packs are, and given as settling gives them.
    let (sent, given) = (unavailable(true, 4.0), unavailable(false, 4.0));
    println!("sent {sent}, given {given}");
    assert!((sent - given).abs() < 0.015, "{sent} when it is sent, {given} when it is given");
}

// LAB-2
#[test]
fn lab_2_devices_that_are_replaced_in_time_fail_as_often_as_in_the_long_run() {
    let lost_a_year = |years: f64| {
        let plan = plan(FAMILY, |scenario| {
            let world = &mut scenario.profile;
            world.shock.clear();
            world.houses.loss_per_year = 0.0;
            for class in world.class.values_mut() {
                // Most wear out after ten years, and few become so old.
                (class.loss_per_year, class.shape) = (0.1, Some(4.0));
                class.replaced_per_year = 0.25;
                class.presence = crate::lab::scenario::Presence::Always;
            }
            scenario.vaults.gb = 0.001;
            scenario.years = years;
        });
        let circles = whole(20_000.0 / years);
        float(fleet::run_here(&plan, circles).devices_lost) / float(circles) / years
    };
    let (first, long) = (lost_a_year(1.0), lost_a_year(40.0));
    println!("{first} in the first year, {long} in the long run");
    assert!((first / long - 1.0).abs() < 0.1, "{first} in the first year, {long} in the long run");
}
