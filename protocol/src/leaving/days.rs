//! Days that a node has seen go by: what a wait counts that no clock can cut short.
//!
//! A clock that jumps ahead by a year is one day, so is every hour of one day; a clock that is set back
//! stops the count until it is caught up with.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    cbor,
    limits::{LEAVING_DAY_S, LEAVING_DAYS},
    time::Timestamp,
};

/// How many days were seen since something began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct DaysSeen {
    /// Version of the record, 1.
    #[n(0)]
    version: u16,
    /// The wish that the wait is for.
    #[n(1)]
    since: u64,
    /// Days.
    #[n(2)]
    days: u32,
    /// When the last of them was counted.
    #[n(3)]
    last: Timestamp,
}

/// Not a record of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the count of days is damaged")]
pub struct NoDays;

impl DaysSeen {
    /// Begins to count, for a wish.
    pub const fn begin(since: u64, now: Timestamp) -> Self {
        Self { version: 1, since, days: 0, last: now }
    }

    /// The wish that the wait is for.
    pub const fn since(&self) -> u64 {
        self.since
    }

    /// The count after a look at the clock, if it is another one.
    pub fn seen(self, now: Timestamp) -> Option<Self> {
        if now < self.last {
            // Set back: from here on it is this clock that counts.
            return Some(Self { last: now, ..self });
        }
        let is_over = now.0 - self.last.0 >= LEAVING_DAY_S;
        is_over.then(|| Self { days: self.days.saturating_add(1), last: now, ..self })
    }

    /// Days that are left.
    pub const fn left(&self) -> u32 {
        LEAVING_DAYS.saturating_sub(self.days)
    }

    /// The record that is kept.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`NoDays`]: the wait begins anew.
    pub fn decode(bytes: &[u8]) -> Result<Self, NoDays> {
        let days: Self = cbor::decode(bytes, 64).map_err(|_| NoDays)?;
        if days.version == 1 { Ok(days) } else { Err(NoDays) }
    }
}
