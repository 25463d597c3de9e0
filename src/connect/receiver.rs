//! What is read from a receiver while connecting: discovery, the one capability that tells the dialect, and the
//! patient.

use super::{ConnectError, Receiver};
use crate::environment::Transport;
use crate::fhir::PatientId;
use crate::smart::SmartConfiguration;
use serde_json::Value;

/// The canonical by which a receiver says that it speaks the HL7 CGM guide, or the name of its operation.
const CGM_RECEIVER: &str = "http://hl7.org/fhir/uv/cgm/CapabilityStatement/cgm-data-receiver";
const CGM_OPERATION: &str = "submit-cgm-bundle";
/// The dialect's word in a connection's details.
const HL7_CGM: &str = "hl7-cgm";

/// Fetches the discovery document.
pub(super) async fn discover(
    transport: &dyn Transport,
    receiver: &Receiver,
) -> Result<SmartConfiguration, ConnectError> {
    let url = receiver.base.at(".well-known/smart-configuration");
    let response = transport.send(request(&url, "application/json")?).await?;
    match response.status().as_u16() {
        200 => Ok(SmartConfiguration::parse(&receiver.base, response.body())?),
        status => Err(ConnectError::Status { what: "SMART configuration", status }),
    }
}

/// The dialect the receiver's `/metadata` tells, none where it tells no known one or refuses to tell.
pub(super) async fn dialect(transport: &dyn Transport, receiver: &Receiver) -> Result<Option<String>, ConnectError> {
    let response = transport.send(request(&receiver.base.at("metadata"), "application/fhir+json")?).await?;
    match response.status().as_u16() {
        200 => {
            let statement: Value = serde_json::from_slice(response.body())
                .map_err(|_| ConnectError::Unreadable("capability statement"))?;
            Ok(speaks_cgm(&statement).then(|| HL7_CGM.to_owned()))
        }
        status if status == 429 || status >= 500 => Err(ConnectError::Status { what: "capability statement", status }),
        _ => Ok(None),
    }
}

fn speaks_cgm(statement: &Value) -> bool {
    let canonical = |value: &Value| value.as_str().is_some_and(|text| text.split('|').next() == Some(CGM_RECEIVER));
    items(&statement["instantiates"]).iter().any(canonical)
        || items(&statement["rest"])
            .iter()
            .any(|rest| items(&rest["operation"]).iter().any(|operation| operation["name"] == CGM_OPERATION))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A patient's name and birth date, for the person to recognise.
pub(super) struct Person {
    pub(super) name: Option<String>,
    pub(super) birth_date: Option<String>,
}

/// Reads a Patient resource. None where it is no Patient, or another one than asked for.
pub(super) fn person(body: &[u8], id: &PatientId) -> Option<Person> {
    let patient: Value = serde_json::from_slice(body).ok()?;
    if patient["resourceType"] != "Patient" || patient["id"] != id.as_str() {
        return None;
    }
    let birth_date = patient["birthDate"].as_str().filter(|date| date.len() <= 10).map(str::to_owned);
    Some(Person { name: patient["name"].as_array().and_then(|names| name(names)), birth_date })
}

/// The official name, else the usual one, else the first that is not an old one.
fn name(names: &[Value]) -> Option<String> {
    let names = names.get(..names.len().min(50))?;
    let of_use = |wanted: &str| names.iter().find(|name| name["use"] == wanted);
    let current = || names.iter().find(|name| name["use"] != "old");
    let name = of_use("official").or_else(|| of_use("usual")).or_else(current)?;
    if let Some(text) = name["text"].as_str().filter(|text| !text.trim().is_empty()) {
        return Some(shortened(text));
    }
    let given = items(&name["given"]).iter();
    let parts: Vec<&str> = given.chain([&name["family"]]).filter_map(Value::as_str).collect();
    (!parts.is_empty()).then(|| shortened(&parts.join(" ")))
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(300).collect()
}

pub(super) fn request(url: &str, accept: &str) -> Result<http::Request<Vec<u8>>, ConnectError> {
    http::Request::get(url)
        .header(http::header::ACCEPT, accept)
        .body(Vec::new())
        .map_err(|_| ConnectError::Transport(crate::environment::TransportError::Request))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_receiver_speaks_the_guide_by_canonical_or_operation() {
        let cases = [
            (json!({"instantiates": [CGM_RECEIVER]}), true),
            (json!({"instantiates": [format!("{CGM_RECEIVER}|1.0.0")]}), true),
            (json!({"rest": [{"operation": [{"name": "submit-cgm-bundle"}]}]}), true),
            (json!({"rest": [{"operation": [{"name": "submit-t1d-data"}]}]}), false),
            (json!({"instantiates": CGM_RECEIVER}), false),
            (json!([]), false),
        ];
        for (statement, expected) in cases {
            assert_eq!(speaks_cgm(&statement), expected, "{statement}");
        }
    }

    #[test]
    fn a_name_is_the_official_one_as_written_or_put_together() {
        let read = |names: Value| {
            let body = json!({"resourceType": "Patient", "id": "p", "name": names, "birthDate": "1980-02-29"});
            person(body.to_string().as_bytes(), &PatientId::new("p").unwrap()).unwrap().name
        };
        let official =
            json!([{"family": "Old", "use": "old"}, {"use": "official", "given": ["Ana", "M."], "family": "Pop"}]);
        assert_eq!(read(official).as_deref(), Some("Ana M. Pop"));
        assert_eq!(read(json!([{"text": " Ana Pop ", "family": "X"}])).as_deref(), Some("Ana Pop"));
        assert_eq!(read(json!([{"use": "old", "text": "Ana"}])), None);
        assert_eq!(read(json!({})), None);
    }

    #[test]
    fn another_patient_or_no_patient_is_nobody() {
        let id = PatientId::new("p").unwrap();
        for body in [r#"{"resourceType":"Patient","id":"q"}"#, r#"{"resourceType":"Bundle","id":"p"}"#, "<html>"] {
            assert!(person(body.as_bytes(), &id).is_none());
        }
    }
}
