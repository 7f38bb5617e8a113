//! Retention: which snapshots are marked as forgotten.

use std::sync::Arc;

use super::Core;
use crate::command::{Failure, Keep, Outcome};

pub(crate) async fn run(core: &Arc<Core>, keep: Keep, dry_run: bool) -> Result<Outcome, Failure> {
    let _ = (core, keep, dry_run);
    Err(Failure::failed("stub"))
}
