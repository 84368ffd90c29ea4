//! The quickest way through the network, and how two clocks part.

use std::time::Instant;

use tombolo_net::RtpTime;

use super::micros;

/// Seconds that are remembered.
const SECONDS: usize = 32;
/// The smallest transit is looked for in so many of the last seconds.
const WINDOW: i64 = 10;
/// Drift is told once the remembered seconds span so many.
const MIN_SPAN: i64 = 8;
/// A transit so far from the baseline comes from another clock.
const MAX_DELAY_US: i64 = 8_000_000;

/// The smallest transit of one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: i64,
    min_transit_us: i64,
}

/// Transits of one stream: their smallest value in the last ten seconds, and its slope.
///
/// A transit is arrival less timestamp. Its zero means nothing; differences do. Half a KiB.
#[derive(Clone, Debug)]
pub struct Baseline {
    clock_rate_hz: u32,
    start: Option<Instant>,
    /// The newest timestamp, and its ticks since the first one.
    newest: (RtpTime, i64),
    seconds: [Second; SECONDS],
    len: usize,
    min_transit_us: i64,
    restarts: u64,
}

impl Baseline {
    /// For a stream whose clock has so many ticks a second; 0 is taken for 1.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            start: None,
            newest: (RtpTime(0), 0),
            seconds: [Second::default(); SECONDS],
            len: 0,
            min_transit_us: 0,
            restarts: 0,
        }
    }

    /// Takes note of a packet, and returns how much longer it took than the quickest one, in microseconds. A timestamp that lies
    /// more than eight seconds off begins anew.
    pub fn on_packet(&mut self, arrival: Instant, timestamp: RtpTime) -> i64 {
        let start = *self.start.get_or_insert_with(|| {
            self.newest = (timestamp, 0);
            arrival
        });
        let arrival_us = micros(arrival.saturating_duration_since(start));
        let mut transit_us = arrival_us - self.media_us(timestamp);
        if self.len > 0 && (transit_us - self.min_transit_us).abs() > MAX_DELAY_US {
            self.restarts += 1;
            self.len = 0;
            // Its ticks go on from now, so that they cannot run away over many restarts.
            self.newest = (timestamp, 0);
            self.start = Some(arrival);
            transit_us = 0;
        } else if timestamp.is_newer_than(self.newest.0) {
            self.newest = (timestamp, self.ticks(timestamp));
        }
        self.note(micros(arrival.saturating_duration_since(self.start.unwrap_or(arrival))), transit_us);
        transit_us - self.min_transit_us
    }

    /// When a packet with this timestamp arrives if it takes the quickest way; `None` before the first packet.
    #[must_use]
    pub fn earliest(&self, timestamp: RtpTime) -> Option<Instant> {
        let start = self.start?;
        let us = self.media_us(timestamp) + self.min_transit_us;
        let distance = std::time::Duration::from_micros(us.unsigned_abs());
        if us >= 0 { start.checked_add(distance) } else { start.checked_sub(distance) }
    }

    /// By how much the sender's clock is slower than ours, in parts per million: negative when it is faster, and what is played at
    /// our pace runs behind. `None` before the stream has lasted nine seconds.
    #[must_use]
    pub fn drift_ppm(&self) -> Option<f64> {
        // The newest second is not over: its quickest packet may be still to come.
        let (_, seconds) = self.remembered().split_last()?;
        let span = seconds.last()?.number - seconds.first()?.number;
        if span < MIN_SPAN {
            return None;
        }
        let count = seconds.len() as f64;
        let first = seconds[0];
        let points = || {
            seconds.iter().map(|second| {
                let at = (second.number - first.number) as f64;
                (at, (second.min_transit_us - first.min_transit_us) as f64)
            })
        };
        let (sum_at, sum_us) = points().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        let (mean_at, mean_us) = (sum_at / count, sum_us / count);
        let (covariance, variance) = points().fold((0.0, 0.0), |sum, (at, us)| {
            (sum.0 + (at - mean_at) * (us - mean_us), sum.1 + (at - mean_at).powi(2))
        });
        Some(covariance / variance)
    }

    /// How often the timestamps jumped so far that everything began anew.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.restarts
    }

    fn remembered(&self) -> &[Second] {
        &self.seconds[..self.len]
    }

    fn ticks(&self, timestamp: RtpTime) -> i64 {
        self.newest.1 + i64::from(timestamp.distance_from(self.newest.0))
    }

    fn media_us(&self, timestamp: RtpTime) -> i64 {
        self.ticks(timestamp) * 1_000_000 / i64::from(self.clock_rate_hz)
    }

    fn note(&mut self, arrival_us: i64, transit_us: i64) {
        let number = arrival_us / 1_000_000;
        match self.seconds[..self.len].last_mut() {
            // A clock that goes backwards counts into the newest second.
            Some(last) if number <= last.number => {
                last.min_transit_us = last.min_transit_us.min(transit_us);
                self.min_transit_us = self.min_transit_us.min(transit_us);
                return;
            }
            _ => {}
        }
        if self.len == SECONDS {
            self.seconds.rotate_left(1);
            self.len -= 1;
        }
        self.seconds[self.len] = Second { number, min_transit_us: transit_us };
        self.len += 1;
        let window = self.remembered().iter().rev().take_while(|second| second.number > number - WINDOW);
        self.min_transit_us = window.map(|second| second.min_transit_us).min().unwrap_or(transit_us);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::test_clock::at;

    fn stamp(ms: u64) -> RtpTime {
        RtpTime(0xffff_0000) + (ms * 48) as u32
    }

    #[test]
    fn delays_are_counted_from_the_quickest_packet() {
        let mut baseline = Baseline::new(48_000);
        assert_eq!(baseline.earliest(stamp(0)), None);
        assert_eq!(baseline.on_packet(at(100), stamp(0)), 0);
        assert_eq!(baseline.on_packet(at(150), stamp(20)), 30_000);
        assert_eq!(baseline.on_packet(at(130), stamp(40)), 0, "quicker than the first by 10 ms");
        assert_eq!(baseline.on_packet(at(160), stamp(60)), 10_000);
        assert_eq!(baseline.earliest(stamp(1000)), Some(at(1090)));
        assert_eq!(baseline.on_packet(at(1100), stamp(20)), 990_000, "a late one");
    }

    #[test]
    fn the_quickest_packet_is_forgotten_after_ten_seconds() {
        let mut baseline = Baseline::new(48_000);
        baseline.on_packet(at(10), stamp(0));
        // From now on the way is 40 ms longer.
        let delay = |ms: u64, baseline: &mut Baseline| baseline.on_packet(at(ms + 50), stamp(ms));
        assert!((20..9000).step_by(20).all(|ms| delay(ms, &mut baseline) == 40_000));
        let last = (9000..12_000).step_by(20).map(|ms| delay(ms, &mut baseline)).last();
        assert_eq!(last, Some(0));
    }

    #[test]
    fn drift_is_measured_through_jitter_and_across_the_wrap() {
        for ppm in [-300_i64, 0, 120] {
            let mut baseline = Baseline::new(48_000);
            for n in (0..440).chain(460..1500_u64) {
                let jitter_us = n * 7919 % 30_000;
                let sent_us = n * 20_000;
                let arrival_us = sent_us as i64 + sent_us as i64 * ppm / 1_000_000 + 5000;
                let arrival = at(0) + Duration::from_micros(arrival_us as u64 + jitter_us);
                baseline.on_packet(arrival, stamp(n * 20));
                assert_eq!(baseline.drift_ppm().is_some(), n > 450, "packet {n}");
            }
            let measured = baseline.drift_ppm().unwrap();
            assert!((measured - ppm as f64).abs() < 40.0, "{measured} for {ppm}");
        }
    }

    #[test]
    fn a_jump_of_the_timestamps_begins_anew() {
        let mut baseline = Baseline::new(48_000);
        baseline.on_packet(at(0), stamp(0));
        for (n, jump) in [1_u32 << 30, 3 << 30, 1 << 31, u32::MAX / 3].into_iter().enumerate() {
            let ms = 100 * (n as u64 + 1);
            assert_eq!(baseline.on_packet(at(ms), stamp(0) + jump), 0);
            assert_eq!(baseline.earliest(stamp(0) + jump), Some(at(ms)));
            assert_eq!(baseline.restarts(), n as u64 + 1);
        }
    }
}
