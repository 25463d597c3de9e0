//! The limit of assembly: plain owned structs that `serde_json` writes to the same bytes.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Bundle {
    resource_type: String,
    r#type: String,
    timestamp: String,
    entry: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    full_url: String,
    resource: Observation,
    request: Request,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    method: String,
    url: String,
    if_none_exist: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Observation {
    resource_type: String,
    identifier: Vec<Identifier>,
    status: String,
    category: Vec<Concept>,
    code: Concept,
    subject: Reference,
    effective_date_time: String,
    value_quantity: Quantity,
    #[serde(skip_serializing_if = "Option::is_none")]
    interpretation: Option<Vec<Concept>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    system: String,
    value: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Concept {
    coding: Vec<Coding>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Coding {
    system: String,
    code: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    reference: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    value: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparator: Option<String>,
    unit: String,
    system: String,
    code: String,
}
