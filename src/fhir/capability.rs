//! What a receiver's `CapabilityStatement` promises.

use super::codes::{RECEIVER_CANONICAL, SUBMIT_DEFINITION, SUBMIT_OPERATION, T1D_OPERATION};
use super::dialect::{Dialect, Signs};
use super::lenient::{Elements, Json, MAX_BYTES, MAX_ELEMENTS, lenient};
use serde::{Deserialize, Serialize};

/// Why a `CapabilityStatement` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// Another resource.
    #[error("the receiver's metadata is not a CapabilityStatement: check the base URL")]
    NotACapabilityStatement,
    /// More servers, resources or operations than anybody has.
    #[error("the receiver's metadata has a list of more than {MAX_ELEMENTS} elements")]
    TooMany,
    /// Larger than is read.
    #[error("the receiver's metadata is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the receiver's metadata is not JSON: check the base URL")]
    Unparsable,
}

/// What a receiver promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent promises, each read on its own")]
pub struct Capability {
    /// What to speak to it; none where it would understand nothing of what we write.
    pub dialect: Option<Dialect>,
    /// Whether it lists the operation `submit-cgm-bundle`.
    pub submit_operation: bool,
    /// Whether it is FHIR R4.
    pub fhir_r4: bool,
    /// Whether orders can be searched for.
    pub order_search: bool,
    /// Whether readings and summaries can be found again by their identifiers, the granted scopes
    /// allowing.
    pub observation_search_by_identifier: bool,
    /// The same of devices.
    pub device_search_by_identifier: bool,
    /// Whether readings can be searched for by patient, code and date.
    pub observation_search_by_date: bool,
    /// Whether it lists conditional create for Observations. Many honour it and do not say so.
    pub conditional_create: bool,
}

/// What of it decides how to send: kept with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promises {
    /// As [`Capability::conditional_create`].
    pub conditional_create: bool,
    /// As [`Capability::observation_search_by_identifier`].
    pub searches_observations: bool,
    /// As [`Capability::device_search_by_identifier`].
    pub searches_devices: bool,
}

impl From<Capability> for Promises {
    fn from(capability: Capability) -> Self {
        Self {
            conditional_create: capability.conditional_create,
            searches_observations: capability.observation_search_by_identifier,
            searches_devices: capability.device_search_by_identifier,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    fhir_version: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    instantiates: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    rest: Elements<'a>,
}

#[derive(Deserialize)]
struct Rest<'a> {
    #[serde(default, deserialize_with = "lenient")]
    mode: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    interaction: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    operation: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    resource: Elements<'a>,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default, deserialize_with = "lenient")]
    name: String,
    #[serde(default, deserialize_with = "lenient")]
    definition: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource<'a> {
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    interaction: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    operation: Elements<'a>,
    #[serde(default, borrow, deserialize_with = "lenient")]
    search_param: Elements<'a>,
    #[serde(default, deserialize_with = "lenient")]
    conditional_create: bool,
}

#[derive(Deserialize)]
struct Interaction {
    #[serde(default, deserialize_with = "lenient")]
    code: String,
}

#[derive(Deserialize)]
struct SearchParameter {
    #[serde(default, deserialize_with = "lenient")]
    name: String,
}

impl Operation {
    fn is(&self, name: &str) -> bool {
        self.name.trim_start_matches('$') == name
    }

    fn submits(&self) -> bool {
        self.is(SUBMIT_OPERATION) || unversioned(&self.definition) == SUBMIT_DEFINITION
    }
}

impl Resource<'_> {
    fn searches(&self) -> bool {
        self.interaction.each().any(|interaction: Interaction| interaction.code == "search-type")
    }

    /// Whether it can be searched for by each of these.
    fn searches_by(&self, names: &[&str]) -> bool {
        let offers = |name: &&str| {
            self.search_param.each().any(|parameter: SearchParameter| parameter.name == **name)
        };
        self.searches() && names.iter().all(offers)
    }
}

/// A canonical without its `|version`.
fn unversioned(canonical: &str) -> &str {
    canonical.split('|').next().unwrap_or(canonical)
}

/// Reads a `CapabilityStatement`.
///
/// # Errors
/// [`CapabilityError`].
pub fn parse_capability(body: &[u8]) -> Result<Capability, CapabilityError> {
    if body.len() > MAX_BYTES {
        return Err(CapabilityError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| CapabilityError::Unparsable)?;
    let statement: Statement<'_> =
        serde_json::from_str(raw.get()).map_err(|_| CapabilityError::NotACapabilityStatement)?;
    if statement.resource_type != "CapabilityStatement" {
        return Err(CapabilityError::NotACapabilityStatement);
    }
    let mut found =
        Capability { fhir_r4: statement.fhir_version.starts_with("4.0"), ..Capability::default() };
    let mut signs = Signs { fhir_r4: found.fhir_r4, ..Signs::default() };
    let ours = |canonical: String| unversioned(&canonical) == RECEIVER_CANONICAL;
    signs.cgm_receiver = bounded(&statement.instantiates)?.each().any(ours);
    for rest in bounded(&statement.rest)?.each().filter(|rest: &Rest<'_>| rest.mode != "client") {
        signs.transaction |= rest
            .interaction
            .each()
            .any(|interaction: Interaction| interaction.code == "transaction");
        for operation in bounded(&rest.operation)?.each::<Operation>() {
            signs.cgm_operation |= operation.submits();
            signs.other_guide |= operation.is(T1D_OPERATION);
        }
        for resource in bounded(&rest.resource)?.each::<Resource<'_>>() {
            signs.other_guide |=
                resource.operation.each().any(|operation: Operation| operation.is(T1D_OPERATION));
            found.add(&resource);
        }
    }
    found.submit_operation = signs.cgm_operation;
    found.dialect = Dialect::recognise(signs);
    Ok(found)
}

/// A list that is looked at as a whole.
fn bounded<'l, 'a>(list: &'l Elements<'a>) -> Result<&'l Elements<'a>, CapabilityError> {
    if list.count > MAX_ELEMENTS { Err(CapabilityError::TooMany) } else { Ok(list) }
}

impl Capability {
    fn add(&mut self, resource: &Resource<'_>) {
        match resource.r#type.as_str() {
            "ServiceRequest" => self.order_search |= resource.searches(),
            "Observation" => {
                self.observation_search_by_identifier |= resource.searches_by(&["identifier"]);
                self.observation_search_by_date |=
                    resource.searches_by(&["patient", "code", "date"]);
                self.conditional_create |= resource.conditional_create;
            }
            "Device" => self.device_search_by_identifier |= resource.searches_by(&["identifier"]),
            _ => {}
        }
    }
}
