//! Tests of `chunk::codec`.

use proptest::prelude::*;

use super::*;

fn noise(bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    blake3::Hasher::new().finalize_xof().fill(&mut buffer);
    buffer
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

// CHUNK-8
#[test]
fn text_is_compressed_and_noise_is_not() {
    let text = b"all work and no play makes jack a dull boy\n".repeat(10_000);
    let mut compressor = Compressor::new(Compressor::LEVEL);
    let frame = compressor.compress(&text);
    assert!(!frame.is_raw() && frame.len() < text.len() / 100);
    assert_eq!(decompress(frame.as_bytes(), length(&text)), Ok(text));
    for bytes in [0, 1, 100, PROBE_FROM_BYTES - 1, PROBE_FROM_BYTES, CHUNK_BYTES_MAX] {
        let plain = noise(bytes);
        let frame = compressor.compress(&plain);
        assert!(frame.is_raw() && frame.len() == bytes + 1);
        assert_eq!(decompress(frame.as_bytes(), length(&plain)), Ok(plain));
    }
}

// CHUNK-9
#[test]
fn a_frame_of_another_length_is_refused() {
    let plain = vec![5; 1000];
    for frame in [compress(&plain, 3), Frame::raw(&plain)] {
        for bytes in [0, 999, 1001, 4096] {
            let corrupt = Err(CodecError::Corrupt { bytes });
            assert_eq!(decompress(frame.as_bytes(), bytes), corrupt);
        }
        for bytes in [u32::MAX, length(&vec![0; CHUNK_BYTES_MAX]) + 1] {
            let too_long = Err(CodecError::TooLong { bytes: u64::from(bytes) });
            assert_eq!(decompress(frame.as_bytes(), bytes), too_long);
        }
    }
}

// CHUNK-10
#[test]
fn a_bomb_stops_at_the_promised_length() {
    let bomb = zstd::bulk::compress(&vec![0; 64 * 1024 * 1024], 19).unwrap();
    let frame = Frame::join(ZSTD, &bomb);
    assert!(frame.len() < 10_000);
    let corrupt = Err(CodecError::Corrupt { bytes: 4_194_304 });
    assert_eq!(decompress(frame.as_bytes(), 4_194_304), corrupt);
}

// CHUNK-11
#[test]
fn unknown_codecs_are_of_a_newer_version() {
    assert_eq!(decompress(&[], 0), Err(CodecError::Empty));
    for codec in 2..=255 {
        assert_eq!(decompress(&[codec, 1, 2], 2), Err(CodecError::NewerVersion(codec)));
    }
}

proptest! {
    #[test]
    fn frames_round_trip(
        words in prop::collection::vec(prop::sample::select(vec![0_u8, 7, 99, 255]), 0..3000),
        level in 1..7,
    ) {
        let frame = compress(&words, level);
        prop_assert_eq!(decompress(frame.as_bytes(), length(&words)), Ok(words));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(
        frame in prop::collection::vec(any::<u8>(), 0..200),
        bytes in 0..5000_u32,
    ) {
        if let Ok(plain) = decompress(&frame, bytes) {
            prop_assert_eq!(length(&plain), bytes);
        }
    }
}
