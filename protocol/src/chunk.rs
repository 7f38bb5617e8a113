//! File bytes to chunks: where to cut, what to join, how to compress.
//!
//! Nothing here seals or stores; see [`pack`](crate::pack). Source: specs/chunk.md.

pub mod bundle;
mod chunker;
pub mod codec;
#[cfg(test)]
pub(crate) mod vectors;

pub use chunker::Chunker;
