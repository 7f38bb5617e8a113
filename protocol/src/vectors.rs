//! The vectors in `specs/vectors/`: what these very inputs must become, for readers in other
//! languages and for every later version of this code.
//!
//! A test makes each page anew and compares. To add to a page, run its ignored `write_vectors`;
//! never to make a comparison pass.

use std::{fs, path::PathBuf};

use serde_json::Value;

fn page(topic: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../specs/vectors/{topic}.json"))
}

/// Bytes as they stand in the vectors.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(bytes.as_ref())
}

/// Fails unless the page says exactly this.
pub(crate) fn check(topic: &str, made: &Value) {
    let written = fs::read(page(topic)).expect("the vectors are in the project");
    let written: Value = serde_json::from_slice(&written).expect("the vectors are JSON");
    assert_eq!(*made, written, "specs/vectors/{topic}.json and the code do not agree");
}

/// Writes a page.
pub(crate) fn write(topic: &str, made: &Value) {
    let text = serde_json::to_string_pretty(made).expect("a value is always JSON");
    fs::write(page(topic), text + "\n").expect("the project can be written to");
}
