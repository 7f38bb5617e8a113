//! Identifiers: 32-byte names that cannot be confused with one another.
//!
//! Shown as lower-case hex; a unique prefix is enough for a person to name one.
//! Source: specs/terminology.md.

use std::{cmp::Ordering, fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use minicbor::{Decode, Encode};
use thiserror::Error;

/// A text that is not the hex form of an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an identifier is 64 hex digits, this text is not")]
pub struct ParseIdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
        #[cbor(transparent)]
        pub struct $name(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

        impl $name {
            /// Wraps 32 bytes that are already known to be this kind of identifier.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first 8 hex digits: enough for people and logs, never for decisions.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(8);
                text
            }

            /// As four numbers, which are ordered as the bytes are.
            fn numbers(&self) -> impl Iterator<Item = u64> {
                self.0.as_chunks().0.iter().map(|bytes| u64::from_be_bytes(*bytes))
            }
        }

        impl Ord for $name {
            /// As the bytes. The first number tells nearly all names apart, and every look into a map of
            /// packs or devices makes a dozen comparisons.
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                self.numbers().cmp(other.numbers())
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ParseIdError)?;
                Ok(Self(bytes.try_into().map_err(|_| ParseIdError)?))
            }
        }
    };
}

id! {
    /// A vault: BLAKE3 of its genesis entry, see specs/device_log.md.
    VaultId
}
id! {
    /// A device: its Ed25519 public key, which is also its iroh `EndpointId`.
    DeviceId
}
id! {
    /// A chunk: keyed BLAKE3 of its plaintext. Known inside the vault only.
    ChunkId
}
id! {
    /// A shard: BLAKE3 root of its bytes, the name under which holders keep and prove it.
    ShardRoot
}
id! {
    /// An entry of a device log: BLAKE3 of its canonical body.
    EntryHash
}
id! {
    /// A head: BLAKE3 of its canonical body.
    HeadHash
}
id! {
    /// Where a relay keeps what the holders of one vault left there: see specs/locating.md.
    LocatorSlot
}

impl From<ChunkId> for [u8; 32] {
    fn from(id: ChunkId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hex_round_trips_and_wrong_lengths_are_refused() {
        let id = ShardRoot::from_bytes([0xab; 32]);
        assert_eq!(id.to_string().parse::<ShardRoot>(), Ok(id));
        assert_eq!("abab".parse::<ShardRoot>(), Err(ParseIdError));
        assert_eq!(id.short(), "abababab");
    }

    // Two names that share none, some or all of their first bytes.
    proptest! {
        #[test]
        fn names_are_ordered_as_their_bytes(
            one in any::<[u8; 32]>(),
            other in any::<[u8; 32]>(),
            shared in 0..=32_usize,
        ) {
            let mut other = other;
            other[..shared].copy_from_slice(&one[..shared]);
            let ids = (DeviceId::from_bytes(one), DeviceId::from_bytes(other));
            prop_assert_eq!(ids.0.cmp(&ids.1), one.cmp(&other));
            prop_assert_eq!(ids.0.partial_cmp(&ids.1), one.partial_cmp(&other));
            prop_assert_eq!(ids.0 == ids.1, one == other);
        }
    }
}
