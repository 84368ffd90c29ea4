//! Keyframe requests (PLI: RFC 4585 §6.3.1; FIR: RFC 5104 §4.3.1), both ways.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Budget`] | receives media | when to ask, for all who wait, and when to ask again |
//! | [`Requester`] | receives media | merges the wishes of many into few requests, and repeats until a keyframe comes |
//! | [`Handler`] | sends media | turns what comes in into one event for each real request |

mod budget;
mod handler;
mod requester;

pub use budget::{Budget, BudgetConfig};
pub use handler::Handler;
pub use requester::{Kind, Requester, RequesterConfig};
