//! What an app reads before it connects.

use sandbox_ehr::{Endpoint, Sandbox, ScopeSupport};
use serde_json::{Value, json};

use crate::app::{amys_clinic, http, json as body};

async fn open(clinic: &Sandbox, path: &str) -> Value {
    body(http().get(format!("{}/{path}", clinic.base_url())).send().await.unwrap()).await
}

#[tokio::test]
async fn discovery_names_endpoints_and_capabilities() {
    let clinic = amys_clinic().await;
    let document = open(&clinic, ".well-known/smart-configuration").await;
    let origin = clinic.base_url().replace("/fhir", "");
    for (name, path) in
        [("authorization", "authorize"), ("token", "token"), ("revocation", "revoke")]
    {
        assert_eq!(document[format!("{name}_endpoint")], format!("{origin}/oauth/{path}"));
    }
    assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
    let capabilities = document["capabilities"].as_array().unwrap();
    for capability in [
        "launch-standalone",
        "client-public",
        "permission-offline",
        "permission-patient",
        "permission-v2",
    ] {
        assert!(capabilities.contains(&json!(capability)), "{capability}");
    }
    assert!(
        document["scopes_supported"]
            .as_array()
            .unwrap()
            .contains(&json!("patient/Observation.cu?category=laboratory"))
    );

    let old = Sandbox::builder().scope_support(ScopeSupport::Version1).start().await.unwrap();
    let capabilities =
        open(&old, ".well-known/smart-configuration").await["capabilities"].to_string();
    assert!(capabilities.contains("permission-v1") && !capabilities.contains("permission-v2"));
}

#[tokio::test]
async fn metadata_declares_the_guide_and_conditional_create() {
    for supported in [true, false] {
        let clinic =
            Sandbox::builder().supports_conditional_create(supported).start().await.unwrap();
        let metadata = open(&clinic, "metadata").await;
        assert_eq!(
            metadata["instantiates"],
            json!(["http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver"])
        );
        let rest = &metadata["rest"][0];
        assert_eq!(rest["operation"][0]["name"], "submit-cgm-bundle");
        let observation = rest["resource"]
            .as_array()
            .unwrap()
            .iter()
            .find(|resource| resource["type"] == "Observation")
            .unwrap();
        assert_eq!(observation["conditionalCreate"], supported);
        assert!(observation["searchParam"].to_string().contains("identifier"));
    }
}

#[tokio::test]
async fn a_failure_asked_for_happens_once() {
    let clinic = amys_clinic().await;
    clinic.fail_next_at(Endpoint::Read, 1, 500, None).unwrap();
    assert_eq!(open(&clinic, "metadata").await["resourceType"], "OperationOutcome");
    assert_eq!(open(&clinic, "metadata").await["resourceType"], "CapabilityStatement");
    assert!(clinic.fail_next(1, 200, None).is_err());
}

#[tokio::test]
async fn a_name_that_is_not_this_machine_is_refused() {
    let clinic = amys_clinic().await;
    let status = |host: &'static str| {
        let request = http().get(format!("{}/metadata", clinic.base_url())).header("host", host);
        async { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(status("attacker.example:8765").await, 403);
    assert_eq!(status("localhost:8765").await, 200);
}
