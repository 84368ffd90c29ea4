//! RTP in: label, route, undo retransmission, deliver.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tombolo_interceptors::fec::flexfec;
use tombolo_interceptors::registry::{PacketMut, Registry, Stretch};
use tombolo_interceptors::rtx::{self, Primary};
use tombolo_net::{Ecn, ExtSeqNo, Ssrc};
use tombolo_rtp::codec::is_keyframe;
use tombolo_rtp::codec::red::RedPayload;
use tombolo_rtp::ext::{AudioLevel, ExtensionKind};
use tombolo_rtp::{RtpHeader, RtpPacket};

use super::fec::{MAX_RECOVERIES, Recovery};
use super::inbound::{Inbound, Way};
use super::intercept;
use super::outbound::Outbound;
use super::route::{Binding, Labels, Role};
use super::{DropReason, MAX_STREAMS, Media};
use crate::codec::NegotiatedCodec;
use crate::event::{Event, ReceivedPacket};
use crate::transceiver::{NegotiatedMedia, NegotiatedRed, Transceiver};

/// The size of the blocks that payloads are kept in.
const ARENA_BYTES: usize = 32 << 10;
/// A stream that was silent for this long makes room for a new one.
const IDLE: Duration = Duration::from_secs(10);

impl Media {
    /// Takes one opened RTP packet that arrived with the mark `ecn`.
    pub(crate) fn receive_rtp(
        &mut self,
        now: Instant,
        ecn: Ecn,
        packet: &mut [u8],
        transceivers: &[Transceiver],
        events: &mut VecDeque<Event>,
    ) {
        self.note_for_recovery(packet);
        self.take_rtp(now, Some(ecn), packet, transceivers, events);
        let mut recovered = std::mem::take(&mut self.recovered);
        while self.poll_recovered(&mut recovered) {
            self.take_rtp(now, None, &mut recovered, transceivers, events);
        }
        self.recovered = recovered;
    }

    /// `arrived` is the mark that the packet came with; `None` for one that was recovered.
    fn take_rtp(
        &mut self,
        now: Instant,
        arrived: Option<Ecn>,
        packet: &mut [u8],
        transceivers: &[Transceiver],
        events: &mut VecDeque<Event>,
    ) {
        let taken = intercept::incoming(&mut self.interceptors, now, packet)
            .ok_or(DropReason::Intercepted)
            .and_then(|packet| self.try_receive_rtp(now, arrived, packet, transceivers, events));
        if let Err(reason) = taken {
            self.drops.add(reason);
        }
    }

    /// Shows a packet as it came to what recovers others of its stream.
    fn note_for_recovery(&mut self, packet: &[u8]) {
        let streams = self.inbound.iter_mut().filter(|stream| stream.recovery.is_some());
        for stream in streams {
            if packet.get(8..12) == Some(&stream.ssrc.0.to_be_bytes())
                && let Some(recovery) = &mut stream.recovery
            {
                recovery.on_packet(packet);
            }
        }
    }

    fn poll_recovered(&mut self, out: &mut Vec<u8>) -> bool {
        self.inbound.iter_mut().filter_map(|stream| stream.recovery.as_mut()).any(|one| one.poll(out))
    }

    /// Takes the payload of a repair packet that belongs to a section with what was negotiated as `media`.
    fn receive_repair(
        &mut self,
        now: Instant,
        payload: &[u8],
        binding: Binding,
        media: &NegotiatedMedia,
    ) -> Result<(), DropReason> {
        if payload.is_empty() {
            return Ok(());
        }
        let repair = flexfec::parse(payload).map_err(|_| DropReason::Malformed)?;
        let recovering = self.inbound.iter().filter(|stream| stream.recovery.is_some()).count();
        let mut streams = self.inbound.iter_mut();
        let stream =
            streams.find(|one| repair.ssrc == Some(one.ssrc) && one.transceiver == binding.transceiver);
        let stream = stream.ok_or(DropReason::UnknownRepair)?;
        if stream.recovery.is_none() && recovering >= MAX_RECOVERIES {
            return Err(DropReason::TooManyStreams);
        }
        // Made with the first repair packet, so that streams without any cost no memory.
        let recovery =
            stream.recovery.get_or_insert_with(|| Box::new(Recovery::new(now, stream.ssrc, media)));
        recovery.on_repair(now, &repair, payload.len());
        Ok(())
    }

    fn try_receive_rtp(
        &mut self,
        now: Instant,
        arrived: Option<Ecn>,
        packet: &[u8],
        transceivers: &[Transceiver],
        events: &mut VecDeque<Event>,
    ) -> Result<(), DropReason> {
        let size = packet.len();
        let packet = RtpPacket::parse(packet).map_err(|_| DropReason::Malformed)?;
        let shared = self.labels.read(&packet);
        if let Some(seq) = shared.transport_seq.filter(|_| arrived.is_some()) {
            // Also of packets that nobody takes: the sender's estimate counts all that it sent.
            self.recorder.on_packet(now, tombolo_net::SeqNo(seq.0));
        }
        let ssrc = packet.ssrc();
        if self.outbound.iter().any(|stream| stream.ssrcs().any(|own| own == ssrc)) {
            self.resolve_collision(ssrc);
        }
        let known = self.inbound.iter().find(|stream| stream.ssrc == ssrc);
        let seq =
            known.map_or(ExtSeqNo(0x1_0000 + u64::from(packet.seq().0)), |stream| stream.peek(packet.seq()));
        let labels = Labels::new(ssrc, packet.payload_type(), seq, &shared);
        if known.is_none() && self.router.is_full() {
            self.evict_idle(now);
        }
        let binding = self.router.route(&labels, transceivers)?;
        let transceiver = transceivers.iter().find(|one| one.id == binding.transceiver);
        let media = transceiver.and_then(|one| one.negotiated.as_ref()).ok_or(DropReason::UnknownSsrc)?;
        if let Some(ecn) = arrived.filter(|_| media.has_ccfb()) {
            self.ccfb_recorder.on_packet(now, ssrc, packet.seq(), ecn);
        }
        let payload_type = packet.payload_type();
        if let Some(codec) = media.codecs.iter().find(|codec| codec.payload_type == payload_type) {
            let header = packet.header();
            let way = if arrived.is_none() { Way::Recovered } else { Way::First };
            return self.deliver(
                now,
                &packet,
                header,
                packet.payload(),
                way,
                binding,
                codec,
                media,
                size,
                events,
            );
        }
        if let Some(red) = media.red.filter(|red| red.payload_type == payload_type) {
            return self.receive_red(now, &packet, red, binding, media, size, events);
        }
        if media.flexfec == Some(payload_type) {
            return self.receive_repair(now, packet.payload(), binding, media);
        }
        let codec = media.codecs.iter().find(|codec| codec.rtx_payload_type == Some(payload_type));
        let codec = codec.ok_or(DropReason::UnknownPayloadType)?;
        let Role::Repairs(primary) = binding.role else { return Err(DropReason::UnknownRepair) };
        if packet.payload().is_empty() {
            // A bandwidth probe: padding alone, already told to the recorder.
            return Ok(());
        }
        if !self.inbound.iter().any(|stream| stream.ssrc == primary) {
            return Err(DropReason::UnknownRepair);
        }
        let primary = Primary { ssrc: primary, payload_type: codec.payload_type };
        let (header, payload) = rtx::unwrap(&packet, primary).ok_or(DropReason::UnknownRepair)?;
        let way = Way::Retransmitted;
        self.deliver(now, &packet, header, payload, way, binding, codec, media, size, events)
    }

    /// Takes a packet of RED apart: what is missing of the frames before, then its own.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one packet, each borrowed from another place"
    )]
    fn receive_red(
        &mut self,
        now: Instant,
        packet: &RtpPacket<'_>,
        red: NegotiatedRed,
        binding: Binding,
        media: &NegotiatedMedia,
        size: usize,
        events: &mut VecDeque<Event>,
    ) -> Result<(), DropReason> {
        let blocks = RedPayload::parse(packet.payload()).map_err(|_| DropReason::Malformed)?;
        let codec = media.codecs.iter().find(|codec| codec.payload_type == red.frames);
        let (codec, primary) = codec.zip(Some(blocks.primary())).ok_or(DropReason::UnknownPayloadType)?;
        if primary.payload_type != red.frames {
            return Err(DropReason::UnknownPayloadType);
        }
        let header = RtpHeader { payload_type: red.frames, ..packet.header() };
        let stream = self.stream(now, header.ssrc, binding, codec)?;
        let number = self.inbound[stream].peek(header.seq);
        for (seq, timestamp, frame) in blocks.packets(number, header.timestamp, red.frames) {
            let stream = &mut self.inbound[stream];
            stream.stats.fec_packets_received += 1;
            stream.stats.fec_bytes_received += frame.len() as u64;
            if !stream.nack.awaits(seq) {
                stream.stats.fec_packets_discarded += 1;
                continue;
            }
            let header = RtpHeader { marker: false, seq: seq.wire(), timestamp, ..header };
            let way = Way::Recovered;
            let taken = self.deliver(now, packet, header, frame, way, binding, codec, media, size, events);
            if let Err(reason) = taken {
                self.drops.add(reason);
            }
        }
        self.deliver(now, packet, header, primary.data, Way::First, binding, codec, media, size, events)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one packet, each borrowed from another place"
    )]
    fn deliver(
        &mut self,
        now: Instant,
        packet: &RtpPacket<'_>,
        header: RtpHeader,
        payload: &[u8],
        way: Way,
        binding: Binding,
        codec: &NegotiatedCodec,
        media: &NegotiatedMedia,
        size: usize,
        events: &mut VecDeque<Event>,
    ) -> Result<(), DropReason> {
        let stream = self.stream(now, header.ssrc, binding, codec)?;
        let stream = &mut self.inbound[stream];
        let seq = stream.on_packet(now, header.seq, header.timestamp, way).ok_or(DropReason::Duplicate)?;
        let retransmitted = way == Way::Retransmitted;
        if way == Way::Recovered {
            stream.stats.packets_recovered += 1;
        } else {
            stream.stats.on_packet(now, size - payload.len(), payload.len(), retransmitted);
        }
        let rid = stream.rid;
        if let Some(lost) = stream.nack.poll_lost() {
            let transceiver = binding.transceiver;
            events.push_back(Event::Lost { transceiver, rid, first: lost.first, last: lost.last });
        }
        if payload.is_empty() {
            return Ok(());
        }
        let mut payload = payload;
        if self.interceptors.has(Stretch::Media) {
            let pass = |registry: &mut Registry, packet: &mut PacketMut<'_>| {
                registry.on_receive(now, Stretch::Media, packet)
            };
            let range = intercept::media(&mut self.interceptors, &mut self.shown, &header, payload, pass);
            payload = &self.shown[range.ok_or(DropReason::Intercepted)?];
        }
        if is_keyframe(codec.codec, payload) {
            stream.keyframe.on_keyframe();
        }
        events.push_back(Event::Rtp(ReceivedPacket {
            transceiver: binding.transceiver,
            rid,
            codec: codec.codec,
            ssrc: header.ssrc,
            seq,
            timestamp: header.timestamp,
            marker: header.marker,
            payload: keep(&mut self.payloads, payload),
            arrival: now,
            retransmitted,
            recovered: way == Way::Recovered,
            audio_level: audio_level(media, packet).filter(|_| way != Way::Recovered),
        }));
        Ok(())
    }

    /// The index of the stream with this SSRC, made when it is new.
    fn stream(
        &mut self,
        now: Instant,
        ssrc: Ssrc,
        binding: Binding,
        codec: &NegotiatedCodec,
    ) -> Result<usize, DropReason> {
        let known = self.inbound.iter().position(|stream| stream.ssrc == ssrc);
        if let Some(index) = known {
            let stream = &mut self.inbound[index];
            if stream.transceiver == binding.transceiver && stream.rid == binding.rid {
                return Ok(index);
            }
            // The SSRC means something else from now on: its old state does not count.
            self.inbound.remove(index);
        }
        if self.inbound.len() >= MAX_STREAMS {
            return Err(DropReason::TooManyStreams);
        }
        let clock_rate = codec.codec.clock_rate_hz();
        let mut stream =
            Inbound::new(now, ssrc, binding.transceiver, binding.rid, clock_rate, codec.feedback);
        if let Some(rtt) = self.rtt {
            stream.set_rtt(rtt);
        }
        self.inbound.push(stream);
        Ok(self.inbound.len() - 1)
    }

    /// Forgets the stream that was silent for longest, if that is long: a peer may have changed SSRCs without goodbyes.
    fn evict_idle(&mut self, now: Instant) {
        let oldest = self.inbound.iter().enumerate().min_by_key(|(_, stream)| stream.last_arrival);
        let Some((index, stream)) = oldest else { return };
        if now.saturating_duration_since(stream.last_arrival) >= IDLE {
            self.router.remove(stream.ssrc);
            self.inbound.remove(index);
        }
    }

    /// RFC 3550 §8.2: the peer uses an SSRC of ours. We leave ours and take another.
    fn resolve_collision(&mut self, ssrc: Ssrc) {
        let taken = |candidate: Ssrc, media: &Self| {
            media.outbound.iter().any(|stream| stream.ssrcs().any(|own| own == candidate))
                || media.inbound.iter().any(|stream| stream.ssrc == candidate)
                || candidate == ssrc
        };
        let mut fresh = self.random_ssrc();
        while taken(fresh, self) {
            fresh = self.random_ssrc();
        }
        self.leaving.push(ssrc);
        let first_seq = self.random_seq();
        if let Some(stream) = self.outbound.iter_mut().find(|stream| stream.ssrc == ssrc) {
            stream.change_ssrc(fresh);
        } else if let Some(stream) = self.outbound.iter_mut().find(|stream| stream.rtx.ssrc() == ssrc) {
            stream.rtx = rtx::Sender::new(fresh, first_seq);
        } else {
            // A stream of repair packets, which only descriptions name: none is sent any more.
            let of = |stream: &&mut Outbound| stream.ssrcs().any(|own| own == ssrc);
            self.outbound.iter_mut().filter(of).for_each(|stream| stream.protection = None);
        }
    }
}

/// A copy of a payload. A block of the arena is shared by many and freed, or used again, after the last of them.
pub(super) fn keep(arena: &mut BytesMut, payload: &[u8]) -> Bytes {
    if arena.capacity() < payload.len() {
        arena.reserve(ARENA_BYTES.max(payload.len()));
    }
    arena.extend_from_slice(payload);
    arena.split().freeze()
}

fn audio_level(media: &NegotiatedMedia, packet: &RtpPacket<'_>) -> Option<AudioLevel> {
    let data = packet.extension(media.extensions.id(ExtensionKind::AudioLevel)?)?;
    AudioLevel::parse(data).ok()
}
