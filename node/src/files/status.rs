//! What the kernel says about one object, read with one `statx`, and what is made of it:
//! [`Attributes`], an [`Identity`], a [`Stamp`].

use std::{
    os::fd::AsFd,
    path::Path,
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use larder_protocol::tree::entry::{Attributes, DeviceNumber, FileTime, Identity, Xattr};
use rustix::{
    fs::{AtFlags, CWD, FileType, Statx, StatxFlags, StatxTimestamp, statx},
    io::Errno,
};

/// A change this young may be followed by another one with the same time stamp: the clock of a
/// file system ticks every 1 to 10 ms, that of a network or FAT file system every 2 s.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// Result of one `statx`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) file_type: FileType,
    /// `st_mode & 0o7777`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) bytes: u64,
    /// Allocated bytes.
    pub(crate) allocated: u64,
    pub(crate) modified: FileTime,
    pub(crate) changed: FileTime,
    pub(crate) born: Option<FileTime>,
    pub(crate) number: DeviceNumber,
}

impl Status {
    /// Looks at `name` in `dir`; a symlink is looked at itself, an automount point is left alone.
    pub(crate) fn at(dir: impl AsFd, name: &[u8]) -> Result<Self, Errno> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        statx(dir, name, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME).map(Self::from)
    }

    /// Looks at what `path` leads to in the end, symlinks followed: a person named it.
    pub(crate) fn followed(path: &Path) -> Result<Self, Errno> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        statx(CWD, path, AtFlags::empty(), mask).map(Self::from)
    }

    /// Looks at what `fd` has open, also through an `O_PATH` descriptor.
    pub(crate) fn of(fd: impl AsFd) -> Result<Self, Errno> {
        let mask = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        statx(fd, c"", AtFlags::EMPTY_PATH, mask).map(Self::from)
    }

    /// Device and inode: which object it is, as long as it stays mounted.
    pub(crate) fn object(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// What of it goes into a snapshot. `ordinal` tells the file systems of one walk apart.
    pub(crate) fn attributes(&self, ordinal: u32, xattrs: Vec<Xattr>) -> Attributes {
        Attributes {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            modified: self.modified,
            identity: self.identity(ordinal),
            links: self.links.max(1),
            xattrs: (!xattrs.is_empty()).then_some(xattrs),
        }
    }

    /// Inode numbers are used again after a deletion, so that the birth time is what makes an
    /// identity last. Without one it serves to group hardlinks and nothing else.
    fn identity(&self, ordinal: u32) -> Option<Identity> {
        if self.born.is_none() && self.links < 2 {
            return None;
        }
        // Of each entry of a folder: the context is hashed once.
        static CONTEXT: LazyLock<ContextKey> =
            LazyLock::new(|| hash_derive_key_context("larder 2026 file identity v1"));
        let born = self.born.unwrap_or_default();
        let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT);
        hasher.update(&self.inode.to_le_bytes());
        hasher.update(&born.seconds.to_le_bytes());
        hasher.update(&born.nanoseconds.to_le_bytes());
        hasher.update(&ordinal.to_le_bytes());
        let mut identity = [0; 16];
        identity.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Some(Identity(identity))
    }

    /// What the scan cache compares.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            inode: self.inode,
            changed: self.changed,
            modified: self.modified,
            bytes: self.bytes,
        }
    }
}

impl From<Statx> for Status {
    fn from(raw: Statx) -> Self {
        let mode = u32::from(raw.stx_mode);
        let mask = StatxFlags::from_bits_retain(raw.stx_mask);
        Self {
            device: u64::from(raw.stx_dev_major) << 32 | u64::from(raw.stx_dev_minor),
            inode: raw.stx_ino,
            file_type: FileType::from_raw_mode(mode),
            mode: mode & 0o7777,
            uid: raw.stx_uid,
            gid: raw.stx_gid,
            links: raw.stx_nlink,
            bytes: raw.stx_size,
            allocated: raw.stx_blocks.saturating_mul(512),
            modified: time(raw.stx_mtime),
            changed: time(raw.stx_ctime),
            born: mask.contains(StatxFlags::BTIME).then(|| time(raw.stx_btime)),
            number: DeviceNumber { major: raw.stx_rdev_major, minor: raw.stx_rdev_minor },
        }
    }
}

fn time(raw: StatxTimestamp) -> FileTime {
    FileTime { seconds: raw.tv_sec, nanoseconds: raw.tv_nsec }
}

/// Tells whether a file is still the one that was read: inode, time of last change, time of last
/// modification, length.
///
/// The device number is left out on purpose: it changes between boots (Btrfs, LVM, USB disks),
/// and every file would be read again. The cache is keyed by directory and name, so that what a
/// device number would tell apart is another file system with the same inode, whose times differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    changed: FileTime,
    modified: FileTime,
    bytes: u64,
}

impl Stamp {
    /// Length of [`Stamp::to_bytes`].
    pub const BYTES: usize = 40;

    /// A fixed form for the scan cache, little endian: inode, change time (seconds, nanoseconds),
    /// modification time (same), length.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.changed.seconds.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.changed.nanoseconds.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.modified.seconds.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.modified.nanoseconds.to_le_bytes());
        bytes[32..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// Length of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether an equal stamp later means equal content. A file changed just now may change once
    /// more within the same tick of the file system's clock; it must not enter the scan cache.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let Ok(now) = now.duration_since(UNIX_EPOCH) else { return false };
        let Ok(seconds) = u64::try_from(self.changed.seconds) else { return true };
        let changed = Duration::new(seconds, self.changed.nanoseconds);
        now.checked_sub(SETTLED_AFTER).is_some_and(|limit| changed < limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64) -> Stamp {
        let changed = FileTime { seconds, nanoseconds: 7 };
        Stamp { inode: 1, changed, modified: FileTime::default(), bytes: 9 }
    }

    // FILES-9
    #[test]
    fn a_stamp_made_just_now_is_not_settled() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        assert!(stamp(900).is_settled(now));
        assert!(stamp(-5).is_settled(now));
        assert!(!stamp(999).is_settled(now));
        assert!(!stamp(2000).is_settled(now));
    }

    #[test]
    fn every_field_of_a_stamp_reaches_its_bytes() {
        let bytes = stamp(-2).to_bytes();
        assert_eq!(bytes[..8], 1u64.to_le_bytes());
        assert_eq!(bytes[8..16], (-2i64).to_le_bytes());
        assert_eq!(bytes[16..20], 7u32.to_le_bytes());
        assert_eq!(bytes[20..32], [0; 12]);
        assert_eq!(bytes[32..], 9u64.to_le_bytes());
    }

    #[test]
    fn identity_and_stamp_match_the_vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../specs/vectors/files.json")).unwrap();
        for vector in vectors["identities"].as_array().unwrap() {
            let number = |key: &str| vector[key].as_i64().unwrap();
            let small = |key: &str| u32::try_from(number(key)).unwrap();
            let time = |seconds: &str, nanoseconds: &str| FileTime {
                seconds: number(seconds),
                nanoseconds: small(nanoseconds),
            };
            let status = Status {
                device: 99,
                inode: u64::try_from(number("inode")).unwrap(),
                file_type: FileType::RegularFile,
                mode: 0o644,
                uid: 0,
                gid: 0,
                links: 2,
                bytes: u64::try_from(number("length")).unwrap(),
                allocated: 0,
                modified: time("modified_seconds", "modified_nanoseconds"),
                changed: time("changed_seconds", "changed_nanoseconds"),
                born: Some(time("born_seconds", "born_nanoseconds")),
                number: DeviceNumber { major: 0, minor: 0 },
            };
            let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
            let identity = status.identity(small("ordinal")).unwrap();
            assert_eq!(hex(&identity.0), vector["identity"].as_str().unwrap());
            assert_eq!(hex(&status.stamp().to_bytes()), vector["stamp"].as_str().unwrap());
        }
    }
}
