//! What can go wrong between two devices, by whose fault.

use std::{io, sync::Arc};

use iroh::endpoint::{BindError, ConnectError, Connection, ConnectionError, ReadError, VarInt};
use larder_protocol::wire::{frame::FrameError, message::Refusal, validity::Breach};
use thiserror::Error;

use super::tuning::{CODE_BUSY, CODE_REFUSED};
use crate::depot::DepotError;

/// Why a connection or stream is of no use. Clones share their cause.
#[derive(Debug, Clone, Error)]
pub enum NetError {
    /// The UDP port could not be had.
    #[error("could not listen for other devices")]
    Bind(#[source] Arc<BindError>),
    /// A device id that is not a key.
    #[error("the device id is not a valid key")]
    NotAKey,
    /// No answer at any known address.
    #[error("the device could not be reached")]
    Unreachable(#[source] Option<Arc<ConnectError>>),
    /// The peer does not know us.
    #[error("the device refused the connection: it does not know this one")]
    Refused,
    /// The peer has too much to do.
    #[error("the device is busy")]
    Busy,
    /// An answer did not come in time.
    #[error("the device did not answer in time")]
    Timeout,
    /// The connection or stream broke off.
    #[error("the connection to the device was lost")]
    Lost,
    /// The peer sent what is no message.
    #[error("the device sent what is no message")]
    Frame(#[from] FrameError),
    /// The peer's answer breaks a limit, or answers another question.
    #[error("the device gave an answer that breaks the protocol")]
    Breach(#[from] Breach),
    /// This side was shut down.
    #[error("the network of this device was shut down")]
    Closed,
}

/// Why a shard was not stored by a peer.
#[derive(Debug, Clone, Error)]
pub enum PutError {
    /// The peer said no.
    #[error("the device refused the shard")]
    Refused(Refusal),
    /// The bytes stopped flowing.
    #[error("the upload stalled")]
    Stalled,
    /// The connection failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// Our own copy could not be read, or is damaged.
    #[error("the shard could not be read here")]
    Local(#[source] DepotError),
}

/// Why ranges of a shard did not come from a peer. [`FetchError::WrongBytes`] alone is proof of
/// wrongdoing.
#[derive(Debug, Clone, Error)]
pub enum FetchError {
    /// The bytes stopped flowing, or never started.
    #[error("the download stalled")]
    Stalled,
    /// The connection failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The peer does not have it, or not for us; it does not say which.
    #[error("the device does not have the shard, or not for this one")]
    Denied,
    /// The peer serves too much at once.
    #[error("the device is busy")]
    Busy,
    /// The peer cannot read its own copy (a damaged disk), and says so.
    #[error("the device cannot read its copy")]
    Unreadable,
    /// The peer sent bytes that are not of this shard, or claimed another length. Nothing wrong
    /// was written.
    #[error("the device sent wrong bytes")]
    WrongBytes,
    /// Our own disk failed.
    #[error("the download could not be written here")]
    Local(#[source] DepotError),
}

impl NetError {
    /// Why `connection` failed, as far as it says; called after one of its streams did.
    pub(super) fn of(connection: &Connection) -> Self {
        match connection.close_reason() {
            Some(reason) => Self::of_close(&reason),
            None => Self::Lost,
        }
    }

    pub(super) fn of_close(reason: &ConnectionError) -> Self {
        let code = VarInt::from_u32;
        match reason {
            ConnectionError::ApplicationClosed(close) if close.error_code == code(CODE_REFUSED) => {
                Self::Refused
            }
            ConnectionError::ApplicationClosed(close) if close.error_code == code(CODE_BUSY) => {
                Self::Busy
            }
            _ => Self::Lost,
        }
    }
}

/// The code with which the peer reset a stream, if that is what an error says.
pub(super) fn reset_code(error: &io::Error) -> Option<VarInt> {
    match error.get_ref()?.downcast_ref::<ReadError>()? {
        ReadError::Reset(code) => Some(*code),
        _ => None,
    }
}
