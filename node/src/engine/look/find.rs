//! `find`: entries by name or path, in one snapshot or in all.

use std::{collections::BTreeSet, sync::Arc};

use globset::{Candidate, GlobBuilder, GlobMatcher};
use larder_protocol::{
    ids::ChunkId,
    tree::{
        entry::{Entry, Kind},
        read::{Step, Walk},
    },
};

use super::{
    super::{ChunkSource, Core, inside::components, names},
    in_background, say_meant,
    tree::{SnapshotTree, join, row, unreadable},
};
use crate::command::{
    Event, EventSink, Failure, FindOutcome, Found, Outcome, Row, SnapshotName, Time,
};

/// Directories remembered as holding no match: about 100 bytes each.
const BARREN_MAX: usize = 200_000;

/// Streams matches, snapshot by snapshot, oldest first.
pub(crate) async fn find(
    core: &Arc<Core>,
    pattern: String,
    snapshot: Option<SnapshotName>,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    core.member()?;
    let pattern = Pattern::new(&pattern)?;
    in_background(core, events, move |core, events| {
        let snapshots = match &snapshot {
            Some(name) => {
                let summary = names::resolve(core, name)?;
                say_meant(core, name, &summary, events)?;
                vec![summary]
            }
            None => names::live_snapshots(core)?,
        };
        let mut search =
            Search { pattern, events, matches: 0, barren: BTreeSet::new(), root: Vec::new() };
        let source = ChunkSource::new(core, &core.member()?).until(events);
        let mut searched = 0;
        for summary in snapshots {
            search.through(&SnapshotTree::of(source.clone(), summary)?)?;
            searched += 1;
        }
        Ok(Outcome::Find(FindOutcome {
            matches_total: search.matches,
            snapshots_searched: searched,
        }))
    })
    .await
}

/// A glob over names or, when it holds a slash, over whole paths.
struct Pattern {
    glob: GlobMatcher,
    whole_path: bool,
    /// With a slash in front it may be the path that a file had on its device.
    on_device: bool,
}

impl Pattern {
    fn new(text: &str) -> Result<Self, Failure> {
        let whole_path = text.contains('/');
        let glob = GlobBuilder::new(text.trim_start_matches('/'))
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|error| {
                Failure::usage(error.to_string()).hint(
                    "`*`, `?`, `[a-z]`, `{a,b}` and `**/` have a meaning; quote them as `\\*`",
                )
            })?;
        let on_device = text.starts_with('/');
        Ok(Self { glob: glob.compile_matcher(), whole_path, on_device })
    }

    /// `root` is the path of the folder on its device, without the slash in front.
    fn matches(&self, root: &[u8], path: &[u8], name: &[u8]) -> bool {
        let is_match = |text: &[u8]| self.glob.is_match_candidate(&Candidate::from_bytes(text));
        if !self.whole_path {
            return is_match(name);
        }
        is_match(path) || (self.on_device && is_match(&join(root, path)))
    }

    /// What beside its content decides whether a directory holds a match.
    fn place(&self, root: &[u8], path: &[u8]) -> Vec<u8> {
        match (self.whole_path, self.on_device) {
            (false, _) => Vec::new(),
            (true, false) => path.to_vec(),
            (true, true) => join(root, path),
        }
    }
}

struct Search<'a> {
    pattern: Pattern,
    events: &'a EventSink,
    matches: u64,
    /// Directories without any match below, with their paths where those count: most of a
    /// snapshot is in the one before as well.
    barren: BTreeSet<(ChunkId, Vec<u8>)>,
    /// Path of the folder that is searched, on its device, without the slash in front.
    root: Vec<u8>,
}

/// A directory that is being searched.
struct Open {
    key: (ChunkId, Vec<u8>),
    matches_before: u64,
    skipped: bool,
}

impl Search<'_> {
    fn through(&mut self, tree: &SnapshotTree) -> Result<(), Failure> {
        let root = &tree.snapshot.root;
        self.root = components(&tree.snapshot.root_path).join(&b'/');
        let Some(node) = tree.root_node() else {
            return self.look_at(tree, &root.name, root);
        };
        let mut walk = Walk::new(node);
        let mut fetch = tree.fetch();
        let mut open: Vec<Open> = Vec::new();
        loop {
            // Long stretches may hold no match, and so send nothing.
            self.events.check()?;
            let mut skip = false;
            match walk.next_step(&mut fetch).map_err(unreadable)? {
                None => return Ok(()),
                Some(Step::Entry { path, entry }) => self.look_at(tree, path, &entry)?,
                Some(Step::Enter { path, entry }) => {
                    self.look_at(tree, path, entry)?;
                    let Kind::Directory { node } = entry.kind else { continue };
                    let key = (node, self.pattern.place(&self.root, path));
                    skip = self.barren.contains(&key);
                    open.push(Open { key, matches_before: self.matches, skipped: skip });
                }
                Some(Step::Leave { .. }) => {
                    if let Some(closed) = open.pop()
                        && closed.matches_before == self.matches
                        && !closed.skipped
                        && self.barren.len() < BARREN_MAX
                    {
                        self.barren.insert(closed.key);
                    }
                }
            }
            if skip {
                walk.skip();
            }
        }
    }

    fn look_at(&mut self, tree: &SnapshotTree, path: &[u8], entry: &Entry) -> Result<(), Failure> {
        if !self.pattern.matches(&self.root, path, &entry.name) {
            return Ok(());
        }
        self.matches += 1;
        let found = Found {
            snapshot: tree.summary.id.to_string(),
            time: Time::from(tree.summary.started),
            entry: row(path, entry),
        };
        self.events.blocking_send(Event::Row(Row::Found(found)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
        Pattern::new(pattern).unwrap().matches(b"home/ann", path, name)
    }

    // CLI-14
    #[test]
    fn a_pattern_may_be_a_path_as_it_was_on_the_device() {
        assert!(matches("/home/ann/photos/a.jpg", b"photos/a.jpg"));
        assert!(matches("/home/*/photos/*", b"photos/a.jpg"));
        assert!(matches("/**/a.jpg", b"photos/a.jpg"));
        assert!(!matches("home/ann/photos/a.jpg", b"photos/a.jpg"), "no slash in front");
        assert!(!matches("/home/bob/photos/a.jpg", b"photos/a.jpg"));
    }

    #[test]
    fn a_pattern_without_a_slash_is_matched_to_the_name() {
        assert!(matches("*.jpg", b"photos/2025/a.jpg"));
        assert!(matches("a?b", b"x/a\xffb"));
        assert!(!matches("2025", b"photos/2025/a.jpg"));
        assert!(!matches("*.jpg", b"a.jpg.txt"));
        assert!(matches("{a,b}.[ch]", b"src/b.h"));
        assert!(matches("*", b".hidden"));
    }

    #[test]
    fn a_pattern_with_a_slash_is_matched_to_the_whole_path() {
        assert!(matches("photos/**/*.jpg", b"photos/2025/08/a.jpg"));
        assert!(matches("photos/*.jpg", b"photos/a.jpg"));
        assert!(matches("/photos/*", b"photos/a.jpg"));
        assert!(!matches("photos/*.jpg", b"photos/2025/a.jpg"));
        assert!(!matches("photos/*.jpg", b"old/photos/a.jpg"));
        assert!(matches("**/caf\u{e9}/*", "x/caf\u{e9}/y".as_bytes()));
    }

    #[test]
    fn a_glob_that_is_none_is_a_usage_error() {
        let failure = Pattern::new("a[").err().unwrap();
        assert_eq!(failure.kind.code(), 2);
    }
}
