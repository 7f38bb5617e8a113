//! The workers: read files, cut and join their bytes into chunks, store what is new.

use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use larder_protocol::{
    chunk::{Chunker, bundle::BundlePlanner},
    index::ChunkKind,
    limits::CHUNK_BYTES_MAX,
    tree::{
        builder::ContentBuilder,
        entry::{Attributes, Content, Extent},
    },
};

use super::{
    BackupError, Counters,
    chunks::{ChunkStore, Tools},
    scan::Seen,
};
use crate::{
    command::EventSink,
    descriptors,
    files::{FileReader, Found, Piece, ReadError, Verdict, What},
};

/// How often a file that changes while it is read is read again.
const ATTEMPTS_MAX: usize = 3;

/// Two chunks of the largest size: one being cut, one being filled.
const BUFFER_BYTES: usize = 2 * CHUNK_BYTES_MAX;

/// Work for one worker.
pub(super) enum Job {
    /// A file with chunks of its own.
    File(Box<Wanted>),
    /// Small neighbours that share one chunk.
    Bundle(Vec<Wanted>),
}

/// One file to read, and where the result goes.
pub(super) struct Wanted {
    pub(super) found: Found,
    pub(super) answer: Sender<Read>,
    /// The file, if it was opened ahead.
    pub(super) opened: Option<FileReader>,
}

impl Wanted {
    fn open(&mut self) -> Result<FileReader, ReadError> {
        let opened = self.opened.take();
        opened.map_or_else(|| descriptors::patiently(|| open(&self.found), || ()), Ok)
    }
}

/// What became of one file.
pub(super) enum Read {
    /// Its content is stored.
    Stored(Stored),
    /// It is no longer there, which is no fault.
    Vanished,
    /// It could not be read; a sentence for the user.
    Unreadable(String),
}

/// A file whose content is in chunks.
pub(super) struct Stored {
    /// As they were when the file was opened.
    pub(super) attributes: Attributes,
    pub(super) bytes: u64,
    pub(super) content: Content,
    /// For the scan cache.
    pub(super) seen: Seen,
    /// It changed every time it was read: what is stored may be torn, and is said to be.
    pub(super) is_torn: bool,
}

/// The data runs and holes of one file, in memory or already in chunks.
struct Taken {
    stored: Stored,
    /// The whole content of a small file without holes, to be put into a bundle.
    small: Option<Vec<u8>>,
}

/// One worker thread's tools.
pub(super) struct Worker<'a> {
    store: &'a ChunkStore<'a>,
    counters: &'a Counters,
    events: &'a EventSink,
    chunker: Chunker,
    tools: Tools,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(
        store: &'a ChunkStore<'a>,
        counters: &'a Counters,
        events: &'a EventSink,
        level: i32,
    ) -> Self {
        Self {
            store,
            counters,
            events,
            chunker: Chunker::new(store.content),
            tools: Tools::new(level),
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    pub(super) fn work(&mut self, job: Job) -> Result<(), BackupError> {
        match job {
            Job::File(mut wanted) => {
                let opened = wanted.open();
                let read = self.read_file(wanted.found, opened)?;
                answer(&wanted.answer, read);
                Ok(())
            }
            Job::Bundle(members) => self.read_bundle(members),
        }
    }

    fn read_file(
        &mut self,
        found: Found,
        opened: Result<FileReader, ReadError>,
    ) -> Result<Read, BackupError> {
        match self.take(found, opened)? {
            Ok(Taken { mut stored, small: Some(bytes) }) => {
                stored.content = self.single(&bytes)?;
                Ok(Read::Stored(stored))
            }
            Ok(Taken { stored, small: None }) => Ok(Read::Stored(stored)),
            Err(read) => Ok(read),
        }
    }

    fn read_bundle(&mut self, members: Vec<Wanted>) -> Result<(), BackupError> {
        let mut joined = Vec::new();
        let mut waiting = Vec::with_capacity(members.len());
        for mut wanted in members {
            let opened = wanted.open();
            let Wanted { found, answer: to, .. } = wanted;
            match self.take(found, opened)? {
                Ok(Taken { stored, small: Some(bytes) }) => {
                    let offset = joined.len();
                    joined.extend_from_slice(&bytes);
                    waiting.push((stored, offset, to));
                }
                Ok(Taken { stored, small: None }) => answer(&to, Read::Stored(stored)),
                Err(read) => answer(&to, read),
            }
        }
        if joined.is_empty() {
            return Ok(());
        }
        let chunk = self.put(&joined)?;
        for (mut stored, offset, to) in waiting {
            let bytes = u32_of(usize::try_from(stored.bytes).unwrap_or(usize::MAX));
            let end = offset + usize::try_from(bytes).expect("a bundle fits in memory");
            // A slice also where a file is alone: its neighbours may come and go, and it is to be
            // recognised as the same then (TREE-19).
            let slice = joined.get(offset..end).expect("lies in what was joined");
            let digest = self.store.content.slice_digest(slice);
            let extent = Extent::Slice { chunk, offset: u32_of(offset), bytes, digest };
            stored.content = Content::Inline(vec![extent]);
            answer(&to, Read::Stored(stored));
        }
        Ok(())
    }

    /// Reads one file until it holds still, at most [`ATTEMPTS_MAX`] times.
    fn take(
        &mut self,
        mut found: Found,
        mut opened: Result<FileReader, ReadError>,
    ) -> Result<Result<Taken, Read>, BackupError> {
        for attempt in 1..=ATTEMPTS_MAX {
            let last = attempt == ATTEMPTS_MAX;
            match self.take_once(&mut found, opened)? {
                Ok((taken, Verdict::Unchanged | Verdict::Vanished)) => return Ok(Ok(taken)),
                Ok((mut taken, Verdict::ChangedWhileRead)) if last => {
                    taken.stored.is_torn = true;
                    return Ok(Ok(taken));
                }
                Ok((_, Verdict::ChangedWhileRead)) => opened = open(&found),
                Err(ReadError::Vanished) => return Ok(Err(Read::Vanished)),
                Err(error) => return Ok(Err(Read::Unreadable(say(&error)))),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn take_once(
        &mut self,
        found: &mut Found,
        opened: Result<FileReader, ReadError>,
    ) -> Result<Result<(Taken, Verdict), ReadError>, BackupError> {
        let opened = opened.and_then(|reader| reader.refresh(found).map(|_| reader));
        let mut reader = match opened {
            Ok(reader) => reader,
            Err(error) => return Ok(Err(error)),
        };
        let pieces = if BundlePlanner::takes(reader.bytes()) {
            self.take_small(&mut reader)?
        } else {
            self.take_large(&mut reader)?.map(|(content, bytes)| (content, bytes, None))
        };
        let (content, bytes, small) = match pieces {
            Ok(taken) => taken,
            Err(error) => return Ok(Err(error)),
        };
        let finished = match reader.finish() {
            Ok(finished) => finished,
            Err(error) => return Ok(Err(error)),
        };
        debug_assert!(matches!(found.what, What::File { .. }), "only files are read");
        let stored = Stored {
            attributes: found.attributes.clone(),
            bytes,
            content,
            seen: Seen::read(finished.cacheable, found.trace),
            is_torn: false,
        };
        Ok(Ok((Taken { stored, small }, finished.verdict)))
    }

    /// A file below the size of a bundle's member: whole in memory, unless it has holes.
    #[expect(clippy::type_complexity, reason = "two kinds of failure, blame apart")]
    fn take_small(
        &mut self,
        reader: &mut FileReader,
    ) -> Result<Result<(Content, u64, Option<Vec<u8>>), ReadError>, BackupError> {
        let mut bytes = Vec::new();
        let mut runs: Vec<Result<Vec<u8>, u64>> = Vec::new();
        loop {
            match reader.read(&mut self.buffer) {
                Ok(Piece::Data(length)) => {
                    let data = self.buffer.get(..length).expect("a piece fits the buffer");
                    self.counters.read_bytes.fetch_add(len64(length), Ordering::Relaxed);
                    match runs.last_mut() {
                        Some(Ok(run)) => run.extend_from_slice(data),
                        Some(Err(_)) | None => runs.push(Ok(data.to_vec())),
                    }
                }
                Ok(Piece::Hole(length)) => runs.push(Err(length)),
                Ok(Piece::End) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        if runs.iter().all(Result::is_ok) {
            runs.into_iter().flatten().for_each(|run| bytes.extend_from_slice(&run));
            let length = len64(bytes.len());
            let small = (length > 0).then_some(bytes);
            return Ok(Ok((Content::Inline(Vec::new()), length, small)));
        }
        let mut list = ContentBuilder::new(self.store.content);
        let mut length = 0;
        for run in runs {
            let extent = match run {
                Ok(data) => Extent::Chunk { chunk: self.put(&data)?, bytes: u32_of(data.len()) },
                Err(bytes) => Extent::Hole { bytes },
            };
            length += extent.bytes();
            self.push(&mut list, extent)?;
        }
        Ok(Ok((self.close(list)?, length, None)))
    }

    /// A file of any size: cut by content, one chunk in memory at a time.
    fn take_large(
        &mut self,
        reader: &mut FileReader,
    ) -> Result<Result<(Content, u64), ReadError>, BackupError> {
        let mut list = ContentBuilder::new(self.store.content);
        let (mut filled, mut length) = (0, 0);
        loop {
            let room = self.buffer.get_mut(filled..).expect("filled stays below the length");
            match reader.read(room) {
                Ok(Piece::Data(more)) => {
                    filled += more;
                    self.counters.read_bytes.fetch_add(len64(more), Ordering::Relaxed);
                    if filled >= CHUNK_BYTES_MAX {
                        let cut = self.cut(&mut list, filled, false)?;
                        length += len64(cut);
                        filled -= cut;
                    }
                }
                Ok(Piece::Hole(bytes)) => {
                    length += len64(self.cut(&mut list, filled, true)?) + bytes;
                    filled = 0;
                    self.push(&mut list, Extent::Hole { bytes })?;
                }
                Ok(Piece::End) => break,
                Err(error) => return Ok(Err(error)),
            }
        }
        length += len64(self.cut(&mut list, filled, true)?);
        Ok(Ok((self.close(list)?, length)))
    }

    /// Cuts chunks off the front of the buffer and stores them: all of it at the end of a run,
    /// else while a full chunk is there to choose the cut in. Moves the rest to the front and
    /// returns how many bytes were cut.
    fn cut(
        &mut self,
        list: &mut ContentBuilder,
        filled: usize,
        is_end: bool,
    ) -> Result<usize, BackupError> {
        let mut at = 0;
        while at < filled && (is_end || filled - at >= CHUNK_BYTES_MAX) {
            // One file may take an hour, and who wants to stop does not wait for its end.
            self.events.check()?;
            let rest = self.buffer.get(at..filled).expect("lies in the buffer");
            let length = self.chunker.cut(rest);
            let plain = rest.get(..length).expect("a cut lies in what is cut");
            let chunk = self.store.put(&mut self.tools, ChunkKind::Data, plain)?;
            self.counters.done_bytes.fetch_add(len64(length), Ordering::Relaxed);
            self.push(list, Extent::Chunk { chunk, bytes: u32_of(length) })?;
            at += length;
        }
        self.buffer.copy_within(at..filled, 0);
        Ok(at)
    }

    /// The content of a small file that shares its chunk with nobody.
    fn single(&mut self, plain: &[u8]) -> Result<Content, BackupError> {
        let chunk = self.put(plain)?;
        Ok(Content::Inline(vec![Extent::Chunk { chunk, bytes: u32_of(plain.len()) }]))
    }

    fn put(&mut self, plain: &[u8]) -> Result<larder_protocol::ids::ChunkId, BackupError> {
        self.counters.done_bytes.fetch_add(len64(plain.len()), Ordering::Relaxed);
        self.store.put(&mut self.tools, ChunkKind::Data, plain)
    }

    fn push(&mut self, list: &mut ContentBuilder, extent: Extent) -> Result<(), BackupError> {
        list.push(extent)?;
        self.store_list(list)
    }

    fn close(&mut self, mut list: ContentBuilder) -> Result<Content, BackupError> {
        let content = list.finish();
        self.store_list(&mut list)?;
        Ok(content)
    }

    fn store_list(&mut self, list: &mut ContentBuilder) -> Result<(), BackupError> {
        while let Some(chunk) = list.next_chunk() {
            self.store.put_named(&mut self.tools, &chunk)?;
        }
        Ok(())
    }
}

pub(super) fn open(found: &Found) -> Result<FileReader, ReadError> {
    FileReader::open(&found.directory, &found.name)
}

/// The one who asked is gone only when the whole run has failed.
fn answer(to: &Sender<Read>, read: Read) {
    let _ = to.send(read);
}

fn say(error: &ReadError) -> String {
    match error {
        ReadError::Io(errno) => errno.to_string(),
        ReadError::Vanished | ReadError::NotAFile => error.to_string(),
    }
}

fn u32_of(length: usize) -> u32 {
    u32::try_from(length).expect("a chunk is shorter than 4 GiB")
}

fn len64(length: usize) -> u64 {
    u64::try_from(length).expect("memory is smaller than 2^64 bytes")
}
