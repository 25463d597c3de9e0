//! The resources we write and read, bundle assembly, identity, response parsing.
