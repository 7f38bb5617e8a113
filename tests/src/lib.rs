//! What the end-to-end cases stand on: real nodes, generated trees, comparison, measurement.
//!
//! Not a test framework: plain functions that panic with what they met. The cases are in
//! `tests/cases/`, one file per behaviour; the reader in another language is in `tests/reader/`.
//!
//! | module | gives |
//! |---|---|
//! | [`binary`] | the programs, built once per run |
//! | [`process`] | running it with a time limit; what a process uses, from `/proc` |
//! | [`node`], [`circle`] | one node; a source with its holders, paired |
//! | [`tree`], [`compare`] | a tree with every kind of entry; whether two trees are the same |
//! | [`disk`], [`network`] | small disks that fill up; a network with counters |
//! | [`houses`] | such networks joined by lines that can be cut, slowed and counted |
//! | [`routers`], [`relay`] | homes behind routers that translate addresses; the relay between them |
//! | [`stranger`], [`guesser`] | somebody in the same network who listens and shows things; who tries codes |
//! | [`terminal`], [`desktop`] | somebody before a terminal; a session with a keyring |
//! | [`camera`] | reads the square on a screen |
//! | [`secrets`] | the secrets of a home, and where they are found |
//! | [`dice`] | seeded choices |
//! | [`tools`] | programs of others, installed when they are missing |
//! | [`fuzz_targets`] | every decoder as a function of bytes |

pub mod binary;
pub mod camera;
pub mod circle;
pub mod compare;
pub mod desktop;
pub mod dice;
pub mod disk;
pub mod fuzz_targets;
pub mod guesser;
pub mod houses;
pub mod needles;
pub mod network;
pub mod node;
pub mod process;
pub mod relay;
pub mod routers;
pub mod secrets;
pub mod stranger;
pub mod street;
pub mod terminal;
pub mod tools;
pub mod tree;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests crate lies in the workspace").to_path_buf()
}

/// Whether this process may make device nodes, mount and give files away.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a case or a part of it was left out, and why. Always returns `true` for `if` chains.
pub fn skipped(case: &str, why: &str) -> bool {
    println!("SKIPPED {case}: {why}");
    true
}

/// A temporary directory with a short name: paths of nearly 4,096 bytes must fit below it.
pub fn short_directory() -> tempfile::TempDir {
    tools::ensure();
    tempfile::Builder::new()
        .prefix("ld")
        .rand_bytes(5)
        .tempdir()
        .expect("the temporary directory can be written")
}
