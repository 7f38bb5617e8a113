//! What was backed up: directories, files and everything a file system says about them.
//!
//! A tree is a Merkle tree of directory nodes. Equal directories have equal nodes, so two
//! snapshots are compared in time proportional to what changed. Source: specs/tree.md.

pub mod builder;
pub mod diff;
pub mod entry;
pub mod node;
pub mod reach;
pub mod read;
#[cfg(test)]
mod sample;
mod split;
#[cfg(test)]
mod vectors;
