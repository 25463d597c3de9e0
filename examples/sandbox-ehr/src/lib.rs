//! A small, strict CGM data receiver.
