//! The one object an app holds.
