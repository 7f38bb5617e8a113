//! Says what could not be restored as it was: owners, modes, attributes, device nodes.

use super::{RestoreError, run::Run};
use crate::{
    command::Level,
    files::{Lack, Shortfall},
};
use std::collections::BTreeMap;

/// Names the first of them, and counts the rest by kind; answers how many entries lack something.
pub(super) fn tell(run: &Run<'_>) -> Result<u64, RestoreError> {
    let all = run.target.shortfalls();
    let mut by_path: BTreeMap<&[u8], Vec<&Lack>> = BTreeMap::new();
    for Shortfall { path, what } in &all.listed {
        by_path.entry(path).or_default().push(what);
    }
    for (path, lacks) in &by_path {
        let texts: Vec<String> = lacks.iter().map(|lack| text(lack)).collect();
        run.say(path, texts.join(", "))?;
    }
    let listed = u64::try_from(all.listed.len()).unwrap_or(u64::MAX);
    let rest = all.total.saturating_sub(listed);
    if rest > 0 {
        for (lack, count) in &all.by_kind {
            run.events.notice(Level::Warning, format!("{count} times: {}", text(lack)));
        }
    }
    Ok(rest.saturating_add(u64::try_from(by_path.len()).unwrap_or(u64::MAX)))
}

fn text(lack: &Lack) -> String {
    match lack {
        Lack::Owner => "owner or group could not be set".to_owned(),
        Lack::Mode => "mode could not be set in full".to_owned(),
        Lack::Modified => "modification time could not be set".to_owned(),
        Lack::Xattr(name) => {
            format!("extended attribute {} could not be set", name.escape_ascii())
        }
        Lack::Device => "the device node could not be made".to_owned(),
        Lack::Special => "the file system knows no such nodes".to_owned(),
        Lack::Link => "the file system knows no hard links; it is a copy".to_owned(),
    }
}
