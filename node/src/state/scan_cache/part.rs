//! A part of a directory as a row: some entries that follow each other.
//!
//! ```text
//! checksum 16 | CBOR array: who looked, whether it is the whole directory, entries
//! ```
//! The checksum is of a disk that lies: an entry goes into a snapshot as it stands here.

use larder_protocol::tree::entry::{Content, Xattr};
use minicbor::{Decoder, decode::Error};
use rustix::{fs::stat, process::geteuid, thread::capabilities};

use crate::files::{DirectoryKey, Recollection, Remembered};

/// Entries in one row at most.
pub const ENTRIES_MAX: usize = 512;

const CHECKSUM_BYTES: usize = 16;

/// Extended attributes are read again after so long whatever the stamp says, for file systems that
/// change them without a new change time; in some directories a few days later than in others.
const LOOK_AGAIN_SECONDS: u64 = 7 * 24 * 3600;
const LATER_SECONDS: u64 = 20 * 60;

/// Names a folder in the scan cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderKey(pub(super) [u8; 8]);

impl FolderKey {
    /// Of the folder with this root.
    pub fn of(root: DirectoryKey) -> Self {
        let mut key = [0; 8];
        key.copy_from_slice(&blake3::hash(&root.0).as_bytes()[..8]);
        Self(key)
    }
}

/// The key of the part of `directory` that begins with the name `first`.
pub(super) fn key(folder: FolderKey, directory: DirectoryKey, first: &[u8]) -> Vec<u8> {
    [&folder.0[..], &directory.0[..], first].concat()
}

/// Folder and directory in a key, or nothing in one that is damaged.
pub(super) fn parse(key: &[u8]) -> Option<(FolderKey, DirectoryKey, &[u8])> {
    let (folder, rest) = key.split_first_chunk()?;
    let (directory, first) = rest.split_first_chunk()?;
    Some((FolderKey(*folder), DirectoryKey(*directory), first))
}

/// A part as a row.
pub(super) fn row(entries: &[Remembered], is_whole: bool) -> Vec<u8> {
    let mut row = vec![0; CHECKSUM_BYTES];
    let fields = (onlooker(), is_whole, entries);
    minicbor::encode(fields, &mut row).expect("a vector takes everything");
    let (sum, rest) = row.split_at_mut(CHECKSUM_BYTES);
    sum.copy_from_slice(&checksum(rest));
    row
}

/// Reads rows for one scan.
#[derive(Debug)]
pub(super) struct Reader {
    onlooker: u64,
    /// Seconds since 1970.
    now: u64,
}

impl Reader {
    pub(super) fn new(now: u64) -> Self {
        Self { onlooker: onlooker(), now }
    }

    /// Adds the entries of a row with names from `first` to `last` to `found`, none of one that is
    /// damaged; without extended attributes if others saw them.
    pub(super) fn read(
        &self,
        row: &[u8],
        directory: DirectoryKey,
        names: (&[u8], &[u8]),
        found: &mut Recollection,
    ) {
        let Some((sum, rest)) = row.split_first_chunk() else { return };
        if *sum != checksum(rest) {
            return;
        }
        let before = found.entries.len();
        if self.decode(rest, directory, names, found).is_err() {
            found.entries.truncate(before);
        }
    }

    fn decode(
        &self,
        row: &[u8],
        directory: DirectoryKey,
        (first, last): (&[u8], &[u8]),
        found: &mut Recollection,
    ) -> Result<(), Error> {
        let mut row = Decoder::new(row);
        let odd = || Error::message("not a part of a directory");
        if row.array()? != Some(3) {
            return Err(odd());
        }
        let is_own = row.u64()? == self.onlooker;
        let is_whole = row.bool()?;
        let count = row.array()?.ok_or_else(odd)?;
        for _ in 0..count {
            let fields = row.array()?.filter(|fields| *fields > 0).ok_or_else(odd)?;
            let name = row.bytes()?;
            if name < first || name > last {
                (1..fields).try_for_each(|_| row.skip())?;
                continue;
            }
            let stamp = *row.bytes()?.first_chunk().ok_or_else(odd)?;
            let looked = row.u64()?;
            let xattrs: Option<Vec<Xattr>> = row.decode()?;
            let target = row.bytes()?.to_vec();
            // An array ends with its last field that is there.
            let content: Option<Content> = if fields > 5 { row.decode()? } else { None };
            let xattrs = xattrs.filter(|_| is_own && self.is_fresh(looked, directory));
            let name = name.to_vec();
            found.entries.push(Remembered { name, stamp, looked, xattrs, target, content });
        }
        found.whole = is_whole.then(|| usize::try_from(count).unwrap_or(usize::MAX));
        Ok(())
    }

    fn is_fresh(&self, looked: u64, directory: DirectoryKey) -> bool {
        let age_max = LOOK_AGAIN_SECONDS + u64::from(directory.0[15]) * LATER_SECONDS;
        self.now.checked_sub(looked).is_some_and(|age| age < age_max)
    }
}

/// Stands for what this process may see: attributes are shown by user, capability and namespace.
fn onlooker() -> u64 {
    let capabilities = capabilities(None).map_or(0, |sets| sets.effective.bits());
    let namespace = stat("/proc/self/ns/user").map_or(0, |status| status.st_ino);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&geteuid().as_raw().to_le_bytes());
    hasher.update(&capabilities.to_le_bytes()).update(&namespace.to_le_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(number)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..CHECKSUM_BYTES]);
    sum
}
