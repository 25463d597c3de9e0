//! Which data a receiver asks for, how often and how far back.
