//! Google congestion control (draft-ietf-rmcat-gcc-02, and what became of it since): a [`BandwidthEstimator`].
//!
//! | file | what |
//! |---|---|
//! | `groups`, `trend` | whether the delay grows: groups of packets, the trend of their delays, an adaptive threshold |
//! | `queue` | how long packets wait on the way now, above the least that they waited lately |
//! | `rate` | the rate that follows from both: up in small steps, down to what arrived, and a pause that drains the queue |
//! | `loss` | which rate explains the losses, and which of them have nothing to do with the rate |
//! | `probes` | when to probe, and what a probe has shown |
//! | `limited` | whether the application sends less than it might, and how far the estimate may stand above that |
//!
//! What differs from the draft: the trend tells that a queue grows and not that one stands, so a standing queue counts too,
//! unless it stays when this sender yields: then it is somebody else's, and to yield means to starve. Losses are
//! compared over rates, as libwebrtc does in its second loss-based estimator, without a ceiling for losses that no rate explains.

mod groups;
mod limited;
mod loss;
mod probes;
mod queue;
mod rate;
mod throughput;
mod trend;

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Ecn};

use crate::bwe::{BandwidthEstimator, EstimatorConfig, PacketResult, Probe, SentPacket};
use groups::Groups;
use limited::Limited;
use loss::Loss;
use probes::Probes;
use queue::StandingQueue;
use rate::{RateControl, Sight};
use throughput::Throughput;
use trend::{Trend, Usage};

/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Without feedback for so long (and two round trips) the estimate is halved, again and again.
const SILENCE: Duration = Duration::from_millis(1000);

/// When a packet left and arrived, each in µs on a clock of its own.
#[derive(Clone, Copy, Debug)]
struct Sample {
    sent_us: i64,
    arrival_us: i64,
    size_bytes: u32,
}

/// Estimates from transport-wide feedback what the way to the receiver carries. About 64 KiB.
#[derive(Debug)]
pub struct Gcc {
    config: EstimatorConfig,
    /// Where the µs of sending are counted from.
    origin: Option<Instant>,
    groups: Groups,
    trend: Trend,
    queue: StandingQueue,
    delivered: Throughput,
    rate: RateControl,
    loss: Loss,
    limited: Limited,
    probes: Probes,
    rtt: Duration,
    /// Since when something is under way of which nothing is known; `None` when nothing is.
    waiting_since: Option<Instant>,
    last_sent: Option<Instant>,
    samples: Vec<Sample>,
    estimate: f64,
}

impl Gcc {
    /// An estimator that knows nothing.
    #[must_use]
    pub fn new(config: EstimatorConfig) -> Self {
        let initial = config.clamp(config.initial.as_bps() as f64);
        Self {
            config,
            origin: None,
            groups: Groups::default(),
            trend: Trend::default(),
            queue: StandingQueue::default(),
            delivered: Throughput::default(),
            rate: RateControl::new(initial),
            loss: Loss::default(),
            limited: Limited::default(),
            probes: Probes::new(initial),
            rtt: INITIAL_RTT,
            waiting_since: None,
            last_sent: None,
            samples: Vec::new(),
            estimate: initial,
        }
    }

    /// The time from sending to the feedback about it, smoothed: the round trip and what the receiver waits.
    #[must_use]
    pub const fn response_time(&self) -> Duration {
        self.rtt
    }

    /// How long packets wait on the way, above the least that they waited in the last half minute or so.
    #[must_use]
    pub fn queueing_delay(&self) -> Duration {
        Duration::from_micros(self.queue.delay_us().unsigned_abs())
    }

    /// The share of packets whose loss no rate explains, 0 to 1.
    #[must_use]
    pub fn inherent_loss(&self) -> f64 {
        self.loss.inherent()
    }

    /// Whether the application sends clearly less than it might.
    #[must_use]
    pub fn is_application_limited(&self) -> bool {
        self.limited.is_limited()
    }

    fn micros(&mut self, at: Instant) -> i64 {
        let origin = *self.origin.get_or_insert(at);
        let after = at.saturating_duration_since(origin).as_micros() as i64;
        after - origin.saturating_duration_since(at).as_micros() as i64
    }

    /// Reads arrivals in the order in which they happened, and tells whether the way is overused.
    fn read_arrivals(&mut self, results: &[PacketResult]) -> Usage {
        let mut samples = std::mem::take(&mut self.samples);
        samples.clear();
        for result in results {
            let Some(arrival_us) = result.arrival_us else { continue };
            let sent_us = self.micros(result.sent);
            samples.push(Sample { sent_us, arrival_us, size_bytes: result.size_bytes });
        }
        samples.sort_unstable_by_key(|sample| sample.arrival_us);
        for sample in &samples {
            self.delivered.on_arrival(sample.arrival_us, sample.size_bytes);
            self.queue.on_arrival(sample.sent_us, sample.arrival_us);
            if let Some(delta) = self.groups.on_arrival(sample) {
                self.trend.on_delta(&delta);
            }
        }
        self.samples = samples;
        self.trend.usage()
    }

    fn combine(&mut self, now: Instant) {
        if let Some(limit) = self.loss.limit() {
            self.rate.cap(limit);
        }
        let capped = self.limited.cap(now, self.rate.rate());
        self.estimate = self.config.clamp(capped);
        self.rate.bound(self.config.clamp(self.rate.rate()));
    }
}

impl BandwidthEstimator for Gcc {
    fn on_sent(&mut self, now: Instant, packet: &SentPacket) {
        self.micros(now);
        self.last_sent = Some(now);
        self.waiting_since.get_or_insert(now);
        self.limited.on_sent(now, packet, self.estimate);
        self.probes.on_sent(now, packet);
    }

    fn on_feedback(&mut self, now: Instant, results: &mut [PacketResult]) {
        let Some(last) = results.iter().rfind(|result| result.arrival_us.is_some()) else { return };
        let measured = now.saturating_duration_since(last.sent);
        self.rtt = (self.rtt * 7 + measured) / 8;
        // Since the newest packet that is known of: what was sent after it is under way.
        self.waiting_since = self.last_sent.is_some_and(|sent| sent > last.sent).then_some(now);
        let usage = self.read_arrivals(results);
        self.loss.on_results(results);
        let probed = self.probes.on_results(results);
        let sight = Sight {
            usage,
            is_marked: results.iter().any(|result| result.ecn == Ecn::Ce),
            queue_us: self.queue.delay_us(),
            noise_us: self.queue.noise_us(),
            delivered: &self.delivered,
            rtt: self.rtt,
            is_limited: self.limited.is_limited(),
        };
        self.rate.update(now, &sight);
        if let Some(bps) = probed {
            self.rate.on_probe(now, bps, &self.config);
            self.limited.on_probe(now, bps);
        }
        self.combine(now);
        self.probes.plan(now, self.estimate, &self.rate, &mut self.limited, self.config.max.as_bps() as f64);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.waiting_since.is_some_and(|since| now >= since + SILENCE + self.rtt * 2) {
            self.waiting_since = Some(now);
            self.rate.on_silence(now);
            self.combine(now);
        }
        self.probes.plan(now, self.estimate, &self.rate, &mut self.limited, self.config.max.as_bps() as f64);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + SILENCE + self.rtt * 2)
    }

    fn poll_probe(&mut self, now: Instant) -> Option<Probe> {
        self.probes.poll(now)
    }

    fn estimate(&self) -> Bitrate {
        Bitrate::from_bps(self.estimate as u64)
    }

    fn set_wanted(&mut self, now: Instant, wanted: Option<Bitrate>) {
        self.limited.set_wanted(wanted.map(|wanted| wanted.as_bps() as f64));
        self.probes.plan(now, self.estimate, &self.rate, &mut self.limited, self.config.max.as_bps() as f64);
    }
}

#[cfg(test)]
mod tests;
