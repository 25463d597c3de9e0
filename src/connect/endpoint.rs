//! The token and revocation endpoints, driven by the `oauth2` crate over our own transport.
//!
//! A public client: its id goes into the form, there is no secret. One call is one request; what to
//! do about a failure is decided by the caller from [`EndpointError`].

use super::token_error::failure_reason;
use crate::environment::{BoxFuture, Transport, TransportError};
use crate::smart::{
    FailureReason, PkceVerifier, RedirectUri, RefreshAnswer, Secret, TokenResponse,
    TokenResponseError,
};
use crate::submission::RetryAfter;
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
        /// What it asks for.
        retry_after: Option<RetryAfter>,
    },
    /// The code or refresh token is not taken, or no longer.
    #[error(
        "the receiver does not accept the authorisation, or no longer: begin the connection again"
    )]
    InvalidGrant,
    /// The app is not known, may not do this, or is expected to have a secret.
    #[error(
        "the receiver does not accept this app: check the app's registration there (client id, \
            redirect URI, public client without a secret)"
    )]
    AppRefused,
    /// The scopes are refused.
    #[error("the receiver refuses the scopes asked for")]
    InvalidScope,
    /// The person, or the receiver for them, says no.
    #[error("the receiver refuses the access: begin the connection again")]
    Refused,
    /// A refusal without a reason in OAuth's terms, as a proxy gives it.
    #[error("the receiver's token endpoint answered {status} without a reason")]
    Status {
        /// The HTTP status.
        status: u16,
        /// What it asks for.
        retry_after: Option<RetryAfter>,
    },
    /// A success that cannot be used.
    #[error(transparent)]
    Response(#[from] TokenResponseError),
}

/// A refused code, and the server's own words about it: they may be about a person.
pub(super) struct ExchangeError {
    pub(super) error: EndpointError,
    pub(super) description: Option<String>,
}

impl From<EndpointError> for ExchangeError {
    fn from(error: EndpointError) -> Self {
        Self { error, description: None }
    }
}

/// A receiver's authorisation server, as this app is registered there.
pub(super) struct Endpoint<'a> {
    pub(super) transport: &'a dyn Transport,
    pub(super) token_url: &'a str,
    pub(super) client_id: &'a str,
}

impl Endpoint<'_> {
    /// Exchanges a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5).
    pub(super) async fn exchange(
        &self,
        code: &str,
        redirect_uri: &RedirectUri,
        verifier: &PkceVerifier,
    ) -> Result<TokenResponse, ExchangeError> {
        let redirect = RedirectUrl::new(redirect_uri.as_str().to_owned())
            .map_err(|_| EndpointError::from(TransportError::Request))?;
        let answer = self
            .client()?
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_redirect_uri(Cow::Owned(redirect))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()))
            .request_async(&self.http())
            .await;
        granted(answer).map_err(|refused| match refused.error {
            // RFC 6749 section 5.2: 401 is about the app, also without a word.
            EndpointError::Status { status: 401, .. } => EndpointError::AppRefused.into(),
            _ => refused,
        })
    }

    /// Refreshes (RFC 6749 section 6), for the scopes granted before.
    pub(super) async fn refresh(&self, refresh: &Secret) -> RefreshAnswer {
        let token = RefreshToken::new(refresh.expose().to_owned());
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return refresh_answer(error),
        };
        let answer = client.exchange_refresh_token(&token).request_async(&self.http()).await;
        match granted(answer) {
            Ok(response) => RefreshAnswer::Granted(response),
            Err(refused) => refresh_answer(refused.error),
        }
    }

    /// Gives a token back (RFC 7009).
    pub(super) async fn revoke(
        &self,
        revocation_endpoint: &str,
        token: &Secret,
    ) -> Result<(), (FailureReason, Option<RetryAfter>)> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("client_id", self.client_id)
            .finish();
        let request = http::Request::post(revocation_endpoint)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(http::header::ACCEPT, "application/json")
            .body(form.into_bytes())
            .map_err(|_| (FailureReason::Request, None))?;
        let response =
            self.transport.send(request).await.map_err(|error| (failure_reason(error), None))?;
        let status = response.status();
        // Section 2.2.1: it takes no tokens of this kind back, now or later.
        let takes_none = status == 400 && oauth_error(&response) == "unsupported_token_type";
        if status.is_success() || takes_none {
            return Ok(());
        }
        Err((FailureReason::Status(status.as_u16()), RetryAfter::of(response.headers())))
    }

    fn client(&self) -> Result<SmartClient, EndpointError> {
        let url = TokenUrl::new(self.token_url.to_owned()).map_err(|_| TransportError::Request)?;
        Ok(Client::new(ClientId::new(self.client_id.to_owned()))
            .set_auth_type(AuthType::RequestBody)
            .set_token_uri(url))
    }

    fn http(&self) -> OauthHttp<'_> {
        OauthHttp { transport: self.transport }
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
}

impl OauthHttp<'_> {
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, EndpointError> {
        let response = self.transport.send(request).await?;
        let status = response.status().as_u16();
        if response.body().len() > TokenResponse::MAX_BYTES {
            return Err(TokenResponseError::TooLarge.into());
        }
        let retry_after = RetryAfter::of(response.headers());
        if status == 429 || status >= 500 || WAIT.contains(&&*oauth_error(&response)) {
            return Err(EndpointError::Unavailable { status, retry_after });
        }
        // What says nothing in OAuth's terms is some proxy's word, and ends nothing.
        if status != 200 && !ANSWERS.contains(&&*oauth_error(&response)) {
            return Err(EndpointError::Status { status, retry_after });
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

/// OAuth's words for "later".
const WAIT: &[&str] = &["temporarily_unavailable", "server_error", "slow_down"];
/// OAuth's words that say something about the grant, the app or the scopes (RFC 6749 section 5.2,
/// `OpenID` Connect). Any other, and `invalid_request`, which proxies say too, says nothing.
const ANSWERS: &[&str] = &[
    "invalid_grant",
    "invalid_client",
    "unauthorized_client",
    "invalid_scope",
    "access_denied",
    "consent_required",
    "interaction_required",
    "login_required",
];

/// The `error` of an answer, empty if it has none.
fn oauth_error(response: &HttpResponse) -> String {
    let body = serde_json::from_slice::<serde_json::Value>(response.body()).unwrap_or_default();
    body["error"].as_str().unwrap_or_default().to_owned()
}

fn granted(
    answer: Result<SmartAnswer, RequestTokenError<OauthHttpError, BasicErrorResponse>>,
) -> Result<TokenResponse, ExchangeError> {
    match answer {
        Ok(answer) => Ok(TokenResponse::from_json(&answer.json).map_err(EndpointError::from)?),
        Err(RequestTokenError::Request(OauthHttpError(error))) => Err(error.into()),
        Err(RequestTokenError::ServerResponse(response)) => Err(ExchangeError {
            error: match response.error() {
                BasicErrorResponseType::InvalidGrant => EndpointError::InvalidGrant,
                BasicErrorResponseType::InvalidClient
                | BasicErrorResponseType::UnauthorizedClient => EndpointError::AppRefused,
                BasicErrorResponseType::InvalidScope => EndpointError::InvalidScope,
                _ => EndpointError::Refused,
            },
            description: response.error_description().cloned(),
        }),
        Err(RequestTokenError::Parse(..) | RequestTokenError::Other(_)) => {
            Err(EndpointError::from(TokenResponseError::Unreadable).into())
        }
    }
}

/// What a failure says to a refresh.
fn refresh_answer(error: EndpointError) -> RefreshAnswer {
    let failed = |reason, retry_after| RefreshAnswer::Failed { reason, retry_after };
    match error {
        EndpointError::InvalidGrant | EndpointError::InvalidScope | EndpointError::Refused => {
            RefreshAnswer::Ended
        }
        EndpointError::AppRefused => RefreshAnswer::AppRefused,
        EndpointError::Transport(error) => failed(failure_reason(error), None),
        EndpointError::Unavailable { status, retry_after }
        | EndpointError::Status { status, retry_after } => {
            failed(FailureReason::Status(status), retry_after)
        }
        EndpointError::Response(_) => failed(FailureReason::Unreadable, None),
    }
}
