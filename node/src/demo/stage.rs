//! The actors: homes, and processes of this program that work on them.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::command::Failure;

/// One home, and the node that runs on it if any. Dropping it kills the node.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) name: &'static str,
    pub(super) home: PathBuf,
    program: PathBuf,
    node: Option<Child>,
}

impl Actor {
    pub(super) fn new(work: &Path, name: &'static str) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::from_error("cannot find this program", &error))?;
        Ok(Self { name, home: work.join(name), program, node: None })
    }

    /// Runs a command on this home and gives its document. Files that could not be read (exit
    /// code 3) are no failure here: the comparison in the end decides.
    pub(super) fn ask(&self, words: &[&str]) -> Result<Value, Failure> {
        let output = self
            .larder(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::from_error("cannot start this program again", &error))?;
        let document = serde_json::from_slice::<Value>(&output.stdout);
        match (output.status.code(), document) {
            (Some(0 | 3), Ok(document)) => Ok(document),
            (code, _) => Err(self.failed(words, &format!("exit code {code:?}"))),
        }
    }

    fn larder(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--home").arg(&self.home).arg("--json").args(words);
        command
    }

    fn failed(&self, words: &[&str], why: &str) -> Failure {
        let verb = words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default();
        Failure::failed(format!("`larder {verb}` of {} failed: {why}", self.name))
            .hint("run the demo with --keep and look at the homes and their logs")
    }

    /// Starts the node and waits until it is ready; gives its document.
    pub(super) fn up(&mut self) -> Result<Value, Failure> {
        let words = ["up", "--listen", "127.0.0.1:0"];
        let cannot = |error| Failure::from_error("cannot start a node", &error);
        let log = fs::File::create(self.home.with_extension("log")).map_err(cannot)?;
        let mut child = self
            .larder(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(cannot)?;
        let stdout = child.stdout.take();
        self.node = Some(child);
        let mut line = String::new();
        if let Some(stdout) = stdout {
            // It prints one line when it is ready, or ends.
            BufReader::new(stdout.take(1 << 20)).read_line(&mut line).map_err(cannot)?;
        }
        let ready: Value = serde_json::from_str(&line)
            .map_err(|_| self.failed(&words, "it ended before it was ready"))?;
        if ready["outcome"] == "ready" { Ok(ready) } else { Err(self.failed(&words, "not ready")) }
    }

    /// Ends the node with SIGKILL, as a thief or a lightning would.
    pub(super) fn kill(&mut self) {
        if let Some(mut node) = self.node.take() {
            let _gone_already = node.kill();
            let _status = node.wait();
        }
    }

    /// Ends the node as a person would.
    pub(super) fn down(&mut self) -> Result<(), Failure> {
        self.ask(&["down"])?;
        if let Some(mut node) = self.node.take() {
            node.wait().map_err(|error| Failure::from_error("cannot wait for a node", &error))?;
        }
        Ok(())
    }

    /// Deletes the home and everything in it.
    pub(super) fn destroy(&mut self) -> Result<(), Failure> {
        self.kill();
        fs::remove_dir_all(&self.home)
            .map_err(|error| Failure::from_error("cannot delete a home", &error))
    }

    /// Resident memory of the node in bytes, where the system tells.
    pub(super) fn resident_bytes(&self) -> Option<u64> {
        let pid = self.node.as_ref()?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kilobytes * 1024)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A text in a document.
pub(super) fn text(document: &Value, key: &str) -> Result<String, Failure> {
    document[key].as_str().map(str::to_owned).ok_or_else(|| missing(key))
}

/// A number in a document.
pub(super) fn number(document: &Value, key: &str) -> Result<u64, Failure> {
    document[key].as_u64().ok_or_else(|| missing(key))
}

fn missing(key: &str) -> Failure {
    Failure::failed(format!("an answer of this program has no `{key}`"))
        .hint("this should not happen: please report it")
}
