//! `connect`: learns where a node is, and tries it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::{
    ids::DeviceId,
    limits::ADDRESSES_MAX,
    placing::{Acquaintance, Input, Site},
    relaying::RelayAddress,
    ticket::{AddressTicket, Ticket},
};

use super::super::{Core, EngineError, contact, launch::socket_addresses, on_disk, sites};
use crate::{
    command::{ConnectOutcome, Failure, Outcome},
    state::circle::PeerRow,
};

/// How long an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Keeps the addresses of a ticket and asks there.
pub(crate) async fn connect(core: &Arc<Core>, ticket: String) -> Result<Outcome, Failure> {
    let ticket = match ticket.parse::<Ticket>() {
        Ok(Ticket::Address(ticket)) => ticket,
        Ok(Ticket::Invite(_)) => {
            return Err(Failure::usage("this is an invitation, not a ticket")
                .hint("accept it with `larder join CODE`"));
        }
        Err(error) => {
            return Err(Failure::usage(error.to_string())
                .hint("print it again on the other device with `larder ticket`"));
        }
    };
    if ticket.device == core.keys.id() {
        return Err(Failure::usage("this ticket is of this very device")
            .hint("print it on the other device, and use it here"));
    }
    let relays: Vec<RelayAddress> =
        ticket.addresses.iter().filter_map(|text| text.parse().ok()).collect();
    let is_shared = |relay: &RelayAddress| core.relays.iter().any(|own| own.url() == relay.url());
    if socket_addresses(&ticket.addresses).is_empty() && !relays.iter().any(is_shared) {
        return Err(Failure::failed("the ticket names no address")
            .hint("start `larder up` on the other device and print its ticket again"));
    }
    let device = ticket.device;
    let learning = Arc::clone(core);
    let (peer, is_new) = on_disk(move || learn(&learning, &ticket)).await?;
    core.net.forget_connections(&device);
    core.net.set_addresses(device, socket_addresses(&peer.addresses));
    if is_new && peer.is_holder {
        let (holder, site) = (device, Site(peer.site.clone()));
        let known = Input::HolderKnown { holder, site, acquaintance: peer.acquaintance() };
        core.member()?.custody()?.tell(known).await;
    }
    let rtt = tokio::time::timeout(ANSWER_TIMEOUT, greet(core, &peer)).await;
    let rtt = match rtt {
        Ok(Ok(rtt)) => Some(rtt),
        Ok(Err(error)) if error.is_refusal() => {
            return Err(Failure::failed(format!(
                "device {} is there, but does not know this one",
                device.short()
            ))
            .hint(
                "its addresses are kept; pair the two with `larder invite` there and \
                 `larder join` here",
            ));
        }
        Ok(Err(_)) | Err(_) => None,
    };
    Ok(Outcome::Connect(ConnectOutcome {
        device: device.to_string(),
        name: (peer.name != device.short()).then_some(peer.name),
        reached: rtt.is_some(),
        relays_unused: relays.iter().filter(|one| !is_shared(one)).map(RelayAddress::url).collect(),
        rtt_ms: rtt.map(|rtt| u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)),
    }))
}

/// Keeps the addresses; tells what is known of the node, and whether it was not known before.
fn learn(core: &Core, ticket: &AddressTicket) -> Result<(PeerRow, bool), EngineError> {
    let new = newcomer(core, ticket);
    let mut learnt = None;
    core.state.change_peer(&ticket.device, |known| {
        let is_new = known.is_none();
        let mut peer = known.unwrap_or(new);
        // The newest first; older ones stay as a second try.
        let mut addresses = ticket.addresses.clone();
        for old in peer.addresses {
            if !addresses.contains(&old) {
                addresses.push(old);
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        peer.addresses = addresses;
        learnt = Some((peer.clone(), is_new));
        Some(peer)
    })?;
    learnt.ok_or(EngineError::Stopped)
}

/// A device of the own vault is a holder like any other. Of a stranger, only the address is kept:
/// pairing decides what it is to us.
fn newcomer(core: &Core, ticket: &AddressTicket) -> PeerRow {
    let device = ticket.device;
    let vault = core.vaults.relation(&device).map_or(ticket.vault, |(vault, _)| vault);
    let member = core.member().ok().filter(|member| member.vault == vault);
    let label = member.as_ref().and_then(|member| {
        core.vaults.read().get(&vault)?.log().label(&device, member.keyring().all())
    });
    let unknown = || (device.short(), sites::NOT_KNOWN.to_owned());
    let (name, site) = label.map_or_else(unknown, |label| (label.name, label.site));
    let is_holder = core
        .vaults
        .read()
        .get(&vault)
        .is_some_and(|known| member.is_some() && known.log().is_device(&device));
    PeerRow {
        device,
        vault,
        name,
        site,
        addresses: Vec::new(),
        last_seen: 0,
        granted_bytes: 0,
        used_bytes: 0,
        unclaimed_bytes: 0,
        beacon_key: None,
        receiving: None,
        is_holder,
        acquaintance: Acquaintance::Named,
    }
}

/// Says hello, and measures a second one: the first includes the connecting.
async fn greet(core: &Arc<Core>, peer: &PeerRow) -> Result<Duration, EngineError> {
    let device: DeviceId = peer.device;
    contact::hello(core, device).await?;
    let begun = Instant::now();
    let standing = contact::hello(core, device).await?;
    let rtt = begun.elapsed();
    contact::note_met(core, device, standing.as_ref())?;
    if let (Ok(member), true, Some(standing)) = (core.member(), peer.is_holder, &standing)
        && standing.vault == member.vault
    {
        // Logs and heads go both ways, and what waits to be sent goes at once.
        contact::greet(core, &member, device).await?;
        let granted_bytes = standing.granted_bytes;
        member.custody()?.tell(Input::HolderConnected { holder: device, granted_bytes }).await;
    }
    Ok(rtt)
}
