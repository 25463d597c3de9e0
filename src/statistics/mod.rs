//! What a stretch of readings says: the consensus statistics of continuous glucose monitoring.
