//! A clock for unit tests.

use std::time::{Duration, Instant};

/// The instant `ms` milliseconds after the start of every virtual clock.
pub(crate) fn at(ms: u64) -> Instant {
    tombolo_netsim::start() + Duration::from_millis(ms)
}
