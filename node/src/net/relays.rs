//! The relays that this node uses: those that its user named, and no others.
//!
//! A relay helps two nodes behind routers to a direct path, and carries their sealed packets when
//! there is none. Where a peer says that it is behind some relay, that is a hint: it is asked there
//! only if the user of this node named that relay as well.
//! Source: specs/network.md, specs/relay.md.

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use iroh::{
    Endpoint, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, Watcher as _,
    dns::DnsResolver,
    tls::{CaTlsConfig, default_provider},
};
use iroh_relay::{
    RelayQuicConfig,
    client::{ClientBuilder, ConnectError},
    protos::handshake,
};
use larder_protocol::{
    limits::RELAYS_MAX,
    relaying::{Pin, RelayAddress, Scheme},
};
use rustls::{
    CertificateError, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use thiserror::Error;
use tokio::time::timeout;

use super::tuning::RELAY_PROBE;

/// Relays of this node. Clones share nothing: it never changes while the node runs.
#[derive(Debug, Clone, Default)]
pub(super) struct Relays(Vec<(RelayUrl, RelayAddress)>);

/// How the connection to a relay stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayStanding {
    /// Others reach this node there.
    Connected,
    /// Not connected: another one was chosen, or none yet.
    Idle,
    /// It turns this device away.
    Denied,
    /// The last attempt failed.
    Unreachable,
}

/// Why a relay is of no use just now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RelayFault {
    /// It says no: a wrong token, an expired one, too many connections. Its words.
    #[error("turns this device away: {0}")]
    Denied(String),
    /// What answers has another certificate than it should have.
    #[error("shows a certificate that is not its own")]
    Certificate,
    /// Nobody answers there.
    #[error("cannot be reached")]
    Unreachable,
    /// Something answers that is no relay.
    #[error("does not answer as a relay does")]
    Strange,
}

impl Relays {
    /// Those of these addresses, at most [`RELAYS_MAX`], each once.
    pub(super) fn new(addresses: &[RelayAddress]) -> Self {
        let mut relays: Vec<(RelayUrl, RelayAddress)> = Vec::new();
        for address in addresses {
            let Ok(url) = address.url().parse::<RelayUrl>() else { continue };
            if relays.len() < RELAYS_MAX && relays.iter().all(|(known, _)| *known != url) {
                relays.push((url, address.clone()));
            }
        }
        Self(relays)
    }

    pub(super) fn urls(&self) -> impl Iterator<Item = RelayUrl> {
        self.0.iter().map(|(url, _)| url.clone())
    }

    /// All of them, with how each stands.
    pub(super) fn standings(&self, endpoint: &Endpoint) -> Vec<(RelayAddress, RelayStanding)> {
        let chosen = endpoint.home_relay_status().get();
        let standing = |url: &RelayUrl| match chosen.iter().find(|status| status.url() == url) {
            None => RelayStanding::Idle,
            Some(status) if status.is_connected() => RelayStanding::Connected,
            Some(status) if status.auth_denied_reason().is_some() => RelayStanding::Denied,
            Some(status) if status.last_error().is_some() => RelayStanding::Unreachable,
            Some(_) => RelayStanding::Idle,
        };
        self.0.iter().map(|(url, address)| (address.clone(), standing(url))).collect()
    }

    /// How iroh is to use them. Without any, it has no relay at all.
    pub(super) fn mode(&self) -> RelayMode {
        if self.0.is_empty() {
            return RelayMode::Disabled;
        }
        let configs = self.0.iter().map(|(url, address)| {
            // In clear it tells no addresses: QUIC needs its certificate. One on this machine would tell an
            // address of this machine's loopback.
            let tells = address.scheme == Scheme::Https && !is_loopback(&address.host);
            let quic = tells.then(|| RelayQuicConfig::new(address.port));
            let config = RelayConfig::new(url.clone(), quic);
            match &address.token {
                Some(token) => config.with_auth_token(token.to_secret_text()),
                None => config,
            }
        });
        RelayMode::Custom(configs.collect::<RelayMap>())
    }

    /// How their certificates are checked: by the pin where there is one, else as browsers do.
    pub(super) fn tls(&self) -> CaTlsConfig {
        let mut pins: BTreeMap<String, Vec<Pin>> = BTreeMap::new();
        for (_, address) in &self.0 {
            if let Some(pin) = address.pin {
                pins.entry(address.host.clone()).or_default().push(pin);
            }
        }
        if pins.is_empty() {
            return CaTlsConfig::embedded();
        }
        CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| {
            let others = CaTlsConfig::embedded().server_cert_verifier(Arc::clone(&provider))?;
            Ok(Arc::new(Pinned { pins: pins.clone(), others, provider }))
        }))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Asks a relay whether it would relay for this node: with its token, under a key made for the
/// occasion, so that a connection that is in use is not disturbed.
///
/// # Errors
/// [`RelayFault`].
pub async fn probe(address: &RelayAddress) -> Result<Duration, RelayFault> {
    let relays = Relays::new(std::slice::from_ref(address));
    let url = relays.urls().next().ok_or(RelayFault::Unreachable)?;
    let tls = relays.tls().client_config(default_provider());
    let tls = tls.map_err(|_: io::Error| RelayFault::Certificate)?;
    let builder = ClientBuilder::new(url, SecretKey::generate(), DnsResolver::new());
    let builder = builder.tls_client_config(tls);
    let builder = match &address.token {
        Some(token) => builder.auth_token(token.to_secret_text()),
        None => builder,
    };
    let begun = Instant::now();
    match timeout(RELAY_PROBE, builder.connect()).await {
        Ok(Ok(_)) => Ok(begun.elapsed()),
        Ok(Err(ConnectError::Handshake {
            source: handshake::Error::ServerDeniedAuth { reason, .. },
            ..
        })) => Err(RelayFault::Denied(shown(&reason))),
        Ok(Err(ConnectError::Tls { .. })) => Err(RelayFault::Certificate),
        Ok(Err(ConnectError::Dial { .. })) | Err(_) => Err(RelayFault::Unreachable),
        Ok(Err(_)) => Err(RelayFault::Strange),
    }
}

/// What a relay said, fit to be shown: anybody may run one.
pub(super) fn shown(reason: &str) -> String {
    reason.chars().filter(|letter| !letter.is_control()).take(100).collect()
}

/// Accepts exactly the pinned certificates of pinned hosts; leaves all others to the authorities.
#[derive(Debug)]
struct Pinned {
    pins: BTreeMap<String, Vec<Pin>>,
    others: Arc<dyn ServerCertVerifier>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.pins.get(server_name.to_str().as_ref()) {
            Some(pins) if pins.contains(&Pin::of_certificate(end_entity)) => {
                Ok(ServerCertVerified::assertion())
            }
            Some(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            None => self.others.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use iroh::{EndpointAddr, EndpointId, address_lookup::AddressLookup as _};
    use larder_protocol::ids::DeviceId;
    use n0_future::StreamExt as _;

    use super::*;
    use crate::net::addresses::Addresses;

    fn address(text: &str) -> RelayAddress {
        text.parse().unwrap()
    }

    /// Where a node with these relays looks for a peer that was last seen at an address.
    async fn places(relays: &[RelayAddress]) -> EndpointAddr {
        let peer = SecretKey::from_bytes(&[7; 32]).public();
        let addresses = Addresses::new(Relays::new(relays));
        let seen: SocketAddr = "192.0.2.1:4242".parse().unwrap();
        addresses.set(DeviceId::from_bytes(*peer.as_bytes()), vec![seen]);
        let found = addresses.resolve(peer).unwrap().next().await.unwrap().unwrap();
        found.into_endpoint_addr()
    }

    // RELAY-14
    #[tokio::test]
    async fn a_node_uses_the_relays_that_its_user_named_and_no_others() {
        assert_eq!(Relays::new(&[]).mode(), RelayMode::Disabled);
        assert_eq!(places(&[]).await.relay_urls().count(), 0);
        let stranger = EndpointId::from_bytes(SecretKey::generate().public().as_bytes()).unwrap();
        assert!(Addresses::new(Relays::new(&[])).resolve(stranger).is_none());

        let own = [address("https://relay.example.org:8443"), address("http://127.0.0.1:3340")];
        let found = places(&own).await;
        let urls: Vec<String> = found.relay_urls().map(ToString::to_string).collect();
        assert_eq!(urls, ["http://127.0.0.1:3340/", "https://relay.example.org:8443/"]);
        assert_eq!(found.ip_addrs().count(), 1);
    }

    #[test]
    fn relays_are_few_each_once_and_take_their_tokens_with_them() {
        let token = "abcdefghijklmnopqrstuvwxy4";
        let with_token = address(&format!("https://{token}@relay.example.org"));
        let numbered = |number| address(&format!("https://relay{number}.example.org"));
        let mut all = vec![with_token.clone(), with_token];
        all.extend((0..9).map(numbered));
        let relays = Relays::new(&all);
        assert_eq!(relays.urls().count(), RELAYS_MAX);
        let RelayMode::Custom(map) = relays.mode() else { panic!("there are relays") };
        let first = map.get(&relays.urls().next().unwrap()).unwrap();
        assert_eq!(first.auth_token.as_deref(), Some(token));
        assert_eq!(first.quic, Some(RelayQuicConfig::new(443)));
        let clear = Relays::new(&[address("http://127.0.0.1:3340")]).mode();
        let RelayMode::Custom(map) = clear else { panic!("there is a relay") };
        assert!(map.relays::<Vec<_>>().iter().all(|relay| relay.quic.is_none()));
    }

    // RELAY-10
    #[tokio::test]
    async fn a_relay_that_is_not_there_is_told_from_one_that_says_no() {
        let nobody = address("http://127.0.0.1:1");
        assert_eq!(probe(&nobody).await, Err(RelayFault::Unreachable));
        assert_eq!(shown("a\u{1b}[31mb\nc"), "a[31mbc");
        assert_eq!(shown(&"x".repeat(1000)).len(), 100);
    }
}
