//! Real file systems: walking and reading a folder, and writing a restored one.
//!
//! Knows names, attributes and bytes; knows nothing of chunks, packs or the network. All work is
//! relative to open directories and follows no symlink, so that paths may be longer than
//! `PATH_MAX` and a tree that changes meanwhile cannot lead outside. Source: specs/files.md.
//!
//! **Invariant:** nothing is left out in silence: what cannot be recorded is an event of the walk,
//! what cannot be restored is a [`Shortfall`] of the target.

mod directory;
mod exclude;
mod names;
mod reader;
mod status;
mod target;
#[cfg(test)]
pub(crate) mod testing;
mod walk;
mod xattr;

pub use self::{
    directory::{Directory, DirectoryKey},
    exclude::{PatternError, check_patterns},
    names::{NameError, check_name, is_part_name, part_name},
    reader::{FileReader, Finished, Piece, ReadError, Verdict},
    status::Stamp,
    target::{
        Begun, DirHandle, ExistingFile, Lack, Made, PartFile, Placed, Plan, Policy, Shortfall,
        Shortfalls, Special, Target, TargetError, TargetOptions, called,
    },
    walk::{
        Event, Found, Options as WalkOptions, Recollection, Remembered, Remembers, Trace, Walk,
        WalkError, What, Why,
    },
};
