//! Writers: read runs of sealed chunks, open them, put the bytes where they belong.
//!
//! **Invariant:** nothing is written that was not opened with the pack's key and then found to
//! have the chunk's own name.

use std::sync::Arc;

use crossbeam_channel::Receiver;

use super::{
    RestoreError,
    entries::{File, Place},
    error::one_line,
    packs::{Job, Pack, give_up, span},
    run::{Lack, Run, count},
    window::{Piece, Wanted},
};
use crate::engine::{EngineError, error::HostError, source::range_of};

/// Does one job after the other.
pub(super) fn write_files(run: &Run<'_>, jobs: &Receiver<Job>) -> Result<(), RestoreError> {
    for job in jobs {
        run.check()?;
        match job {
            Job::Bare(file) => {
                begin(run, &file)?;
                run.release(&file)?;
            }
            Job::Chunks(pack, wanted) => chunks(run, pack, wanted)?,
        }
    }
    Ok(())
}

/// Reads a run of chunks and writes what is made of them. Where that cannot be read at once each
/// chunk is tried alone: one bad sector costs no more than what lies on it.
fn chunks(run: &Run<'_>, pack: Arc<Pack>, wanted: Vec<Wanted>) -> Result<(), RestoreError> {
    let number = pack.number;
    match pack.read(run, span(&wanted)) {
        Ok(sealed) => {
            let pieces: usize = wanted.iter().map(|wanted| wanted.pieces.len()).sum();
            write_run(run, &sealed, &wanted)?;
            // Before the last use is noted, so that the pack can go then.
            drop(pack);
            run.used(number, u64::try_from(pieces).unwrap_or(u64::MAX));
            Ok(())
        }
        Err(EngineError::Host(HostError::Depot(_))) if pack.is_here() && wanted.len() > 1 => {
            wanted.into_iter().try_for_each(|one| chunks(run, Arc::clone(&pack), vec![one]))
        }
        Err(error) => {
            drop(pack);
            let lack = run.lack(error)?;
            give_up(run, number, wanted, &lack)
        }
    }
}

/// A file without bytes (or with nothing but holes) is begun, so that it can be finished.
fn begin(run: &Run<'_>, file: &File) -> Result<(), RestoreError> {
    match file.place(&run.target) {
        Ok(Place::Part(part)) => match part.hole(0, file.bytes) {
            Ok(()) => Ok(()),
            Err(error) => run.give_up_refused(file, &error),
        },
        Ok(Place::None) => Ok(()),
        Err(error) => run.give_up_refused(file, &error),
    }
}

fn write_run(run: &Run<'_>, sealed: &[u8], wanted: &[Wanted]) -> Result<(), RestoreError> {
    let Some(first) = wanted.first() else { return Ok(()) };
    let at = range_of(&first.location);
    let begin = at.start;
    let shown = slice(sealed, 0, at.end - begin).unwrap_or_default();
    let of_vault = (run.member.vault, &run.member.content);
    let reader = run.member.keyring().reader_at(&first.location, shown, of_vault);
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => {
            let lack = run.lack(error)?;
            return wanted.iter().try_for_each(|wanted| give_up_chunk(run, wanted, &lack));
        }
    };
    for wanted in wanted {
        run.check()?;
        let range = range_of(&wanted.location);
        let bytes = slice(sealed, range.start - begin, range.end - begin);
        let location = &wanted.location;
        let opened = reader.open_chunk(
            &location.record,
            location.position,
            bytes.unwrap_or_default(),
            &run.member.content,
        );
        match opened {
            Ok(plain) => {
                for piece in &wanted.pieces {
                    write_piece(run, piece, &plain)?;
                }
            }
            Err(error) => {
                let lack = Lack::Said(one_line(&EngineError::from(error)));
                give_up_chunk(run, wanted, &lack)?;
            }
        }
    }
    Ok(())
}

fn give_up_chunk(run: &Run<'_>, wanted: &Wanted, lack: &Lack) -> Result<(), RestoreError> {
    for piece in &wanted.pieces {
        run.give_up(&piece.file, lack)?;
        run.release(&piece.file)?;
    }
    Ok(())
}

fn write_piece(run: &Run<'_>, piece: &Piece, plain: &[u8]) -> Result<(), RestoreError> {
    let (file, from, bytes) = (&piece.file, u64::from(piece.from), u64::from(piece.bytes));
    match (slice(plain, from, from + bytes), file.place(&run.target)) {
        (_, Err(error)) => run.give_up_refused(file, &error)?,
        (None, Ok(_)) => {
            run.give_up(file, &Lack::Said("its chunk is shorter than recorded".to_owned()))?;
        }
        (Some(data), Ok(Place::Part(part))) => {
            if let Err(error) = part.write_at(piece.at, data) {
                run.give_up_refused(file, &error)?;
            }
        }
        (Some(_), Ok(Place::None)) => {}
    }
    count(&run.counters.done_bytes, bytes);
    run.release(file)
}

fn slice(bytes: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
