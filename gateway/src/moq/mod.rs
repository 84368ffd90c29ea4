//! The WebTransport and QUIC side: Media over QUIC, as `docs/webtransport.md` describes it for clients.
//!
//! ```text
//! quinn endpoint ── "h3" ──► WebTransport request ──► path → channel, ?name= → participant
//!                └─ "moq…" ► raw QUIC, the path comes in the SETUP ──┘
//!                                          │
//!                                     one Session
//!                        ┌─────────────────┴──────────────────┐
//!               Ingest: what the client              Watch: a broadcast for every other
//!               announces as *.hang                  member, and `.gateway`
//!                        └──────────► media task ◄────────────┘
//! ```
//!
//! Each session has broadcasts of its own: what a client subscribes to is made for it alone and begins with a
//! live keyframe. This module and [`crate::port`] are the only ones that know of QUIC; this one is the only
//! one that knows `moq-net` and `web-transport-quinn`.

mod broadcast;
mod catalog;
mod container;
mod control;
mod endpoint;
mod h264;
mod ingest;
mod places;
mod pump;
mod request;
mod session;
mod watch;

pub use endpoint::{Config, MoqServer, MoqStats};
