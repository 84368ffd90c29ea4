//! The media task: the one task that owns the routing core and everything that needs it at packet rate.

mod describe;
mod handle;
pub mod messages;

pub use describe::describe;
pub use handle::{Guard, Handle};
