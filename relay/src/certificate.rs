//! The certificate of a relay: one from files, or one that it makes for itself.
//!
//! Its own needs no domain and no authority: invitations carry its fingerprint, and nodes accept
//! exactly that one. Source: specs/relay.md.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use iroh_relay::server::reloading_resolver;
use larder_protocol::relaying::Pin;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
};
use thiserror::Error;

use crate::{
    config::{Config, ConfigError},
    invitations::{InvitationsError, replace},
};

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// How often files that others renew are read again.
const RELOAD: Duration = Duration::from_secs(3600);

/// Why there is no certificate.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// No directory to keep it in.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be kept.
    #[error(transparent)]
    Keep(#[from] InvitationsError),
    /// The relay's own, from before, cannot be read.
    #[error("cannot read {CERTIFICATE} and {KEY} in the state directory; remove both for new ones")]
    Own(#[source] pem::Error),
    /// One cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// The files that the settings name are not what they should be.
    #[error("cannot use {certificate} with {key}: {reason}")]
    Files {
        /// File of the certificate.
        certificate: String,
        /// File of the key.
        key: String,
        /// Why, in words of the TLS library.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error("the certificate cannot be used")]
    Tls(#[from] rustls::Error),
}

/// What a relay shows on TLS connections.
#[derive(Debug)]
pub struct Certificate {
    /// For connections.
    pub server: ServerConfig,
    /// Of a certificate that the relay made for itself.
    pub pin: Option<Pin>,
}

impl Certificate {
    /// The one that the settings name, else the relay's own, which is made when there is none.
    /// `None` for a relay without TLS.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub async fn of(config: &Config) -> Result<Option<Self>, CertificateError> {
        if config.plain {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let Some(files) = &config.tls else {
            let (certificate, key) = own(&config.state()?)?;
            let pin = Some(Pin::of_certificate(&certificate));
            let server = builder(&provider).with_single_cert(vec![certificate], key)?;
            return Ok(Some(Self { server, pin }));
        };
        let (certificate, key) = (files.certificate.clone(), files.key.clone());
        let resolver = reloading_resolver(&provider, certificate, key, RELOAD).await;
        let resolver = resolver.map_err(|error| CertificateError::Files {
            certificate: files.certificate.display().to_string(),
            key: files.key.display().to_string(),
            reason: format!("{error:#}"),
        })?;
        let server = builder(&provider).with_cert_resolver(resolver);
        Ok(Some(Self { server, pin: None }))
    }

    /// The fingerprint that invitations carry.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn pin(config: &Config) -> Result<Option<Pin>, CertificateError> {
        if config.plain || config.tls.is_some() {
            return Ok(None);
        }
        let (certificate, _) = own(&config.state()?)?;
        Ok(Some(Pin::of_certificate(&certificate)))
    }
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert> {
    ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions of TLS need")
        .with_no_client_auth()
}

type Own = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// The certificate of this directory. The key comes first: a certificate without its key is none.
fn own(directory: &Path) -> Result<Own, CertificateError> {
    let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
    if !is_there(&certificate) || !is_there(&key) {
        let keys = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["larder-relay".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, "larder-relay");
        let made = params.self_signed(&keys)?;
        crate::invitations::Invitations::open(directory)?;
        replace(directory, KEY, keys.serialize_pem().as_bytes())?;
        replace(directory, CERTIFICATE, made.pem().as_bytes())?;
    }
    let certificate = CertificateDer::from_pem_file(&certificate).map_err(CertificateError::Own)?;
    let key = PrivateKeyDer::from_pem_file(&key).map_err(CertificateError::Own)?;
    Ok((certificate, key))
}

fn is_there(path: &Path) -> bool {
    !matches!(fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RELAY-9
    #[tokio::test]
    async fn the_certificate_that_a_relay_makes_for_itself_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let state = Some(directory.path().join("state"));
        let config = Config { state, ..Config::default() };
        let pin = Certificate::pin(&config).unwrap();
        assert!(pin.is_some());
        assert_eq!(Certificate::of(&config).await.unwrap().unwrap().pin, pin);
        assert_eq!(Certificate::pin(&config).unwrap(), pin);
        // The same as files of somebody else: then the authorities vouch for it, and no pin.
        let file = |name| directory.path().join("state").join(name);
        let tls = Some(crate::TlsFiles { certificate: file(CERTIFICATE), key: file(KEY) });
        let named = Config { tls, ..config.clone() };
        assert_eq!(Certificate::of(&named).await.unwrap().unwrap().pin, None);
        assert_eq!(Certificate::pin(&named).unwrap(), None);
        let listen = "127.0.0.1:0".parse().unwrap();
        let plain = Config { plain: true, listen, ..config };
        assert!(Certificate::of(&plain).await.unwrap().is_none());
        assert_eq!(Certificate::pin(&plain).unwrap(), None);
    }

    #[tokio::test]
    async fn files_that_are_no_certificate_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("none.pem");
        let tls = Some(crate::TlsFiles { certificate: file.clone(), key: file.clone() });
        let config = Config { tls, ..Config::default() };
        let error = Certificate::of(&config).await.unwrap_err();
        assert!(error.to_string().contains("none.pem"), "{error}");
    }
}
