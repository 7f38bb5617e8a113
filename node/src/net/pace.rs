//! Pacing: holds uploads back so that they stay within the rate of now. Decisions:
//! `larder_protocol::pacing`. Source: specs/pacing.md.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use iroh::{
    TransportAddr,
    endpoint::{Connection, WriteError},
};
use jiff::Zoned;
use larder_protocol::{
    ids::DeviceId,
    limits::PACING_SLICE_BYTES,
    pacing::{Pacer, Side, Timetable},
};
use tokio::time::{Instant, error::Elapsed, sleep, timeout};

use super::{FrameStream, Net, tuning::STALL};

/// How fast uploads go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Bytes a second, by the time of day.
    pub up: Timetable,
    /// Whether that holds in the local network as well.
    pub also_near: bool,
}

/// What all uploads of this device share.
#[derive(Debug)]
pub(super) struct Pace {
    rates: RwLock<Rates>,
    pacer: Mutex<Pacer>,
    start: Instant,
}

impl Pace {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates: RwLock::new(rates), pacer: Mutex::default(), start: Instant::now() }
    }

    /// Other rates from now on; nothing of the old ones is owed.
    pub(super) fn set(&self, rates: Rates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
        *self.pacer.lock().unwrap_or_else(PoisonError::into_inner) = Pacer::default();
    }

    fn also_near(&self) -> bool {
        self.rates.read().unwrap_or_else(PoisonError::into_inner).also_near
    }

    /// Bytes a second that hold now, `None` without a limit.
    fn rate(&self, is_near: impl FnOnce() -> bool) -> Option<u64> {
        let rates = self.rates.read().unwrap_or_else(PoisonError::into_inner);
        if !rates.up.is_limited() || (!rates.also_near && is_near()) {
            return None;
        }
        rates.up.rate_at(minute_of_day())
    }

    /// Waits until so many bytes may go.
    async fn wait(&self, bytes: usize, is_near: impl FnOnce() -> bool) {
        let Some(rate) = self.rate(is_near) else { return };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let wait = {
            let mut pacer = self.pacer.lock().unwrap_or_else(PoisonError::into_inner);
            pacer.book(self.start.elapsed(), bytes, rate)
        };
        if wait > Duration::ZERO {
            sleep(wait).await;
        }
    }
}

impl FrameStream {
    /// Sends a piece of an upload slice by slice, each when it may go. The outer error is a peer that
    /// takes nothing for [`STALL`].
    pub(super) async fn upload(
        &mut self,
        net: &Net,
        mut piece: Bytes,
    ) -> Result<Result<(), WriteError>, Elapsed> {
        while !piece.is_empty() {
            let slice = piece.split_to(piece.len().min(PACING_SLICE_BYTES));
            net.inner.pace.wait(slice.len(), || net.is_near(self.connection())).await;
            if let Err(error) = timeout(STALL, self.send.write_chunk(slice)).await? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}

impl Net {
    /// Where a device stands: near, when all that is sent to it now stays in the local network; `None` without a
    /// connection with it. Nobody is near where limits hold in the local network as well.
    pub fn side_of(&self, peer: &DeviceId) -> Option<Side> {
        if self.inner.pace.also_near() {
            return Some(Side::Beyond);
        }
        let connections = self.inner.links.connections(peer);
        let mut alive = connections.iter().filter(|it| it.close_reason().is_none()).peekable();
        alive.peek()?;
        let is_near = alive.all(|connection| self.is_near(connection));
        Some(if is_near { Side::Near } else { Side::Beyond })
    }

    /// Whether the packets of a connection stay in the local network.
    fn is_near(&self, connection: &Connection) -> bool {
        let paths = connection.paths();
        let selected = paths.iter().find(|path| path.is_selected());
        match selected.as_ref().map(|path| path.remote_addr()) {
            Some(TransportAddr::Ip(address)) => {
                let address = address.ip().to_canonical();
                is_local(address) || is_beside(address, &self.own_addresses())
            }
            _ => false,
        }
    }
}

/// Addresses of this machine and of private networks (RFC 1918, RFC 4193, link-local).
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether an IPv6 address is of the network of one of ours: all of a home share the first 64 bits
/// (RFC 4291, 2.5.4).
fn is_beside(address: IpAddr, own: &[SocketAddr]) -> bool {
    let network = |address: IpAddr| match address {
        IpAddr::V6(v6) => v6.octets().first_chunk::<8>().copied(),
        IpAddr::V4(_) => None,
    };
    network(address).is_some_and(|there| own.iter().any(|here| network(here.ip()) == Some(there)))
}

/// By the clock of this machine, in its time zone.
fn minute_of_day() -> u16 {
    let now = Zoned::now();
    let part = |value: i8| u16::try_from(value).unwrap_or(0);
    60 * part(now.hour()) + part(now.minute())
}

#[cfg(test)]
mod tests {
    use super::*;

    // PACE-3
    #[test]
    fn the_local_network_is_what_no_provider_routes_and_who_stands_beside() {
        let parsed = |text: &str| text.parse::<IpAddr>().unwrap();
        let local = ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.178.20", "169.254.1.1"];
        assert!(local.map(parsed).into_iter().all(is_local));
        assert!(["::1", "fd00::1", "fe80::1"].map(parsed).into_iter().all(is_local));
        let far = ["203.0.113.5", "172.32.0.1", "100.64.0.1", "2001:db8::1", "8.8.8.8"];
        assert!(!far.map(parsed).into_iter().any(is_local));
        let own = ["[2001:db8:1:2::5]:4242", "203.0.113.7:4242"].map(|text| text.parse().unwrap());
        assert!(is_beside(parsed("2001:db8:1:2:aaaa::9"), &own));
        assert!(!is_beside(parsed("2001:db8:1:3::9"), &own));
        assert!(!is_beside(parsed("203.0.113.8"), &own), "IPv4 neighbours may be a provider's");
        assert!(minute_of_day() < 24 * 60);
    }

    // PACE-3, PACE-5
    #[tokio::test(start_paused = true)]
    async fn a_limit_holds_from_when_it_is_set_until_it_is_lifted() {
        let rates = |text: &str, also_near| {
            let up = Timetable::parse(text, 1, |size| size.parse().ok()).unwrap();
            Rates { up, also_near }
        };
        let pace = Pace::new(Rates::default());
        let took = async |pace: &Pace, near: bool| {
            let started = Instant::now();
            pace.wait(100_000, || near).await;
            pace.wait(1, || near).await;
            started.elapsed()
        };
        assert_eq!(took(&pace, false).await, Duration::ZERO);
        pace.set(rates("100000", false));
        assert_eq!(took(&pace, true).await, Duration::ZERO);
        let slow = took(&pace, false).await;
        assert!(slow >= Duration::from_millis(500) && slow <= Duration::from_secs(2), "{slow:?}");
        pace.set(rates("off", false));
        assert_eq!(took(&pace, false).await, Duration::ZERO);
        pace.set(rates("100000", true));
        assert!(took(&pace, true).await >= Duration::from_millis(500));
    }
}
