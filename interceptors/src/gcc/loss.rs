//! Which rate explains the losses.
//!
//! A way that is full loses what is above its rate; one with noise loses a share of everything, whatever the rate. So the
//! losses of the last seconds are compared to what both would give: a share `i` that is always lost, and beyond a rate
//! `b` all that is above it. A packet sent at the rate `r` is then lost with `i + (1 − i)·max(0, 1 − b/r)`. The pair that makes
//! what was seen most likely wins; `b` counts only if it explains clearly more than `i` alone, or if more is lost than
//! noise is taken for.

use std::time::Duration;

use crate::bwe::PacketResult;

/// A point of observation has this much time and so many packets at least.
const SPAN: Duration = Duration::from_millis(250);
const MIN_PACKETS: u32 = 20;
/// How many points are compared.
const POINTS: usize = 80;
/// How much less each older point counts.
const DECAY: f64 = 0.98;
/// More than this is never taken for noise.
const MAX_INHERENT: f64 = 0.35;
/// Less than this share is not looked into.
const NEGLIGIBLE: f64 = 0.002;
const MIN_INHERENT: f64 = 0.0005;
/// How much likelier (as a logarithm) losses must be with a limit than without.
const EVIDENCE: f64 = 4.0;
/// The limits that are tried, as shares of the highest rate.
const LIMITS: [f64; 14] = [0.98, 0.96, 0.93, 0.9, 0.86, 0.82, 0.77, 0.7, 0.62, 0.54, 0.46, 0.38, 0.3, 0.2];
/// Steps of Newton's method, and how much of each is taken.
const NEWTON_STEPS: u8 = 4;
const NEWTON_SHARE: f64 = 0.75;

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    bps: f64,
    packets: f64,
    lost: f64,
}

/// Compares losses over rates.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    points: [Point; POINTS],
    count: usize,
    current: Current,
    inherent: f64,
    limit: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Current {
    first: Option<std::time::Instant>,
    last: Option<std::time::Instant>,
    bytes: u64,
    packets: u32,
    lost: u32,
}

impl Default for Loss {
    fn default() -> Self {
        let (points, current) = ([Point::default(); POINTS], Current::default());
        Self { points, count: 0, current, inherent: 0.01, limit: None }
    }
}

impl Loss {
    /// The share that is lost at any rate.
    pub(super) const fn inherent(&self) -> f64 {
        self.inherent
    }

    /// The rate above which everything is lost, bit/s, if there is one.
    pub(super) const fn limit(&self) -> Option<f64> {
        self.limit
    }

    pub(super) fn on_results(&mut self, results: &[PacketResult]) {
        for result in results {
            let current = &mut self.current;
            if result.was_missing {
                current.lost = current.lost.saturating_sub(1);
                continue;
            }
            let first = *current.first.get_or_insert(result.sent);
            current.last = current.last.max(Some(result.sent));
            current.packets += 1;
            current.bytes += u64::from(result.size_bytes);
            current.lost += u32::from(result.arrival_us.is_none());
            let span = result.sent.saturating_duration_since(first);
            if span >= SPAN && current.packets >= MIN_PACKETS {
                self.points[self.count % POINTS] = Point {
                    bps: current.bytes as f64 * 8.0 / span.as_secs_f64(),
                    packets: current.packets.into(),
                    lost: current.lost.into(),
                };
                self.count += 1;
                self.current = Current::default();
                self.compare();
            }
        }
    }

    /// Finds the share and the limit that explain best.
    fn compare(&mut self) {
        let points = self.count.min(POINTS);
        if points < 3 {
            return;
        }
        let known = &self.points[..points];
        let (packets, lost) = known
            .iter()
            .fold((0.0, 0.0), |(packets, lost), point| (packets + point.packets, lost + point.lost));
        if lost < packets * NEGLIGIBLE {
            (self.inherent, self.limit) = (MIN_INHERENT, None);
            return;
        }
        let highest = self.points[..points].iter().map(|point| point.bps).fold(0.0, f64::max);
        let (inherent, likelihood) = self.explain(f64::INFINITY);
        let mut best = (inherent, likelihood + EVIDENCE, None);
        for share in LIMITS {
            let limit = highest * share;
            let (inherent, likelihood) = self.explain(limit);
            if likelihood > best.1 {
                best = (inherent, likelihood, Some(limit));
            }
        }
        self.inherent = best.0;
        self.limit = best.2;
    }

    /// The likeliest share with this limit, and the logarithm of how likely what was seen is then.
    fn explain(&self, limit: f64) -> (f64, f64) {
        let mut inherent = self.inherent;
        for _ in 0..NEWTON_STEPS {
            let (mut first, mut second) = (0.0, 0.0);
            self.each(limit, inherent, |point, above, probability, weight| {
                let (lost, arrived) = (point.lost, point.packets - point.lost);
                let slope = 1.0 - above;
                first += weight * slope * (lost / probability - arrived / (1.0 - probability));
                let bend = lost / probability.powi(2) + arrived / (1.0 - probability).powi(2);
                second -= weight * slope * slope * bend;
            });
            if second < 0.0 {
                inherent = (inherent - NEWTON_SHARE * first / second).clamp(MIN_INHERENT, MAX_INHERENT);
            }
        }
        let mut likelihood = 0.0;
        self.each(limit, inherent, |point, _, probability, weight| {
            let arrived = point.packets - point.lost;
            likelihood += weight * (point.lost * probability.ln() + arrived * (1.0 - probability).ln());
        });
        (inherent, likelihood)
    }

    /// Each point with the share that is above the limit, the probability of a loss, and its weight.
    fn each(&self, limit: f64, inherent: f64, mut sink: impl FnMut(&Point, f64, f64, f64)) {
        let mut weight = 1.0;
        for back in 1..=self.count.min(POINTS) {
            let point = &self.points[(self.count - back) % POINTS];
            let above = (1.0 - limit / point.bps).max(0.0);
            let probability = (inherent + (1.0 - inherent) * above).clamp(1e-6, 1.0 - 1e-6);
            sink(point, above, probability, weight);
            weight *= DECAY;
        }
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::{Ecn, ExtSeqNo};

    use super::*;
    use crate::test_clock::at;

    /// Sends 1250-byte packets at a rate that changes every second, and loses with the probability that `lost` gives for the
    /// rate in Mb/s, evenly.
    fn run(loss: &mut Loss, mbps: &[u64], lost: impl Fn(f64) -> f64) {
        let (mut number, mut due) = (0_u64, 0.0);
        for (second, mbps) in mbps.iter().enumerate() {
            let packets = mbps * 100;
            for n in 0..packets {
                due += lost(*mbps as f64);
                let is_lost = due >= 1.0;
                due -= f64::from(u8::from(is_lost));
                number += 1;
                loss.on_results(&[PacketResult {
                    number: ExtSeqNo(number),
                    sent: at(second as u64 * 1000 + n * 1000 / packets),
                    size_bytes: 1250,
                    arrival_us: (!is_lost).then_some(0),
                    ecn: Ecn::NotEct,
                    was_missing: false,
                }]);
            }
        }
    }

    #[test]
    fn noise_is_no_limit() {
        for share in [0.01, 0.05, 0.2, 0.3] {
            let mut loss = Loss::default();
            run(&mut loss, &[2, 3, 4, 3, 2, 4], |_| share);
            assert_eq!(loss.limit(), None, "{share}");
            assert!((loss.inherent() - share).abs() < 0.01, "{share}: {}", loss.inherent());
        }
    }

    #[test]
    fn what_is_lost_beyond_a_rate_shows_the_rate_even_through_noise() {
        for noise in [0.0, 0.05] {
            let mut loss = Loss::default();
            let lost = |mbps: f64| noise + (1.0 - noise) * (1.0 - 3.0 / mbps).max(0.0);
            run(&mut loss, &[2, 3, 4, 5, 4, 3], lost);
            let limit = loss.limit().expect("a limit") / 1e6;
            assert!((2.7..3.3).contains(&limit), "{noise}: {limit}");
            assert!((loss.inherent() - noise).abs() < 0.02, "{noise}: {}", loss.inherent());
        }
    }

    #[test]
    fn half_of_everything_lost_is_a_limit() {
        let mut loss = Loss::default();
        run(&mut loss, &[3, 3, 3, 3], |_| 0.5);
        assert!(loss.limit().is_some_and(|limit| limit < 2.6e6), "{:?}", loss.limit());
    }

    #[test]
    fn a_limit_is_forgotten_with_the_losses_that_showed_it() {
        let mut loss = Loss::default();
        run(&mut loss, &[2, 3, 4, 5], |mbps| (1.0 - 3.0 / mbps).max(0.0));
        assert!(loss.limit().is_some());
        run(&mut loss, &[3; 25], |_| 0.0);
        assert_eq!(loss.limit(), None);
    }

    #[test]
    fn a_packet_that_came_late_was_not_lost() {
        let mut loss = Loss::default();
        let result = |number, arrival_us, was_missing| PacketResult {
            number: ExtSeqNo(number),
            sent: at(number * 10),
            size_bytes: 1250,
            arrival_us,
            ecn: Ecn::NotEct,
            was_missing,
        };
        for number in 0..400 {
            loss.on_results(&[result(number, (number % 2 > 0).then_some(0), false)]);
            if number % 2 == 0 {
                loss.on_results(&[result(number, Some(0), true)]);
            }
        }
        assert_eq!(loss.limit(), None);
        assert!(loss.inherent() < 0.02, "{}", loss.inherent());
    }
}
