//! The epoch keys of this device, and the one that seals.

use larder_protocol::{
    ids::VaultId,
    index::Location,
    keys::epoch::{ContentKey, EpochKey, ReceivingPublic},
    log::{DeviceLog, EpochId},
    pack::{PackError, reader::PackReader},
};

use super::EngineError;

/// What the device log gives this device to read and to seal with. Replaced as a whole when the log
/// has grown.
#[derive(Debug)]
pub(crate) struct Keyring {
    /// Ascending. Two epochs that began apart may have one number.
    keys: Vec<EpochKey>,
    current: Option<EpochId>,
}

impl Keyring {
    pub(crate) fn of(log: &DeviceLog, keys: Vec<EpochKey>) -> Self {
        Self { keys, current: log.current_epoch() }
    }

    /// Every key that can be read with.
    pub(crate) fn all(&self) -> &[EpochKey] {
        &self.keys
    }

    /// The highest number of an epoch that this device has a key of; 0 without any.
    pub(crate) fn newest_number(&self) -> u32 {
        self.keys.iter().map(EpochKey::number).max().unwrap_or(0)
    }

    /// The key with which new packs are sealed. None, rather than one that somebody has who was
    /// removed (LOG-20).
    pub(crate) fn sealing(&self) -> Result<&EpochKey, EngineError> {
        let current = self.current.ok_or(EngineError::EpochDue)?;
        let key = self.keys.iter().find(|key| current.is_of(key));
        key.ok_or(EngineError::UnknownEpoch(current.number))
    }

    /// To which others seal the share of their phrase, as far as this vault has an epoch in force.
    pub(crate) fn receiving(&self) -> Option<ReceivingPublic> {
        self.sealing().ok().map(|key| key.receiving().public())
    }

    /// Opens something that was sealed in epoch `number`: with the key that fits, if several have
    /// this number.
    pub(crate) fn open<T, E>(
        &self,
        number: u32,
        open: impl Fn(&EpochKey) -> Result<T, E>,
    ) -> Result<T, EngineError>
    where
        EngineError: From<E>,
    {
        let mut failure = None;
        for key in self.keys.iter().filter(|key| key.number() == number) {
            match open(key) {
                Ok(opened) => return Ok(opened),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.map_or(EngineError::UnknownEpoch(number), EngineError::from))
    }

    /// A reader of the pack at `location`. Where several keys have its number, `sealed`, the chunk at
    /// this location, shows which one fits.
    pub(crate) fn reader_at(
        &self,
        location: &Location,
        sealed: &[u8],
        (vault, content): (VaultId, &ContentKey),
    ) -> Result<PackReader, EngineError> {
        let of_number = self.keys.iter().filter(|key| key.number() == location.epoch);
        let is_clear = of_number.count() == 1;
        self.open(location.epoch, |key| {
            let mut reader = PackReader::at(location, key, vault)?;
            if !is_clear {
                reader.open_chunk(&location.record, location.position, sealed, content)?;
            }
            Ok::<_, PackError>(reader)
        })
    }
}
