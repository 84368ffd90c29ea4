//! RTP out: header and extensions, sealing, the cache, and answers to NACKs.

use std::time::Instant;

use tombolo_interceptors::pacer::Class;
use tombolo_interceptors::registry::Registry;
use tombolo_interceptors::rtx;
use tombolo_interceptors::twcc::SendHistory;
use tombolo_net::{NtpTime, SeqNo};
use tombolo_rtp::ext::{AbsSendTime, ExtensionKind, ExtensionMap, TransportSeq};
use tombolo_rtp::{ExtensionForm, Mid, Rid, RtpHeader};
use tombolo_srtp::OutboundContext;

use super::intercept;
use super::outbound::{Kept, Outbound, StreamClock};
use super::paced::{Occasion, Paced, Waiting};
use super::{Egress, Kind, Media, OutgoingPacket};
use crate::codec::{MediaKind, NegotiatedCodec};
use crate::error::UseError;
use crate::sdp::Direction;
use crate::transceiver::{NegotiatedMedia, Transceiver};

/// The largest payload of one packet in bytes.
const MAX_PAYLOAD: usize = 1400;
/// The largest payload of sound with earlier sound before it, in bytes.
const MAX_RED_PAYLOAD: usize = 1100;
/// A media clock this far from the wall clock it was tied to has become another one. Media that is kept for joiners is
/// younger.
const MAX_CLOCK_OFFSET_US: u64 = 10_000_000;
/// What a packet may be larger than its payload, for the history's sizes: header, extensions and tag.
pub(super) const OVERHEAD: usize = 48;

/// The elements of one header, besides those that its own packet brings.
#[derive(Clone, Copy)]
struct Elements {
    mid: Option<Mid>,
    rid: Option<(ExtensionKind, Rid)>,
    transport_seq: Option<SeqNo>,
    sent: NtpTime,
}

/// Sealing and the queue behind it.
pub(super) type Outlet<'a> = (&'a mut OutboundContext, &'a mut Egress);

impl Media {
    /// Sends a packet, or puts it into the pacer's queue where there is one.
    pub(crate) fn send_rtp(
        &mut self,
        now: Instant,
        transceiver: &Transceiver,
        packet: OutgoingPacket,
        srtp: &mut OutboundContext,
        egress: &mut Egress,
    ) -> Result<(), UseError> {
        if self.paced.is_none() {
            return self.send_now(now, transceiver, packet, Occasion::default(), (srtp, egress));
        }
        let (_, _, index) = self.check(transceiver, &packet)?;
        let Some(paced) = &mut self.paced else { return Ok(()) };
        let class = match transceiver.kind {
            MediaKind::Audio => Class::Audio,
            MediaKind::Video if packet.keyframe => Class::Keyframe,
            MediaKind::Video => Class::Video,
        };
        let (ssrc, size) = (self.outbound[index].ssrc, (packet.payload.len() + OVERHEAD) as u32);
        let waiting = Waiting::Media { ssrc, packet };
        if paced.enqueue(now, ssrc, class, size, waiting) { Ok(()) } else { Err(UseError::QueueFull) }
    }

    /// What a packet is sent as: the section's terms, the codec, and the index of the stream.
    fn check<'t>(
        &self,
        transceiver: &'t Transceiver,
        packet: &OutgoingPacket,
    ) -> Result<(&'t NegotiatedMedia, &'t NegotiatedCodec, usize), UseError> {
        let media = transceiver.negotiated.as_ref().ok_or(UseError::Direction)?;
        if transceiver.stopped || !transceiver.current.is_some_and(Direction::sends) {
            return Err(UseError::Direction);
        }
        if packet.payload.is_empty() || packet.payload.len() > MAX_PAYLOAD {
            return Err(UseError::PayloadSize);
        }
        let codec = codec(media, packet).ok_or(UseError::Codec)?;
        let mut streams = self.outbound.iter();
        let index = streams
            .position(|stream| stream.transceiver == transceiver.id && stream.rid == packet.rid)
            .ok_or(UseError::UnknownTransceiver)?;
        Ok((media, codec, index))
    }

    /// Sends a packet.
    pub(super) fn send_now(
        &mut self,
        now: Instant,
        transceiver: &Transceiver,
        packet: OutgoingPacket,
        occasion: Occasion,
        (srtp, egress): Outlet<'_>,
    ) -> Result<(), UseError> {
        let (media, codec, index) = self.check(transceiver, &packet)?;
        let stream = &mut self.outbound[index];
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
            transport_seq: number(
                &mut self.history,
                &mut self.paced,
                (media, codec),
                now,
                (&header, len),
                occasion,
            ),
            sent: wall,
        };
        let red = stream.red.as_mut().zip(media.red).filter(|(sender, red)| {
            red.frames == header.payload_type && sender.distance() > 0 && (1..MAX_RED_PAYLOAD).contains(&len)
        });
        let sealed_len = egress.push(srtp, Kind::Rtp, |out| {
            let start = out.len();
            match red {
                Some((sender, red)) => {
                    let header = RtpHeader { payload_type: red.payload_type, ..header };
                    write_header(out, &header, &media.extensions, &elements, Some(&packet));
                    // Cannot fail: the frame is neither empty nor too long.
                    let _ = sender.write(header.timestamp, &payload, MAX_RED_PAYLOAD, out);
                }
                None => {
                    write_header(out, &header, &media.extensions, &elements, Some(&packet));
                    out.extend_from_slice(&payload);
                }
            }
            intercept::outgoing(interceptors, now, out, start);
            if let Some(protection) = &mut stream.protection {
                protection.note(&out[start..]);
            }
        })?;
        if sealed_len > 0 {
            stream.stats.on_packet(now, sealed_len.saturating_sub(len), len, false);
        }
        if let Some(paced) = &mut self.paced {
            paced.on_sent(len, len + OVERHEAD);
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
        if let Some(mut protection) = stream.protection.take() {
            let numbering = (&mut self.history, &mut self.paced);
            let terms = (media, codec);
            let mut way = RepairWay { now, terms, elements, numbering, interceptors, srtp, egress, stream };
            if !protection.add(&header, packet.keyframe) {
                protection.finish(|header, payload| way.send(header, payload));
                protection.add(&header, packet.keyframe);
            }
            if packet.marker {
                protection.finish(|header, payload| way.send(header, payload));
            }
            stream.protection = Some(protection);
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
        let Outbound { responder, cache, rtx, .. } = &mut self.outbound[index];
        let Some(cache) = cache else { return };
        let Ok((_, kept)) = responder.resend(now, seq, cache, |kept: &Kept| kept.payload.len()) else {
            return;
        };
        let kept = kept.clone();
        match &mut self.paced {
            Some(paced) => {
                let size = (kept.payload.len() + OVERHEAD) as u32;
                // What finds no room is asked for again.
                paced.enqueue(now, rtx.ssrc(), Class::Retransmission, size, Waiting::Again(kept));
            }
            None => self.send_again(now, index, &kept, transceiver, Occasion::default(), (srtp, egress)),
        }
    }

    /// Sends a packet of the stream at `index` once more.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        index: usize,
        kept: &Kept,
        transceiver: &Transceiver,
        occasion: Occasion,
        (srtp, egress): Outlet<'_>,
    ) {
        let wall = self.epoch.ntp_at(now);
        let Some(media) = &transceiver.negotiated else { return };
        let interceptors = &mut self.interceptors;
        let Outbound { rtx, stats, rid, .. } = &mut self.outbound[index];
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
        if let Some(paced) = self.paced.as_mut().filter(|_| !occasion.is_padding) {
            paced.on_sent(0, len + OVERHEAD);
        }
        let elements = Elements {
            // The peer may not have bound the RTX stream yet, and never reports on it.
            mid: transceiver.mid,
            rid: rid.map(|rid| (ExtensionKind::RepairedRid, rid)),
            transport_seq: number(
                &mut self.history,
                &mut self.paced,
                (media, codec),
                now,
                (&header, len),
                occasion,
            ),
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

    /// Sends `len` bytes of padding, 1 to 255, on the RTX stream that goes with `kept`, the newest packet of the stream at `index`.
    pub(super) fn send_empty(
        &mut self,
        now: Instant,
        index: usize,
        (kept, len): (&Kept, u8),
        transceiver: &Transceiver,
        occasion: Occasion,
        (srtp, egress): Outlet<'_>,
    ) {
        let wall = self.epoch.ntp_at(now);
        let Some(media) = &transceiver.negotiated else { return };
        let interceptors = &mut self.interceptors;
        let Outbound { rtx, stats, rid, .. } = &mut self.outbound[index];
        let codec = media.codecs.iter().find(|codec| codec.payload_type == kept.header.payload_type);
        let Some((codec, rtx_payload_type)) = codec.and_then(|codec| Some((codec, codec.rtx_payload_type?)))
        else {
            return;
        };
        let header = RtpHeader { marker: false, ..rtx.wrap(&kept.header, rtx_payload_type) };
        let elements = Elements {
            mid: transceiver.mid,
            rid: rid.map(|rid| (ExtensionKind::RepairedRid, rid)),
            transport_seq: number(
                &mut self.history,
                &mut self.paced,
                (media, codec),
                now,
                (&header, len.into()),
                occasion,
            ),
            sent: wall,
        };
        let sealed = egress.push(srtp, Kind::Rtp, |out| {
            let start = out.len();
            write_header(out, &header, &media.extensions, &elements, None);
            // RFC 3550 §5.1: the padding bit, and its length in the last byte.
            out[start] |= 0x20;
            out.resize(out.len() + usize::from(len) - 1, 0);
            out.push(len);
            intercept::outgoing(interceptors, now, out, start);
        });
        if let Some(sealed_len) = sealed.ok().filter(|&len| len > 0) {
            stats.on_packet(now, sealed_len, 0, false);
        }
    }
}

/// What the repair packets of a stream are sent with.
struct RepairWay<'a> {
    now: Instant,
    terms: (&'a NegotiatedMedia, &'a NegotiatedCodec),
    /// Those of the packet before.
    elements: Elements,
    numbering: (&'a mut SendHistory, &'a mut Option<Box<Paced>>),
    interceptors: &'a mut Registry,
    srtp: &'a mut OutboundContext,
    egress: &'a mut Egress,
    stream: &'a mut Outbound,
}

impl RepairWay<'_> {
    /// Sends a repair packet, right behind the packets that it protects: the pacer made room for those. One that finds no room is lost as if the network had dropped it.
    fn send(&mut self, header: &RtpHeader, payload: &[u8]) {
        if payload.len() > MAX_PAYLOAD {
            return;
        }
        let Self { now, terms, .. } = *self;
        let (history, paced) = &mut self.numbering;
        if let Some(paced) = paced {
            paced.on_sent(0, payload.len() + OVERHEAD);
        }
        let transport_seq = number(history, paced, terms, now, (header, payload.len()), Occasion::default());
        let elements = Elements { transport_seq, ..self.elements };
        let sealed = self.egress.push(self.srtp, Kind::Rtp, |out| {
            let start = out.len();
            write_header(out, header, &terms.0.extensions, &elements, None);
            out.extend_from_slice(payload);
            intercept::outgoing(self.interceptors, now, out, start);
        });
        if sealed.is_ok_and(|len| len > 0) {
            self.stream.stats.fec_packets_sent += 1;
            self.stream.stats.fec_bytes_sent += payload.len() as u64;
        }
    }
}

impl Outbound {
    /// Goes on under another SSRC; what was sent under the old one is not sent again.
    pub(super) fn change_ssrc(&mut self, ssrc: tombolo_net::Ssrc) {
        self.ssrc = ssrc;
        self.reports = tombolo_interceptors::report::SenderReports::new(ssrc, self.clock_rate);
        // The peer was told which stream is protected.
        self.protection = None;
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

/// Takes note of a packet with `len` bytes of payload that leaves now; its transport-wide number, where both the extension and its
/// feedback were negotiated.
fn number(
    history: &mut SendHistory,
    paced: &mut Option<Box<Paced>>,
    (media, codec): (&NegotiatedMedia, &NegotiatedCodec),
    now: Instant,
    (header, len): (&RtpHeader, usize),
    occasion: Occasion,
) -> Option<SeqNo> {
    let size_bytes = (len + OVERHEAD) as u32;
    if let Some(paced) = paced.as_mut().filter(|_| codec.feedback.ccfb) {
        paced.on_named(now, header, size_bytes, occasion);
    }
    if !media.numbers_packets(codec) {
        return None;
    }
    let number = history.on_sent(now, size_bytes);
    if let Some(paced) = paced {
        paced.on_numbered(now, number, size_bytes, occasion);
    }
    Some(number.wire())
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
