//! The limit: what this machine does with the same primitives in a plain loop on all cores.
//!
//! `limit stat FOLDER`       names and metadata of every entry, nothing else
//! `limit read FOLDER`       every byte of every file
//! `limit work FOLDER`       read, cut, identify, compress, seal; the result is dropped
//! `limit keep FOLDER FILE`  the same, written to a file, which is synced at the end
//!
//! No tree, no index, no order, no names kept, nothing found twice: not a backup, but what one
//! cannot undercut with this chunking. Whoever starts it measures the time
//! (`tests/bench/`). Large files are taken in parts, so that one file keeps all cores busy.

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use larder_protocol::{
    chunk::{
        Chunker,
        codec::{Compressor, Frame},
    },
    index::ChunkKind,
    keys::epoch::{ContentKey, EpochKey},
    limits::{BUNDLE_BYTES_MAX, BUNDLE_FILE_BYTES_MAX, CHUNK_BYTES_MAX},
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// A part of a large file that one thread takes.
const PART_BYTES: u64 = 32 << 20;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["stat", folder] => println!("{} entries", look(Path::new(folder), &|_, _| ())?),
        ["read", folder] => take(Path::new(folder), &|| read_only)?,
        ["work", folder] => take(Path::new(folder), &|| sealing(|_| Ok(())))?,
        ["keep", folder, file] => {
            let kept = OpenOptions::new().create(true).append(true).open(file)?;
            let keep = |bytes: &[u8]| Ok((&kept).write_all(bytes)?);
            take(Path::new(folder), &|| sealing(keep))?;
            kept.sync_all()?;
        }
        _ => println!("limit stat|read|work FOLDER, or limit keep FOLDER FILE: see tests/bench/"),
    }
    Ok(())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// Lists and stats everything below a folder on all cores; how many entries there are.
fn look(root: &Path, file: &(impl Fn(PathBuf, u64) + Sync)) -> Outcome<usize> {
    let open = Mutex::new(vec![root.to_owned()]);
    let (busy, entries) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let next = || {
        let mut open = open.lock().expect("no code panics while holding this lock");
        // Under the lock: a folder that is being listed may still open others.
        open.pop().inspect(|_| _ = busy.fetch_add(1, Ordering::SeqCst))
    };
    let list = |folder: &Path| -> Outcome<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            entries.fetch_add(1, Ordering::Relaxed);
            if metadata.is_dir() {
                open.lock().expect("no code panics while holding this lock").push(entry.path());
            } else if metadata.is_file() {
                file(entry.path(), metadata.len());
            }
        }
        Ok(())
    };
    let work = || -> Outcome<()> {
        loop {
            if let Some(folder) = next() {
                let listed = list(&folder);
                busy.fetch_sub(1, Ordering::SeqCst);
                listed?;
            } else if busy.load(Ordering::SeqCst) == 0 {
                return Ok(());
            } else {
                thread::yield_now();
            }
        }
    };
    on_all_cores(&work)?;
    Ok(entries.into_inner())
}

fn on_all_cores(work: &(impl Fn() -> Outcome<()> + Sync)) -> Outcome<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..cores()).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no thread panics"))
    })
}

fn open(path: &Path) -> io::Result<impl Read + Seek> {
    OpenOptions::new().read(true).open(path)
}

/// What one thread takes at once: a part of a large file, or small files that share a chunk.
enum Job {
    Part(PathBuf, u64),
    Small(Vec<PathBuf>),
}

fn jobs(root: &Path) -> Outcome<Vec<Job>> {
    let files = Mutex::new(Vec::new());
    look(root, &|path, bytes| {
        files.lock().expect("no code panics while holding this lock").push((path, bytes));
    })?;
    let mut files = files.into_inner()?;
    files.sort();
    let (mut jobs, mut small, mut small_bytes) = (Vec::new(), Vec::new(), 0);
    for (path, bytes) in files {
        if bytes >= BUNDLE_FILE_BYTES_MAX {
            let parts = bytes.div_ceil(PART_BYTES);
            jobs.extend((0..parts).map(|part| Job::Part(path.clone(), part * PART_BYTES)));
            continue;
        }
        if small_bytes + bytes > BUNDLE_BYTES_MAX / 2 {
            jobs.push(Job::Small(std::mem::take(&mut small)));
            small_bytes = 0;
        }
        small_bytes += bytes;
        small.push(path);
    }
    jobs.push(Job::Small(small));
    Ok(jobs)
}

/// Does all jobs on all cores, each thread with its own `worker`.
fn take<W: FnMut(&[u8], bool) -> Outcome<usize>>(
    root: &Path,
    worker: &(impl Fn() -> W + Sync),
) -> Outcome<()> {
    let (jobs, next) = (jobs(root)?, AtomicUsize::new(0));
    on_all_cores(&|| {
        let (mut worker, mut buffer) = (worker(), Vec::new());
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            buffer.clear();
            match job {
                Job::Part(path, start) => take_part(path, *start, &mut buffer, &mut worker)?,
                Job::Small(paths) => {
                    for path in paths {
                        open(path)?.read_to_end(&mut buffer)?;
                    }
                    worker(&buffer, true)?;
                }
            }
        }
        Ok(())
    })
}

fn take_part(
    path: &Path,
    start: u64,
    buffer: &mut Vec<u8>,
    worker: &mut impl FnMut(&[u8], bool) -> Outcome<usize>,
) -> Outcome<()> {
    let mut file = open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut file = file.take(PART_BYTES);
    loop {
        let window = u64::try_from(2 * CHUNK_BYTES_MAX - buffer.len())?;
        let is_end = file.by_ref().take(window).read_to_end(buffer)? == 0;
        let done = worker(buffer, is_end)?;
        buffer.drain(..done);
        if is_end {
            return Ok(());
        }
    }
}

/// Takes what there is and keeps nothing.
fn read_only(bytes: &[u8], _is_end: bool) -> Outcome<usize> {
    Ok(bytes.len())
}

/// Cuts, identifies, compresses and seals, and hands the result on.
fn sealing(keep: impl Fn(&[u8]) -> Outcome<()>) -> impl FnMut(&[u8], bool) -> Outcome<usize> {
    let content = ContentKey::derive(&EpochKey::new(1, [3; 32]));
    let (chunker, cipher) = (Chunker::new(&content), ChaCha20Poly1305::new(&[5; 32].into()));
    let mut compressor = Compressor::new(Compressor::LEVEL);
    move |bytes, is_end| {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if !is_end && rest.len() < CHUNK_BYTES_MAX {
                break;
            }
            let length = chunker.cut(rest);
            let chunk = rest.get(..length).unwrap_or_default();
            let id = content.chunk_id(ChunkKind::Data, chunk);
            let frame: Frame = compressor.compress(chunk);
            let mut sealed = frame.as_bytes().to_vec();
            let nonce = Nonce::from([7; 12]);
            cipher.encrypt_in_place(&nonce, id.as_bytes(), &mut sealed).map_err(|_| "too long")?;
            keep(&sealed)?;
            at += length;
        }
        Ok(at)
    }
}
