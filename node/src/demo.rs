//! `larder demo`: the whole promise in two minutes, with real processes on this machine.
//!
//! Five homes in a temporary directory, each a process of this very program that knows nothing of
//! the others but what goes over loopback: the story is told by what they answer, and checked by
//! comparing trees with code that shares nothing with the backup. It never writes to the folder
//! that it backs up.

mod compare;
mod stage;
mod story;
mod tree;

use std::{fs, path::PathBuf};

use clap::Args;
use serde::Serialize;

use crate::command::Failure;

/// Arguments of `larder demo`.
#[derive(Debug, Args)]
#[command(after_help = "Needs room for about four times the folder in the temporary directory.

Examples:
  larder demo                   a generated tree with every kind of file
  larder demo ~/Documents       a folder of yours; it is only read
  larder demo /usr/share --work /var/tmp")]
pub struct DemoArguments {
    /// Folder to back up and restore; a generated one when none is given
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Where to put the homes and the restored folder [default: the temporary directory]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Leave homes and restored folder there in the end
    #[arg(long)]
    keep: bool,
}

/// What happened, in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DemoReport {
    /// Entries of the folder, directories included.
    pub entries: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// From the start of the backup until it was safe at both holders.
    pub backup_ms: u64,
    /// Bytes that the source sent.
    pub sent_bytes: u64,
    /// The same for a second backup after one small file was added; `null` for a folder of yours.
    pub second_sent_bytes: Option<u64>,
    /// How long the second backup took.
    pub second_ms: Option<u64>,
    /// Times that a text of the folder was found in what the holders keep. 0, or something is wrong.
    pub canaries_found: u64,
    /// From the phrase to being a device of the vault.
    pub recover_ms: u64,
    /// How long the restore took.
    pub restore_ms: u64,
    /// Bytes that the restore fetched.
    pub fetched_bytes: u64,
    /// Differences between the folder and the restored one. 0, or something is wrong.
    pub differences: u64,
    /// Everything together.
    pub total_ms: u64,
}

/// Runs the demonstration; `say` gets one line at a time.
///
/// # Errors
/// When a process fails, or the restored folder differs.
pub fn run(arguments: &DemoArguments, say: &mut dyn FnMut(&str)) -> Result<DemoReport, Failure> {
    let base = arguments.work.clone().unwrap_or_else(std::env::temp_dir);
    fs::create_dir_all(&base)
        .map_err(|error| Failure::from_error(format!("cannot make {}", base.display()), &error))?;
    let work =
        tempfile::Builder::new().prefix("larder-demo-").tempdir_in(&base).map_err(|error| {
            Failure::from_error(format!("cannot make a directory in {}", base.display()), &error)
                .hint("name a directory that you can write to with --work")
        })?;
    let root = work.path().to_owned();
    if arguments.keep {
        // From here on it stays, also when something fails: that is what one wants to look at.
        let kept = work.keep();
        say(&format!("everything stays in {}", kept.display()));
        return story::tell(&kept, arguments.folder.as_deref(), say);
    }
    story::tell(&root, arguments.folder.as_deref(), say)
}
