//! Frames of the control socket: a length, then JSON. Lengths are checked before room is made.

use std::io;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longest request: a command with many paths.
pub(super) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest reply: a list of some 100,000 snapshots.
pub(super) const REPLY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, Error)]
pub(super) enum FrameError {
    /// Longer than the limit of its direction.
    #[error("a frame of {bytes} bytes, allowed are {allowed}")]
    TooLong { bytes: usize, allowed: usize },
    /// Not what is spoken here.
    #[error("a frame that is not understood: {0}")]
    Syntax(#[from] serde_json::Error),
    /// The other side is gone.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The bytes of the next frame.
pub(super) async fn read_bytes(
    from: &mut (impl AsyncRead + Unpin),
    allowed: usize,
) -> Result<Vec<u8>, FrameError> {
    let bytes = usize::try_from(from.read_u32_le().await?).unwrap_or(usize::MAX);
    if bytes > allowed {
        return Err(FrameError::TooLong { bytes, allowed });
    }
    // Room grows with what really arrives, not with what is claimed.
    let mut frame = Vec::with_capacity(bytes.min(64 * 1024));
    let limit = u64::try_from(bytes).unwrap_or(u64::MAX);
    let read = from.take(limit).read_to_end(&mut frame).await?;
    if read < bytes {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(frame)
}

/// The next frame.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    allowed: usize,
) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(&read_bytes(from, allowed).await?)?)
}

/// Sends one frame.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &impl Serialize,
    allowed: usize,
) -> Result<(), FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = bytes.len() - 4;
    let header = u32::try_from(length).ok().filter(|_| length <= allowed);
    let header = header.ok_or(FrameError::TooLong { bytes: length, allowed })?;
    bytes[..4].copy_from_slice(&header.to_le_bytes());
    Ok(to.write_all(&bytes).await?)
}
