//! The chain of a family once more, by means that have nothing in common with the solver that it is held
//! against: every state is kept apart, no two houses are taken for alike, and the equations of
//! the chances are followed through the year in small steps (Runge and Kutta, fourth order).

use crate::lab::numbers::{chain::Houses, count, float, whole};

/// Steps for each time that the fastest state is left.
const STEPS: f64 = 12.0;

/// Chance that fewer shards than needed are left at any time within a year.
pub(super) fn lost_in_a_year(family: &Houses) -> f64 {
    let moves = moves(family);
    let states = moves.len();
    let fastest = moves.iter().map(|it| it.iter().map(|(_, rate)| rate).sum::<f64>());
    let steps = whole(fastest.fold(0.0, f64::max) * STEPS).max(100);
    let step = 1.0 / float(steps);
    // The last one is the end.
    let mut now = vec![0.0; states + 1];
    now[states - 1] = 1.0;
    let change = |at: &[f64]| {
        let mut change = vec![0.0; states + 1];
        for (from, moves) in moves.iter().enumerate() {
            for (to, rate) in moves {
                let flow = at[from] * rate;
                change[from] -= flow;
                change[*to] += flow;
            }
        }
        change
    };
    let moved = |at: &[f64], by: &[f64], part: f64| -> Vec<f64> {
        at.iter().zip(by).map(|(at, by)| at + by * part).collect()
    };
    for _ in 0..steps {
        let first = change(&now);
        let second = change(&moved(&now, &first, step / 2.0));
        let third = change(&moved(&now, &second, step / 2.0));
        let fourth = change(&moved(&now, &third, step));
        for (state, chance) in now.iter_mut().enumerate() {
            let inner = 2.0 * (second[state] + third[state]);
            *chance += step / 6.0 * (first[state] + inner + fourth[state]);
        }
    }
    now[states]
}

/// A state is a number with one digit for each house: the shards that live there.
fn moves(family: &Houses) -> Vec<Vec<(usize, f64)>> {
    let base = family.shards + 1;
    let places: Vec<usize> = (0..family.houses)
        .scan(1, |place, _| {
            let this = *place;
            *place *= base;
            Some(this)
        })
        .collect();
    let states = places.iter().fold(1, |all, _| all * base);
    let of_state = |state: usize| {
        let lives = |place: &usize| state / place % base;
        let all: usize = places.iter().map(lives).sum();
        let mut moves = Vec::new();
        if all < family.needed {
            return moves;
        }
        let end = |to: usize, gone: usize| if all - gone < family.needed { states } else { to };
        for place in &places {
            let live = lives(place);
            if live > 0 {
                moves.push((end(state - place, 1), count(live) * family.shard_fails));
                moves.push((end(state - place * live, live), family.house_fails));
            }
            if live < family.shards {
                moves.push((state + place, count(family.shards - live) * family.repairs));
            }
        }
        moves
    };
    (0..states).map(of_state).collect()
}
