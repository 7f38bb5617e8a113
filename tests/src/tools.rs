//! Programs of others that the cases call: put there by the step `tools` of `.ci/run` when they are not.

use std::{process::Command, sync::OnceLock};

use crate::workspace;

/// Sees to it once per run that rsync is there, and whatever else makes fewer cases skip a part.
///
/// Where the step cannot install anything (no root, no network) the cases that can do without go on.
pub fn ensure() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let step = Command::new("bash").arg(workspace().join(".ci/run")).arg("tools").output();
        let said = step.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stderr).into_owned(),
        );
        let rsync = Command::new("rsync").arg("--version").output();
        assert!(rsync.is_ok(), "rsync compares the trees here and is missing: install it\n{said}");
    });
}
