//! Frames: a `u32` little-endian length and that many bytes of canonical CBOR.
//!
//! No I/O: bytes go in as they arrive, whole messages come out. The length is checked before
//! anything is allocated, and memory grows with the bytes received, never with the bytes promised.
//! [`FrameDecoder::feed`] takes no byte beyond its frame: the raw bytes after a
//! [`Request::Put`](super::message::Request::Put) stay with the caller.
//! Source: specs/control_protocol.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    limits::FRAME_BYTES_MAX,
};

/// Bytes of the length before each frame.
pub const FRAME_PREFIX_BYTES: usize = 4;

/// Why a frame was not read or not written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is zero or more than this side accepts here.
    #[error("a frame of {bytes} bytes, 1 to {max} are allowed")]
    Length {
        /// Bytes promised.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The content is not a message.
    #[error("the frame holds no message")]
    Content(#[from] DecodeError),
}

/// Encodes one message with its length in front.
///
/// # Errors
/// [`FrameError::Length`] when the message does not fit a frame: our own fault, lists are cut
/// with [`prefix_that_fits`] before.
pub fn encode_frame<T: Encode<()>>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = cbor::encode(message);
    let too_long = FrameError::Length { bytes: body.len(), max: FRAME_BYTES_MAX };
    if body.len() > FRAME_BYTES_MAX {
        return Err(too_long);
    }
    let prefix = u32::try_from(body.len()).map_err(|_| too_long)?;
    let mut frame = Vec::with_capacity(FRAME_PREFIX_BYTES + body.len());
    frame.extend_from_slice(&prefix.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Reads the length of a frame and checks it against `max`.
///
/// # Errors
/// [`FrameError::Length`] when it is zero or more than `max`.
pub fn frame_bytes(prefix: [u8; FRAME_PREFIX_BYTES], max: usize) -> Result<usize, FrameError> {
    let bytes = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if bytes == 0 || bytes > max { Err(FrameError::Length { bytes, max }) } else { Ok(bytes) }
}

/// Decodes the content of a frame.
///
/// # Errors
/// [`FrameError::Content`] when it is no message of this type in canonical form.
pub fn decode_body<T>(body: &[u8]) -> Result<T, FrameError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    Ok(cbor::decode(body, FRAME_BYTES_MAX)?)
}

/// How many of `entries`, from the front, fit one frame beside the message around them.
///
/// A list that is cut so is still useful: log entries go parents first, and the caller asks again
/// with what it has then.
pub fn prefix_that_fits(entries: &[ByteVec]) -> usize {
    // 9 bytes of CBOR length at most for each entry, and ample room for the message around.
    let mut room = FRAME_BYTES_MAX - 1024;
    let fits = |entry: &&ByteVec| {
        let taken = entry.len().saturating_add(9);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    };
    entries.iter().take_while(fits).count()
}

/// All of `entries`, in order, in as few lists as fit one frame each. Each entry fits a frame.
pub fn lists_that_fit(mut entries: &[ByteVec]) -> Vec<Vec<ByteVec>> {
    let mut lists = Vec::new();
    while !entries.is_empty() {
        let (list, rest) = entries.split_at(prefix_that_fits(entries).clamp(1, entries.len()));
        lists.push(list.to_vec());
        entries = rest;
    }
    lists
}

/// Gathers one frame after the other from bytes as they arrive.
#[derive(Debug, Clone)]
pub struct FrameDecoder {
    max: usize,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Prefix(Vec<u8>),
    Body {
        bytes: usize,
        body: Vec<u8>,
    },
    /// A length was refused: nothing after it can be understood.
    Broken(FrameError),
}

impl FrameDecoder {
    /// A decoder that accepts frames of at most `max` bytes of content, and never more than
    /// [`FRAME_BYTES_MAX`].
    pub fn new(max: usize) -> Self {
        Self { max: max.min(FRAME_BYTES_MAX), state: State::Prefix(Vec::new()) }
    }

    /// How many bytes are missing to the end of the length, or of the frame. Reading exactly so
    /// many never takes a byte of what follows.
    pub const fn wanted(&self) -> usize {
        match &self.state {
            State::Prefix(prefix) => FRAME_PREFIX_BYTES.saturating_sub(prefix.len()),
            State::Body { bytes, body } => bytes.saturating_sub(body.len()),
            State::Broken(_) => 0,
        }
    }

    /// Takes bytes from the front of `input`; returns the content of a frame when it is complete.
    /// Bytes beyond that frame stay in `input`: feed again until nothing is left.
    ///
    /// # Errors
    /// [`FrameError::Length`]; from then on always.
    pub fn feed(&mut self, input: &mut &[u8]) -> Result<Option<Vec<u8>>, FrameError> {
        loop {
            match &mut self.state {
                State::Broken(error) => return Err(error.clone()),
                State::Prefix(prefix) => {
                    move_front(input, prefix, FRAME_PREFIX_BYTES);
                    let Ok(prefix) = <[u8; FRAME_PREFIX_BYTES]>::try_from(prefix.as_slice()) else {
                        return Ok(None);
                    };
                    self.state = match frame_bytes(prefix, self.max) {
                        Ok(bytes) => State::Body { bytes, body: Vec::new() },
                        Err(error) => State::Broken(error),
                    };
                }
                State::Body { bytes, body } => {
                    move_front(input, body, *bytes);
                    if body.len() < *bytes {
                        return Ok(None);
                    }
                    let body = std::mem::take(body);
                    self.state = State::Prefix(Vec::new());
                    return Ok(Some(body));
                }
            }
        }
    }
}

/// Moves bytes from the front of `input` until `target` has `bytes` of them or none are left.
fn move_front(input: &mut &[u8], target: &mut Vec<u8>, bytes: usize) {
    let missing = bytes.saturating_sub(target.len()).min(input.len());
    let (taken, rest) = input.split_at(missing);
    target.extend_from_slice(taken);
    *input = rest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::message::Request;

    // CTRL-1
    #[test]
    fn frames_survive_any_cut_and_leave_what_follows() {
        let hello = Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None };
        let mut stream = encode_frame(&hello).unwrap();
        stream.extend_from_slice(&encode_frame(&hello).unwrap());
        let frames_end = stream.len();
        stream.extend_from_slice(b"raw shard bytes");
        for step in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
            let mut frames = Vec::new();
            let mut taken = 0;
            for piece in stream[..frames_end].chunks(step) {
                let mut input = piece;
                while let Some(body) = decoder.feed(&mut input).unwrap() {
                    frames.push(decode_body::<Request>(&body).unwrap());
                }
                taken += piece.len() - input.len();
            }
            assert_eq!((frames, taken), (vec![hello.clone(), hello.clone()], frames_end));
        }
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        let mut input = stream.as_slice();
        decoder.feed(&mut input).unwrap();
        decoder.feed(&mut input).unwrap();
        assert_eq!(input, b"raw shard bytes");
    }

    // CTRL-2
    #[test]
    fn lying_lengths_are_refused_before_anything_is_allocated() {
        for prefix in [[0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [1, 0, 0x10, 0]] {
            let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
            let bytes = prefix;
            assert!(matches!(
                decoder.feed(&mut bytes.as_slice()),
                Err(FrameError::Length { max: FRAME_BYTES_MAX, .. })
            ));
            assert!(decoder.feed(&mut [0_u8; 8].as_slice()).is_err());
        }
        let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
        assert_eq!(decoder.feed(&mut [0, 0, 0x10, 0, 7].as_slice()), Ok(None));
        assert_eq!(decoder.wanted(), FRAME_BYTES_MAX - 1);
        let State::Body { body, .. } = &decoder.state else { panic!("in the body") };
        assert!(body.capacity() < 64);
    }

    #[test]
    fn a_cut_list_fits_its_frame() {
        let entries: Vec<ByteVec> = (0..100).map(|_| vec![7_u8; 20_000].into()).collect();
        let count = prefix_that_fits(&entries);
        assert!(count > 40 && count < 60);
        let vault = crate::ids::VaultId::from_bytes([1; 32]);
        let cut = Request::PushLog { vault, entries: entries[..count].to_vec() };
        assert!(encode_frame(&cut).is_ok());
        assert!(encode_frame(&Request::PushLog { vault, entries }).is_err());
    }
}
