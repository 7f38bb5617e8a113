//! A command on a terminal of its own, with somebody before it: this test.

use std::{
    fs::File,
    io::{Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use crate::process::eventually;

/// A running command. Killed when it is dropped.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a command that finds a terminal at its three streams.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&master).expect("it is ours");
        unlockpt(&master).expect("it is new");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it opens");
        let stream = || Stdio::from(slave.try_clone().expect("it can be had three times"));
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn();
        let child = child.expect("the command starts");
        // The command keeps copies of its own.
        drop((command, slave));
        let keys = File::from(master);
        let mut screen = keys.try_clone().expect("it can be had twice");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It fails once nobody has the other end.
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                seen.lock().expect("no reader panics").extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keys, shown }
    }

    /// All that was shown so far.
    pub fn shown(&self) -> String {
        let shown = self.shown.lock().expect("no reader panics");
        // Together: a sign may come in two pieces.
        String::from_utf8_lossy(&shown).into_owned()
    }

    /// Waits until this text was shown; everything up to now.
    #[track_caller]
    pub fn sees(&self, text: &str, limit: Duration) -> String {
        eventually(&format!("the screen shows {text:?}"), limit, || self.shown().contains(text));
        self.shown()
    }

    /// Waits until this text was shown so many times.
    #[track_caller]
    pub fn sees_times(&self, text: &str, times: usize, limit: Duration) {
        let what = format!("the screen shows {text:?} {times} times");
        eventually(&what, limit, || self.shown().matches(text).count() >= times);
    }

    /// Presses keys one after the other, such as Ctrl-C.
    pub fn presses(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).expect("the terminal takes it");
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.presses(format!("{line}\n").as_bytes());
    }

    /// Whether what is typed is shown.
    pub fn echoes(&self) -> bool {
        tcgetattr(&self.keys).expect("it is a terminal").local_modes.contains(LocalModes::ECHO)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the command has ended.
    #[track_caller]
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        eventually("the command ends", limit, || {
            status = self.child.try_wait().expect("it is our child");
            status.is_some()
        });
        status.expect("it has ended")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
