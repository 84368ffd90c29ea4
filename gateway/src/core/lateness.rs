//! What comes late because the road of its publisher was away.
//!
//! After an outage everything of that time comes all at once, some of it seconds old. A receiver of packets takes that for a
//! delay that it has to live with: it plays the old sound in full and goes on behind, and its estimate of when pictures
//! are due follows the old ones, so that it holds the live ones back. Without the old sound it conceals a gap; old
//! pictures, on which later ones depend, it takes as quick ones when their timestamps are of the instant at which they
//! come.
//!
//! Late is what is further behind the quickest frames of its participant than is usual. The clocks' drift is no
//! lateness, since the quickest frames are those of the last seconds. Neither is a road that has become slower for
//! good: what comes on it comes at the pace at which it was made, while a backlog comes faster, or in the same instant.

use std::time::{Duration, Instant};

/// A backlog ends with what is no further behind than this, which a receiver's buffer hides.
const SETTLED: Duration = Duration::from_millis(60);

/// What was late for this long, and no less so at the end than at the start, is no backlog.
const PATIENCE: Duration = Duration::from_millis(500);

/// What comes after a longer silence says nothing about the pace of what came before it.
const MAX_SILENCE: Duration = Duration::from_millis(250);

/// What is worked off more slowly than this part of the time that passes is no backlog.
const SHRINKS_BY: u32 = 5;

/// What has come of a backlog.
#[derive(Clone, Copy, Debug)]
struct Backlog {
    since: Instant,
    lag: Duration,
    last: Instant,
}

/// How late a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Late {
    /// Later than the layer's quickest frames by this.
    pub(super) by: Duration,
    /// Whether it is of a backlog.
    pub(super) backlog: bool,
}

/// Tells the backlogs of one layer from the rest.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lateness {
    /// How far behind the quickest frames of the participant the layer's quickest are.
    usual: Duration,
    backlog: Option<Backlog>,
}

impl Lateness {
    /// How late a frame is that arrives `now`, `lag` behind the quickest frames of its participant. One that is later by
    /// more than `bound` begins a backlog.
    pub(super) fn of(&mut self, now: Instant, lag: Duration, bound: Duration) -> Late {
        self.usual = self.usual.min(lag);
        let by = lag - self.usual;
        if by <= if self.backlog.is_some() { SETTLED } else { bound } {
            self.backlog = None;
            return Late { by, backlog: false };
        }
        let begun = Backlog { since: now, lag, last: now };
        let backlog = self.backlog.get_or_insert(begun);
        if now.saturating_duration_since(backlog.last) > MAX_SILENCE {
            *backlog = begun;
        }
        backlog.last = now;
        let lasted = now.saturating_duration_since(backlog.since);
        if lasted < PATIENCE {
            return Late { by, backlog: true };
        }
        if backlog.lag.saturating_sub(lag) > lasted / SHRINKS_BY {
            *backlog = begun;
            return Late { by, backlog: true };
        }
        self.usual = lag;
        self.backlog = None;
        Late { by: Duration::ZERO, backlog: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BOUND: Duration = Duration::from_millis(300);

    /// Feeds frames of 20 ms each: `arrivals` are the instants of arrival in ms. Returns the lags of those that are of no
    /// backlog.
    fn lags_let_through(arrivals: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let start = Instant::now();
        let mut lateness = Lateness::default();
        let lag = |(n, at): (usize, u32)| (at, at - 20 * n as u32);
        let passes = |&(at, lag): &(u32, u32)| !lateness.of(start + MS * at, MS * lag, BOUND).backlog;
        arrivals.into_iter().enumerate().map(lag).filter(passes).map(|(_, lag)| lag).collect()
    }

    #[test]
    fn a_backlog_is_late_however_it_comes() {
        // 1.5 s of it, in one instant, and at two and four times its pace.
        for spread in [0, 10, 5] {
            let live = (0..50).map(|n| n * 20);
            let backlog = (50..125).map(|n| 2500 + (n - 50) * spread);
            let after = (125..300).map(|n| (n * 20).max(2500 + (n - 50) * spread));
            let let_through = lags_let_through(live.chain(backlog).chain(after));
            assert!(let_through.iter().all(|&lag| lag <= 60), "{spread}: {let_through:?}");
            assert!(let_through.len() > 150, "{spread}: {}", let_through.len());
        }
    }

    #[test]
    fn two_outages_in_a_row_are_no_slow_road() {
        // The first late packet of one outage, then the other.
        let arrivals =
            (0..50).map(|n| n * 20).chain([2500]).chain([4000; 150]).chain((201..300).map(|n| n * 20));
        assert!(lags_let_through(arrivals).iter().all(|&lag| lag <= 60));
    }

    #[test]
    fn a_little_lateness_is_no_backlog() {
        let arrivals = (0..400).map(|n| n * 20 + if n / 20 % 2 == 1 { 290 } else { 0 });
        assert_eq!(lags_let_through(arrivals).len(), 400);
    }

    #[test]
    fn what_is_always_later_than_the_rest_is_not_late() {
        let let_through = lags_let_through((0..400).map(|n| n * 20 + 1300 + n % 7));
        assert!(let_through.len() >= 400 - 26, "{}", let_through.len());
    }

    #[test]
    fn a_road_that_becomes_slower_for_good_is_believed() {
        let arrivals = (0..400).map(|n| n * 20 + if n < 100 { 0 } else { 600 });
        let let_through = lags_let_through(arrivals);
        assert_eq!(let_through.iter().filter(|&&lag| lag == 600).count(), 300 - 25);
    }

    #[test]
    fn a_slow_road_that_recovers_and_breaks_down_again_starts_anew() {
        let lag = |n| if (100..200).contains(&n) || n >= 300 { 600 } else { 10 };
        let let_through = lags_let_through((0..400).map(|n| n * 20 + lag(n)));
        // What was sent at the turn comes a little late, after what was sent later.
        assert_eq!(let_through.iter().filter(|&&lag| lag == 600).count(), 2 * (100 - 25));
        assert_eq!(let_through.iter().filter(|&&lag| lag == 10).count(), 200);
    }
}
