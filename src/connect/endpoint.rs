//! The token and revocation endpoints, driven by the `oauth2` crate over our own transport.
//!
//! A public client: its id goes into the form, there is no secret. One call is one request; what to
//! do about a failure is decided by the caller from [`EndpointError`].

use crate::environment::{BoxFuture, Transport, TransportError};
use crate::smart::{PkceVerifier, RedirectUri, Secret, TokenResponse, TokenResponseError};
use crate::submission::RetryAfter;
use chrono::{DateTime, TimeDelta, Utc};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse,
    BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, Client, ClientId, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError,
    Scope, StandardRevocableToken, TokenUrl,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Why a token endpoint gave no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// No answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// 429, or a failure of the server.
    #[error("the receiver's token endpoint answered {status}: try again later")]
    Unavailable {
        /// The HTTP status.
        status: u16,
        /// When to try again, where the receiver says so.
        not_before: Option<DateTime<Utc>>,
    },
    /// The code or refresh token is not taken, or no longer.
    #[error(
        "the receiver does not accept the authorisation, or no longer: begin the connection again"
    )]
    InvalidGrant,
    /// The app is not known, or may not do this.
    #[error(
        "the receiver does not accept this app's client id: check the app's registration there"
    )]
    InvalidClient,
    /// The scopes are refused.
    #[error(
        "the receiver refuses the scopes asked for: begin the connection again, simpler ones are asked for then"
    )]
    InvalidScope,
    /// Another error.
    #[error("the receiver's token endpoint refused the request")]
    Refused,
    /// A status without a readable error.
    #[error("the receiver's token endpoint answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// A success that cannot be used.
    #[error(transparent)]
    Response(#[from] TokenResponseError),
}

impl EndpointError {
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Transport(TransportError::Unreachable) => "unreachable",
            Self::Transport(TransportError::Untrusted) => "untrusted",
            Self::Transport(_) => "connection-broken",
            Self::Unavailable { .. } => "receiver-unavailable",
            Self::InvalidGrant => "authorisation-refused",
            Self::InvalidScope => "invalid-scope",
            Self::InvalidClient | Self::Refused | Self::Status { .. } => "receiver-configuration",
            Self::Response(TokenResponseError::NoPatient) => "no-patient",
            Self::Response(_) => "unreadable-answer",
        }
    }

    /// A code is used once: only what never reached the server can be tried again.
    pub(super) fn retryable(&self) -> bool {
        matches!(self, Self::Transport(TransportError::Unreachable | TransportError::Untrusted))
    }

    /// Whether the server certainly did not act on the request.
    pub(super) fn proves_unused(&self) -> bool {
        match self {
            Self::Transport(error) => {
                matches!(
                    error,
                    TransportError::Unreachable
                        | TransportError::Untrusted
                        | TransportError::Request
                )
            }
            Self::Unavailable { status, .. } => matches!(status, 429 | 503),
            Self::InvalidClient => true,
            _ => false,
        }
    }
}

/// A receiver's authorisation server, as this app is registered there.
pub(super) struct Endpoint<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) token_url: &'a str,
    pub(super) client_id: &'a str,
    pub(super) now: DateTime<Utc>,
}

impl Endpoint<'_> {
    /// Exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub(super) async fn exchange(
        &self,
        code: &str,
        redirect_uri: &RedirectUri,
        verifier: &PkceVerifier,
    ) -> Result<TokenResponse, EndpointError> {
        let redirect = RedirectUrl::new(redirect_uri.as_str().to_owned())
            .map_err(|_| TransportError::Request)?;
        let answer = self
            .client()?
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_redirect_uri(Cow::Owned(redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()))
            .request_async(&self.http())
            .await;
        granted(answer)
    }

    /// Refreshes (RFC 6749 section 6), for the scopes granted before.
    pub(super) async fn refresh(&self, refresh: &Secret) -> Result<TokenResponse, EndpointError> {
        let token = RefreshToken::new(refresh.expose().to_owned());
        let answer =
            self.client()?.exchange_refresh_token(&token).request_async(&self.http()).await;
        granted(answer)
    }

    /// Gives a token back (RFC 7009). True where the server took it.
    pub(super) async fn revoke(
        &self,
        revocation_endpoint: &str,
        token: &Secret,
    ) -> Result<bool, TransportError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("client_id", self.client_id)
            .finish();
        let request = http::Request::post(revocation_endpoint)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(form.into_bytes())
            .map_err(|_| TransportError::Request)?;
        Ok(self.transport.send(request).await?.status().is_success())
    }

    fn client(&self) -> Result<SmartClient, EndpointError> {
        let url = TokenUrl::new(self.token_url.to_owned()).map_err(|_| TransportError::Request)?;
        Ok(Client::new(ClientId::new(self.client_id.to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(url))
    }

    fn http(&self) -> OauthHttp<'_> {
        OauthHttp { transport: self.transport, now: self.now }
    }
}

type SmartClient = Client<
    BasicErrorResponse,
    SmartAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// A token answer as JSON: the SMART core reads it, which knows `patient` and names the field that
/// is wrong. The crate's own accessors exist because its client asks for them.
#[derive(Serialize, Deserialize)]
#[serde(from = "serde_json::Value")]
struct SmartAnswer {
    #[serde(skip_serializing)]
    json: serde_json::Value,
    #[serde(skip_serializing)]
    access: oauth2::AccessToken,
    kind: BasicTokenType,
}

impl From<serde_json::Value> for SmartAnswer {
    fn from(json: serde_json::Value) -> Self {
        let access = json
            .get("access_token")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned();
        Self { json, access: oauth2::AccessToken::new(access), kind: BasicTokenType::Bearer }
    }
}

impl std::fmt::Debug for SmartAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmartAnswer(..)")
    }
}

impl oauth2::TokenResponse for SmartAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.kind
    }

    fn expires_in(&self) -> Option<Duration> {
        None
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        None
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// What the crate must not see: no answer, and answers that are none of its business.
#[derive(Debug, thiserror::Error)]
#[error("no usable answer")]
struct OauthHttpError(EndpointError);

struct OauthHttp<'a> {
    transport: &'a dyn Transport,
    now: DateTime<Utc>,
}

impl OauthHttp<'_> {
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, EndpointError> {
        let response = self.transport.send(request).await?;
        let status = response.status().as_u16();
        if response.body().len() > TokenResponse::MAX_BYTES {
            return Err(TokenResponseError::TooLarge.into());
        }
        if status == 429 || status >= 500 {
            let not_before =
                RetryAfter::of(response.headers()).and_then(|asked| not_before(asked, self.now));
            return Err(EndpointError::Unavailable { status, not_before });
        }
        let says_why = || {
            serde_json::from_slice::<serde_json::Value>(response.body())
                .is_ok_and(|body| body["error"].is_string())
        };
        if status != 200 && !says_why() {
            return Err(EndpointError::Status { status });
        }
        Ok(response)
    }
}

impl<'c> AsyncHttpClient<'c> for OauthHttp<'_> {
    type Error = OauthHttpError;
    type Future = BoxFuture<'c, Result<HttpResponse, OauthHttpError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { self.answer(request).await.map_err(OauthHttpError) })
    }
}

fn granted(
    answer: Result<SmartAnswer, RequestTokenError<OauthHttpError, BasicErrorResponse>>,
) -> Result<TokenResponse, EndpointError> {
    match answer {
        Ok(answer) => Ok(TokenResponse::from_json(&answer.json)?),
        Err(RequestTokenError::Request(OauthHttpError(error))) => Err(error),
        Err(RequestTokenError::ServerResponse(response)) => Err(match response.error() {
            BasicErrorResponseType::InvalidGrant => EndpointError::InvalidGrant,
            BasicErrorResponseType::InvalidClient | BasicErrorResponseType::UnauthorizedClient => {
                EndpointError::InvalidClient
            }
            BasicErrorResponseType::InvalidScope => EndpointError::InvalidScope,
            BasicErrorResponseType::Extension(code)
                if matches!(
                    code.as_str(),
                    "temporarily_unavailable" | "server_error" | "slow_down"
                ) =>
            {
                EndpointError::Unavailable { status: 400, not_before: None }
            }
            _ => EndpointError::Refused,
        }),
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            Err(TokenResponseError::Unreadable.into())
        }
    }
}

/// When to come back, never more than a day ahead: a wrong date must not end a connection.
fn not_before(asked: RetryAfter, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let asked = asked.delay(now);
    now.checked_add_signed(asked.clamp(TimeDelta::zero(), TimeDelta::days(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        let now: DateTime<Utc> = "2024-05-01T08:00:00Z".parse().unwrap();
        let at = |text: &str| {
            let at = not_before(RetryAfter::parse(text)?, now)?;
            Some((at - now).num_seconds())
        };
        let cases = [
            ("120", Some(120)),
            ("Wed, 01 May 2024 08:01:00 GMT", Some(60)),
            ("Wed, 01 May 2024 07:00:00 GMT", Some(0)),
            ("4000000000", Some(86_400)),
            ("soon", None),
            ("-5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(at(text), expected, "{text}");
        }
    }
}
