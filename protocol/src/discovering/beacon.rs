//! How a device makes itself known on its local network to those who know it, and to nobody else.
//!
//! ```text
//! beacon = nonce 16 | tag 16      tag: first 16 bytes of keyed(beacon key, nonce || day as u64)
//! ```
//! A beacon is shown to everybody in the same network. Whoever was told the beacon key recognises
//! the device; to all others it is 32 random bytes, others after every start and every day.
//! Source: specs/discovery.md.

use std::fmt;

use minicbor::{Decode, Encode};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{keys::DeviceKeys, time::Timestamp};

/// Length of a beacon.
pub const BEACON_BYTES: usize = 32;
/// Random bytes that it begins with.
pub const NONCE_BYTES: usize = 16;

/// By which others recognise the beacons of one device. Told to those who are let in, and to them
/// alone.
#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub struct BeaconKey(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

/// What a device shows on its local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Beacon([u8; BEACON_BYTES]);

impl BeaconKey {
    /// The key of a device in an epoch of its vault: another one once somebody was removed.
    pub fn derive(keys: &DeviceKeys, epoch: u32) -> Self {
        let seed = keys.signing_seed();
        let mut material = Zeroizing::new([0; 36]);
        material[..32].copy_from_slice(&*seed);
        material[32..].copy_from_slice(&epoch.to_le_bytes());
        Self(blake3::derive_key("larder 2026 beacon key v1", &*material))
    }

    /// A key as it was told.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The beacon to show until it [`is_stale`], with 16 random bytes that were never used.
    pub fn beacon(&self, nonce: [u8; NONCE_BYTES], now: Timestamp) -> Beacon {
        let mut beacon = [0; BEACON_BYTES];
        beacon[..NONCE_BYTES].copy_from_slice(&nonce);
        beacon[NONCE_BYTES..].copy_from_slice(&self.tag(&nonce, day(now)));
        Beacon(beacon)
    }

    /// Whether the device of this key showed this beacon yesterday, today or, by its clock, tomorrow.
    pub fn is_of(&self, beacon: &Beacon, now: Timestamp) -> bool {
        let (nonce, tag) = beacon.0.split_at(NONCE_BYTES);
        let today = day(now);
        let days = [today.saturating_sub(1), today, today.saturating_add(1)];
        days.into_iter().any(|day| self.tag(nonce, day) == *tag)
    }

    fn tag(&self, nonce: &[u8], day: u64) -> [u8; BEACON_BYTES - NONCE_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(nonce).update(&day.to_le_bytes());
        let mut tag = [0; BEACON_BYTES - NONCE_BYTES];
        hasher.finalize_xof().fill(&mut tag);
        tag
    }
}

impl fmt::Debug for BeaconKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeaconKey(secret)")
    }
}

impl Beacon {
    /// What somebody in the same network shows; it may be anything.
    pub const fn from_bytes(bytes: [u8; BEACON_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; BEACON_BYTES] {
        &self.0
    }
}

/// Whether a beacon that was made then is to be replaced: it is shown on its own day only.
pub const fn is_stale(made: Timestamp, now: Timestamp) -> bool {
    day(made) != day(now)
}

/// Days since 1970.
const fn day(now: Timestamp) -> u64 {
    now.0 / 86_400
}
