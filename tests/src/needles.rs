//! Looks for bytes in names and contents of files: what must not be there.

use std::{fs, path::Path};

use crate::tree;

/// Where the needles are found below `directory`.
pub fn found(directory: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut places = Vec::new();
    for path in tree::bottom_up(directory) {
        let name = path.as_os_str().as_encoded_bytes();
        let bytes = match path.is_file() {
            true => fs::read(&path).expect("what is in a home of a test can be read"),
            false => Vec::new(),
        };
        for (number, needle) in needles.iter().enumerate() {
            let within = |hay: &[u8]| hay.windows(needle.len()).any(|window| window == needle);
            // Windows by first byte: a plain search over 100 MB would take minutes.
            let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == needle[0]);
            let mut starts = starts.map(|(at, _)| at);
            if within(name) || starts.any(|at| bytes[at..].starts_with(needle)) {
                places.push(format!("needle {number} in {}", path.display()));
            }
        }
    }
    places
}
