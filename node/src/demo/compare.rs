//! Two trees, compared in everything that matters, by code that shares nothing with the backup.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{lgetxattr, llistxattr};

/// Everything about a tree, by path from its root.
#[derive(Debug, Default)]
pub(super) struct Picture {
    entries: BTreeMap<PathBuf, Look>,
    bytes: u64,
    /// First path of each inode with several links.
    linked: BTreeMap<(u64, u64), PathBuf>,
}

/// Everything about one entry.
#[derive(Debug, PartialEq, Eq)]
struct Look {
    kind: &'static str,
    mode: u32,
    owner: (u32, u32),
    /// Seconds and nanoseconds. Not of symlinks' targets.
    modified: (i64, i64),
    bytes: u64,
    device: u64,
    content: Option<blake3::Hash>,
    target: Option<PathBuf>,
    /// First path, in order, of the same file.
    same_as: Option<PathBuf>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether it has holes.
    sparse: bool,
}

impl Picture {
    /// Reads a tree whole. Like a backup it does not enter other file systems, nor what is below a
    /// directory with a `CACHEDIR.TAG`.
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let mut picture = Self::default();
        let device = fs::metadata(root)?.dev();
        picture.enter(root, Path::new(""), device)?;
        Ok(picture)
    }

    pub(super) fn entries(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap_or(u64::MAX)
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One line for each path that differs, in order.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, look) in &self.entries {
            match other.entries.get(path) {
                None => lines.push(format!("{path:?} is missing")),
                Some(found) if found == look => {}
                Some(found) => {
                    lines.push(format!("{path:?}: {}", look.what_differs(found).join(", ")));
                }
            }
        }
        for path in other.entries.keys().filter(|path| !self.entries.contains_key(*path)) {
            lines.push(format!("{path:?} should not be there"));
        }
        lines
    }

    fn enter(&mut self, root: &Path, path: &Path, device: u64) -> io::Result<()> {
        let here = root.join(path);
        let facts = fs::symlink_metadata(&here)?;
        let look = self.look(&here, path, &facts)?;
        self.entries.insert(path.to_owned(), look);
        if !facts.is_dir() || facts.dev() != device || is_cache(&here) {
            return Ok(());
        }
        let mut names = fs::read_dir(&here)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        names.iter().try_for_each(|name| self.enter(root, &path.join(name), device))
    }

    fn look(&mut self, here: &Path, path: &Path, facts: &fs::Metadata) -> io::Result<Look> {
        let is_file = facts.is_file();
        let bytes = if is_file { facts.len() } else { 0 };
        self.bytes += bytes;
        let same_as = if facts.is_dir() || facts.nlink() < 2 {
            None
        } else {
            let first = self.linked.entry((facts.dev(), facts.ino()));
            Some(first.or_insert_with(|| path.to_owned()).clone())
        };
        let is_device = facts.file_type().is_char_device() || facts.file_type().is_block_device();
        Ok(Look {
            kind: kind(facts.file_type()),
            mode: facts.mode() & 0o7777,
            owner: (facts.uid(), facts.gid()),
            modified: (facts.mtime(), facts.mtime_nsec()),
            bytes,
            device: if is_device { facts.rdev() } else { 0 },
            content: if is_file { Some(hash(here)?) } else { None },
            target: if facts.is_symlink() { Some(fs::read_link(here)?) } else { None },
            same_as,
            xattrs: xattrs(here)?,
            // Small differences in allocation are the file system's own affair.
            sparse: is_file && facts.len() >= 1 << 20 && facts.blocks() * 512 < facts.len() / 2,
        })
    }
}

impl Look {
    fn what_differs(&self, other: &Self) -> Vec<String> {
        let aspects: [(&str, bool); 11] = [
            ("kind", self.kind != other.kind),
            ("mode", self.mode != other.mode),
            ("owner", self.owner != other.owner),
            ("time", self.modified != other.modified),
            ("length", self.bytes != other.bytes),
            ("device number", self.device != other.device),
            ("content", self.content != other.content),
            ("link target", self.target != other.target),
            ("hard links", self.same_as != other.same_as),
            ("extended attributes", self.xattrs != other.xattrs),
            ("holes", self.sparse != other.sparse),
        ];
        aspects
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(name, _)| name.to_owned())
            .collect()
    }
}

fn kind(kind: fs::FileType) -> &'static str {
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else if kind.is_char_device() {
        "character device"
    } else {
        "block device"
    }
}

fn is_cache(directory: &Path) -> bool {
    let signature = b"Signature: 8a477f597d28d172789f06886806bc55";
    fs::read(directory.join("CACHEDIR.TAG")).is_ok_and(|bytes| bytes.starts_with(signature))
}

fn hash(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize())
}

fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; 64 * 1024];
    let length = match llistxattr(path, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut pairs = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let length = lgetxattr(path, std::ffi::OsStr::from_bytes(name), &mut value)?;
        value.truncate(length);
        pairs.push((name.to_vec(), value));
    }
    pairs.sort();
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::tree;

    #[test]
    fn a_generated_tree_is_like_itself_and_unlike_any_changed_one() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("folder");
        tree::generate(&folder).unwrap();
        let before = Picture::of(&folder).unwrap();
        assert!(before.entries() > 1000 && before.bytes() > 300 << 20);
        assert_eq!(before.differences(&Picture::of(&folder).unwrap()), [""; 0]);
        fs::write(folder.join("notes/empty.txt"), "x").unwrap();
        fs::remove_file(folder.join("kinds/hard link")).unwrap();
        fs::write(folder.join("new"), "").unwrap();
        let after = before.differences(&Picture::of(&folder).unwrap());
        let text = after.join("\n");
        for expected in [
            "\"notes/empty.txt\": time, length, content",
            "\"kinds/hard link\" is missing",
            "\"kinds/file\": hard links",
            "\"new\" should not be there",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }
}
