//! The planner: walks the snapshot, makes directories and everything without content, and says
//! which bytes of which files are wanted.

use std::{collections::HashMap, sync::Arc};

use crossbeam_channel::Sender;
use larder_protocol::{
    ids::ChunkId,
    snapshot::Snapshot,
    tree::{
        entry::{Attributes, Content, Entry, Extent, Identity, Kind},
        read::{ExtentCursor, ReadError, Step, Walk},
    },
};

use super::{
    RestoreError,
    entries::{Dir, File, Finish, Link, Links, Place},
    error::one_line,
    packs::Job,
    run::{Lack, Run, count},
    selection::{Selection, Standing},
    uses::chunk_of,
    window::{Group, Piece, Window},
};
use crate::{
    engine::{EngineError, inside::components},
    files::{DirHandle, Made, Plan, Special},
};

/// The planner of one restore.
pub(super) struct Planner<'r, 'a> {
    pub(super) run: &'r Run<'a>,
    pub(super) window: Window,
    selection: &'r Selection,
    groups: Sender<Group>,
    jobs: Sender<Job>,
    /// Hard-linked files of which more names are to come, with how many.
    links: HashMap<Identity, (Arc<Links>, u32)>,
    /// Read buffer for comparing.
    pub(super) buffer: Vec<u8>,
}

impl<'r, 'a> Planner<'r, 'a> {
    pub(super) fn new(
        run: &'r Run<'a>,
        selection: &'r Selection,
        groups: Sender<Group>,
        jobs: Sender<Job>,
    ) -> Self {
        let (window, links, buffer) = (Window::default(), HashMap::new(), Vec::new());
        Self { run, window, selection, groups, jobs, links, buffer }
    }

    /// Plans everything. When it returns, all work is handed on.
    pub(super) fn plan(mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        let names = components(&snapshot.root_path);
        let mut way = vec![self.passed(self.run.target.root(), None)];
        let (last, parents) = match names.split_last() {
            Some((last, parents)) => (Some(*last), parents),
            None => (None, names.as_slice()),
        };
        for name in parents {
            let above = way.last().cloned().ok_or(RestoreError::Stopped)?;
            let passed = self.run.target.pass_dir(&above.handle, name);
            let handle = passed.map_err(|error| self.run.no_way(error))?;
            way.push(self.passed(handle, Some(&above)));
        }
        let above = way.last().cloned().ok_or(RestoreError::Stopped)?;
        match (&snapshot.root.kind, last) {
            (Kind::Directory { node }, last) => {
                let root = self.enter_root(&above, last, snapshot)?;
                self.walk(*node, Arc::clone(&root))?;
                self.run.leave(&root)?;
            }
            (_, Some(name)) => {
                let entry = Entry { name: name.to_vec().into(), ..snapshot.root.clone() };
                self.entry(&above, entry)?;
            }
            (_, None) => return Err(RestoreError::NoSuchPath(Vec::new())),
        }
        self.send_off()?;
        way.iter().rev().try_for_each(|dir| self.run.leave(dir))
    }

    /// The folder itself.
    fn enter_root(
        &self,
        above: &Arc<Dir>,
        name: Option<&[u8]>,
        snapshot: &Snapshot,
    ) -> Result<Arc<Dir>, RestoreError> {
        let attributes = &snapshot.root.attributes;
        let handle = match name {
            None => self.run.target.root(),
            Some(name) => {
                let entered = self.run.target.enter_dir(&above.handle, name);
                entered.map_err(|error| self.run.no_way(error))?
            }
        };
        let finish = finish(self.selection.standing(b""));
        Ok(self.entered(handle, above, attributes, finish))
    }

    fn entered(
        &self,
        handle: DirHandle,
        above: &Arc<Dir>,
        attributes: &Attributes,
        finish: Finish,
    ) -> Arc<Dir> {
        count(&self.run.counters.directories, 1);
        if finish == Finish::Set {
            self.run.target.shut(&handle, attributes);
        }
        let seat = self.run.room.directory();
        Dir::enter(handle, Some(above), Some(attributes.clone()), finish, seat)
    }

    /// A directory above the folder.
    fn passed(&self, handle: DirHandle, above: Option<&Arc<Dir>>) -> Arc<Dir> {
        Dir::enter(handle, above, None, Finish::Leave, self.run.room.directory())
    }

    /// Waits, when too much is open, until some of it is done.
    fn make_room(&mut self) -> Result<(), RestoreError> {
        if self.run.room.is_free() {
            return Ok(());
        }
        // Whatever is waited for must be on its way.
        self.send_off()?;
        self.run.room.wait(|| self.run.check())
    }

    fn walk(&mut self, node: ChunkId, root: Arc<Dir>) -> Result<(), RestoreError> {
        let run = self.run;
        let mut walk = Walk::new(node);
        // `None` for a directory that is left out.
        let mut open: Vec<Option<Arc<Dir>>> = vec![Some(root)];
        loop {
            run.check()?;
            let step = walk.next_step(&mut |id, kind| run.chunk(id, kind));
            let is_left_out = match step {
                Ok(None) => return Ok(()),
                Ok(Some(Step::Enter { path, entry })) => {
                    let above = open.last().cloned().flatten();
                    let dir = match above {
                        Some(above) => self.enter(&above, path, entry)?,
                        None => None,
                    };
                    let is_left_out = dir.is_none();
                    open.push(dir);
                    is_left_out
                }
                Ok(Some(Step::Leave { .. })) => {
                    if let Some(Some(dir)) = open.pop() {
                        run.leave(&dir)?;
                    }
                    false
                }
                Ok(Some(Step::Entry { path, entry })) => {
                    if let Some(Some(dir)) = open.last()
                        && self.selection.standing(path) == Standing::Whole
                    {
                        let dir = Arc::clone(dir);
                        self.entry(&dir, entry)?;
                    }
                    false
                }
                Err(error) => {
                    if let Some(Some(dir)) = open.last() {
                        self.unreadable(dir, error)?;
                    }
                    true
                }
            };
            if is_left_out {
                walk.skip();
            }
        }
    }

    /// Some entries of a directory cannot be read: it is said, the rest goes on.
    fn unreadable(&self, dir: &Dir, error: ReadError<EngineError>) -> Result<(), RestoreError> {
        let lack = match error {
            ReadError::Fetch(error) => self.run.lack(error)?,
            error => Lack::Said(one_line(&error)),
        };
        match lack {
            Lack::Said(what) => {
                let what = format!("entries of this directory are missing: {what}");
                self.run.problem(dir.handle.path(), what)
            }
            Lack::Waiting => {
                count(&self.run.counters.waiting_files, 1);
                Ok(())
            }
        }
    }

    fn enter(
        &mut self,
        above: &Arc<Dir>,
        path: &[u8],
        entry: &Entry,
    ) -> Result<Option<Arc<Dir>>, RestoreError> {
        let standing = self.selection.standing(path);
        if standing == Standing::Outside {
            return Ok(None);
        }
        self.make_room()?;
        match self.run.target.enter_dir(&above.handle, &entry.name) {
            Ok(handle) => {
                Ok(Some(self.entered(handle, above, &entry.attributes, finish(standing))))
            }
            Err(error) => {
                self.run.refused(&above.path_of(&entry.name), &error)?;
                Ok(None)
            }
        }
    }

    /// Anything but a directory.
    fn entry(&mut self, dir: &Arc<Dir>, entry: Entry) -> Result<(), RestoreError> {
        let Some(entry) = self.linked(dir, entry)? else { return Ok(()) };
        let Entry { name, kind, attributes } = entry;
        let special = match &kind {
            Kind::File { bytes, content } => {
                return self.file(dir, name.into(), (*bytes, content), attributes);
            }
            Kind::Directory { .. } => return Ok(()),
            Kind::Symlink { target } => Special::Symlink(target),
            Kind::Fifo => Special::Fifo,
            Kind::Socket => Special::Socket,
            Kind::CharDevice { device } => Special::CharDevice(*device),
            Kind::BlockDevice { device } => Special::BlockDevice(*device),
        };
        let run = self.run;
        count(&run.counters.done_files, 1);
        match run.target.make_special(&dir.handle, &name, special, &attributes) {
            Ok(Made::New) => count(&run.counters.files_written, 1),
            Ok(Made::Unchanged) => count(&run.counters.files_same, 1),
            Ok(Made::Kept) => {
                count(&run.counters.files_left, 1);
                return Ok(());
            }
            Ok(Made::Lacking) => return Ok(()),
            Err(error) => return run.refused(&dir.path_of(&name), &error),
        }
        if let Some(links) = self.first_of_links(dir, &name, &attributes) {
            run.settle_links(&links, true)?;
        }
        Ok(())
    }

    /// Makes a link if an earlier entry is the same file; else gives the entry back.
    fn linked(&mut self, dir: &Arc<Dir>, entry: Entry) -> Result<Option<Entry>, RestoreError> {
        let (Some(identity), 2..) = (entry.attributes.identity, entry.attributes.links) else {
            return Ok(Some(entry));
        };
        let Some((links, left)) = self.links.get_mut(&identity) else { return Ok(Some(entry)) };
        let links = Arc::clone(links);
        if links.are_given_up() {
            // The first name cannot be placed; the bytes may well be there. This one is the first.
            self.links.remove(&identity);
            return Ok(Some(entry));
        }
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.links.remove(&identity);
        }
        let mut bytes = 0;
        if let Kind::File { bytes: length, content } = &entry.kind {
            bytes = *length;
            self.pass_over(content, bytes)?;
        }
        let (dir, name) = (Arc::clone(dir), entry.name.into());
        let link = Link { dir, name, bytes, attributes: entry.attributes };
        self.run.link(&links, link)?;
        Ok(None)
    }

    /// Remembers an entry of which more names are to come.
    fn first_of_links(
        &mut self,
        dir: &Dir,
        name: &[u8],
        attributes: &Attributes,
    ) -> Option<Arc<Links>> {
        let (Some(identity), 2..) = (attributes.identity, attributes.links) else { return None };
        let links = Links::new(dir.path_of(name));
        self.links.insert(identity, (Arc::clone(&links), attributes.links - 1));
        Some(links)
    }

    fn file(
        &mut self,
        dir: &Arc<Dir>,
        name: Vec<u8>,
        (bytes, content): (u64, &Content),
        attributes: Attributes,
    ) -> Result<(), RestoreError> {
        let run = self.run;
        let plan = match run.target.plan_file(&dir.handle, &name, bytes, &attributes) {
            Ok(Plan::Keep) => {
                count(&run.counters.files_left, 1);
                count(&run.counters.done_files, 1);
                return self.pass_over_done(content, bytes);
            }
            Err(error) => {
                run.refused(&dir.path_of(&name), &error)?;
                count(&run.counters.done_files, 1);
                return self.pass_over_done(content, bytes);
            }
            Ok(plan) => plan,
        };
        self.make_room()?;
        let links = self.first_of_links(dir, &name, &attributes);
        let file = File::begin(dir, name, bytes, attributes, links);
        if plan == Plan::Unchanged {
            match file.place(&run.target) {
                Ok(Place::None) => {
                    self.pass_over_done(content, bytes)?;
                    return run.release(&file);
                }
                Ok(Place::Part(part)) => drop(part),
                Err(error) => run.give_up_refused(&file, &error)?,
            }
        }
        self.pieces(&file, content)?;
        if self.window.is_full() {
            self.send_off()?;
        }
        Ok(())
    }

    /// Says which bytes of a file are wanted; what is there already is not.
    fn pieces(&mut self, file: &Arc<File>, content: &Content) -> Result<(), RestoreError> {
        let run = self.run;
        let existing = run.target.open_existing(&file.dir.handle, &file.name).ok().flatten();
        if existing.is_some() || run.target.has_part(&file.dir.handle, &file.name) {
            self.compare(file, content, existing)?;
            return run.release(file);
        }
        let mut extents = ExtentCursor::new(content, file.bytes);
        let (mut at, mut wanted) = (0, 0);
        while let Some(extent) = self.next(&mut extents, file)? {
            wanted += u64::from(self.want(file, at, &extent)?);
            at += extent.bytes();
        }
        if wanted > 0 || file.is_given_up() {
            return run.release(file);
        }
        // The planner's own hold on the file goes with it.
        self.jobs.send(Job::Bare(Arc::clone(file))).map_err(|_| RestoreError::Stopped)
    }

    /// The next extent; none after an error, which gives the file up.
    pub(super) fn next(
        &self,
        extents: &mut ExtentCursor,
        file: &File,
    ) -> Result<Option<Extent>, RestoreError> {
        let run = self.run;
        let lack = match extents.next_extent(&mut |id, kind| run.chunk(id, kind)) {
            Ok(extent) => return Ok(extent),
            Err(ReadError::Fetch(error)) => run.lack(error)?,
            Err(error) => Lack::Said(one_line(&error)),
        };
        run.give_up(file, &lack)?;
        Ok(None)
    }

    /// Wants an extent; false for a hole.
    pub(super) fn want(
        &mut self,
        file: &Arc<File>,
        at: u64,
        extent: &Extent,
    ) -> Result<bool, RestoreError> {
        let Some((chunk, from, bytes)) = chunk_of(extent) else {
            count(&self.run.counters.done_bytes, extent.bytes());
            return Ok(false);
        };
        self.window.add(chunk, Piece { file: Arc::clone(file), at, from, bytes });
        // A file may be larger than any window.
        if self.window.is_full() {
            self.send_off()?;
        }
        Ok(true)
    }

    fn send_off(&mut self) -> Result<(), RestoreError> {
        for group in self.window.take(self.run)? {
            self.groups.send(group).map_err(|_| RestoreError::Stopped)?;
        }
        Ok(())
    }

    pub(super) fn pass_over_done(&self, content: &Content, bytes: u64) -> Result<(), RestoreError> {
        count(&self.run.counters.done_bytes, bytes);
        self.pass_over(content, bytes)
    }

    /// None of a file's pieces are wanted after all.
    fn pass_over(&self, content: &Content, bytes: u64) -> Result<(), RestoreError> {
        if !self.run.uses.are_counted() {
            return Ok(());
        }
        let run = self.run;
        let mut extents = ExtentCursor::new(content, bytes);
        // What cannot be read was not counted either.
        while let Ok(Some(extent)) = extents.next_extent(&mut |id, kind| run.chunk(id, kind)) {
            self.not_wanted(&extent)?;
        }
        Ok(())
    }

    /// An extent is not wanted after all.
    pub(super) fn not_wanted(&self, extent: &Extent) -> Result<(), RestoreError> {
        if self.run.uses.are_counted()
            && let Some((chunk, _, _)) = chunk_of(extent)
            && let Some((pack, _)) = self.run.core.state.place_of(&chunk)?
        {
            self.run.used(pack, 1);
        }
        Ok(())
    }
}

const fn finish(standing: Standing) -> Finish {
    match standing {
        Standing::Whole => Finish::Set,
        Standing::Above | Standing::Outside => Finish::IfNew,
    }
}
