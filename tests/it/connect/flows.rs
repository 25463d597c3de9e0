//! From "connect" to a confirmed connection and back.

use super::world::*;
use cgm_submitter::ErrorKind;
use cgm_submitter::connect::{ConnectError, EndpointError, Receiver, TokenError};
use cgm_submitter::environment::{Clock, TransportError};
use cgm_submitter::fhir::{Dialect, ResourceType, SearchToken};
use cgm_submitter::smart::{BaseError, CallbackError, DiscoveryError, TokenResponseError};
use cgm_submitter::store::ConnectionState;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::fmt::Write as _;

#[tokio::test]
async fn a_connection_begun_in_one_process_is_completed_in_another() {
    let world = World::new();
    let request = world.process().begin(&receiver()).await.unwrap();
    assert_eq!(request.expires_at, world.clock.now() + TimeDelta::hours(1));
    let back = world.server.browser(&request);

    let connector = world.process();
    let record = connector.complete(&back).await.unwrap();
    assert_eq!(
        (record.state, record.patient.as_str()),
        (ConnectionState::Unconfirmed, "patient-1")
    );
    assert_eq!(record.details.patient_name.as_deref(), Some("Ana Popescu"));
    assert_eq!(record.details.birth_date.as_deref(), Some("1980-02-29"));
    assert_eq!(record.details.dialect.as_deref(), Some("hl7-cgm"));
    assert!(record.details.scopes.contains("patient/Observation.cu?category=laboratory"));

    let record = connector.confirm(record.id).await.unwrap();
    assert_eq!((record.state, record.details.confirmed), (ConnectionState::Active, true));
    assert!(world.record(record.id).await == record);
    let token = world.process().access_token(record.id).await.unwrap();
    assert!(token.scopes().may_create(ResourceType::Observation, Some(SearchToken::LABORATORY)));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
    assert_eq!(world.vault.names("token"), ["cgm/db-1/token/1-0"]);
}

#[tokio::test]
async fn a_dialect_the_app_told_is_spoken_whatever_the_receiver_shows() {
    let world = World::new();
    let connector = world.process();
    let told = receiver().with_dialect(Dialect::Plain);
    let request = connector.begin(&told).await.unwrap();
    let record = connector.complete(&world.server.browser(&request)).await.unwrap();
    assert_eq!(record.details.dialect.as_deref(), Some(Dialect::Plain.code()));
}

#[tokio::test]
async fn a_callback_counts_once() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    let (one, two) = tokio::join!(connector.complete(&back), connector.complete(&back));
    assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|ok| **ok).count(), 1);
    assert!(matches!(connector.complete(&back).await, Err(ConnectError::UnknownAuthorisation)));
    assert_eq!(world.server.seen("/token").len(), 1);
}

#[tokio::test]
async fn a_callback_from_elsewhere_is_refused_and_the_right_one_still_counts() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    let forged = format!("{REDIRECT}?code=evil&state=other");
    assert!(matches!(connector.complete(&forged).await, Err(ConnectError::UnknownAuthorisation)));
    let elsewhere = back.replace("com.example.app", "com.evil.app");
    let error = connector.complete(&elsewhere).await.unwrap_err();
    assert!(matches!(error, ConnectError::Callback(CallbackError::OtherRedirectUri)), "{error}");
    assert_eq!(world.server.seen("/token").len(), 0);
    assert!(connector.complete(&back).await.is_ok());
}

#[tokio::test]
async fn a_refusal_in_the_browser_is_told_apart_and_ends_the_authorisation() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = format!("{REDIRECT}?error=access_denied&state={}", request.state);
    let error = connector.complete(&back).await.unwrap_err();
    assert_eq!(judged(error), ("access-denied", ErrorKind::NeedsPerson));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
}

#[tokio::test]
async fn a_late_callback_is_refused_and_leaves_nothing_behind() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.pass(TimeDelta::hours(2));
    assert!(matches!(
        connector.complete(&back).await,
        Err(ConnectError::Callback(CallbackError::Expired))
    ));
    assert_eq!(world.vault.names("pending"), Vec::<String>::new());
}

#[tokio::test]
async fn authorisations_nobody_finished_are_removed() {
    let world = World::new();
    let connector = world.process();
    for _ in 0..20 {
        connector.begin(&receiver()).await.unwrap();
    }
    assert_eq!(world.vault.names("pending").len(), 16);
    world.pass(TimeDelta::hours(2));
    connector.begin(&receiver()).await.unwrap();
    assert_eq!(world.vault.names("pending").len(), 1);
    connector.forget_secrets().await.unwrap();
    assert_eq!(world.vault.names(""), Vec::<String>::new());
}

#[tokio::test]
async fn scopes_the_receiver_does_not_know_are_asked_for_more_simply_next_time() {
    let world = World::new();
    world.server.with(|state| state.granular = false);
    let connector = world.process();
    let error = world.connect(&connector).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Scopes(refused) if refused.simpler_left), "{error}");
    let record = world.connect(&world.process()).await.unwrap();
    assert!(
        record.details.scopes.contains("patient/Observation.cu")
            && !record.details.scopes.contains('?')
    );
}

#[tokio::test]
async fn after_the_simplest_scopes_it_is_said_that_none_are_left_and_what_the_server_named() {
    let world = World::new();
    let connector = world.process();
    let why = "no 'patient/Device.write' and patient/Device.cu for Jane Doe (p-77)";
    world.server.with(|state| state.refuses_scopes = Some(why));
    for round in 0..2 {
        for (simpler_left, named) in [
            (true, "patient/Device.cu"),
            (true, "patient/Device.cu"),
            (false, "patient/Device.write"),
        ] {
            let error = world.connect(&connector).await.unwrap_err();
            let ConnectError::Scopes(refused) = &error else { panic!("{error}") };
            assert_eq!(
                (refused.simpler_left, &*refused.named),
                (simpler_left, &[named][..]),
                "{round}"
            );
            let said = error.to_string();
            assert_eq!(said.contains("simpler ones are asked for then"), simpler_left, "{said}");
            assert_eq!(said.contains("no simpler ones are left"), !simpler_left, "{said}");
            assert!(said.contains(named) && !said.contains("Jane") && !said.contains("p-77"));
            assert_eq!(judged(error), ("scopes-refused", ErrorKind::NeedsPerson));
        }
    }
    world.server.with(|state| state.refuses_scopes = None);
    let record = world.connect(&connector).await.unwrap();
    assert!(record.details.scopes.contains('?'), "after the last refusal all are asked for again");
}

#[tokio::test]
async fn scopes_refused_at_the_token_endpoint_are_treated_the_same() {
    let world = World::new();
    let connector = world.process();
    let answer = r#"{"error":"invalid_scope","error_description":"patient/Device.cu: no"}"#;
    world.server.with(|state| state.answer_next = Some((400, answer)));
    let error = world.connect(&connector).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Scopes(refused)
            if refused.simpler_left && refused.named == ["patient/Device.cu"]),
        "{error}"
    );
    let record = world.connect(&connector).await.unwrap();
    assert!(!record.details.scopes.contains('?'));
}

#[tokio::test]
async fn an_app_that_is_not_registered_is_told_to_look_at_its_registration() {
    let world = World::new();
    let connector = world.process();
    let registration = |error: ConnectError| {
        assert!(error.to_string().contains("check the app's registration"), "{error}");
        assert_eq!(judged(error), ("app-registration", ErrorKind::Unavailable));
    };
    for answer in [
        (401, r#"{"error":"invalid_client"}"#),
        (400, r#"{"error":"unauthorized_client"}"#),
        (401, ""),
    ] {
        world.server.with(|state| state.answer_next = Some(answer));
        registration(world.connect(&connector).await.unwrap_err());
    }
    let request = connector.begin(&receiver()).await.unwrap();
    let back = format!("{REDIRECT}?error=unauthorized_client&state={}", request.state);
    registration(connector.complete(&back).await.unwrap_err());
    world.server.with(|state| {
        let methods = json!(["client_secret_basic", "private_key_jwt"]);
        state.configuration["token_endpoint_auth_methods_supported"] = methods;
        state.configuration["capabilities"] = json!(["client-confidential-asymmetric"]);
    });
    registration(connector.begin(&receiver()).await.unwrap_err());
}

#[tokio::test]
async fn errors_name_the_host_and_the_cause_and_no_address() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    let cases = [
        (TransportError::Unreachable, "no connection to the receiver"),
        (TransportError::Untrusted, "certificate is not trusted"),
    ];
    for (cause, text) in cases {
        world.server.with(|state| state.offline_for_all = Some(cause));
        let begun = connector.begin(&receiver()).await.unwrap_err().to_string();
        assert!(begun.contains(text) && begun.contains("(ehr.example)"), "{begun}");
        let completed = connector.complete(&back).await.unwrap_err().to_string();
        assert!(completed.contains(text) && completed.contains("(auth.example)"), "{completed}");
        assert!(!begun.contains("https:") && !completed.contains("code"), "{begun} {completed}");
    }
    world.server.with(|state| state.offline_for_all = None);
    let nowhere = Receiver::new("https://ehr.example/other", "my-app", REDIRECT).unwrap();
    let error = connector.begin(&nowhere).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "ehr.example answered 404 when asked for its SMART configuration: check the base URL"
    );
}

#[tokio::test]
async fn endpoints_at_two_origins_need_an_issuer_and_a_named_issuer_must_be_known() {
    let world = World::new();
    let connector = world.process();
    let with_issuer = |back: &str, issuer: &str| {
        let issuer: String = url::form_urlencoded::byte_serialize(issuer.as_bytes()).collect();
        format!("{back}&iss={issuer}")
    };
    // Both at one origin, no issuer: fine, unless the callback says a name nobody knows.
    let request = connector.begin(&receiver()).await.unwrap();
    let back = with_issuer(&world.server.browser(&request), "https://auth.example");
    let error = connector.complete(&back).await.unwrap_err();
    assert!(matches!(error, ConnectError::Callback(CallbackError::UnknownIssuer)), "{error}");
    assert_eq!(world.server.seen("/token").len(), 0, "the code went nowhere");
    assert!(world.connect(&connector).await.is_ok());

    // The person would sign in at one server, and the code go to another.
    world.server.with(|state| {
        state.configuration["authorization_endpoint"] = "https://login.example/authorize".into();
    });
    let error = connector.begin(&receiver()).await.unwrap_err();
    assert!(
        matches!(error, ConnectError::Discovery { error: DiscoveryError::NoIssuer, .. }),
        "{error}"
    );
    world.server.with(|state| {
        state.configuration["issuer"] = "https://login.example".into();
    });
    let request = connector.begin(&receiver()).await.unwrap();
    let forged = with_issuer(&world.server.browser(&request), "https://auth.example");
    let error = connector.complete(&forged).await.unwrap_err();
    assert!(matches!(error, ConnectError::Callback(CallbackError::OtherIssuer)), "{error}");
    let request = connector.begin(&receiver()).await.unwrap();
    let back = with_issuer(&world.server.browser(&request), "https://login.example");
    assert!(connector.complete(&back).await.is_ok());
}

#[tokio::test]
async fn a_token_without_patient_is_an_error_and_never_a_search() {
    let world = World::new();
    world.server.with(|state| state.patient = None);
    let error = world.connect(&world.process()).await.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Endpoint {
                error: EndpointError::Response(TokenResponseError::NoPatient),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(judged(error), ("receiver-configuration", ErrorKind::Unavailable));
    assert_eq!(world.server.seen("/Patient").len(), 0);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-2"]);
    assert_eq!(world.vault.names("token"), Vec::<String>::new());
    assert!(world.store().call(|store| store.connections()).await.unwrap().is_empty());
}

#[tokio::test]
async fn authorising_anew_for_the_same_patient_makes_the_connection_active_again() {
    let world = World::new();
    let connector = world.process();
    let first = world.connect(&connector).await.unwrap();
    connector.confirm(first.id).await.unwrap();
    let reauthorise = ConnectionState::NeedsReauthorisation;
    world
        .store()
        .call(move |store| store.set_connection_state(first.id, reauthorise))
        .await
        .unwrap();
    let again = world.connect(&connector).await.unwrap();
    assert_eq!((again.id, again.state), (first.id, ConnectionState::Active));
    assert_eq!(carried(&connector.access_token(first.id).await.unwrap()), "access-4");
}

#[tokio::test]
async fn authorising_for_another_patient_blocks_the_connection_and_keeps_no_token() {
    let world = World::new();
    let connector = world.process();
    let id = world.connect(&connector).await.unwrap().id;
    connector.confirm(id).await.unwrap();
    world.server.with(|state| state.patient = Some("patient-2"));
    assert!(matches!(world.connect(&connector).await, Err(ConnectError::OtherPatient)));
    assert_eq!(world.record(id).await.state, ConnectionState::OtherPatient);
    assert_eq!(world.server.with(|state| state.revoked.clone()), ["refresh-4"]);
    assert!(matches!(connector.access_token(id).await, Err(TokenError::OtherPatient)));
    assert!(matches!(connector.confirm(id).await, Err(ConnectError::OtherPatient)));
    let kept = world.vault.entries.lock().unwrap().values().any(|text| text.contains("access-4"));
    assert!(!kept && world.server.seen("/Patient/patient-2").is_empty());
}

#[tokio::test]
async fn a_code_that_never_reached_the_receiver_can_be_used_when_the_network_is_back() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.server.with(|state| state.fail_next = Some(TransportError::Unreachable));
    let error = connector.complete(&back).await.unwrap_err();
    assert_eq!(judged(error), ("receiver-unreachable", ErrorKind::TryAgain));
    assert!(world.process().complete(&back).await.is_ok());
}

#[tokio::test]
async fn a_code_whose_answer_was_lost_is_not_sent_again() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let back = world.server.browser(&request);
    world.server.with(|state| state.lose_next_answer = true);
    let lost = judged(connector.complete(&back).await.unwrap_err());
    assert_eq!(lost, ("authorisation-lost", ErrorKind::NeedsPerson));
    assert!(matches!(connector.complete(&back).await, Err(ConnectError::UnknownAuthorisation)));
    assert_eq!(world.server.seen("/token").len(), 1);
}

#[test]
fn plain_http_is_refused() {
    let error = Receiver::new("http://ehr.example/fhir", "my-app", REDIRECT).unwrap_err();
    assert!(matches!(error, ConnectError::Base(BaseError::InsecureUrl)));
    assert_eq!(judged(error), ("insecure-url", ErrorKind::Invalid));
    assert!(matches!(Receiver::new(BASE, " ", REDIRECT), Err(ConnectError::ClientId)));
    assert!(matches!(Receiver::new(BASE, "my-app", "callback"), Err(ConnectError::Redirect(_))));
}

#[tokio::test]
async fn a_malformed_discovery_document_is_named() {
    let world = World::new();
    let cases = [
        (json!([]), DiscoveryError::Unreadable),
        (
            json!({"authorization_endpoint": "https://a.example/"}),
            DiscoveryError::Missing("token_endpoint"),
        ),
    ];
    for (document, expected) in cases {
        world.server.with(|state| state.configuration = document);
        let error = world.process().begin(&receiver()).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Discovery { error: found, .. } if found == expected),
            "{error}"
        );
    }
    let nowhere = Receiver::new("https://ehr.example/other", "my-app", REDIRECT).unwrap();
    let error = world.process().begin(&nowhere).await.unwrap_err();
    assert!(matches!(error, ConnectError::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn nothing_shown_holds_a_secret_or_a_name() {
    let world = World::new();
    let connector = world.process();
    let request = connector.begin(&receiver()).await.unwrap();
    let pending = world.vault.entries.lock().unwrap().values().last().cloned().unwrap();
    let verifier =
        serde_json::from_str::<Value>(&pending).unwrap()["verifier"].as_str().unwrap().to_owned();
    let back = world.server.browser(&request);
    let record = connector.complete(&back).await.unwrap();
    let token = connector.access_token(record.id).await.unwrap();
    let mut shown = format!(
        "{request:?} {record:?} {:?} {token:?} {connector:?} {:?}",
        record.details,
        receiver()
    );

    world.pass(TimeDelta::hours(2));
    world.server.with(|state| state.refresh = None);
    let refused = connector.access_token(record.id).await.unwrap_err();
    let replayed = connector.complete(&back).await.unwrap_err();
    let denied = connector.begin(&receiver()).await.unwrap();
    let url = format!("{REDIRECT}?error=Ana+Popescu&state={}", denied.state);
    let named = connector.complete(&url).await.unwrap_err();
    write!(shown, "{refused} {refused:?} {replayed} {replayed:?} {named} {named:?}").unwrap();
    let wire = http::Request::get(format!("{BASE}/Patient")).body(Vec::new()).unwrap();
    write!(shown, "{:?}", token.authorised_request(wire).unwrap()).unwrap();

    let secrets = [
        request.state.as_str(),
        &verifier,
        "access-",
        "refresh-",
        "code-",
        "Ana",
        "Popescu",
        "Jane",
        "patient-1",
        "1980",
    ];
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
