//! A stored shard, open for reading. Every byte that leaves here was checked against the root.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::FileExt,
};

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges, TreeNode,
    io::{
        EncodeError,
        sync::{Outboard, ReadAt, encode_ranges_validated, valid_ranges},
    },
};
use larder_protocol::{index::ShardRef, limits::GROUP_BYTES, proof::Challenge};
use rustix::fs::{Advice, fadvise};

use super::{DepotError, ShardHasher, disk::Layout, error::is_damage};

/// Verification groups of 2^4 KiB, as in iroh-blobs.
pub(crate) const BLOCK: BlockSize = BlockSize::from_chunk_log(4);
/// Bytes of one BLAKE3 chunk: the unit in which bao-tree names ranges.
const CHUNK_BYTES: u64 = 1024;

/// A shard open for reading.
#[derive(Debug)]
pub struct Shard {
    shard: ShardRef,
    data: File,
    outboard: OutboardFile,
}

/// Why encoding a shard for a peer stopped.
#[derive(Debug)]
pub enum EncodeFault {
    /// Our own bytes do not have their hash, or cannot be read; nothing wrong was passed on.
    Corrupt,
    /// Our own file is gone.
    Missing,
    /// Our own disk failed.
    Disk(DepotError),
    /// Whoever took the bytes takes no more.
    Sink,
}

impl Shard {
    pub(super) fn open(layout: &Layout, shard: ShardRef) -> Result<Self, DepotError> {
        let data = match File::open(layout.data(&shard.root)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(DepotError::Missing(shard.root));
            }
            Err(error) => return Err(DepotError::reading("open a shard", shard.root)(error)),
        };
        let tree = BaoTree::new(shard.bytes, BLOCK);
        let file = if tree.outboard_size() == 0 {
            None
        } else {
            Some(open_outboard(layout, shard, tree, &data)?)
        };
        let outboard = OutboardFile { root: (*shard.root.as_bytes()).into(), tree, file };
        Ok(Self { shard, data, outboard })
    }

    /// Name and length.
    pub const fn shard(&self) -> ShardRef {
        self.shard
    }

    /// Reads `range`, checked against the root.
    ///
    /// # Errors
    /// [`DepotError::Corrupt`] when the bytes do not have their hash, [`DepotError::BadRange`]
    /// for a range outside the shard.
    pub fn read_range(&self, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        if range.start > range.end || range.end > self.shard.bytes {
            return Err(DepotError::BadRange);
        }
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let aligned = align(&range, self.shard.bytes);
        let length =
            usize::try_from(aligned.end - aligned.start).map_err(|_| DepotError::BadRange)?;
        let mut bytes = vec![0; length];
        match FileExt::read_exact_at(&self.data, &mut bytes, aligned.start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(DepotError::Corrupt(self.shard.root));
            }
            other => other.map_err(DepotError::reading("read a shard", self.shard.root))?,
        }
        // What was read is what is checked: the file is not read a second time.
        let window = Window { start: aligned.start, bytes: &bytes };
        let chunks = chunk_ranges(&aligned);
        let valid = validate(&self.outboard, &window, &chunks)?;
        if !valid.is_superset(&chunks) {
            return Err(DepotError::Corrupt(self.shard.root));
        }
        let skipped = usize::try_from(range.start - aligned.start).expect("less than one group");
        bytes.drain(..skipped);
        bytes.truncate(usize::try_from(range.end - range.start).expect("not above the length"));
        Ok(bytes)
    }

    /// Writes `ranges` with their proof, in the order of the iroh-blobs wire but without its
    /// length prefix. Stops before the first byte that does not have its hash.
    ///
    /// # Errors
    /// [`EncodeFault`].
    pub fn encode(&self, ranges: &ChunkRanges, sink: &mut impl Write) -> Result<(), EncodeFault> {
        let mut sink = Marked { sink, failed: false };
        let data = Medium(&self.data);
        let encoded = encode_ranges_validated(data, &self.outboard, ranges, &mut sink);
        match encoded {
            Ok(()) => Ok(()),
            Err(_) if sink.failed => Err(EncodeFault::Sink),
            Err(EncodeError::Io(error)) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(EncodeFault::Disk(DepotError::disk("read a shard")(error)))
            }
            Err(_) => Err(EncodeFault::Corrupt),
        }
    }

    /// Shows one chunk of this shard to somebody who doubts that it is here.
    ///
    /// # Errors
    /// [`DepotError::Corrupt`] when the bytes do not have their hash: then nothing is shown.
    pub fn prove(&self, challenge: &Challenge) -> Result<Vec<u8>, DepotError> {
        let (root, range) = (self.shard.root, challenge.group());
        let mut group = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        match FileExt::read_exact_at(&self.data, &mut group, range.start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(DepotError::Corrupt(root));
            }
            other => other.map_err(DepotError::reading("read a shard", root))?,
        }
        let pairs = challenge.pairs().into_iter().map(|at| self.outboard.pair(at));
        let pairs: Vec<[u8; 64]> =
            pairs.collect::<io::Result<_>>().map_err(DepotError::reading("read a shard", root))?;
        challenge.prove(&group, &pairs).map_err(|_| DepotError::Corrupt(root))
    }

    /// The byte ranges of a stored shard that do not have their hash, read from the disk as far as the
    /// system allows: first it is asked to forget what it holds of the shard in memory, and after it
    /// again, because nobody asked for these bytes.
    pub(super) fn read_whole(
        layout: &Layout,
        shard: ShardRef,
    ) -> Result<Vec<Range<u64>>, DepotError> {
        let open = Self::open(layout, shard)?;
        open.forget_cached();
        let bad = open.bad_ranges();
        open.forget_cached();
        bad
    }

    /// As [`Shard::read_whole`], but not by the outboard alone: bytes that have the root are well, and
    /// an outboard that says otherwise is made again.
    pub(super) fn examine(layout: &Layout, shard: ShardRef) -> Result<Vec<Range<u64>>, DepotError> {
        let bad = Self::read_whole(layout, shard)?;
        if bad.is_empty() || BaoTree::new(shard.bytes, BLOCK).outboard_size() == 0 {
            return Ok(bad);
        }
        // From its beginning, which the one that was open may have left.
        let data = Self::open(layout, shard)?.data;
        match rebuild_outboard(layout, shard, &data) {
            Ok(()) => Self::read_whole(layout, shard),
            Err(DepotError::Corrupt(_)) => Ok(bad),
            Err(error) => Err(error),
        }
    }

    /// What was not yet written out stays.
    fn forget_cached(&self) {
        for file in std::iter::once(&self.data).chain(&self.outboard.file) {
            // Only advice: without it, less is tried than was meant, and nothing is wrong.
            let _ = fadvise(file, 0, None, Advice::DontNeed);
        }
    }

    /// The byte ranges that do not have their hash, joined and in order.
    ///
    /// # Errors
    /// [`DepotError::Disk`] when the file cannot be read at all.
    pub fn bad_ranges(&self) -> Result<Vec<Range<u64>>, DepotError> {
        let all = chunk_ranges(&(0..self.shard.bytes));
        let valid = validate(&self.outboard, Medium(&self.data), &all)?;
        Ok(byte_ranges(&(all - valid), self.shard.bytes))
    }
}

/// Byte ranges rounded outward to whole groups, as bao-tree names them. Source: DEPOT-9: a smaller
/// range can be verified once, but neither kept nor served again.
pub fn group_ranges(ranges: &[Range<u64>], bytes: u64) -> ChunkRanges {
    let mut groups = ChunkRanges::empty();
    for range in ranges.iter().filter(|range| !range.is_empty()) {
        groups |= chunk_ranges(&align(range, bytes));
    }
    groups
}

fn align(range: &Range<u64>, bytes: u64) -> Range<u64> {
    let start = range.start / GROUP_BYTES * GROUP_BYTES;
    let end = range.end.div_ceil(GROUP_BYTES).saturating_mul(GROUP_BYTES).min(bytes);
    start..end
}

fn chunk_ranges(range: &Range<u64>) -> ChunkRanges {
    let start = ChunkNum(range.start / CHUNK_BYTES);
    ChunkRanges::from(start..ChunkNum(range.end.div_ceil(CHUNK_BYTES)))
}

/// The bytes that a set of chunks covers.
pub(super) fn byte_ranges(chunks: &ChunkRanges, bytes: u64) -> Vec<Range<u64>> {
    let bounds = chunks.boundaries();
    bounds
        .chunks(2)
        .map(|pair| {
            let end = pair.get(1).map_or(bytes, |end| end.0.saturating_mul(CHUNK_BYTES).min(bytes));
            pair[0].0.saturating_mul(CHUNK_BYTES).min(bytes)..end
        })
        .collect()
}

/// Which of `chunks` have their hash.
pub(super) fn validate(
    outboard: &OutboardFile,
    data: impl ReadAt,
    chunks: &ChunkRanges,
) -> Result<ChunkRanges, DepotError> {
    let mut valid = ChunkRanges::empty();
    for range in valid_ranges(outboard, data, chunks) {
        valid |= ChunkRanges::from(range.map_err(DepotError::disk("verify a shard"))?);
    }
    Ok(valid)
}

/// Opens the outboard, made anew from the data when it is gone or cut short.
fn open_outboard(
    layout: &Layout,
    shard: ShardRef,
    tree: BaoTree,
    data: &File,
) -> Result<File, DepotError> {
    let path = layout.outboard(&shard.root);
    match File::open(&path) {
        Ok(file) if file.metadata().is_ok_and(|meta| meta.len() == tree.outboard_size()) => {
            return Ok(file);
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound && !is_damage(&error) => {
            return Err(DepotError::disk("open an outboard")(error));
        }
        _ => {}
    }
    rebuild_outboard(layout, shard, data)?;
    File::open(&path).map_err(DepotError::disk("open an outboard"))
}

/// Hashes the data again and, if it has its root, writes its outboard anew.
pub(super) fn rebuild_outboard(
    layout: &Layout,
    shard: ShardRef,
    mut data: &File,
) -> Result<(), DepotError> {
    let mut hasher = ShardHasher::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = data.read(&mut buffer);
        let met = read.map_err(DepotError::reading("read a shard", shard.root))?;
        if met == 0 || hasher.bytes() > shard.bytes {
            break;
        }
        hasher.update(&buffer[..met]);
    }
    let (met, outboard) = hasher.finish();
    if met != shard {
        return Err(DepotError::Corrupt(shard.root));
    }
    let failed = DepotError::disk("write an outboard");
    let temp = layout.temp();
    let write = || -> io::Result<()> {
        let mut file = File::create_new(&temp)?;
        file.write_all(&outboard)?;
        file.sync_data()?;
        fs::rename(&temp, layout.outboard(&shard.root))
    };
    write().map_err(|error| {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temp);
        failed(error)
    })
}

/// An outboard on disk; none for a shard of one group.
#[derive(Debug)]
pub(super) struct OutboardFile {
    pub(super) root: blake3::Hash,
    pub(super) tree: BaoTree,
    pub(super) file: Option<File>,
}

impl OutboardFile {
    /// Both hashes of one inner node, by its number in pre-order.
    fn pair(&self, number: u64) -> io::Result<[u8; 64]> {
        // Missing, cut short or unreadable: hashes that verify nothing.
        let mut pair = [0; 64];
        let Some(file) = &self.file else { return Ok(pair) };
        match FileExt::read_exact_at(file, &mut pair, number * 64) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof || is_damage(&error) => {
                Ok([0; 64])
            }
            other => other.map(|()| pair),
        }
    }
}

impl Outboard for OutboardFile {
    fn root(&self) -> blake3::Hash {
        self.root
    }

    fn tree(&self) -> BaoTree {
        self.tree
    }

    fn load(&self, node: TreeNode) -> io::Result<Option<(blake3::Hash, blake3::Hash)>> {
        let (Some(_), Some(offset)) = (&self.file, self.tree.pre_order_offset(node)) else {
            return Ok(None);
        };
        let pair = self.pair(offset)?;
        let (left, right) = pair.split_at(32);
        let hash = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("half of 64 bytes").into();
        Ok(Some((hash(left), hash(right))))
    }
}

/// A file of which parts may be beyond reading: they read as zeros, which do not have the hash of
/// what was there, so that each such group is found damaged like any other.
#[derive(Debug, Clone, Copy)]
struct Medium<'a>(&'a File);

impl ReadAt for Medium<'_> {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
        match FileExt::read_at(self.0, buf, pos) {
            Err(error) if is_damage(&error) => {
                buf.fill(0);
                Ok(buf.len())
            }
            other => other,
        }
    }
}

/// Bytes of a shard in memory, at their place.
struct Window<'a> {
    start: u64,
    bytes: &'a [u8],
}

impl ReadAt for &Window<'_> {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<usize> {
        let from = pos.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let bytes = from.and_then(|from| self.bytes.get(from..)).unwrap_or_default();
        let taken = bytes.len().min(buf.len());
        buf[..taken].copy_from_slice(&bytes[..taken]);
        Ok(taken)
    }
}

/// Remembers that it was the sink that failed, not the disk.
struct Marked<'a, W> {
    sink: &'a mut W,
    failed: bool,
}

impl<W: Write> Write for Marked<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes);
        self.failed |= written.is_err();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
