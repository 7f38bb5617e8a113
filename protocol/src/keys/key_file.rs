//! `device.key`: the secrets of one device as text, in clear or sealed with a passphrase.
//!
//! ```text
//! larder device key 1                    larder device key 2
//! sign 64 hex digits                     argon2id m=65536 t=3 p=4
//! open 64 hex digits                     salt 32 hex digits
//! check 16 hex digits                    sealed 160 hex digits
//!                                        check 16 hex digits
//! ```
//! `check` is the start of a BLAKE3 over the lines before it: it tells damage from a wrong
//! passphrase. One accepted form of each: what is read is exactly what would be written.
//! Source: specs/keys.md, "Key file".

use std::str;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use data_encoding::HEXLOWER;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::{DeviceKeys, passphrase::Passphrase};
use crate::limits::{
    KEY_FILE_BYTES_MAX, SEAL_LANES, SEAL_LANES_MAX, SEAL_MEMORY_KIB, SEAL_MEMORY_KIB_MAX,
    SEAL_PASSES, SEAL_PASSES_MAX,
};

/// First line of every key file, without its version.
const TITLE: &str = "larder device key ";
const CLEAR: u16 = 1;
const SEALED: u16 = 2;
const SEAL_CONTEXT: &str = "larder 2026 device key seal v1";
/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;
/// Both secrets, 32 bytes each.
const PLAIN_BYTES: usize = 64;
/// The same sealed, with the tag.
const SEALED_BYTES: usize = PLAIN_BYTES + 16;
/// No key seals twice: each salt is used once.
const NONCE: [u8; 12] = [0; 12];

/// What a key file says.
#[derive(Debug)]
pub enum KeyFile {
    /// The keys themselves.
    Clear(DeviceKeys),
    /// The keys, for whoever knows the passphrase.
    Sealed(SealedKeys),
}

/// Why a key file was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// Damaged, or something else altogether.
    #[error("it is damaged, or no Larder device key at all")]
    Malformed,
    /// From a newer Larder.
    #[error("it has version {version}, and this Larder reads 1 and {SEALED}")]
    Newer {
        /// Version met.
        version: u16,
    },
}

/// The keys of a device, sealed with a passphrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKeys {
    cost: SealCost,
    salt: [u8; SALT_BYTES],
    sealed: [u8; SEALED_BYTES],
}

/// What one guess at a passphrase costs (RFC 9106: Argon2id, version 0x13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealCost {
    /// Memory in KiB, at least eight times the lanes.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// Why keys were not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PassphraseSealError {
    /// The passphrase is not the one, or the file was changed by somebody who set its check right.
    #[error("the passphrase is wrong")]
    Wrong,
    /// There is not so much memory.
    #[error("there is no room for the {} MiB that deriving the key takes", memory_kib / 1024)]
    Memory {
        /// What it takes.
        memory_kib: u32,
    },
}

impl Default for SealCost {
    /// The second recommended option of RFC 9106, section 4, with its 64 MiB.
    fn default() -> Self {
        Self { memory_kib: SEAL_MEMORY_KIB, passes: SEAL_PASSES, lanes: SEAL_LANES }
    }
}

impl SealCost {
    fn is_accepted(self) -> bool {
        (1..=SEAL_LANES_MAX).contains(&self.lanes)
            && (1..=SEAL_PASSES_MAX).contains(&self.passes)
            && (8 * self.lanes..=SEAL_MEMORY_KIB_MAX).contains(&self.memory_kib)
    }

    fn line(self) -> String {
        let Self { memory_kib, passes, lanes } = self;
        format!("argon2id m={memory_kib} t={passes} p={lanes}\n")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("argon2id ")?.split(' ');
        let mut number = |label| words.next()?.strip_prefix(label)?.parse().ok();
        let cost = Self { memory_kib: number("m=")?, passes: number("t=")?, lanes: number("p=")? };
        cost.is_accepted().then_some(cost)
    }
}

impl SealedKeys {
    /// Seals keys. The salt has to be random and new, or two files show that they are of the same
    /// passphrase. Takes the memory and the time of `cost`.
    ///
    /// # Errors
    /// [`PassphraseSealError::Memory`].
    pub fn seal(
        keys: &DeviceKeys,
        passphrase: &Passphrase,
        salt: [u8; SALT_BYTES],
        cost: SealCost,
    ) -> Result<Self, PassphraseSealError> {
        let mut plain = Zeroizing::new([0; PLAIN_BYTES]);
        plain[..32].copy_from_slice(&*keys.signing_seed());
        plain[32..].copy_from_slice(keys.hpke_secret());
        let mut this = Self { cost, salt, sealed: [0; SEALED_BYTES] };
        let terms = this.terms();
        let payload = Payload { msg: &*plain, aad: terms.as_bytes() };
        let sealed = this.cipher(passphrase)?.encrypt(&NONCE.into(), payload);
        // It fails for texts of many gigabytes alone.
        this.sealed.copy_from_slice(&sealed.expect("64 bytes are not too long to be sealed"));
        Ok(this)
    }

    /// The keys. Takes the memory and the time of the cost.
    ///
    /// # Errors
    /// [`PassphraseSealError`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<DeviceKeys, PassphraseSealError> {
        let terms = self.terms();
        let payload = Payload { msg: &self.sealed, aad: terms.as_bytes() };
        let opened = self.cipher(passphrase)?.decrypt(&NONCE.into(), payload);
        let plain = Zeroizing::new(opened.map_err(|_| PassphraseSealError::Wrong)?);
        let (secrets, _) = plain.as_chunks::<32>();
        match secrets {
            [sign, open] => Ok(DeviceKeys::from_seeds(*sign, *open)),
            _ => Err(PassphraseSealError::Wrong),
        }
    }

    /// What a guess costs.
    pub const fn cost(&self) -> SealCost {
        self.cost
    }

    /// What the seal is bound to: the lines before it.
    fn terms(&self) -> String {
        let salt = HEXLOWER.encode(&self.salt);
        format!("{TITLE}{SEALED}\n{}salt {salt}\n", self.cost.line())
    }

    fn cipher(&self, passphrase: &Passphrase) -> Result<ChaCha20Poly1305, PassphraseSealError> {
        let SealCost { memory_kib, passes, lanes } = self.cost;
        let no_memory = || PassphraseSealError::Memory { memory_kib };
        let parameters =
            Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| no_memory())?;
        let mut blocks = Blocks(Vec::new());
        let count = parameters.block_count();
        blocks.0.try_reserve_exact(count).map_err(|_| no_memory())?;
        blocks.0.resize(count, Block::default());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut stretched = Zeroizing::new([0; 32]);
        argon2
            .hash_password_into_with_memory(
                passphrase.as_bytes(),
                &self.salt,
                &mut *stretched,
                &mut blocks.0,
            )
            .map_err(|_| no_memory())?;
        let key = Zeroizing::new(blake3::derive_key(SEAL_CONTEXT, &*stretched));
        Ok(ChaCha20Poly1305::new((&*key).into()))
    }
}

/// Working memory, from which the key could be computed; overwritten when it is dropped.
struct Blocks(Vec<Block>);

impl Drop for Blocks {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

impl KeyFile {
    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeyFileError> {
        let malformed = KeyFileError::Malformed;
        if bytes.len() > KEY_FILE_BYTES_MAX {
            return Err(malformed);
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed)?;
        let mut lines = text.lines();
        let title = lines.next().and_then(|line| line.strip_prefix(TITLE)).ok_or(malformed)?;
        let file = match title.parse().map_err(|_| malformed)? {
            CLEAR => Self::clear(lines),
            SEALED => Self::sealed(lines),
            version if version > SEALED => return Err(KeyFileError::Newer { version }),
            _ => None,
        };
        file.filter(|file| *file.text() == text).ok_or(malformed)
    }

    fn clear<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let sign = digits(lines.next()?, "sign ")?;
        let open = digits(lines.next()?, "open ")?;
        Some(Self::Clear(DeviceKeys::from_seeds(*sign, *open)))
    }

    fn sealed<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let cost = SealCost::parse(lines.next()?)?;
        let salt = *digits(lines.next()?, "salt ")?;
        let sealed = *digits(lines.next()?, "sealed ")?;
        Some(Self::Sealed(SealedKeys { cost, salt, sealed }))
    }

    /// The file, as it is written.
    pub fn text(&self) -> Zeroizing<String> {
        // Room from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(KEY_FILE_BYTES_MAX));
        match self {
            Self::Clear(keys) => {
                let sign = Zeroizing::new(HEXLOWER.encode(&*keys.signing_seed()));
                let open = Zeroizing::new(HEXLOWER.encode(keys.hpke_secret()));
                let title = format!("{TITLE}{CLEAR}");
                text.extend([&*title, "\nsign ", &sign, "\nopen ", &open, "\n"]);
            }
            Self::Sealed(keys) => {
                let sealed = HEXLOWER.encode(&keys.sealed);
                text.extend([&*keys.terms(), "sealed ", &sealed, "\n"]);
            }
        }
        let check = blake3::hash(text.as_bytes()).to_hex();
        text.extend(["check ", &check[..16], "\n"]);
        text
    }
}

fn digits<const BYTES: usize>(line: &str, label: &str) -> Option<Zeroizing<[u8; BYTES]>> {
    let bytes = Zeroizing::new(HEXLOWER.decode(line.strip_prefix(label)?.as_bytes()).ok()?);
    let mut all = Zeroizing::new([0; BYTES]);
    if bytes.len() != BYTES {
        return None;
    }
    all.copy_from_slice(&bytes);
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As cheap as it gets: the tests are about the form.
    const CHEAP: SealCost = SealCost { memory_kib: 8, passes: 1, lanes: 1 };

    fn keys() -> DeviceKeys {
        DeviceKeys::from_seeds([3; 32], [4; 32])
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::typed(text).unwrap()
    }

    fn sealed() -> SealedKeys {
        SealedKeys::seal(&keys(), &passphrase("correct horse"), [7; SALT_BYTES], CHEAP).unwrap()
    }

    fn keys_of(file: &KeyFile) -> DeviceKeys {
        match file {
            KeyFile::Clear(keys) => keys.clone(),
            KeyFile::Sealed(sealed) => sealed.open(&passphrase("correct horse")).unwrap(),
        }
    }

    // KEYS-7
    #[test]
    fn a_key_file_comes_back_whole_or_not_at_all() {
        for (file, bytes) in [(KeyFile::Clear(keys()), 183), (KeyFile::Sealed(sealed()), 270)] {
            let text = file.text();
            assert_eq!(text.len(), bytes);
            let again = keys_of(&KeyFile::parse(text.as_bytes()).unwrap());
            assert_eq!(again.public(), keys().public());
            assert_eq!(again.hpke_secret(), keys().hpke_secret());
            for end in 0..text.len() {
                assert!(KeyFile::parse(&text.as_bytes()[..end]).is_err(), "{end}");
            }
            for at in 0..text.len() {
                let mut bad = text.as_bytes().to_vec();
                bad[at] ^= 1;
                assert!(KeyFile::parse(&bad).is_err(), "{at}");
            }
            assert!(KeyFile::parse(format!("{}\n", *text).as_bytes()).is_err());
            assert!(KeyFile::parse(text.replace('\n', "\r\n").as_bytes()).is_err());
        }
        let newer = "larder device key 3\nwhatever\n";
        assert_eq!(
            KeyFile::parse(newer.as_bytes()).unwrap_err(),
            KeyFileError::Newer { version: 3 }
        );
        for bad in ["", "garbage", "larder device key 0\n", "larder device key 01\n"] {
            assert_eq!(KeyFile::parse(bad.as_bytes()).unwrap_err(), KeyFileError::Malformed);
        }
    }

    // KEYS-13
    #[test]
    fn a_sealed_file_opens_with_its_passphrase_alone() {
        let sealed = sealed();
        let wrong = sealed.open(&passphrase("correct hors")).unwrap_err();
        assert_eq!(wrong, PassphraseSealError::Wrong);
        // Nothing of the terms can be changed, not even with a check that fits.
        let cheaper = SealedKeys { cost: SealCost { passes: 2, ..CHEAP }, ..sealed.clone() };
        let salted = SealedKeys { salt: [8; SALT_BYTES], ..sealed.clone() };
        let mut spoilt = sealed.clone();
        spoilt.sealed[40] ^= 1;
        for changed in [cheaper, salted, spoilt] {
            let error = changed.open(&passphrase("correct horse")).unwrap_err();
            assert_eq!(error, PassphraseSealError::Wrong);
        }
        let text = KeyFile::Sealed(sealed).text();
        for secret in [HEXLOWER.encode(&[3; 32]), HEXLOWER.encode(&[4; 32])] {
            assert!(!text.contains(&secret));
        }
    }

    // KEYS-16
    #[test]
    fn a_file_that_would_cost_too_much_is_refused() {
        let text = KeyFile::Sealed(sealed()).text();
        let costs = [
            "m=1048577 t=1 p=1",
            "m=8 t=17 p=1",
            "m=136 t=1 p=17",
            "m=8 t=0 p=1",
            "m=8 t=1 p=0",
            "m=15 t=1 p=2",
            "m=008 t=1 p=1",
            "m=99999999999 t=1 p=1",
        ];
        for cost in costs {
            let changed = text.replace("m=8 t=1 p=1", cost);
            let body = &changed[..changed.find("check ").unwrap()];
            let check = blake3::hash(body.as_bytes()).to_hex();
            let file = format!("{body}check {}\n", &check[..16]);
            assert_eq!(KeyFile::parse(file.as_bytes()).unwrap_err(), KeyFileError::Malformed);
        }
        assert!(SealCost::default().is_accepted());
    }

    // KEYS-13: the first vector of Argon2id in RFC 9106 has a secret and associated data, which a
    // key file has not; this one is of the reference program.
    #[test]
    fn the_key_is_that_of_argon2id() {
        let parameters = Params::new(65_536, 2, 1, Some(32)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let mut out = [0; 32];
        argon2.hash_password_into(b"password", b"somesalt", &mut out).unwrap();
        let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
        assert_eq!(HEXLOWER.encode(&out), expected);
    }
}
