//! Keyframe requests (PLI: RFC 4585 §6.3.1; FIR: RFC 5104 §4.3.1), both ways.
//!
//! | type | side | what |
//! |---|---|---|
//! | [`Budget`] | receives media | when to ask, for all who wait, and when to ask again |
//! | [`Requester`] | receives media | merges the wishes of many into few requests, and repeats until a keyframe comes |
//! | [`Share`], [`CostMeter`] | receives media | how often keyframes may be asked for, by what they cost at the current rate |
//! | [`Requesters`] | receives media | hears each of those who ask only so often |
//! | [`Handler`] | sends media | turns what comes in into one event for each real request |

mod budget;
mod cost;
mod handler;
mod requester;
mod requesters;

pub use budget::{Budget, BudgetConfig};
pub use cost::{CostMeter, Share};
pub use handler::Handler;
pub use requester::{Kind, Requester, RequesterConfig};
pub use requesters::{Requesters, RequestersConfig};
