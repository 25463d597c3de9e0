//! The patient everything is about: an id at one receiver, and the reference made of it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Whether `text` is a FHIR id: 1 to 64 letters, digits, hyphens and dots. Dots alone are none: in
/// a URL they would lead to another path.
pub(crate) fn is_fhir_id(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (1..=64).contains(&text.len()) && plain && text.bytes().any(|b| b != b'.')
}

/// Why a patient id is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Not 1 to 64 letters, digits, hyphens and dots.
    #[error("the patient id is no FHIR id: 1 to 64 letters, digits, `-` and `.`")]
    PatientId,
}

/// A patient's logical id at one receiver.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PatientId(String);

impl PatientId {
    /// An id as FHIR allows it: 1 to 64 letters, digits, hyphens and dots.
    ///
    /// # Errors
    /// [`SubjectError::PatientId`].
    pub fn new(id: impl Into<String>) -> Result<Self, SubjectError> {
        let id = id.into();
        if is_fhir_id(&id) { Ok(Self(id)) } else { Err(SubjectError::PatientId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PatientId {
    type Error = SubjectError;

    fn try_from(id: String) -> Result<Self, SubjectError> {
        Self::new(id)
    }
}

impl From<PatientId> for String {
    fn from(id: PatientId) -> Self {
        id.0
    }
}

/// Hides the id: identifiers reach no log.
impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId(…)")
    }
}

/// `Patient/<id>`, the subject of every resource of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct SubjectReference {
    patient: PatientId,
    reference: String,
}

impl SubjectReference {
    /// The reference to `patient`.
    pub fn new(patient: PatientId) -> Self {
        let reference = format!("Patient/{}", patient.as_str());
        Self { patient, reference }
    }

    /// Whom it refers to.
    pub const fn patient(&self) -> &PatientId {
        &self.patient
    }

    /// `Patient/<id>`.
    pub fn as_str(&self) -> &str {
        &self.reference
    }
}

/// Hides the id: identifiers reach no log.
impl fmt::Debug for SubjectReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectReference(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fhir_ids_are_taken() {
        for good in ["1", "a.b-C9", &"x".repeat(64)] {
            assert!(PatientId::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a|b", "a/b", "a b", "a_b", "é", &"x".repeat(65)] {
            assert_eq!(PatientId::new(bad), Err(SubjectError::PatientId), "{bad}");
        }
    }

    #[test]
    fn debug_output_hides_the_id() {
        let subject = SubjectReference::new(PatientId::new("secret-7").unwrap());
        assert!(!format!("{subject:?} {:?}", subject.patient()).contains("secret"));
    }
}
