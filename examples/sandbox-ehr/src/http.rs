//! Routes, and the few things all answers have in common: media types, bearer tokens, refusals, the
//! request log. No token, patient or value reaches the log: it names the route's pattern, not the
//! path.

use std::io::Write as _;

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    middleware::{self, Next},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};

use crate::{
    SandboxError,
    app::App,
    clinic,
    clock::now_millis,
    faults::Failure,
    fhir::outcome::Refusal,
    front::{self, Upstream},
    oauth::{authorize, token},
    query,
    store::AccessToken,
    submit,
};

pub(crate) const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

pub(crate) fn router(app: App) -> Router {
    let routes = match &app.upstream {
        Some(upstream) => in_front_of(upstream),
        None => receiver(),
    };
    routes
        .route("/oauth/authorize", get(authorize::authorize))
        .route("/oauth/decision", post(authorize::decision))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(token::revoke))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

fn in_front_of(upstream: &Upstream) -> Router<App> {
    Router::new()
        .route(
            &format!("{}/.well-known/smart-configuration", upstream.path()),
            get(query::smart_configuration),
        )
        .fallback(front::pass_on)
}

fn receiver() -> Router<App> {
    Router::new()
        .route("/", get(clinic::overview))
        .route("/clinic", get(clinic::overview))
        .route("/clinic/{patient}", get(clinic::patient))
        .route("/clinic/{patient}/{kind}/{id}", get(clinic::resource))
        .route("/fhir/.well-known/smart-configuration", get(query::smart_configuration))
        .route("/fhir/metadata", get(query::metadata))
        .route("/fhir/$submit-cgm-bundle", post(submit::submit))
        .route("/fhir/%24submit-cgm-bundle", post(submit::submit))
        .route("/fhir/{kind}", get(query::search))
        .route("/fhir/{kind}/{id}", get(query::read))
        .route("/fhir/{kind}/{id}/_history/{version}", get(query::read_version))
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
}

/// Answers only requests that mean this machine (a web page elsewhere could point its name at
/// 127.0.0.1), and logs.
async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if !names_loopback(request.headers()) {
        return refusal_answer(&Refusal::forbidden("this server answers on 127.0.0.1 only"));
    }
    if !app.config.log_requests {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(passed on or no route)".to_owned(), |path| path.as_str().to_owned());
    let started = now_millis();
    let response = next.run(request).await;
    let (status, took) = (response.status().as_u16(), now_millis() - started);
    // Nobody may read the log; the request was answered all the same.
    let _ = writeln!(std::io::stderr(), "{method} {route} {status} {took} ms");
    response
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let host = host.to_str().unwrap_or_default();
    let name = host
        .rsplit_once(':')
        .map_or(host, |(name, port)| if port.ends_with(']') { host } else { name });
    ["127.0.0.1", "localhost", "[::1]"].contains(&name)
}

pub(crate) async fn no_such_route() -> Response {
    refusal_answer(&Refusal::not_found(
        "nothing is served here; submit to [base]/$submit-cgm-bundle",
    ))
}

async fn no_such_method() -> Response {
    let text =
        "this method is not supported here; data is accepted by POST [base]/$submit-cgm-bundle";
    refusal_answer(&Refusal::new(405, "not-supported", text))
}

/// Who the request acts for, by its bearer token.
pub(crate) fn authorise(app: &App, headers: &HeaderMap) -> Result<AccessToken, Unauthorised> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = token else { return Err(Unauthorised::NoToken) };
    match app.store.access_token(token) {
        Ok(Some(token)) => Ok(token),
        Ok(None) => Err(Unauthorised::InvalidToken),
        Err(_) => Err(Unauthorised::Unknown),
    }
}

/// Why a request acts for no one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unauthorised {
    NoToken,
    InvalidToken,
    /// The database could not be read.
    Unknown,
}

impl IntoResponse for Unauthorised {
    fn into_response(self) -> Response {
        let (challenge, text) = match self {
            Self::NoToken => ("Bearer", "an access token is required"),
            Self::InvalidToken => (
                r#"Bearer error="invalid_token""#,
                "the access token is unknown, expired or revoked",
            ),
            Self::Unknown => return refusal_answer(&Refusal::internal()),
        };
        let mut response = refusal_answer(&Refusal::new(401, "login", text));
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(challenge));
        response
    }
}

/// A header's media type and parameters, lower-cased if case does not count.
pub(crate) fn media_type(
    headers: &HeaderMap,
    name: &HeaderName,
) -> (String, Vec<(String, String)>) {
    let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
    let parameters = parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| {
            (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned())
        })
        .collect();
    (kind, parameters)
}

pub(crate) fn fhir_answer(status: u16, text: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, FHIR_JSON)], Body::from(text)).into_response()
}

pub(crate) fn refusal_answer(refusal: &Refusal) -> Response {
    fhir_answer(refusal.status, refusal.outcome().to_string())
}

/// A failure a test asked for.
pub(crate) fn failure_answer(failure: &Failure) -> Response {
    let mut response =
        refusal_answer(&Refusal::new(failure.status, "transient", "this failure was asked for"));
    if let Some(after) =
        failure.retry_after.as_deref().and_then(|after| header::HeaderValue::from_str(after).ok())
    {
        response.headers_mut().insert(header::RETRY_AFTER, after);
    }
    response
}

/// The sandbox itself failed while a person was looking.
pub(crate) fn server_error_page(_: &SandboxError) -> Response {
    let text = "<!DOCTYPE html><title>Sandbox EHR</title><p>The sandbox could not read or write \
        its database.</p>";
    (StatusCode::INTERNAL_SERVER_ERROR, Html(text)).into_response()
}
