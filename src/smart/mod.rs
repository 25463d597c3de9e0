//! SMART App Launch without I/O: discovery, authorisation request, callback, token, scopes.
