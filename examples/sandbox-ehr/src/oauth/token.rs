//! The token and revocation endpoints. A code works once, with the verifier, client and redirect it
//! was made for; a refresh token works once, and using it again ends everything that came of the
//! approval.

use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::json;

use super::{
    form::Parameters,
    scopes::{gives_patient, gives_refresh, within},
};
use crate::{
    SandboxError,
    app::App,
    clock::{now_millis, sha256_base64url},
    faults::Endpoint,
    http::failure_answer,
    store::RefreshOutcome,
};

/// An OAuth error answer.
struct TokenError {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl TokenError {
    fn new(error: &'static str, description: &'static str) -> Self {
        let status = if error == "invalid_client" {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::BAD_REQUEST
        };
        Self { status, error, description }
    }
}

impl From<SandboxError> for TokenError {
    fn from(_: SandboxError) -> Self {
        let description = "the sandbox could not read or write its database";
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, error: "server_error", description }
    }
}

/// `POST /oauth/token`.
pub(crate) async fn token(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Token) {
        return failure_answer(&failure);
    }
    let answer = read_form(&headers, &body).and_then(|form| {
        let client = known_client(&app, &form)?;
        match form.value("grant_type") {
            Some("authorization_code") => redeem_code(&app, &form, client),
            Some("refresh_token") => refresh(&app, &form, client),
            Some(_) => Err(TokenError::new(
                "unsupported_grant_type",
                "authorization_code or refresh_token",
            )),
            None => Err(TokenError::new("invalid_request", "grant_type is required")),
        }
    });
    match answer {
        Ok(answer) => no_store(StatusCode::OK, Json(answer).into_response()),
        Err(error) => error_answer(&error),
    }
}

/// `POST /oauth/revoke` (RFC 7009). Unknown tokens are answered like known ones.
pub(crate) async fn revoke(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(failure) = app.faults.next_failure(Endpoint::Revocation) {
        return failure_answer(&failure);
    }
    let answer = read_form(&headers, &body).and_then(|form| {
        let client = known_client(&app, &form)?;
        let token = form
            .value("token")
            .ok_or_else(|| TokenError::new("invalid_request", "token is required"))?;
        Ok(app.store.revoke_token(token, client)?)
    });
    match answer {
        Ok(()) => no_store(StatusCode::OK, StatusCode::OK.into_response()),
        Err(error) => error_answer(&error),
    }
}

fn read_form(headers: &HeaderMap, body: &[u8]) -> Result<Parameters, TokenError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content_type.split(';').next().map(str::trim) != Some("application/x-www-form-urlencoded") {
        return Err(TokenError::new(
            "invalid_request",
            "the body must be application/x-www-form-urlencoded",
        ));
    }
    let form = Parameters::parse(body);
    if form.repeats() {
        return Err(TokenError::new("invalid_request", "a parameter is there more than once"));
    }
    Ok(form)
}

fn known_client<'a>(app: &App, form: &'a Parameters) -> Result<&'a str, TokenError> {
    let client = form
        .value("client_id")
        .ok_or_else(|| TokenError::new("invalid_client", "client_id is required"))?;
    match app.store.client_redirects(client)? {
        Some(_) => Ok(client),
        None => Err(TokenError::new("invalid_client", "no such client")),
    }
}

fn redeem_code(
    app: &App,
    form: &Parameters,
    client: &str,
) -> Result<serde_json::Value, TokenError> {
    let code =
        form.value("code").ok_or_else(|| TokenError::new("invalid_request", "code is required"))?;
    let verifier = form
        .value("code_verifier")
        .ok_or_else(|| TokenError::new("invalid_request", "code_verifier is required"))?;
    // The code is spent from here on, also when what follows does not fit: a code in wrong hands
    // must not get a second try.
    let grant = app
        .store
        .take_code(code)?
        .ok_or_else(|| TokenError::new("invalid_grant", "the code is unknown or was used"))?;
    if grant.client != client {
        return Err(TokenError::new("invalid_grant", "the code was made for another client"));
    }
    if grant.expires <= now_millis() {
        return Err(TokenError::new("invalid_grant", "the code has expired"));
    }
    if form.value("redirect_uri") != Some(&grant.redirect_uri) {
        return Err(TokenError::new(
            "invalid_grant",
            "redirect_uri differs from the authorisation request",
        ));
    }
    if !(43..=128).contains(&verifier.len()) || sha256_base64url(verifier) != grant.challenge {
        return Err(TokenError::new(
            "invalid_grant",
            "code_verifier does not fit the code_challenge",
        ));
    }
    issue(app, grant.family, &grant.patient, &grant.scope, &grant.scope)
}

fn refresh(app: &App, form: &Parameters, client: &str) -> Result<serde_json::Value, TokenError> {
    let token = form
        .value("refresh_token")
        .ok_or_else(|| TokenError::new("invalid_request", "refresh_token is required"))?;
    let narrower = form.value("scope");
    let outcome = app.store.take_refresh_token(token, client, |granted| {
        narrower.is_none_or(|scope| within(scope, granted))
    })?;
    match outcome {
        RefreshOutcome::Fresh(spent) => {
            issue(app, spent.family, &spent.patient, narrower.unwrap_or(&spent.scope), &spent.scope)
        }
        RefreshOutcome::Replayed => Err(TokenError::new(
            "invalid_grant",
            "the refresh token was used before; the authorisation is revoked",
        )),
        RefreshOutcome::Unknown => {
            Err(TokenError::new("invalid_grant", "the refresh token is unknown or revoked"))
        }
        RefreshOutcome::ScopeTooWide => {
            Err(TokenError::new("invalid_scope", "the scope goes beyond what was granted"))
        }
    }
}

/// The token response. A refresh token keeps the scope of the approval even when this access token
/// is narrower.
fn issue(
    app: &App,
    family: i64,
    patient: &str,
    scope: &str,
    approved_scope: &str,
) -> Result<serde_json::Value, TokenError> {
    let lifetime = app.config.token_lifetime;
    let millis = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
    let access = app.store.issue_token(
        family,
        "access",
        scope,
        Some(now_millis().saturating_add(millis)),
    )?;
    let mut answer = json!({
        "access_token": access,
        "token_type": "Bearer",
        "expires_in": lifetime.as_secs(),
        "scope": scope,
    });
    if gives_patient(approved_scope) {
        answer["patient"] = json!(patient);
    }
    if app.config.issues_refresh_tokens && gives_refresh(approved_scope) {
        answer["refresh_token"] =
            json!(app.store.issue_token(family, "refresh", approved_scope, None)?);
    }
    Ok(answer)
}

fn error_answer(error: &TokenError) -> Response {
    let body = json!({ "error": error.error, "error_description": error.description });
    no_store(error.status, Json(body).into_response())
}

fn no_store(status: StatusCode, response: Response) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], response)
        .into_response()
}
