//! Leaves locator records at relays, and asks relays for them: one request, one connection.
//!
//! HTTP as the relay's other clients speak it, on the same port, with the same certificate and token.
//! Source: specs/locating.md.

use std::{io, sync::Arc};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::Bytes,
    client::conn::http1,
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;
use iroh::tls::default_provider;
use larder_protocol::{
    ids::LocatorSlot,
    limits::{LOCATOR_RECORD_BYTES, LOCATOR_RECORDS_PER_SLOT_MAX},
    locating::{LocatorRecord, PATH},
    relaying::{RelayAddress, Scheme},
};
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{
    RelayFault,
    relays::{Relays, shown},
    tuning::RECORDS,
};

/// Leaves a record at a relay.
///
/// # Errors
/// [`RelayFault`].
pub async fn leave_record(
    relay: &RelayAddress,
    slot: &LocatorSlot,
    record: &LocatorRecord,
) -> Result<(), RelayFault> {
    let body = Bytes::copy_from_slice(record.as_bytes());
    ask(relay, Method::PUT, slot, body).await.map(|_| ())
}

/// The records that a relay has in a slot; what is none is left out.
///
/// # Errors
/// [`RelayFault`].
pub async fn records(
    relay: &RelayAddress,
    slot: &LocatorSlot,
) -> Result<Vec<LocatorRecord>, RelayFault> {
    let answer = ask(relay, Method::GET, slot, Bytes::new()).await?;
    let records = answer.chunks(LOCATOR_RECORD_BYTES);
    Ok(records.filter_map(|bytes| LocatorRecord::read(slot, bytes).ok()).collect())
}

async fn ask(
    relay: &RelayAddress,
    method: Method,
    slot: &LocatorSlot,
    body: Bytes,
) -> Result<Bytes, RelayFault> {
    let asked = timeout(RECORDS, async {
        let address = (relay.host.as_str(), relay.port);
        let stream = TcpStream::connect(address).await.map_err(|_| RelayFault::Unreachable)?;
        let request = request(relay, method, slot, body)?;
        match relay.scheme {
            Scheme::Http => answer(stream, request).await,
            Scheme::Https => answer(secured(relay, stream).await?, request).await,
        }
    });
    asked.await.map_err(|_| RelayFault::Unreachable)?
}

fn request(
    relay: &RelayAddress,
    method: Method,
    slot: &LocatorSlot,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, RelayFault> {
    let request = Request::builder()
        .method(method)
        .uri(format!("{PATH}{slot}"))
        .header(HOST, relay.host_and_port());
    let request = match &relay.token {
        Some(token) => request.header(AUTHORIZATION, format!("Bearer {}", token.to_secret_text())),
        None => request,
    };
    request.body(Full::new(body)).map_err(|_| RelayFault::Strange)
}

async fn secured(
    relay: &RelayAddress,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, RelayFault> {
    let tls = Relays::new(std::slice::from_ref(relay)).tls().client_config(default_provider());
    let tls = tls.map_err(|_: io::Error| RelayFault::Certificate)?;
    let name = ServerName::try_from(relay.host.clone()).map_err(|_| RelayFault::Strange)?;
    let connected = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
    connected.map_err(|_| RelayFault::Certificate)
}

async fn answer<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Bytes, RelayFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let strange = |_| RelayFault::Strange;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(strange)?;
    // Drives the connection, and ends with this.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let answer = sender.send_request(request).await.map_err(strange)?;
    let status = answer.status();
    let longest = LOCATOR_RECORDS_PER_SLOT_MAX * LOCATOR_RECORD_BYTES;
    let body = Limited::new(answer.into_body(), longest).collect().await;
    let body = body.map_err(|_| RelayFault::Strange)?.to_bytes();
    match status {
        StatusCode::OK | StatusCode::NO_CONTENT => Ok(body),
        StatusCode::UNAUTHORIZED | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
            Err(RelayFault::Denied(shown(&String::from_utf8_lossy(&body))))
        }
        _ => Err(RelayFault::Strange),
    }
}
