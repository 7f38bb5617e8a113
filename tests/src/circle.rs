//! A source and its holders, each a vault of its own at a site of its own, paired and running.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{node::Node, process::Output, short_directory};

/// What each holder offers, unless a case says otherwise.
pub const OFFER: &str = "20GB";

/// A circle in a temporary directory. Everything is killed and removed when it is dropped.
#[derive(Debug)]
pub struct Circle {
    /// Whose folder is backed up.
    pub source: Node,
    /// Who keeps it.
    pub holders: Vec<Node>,
    /// File with the source's phrase.
    pub phrase: PathBuf,
    prefix: Vec<OsString>,
    // Last, so that it goes after the processes that work in it.
    directory: tempfile::TempDir,
}

impl Circle {
    /// A running source with `holders` running holders that are paired with it.
    #[track_caller]
    pub fn new(holders: usize) -> Self {
        Self::behind(holders, Vec::new())
    }

    /// The same with everything run behind these words, see [`Node::behind`].
    #[track_caller]
    pub fn behind(holders: usize, prefix: Vec<OsString>) -> Self {
        let directory = short_directory();
        let node = |name: &str| Node::new(directory.path(), name).behind(prefix.clone());
        let holders = (0..holders).map(|index| node(&format!("holder{index}"))).collect();
        let source = node("source");
        Self { prefix, ..Self::of(directory, source, holders) }
    }

    /// A running source and running holders that are paired with it, made of nodes that have
    /// their homes in `directory` and were never started.
    #[track_caller]
    pub fn of(directory: tempfile::TempDir, mut source: Node, mut holders: Vec<Node>) -> Self {
        let phrase = source.init();
        source.up();
        for holder in &mut holders {
            holder.init();
            holder.up();
            holder.ask(["offer", OFFER]);
            pair(&source, holder, "--circle");
        }
        Self { source, holders, phrase, prefix: Vec::new(), directory }
    }

    /// A path in the circle's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An empty directory for what is backed up.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir(&path).expect("the temporary directory can be written");
        path
    }

    /// Backs a folder up and waits until it is safe.
    #[track_caller]
    pub fn backup(&self, folder: &Path) -> Value {
        let done = self.source.cli(["backup"], [folder]).ok().json();
        assert_eq!(done["reached"], "safe", "{done:#}");
        done
    }

    /// Ends the source for ever: process and home.
    pub fn lose_source(&mut self) {
        self.source.kill();
        std::fs::remove_dir_all(self.source.home()).expect("the home can be removed");
    }

    /// A second device of the source's vault, elsewhere, running.
    #[track_caller]
    pub fn phone(&self) -> Node {
        let mut phone = Node::new(&self.path(""), "phone");
        let invitation = self.source.ask(["invite", "--device"]);
        let code = invitation["code"].as_str().expect("there is a code");
        phone.ask(["join", code, "--name", "phone", "--site", "pocket"]);
        phone.up();
        phone
    }

    /// A fresh home with nothing but the phrase, which asks the holders that are up.
    pub fn recoverer(&self, name: &str) -> Node {
        Node::new(self.directory.path(), name).behind(self.prefix.clone())
    }

    /// Runs `recover` there.
    #[track_caller]
    pub fn recover(&self, fresh: &Node, holders: &[usize]) -> Output {
        let words = ["recover", "--name", &fresh.name, "--site", &fresh.site];
        let mut words: Vec<String> = words.map(str::to_owned).into();
        for &holder in holders {
            words.push("--connect".to_owned());
            words.push(self.holders[holder].ticket());
        }
        words.push("--phrase-file".to_owned());
        fresh.cli(words, [&self.phrase])
    }

    /// Recovers a fresh home from these holders and restores the newest snapshot with it.
    #[track_caller]
    pub fn restore_with(&self, name: &str, holders: &[usize]) -> (Node, PathBuf, Value) {
        let fresh = self.recoverer(name);
        self.recover(&fresh, holders).ok();
        let target = self.path(&format!("{name}.restored"));
        let done = fresh.cli(["restore", "latest", "--to"], [&target]).ok().json();
        (fresh, target, done)
    }
}

/// Pairs two running nodes: `kind` is `--circle` or `--device`.
#[track_caller]
pub fn pair(inviting: &Node, joining: &Node, kind: &str) -> Value {
    let invitation = inviting.ask(["invite", kind]);
    let code = invitation["code"].as_str().expect("an invitation has a code");
    joining.ask(["join", code])
}
