//! The outbox as a machine one steps, and the driver that steps it.
//!
//! [`Machine`] is synchronous: it says what to do next and is told what came of it, each in a short
//! transaction of the store. The driver gives it tokens, a network and time. A kill between any two
//! steps is the same as stopping there.

mod assemble;
mod batch;
mod driver;
mod machine;
mod preview;
mod verify;

pub(crate) use assemble::speaks_known_guide;
pub use assemble::{Body, next_body, summarise};
pub use batch::Outgoing;
pub use driver::{Delivery, Event, Stopped};
pub use machine::{Answer, Machine, Step};
pub use preview::{Preview, preview};
pub use verify::{CannotVerify, Difference, NotVerified, Verification};
