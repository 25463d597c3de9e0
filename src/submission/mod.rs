//! What to send, in which units and batches, and what to do about what came back.
