//! Real endpoints over loopback.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init,
    reason = "small numbers, lists of one range"
)]

mod bounds;
mod downloads;
mod hostile;
mod speed;
mod uploads;
mod vectors;
mod world;
