//! How long packets wait on the way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::bwe::PacketResult;

/// The least delay is that of so many periods; older ones are forgotten, as ways and clocks change.
const PERIODS: usize = 5;
const PERIOD: Duration = Duration::from_secs(2);
/// QDELAY_AVG_G, for feedback that comes a few times less often than the draft assumes.
const GAIN: f64 = 0.5;

/// The delay in the queue: one-way delays above the least of the last ten seconds.
#[derive(Debug, Default)]
pub(super) struct QueueDelay {
    /// Where the µs of sending are counted from.
    origin: Option<Instant>,
    /// When each of the last periods began, and its least delay in µs.
    least: VecDeque<(Instant, i64)>,
    seconds: f64,
}

impl QueueDelay {
    pub(super) fn on_results(&mut self, results: &[PacketResult]) {
        let mut newest = None;
        for result in results {
            let Some(arrival_us) = result.arrival_us else { continue };
            let origin = *self.origin.get_or_insert(result.sent);
            let after = result.sent.saturating_duration_since(origin).as_micros() as i64;
            let sent_us = after - origin.saturating_duration_since(result.sent).as_micros() as i64;
            let delay = arrival_us.saturating_sub(sent_us);
            match self.least.back_mut() {
                Some((since, least)) if result.sent.saturating_duration_since(*since) < PERIOD => {
                    *least = delay.min(*least);
                }
                _ => {
                    if self.least.len() == PERIODS {
                        self.least.pop_front();
                    }
                    self.least.push_back((result.sent, delay));
                }
            }
            newest = Some(delay);
        }
        let least = self.least.iter().map(|&(_, least)| least).min();
        if let Some((newest, least)) = newest.zip(least) {
            let queued = newest.saturating_sub(least) as f64 / 1e6;
            self.seconds += (queued - self.seconds) * GAIN;
        }
    }

    /// The delay in seconds, smoothed.
    pub(super) const fn seconds(&self) -> f64 {
        self.seconds
    }
}
