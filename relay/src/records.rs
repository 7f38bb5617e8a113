//! Serves the board: what holders leave for whoever has nothing but a phrase. Decides nothing.
//!
//! ```text
//! PUT /locator/SLOT    one record               204 kept | 409 a newer one is | 429 too many
//! GET /locator/SLOT                             200 all records of the slot, one after the other
//! ```
//! Source: specs/locating.md.

use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header::AUTHORIZATION,
};
use larder_protocol::{
    ids::LocatorSlot,
    limits::LOCATOR_RECORD_BYTES,
    locating::{LocatorRecord, PATH},
    relaying::{NotKept, RelayToken},
};

use crate::door::Arrived;

/// What is answered.
pub(crate) enum Answer {
    /// No record is meant at all.
    NotHere,
    /// Nothing, or why nothing was done.
    Said(StatusCode, String),
    /// The records.
    Records(Bytes),
}

/// Answers a request for records.
pub(crate) async fn answer(request: Request<Incoming>, arrived: &Arrived) -> Answer {
    let slot = request.uri().path().strip_prefix(PATH).and_then(|text| text.parse().ok());
    let Some(slot) = slot else { return Answer::NotHere };
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|text| text.strip_prefix("Bearer ")?.parse::<RelayToken>().ok());
    if let Err(why) = arrived.allows(token.as_ref()) {
        return Answer::Said(StatusCode::UNAUTHORIZED, why.to_string());
    }
    match *request.method() {
        Method::GET => Answer::Records(arrived.records(&slot).into()),
        Method::PUT => put(slot, request, arrived).await,
        _ => Answer::Said(StatusCode::METHOD_NOT_ALLOWED, "records are put or got".to_owned()),
    }
}

async fn put(slot: LocatorSlot, request: Request<Incoming>, arrived: &Arrived) -> Answer {
    // Nothing longer is read; what is slow ends with its socket.
    let Ok(body) = Limited::new(request.into_body(), LOCATOR_RECORD_BYTES).collect().await else {
        return Answer::Said(StatusCode::BAD_REQUEST, "longer than a record is".to_owned());
    };
    let record = match LocatorRecord::read(&slot, &body.to_bytes()) {
        Ok(record) => record,
        Err(error) => return Answer::Said(StatusCode::BAD_REQUEST, error.to_string()),
    };
    match arrived.keep(slot, record) {
        Ok(()) => Answer::Said(StatusCode::NO_CONTENT, String::new()),
        Err(why @ NotKept::Older) => Answer::Said(StatusCode::CONFLICT, why.to_string()),
        Err(why @ (NotKept::SlotFull | NotKept::Address | NotKept::Full)) => {
            Answer::Said(StatusCode::TOO_MANY_REQUESTS, why.to_string())
        }
    }
}
