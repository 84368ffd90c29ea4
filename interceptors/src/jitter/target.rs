//! How long to hold back.

use std::time::Duration;

use super::{Mode, micros};

/// What a bucket of the histogram spans.
const BUCKET_US: i64 = 5000;
/// Delays of a second and more are in the last one.
const BUCKETS: usize = 200;
/// The weights grow instead of the old ones shrinking; past this all are made small again.
const MAX_WEIGHT: f32 = 1e12;
/// As many packets as the first target counts for.
const FIRST_WEIGHT: f32 = 5.0;

/// How a [`TargetDelay`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct TargetConfig {
    quantile: f32,
    first: Duration,
    min: Duration,
    max: Duration,
    half_life_packets: u16,
}

impl TargetConfig {
    /// The defaults of a mode.
    #[must_use]
    pub const fn new(mode: Mode) -> Self {
        Self {
            quantile: mode.quantile(),
            first: Duration::from_millis(40),
            min: Duration::ZERO,
            max: Duration::from_secs(1),
            half_life_packets: 400,
        }
    }

    /// The share of packets that is to be in time, 0.5 to 0.999, cut to that. By default that of the mode.
    #[must_use]
    pub const fn quantile(mut self, quantile: f32) -> Self {
        self.quantile = quantile.clamp(0.5, 0.999);
        self
    }

    /// The target before the network has shown itself. Default 40 ms.
    #[must_use]
    pub const fn first(mut self, delay: Duration) -> Self {
        self.first = delay;
        self
    }

    /// The least target. Default zero.
    #[must_use]
    pub const fn min(mut self, delay: Duration) -> Self {
        self.min = delay;
        self
    }

    /// The greatest target, at most a second. Default a second.
    #[must_use]
    pub fn max(mut self, delay: Duration) -> Self {
        self.max = delay.min(Duration::from_secs(1));
        self
    }

    /// After so many packets an old one counts half, at least 8. Default 400: eight seconds of sound in packets of 20 ms, thirteen of
    /// pictures.
    #[must_use]
    pub fn half_life_packets(mut self, packets: u16) -> Self {
        self.half_life_packets = packets.max(8);
        self
    }
}

/// A quantile of the delays of one stream, of which old ones count less and less.
///
/// The histogram has buckets of 5 ms up to a second: less than a KiB. A packet costs the steps by which the quantile moves.
#[derive(Clone, Debug)]
pub struct TargetDelay {
    config: TargetConfig,
    buckets: [f32; BUCKETS],
    total: f32,
    /// The bucket in which the quantile lies, and the weight of all before it.
    at: usize,
    below: f32,
    /// What the next packet counts.
    weight: f32,
    growth: f32,
}

impl TargetDelay {
    /// Which holds [`TargetConfig::first`] as its target.
    #[must_use]
    pub fn new(config: TargetConfig) -> Self {
        let growth = (std::f32::consts::LN_2 / f32::from(config.half_life_packets)).exp();
        let mut target = Self {
            config,
            buckets: [0.0; BUCKETS],
            total: 0.0,
            at: 0,
            below: 0.0,
            weight: FIRST_WEIGHT,
            growth,
        };
        target.on_delay(micros(config.first));
        target.weight = 1.0;
        target
    }

    /// Takes note of a packet that took `delay_us` longer than the quickest one.
    pub fn on_delay(&mut self, delay_us: i64) {
        let bucket = usize::try_from(delay_us / BUCKET_US).unwrap_or(0).min(BUCKETS - 1);
        self.buckets[bucket] += self.weight;
        self.total += self.weight;
        if bucket < self.at {
            self.below += self.weight;
        }
        self.weight *= self.growth;
        if self.weight > MAX_WEIGHT {
            self.shrink();
        }
        let wanted = self.config.quantile * self.total;
        while self.at > 0 && self.below >= wanted {
            self.at -= 1;
            self.below -= self.buckets[self.at];
        }
        while self.at < BUCKETS - 1 && self.below + self.buckets[self.at] < wanted {
            self.below += self.buckets[self.at];
            self.at += 1;
        }
    }

    /// How long to hold back beyond the quickest packet.
    #[must_use]
    pub fn target(&self) -> Duration {
        // The first bucket holds those that took no longer at all.
        let us = if self.at == 0 { 0 } else { (self.at as u64 + 1) * BUCKET_US as u64 };
        Duration::from_micros(us).min(self.config.max).max(self.config.min)
    }

    /// Divides all weights by that of the next packet, and adds them up anew, which undoes the errors of rounding.
    fn shrink(&mut self) {
        for bucket in &mut self.buckets {
            *bucket /= self.weight;
        }
        self.weight = 1.0;
        self.total = self.buckets.iter().sum();
        self.below = self.buckets[..self.at].iter().sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(mode: Mode, delays_ms: impl Iterator<Item = i64>) -> Duration {
        let mut target = TargetDelay::new(TargetConfig::new(mode));
        delays_ms.for_each(|ms| target.on_delay(ms * 1000));
        target.target()
    }

    #[test]
    fn the_target_is_the_quantile_of_the_mode() {
        let uniform = || (0..20_000).map(|n| n * 7919 % 300);
        for (mode, ms) in [(Mode::LowestLatency, 270), (Mode::Balanced, 285), (Mode::Smoothest, 300)] {
            let told = target(mode, uniform()).as_millis() as i64;
            assert!((told - ms).abs() <= 10, "{mode:?}: {told}");
        }
        assert_eq!(target(Mode::Smoothest, (0..2000).map(|_| 0)), Duration::ZERO);
    }

    #[test]
    fn the_past_fades() {
        let then_quiet =
            |packets| target(Mode::Balanced, (0..4000).map(|_| 200).chain((0..packets).map(|_| 3)));
        assert_eq!(then_quiet(100), Duration::from_millis(205));
        assert_eq!(then_quiet(400 * 5), Duration::ZERO, "1/32 is left of it");
    }

    #[test]
    fn bounds_hold() {
        let config = TargetConfig::new(Mode::Balanced).min(Duration::from_millis(30));
        let mut target = TargetDelay::new(config.max(Duration::from_secs(5)).first(Duration::ZERO));
        assert_eq!(target.target(), Duration::from_millis(30));
        (0..100).for_each(|_| target.on_delay(i64::MAX));
        assert_eq!(target.target(), Duration::from_secs(1));
        (0..10_000).for_each(|_| target.on_delay(-5));
        assert_eq!(target.target(), Duration::from_millis(30));
    }

    /// However long it runs, the quantile is that of a histogram which is added up anew.
    #[test]
    fn weights_do_not_run_away() {
        let mut target = TargetDelay::new(TargetConfig::new(Mode::Balanced).half_life_packets(8));
        for n in 0..200_000_i64 {
            target.on_delay(n * 7919 % 400 * 1000);
            if n % 1000 == 0 {
                let below: f32 = target.buckets[..target.at].iter().sum();
                let total: f32 = target.buckets.iter().sum();
                assert!(total.is_finite() && below <= 0.951 * total, "{n}");
                assert!(below + target.buckets[target.at] >= 0.949 * total, "{n}");
            }
        }
    }
}
