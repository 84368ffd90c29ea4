//! Keyframe requests (PLI: RFC 4585 §6.3.1; FIR: RFC 5104 §4.3.1), both ways.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Requester`] | receives media | merges the wishes of many into few requests, and repeats until a keyframe comes |
//! | [`Handler`] | sends media | turns what comes in into one event for each real request |

mod handler;
mod requester;

pub use handler::Handler;
pub use requester::{Kind, Requester, RequesterConfig};
