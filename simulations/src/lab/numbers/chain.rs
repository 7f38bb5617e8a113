//! Exact answers for small Markov chains in continuous time, against which the simulation is held.
//!
//! Nothing is ever subtracted: mean times by the elimination of Grassmann, Taksar and Heyman, the
//! chance of having arrived by uniformisation, so that 10^-12 has as many right digits as 10^-2.

/// A chain of states 0 to `n - 1`, and one more that is never left: the end.
#[derive(Debug, Clone, Default)]
pub struct Chain {
    /// Of each state: to which others, and how often in a unit of time.
    moves: Vec<Vec<(usize, f64)>>,
    /// Of each state: how often the end is reached in a unit of time.
    ends: Vec<f64>,
}

impl Chain {
    /// A chain of so many states that nothing moves yet.
    pub fn new(states: usize) -> Self {
        Self { moves: vec![Vec::new(); states], ends: vec![0.0; states] }
    }

    /// Adds a move.
    pub fn add(&mut self, from: usize, to: usize, rate: f64) {
        if from != to && rate > 0.0 {
            self.moves[from].push((to, rate));
        }
    }

    /// Adds a move to the end.
    pub fn add_end(&mut self, from: usize, rate: f64) {
        self.ends[from] += rate;
    }

    /// Mean time from state 0 to the end.
    ///
    /// States are eliminated from the last to the first. What flows out of a state is the sum of
    /// what flows elsewhere, never one minus what stays.
    pub fn mean_time(&self) -> f64 {
        let states = self.ends.len();
        let mut rates = vec![vec![0.0; states]; states];
        for (from, moves) in self.moves.iter().enumerate() {
            moves.iter().for_each(|(to, rate)| rates[from][*to] += rate);
        }
        let (mut ends, mut stays) = (self.ends.clone(), vec![1.0; states]);
        for gone in (1..states).rev() {
            let out = ends[gone] + rates[gone][..gone].iter().sum::<f64>();
            let row = rates[gone].clone();
            for from in 0..gone {
                let share = rates[from][gone] / out;
                for to in (0..gone).filter(|to| *to != from) {
                    rates[from][to] += share * row[to];
                }
                ends[from] += share * ends[gone];
                stays[from] += share * stays[gone];
            }
        }
        stays[0] / ends[0]
    }

    /// Chance that the end was reached within `time` from state 0.
    ///
    /// Steps of a uniformised chain, each weighed by the Poisson chance of that many; the chance
    /// of having ended only grows, so every summand is positive.
    pub fn ended_within(&self, time: f64) -> f64 {
        let out = |state: usize| {
            self.ends[state] + self.moves[state].iter().map(|(_, rate)| rate).sum::<f64>()
        };
        let fastest = (0..self.ends.len()).map(out).fold(0.0, f64::max);
        if fastest <= 0.0 {
            return 0.0;
        }
        // Twice the fastest: what stays is then never the small difference of two large numbers.
        let pace = 2.0 * fastest;
        let mean = pace * time;
        let steps = super::whole(mean + 12.0 * mean.sqrt() + 60.0);
        let mut now = vec![0.0; self.ends.len()];
        now[0] = 1.0;
        let (mut ended, mut result, mut log_weight) = (0.0, 0.0, -mean);
        for step in 0..=steps {
            result += libm::exp(log_weight) * ended;
            log_weight += libm::log(mean) - libm::log(super::float(step + 1));
            let mut next = vec![0.0; now.len()];
            for (from, chance) in now.iter().enumerate().filter(|(_, chance)| **chance > 0.0) {
                ended += chance * (self.ends[from] / pace);
                next[from] += chance * (1.0 - out(from) / pace);
                for (to, rate) in &self.moves[from] {
                    next[*to] += chance * (rate / pace);
                }
            }
            now = next;
        }
        result
    }
}

/// Copies of one thing that fail alone and are repaired one after the other (Ford and others, 2010).
/// Lost when fewer than `needed` of `copies` are left.
pub fn serial_repair(copies: u32, needed: u32, fails: f64, repairs: f64) -> Chain {
    let states = usize::try_from(copies - needed + 1).unwrap_or(1);
    let mut chain = Chain::new(states);
    for (state, left) in (0..states).zip((needed..=copies).rev()) {
        let rate = f64::from(left) * fails;
        if state + 1 < states {
            chain.add(state, state + 1, rate);
        } else {
            chain.add_end(state, rate);
        }
        if state > 0 {
            chain.add(state, state - 1, repairs);
        }
    }
    chain
}

/// A group of shards in houses.
#[derive(Debug, Clone, Copy)]
pub struct Houses {
    /// How many houses.
    pub houses: usize,
    /// Shards in each.
    pub shards: usize,
    /// So many shards give the pack back.
    pub needed: usize,
    /// A shard is lost so often a year.
    pub shard_fails: f64,
    /// All shards of a house are lost so often a year.
    pub house_fails: f64,
    /// Each missing shard is repaired so often a year.
    pub repairs: f64,
}

impl Houses {
    /// Its chain; a state is how many shards live in each house, in descending order, for houses are alike.
    pub fn chain(&self) -> Chain {
        let full = vec![self.shards; self.houses];
        let mut states = std::collections::BTreeMap::from([(full.clone(), 0_usize)]);
        let mut open = vec![full];
        let mut moves = Vec::new();
        while let Some(state) = open.pop() {
            let from = states[&state];
            for (mut to, rate) in self.moves_from(&state) {
                to.sort_unstable_by(|a, b| b.cmp(a));
                if to.iter().sum::<usize>() < self.needed {
                    moves.push((from, None, rate));
                    continue;
                }
                let next = states.len();
                let to_number = *states.entry(to.clone()).or_insert_with(|| {
                    open.push(to);
                    next
                });
                moves.push((from, Some(to_number), rate));
            }
        }
        let mut chain = Chain::new(states.len());
        for (from, to, rate) in moves {
            match to {
                Some(to) => chain.add(from, to, rate),
                None => chain.add_end(from, rate),
            }
        }
        chain
    }

    fn moves_from(&self, state: &[usize]) -> Vec<(Vec<usize>, f64)> {
        let mut moves = Vec::new();
        for (house, live) in state.iter().enumerate() {
            let with = |live: usize| {
                let mut to = state.to_vec();
                to[house] = live;
                to
            };
            if *live > 0 {
                moves.push((with(live - 1), super::count(*live) * self.shard_fails));
                moves.push((with(0), self.house_fails));
            }
            if *live < self.shards {
                moves.push((with(live + 1), super::count(self.shards - live) * self.repairs));
            }
        }
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_near(value: f64, expected: f64, tolerance: f64) {
        assert!((value / expected - 1.0).abs() < tolerance, "{value} is not {expected}");
    }

    // LAB-3
    #[test]
    fn lab_3_mean_times_are_those_of_the_closed_forms() {
        let (l, r) = (8.1345e-3, 66.013);
        is_near(serial_repair(2, 1, l, r).mean_time(), (3.0 * l + r) / (2.0 * l * l), 1e-13);
        let three = (11.0 * l * l + 4.0 * l * r + r * r) / (6.0 * l * l * l);
        is_near(serial_repair(3, 1, l, r).mean_time(), three, 1e-13);
        // So rare that plain elimination loses every digit: the leading term of the exact answer.
        let (s, needed) = (15_u32, 9_u32);
        let falling: f64 = (needed..=s).map(f64::from).product();
        let leading = libm::pow(1e6, 6.0) / (libm::pow(1e-3, 7.0) * falling);
        is_near(serial_repair(s, needed, 1e-3, 1e6).mean_time(), leading, 1e-7);
    }

    #[test]
    fn chances_are_those_of_the_closed_forms() {
        let mut chain = Chain::new(1);
        chain.add_end(0, 0.3);
        is_near(chain.ended_within(2.0), -libm::expm1(-0.6), 1e-12);
        chain = Chain::new(1);
        chain.add_end(0, 1e-14);
        is_near(chain.ended_within(1.0), 1e-14, 1e-9);
        // Without repair: binomial.
        let alone = Houses {
            houses: 4,
            shards: 1,
            needed: 2,
            shard_fails: 0.1,
            house_fails: 0.0,
            repairs: 0.0,
        };
        let p = -libm::expm1(-0.1);
        let expected = libm::pow(p, 4.0) + 4.0 * libm::pow(p, 3.0) * (1.0 - p);
        is_near(alone.chain().ended_within(1.0), expected, 1e-11);
    }
}
