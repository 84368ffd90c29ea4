//! How much is sent.

use std::time::{Duration, Instant};

/// Over which time the rate is measured.
const PERIOD: Duration = Duration::from_millis(250);

/// The rates of the last two periods in which something was sent.
#[derive(Debug, Default)]
pub(super) struct SentRate {
    /// Since when a period runs, and its bytes.
    period: Option<(Instant, u64)>,
    bps: Option<[f64; 2]>,
}

impl SentRate {
    pub(super) fn on_sent(&mut self, now: Instant, size_bytes: u32) {
        let (since, bytes) = self.period.get_or_insert((now, 0));
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= PERIOD {
            let bps = *bytes as f64 * 8.0 / elapsed.as_secs_f64();
            self.bps = Some([bps, self.bps.map_or(bps, |[last, _]| last)]);
            (*since, *bytes) = (now, 0);
        }
        *bytes += u64::from(size_bytes);
    }

    /// The higher rate of the two; `None` before the first is over.
    pub(super) fn most(&self) -> Option<f64> {
        self.bps.map(|[last, before]| last.max(before))
    }
}
