//! One bidirectional stream that carries frames.

use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use larder_protocol::{
    ids::DeviceId,
    limits::FRAME_BYTES_MAX,
    wire::frame::{FRAME_PREFIX_BYTES, decode_body, encode_frame, frame_bytes},
};
use minicbor::{Decode, Encode};
use tokio::time::timeout;

use super::{NetError, links::Lease, tuning::STALL};

/// Bytes read at once into a frame: memory grows with what arrived, not with what was promised.
const READ_BYTES: usize = 64 * 1024;

/// A stream of frames between two devices.
#[derive(Debug)]
pub struct FrameStream {
    connection: Connection,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
    /// Keeps a dialled connection from being closed for idleness.
    _lease: Option<Lease>,
}

impl FrameStream {
    pub(super) const fn new(connection: Connection, send: SendStream, recv: RecvStream) -> Self {
        Self { connection, send, recv, _lease: None }
    }

    /// Keeps `lease` as long as the stream.
    pub(super) fn holding(self, lease: Lease) -> Self {
        Self { _lease: Some(lease), ..self }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Who is at the other end, as the connection has proved.
    pub fn peer(&self) -> DeviceId {
        DeviceId::from_bytes(*self.connection.remote_id().as_bytes())
    }

    /// Why the stream failed, as far as its connection says.
    pub(super) fn fault(&self) -> NetError {
        NetError::of(&self.connection)
    }

    /// Sends one message.
    ///
    /// # Errors
    /// [`NetError::Frame`] when it does not fit a frame, [`NetError::Timeout`] when the peer does
    /// not take it.
    pub async fn send<T: Encode<()>>(&mut self, message: &T) -> Result<(), NetError> {
        self.send_frame(encode_frame(message)?).await
    }

    /// Sends one whole frame that a machine made, its length included.
    ///
    /// # Errors
    /// [`NetError::Timeout`] when the peer does not take it, or why the connection ended.
    pub async fn send_frame(&mut self, frame: Vec<u8>) -> Result<(), NetError> {
        match timeout(STALL, self.send.write_chunk(frame.into())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NetError::of(&self.connection)),
            Err(_) => Err(NetError::Timeout),
        }
    }

    /// Says that no more messages follow from this side.
    pub fn finish(&mut self) {
        // An already stopped stream needs no finish.
        let _ = self.send.finish();
    }

    /// Receives one message of at most `max` bytes, whole within `within`.
    ///
    /// # Errors
    /// [`NetError::Frame`] when it is too long or no message, [`NetError::Timeout`],
    /// [`NetError::Lost`] when the peer ends before it.
    pub async fn receive<T>(&mut self, max: usize, within: Duration) -> Result<T, NetError>
    where
        T: Encode<()> + for<'b> Decode<'b, ()>,
    {
        match timeout(within, self.receive_body(max)).await {
            Ok(body) => Ok(decode_body(&body?)?),
            Err(_) => Err(NetError::Timeout),
        }
    }

    /// Receives the content of one frame of at most `max` bytes, for a machine to decode. Not to
    /// be dropped half-way: what was read of a frame would be lost.
    ///
    /// # Errors
    /// [`NetError::Frame`] when it is too long, [`NetError::Lost`] when the peer ends before it.
    pub async fn receive_body(&mut self, max: usize) -> Result<Vec<u8>, NetError> {
        let mut prefix = [0; FRAME_PREFIX_BYTES];
        if self.recv.read_exact(&mut prefix).await.is_err() {
            return Err(NetError::of(&self.connection));
        }
        let bytes = frame_bytes(prefix, max.min(FRAME_BYTES_MAX))?;
        let mut body = Vec::new();
        while body.len() < bytes {
            match self.recv.read_chunk((bytes - body.len()).min(READ_BYTES)).await {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) | Err(_) => return Err(NetError::of(&self.connection)),
            }
        }
        Ok(body)
    }

    /// Gives the stream up, saying why.
    pub(super) fn abandon(&mut self, code: u32) {
        // Either half may be over already.
        let _ = self.send.reset(VarInt::from_u32(code));
        let _ = self.recv.stop(VarInt::from_u32(code));
    }

    /// Waits, not for long, until the peer has all that was sent: a stream dropped with its
    /// connection may lose its last frame.
    pub async fn drain(&mut self) {
        self.finish();
        let _ = timeout(STALL, self.send.stopped()).await;
    }
}
