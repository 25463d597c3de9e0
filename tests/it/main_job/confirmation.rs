//! Before anything is sent: a receiver one may send to, a redirect that was asked for, and a person
//! who said "this is me".

use crate::tape::Fate;
use crate::world::{AMY, MASS, NO_WAIT, REDIRECT, World, own, stock, submit, submit_all};
use cgm_submitter::connect::ConnectError;
use cgm_submitter::smart::{BaseError, CallbackError, DiscoveryError};
use cgm_submitter::store::ConnectionState;
use cgm_submitter::{Error, Receiver};
use serde_json::json;

#[tokio::test]
async fn nothing_is_sent_before_the_person_confirmed_the_patient() {
    let world = World::new().await;
    let app = world.app();
    stock(&app, 30).await;
    let connection = world.authorise(&app, AMY).await.unwrap();
    let shown = (connection.patient.name.as_deref(), connection.patient.birth_date.as_deref());
    assert_eq!(shown, (Some("Amy Shaw"), Some("1987-02-20")));

    let error = app.submit_now(connection.id, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Blocked(ConnectionState::Unconfirmed)), "{error}");
    assert!(
        error.kind() == cgm_submitter::ErrorKind::NeedsPerson
            && error.to_string().contains("confirm_patient"),
        "{error}"
    );
    assert_eq!(
        app.preview(connection.id, own()).await.unwrap().readings_to_send(),
        30,
        "what would go is shown"
    );
    world.later(&app).await;
    drop(app);
    world.later(&world.app()).await;
    assert!(world.tape.bundles().is_empty());

    let app = world.app();
    app.confirm_patient(connection.id).await.unwrap();
    submit_all(&app, connection.id).await;
    world.assert_complete(30);
}

#[tokio::test]
async fn a_patient_whose_name_could_not_be_read_is_fetched_before_anyone_confirms() {
    let world = World::new().await;
    let app = world.app();
    world.tape.answer_at("/Patient/amy-shaw", 503, String::new());
    let connection = world.authorise(&app, AMY).await.unwrap();
    assert_eq!((connection.patient.name, connection.patient.birth_date), (None, None));
    let error = app.fetch_patient(connection.id).await.unwrap_err();
    assert_eq!((error.code().word(), error.retryable()), ("receiver-unavailable", true));

    world.tape.no_rule();
    for _ in 0..2 {
        let error = app.confirm_patient(connection.id).await.unwrap_err();
        assert_eq!(error.code().word(), "patient-unknown");
        assert!(error.to_string().contains("fetch the patient"), "{error}");
        assert!(error.code().action().contains("fetch_patient"));
    }
    let state = app.connections().await.unwrap()[0].state;
    assert_eq!(state, ConnectionState::Unconfirmed);

    let patient = app.fetch_patient(connection.id).await.unwrap().patient;
    assert_eq!(patient.name.as_deref(), Some("Amy Shaw"));
    assert_eq!(patient.birth_date.as_deref(), Some("1987-02-20"));
    app.confirm_patient(connection.id).await.unwrap();
    assert_eq!(app.connections().await.unwrap()[0].state, ConnectionState::Active);
}

#[test]
fn only_https_receivers_are_taken_loopback_excepted() {
    for base in
        ["http://ehr.example.org/fhir", "http://10.0.0.1/fhir", "http://127.0.0.1.example.org/fhir"]
    {
        let error = Receiver::new(base, "app", REDIRECT).unwrap_err();
        assert!(matches!(error, ConnectError::Base(BaseError::InsecureUrl)), "{base}: {error}");
    }
    for base in
        ["https://ehr.example.org/fhir", "http://127.0.0.1:8080/fhir", "http://[::1]:8080/fhir"]
    {
        assert!(Receiver::new(base, "app", REDIRECT).is_ok(), "{base}");
    }
}

#[tokio::test]
async fn a_receiver_with_a_malformed_discovery_document_is_refused_and_named() {
    let world = World::new().await;
    let app = world.app();
    let good = json!({
        "authorization_endpoint": "https://ehr.example.org/authorize",
        "token_endpoint": "https://ehr.example.org/token",
        "code_challenge_methods_supported": ["S256"], "capabilities": [],
    });
    let with = |field: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed.to_string()
    };
    let cases = [
        ("<html>".to_owned(), DiscoveryError::Unreadable),
        ("[]".to_owned(), DiscoveryError::Unreadable),
        (with("token_endpoint", json!(null)), DiscoveryError::Missing("token_endpoint")),
        (
            with("authorization_endpoint", json!(7)),
            DiscoveryError::Malformed("authorization_endpoint"),
        ),
        (
            with("token_endpoint", json!("http://ehr.example.org/token")),
            DiscoveryError::InsecureUrl("token_endpoint"),
        ),
        (with("code_challenge_methods_supported", json!(["plain"])), DiscoveryError::NoS256),
    ];
    for (document, expected) in cases {
        world.tape.answer_at("/smart-configuration", 200, document);
        let error = app.begin_connection(world.receiver()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Connect(ConnectError::Discovery { error: found, .. })
                if *found == expected),
            "{error}"
        );
        assert_eq!((error.code().word(), error.retryable()), ("receiver-configuration", false));
    }
    world.tape.rule(|_| Fate::Answer(404, String::new()));
    let error = app.begin_connection(world.receiver()).await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::Status { status: 404, .. })), "{error}");
    world.tape.no_rule();
    assert!(app.begin_connection(world.receiver()).await.is_ok());
}

#[tokio::test]
async fn a_callback_with_a_foreign_state_is_refused_and_the_right_one_still_counts_once() {
    let world = World::new().await;
    let app = world.app();
    let request = app.begin_connection(world.receiver()).await.unwrap();
    let callback = world.browse(&request.url).await;

    let forged = callback.replace(&request.state, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY");
    assert_ne!(forged, callback);
    let error = app.complete_connection(forged).await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::UnknownAuthorisation)), "{error}");
    for nonsense in
        ["", "org.example.app:/callback", "org.example.app:/callback?code=x", "not a url"]
    {
        let error = app.complete_connection(nonsense.to_owned()).await.unwrap_err();
        assert!(matches!(error, Error::Connect(ConnectError::Callback(_))), "{nonsense}: {error}");
    }
    assert!(app.connections().await.unwrap().is_empty());

    // In a new process, as after the app was killed while the browser was in front.
    drop(app);
    let app = world.app();
    app.complete_connection(callback.clone()).await.unwrap();
    let tokens = world.tape.sent_to("/oauth/token").len();
    let error = app.complete_connection(callback).await.unwrap_err();
    assert!(matches!(error, Error::Connect(ConnectError::UnknownAuthorisation)), "{error}");
    assert_eq!(world.tape.sent_to("/oauth/token").len(), tokens, "a code is used once");
    assert_eq!(app.connections().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_person_who_says_no_in_the_browser_is_told_so() {
    let world = World::new().await;
    let app = world.app();
    let request = app.begin_connection(world.receiver()).await.unwrap();
    let issuer: String =
        url::form_urlencoded::byte_serialize(world.clinic.base_url().as_bytes()).collect();
    let denied = format!("{REDIRECT}?error=access_denied&state={}&iss={issuer}", request.state);
    let error = app.complete_connection(denied).await.unwrap_err();
    assert!(
        matches!(error, Error::Connect(ConnectError::Callback(CallbackError::AccessDenied))),
        "{error}"
    );
    assert!(app.connections().await.unwrap().is_empty());
}

/// Makes the clinic say nothing of CGM data.
fn speak_of_nothing(world: &World) {
    let statement = json!({"resourceType": "CapabilityStatement"}).to_string();
    world.tape.answer_at("/metadata", 200, statement);
}

#[tokio::test]
async fn a_receiver_that_speaks_no_known_guide_is_sent_nothing_and_leaves_nothing_queued() {
    let world = World::new().await;
    let app = world.app();
    stock(&app, 30).await;
    speak_of_nothing(&world);
    let connection = world.connect(&app).await;
    let error = app.submit_now(connection, own(), NO_WAIT, |_| ()).await.unwrap_err();
    assert!(matches!(error, Error::Dialect), "{error}");
    world.later(&app).await;
    assert!(world.tape.bundles().is_empty());
}

#[tokio::test]
async fn a_receiver_that_cannot_be_served_any_more_holds_up_no_other() {
    let world = World::new().await;
    let (app, first) = world.ready(30).await;
    world.clinic.fail_next(1, 503, Some("5")).unwrap();
    submit(&app, first).await;
    speak_of_nothing(&world);
    world.authorise(&app, AMY).await.unwrap();
    world.tape.no_rule();

    let other = sandbox_ehr::Sandbox::builder().auto_approve(AMY).start().await.unwrap();
    let receiver = Receiver::new(&other.base_url(), &other.client_id(), REDIRECT).unwrap();
    let request = app.begin_connection(receiver).await.unwrap();
    let second = app.complete_connection(world.browse(&request.url).await).await.unwrap();
    app.confirm_patient(second.id).await.unwrap();
    other.fail_next(1, 503, Some("5")).unwrap();
    submit(&app, second.id).await;

    world.clock.pass(chrono::TimeDelta::seconds(30));
    let due = app.run_due(NO_WAIT, |_| ()).await.unwrap();
    assert_eq!(other.resources(AMY, MASS).unwrap().len(), 30, "the other clinic is served");
    assert!(
        matches!(due.into_first_error(), Some(Error::Dialect)),
        "and the first one is still spoken of"
    );
    let logged = world.log.of("delivery-failed");
    assert_eq!(logged, ["Warn delivery-failed connection=1 code=receiver-dialect"]);
    assert!(world.holds("Observation").is_empty());
}
