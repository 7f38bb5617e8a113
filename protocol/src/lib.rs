//! Larder's core: what every byte means, and every decision about people's data.
//!
//! Pure functions (chunk, compress, seal, hash, encode) and state machines without I/O. Nothing
//! here reads a clock, opens a file or socket, starts a thread or draws randomness: time and
//! random bytes come in as arguments, facts come in as inputs, orders go out as outputs. The same
//! code therefore runs in a device and, millions of device-years long, in the simulator.
//!
//! Map of the crate, from bytes to decisions:
//!
//! | module | holds |
//! |---|---|
//! | [`ids`], [`limits`], [`time`], [`cbor`] | names, bounds, time as a number, canonical encoding |
//! | [`keys`] | recovery phrase, device keys, epoch keys and how they are wrapped |
//! | [`chunk`], [`pack`], [`index`] | file bytes to sealed chunks to packs, and where each chunk is |
//! | [`coding`] | packs as shards, any few of which give a pack back |
//! | [`tree`], [`snapshot`], [`manifest`], [`head`] | what was backed up, and the one commit point |
//! | [`log`] | the vault's signed record of its devices |
//! | [`receipt`], [`ticket`], [`pairing`], [`wire`] | what devices say to each other |
//! | [`meeting`] | a code of three words that brings an invitation over |
//! | [`placing`], [`holding`], [`auditing`], [`recovering`], [`fetching`] | the machines that decide |
//! | [`drilling`] | what a restore drill reads, and what it means when that fails |
//! | [`recurring`] | the machine that decides when a device backs up by itself |
//! | [`scrubbing`] | the machine that decides when the own disk is read back |
//! | [`watching`] | which holders are there, and which are presumed lost |
//! | [`discovering`] | which of those who show themselves on the local network are ours |
//! | [`locating`] | how a phrase alone leads to those who hold its vault |
//! | [`guarding`] | relatives of whom a few can give the phrase back, after a delay |
//! | [`tending`] | how holders keep up the copies of a vault whose devices are silent |
//! | [`leaving`] | how two vaults of a circle go apart without either losing anything |
//! | [`rekeying`] | what is made anew under the newest key, in which order and how often |
//! | [`relaying`] | whom a relay lets in, and how a relay is written |
//! | [`proof`] | that somebody has one chunk of a shard |
//! | [`retention`] | which snapshots stay |
//!
//! Source of every format: the page of the same name in `specs/`.

pub mod auditing;
pub mod cbor;
pub mod chunk;
pub mod claiming;
pub mod coding;
pub mod collecting;
pub mod discovering;
pub mod drilling;
pub mod errands;
pub mod fetching;
pub mod guarding;
pub mod head;
pub mod holding;
pub mod ids;
pub mod index;
pub mod keys;
pub mod leaving;
pub mod limits;
pub mod locating;
pub mod log;
pub mod manifest;
pub mod meeting;
pub mod order;
pub mod pacing;
pub mod pack;
pub mod pairing;
pub mod peer;
pub mod placing;
pub mod proof;
pub mod receipt;
pub mod recovering;
pub mod recurring;
pub mod rekeying;
pub mod relaying;
pub mod retention;
pub mod scrubbing;
mod signed;
pub mod snapshot;
pub mod tending;
pub mod text;
pub mod ticket;
pub mod time;
pub mod trail;
pub mod tree;
pub mod watching;
pub mod wire;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod vectors;
