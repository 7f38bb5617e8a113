//! The control protocol: what nodes say to each other beside moving shards.
//!
//! ALPN `larder/control/1`. One bidirectional stream per request: a request frame, an answer
//! frame; [`message::Request::Put`] alone is followed by raw shard bytes and a second answer. A frame is a
//! `u32` little-endian length and that many bytes of canonical CBOR.
//! Source: specs/control_protocol.md.

pub mod frame;
pub mod message;
pub mod validity;

#[cfg(test)]
mod vectors;
