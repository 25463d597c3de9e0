//! A minimal app: authorises, submits, reads. All that these tests have in common.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Response, StatusCode, redirect::Policy};
use sandbox_ehr::Sandbox;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub const REDIRECT: &str = "http://127.0.0.1:45678/callback";
pub const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-0123456789";
pub const GUIDE_SCOPES: &str = "launch/patient offline_access patient/Patient.r \
    patient/ServiceRequest.rs?code=cgm-data-submission-standing-order \
    patient/DiagnosticReport.cu?category=LAB patient/Observation.cu?category=laboratory \
    patient/Device.cu";
pub const ALL_SCOPES: &str = "launch/patient offline_access patient/Patient.rs \
    patient/ServiceRequest.rs \
    patient/DiagnosticReport.cruds patient/Observation.cruds patient/Device.cruds";

pub fn http() -> reqwest::Client {
    reqwest::Client::builder().redirect(Policy::none()).build().unwrap()
}

pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

pub async fn amys_clinic() -> Sandbox {
    Sandbox::builder().auto_approve("amy-shaw").start().await.unwrap()
}

pub fn origin(clinic: &Sandbox) -> String {
    format!("http://127.0.0.1:{}", clinic.port())
}

/// An authorisation request with the given parameters changed (`None` leaves one out).
pub async fn authorize(clinic: &Sandbox, changes: &[(&str, Option<&str>)]) -> Response {
    let base = clinic.base_url();
    let challenge = challenge(VERIFIER);
    let client = clinic.client_id();
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", &client),
        ("redirect_uri", REDIRECT),
        ("scope", GUIDE_SCOPES),
        ("state", "state-of-the-app"),
        ("aud", &base),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        parameters.extend(value.map(|value| (*name, value)));
    }
    let url = format!("{}/oauth/authorize", origin(clinic));
    http().get(url).query(&parameters).send().await.unwrap()
}

/// The parameters a callback carries.
pub fn callback(response: &Response) -> std::collections::HashMap<String, String> {
    assert_eq!(response.status(), StatusCode::FOUND);
    let location = response.headers()["location"].to_str().unwrap();
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

pub async fn token_request(clinic: &Sandbox, form: &[(&str, &str)]) -> Response {
    let url = format!("{}/oauth/token", origin(clinic));
    http().post(url).form(form).send().await.unwrap()
}

pub async fn redeem(clinic: &Sandbox, code: &str) -> Response {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", &clinic.client_id()),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    token_request(clinic, &form).await
}

pub async fn refresh(clinic: &Sandbox, refresh_token: &str) -> Response {
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token),
        ("client_id", &clinic.client_id()),
    ];
    token_request(clinic, &form).await
}

pub async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

pub fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// A whole token response for these scopes.
pub async fn connect(clinic: &Sandbox, scopes: &str) -> Value {
    let code = callback(&authorize(clinic, &[("scope", Some(scopes))]).await)["code"].clone();
    let response = redeem(clinic, &code).await;
    assert_eq!(response.status(), StatusCode::OK);
    json(response).await
}

pub async fn access_token(clinic: &Sandbox, scopes: &str) -> String {
    text(&connect(clinic, scopes).await, "access_token")
}

pub async fn get(clinic: &Sandbox, token: &str, path: &str) -> Response {
    http().get(format!("{}/{path}", clinic.base_url())).bearer_auth(token).send().await.unwrap()
}

pub async fn post(
    clinic: &Sandbox,
    token: &str,
    body: impl Into<reqwest::Body>,
) -> Result<Response, reqwest::Error> {
    let request =
        http().post(format!("{}/$submit-cgm-bundle", clinic.base_url())).bearer_auth(token);
    request.header("content-type", "application/fhir+json").body(body).send().await
}

/// Submits and gives the answer's status and body.
pub async fn submit(clinic: &Sandbox, token: &str, bundle: &Value) -> (StatusCode, Value) {
    let response = post(clinic, token, bundle.to_string()).await.unwrap();
    (response.status(), json(response).await)
}

/// Submits what is expected to be answered entry by entry; gives the entries' `response`s.
pub async fn submit_entries(clinic: &Sandbox, token: &str, bundle: &Value) -> Vec<Value> {
    let (status, answer) = submit(clinic, token, bundle).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["type"], "transaction-response");
    let entries = answer["entry"].as_array().unwrap();
    assert_eq!(entries.len(), bundle["entry"].as_array().unwrap().len());
    entries.iter().map(|entry| entry["response"].clone()).collect()
}

pub fn statuses(responses: &[Value]) -> Vec<&str> {
    responses
        .iter()
        .map(|response| response["status"].as_str().unwrap().split_once(' ').unwrap().0)
        .collect()
}

/// What an `OperationOutcome` says.
pub fn diagnostics(outcome: &Value) -> &str {
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    outcome["issue"][0]["diagnostics"].as_str().unwrap()
}
