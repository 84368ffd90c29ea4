//! What one incoming stream lost and how it jitters, as report blocks tell it (RFC 3550 §6.4.1, §A.3, §A.8).

use std::time::{Duration, Instant};

use tombolo_net::{ExtSeqNo, NtpTime, RtpTime, Ssrc};
use tombolo_rtp::rtcp::ReportBlock;

/// The most that 24 signed bits count.
const MAX_LOST: i64 = 0x7f_ffff;
/// The least that 24 signed bits count.
const MIN_LOST: i64 = -0x80_0000;

/// The sender report that the next block answers.
#[derive(Clone, Copy, Debug)]
struct LastReport {
    middle: u32,
    arrival: Instant,
}

/// Receiver statistics of one stream.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReports {
    ssrc: Ssrc,
    clock_rate_hz: u32,
    base: Option<ExtSeqNo>,
    highest: ExtSeqNo,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    /// Jitter in 1/16 ticks, as in RFC 3550 §A.8.
    jitter_scaled: u64,
    transit: Option<(Instant, RtpTime)>,
    last_report: Option<LastReport>,
    fraction_lost: u8,
}

impl ReceiverReports {
    /// Statistics of the stream `ssrc`, whose timestamps tick `clock_rate_hz` times a second (at least 1).
    #[must_use]
    pub fn new(ssrc: Ssrc, clock_rate_hz: u32) -> Self {
        Self {
            ssrc,
            clock_rate_hz: clock_rate_hz.max(1),
            base: None,
            highest: ExtSeqNo(0),
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            jitter_scaled: 0,
            transit: None,
            last_report: None,
            fraction_lost: 0,
        }
    }

    /// Takes note of a packet of the stream itself. Packets that were recovered by RTX count as well: say so by
    /// `retransmitted`, and they do not count as jitter.
    pub fn on_packet(&mut self, now: Instant, seq: ExtSeqNo, timestamp: RtpTime, retransmitted: bool) {
        if self.base.is_none() {
            self.base = Some(seq);
            self.highest = seq;
        }
        self.received += 1;
        if !retransmitted {
            self.update_jitter(now, timestamp);
        }
        self.highest = self.highest.max(seq);
    }

    /// Takes note of a sender report of the stream.
    pub fn on_sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.last_report = Some(LastReport { middle: ntp.middle(), arrival: now });
    }

    /// The block for a report that goes out at `now`; `None` before the first packet. The fraction lost is that
    /// since the last call.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let expected = self.expected();
        if expected == 0 {
            return None;
        }
        let expected_now = expected - self.expected_prior;
        let received_now = self.received - self.received_prior;
        self.expected_prior = expected;
        self.received_prior = self.received;
        // More received than expected (duplicates) is a fraction of 0 (RFC 3550 §A.3).
        self.fraction_lost = match expected_now.saturating_sub(received_now) {
            0 => 0,
            lost => u8::try_from((lost << 8) / expected_now).unwrap_or(u8::MAX),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost: self.fraction_lost,
            cumulative_lost: self.cumulative_lost() as i32,
            highest_seq: self.highest.0.wrapping_sub(0x1_0000) as u32,
            jitter: self.jitter_ticks(),
            last_sr: self.last_report.map_or(0, |report| report.middle),
            delay_since_last_sr: self.last_report.map_or(0, |report| {
                let held = now.saturating_duration_since(report.arrival);
                u32::try_from((held.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
            }),
        })
    }

    /// Packets lost so far, as reported: negative with duplicates, held to 24 signed bits.
    #[must_use]
    pub fn cumulative_lost(&self) -> i64 {
        (self.expected() as i64 - self.received as i64).clamp(MIN_LOST, MAX_LOST)
    }

    /// The highest sequence number received so far; [`ExtSeqNo`] 0 before the first packet.
    #[must_use]
    pub const fn highest(&self) -> ExtSeqNo {
        self.highest
    }

    /// Packets received so far, duplicates included.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// The interarrival jitter in ticks of the stream's clock.
    #[must_use]
    pub fn jitter_ticks(&self) -> u32 {
        u32::try_from(self.jitter_scaled >> 4).unwrap_or(u32::MAX)
    }

    /// The interarrival jitter.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.jitter_ticks()) / f64::from(self.clock_rate_hz))
    }

    /// The fraction lost of the last block, in 1/256.
    #[must_use]
    pub const fn fraction_lost(&self) -> u8 {
        self.fraction_lost
    }

    fn expected(&self) -> u64 {
        // A packet older than the first one does not move the base: it counts as received beyond expectation.
        self.base.map_or(0, |base| self.highest.0 - base.0 + 1)
    }

    fn update_jitter(&mut self, now: Instant, timestamp: RtpTime) {
        if let Some((then, before)) = self.transit {
            let elapsed = now.saturating_duration_since(then);
            let elapsed_ticks = (elapsed.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000) as i64;
            let difference = (elapsed_ticks - i64::from(timestamp.distance_from(before))).unsigned_abs();
            // A pause of the sender is no jitter: RFC 3550 §A.8 would remember one for a long time.
            if difference < u64::from(self.clock_rate_hz) * 10 {
                let decayed = self.jitter_scaled - ((self.jitter_scaled + 8) >> 4).min(self.jitter_scaled);
                self.jitter_scaled = decayed + difference;
            }
        }
        self.transit = Some((now, timestamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    fn ext(seq: u64) -> ExtSeqNo {
        ExtSeqNo(0x1_0000 + seq)
    }

    fn stream(clock: u32) -> ReceiverReports {
        ReceiverReports::new(Ssrc(7), clock)
    }

    /// RTCP-07: before the first packet there is no block; before the first sender report LSR and DLSR are 0.
    #[test]
    fn a_stream_without_sender_report_says_zero() {
        let mut reports = stream(90_000);
        assert_eq!(reports.report_block(at(0)), None);
        reports.on_packet(at(0), ext(9), RtpTime(0), false);
        let block = reports.report_block(at(5)).unwrap();
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0, 0));
        assert_eq!((block.highest_seq, block.cumulative_lost, block.fraction_lost), (9, 0, 0));
    }

    /// RTCP-07: the fraction is of the last interval in 1/256, the count of all time.
    #[test]
    fn losses_are_counted_per_interval_and_in_all() {
        let mut reports = stream(90_000);
        for seq in (0..100).filter(|seq| seq % 4 != 1) {
            reports.on_packet(at(seq), ext(seq), RtpTime(seq as u32 * 90), false);
        }
        let block = reports.report_block(at(100)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost, block.highest_seq), (64, 25, 99));
        for seq in 100..200 {
            reports.on_packet(at(seq), ext(seq), RtpTime(seq as u32 * 90), false);
        }
        let block = reports.report_block(at(200)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost, block.highest_seq), (0, 25, 199));
        reports.on_packet(at(300), ext(300), RtpTime(27_000), false);
        assert_eq!(reports.report_block(at(300)).unwrap().fraction_lost, 253);
    }

    /// RTCP-07: duplicates make the loss negative, and the fraction stays 0; both ends of the 24 bits hold.
    #[test]
    fn duplicates_make_the_loss_negative() {
        let mut reports = stream(90_000);
        for _ in 0..4 {
            reports.on_packet(at(0), ext(1), RtpTime(0), true);
        }
        let block = reports.report_block(at(0)).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, -3));
        reports.on_packet(at(1), ext(0x100_0000), RtpTime(0), true);
        assert_eq!(reports.report_block(at(1)).unwrap().cumulative_lost, 0x7f_ffff);
        let mut many = ReceiverReports { received: 1 << 30, ..stream(90_000) };
        many.on_packet(at(0), ext(1), RtpTime(0), true);
        assert_eq!(many.report_block(at(0)).unwrap().cumulative_lost, -0x80_0000);
    }

    #[test]
    fn the_extended_number_counts_wraps() {
        let mut reports = stream(90_000);
        reports.on_packet(at(0), ext(65_535), RtpTime(0), false);
        reports.on_packet(at(0), ext(65_536), RtpTime(0), false);
        let block = reports.report_block(at(0)).unwrap();
        assert_eq!((block.highest_seq, block.cumulative_lost), (0x1_0000, 0));
    }

    /// RTCP-07: DLSR is in 1/65536 s, LSR the middle of the NTP time.
    #[test]
    fn the_last_sender_report_is_named_with_its_age() {
        let mut reports = stream(90_000);
        reports.on_packet(at(0), ext(1), RtpTime(0), false);
        reports.on_sender_report(at(1000), NtpTime(0x1234_5678_9abc_def0));
        let block = reports.report_block(at(2500)).unwrap();
        assert_eq!((block.last_sr, block.delay_since_last_sr), (0x5678_9abc, 0x1_8000));
    }

    /// RTCP-07: the integer algorithm of RFC 3550 §A.8, worked by hand: transits differ by 160, 0, 80 ticks.
    #[test]
    fn jitter_follows_the_integer_algorithm() {
        let mut reports = stream(8000);
        for (seq, (ms, stamp)) in [(0, 0), (40, 160), (60, 320), (90, 480)].into_iter().enumerate() {
            reports.on_packet(at(ms), ext(seq as u64), RtpTime(stamp), false);
        }
        // 160; 160 − (168 >> 4) + 0 = 150; 150 − (158 >> 4) + 80 = 221; 221 >> 4 = 13.
        assert_eq!(reports.report_block(at(90)).unwrap().jitter, 13);
        assert_eq!(reports.jitter(), Duration::from_micros(1625));
    }

    #[test]
    fn retransmissions_and_pauses_are_no_jitter() {
        let mut reports = stream(8000);
        reports.on_packet(at(0), ext(0), RtpTime(0), false);
        reports.on_packet(at(20), ext(2), RtpTime(160), false);
        reports.on_packet(at(500), ext(1), RtpTime(80), true);
        reports.on_packet(at(60_000), ext(3), RtpTime(320), false);
        assert_eq!(reports.jitter_ticks(), 0);
    }
}
