//! When RTCP goes out (RFC 3550 §6.2, §6.3.1; the reduced minimum as RFC 8834 §4.1 allows).

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Rng};

use rand_core::Rng as _;

/// Compensates for the reconsideration algorithm's convergence below the intended bandwidth: e − 1.5
/// (RFC 3550 §6.3.1).
const COMPENSATION: f64 = 1.218_28;

/// What the interval is computed from.
#[derive(Clone, Copy, Debug)]
pub struct IntervalConfig {
    rtcp_bandwidth: Bitrate,
    receiver_bandwidth: Option<Bitrate>,
    minimum: Duration,
}

impl Default for IntervalConfig {
    fn default() -> Self {
        Self {
            rtcp_bandwidth: Bitrate::from_kbps(50),
            receiver_bandwidth: None,
            minimum: Duration::from_millis(500),
        }
    }
}

impl IntervalConfig {
    /// The bandwidth of all RTCP of the session: 5 % of the session's, or the sum of `b=RS` and `b=RR` (RFC 3556).
    /// Default 50 kb/s.
    #[must_use]
    pub const fn rtcp_bandwidth(mut self, bandwidth: Bitrate) -> Self {
        self.rtcp_bandwidth = bandwidth;
        self
    }

    /// The part of it that is for those who only receive: `b=RR` (RFC 3556). Zero silences them. Default: the
    /// quarter of RFC 3550.
    #[must_use]
    pub const fn receiver_bandwidth(mut self, bandwidth: Bitrate) -> Self {
        self.receiver_bandwidth = Some(bandwidth);
        self
    }

    /// The smallest deterministic interval: 5 s in RFC 3550, 360 divided by the session's kb/s when reduced
    /// (§6.2). Default 500 ms.
    #[must_use]
    pub const fn minimum(mut self, minimum: Duration) -> Self {
        self.minimum = minimum;
        self
    }
}

/// Who takes part, as this side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// All SSRCs, the own one included.
    pub total: u32,
    /// Those that sent RTP within the last two intervals.
    pub senders: u32,
    /// Whether this side is one of them.
    pub we_sent: bool,
}

/// The timer of regular reports.
#[derive(Debug)]
pub struct Interval {
    config: IntervalConfig,
    rng: Rng,
    average_size_bytes: f64,
    next: Option<Instant>,
    initial: bool,
}

impl Interval {
    /// A timer whose first report is due within half the usual time (RFC 3550 §6.2).
    #[must_use]
    pub fn new(config: IntervalConfig, rng: Rng, now: Instant, members: Members) -> Self {
        let mut interval = Self { config, rng, average_size_bytes: 128.0, next: None, initial: true };
        interval.schedule(now, members);
        interval
    }

    /// When the next regular report is due; `None` when this side may not report.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is due.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// Takes note of a compound packet, sent or received, of `size_bytes` with its IP and UDP headers.
    pub fn on_rtcp(&mut self, size_bytes: usize) {
        // RFC 3550 §6.3.3: a gain of 1/16.
        self.average_size_bytes += (size_bytes as f64 - self.average_size_bytes) / 16.0;
    }

    /// Draws the time of the report after the one that goes out at `now`.
    pub fn schedule(&mut self, now: Instant, members: Members) {
        let deterministic = self.deterministic(members);
        self.initial = false;
        self.next = deterministic.map(|td| now + self.randomised(td));
    }

    /// Td of RFC 3550 §6.3.1: the interval before randomisation; `None` when this side has no bandwidth.
    #[must_use]
    pub fn deterministic(&self, members: Members) -> Option<Duration> {
        let total = members.total.max(1);
        let senders = members.senders.min(total);
        let (share_bps, sharing) = self.share(total, senders, members.we_sent);
        if share_bps <= 0.0 {
            return None;
        }
        let seconds = self.average_size_bytes * 8.0 * f64::from(sharing.max(1)) / share_bps;
        let minimum = if self.initial { self.config.minimum / 2 } else { self.config.minimum };
        Some(Duration::from_secs_f64(seconds.min(3600.0)).max(minimum))
    }

    /// The bandwidth in bit/s of this side's group, and how many share it.
    fn share(&self, total: u32, senders: u32, we_sent: bool) -> (f64, u32) {
        let all = self.config.rtcp_bandwidth.as_bps() as f64;
        let receivers_bps = self.config.receiver_bandwidth.map(|bandwidth| bandwidth.as_bps() as f64);
        let silent_receivers = receivers_bps == Some(0.0);
        // Senders share a quarter while they are no more than a quarter; otherwise all share alike
        // (RFC 3550 §6.2). With an explicit RR the quarter becomes that proportion (RFC 3556 §2).
        let for_receivers = receivers_bps.unwrap_or(all * 0.75).min(all);
        let sender_share = if all > 0.0 { (all - for_receivers) / all } else { 0.0 };
        if silent_receivers {
            return if we_sent { (all, senders) } else { (0.0, total) };
        }
        if f64::from(senders) <= f64::from(total) * sender_share {
            if we_sent { (all - for_receivers, senders) } else { (for_receivers, total - senders) }
        } else {
            (all, total)
        }
    }

    fn randomised(&mut self, td: Duration) -> Duration {
        let unit = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        td.mul_f64((0.5 + unit) / COMPENSATION)
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::Seed;

    use super::*;
    use crate::test_clock::at;

    const CALL: Members = Members { total: 4, senders: 2, we_sent: true };

    fn interval(config: IntervalConfig, members: Members) -> Interval {
        Interval::new(config, Seed::from_number(1).rng(), at(0), members)
    }

    /// RTCP-02: intervals lie within 0.5 to 1.5 times Td over 1.21828 and fill that range; Td is the reduced
    /// minimum here, not 5 s (note N7).
    #[test]
    fn intervals_are_randomised_around_the_deterministic_one() {
        let mut interval = interval(IntervalConfig::default(), CALL);
        assert!(interval.poll_timeout().unwrap() <= at(250 * 1231 / 1000 + 1), "the first comes early");
        let td = interval.deterministic(CALL).unwrap();
        assert_eq!(td, Duration::from_millis(500));
        let (low, high) = (td.mul_f64(0.5 / 1.21828), td.mul_f64(1.5 / 1.21828));
        let drawn: Vec<_> = (0..1000)
            .map(|_| {
                interval.schedule(at(0), CALL);
                interval.poll_timeout().unwrap() - at(0)
            })
            .collect();
        assert!(drawn.iter().all(|&drawn| drawn >= low && drawn <= high));
        let (min, max) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*min < low.mul_f64(1.05) && *max > high.mul_f64(0.95));
    }

    /// RTCP-02: more members and larger packets slow reports down once bandwidth, not the minimum, decides.
    #[test]
    fn the_interval_grows_with_members_and_packet_size() {
        let crowd = Members { total: 1000, senders: 1, we_sent: false };
        let mut interval = interval(IntervalConfig::default(), crowd);
        // 128 bytes · 8 · 999 receivers / 37.5 kb/s.
        let td = interval.deterministic(crowd).unwrap();
        assert!((td.as_secs_f64() - 27.28).abs() < 0.01, "{td:?}");
        for _ in 0..200 {
            interval.on_rtcp(256);
        }
        let grown = interval.deterministic(crowd).unwrap();
        assert!((grown.as_secs_f64() / td.as_secs_f64() - 2.0).abs() < 0.01);
        let sender = Members { we_sent: true, ..crowd };
        assert_eq!(interval.deterministic(sender), Some(Duration::from_millis(500)));
    }

    /// RTCP-02: `b=RR:0` silences those who only receive, and not senders (RFC 3556).
    #[test]
    fn no_receiver_bandwidth_means_silence() {
        let config = IntervalConfig::default().receiver_bandwidth(Bitrate::ZERO);
        let receiver = Members { we_sent: false, ..CALL };
        let mut silent = interval(config, receiver);
        assert_eq!(silent.poll_timeout(), None);
        assert!(!silent.is_due(at(1_000_000)));
        silent.schedule(at(0), CALL);
        assert!(silent.poll_timeout().is_some());
    }

    #[test]
    fn the_same_seed_draws_the_same_times() {
        let (mut a, mut b) =
            (interval(IntervalConfig::default(), CALL), interval(IntervalConfig::default(), CALL));
        for _ in 0..10 {
            a.schedule(at(0), CALL);
            b.schedule(at(0), CALL);
            assert_eq!(a.poll_timeout(), b.poll_timeout());
        }
    }
}
