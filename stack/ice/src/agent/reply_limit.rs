//! Bounds error replies to strangers: a token bucket, so that the agent is no reflector worth using.

use std::time::{Duration, Instant};

/// Replies that may go out at once, and then per second.
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct ReplyLimit {
    tokens: u32,
    refilled_at: Instant,
}

impl ReplyLimit {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { tokens: BURST, refilled_at: now }
    }

    /// Whether one more reply may go out; counts it.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled_at).as_millis() / REFILL.as_millis();
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed >= BURST {
            self.tokens = BURST;
            self.refilled_at = now;
        } else {
            self.tokens = (self.tokens + passed).min(BURST);
            self.refilled_at += REFILL * passed;
        }
        let Some(left) = self.tokens.checked_sub(1) else { return false };
        self.tokens = left;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_then_ten_a_second() {
        let start = tombolo_netsim::start();
        let mut limit = ReplyLimit::new(start);
        let sent = (0..10_000).filter(|ms| limit.take(start + Duration::from_millis(*ms))).count();
        assert!((108..=110).contains(&sent), "{sent}");
        assert_eq!((0..100).filter(|_| limit.take(start + Duration::from_secs(60))).count(), 10);
    }
}
