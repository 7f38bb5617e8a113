//! Trees for tests: a store in memory, a plain model of a tree, and random changes to it.

use std::collections::BTreeMap;

use minicbor::bytes::ByteVec;

use crate::{
    ids::ChunkId,
    index::ChunkKind,
    keys::epoch::{ContentKey, EpochKey},
    tree::{
        builder::{NewChunk, TreeBuilder},
        entry::{Attributes, Content, Entry, Extent, FileTime, Identity, Kind},
    },
};

pub(super) fn content() -> ContentKey {
    ContentKey::derive(&EpochKey::new(1, [3; 32]))
}

pub(super) fn attributes() -> Attributes {
    Attributes {
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        modified: FileTime { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
        identity: None,
        links: 1,
        xattrs: None,
    }
}

pub(super) fn fifo(name: &str) -> Entry {
    let name = ByteVec::from(name.as_bytes().to_vec());
    Entry { name, kind: Kind::Fifo, attributes: attributes() }
}

/// Chunks by identifier.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) chunks: BTreeMap<ChunkId, (ChunkKind, Vec<u8>)>,
    pub(super) fetched: usize,
}

impl Store {
    pub(super) fn put(&mut self, chunk: NewChunk) {
        assert_eq!(content().chunk_id(chunk.kind, &chunk.plain), chunk.id);
        self.chunks.insert(chunk.id, (chunk.kind, chunk.plain));
    }

    pub(super) fn take(&mut self, builder: &mut TreeBuilder) {
        while let Some(chunk) = builder.next_chunk() {
            self.put(chunk);
        }
    }

    /// Keeps bytes that no builder would make.
    pub(super) fn forge(&mut self, kind: ChunkKind, plain: Vec<u8>) -> ChunkId {
        let id = content().chunk_id(kind, &plain);
        self.chunks.insert(id, (kind, plain));
        id
    }

    pub(super) fn fetch(&mut self, id: ChunkId, kind: ChunkKind) -> Result<Vec<u8>, ()> {
        self.fetched += 1;
        let (stored, plain) = self.chunks.get(&id).ok_or(())?;
        if *stored == kind { Ok(plain.clone()) } else { Err(()) }
    }

    pub(super) fn fetcher(&mut self) -> impl FnMut(ChunkId, ChunkKind) -> Result<Vec<u8>, ()> {
        |id, kind| self.fetch(id, kind)
    }

    /// Builds one flat directory.
    pub(super) fn directory<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> ChunkId {
        let mut builder = TreeBuilder::new(&content());
        for entry in entries {
            builder.add(entry).unwrap();
            self.take(&mut builder);
        }
        let root = builder.finish().unwrap();
        self.take(&mut builder);
        root
    }
}

/// One entry of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) directory: bool,
    pub(super) version: u32,
    pub(super) identity: Option<u16>,
}

/// A tree as a flat map from paths (components) to items, parents included.
pub(super) type Model = BTreeMap<Vec<String>, Item>;

impl Item {
    pub(super) fn attributes(&self) -> Attributes {
        let identity = self.identity.map(|number| {
            let [low, high] = number.to_le_bytes();
            let mut identity = [0; 16];
            (identity[0], identity[1]) = (low, high);
            Identity(identity)
        });
        let modified =
            FileTime { seconds: 0, nanoseconds: if self.directory { self.version } else { 0 } };
        Attributes { identity, modified, ..attributes() }
    }

    pub(super) fn kind(&self) -> Kind {
        assert!(!self.directory);
        let bytes = self.version + 1;
        let chunk = ChunkId::from_bytes([9; 32]);
        let content = Content::Inline(vec![Extent::Chunk { chunk, bytes }]);
        Kind::File { bytes: u64::from(bytes), content }
    }
}

/// Builds the model's tree.
pub(super) fn build(model: &Model, store: &mut Store) -> ChunkId {
    let mut builder = TreeBuilder::new(&content());
    build_below(model, &[], &mut builder);
    let root = builder.finish().unwrap();
    store.take(&mut builder);
    root
}

fn build_below(model: &Model, directory: &[String], builder: &mut TreeBuilder) {
    let below =
        |path: &&Vec<String>| path.len() == directory.len() + 1 && path.starts_with(directory);
    for path in model.keys().filter(below) {
        let (item, name) = (&model[path], path.last().unwrap().as_bytes());
        if item.directory {
            builder.enter(name, item.attributes()).unwrap();
            build_below(model, path, builder);
            builder.leave().unwrap();
        } else {
            let name = ByteVec::from(name.to_vec());
            let entry = Entry { name, kind: item.kind(), attributes: item.attributes() };
            builder.add(&entry).unwrap();
        }
    }
}

/// Does one of several things to the model, chosen by the three numbers.
pub(super) fn change(model: &mut Model, what: u8, which: u16, whereto: u16) {
    let paths: Vec<Vec<String>> = model.keys().cloned().collect();
    let mut directories: Vec<Vec<String>> = vec![Vec::new()];
    directories.extend(paths.iter().filter(|path| model[*path].directory).cloned());
    let directory = directories[usize::from(whereto) % directories.len()].clone();
    let mut new = directory.clone();
    new.push(format!("{}", which % 97));
    let fresh = model.values().filter_map(|item| item.identity).max().unwrap_or(0) + 1;
    let chosen = paths.get(usize::from(which) % paths.len().max(1)).cloned();
    match (what % 5, chosen) {
        (0 | 1, _) | (_, None) => {
            let directory = what.is_multiple_of(2);
            let item = Item { directory, version: 0, identity: Some(fresh) };
            model.entry(new).or_insert(item);
        }
        (2, Some(path)) => model.retain(|other, _| !other.starts_with(&path)),
        (3, Some(path)) => model.get_mut(&path).unwrap().version += 1,
        (_, Some(path)) => {
            if new.starts_with(&path) || model.contains_key(&new) {
                return;
            }
            let moved: Vec<_> = model.extract_if(.., |other, _| other.starts_with(&path)).collect();
            for (old, item) in moved {
                model.insert([&new[..], &old[path.len()..]].concat(), item);
            }
        }
    }
}
