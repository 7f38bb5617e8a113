//! One relay: its settings and state in a directory, and the process of `larder-relay`.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    binary::relay,
    node::START_LIMIT,
    process::{Output, Usage, eventually, run},
};

/// A relay of a test. Killed when dropped; its last words are printed when the test fails.
#[derive(Debug)]
pub struct Relay {
    directory: PathBuf,
    prefix: Vec<OsString>,
    /// Where it listens, and where its numbers are.
    addresses: [String; 2],
    running: Option<Child>,
}

impl Relay {
    /// A relay that will listen at this IP address and port, its directory named by the port; the
    /// next port has its numbers. Everything is run behind these words.
    pub fn new(directory: &Path, host: &str, port: u16, prefix: Vec<OsString>) -> Self {
        let addresses = [format!("{host}:{port}"), format!("127.0.0.1:{}", port + 1)];
        let directory = directory.join(format!("relay{port}"));
        let relay = Self { directory, prefix, addresses, running: None };
        fs::create_dir_all(&relay.directory).expect("the temporary directory can be written");
        relay.set("");
        relay
    }

    /// Replaces the settings; those that make it this relay are added.
    pub fn set(&self, settings: &str) {
        let state = self.directory.join("state");
        let [listen, metrics] = &self.addresses;
        let text = format!(
            "state = \"{}\"\nlisten = \"{listen}\"\nmetrics = \"{metrics}\"\n{settings}",
            state.display()
        );
        fs::write(self.config(), text).expect("the temporary directory can be written");
    }

    fn config(&self) -> PathBuf {
        self.directory.join("relay.toml")
    }

    fn log(&self) -> PathBuf {
        self.directory.join("relay.log")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut all = self.prefix.clone();
        all.push(relay().into());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).arg("--config").arg(self.config()).args(words);
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn cli(&self, words: &[&str]) -> Output {
        run(&mut self.command(words), START_LIMIT)
    }

    /// Makes an invitation; the address to give to a node.
    #[track_caller]
    pub fn invite(&self, name: &str) -> String {
        self.cli(&["invite", "--name", name]).ok().text().trim().to_owned()
    }

    /// Makes an invitation with which a vault may keep so much here; the address and the code to give to a
    /// node. It has to run, and to have `[hold]` in its settings.
    #[track_caller]
    pub fn invite_to_hold(&self, name: &str, space: &str) -> (String, String) {
        let said = self.cli(&["invite", "--name", name, "--hold", space]).ok().text();
        let mut lines = said.lines().map(str::to_owned);
        let (address, code) = (lines.next(), lines.next());
        (address.expect("an address comes first"), code.expect("a code comes after it"))
    }

    /// Where it keeps what is sealed.
    pub fn held(&self) -> PathBuf {
        self.directory.join("state/holder")
    }

    /// Starts it and waits until it is ready. Returns what it said.
    #[track_caller]
    pub fn start(&mut self) -> String {
        assert!(self.running.is_none(), "the relay runs already");
        let log = File::options().create(true).append(true).open(self.log());
        let mut command = self.command(&[]);
        command.env("LARDER_LOG", "debug,iroh_relay=info,hyper=info,rustls=info");
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.stderr(log.expect("the log can be written"));
        let mut child = command.spawn().expect("the relay starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let (send, receive) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let first = BufReader::new(stdout).lines().next();
            if let Some(Ok(line)) = first {
                let _unheard = send.try_send(line);
            }
        });
        self.running = Some(child);
        let said = receive.recv_timeout(START_LIMIT);
        said.unwrap_or_else(|_| panic!("the relay was not ready:\n{}", self.last_words()))
    }

    /// Asks it to stop and waits; it must end well.
    #[track_caller]
    pub fn stop(&mut self) {
        let mut child = self.running.take().expect("only a running relay can be stopped");
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), Signal::TERM).expect("it can be told");
        let mut status = None;
        eventually("the relay stops", START_LIMIT, || {
            status = child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let status = status.expect("it was waited for");
        assert!(status.success(), "the relay ended with {status}:\n{}", self.last_words());
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().expect("a child can be killed");
            child.wait().expect("a killed child ends");
        }
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Usage {
        let child = self.running.as_ref().expect("the relay runs");
        Usage::of(child.id()).expect("the relay runs")
    }

    /// One of its numbers for Prometheus, asked with curl from where it stands.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let text = self.get(&format!("http://{}/metrics", self.addresses[1]));
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in:\n{text}"))
    }

    /// What is served at a URL, asked from where the relay stands, whatever its certificate.
    #[track_caller]
    pub fn get(&self, url: &str) -> String {
        let mut all = self.prefix.clone();
        all.extend(["curl", "-sk", "--max-time", "10", url].map(OsString::from));
        run(Command::new(&all[0]).args(&all[1..]), START_LIMIT).ok().text()
    }

    /// Its log.
    pub fn words(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log()).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        let words = self.words();
        let lines: Vec<&str> = words.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("--- last words of the relay:\n{}\n---", self.last_words());
        }
    }
}
