//! The Tombolo gateway: WebRTC and WebTransport in one channel

pub mod config;
pub mod core;
pub mod hub;
pub mod moq;
pub mod port;
pub mod rtc;
