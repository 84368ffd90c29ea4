//! The Tombolo gateway: WebRTC and WebTransport in one channel

pub mod hub;
