//! `.well-known/smart-configuration`: what an app reads before anything else.

use serde_json::{Value, json};

use crate::config::{Config, ScopeSupport};

/// The discovery document for a server whose FHIR base is `base` and whose origin is `origin`.
pub(crate) fn smart_configuration(config: &Config, origin: &str, base: &str) -> Value {
    let mut capabilities = vec![
        "launch-standalone",
        "client-public",
        "context-standalone-patient",
        "permission-patient",
    ];
    if config.issues_refresh_tokens {
        capabilities.push("permission-offline");
    }
    capabilities.push(match config.scopes {
        ScopeSupport::Granular | ScopeSupport::ResourceLevel => "permission-v2",
        ScopeSupport::Version1 => "permission-v1",
    });
    let scopes = [&["launch/patient", "offline_access"], scopes(config.scopes)].concat();
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{origin}/oauth/authorize"),
        "token_endpoint": format!("{origin}/oauth/token"),
        "revocation_endpoint": format!("{origin}/oauth/revoke"),
        "grant_types_supported": ["authorization_code"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "capabilities": capabilities,
        "scopes_supported": scopes,
    })
}

fn scopes(support: ScopeSupport) -> &'static [&'static str] {
    match support {
        ScopeSupport::Granular => &[
            "patient/Patient.r",
            "patient/ServiceRequest.rs?code=cgm-data-submission-standing-order",
            "patient/ServiceRequest.rs",
            "patient/DiagnosticReport.cu?category=LAB",
            "patient/DiagnosticReport.crus",
            "patient/Observation.cu?category=laboratory",
            "patient/Observation.crus",
            "patient/Device.cu",
            "patient/Device.crus",
        ],
        ScopeSupport::ResourceLevel => &[
            "patient/Patient.r",
            "patient/ServiceRequest.rs",
            "patient/DiagnosticReport.crus",
            "patient/Observation.crus",
            "patient/Device.crus",
        ],
        ScopeSupport::Version1 => &[
            "patient/Patient.read",
            "patient/ServiceRequest.read",
            "patient/DiagnosticReport.read",
            "patient/DiagnosticReport.write",
            "patient/Observation.read",
            "patient/Observation.write",
            "patient/Device.read",
            "patient/Device.write",
        ],
    }
}
