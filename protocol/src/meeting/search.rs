//! Where a guest tries to find the host of a code. Source: specs/meeting.md.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use super::Channel;
use crate::{
    discovering::{Beacon, is_believable},
    ids::DeviceId,
    limits::DISCOVERY_TRIES_MAX,
};

/// The search for one host. Everybody can show its channel, so few places are tried, and near ones alone.
#[derive(Debug, Clone)]
pub struct Search {
    host: DeviceId,
    tried: BTreeSet<SocketAddr>,
}

impl Search {
    /// For the host of this channel.
    pub fn new(channel: Channel) -> Self {
        Self { host: channel.id(), tried: BTreeSet::new() }
    }

    /// Under which id the host is called.
    pub const fn host(&self) -> DeviceId {
        self.host
    }

    /// Whether to look for the host at `address`, where `beacon` was shown; this device is at `own`.
    pub fn is_worth_a_try(&mut self, beacon: &Beacon, address: SocketAddr, own: &[IpAddr]) -> bool {
        let is_meant = beacon.as_bytes() == self.host.as_bytes();
        let is_possible = is_meant && is_believable(address, own);
        is_possible && self.tried.len() < DISCOVERY_TRIES_MAX && self.tried.insert(address)
    }
}
