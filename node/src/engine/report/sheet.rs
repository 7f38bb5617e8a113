//! What a recovery sheet says: who keeps the vault, where they are, and how new what comes back must be.
//!
//! Nothing here knows the phrase. Whoever prints it on the sheet compares it with the public keys in
//! [`SheetAside`], which the device log vouches for. Source: specs/sheet.md.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use larder_protocol::{
    cbor,
    head::SignedHead,
    placing::{Condition, HolderStatus},
    relaying::RelayAddress,
    ticket::{AddressTicket, Ticket},
    time::Timestamp,
};

use super::{
    super::{Core, EngineError, Member, clock::wall, look},
    peers::{ask_absent, placing_status},
};
use crate::{
    command::{
        EventSink, Failure, Level, Outcome, Progress, Secret, SheetAside, SheetDevice, SheetHolder,
        SheetOutcome, Stage, Time,
    },
    state::circle::PeerRow,
};

/// Addresses in a ticket on paper: more make a text that nobody types and a square that no phone reads.
const ADDRESSES_MAX: usize = 4;
/// A holder that was silent for longer comes after those that were not.
const LATELY_S: u64 = 7 * 86_400;

/// Gathers what is on the sheet.
pub(crate) async fn sheet(core: &Arc<Core>, events: &EventSink) -> Result<Outcome, Failure> {
    let member = core.member()?;
    events.progress(Progress::new(Stage::Asking));
    let status = placing_status(core).await?;
    // Who is there now comes first on the sheet.
    ask_absent(core, status.as_ref()).await?;
    let mut keeping = Vec::new();
    for peer in core.state.peers().map_err(EngineError::from)? {
        let holder = status.as_ref().and_then(|status| status.holders.get(&peer.device));
        let keeps = |holder: &&HolderStatus| {
            holder.kept_packs > 0 && holder.condition != Condition::Distrusted
        };
        keeping.extend(holder.filter(keeps).map(|holder| (peer, holder)));
    }
    let (own_site, now) = (core.own_site(), wall());
    keeping.sort_by_cached_key(|(peer, holder)| usefulness(peer, holder, &own_site, now));
    if keeping.is_empty() {
        events.notice(
            Level::Warning,
            "nobody keeps anything of this vault yet: the sheet brings nothing back. Pair with \
             somebody (`larder invite`), back up, and make it anew",
        );
    }
    let log = core.log_of(&member.vault)?;
    let aside = SheetAside {
        recovery: HEXLOWER.encode(&cbor::encode(log.recovery())),
        relays: core.relays.iter().map(|relay| Secret::new(relay.to_secret_text())).collect(),
    };
    Ok(Outcome::Sheet(SheetOutcome {
        vault: member.vault.to_string(),
        device: core.keys.id().to_string(),
        name: core.own_name(),
        made: now.into(),
        holders: keeping.iter().map(|(peer, holder)| line(peer, holder)).collect(),
        relays: core.relays.iter().map(RelayAddress::url).collect(),
        devices: devices(core, &member)?,
        commands: SheetOutcome::commands(!core.relays.is_empty()),
        aside: Some(aside),
    }))
}

/// Least first: what stands where lightning strikes this device, what was silent for long and what is
/// presumed lost come last.
fn usefulness(
    peer: &PeerRow,
    holder: &HolderStatus,
    own_site: &str,
    now: Timestamp,
) -> impl Ord + use<> {
    (
        holder.presumed_lost,
        now.0.saturating_sub(peer.last_seen) > LATELY_S,
        peer.site == own_site,
        Reverse((holder.kept_bytes, peer.last_seen)),
        peer.device,
    )
}

fn line(peer: &PeerRow, holder: &HolderStatus) -> SheetHolder {
    let (device, vault) = (peer.device, peer.vault);
    let addresses = worth_trying(&peer.addresses);
    SheetHolder {
        device: device.to_string(),
        name: peer.name.clone(),
        site: peer.site.clone(),
        ticket: Ticket::Address(AddressTicket { device, vault, addresses }).to_text(),
        last_seen: (peer.last_seen > 0).then(|| Timestamp(peer.last_seen).into()),
        holds_bytes: holder.kept_bytes,
    }
}

/// How far an address leads, and so how long it may be of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// From anywhere, while the provider leaves it there.
    Anywhere,
    /// In one network, where it often stays for years.
    Network,
    /// A relay, or whatever else is no socket address: a hint for people.
    Hint,
}

/// The addresses for the paper: two that lead there from anywhere, two from the same network, or more
/// of what there is. Loopback leads to whoever reads the sheet: it is of use where there is nothing else.
fn worth_trying(addresses: &[String]) -> Vec<String> {
    let ip = |text: &String| text.parse().ok().map(|it: SocketAddr| it.ip().to_canonical());
    let is_near = |text: &&String| ip(text).is_some_and(|ip| ip.is_loopback());
    let (near, far): (Vec<&String>, Vec<&String>) = addresses.iter().partition(is_near);
    let mut seen: BTreeMap<Reach, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = if far.is_empty() { near } else { far }
        .into_iter()
        .map(|text| {
            let reach = ip(text).map_or(Reach::Hint, reach);
            let before = seen.entry(reach).or_default();
            *before += 1;
            (before.div_ceil(2), reach, text)
        })
        .collect();
    ranked.sort_by_key(|(round, reach, _)| (*round, *reach));
    ranked.into_iter().take(ADDRESSES_MAX).map(|(_, _, text)| text.clone()).collect()
}

fn reach(ip: IpAddr) -> Reach {
    let stays_near = match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    };
    if stays_near { Reach::Network } else { Reach::Anywhere }
}

/// The devices that belong to the vault, in the order in which they were added.
fn devices(core: &Core, member: &Member) -> Result<Vec<SheetDevice>, EngineError> {
    let names = look::device_names(core, member);
    let mut heads = Vec::new();
    if let Some(known) = core.vaults.read().get(&member.vault) {
        for device in known.log().devices() {
            let head = known.heads().highest(&device.public.id).cloned();
            // Within one second the founder comes first.
            let is_founder = device.entry.as_bytes() == member.vault.as_bytes();
            heads.push(((device.added, !is_founder, device.public.id), head));
        }
    }
    heads.sort_by_key(|(order, _)| *order);
    let own = core.keys.id();
    let mut devices = Vec::with_capacity(heads.len());
    for ((_, _, id), newest) in heads {
        let (head, time) = if id == own {
            published(core, newest.as_ref())?
        } else {
            (newest.as_ref().map(|head| head.body().seq), newest.map(|head| head.body().time))
        };
        devices.push(SheetDevice {
            device: id.to_string(),
            name: names.get(&id).cloned().unwrap_or_else(|| id.short()),
            head,
            time: time.map(Time::from),
        });
    }
    Ok(devices)
}

/// Number and time of this device's newest state that holders have: a newer one that waits to be sent
/// would be lost with this device, and whoever missed it would think that something is hidden.
fn published(
    core: &Core,
    newest: Option<&SignedHead>,
) -> Result<(Option<u64>, Option<Timestamp>), EngineError> {
    let seq = core.state.published_seq()?;
    let kept = core.state.own_head(seq)?.map(|head| SignedHead::decode(&head)).transpose()?;
    let head = newest.filter(|head| head.body().seq == seq).or(kept.as_ref());
    Ok(((seq > 0).then_some(seq), head.map(|head| head.body().time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // SHEET-9
    #[test]
    fn a_ticket_on_paper_has_the_addresses_that_are_most_likely_to_last() {
        let tried = |addresses: &[&str]| {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            worth_trying(&addresses)
        };
        assert_eq!(tried(&["127.0.0.1:1", "[::1]:1"]), ["127.0.0.1:1", "[::1]:1"]);
        let relay = "https://relay.example.org:8443";
        assert_eq!(tried(&["127.0.0.1:1", relay, "10.0.0.1:1"]), ["10.0.0.1:1", relay]);
        let all = [
            "[2001:db8::1]:1",
            "[2001:db8::2]:1",
            "[2001:db8::3]:1",
            "[fd00::1]:1",
            "192.168.1.2:1",
            "172.17.0.1:1",
            relay,
        ];
        assert_eq!(tried(&all), [all[0], all[1], all[3], all[4]]);
        assert_eq!(tried(&all[..4]), [all[0], all[1], all[3], all[2]]);
    }
}
