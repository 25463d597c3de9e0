//! At its cap an input is read; one more and it is refused, by an error that names the cap.

use cgm_submitter::fhir::{
    Addresses, CGM_CODE_SYSTEM, CapabilityError, Comparison, OrderVocabulary, PROFILE_BASE,
    PatientError, PatientId, ResourceType, ResponseError, STANDING_ORDER, SearchError, compare,
    parse_capability, parse_found, parse_outcome, parse_patient, parse_response,
};
use cgm_submitter::import::{self, ImportError, ImportOptions};
use cgm_submitter::orders::{OrderError, parse_order_search};
use cgm_submitter::smart::{
    DiscoveryError, GrantedScopes, SmartConfiguration, TokenResponse, TokenResponseError,
    TokenState,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt::Display;
use url::Url;

const LARGEST: usize = 16 << 20;
const LIST: usize = 20_000;

/// The error names the cap.
fn names(error: &impl Display, cap: usize) {
    assert!(error.to_string().contains(&cap.to_string()), "{error}");
}

/// A document of exactly this many bytes.
fn padded(document: &Value, size: usize) -> Vec<u8> {
    let mut text = document.to_string().into_bytes();
    text.resize(size, b' ');
    text
}

fn patient() -> PatientId {
    PatientId::new("p-1").unwrap()
}

fn base() -> Url {
    Url::parse("https://ehr.example/fhir").unwrap()
}

fn smart(document: &[u8]) -> Result<SmartConfiguration, DiscoveryError> {
    SmartConfiguration::parse(&"https://ehr.example/fhir".parse().unwrap(), document)
}

fn discovery(issuer: &str, token_endpoint: &str) -> Value {
    json!({"issuer": issuer, "authorization_endpoint": "a", "token_endpoint": token_endpoint,
        "code_challenge_methods_supported": ["S256"]})
}

fn token(scope: &str) -> Value {
    json!({"access_token": "a", "token_type": "bearer", "scope": scope})
}

fn page(entry: &Value, link: &Value) -> Value {
    json!({"resourceType": "Bundle", "type": "searchset", "entry": entry, "link": link})
}

#[test]
fn no_document_is_larger_than_its_cap() {
    let capability = json!({"resourceType": "CapabilityStatement"});
    assert!(parse_capability(&padded(&capability, LARGEST)).is_ok());
    let error = parse_capability(&padded(&capability, LARGEST + 1)).unwrap_err();
    assert_eq!(error, CapabilityError::TooLarge);
    names(&error, LARGEST);

    let person = json!({"resourceType": "Patient", "id": "p-1"});
    assert!(parse_patient(&padded(&person, LARGEST), &patient()).is_ok());
    let error = parse_patient(&padded(&person, LARGEST + 1), &patient()).unwrap_err();
    assert_eq!(error, PatientError::TooLarge);
    names(&error, LARGEST);

    let answer = json!({"resourceType": "Bundle", "type": "batch-response"});
    assert!(parse_response(&padded(&answer, LARGEST), 0).is_ok());
    let error = parse_response(&padded(&answer, LARGEST + 1), 0).unwrap_err();
    assert_eq!(error, ResponseError::TooLarge);
    names(&error, LARGEST);

    let outcome = json!({"resourceType": "OperationOutcome"});
    assert!(parse_outcome(&padded(&outcome, LARGEST)).is_some());
    assert!(parse_outcome(&padded(&outcome, LARGEST + 1)).is_none());

    let orders = page(&json!([]), &json!([]));
    assert!(
        parse_order_search(
            &padded(&orders, LARGEST),
            &OrderVocabulary::HL7_CGM,
            &base(),
            &patient()
        )
        .is_ok()
    );
    let error = parse_order_search(
        &padded(&orders, LARGEST + 1),
        &OrderVocabulary::HL7_CGM,
        &base(),
        &patient(),
    )
    .unwrap_err();
    assert_eq!(error, SearchError::TooLarge);
    names(&error, LARGEST);

    assert!(parse_found(&padded(&orders, LARGEST), &base()).is_ok());
    let error = parse_found(&padded(&orders, LARGEST + 1), &base()).err().unwrap();
    assert_eq!(error, SearchError::TooLarge);
    names(&error, LARGEST);

    let document = discovery("i", "t");
    assert!(smart(&padded(&document, SmartConfiguration::MAX_BYTES)).is_ok());
    let error = smart(&padded(&document, SmartConfiguration::MAX_BYTES + 1)).unwrap_err();
    assert_eq!(error, DiscoveryError::TooLarge);
    names(&error, SmartConfiguration::MAX_BYTES);

    assert!(TokenResponse::parse(&padded(&token(""), TokenResponse::MAX_BYTES)).is_ok());
    let error =
        TokenResponse::parse(&padded(&token(""), TokenResponse::MAX_BYTES + 1)).unwrap_err();
    assert_eq!(error, TokenResponseError::TooLarge);
    names(&error, TokenResponse::MAX_BYTES);
}

#[test]
fn a_capability_statement_has_no_list_longer_than_its_cap() {
    let resources = |count| json!([{"resource": vec![json!({"type": "Device"}); count]}]);
    let operations = |count| json!([{"operation": vec![json!({}); count]}]);
    let rest = |count| json!(vec![json!({}); count]);
    for lists in [resources, operations, rest] {
        let read = |count| {
            let statement = json!({"resourceType": "CapabilityStatement", "rest": lists(count)});
            parse_capability(statement.to_string().as_bytes())
        };
        assert!(read(LIST).is_ok());
        assert_eq!(read(LIST + 1), Err(CapabilityError::TooMany));
    }
    names(&CapabilityError::TooMany, LIST);
}

#[test]
fn an_answer_with_more_entries_than_were_sent_is_refused_by_its_length() {
    let answer =
        json!({"resourceType": "Bundle", "type": "batch-response", "entry": vec![0; LIST + 7]});
    let error = parse_response(answer.to_string().as_bytes(), 500).unwrap_err();
    assert_eq!(error, ResponseError::WrongLength { expected: 500, found: LIST + 7 });
}

#[test]
fn a_page_of_orders_has_no_list_longer_than_its_cap() {
    let read = |page: &Value| {
        parse_order_search(
            page.to_string().as_bytes(),
            &OrderVocabulary::HL7_CGM,
            &base(),
            &patient(),
        )
    };
    let many = |count: usize| json!(vec![json!({}); count]);
    assert!(read(&page(&many(2_000), &many(2_000))).is_ok());
    for over in [page(&many(2_001), &json!([])), page(&json!([]), &many(2_001))] {
        assert_eq!(read(&over), Err(SearchError::TooMany));
    }
    names(&SearchError::TooMany, 2_000);
}

#[test]
fn a_page_of_what_was_found_has_no_list_longer_than_its_cap() {
    let read = |page: &Value| parse_found(page.to_string().as_bytes(), &base()).err();
    let many = |count: usize| json!(vec![json!({}); count]);
    assert_eq!(read(&page(&many(2_000), &many(2_000))), None);
    for over in [page(&many(2_001), &json!([])), page(&json!([]), &many(2_001))] {
        assert_eq!(read(&over), Some(SearchError::TooMany));
    }
    names(&SearchError::TooMany, 2_000);
}

#[test]
fn what_a_receiver_adds_to_a_resource_has_a_cap() {
    let raw = |text: String| RawValue::from_string(text).unwrap();
    let sent = raw("{}".to_owned());
    let found = |added: usize| raw(format!("{{\"\":\"{}\"}}", "x".repeat(added - 5)));
    assert_eq!(compare(&sent, &found(256 << 10), &Addresses::at(&base())), Comparison::AsSent);
    let larger = compare(&sent, &found((256 << 10) + 1), &Addresses::at(&base()));
    assert_eq!(larger, Comparison::Differently(String::new()));
}

#[test]
fn an_order_has_no_list_longer_than_its_cap() {
    let reason = |extension: &Value| {
        let order = json!({
            "resourceType": "ServiceRequest", "id": "o-1", "status": "active", "intent": "order",
            "code": {"coding": [{"system": CGM_CODE_SYSTEM, "code": STANDING_ORDER}]},
            "subject": {"reference": "Patient/p-1"}, "extension": extension,
        });
        let page = page(&json!([{"resource": order}]), &json!([]));
        let found = parse_order_search(
            page.to_string().as_bytes(),
            &OrderVocabulary::HL7_CGM,
            &base(),
            &patient(),
        )
        .unwrap();
        found.refused.first().map(|refused| refused.reason)
    };
    let schedule = |profiles: usize| {
        let profile = json!({"url": "submissionDataProfile",
            "valueCanonical": format!("{PROFILE_BASE}cgm-summary")});
        let mut parts = vec![profile; profiles];
        parts.push(json!({"url": "submissionPeriod", "valueQuantity": {"value": 2, "code": "wk"}}));
        parts.push(json!({"url": "lookbackPeriod", "valueQuantity": {"value": 3, "code": "wk"}}));
        json!({"url": format!("{PROFILE_BASE}data-submission-schedule"), "extension": parts})
    };
    let among = |others: usize| {
        let mut all = vec![json!({}); others];
        all.push(schedule(1));
        json!(all)
    };
    for (fits, over, cap) in [
        (json!(vec![schedule(1); 20]), json!(vec![schedule(1); 21]), 20),
        (json!([schedule(50)]), json!([schedule(51)]), 50),
        (among(999), among(1_000), 1_000),
    ] {
        assert_eq!((reason(&fits), reason(&over)), (None, Some(OrderError::TooMany)), "{cap}");
        names(&OrderError::TooMany, cap);
    }
}

#[test]
fn what_smart_is_told_has_no_text_longer_than_its_cap() {
    let url = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
    assert!(smart(discovery(&url(2_048), &url(2_048)).to_string().as_bytes()).is_ok());
    for (document, field) in
        [(discovery(&url(2_049), "t"), "issuer"), (discovery("i", &url(2_049)), "token_endpoint")]
    {
        let error = smart(document.to_string().as_bytes()).unwrap_err();
        assert_eq!(error, DiscoveryError::TooLong(field));
        names(&error, 2_048);
    }
}

#[test]
fn more_scopes_than_are_read_cost_nobody_the_token() {
    let scopes = format!("{}patient/Device.c", "a ".repeat(GrantedScopes::MAX_SCOPES));
    let first = json!({"access_token": "a", "token_type": "bearer", "refresh_token": "r",
        "patient": "p-1"});
    let first = TokenResponse::parse(first.to_string().as_bytes()).unwrap();
    let state =
        TokenState::granted(first, "patient/Device.c", chrono::DateTime::UNIX_EPOCH).unwrap();
    assert!(state.scopes().may_create(ResourceType::Device, None));

    let mut rotated = token(&scopes);
    rotated["refresh_token"] = "r-2".into();
    let rotated = TokenResponse::parse(rotated.to_string().as_bytes()).unwrap();
    let state = state.refreshed(rotated, chrono::DateTime::UNIX_EPOCH).unwrap();
    assert_eq!(state.refresh().unwrap().expose(), "r-2");
    assert!(!state.scopes().may_create(ResourceType::Device, None), "the surplus grants nothing");
}

#[test]
fn a_file_names_no_more_sensors_and_has_no_longer_rows_than_its_caps() {
    let now = "2024-06-01T00:00:00Z".parse().unwrap();
    let read = |rows: &str| {
        import::import(
            format!("time,value,unit,device\n{rows}").as_bytes(),
            &ImportOptions::new(now),
        )
    };
    let sensors = |count: usize| {
        let row = |n| format!("2024-05-01T08:00:00+02:00,100,mg/dL,sensor {n}\n");
        read(&(0..count).map(row).collect::<String>())
    };
    assert_eq!(sensors(import::MAX_SENSORS).unwrap().sensors.len(), import::MAX_SENSORS);
    let error = sensors(import::MAX_SENSORS + 1).unwrap_err();
    assert_eq!(error, ImportError::TooManySensors);
    names(&error, import::MAX_SENSORS);

    let long = |length| read(&format!("{}\n", "x".repeat(length)));
    assert_eq!(long(import::MAX_ROW_BYTES).unwrap().rejected.len(), 1);
    let error = long(import::MAX_ROW_BYTES + 1).unwrap_err();
    assert_eq!(error, ImportError::RowTooLong { row: 2 });
    names(&error, import::MAX_ROW_BYTES);
}

/// Nesting needs no cap: what is skipped is skipped without recursion, and what is held as values
/// stops at 128 levels.
#[test]
fn a_document_may_be_as_deep_as_it_is_long() {
    let deep = |size: usize| "[".repeat(size / 2) + &"]".repeat(size / 2);
    let within = |field: &str, kind: &str| {
        format!("{{\"resourceType\":\"{kind}\",\"{field}\":{}}}", deep(1 << 20))
    };
    assert!(parse_capability(within("rest", "CapabilityStatement").as_bytes()).is_ok());
    assert!(parse_capability(within("other", "CapabilityStatement").as_bytes()).is_ok());
    assert!(parse_outcome(within("issue", "OperationOutcome").as_bytes()).is_some());
    let person = within("name", "Patient");
    assert_eq!(parse_patient(person.as_bytes(), &patient()), Err(PatientError::OtherPatient));
    assert_eq!(smart(deep(256 << 10).as_bytes()), Err(DiscoveryError::Unreadable));
    assert_eq!(
        TokenResponse::parse(deep(256 << 10).as_bytes()).err(),
        Some(TokenResponseError::Unreadable)
    );
}
