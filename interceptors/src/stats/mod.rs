//! Counters of one stream, with the names of the W3C's "Identifiers for WebRTC's Statistics API".
//!
//! They only count: nothing here decides anything. Counts do not wrap in practice (64 bits).

use std::time::Duration;

use tombolo_rtp::rtcp::ReportBlock;

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
    pub fn on_packet(&mut self, header_bytes: usize, payload_bytes: usize, retransmitted: bool) {
        self.packets_received += 1;
        self.header_bytes_received += header_bytes as u64;
        self.bytes_received += payload_bytes as u64;
        self.retransmitted_packets_received += u64::from(retransmitted);
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
    /// `retransmittedPacketsSent`.
    pub retransmitted_packets_sent: u64,
    /// `retransmittedBytesSent`: payload bytes of those.
    pub retransmitted_bytes_sent: u64,
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
}

impl Outbound {
    /// Counts a packet.
    pub fn on_packet(&mut self, header_bytes: usize, payload_bytes: usize, retransmitted: bool) {
        self.packets_sent += 1;
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

    #[test]
    fn retransmissions_count_in_both_sums() {
        let mut sent = Outbound::default();
        sent.on_packet(20, 1000, false);
        sent.on_packet(22, 500, true);
        assert_eq!((sent.packets_sent, sent.bytes_sent, sent.header_bytes_sent), (2, 1500, 42));
        assert_eq!((sent.retransmitted_packets_sent, sent.retransmitted_bytes_sent), (1, 500));
        let mut received = Inbound::default();
        received.on_packet(20, 1000, false);
        received.on_packet(20, 500, true);
        assert_eq!((received.packets_received, received.retransmitted_packets_received), (2, 1));
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
        assert_eq!(sent.round_trip_time_measurements, 2);
    }
}
