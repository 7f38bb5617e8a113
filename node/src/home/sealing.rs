//! The device key and its passphrase: opens it, and changes its form. Source: specs/keys.md.

use std::{fs, io, path::Path, sync::PoisonError};

use larder_protocol::keys::{
    DeviceKeys, KeyFile, Passphrase,
    key_file::{PassphraseSealError, SealCost},
    passphrase::PassphraseError,
};

use super::{
    CONFIG, Config, DEVICE_KEY, DeviceKeyError, Home, HomeError, KeyringEntry, device_key,
};
use crate::command::{
    ByteSize, ExitKind, Failure, OpenedBy, Outcome, PassphraseAct, PassphraseDone,
    PassphraseOutcome, SealKind, Secret,
};

/// The setting with the command that prints the passphrase.
const COMMAND: &str = "device.passphrase_command";

/// Whether the key of a home is sealed; also while another process works there. `None` when there is
/// no home.
///
/// # Errors
/// When the file is damaged, or others can read it.
pub fn is_sealed(directory: &Path) -> Result<Option<bool>, HomeError> {
    match device_key::load(&directory.join(DEVICE_KEY)) {
        Ok(file) => Ok(Some(matches!(file, KeyFile::Sealed(_)))),
        Err(DeviceKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The command of a home's settings that prints the passphrase.
///
/// # Errors
/// When the settings cannot be read.
pub(crate) fn passphrase_command(directory: &Path) -> Result<Option<String>, HomeError> {
    let config = Config::load(&directory.join(CONFIG))?;
    Ok(config.passphrase_command().map(str::to_owned))
}

/// What to do when a sealed key stays sealed.
pub(super) const fn advice(why: PassphraseSealError) -> (ExitKind, &'static str) {
    match why {
        PassphraseSealError::Wrong => (
            ExitKind::Key,
            "try again; without the passphrase this device is lost, and `larder recover` with the 24 words \
             makes another one in a fresh home",
        ),
        PassphraseSealError::Memory { .. } => {
            (ExitKind::Failed, "end other programs, or give this one more memory")
        }
    }
}

impl Home {
    /// Makes the key of a home that has none.
    pub(super) fn make_key(&self, passphrase: Option<&Passphrase>) -> Result<(), HomeError> {
        let path = self.device_key_file();
        let keys = device_key::generate()?;
        let file = device_key::file_of(&keys, passphrase, &path)?;
        device_key::store(&path, &file)?;
        self.keys.get_or_init(|| keys);
        Ok(())
    }

    /// Opens a sealed key for the rest of this home's life.
    ///
    /// # Errors
    /// When the passphrase is wrong or the file cannot be read.
    pub fn unlock(&self, passphrase: &Passphrase) -> Result<(), HomeError> {
        if self.keys.get().is_none() {
            let keys = self.keys_with(Some(passphrase))?;
            self.keys.get_or_init(|| keys);
        }
        Ok(())
    }

    /// Whether the key has to be unlocked before anything else can be done.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn is_locked(&self) -> Result<bool, HomeError> {
        match self.keys.get() {
            Some(_) => Ok(false),
            None => self.is_key_sealed(),
        }
    }

    /// Reads the key file anew: whether it is sealed.
    ///
    /// # Errors
    /// When it is missing, damaged, or others can read it.
    pub fn is_key_sealed(&self) -> Result<bool, HomeError> {
        Ok(matches!(device_key::load(&self.device_key_file())?, KeyFile::Sealed(_)))
    }

    /// What `passphrase` answers: shows, checks or changes how the key is kept. Takes the time of a
    /// guess for each passphrase in it.
    ///
    /// # Errors
    /// When a passphrase is wrong or none, or the file cannot be read or written.
    pub fn passphrase(&self, act: &PassphraseAct) -> Result<Outcome, Failure> {
        let one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let done = match act {
            PassphraseAct::Show => PassphraseDone::Shown,
            PassphraseAct::Check { current } => {
                self.keys_with(Some(&typed(current)?))?;
                PassphraseDone::Checked
            }
            PassphraseAct::Set { current, new, keyring } => {
                let current = current.as_ref().map(typed).transpose()?;
                let new = Passphrase::chosen(new.expose()).map_err(unfit)?;
                match keyring {
                    Some(tag) => {
                        let entry = KeyringEntry::tagged(tag).ok_or_else(no_tag)?;
                        self.leave_to_keyring(current.as_ref(), &new, &entry)?;
                    }
                    None => {
                        self.keep(current.as_ref(), Some(&new))?;
                        self.ask_no_keyring()?;
                    }
                }
                PassphraseDone::Set
            }
            PassphraseAct::Clear { current } => {
                self.keep(Some(&typed(current)?), None)?;
                self.ask_no_keyring()?;
                PassphraseDone::Cleared
            }
        };
        drop(one_at_a_time);
        let file = device_key::load(&self.device_key_file()).map_err(HomeError::from)?;
        let (seal, opened_by) = match file {
            KeyFile::Clear(_) => (None, None),
            KeyFile::Sealed(sealed) => (Some(seal_kind(sealed.cost())), self.opened_by()?),
        };
        Ok(Outcome::Passphrase(PassphraseOutcome { done, seal, opened_by }))
    }

    /// Seals the key with what a keyring keeps. The setting comes first: nobody knows this passphrase, so
    /// there is never a key that it seals and that no start can open.
    fn leave_to_keyring(
        &self,
        current: Option<&Passphrase>,
        new: &Passphrase,
        entry: &KeyringEntry,
    ) -> Result<(), Failure> {
        // Whoever does not know the passphrase of now changes nothing.
        self.keys_with(current)?;
        let before = self.config()?.passphrase_command().map(str::to_owned);
        let form = fs::read(self.device_key_file()).ok();
        self.change_setting(COMMAND, Some(&entry.command()))?;
        let Err(error) = self.keep(current, Some(new)) else { return Ok(()) };
        // Only where the old form is certainly in its place: else the setting may be what opens the key.
        if form.is_some() && fs::read(self.device_key_file()).ok() == form {
            self.change_setting(COMMAND, before.as_deref())?;
        }
        Err(error.into())
    }

    /// After the key has another passphrase than the keyring, or none: no start asks it any more.
    fn ask_no_keyring(&self) -> Result<(), Failure> {
        if self.opened_by()? == Some(OpenedBy::Keyring) {
            self.change_setting(COMMAND, None)?;
        }
        Ok(())
    }

    fn opened_by(&self) -> Result<Option<OpenedBy>, HomeError> {
        let config = self.config()?;
        Ok(config.passphrase_command().map(|line| match KeyringEntry::of_command(line) {
            Some(_) => OpenedBy::Keyring,
            None => OpenedBy::Command,
        }))
    }

    /// The keys by the file alone, whatever this process knows already: who changes the file has to
    /// know its passphrase.
    fn keys_with(&self, passphrase: Option<&Passphrase>) -> Result<DeviceKeys, HomeError> {
        let path = self.device_key_file();
        match (device_key::load(&path)?, passphrase) {
            (KeyFile::Clear(keys), _) => Ok(keys),
            (KeyFile::Sealed(sealed), Some(passphrase)) => {
                Ok(device_key::open(&sealed, passphrase, &path)?)
            }
            (KeyFile::Sealed(_), None) => Err(DeviceKeyError::Locked(path).into()),
        }
    }

    /// Keeps the keys from now on as `new` says.
    pub(super) fn keep(
        &self,
        current: Option<&Passphrase>,
        new: Option<&Passphrase>,
    ) -> Result<(), HomeError> {
        let path = self.device_key_file();
        let keys = self.keys_with(current)?;
        let file = device_key::file_of(&keys, new, &path)?;
        // Opened with the new passphrase once, as the next start will: a seal that does not open is
        // noticed while the old file is there.
        device_key::replace(&path, &file, |written| match (written, new) {
            (KeyFile::Sealed(sealed), Some(new)) => {
                sealed.open(new).is_ok_and(|opened| has_both(&opened, &keys))
            }
            (KeyFile::Clear(written), None) => has_both(written, &keys),
            _ => false,
        })?;
        Ok(())
    }
}

/// Whether both secrets are the same: each has one public key.
fn has_both(one: &DeviceKeys, other: &DeviceKeys) -> bool {
    one.public() == other.public()
}

fn seal_kind(cost: SealCost) -> SealKind {
    SealKind {
        kdf: "argon2id".to_owned(),
        memory_bytes: ByteSize(1024 * u64::from(cost.memory_kib)),
        passes: cost.passes,
    }
}

fn typed(text: &Secret) -> Result<Passphrase, Failure> {
    Passphrase::typed(text.expose()).map_err(no_passphrase)
}

fn no_tag() -> Failure {
    Failure::usage("a tag of a keyring is 16 hex digits")
}

/// A text that opens nothing, because it is no passphrase.
pub(crate) fn no_passphrase(why: PassphraseError) -> Failure {
    Failure::new(ExitKind::Key, why.to_string()).hint("it is one line, and nothing else is in it")
}

/// A text that is not to seal anything.
pub(crate) fn unfit(why: PassphraseError) -> Failure {
    Failure::new(ExitKind::Key, why.to_string())
        .hint("a few words that nobody guesses are best; the key is as it was")
}
