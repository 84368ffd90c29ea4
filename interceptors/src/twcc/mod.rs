//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), both ways.
//!
//! Every packet of a transport, of whatever stream, carries one sequence number in a header extension.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Recorder`] | receives media | notes arrivals and tells them to the sender every 50 ms |
//! | [`SendHistory`] | sends media | numbers packets, and turns feedback into what became of each |

mod recorder;
mod send_history;

pub use recorder::{Recorder, RecorderConfig};
pub use send_history::{SendHistory, Summary};
