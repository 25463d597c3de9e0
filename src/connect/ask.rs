//! Requests with a connection's token.

use super::{AccessToken, ConnectError, Connector, Inner, ReauthorisationCause, TokenError};
use crate::smart::Held;
use crate::store::{ConnectionId, ConnectionState};
use crate::submission::TokenRefusal;

impl Connector {
    /// Sends a request with the connection's token; once more with a new one if the receiver
    /// answers 401. If it refuses that one too, the connection needs a new authorisation.
    ///
    /// # Errors
    /// [`ConnectError`], also if the request is for another origin than the connection's; every
    /// other status is a response.
    pub async fn ask(
        &self,
        connection: ConnectionId,
        request: &http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, ConnectError> {
        let mut token = self.access_token(connection).await?;
        let mut repeated = false;
        loop {
            let authorised = token
                .authorised_request(request.clone())
                .map_err(|_| ConnectError::Unreadable("address"))?;
            let sent = self.0.environment.transport.send(authorised).await;
            let host = || token.base().host();
            let response = sent.map_err(|error| ConnectError::Transport { host: host(), error })?;
            if response.status() != http::StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            match TokenRefusal::of(repeated) {
                TokenRefusal::Refresh => {
                    token = self.refresh_after_401(connection, &token).await?;
                }
                TokenRefusal::Reauthorise => {
                    return Err(self.0.access_ended(connection, &token).await.into());
                }
            }
            repeated = true;
        }
    }
}

impl Inner {
    /// Writes down that the receiver refuses an access token it has just given, and returns what
    /// the caller is told. Its refresh token stays, to be given back.
    async fn access_ended(&self, id: ConnectionId, refused: &AccessToken) -> TokenError {
        match self.end_access(id, refused).await {
            Ok(error) | Err(error) => error,
        }
    }

    async fn end_access(
        &self,
        id: ConnectionId,
        refused: &AccessToken,
    ) -> Result<TokenError, TokenError> {
        let _lock = self.token_lock(id).await?;
        let (record, _) = self.receiver_of(id).await?;
        // The person may have authorised anew meanwhile: that is not what was refused.
        match super::tokens::held(self.recorded_token(&record).await)? {
            Held::Tokens(state) if !refused.is_of(&state) => return Ok(TokenError::Busy),
            _ => {}
        }
        let cause = ReauthorisationCause::Refused;
        self.note(id, move |record| {
            record.details.tokens.ended = Some(cause);
            if record.state != ConnectionState::OtherPatient {
                record.state = ConnectionState::NeedsReauthorisation;
            }
        })
        .await?;
        let error = TokenError::NeedsReauthorisation(cause);
        self.log_no_token(id, &error);
        Ok(error)
    }
}
