//! Recovers a vault on a fresh home.

use std::sync::Arc;

use super::Core;
use crate::command::{EventSink, Failure, Outcome, Secret};

/// What was asked for.
pub(crate) struct Wish {
    pub(crate) phrase: Secret,
    pub(crate) connect: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) site: Option<String>,
}

pub(crate) async fn recover(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, wish.phrase, wish.connect, wish.name, wish.site, events);
    Err(Failure::failed("stub"))
}
