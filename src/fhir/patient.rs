//! Who a receiver says the patient is: what a person confirms before anything is sent.

use super::dates::days_of;
use super::lenient::{Elements, Json, MAX_BYTES, lenient};
use super::shown::shown;
use super::subject::PatientId;
use crate::sorting::sort_by_key;
use serde::Deserialize;
use std::fmt;

/// Names that are looked at.
const MAX_NAMES: usize = 100;
/// Parts of a name that are looked at.
const MAX_PARTS: usize = 100;
/// Characters of a name.
const MAX_NAME: usize = 256;

/// Why a Patient cannot be used. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatientError {
    /// Another resource.
    #[error("the receiver's answer is not a Patient")]
    NotAPatient,
    /// Another patient than the authorisation names.
    #[error(
        "the receiver gave another patient than the one authorised: disconnect and connect anew"
    )]
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
struct Patient<'a> {
    #[serde(default, deserialize_with = "lenient")]
    resource_type: String,
    #[serde(default, deserialize_with = "lenient")]
    id: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    name: Elements<'a>,
    #[serde(default, deserialize_with = "lenient")]
    birth_date: String,
}

#[derive(Deserialize)]
struct HumanName<'a> {
    #[serde(default, deserialize_with = "lenient")]
    r#use: String,
    #[serde(default, deserialize_with = "lenient")]
    text: String,
    #[serde(default, deserialize_with = "lenient")]
    family: String,
    #[serde(default, borrow, deserialize_with = "lenient")]
    given: Elements<'a>,
}

impl HumanName<'_> {
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

    fn written(&self) -> Option<String> {
        let joined = || {
            let parts =
                self.given.each().take(MAX_PARTS).chain(std::iter::once(self.family.clone()));
            let parts =
                parts.map(|part: String| part.trim().to_owned()).filter(|part| !part.is_empty());
            parts.collect::<Vec<_>>().join(" ")
        };
        let name = if self.text.trim().is_empty() { joined() } else { self.text.trim().to_owned() };
        let name = shown(&name, MAX_NAME).trim().to_owned();
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
    let patient: Patient<'_> =
        serde_json::from_str(raw.get()).map_err(|_| PatientError::NotAPatient)?;
    if patient.resource_type != "Patient" {
        return Err(PatientError::NotAPatient);
    }
    if patient.id != expected.as_str() {
        return Err(PatientError::OtherPatient);
    }
    let mut names: Vec<HumanName<'_>> = patient.name.each().take(MAX_NAMES).collect();
    sort_by_key(&mut names, HumanName::rank);
    let name = names.iter().find_map(HumanName::written);
    let birth_date = is_partial_date(&patient.birth_date).then_some(patient.birth_date);
    Ok(PatientIdentity { id: expected.clone(), name, birth_date })
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
fn is_partial_date(text: &str) -> bool {
    text.len() <= 10 && days_of(text).is_some()
}
