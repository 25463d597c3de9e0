//! What is wrong with a header, whatever the format.

use super::ImportError;

/// Refuses a header in which two columns have one name, or two begin as one of `wanted` does:
/// nothing says which of them holds the readings.
pub(super) fn refuse_doubled(names: &[String], wanted: &[&str]) -> Result<(), ImportError> {
    for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let earlier = names.get(..at).unwrap_or_default();
        let same = |other: &String| {
            let both = |wanted: &&str| other.starts_with(wanted) && name.starts_with(wanted);
            other == name || wanted.iter().any(both)
        };
        if let Some(first) = earlier.iter().position(same) {
            return Err(ImportError::DoubledColumn { first: first + 1, second: at + 1 });
        }
    }
    Ok(())
}
