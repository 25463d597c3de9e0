//! No guide: any FHIR R4 server that takes transactions. The resources are HL7 CGM's.

use super::{Guide, hl7_cgm};

pub(super) const GUIDE: Guide = Guide {
    code: "plain",
    // A transaction goes to the base itself.
    operation: "",
    refuses_conditions_it_ignores: false,
    ..hl7_cgm::GUIDE
};
