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
    let response = transport.send(request(&url, "application/json")?).await?;
    match response.status().as_u16() {
        200 => Ok(SmartConfiguration::parse(&receiver.base, response.body())?),
        status => Err(ConnectError::Status { what: "SMART configuration", status }),
    }
}

/// The dialect the app told, else the one the receiver's `/metadata` tells, `None` if it tells no
/// known one or refuses to tell; and what it promises.
pub(super) async fn dialect(
    transport: &dyn Transport,
    receiver: &Receiver,
) -> Result<(Option<Dialect>, Promises), ConnectError> {
    let response =
        transport.send(request(&receiver.base.at("metadata"), "application/fhir+json")?).await?;
    match response.status().as_u16() {
        200 => {
            let capability = parse_capability(response.body())?;
            Ok((receiver.dialect.or(capability.dialect), capability.into()))
        }
        status if status == 429 || status >= 500 => {
            Err(ConnectError::Status { what: "capability statement", status })
        }
        _ => Ok((receiver.dialect, Promises::default())),
    }
}

/// A GET without a token.
pub(super) fn request(url: &str, accept: &str) -> Result<http::Request<Vec<u8>>, ConnectError> {
    http::Request::get(url)
        .header(http::header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(|_| ConnectError::Transport(crate::environment::TransportError::Request))
}
