//! Running programs with a time limit, and what a process uses, read from `/proc`.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How a program ended and what it printed.
#[derive(Debug)]
pub struct Output {
    /// What was run, for messages.
    pub command: String,
    /// Exit code; `None` when it was killed by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// Most memory that it was seen to use, in bytes.
    pub rss_bytes_max: u64,
}

impl Output {
    /// The same, after checking the exit code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code {code} was expected of {self}");
        self
    }

    /// The same, after checking that it ended by itself, and not well.
    #[track_caller]
    pub fn expect_failure(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "a failure was expected of {self}");
        self
    }

    /// The same, after checking for exit code 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect_code(0)
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON document on stdout ({error}): {self}"))
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let stdout = String::from_utf8_lossy(&self.stdout);
        let tail: String = stdout.chars().take(4000).collect();
        write!(f, "`{}` (code {:?})\n{tail}\n{}", self.command, self.code, self.stderr)
    }
}

/// Runs to the end, or kills it and panics after `limit`.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Output {
    let shown = shown(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("`{shown}`: {error}"));
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let (status, rss_bytes_max) = wait(&mut child, limit);
    let stdout = stdout.join().expect("the reading thread does not panic");
    let stderr = stderr.join().expect("the reading thread does not panic");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    let Some(status) = status else {
        let stdout = String::from_utf8_lossy(&stdout).into_owned();
        panic!("`{shown}` had not ended after {limit:?}\n{stdout}\n{stderr}");
    };
    Output { command: shown, code: status.code(), stdout, stderr, rss_bytes_max }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("it was asked for");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("a pipe can be read");
        bytes
    })
}

/// Waits for the end and watches the memory on the way. `None` when it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> (Option<ExitStatus>, u64) {
    let deadline = Instant::now() + limit;
    let mut rss_bytes_max = 0;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return (Some(status), rss_bytes_max);
        }
        // The kernel's own high-water mark, so that nothing between two looks is missed.
        rss_bytes_max = rss_bytes_max.max(Usage::of(child.id()).map_or(0, |u| u.rss_bytes_max));
        if Instant::now() >= deadline {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
            return (None, rss_bytes_max);
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `done` says so; panics after `limit`.
#[track_caller]
pub fn eventually(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Memory now.
    pub rss_bytes: u64,
    /// Most memory so far.
    pub rss_bytes_max: u64,
    /// Processor time, user and system.
    pub cpu: Duration,
    /// Bytes that it caused to be written to disks.
    pub written_bytes: u64,
    /// Bytes read by system calls, from the page cache as well.
    pub read_bytes: u64,
}

impl Usage {
    /// Reads `/proc/PID`. `None` when the process is gone.
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; fields are counted after it.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self {
            rss_bytes: field(&status, "VmRSS:")? * 1024,
            rss_bytes_max: field(&status, "VmHWM:")? * 1024,
            // 100 ticks a second on every Linux that Rust supports.
            cpu: Duration::from_millis(ticks * 10),
            written_bytes: field(&io, "write_bytes:").unwrap_or(0),
            read_bytes: field(&io, "rchar:").unwrap_or(0),
        })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}
