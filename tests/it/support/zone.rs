//! Where a test's person lives.

use cgm_submitter::environment::NamedZone;
use chrono_tz::Tz;

/// The library's zone of this name.
pub(crate) fn zone(tz: Tz) -> NamedZone {
    tz.name().parse().unwrap()
}
