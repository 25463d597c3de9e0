//! The outbox as a machine one steps, and the driver that steps it.
//!
//! [`Machine`] is synchronous: it says what to do next and is told what came of it, each in a short
//! transaction of the store. The driver gives it tokens, a network and time. A kill between any two
//! steps is the same as stopping there.

mod account;
mod assemble;
mod batch;
mod driver;
mod event;
mod look_up;
mod machine;
mod preview;
mod requests;
mod verify;
mod waits;

pub(crate) use assemble::speaks_known_guide;
pub use assemble::{Body, next_body, summarise};
pub use batch::Outgoing;
pub use driver::Delivery;
pub use event::{Event, Interrupted, OnEvent, Run, Stopped};
pub use look_up::LookUp;
pub use machine::{Decision, Machine, Moment, Step};
pub(crate) use preview::entries_to_send;
pub use preview::{Preview, preview};
pub use verify::{CannotVerify, Difference, NotVerified, Verification};
