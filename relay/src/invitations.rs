//! The invitations of a relay: one file, replaced as a whole, read again when it has changed.
//!
//! `larder-relay invite` and `revoke` write it; the running relay only reads. It says which tokens
//! are valid, by their hashes: whoever reads it cannot use the relay. Source: specs/relay.md.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use larder_protocol::{
    limits::RELAY_INVITATIONS_MAX,
    relaying::{Invitation, RelayToken, TokenHash},
    time::Timestamp,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const FILE: &str = "invitations.toml";
const LOCK: &str = "invitations.lock";
/// Longest file that is read: some 200 bytes for each of them.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Longest name.
const NAME_BYTES_MAX: usize = 64;

/// Why invitations cannot be read or changed.
#[derive(Debug, Error)]
pub enum InvitationsError {
    /// The file system refuses.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file was edited, and not well.
    #[error("{} is not valid; it is written by `larder-relay invite`", path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// Where.
        source: Box<toml::de::Error>,
    },
    /// Names tell invitations apart.
    #[error("there is an invitation `{0}` already: revoke it first, or choose another name")]
    Exists(String),
    /// No such invitation.
    #[error("there is no invitation `{0}`; `larder-relay invitations` lists them")]
    Unknown(String),
    /// Not a name.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes and no line breaks")]
    Name,
    /// Enough.
    #[error("there are {RELAY_INVITATIONS_MAX} invitations already: revoke some")]
    TooMany,
    /// The system gives no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    invitation: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    token_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

/// A token that nobody has had before.
pub(crate) fn new_token() -> Result<RelayToken, InvitationsError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|_| InvitationsError::Randomness)?;
    Ok(RelayToken::from_bytes(bytes))
}

/// What tells whether the file has changed.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// The file, in the directory of a relay.
#[derive(Debug, Clone)]
pub struct Invitations {
    directory: PathBuf,
}

impl Invitations {
    /// Those of the relay with this directory, which is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(directory: &Path) -> Result<Self, InvitationsError> {
        fs::create_dir_all(directory).map_err(|source| InvitationsError::Io {
            doing: "make the directory",
            path: directory.to_owned(),
            source,
        })?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// All of them, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<Invitation>, InvitationsError> {
        let rows = self.read()?.invitation;
        Ok(rows.into_iter().filter_map(Row::into_invitation).collect())
    }

    /// Something that differs when the file has changed.
    pub(crate) fn stamp(&self) -> Stamp {
        let facts = fs::metadata(self.path()).ok()?;
        Some((facts.modified().ok()?, facts.len(), facts.ino()))
    }

    /// Makes an invitation; `name` of `None` chooses a number. Returns its name and its token, which
    /// is kept nowhere.
    ///
    /// # Errors
    /// [`InvitationsError`]; nothing has changed then.
    pub fn invite(
        &self,
        name: Option<&str>,
        expires: Option<Timestamp>,
    ) -> Result<(String, RelayToken), InvitationsError> {
        let _lock = self.lock()?;
        let mut document = self.read()?;
        let taken = |name: &str| document.invitation.iter().any(|row| row.name == name);
        let name = match name {
            Some(name) if taken(name) => return Err(InvitationsError::Exists(name.to_owned())),
            Some(name) if !is_name(name) => return Err(InvitationsError::Name),
            Some(name) => name.to_owned(),
            None => {
                let mut numbered = (1_u32..).map(|number| format!("guest-{number}"));
                numbered.find(|name| !taken(name)).ok_or(InvitationsError::TooMany)?
            }
        };
        if document.invitation.len() >= RELAY_INVITATIONS_MAX {
            return Err(InvitationsError::TooMany);
        }
        let token = new_token()?;
        document.invitation.push(Row {
            name: name.clone(),
            token_hash: HEXLOWER.encode(&token.hash().0),
            expires: expires.map(|time| time.0),
        });
        self.write(&document)?;
        Ok((name, token))
    }

    /// Takes an invitation back. The running relay closes its connections within a second or two.
    ///
    /// # Errors
    /// [`InvitationsError`]; nothing has changed then.
    pub fn revoke(&self, name: &str) -> Result<(), InvitationsError> {
        let _lock = self.lock()?;
        let mut document = self.read()?;
        let before = document.invitation.len();
        document.invitation.retain(|row| row.name != name);
        if document.invitation.len() == before {
            return Err(InvitationsError::Unknown(name.to_owned()));
        }
        self.write(&document)
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }

    fn read(&self) -> Result<Document, InvitationsError> {
        let path = self.path();
        let at = |source| InvitationsError::Io { doing: "read", path: path.clone(), source };
        let text = match fs::metadata(&path) {
            Ok(facts) if facts.len() > FILE_BYTES_MAX => {
                return Err(at(io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => fs::read_to_string(&path).map_err(at)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Document::default());
            }
            Err(error) => return Err(at(error)),
        };
        toml::from_str(&text).map_err(|source| InvitationsError::Syntax {
            path: path.clone(),
            source: Box::new(source),
        })
    }

    fn write(&self, document: &Document) -> Result<(), InvitationsError> {
        let text = toml::to_string(document).expect("texts and numbers can be written");
        replace(&self.directory, FILE, text.as_bytes())
    }

    /// One command at a time changes the file.
    fn lock(&self) -> Result<File, InvitationsError> {
        let path = self.directory.join(LOCK);
        let at = |source| InvitationsError::Io { doing: "lock", path: path.clone(), source };
        let options =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).clone();
        let file = options.open(&path).map_err(at)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| at(error.into()))?;
        Ok(file)
    }
}

/// Replaces a private file: whole or not at all, durable when this returns. It belongs to whoever
/// has the directory, so that what the administrator writes can be read by the service.
pub(crate) fn replace(
    directory: &Path,
    name: &str,
    content: &[u8],
) -> Result<(), InvitationsError> {
    let path = directory.join(name);
    let at = |source| InvitationsError::Io { doing: "write", path: path.clone(), source };
    let temporary = directory.join(format!("{name}.new"));
    let written = || {
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let mut file = options.open(&temporary)?;
        let (own, wanted) = (file.metadata()?, fs::metadata(directory)?);
        if own.uid() != wanted.uid() {
            std::os::unix::fs::fchown(&file, Some(wanted.uid()), Some(wanted.gid()))?;
        }
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()
    };
    written().map_err(at)
}

fn is_name(name: &str) -> bool {
    !name.trim().is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

impl Row {
    /// `None` when somebody changed the hash: nobody has a token for it.
    fn into_invitation(self) -> Option<Invitation> {
        let hash = HEXLOWER.decode(self.token_hash.as_bytes()).ok()?;
        let token = TokenHash(hash.try_into().ok()?);
        Some(Invitation { name: self.name, token, expires: self.expires.map(Timestamp) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RELAY-8
    #[test]
    fn an_invitation_is_kept_without_its_token_until_it_is_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let invitations = Invitations::open(directory.path()).unwrap();
        let (name, token) = invitations.invite(Some("Anna's house"), None).unwrap();
        assert_eq!(name, "Anna's house");
        let (second, _) = invitations.invite(None, Some(Timestamp(9))).unwrap();
        let listed = invitations.list().unwrap();
        let names: Vec<&str> = listed.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["Anna's house", second.as_str()]);
        assert_eq!(listed[0].token, token.hash());
        assert_eq!(listed[1].expires, Some(Timestamp(9)));
        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(!text.contains(&token.to_secret_text()), "{text}");
        let mode = fs::metadata(directory.path().join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);

        let before = invitations.stamp();
        invitations.revoke("Anna's house").unwrap();
        assert_ne!(invitations.stamp(), before);
        assert_eq!(invitations.list().unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_done_says_why_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let invitations = Invitations::open(directory.path()).unwrap();
        invitations.invite(Some("a"), None).unwrap();
        let before = invitations.stamp();
        let again = invitations.invite(Some("a"), None);
        assert!(matches!(again, Err(InvitationsError::Exists(_))));
        for name in ["", " ", "a\nb"] {
            let bad = invitations.invite(Some(name), None);
            assert!(matches!(bad, Err(InvitationsError::Name)), "{name:?}");
        }
        assert!(matches!(invitations.revoke("b"), Err(InvitationsError::Unknown(_))));
        assert_eq!(invitations.stamp(), before);
        fs::write(directory.path().join(FILE), "[[invitation]]\nnam = 1").unwrap();
        assert!(matches!(invitations.list(), Err(InvitationsError::Syntax { .. })));
    }
}
