//! Congestion control feedback (RFC 8888), both ways.
//!
//! It names packets by source and RTP sequence number, so no header extension is needed, and tells the ECN mark that each
//! arrived with. Times have a resolution of 1/1024 s.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Recorder`] | receives media | notes arrivals and tells them to the sender every 50 ms |
//! | [`SendHistory`] | sends media | remembers packets, and turns feedback into what became of each |

mod recorder;
mod send_history;

pub use recorder::{Recorder, RecorderConfig};
pub use send_history::SendHistory;

/// Sources of one transport that are told of at most.
const MAX_STREAMS: usize = 64;
