//! SCReAMv2 (draft-johansson-ccwg-rfc8298bis-screamv2-02): a [`BandwidthEstimator`] around a reference window, as congestion control of
//! TCP has it, with scalable reactions to marks of L4S (RFC 9331).
//!
//! The window tells how many bytes may be under way; over the round trip it gives the estimate. It grows by a segment a round trip,
//! and by a share of itself after a long time without congestion. It shrinks by losses, by the share of marked
//! packets where the network marks, and where it does not by the delay in the queue as if that marked them.
//!
//! | file | what |
//! |---|---|
//! | `queue_delay` | how long packets wait on the way, above the least of late |
//! | `sent_rate` | how much was sent of late |
//!
//! What differs from the draft: packets are not held back by the window, which the [`pacer`](crate::pacer) does by the
//! estimate, so that the window may be smaller than a few packets; nothing is derived from the sizes of frames; the target of the
//! queue does not rise for flows that compete by losses; and the window grows no further than a quarter above what is sent, so that
//! an application that sends little does not gather an estimate that nothing has proved.
//!
//! Losses of more than a hundredth are congestion to it, whatever they come of, and beside TCP that fills a queue it yields: on such
//! ways [`gcc`](crate::gcc) is the better choice (`docs/figures-bwe.md` has both). Where the network marks, queues stay short.

mod queue_delay;
mod sent_rate;

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Ecn};

use crate::bwe::{BandwidthEstimator, EstimatorConfig, PacketResult, SentPacket};
use queue_delay::QueueDelay;
use sent_rate::SentRate;

/// MSS, in bytes.
const SEGMENT: f64 = 1000.0;
/// QDELAY_TARGET_LO, in seconds.
const QUEUE_TARGET: f64 = 0.06;
/// L4S_AVG_G.
const MARK_GAIN: f64 = 1.0 / 16.0;
/// BETA_LOSS, and BETA_ECN for marks that are not of L4S.
const LOSS_FACTOR: f64 = 0.7;
const CLASSIC_MARK_FACTOR: f64 = 0.8;
/// The average share of losses below which they are no sign of congestion.
const TOLERATED_LOSS: f64 = 0.01;
const LOSS_GAIN: f64 = 1.0 / 16.0;
/// VIRTUAL_RTT: flows with shorter ways do not grow faster than if they had this one.
const VIRTUAL_RTT: f64 = 0.025;
/// POST_CONGESTION_DELAY_RTT.
const CAUTIOUS_ROUND_TRIPS: f64 = 100.0;
/// MUL_INCREASE_FACTOR.
const GROWTH: f64 = 0.02;
/// In place of BYTES_IN_FLIGHT_HEAD_ROOM: how far above what is sent.
const HEADROOM: f64 = 1.25;
/// The round trip that is assumed before one is measured.
const INITIAL_RTT: f64 = 0.1;
/// Without feedback for so long (and two round trips) the window is halved, again and again.
const SILENCE: Duration = Duration::from_secs(1);

/// What one feedback message tells, added up.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Bytes that arrived without a mark of congestion, and with one.
    clean: f64,
    marked: f64,
    packets: f64,
    lost: f64,
    /// Whether what was marked was sent as ECT(0), which asks for the classic reaction.
    is_l4s: bool,
}

/// Estimates from feedback what the way to the receiver carries. With RFC 8888 it sees marks; with transport-wide feedback it goes
/// by delay and losses.
#[derive(Debug)]
pub struct Scream {
    config: EstimatorConfig,
    /// Bytes that may be under way.
    window: f64,
    /// Where the window last had to shrink; near it growth and shrinking are slow.
    inflection: f64,
    /// The smoothed round trip in seconds.
    rtt: Option<f64>,
    queue: QueueDelay,
    sent: SentRate,
    /// The average shares of marked and of lost packets.
    mark_share: f64,
    loss_share: f64,
    last_congestion: Option<Instant>,
    /// Since when something is under way of which nothing is known; `None` when nothing is.
    waiting_since: Option<Instant>,
    last_sent: Option<Instant>,
    uses_l4s: bool,
}

impl Scream {
    /// An estimator that knows nothing.
    #[must_use]
    pub fn new(config: EstimatorConfig) -> Self {
        let window = config.initial.as_bps() as f64 / 8.0 * INITIAL_RTT;
        Self {
            config,
            window,
            inflection: f64::INFINITY,
            rtt: None,
            queue: QueueDelay::default(),
            sent: SentRate::default(),
            mark_share: 0.0,
            loss_share: 0.0,
            last_congestion: None,
            waiting_since: None,
            last_sent: None,
            uses_l4s: false,
        }
    }

    /// The average share of packets that arrive marked, 0 to 1.
    #[must_use]
    pub const fn mark_share(&self) -> f64 {
        self.mark_share
    }

    /// How long packets wait on the way, above the least of the last ten seconds; smoothed.
    #[must_use]
    pub fn queueing_delay(&self) -> Duration {
        Duration::from_secs_f64(self.queue.seconds())
    }

    fn round_trip(&self) -> f64 {
        self.rtt.unwrap_or(INITIAL_RTT)
    }

    /// 0.1 at the inflection point, 1 far from it.
    fn distance(&self) -> f64 {
        if self.inflection.is_infinite() {
            return 1.0;
        }
        (8.0 * (self.window - self.inflection) / self.inflection).powi(2).clamp(0.1, 1.0)
    }

    /// How much of the window a reaction leaves; `None` when there is nothing to react to.
    fn reaction(&self, sums: &Sums) -> Option<f64> {
        if sums.lost > 0.0 && self.loss_share > TOLERATED_LOSS {
            return Some(LOSS_FACTOR);
        }
        if sums.marked > 0.0 {
            return Some(if sums.is_l4s {
                1.0 - self.mark_share / 2.0 * self.distance().max(0.5)
            } else {
                CLASSIC_MARK_FACTOR
            });
        }
        // The queue marks where the network does not.
        let virtual_marks = ((self.queue.seconds() - QUEUE_TARGET / 2.0) / (QUEUE_TARGET / 2.0)).min(1.0);
        (virtual_marks > 0.0).then(|| 1.0 - virtual_marks / 2.0 * self.distance().max(0.25))
    }

    fn grow(&mut self, now: Instant, clean_bytes: f64) {
        let rtt = self.round_trip();
        let distance = self.distance();
        let mut growth = clean_bytes * (SEGMENT / self.window).min(1.0);
        if rtt < VIRTUAL_RTT {
            growth *= (rtt / VIRTUAL_RTT).powi(2);
        }
        if !self.uses_l4s {
            growth *= distance;
        }
        if self.mark_share < 1e-4 {
            growth *= (1.0 - self.queue.seconds() / (QUEUE_TARGET / 2.0)).max(0.1);
        }
        let calm = self.last_congestion.map_or(1.0, |last| {
            let since = now.saturating_duration_since(last).as_secs_f64();
            (since / (CAUTIOUS_ROUND_TRIPS * rtt.max(VIRTUAL_RTT))).min(1.0)
        });
        growth *= 1.0 + GROWTH * self.window / SEGMENT * calm * distance;
        let sent_bps = self.sent.most().unwrap_or(self.config.initial.as_bps() as f64);
        let most = sent_bps / 8.0 * HEADROOM * rtt;
        if self.window < most {
            self.window = (self.window + growth).min(most);
        }
    }

    fn keep_bounds(&mut self) {
        let window = |rate: Bitrate| rate.as_bps() as f64 / 8.0 * self.round_trip();
        let least = window(self.config.min).max(1.0);
        self.window = self.window.clamp(least, window(self.config.max).max(least));
    }

    fn sum_up(&mut self, results: &[PacketResult]) -> Sums {
        let mut sums = Sums { is_l4s: true, ..Sums::default() };
        for result in results {
            let size = f64::from(result.size_bytes);
            match result.arrival_us {
                Some(_) if result.ecn == Ecn::Ce => sums.marked += size,
                Some(_) => {
                    sums.clean += size;
                    self.uses_l4s |= result.ecn == Ecn::Ect1;
                    if result.ecn == Ecn::Ect0 {
                        self.uses_l4s = false;
                    }
                }
                None if !result.was_missing => sums.lost += 1.0,
                None => {}
            }
            sums.packets += f64::from(u8::from(!result.was_missing));
        }
        sums.is_l4s = self.uses_l4s;
        sums
    }
}

impl BandwidthEstimator for Scream {
    fn on_sent(&mut self, now: Instant, packet: &SentPacket) {
        self.last_sent = Some(now);
        self.waiting_since.get_or_insert(now);
        self.sent.on_sent(now, packet.size_bytes);
    }

    fn on_feedback(&mut self, now: Instant, results: &mut [PacketResult]) {
        let Some(last) = results.iter().rfind(|result| result.arrival_us.is_some()) else { return };
        let measured = now.saturating_duration_since(last.sent).as_secs_f64();
        // Shorter ones are of clocks that differ within a millisecond.
        let measured = measured.max(0.001);
        let rtt = self.rtt.map_or(measured, |rtt| rtt + (measured - rtt) / 8.0);
        if self.rtt.replace(rtt).is_none() {
            // The window means the same rate over the round trip that is known from now on.
            self.window *= rtt / INITIAL_RTT;
        }
        self.waiting_since = self.last_sent.is_some_and(|sent| sent > last.sent).then_some(now);
        self.queue.on_results(results);
        let sums = self.sum_up(results);
        if sums.packets > 0.0 {
            self.loss_share += (sums.lost / sums.packets - self.loss_share) * LOSS_GAIN;
        }
        let arrived = sums.clean + sums.marked;
        if arrived > 0.0 {
            self.mark_share += (sums.marked / arrived - self.mark_share) * MARK_GAIN;
        }
        let pause = Duration::from_secs_f64(self.round_trip().max(VIRTUAL_RTT));
        let may_react = self.last_congestion.is_none_or(|last| now.saturating_duration_since(last) >= pause);
        match self.reaction(&sums) {
            Some(factor) if may_react => {
                self.inflection = self.window;
                self.window *= factor;
                self.last_congestion = Some(now);
            }
            Some(_) => {}
            None => self.grow(now, sums.clean),
        }
        self.keep_bounds();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.waiting_since = Some(now);
            self.window /= 2.0;
            self.keep_bounds();
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.waiting_since.map(|since| since + SILENCE + Duration::from_secs_f64(self.round_trip() * 2.0))
    }

    fn estimate(&self) -> Bitrate {
        let bps = match self.rtt {
            Some(rtt) => self.window * 8.0 / rtt,
            None => self.config.initial.as_bps() as f64,
        };
        let (min, max) = (self.config.min.as_bps(), self.config.max.as_bps());
        Bitrate::from_bps((bps as u64).clamp(min, max.max(min)))
    }
}
