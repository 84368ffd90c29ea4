//! The WebRTC legs of the gateway: browsers and apps that signal over a WebSocket, WHIP encoders, WHEP players.
//!
//! | module | what |
//! |---|---|
//! | [`command`] | what tasks ask of the legs, and what those tell |
//! | [`legs`] | all legs behind the one UDP port |
//! | `leg` | one peer connection, its publications and its slots |
//! | `slots` | which track stands in which slot |

pub mod command;
mod leg;
pub mod legs;
mod media;
mod slots;
mod stats;

pub use legs::{Legs, LegsConfig};
pub use stats::Stats;
