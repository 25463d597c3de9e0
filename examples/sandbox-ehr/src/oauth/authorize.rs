//! The authorisation endpoint: checks an app's request, asks the person (or answers at once in
//! auto-approve mode), and sends the browser back. A request with an unknown app or redirect never
//! redirects anywhere.

use axum::{
    body::Bytes,
    extract::{RawQuery, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    form::Parameters,
    page::{approval_page, error_page},
    redirect::{is_allowed, with_answer},
    scopes::grant,
};
use crate::{
    SandboxError,
    app::App,
    clock::now_millis,
    front,
    http::server_error_page,
    store::{NewCode, StoredResource},
};

/// How long the approval page may stay open.
const PAGE_LIFETIME_MILLIS: i64 = 30 * 60 * 1000;

const NO_SUCH_PATIENT: &str = "No such patient. Start again from the app.";

/// A request that was found in order and waits for the person.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AuthorizationRequest {
    pub(super) client: String,
    redirect_uri: String,
    state: String,
    challenge: String,
    pub(super) scopes: Vec<String>,
}

impl AuthorizationRequest {
    fn redirect(&self, issuer: &str, answer: &[(&str, &str)]) -> Response {
        redirect_back(&self.redirect_uri, Some(&self.state), issuer, answer)
    }
}

/// `GET /oauth/authorize`.
pub(crate) async fn authorize(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let parameters = Parameters::parse(query.unwrap_or_default().as_bytes());
    let answer = match check(&app, &parameters) {
        Ok(Ok(request)) => match app.auto_approve() {
            Some(patient) => approve(&app, &request, &patient).await,
            None => ask(&app, &request).await,
        },
        Ok(Err(refused)) => Ok(refused),
        Err(error) => Err(error),
    };
    answer.unwrap_or_else(|error| server_error_page(&error))
}

/// `POST /oauth/decision`: the form of the approval page.
pub(crate) async fn decision(State(app): State<App>, body: Bytes) -> Response {
    decide(&app, &Parameters::parse(&body)).await.unwrap_or_else(|error| server_error_page(&error))
}

async fn decide(app: &App, form: &Parameters) -> Result<Response, SandboxError> {
    let kept = match form.value("request") {
        Some(id) => app.store.take_pending(id)?,
        None => None,
    };
    let Some(kept) = kept else {
        return Ok(bad_request(
            "This page was answered already or is too old. Start again from the app.",
        ));
    };
    let mut request: AuthorizationRequest = serde_json::from_str(&kept)?;
    if form.value("decision") != Some("allow") {
        let answer = [("error", "access_denied"), ("error_description", "the person declined")];
        return Ok(request.redirect(&app.base, &answer));
    }
    let chosen: Vec<&str> = form.all("scope").collect();
    request.scopes.retain(|scope| chosen.contains(&scope.as_str()));
    match form.value("patient") {
        Some(patient) => approve(app, &request, patient).await,
        None => Ok(bad_request(NO_SUCH_PATIENT)),
    }
}

/// The request as it may be put to the person, or the answer that ends it here.
fn check(
    app: &App,
    parameters: &Parameters,
) -> Result<Result<AuthorizationRequest, Response>, SandboxError> {
    let registered = match parameters.value("client_id") {
        Some(client) => app.store.client_redirects(client)?,
        None => None,
    };
    let (Some(client), Some(registered)) = (parameters.value("client_id"), registered) else {
        return Ok(Err(bad_request("This app (client_id) is not registered here.")));
    };
    let Some(redirect_uri) =
        parameters.value("redirect_uri").filter(|uri| is_allowed(uri, &registered))
    else {
        return Ok(Err(bad_request(
            "The address to return to (redirect_uri) is not registered for this app.",
        )));
    };
    let state = parameters.value("state");
    let refuse = |error: &str, description: &str| {
        let answer = [("error", error), ("error_description", description)];
        Ok(Err(redirect_back(redirect_uri, state, &app.base, &answer)))
    };
    if parameters.repeats() {
        return refuse("invalid_request", "a parameter is there more than once");
    }
    if parameters.value("response_type") != Some("code") {
        return refuse("unsupported_response_type", "response_type must be code");
    }
    let Some(state) = state else { return refuse("invalid_request", "state is required") };
    if parameters.value("aud") != Some(&app.base) {
        return refuse("invalid_request", "aud must be the FHIR base URL of this server");
    }
    if parameters.value("code_challenge_method") != Some("S256") {
        return refuse("invalid_request", "code_challenge_method must be S256");
    }
    let Some(challenge) =
        parameters.value("code_challenge").filter(|challenge| is_challenge(challenge))
    else {
        return refuse("invalid_request", "code_challenge must be 43 characters of base64url");
    };
    let requested = parameters.value("scope").unwrap_or_default();
    let scopes = match grant(requested, app.config.scopes, app.scope_ceiling().as_deref()) {
        Ok(scopes) => scopes,
        Err(description) => return refuse("invalid_scope", description),
    };
    Ok(Ok(AuthorizationRequest {
        client: client.to_owned(),
        redirect_uri: redirect_uri.to_owned(),
        state: state.to_owned(),
        challenge: challenge.to_owned(),
        scopes,
    }))
}

/// Base64url of 32 bytes, without padding.
fn is_challenge(text: &str) -> bool {
    text.len() == 43
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

async fn ask(app: &App, request: &AuthorizationRequest) -> Result<Response, SandboxError> {
    let id = app
        .store
        .keep_pending(&serde_json::to_string(request)?, now_millis() + PAGE_LIFETIME_MILLIS)?;
    let patients = match &app.upstream {
        Some(upstream) => front::patients(upstream).await,
        None => app.store.patients()?.iter().map(StoredResource::json).collect::<Result<_, _>>()?,
    };
    Ok(Html(approval_page(&id, request, &patients).into_string()).into_response())
}

async fn approve(
    app: &App,
    request: &AuthorizationRequest,
    patient: &str,
) -> Result<Response, SandboxError> {
    let known = match &app.upstream {
        Some(upstream) => front::has_patient(upstream, patient).await,
        None => app.store.resource("Patient", patient)?.is_some(),
    };
    if !known {
        return Ok(bad_request(NO_SUCH_PATIENT));
    }
    let lifetime = i64::try_from(app.config.code_lifetime.as_millis()).unwrap_or(i64::MAX);
    let code = app.store.issue_code(&NewCode {
        client: &request.client,
        patient,
        scope: &request.scopes.join(" "),
        redirect_uri: &request.redirect_uri,
        challenge: &request.challenge,
        expires: now_millis().saturating_add(lifetime),
    })?;
    Ok(request.redirect(&app.base, &[("code", &code)]))
}

/// Sends the browser back to the app. `iss` lets the app tell servers apart (RFC 9207).
fn redirect_back(
    redirect_uri: &str,
    state: Option<&str>,
    issuer: &str,
    answer: &[(&str, &str)],
) -> Response {
    let mut answer = answer.to_vec();
    answer.extend(state.map(|state| ("state", state)));
    answer.push(("iss", issuer));
    let location = with_answer(redirect_uri, &answer);
    (
        StatusCode::FOUND,
        [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store".to_owned())],
    )
        .into_response()
}

fn bad_request(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, Html(error_page(text).into_string())).into_response()
}
