//! Counters of one stream, with the names of the W3C's "Identifiers for WebRTC's Statistics API".
//!
//! They only count: nothing here decides anything. Counts do not wrap in practice (64 bits).

use std::time::{Duration, Instant};

use tombolo_net::NtpTime;
use tombolo_rtp::rtcp::{ReportBlock, SenderInfo};

/// A received stream (`RTCInboundRtpStreamStats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inbound {
    /// `packetsReceived`: retransmissions that were of use included, duplicates not.
    pub packets_received: u64,
    /// `bytesReceived`: payload bytes of those.
    pub bytes_received: u64,
    /// `headerBytesReceived`: header, extension and padding bytes of those.
    pub header_bytes_received: u64,
    /// `packetsDiscarded`: duplicates and packets that came too late.
    pub packets_discarded: u64,
    /// `packetsLost`, as report blocks count it: negative with duplicates.
    pub packets_lost: i64,
    /// `jitter`.
    pub jitter: Duration,
    /// `retransmittedPacketsReceived`.
    pub retransmitted_packets_received: u64,
    /// `retransmittedBytesReceived`: payload bytes of those.
    pub retransmitted_bytes_received: u64,
    /// `lastPacketReceivedTimestamp`, on the clock of the connection.
    pub last_packet_received: Option<Instant>,
    /// `fecPacketsReceived`: repair packets of the stream, or earlier frames within packets of RED.
    pub fec_packets_received: u64,
    /// `fecBytesReceived`: payload bytes of those.
    pub fec_bytes_received: u64,
    /// `fecPacketsDiscarded`: those of them that were of no use, because nothing was missing or too much.
    pub fec_packets_discarded: u64,
    /// Packets that repair packets brought back. They do not count as received, and do as lost.
    pub packets_recovered: u64,
    /// `framesAssembled` of this stack: whole frames that came out.
    pub frames_received: u64,
    /// `keyFramesDecoded`'s counterpart here: keyframes that came out whole.
    pub key_frames_received: u64,
    /// `nackCount`: NACK messages sent.
    pub nack_count: u64,
    /// `pliCount`: PLIs sent.
    pub pli_count: u64,
    /// `firCount`: FIRs sent.
    pub fir_count: u64,
}

impl Inbound {
    /// Counts a packet that is of use.
    pub fn on_packet(
        &mut self,
        now: Instant,
        header_bytes: usize,
        payload_bytes: usize,
        retransmitted: bool,
    ) {
        self.packets_received += 1;
        self.header_bytes_received += header_bytes as u64;
        self.bytes_received += payload_bytes as u64;
        self.last_packet_received = Some(now);
        if retransmitted {
            self.retransmitted_packets_received += 1;
            self.retransmitted_bytes_received += payload_bytes as u64;
        }
    }
}

/// What the other side tells of a stream that is received (`RTCRemoteOutboundRtpStreamStats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteOutbound {
    /// `packetsSent`, since the start.
    pub packets_sent: u64,
    /// `bytesSent`: payload bytes of those.
    pub bytes_sent: u64,
    /// `reportsSent`: sender reports that arrived.
    pub reports_sent: u64,
    /// `remoteTimestamp`: when the last report was made, on the sender's wall clock.
    pub remote_timestamp: Option<NtpTime>,
    /// When it arrived.
    pub last_report_received: Option<Instant>,
}

impl RemoteOutbound {
    /// Takes over a sender report. Its counts have 32 bits and wrap; what was counted before them is told by the first.
    pub fn on_report(&mut self, now: Instant, info: &SenderInfo) {
        self.packets_sent = unwrapped(self.packets_sent, info.packet_count);
        self.bytes_sent = unwrapped(self.bytes_sent, info.octet_count);
        self.reports_sent += 1;
        self.remote_timestamp = Some(info.ntp);
        self.last_report_received = Some(now);
    }
}

/// The count nearest to the last one, of which these are the low 32 bits: reports may change places.
const fn unwrapped(last: u64, count: u32) -> u64 {
    let step = count.wrapping_sub(last as u32).cast_signed();
    match last.checked_add_signed(step as i64) {
        Some(count) => count,
        None => count as u64,
    }
}

/// A sent stream (`RTCOutboundRtpStreamStats`, and what the other side reports: `RTCRemoteInboundRtpStreamStats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    /// `packetsSent`, retransmissions included.
    pub packets_sent: u64,
    /// `bytesSent`: payload bytes of those.
    pub bytes_sent: u64,
    /// `headerBytesSent`: header, extension and padding bytes of those.
    pub header_bytes_sent: u64,
    /// `lastPacketSentTimestamp` of libwebrtc, on the clock of the connection.
    pub last_packet_sent: Option<Instant>,
    /// `keyFramesEncoded`'s counterpart here: keyframes whose first packet was sent.
    pub key_frames_sent: u64,
    /// `retransmittedPacketsSent`.
    pub retransmitted_packets_sent: u64,
    /// `retransmittedBytesSent`: payload bytes of those.
    pub retransmitted_bytes_sent: u64,
    /// Repair packets that were sent for the stream.
    pub fec_packets_sent: u64,
    /// Their payload bytes.
    pub fec_bytes_sent: u64,
    /// `nackCount`: NACK messages received.
    pub nack_count: u64,
    /// `pliCount`: PLIs received.
    pub pli_count: u64,
    /// `firCount`: FIRs received.
    pub fir_count: u64,
    /// `packetsLost` of the remote side.
    pub remote_packets_lost: i64,
    /// `fractionLost` of the remote side's last report, in 1/256.
    pub remote_fraction_lost: u8,
    /// `jitter` of the remote side.
    pub remote_jitter: Duration,
    /// `roundTripTime`: the last measurement.
    pub round_trip_time: Option<Duration>,
    /// `totalRoundTripTime`: the sum of all measurements.
    pub total_round_trip_time: Duration,
    /// `roundTripTimeMeasurements`.
    pub round_trip_time_measurements: u64,
    /// Report blocks about the stream that arrived.
    pub remote_reports: u64,
}

impl Outbound {
    /// Counts a packet.
    pub fn on_packet(
        &mut self,
        now: Instant,
        header_bytes: usize,
        payload_bytes: usize,
        retransmitted: bool,
    ) {
        self.packets_sent += 1;
        self.last_packet_sent = Some(now);
        self.header_bytes_sent += header_bytes as u64;
        self.bytes_sent += payload_bytes as u64;
        if retransmitted {
            self.retransmitted_packets_sent += 1;
            self.retransmitted_bytes_sent += payload_bytes as u64;
        }
    }

    /// Takes over what the other side reports. `round_trip` is what the block told, if anything; `clock_rate_hz`
    /// is the stream's (at least 1).
    pub fn on_report(&mut self, block: &ReportBlock, clock_rate_hz: u32, round_trip: Option<Duration>) {
        self.remote_reports += 1;
        self.remote_packets_lost = i64::from(block.cumulative_lost);
        self.remote_fraction_lost = block.fraction_lost;
        self.remote_jitter =
            Duration::from_secs_f64(f64::from(block.jitter) / f64::from(clock_rate_hz.max(1)));
        if let Some(round_trip) = round_trip {
            self.round_trip_time = Some(round_trip);
            self.total_round_trip_time += round_trip;
            self.round_trip_time_measurements += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    /// Counts of sender reports wrap, and reports may change places on the way.
    #[test]
    fn counts_of_sender_reports_do_not_wrap_here() {
        let mut remote = RemoteOutbound::default();
        let mut told = |packet_count, octet_count| {
            let info = SenderInfo {
                ssrc: tombolo_net::Ssrc(1),
                ntp: NtpTime(7 << 32),
                rtp_time: tombolo_net::RtpTime(0),
                packet_count,
                octet_count,
            };
            remote.on_report(at(5), &info);
            (remote.packets_sent, remote.bytes_sent)
        };
        assert_eq!(told(10, 3_000_000_000), (10, 3_000_000_000), "the first one may tell of much");
        assert_eq!(told(30, 4_200_000_000), (30, 4_200_000_000));
        assert_eq!(told(50, 1_105_032_704), (50, 5_400_000_000));
        assert_eq!(told(40, 4_290_000_000), (40, 4_290_000_000), "an older one");
        assert_eq!((remote.reports_sent, remote.remote_timestamp), (4, Some(NtpTime(7 << 32))));
    }

    #[test]
    fn retransmissions_count_in_both_sums() {
        let mut sent = Outbound::default();
        sent.on_packet(at(1), 20, 1000, false);
        sent.on_packet(at(2), 22, 500, true);
        assert_eq!((sent.packets_sent, sent.bytes_sent, sent.header_bytes_sent), (2, 1500, 42));
        assert_eq!((sent.retransmitted_packets_sent, sent.retransmitted_bytes_sent), (1, 500));
        let mut received = Inbound::default();
        received.on_packet(at(1), 20, 1000, false);
        received.on_packet(at(2), 20, 500, true);
        assert_eq!((received.packets_received, received.retransmitted_packets_received), (2, 1));
        assert_eq!((received.bytes_received, received.retransmitted_bytes_received), (1500, 500));
        assert_eq!((sent.last_packet_sent, received.last_packet_received), (Some(at(2)), Some(at(2))));
    }

    #[test]
    fn remote_figures_come_from_report_blocks() {
        let mut sent = Outbound::default();
        let block =
            ReportBlock { fraction_lost: 64, cumulative_lost: -3, jitter: 900, ..ReportBlock::default() };
        sent.on_report(&block, 90_000, Some(Duration::from_millis(30)));
        sent.on_report(&block, 90_000, None);
        sent.on_report(&block, 90_000, Some(Duration::from_millis(50)));
        assert_eq!((sent.remote_packets_lost, sent.remote_fraction_lost), (-3, 64));
        assert_eq!(sent.remote_jitter, Duration::from_millis(10));
        assert_eq!(sent.round_trip_time, Some(Duration::from_millis(50)));
        assert_eq!(sent.total_round_trip_time, Duration::from_millis(80));
        assert_eq!((sent.round_trip_time_measurements, sent.remote_reports), (2, 3));
    }
}
