//! The lab: would the backup of this circle survive the years, and what would help it most.
//!
//! Another engine than the fuzzer beside it. Nothing is a message here: an event is that a device
//! comes or goes, is lost, is missed, or that bytes have arrived, so that a circle of twelve has
//! ten thousand events in a year and a million devices are a stream of circles.
//!
//! ```text
//!  scenario (TOML) ──> plan ──┬─> circle 0 ─┐
//!  timeline of shocks ────────┼─> circle 1 ─┼─> tally ──> estimates ──> report
//!   (made once, read only)    └─> circle … ─┘   (integers, in the order of circles)
//! ```
//! What the product decides comes from `larder_protocol`: when a holder is presumed lost
//! (`watching::limit_s`), how many copies are wanted and whose turn it is (`placing`).
//!
//! **Invariant:** one scenario and seed give the same bytes with any number of threads, in debug
//! and release: each circle has its own streams of chance, and sums are taken in the order of circles.
//!
//! Requirements: specs/lab.md.

pub mod agenda;
pub mod circle;
pub mod fleet;
pub mod numbers;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod tally;
pub mod validate;
