//! SMART App Launch without I/O: discovery, authorisation request, callback, token, scopes.
//!
//! Follows SMART App Launch 2.2 for a native public client. Nothing here sends, stores, reads a
//! clock or draws a random number: bytes, `now` and randomness are arguments.

mod authorization;
mod base;
mod callback;
mod discovery;
mod failures;
mod pending;
mod redirect;
mod scope_request;
mod scopes;
mod secret;
mod token;
mod token_flow;
mod token_response;

pub use authorization::{AuthorizationState, PkceVerifier};
pub use base::{BaseError, ReceiverBase};
pub use callback::{AuthorizationCode, CallbackError, refused_scopes, state_of, validate};
pub use discovery::{DiscoveryError, SmartConfiguration};
pub use failures::{FailureReason, Failures, Pause};
pub use pending::PendingAuthorization;
pub use redirect::{RedirectError, RedirectUri};
pub use scope_request::{ScopeForm, ScopeRequest, ScopesRefused};
pub use scopes::GrantedScopes;
pub use secret::Secret;
pub use token::{OtherPatient, TokenState};
pub use token_flow::{
    Held, ReauthorisationCause, Refresh, RefreshAnswer, Settled, TokenHistory, TokenStep,
    token_step,
};
pub use token_response::{TokenResponse, TokenResponseError};

pub(crate) use base::{host_of, is_secure};
