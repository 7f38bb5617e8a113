//! What the end-to-end cases stand on: real nodes, generated trees, comparison, measurement.
//!
//! Not a test framework: plain functions that panic with what they met. The cases are in
//! `tests/cases/`, one file per behaviour; the reader in another language is in `tests/reader/`.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests crate lies in the workspace").to_path_buf()
}
