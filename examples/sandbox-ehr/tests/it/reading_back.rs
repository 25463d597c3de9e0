//! Orders, reading and searching: what a token may see and how it is paged.

use reqwest::StatusCode;
use sandbox_ehr::Sandbox;
use serde_json::{Value, json};

use crate::{app::*, bundles::*};

const STANDING: &str = "cgm-data-submission-standing-order";

async fn found(clinic: &Sandbox, token: &str, path: &str) -> Vec<Value> {
    let response = get(clinic, token, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let bundle = json(response).await;
    assert_eq!(bundle["type"], "searchset");
    bundle["entry"]
        .as_array()
        .cloned()
        .unwrap_or_default()
        .into_iter()
        .map(|entry| entry["resource"].clone())
        .collect()
}

fn order(id: &str, code: &str) -> Value {
    json!({ "resourceType": "ServiceRequest", "id": id, "status": "active", "intent": "order",
        "code": { "coding": [{ "system": "http://hl7.org/fhir/uv/cgm/CodeSystem/cgm",
        "code": code }] } })
}

#[tokio::test]
async fn each_person_has_a_standing_order_to_find() {
    let clinic = amys_clinic().await;
    for (patient, profile) in [
        ("amy-shaw", "cgm-sensor-reading-mass-per-volume"),
        ("ben-okafor", "cgm-sensor-reading-moles-per-volume"),
    ] {
        clinic.set_auto_approve(Some(patient)).unwrap();
        let token = access_token(&clinic, GUIDE_SCOPES).await;
        let orders =
            found(&clinic, &token, &format!("ServiceRequest?patient={patient}&code={STANDING}"))
                .await;
        assert_eq!(orders.len(), 1);
        assert_eq!(
            (&orders[0]["status"], &orders[0]["subject"]["reference"]),
            (&json!("active"), &json!(format!("Patient/{patient}")))
        );
        let schedule = orders[0]["extension"][0]["extension"].as_array().unwrap();
        assert_eq!(schedule[0]["valueQuantity"]["code"], "wk");
        assert_eq!(schedule[1]["url"], "lookbackPeriod");
        assert!(schedule.iter().any(|part| part["valueCanonical"]
            == format!("http://hl7.org/fhir/uv/cgm/StructureDefinition/{profile}")));
        let id = orders[0]["id"].as_str().unwrap();
        assert_eq!(
            get(&clinic, &token, &format!("ServiceRequest/{id}")).await.status(),
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn many_orders_come_in_pages() {
    let clinic = Sandbox::builder().auto_approve("amy-shaw").page_size(2).start().await.unwrap();
    let orders: Vec<_> = (0..5).map(|number| order(&format!("order-{number}"), STANDING)).collect();
    clinic.set_orders("amy-shaw", &orders).unwrap();
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let coding =
        format!("http://hl7.org/fhir/uv/cgm/CodeSystem/cgm|{STANDING}").replace('|', "%7C");
    let mut next =
        format!("{}/ServiceRequest?patient=Patient/amy-shaw&code={coding}", clinic.base_url());
    let mut pages = Vec::new();
    loop {
        let page = json(http().get(&next).bearer_auth(&token).send().await.unwrap()).await;
        assert_eq!(page["total"], 5);
        let ids =
            page["entry"].as_array().unwrap().iter().map(|entry| text(&entry["resource"], "id"));
        pages.push(ids.collect::<Vec<_>>());
        let Some(link) =
            page["link"].as_array().unwrap().iter().find(|link| link["relation"] == "next")
        else {
            break;
        };
        next = text(link, "url");
    }
    assert_eq!(pages, [vec!["order-0", "order-1"], vec!["order-2", "order-3"], vec!["order-4"]]);
}

#[tokio::test]
async fn a_scope_limited_to_a_code_sees_only_that_code() {
    let clinic = amys_clinic().await;
    clinic
        .set_orders("amy-shaw", &[order("standing", STANDING), order("other", "something-else")])
        .unwrap();
    let limited = access_token(&clinic, GUIDE_SCOPES).await;
    let all = access_token(&clinic, ALL_SCOPES).await;
    assert_eq!(found(&clinic, &limited, "ServiceRequest?patient=amy-shaw").await.len(), 1);
    assert_eq!(found(&clinic, &all, "ServiceRequest?patient=amy-shaw").await.len(), 2);
    assert_eq!(
        get(&clinic, &limited, "ServiceRequest/other").await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(get(&clinic, &all, "ServiceRequest/other").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_search_is_limited_to_the_tokens_patient_and_known_parameters() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    for (path, expected) in [
        ("ServiceRequest?patient=ben-okafor", StatusCode::FORBIDDEN),
        ("ServiceRequest?patient=amy-shaw&status=active", StatusCode::BAD_REQUEST),
        ("ServiceRequest?_count=many", StatusCode::BAD_REQUEST),
        ("Observation?patient=amy-shaw", StatusCode::FORBIDDEN),
        ("Patient/ben-okafor", StatusCode::NOT_FOUND),
        ("ServiceRequest/ben-standing-order", StatusCode::NOT_FOUND),
        ("Observation/1", StatusCode::FORBIDDEN),
        ("Encounter?patient=amy-shaw", StatusCode::NOT_FOUND),
    ] {
        let response = get(&clinic, &token, path).await;
        assert_eq!(response.status(), expected, "{path}");
        assert_eq!(json(response).await["resourceType"], "OperationOutcome", "{path}");
    }
}

#[tokio::test]
async fn what_was_sent_can_be_found_again_where_reading_was_granted() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, ALL_SCOPES).await;
    // 1 May 00:00, 2 May 00:00 and 3 May 00:00, all at +02:00.
    let entries = (0..3).map(|day| conditional(&format!("reading-{day}"), reading(day * 1440)));
    let mut whole = bundle(entries.chain(members()).collect());
    whole["entry"][0]["resource"]["valueQuantity"]["value"] = json!(55);
    let responses = submit_entries(&clinic, &token, &whole).await;
    for (query, expected) in [
        ("", 9),
        ("&code=99504-3", 3),
        ("&code=http://loinc.org%7C99504-3,97506-0", 4),
        ("&code=http://snomed.info/sct%7C99504-3", 0),
        ("&category=laboratory", 9),
        ("&category=vital-signs", 0),
        ("&identifier=urn:ietf:rfc:3986%7Creading-1", 1),
        ("&identifier=reading-1,reading-2", 2),
        ("&identifier=urn:else%7Creading-1", 0),
        ("&code=99504-3&date=2026-05-01", 1),
        ("&code=99504-3&date=ge2026-05-01&date=lt2026-05-02T00:00:01%2B02:00", 1),
        ("&code=99504-3&date=gt2026-05-01", 1),
        ("&code=99504-3&date=2026-05", 2),
        ("&code=99504-3&date=le2026-04", 1),
        ("&code=97506-0&date=ge2026-05-14", 1),
        ("&code=97506-0&date=ge2026-05-15", 0),
        ("&_count=2&_offset=8", 1),
    ] {
        let matches = found(&clinic, &token, &format!("Observation?patient=amy-shaw{query}")).await;
        assert_eq!(matches.len(), expected, "{query}");
    }
    assert_eq!(
        get(&clinic, &token, "Observation?date=soon").await.status(),
        StatusCode::BAD_REQUEST
    );
    let location = text(&responses[0], "location");
    let read = get(&clinic, &token, &location).await;
    assert_eq!(read.headers()["etag"], "W/\"1\"");
    assert_eq!(read.headers()["content-type"], "application/fhir+json; charset=utf-8");
    assert_eq!(json(read).await["valueQuantity"]["value"], 55);
    let later = location.replace("/_history/1", "/_history/2");
    assert_eq!(get(&clinic, &token, &later).await.status(), StatusCode::NOT_FOUND);

    let limited = access_token(&clinic, "patient/Observation.rs?category=vital-signs").await;
    assert!(found(&clinic, &limited, "Observation").await.is_empty());
    assert_eq!(get(&clinic, &limited, &location).await.status(), StatusCode::FORBIDDEN);
}
