//! `POST /fhir/$submit-cgm-bundle` as a request: media type, encoding, size, token, and the
//! answer's outer form. What is in the Bundle is judged by `transaction`.

mod entry;
mod transaction;

use std::io::Read as _;

use axum::{
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use flate2::read::MultiGzDecoder;
use http_body_util::BodyExt as _;

use crate::{
    app::App,
    clock::now_millis,
    faults::{Cut, Endpoint},
    fhir::{bundle::parse_bundle, outcome::Refusal},
    http::{authorise, failure_answer, fhir_answer, media_type, refusal_answer},
    listener::Scissors,
    oauth::scopes::GrantedScopes,
    store::{AccessToken, NewSubmission},
};

/// A refused upload is read to its end up to this size, so that the sender sees the answer instead
/// of a broken pipe.
const DRAIN_BYTES: usize = 256 * 1024 * 1024;

/// Answers one submission.
pub(crate) async fn submit(
    State(app): State<App>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let _in_flight = app.faults.enter();
    let received = now_millis();
    let body = read_body(body, app.config.limits.max_body_bytes).await;
    let delay = app.faults.delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    if let Some(failure) = app.faults.next_failure(Endpoint::Submit) {
        return failure_answer(&failure);
    }
    let token = match authorise(&app, &headers) {
        Ok(token) => token,
        Err(unauthorised) => return unauthorised.into_response(),
    };
    let cut = app.faults.next_cut();
    if cut == Some(Cut::BeforeProcessing) {
        scissors.cut();
        return refusal_answer(&Refusal::internal());
    }
    let work = {
        let app = app.clone();
        move || process(&app, &token, &headers, body, received)
    };
    let answer = tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| refusal_answer(&Refusal::internal()));
    if cut == Some(Cut::AfterCommit) {
        scissors.cut();
    }
    answer
}

pub(crate) enum ReadBody {
    Whole(Vec<u8>),
    /// More than the limit; the number of bytes seen.
    TooLong(usize),
    Broken,
}

pub(crate) async fn read_body(mut body: Body, limit: usize) -> ReadBody {
    let (mut bytes, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return ReadBody::Broken };
        let Some(data) = frame.data_ref() else { continue };
        seen += data.len();
        if seen <= limit {
            bytes.extend_from_slice(data);
        } else if seen > DRAIN_BYTES {
            break;
        }
    }
    if seen <= limit { ReadBody::Whole(bytes) } else { ReadBody::TooLong(seen) }
}

fn process(
    app: &App,
    token: &AccessToken,
    headers: &HeaderMap,
    body: ReadBody,
    received: i64,
) -> Response {
    let mut record = NewSubmission {
        received,
        patient: token.patient.clone(),
        client: token.client.clone(),
        ..NewSubmission::default()
    };
    record.bytes = match &body {
        ReadBody::Whole(bytes) => bytes.len(),
        ReadBody::TooLong(seen) => *seen,
        ReadBody::Broken => 0,
    };
    let refusal = match read_and_run(app, token, headers, body, &mut record) {
        Ok(answer) => return fhir_answer(200, answer),
        Err(refusal) => refusal,
    };
    record.status = refusal.status;
    match app.store.write(|transaction| record.insert(transaction)) {
        Ok(()) => refusal_answer(&refusal),
        Err(_) => refusal_answer(&Refusal::internal()),
    }
}

fn read_and_run(
    app: &App,
    token: &AccessToken,
    headers: &HeaderMap,
    body: ReadBody,
    record: &mut NewSubmission,
) -> Result<String, Refusal> {
    let limits = app.config.limits;
    let scopes = GrantedScopes::parse(&token.scope);
    if !scopes.create_anything() {
        return Err(Refusal::forbidden("the access token has no scope to create anything"));
    }
    check_media_type(headers)?;
    let bytes = match body {
        ReadBody::Whole(bytes) => decode(app, headers, bytes)?,
        ReadBody::TooLong(_) => return Err(too_long(app)),
        ReadBody::Broken => return Err(Refusal::malformed("the body ended early")),
    };
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Refusal::malformed("the body is not UTF-8"))?;
    let bundle = parse_bundle(text, limits.max_entries, limits.over_limit_status)?;
    record.entries = bundle.entries.len();
    transaction::run(app, token, &scopes, &bundle, record).map_err(|_| Refusal::internal())
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let refusal = |text: &str| Err(Refusal::new(415, "not-supported", text));
    let (kind, parameters) = media_type(headers, &header::CONTENT_TYPE);
    if !["application/fhir+json", "application/json"].contains(&kind.as_str()) {
        return refusal("Content-Type must be application/fhir+json");
    }
    if parameters
        .iter()
        .any(|(name, value)| name == "charset" && !value.eq_ignore_ascii_case("utf-8"))
    {
        return refusal("the charset must be utf-8");
    }
    Ok(())
}

/// The body as text bytes, inflated when it says so. The limit holds for the inflated size too.
pub(crate) fn decode(app: &App, headers: &HeaderMap, bytes: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let encoding =
        headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or_default());
    match encoding {
        None | Some("identity") => Ok(bytes),
        Some("gzip") if app.config.accepts_gzip => {
            let limit = app.config.limits.max_body_bytes;
            let mut inflated = Vec::new();
            let cap = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
            MultiGzDecoder::new(bytes.as_slice())
                .take(cap)
                .read_to_end(&mut inflated)
                .map_err(|_| Refusal::malformed("the body is not valid gzip"))?;
            if inflated.len() > limit { Err(too_long(app)) } else { Ok(inflated) }
        }
        Some(_) => {
            Err(Refusal::new(415, "not-supported", "this Content-Encoding is not supported"))
        }
    }
}

pub(crate) fn too_long(app: &App) -> Refusal {
    let limits = app.config.limits;
    let text = format!("the body is larger than {} bytes", limits.max_body_bytes);
    Refusal::new(limits.over_limit_status, "too-long", text)
}
