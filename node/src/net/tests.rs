//! Real endpoints over loopback.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "small numbers in tests"
)]

mod bounds;
mod downloads;
mod hostile;
mod uploads;
mod world;
