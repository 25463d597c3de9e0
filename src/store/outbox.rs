//! The outbox: submissions and their frozen batches.

/// The outbox's tables.
pub(super) const TABLES: &str = "";
