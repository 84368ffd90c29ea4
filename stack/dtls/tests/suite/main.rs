//! Two connections on a simulated network.

mod handshake;
mod peer;
