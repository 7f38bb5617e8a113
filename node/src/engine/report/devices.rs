//! The devices of the vault.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{ids::DeviceId, time::Timestamp};

use super::super::{Core, EngineError, clock::wall, look, names, on_disk};
use crate::command::{Device, DevicesOutcome, Failure, Outcome, Time};

/// Lists devices in the order in which they were added.
pub(crate) async fn devices(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let reading = Arc::clone(core);
    let devices = on_disk(move || {
        let core = &reading;
        let names = look::device_names(core, &member);
        let (mut added, mut heads) = (BTreeMap::new(), BTreeMap::new());
        if let Some(known) = core.vaults.read().get(&member.vault) {
            for device in known.log().devices() {
                let id = device.public.id;
                // Within one second the founder comes first.
                let is_founder = device.entry.as_bytes() == member.vault.as_bytes();
                added.insert(id, (device.added, !is_founder));
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
                added: Some(added.into()),
                last_seen: seen.filter(|seen| seen.0 > 0).map(Time::from),
                last_snapshot: snapshots.get(&id).copied().map(Time::from),
            });
        }
        Ok::<_, EngineError>(devices)
    })
    .await?;
    Ok(Outcome::Devices(DevicesOutcome { devices }))
}
