//! Canonical encoding: deterministic CBOR (RFC 8949, 4.2.1) with integer keys.
//!
//! One value has one encoding. [`decode`] proves it by encoding what it read and comparing, so
//! duplicate or unordered keys, longer-than-needed lengths, unknown keys and trailing bytes are
//! all refused without a rule of their own.

use minicbor::{Decode, Encode, data::Type};
use thiserror::Error;

/// Why bytes were not accepted as a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than this kind of record may be.
    #[error("{bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// Bytes met.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not CBOR, or not of this shape.
    #[error("not a record of this kind")]
    Malformed,
    /// Of this shape, but not the one canonical encoding of its value.
    #[error("not in canonical form, or written by a newer version")]
    NotCanonical,
}

/// Encodes a record canonically.
pub fn encode<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(()) = minicbor::encode(value, &mut bytes) else {
        unreachable!("writing to a Vec cannot fail and derived encoders have no other error")
    };
    bytes
}

/// Decodes a record of at most `max` bytes.
///
/// # Errors
/// [`DecodeError`] when the bytes are too long, of another shape, or not canonical.
pub fn decode<T>(bytes: &[u8], max: usize) -> Result<T, DecodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    if bytes.len() > max {
        return Err(DecodeError::TooLong { bytes: bytes.len(), max });
    }
    let value: T = minicbor::decode(bytes).map_err(|_| DecodeError::Malformed)?;
    if encode(&value) == bytes { Ok(value) } else { Err(DecodeError::NotCanonical) }
}

/// The version of a record, before anything else of it is understood: the value of key 0 of a map,
/// or the first element of an array. `None` when it is no such record. A number beyond those that
/// this version can tell is the highest of them: it is newer, whatever else it is.
pub fn peek_version(bytes: &[u8]) -> Option<u16> {
    let mut decoder = minicbor::Decoder::new(bytes);
    if decoder.datatype().ok()? == Type::Array {
        decoder.array().ok()??;
    } else {
        decoder.map().ok()??;
        decoder.u8().ok().filter(|key| *key == 0)?;
    }
    decoder.u64().ok().map(|version| u16::try_from(version).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Encode, Decode)]
    #[cbor(map)]
    struct Sample {
        #[n(0)]
        number: u32,
        #[n(1)]
        maybe: Option<u8>,
    }

    // VERSIONS-1
    #[test]
    fn a_version_of_any_size_is_read() {
        let versions: [(&[u8], Option<u16>); 7] = [
            (&[0xa1, 0x00, 0x07], Some(7)),
            (&[0x82, 0x19, 0xff, 0xff, 0x00], Some(u16::MAX)),
            (&[0xa1, 0x00, 0x1a, 0x00, 0x01, 0x00, 0x00], Some(u16::MAX)),
            (&[0xa1, 0x00, 0x1b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Some(u16::MAX)),
            (&[0xa1, 0x01, 0x07], None),
            (&[0xa1, 0x00, 0x20], None),
            (&[0x80], None),
        ];
        for (bytes, version) in versions {
            assert_eq!(peek_version(bytes), version);
        }
    }

    #[test]
    fn only_the_canonical_form_is_accepted() {
        let bytes = encode(&Sample { number: 7, maybe: None });
        assert_eq!(bytes, [0xa1, 0x00, 0x07]);
        assert_eq!(decode::<Sample>(&bytes, 10), Ok(Sample { number: 7, maybe: None }));
        let trailing = [0xa1, 0x00, 0x07, 0x00];
        let wide_number = [0xa1, 0x00, 0x18, 0x07];
        let unknown_key = [0xa2, 0x00, 0x07, 0x05, 0x01];
        let swapped = [0xa2, 0x01, 0x01, 0x00, 0x07];
        for bad in [&trailing[..], &wide_number, &unknown_key, &swapped] {
            assert_eq!(decode::<Sample>(bad, 10), Err(DecodeError::NotCanonical));
        }
        let too_long = DecodeError::TooLong { bytes: 3, max: 2 };
        assert_eq!(decode::<Sample>(&bytes, 2), Err(too_long));
    }
}
