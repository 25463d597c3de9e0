//! The FHIR resources we write and read: codes, identity, bundle assembly, response parsing.
//!
//! Pure text in, pure text out. Nothing here decides what to send or when, and nothing knows HTTP
//! beyond a status number. What a receiver sends is bounded in size and depth before it is looked
//! at, and never shows in an error or in `{:?}`.

mod bundle;
mod capability;
mod codes;
mod dates;
mod datetime;
mod decimal;
mod device;
mod dialect;
mod envelope;
mod identity;
mod kind;
mod lenient;
mod outcome;
mod patient;
mod permission;
mod read_back;
mod reading;
mod resource;
mod searchset;
mod shown;
mod subject;
mod summary;

pub use bundle::{AssembledBundle, BundleError, BundleWriter, EntryInfo, Fit, UnitWriter};
pub use capability::{Capability, CapabilityError, Promises, parse_capability};
pub use codes::{CGM_CODE_SYSTEM, ONE_TIME_ORDER, PROFILE_BASE, STANDING_ORDER, SummaryMember};
pub use device::DeviceEntry;
pub use dialect::{DatesForm, Dialect, OrderVocabulary, Part, ScheduleForm, Written};
pub use envelope::{BundleLimits, EntryOutcome, Envelope, ResponseError, parse_response};
pub use identity::Identifier;
pub use kind::{Covered, EntryKind};
pub use outcome::{OutcomeText, parse_outcome};
pub use patient::{PatientError, PatientIdentity, parse_patient};
pub use permission::{ResourceType, SearchToken};
pub use read_back::{
    Addresses, Comparison, Found, compare, date_search_form, parse_found, search_form,
    sent_resources,
};
pub use reading::{DeviceReference, ReadingEntry, Replaced};
pub use searchset::{Paging, SearchError};
pub use subject::{PatientId, SubjectError, SubjectReference};
pub use summary::{EarlierResource, SummaryEntry, SummaryError, SummaryFacts};

pub(crate) use dates::days_of;
pub(crate) use lenient::{Elements, Json, lenient};
pub(crate) use searchset::parse_search_page;
pub(crate) use shown::shown;
pub(crate) use subject::is_fhir_id;
