//! A holder's word, signed with a keyed hash: a receipt's Ed25519 would be most of a run's time.
//!
//! Not a signature: the verifier knows the key. In here nobody can look another's key up, which
//! is all that forging needs to be impossible.

use larder_protocol::receipt::{Receipt, ReceiptBody};

/// Signs as the holder that the body names.
pub(crate) fn sign(seed: u64, body: ReceiptBody) -> Receipt {
    let signature = mark(seed, &body);
    Receipt { body, signature }
}

/// Whether the holder named in it signed it.
pub(crate) fn verify(seed: u64, receipt: &Receipt) -> bool {
    let body = &receipt.body;
    body.keep_until >= body.stored && receipt.signature == mark(seed, body)
}

fn mark(seed: u64, body: &ReceiptBody) -> [u8; 64] {
    let mut hasher = blake3::Hasher::new_derive_key("larder 2026 simulation receipt v1");
    hasher.update(&seed.to_le_bytes());
    hasher.update(body.holder.as_bytes());
    hasher.update(body.vault.as_bytes());
    hasher.update(body.shard.root.as_bytes());
    for number in [body.shard.bytes, body.stored.0, body.keep_until.0] {
        hasher.update(&number.to_le_bytes());
    }
    let mut signature = [0; 64];
    hasher.finalize_xof().fill(&mut signature);
    signature
}
