//! Measures the byte work on one core; with a folder as argument also what it takes to keep it.
//!
//! `cargo bench -p larder-protocol --bench bytes -- [FOLDER]`
//! Times are CPU time of this process, so that a busy machine spoils them less (Linux).

use std::{collections::BTreeSet, env, error::Error, fs, path::Path};

use larder_protocol::{
    chunk::{
        Chunker,
        bundle::BundlePlanner,
        codec::{Compressor, Decompressor, Frame},
    },
    ids::{ChunkId, VaultId},
    index::{ChunkKind, PackClass},
    keys::epoch::{ContentKey, EpochKey},
    limits::{BUNDLE_FILE_BYTES_MAX, CHUNK_BYTES_MAX},
    pack::{PackBuilder, Verifier, padded_bytes},
    tree::{
        builder::{ContentBuilder, TreeBuilder},
        entry::{Attributes, Content, Entry, Extent, FileTime, Identity, Kind},
    },
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let keys = Keys::new();
    measure(&keys)?;
    if let Some(folder) = env::args().skip(1).find(|arg| !arg.starts_with("--")) {
        keep(&keys, Path::new(&folder))?;
    }
    Ok(())
}

struct Keys {
    epoch: EpochKey,
    content: ContentKey,
    vault: VaultId,
}

impl Keys {
    fn new() -> Self {
        let epoch = EpochKey::new(1, [3; 32]);
        let content = ContentKey::derive(&epoch);
        Self { epoch, content, vault: VaultId::from_bytes([9; 32]) }
    }
}

/// Nanoseconds that this process has been on a processor.
fn cpu_time() -> u64 {
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or_default()
}

fn report(what: &str, bytes: usize, start: u64) {
    let nanoseconds = (cpu_time() - start).max(1);
    let rate = u64::try_from(bytes).unwrap_or_default() * 1000 / nanoseconds;
    println!("{what:<36} {rate:>6} MB/s");
}

fn measure(keys: &Keys) -> Outcome<()> {
    let mut noise = vec![0; 256 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    let text = include_str!("bytes.rs").repeat((64 << 20) / include_str!("bytes.rs").len());
    let text = text.as_bytes();
    let (mut start, mut rest, mut cuts) = (cpu_time(), &noise[..], Vec::new());
    let chunker = Chunker::new(&keys.content);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunker.cut(rest));
        cuts.push(chunk);
        rest = after;
    }
    report("chunk (noise)", noise.len(), start);
    println!("{:<36} {:>6} KiB", "mean length of a chunk", noise.len() / cuts.len() / 1024);
    start = cpu_time();
    let ids: Vec<ChunkId> =
        cuts.iter().map(|chunk| keys.content.chunk_id(ChunkKind::Data, chunk)).collect();
    report("identify (keyed BLAKE3)", noise.len(), start);
    let mut compressor = Compressor::new(Compressor::LEVEL);
    start = cpu_time();
    let frames: Vec<Frame> = cuts.iter().map(|chunk| compressor.compress(chunk)).collect();
    report("compress noise (probe, then raw)", noise.len(), start);
    start = cpu_time();
    let texts: Vec<Frame> = text.chunks(1 << 20).map(|part| compressor.compress(part)).collect();
    report("compress text (zstd 3)", text.len(), start);
    start = cpu_time();
    let mut decompressor = Decompressor::new();
    for (frame, part) in texts.iter().zip(text.chunks(1 << 20)) {
        decompressor.decompress(frame.as_bytes(), u32::try_from(part.len())?)?;
    }
    report("decompress text", text.len(), start);
    for verify in [false, true] {
        let mut builder = PackBuilder::new(PackClass::Data, &keys.epoch, keys.vault, [1; 32]);
        let (mut verifier, mut bytes) = (Verifier::new(), 0);
        let frames: Vec<Frame> = frames.clone();
        start = cpu_time();
        for ((chunk, id), frame) in cuts.iter().zip(&ids).zip(frames) {
            let slot = builder.reserve(*id, ChunkKind::Data, chunk.len(), frame.len())?;
            let Some(slot) = slot else {
                builder = PackBuilder::new(PackClass::Data, &keys.epoch, keys.vault, [1; 32]);
                continue;
            };
            let sealed = if verify {
                slot.seal(frame, chunk, &mut verifier)?
            } else {
                slot.seal_unverified(frame)?
            };
            builder.place(&slot, &sealed)?;
            bytes += chunk.len();
        }
        report(if verify { "seal and verify" } else { "seal" }, bytes, start);
    }
    Ok(())
}

/// What a folder becomes: chunks once each, in packs, with the tree.
struct Store<'a> {
    keys: &'a Keys,
    chunker: Chunker,
    planner: BundlePlanner,
    compressor: Compressor,
    known: BTreeSet<ChunkId>,
    packs: [Option<PackBuilder>; 2],
    sizes: [u64; 2],
    chunks: [usize; 2],
    salt: u64,
    bundle: Vec<u8>,
    files: u64,
    bytes: u64,
}

impl Store<'_> {
    fn put(&mut self, kind: ChunkKind, plain: &[u8]) -> Outcome<ChunkId> {
        let id = self.keys.content.chunk_id(kind, plain);
        if !self.known.insert(id) {
            return Ok(id);
        }
        let class = kind.class();
        let which = usize::from(class == PackClass::Metadata);
        self.chunks[which] += 1;
        let frame = self.compressor.compress(plain);
        loop {
            let builder = self.packs[which].get_or_insert_with(|| {
                self.salt += 1;
                let mut salt = [0; 32];
                salt[..8].copy_from_slice(&self.salt.to_le_bytes());
                PackBuilder::new(class, &self.keys.epoch, self.keys.vault, salt)
            });
            if let Some(slot) = builder.reserve(id, kind, plain.len(), frame.len())? {
                let sealed = slot.seal(frame, plain, &mut Verifier::new())?;
                builder.place(&slot, &sealed)?;
                return Ok(id);
            }
            self.close(which)?;
        }
    }

    fn close(&mut self, which: usize) -> Outcome<()> {
        if let Some(builder) = self.packs[which].take() {
            let bytes = u64::try_from(builder.finish()?.bytes.len())?;
            assert_eq!(padded_bytes(bytes), bytes);
            self.sizes[which] += bytes;
        }
        Ok(())
    }

    fn close_bundle(&mut self) -> Outcome<()> {
        let bundle = std::mem::take(&mut self.bundle);
        if !bundle.is_empty() {
            self.put(ChunkKind::Data, &bundle)?;
        }
        Ok(())
    }

    fn file(&mut self, parent: &[u8], name: &[u8], path: &Path) -> Outcome<Kind> {
        let plain = fs::read(path)?;
        let bytes = u64::try_from(plain.len())?;
        (self.files, self.bytes) = (self.files + 1, self.bytes + bytes);
        let mut extents = ContentBuilder::new(&self.keys.content);
        if BundlePlanner::takes(bytes) {
            if self.planner.cut_before(parent, name, bytes) {
                self.close_bundle()?;
            }
            let digest = self.keys.content.slice_digest(&plain);
            let offset = u32::try_from(self.bundle.len())?;
            self.bundle.extend_from_slice(&plain);
            // The bundle's identifier is not known yet: any will do for the length.
            let chunk = ChunkId::from_bytes(*blake3::hash(name).as_bytes());
            extents.push(Extent::Slice { chunk, offset, bytes: u32::try_from(bytes)?, digest })?;
        }
        let mut rest = if bytes < BUNDLE_FILE_BYTES_MAX { &[][..] } else { &plain };
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(CHUNK_BYTES_MAX)];
            let (chunk, after) = rest.split_at(self.chunker.cut(window));
            let id = self.put(ChunkKind::Data, chunk)?;
            extents.push(Extent::Chunk { chunk: id, bytes: u32::try_from(chunk.len())? })?;
            rest = after;
        }
        let content: Content = extents.finish();
        while let Some(chunk) = extents.next_chunk() {
            self.put(chunk.kind, &chunk.plain)?;
        }
        Ok(Kind::File { bytes, content })
    }

    fn walk(&mut self, tree: &mut TreeBuilder, folder: &Path) -> Outcome<()> {
        let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(|entry| entry.file_name().into_encoded_bytes());
        let parent = folder.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name().into_encoded_bytes());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                tree.enter(&name, attributes(&name))?;
                self.walk(tree, &path)?;
                tree.leave()?;
            } else {
                let kind =
                    if kind.is_file() { self.file(&parent, &name, &path)? } else { Kind::Fifo };
                let attributes = attributes(&name);
                tree.add(&Entry { name: name.into(), kind, attributes })?;
            }
            while let Some(chunk) = tree.next_chunk() {
                self.put(chunk.kind, &chunk.plain)?;
            }
        }
        Ok(())
    }
}

/// Times and identities that do not compress, as real ones.
fn attributes(name: &[u8]) -> Attributes {
    let hash = *blake3::hash(name).as_bytes();
    let [a, b, c, ..] = hash;
    let mut identity = [0; 16];
    identity.copy_from_slice(&hash[..16]);
    let nanoseconds = u32::from_le_bytes([a, b, c, 0]) * 59;
    Attributes {
        mode: 0o644,
        uid: 0,
        gid: 0,
        modified: FileTime { seconds: 1_700_000_000, nanoseconds },
        identity: Some(Identity(identity)),
        links: 1,
        xattrs: None,
    }
}

fn keep(keys: &Keys, folder: &Path) -> Outcome<()> {
    let start = cpu_time();
    let mut store = Store {
        keys,
        chunker: Chunker::new(&keys.content),
        planner: BundlePlanner::new(&keys.content),
        compressor: Compressor::new(Compressor::LEVEL),
        known: Default::default(),
        packs: [None, None],
        sizes: [0; 2],
        chunks: [0; 2],
        salt: 0,
        bundle: Vec::new(),
        files: 0,
        bytes: 0,
    };
    let mut tree = TreeBuilder::new(&keys.content);
    store.walk(&mut tree, folder)?;
    store.close_bundle()?;
    tree.finish()?;
    while let Some(chunk) = tree.next_chunk() {
        store.put(chunk.kind, &chunk.plain)?;
    }
    store.close(0)?;
    store.close(1)?;
    let [data, metadata] = store.sizes;
    let [data_chunks, metadata_chunks] = store.chunks;
    println!(
        "{} files, {} bytes: {data_chunks} data chunks in {data} bytes, {metadata_chunks} metadata \
         chunks in {metadata} bytes, {} ms of CPU time",
        store.files,
        store.bytes,
        (cpu_time() - start) / 1_000_000
    );
    Ok(())
}
