//! The devices of the vault.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{
    ids::DeviceId,
    log::{Reason, Removed, entry::Author},
    time::Timestamp,
};

use super::super::{Core, EngineError, clock::wall, look, names, on_disk};
use crate::command::{Device, DevicesOutcome, Failure, Outcome, Removal, RemovalReason, Time};

/// Lists devices in the order in which they were added.
pub(crate) async fn devices(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let reading = Arc::clone(core);
    let devices = on_disk(move || {
        let core = &reading;
        let names = look::device_names(core, &member);
        let (mut added, mut heads) = (BTreeMap::new(), BTreeMap::new());
        let mut roles = BTreeMap::new();
        let mut removed: BTreeMap<DeviceId, Removed> = BTreeMap::new();
        if let Some(known) = core.vaults.read().get(&member.vault) {
            removed.extend(known.log().removed().map(|(id, removed)| (id, *removed)));
            let is_shown =
                |id: &DeviceId| known.log().is_device(id) || known.log().removal_of(id).is_some();
            for device in known.log().all_devices().filter(|it| is_shown(&it.public.id)) {
                let id = device.public.id;
                // Within one second the founder comes first.
                let is_founder = device.entry.as_bytes() == member.vault.as_bytes();
                added.insert(id, (device.added, !is_founder));
                roles.insert(id, device.role);
                heads.insert(id, known.heads().highest(&id).map(|head| head.body().time));
            }
        }
        let mut snapshots: BTreeMap<DeviceId, Timestamp> = BTreeMap::new();
        for snapshot in names::live_snapshots(core)? {
            let newest = snapshots.entry(snapshot.device).or_default();
            *newest = (*newest).max(snapshot.started);
        }
        let own = core.keys.id();
        let mut order: Vec<((Timestamp, bool), DeviceId)> =
            added.into_iter().map(|(id, added)| (added, id)).collect();
        order.sort_unstable();
        let mut devices = Vec::with_capacity(order.len());
        for ((added, _), id) in order {
            let met = core.state.peer(&id)?.map(|peer| Timestamp(peer.last_seen));
            // A head tells as well that its device was alive then.
            let seen = met.max(heads.get(&id).copied().flatten());
            let seen = if id == own { Some(wall()) } else { seen };
            devices.push(Device {
                device: id.to_string(),
                name: names.get(&id).cloned().unwrap_or_else(|| id.short()),
                this: id == own,
                role: roles.get(&id).copied().unwrap_or_default().into(),
                added: Some(added.into()),
                last_seen: seen.filter(|seen| seen.0 > 0).map(Time::from),
                last_snapshot: snapshots.get(&id).copied().map(Time::from),
                removed: removed.get(&id).map(|removed| removal(removed, &names)),
            });
        }
        Ok::<_, EngineError>(devices)
    })
    .await?;
    Ok(Outcome::Devices(DevicesOutcome { devices }))
}

fn removal(removed: &Removed, names: &BTreeMap<DeviceId, String>) -> Removal {
    let by = match removed.by {
        Author::Device(device) => {
            Some(names.get(&device).cloned().unwrap_or_else(|| device.short()))
        }
        Author::Recovery => None,
    };
    let reason = match removed.reason {
        Reason::Lost => RemovalReason::Lost,
        Reason::Stolen => RemovalReason::Stolen,
        Reason::Replaced => RemovalReason::Replaced,
    };
    Removal { reason, at: Some(Time::from(removed.time)), by }
}
