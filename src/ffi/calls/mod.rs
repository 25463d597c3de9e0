//! The calls of the border's one object, by what they are about.

mod connections;
mod readings;
mod submissions;
