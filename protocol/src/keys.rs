//! Secrets: where each comes from and what it may be used for.
//!
//! Source: specs/keys.md.

pub mod epoch;
