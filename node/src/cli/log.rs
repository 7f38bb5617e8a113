//! `log`: the audit trail, and the check of one that was written down.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use clap::Args;
use data_encoding::BASE64;
use larder_protocol::{
    ids::DeviceId,
    limits::TRAIL_ENTRIES_MAX,
    log::{DeviceLog, LogEntry},
    trail::TrailEntry,
};
use serde::{Deserialize, Serialize};

use super::{output::Output, render};
use crate::command::{ExitKind, Failure, LogLine, LogSource, Row, Time};

/// Longest document that is read: the longest device log and trail, in base64.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Args)]
#[command(
    after_help = "Two records, in one list: the device log of this vault, which all of its devices have \
    and of which each entry is signed by whoever did it; and the trail of this device, signed by \
    itself: who paired with it, who came with a phrase, what it offered. With --json each line \
    carries what was signed, so that a file of it can be checked anywhere, without this home.

Examples:
  larder log
  larder log --json > trail.json
  larder log --check trail.json"
)]
pub(super) struct LogArguments {
    /// Check the signatures and the order of a document that `larder log --json` wrote
    #[arg(long, value_name = "FILE")]
    pub(super) check: Option<PathBuf>,
}

/// What a document has to hold.
#[derive(Deserialize)]
struct Document {
    vault: String,
    device: String,
    entries: Vec<Line>,
}

/// What a line says beside what was signed, and what has to follow from that.
#[derive(Deserialize)]
struct Line {
    source: LogSource,
    time: Time,
    what: String,
    counts: bool,
    signed: String,
}

/// What a check came to.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Checked {
    vault: String,
    device: String,
    /// Entries of the device log, all of them signed and in their place.
    device_log: usize,
    /// Entries of the trail, all of them signed, none missing between the first and the last.
    trail: usize,
    /// Number of the first of them; those before it are not kept for ever.
    trail_first: u64,
    /// Number of the last.
    trail_last: u64,
    /// What was signed, in words, with ids instead of names.
    lines: Vec<String>,
}

/// Checks a document.
pub(super) fn check(path: &Path, output: &mut Output) -> Result<ExitKind, Failure> {
    let cannot = |error: io::Error| {
        Failure::from_error(format!("{} cannot be read", path.display()), &error)
    };
    let file = File::open(path).map_err(cannot)?;
    let mut text = String::new();
    io::Read::read_to_string(&mut io::Read::take(file, DOCUMENT_BYTES_MAX), &mut text)
        .map_err(cannot)?;
    let checked = checked(&text)?;
    if output.is_json() {
        output.report(&checked);
    } else {
        output.raw(told(&checked).as_bytes());
    }
    Ok(ExitKind::Done)
}

fn told(checked: &Checked) -> String {
    let Checked { vault, device, device_log, trail, trail_first, trail_last, lines } = checked;
    let short = |id: &str| id.get(..8).unwrap_or_default().to_owned();
    let (vault, device) = (short(vault), short(device));
    let mut said = String::new();
    for line in lines {
        said += line;
        said.push('\n');
    }
    said += &format!(
        "\nvault {vault}: its device log of length {device_log}, all signed and in their place\n"
    );
    said += &match trail {
        0 => format!("device {device}: nothing of its trail is in this document\n"),
        _ => format!(
            "device {device}: its trail from number {trail_first} to {trail_last}, all signed, none missing\n"
        ),
    };
    said + "what came after the last one would not be missed: compare with a later document\n"
}

/// Whether a text is a document of this kind and proves what it says.
pub fn is_valid_document(text: &str) -> bool {
    checked(text).is_ok()
}

/// What a document proves, or what is wrong with it first.
fn checked(text: &str) -> Result<Checked, Failure> {
    let wrong = |what: String| {
        Failure::failed(what).hint(
            "keep the file: it was changed, cut off, or is not what `larder log --json` wrote",
        )
    };
    let document: Document = serde_json::from_str(text)
        .map_err(|error| wrong(format!("this is no document of `larder log`: {error}")))?;
    let device = document.device.parse::<DeviceId>();
    let device = device.map_err(|_| wrong("it names no device".to_owned()))?;
    let (mut of_log, mut trail) = (Vec::new(), Vec::<TrailEntry>::new());
    for (number, Line { source, signed, .. }) in (1..).zip(&document.entries) {
        let bytes = BASE64.decode(signed.as_bytes());
        let bytes = bytes.map_err(|_| wrong(format!("line {number} is damaged")))?;
        match source {
            LogSource::DeviceLog => of_log.push(bytes),
            LogSource::Trail => trail.push(
                TrailEntry::decode(&bytes)
                    .map_err(|error| wrong(format!("line {number} of the document: {error}")))?,
            ),
        }
    }
    let log = log_of(of_log).map_err(|error| wrong(format!("the device log: {error}")))?;
    trail.sort_by_key(TrailEntry::number);
    for pair in trail.windows(2) {
        let [before, next] = pair else { continue };
        next.follows(before).map_err(|error| wrong(format!("the trail: {error}")))?;
    }
    // Only beyond so many do the oldest go.
    let first = trail.first().map_or(1, TrailEntry::number);
    if first > 1 && trail.len() < TRAIL_ENTRIES_MAX {
        return Err(wrong(format!(
            "the trail begins with number {first}: those before it are missing"
        )));
    }
    let is_of = |entry: &TrailEntry| entry.device() == device;
    let is_named = log.vault().to_string() == document.vault && log.knows(&device);
    if !is_named || !trail.iter().all(is_of) {
        return Err(wrong("what was signed is of another vault or device than it says".to_owned()));
    }
    let mut lines = Vec::with_capacity(document.entries.len());
    for (number, line) in (1..).zip(&document.entries) {
        let signed = as_signed(line, &log)
            .ok_or_else(|| wrong(format!("line {number} says something else than was signed")))?;
        lines.push(render::row(&Row::Logged(signed)));
    }
    Ok(Checked {
        vault: document.vault,
        device: document.device,
        device_log: log.len(),
        trail: trail.len(),
        trail_first: trail.first().map_or(0, TrailEntry::number),
        trail_last: trail.last().map_or(0, TrailEntry::number),
        lines,
    })
}

/// The line that follows from what was signed, if the one of the document is not another. Its sentence is
/// not compared: it has names, which nobody signed.
fn as_signed(line: &Line, log: &DeviceLog) -> Option<LogLine> {
    let (bytes, names) = (BASE64.decode(line.signed.as_bytes()).ok()?, BTreeMap::new());
    let signed = match line.source {
        LogSource::DeviceLog => {
            LogLine::of_log(&LogEntry::decode(&bytes).ok()?, log, (&names, None))
        }
        LogSource::Trail => LogLine::of_trail(&TrailEntry::decode(&bytes).ok()?, &names),
    };
    let is_same =
        (signed.time, &signed.what, signed.counts) == (line.time, &line.what, line.counts);
    is_same.then_some(signed)
}

/// A log of entries that are in the order of their times: parents may stand behind their children.
fn log_of(mut entries: Vec<Vec<u8>>) -> Result<DeviceLog, larder_protocol::log::LogError> {
    use larder_protocol::log::LogError;
    let genesis = entries.iter().position(|entry| DeviceLog::begin(entry).is_ok());
    let mut log = DeviceLog::begin(&entries.remove(genesis.ok_or(LogError::Genesis)?))?;
    while !entries.is_empty() {
        let before = entries.len();
        let mut last = None;
        entries.retain(|entry| match log.read_back(entry) {
            Ok(_) => false,
            Err(error) => {
                last = Some(error);
                true
            }
        });
        if let (true, Some(error)) = (entries.len() == before, last) {
            return Err(error);
        }
    }
    Ok(log)
}
