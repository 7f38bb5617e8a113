//! One node: a home in a directory, commands on it, and the process of `larder up`.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    binary::larder,
    process::{Output, Usage, eventually, run},
    tree,
};

/// Longest that an ordinary command may take.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(180);
/// Longest that a node may take to say that it is ready, and to stop when asked.
pub const START_LIMIT: Duration = Duration::from_secs(60);

/// A node of a test. Killed when dropped; its last words are printed when the test fails.
#[derive(Debug)]
pub struct Node {
    /// Name.
    pub name: String,
    /// The household it stands in: its own name, unless it was placed elsewhere.
    pub site: String,
    home: PathBuf,
    log: PathBuf,
    /// Words before every command: another user, another network.
    prefix: Vec<OsString>,
    /// The IP address at which it listens.
    host: String,
    /// The same with the port, chosen by the system at the first start and kept, as in real life.
    listen: String,
    /// What `--relay` is given.
    relays: Vec<String>,
    /// Whether it looks for others in the same network.
    has_lan: bool,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    ready: Value,
}

impl Node {
    /// A node whose home will be `directory/name`. Makes nothing yet.
    pub fn new(directory: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            site: name.to_owned(),
            home: directory.join(name),
            log: directory.join(format!("{name}.log")),
            prefix: Vec::new(),
            host: "127.0.0.1".to_owned(),
            listen: "127.0.0.1:0".to_owned(),
            relays: Vec::new(),
            has_lan: false,
            running: None,
        }
    }

    /// The same, standing at this site and listening at this IP address.
    #[must_use]
    pub fn standing_at(mut self, site: &str, host: &str) -> Self {
        site.clone_into(&mut self.site);
        host.clone_into(&mut self.host);
        self.move_elsewhere();
        self
    }

    /// The same, started with this relay as well.
    #[must_use]
    pub fn with_relay(mut self, address: &str) -> Self {
        self.relays.push(address.to_owned());
        self
    }

    /// The same, finding others in the same network by itself.
    #[must_use]
    pub fn with_lan(mut self) -> Self {
        self.set_lan(true);
        self
    }

    /// From the next start on it finds others in the same network by itself, or does not.
    pub fn set_lan(&mut self, has_lan: bool) {
        self.has_lan = has_lan;
    }

    /// The IP address at which it listens.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same, with everything run behind these words (`nsenter ... --`, `setpriv ...`), which
    /// must replace themselves by the command.
    #[must_use]
    pub fn behind(mut self, words: Vec<OsString>) -> Self {
        self.prefix = words;
        self
    }

    /// Makes vault and device. Returns the file with the phrase.
    pub fn init(&self) -> PathBuf {
        let phrase = self.log.with_extension("phrase");
        self.cli(["init", "--name", &self.name, "--site", &self.site, "--phrase-out"], [&phrase])
            .ok();
        phrase
    }

    /// Forgets the port: the next start is somewhere else.
    pub fn move_elsewhere(&mut self) {
        self.listen = format!("{}:0", self.host);
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Files of the shards that it keeps, for itself and for others.
    pub fn shards(&self) -> Vec<PathBuf> {
        let is_named_so = |path: &Path| path.file_name().is_some_and(|name| name.len() == 64);
        let depot = self.home.join("depot");
        let all = if depot.is_dir() { tree::bottom_up(&depot) } else { Vec::new() };
        all.into_iter().filter(|path| path.is_file() && is_named_so(path)).collect()
    }

    /// A command on this home with `--json`; flags first, then paths.
    pub fn command<A, P>(
        &self,
        words: impl IntoIterator<Item = A>,
        paths: impl IntoIterator<Item = P>,
    ) -> Command
    where
        A: AsRef<OsStr>,
        P: AsRef<OsStr>,
    {
        let mut command = self.plain(["--json"]);
        command.args(words).args(paths);
        command
    }

    /// A command on this home that speaks to a person.
    pub fn plain<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Command {
        let mut all = self.prefix.clone();
        all.push(larder().into());
        let mut command = Command::new(&all[0]);
        command.args(&all[1..]).env_remove("LARDER_HOME").env_remove("LARDER_PASSPHRASE_FILE");
        command.arg("--home").arg(&self.home);
        command.args(words);
        command
    }

    /// Runs a command to its end.
    #[track_caller]
    pub fn cli<A, P>(
        &self,
        words: impl IntoIterator<Item = A>,
        paths: impl IntoIterator<Item = P>,
    ) -> Output
    where
        A: AsRef<OsStr>,
        P: AsRef<OsStr>,
    {
        run(&mut self.command(words, paths), COMMAND_LIMIT)
    }

    /// Runs a command of words alone that must succeed; its JSON document.
    #[track_caller]
    pub fn ask<A: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = A>) -> Value {
        self.cli(words, [""; 0]).ok().json()
    }

    /// Starts `larder up` and waits until it is ready.
    #[track_caller]
    pub fn up(&mut self) -> &Value {
        self.up_with(|command| command)
    }

    /// The same with a changed command (environment, limits).
    #[track_caller]
    pub fn up_with(&mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> &Value {
        assert!(self.running.is_none(), "{} is up already", self.name);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("the log can be written");
        let lan = if self.has_lan { "on" } else { "off" };
        let mut command = self.command(["up", "--listen", &self.listen, "--lan", lan], [""; 0]);
        command.args(self.relays.iter().flat_map(|address| ["--relay", address]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = change(&mut command).spawn().expect("the larder program starts");
        let stdout = child.stdout.take().expect("it was asked for");
        let (send, receive) = mpsc::sync_channel(1);
        thread::spawn(move || {
            // The document may be one line or many: it is complete when it parses.
            let mut text = String::new();
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                text.push_str(&line);
                if let Ok(ready) = serde_json::from_str::<Value>(&text) {
                    // Nobody waits any more for what comes later.
                    let _ = send.try_send(ready);
                    text.clear();
                }
            }
        });
        match receive.recv_timeout(START_LIMIT) {
            Ok(ready) => {
                assert_eq!(ready["outcome"], "ready", "{}: {}", self.name, self.last_words());
                if let Some(address) = ready["addresses"][0].as_str() {
                    address.clone_into(&mut self.listen);
                }
                &self.running.insert(Running { child, ready }).ready
            }
            Err(_) => {
                child.kill().expect("a child can be killed");
                let status = child.wait().expect("a killed child ends");
                panic!("{} was not ready ({status}):\n{}", self.name, self.last_words());
            }
        }
    }

    /// Asks it to stop and waits; it must end well.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let mut running = self.running.take().expect("only a running node can be stopped");
        let mut status = None;
        eventually(&format!("{} stops", self.name), START_LIMIT, || {
            status = running.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let status = status.expect("it was waited for");
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.last_words());
    }

    /// Ends it with SIGKILL, as a power cut would end its process.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.child.kill().expect("a child can be killed");
            running.child.wait().expect("a killed child ends");
        }
    }

    /// Sends a signal to the running node.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a child has a process id"), signal).expect("a child can be told");
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the node is up").child.id()
    }

    /// Whether the process is there. A node that ended by itself is a failure to look at.
    pub fn is_up(&mut self) -> bool {
        self.running
            .as_mut()
            .is_some_and(|running| running.child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// What the process has used so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid()).expect("the node is up")
    }

    /// The error document of a command that failed: `message` and `hint`, both there and readable.
    #[track_caller]
    pub fn refused<A: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = A>,
        code: i32,
    ) -> (String, String) {
        error_of(&self.cli(words, [""; 0]).expect_code(code))
    }

    /// What it printed when it became ready.
    pub fn ready(&self) -> &Value {
        &self.running.as_ref().expect("the node is up").ready
    }

    /// The ticket that it printed when it became ready.
    pub fn ticket(&self) -> String {
        self.ready()["ticket"].as_str().expect("the ready document has a ticket").to_owned()
    }

    /// Its device id.
    pub fn device(&self) -> String {
        self.ready()["device"].as_str().expect("the ready document has a device").to_owned()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// Message and hint of a failed command; both must be one plain line.
#[track_caller]
pub fn error_of(output: &Output) -> (String, String) {
    let document = output.json();
    let error = &document["error"];
    let text = |key: &str| {
        let text = error[key].as_str().unwrap_or_else(|| panic!("no {key} in {output}"));
        assert!(!text.is_empty() && !text.contains('\n'), "{key} is no plain line in {output}");
        text.to_owned()
    };
    assert!(!output.stderr.contains("internal error"), "{output}");
    assert!(!output.stderr.contains("panicked"), "{output}");
    (text("message"), text("hint"))
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("--- last words of {}:\n{}\n---", self.name, self.last_words());
        }
    }
}
