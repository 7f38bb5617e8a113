//! Verified ranges of shards, on the iroh-blobs wire (`/iroh-bytes/4`).
//!
//! A request names a BLAKE3 root and ranges; the answer is the length, then hash pairs and groups
//! in pre-order, each checked against the root before it is used. A stock iroh-blobs client can
//! fetch what it is allowed to; hash sequences, lists, pushes and observations are refused.

mod answer;
mod fetch;

pub(super) use answer::answer;
