//! Requests with a connection's token.

use super::{ConnectError, Connector};
use crate::store::ConnectionId;

impl Connector {
    /// Sends a request with the connection's token; once more with a new one if the receiver
    /// answers 401.
    ///
    /// # Errors
    /// [`ConnectError`], also if the request is for another origin than the connection's; every
    /// status is a response.
    pub async fn ask(
        &self,
        connection: ConnectionId,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, ConnectError> {
        let mut token = self.access_token(connection).await?;
        let mut fresh = false;
        loop {
            let authorised = token
                .authorised_request(request.clone())
                .map_err(|_| ConnectError::Unreadable("address"))?;
            let sent = self.0.environment.transport.send(authorised).await;
            let host = || token.base().host();
            let response = sent.map_err(|error| ConnectError::Transport { host: host(), error })?;
            if fresh || response.status() != http::StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            token = self.refresh_after_401(connection, &token).await?;
            fresh = true;
        }
    }
}
