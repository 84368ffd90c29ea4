//! Whole packets through a session.

mod options;
mod session;
mod support;
mod vectors;
