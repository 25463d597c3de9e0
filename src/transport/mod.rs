//! HTTP: the built-in reqwest transport.
