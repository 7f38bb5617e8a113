//! Which snapshot a name came down to, said to whoever asked.
//!
//! `latest` is one snapshot of one folder of one device, whichever was saved last: whoever has
//! several is told which it is, and how to name the others.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{ids::DeviceId, manifest::SnapshotSummary};

use super::{
    super::{Core, EngineError, names},
    shelf::device_names,
};
use crate::command::{EventSink, Level, PathField, SnapshotName, SnapshotOrigin, Time};

/// Other folders that are named one by one.
const OTHERS_NAMED_MAX: usize = 10;

/// Says what `name` came down to, unless it was an id, and tells it for the document.
pub(crate) fn say_meant(
    core: &Arc<Core>,
    name: &SnapshotName,
    chosen: &SnapshotSummary,
    events: &EventSink,
) -> Result<SnapshotOrigin, EngineError> {
    let devices = device_names(core, &*core.member()?);
    let mut others = Vec::new();
    if *name == SnapshotName::Latest {
        others = names::newest_of_others(core, chosen)?;
        let (level, text) = sentence(chosen, &others, &devices);
        events.notice(level, text);
    }
    Ok(SnapshotOrigin {
        time: Time::from(chosen.started),
        device: chosen.device.to_string(),
        device_name: called(&chosen.device, &devices),
        path: PathField::new(&chosen.root_path),
        others: u64::try_from(others.len()).unwrap_or(u64::MAX),
    })
}

fn called(device: &DeviceId, names: &BTreeMap<DeviceId, String>) -> String {
    names.get(device).cloned().unwrap_or_else(|| device.short())
}

fn sentence(
    chosen: &SnapshotSummary,
    others: &[SnapshotSummary],
    devices: &BTreeMap<DeviceId, String>,
) -> (Level, String) {
    let place = |one: &SnapshotSummary| {
        let path = String::from_utf8_lossy(&one.root_path).into_owned();
        format!("{path} on {}", called(&one.device, devices))
    };
    let (id, time) = (chosen.id.short(), Time::from(chosen.started));
    let meant = format!("latest is {id}, of {} at {time}", place(chosen));
    if others.is_empty() {
        return (Level::Normal, meant);
    }
    let named = others.iter().take(OTHERS_NAMED_MAX);
    let mut list: Vec<String> =
        named.map(|one| format!("{} for {}", one.id.short(), place(one))).collect();
    if let Some(more @ 1..) = others.len().checked_sub(OTHERS_NAMED_MAX) {
        list.push(format!("{more} more, see `larder snapshots`"));
    }
    let list = list.join(", ");
    (Level::Warning, format!("{meant}, and of nothing else; to choose, name an id: {list}"))
}

#[cfg(test)]
mod tests {
    use larder_protocol::{ids::ChunkId, time::Timestamp};

    use super::*;

    fn newest(first: u8, device: u8, path: &[u8]) -> SnapshotSummary {
        SnapshotSummary {
            id: ChunkId::from_bytes([first; 32]),
            device: DeviceId::from_bytes([device; 32]),
            root_path: path.to_vec().into(),
            started: Timestamp(1_700_000_000),
            files: 1,
            bytes: 1,
            complete: true,
            tags: Vec::new(),
        }
    }

    // CLI-12
    #[test]
    fn latest_is_named_with_its_folder_and_device_and_the_others_with_their_ids() {
        let devices = [(1, "laptop"), (2, "tower")]
            .map(|(byte, name)| (DeviceId::from_bytes([byte; 32]), name.to_owned()))
            .into();
        let chosen = newest(0xa1, 1, b"/docs");
        let (level, text) = sentence(&chosen, &[], &devices);
        assert_eq!(level, Level::Normal);
        assert_eq!(text, "latest is a1a1a1a1, of /docs on laptop at 2023-11-14T22:13:20Z");
        let others = [newest(0xb1, 1, b"/mail"), newest(0xc1, 2, b"/docs")];
        let (level, text) = sentence(&chosen, &others, &devices);
        assert_eq!(level, Level::Warning);
        assert!(
            text.ends_with(
                ", and of nothing else; to choose, name an id: b1b1b1b1 for /mail on laptop, \
                 c1c1c1c1 for /docs on tower"
            ),
            "{text}"
        );
        let many: Vec<_> = (0..13).map(|byte| newest(byte, byte, b"/docs")).collect();
        let (_, text) = sentence(&chosen, &many, &devices);
        assert!(text.ends_with("3 more, see `larder snapshots`"), "{text}");
    }
}
