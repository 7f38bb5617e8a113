//! Which home is this relay's: families know its holder by the key in there, so that no other one may take its
//! place unnoticed. A disk that is not mounted would be one, and so would the home of somebody's own node.
//!
//! `holder.toml` in the state directory of the relay: where the home is, and whose key is in it.
//! Source: specs/relay.md, RELAY-23.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use larder_node::home::{DEVICE_KEY, Home, HomeError};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::invitations::{InvitationsError, replace};

const FILE: &str = "holder.toml";
/// Longest record that is read.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Why a home is not opened.
#[derive(Debug, Error)]
pub enum AnchorError {
    /// The one that families know is not where it should be.
    #[error(
        "the home of holder {device} is not at {}: is its disk mounted? To begin with another one, remove {}",
        directory.display(), record.display()
    )]
    Gone {
        /// Where it should be.
        directory: PathBuf,
        /// Whose it is.
        device: String,
        /// The record that says so.
        record: PathBuf,
    },
    /// Another one is there.
    #[error(
        "{} is the home of device {found}, and the holder of this relay is {device}: families would not know it. \
         To go on with this one all the same, remove {}",
        directory.display(), record.display()
    )]
    Other {
        /// Where.
        directory: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        device: String,
        /// The record that says so.
        record: PathBuf,
    },
    /// Somebody's own node may live there.
    #[error(
        "{} is the home of a node already: set `hold.directory` to an empty directory. If it is this relay's own \
         from before, write `directory = \"{}\"` into {}",
        directory.display(), directory.display(), record.display()
    )]
    Foreign {
        /// Where.
        directory: PathBuf,
        /// The record that would say that it is this relay's.
        record: PathBuf,
    },
    /// The record cannot be read.
    #[error("cannot read {}", record.display())]
    Read {
        /// Which.
        record: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The record cannot be written.
    #[error(transparent)]
    Write(#[from] InvitationsError),
    /// The key cannot be read.
    #[error(transparent)]
    Key(#[from] HomeError),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    directory: PathBuf,
    /// Not before there is a key.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
}

/// What holds a relay to its home.
#[derive(Debug)]
pub(super) struct Anchor {
    state: PathBuf,
    record: Record,
}

impl Anchor {
    /// Before the home in `directory` is opened, or made where there was none yet.
    ///
    /// # Errors
    /// [`AnchorError`]; nothing has been made then.
    pub(super) fn cast(state: &Path, directory: &Path) -> Result<Self, AnchorError> {
        let path = state.join(FILE);
        let key = directory.join(DEVICE_KEY);
        let is_home =
            key.try_exists().map_err(|source| AnchorError::Read { record: key.clone(), source })?;
        let known = read(&path)?;
        let fresh = Record { directory: directory.to_owned(), device: None };
        let record = match known {
            Some(Record { device: Some(device), .. }) if !is_home => {
                let directory = directory.to_owned();
                return Err(AnchorError::Gone { directory, device, record: path });
            }
            Some(known) if known.device.is_some() || known.directory == directory => known,
            _ if is_home => {
                return Err(AnchorError::Foreign { directory: directory.to_owned(), record: path });
            }
            _ => fresh.clone(),
        };
        let known_at = record.directory.clone();
        let record = Record { directory: directory.to_owned(), ..record };
        let anchor = Self { state: state.to_owned(), record };
        // Durable before the home is there: what a crash leaves of it is known to be this relay's.
        if anchor.record.device.is_none() || known_at == directory {
            anchor.note(&anchor.record)?;
        }
        Ok(anchor)
    }

    /// Whether the home that is there now is the one that families know; false where they know none yet.
    ///
    /// # Errors
    /// [`AnchorError::Other`].
    pub(super) fn fits(&self, home: &Home) -> Result<bool, AnchorError> {
        let found = home.device_keys()?.id().to_string();
        match self.record.device.clone() {
            Some(device) if device != found => {
                let (directory, record) = (self.record.directory.clone(), self.state.join(FILE));
                Err(AnchorError::Other { directory, found, device, record })
            }
            known => Ok(known.is_some()),
        }
    }

    /// Once the home is complete: from now on it is the one that families know.
    ///
    /// # Errors
    /// [`AnchorError`].
    pub(super) fn holds(&self, home: &Home) -> Result<(), AnchorError> {
        self.fits(home)?;
        let (directory, device) = (&self.record.directory, home.device_keys()?.id().to_string());
        self.note(&Record { directory: directory.clone(), device: Some(device) })
    }

    fn note(&self, record: &Record) -> Result<(), AnchorError> {
        let path = self.state.join(FILE);
        if read(&path)?.as_ref() == Some(record) {
            return Ok(());
        }
        let text = toml::to_string(record).expect("a path and a text can be written as TOML");
        Ok(replace(&self.state, FILE, text.as_bytes())?)
    }
}

/// Where the home of a relay is, or was.
pub(super) fn known_directory(state: &Path) -> Option<PathBuf> {
    read(&state.join(FILE)).ok()?.map(|record| record.directory)
}

fn read(path: &Path) -> Result<Option<Record>, AnchorError> {
    let at = |source| AnchorError::Read { record: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(facts) if facts.len() > FILE_BYTES_MAX => {
            return Err(at(io::ErrorKind::FileTooLarge.into()));
        }
        Err(error) => return Err(at(error)),
        Ok(_) => {}
    }
    let text = fs::read_to_string(path).map_err(at)?;
    let parsed = toml::from_str(&text);
    parsed.map(Some).map_err(|error| at(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(state: &Path, directory: &Path) -> Result<(), AnchorError> {
        let anchor = Anchor::cast(state, directory)?;
        let home = Home::create(directory, "test", None).unwrap();
        anchor.holds(&home)
    }

    // RELAY-23
    #[test]
    fn no_other_home_takes_the_place_of_the_one_that_families_know() {
        let place = tempfile::tempdir().unwrap();
        let (state, disk) = (place.path().join("state"), place.path().join("disk/holder"));
        fs::create_dir(&state).unwrap();
        cast(&state, &disk).unwrap();
        cast(&state, &disk).unwrap();
        assert_eq!(known_directory(&state), Some(disk.clone()));

        // The disk is not mounted: nothing is made in its place.
        let away = place.path().join("away");
        fs::rename(place.path().join("disk"), &away).unwrap();
        assert!(matches!(cast(&state, &disk), Err(AnchorError::Gone { .. })));
        assert!(!disk.exists());
        // Another home is there.
        drop(Home::create(&disk, "test", None).unwrap());
        let error = cast(&state, &disk).unwrap_err();
        assert!(matches!(error, AnchorError::Other { .. }), "{error}");
        // It may stand elsewhere, where the settings say so.
        cast(&state, &away.join("holder")).unwrap();
        assert_eq!(known_directory(&state), Some(away.join("holder")));
    }

    // RELAY-23
    #[test]
    fn the_home_of_somebodys_own_node_is_left_alone_unless_it_is_said_to_be_the_relays() {
        let place = tempfile::tempdir().unwrap();
        let own = place.path().join("own");
        drop(Home::create(&own, "test", None).unwrap());
        let error = cast(place.path(), &own).unwrap_err();
        assert!(matches!(error, AnchorError::Foreign { .. }), "{error}");
        assert_eq!(known_directory(place.path()), None);
        // As the message says.
        let said = format!("directory = {:?}\n", own.display().to_string());
        fs::write(place.path().join(FILE), said).unwrap();
        cast(place.path(), &own).unwrap();
    }

    // RELAY-23: a crash may leave the record, or the record and the key.
    #[test]
    fn what_a_crash_left_of_a_first_start_is_taken_up() {
        let place = tempfile::tempdir().unwrap();
        let home = place.path().join("holder");
        drop(Anchor::cast(place.path(), &home).unwrap());
        drop(Anchor::cast(place.path(), &home).unwrap());
        drop(Home::create(&home, "test", None).unwrap());
        cast(place.path(), &home).unwrap();
        // What is damaged is no reason to begin anew.
        fs::write(place.path().join(FILE), "directory = 7").unwrap();
        assert!(matches!(cast(place.path(), &home), Err(AnchorError::Read { .. })));
    }
}
