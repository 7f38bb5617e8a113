//! Real endpoints over loopback.

#![expect(clippy::as_conversions, reason = "small numbers in tests")]

mod downloads;
mod uploads;
mod world;
