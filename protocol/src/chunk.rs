//! File bytes to chunks: where to cut, what to join, how to compress.
//!
//! Nothing here seals or stores; see [`pack`](crate::pack). Source: specs/chunk.md.

pub mod bundle;
mod chunker;
pub mod codec;

pub use chunker::Chunker;
