//! Two connections on a simulated network.

mod allocations;
mod attacks;
mod browser;
mod connection_id;
mod exhaustive;
mod handshake;
mod identity;
mod key_log;
mod listener;
mod matrix;
mod network;
mod peer;
mod psk;
mod strictness;
mod tampering;
mod thirteen;
mod verifier;
mod wire;
