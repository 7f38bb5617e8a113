//! Which names may be used in a directory, and the names that restoring keeps for itself.

use thiserror::Error;

/// Linux file systems take no longer name.
const NAME_BYTES_MAX: usize = 255;
/// Begin of every name that a restore uses while it works.
const PART_PREFIX: &[u8] = b".larder-part-";
/// Hex digits behind [`PART_PREFIX`].
const PART_DIGITS: usize = 16;

/// A name that would leave its directory, or that no Linux file system can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NameError {
    /// Empty, `.`, `..`, with a slash or with a NUL.
    #[error("not a plain file name")]
    NotPlain,
    /// Longer than Linux allows.
    #[error("a file name of {bytes} bytes, longer than the {NAME_BYTES_MAX} that Linux allows")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Of the form that a restore uses for files not yet complete.
    #[error("a file name that is kept for files not yet completely restored")]
    Reserved,
}

/// Checks that `name` names something in its own directory and nowhere else.
///
/// # Errors
/// The first [`NameError`] met.
pub fn check_name(name: &[u8]) -> Result<(), NameError> {
    if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(NameError::NotPlain);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(NameError::TooLong { bytes: name.len() });
    }
    if is_part_name(name) { Err(NameError::Reserved) } else { Ok(()) }
}

/// Name under which `name` is built up before it is complete: short whatever the name, the same
/// after a restart. That of the empty name, which no file has, marks a target being restored to.
pub fn part_name(name: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("larder 2026 part name v1");
    hasher.update(name);
    let hash = hasher.finalize();
    let digits = data_encoding::HEXLOWER.encode(&hash.as_bytes()[..PART_DIGITS / 2]);
    [PART_PREFIX, digits.as_bytes()].concat()
}

/// Whether `name` has the form of [`part_name`]; such files are never backed up.
pub fn is_part_name(name: &[u8]) -> bool {
    name.strip_prefix(PART_PREFIX).is_some_and(|digits| {
        digits.len() == PART_DIGITS
            && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-20
    #[test]
    fn names_that_leave_the_directory_are_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", b"../x"] {
            assert_eq!(check_name(name), Err(NameError::NotPlain));
        }
        assert_eq!(check_name(&[b'x'; 256]), Err(NameError::TooLong { bytes: 256 }));
        for name in [&b"..."[..], b"a\nb", b"\xff\xfe", &[b'x'; 255], b"..a", b"-rf"] {
            assert_eq!(check_name(name), Ok(()));
        }
    }

    #[test]
    fn part_names_are_recognised_and_reserved() {
        let part = part_name(b"photo.jpg");
        assert!(is_part_name(&part));
        assert_ne!(part, part_name(b"photo.jpeg"));
        assert_eq!(check_name(&part), Err(NameError::Reserved));
        assert!(!is_part_name(b".larder-part-0123"));
        assert!(!is_part_name(b".larder-part-0123456789ABCDEF"));
    }

    #[test]
    fn part_names_match_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../specs/vectors/files.json")).unwrap();
        for vector in vectors["part_names"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let name = data_encoding::HEXLOWER.decode(name.as_bytes()).unwrap();
            assert_eq!(part_name(&name), vector["part"].as_str().unwrap().as_bytes());
        }
    }
}
