//! Tests of the whole gateway, over its sockets. One binary, since each costs a link of everything.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod attacks;
mod churn;
mod client;
mod connections;
mod refusals;
mod support;
