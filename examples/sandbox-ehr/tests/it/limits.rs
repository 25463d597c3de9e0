//! Size, encoding, media type, and trouble asked for.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use reqwest::{Response, StatusCode};
use sandbox_ehr::{Limits, Sandbox};

use crate::{app::*, bundles::*};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn post_with(
    clinic: &Sandbox,
    token: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Response {
    let mut request = http()
        .post(format!("{}/$submit-cgm-bundle", clinic.base_url()))
        .bearer_auth(token)
        .body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

const JSON: (&str, &str) = ("content-type", "application/fhir+json");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[tokio::test]
async fn too_many_entries_or_bytes_are_413() {
    let body = bundle((0..3).map(|number| entry(reading(number * 5))).collect()).to_string();
    let smaller = bundle(vec![entry(reading(0))]).to_string();
    for (limits, expected) in [
        (Limits { max_entries: 2, ..Limits::default() }, "takes 2"),
        (Limits { max_body_bytes: body.len() - 1, ..Limits::default() }, "larger than"),
        (Limits { max_entries: 2, over_limit_status: 400, ..Limits::default() }, "takes 2"),
    ] {
        let clinic =
            Sandbox::builder().auto_approve("amy-shaw").limits(limits).start().await.unwrap();
        let token = access_token(&clinic, GUIDE_SCOPES).await;
        let response = post(&clinic, &token, body.clone()).await.unwrap();
        assert_eq!(response.status().as_u16(), limits.over_limit_status);
        assert!(diagnostics(&json(response).await).contains(expected));
        assert_eq!(post(&clinic, &token, smaller.clone()).await.unwrap().status(), StatusCode::OK);
    }
    let clinic = Sandbox::builder().auto_approve("amy-shaw");
    let clinic = clinic
        .limits(Limits { max_body_bytes: body.len(), max_entries: 3, ..Limits::default() })
        .start()
        .await
        .unwrap();
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    assert_eq!(post(&clinic, &token, body).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_far_too_large_still_gets_its_answer() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let response = post(&clinic, &token, vec![b' '; 20_000_000]).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(clinic.submissions().unwrap()[0].status, 413);
    assert_eq!(clinic.submissions().unwrap()[0].bytes, 20_000_000);
}

#[tokio::test]
async fn gzip_is_read_and_its_inflated_size_is_limited() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let good = gzip(bundle(vec![entry(reading(0))]).to_string().as_bytes());
    assert_eq!(
        post_with(&clinic, &token, &[JSON, GZIP], good.clone()).await.status(),
        StatusCode::OK
    );
    assert_eq!(clinic.resources("amy-shaw", "Observation").unwrap().len(), 1);

    let bomb = gzip(&vec![b' '; 50_000_000]);
    assert!(bomb.len() < 100_000);
    let response = post_with(&clinic, &token, &[JSON, GZIP], bomb).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let cut_short = good[..good.len() / 2].to_vec();
    assert_eq!(
        post_with(&clinic, &token, &[JSON, GZIP], cut_short).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        post_with(&clinic, &token, &[JSON], good.clone()).await.status(),
        StatusCode::BAD_REQUEST
    );

    let plain_only =
        Sandbox::builder().auto_approve("amy-shaw").accepts_gzip(false).start().await.unwrap();
    let token = access_token(&plain_only, GUIDE_SCOPES).await;
    let response = post_with(&plain_only, &token, &[JSON, GZIP], good).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn only_json_in_utf_8_is_read() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let body = bundle(vec![entry(reading(0))]).to_string().into_bytes();
    for (content_type, expected) in [
        ("application/fhir+json", 200),
        ("application/json", 200),
        ("application/fhir+json; charset=UTF-8", 200),
        ("application/fhir+json; fhirVersion=4.0", 200),
        ("application/fhir+json; charset=iso-8859-1", 415),
        ("application/fhir+xml", 415),
        ("text/plain", 415),
    ] {
        let response =
            post_with(&clinic, &token, &[("content-type", content_type)], body.clone()).await;
        assert_eq!(response.status().as_u16(), expected, "{content_type}");
    }
    assert_eq!(post_with(&clinic, &token, &[], body.clone()).await.status().as_u16(), 415);
    assert_eq!(
        post_with(&clinic, &token, &[JSON, ("content-encoding", "br")], body)
            .await
            .status()
            .as_u16(),
        415
    );
    let not_text = post_with(&clinic, &token, &[JSON], vec![0xff, 0xfe]).await;
    assert_eq!(not_text.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn failures_asked_for_come_as_often_as_asked() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    clinic.fail_next(2, 503, Some("120")).unwrap();
    clinic.fail_next(1, 429, None).unwrap();
    let body = bundle(vec![entry(reading(0))]).to_string();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let response = post(&clinic, &token, body.clone()).await.unwrap();
        let after =
            response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        seen.push((response.status().as_u16(), after));
    }
    assert_eq!(
        seen,
        [(503, Some("120".to_owned())), (503, Some("120".to_owned())), (429, None), (200, None)]
    );
    assert_eq!(clinic.resources("amy-shaw", "Observation").unwrap().len(), 1);
}

#[tokio::test]
async fn a_refusal_asked_for_lasts_until_it_is_lifted() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let both = bundle(vec![entry(reading(0)), entry(device())]);
    clinic.set_refusal("99504-3", Some(503)).unwrap();
    assert_eq!(statuses(&submit_entries(&clinic, &token, &both).await), ["503", "201"]);
    clinic.set_refusal("99504-3", None).unwrap();
    clinic.set_refusal("Device", Some(409)).unwrap();
    assert_eq!(statuses(&submit_entries(&clinic, &token, &both).await), ["201", "409"]);
    assert!(clinic.set_refusal("Device", Some(201)).is_err());
}

#[tokio::test]
async fn a_lost_answer_leaves_the_data_stored_and_a_lost_request_does_not() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let body = bundle(vec![conditional("one", reading(0))]);
    clinic.drop_request_next();
    assert!(post(&clinic, &token, body.to_string()).await.is_err());
    assert!(clinic.resources("amy-shaw", "Observation").unwrap().is_empty());

    clinic.drop_response_next();
    assert!(post(&clinic, &token, body.to_string()).await.is_err());
    assert_eq!(clinic.resources("amy-shaw", "Observation").unwrap().len(), 1);
    assert_eq!(statuses(&submit_entries(&clinic, &token, &body).await), ["200"]);
}
