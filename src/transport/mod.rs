//! HTTP: the built-in transport over reqwest, for every place where the host does not bring its own.
//!
//! It sends one request once. It must not retry, follow redirects or judge a status: those are decided above.

#[cfg(feature = "reqwest")]
mod reqwest;

#[cfg(feature = "reqwest")]
pub use self::reqwest::{ReqwestTransport, ReqwestTransportBuilder, TransportSetupError};
