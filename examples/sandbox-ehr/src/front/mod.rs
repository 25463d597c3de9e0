//! Standing in front of a real FHIR server, as hospitals put a SMART proxy before theirs:
//! discovery, login, tokens and scopes are the sandbox's, and every request they cover goes on as
//! it came, its answer back as it is. It stores nothing and judges no resource; what a search finds
//! is not filtered either.

mod covered;
mod upstream;

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Request, State},
    http::{Method, Uri, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;

pub(crate) use self::upstream::Upstream;
use self::{covered::covered, upstream::Unanswered};
use crate::{
    app::App,
    faults::{Cut, Endpoint},
    fhir::outcome::Refusal,
    http::{authorise, failure_answer, no_such_route, refusal_answer},
    listener::Scissors,
    oauth::scopes::GrantedScopes,
    store::AccessToken,
    submit::{ReadBody, decode, read_body, too_long},
};

/// Any request that is not the sandbox's own business.
pub(crate) async fn pass_on(
    State(app): State<App>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let Some(path) =
        app.upstream.as_ref().and_then(|upstream| upstream.below_base(head.uri.path()))
    else {
        return no_such_route().await;
    };
    let path = path.to_owned();
    let body = read_body(body, app.config.limits.max_body_bytes).await;
    let answer = if is_submission(&head.method, &path) {
        submit(&app, &scissors, head, &path, body).await
    } else {
        read(&app, head, &path, body).await
    };
    answer.unwrap_or_else(|refused| refused)
}

fn is_submission(method: &Method, path: &str) -> bool {
    *method == Method::POST && !path.ends_with("/_search")
}

async fn submit(
    app: &App,
    scissors: &Scissors,
    head: Parts,
    path: &str,
    body: ReadBody,
) -> Result<Response, Response> {
    let _in_flight = app.faults.enter();
    let delay = app.faults.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(failure) = app.faults.next_failure(Endpoint::Submit) {
        return Err(failure_answer(&failure));
    }
    let token = authorise(app, &head.headers).map_err(IntoResponse::into_response)?;
    let cut = app.faults.next_cut();
    if cut == Some(Cut::BeforeProcessing) {
        scissors.cut();
        return Err(refusal_answer(&Refusal::internal()));
    }
    let answer =
        allowed(app, &token, &head, path, body).map_err(|refusal| refusal_answer(&refusal));
    let answer = match answer {
        Ok(body) => forward(app, head, body).await,
        Err(refused) => Err(refused),
    };
    if cut == Some(Cut::AfterCommit) {
        scissors.cut();
    }
    answer
}

async fn read(app: &App, head: Parts, path: &str, body: ReadBody) -> Result<Response, Response> {
    if let Some(failure) = app.faults.next_failure(Endpoint::Read) {
        return Err(failure_answer(&failure));
    }
    // What a server can do is for everybody to see.
    let body = if head.method == Method::GET && path == "metadata" {
        whole(app, body)
    } else {
        let token = authorise(app, &head.headers).map_err(IntoResponse::into_response)?;
        allowed(app, &token, &head, path, body)
    };
    forward(app, head, body.map_err(|refusal| refusal_answer(&refusal))?).await
}

/// The body as it came, if the token's scopes cover the request.
fn allowed(
    app: &App,
    token: &AccessToken,
    head: &Parts,
    path: &str,
    body: ReadBody,
) -> Result<Bytes, Refusal> {
    let body = whole(app, body)?;
    let resource: Option<Value> = if is_submission(&head.method, path) || head.method == Method::PUT
    {
        let text = decode(app, &head.headers, body.to_vec())?;
        Some(
            serde_json::from_slice(&text)
                .map_err(|_| Refusal::malformed("the body is not JSON"))?,
        )
    } else {
        None
    };
    let scopes = GrantedScopes::parse(&token.scope);
    if covered(&scopes, &token.patient, head.method.as_str(), path, resource.as_ref()) {
        Ok(body)
    } else {
        Err(Refusal::forbidden("outside the access token's scopes"))
    }
}

fn whole(app: &App, body: ReadBody) -> Result<Bytes, Refusal> {
    match body {
        ReadBody::Whole(bytes) => Ok(bytes.into()),
        ReadBody::TooLong(_) => Err(too_long(app)),
        ReadBody::Broken => Err(Refusal::malformed("the body ended early")),
    }
}

async fn forward(app: &App, head: Parts, body: Bytes) -> Result<Response, Response> {
    let no_answer = |Unanswered| {
        refusal_answer(&Refusal::new(502, "transient", "the server behind does not answer"))
    };
    match &app.upstream {
        Some(upstream) => upstream.send(head, body).await.map_err(no_answer),
        None => Err(no_answer(Unanswered)),
    }
}

/// The people one can log in as: the first page of those the server behind has.
pub(crate) async fn patients(upstream: &Upstream) -> Vec<Value> {
    let found = upstream.get("Patient?_count=50").await.unwrap_or_default();
    let entries = found["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().map(|entry| entry["resource"].clone()).collect()
}

/// Whether the server behind has this person.
pub(crate) async fn has_patient(upstream: &Upstream, id: &str) -> bool {
    let is_id = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    is_id && upstream.get(&format!("Patient/{id}")).await.is_some_and(|found| found["id"] == id)
}

/// The same request for another server.
fn readdressed(uri: &Uri, origin: &str) -> Option<Uri> {
    let path = uri.path_and_query().map_or("/", axum::http::uri::PathAndQuery::as_str);
    format!("{origin}{path}").parse().ok()
}
