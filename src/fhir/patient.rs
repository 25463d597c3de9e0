//! Who a receiver says the patient is: what a person confirms before anything is sent.

use super::lenient::{Json, MAX_BYTES, lenient, lenient_list};
use super::subject::PatientId;
use chrono::NaiveDate;
use serde::Deserialize;
use std::fmt;

/// Characters of a name.
const MAX_NAME: usize = 256;

/// Why a Patient cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatientError {
    /// Another resource.
    #[error("the receiver's answer is not a Patient")]
    NotAPatient,
    /// Another patient than the authorisation names.
    #[error("the receiver gave another patient than the one authorised: disconnect and connect anew")]
    OtherPatient,
    /// Larger than is read.
    #[error("the receiver's Patient is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// Not JSON.
    #[error("the receiver's Patient is not JSON")]
    Unparsable,
}

/// Who the patient is, as the receiver writes it.
#[derive(Clone, PartialEq, Eq)]
pub struct PatientIdentity {
    /// The id.
    pub id: PatientId,
    /// The official name, or the next best.
    pub name: Option<String>,
    /// `YYYY-MM-DD`, or less where less is known.
    pub birth_date: Option<String>,
}

/// Says nothing: names reach no log.
impl fmt::Debug for PatientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PatientIdentity").finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Patient {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    id: String,
    #[serde(default, deserialize_with = "lenient_list")]
    name: Vec<HumanName>,
    #[serde(default, deserialize_with = "lenient")]
    birth_date: String,
}

#[derive(Deserialize)]
struct HumanName {
    #[serde(default, deserialize_with = "lenient")]
    r#use: String,
    #[serde(default, deserialize_with = "lenient")]
    text: String,
    #[serde(default, deserialize_with = "lenient")]
    family: String,
    #[serde(default, deserialize_with = "lenient_list")]
    given: Vec<String>,
}

impl HumanName {
    /// Official first, then the usual one; names no longer borne last.
    fn rank(&self) -> u8 {
        match self.r#use.as_str() {
            "official" => 0,
            "usual" => 1,
            "" => 2,
            "old" | "maiden" => 4,
            _ => 3,
        }
    }

    fn shown(&self) -> Option<String> {
        let parts = self.given.iter().chain(std::iter::once(&self.family)).map(|part| part.trim());
        let joined = || parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
        let name = if self.text.trim().is_empty() { joined() } else { self.text.trim().to_owned() };
        let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect();
        (!name.is_empty()).then_some(name)
    }
}

/// Reads a Patient, who must be `expected`.
///
/// # Errors
/// [`PatientError`].
pub fn parse_patient(body: &[u8], expected: &PatientId) -> Result<PatientIdentity, PatientError> {
    if body.len() > MAX_BYTES {
        return Err(PatientError::TooLarge);
    }
    let raw: Json<'_> = serde_json::from_slice(body).map_err(|_| PatientError::Unparsable)?;
    let mut patient: Patient = serde_json::from_str(raw.get()).map_err(|_| PatientError::NotAPatient)?;
    if patient.resource_type != "Patient" {
        return Err(PatientError::NotAPatient);
    }
    if patient.id != expected.as_str() {
        return Err(PatientError::OtherPatient);
    }
    patient.name.sort_by_key(HumanName::rank);
    let name = patient.name.iter().find_map(HumanName::shown);
    let birth_date = is_partial_date(&patient.birth_date).then_some(patient.birth_date);
    Ok(PatientIdentity { id: expected.clone(), name, birth_date })
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn is_partial_date(text: &str) -> bool {
    let complete = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return false,
    };
    complete.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && NaiveDate::parse_from_str(&complete, "%Y-%m-%d").is_ok()
}
