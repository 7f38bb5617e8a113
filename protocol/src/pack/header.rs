//! The one part of a pack that is not sealed.
//!
//! ```text
//!  0        8   9    12      16        48             80
//!  LARDPACK | 1 | 000 | epoch | salt 32 | commitment 32 |
//! ```

use crate::{ids::VaultId, keys::epoch::EpochKey, pack::PackError, pack::seal::PackSeal};

/// Length of the header.
pub const HEADER_BYTES: usize = 80;
const MAGIC: [u8; 8] = *b"LARDPACK";
/// The one version of packs so far.
pub const VERSION: u8 = 1;

const _: () = assert!(MAGIC.len() + 1 + 3 + 4 + 32 + 32 == HEADER_BYTES);

/// What the header says. Everybody can read it; nobody but the vault can make a right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Epoch whose key seals the pack.
    pub epoch: u32,
    /// Makes the pack's key its own.
    pub salt: [u8; 32],
    /// Binds the pack to one key: without it, bytes could be made that open under two keys.
    pub commitment: [u8; 32],
}

impl Header {
    /// The header of a pack under this key.
    pub fn new(epoch: &EpochKey, salt: [u8; 32]) -> Self {
        Self { epoch: epoch.number(), salt, commitment: epoch.pack_commitment(&salt) }
    }

    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts: [&[u8]; 5] =
            [&MAGIC, &[VERSION, 0, 0, 0], &self.epoch.to_le_bytes(), &self.salt, &self.commitment];
        for (to, from) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads the header at the start of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// [`PackError::NotAPack`] or [`PackError::NewerVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Self, PackError> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(PackError::NotAPack)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(PackError::NotAPack)?;
        let (epoch, rest) = rest.split_first_chunk::<4>().ok_or(PackError::NotAPack)?;
        let (salt, rest) = rest.split_first_chunk::<32>().ok_or(PackError::NotAPack)?;
        let (commitment, _) = rest.split_first_chunk::<32>().ok_or(PackError::NotAPack)?;
        if *magic != MAGIC {
            return Err(PackError::NotAPack);
        }
        let [version, reserved @ ..] = *version;
        if version != VERSION {
            return Err(PackError::NewerVersion(version.into()));
        }
        if reserved != [0; 3] {
            return Err(PackError::NotAPack);
        }
        let epoch = u32::from_le_bytes(*epoch);
        Ok(Self { epoch, salt: *salt, commitment: *commitment })
    }

    /// Checks the commitment; gives what opens the pack.
    ///
    /// # Errors
    /// [`PackError::WrongKey`] when `epoch` is not the key that this pack was sealed under.
    pub fn unlock(&self, epoch: &EpochKey, vault: VaultId) -> Result<PackSeal, PackError> {
        // Neither side of the comparison is secret: the header is public.
        if *self == Self::new(epoch, self.salt) {
            Ok(PackSeal::new(epoch, vault, &self.salt))
        } else {
            Err(PackError::WrongKey { epoch: epoch.number() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PACK-1, PACK-2
    #[test]
    fn headers_round_trip_and_say_what_is_wrong() {
        let (key, vault) = (EpochKey::new(3, [9; 32]), VaultId::from_bytes([1; 32]));
        let header = Header::new(&key, [7; 32]);
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&bytes[..79]), Err(PackError::NotAPack));
        let with = |at: usize, value: u8| {
            let mut bytes = bytes;
            bytes[at] = value;
            Header::decode(&bytes)
        };
        assert_eq!(with(0, b'l'), Err(PackError::NotAPack));
        assert_eq!(with(8, 2), Err(PackError::NewerVersion(2)));
        assert_eq!(with(9, 1), Err(PackError::NotAPack));
        assert!(header.unlock(&key, vault).is_ok());
        let wrong = |epoch| PackError::WrongKey { epoch };
        let unlock = |header: Header, key| header.unlock(&key, vault).err();
        assert_eq!(unlock(header, EpochKey::new(3, [8; 32])), Some(wrong(3)));
        assert_eq!(unlock(header, EpochKey::new(4, [9; 32])), Some(wrong(4)));
        assert_eq!(unlock(with(16, 0).unwrap(), key.clone()), Some(wrong(3)));
        assert_eq!(unlock(with(79, 0).unwrap(), key), Some(wrong(3)));
    }
}
