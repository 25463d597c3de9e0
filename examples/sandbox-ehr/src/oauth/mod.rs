//! The authorisation server: discovery, the approval page, tokens and revocation, as SMART App
//! Launch 2.2 asks for a native public client. It knows nothing of resources except the words of a
//! scope.

pub(crate) mod authorize;
pub(crate) mod discovery;
pub(crate) mod form;
mod page;
pub(crate) mod redirect;
pub(crate) mod scopes;
pub(crate) mod token;
