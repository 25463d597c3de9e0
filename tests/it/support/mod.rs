//! A person's phone, the network and a clinic, all in this process: what the tests of the main job
//! and the suites of `tests/external` run in.

pub(crate) mod tape;
pub(crate) mod world;
pub(crate) mod zone;
