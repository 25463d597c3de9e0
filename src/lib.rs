//! cgm-submitter.
