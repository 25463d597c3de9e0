//! What the guide and FHIR R4 say about resources: codes, dates, raw text, validation and
//! references. Written from the guide alone and free of HTTP and storage, so that it is a second
//! opinion on whoever sends.

pub(crate) mod bundle;
pub(crate) mod codes;
pub(crate) mod dates;
pub(crate) mod outcome;
pub(crate) mod raw;
pub(crate) mod references;
pub(crate) mod shape;
pub(crate) mod validate;
