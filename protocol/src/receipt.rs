//! A holder's signed word that it keeps a shard.
//!
//! Issued only after the bytes are durable on the holder's disk. Source: specs/holding.md.

use minicbor::{Decode, Encode};

use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    index::ShardRef,
    keys::{DeviceKeys, sign, verify},
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

impl Receipt {
    /// Signs `body` as the holder that it names; `None` when it names another.
    pub fn sign(body: ReceiptBody, holder: &DeviceKeys) -> Option<Self> {
        let signature = holder.sign(sign::RECEIPT, &cbor::encode(&body));
        (body.holder == holder.id()).then_some(Self { body, signature })
    }

    /// Whether the holder named in it signed it, for a shard and times that can be. Whether it is
    /// the holder, vault and shard that were expected is for the caller to compare.
    pub fn verify(&self) -> bool {
        let body = &self.body;
        let plausible = body.shard.is_plausible() && body.keep_until >= body.stored;
        plausible && verify(sign::RECEIPT, &body.holder, &cbor::encode(body), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ShardRoot;

    fn body(holder: DeviceId) -> ReceiptBody {
        ReceiptBody {
            vault: VaultId::from_bytes([1; 32]),
            shard: ShardRef { root: ShardRoot::from_bytes([2; 32]), bytes: 16_384 },
            holder,
            stored: Timestamp(1_000),
            keep_until: Timestamp(1_000).after_days(30),
        }
    }

    // KEYS-11
    #[test]
    fn a_receipt_is_the_word_of_the_holder_it_names() {
        let holder = DeviceKeys::from_seeds([1; 32], [2; 32]);
        let other = DeviceKeys::from_seeds([3; 32], [4; 32]);
        let receipt = Receipt::sign(body(holder.id()), &holder).unwrap();
        assert!(receipt.verify());
        assert_eq!(Receipt::sign(body(holder.id()), &other), None);
        let mut taken_over = receipt.clone();
        taken_over.body.holder = other.id();
        let mut longer = receipt.clone();
        longer.body.keep_until = Timestamp(u64::MAX);
        let mut larger = receipt.clone();
        larger.body.shard.bytes += 1;
        let mut foreign = receipt;
        foreign.body.vault = VaultId::from_bytes([9; 32]);
        for forged in [taken_over, longer, larger, foreign] {
            assert!(!forged.verify());
        }
    }

    #[test]
    fn a_receipt_that_ends_before_it_begins_is_none() {
        let holder = DeviceKeys::from_seeds([1; 32], [2; 32]);
        let mut body = body(holder.id());
        body.keep_until = Timestamp(0);
        assert!(!Receipt::sign(body, &holder).unwrap().verify());
    }
}
