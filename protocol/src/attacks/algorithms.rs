//! No algorithm is chosen by what somebody else has written: what another one would leave is refused.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    cbor::{self, DecodeError},
    chunk::codec::{CodecError, decompress},
    keys::{
        DeviceKeys, DevicePublic, KeyFile,
        epoch::EpochKey,
        key_file::KeyFileError,
        sign, verify,
        wrap::{Wrap, WrapError, WrapTerms, unwrap, wrap},
    },
    signed::Signed,
};

const CLEAR: &str = "larder device key 1\n";

/// A key file of these lines, with a check that fits.
fn key_file(lines: &str) -> Result<KeyFile, KeyFileError> {
    let check = blake3::hash(lines.as_bytes()).to_hex();
    KeyFile::parse(format!("{lines}check {}\n", &check[..16]).as_bytes())
}

// VERSIONS-4
#[test]
fn a_key_file_with_another_way_to_stretch_a_passphrase_is_none() {
    let hex = |digits: usize| "a".repeat(digits);
    let sealed = |stretched: &str, salt: usize, sealed: usize| {
        let (salt, sealed) = (hex(salt), hex(sealed));
        key_file(&format!("larder device key 2\n{stretched}\nsalt {salt}\nsealed {sealed}\n"))
    };
    assert!(sealed("argon2id m=8 t=1 p=1", 32, 160).is_ok());
    let others = [
        "argon2i m=8 t=1 p=1",
        "argon2d m=8 t=1 p=1",
        "argon2 m=8 t=1 p=1",
        "Argon2id m=8 t=1 p=1",
        "argon2id v=16 m=8 t=1 p=1",
        "argon2id m=8 t=1 p=1 v=16",
        "scrypt n=1024 r=8 p=1",
        "pbkdf2 i=1",
        "none",
        "",
    ];
    for other in others {
        assert_eq!(sealed(other, 32, 160).unwrap_err(), KeyFileError::Malformed, "{other}");
    }
    // A salt, a nonce or a tag of another cipher.
    for (salt, content) in [(30, 160), (64, 160), (32, 128), (32, 184), (32, 208)] {
        assert_eq!(
            sealed("argon2id m=8 t=1 p=1", salt, content).unwrap_err(),
            KeyFileError::Malformed
        );
    }
    let keys = format!("sign {}\nopen {}\n", hex(64), hex(64));
    assert!(key_file(&format!("{CLEAR}{keys}")).is_ok());
    assert!(key_file(&format!("{CLEAR}{keys}kind ed448\n")).is_err());
    assert!(key_file(&format!("{CLEAR}sign {}\nopen {}\n", hex(114), hex(112))).is_err());
}

/// This map with another number of bytes in the string under one of its keys.
fn with_length(map: &[u8], key: u8, bytes: u8) -> Vec<u8> {
    let mut decoder = minicbor::Decoder::new(map);
    let pairs = decoder.map().unwrap().unwrap();
    let mut all = vec![0xa0 | u8::try_from(pairs).unwrap()];
    for _ in 0..pairs {
        let (own, string) = (decoder.u8().unwrap(), decoder.bytes().unwrap());
        let mut string = string.to_vec();
        if own == key {
            string.resize(usize::from(bytes), 0);
        }
        all.extend([own, 0x58, u8::try_from(string.len()).unwrap()]);
        all.extend(string);
    }
    all
}

// VERSIONS-4
#[test]
fn keys_and_wraps_of_another_length_are_none() {
    let (device, key) = (DeviceKeys::from_seeds([1; 32], [2; 32]), EpochKey::new(1, [3; 32]));
    let terms = WrapTerms::of(&key, [4; 32]);
    let mut rng = ChaCha8Rng::from_seed([5; 32]);
    let good = wrap(&key, &terms.salt, &device.public().hpke, &mut rng).unwrap();
    let bytes = cbor::encode(&good);
    assert_eq!(cbor::decode(&with_length(&bytes, 2, 48), 1000), Ok(good.clone()));
    // P-256, P-384, X448 and ML-KEM that fits a byte; AEADs with other tags; another length of key.
    for (field, length) in
        [(0, 33), (0, 65), (0, 56), (1, 65), (1, 97), (1, 56), (2, 47), (2, 49), (2, 80)]
    {
        let other = with_length(&bytes, field, length);
        assert_eq!(cbor::decode::<Wrap>(&other, 1000), Err(DecodeError::Malformed));
    }
    let mut other = good;
    other.sealed[47] ^= 1;
    let error = unwrap(&other, &terms, device.hpke_secret()).err();
    assert_eq!(error, Some(WrapError::Damaged));
    let public = cbor::encode(&device.public());
    for (field, length) in [(0, 33), (0, 57), (0, 65), (1, 33), (1, 56)] {
        let other = with_length(&public, field, length);
        assert_eq!(cbor::decode::<DevicePublic>(&other, 1000), Err(DecodeError::Malformed));
    }
}

// VERSIONS-4
#[test]
fn a_signature_of_another_length_is_none() {
    let device = DeviceKeys::from_seeds([1; 32], [2; 32]);
    let signature = device.sign(sign::HEAD, b"body");
    assert!(verify(sign::HEAD, &device.id(), b"body", &signature));
    let record = Signed::record(b"body".to_vec(), signature);
    let head = record.len() - 64;
    for length in [0_u8, 32, 63, 65, 96, 114] {
        let mut other = record[..head].to_vec();
        other.resize(head + usize::from(length), 0);
        other[head - 1] = length;
        assert!(Signed::decode(&other, 1000).is_err(), "{length}");
    }
}

// VERSIONS-4
#[test]
fn a_chunk_in_another_codec_is_of_a_newer_version() {
    for codec in 2..=u8::MAX {
        let refused = decompress(&[codec, 1, 2], 2);
        assert_eq!(refused, Err(CodecError::NewerVersion(codec)));
    }
}
