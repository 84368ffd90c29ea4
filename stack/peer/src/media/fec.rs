//! Forward error correction of one stream (FlexFEC): repair packets that are sent after a frame, and what those of the peer bring.

use std::time::{Duration, Instant};

use tombolo_interceptors::fec::{
    self, Decoder, DecoderConfig, Encoder, Format, Protector, ProtectorConfig, Repair, flexfec,
};
use tombolo_net::{RtpTime, SeqNo, Ssrc};
use tombolo_rtp::RtpHeader;
use tombolo_rtp::ext::ExtensionKind;

use crate::transceiver::NegotiatedMedia;

/// The most streams of a connection that packets are recovered of; each keeps its last packets, up to 640 KiB.
pub(super) const MAX_RECOVERIES: usize = 8;
/// Repair packets that came this lately make it likely that one comes for what is missing now.
const RECENT: Duration = Duration::from_secs(2);
/// The least and the most that is waited for a repair packet before a packet is asked for again.
const PATIENCE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(25));

/// The ids of the extensions that are filled in when a packet leaves; Chromium too protects them as zeros.
fn filled_in_late(media: &NegotiatedMedia) -> [u8; 4] {
    let id = |kind| media.extensions.id(kind).unwrap_or(0);
    [id(ExtensionKind::TransportSeq), id(ExtensionKind::AbsSendTime), 0, 0]
}

/// What protects a sent stream.
#[derive(Debug)]
pub(super) struct Protection {
    ssrc: Ssrc,
    payload_type: u8,
    sender: flexfec::Sender,
    pub(super) protector: Protector,
    encoder: Encoder,
    zeroed: [u8; 4],
    /// The packet that was sent last.
    packet: Vec<u8>,
    timestamp: RtpTime,
    has_keyframe: bool,
}

impl Protection {
    /// For the stream `media_ssrc`, on a stream of its own that begins with `first_seq`.
    pub(super) fn new(
        media_ssrc: Ssrc,
        ssrc: Ssrc,
        first_seq: SeqNo,
        payload_type: u8,
        media: &NegotiatedMedia,
    ) -> Self {
        let retransmits = media.codecs.iter().any(|codec| codec.feedback.nack);
        Self {
            ssrc,
            payload_type,
            sender: flexfec::Sender::new(ssrc, payload_type, first_seq),
            protector: Protector::new(ProtectorConfig::default().retransmits(retransmits)),
            encoder: Encoder::new(Format::FlexFec(media_ssrc)),
            zeroed: filled_in_late(media),
            packet: Vec::new(),
            timestamp: RtpTime(0),
            has_keyframe: false,
        }
    }

    pub(super) const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    pub(super) const fn payload_type(&self) -> u8 {
        self.payload_type
    }

    /// Notes a packet as it is about to be sealed.
    pub(super) fn note(&mut self, packet: &[u8]) {
        self.packet.clear();
        if self.protector.is_active() {
            self.packet.extend_from_slice(packet);
            fec::zero_extensions(&mut self.packet, &self.zeroed);
        }
    }

    /// Adds the noted packet to the group. `false` when it begins another: finish the group and add it once more.
    pub(super) fn add(&mut self, header: &RtpHeader, is_keyframe: bool) -> bool {
        if self.packet.is_empty() {
            return true;
        }
        if !self.encoder.push(&self.packet) {
            return false;
        }
        self.packet.clear();
        self.timestamp = header.timestamp;
        self.has_keyframe |= is_keyframe;
        true
    }

    /// Ends the group; `send` is given the header and payload of each repair packet.
    pub(super) fn finish(&mut self, mut send: impl FnMut(&RtpHeader, &[u8])) {
        let repairs = self.protector.repairs(self.encoder.len(), self.has_keyframe);
        self.has_keyframe = false;
        let Self { encoder, sender, timestamp, .. } = self;
        encoder.finish(repairs, |payload| send(&sender.header(*timestamp), payload));
    }
}

/// What recovers packets of a received stream.
#[derive(Debug)]
pub(super) struct Recovery {
    decoder: Decoder,
    last_repair: Instant,
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl Recovery {
    pub(super) fn new(now: Instant, ssrc: Ssrc, media: &NegotiatedMedia) -> Self {
        let config = DecoderConfig::new(ssrc).zeroed_extensions(filled_in_late(media));
        let config =
            media.codecs.iter().fold(config, |config, codec| config.payload_type(codec.payload_type));
        Self { decoder: Decoder::new(config), last_repair: now, packets: 0, bytes: 0 }
    }

    /// Takes a packet of the stream as it came. Not one that was unwrapped from RTX: the extensions of that one differ from
    /// those that were protected.
    pub(super) fn on_packet(&mut self, packet: &[u8]) {
        self.decoder.on_packet(packet);
    }

    /// Takes a repair packet with this many bytes of payload.
    pub(super) fn on_repair(&mut self, now: Instant, repair: &Repair<'_>, payload_bytes: usize) {
        self.last_repair = now;
        self.packets += 1;
        self.bytes += payload_bytes as u64;
        self.decoder.on_repair(repair);
    }

    /// Replaces `out` with the next packet that was recovered; `false` when there is none.
    pub(super) fn poll(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(packet) = self.decoder.poll_recovered() else { return false };
        out.clear();
        out.extend_from_slice(packet);
        true
    }

    /// How long to wait for repair packets before asking for what is missing: shorter on a short way, where asking costs little.
    pub(super) fn patience(&self, now: Instant, rtt: Option<Duration>) -> Duration {
        if now.saturating_duration_since(self.last_repair) >= RECENT {
            return Duration::ZERO;
        }
        rtt.map_or(PATIENCE.1, |rtt| (rtt / 4).clamp(PATIENCE.0, PATIENCE.1))
    }

    /// Repair packets that were of no use.
    pub(super) const fn discarded(&self) -> u64 {
        let stats = self.decoder.stats();
        stats.discarded + stats.refused
    }
}
