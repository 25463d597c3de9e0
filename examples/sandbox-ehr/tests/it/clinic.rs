//! The page for people: what it shows, and that it shows it as text.

use reqwest::StatusCode;

use crate::{app::*, bundles::*};

async fn page(url: &str) -> String {
    let response = http().get(url).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(
        response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
    response.text().await.unwrap()
}

#[tokio::test]
async fn the_clinic_sees_what_was_sent_with_its_digits() {
    let clinic = amys_clinic().await;
    assert!(page(&clinic.clinic_url()).await.contains("none yet"));
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let body = whole_submission().to_string().replace("\"value\":154.2", "\"value\":154.20");
    assert_eq!(post(&clinic, &token, body).await.unwrap().status(), StatusCode::OK);

    let overview = page(&clinic.base_url().replace("/fhir", "/")).await;
    assert!(
        overview.contains("Amy Shaw")
            && overview.contains("Ben Okafor")
            && overview.contains("cgm-demo")
    );
    let amy = page(&format!("{}/amy-shaw", clinic.clinic_url())).await;
    for shown in [
        "154.20 mg/dl",
        "72.25 %",
        "time in target",
        "2026-05-01 to 2026-05-14",
        "100.0 mg/dl",
        "ABC123",
        "GMI",
    ] {
        assert!(amy.contains(shown), "{shown} in {amy}");
    }
    assert!(amy.contains("Acme &lt;CGM&gt; System") && !amy.contains("<CGM>"));
    let ben = page(&format!("{}/ben-okafor", clinic.clinic_url())).await;
    assert!(!ben.contains("154.20") && ben.contains("None yet."));
}

#[tokio::test]
async fn a_report_opens_as_pdf_and_only_under_its_patient() {
    let clinic = amys_clinic().await;
    let token = access_token(&clinic, GUIDE_SCOPES).await;
    let responses = submit_entries(&clinic, &token, &whole_submission()).await;
    let location = text(&responses[0], "location").replace("/_history/1", "");
    let open =
        |patient: &str| http().get(format!("{}/{patient}/{location}", clinic.clinic_url())).send();
    let pdf = open("amy-shaw").await.unwrap();
    assert_eq!(pdf.headers()["content-type"], "application/pdf");
    assert!(pdf.bytes().await.unwrap().starts_with(b"%PDF-"));
    assert_eq!(open("ben-okafor").await.unwrap().status(), StatusCode::NOT_FOUND);
    let nobody = http().get(format!("{}/nobody", clinic.clinic_url())).send().await.unwrap();
    assert_eq!(nobody.status(), StatusCode::NOT_FOUND);
}
