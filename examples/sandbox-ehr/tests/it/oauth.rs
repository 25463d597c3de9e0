//! Authorisation: what an app gets when it follows the rules, and that it gets nothing when it does
//! not.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use sandbox_ehr::{Endpoint, Sandbox, ScopeSupport};

use crate::{app::*, bundles::*};

async fn assert_token_error(response: Response, error: &str) {
    assert_eq!(response.headers()["cache-control"], "no-store");
    let status = response.status();
    let body = json(response).await;
    assert_eq!((status, body["error"].as_str()), (StatusCode::BAD_REQUEST, Some(error)), "{body}");
}

async fn reads_patient(clinic: &Sandbox, token: &str) -> bool {
    get(clinic, token, "Patient/amy-shaw").await.status() == StatusCode::OK
}

#[tokio::test]
async fn an_app_that_follows_the_rules_is_connected() {
    let clinic = amys_clinic().await;
    let callback = callback(&authorize(&clinic, &[]).await);
    assert_eq!(callback["state"], "state-of-the-app");
    assert_eq!(callback["iss"], clinic.base_url());
    let response = redeem(&clinic, &callback["code"]).await;
    assert_eq!(response.headers()["cache-control"], "no-store");
    let token = json(response).await;
    assert_eq!(text(&token, "patient"), "amy-shaw");
    assert_eq!(text(&token, "token_type"), "Bearer");
    assert_eq!(token["expires_in"], 3600);
    assert_eq!(
        text(&token, "scope").split(' ').collect::<Vec<_>>(),
        GUIDE_SCOPES.split_whitespace().collect::<Vec<_>>()
    );
    let patient = json(get(&clinic, &text(&token, "access_token"), "Patient/amy-shaw").await).await;
    assert_eq!(
        (patient["name"][0]["family"].as_str(), patient["birthDate"].as_str()),
        (Some("Shaw"), Some("1987-02-20"))
    );
}

#[tokio::test]
async fn a_code_needs_its_verifier_redirect_and_client() {
    let clinic = Sandbox::builder()
        .client("cgm-demo")
        .client("other")
        .auto_approve("amy-shaw")
        .start()
        .await
        .unwrap();
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", "cgm-demo"),
        ("redirect_uri", REDIRECT),
        ("code_verifier", VERIFIER),
    ];
    for (name, wrong) in [
        ("code_verifier", "another-verifier-that-is-long-enough-0123456789"),
        ("redirect_uri", "http://127.0.0.1:45678/callback/"),
        ("redirect_uri", ""),
        ("client_id", "other"),
    ] {
        let code = callback(&authorize(&clinic, &[]).await)["code"].clone();
        let mut form = good.to_vec();
        form.retain(|(known, _)| *known != name);
        form.extend([(name, wrong), ("code", &code)]);
        assert_token_error(token_request(&clinic, &form).await, "invalid_grant").await;
        // A code in wrong hands is burnt.
        assert_token_error(redeem(&clinic, &code).await, "invalid_grant").await;
    }
    let code = callback(&authorize(&clinic, &[]).await)["code"].clone();
    assert_eq!(redeem(&clinic, &code).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_code_used_twice_ends_what_it_gave() {
    let clinic = amys_clinic().await;
    let code = callback(&authorize(&clinic, &[]).await)["code"].clone();
    let token = text(&json(redeem(&clinic, &code).await).await, "access_token");
    assert!(reads_patient(&clinic, &token).await);
    assert_token_error(redeem(&clinic, &code).await, "invalid_grant").await;
    assert!(!reads_patient(&clinic, &token).await);
}

#[tokio::test]
async fn a_code_expires() {
    let builder =
        Sandbox::builder().auto_approve("amy-shaw").code_lifetime(Duration::from_millis(20));
    let clinic = builder.start().await.unwrap();
    let code = callback(&authorize(&clinic, &[]).await)["code"].clone();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_token_error(redeem(&clinic, &code).await, "invalid_grant").await;
}

#[tokio::test]
async fn an_unknown_app_or_redirect_is_never_redirected_to() {
    let builder = Sandbox::builder().auto_approve("amy-shaw").client("cgm-demo");
    let clinic = builder
        .client_with_redirects("exact", ["com.example.app:/callback"])
        .start()
        .await
        .unwrap();
    for changes in [
        [("client_id", Some("nobody")), ("redirect_uri", Some(REDIRECT))],
        [("client_id", None), ("redirect_uri", Some(REDIRECT))],
        [
            ("client_id", Some("cgm-demo")),
            ("redirect_uri", Some("https://attacker.example/callback")),
        ],
        [("client_id", Some("cgm-demo")), ("redirect_uri", None)],
        [("client_id", Some("exact")), ("redirect_uri", Some(REDIRECT))],
    ] {
        let response = authorize(&clinic, &changes).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{changes:?}");
        assert!(!response.headers().contains_key("location"));
    }
    let exact = [("client_id", Some("exact")), ("redirect_uri", Some("com.example.app:/callback"))];
    assert!(callback(&authorize(&clinic, &exact).await).contains_key("code"));
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_answered_with_an_error_and_the_state() {
    let clinic = amys_clinic().await;
    for (name, value, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("aud", Some("http://127.0.0.1:1/fhir"), "invalid_request"),
        ("aud", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("scope", Some("openid profile"), "invalid_scope"),
        ("scope", None, "invalid_scope"),
    ] {
        let answer = callback(&authorize(&clinic, &[(name, value)]).await);
        assert_eq!(answer["error"], error, "{name} {value:?}");
        assert_eq!(answer["state"], "state-of-the-app");
        assert_eq!(answer["iss"], clinic.base_url());
        assert!(!answer.contains_key("code"));
    }
    assert_eq!(callback(&authorize(&clinic, &[("state", None)]).await)["error"], "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_whole_family() {
    let clinic = amys_clinic().await;
    let first = connect(&clinic, GUIDE_SCOPES).await;
    let second = json(refresh(&clinic, &text(&first, "refresh_token")).await).await;
    assert_eq!(text(&second, "patient"), "amy-shaw");
    assert_ne!(text(&second, "refresh_token"), text(&first, "refresh_token"));
    assert_ne!(text(&second, "access_token"), text(&first, "access_token"));
    assert!(reads_patient(&clinic, &text(&second, "access_token")).await);

    assert_token_error(refresh(&clinic, &text(&first, "refresh_token")).await, "invalid_grant")
        .await;
    assert_token_error(refresh(&clinic, &text(&second, "refresh_token")).await, "invalid_grant")
        .await;
    assert!(!reads_patient(&clinic, &text(&second, "access_token")).await);
}

#[tokio::test]
async fn a_refresh_may_narrow_the_scope_but_not_widen_it() {
    let clinic = amys_clinic().await;
    let first =
        connect(&clinic, "launch/patient offline_access patient/Patient.r patient/Device.cu").await;
    let client = clinic.client_id();
    let refresh_token = text(&first, "refresh_token");
    let with_scope = |scope| {
        vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.as_str()),
            ("client_id", &client),
            ("scope", scope),
        ]
    };
    let wider =
        token_request(&clinic, &with_scope("patient/Patient.r patient/Observation.cu")).await;
    assert_token_error(wider, "invalid_scope").await;
    let narrower = json(token_request(&clinic, &with_scope("patient/Device.cu")).await).await;
    assert_eq!(text(&narrower, "scope"), "patient/Device.cu");
    assert!(!reads_patient(&clinic, &text(&narrower, "access_token")).await);
    let full = json(refresh(&clinic, &text(&narrower, "refresh_token")).await).await;
    assert!(reads_patient(&clinic, &text(&full, "access_token")).await);
}

#[tokio::test]
async fn revoking_a_refresh_token_ends_the_family_and_an_access_token_only_itself() {
    let clinic = amys_clinic().await;
    let url = clinic.base_url().replace("/fhir", "/oauth/revoke");
    let client = clinic.client_id();
    let revoke = |token: String| {
        http().post(&url).form(&[("token", token), ("client_id", client.clone())]).send()
    };
    let token = connect(&clinic, GUIDE_SCOPES).await;
    assert_eq!(revoke(text(&token, "access_token")).await.unwrap().status(), StatusCode::OK);
    assert!(!reads_patient(&clinic, &text(&token, "access_token")).await);
    let again = json(refresh(&clinic, &text(&token, "refresh_token")).await).await;
    assert!(reads_patient(&clinic, &text(&again, "access_token")).await);

    assert_eq!(revoke(text(&again, "refresh_token")).await.unwrap().status(), StatusCode::OK);
    assert!(!reads_patient(&clinic, &text(&again, "access_token")).await);
    assert_token_error(refresh(&clinic, &text(&again, "refresh_token")).await, "invalid_grant")
        .await;
    assert_eq!(revoke("nothing-known".to_owned()).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_access_token_expires_and_the_answer_says_so() {
    let builder =
        Sandbox::builder().auto_approve("amy-shaw").token_lifetime(Duration::from_millis(50));
    let clinic = builder.start().await.unwrap();
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    let response = get(&clinic, &token, "Patient/amy-shaw").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");

    let lasting = amys_clinic().await;
    let token = connect(&lasting, GUIDE_SCOPES).await;
    lasting.expire_access_tokens().unwrap();
    assert!(!reads_patient(&lasting, &text(&token, "access_token")).await);
    let token = json(refresh(&lasting, &text(&token, "refresh_token")).await).await;
    assert!(reads_patient(&lasting, &text(&token, "access_token")).await);
    lasting.revoke_all_tokens().unwrap();
    assert!(!reads_patient(&lasting, &text(&token, "access_token")).await);
    assert_token_error(refresh(&lasting, &text(&token, "refresh_token")).await, "invalid_grant")
        .await;
}

#[tokio::test]
async fn what_was_not_asked_for_is_not_in_the_token_response() {
    let clinic = amys_clinic().await;
    let token = connect(&clinic, "patient/Patient.r").await;
    assert!(token.get("refresh_token").is_none() && token.get("patient").is_none());
    let without = Sandbox::builder()
        .auto_approve("amy-shaw")
        .issues_refresh_tokens(false)
        .start()
        .await
        .unwrap();
    assert!(connect(&without, GUIDE_SCOPES).await.get("refresh_token").is_none());
}

#[tokio::test]
async fn fewer_scopes_may_be_granted_than_requested() {
    let clinic = amys_clinic().await;
    clinic.set_scope_ceiling(Some(&["launch/patient", "patient/Device.cu"]));
    let token = connect(&clinic, GUIDE_SCOPES).await;
    assert_eq!(text(&token, "scope"), "launch/patient patient/Device.cu");
    let responses = submit_entries(
        &clinic,
        &text(&token, "access_token"),
        &bundle(vec![entry(device()), entry(reading(0))]),
    )
    .await;
    assert_eq!(statuses(&responses), ["201", "403"]);
}

#[tokio::test]
async fn a_server_without_granular_scopes_says_invalid_scope() {
    for (support, refused, granted) in [
        (
            ScopeSupport::ResourceLevel,
            "patient/Observation.cu?category=laboratory",
            "patient/Observation.cu",
        ),
        (ScopeSupport::Version1, "patient/Observation.cu", "patient/Observation.write"),
    ] {
        let clinic = Sandbox::builder()
            .auto_approve("amy-shaw")
            .scope_support(support)
            .start()
            .await
            .unwrap();
        assert_eq!(
            callback(&authorize(&clinic, &[("scope", Some(refused))]).await)["error"],
            "invalid_scope"
        );
        let token = access_token(&clinic, granted).await;
        let responses = submit_entries(&clinic, &token, &bundle(vec![entry(reading(0))])).await;
        assert_eq!(statuses(&responses), ["201"]);
    }
}

#[tokio::test]
async fn a_person_chooses_who_they_are_and_what_they_allow() {
    let clinic = Sandbox::builder().start().await.unwrap();
    let page = authorize(
        &clinic,
        &[("scope", Some("launch/patient patient/Patient.r patient/Device.cu"))],
    )
    .await;
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("Amy Shaw") && page.contains("Ben Okafor") && page.contains("Deny"));
    let request =
        page.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let url = clinic.base_url().replace("/fhir", "/oauth/decision");
    let allow = [
        ("request", request),
        ("patient", "ben-okafor"),
        ("scope", "launch/patient"),
        ("scope", "patient/Patient.r"),
        ("scope", "patient/Observation.cu"),
        ("decision", "allow"),
    ];
    let answer = callback(&http().post(&url).form(&allow).send().await.unwrap());
    let token = json(redeem(&clinic, &answer["code"]).await).await;
    assert_eq!(text(&token, "patient"), "ben-okafor");
    assert_eq!(text(&token, "scope"), "launch/patient patient/Patient.r");
    assert_eq!(
        http().post(&url).form(&allow).send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_person_can_decline() {
    let clinic = Sandbox::builder().start().await.unwrap();
    let page = authorize(&clinic, &[]).await.text().await.unwrap();
    let request =
        page.split("name=\"request\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let url = clinic.base_url().replace("/fhir", "/oauth/decision");
    let response =
        http().post(&url).form(&[("request", request), ("decision", "deny")]).send().await.unwrap();
    let answer = callback(&response);
    assert_eq!(
        (answer["error"].as_str(), answer["state"].as_str()),
        ("access_denied", "state-of-the-app")
    );
}

#[tokio::test]
async fn the_token_endpoint_refuses_what_is_not_a_token_request() {
    let clinic = amys_clinic().await;
    assert_token_error(
        token_request(&clinic, &[("client_id", "cgm-demo")]).await,
        "invalid_request",
    )
    .await;
    let grant = [("client_id", "cgm-demo"), ("grant_type", "password")];
    assert_token_error(token_request(&clinic, &grant).await, "unsupported_grant_type").await;
    let twice =
        [("client_id", "cgm-demo"), ("client_id", "cgm-demo"), ("grant_type", "refresh_token")];
    assert_token_error(token_request(&clinic, &twice).await, "invalid_request").await;
    let unknown =
        token_request(&clinic, &[("client_id", "nobody"), ("grant_type", "refresh_token")]).await;
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    clinic.fail_next_at(Endpoint::Token, 1, 503, Some("7")).unwrap();
    let failed = token_request(&clinic, &grant).await;
    assert_eq!(
        (failed.status().as_u16(), failed.headers()["retry-after"].as_bytes()),
        (503, b"7".as_slice())
    );
}
