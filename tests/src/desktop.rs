//! The session of somebody who is logged in at a desktop: a bus of its own and a keyring that is open.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Opens a keyring as the login does, and stays until its stdin ends.
const SESSION: &str = "printf login | gnome-keyring-daemon --unlock --components=secrets >/dev/null \
    && echo \"$DBUS_SESSION_BUS_ADDRESS\" && exec cat";

/// A session with GNOME Keyring. Ends when it is dropped.
#[derive(Debug)]
pub struct Desktop {
    session: Child,
    bus: String,
}

impl Desktop {
    /// Logs in; `None` where no keyring is installed or none starts.
    pub fn log_in(directory: &Path) -> Option<Self> {
        let runtime = directory.join("runtime");
        fs::create_dir_all(&runtime).ok()?;
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).ok()?;
        let mut session = Command::new("dbus-run-session")
            .args(["--", "sh", "-c", SESSION])
            .env("HOME", directory)
            .env("XDG_DATA_HOME", directory.join("data"))
            .env("XDG_RUNTIME_DIR", runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut bus = String::new();
        let screen = session.stdout.take()?;
        let read = BufReader::new(screen).read_line(&mut bus);
        let bus = bus.trim().to_owned();
        let desktop = Self { session, bus };
        (read.is_ok() && !desktop.bus.is_empty()).then_some(desktop)
    }

    /// Lets a command run in this session.
    pub fn runs<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
    }

    /// What `secret-tool` finds of larder in the keyring.
    pub fn kept(&self) -> String {
        let mut search = Command::new("secret-tool");
        search.args(["search", "--all", "application", "larder"]);
        let found = self.runs(&mut search).output().expect("secret-tool runs");
        // The secrets on stdout, the attributes on stderr.
        [found.stdout, found.stderr]
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .concat()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        // `cat` ends with its stdin, and the session with it.
        drop(self.session.stdin.take());
        let _ended = self.session.wait();
    }
}
