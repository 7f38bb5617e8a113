//! The memory of data packs, used again while packs come fast: fresh memory costs a fault for each
//! page of it. Where they come slowly, the memory is worth more than the faults.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use larder_protocol::limits::DATA_PACK_BYTES;

/// Buffers that wait at most; more are given back to the system.
const WAITING_MAX: usize = 2;
/// Two packs within this time come fast: more than 100 MB a second.
const FAST: Duration = Duration::from_millis(250);

/// Buffers that hold no pack at the moment.
#[derive(Default)]
pub(super) struct Buffers(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    buffers: Vec<Vec<u8>>,
    given: Option<Instant>,
}

impl Buffers {
    /// An empty one, with room for any data pack.
    pub(super) fn take(&self) -> Vec<u8> {
        let mut waiting = self.0.lock().expect("no code panics while holding this lock");
        // Untouched memory is not there yet: a small pack takes as little as it needs.
        let fresh = || Vec::with_capacity(DATA_PACK_BYTES + DATA_PACK_BYTES / 32);
        waiting.buffers.pop().unwrap_or_else(fresh)
    }

    /// Takes one back; what it holds is of no more use.
    pub(super) fn give(&self, mut buffer: Vec<u8>) {
        let mut waiting = self.0.lock().expect("no code panics while holding this lock");
        let before = waiting.given.replace(Instant::now());
        let is_fast = before.is_some_and(|before| before.elapsed() < FAST);
        if !is_fast {
            waiting.buffers.clear();
        } else if waiting.buffers.len() < WAITING_MAX {
            buffer.clear();
            waiting.buffers.push(buffer);
        }
    }
}
