//! Tests of `retention`.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR_S: u64 = 3600;

fn at(started: u64) -> Kept {
    Kept { started: Timestamp(started), complete: true, may_go: true }
}

fn kept(rules: Rules, started: &[u64]) -> Vec<u64> {
    let all: Vec<Kept> = started.iter().map(|started| at(*started)).collect();
    let chosen = rules.choose(&all);
    let stays = started.iter().zip(chosen).filter(|(_, stays)| *stays);
    stays.map(|(started, _)| *started).collect()
}

// RET-4
#[test]
fn years_and_months_are_those_of_the_calendar() {
    // Day by day through 500 years, leap years by their rule.
    let (mut year, mut month, mut of_month) = (1970_u64, 0_u64, 0_u64);
    for day in 0..500 * 366 {
        assert_eq!(year_and_month(day), (year, month), "day {day}");
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            1 => 28 + u64::from(is_leap),
            3 | 5 | 8 | 10 => 30,
            _ => 31,
        };
        of_month += 1;
        if of_month == days {
            (month, of_month) = (month + 1, 0);
        }
        if month == 12 {
            (year, month) = (year + 1, 0);
        }
    }
    // As large as a time can be.
    year_and_month(u64::MAX / DAY_S);
}

// RET-4
#[test]
fn weeks_begin_on_monday() {
    // 2026-11-22 was a Sunday, the 23rd a Monday.
    let sunday = 1_795_305_600;
    let week = |time| Period::Week.number(Timestamp(time), 0);
    assert_eq!(week(sunday) + 1, week(sunday + DAY_S));
    assert_eq!(week(sunday - 6 * DAY_S), week(sunday));
    assert_eq!(week(sunday + DAY_S), week(sunday + 7 * DAY_S));
}

// RET-1
#[test]
fn each_rule_keeps_the_newest_of_its_periods() {
    // Every six hours for ten days, from a midnight on.
    let start = 1_795_305_600;
    let all: Vec<u64> = (0..40).map(|n| start + n * 6 * HOUR_S).collect();
    let rules = Rules { last: 2, ..Rules::default() };
    assert_eq!(kept(rules, &all), all[38..]);
    let rules = Rules { daily: 3, ..Rules::default() };
    assert_eq!(kept(rules, &all), [all[31], all[35], all[39]]);
    // Sunday the 22nd, the week to the 29th, and two days of the next.
    let rules = Rules { weekly: 9, ..Rules::default() };
    assert_eq!(kept(rules, &all), [all[3], all[31], all[39]]);
    // November and December.
    let rules = Rules { monthly: 9, ..Rules::default() };
    assert_eq!(kept(rules, &all), [all[35], all[39]]);
    let rules = Rules { within_s: 12 * HOUR_S, ..Rules::default() };
    assert_eq!(kept(rules, &all), all[37..]);
}

// RET-1: periods without a snapshot do not count.
#[test]
fn a_pause_does_not_use_a_rule_up() {
    let (old, new) = (1_700_000_000, 1_795_305_600);
    let rules = Rules { daily: 2, ..Rules::default() };
    assert_eq!(kept(rules, &[old, old + 60, new]), [old + 60, new]);
}

// RET-2
#[test]
fn without_a_rule_everything_stays() {
    assert_eq!(kept(Rules::default(), &[1, 2, 3]), [1, 2, 3]);
}

// RET-3
#[test]
fn a_checkpoint_stays_until_a_complete_snapshot_is_begun_after_it() {
    let part = |started| Kept { started: Timestamp(started), complete: false, may_go: true };
    let rules = Rules { last: 1, ..Rules::default() };
    assert_eq!(rules.choose(&[part(1), at(2), at(3), part(4)]), [false, false, true, true]);
    assert_eq!(rules.choose(&[part(1), part(2)]), [true, true]);
    // It does not use a rule up.
    assert_eq!(rules.choose(&[at(1), part(2)]), [true, true]);
}

// RET-7
#[test]
fn what_the_choice_is_not_about_stays_and_counts() {
    let kept = Kept { may_go: false, ..at(DAY_S + 9) };
    let rules = Rules { daily: 2, ..Rules::default() };
    // It is the newest of its day, and it stays on a day that no rule keeps any more.
    let all = [at(1), at(DAY_S + 1), kept, at(2 * DAY_S), at(3 * DAY_S)];
    assert_eq!(rules.choose(&all), [false, false, true, true, true]);
    let all = [at(1), at(DAY_S + 1), kept, at(2 * DAY_S)];
    assert_eq!(rules.choose(&all), [false, false, true, true]);
}

// RET-8
#[test]
fn rules_are_read_as_they_are_written_and_nothing_else_is() {
    let span = |text: &str| text.strip_suffix('d')?.parse::<u64>().ok()?.checked_mul(DAY_S);
    let write = |seconds: u64| format!("{}d", seconds / DAY_S);
    let read = |text| Rules::parse(text, span);
    let rules = read(" daily 30 ,hourly  24, within 2d").unwrap();
    let wanted = Rules { hourly: 24, daily: 30, within_s: 2 * DAY_S, ..Rules::default() };
    assert_eq!(rules, wanted);
    assert_eq!(rules.text(write), "hourly 24, daily 30, within 2d");
    assert_eq!(read("off"), Some(Rules::default()));
    assert_eq!(Rules::default().text(write), "off");
    let all = "last 1, hourly 2, daily 3, weekly 4, monthly 5, yearly 6, within 7d";
    assert_eq!(read(all).unwrap().text(write), all);
    let bad = ["", "daily", "daily 0", "daily -1", "daily 3, daily 4", "within 0d", "within 3"];
    for text in
        bad.into_iter().chain(["within 1d, within 2d", "dayly 3", "daily 3,", "off, last 1"])
    {
        assert_eq!(read(text), None, "{text}");
    }
}

fn rules() -> impl Strategy<Value = Rules> {
    let few = 0_u32..4;
    (few.clone(), few.clone(), few.clone(), few.clone(), few.clone(), few, 0_u64..400_000).prop_map(
        |(last, hourly, daily, weekly, monthly, yearly, within_s)| Rules {
            last,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within_s,
        },
    )
}

fn snapshots() -> impl Strategy<Value = Vec<Kept>> {
    // Dense and sparse times, with repetitions.
    let time = prop_oneof![0_u64..2_000_000_000, 1_700_000_000_u64..1_700_400_000, 5_u64..9];
    let one = (time, proptest::bool::weighted(0.85), proptest::bool::weighted(0.8));
    let one = one.prop_map(|(time, complete, may_go)| Kept {
        started: Timestamp(time),
        complete,
        may_go,
    });
    proptest::collection::vec(one, 0..40)
}

/// What stays, by the words of the specification: period by period.
fn model(rules: &Rules, all: &[Kept]) -> Vec<bool> {
    let newest = (0..all.len()).filter(|i| all[*i].complete).max_by_key(|i| (all[*i].started, *i));
    let in_periods = |count: u32, period: Period| -> Vec<usize> {
        let mut by_period: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        for (index, one) in all.iter().enumerate().filter(|(_, one)| one.complete) {
            let of_time = if period == Period::Each { one.started.0 } else { 0 };
            let key = (of_time, period.number(one.started, index));
            let newest = by_period.entry(key).or_insert(index);
            if (one.started, index) > (all[*newest].started, *newest) {
                *newest = index;
            }
        }
        by_period.into_values().rev().take(usize::try_from(count).unwrap()).collect()
    };
    let chosen: Vec<usize> = [
        in_periods(rules.last, Period::Each),
        in_periods(rules.hourly, Period::Hour),
        in_periods(rules.daily, Period::Day),
        in_periods(rules.weekly, Period::Week),
        in_periods(rules.monthly, Period::Month),
        in_periods(rules.yearly, Period::Year),
    ]
    .concat();
    let stays = |index: usize| {
        let started = all[index].started.0;
        let end = newest.map_or(0, |newest| all[newest].started.0);
        rules.is_empty()
            || !all[index].may_go
            || Some(index) == newest
            || chosen.contains(&index)
            || (rules.within_s > 0 && started + rules.within_s >= end)
            || (!all[index].complete && newest.is_none_or(|newest| all[newest].started.0 < started))
    };
    (0..all.len()).map(stays).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    // RET-1, RET-2, RET-3, RET-7
    #[test]
    fn the_choice_is_that_of_the_plain_model(rules in rules(), all in snapshots()) {
        prop_assert_eq!(rules.choose(&all), model(&rules, &all));
    }

    // RET-2
    #[test]
    fn the_newest_complete_snapshot_always_stays(rules in rules(), all in snapshots()) {
        let chosen = rules.choose(&all);
        let complete: Vec<usize> = (0..all.len()).filter(|index| all[*index].complete).collect();
        if let Some(newest) = complete.iter().max_by_key(|index| (all[**index].started, **index)) {
            prop_assert!(chosen[*newest]);
        }
        prop_assert!(all.is_empty() || chosen.contains(&true));
    }

    // RET-5
    #[test]
    fn choosing_again_forgets_nothing_more(rules in rules(), all in snapshots()) {
        let chosen = rules.choose(&all);
        let left: Vec<Kept> =
            all.iter().zip(chosen).filter(|(_, stays)| *stays).map(|(one, _)| *one).collect();
        prop_assert!(rules.choose(&left).iter().all(|stays| *stays));
    }

    // RET-5
    #[test]
    fn another_rule_only_adds(one in rules(), other in rules(), all in snapshots()) {
        let both = Rules {
            last: one.last.max(other.last),
            hourly: one.hourly.max(other.hourly),
            daily: one.daily.max(other.daily),
            weekly: one.weekly.max(other.weekly),
            monthly: one.monthly.max(other.monthly),
            yearly: one.yearly.max(other.yearly),
            within_s: one.within_s.max(other.within_s),
        };
        let alone = one.choose(&all);
        prop_assume!(!one.is_empty());
        for (before, after) in alone.into_iter().zip(both.choose(&all)) {
            prop_assert!(after || !before);
        }
    }
}
