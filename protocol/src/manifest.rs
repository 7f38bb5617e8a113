//! A manifest: what one device has in store. Named by the device's head; replaced as a whole.
//!
//! It is the first chunk of its own metadata pack, the commit pack, in which index segments may
//! stand as well. Source: specs/manifest.md.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::{ChunkId, DeviceId},
    index::{ChunkKind, Location, Segment, ShardRef},
    limits::{CHUNK_BYTES_MAX, PATH_BYTES_MAX, SEGMENT_BYTES_SMALL, SEGMENTS_SMALL_MAX},
    peer::PeerRecord,
    snapshot::{AUTOMATIC, PINNED, Snapshot},
    time::Timestamp,
};

/// The one version of manifests so far.
pub const VERSION: u16 = 1;

/// A manifest, as it stands in a chunk of kind Manifest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Manifest {
    /// Version of this record.
    #[n(0)]
    pub version: u16,
    /// Whose it is.
    #[n(1)]
    pub device: DeviceId,
    /// Number of the head that names it, from 1.
    #[n(2)]
    pub seq: u64,
    /// Its snapshots, oldest first.
    #[n(3)]
    pub snapshots: Vec<SnapshotSummary>,
    /// Index segments in other packs. The segments in the commit pack itself are not named
    /// here, for its root depends on this record: they are found by its footer.
    #[n(4)]
    pub segments: Vec<Location>,
    /// The circle as this device knows it.
    #[n(5)]
    pub peers: Vec<PeerRecord>,
    /// Snapshots that were forgotten, ascending: they are not shown and hold nothing back. Written
    /// by earlier versions; this one leaves their summaries out instead.
    #[n(6)]
    pub forgotten: Vec<ChunkId>,
}

/// Enough of a snapshot to list it without fetching it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SnapshotSummary {
    /// The snapshot's chunk.
    #[n(0)]
    pub id: ChunkId,
    /// The device whose folder it was.
    #[n(1)]
    pub device: DeviceId,
    /// Absolute path of the folder there.
    #[n(2)]
    pub root_path: ByteVec,
    /// When its walk began.
    #[n(3)]
    pub started: Timestamp,
    /// Regular files.
    #[n(4)]
    pub files: u64,
    /// Sum of their lengths.
    #[n(5)]
    pub bytes: u64,
    /// False for a checkpoint.
    #[n(6)]
    pub complete: bool,
    /// Words of the user.
    #[n(7)]
    pub tags: Vec<String>,
}

/// Why a manifest was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Not a manifest.
    #[error("not a manifest")]
    Decode(#[from] DecodeError),
    /// Written by a newer program.
    #[error("a manifest of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// A segment at a place that no pack has, or a chunk of another kind.
    #[error("a manifest that names an impossible index segment")]
    Segment,
    /// A peer with a name, site or address that cannot be shown.
    #[error("a manifest that names an impossible peer")]
    Peer,
    /// A snapshot of an impossible path.
    #[error("a manifest that names a snapshot of an impossible path")]
    Path,
    /// Not the one that its head names, or with snapshots of another device.
    #[error("a manifest of another device, or not the one that its head names")]
    Author,
    /// Forgotten snapshots out of order or twice the same.
    #[error("forgotten snapshots out of order")]
    Order,
}

impl Manifest {
    /// An empty one: of a device that has backed nothing up.
    pub const fn new(device: DeviceId, seq: u64) -> Self {
        Self {
            version: VERSION,
            device,
            seq,
            snapshots: Vec::new(),
            segments: Vec::new(),
            peers: Vec::new(),
            forgotten: Vec::new(),
        }
    }

    /// Decodes a chunk of kind Manifest.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version != VERSION) {
            return Err(ManifestError::NewerVersion(version));
        }
        let manifest: Self = cbor::decode(bytes, CHUNK_BYTES_MAX)?;
        let is_segment = |location: &Location| {
            location.record.kind == ChunkKind::Index && location.is_plausible()
        };
        let is_path = |path: &ByteVec| path.len() <= PATH_BYTES_MAX && !path.contains(&0);
        if !manifest.segments.iter().all(is_segment) {
            return Err(ManifestError::Segment);
        }
        if !manifest.snapshots.iter().all(|snapshot| is_path(&snapshot.root_path)) {
            return Err(ManifestError::Path);
        }
        if !manifest.peers.iter().all(PeerRecord::is_plausible) {
            return Err(ManifestError::Peer);
        }
        if !manifest.forgotten.is_sorted_by(|a, b| a < b) {
            return Err(ManifestError::Order);
        }
        Ok(manifest)
    }

    /// Checks that this is the manifest that the head of `device` with number `seq` may name: its
    /// own, of this number, and with snapshots of this device only. What a device says of another
    /// one's folders is nobody's to believe.
    ///
    /// # Errors
    /// [`ManifestError::Author`].
    pub fn check_author(&self, device: DeviceId, seq: u64) -> Result<(), ManifestError> {
        let is_own = |snapshot: &SnapshotSummary| snapshot.device == device;
        if self.device == device && self.seq == seq && self.snapshots.iter().all(is_own) {
            Ok(())
        } else {
            Err(ManifestError::Author)
        }
    }

    /// Segments that are to be written anew as one: the small ones, once there are more than
    /// [`SEGMENTS_SMALL_MAX`] of them. Every commit adds one, and a manifest has an end.
    pub fn segments_to_merge(&self) -> Vec<Location> {
        let is_small = |location: &&Location| location.record.plain_bytes < SEGMENT_BYTES_SMALL;
        let small: Vec<Location> = self.segments.iter().filter(is_small).cloned().collect();
        if small.len() > SEGMENTS_SMALL_MAX { small } else { Vec::new() }
    }

    /// Leaves out snapshots for good: they are not named any more, by summary or by mark.
    pub fn forget(&mut self, ids: &[ChunkId]) {
        let marked = std::mem::take(&mut self.forgotten);
        self.snapshots.retain(|one| !ids.contains(&one.id) && !marked.contains(&one.id));
    }

    /// Pins snapshots, or takes their pins off.
    pub fn pin(&mut self, ids: &[ChunkId], pinned: bool) {
        for one in self.snapshots.iter_mut().filter(|one| ids.contains(&one.id)) {
            one.tags.retain(|tag| tag != PINNED);
            if pinned {
                one.tags.push(PINNED.to_owned());
            }
        }
    }

    /// Encodes. The result must be at most [`CHUNK_BYTES_MAX`] long to be stored as a chunk;
    /// that is room for some 20,000 snapshots.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// The snapshots that are not forgotten, oldest first.
    pub fn live_snapshots(&self) -> impl Iterator<Item = &SnapshotSummary> {
        self.snapshots.iter().filter(|snapshot| self.forgotten.binary_search(&snapshot.id).is_err())
    }

    /// Every pack that this manifest needs, ascending, without repetition: those of all its
    /// segments (the ones it names and the ones in its commit pack), those in which the named
    /// segments stand, and the commit pack. [`Claims::of`](crate::head::Claims::of) sums it up.
    pub fn claims<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a Segment>,
        commit: ShardRef,
    ) -> Vec<ShardRef> {
        let packs = segments.into_iter().flat_map(|segment| &segment.packs);
        let shards: BTreeSet<ShardRef> = packs
            .map(|pack| pack.shard)
            .chain(self.segments.iter().map(|location| location.shard))
            .chain([commit])
            .collect();
        shards.into_iter().collect()
    }
}

impl SnapshotSummary {
    /// What a manifest says about a snapshot.
    pub fn of(id: ChunkId, snapshot: &Snapshot) -> Self {
        Self {
            id,
            device: snapshot.device,
            root_path: snapshot.root_path.clone(),
            started: snapshot.started,
            files: snapshot.files,
            bytes: snapshot.bytes,
            complete: snapshot.complete,
            tags: snapshot.tags.clone(),
        }
    }

    /// Whether its device made it by itself, and nobody asked for it.
    pub fn is_automatic(&self) -> bool {
        self.tags.iter().any(|tag| tag == AUTOMATIC)
    }

    /// Whether it stays whatever the rules are.
    pub fn is_pinned(&self) -> bool {
        self.tags.iter().any(|tag| tag == PINNED)
    }
}

#[cfg(test)]
pub(crate) mod tests;
