//! The public error: a stable code, whether trying again can help, and what to do.
