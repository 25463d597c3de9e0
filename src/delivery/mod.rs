//! The outbox as a machine one steps, and the driver that steps it.
