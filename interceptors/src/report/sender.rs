//! What one outgoing stream sent, as sender reports tell it (RFC 3550 §6.4.1).

use std::time::Instant;

use tombolo_net::{NtpTime, RtpTime, Ssrc};
use tombolo_rtp::rtcp::SenderInfo;

/// An RTP time, and the local instant and wall clock at which it is "now" for the stream's media.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    instant: Instant,
    timestamp: RtpTime,
}

/// Sender statistics of one stream.
#[derive(Clone, Copy, Debug)]
pub struct SenderReports {
    ssrc: Ssrc,
    clock_rate_hz: u32,
    packets: u32,
    octets: u32,
    last: Option<Mapping>,
    /// The mapping of the media's source, for streams that are forwarded: it outranks `last`.
    source: Option<(NtpTime, RtpTime)>,
}

impl SenderReports {
    /// Statistics of the stream `ssrc`, whose timestamps tick `clock_rate_hz` times a second (at least 1).
    #[must_use]
    pub fn new(ssrc: Ssrc, clock_rate_hz: u32) -> Self {
        Self { ssrc, clock_rate_hz: clock_rate_hz.max(1), packets: 0, octets: 0, last: None, source: None }
    }

    /// Takes note of a packet that goes out for the first time. `payload_bytes` is without header, extensions and
    /// padding.
    pub fn on_packet(&mut self, now: Instant, timestamp: RtpTime, payload_bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        // The first packet of a frame is closest to its moment; later ones share its timestamp.
        if self.last.is_none_or(|last| timestamp.is_newer_than(last.timestamp)) {
            self.last = Some(Mapping { instant: now, timestamp });
        }
    }

    /// For media that is forwarded: its source said that `timestamp` (in the numbers of this outgoing stream) is
    /// `ntp` on a wall clock shared by all that this sender forwards from it. Reports then speak of that clock, so
    /// that the receiver can still put sound and picture together (RFC 3550 §7.2).
    pub fn set_source(&mut self, ntp: NtpTime, timestamp: RtpTime) {
        self.source = Some((ntp, timestamp));
    }

    /// Forgets what [`SenderReports::set_source`] said, as when the stream changes its source.
    pub fn clear_source(&mut self) {
        self.source = None;
    }

    /// The sender's half of a report that goes out at `now`, which is `wall` on the wall clock; `None` before the
    /// first packet.
    #[must_use]
    pub fn sender_info(&self, now: Instant, wall: NtpTime) -> Option<SenderInfo> {
        let last = self.last?;
        let timestamp = match self.source {
            Some((ntp, timestamp)) => self.after_micros(timestamp, wall.micros_since(ntp)),
            None => {
                let micros = now.saturating_duration_since(last.instant).as_micros();
                self.after_micros(last.timestamp, i64::try_from(micros).unwrap_or(i64::MAX))
            }
        };
        Some(SenderInfo {
            ssrc: self.ssrc,
            ntp: wall,
            rtp_time: timestamp,
            packet_count: self.packets,
            octet_count: self.octets,
        })
    }

    /// Packets sent so far, modulo 2³².
    #[must_use]
    pub const fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload bytes sent so far, modulo 2³².
    #[must_use]
    pub const fn octets(&self) -> u32 {
        self.octets
    }

    fn after_micros(&self, timestamp: RtpTime, micros: i64) -> RtpTime {
        let ticks = i128::from(micros) * i128::from(self.clock_rate_hz) / 1_000_000;
        timestamp + ticks as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    const WALL: NtpTime = NtpTime(0xe000_0000_0000_0000);

    #[test]
    fn nothing_sent_is_nothing_to_report() {
        assert_eq!(SenderReports::new(Ssrc(7), 90_000).sender_info(at(0), WALL), None);
    }

    #[test]
    fn counts_and_the_time_between_packets_are_told() {
        let mut reports = SenderReports::new(Ssrc(7), 90_000);
        for _ in 0..3 {
            reports.on_packet(at(10), RtpTime(u32::MAX - 449), 1000);
        }
        let info = reports.sender_info(at(20), WALL).unwrap();
        assert_eq!((info.packet_count, info.octet_count), (3, 3000));
        assert_eq!((info.ntp, info.rtp_time), (WALL, RtpTime(450)));
    }

    #[test]
    fn the_later_packets_of_a_frame_do_not_move_its_moment() {
        let mut reports = SenderReports::new(Ssrc(7), 90_000);
        reports.on_packet(at(0), RtpTime(0), 10);
        reports.on_packet(at(30), RtpTime(0), 10);
        assert_eq!(reports.sender_info(at(100), WALL).unwrap().rtp_time, RtpTime(9000));
    }

    /// RTP-15: a forwarded stream's report matches its rewritten timestamps and its source's clock.
    #[test]
    fn a_forwarded_stream_keeps_the_clock_of_its_source() {
        let mut reports = SenderReports::new(Ssrc(7), 90_000);
        reports.on_packet(at(500), RtpTime(1_000_000), 10);
        reports.set_source(WALL, RtpTime(1_000_000));
        let a_second_later = NtpTime(WALL.0 + (1 << 32));
        assert_eq!(reports.sender_info(at(2000), a_second_later).unwrap().rtp_time, RtpTime(1_090_000));
        let a_second_before = NtpTime(WALL.0 - (1 << 32));
        assert_eq!(reports.sender_info(at(2000), a_second_before).unwrap().rtp_time, RtpTime(910_000));
        reports.clear_source();
        assert_eq!(reports.sender_info(at(1500), a_second_later).unwrap().rtp_time, RtpTime(1_090_000));
    }
}
