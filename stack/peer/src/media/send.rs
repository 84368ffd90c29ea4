//! RTP out: header and extensions, sealing, the cache, and answers to NACKs.

use std::time::Instant;

use tombolo_interceptors::rtx;
use tombolo_net::{NtpTime, SeqNo};
use tombolo_rtp::ext::{AbsSendTime, ExtensionKind, ExtensionMap, TransportSeq};
use tombolo_rtp::{ExtensionForm, Mid, Rid, RtpHeader};
use tombolo_srtp::OutboundContext;

use super::intercept;
use super::outbound::{Kept, Outbound, StreamClock};
use super::{Egress, Kind, Media, OutgoingPacket};
use crate::codec::NegotiatedCodec;
use crate::error::UseError;
use crate::sdp::Direction;
use crate::transceiver::{NegotiatedMedia, Transceiver};

/// The largest payload of one packet in bytes.
const MAX_PAYLOAD: usize = 1400;
/// A media clock this far from the wall clock it was tied to has become another one. Media that is kept for joiners is
/// younger.
const MAX_CLOCK_OFFSET_US: u64 = 10_000_000;
/// What a packet may be larger than its payload, for the history's sizes: header, extensions and tag.
const OVERHEAD: usize = 48;

/// The elements of one header, besides those that its own packet brings.
#[derive(Clone, Copy)]
struct Elements {
    mid: Option<Mid>,
    rid: Option<(ExtensionKind, Rid)>,
    transport_seq: Option<SeqNo>,
    sent: NtpTime,
}

impl Media {
    pub(crate) fn send_rtp(
        &mut self,
        now: Instant,
        transceiver: &Transceiver,
        packet: OutgoingPacket,
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) -> Result<(), UseError> {
        let media = transceiver.negotiated.as_ref().ok_or(UseError::Direction)?;
        if transceiver.stopped || !transceiver.current.is_some_and(Direction::sends) {
            return Err(UseError::Direction);
        }
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            return Err(UseError::PayloadSize);
        }
        let codec = codec(media, &packet).ok_or(UseError::Codec)?;
        let mut streams = self.outbound.iter_mut();
        let stream = streams
            .find(|stream| stream.transceiver == transceiver.id && stream.rid == packet.rid)
            .ok_or(UseError::UnknownTransceiver)?;
        let header = RtpHeader {
            marker: packet.marker,
            payload_type: codec.payload_type,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: stream.ssrc,
        };
        let wall = self.epoch.ntp_at(now);
        let Self { interceptors, shown, payloads, .. } = self;
        let Some(payload) =
            intercept::outgoing_media(interceptors, shown, payloads, now, &header, packet.payload.clone())
        else {
            return Ok(());
        };
        let len = payload.len();
        let elements = Elements {
            mid: transceiver.mid.filter(|_| !stream.known_to_peer),
            rid: stream.rid.filter(|_| !stream.known_to_peer).map(|rid| (ExtensionKind::Rid, rid)),
            transport_seq: transport_seq(&mut self.history, media, codec, now, len),
            sent: wall,
        };
        let sealed_len = egress.push(srtp, Kind::Rtp, |out| {
            let start = out.len();
            write_header(out, &header, &media.extensions, &elements, Some(&packet));
            out.extend_from_slice(&payload);
            intercept::outgoing(interceptors, now, out, start);
        })?;
        if sealed_len > 0 {
            stream.stats.on_packet(now, sealed_len.saturating_sub(len), len, false);
        }
        stream.reports.on_packet(now, packet.timestamp, len);
        if let Some(media_us) = packet.media_time_us {
            let clock = clock(&mut self.clocks, &transceiver.stream_id, media_us, wall);
            stream.reports.set_source(clock.ntp_at(media_us), packet.timestamp);
        }
        if packet.keyframe {
            let began = stream.last_keyframe.replace(packet.timestamp) != Some(packet.timestamp);
            stream.stats.key_frames_sent += u64::from(began);
            stream.handler.on_keyframe_sent(now);
        }
        stream.sent_since_report = true;
        stream.last_sent = Some(now);
        if codec.feedback.nack {
            let sealed = (codec.rtx_payload_type.is_none() && sealed_len > 0).then(|| egress.last());
            stream.keep(now, Kept { header, payload, sealed });
        }
        Ok(())
    }

    /// Answers a NACK for one packet of an outgoing stream. Refusals are counted by the responder.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        index: usize,
        seq: SeqNo,
        transceiver: &Transceiver,
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) {
        let wall = self.epoch.ntp_at(now);
        let Some(media) = &transceiver.negotiated else { return };
        let interceptors = &mut self.interceptors;
        let Outbound { responder, cache, rtx, stats, rid, .. } = &mut self.outbound[index];
        let Some(cache) = cache else { return };
        let Ok((_, kept)) = responder.resend(now, seq, cache, |kept: &Kept| kept.payload.len()) else {
            return;
        };
        let len = kept.payload.len();
        if let Some(sealed) = &kept.sealed {
            if egress.push_sealed(sealed).is_ok() {
                stats.on_packet(now, sealed.len() - len, len, true);
            }
            return;
        }
        let codec = media.codecs.iter().find(|codec| codec.payload_type == kept.header.payload_type);
        let Some((codec, rtx_payload_type)) = codec.and_then(|codec| Some((codec, codec.rtx_payload_type?)))
        else {
            return;
        };
        let header = rtx.wrap(&kept.header, rtx_payload_type);
        let elements = Elements {
            // The peer may not have bound the RTX stream yet, and never reports on it.
            mid: transceiver.mid,
            rid: rid.map(|rid| (ExtensionKind::RepairedRid, rid)),
            transport_seq: transport_seq(&mut self.history, media, codec, now, len),
            sent: wall,
        };
        let sealed = egress.push(srtp, Kind::Rtp, |out| {
            let start = out.len();
            write_header(out, &header, &media.extensions, &elements, None);
            rtx::write_payload(out, kept.header.seq, &kept.payload);
            intercept::outgoing(interceptors, now, out, start);
        });
        if let Some(sealed_len) = sealed.ok().filter(|&len| len > 0) {
            stats.on_packet(now, sealed_len.saturating_sub(len), len, true);
        }
    }
}

impl Outbound {
    /// Goes on under another SSRC; what was sent under the old one is not sent again.
    pub(super) fn change_ssrc(&mut self, ssrc: tombolo_net::Ssrc) {
        self.ssrc = ssrc;
        self.reports = tombolo_interceptors::report::SenderReports::new(ssrc, self.clock_rate);
        self.cache = None;
        self.known_to_peer = false;
        self.reported = false;
    }
}

fn codec<'m>(media: &'m NegotiatedMedia, packet: &OutgoingPacket) -> Option<&'m NegotiatedCodec> {
    media.codecs.iter().find(|codec| {
        codec.codec == packet.codec && packet.payload_type.is_none_or(|number| number == codec.payload_type)
    })
}

/// The next transport-wide number, where both the extension and its feedback were negotiated.
fn transport_seq(
    history: &mut tombolo_interceptors::twcc::SendHistory,
    media: &NegotiatedMedia,
    codec: &NegotiatedCodec,
    now: Instant,
    len: usize,
) -> Option<SeqNo> {
    let negotiated =
        codec.feedback.transport_cc && media.extensions.id(ExtensionKind::TransportSeq).is_some();
    negotiated.then(|| history.on_sent(now, (len + OVERHEAD) as u32).wire())
}

/// The clock of a media stream, tied to the wall clock anew when the media has jumped: another participant is shown.
fn clock<'c>(
    clocks: &'c mut Vec<StreamClock>,
    stream_id: &str,
    media_us: i64,
    wall: NtpTime,
) -> &'c StreamClock {
    let index = clocks.iter().position(|clock| clock.stream_id == stream_id).unwrap_or_else(|| {
        clocks.push(StreamClock::new(stream_id.to_owned(), media_us, wall));
        clocks.len() - 1
    });
    let clock = &mut clocks[index];
    if clock.ntp_at(media_us).micros_since(wall).unsigned_abs() > MAX_CLOCK_OFFSET_US {
        *clock = StreamClock::new(stream_id.to_owned(), media_us, wall);
    }
    clock
}

/// Writes the header with the extensions that were negotiated. An element that does not fit its form is left out
/// (RTP-12), which the writer guarantees to leave no trace.
fn write_header(
    out: &mut Vec<u8>,
    header: &RtpHeader,
    map: &ExtensionMap,
    elements: &Elements,
    packet: Option<&OutgoingPacket>,
) {
    let form = if map.has_long_ids() { ExtensionForm::TwoByte } else { ExtensionForm::OneByte };
    let mut writer = header.write(out, form);
    let mut push = |kind: ExtensionKind, data: &[u8]| {
        if let Some(id) = map.id(kind) {
            let _ = writer.push(id, data);
        }
    };
    if let Some(seq) = elements.transport_seq {
        push(ExtensionKind::TransportSeq, &TransportSeq(seq.0).encode());
    }
    push(ExtensionKind::AbsSendTime, &AbsSendTime::from_ntp(elements.sent).encode());
    if let Some(mid) = elements.mid {
        push(ExtensionKind::Mid, mid.as_bytes());
    }
    if let Some((kind, rid)) = elements.rid {
        push(kind, rid.as_bytes());
    }
    if let Some(level) = packet.and_then(|packet| packet.audio_level) {
        push(ExtensionKind::AudioLevel, &level.encode());
    }
    if let Some(delay) = packet.and_then(|packet| packet.playout_delay) {
        push(ExtensionKind::PlayoutDelay, &delay.encode());
    }
}
