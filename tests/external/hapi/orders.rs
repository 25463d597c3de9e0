//! A standing order that lies at the server is found, and a file goes as it asks.

use crate::case::{Case, MOLAR, submit_all};
use crate::facts::{Fact, every_five_minutes};
use crate::world::SUMMARY_ENTRIES;
use cgm_submitter::SubmissionRequest;
use cgm_submitter::glucose::GlucoseUnit::MmolPerL;
use chrono_tz::Tz;
use serde_json::{Value, json};
use std::fmt::Write as _;

const CGM: &str = "http://hl7.org/fhir/uv/cgm";
const DEVICE: &str = "Meter of a maker without serial numbers";

/// Every two weeks, thirty days back: the device, readings in mmol/L, a summary.
fn order(patient: &str) -> Value {
    let quantity = |value: u32, code: &str| {
        json!({"value": value,
        "system": "http://unitsofmeasure.org", "code": code})
    };
    let mut schedule = vec![
        json!({"url": "submissionPeriod", "valueQuantity": quantity(2, "wk")}),
        json!({"url": "lookbackPeriod", "valueQuantity": quantity(30, "d")}),
    ];
    for profile in ["cgm-device", "cgm-sensor-reading-moles-per-volume", "cgm-summary"] {
        let canonical = format!("{CGM}/StructureDefinition/{profile}");
        schedule.push(json!({"url": "submissionDataProfile", "valueCanonical": canonical}));
    }
    json!({
        "resourceType": "ServiceRequest", "status": "active", "intent": "order",
        "extension": [{"url": format!("{CGM}/StructureDefinition/data-submission-schedule"),
        "extension": schedule}],
        "code": {"coding": [{"system": format!("{CGM}/CodeSystem/cgm"),
        "code": "cgm-data-submission-standing-order"}]},
        "subject": {"reference": format!("Patient/{patient}")},
    })
}

#[tokio::test]
#[ignore = "needs a FHIR server: scripts/test fhir-server"]
async fn an_imported_file_goes_as_the_order_at_the_server_asks() {
    let said = |n| match n % 20 {
        4 => "<2.2".to_owned(),
        9 => ">22.2".to_owned(),
        n => format!("{}.{}0", 5 + n % 7, n % 10),
    };
    let facts = every_five_minutes(Tz::Europe__Bucharest, (2024, 6, 29), 300, said);
    let mut file = "time,value,unit,device,status\n".to_owned();
    for Fact { at, said, .. } in &facts {
        let (value, status) = match said.split_at(1) {
            ("<", limit) => (limit, "low"),
            (">", limit) => (limit, "high"),
            _ => (said.as_str(), "ok"),
        };
        writeln!(file, "{at},{value},mmol/L,{DEVICE},{status}").unwrap();
    }
    let case = Case::new().await.living_in(Tz::Europe__Bucharest, "2024-07-01T08:00:00Z");
    case.server.create(&order(&case.patient)).await;
    let (app, connection) = case.phone("me.db", &[], MmolPerL).await;
    let report = app.import(file.into_bytes(), None).await.unwrap();
    assert_eq!((report.stored, report.rejected.len()), (300, 0));

    let orders = app.refresh_orders(connection).await.unwrap();
    assert_eq!((orders.active.len(), orders.refused.len()), (1, 0));
    let outcome = submit_all(&app, connection, SubmissionRequest::Ordered).await;
    assert!(outcome.is_complete() && outcome.left_out.is_empty());
    assert_eq!(outcome.tally.entries.accepted, 300 + 1 + SUMMARY_ENTRIES);
    let record = case.record().await;
    let expected: Vec<Fact> = facts.into_iter().map(|fact| fact.of_sensor(DEVICE)).collect();
    assert_eq!(record.facts(MOLAR), expected);
    assert_eq!((record.devices.len(), record.summaries.len()), (1, 1));
    assert_eq!(record.summaries[0].dates, ["2024-06-02", "2024-07-01"]);
}
