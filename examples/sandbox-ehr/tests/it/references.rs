//! References: within the bundle, to what is stored, and what happens when their target is refused.

use serde_json::json;

use crate::{app::*, bundles::*};

#[tokio::test]
async fn a_refused_member_refuses_its_summary_and_the_report_but_nothing_else() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut whole = whole_submission();
    // Entry 4 is the GMI.
    whole["entry"][4]["resource"]["valueQuantity"]["code"] = json!("mg/dL");
    let responses = submit_entries(&clinic, &token, &whole).await;
    assert_eq!(
        statuses(&responses),
        ["422", "422", "201", "201", "422", "201", "201", "201", "201", "201"]
    );
    assert!(diagnostics(&responses[1]["outcome"]).contains("entry 4"));
    assert!(diagnostics(&responses[0]["outcome"]).contains("entry 1"));
    assert!(clinic.resources("amy-shaw", "107931-8").unwrap().is_empty());
}

#[tokio::test]
async fn an_entry_that_was_there_already_can_be_referred_to() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let submission = |offset: u32| {
        let mut sensor = conditional("sensor", device());
        sensor["fullUrl"] = json!(urn(9));
        let mut made = reading(offset);
        made["device"] = json!({ "reference": urn(9) });
        bundle(vec![entry(made), sensor])
    };
    let first = submit_entries(&clinic, &token, &submission(0)).await;
    let second = submit_entries(&clinic, &token, &submission(5)).await;
    assert_eq!((statuses(&first), statuses(&second)), (vec!["201", "201"], vec!["201", "200"]));
    let readings = clinic.resources("amy-shaw", "99504-3").unwrap();
    assert_eq!(readings[0]["device"], readings[1]["device"]);
    assert!(readings[0]["device"]["reference"].as_str().unwrap().starts_with("Device/"));
}

#[tokio::test]
async fn a_stored_resource_of_the_same_patient_can_be_referred_to() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let stored = submit_entries(&clinic, &token, &bundle(vec![entry(device())])).await;
    let versioned = stored[0]["location"].as_str().unwrap().to_owned();
    let plain = versioned.strip_suffix("/_history/1").unwrap().to_owned();
    let absolute = format!("{}/{plain}", clinic.base_url());
    for (minute, reference) in [(0, &plain), (5, &versioned), (10, &absolute)] {
        let mut made = reading(minute);
        made["device"] = json!({ "reference": reference });
        assert_eq!(
            statuses(&submit_entries(&clinic, &token, &bundle(vec![entry(made)])).await),
            ["201"],
            "{reference}"
        );
    }
}

#[tokio::test]
async fn an_unresolvable_or_foreign_reference_refuses_the_entry() {
    let clinic = amys_clinic().await;
    let amy = access_token(&clinic, GUIDE_SCOPES).await;
    let stored = submit_entries(&clinic, &amy, &bundle(vec![entry(device())])).await;
    let amys_device = stored[0]["location"].as_str().unwrap().replace("/_history/1", "");
    clinic.set_auto_approve(Some("ben-okafor")).unwrap();
    let ben = access_token(&clinic, GUIDE_SCOPES).await;
    for (reference, expected) in [
        (urn(1), "422"),
        ("Device/999".to_owned(), "422"),
        ("#contained".to_owned(), "422"),
        ("https://elsewhere.example/Device/1".to_owned(), "422"),
        (amys_device, "403"),
    ] {
        let mut made = reading(0);
        made["subject"]["reference"] = json!("Patient/ben-okafor");
        made["device"] = json!({ "reference": reference });
        assert_eq!(
            statuses(&submit_entries(&clinic, &ben, &bundle(vec![entry(made)])).await),
            [expected],
            "{reference}"
        );
    }
}

#[tokio::test]
async fn a_summary_has_the_right_members_once_each() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let percent = |value| quantity(value, "%", "%");
    // Replaces one member by something else of the same bundle.
    for (name, replaced, by) in [
        ("GMI twice instead of CV", 4, named(4, statistic("97506-0", percent(7.0)))),
        ("a reading instead of the mean", 1, named(1, reading(0))),
        ("a device instead of days of wear", 5, named(5, device())),
    ] {
        let mut entries = members();
        entries[replaced - 1] = by;
        entries.push(named(7, summary()));
        let responses = submit_entries(&clinic, &token, &bundle(entries)).await;
        assert_eq!(
            statuses(&responses),
            ["201", "201", "201", "201", "201", "201", "422"],
            "{name}"
        );
    }
    let mut result = report();
    result["result"][0]["reference"] = json!(urn(1));
    let responses =
        submit_entries(&clinic, &token, &bundle(vec![members().remove(0), entry(result)])).await;
    assert_eq!(statuses(&responses), ["201", "422"]);
}

#[tokio::test]
async fn the_guides_form_with_absolute_full_urls_and_relative_references_resolves() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let mut text = whole_submission().to_string();
    for number in 1..=10 {
        let kind = match number {
            8 => "DiagnosticReport",
            9 => "Device",
            _ => "Observation",
        };
        text = text.replace(
            &format!("\"fullUrl\":\"{}\"", urn(number)),
            &format!("\"fullUrl\":\"https://example.org/{kind}/x{number}\""),
        );
        text = text.replace(
            &format!("\"reference\":\"{}\"", urn(number)),
            &format!("\"reference\":\"{kind}/x{number}\""),
        );
    }
    assert!(!text.contains("urn:uuid"));
    let responses = submit_entries(&clinic, &token, &serde_json::from_str(&text).unwrap()).await;
    assert_eq!(statuses(&responses), ["201"; 10]);
    let summary = clinic.resource_texts("amy-shaw", "Observation").unwrap().remove(0);
    assert!(!summary.contains("/x1\""), "{summary}");
}
