//! The rate that follows from the delay: up in steps that each tell something, down to what arrived
//! (draft-ietf-rmcat-gcc-02 §5.5, with a pause after each step down in which the queue drains).

use std::time::{Duration, Instant};

use super::throughput::Throughput;
use super::trend::Usage;
use crate::bwe::EstimatorConfig;

/// A standing queue of this length is too long, µs.
const TOLERANCE_US: f64 = 25_000.0;
/// A queue that others keep filled is put up with up to this, µs.
const MAX_TOLERANCE_US: f64 = 400_000.0;
/// A queue that grows is one from this length on, µs.
const GROWING_US: f64 = 10_000.0;
/// A queue of this length counts as none, µs.
const DRAINED_US: i64 = 6_000;
/// How quickly more is put up with, and less again: the share of the difference in a second.
const TOLERANCE_UP: f64 = 0.3;
const TOLERANCE_DOWN: f64 = 0.1;
/// From here on the queue counts as somebody else's, µs.
const COMPANY_US: f64 = 60_000.0;
/// When more than this share of the rate arrives, all of it is taken to arrive.
const NOISE: f64 = 0.75;
/// Of what arrived while the way was full, this much is sent once the queue has drained.
const RESUME: f64 = 0.92;
/// A queue that grows by this much in a pause means that the pause is too small, µs.
const WORSE_US: i64 = 20_000;
/// The way carries less than is sent in a pause if less than this share of it arrives.
const FULL: f64 = 0.95;
/// A queue that falls to this share in a pause is not somebody else's.
const FALLEN: f64 = 0.2;
/// The time in which a pause drains the queue, s, and how much of the rate it takes.
const DRAIN_S: f64 = 0.25;
/// Where others keep the queue filled, the least that is sent in a pause.
const YIELD: f64 = 0.8;
const DRAIN_RANGE: (f64, f64) = (0.5, 0.9);
/// Growth in a second while the limit is not near.
const GROWTH: f64 = 1.15;
/// From this share of the known limit on, growth is by steps.
const NEAR: f64 = 0.9;
/// A step is so many packets in the time of response: this, and a part of the round trip, so that a long one does not mean
/// a small share beside others with short ones.
const STEP: f64 = 1.25;
const RESPONSE_S: f64 = 0.12;
const RTT_WEIGHT: f64 = 0.25;
/// From this multiple of the known limit on, what a probe shows counts.
const BEYOND: f64 = 1.15;
/// The rate may be this much more than what arrives.
const MAX_LEAD: f64 = 1.5;
const MAX_LEAD_BPS: f64 = 10_000.0;
/// Over which arrivals a way is measured that may not be full, µs.
const USUAL_SPAN_US: i64 = 500_000;
/// How long the way must have been free of congestion before more is tried.
const CALM: Duration = Duration::from_millis(1000);

/// Feedback that comes later than this counts as if it had come then.
const MAX_STEP: Duration = Duration::from_secs(1);

/// What the rest of the estimator sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) usage: Usage,
    /// Whether a router says that its queue grows.
    pub(super) is_marked: bool,
    pub(super) queue_us: i64,
    pub(super) noise_us: f64,
    pub(super) delivered: &'a Throughput,
    pub(super) rtt: Duration,
    pub(super) is_limited: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Rising,
    /// The queue drains, until then at the latest; then the rate is this.
    Draining {
        until: Instant,
        resume: f64,
        /// The queue at first, µs.
        queue_us: i64,
    },
}

/// The delay-based rate.
#[derive(Clone, Copy, Debug)]
pub(super) struct RateControl {
    rate: f64,
    phase: Phase,
    /// What the way carried when it was full, smoothed, and how much that varied.
    limit: Option<(f64, f64)>,
    last_update: Option<Instant>,
    congested_at: Option<Instant>,
    decreased_at: Option<Instant>,
    /// How long a queue may stand.
    tolerance_us: f64,
}

impl RateControl {
    pub(super) const fn new(rate: f64) -> Self {
        Self {
            rate,
            phase: Phase::Rising,
            limit: None,
            last_update: None,
            congested_at: None,
            decreased_at: None,
            tolerance_us: TOLERANCE_US,
        }
    }

    pub(super) const fn rate(&self) -> f64 {
        self.rate
    }

    /// Whether nothing speaks against trying more.
    pub(super) fn is_calm(&self, now: Instant) -> bool {
        let recent = |at: Instant| now.saturating_duration_since(at) < CALM;
        matches!(self.phase, Phase::Rising) && !self.congested_at.is_some_and(recent)
    }

    /// When the rate was last lowered.
    pub(super) const fn decreased_at(&self) -> Option<Instant> {
        self.decreased_at
    }

    /// Takes note of feedback.
    pub(super) fn update(&mut self, now: Instant, sight: &Sight<'_>) {
        let elapsed = self.last_update.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_update = Some(now);
        self.watch_others(elapsed.min(MAX_STEP).as_secs_f64(), sight.queue_us as f64);
        let is_congested = self.is_congested(sight);
        if is_congested {
            self.congested_at = Some(now);
        }
        match self.phase {
            Phase::Draining { until, resume, queue_us } => self.drain(now, sight, (until, resume, queue_us)),
            Phase::Rising if is_congested => self.decrease(now, sight),
            Phase::Rising if sight.usage == Usage::Under => {}
            Phase::Rising => self.increase(elapsed.min(MAX_STEP).as_secs_f64(), sight),
        }
    }

    /// Nothing is heard any more.
    pub(super) fn on_silence(&mut self, now: Instant) {
        self.rate *= 0.5;
        self.congested_at = Some(now);
    }

    /// A probe has shown that so much arrives.
    pub(super) fn on_probe(&mut self, now: Instant, bps: f64, config: &EstimatorConfig) {
        // A burst takes more than its share of a way that others use too, so a little more than the limit says nothing.
        let least = self.limit.map_or(self.rate, |(mean, _)| self.rate.max(mean * BEYOND));
        if self.is_calm(now) && bps > least {
            self.rate = config.clamp(bps);
            self.limit = None;
        }
    }

    /// The rate may not be above this, for another reason.
    pub(super) fn cap(&mut self, limit: f64) {
        if self.rate > limit {
            self.rate = limit;
            self.limit = Some((limit, limit * 0.05));
        }
    }

    /// Keeps the rate within bounds.
    pub(super) const fn bound(&mut self, bps: f64) {
        self.rate = bps;
    }

    /// Puts up with a queue that stays whatever this sender does: to yield to it means to starve.
    fn watch_others(&mut self, elapsed_s: f64, queue_us: f64) {
        let speed = if queue_us > self.tolerance_us { TOLERANCE_UP } else { TOLERANCE_DOWN };
        self.tolerance_us += (queue_us - self.tolerance_us) * speed * elapsed_s;
        self.tolerance_us = self.tolerance_us.clamp(TOLERANCE_US, MAX_TOLERANCE_US);
    }

    /// A queue grows, or one stands that is nobody else's. A trend without a queue is jitter.
    fn is_congested(&self, sight: &Sight<'_>) -> bool {
        let queue_us = sight.queue_us as f64 - sight.noise_us * 2.0;
        let grows = sight.usage == Usage::Over;
        if sight.is_marked {
            return true;
        }
        if self.has_company() {
            grows
        } else {
            grows && queue_us > GROWING_US || queue_us > self.tolerance_us
        }
    }

    fn has_company(&self) -> bool {
        self.tolerance_us > COMPANY_US
    }

    fn decrease(&mut self, now: Instant, sight: &Sight<'_>) {
        let delivered = sight.delivered.when_full().unwrap_or(self.rate);
        self.note_limit(delivered);
        self.decreased_at = Some(now);
        // A little less than the rate is what the codec left out, or what is always lost.
        let carried = if delivered > self.rate * NOISE { self.rate } else { delivered };
        self.pause(now, sight, carried);
    }

    /// Sends less than what is carried until the queue has drained.
    fn pause(&mut self, now: Instant, sight: &Sight<'_>, carried: f64) {
        let queue_s = sight.queue_us as f64 / 1e6;
        let least = if self.has_company() { YIELD } else { DRAIN_RANGE.0 };
        let drain = (1.0 - queue_s / DRAIN_S).clamp(least, DRAIN_RANGE.1);
        let resume = carried * RESUME;
        self.rate = carried * drain;
        let least = sight.rtt + Duration::from_millis(100);
        let until = now + least + Duration::from_secs_f64(DRAIN_S + queue_s.min(1.0));
        self.phase = Phase::Draining { until, resume, queue_us: sight.queue_us };
    }

    fn drain(&mut self, now: Instant, sight: &Sight<'_>, (until, resume, queue_us): (Instant, f64, i64)) {
        let is_drained = sight.queue_us <= DRAINED_US && sight.usage != Usage::Over;
        if !is_drained && now < until {
            let delivered = sight.delivered.when_full().unwrap_or(self.rate);
            if sight.queue_us > queue_us + WORSE_US && delivered < self.rate * FULL {
                self.pause(now, sight, delivered);
            }
            return;
        }
        if self.has_company() && (sight.queue_us as f64) < queue_us as f64 * FALLEN {
            self.tolerance_us = TOLERANCE_US; // It was this sender's queue, after all.
        }
        self.rate = resume.max(self.rate);
        self.phase = Phase::Rising;
    }

    fn increase(&mut self, elapsed_s: f64, sight: &Sight<'_>) {
        if sight.is_limited {
            return;
        }
        let Some(delivered) = sight.delivered.over(USUAL_SPAN_US) else { return };
        if self.limit.is_some_and(|(mean, deviation)| delivered > mean + 3.0 * deviation) {
            self.limit = None;
        }
        let is_near = self.limit.is_some_and(|(mean, _)| self.rate > mean * NEAR);
        let grown = if is_near {
            let response_s = sight.rtt.as_secs_f64() * RTT_WEIGHT + RESPONSE_S;
            self.rate + elapsed_s * (sight.delivered.mean_size() * 8.0 * STEP / response_s).max(4000.0)
        } else {
            self.rate * GROWTH.powf(elapsed_s)
        };
        let lead = (delivered * MAX_LEAD + MAX_LEAD_BPS).max(self.rate);
        self.rate = grown.min(lead);
    }

    fn note_limit(&mut self, delivered: f64) {
        let known = self.limit.filter(|(mean, deviation)| (delivered - mean).abs() <= 3.0 * deviation);
        self.limit = Some(match known {
            Some((mean, deviation)) => {
                let apart = (delivered - mean).abs();
                let deviation = deviation * 0.9 + apart * 0.1;
                let mean = mean + (delivered - mean) * 0.2;
                (mean, deviation.clamp(mean * 0.03, mean * 0.15))
            }
            None => (delivered, delivered * 0.08),
        });
    }
}
