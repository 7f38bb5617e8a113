//! A node that somebody knows: whose it is, where it stands, where it answered.
//!
//! Handed on in pairing and kept in manifests, so that whoever recovers a vault knows whom to ask.
//! Addresses are hints: who answers proves itself by its key. Source: specs/pairing.md.

use minicbor::{Decode, Encode};

use crate::{
    ids::{DeviceId, VaultId},
    limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX},
    text,
};

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PeerRecord {
    /// The node.
    #[n(0)]
    pub device: DeviceId,
    /// The vault that it belongs to.
    #[n(1)]
    pub vault: VaultId,
    /// What people call it.
    #[n(2)]
    pub name: String,
    /// Where it listened when last heard of, in text form (`192.0.2.7:4711`, a relay's URL).
    #[n(3)]
    pub addresses: Vec<String>,
    /// Its site: nodes of one site are lost together.
    #[n(4)]
    pub site: String,
}

impl PeerRecord {
    /// Whether lengths and texts are such that the record may be kept and shown.
    pub fn is_plausible(&self) -> bool {
        text::is_plain(&self.name) && text::is_plain(&self.site) && are_addresses(&self.addresses)
    }
}

/// Whether these are few enough texts, each short enough, that may be addresses.
pub fn are_addresses(addresses: &[String]) -> bool {
    let plain = |address: &String| text::is_plain_within(address, ADDRESS_BYTES_MAX);
    addresses.len() <= ADDRESSES_MAX && addresses.iter().all(plain)
}
