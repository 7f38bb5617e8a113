//! Bundles: small files that share a chunk.
//!
//! The cuts depend on names (and, to bound the size, on lengths), never on content: a changed
//! file disturbs its own bundle alone. Source: specs/chunk.md, CHUNK-5 to CHUNK-7.

use std::fmt;

use crate::{
    keys::epoch::ContentKey,
    limits::{BUNDLE_BYTES_MAX, BUNDLE_FILE_BYTES_MAX},
};

/// A cut is made before one small file in so many (a power of two): about 32 KiB of the 8 to
/// 10 KB files that source trees and mail folders are made of.
const FILES_AVG: u8 = 4;

/// Decides which small files share a chunk. Fed with the small files of one walk in order;
/// larger files pass by and end nothing.
#[derive(Clone)]
pub struct BundlePlanner {
    key: [u8; 32],
    bytes: u64,
}

impl BundlePlanner {
    /// Starts with an empty bundle.
    pub fn new(key: &ContentKey) -> Self {
        Self { key: key.cut_key("larder 2026 bundle cut v1"), bytes: 0 }
    }

    /// Whether a file of this length goes into a bundle at all. Empty files have no bytes to
    /// keep, larger ones have chunks of their own.
    pub const fn takes(bytes: u64) -> bool {
        bytes > 0 && bytes < BUNDLE_FILE_BYTES_MAX
    }

    /// Takes the next small file; says whether the bundle so far is to be closed before it.
    ///
    /// `parent` is the last component of the directory's path (empty for the root folder),
    /// `name` that of the file.
    pub fn cut_before(&mut self, parent: &[u8], name: &[u8], bytes: u64) -> bool {
        let together = self.bytes.saturating_add(bytes);
        let cut = self.bytes > 0 && (together > BUNDLE_BYTES_MAX || self.hits(parent, name));
        self.bytes = if cut { bytes } else { together };
        cut
    }

    /// Whether these names call for a cut: one in [`FILES_AVG`] does.
    fn hits(&self, parent: &[u8], name: &[u8]) -> bool {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let parent_bytes = u32::try_from(parent.len()).unwrap_or(u32::MAX);
        hasher.update(&parent_bytes.to_le_bytes()).update(parent).update(name);
        let [first, ..] = *hasher.finalize().as_bytes();
        first.is_multiple_of(FILES_AVG)
    }
}

impl fmt::Debug for BundlePlanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundlePlanner").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::epoch::EpochKey;

    fn planner() -> BundlePlanner {
        BundlePlanner::new(&ContentKey::derive(&EpochKey::new(1, [7; 32])))
    }

    fn plan(files: &[(String, u64)]) -> Vec<Vec<String>> {
        let mut planner = planner();
        let mut bundles = vec![Vec::new()];
        for (name, bytes) in files {
            if planner.cut_before(b"src", name.as_bytes(), *bytes) {
                bundles.push(Vec::new());
            }
            bundles.last_mut().unwrap().push(name.clone());
        }
        bundles
    }

    fn files() -> Vec<(String, u64)> {
        (0..4000).map(|i| (format!("file{i:04}.c"), 1000 + i * 37 % 20_000)).collect()
    }

    // CHUNK-5
    #[test]
    fn bundles_have_about_four_files_and_stay_below_their_limit() {
        let files = files();
        let bundles = plan(&files);
        assert!((900..1200).contains(&bundles.len()), "{}", bundles.len());
        let lengths: std::collections::BTreeMap<_, _> = files.into_iter().collect();
        for bundle in &bundles {
            let bytes: u64 = bundle.iter().map(|name| lengths[name]).sum();
            assert!(bytes <= BUNDLE_BYTES_MAX);
        }
    }

    // CHUNK-6
    #[test]
    fn a_new_file_disturbs_few_bundles() {
        let mut files = files();
        let before: std::collections::BTreeSet<_> = plan(&files).into_iter().collect();
        files.insert(2000, ("file1999a.c".into(), 5000));
        let after = plan(&files);
        let new = after.iter().filter(|bundle| !before.contains(*bundle)).count();
        assert!((1..=3).contains(&new), "{new}");
    }

    // CHUNK-7
    #[test]
    fn a_file_at_the_limit_is_not_bundled_and_nothing_is_cut_before_the_first() {
        assert!(BundlePlanner::takes(1) && BundlePlanner::takes(BUNDLE_FILE_BYTES_MAX - 1));
        assert!(!BundlePlanner::takes(0) && !BundlePlanner::takes(BUNDLE_FILE_BYTES_MAX));
        for name in 0..64_u8 {
            assert!(!planner().cut_before(b"", &[b'a', name], 10));
        }
    }
}
