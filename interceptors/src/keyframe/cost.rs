//! What keyframes cost: how large they are, in a stream of which rate.

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, RtpTime};

/// Over which time the rate is measured.
const WINDOW: Duration = Duration::from_secs(2);

/// What may be spent on keyframes that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The share of the stream's bytes that they may take in the long run, 1 to 100.
    pub percent: u32,
    /// They come no more often than this, however cheap they are.
    pub min: Duration,
    /// They may come as often as this, however dear they are.
    pub max: Duration,
}

impl Share {
    /// How long to wait between two keyframes of `bytes` in a stream of `rate`; `None` at rate zero: it was not measured
    /// yet.
    #[must_use]
    pub fn interval(&self, bytes: u64, rate: Bitrate) -> Option<Duration> {
        if rate == Bitrate::ZERO {
            return None;
        }
        let share = Bitrate::from_bps(rate.as_bps() * u64::from(self.percent.clamp(1, 100)) / 100);
        Some(share.time_for(bytes).min(self.max).max(self.min))
    }
}

/// Measures the rate of a stream and the size of its keyframes by its packets.
#[derive(Clone, Copy, Debug, Default)]
pub struct CostMeter {
    /// The window that is being filled: since when, and its bytes.
    window: Option<(Instant, u64)>,
    rate: Bitrate,
    /// The keyframe that is arriving: its timestamp and bytes so far.
    keyframe: Option<(RtpTime, u64)>,
    bytes: u64,
}

impl CostMeter {
    /// Takes note of a packet of the stream. `keyframe`: whether it is known to be of a keyframe, of which others with the same
    /// timestamp are parts, too. Tells whether the cost is another since.
    pub fn on_packet(&mut self, now: Instant, timestamp: RtpTime, bytes: usize, keyframe: bool) -> bool {
        let bytes = bytes as u64;
        let (since, sum) = self.window.get_or_insert((now, 0));
        let filled = now.saturating_duration_since(*since);
        let is_full = filled >= WINDOW;
        if is_full {
            self.rate = Bitrate::from_bytes_in(*sum, filled);
            (*since, *sum) = (now, 0);
        }
        *sum += bytes;
        match &mut self.keyframe {
            Some((of, size)) if *of == timestamp => *size += bytes,
            Some((_, size)) if !keyframe => {
                self.bytes = *size;
                self.keyframe = None;
                return true;
            }
            _ if keyframe => self.keyframe = Some((timestamp, bytes)),
            _ => {}
        }
        is_full
    }

    /// The size of the last keyframe in bytes; 0 before the first.
    #[must_use]
    pub const fn keyframe_bytes(&self) -> u64 {
        self.bytes
    }

    /// The rate of the stream over the last two seconds, keyframes included; zero until they have passed.
    #[must_use]
    pub const fn rate(&self) -> Bitrate {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    /// The two cases of the Jitsi issue: keyframes every 2 s are a fifth of one source and a fiftieth of another.
    #[test]
    fn the_interval_follows_from_the_cost_at_the_current_rate() {
        let share = Share { percent: 20, min: Duration::from_millis(250), max: Duration::from_secs(30) };
        let interval = |bytes, kbps| share.interval(bytes, Bitrate::from_kbps(kbps));
        assert_eq!(interval(60_000, 1200), Some(Duration::from_secs(2)));
        assert_eq!(interval(60_000, 12_000), Some(share.min));
        assert_eq!(interval(600_000, 100), Some(share.max));
        assert_eq!(interval(60_000, 0), None);
    }

    #[test]
    fn rate_and_size_are_those_of_the_packets() {
        let mut meter = CostMeter::default();
        // 50 packets a second of 500 bytes; each fifth second a keyframe of 10 packets.
        for n in 0..1000_u32 {
            let now = at(u64::from(n) * 20);
            meter.on_packet(now, RtpTime(n), 500, false);
            if n % 250 == 7 {
                for part in 0..10 {
                    meter.on_packet(now, RtpTime(n * 1000), 1000, part == 0);
                }
            }
        }
        assert_eq!(meter.keyframe_bytes(), 10_000);
        let kbps = meter.rate().as_bps() / 1000;
        assert!((195..=245).contains(&kbps), "{kbps} kb/s");
    }
}
