//! What a receiver's `CapabilityStatement` promises.

use super::codes::{RECEIVER_CANONICAL, SUBMIT_DEFINITION, SUBMIT_OPERATION, T1D_OPERATION};
use super::dialect::{Dialect, Signs};
use super::lenient::{Json, MAX_BYTES, lenient, lenient_list};
use serde::Deserialize;

/// Why a `CapabilityStatement` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// Another resource.
    #[error("the receiver's metadata is not a CapabilityStatement: check the base URL")]
    NotACapabilityStatement,
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
    /// Whether readings and summaries can be found again by their identifiers, the granted scopes allowing.
    pub observation_search_by_identifier: bool,
    /// The same of devices.
    pub device_search_by_identifier: bool,
    /// Whether it lists conditional create for Observations. Many honour it and do not say so.
    pub conditional_create: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    fhir_version: String,
    #[serde(default, deserialize_with = "lenient_list")]
    instantiates: Vec<String>,
    #[serde(default, deserialize_with = "lenient_list")]
    rest: Vec<Rest>,
}

#[derive(Deserialize)]
struct Rest {
    #[serde(default, deserialize_with = "lenient")]
    mode: String,
    #[serde(default, deserialize_with = "lenient_list")]
    interaction: Vec<Interaction>,
    #[serde(default, deserialize_with = "lenient_list")]
    operation: Vec<Operation>,
    #[serde(default, deserialize_with = "lenient_list")]
    resource: Vec<Resource>,
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
struct Resource {
    #[serde(default, deserialize_with = "lenient")]
    r#type: String,
    #[serde(default, deserialize_with = "lenient_list")]
    interaction: Vec<Interaction>,
    #[serde(default, deserialize_with = "lenient_list")]
    operation: Vec<Operation>,
    #[serde(default, deserialize_with = "lenient_list")]
    search_param: Vec<SearchParameter>,
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
}

impl Resource {
    fn searches(&self) -> bool {
        self.interaction.iter().any(|interaction| interaction.code == "search-type")
    }

    fn searches_by_identifier(&self) -> bool {
        self.searches() && self.search_param.iter().any(|parameter| parameter.name == "identifier")
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
    let statement: Statement = serde_json::from_str(raw.get()).map_err(|_| CapabilityError::NotACapabilityStatement)?;
    if statement.resource_type != "CapabilityStatement" {
        return Err(CapabilityError::NotACapabilityStatement);
    }
    let servers = || statement.rest.iter().filter(|rest| rest.mode != "client");
    let resources =
        |kind: &'static str| servers().flat_map(|rest| &rest.resource).filter(move |resource| resource.r#type == kind);
    let submit_operation = servers()
        .flat_map(|rest| &rest.operation)
        .any(|operation| operation.is(SUBMIT_OPERATION) || unversioned(&operation.definition) == SUBMIT_DEFINITION);
    let instantiates = statement.instantiates.iter().any(|canonical| unversioned(canonical) == RECEIVER_CANONICAL);
    let anywhere = |rest: &Rest| {
        rest.operation
            .iter()
            .chain(rest.resource.iter().flat_map(|one| &one.operation))
            .any(|one| one.is(T1D_OPERATION))
    };
    let signs = Signs {
        cgm_receiver: instantiates,
        cgm_operation: submit_operation,
        other_guide: servers().any(anywhere),
        fhir_r4: statement.fhir_version.starts_with("4.0"),
        transaction: servers().flat_map(|rest| &rest.interaction).any(|interaction| interaction.code == "transaction"),
    };
    Ok(Capability {
        dialect: Dialect::recognise(signs),
        submit_operation,
        fhir_r4: signs.fhir_r4,
        order_search: resources("ServiceRequest").any(Resource::searches),
        observation_search_by_identifier: resources("Observation").any(Resource::searches_by_identifier),
        device_search_by_identifier: resources("Device").any(Resource::searches_by_identifier),
        conditional_create: resources("Observation").any(|one| one.conditional_create),
    })
}
