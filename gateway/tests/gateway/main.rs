//! Tests of the whole gateway, over its sockets. One binary, since each costs a link of everything.

mod refusals;
mod support;
