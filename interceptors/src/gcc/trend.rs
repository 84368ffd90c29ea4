//! Whether the delay grows: the trend of the last groups' delays against a threshold that adapts
//! (draft-ietf-rmcat-gcc-02 §5.3–§5.5, with a line through the delays in place of the Kalman filter).

use super::groups::Delta;

/// Points that the line goes through.
const WINDOW: usize = 20;
/// The share of its past that a smoothed delay keeps.
const SMOOTHING: f64 = 0.9;
/// What turns a slope (ms of delay a ms) into the scale of the threshold, with the number of deltas.
const GAIN: f64 = 4.0;
/// The number of deltas that counts at most.
const MAX_DELTAS: u32 = 60;
/// The threshold at first, its bounds, and its speed up and down.
const THRESHOLD: f64 = 12.5;
const THRESHOLD_RANGE: (f64, f64) = (6.0, 600.0);
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// A trend that is this far beyond the threshold is a jump to which it does not adapt.
const MAX_ADAPTATION: f64 = 15.0;
/// The trend must be above the threshold for this long, ms.
const OVERUSE_TIME_MS: f64 = 10.0;

/// How the way is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// The queue shrinks.
    Under,
    /// The queue stays.
    #[default]
    Normal,
    /// The queue grows.
    Over,
}

/// Follows the trend.
#[derive(Clone, Debug)]
pub(super) struct Trend {
    /// When groups arrived (ms since the first) and their smoothed delays, ms; a ring.
    points: [(f64, f64); WINDOW],
    count: usize,
    deltas: u32,
    first_us: Option<i64>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    threshold: f64,
    last_update_us: Option<i64>,
    over_ms: f64,
    overs: u32,
    last_slope: f64,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            points: [(0.0, 0.0); WINDOW],
            count: 0,
            deltas: 0,
            first_us: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            threshold: THRESHOLD,
            last_update_us: None,
            over_ms: -1.0,
            overs: 0,
            last_slope: 0.0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes note of how the last two groups lie.
    pub(super) fn on_delta(&mut self, delta: &Delta) {
        let grown_ms = (delta.arrival_us - delta.sent_us) as f64 / 1000.0;
        self.deltas = (self.deltas + 1).min(1000);
        let first_us = *self.first_us.get_or_insert(delta.at_us);
        self.accumulated_ms += grown_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.points[self.count % WINDOW] = ((delta.at_us - first_us) as f64 / 1000.0, self.smoothed_ms);
        self.count += 1;
        let slope = if self.count >= WINDOW { slope(&self.points) } else { None };
        self.judge(slope.unwrap_or(self.last_slope), delta);
    }

    fn judge(&mut self, slope: f64, delta: &Delta) {
        if self.deltas < 2 {
            return;
        }
        let trend = f64::from(self.deltas.min(MAX_DELTAS)) * slope * GAIN;
        if trend > self.threshold {
            let step_ms = delta.sent_us as f64 / 1000.0;
            self.over_ms = if self.over_ms < 0.0 { step_ms / 2.0 } else { self.over_ms + step_ms };
            self.overs += 1;
            if self.over_ms > OVERUSE_TIME_MS && self.overs > 1 && slope >= self.last_slope {
                self.over_ms = 0.0;
                self.overs = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = -1.0;
            self.overs = 0;
            self.usage = if trend < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.last_slope = slope;
        self.adapt(trend.abs(), delta.at_us);
    }

    /// Moves the threshold towards the trend, so that a flow which always fills the queue does not starve this one.
    fn adapt(&mut self, trend: f64, at_us: i64) {
        let last_us = self.last_update_us.replace(at_us).unwrap_or(at_us);
        if trend > self.threshold + MAX_ADAPTATION {
            return;
        }
        let speed = if trend < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
        let elapsed_ms = ((at_us - last_us) as f64 / 1000.0).clamp(0.0, 100.0);
        self.threshold += speed * (trend - self.threshold) * elapsed_ms;
        self.threshold = self.threshold.clamp(THRESHOLD_RANGE.0, THRESHOLD_RANGE.1);
    }
}

/// The slope of the line through the points with the least squares; `None` when they share one time.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let above: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let below: f64 = points.iter().map(|(x, _)| (x - mean_x) * (x - mean_x)).sum();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups every 20 ms that each take so many µs longer than the one before.
    fn feed(trend: &mut Trend, from: i64, groups: i64, grown_us: impl Fn(i64) -> i64) -> Option<i64> {
        let mut at_us = from;
        let mut first_over = None;
        for n in 0..groups {
            let arrival_us = 20_000 + grown_us(n);
            at_us += arrival_us;
            trend.on_delta(&Delta { sent_us: 20_000, arrival_us, at_us });
            if trend.usage() == Usage::Over {
                first_over = first_over.or(Some(n));
            }
        }
        first_over
    }

    #[test]
    fn a_growing_queue_is_overuse_and_a_shrinking_one_underuse() {
        let mut trend = Trend::default();
        assert_eq!(feed(&mut trend, 0, 100, |_| 0), None);
        let over = feed(&mut trend, 2_000_000, 40, |_| 3000).expect("overuse");
        assert!(over <= 10, "after {over} groups");
        feed(&mut trend, 4_000_000, 40, |_| -3000);
        assert_eq!(trend.usage(), Usage::Under);
        feed(&mut trend, 6_000_000, 100, |_| 0);
        assert_eq!(trend.usage(), Usage::Normal);
    }

    #[test]
    fn jitter_is_no_trend() {
        let mut trend = Trend::default();
        let jitter = |n: i64| if n % 2 == 0 { 8000 } else { -8000 };
        assert_eq!(feed(&mut trend, 0, 1000, jitter), None);
    }

    #[test]
    fn the_threshold_gives_way_to_what_goes_on_and_on_and_comes_back() {
        let mut trend = Trend::default();
        feed(&mut trend, 0, 600, |_| 0);
        assert!(trend.threshold < 7.0, "{}", trend.threshold);
        // Somebody fills the queue and lets it drain, in waves of 1.2 s.
        let wave = |n: i64| if n / 30 % 2 == 0 { 1500 } else { -1500 };
        assert!(feed(&mut trend, 12_000_000, 60, wave).is_some());
        feed(&mut trend, 14_000_000, 3000, wave);
        assert!(trend.threshold > 10.0, "{}", trend.threshold);
        assert_eq!(feed(&mut trend, 80_000_000, 60, |n| wave(n) / 4), None);
        feed(&mut trend, 90_000_000, 600, |_| 0);
        assert!(trend.threshold < 7.0, "{}", trend.threshold);
    }
}
