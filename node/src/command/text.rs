//! Bytes, times and secrets as JSON can carry them, without loss.
//!
//! Names of files are bytes. In a command a path is a JSON string when it is UTF-8 and
//! `{"base64": "..."}` when it is not. In rows, which scripts read, `path` is always a string
//! (lossy, with U+FFFD) and `path_base64` beside it appears exactly when the string is not the
//! whole truth. Source: specs/command_line.md, CLI-6.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use data_encoding::BASE64;
use larder_protocol::{time::Timestamp, tree::entry::FileTime};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroize;

/// A path as its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RawPath(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Wire {
    Text(String),
    Bytes { base64: String },
}

impl RawPath {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path of this machine.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// Whether it is the root of a snapshot.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for RawPath {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for RawPath {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for RawPath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<PathBuf> for RawPath {
    fn from(path: PathBuf) -> Self {
        Self(path.into_os_string().into_vec())
    }
}

impl From<&Path> for RawPath {
    fn from(path: &Path) -> Self {
        Self(path.as_os_str().as_bytes().to_vec())
    }
}

impl From<OsString> for RawPath {
    fn from(text: OsString) -> Self {
        Self(text.into_vec())
    }
}

impl fmt::Debug for RawPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().fmt(f)
    }
}

impl Serialize for RawPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Wire::Bytes { base64: BASE64.encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RawPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Wire::deserialize(deserializer)? {
            Wire::Text(text) => Ok(Self(text.into_bytes())),
            Wire::Bytes { base64 } => {
                BASE64.decode(base64.as_bytes()).map(Self).map_err(de::Error::custom)
            }
        }
    }
}

macro_rules! byte_field {
    ($(#[$doc:meta])* $name:ident, $text:ident, $base64:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $text: String,
            #[serde(skip_serializing_if = "Option::is_none", default)]
            $base64: Option<String>,
        }

        impl $name {
            /// Takes the bytes.
            pub fn new(bytes: &[u8]) -> Self {
                match str::from_utf8(bytes) {
                    Ok(text) => Self { $text: text.to_owned(), $base64: None },
                    Err(_) => Self {
                        $text: String::from_utf8_lossy(bytes).into_owned(),
                        $base64: Some(BASE64.encode(bytes)),
                    },
                }
            }

            /// The bytes, as they were.
            pub fn to_bytes(&self) -> Vec<u8> {
                let decoded = self.$base64.as_ref().map(|text| BASE64.decode(text.as_bytes()));
                match decoded {
                    Some(Ok(bytes)) => bytes,
                    Some(Err(_)) | None => self.$text.as_bytes().to_vec(),
                }
            }
        }
    };
}

byte_field! {
    /// The keys `path` and, when needed, `path_base64` of a JSON object.
    PathField, path, path_base64
}
byte_field! {
    /// The keys `target` and, when needed, `target_base64` of a JSON object.
    TargetField, target, target_base64
}

impl From<&RawPath> for PathField {
    fn from(path: &RawPath) -> Self {
        Self::new(path.as_bytes())
    }
}

impl From<&Path> for PathField {
    fn from(path: &Path) -> Self {
        Self::new(path.as_os_str().as_bytes())
    }
}

/// A time in RFC 3339, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub jiff::Timestamp);

impl Time {
    /// The current time.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now())
    }

    /// A file's time; `None` beyond the years that RFC 3339 can write.
    pub fn of_file(time: FileTime) -> Option<Self> {
        let nanoseconds = i32::try_from(time.nanoseconds).ok()?;
        jiff::Timestamp::new(time.seconds, nanoseconds).ok().map(Self)
    }
}

impl From<Timestamp> for Time {
    fn from(time: Timestamp) -> Self {
        let seconds = i64::try_from(time.0).unwrap_or(i64::MAX);
        Self(jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        jiff::Timestamp::from_str(&text).map(Self).map_err(de::Error::custom)
    }
}

/// A text that is never printed and is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for deriving keys, never for output.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Byte strings as base64 text.
pub(super) mod base64_bytes {
    use super::{BASE64, Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
