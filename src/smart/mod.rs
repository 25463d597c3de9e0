//! SMART App Launch without I/O: discovery, authorisation request, callback, token, scopes.
//!
//! Follows SMART App Launch 2.2 for a native public client. Nothing here sends, stores, reads a
//! clock or draws a random number: bytes, `now` and randomness are arguments.

mod authorization;
mod base;
mod callback;
mod discovery;
mod pending;
mod redirect;
mod scopes;
mod secret;
mod token;

pub use authorization::{AuthorizationState, PkceVerifier};
pub use base::{BaseError, ReceiverBase};
pub use callback::{AuthorizationCode, CallbackError, state_of, validate};
pub use discovery::{DiscoveryError, SmartConfiguration};
pub use pending::PendingAuthorization;
pub use redirect::{RedirectError, RedirectUri};
pub use scopes::{GrantedScopes, ResourceType, ScopeForm, ScopeRequest, SearchToken};
pub use secret::Secret;
pub use token::{OtherPatient, TokenResponse, TokenResponseError, TokenState};

pub(crate) use base::is_secure;
