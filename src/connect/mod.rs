//! Drives the SMART flows: discovery, authorisation, token refresh, revocation.
