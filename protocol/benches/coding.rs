//! Measures the erasure code on one core, beside a copy and a hash of the same bytes.
//!
//! `cargo bench -p larder-protocol --bench coding`
//! Times are CPU time of this process, so that a busy machine spoils them less (Linux). MB/s are bytes
//! of packs, per cent those of BLAKE3's speed: they say more about another machine.

use std::{error::Error, fs, hint::black_box};

use larder_protocol::{
    coding::{Coding, Recipe, ShardNumber},
    limits::GROUP_BYTES,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Long enough for a clock that ticks 100 times a second.
const NANOSECONDS_MIN: u64 = 400_000_000;

fn main() -> Outcome<()> {
    for mib in [1, 8, 32] {
        let noise = noise(mib << 20);
        let hash = rate(noise.len(), || {
            black_box(blake3::hash(black_box(&noise)));
        });
        let mut room = vec![0; noise.len()];
        let copy = rate(noise.len(), || black_box(&mut room).copy_from_slice(&noise));
        println!("shards of {mib} MiB: copy {copy} MB/s, BLAKE3 {hash} MB/s");
        for (data, shards) in [(2, 6), (3, 6), (4, 8), (4, 12)] {
            measure(Coding::new(data, shards)?, mib << 20, hash)?;
        }
    }
    Ok(())
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    noise
}

/// Nanoseconds that this process has been on a processor, where the system tells it.
fn cpu_time() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Nanoseconds that something takes, in the mean. One without a clock.
fn time(mut step: impl FnMut()) -> u64 {
    let mut rounds = 1;
    loop {
        let start = cpu_time();
        (0..rounds).for_each(|_| step());
        let Some(taken) = cpu_time().zip(start).map(|(end, start)| end - start) else { return 1 };
        if taken >= NANOSECONDS_MIN {
            return (taken / rounds).max(1);
        }
        rounds *= 2;
    }
}

fn rate(bytes: usize, step: impl FnMut()) -> u64 {
    u64::try_from(bytes).unwrap_or_default() * 1000 / time(step)
}

/// Parity from the pack; the pack from as many parity shards as there can be; 64 KiB of it.
fn measure(coding: Coding, shard_bytes: usize, hash: u64) -> Outcome<()> {
    let data = coding.data_shards();
    let all: Vec<ShardNumber> = coding.numbers().collect();
    let (first, parity) = all.split_at(usize::from(data));
    let lost = &first[..first.len().min(parity.len())];
    let left = &all[all.len() - first.len()..];
    // What stands in them makes no difference; with 32 MiB in each they are longer than a pack.
    let sources: Vec<Vec<u8>> = first.iter().map(|_| noise(shard_bytes)).collect();
    let mut room = vec![vec![0; shard_bytes]; parity.len()];
    let mut run = |from: &[ShardNumber], to: &[ShardNumber], bytes: usize| -> Outcome<u64> {
        let sources: Vec<&[u8]> = sources.iter().map(|source| &source[..bytes]).collect();
        Recipe::new(data, from, to)?.combine(&sources)?;
        Ok(time(|| {
            let mut results: Vec<&mut [u8]> =
                room.iter_mut().take(to.len()).map(|room| &mut room[..bytes]).collect();
            Recipe::new(data, from, to)
                .and_then(|recipe| recipe.combine_into(&sources, &mut results))
                .expect("it went well before");
        }))
    };
    let encode = run(first, parity, shard_bytes)?;
    let decode = run(left, lost, shard_bytes)?;
    let one = run(left, &lost[..1], usize::try_from(4 * GROUP_BYTES)?)?;
    let pack_bytes = u64::try_from(shard_bytes)? * u64::from(data);
    let told = |nanoseconds| {
        let rate = pack_bytes * 1000 / nanoseconds;
        format!("{rate:>5} MB/s {:>3} %", rate * 100 / hash.max(1))
    };
    println!(
        "  {data} of {:>2}: encode {}, decode {}, 64 KiB of a lost shard {:>3} us",
        coding.shards(),
        told(encode),
        told(decode),
        one / 1000,
    );
    Ok(())
}
