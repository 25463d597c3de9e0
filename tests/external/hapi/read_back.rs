//! What the server holds of a person, as readings again. Reads the stored text and knows nothing of
//! how the library writes: a field that is not expected is a failure, and numbers keep their
//! digits.

use crate::facts::Fact;
use crate::server::Server;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};

const REPLACES: &str = "http://hl7.org/fhir/StructureDefinition/observation-replaces";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
const URI: &str = "urn:ietf:rfc:3986";

/// All that the server holds of a person.
pub(crate) struct Record {
    /// By time.
    pub(crate) readings: Vec<Held>,
    /// Serial numbers; names of those without.
    pub(crate) devices: Vec<String>,
    pub(crate) summaries: Vec<HeldSummary>,
}

/// A reading at the server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Held {
    pub(crate) fact: Fact,
    /// `99504-3` or `105272-9`.
    pub(crate) code: String,
    pub(crate) status: String,
    pub(crate) identifier: String,
    /// The identifier of the reading it corrects.
    pub(crate) replaces: Option<String>,
}

/// A summary at the server, with its members.
pub(crate) struct HeldSummary {
    pub(crate) id: String,
    /// First and last date.
    pub(crate) dates: [String; 2],
    /// The summary it takes the place of, `Observation/7`.
    pub(crate) replaces: Option<String>,
    /// Figures by code, as they are written: `123.4 mg/dL`.
    pub(crate) figures: BTreeMap<String, String>,
}

/// An Observation, with everything that any of ours may have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Observation {
    resource_type: String,
    id: String,
    #[serde(rename = "meta")]
    _meta: IgnoredAny,
    extension: Option<[Extension; 1]>,
    identifier: [Identifier; 1],
    status: String,
    category: Value,
    code: Value,
    subject: Value,
    effective_date_time: Option<String>,
    effective_period: Option<Period>,
    value_quantity: Option<Quantity>,
    data_absent_reason: Option<Value>,
    interpretation: Option<Value>,
    #[serde(rename = "note")]
    _note: Option<IgnoredAny>,
    device: Option<Reference>,
    has_member: Option<Vec<Reference>>,
    component: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Extension {
    url: String,
    value_reference: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    system: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Period {
    start: String,
    end: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Component {
    code: Value,
    value_quantity: Quantity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quantity {
    value: Box<RawValue>,
    comparator: Option<String>,
    unit: String,
    system: String,
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Device {
    resource_type: String,
    id: String,
    #[serde(rename = "meta")]
    _meta: IgnoredAny,
    identifier: [Identifier; 1],
    serial_number: Option<String>,
    #[serde(rename = "deviceName")]
    names: Value,
    patient: Value,
}

impl Quantity {
    /// The number as it is written, and its unit.
    fn text(&self) -> String {
        assert_eq!(self.system, "http://unitsofmeasure.org");
        format!(
            "{}{} {}",
            self.comparator.as_deref().unwrap_or_default(),
            self.value.get(),
            self.code
        )
    }
}

impl Record {
    /// Reads it.
    pub(crate) async fn of(server: &Server, patient: &str) -> Self {
        let whose = json!({"reference": format!("Patient/{patient}")});
        let (mut serials, mut identifiers) = (BTreeMap::new(), HashSet::new());
        for text in server.all("Device", patient).await {
            let device: Device = serde_json::from_str(&text).unwrap();
            assert_eq!((device.resource_type.as_str(), &device.patient), ("Device", &whose));
            let name = device.names[0]["name"].as_str().unwrap().to_owned();
            assert_eq!(device.names, json!([{"name": name, "type": "user-friendly-name"}]));
            assert!(
                identifiers.insert(value(&device.identifier).to_owned()),
                "an identifier twice"
            );
            serials.insert(format!("Device/{}", device.id), device.serial_number.unwrap_or(name));
        }
        let mut observations = BTreeMap::new();
        for text in server.all("Observation", patient).await {
            let one: Observation =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!((one.resource_type.as_str(), &one.subject), ("Observation", &whose));
            assert_eq!(
                one.category,
                concept("http://terminology.hl7.org/CodeSystem/observation-category", "laboratory")
            );
            assert!(identifiers.insert(value(&one.identifier).to_owned()), "an identifier twice");
            observations.insert(format!("Observation/{}", one.id), one);
        }
        let of =
            |kind: fn(&Observation) -> bool| observations.values().filter(move |one| kind(one));
        let mut readings: Vec<Held> =
            of(|one| one.effective_date_time.is_some()).map(|one| held(one, &serials)).collect();
        readings.sort();
        let summaries: Vec<HeldSummary> =
            of(|one| one.has_member.is_some()).map(|one| summary(one, &observations)).collect();
        let members: HashSet<&str> =
            of(|one| one.has_member.is_some()).flat_map(member_references).collect();
        assert_eq!(
            readings.len() + summaries.len() + members.len(),
            observations.len(),
            "and nothing besides"
        );
        Self { readings, devices: serials.into_values().collect(), summaries }
    }

    /// The readings of a code as facts, by time; each said once and not corrected.
    pub(crate) fn facts(&self, code: &str) -> Vec<Fact> {
        let of_code = self.readings.iter().filter(|held| held.code == code);
        of_code
            .map(|held| {
                assert_eq!((held.status.as_str(), &held.replaces), ("final", &None));
                held.fact.clone()
            })
            .collect()
    }
}

fn held(one: &Observation, serials: &BTreeMap<String, String>) -> Held {
    let code = loinc(&one.code);
    let (unit, ucum) = match code.as_str() {
        "99504-3" => ("mg/dl", "mg/dL"),
        "105272-9" => ("mmol/l", "mmol/L"),
        other => panic!("{other} has an instant"),
    };
    let said = match (&one.value_quantity, &one.data_absent_reason) {
        (Some(quantity), None) => {
            assert_eq!((quantity.unit.as_str(), quantity.code.as_str()), (unit, ucum));
            quantity.text().strip_suffix(&format!(" {ucum}")).unwrap().to_owned()
        }
        (None, Some(reason)) => {
            coded(reason, "http://terminology.hl7.org/CodeSystem/data-absent-reason")
        }
        _ => panic!("neither a value nor a reason for none, or both"),
    };
    // For readers that drop comparators.
    let comparator = one.value_quantity.as_ref().and_then(|quantity| quantity.comparator.clone());
    assert_eq!(one.interpretation, comparator.map(|beyond| concept(INTERPRETATION, &beyond)));
    let at = one.effective_date_time.clone().unwrap();
    let sensor =
        one.device.as_ref().map_or_else(String::new, |device| serials[&device.reference].clone());
    assert!(one.component.is_none() && one.has_member.is_none() && one.effective_period.is_none());
    Held {
        fact: Fact { at, said, sensor },
        code,
        status: one.status.clone(),
        identifier: value(&one.identifier).to_owned(),
        replaces: replaced(one).map(|reference| {
            assert_eq!(reference["type"], "Observation");
            assert_eq!(reference["identifier"]["system"], URI);
            reference["identifier"]["value"].as_str().unwrap().to_owned()
        }),
    }
}

fn summary(one: &Observation, observations: &BTreeMap<String, Observation>) -> HeldSummary {
    assert_eq!((loinc(&one.code).as_str(), one.status.as_str()), ("107931-8", "final"));
    let dates = |of: &Observation| {
        of.effective_period.as_ref().map(|period| [period.start.clone(), period.end.clone()])
    };
    let figures = member_references(one).flat_map(|reference| {
        let member = &observations[reference];
        assert_eq!(member.interpretation, None);
        assert_eq!((member.status.as_str(), dates(member)), ("final", dates(one)));
        let alone =
            member.value_quantity.iter().map(|quantity| (loinc(&member.code), quantity.text()));
        let parts = member
            .component
            .iter()
            .flatten()
            .map(|part| (loinc(&part.code), part.value_quantity.text()));
        alone.chain(parts).collect::<Vec<_>>()
    });
    HeldSummary {
        id: one.id.clone(),
        dates: dates(one).unwrap(),
        replaces: replaced(one)
            .map(|reference| reference["reference"].as_str().unwrap().to_owned()),
        figures: figures.collect(),
    }
}

fn member_references(one: &Observation) -> impl Iterator<Item = &str> {
    one.has_member.iter().flatten().map(|member| member.reference.as_str())
}

fn replaced(one: &Observation) -> Option<&Value> {
    one.extension.as_ref().map(|[extension]| {
        assert_eq!(extension.url, REPLACES);
        &extension.value_reference
    })
}

fn value([identifier]: &[Identifier; 1]) -> &str {
    assert_eq!(identifier.system, URI);
    &identifier.value
}

fn loinc(code: &Value) -> String {
    coded(code, "http://loinc.org")
}

/// The code of a concept that has only that one.
fn coded(concept_of: &Value, system: &str) -> String {
    let code = concept_of["coding"][0]["code"].as_str().unwrap();
    assert_eq!(*concept_of, json!({"coding": [{"system": system, "code": code}]}));
    code.to_owned()
}

fn concept(system: &str, code: &str) -> Value {
    json!([{"coding": [{"system": system, "code": code}]}])
}
