//! Many circles, as a stream: a block of them on each thread, and what they count added up in the
//! order of circles, so that the number of threads changes nothing.

use rayon::prelude::*;

use super::{circle::Circle, plan::Plan, tally::Tally};

/// Circles of one block.
const BLOCK: u64 = 64;

/// Runs circles `first` to `first + circles - 1`.
///
/// # Errors
/// When the threads cannot be started.
pub fn run(
    plan: &Plan,
    circles: u64,
    threads: usize,
) -> Result<Tally, rayon::ThreadPoolBuildError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    Ok(pool.install(|| run_here(plan, circles)))
}

/// The same on the threads that there are.
pub fn run_here(plan: &Plan, circles: u64) -> Tally {
    let blocks = circles.div_ceil(BLOCK);
    let block = |block: u64| {
        let mut sum = Tally::default();
        for circle in block * BLOCK..((block + 1) * BLOCK).min(circles) {
            sum.merge(&Circle::new(plan, circle).run());
        }
        sum
    };
    let blocks: Vec<Tally> = (0..blocks).into_par_iter().map(block).collect();
    let mut sum = Tally::default();
    blocks.iter().for_each(|block| sum.merge(block));
    sum
}
