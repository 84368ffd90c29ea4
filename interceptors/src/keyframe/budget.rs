//! When to ask for a keyframe, and how often.

use std::time::{Duration, Instant};

/// A request without an answer is repeated at distances that double, up to this many times the first.
const MAX_BACKOFF: u32 = 5;
/// After so many repeats the distance has stopped growing.
const LAST_DOUBLING: u32 = 3;

/// How a [`Budget`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct BudgetConfig {
    /// How many keyframes may be asked in a row after a quiet time, at least 1.
    pub burst: u8,
    /// How often the budget gains one again: the rate in the long run.
    pub refill: Duration,
    /// The shortest time between two keyframes that are asked.
    pub spacing: Duration,
    /// How long a request goes without an answer before it is repeated. The distance doubles with each repeat, up to
    /// five times this.
    pub repeat: Duration,
}

/// Makes few requests of the wishes of many: one for all who wait, repeated until the keyframe comes.
///
/// A keyframe costs all receivers, so that only so many are asked for. A repeat costs nothing: it is of a request that
/// went without an answer.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    config: BudgetConfig,
    wanted: Option<Instant>,
    asked: Option<Asked>,
    /// The newest request, answered or not.
    last: Option<Instant>,
    spent: u8,
    /// When the budget last gained a request, or was full.
    refilled: Option<Instant>,
}

/// The request that is under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    first: Instant,
    last: Instant,
    repeats: u32,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub const fn new(config: BudgetConfig) -> Self {
        Self { config, wanted: None, asked: None, last: None, spent: 0, refilled: None }
    }

    /// Changes how often the budget gains a request.
    pub const fn set_refill(&mut self, refill: Duration) {
        self.config.refill = refill;
    }

    /// Changes how long a request goes without an answer before it is repeated.
    pub const fn set_repeat(&mut self, repeat: Duration) {
        self.config.repeat = repeat;
    }

    /// Somebody cannot go on without a keyframe. `false` when one is wanted already, which changes nothing.
    pub const fn want(&mut self, now: Instant) -> bool {
        let new = self.wanted.is_none();
        if new {
            self.wanted = Some(now);
        }
        new
    }

    /// A keyframe came, or nobody waits any more.
    pub const fn forget(&mut self) {
        self.wanted = None;
        self.asked = None;
    }

    /// Whether a keyframe is wanted.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Since when a request is under way, and how often it was repeated.
    #[must_use]
    pub fn asked(&self) -> Option<(Instant, u32)> {
        self.asked.map(|asked| (asked.first, asked.repeats))
    }

    /// Whether to send a request now, or again; the caller sends it when this is `true`.
    pub fn poll(&mut self, now: Instant) -> bool {
        if self.wanted.is_none() {
            return false;
        }
        self.gain(now);
        if self.poll_timeout().is_none_or(|due| due > now) {
            return false;
        }
        match &mut self.asked {
            Some(asked) => {
                asked.last = now;
                asked.repeats += 1;
            }
            None => {
                self.spent += 1;
                self.asked = Some(Asked { first: now, last: now, repeats: 0 });
            }
        }
        self.last = Some(now);
        true
    }

    /// When [`Self::poll`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        let BudgetConfig { burst, refill, spacing, repeat } = self.config;
        if let Some(asked) = self.asked {
            let doubled = repeat.saturating_mul(1 << asked.repeats.min(LAST_DOUBLING));
            return Some(asked.last + doubled.min(repeat.saturating_mul(MAX_BACKOFF)));
        }
        let spaced = self.last.map_or(wanted, |last| wanted.max(last + spacing));
        Some(match self.refilled {
            Some(refilled) if self.spent >= burst.max(1) => spaced.max(refilled + refill),
            _ => spaced,
        })
    }

    fn gain(&mut self, now: Instant) {
        let since = *self.refilled.get_or_insert(now);
        let refill = self.config.refill;
        if self.spent == 0 || refill.is_zero() {
            self.spent = 0;
            self.refilled = Some(now);
            return;
        }
        let gained = now.saturating_duration_since(since).as_nanos() / refill.as_nanos();
        match u8::try_from(gained) {
            // Whole periods only, so that fractions are not lost.
            Ok(gained) if gained < self.spent => {
                self.spent -= gained;
                self.refilled = Some(since + refill * u32::from(gained));
            }
            _ => {
                self.spent = 0;
                self.refilled = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    const CONFIG: BudgetConfig = BudgetConfig {
        burst: 3,
        refill: Duration::from_millis(250),
        spacing: Duration::ZERO,
        repeat: Duration::from_millis(200),
    };

    #[test]
    fn the_first_wishes_are_asked_at_once_and_the_next_ones_as_the_budget_refills() {
        let mut budget = Budget::new(CONFIG);
        for ms in [0, 30, 60] {
            assert!(budget.want(at(ms)));
            assert_eq!(budget.poll_timeout(), Some(at(ms)));
            assert!(budget.poll(at(ms)));
            budget.forget();
        }
        budget.want(at(90));
        assert!(!budget.poll(at(90)));
        assert_eq!(budget.poll_timeout(), Some(at(250)));
        assert!(budget.poll(at(250)));
    }

    #[test]
    fn an_unanswered_request_is_repeated_ever_more_slowly_and_costs_no_more() {
        let mut budget = Budget::new(BudgetConfig { burst: 1, ..CONFIG });
        assert!(budget.want(at(0)) && !budget.want(at(5)));
        let asked: Vec<_> = (0..5000).filter(|&ms| budget.poll(at(ms))).collect();
        assert_eq!(asked, [0, 200, 600, 1400, 2400, 3400, 4400]);
        assert_eq!(budget.asked(), Some((at(0), 6)));
        budget.forget();
        assert_eq!((budget.poll_timeout(), budget.asked(), budget.is_wanted()), (None, None, false));
        budget.want(at(5000));
        assert!(budget.poll(at(5000)), "the wait has refilled it");
    }

    #[test]
    fn requests_keep_their_distance() {
        let spacing = Duration::from_millis(100);
        let mut budget = Budget::new(BudgetConfig { spacing, ..CONFIG });
        budget.want(at(0));
        assert!(budget.poll(at(0)));
        budget.forget();
        budget.want(at(40));
        assert_eq!((budget.poll(at(99)), budget.poll(at(100))), (false, true));
    }

    #[test]
    fn a_refill_of_no_time_is_no_limit() {
        for refill in [Duration::ZERO, Duration::from_secs(9)] {
            let mut budget = Budget::new(BudgetConfig { refill, burst: 0, ..CONFIG });
            budget.want(at(0));
            assert!(budget.poll(at(0)));
            budget.forget();
            if refill.is_zero() {
                budget.want(at(1));
                assert!(budget.poll(at(1)));
            }
        }
    }
}
