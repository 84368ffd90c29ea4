//! The budget of keyframe requests of one layer.
//!
//! Everybody's wishes (joiners of either form, feedback from receivers, losses on the way in) become one request to
//! the publisher. A keyframe costs all receivers: three may be asked in a row, and after that one per interval, which is
//! so long that asked keyframes take no more than a share of the layer's bit rate. A request without an answer is
//! repeated, at growing distances, for as long as somebody waits; and what comes of the requests shows whether the
//! publisher listens to them at all.

use std::time::{Duration, Instant};

use tombolo_interceptors::keyframe::{Budget, BudgetConfig, Share};
use tombolo_net::Bitrate;

use super::config::Config;

/// Keyframes that may be asked in a row after a quiet time.
const BURST: u8 = 3;

/// Feedback this soon after a keyframe began was sent before the keyframe arrived.
const STALE_FEEDBACK: Duration = Duration::from_millis(100);

/// A keyframe within this time of the first request counts as its answer.
const ANSWER_TIME: Duration = Duration::from_millis(600);

/// So many requests in a row without an answer, each repeated, show that a publisher does not listen.
const MISSES_TO_DOUBT: u32 = 2;

/// As many repetitions of one request without any keyframe show the same.
const REPEATS_TO_DOUBT: u32 = 4;

/// This many answers in a row show that a publisher listens after all.
const ANSWERS_TO_TRUST: u32 = 2;

#[derive(Clone, Debug)]
pub(super) struct KeyframeBudget {
    budget: Budget,
    hits: u32,
    misses: u32,
    deaf: bool,
    last_keyframe: Option<Instant>,
}

impl KeyframeBudget {
    pub(super) fn new(config: &Config) -> Self {
        let budget = BudgetConfig {
            burst: BURST,
            refill: config.keyframe_interval_min,
            spacing: Duration::ZERO,
            repeat: config.keyframe_repeat,
        };
        Self { budget: Budget::new(budget), hits: 0, misses: 0, deaf: false, last_keyframe: None }
    }

    /// Somebody cannot go on without a keyframe.
    pub(super) fn want(&mut self, now: Instant) {
        self.budget.want(now);
    }

    /// A receiver says that it cannot go on. `false` when it cannot have seen the newest keyframe yet.
    pub(super) fn want_from_feedback(&mut self, now: Instant) -> bool {
        let stale = self
            .last_keyframe
            .is_some_and(|keyframe| now.saturating_duration_since(keyframe) < STALE_FEEDBACK);
        if !stale {
            self.want(now);
        }
        !stale
    }

    /// Whether somebody waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.budget.is_wanted()
    }

    /// Nobody waits any more.
    pub(super) fn forget(&mut self) {
        self.budget.forget();
    }

    /// Whether the publisher has shown that it does not answer.
    pub(super) fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// The publisher says that it listens: what it did before does not count.
    pub(super) fn trust(&mut self) {
        self.deaf = false;
        self.hits = 0;
        self.misses = 0;
    }

    /// A keyframe begins.
    pub(super) fn on_keyframe(&mut self, now: Instant) {
        if let Some((asked, _)) = self.budget.asked() {
            if now.saturating_duration_since(asked) <= ANSWER_TIME {
                self.hits += 1;
                self.misses = 0;
            } else {
                self.misses += 1;
                self.hits = 0;
            }
            self.deaf = if self.deaf { self.hits < ANSWERS_TO_TRUST } else { self.misses >= MISSES_TO_DOUBT };
        }
        self.last_keyframe = Some(now);
        self.forget();
    }

    /// What a keyframe of `bytes` in a stream of `rate` costs decides when the next one may be asked.
    pub(super) fn set_cost(&mut self, config: &Config, bytes: usize, rate: Bitrate) {
        let share = Share {
            percent: config.keyframe_share_percent,
            min: config.keyframe_interval_min,
            max: config.keyframe_interval_max,
        };
        if let Some(interval) = share.interval(bytes as u64, rate) {
            self.budget.set_refill(interval);
        }
    }

    /// Whether to send a request now; the caller sends it when this is `true`. `flowing`: whether the layer's media
    /// comes at all, without which silence is no sign of deafness.
    pub(super) fn poll(&mut self, now: Instant, flowing: bool) -> bool {
        let asks = self.budget.poll(now);
        if asks && flowing && self.budget.asked().is_some_and(|(_, repeats)| repeats >= REPEATS_TO_DOUBT) {
            self.deaf = true;
            self.hits = 0;
        }
        asks
    }

    /// When [`Self::poll`] is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.budget.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs the budget for `time`; `answer` is how long the publisher takes to send a keyframe. Returns the requests.
    fn asked(budget: &mut KeyframeBudget, start: Instant, time: Duration, answer: Option<Duration>) -> usize {
        let (mut requests, mut keyframe_at) = (0, None);
        let mut now = start;
        while now < start + time {
            if keyframe_at.is_some_and(|at| at <= now) {
                budget.on_keyframe(now);
                keyframe_at = None;
            }
            budget.want(now);
            if budget.poll(now, true) {
                requests += 1;
                keyframe_at = keyframe_at.or(answer.map(|answer| now + answer));
            }
            now += MS;
        }
        requests
    }

    #[test]
    fn wishes_without_end_cost_one_keyframe_per_interval() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::new(&Config::default());
        // 25 kB in a stream of 1 Mb/s: 0.8 s of its quarter.
        budget.set_cost(&Config::default(), 25_000, Bitrate::from_kbps(1000));
        let requests = asked(&mut budget, start, Duration::from_secs(8), Some(20 * MS));
        assert!((11..=13).contains(&requests), "{requests}");
        assert!(!budget.is_deaf());
    }

    #[test]
    fn an_unanswered_request_is_repeated_ever_more_slowly() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::new(&Config::default());
        let requests = asked(&mut budget, start, Duration::from_secs(3), None);
        // At 0, 0.2, 0.6, 1.4 and 2.4 s.
        assert_eq!(requests, 5);
        assert!(budget.is_deaf());
    }

    #[test]
    fn a_publisher_that_answers_twice_is_trusted_again() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::new(&Config::default());
        asked(&mut budget, start, Duration::from_secs(3), None);
        budget.on_keyframe(start + Duration::from_secs(3));
        assert!(budget.is_deaf(), "that keyframe came by itself");
        for second in [10, 20] {
            let now = start + Duration::from_secs(second);
            budget.want(now);
            assert!(budget.poll(now, true));
            budget.on_keyframe(now + 50 * MS);
        }
        assert!(!budget.is_deaf());
    }

    #[test]
    fn silence_during_an_outage_is_not_deafness() {
        let start = Instant::now();
        let mut budget = KeyframeBudget::new(&Config::default());
        budget.want(start);
        for second in 0..20 {
            budget.poll(start + Duration::from_secs(second), false);
        }
        assert!(!budget.is_deaf());
    }

    #[test]
    fn feedback_that_crossed_the_keyframe_is_no_wish() {
        let now = Instant::now();
        let mut budget = KeyframeBudget::new(&Config::default());
        budget.on_keyframe(now);
        assert!(!budget.want_from_feedback(now + 50 * MS));
        assert_eq!(budget.timeout(), None);
        assert!(budget.want_from_feedback(now + 150 * MS));
    }
}
