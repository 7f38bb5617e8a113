//! Folders, offer and settings.

use std::sync::Arc;

use super::Core;
use crate::command::{ByteSize, Failure, Outcome, RawPath};

pub(crate) async fn add(
    core: &Arc<Core>,
    paths: Vec<RawPath>,
    excludes: Vec<String>,
) -> Result<Outcome, Failure> {
    let _ = (core, paths, excludes);
    Err(Failure::failed("stub"))
}
pub(crate) async fn remove(core: &Arc<Core>, paths: Vec<RawPath>) -> Result<Outcome, Failure> {
    let _ = (core, paths);
    Err(Failure::failed("stub"))
}
pub(crate) async fn folders(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let _ = core;
    Err(Failure::failed("stub"))
}
pub(crate) async fn offer(core: &Arc<Core>, bytes: Option<ByteSize>) -> Result<Outcome, Failure> {
    let _ = (core, bytes);
    Err(Failure::failed("stub"))
}
pub(crate) async fn config_get(core: &Arc<Core>, key: Option<String>) -> Result<Outcome, Failure> {
    let _ = (core, key);
    Err(Failure::failed("stub"))
}
pub(crate) async fn config_set(
    core: &Arc<Core>,
    key: String,
    value: Option<String>,
) -> Result<Outcome, Failure> {
    let _ = (core, key, value);
    Err(Failure::failed("stub"))
}
