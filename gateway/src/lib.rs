//! The Tombolo gateway: WebRTC and WebTransport in one channel.
//!
//! The binary `tombolo` is a thin shell around [`server::Server`]. `ARCHITECTURE.md` in the repository has the map.

mod addresses;
pub mod certificate;
pub mod config;
pub mod core;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod moq;
pub mod port;
pub mod rtc;
pub mod server;
