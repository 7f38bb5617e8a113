//! What the system says of the line into the internet, as NetworkManager tells it.

use std::{
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use larder_protocol::pacing::Line;

/// Speaks to services of the system; every system with NetworkManager and systemd has it.
const TOOL: &str = "busctl";
/// The property that says whether the line in use is metered (`NMMetered`).
const QUESTION: [&str; 7] = [
    "--system",
    "--timeout=2",
    "get-property",
    "org.freedesktop.NetworkManager",
    "/org/freedesktop/NetworkManager",
    "org.freedesktop.NetworkManager",
    "Metered",
];
/// A service that does not answer within this says nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// The line in use now; free where nobody says otherwise. Blocks for [`PATIENCE`] at the most.
pub(crate) fn line() -> Line {
    said(TOOL).map_or(Line::Free, |answer| line_of(&answer))
}

/// What the tool prints, where it is there and ends in time.
fn said(tool: &str) -> Option<String> {
    let mut command = Command::new(tool);
    command.args(QUESTION).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().ok()?;
    let (done, answer) = mpsc::sync_channel(1);
    // It ends by itself, and its thread with it; nobody waits longer than is sensible.
    thread::spawn(move || {
        let _gone = done.send(child.wait_with_output());
    });
    let output = answer.recv_timeout(PATIENCE).ok()?.ok()?;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

/// `u 1` is yes, `u 3` a guess that it is: the hotspot of a telephone is told by how it names itself.
fn line_of(answer: &str) -> Line {
    match answer.trim() {
        "u 1" | "u 3" => Line::Metered,
        _ => Line::Free,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

    use super::*;

    // PACE-7
    #[test]
    fn a_line_is_metered_when_the_system_says_or_guesses_so() {
        let metered = ["u 1\n", "u 3\n"].map(line_of);
        assert_eq!(metered, [Line::Metered; 2]);
        let free = ["u 0\n", "u 2\n", "u 4\n", "", "b true\n", "u 11\n"].map(line_of);
        assert_eq!(free, [Line::Free; 6]);
    }

    // PACE-7
    #[test]
    fn a_system_that_says_nothing_is_believed_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let tool = |name: &str, script: &str| {
            let path = directory.path().join(name);
            fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_string_lossy().into_owned()
        };
        let asked = tool("asked", "[ \"$7\" = Metered ] && echo 'u 1'");
        assert_eq!(said(&asked).as_deref(), Some("u 1\n"));
        assert_eq!(said(&tool("failing", "echo 'u 1'; exit 1")), None);
        assert_eq!(said(&Path::new("/nowhere/busctl").to_string_lossy()), None);
    }
}
