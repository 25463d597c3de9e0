//! A receiver that keeps what it is sent, as identifiers, and counts every create. It shares no
//! code with the crate.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the receiver has: identifier, how often it was created, and where.
#[derive(Clone, Default)]
pub(super) struct Record {
    created: BTreeMap<String, u32>,
    /// Whether it looks before it creates.
    pub(super) looks_first: bool,
}

impl Record {
    pub(super) fn looking_first() -> Self {
        Self { looks_first: true, ..Self::default() }
    }

    /// How many facts it has.
    pub(super) fn len(&self) -> usize {
        self.created.len()
    }

    /// That nothing is there twice.
    pub(super) fn assert_single(&self) {
        let doubled = self.created.values().filter(|times| **times > 1).count();
        assert_eq!(doubled, 0, "facts created more than once");
    }

    pub(super) fn has(&self, identifier: &str) -> bool {
        self.created.contains_key(identifier)
    }

    /// Takes the first entries of a bundle, and then no more.
    pub(super) fn take_some(&mut self, body: &[u8], count: usize) {
        for identifier in identifiers(body).into_iter().take(count) {
            *self.created.entry(identifier).or_default() += 1;
        }
    }

    /// Takes a whole bundle and answers each of its entries.
    pub(super) fn take(&mut self, body: &[u8]) -> (u16, String) {
        let bundle: Value = serde_json::from_slice(body).unwrap();
        let entries: Vec<Value> = bundle["entry"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                let identifier = identifier(&entry["resource"]);
                let kind = entry["resource"]["resourceType"].as_str().unwrap();
                let conditional = entry["request"]["ifNoneExist"].is_string();
                let times = self.created.entry(identifier.clone()).or_default();
                let status = if *times > 0 && conditional && self.looks_first {
                    "200 OK"
                } else {
                    *times += 1;
                    "201 Created"
                };
                let id = identifier.trim_start_matches("urn:uuid:").to_owned();
                json!({"response": {"status": status, "location": format!("{kind}/{id}")}})
            })
            .collect();
        let answer = json!({
            "resourceType": "Bundle", "type": "transaction-response", "entry": entries
        });
        (200, answer.to_string())
    }

    /// Answers a search by identifier, given as a form.
    pub(super) fn search(&self, form: &[u8]) -> (u16, String) {
        let form = String::from_utf8(form.to_vec()).unwrap();
        let form = form.replace("%3A", ":").replace("%7C", "|").replace("%2C", ",");
        let asked = form.split('&').find(|pair| pair.starts_with("identifier=")).unwrap();
        let asked = asked.trim_start_matches("identifier=").split(',');
        let entries: Vec<Value> = asked
            .map(|token| token.rsplit('|').next().unwrap().to_owned())
            .filter(|identifier| self.has(identifier))
            .map(|identifier| {
                json!({"search": {"mode": "match"}, "resource": {
                    "resourceType": "Observation",
                    "id": identifier.trim_start_matches("urn:uuid:"),
                    "identifier": [{"system": "urn:ietf:rfc:3986", "value": identifier}],
                }})
            })
            .collect();
        let answer = json!({"resourceType": "Bundle", "type": "searchset", "entry": entries});
        (200, answer.to_string())
    }
}

fn identifier(resource: &Value) -> String {
    resource["identifier"][0]["value"].as_str().unwrap().to_owned()
}

/// The identifiers in a bundle.
pub(super) fn identifiers(body: &[u8]) -> Vec<String> {
    let bundle: Value = serde_json::from_slice(body).unwrap();
    let entries = bundle["entry"].as_array().unwrap();
    entries.iter().map(|entry| identifier(&entry["resource"])).collect()
}
