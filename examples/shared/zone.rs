//! The option `--time-zone`: whose days dates are.

use cgm_submitter::environment::NamedZone;

/// The person's time zone: the one given, else this machine's, else UTC. Dates are its days, also
/// of a file whose times have UTC offsets of their own.
pub(crate) fn of_person(given: Option<NamedZone>) -> NamedZone {
    let machine = || NamedZone::of_this_device().ok();
    given.or_else(machine).unwrap_or(NamedZone::UTC)
}
