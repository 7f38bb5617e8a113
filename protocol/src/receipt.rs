//! A holder's signed word that it keeps a shard.
//!
//! Issued only after the bytes are durable on the holder's disk. Source: specs/holding.md.

use minicbor::{Decode, Encode};

use crate::{
    ids::{DeviceId, VaultId},
    index::ShardRef,
    time::Timestamp,
};

/// What the holder signs, in the domain `larder receipt v1`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReceiptBody {
    /// The vault for which the shard is kept.
    #[n(0)]
    pub vault: VaultId,
    /// The shard.
    #[n(1)]
    pub shard: ShardRef,
    /// The holder, whose key signs.
    #[n(2)]
    pub holder: DeviceId,
    /// When the bytes became durable, by the holder's clock.
    #[n(3)]
    pub stored: Timestamp,
    /// The holder keeps the shard at least until then, whatever anybody asks.
    #[n(4)]
    pub keep_until: Timestamp,
}

/// A receipt with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Receipt {
    /// What is signed.
    #[n(0)]
    pub body: ReceiptBody,
    /// Ed25519 by `body.holder` over the domain and the canonical body.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub signature: [u8; 64],
}
