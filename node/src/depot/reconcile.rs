//! Clearing up when a depot opens: temporary files go, rows and files are brought together.
//!
//! A row without its file is never dropped: it becomes "missing" and is reported, for a receipt may
//! stand for it. A file without a row was never acknowledged (the row is durable before the
//! receipt), so it goes; but not while the table says that earlier rows were lost. That is noted when
//! a table is made where shard files are, and stands until every file has a row again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::ffi::OsStrExt,
};

use larder_protocol::{
    ids::{ShardRoot, VaultId},
    index::ShardRef,
};
use tracing::warn;

use super::{
    Depot, DepotError, ShardRow, ShardState, Total,
    disk::{self, Named},
    error::is_damage,
    shard::{BLOCK, Shard},
};

/// What was found and done when a depot opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Temporary files of an interrupted run, removed.
    pub temps_removed: u64,
    /// Shard or outboard files that no row named, removed.
    pub orphans_removed: u64,
    /// Shards whose files are kept without a row, because the rows were lost.
    pub unclaimed: u64,
    /// Directories of shards that could not be listed; nothing was done in them.
    pub unlisted: u64,
    /// Files that the depot never writes, left alone.
    pub foreign: u64,
    /// Outboards made anew from their data.
    pub outboards_rebuilt: u64,
    /// Shards with a row but no file.
    pub missing: Vec<(ShardRoot, VaultId)>,
    /// Shards whose file has another length than their row, or does not have its root.
    pub corrupt: Vec<(ShardRoot, VaultId)>,
    /// Shards that had been missing or damaged and were found well again.
    pub returned: Vec<(ShardRoot, VaultId)>,
}

impl OpenReport {
    /// Whether nothing is wrong with any shard. Leftovers of a crash are not wrong.
    pub const fn is_well(&self) -> bool {
        self.missing.is_empty()
            && self.corrupt.is_empty()
            && self.unclaimed == 0
            && self.unlisted == 0
    }
}

/// The files of one bucket: length of the data, whether there is an outboard of which length.
#[derive(Debug, Default)]
struct Files {
    data: BTreeMap<ShardRoot, u64>,
    outboards: BTreeMap<ShardRoot, u64>,
}

pub(super) fn reconcile(depot: &Depot) -> Result<OpenReport, DepotError> {
    let mut report = OpenReport { temps_removed: remove_temps(depot)?, ..OpenReport::default() };
    // One bucket at a time: memory is bounded by the largest bucket.
    for bucket in 0..=u8::MAX {
        let files = match list(depot, bucket, &mut report) {
            Ok(files) => files,
            Err(error) => {
                // Its rows stay as they are: what is lost is found when it is read.
                warn!("directory {bucket:02x} of the depot was not looked at: {error}");
                report.unlisted += 1;
                continue;
            }
        };
        let rows = rows(depot, bucket)?;
        let known: BTreeSet<ShardRoot> = rows.iter().map(|(root, _)| *root).collect();
        for (root, row) in &rows {
            check_row(depot, root, row, &files, &mut report)?;
        }
        remove_orphans(depot, &files, &known, &mut report);
    }
    if depot.inner.table.rows_lost() && report.unclaimed == 0 && report.unlisted == 0 {
        depot.inner.table.rows_found()?;
    }
    Ok(report)
}

/// Shard files without a row, while rows are lost.
pub(super) fn unclaimed(depot: &Depot) -> Result<Total, DepotError> {
    let mut total = Total::default();
    if !depot.inner.table.rows_lost() {
        return Ok(total);
    }
    for bucket in 0..=u8::MAX {
        // Files first: one that is stored in between has its row by then.
        let files = list(depot, bucket, &mut OpenReport::default())?;
        let known: BTreeSet<ShardRoot> =
            rows(depot, bucket)?.iter().map(|(root, _)| *root).collect();
        for (_, bytes) in files.data.iter().filter(|(root, _)| !known.contains(root)) {
            total.shards += 1;
            total.bytes = total.bytes.saturating_add(*bytes);
        }
    }
    Ok(total)
}

fn rows(depot: &Depot, bucket: u8) -> Result<Vec<(ShardRoot, ShardRow)>, DepotError> {
    let mut rows = Vec::new();
    let (mut low, mut high) = ([0; 64], [0xff; 64]);
    (low[0], high[0]) = (bucket, bucket);
    depot.inner.table.each(Some((low, high)), |root, row| rows.push((root, row)))?;
    Ok(rows)
}

fn remove_temps(depot: &Depot) -> Result<u64, DepotError> {
    let mut removed = 0;
    let listed = DepotError::disk("list temporary files");
    for entry in fs::read_dir(depot.inner.layout.temps()).map_err(&listed)? {
        disk::remove_if_there(&entry.map_err(&listed)?.path())?;
        removed += 1;
    }
    Ok(removed)
}

fn list(depot: &Depot, bucket: u8, report: &mut OpenReport) -> Result<Files, DepotError> {
    let listed = DepotError::disk("list shards");
    let mut files = Files::default();
    for entry in fs::read_dir(depot.inner.layout.bucket(bucket)).map_err(&listed)? {
        let entry = entry.map_err(&listed)?;
        let bytes = match entry.metadata() {
            Ok(facts) => facts.len(),
            // There by name alone: no shard has this length, so its row becomes corrupt.
            Err(error) if is_damage(&error) => u64::MAX,
            Err(error) => return Err(listed(error)),
        };
        let name = entry.file_name();
        match std::str::from_utf8(name.as_bytes()).map(|name| Named::parse(bucket, name)) {
            Ok(Named::Data(root)) => drop(files.data.insert(root, bytes)),
            Ok(Named::Outboard(root)) => drop(files.outboards.insert(root, bytes)),
            Ok(Named::Foreign) | Err(_) => report.foreign += 1,
        }
    }
    Ok(files)
}

fn check_row(
    depot: &Depot,
    root: &ShardRoot,
    row: &ShardRow,
    files: &Files,
    report: &mut OpenReport,
) -> Result<(), DepotError> {
    let shard = ShardRef { root: *root, bytes: row.bytes };
    let state = match files.data.get(root) {
        None => ShardState::Missing,
        Some(bytes) if *bytes != row.bytes => ShardState::Corrupt,
        // Somebody put the file back, or the disk healed: only reading it can tell.
        Some(_) if row.state != ShardState::Ok => {
            match Shard::examine(&depot.inner.layout, shard) {
                Ok(bad) if bad.is_empty() => ShardState::Ok,
                Ok(_) => ShardState::Corrupt,
                Err(error) => judged(row, &error),
            }
        }
        Some(_) => check_outboard(depot, row, shard, files, report),
    };
    match state {
        ShardState::Ok if row.state != state => report.returned.push((*root, row.vault)),
        ShardState::Ok => {}
        ShardState::Missing => report.missing.push((*root, row.vault)),
        ShardState::Corrupt => report.corrupt.push((*root, row.vault)),
    }
    match depot.mark(root, state) {
        // A disk that is full is no reason to stay closed: it is found again at the next start.
        Err(DepotError::NoSpace) => {
            warn!(shard = %root.short(), "no space to note that it is {state:?}");
            Ok(())
        }
        marked => marked,
    }
}

/// What an error of looking at one shard says of it. Any but damage and absence says nothing: one
/// file that cannot be looked at now must not keep the whole depot closed.
fn judged(row: &ShardRow, error: &DepotError) -> ShardState {
    match error {
        DepotError::Corrupt(_) => ShardState::Corrupt,
        DepotError::Missing(_) => ShardState::Missing,
        error => {
            warn!("a shard could not be looked at: {error}");
            row.state
        }
    }
}

fn check_outboard(
    depot: &Depot,
    row: &ShardRow,
    shard: ShardRef,
    files: &Files,
    report: &mut OpenReport,
) -> ShardState {
    let expected = bao_tree::BaoTree::new(shard.bytes, BLOCK).outboard_size();
    if expected == 0 || files.outboards.get(&shard.root) == Some(&expected) {
        return ShardState::Ok;
    }
    match Shard::open(&depot.inner.layout, shard) {
        Ok(_) => {
            report.outboards_rebuilt += 1;
            ShardState::Ok
        }
        Err(error) => judged(row, &error),
    }
}

fn remove_orphans(
    depot: &Depot,
    files: &Files,
    known: &BTreeSet<ShardRoot>,
    report: &mut OpenReport,
) {
    let names: BTreeSet<&ShardRoot> = files.data.keys().chain(files.outboards.keys()).collect();
    for root in names.into_iter().filter(|root| !known.contains(root)) {
        if depot.inner.table.rows_lost() {
            report.unclaimed += 1;
            continue;
        }
        match depot.inner.layout.unlink(root) {
            Ok(()) => report.orphans_removed += 1,
            // It takes room, no more.
            Err(error) => warn!(shard = %root.short(), "a left-over file stays: {error}"),
        }
    }
}
