//! One sent stream: what is kept of it for retransmission, what is reported about it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::fec::RedSender;
use tombolo_interceptors::keyframe::Handler;
use tombolo_interceptors::nack::{Cache, CacheConfig, Responder, ResponderConfig};
use tombolo_interceptors::report::{RoundTrip, SenderReports};
use tombolo_interceptors::{rtx, stats};
use tombolo_net::{NtpTime, RtpTime, SeqNo, Ssrc};
use tombolo_rtp::ext::{AudioLevel, PlayoutDelay};
use tombolo_rtp::{Rid, RtpHeader};

use super::fec::Protection;
use crate::codec::{Codec, MediaKind};
use crate::transceiver::{Encoding, TransceiverId};

/// The round trip before one was measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// A packet to send.
#[derive(Clone, Debug, PartialEq)]
pub struct OutgoingPacket {
    /// The encoding, where the transceiver sends several.
    pub rid: Option<Rid>,
    /// The codec; its first negotiated payload type is used unless `payload_type` names another.
    pub codec: Codec,
    /// One of several payload types of the codec (H.264 has one per packetization mode and profile).
    pub payload_type: Option<u8>,
    /// The sequence number. The stream's numbers are the caller's: contiguous, whatever is behind them, and never
    /// one twice for different bytes.
    pub seq: SeqNo,
    /// The timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// The payload, 1 to 1400 bytes. Shared, not copied, into the cache for retransmissions.
    pub payload: Bytes,
    /// When the media was captured, in µs on the clock that all tracks of its participant share. Sender reports
    /// of all transceivers with the same stream id speak of that clock, so that receivers play them in step.
    /// `None`: the time of sending counts.
    pub media_time_us: Option<i64>,
    /// The audio level to tell, where that was negotiated.
    pub audio_level: Option<AudioLevel>,
    /// Bounds of the playout delay to tell, where that was negotiated.
    pub playout_delay: Option<PlayoutDelay>,
    /// Whether the packet belongs to a keyframe; requests for one are answered by it.
    pub keyframe: bool,
}

impl OutgoingPacket {
    /// A packet with nothing beyond the ordinary.
    #[must_use]
    pub const fn new(codec: Codec, seq: SeqNo, timestamp: RtpTime, marker: bool, payload: Bytes) -> Self {
        Self {
            rid: None,
            codec,
            payload_type: None,
            seq,
            timestamp,
            marker,
            payload,
            media_time_us: None,
            audio_level: None,
            playout_delay: None,
            keyframe: false,
        }
    }
}

/// What is kept of a packet that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) header: RtpHeader,
    pub(crate) payload: Bytes,
    /// The sealed datagram, for peers without RTX: an SRTP index is never used for other bytes (RFC 3711 §9.1), so
    /// that only the very same datagram can go out again.
    pub(crate) sealed: Option<Bytes>,
}

/// A sent stream.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) transceiver: TransceiverId,
    pub(crate) rid: Option<Rid>,
    pub(crate) ssrc: Ssrc,
    pub(crate) clock_rate: u32,
    pub(crate) rtx: rtx::Sender,
    pub(crate) reports: SenderReports,
    pub(super) protection: Option<Box<Protection>>,
    /// What sends sound again, where RED was negotiated.
    pub(super) red: Option<Box<RedSender>>,
    pub(crate) responder: Responder,
    /// Made with the first packet: a peer that only negotiates costs no memory.
    pub(crate) cache: Option<Cache<Kept>>,
    cache_packets: u16,
    /// Whether the cache has sealed datagrams.
    keeps_sealed: bool,
    pub(crate) handler: Handler,
    pub(crate) round_trip: RoundTrip,
    pub(crate) stats: stats::Outbound,
    /// Whether the peer has reported on the stream: then it knows where it belongs, and labels are left out.
    pub(crate) known_to_peer: bool,
    /// Whether a report has told of the stream.
    pub(crate) reported: bool,
    /// Whether it sent since the last report.
    pub(crate) sent_since_report: bool,
    pub(crate) last_sent: Option<Instant>,
    /// The timestamp of the last keyframe that was begun.
    pub(crate) last_keyframe: Option<RtpTime>,
}

impl Outbound {
    pub(crate) fn new(
        transceiver: TransceiverId,
        kind: MediaKind,
        encoding: &Encoding,
        rtx_seq: SeqNo,
    ) -> Self {
        let clock_rate = match kind {
            MediaKind::Audio => 48_000,
            MediaKind::Video => 90_000,
        };
        Self {
            transceiver,
            rid: encoding.rid,
            ssrc: encoding.ssrc,
            clock_rate,
            rtx: rtx::Sender::new(encoding.rtx_ssrc, rtx_seq),
            reports: SenderReports::new(encoding.ssrc, clock_rate),
            protection: None,
            red: None,
            responder: Responder::new(ResponderConfig::default()),
            cache: None,
            keeps_sealed: false,
            cache_packets: if kind == MediaKind::Audio { 128 } else { 1024 },
            handler: Handler::new(),
            round_trip: RoundTrip::default(),
            stats: stats::Outbound::default(),
            known_to_peer: false,
            reported: false,
            sent_since_report: false,
            last_sent: None,
            last_keyframe: None,
        }
    }
}

impl Outbound {
    /// Tells the loss that the peer sees, 0 to 1, to what sends more against it.
    pub(crate) fn on_loss(&mut self, loss: f32) {
        if let Some(red) = &mut self.red {
            red.on_loss(loss);
        }
        if let Some(protection) = &mut self.protection {
            protection.protector.on_loss(loss);
            protection.protector.set_rtt(self.round_trip.smoothed().unwrap_or(DEFAULT_RTT));
        }
    }

    /// The SSRCs that it sends with.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = Ssrc> + use<> {
        let fec = self.protection.as_ref().map(|protection| protection.ssrc());
        [self.ssrc, self.rtx.ssrc()].into_iter().chain(fec)
    }

    /// Keeps a packet for retransmission, for about two seconds of either kind of media.
    pub(crate) fn keep(&mut self, now: Instant, kept: Kept) {
        let len = kept.payload.len();
        self.keeps_sealed |= kept.sealed.is_some();
        let seq = self.responder.on_sent(kept.header.seq, len);
        let config = CacheConfig::default().max_packets(self.cache_packets);
        self.cache.get_or_insert_with(|| Cache::new(config)).insert(now, seq, len, kept);
    }
}

impl Outbound {
    /// Drops what is kept for peers without RTX, which is sealed; packets that are sealed when they are sent stay.
    pub(crate) fn forget_sealed(&mut self) {
        if std::mem::take(&mut self.keeps_sealed) {
            self.cache = None;
        }
    }
}

/// The wall clock that the tracks of one participant are reported on: tied to the first media time that any of them
/// has, and the same for all.
#[derive(Clone, Debug)]
pub(crate) struct StreamClock {
    pub(crate) stream_id: String,
    media_us: i64,
    ntp: NtpTime,
}

impl StreamClock {
    pub(crate) const fn new(stream_id: String, media_us: i64, ntp: NtpTime) -> Self {
        Self { stream_id, media_us, ntp }
    }

    /// The wall clock at a media time.
    pub(crate) fn ntp_at(&self, media_us: i64) -> NtpTime {
        let micros = i128::from(media_us) - i128::from(self.media_us);
        let fractions = (micros << 32) / 1_000_000;
        NtpTime(self.ntp.0.wrapping_add(fractions as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_times_map_to_the_wall_clock_both_ways_from_the_anchor() {
        let clock = StreamClock::new("s".into(), 5_000_000, NtpTime(100 << 32));
        assert_eq!(clock.ntp_at(5_500_000), NtpTime((100 << 32) + (1 << 31)));
        assert_eq!(clock.ntp_at(4_000_000), NtpTime(99 << 32));
    }
}
