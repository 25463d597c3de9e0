//! What is asked of a receiver before anybody authorises: how it does that, and which guide it
//! speaks.

use super::{ConnectError, Receiver};
use crate::environment::Transport;
use crate::fhir::{Dialect, Promises, parse_capability};
use crate::smart::SmartConfiguration;

/// Fetches the discovery document.
pub(super) async fn discover(
    transport: &dyn Transport,
    receiver: &Receiver,
) -> Result<SmartConfiguration, ConnectError> {
    let url = receiver.base.at(".well-known/smart-configuration");
    let response = get(transport, receiver, &url, "application/json").await?;
    match response.status().as_u16() {
        200 => SmartConfiguration::parse(&receiver.base, response.body())
            .map_err(|error| ConnectError::Discovery { host: receiver.base.host(), error }),
        status => Err(refused(receiver, "SMART configuration", status)),
    }
}

/// The dialect the app told, else the one the receiver's `/metadata` tells, `None` if it tells no
/// known one or refuses to tell; and what it promises.
pub(super) async fn dialect(
    transport: &dyn Transport,
    receiver: &Receiver,
) -> Result<(Option<Dialect>, Promises), ConnectError> {
    let url = receiver.base.at("metadata");
    let response = get(transport, receiver, &url, "application/fhir+json").await?;
    match response.status().as_u16() {
        200 => parse_capability(response.body())
            .map(|capability| (receiver.dialect.or(capability.dialect), capability.into()))
            .map_err(|error| ConnectError::Capability { host: receiver.base.host(), error }),
        status if status == 429 || status >= 500 => {
            Err(refused(receiver, "capability statement", status))
        }
        _ => Ok((receiver.dialect, Promises::default())),
    }
}

fn refused(receiver: &Receiver, what: &'static str, status: u16) -> ConnectError {
    ConnectError::Status { host: receiver.base.host(), what, status }
}

async fn get(
    transport: &dyn Transport,
    receiver: &Receiver,
    url: &str,
    accept: &str,
) -> Result<http::Response<Vec<u8>>, ConnectError> {
    let sent = transport.send(request(url, accept)?).await;
    sent.map_err(|error| ConnectError::Transport { host: receiver.base.host(), error })
}

/// A GET without a token.
pub(super) fn request(url: &str, accept: &str) -> Result<http::Request<Vec<u8>>, ConnectError> {
    http::Request::get(url)
        .header(http::header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(|_| ConnectError::Unreadable("base URL"))
}
