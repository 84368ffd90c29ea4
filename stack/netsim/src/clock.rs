//! The instant at which every virtual clock starts.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How far the start lies after the first call, so that a test can subtract from it.
const HEADROOM: Duration = Duration::from_secs(86_400);

/// The instant at which every [`Pair`](crate::Pair) starts: the same one throughout a process.
///
/// An `Instant` cannot be made from a number, so the machine's clock is read once; only differences to this
/// instant mean anything, and those are the same in each run.
#[must_use]
pub fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(read_clock)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only source of an Instant; read once, and only as an origin"
)]
fn read_clock() -> Instant {
    Instant::now() + HEADROOM
}
