//! What of a file is there already: in a part file of an earlier restore, or in the file that
//! stands there. Recognised by the names of chunks and the digests of slices, never by looks.

use std::sync::Arc;

use larder_protocol::{
    index::ChunkKind,
    keys::epoch::ContentKey,
    limits::CHUNK_BYTES_MAX,
    tree::{
        entry::{Content, Extent},
        read::ExtentCursor,
    },
};

use super::{
    RestoreError,
    entries::{File, Place},
    plan::Planner,
    run::count,
};
use crate::files::{ExistingFile, PartFile};

/// A place in a file that is being restored.
struct Spot<'a> {
    file: &'a File,
    part: &'a PartFile,
    at: u64,
}

impl Planner<'_, '_> {
    /// Wants what is neither in the part file nor in the file that stands there.
    pub(super) fn compare(
        &mut self,
        file: &Arc<File>,
        content: &Content,
        existing: Option<ExistingFile>,
    ) -> Result<(), RestoreError> {
        let run = self.run;
        let right = match &existing {
            Some(existing) => self.right_extents(file, content, existing)?,
            None => Vec::new(),
        };
        let is_whole = existing.as_ref().is_some_and(|existing| existing.bytes() == file.bytes)
            && right.iter().all(|right| *right);
        if let (Some(existing), true, false) = (&existing, is_whole, file.is_given_up()) {
            let dir = &file.dir.handle;
            match run.target.keep_content(dir, &file.name, existing, &file.attributes) {
                Ok(true) => {
                    file.settle();
                    return self.none_wanted(file, content);
                }
                // Right bytes under a name that is not only ours: taken over below.
                Ok(false) => {}
                Err(error) => {
                    run.give_up_refused(file, &error)?;
                    return self.none_wanted(file, content);
                }
            }
        }
        let part = match file.place(&run.target) {
            Ok(Place::Part(part)) => part,
            Ok(Place::None) => return self.none_wanted(file, content),
            Err(error) => {
                run.give_up_refused(file, &error)?;
                return self.none_wanted(file, content);
            }
        };
        let mut extents = ExtentCursor::new(content, file.bytes);
        let (mut at, mut number) = (0, 0);
        while let Some(extent) = self.next(&mut extents, file)? {
            run.check()?;
            let from = existing.as_ref().filter(|_| right.get(number) == Some(&true));
            if self.is_there(&Spot { file, part: &part, at }, &extent, from)? {
                count(&run.counters.done_bytes, extent.bytes());
                self.not_wanted(&extent)?;
            } else {
                self.want(file, at, &extent)?;
            }
            at += extent.bytes();
            number += 1;
        }
        Ok(())
    }

    /// For each extent whether the file that stands there has it. A hole never counts: only a new
    /// file has its holes for certain.
    fn right_extents(
        &mut self,
        file: &Arc<File>,
        content: &Content,
        existing: &ExistingFile,
    ) -> Result<Vec<bool>, RestoreError> {
        let mut extents = ExtentCursor::new(content, file.bytes);
        let (mut at, mut right) = (0, Vec::new());
        while let Some(extent) = self.next(&mut extents, file)? {
            self.run.check()?;
            let read = |buffer: &mut [u8]| existing.read_at(at, buffer).ok();
            right.push(self.has(&extent, read));
            at += extent.bytes();
        }
        Ok(right)
    }

    /// Whether an extent needs no fetching: it is in the part file, or is put there now.
    fn is_there(
        &mut self,
        spot: &Spot<'_>,
        extent: &Extent,
        existing: Option<&ExistingFile>,
    ) -> Result<bool, RestoreError> {
        let Spot { file, part, at } = *spot;
        let done = if let Extent::Hole { bytes } = extent {
            part.hole(at, *bytes)
        } else if part.is_resumed() && self.has(extent, |buffer| part.read_at(at, buffer).ok()) {
            Ok(())
        } else if let Some(existing) = existing
            // Read and compared again: it may be written to just now by somebody else.
            && self.has(extent, |buffer| existing.read_at(at, buffer).ok())
        {
            part.write_at(at, &self.buffer)
        } else {
            return Ok(false);
        };
        match done {
            Ok(()) => Ok(true),
            Err(error) => {
                self.run.give_up_refused(file, &error)?;
                Ok(true)
            }
        }
    }

    /// Whether what `read` reads is the extent; it is in the buffer then.
    fn has(&mut self, extent: &Extent, read: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let Ok(bytes) = usize::try_from(extent.bytes()) else { return false };
        if matches!(extent, Extent::Hole { .. }) || bytes > CHUNK_BYTES_MAX {
            return false;
        }
        self.buffer.resize(bytes, 0);
        read(&mut self.buffer) == Some(bytes)
            && is_extent(&self.run.member.content, extent, &self.buffer)
    }

    fn none_wanted(&self, file: &File, content: &Content) -> Result<(), RestoreError> {
        self.pass_over_done(content, file.bytes)
    }
}

fn is_extent(key: &ContentKey, extent: &Extent, bytes: &[u8]) -> bool {
    match extent {
        Extent::Chunk { chunk, .. } => key.chunk_id(ChunkKind::Data, bytes) == *chunk,
        Extent::Slice { digest, .. } => key.slice_digest(bytes) == *digest,
        Extent::Hole { .. } => false,
    }
}
