//! In front of a real server: what goes on to it, and what does not.

use std::{
    io::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::HeaderMap,
    response::Response as Answer,
};
use flate2::{Compression, write::GzEncoder};
use reqwest::StatusCode;
use sandbox_ehr::{Endpoint, Limits, Sandbox, SandboxBuilder, SandboxError};
use serde_json::{Value, json};

use crate::{app::*, bundles::*};

/// A request as it reached the server behind.
struct Arrived {
    method: String,
    uri: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A server that writes down what it gets. It knows Nora, and answers everything else with the same
/// odd words.
#[derive(Clone, Default)]
struct Behind(Arc<Mutex<Vec<Arrived>>>);

const WORDS: &str = "{ \"words\" : 100.10 }\n";

impl Behind {
    async fn start(path: &str) -> (Self, String) {
        let behind = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}{path}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(behind.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (behind, base)
    }

    /// Everything that arrived since the last look, but for questions about Nora.
    fn arrived(&self) -> Vec<Arrived> {
        let mut arrived = std::mem::take(&mut *self.0.lock().unwrap());
        arrived.retain(|request| !request.uri.contains("/Patient"));
        arrived
    }
}

async fn answer(State(behind): State<Behind>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let nora =
        json!({ "resourceType": "Patient", "id": "nora", "name": [{ "text": "Nora Nilsen" }] });
    let nora = match head.uri.path_and_query().unwrap().as_str() {
        "/r4/base/Patient/nora" => Some(nora),
        "/r4/base/Patient?_count=50" => {
            Some(json!({ "resourceType": "Bundle", "entry": [{ "resource": nora }] }))
        }
        _ => None,
    };
    let (method, uri) = (head.method.to_string(), head.uri.to_string());
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    behind.0.lock().unwrap().push(Arrived { method, uri, headers: head.headers, body });
    match nora {
        Some(found) => Answer::new(Body::from(found.to_string())),
        None => Answer::builder()
            .status(412)
            .header("content-type", "application/fhir+json;charset=UTF-8")
            .header("etag", "W/\"7\"")
            .body(Body::from(WORDS))
            .unwrap(),
    }
}

async fn in_front() -> (Sandbox, Behind) {
    in_front_with(|builder| builder).await
}

async fn in_front_with(change: impl FnOnce(SandboxBuilder) -> SandboxBuilder) -> (Sandbox, Behind) {
    let (behind, base) = Behind::start("/r4/base").await;
    let builder = change(Sandbox::builder().in_front_of(base).auto_approve("nora"));
    (builder.start().await.unwrap(), behind)
}

fn body() -> Value {
    bundle(vec![entry(reading(0)), entry(device())])
}

/// Posts to the base, as a transaction goes.
async fn post_to_base(
    clinic: &Sandbox,
    token: &str,
    body: Vec<u8>,
) -> Result<reqwest::Response, reqwest::Error> {
    let request = http()
        .post(clinic.base_url())
        .bearer_auth(token)
        .header("content-type", "application/fhir+json");
    request.body(body).send().await
}

#[tokio::test]
async fn a_request_goes_on_as_it_came_and_its_answer_comes_back_as_it_is() {
    let (clinic, behind) = in_front().await;
    assert!(clinic.base_url().ends_with("/r4/base"));
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    behind.arrived();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(body().to_string().as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let answer = http()
        .post(format!("{}/?_format=json&x=a%20b|c", clinic.base_url()))
        .bearer_auth(&token)
        .header("content-type", "application/fhir+json; charset=utf-8")
        .header("content-encoding", "gzip")
        .header("accept", "application/fhir+json")
        .header("prefer", "return=minimal")
        .body(gzip.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(answer.headers()["content-type"], "application/fhir+json;charset=UTF-8");
    assert_eq!(answer.headers()["etag"], "W/\"7\"");
    assert_eq!(answer.text().await.unwrap(), WORDS);

    let arrived = behind.arrived();
    assert_eq!(arrived.len(), 1);
    let Arrived { method, uri, headers, body } = &arrived[0];
    assert_eq!((method.as_str(), uri.as_str()), ("POST", "/r4/base/?_format=json&x=a%20b|c"));
    assert!(*body == gzip, "the very bytes");
    for (name, value) in [
        ("content-type", "application/fhir+json; charset=utf-8"),
        ("content-encoding", "gzip"),
        ("accept", "application/fhir+json"),
        ("prefer", "return=minimal"),
        ("host", &format!("127.0.0.1:{}", clinic.port())),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    assert!(headers.get("authorization").is_none(), "the token is the front's own");
}

#[tokio::test]
async fn only_metadata_is_there_for_everybody_and_nothing_goes_on_that_no_scope_covers() {
    let (clinic, behind) = in_front().await;
    let base = clinic.base_url();
    let capability = http().get(format!("{base}/metadata")).send().await.unwrap();
    assert_eq!(capability.text().await.unwrap(), WORDS, "the server's own");
    let discovery =
        http().get(format!("{base}/.well-known/smart-configuration")).send().await.unwrap();
    assert_eq!(text(&json(discovery).await, "issuer"), base);
    assert_eq!(behind.arrived().len(), 1);

    for path in ["/Observation", "/Observation/7", ""] {
        let answer = http().get(format!("{base}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let token =
        access_token(&clinic, "launch/patient patient/Observation.cs patient/Patient.r").await;
    behind.arrived();
    for (path, expected) in
        [("Observation?code=1", 412), ("Observation/7", 403), ("Device", 403), ("Patient/ben", 403)]
    {
        assert_eq!(get(&clinic, &token, path).await.status().as_u16(), expected, "{path}");
    }
    let refused = post_to_base(&clinic, &token, body().to_string().into()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "the device is not covered");
    assert_eq!(
        post_to_base(&clinic, &token, b"no bundle".into()).await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let observation = bundle(vec![entry(reading(0))]).to_string();
    assert_eq!(
        post_to_base(&clinic, &token, observation.clone().into()).await.unwrap().status().as_u16(),
        412
    );
    clinic.revoke_all_tokens().unwrap();
    let revoked = post_to_base(&clinic, &token, observation.into()).await.unwrap();
    assert_eq!(revoked.status(), StatusCode::UNAUTHORIZED);
    let uris: Vec<_> = behind.arrived().into_iter().map(|request| request.uri).collect();
    assert_eq!(uris, ["/r4/base/Observation?code=1", "/r4/base"]);

    let elsewhere = base.replace("/r4/base", "/clinic");
    assert_eq!(http().get(elsewhere).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_logs_in_is_one_of_the_servers_people() {
    let (clinic, _behind) = in_front().await;
    let token = connect(&clinic, GUIDE_SCOPES).await;
    assert_eq!(text(&token, "patient"), "nora");
    let record = get(&clinic, &text(&token, "access_token"), "Patient/nora").await;
    assert_eq!(json(record).await["id"], "nora");

    clinic.set_auto_approve(Some("amy-shaw")).unwrap();
    assert_eq!(
        authorize(&clinic, &[]).await.status(),
        StatusCode::BAD_REQUEST,
        "not the sandbox's own"
    );
    clinic.set_auto_approve(None).unwrap();
    let page = authorize(&clinic, &[]).await.text().await.unwrap();
    assert!(page.contains("value=\"nora\"") && !page.contains("amy-shaw"), "{page}");
}

#[tokio::test]
async fn trouble_asked_for_happens_in_front() {
    let (clinic, behind) = in_front().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    behind.arrived();
    let post = || post_to_base(&clinic, &token, body().to_string().into());
    clinic.fail_next(1, 503, Some("7")).unwrap();
    let failed = post().await.unwrap();
    assert_eq!(
        (failed.status().as_u16(), failed.headers()["retry-after"].to_str().unwrap()),
        (503, "7")
    );
    clinic.drop_request_next();
    assert!(post().await.is_err());
    clinic.fail_next_at(Endpoint::Read, 1, 500, None).unwrap();
    let metadata = || http().get(format!("{}/metadata", clinic.base_url())).send();
    assert_eq!(metadata().await.unwrap().status().as_u16(), 500);
    assert!(behind.arrived().is_empty(), "so far nothing went on");

    clinic.drop_response_next();
    assert!(post().await.is_err());
    assert_eq!(behind.arrived().len(), 1, "the server has it, and nobody knows");
    assert_eq!(post().await.unwrap().status().as_u16(), 412);
    assert_eq!(metadata().await.unwrap().status().as_u16(), 412);
}

#[tokio::test]
async fn what_is_too_large_is_refused_in_front() {
    let limits = Limits { max_body_bytes: 20, ..Limits::default() };
    let (clinic, behind) = in_front_with(|builder| builder.limits(limits)).await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    behind.arrived();
    let answer = post_to_base(&clinic, &token, body().to_string().into()).await.unwrap();
    assert_eq!((answer.status().as_u16(), behind.arrived().len()), (413, 0));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_502_and_one_elsewhere_is_none_to_stand_in_front_of() {
    let port =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let clinic = Sandbox::builder()
        .in_front_of(format!("http://127.0.0.1:{port}/fhir"))
        .start()
        .await
        .unwrap();
    let answer = http().get(format!("{}/metadata", clinic.base_url())).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let elsewhere = Sandbox::builder().in_front_of("http://ehr.example/fhir").start().await;
    assert!(matches!(elsewhere, Err(SandboxError::Upstream(_))));
}
