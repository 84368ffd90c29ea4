//! The media task: the one task that owns the routing core and everything that needs it at packet rate.
//!
//! ```text
//! tasks ──Command──► ┌───────────────────────────────┐ ──Frame──► sessions (bounded queues)
//!                    │ Hub: Core, Stage, frame sinks │ ──Roster─► everybody (watch)
//! socket ──Batch───► │      Legs (WebRTC)            │ ──packets─► socket, joined to runs (GSO)
//!                    └───────────────────────────────┘
//! ```
//!
//! One turn: take what is ready (a batch of datagrams, commands, what is due), let the core and the legs work
//! until neither has output, then send everything at once. Nothing is polled for and nothing waits for a tick.

mod describe;
mod handle;
mod legs;
pub mod messages;
mod sinks;
mod stage;
mod task;

pub use describe::describe;
pub use handle::{Guard, Handle};
pub use legs::{Legs, NoLegs};
pub use stage::Stage;
pub use task::Hub;
