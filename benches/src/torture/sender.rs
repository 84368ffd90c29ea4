//! The sending end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::fec::{Encoder, Format, Protector, ProtectorConfig, RedSender, flexfec};
use tombolo_interceptors::keyframe::Handler;
use tombolo_interceptors::nack::{Cache, CacheConfig, Responder, ResponderConfig};
use tombolo_interceptors::rtx;
use tombolo_net::{Bitrate, FiveTuple, RtpTime, Seed, SeqNo, Ssrc, Transmit};
use tombolo_netsim::{Codec, CodecConfig, Machine, start};
use tombolo_rtp::codec::Vp8Packetizer;
use tombolo_rtp::rtcp::{Compound, Packet};
use tombolo_rtp::{ExtensionForm, RtpHeader};

use super::Repair;

pub(super) const VIDEO: (Ssrc, u8) = (Ssrc(1), 96);
pub(super) const RTX: (Ssrc, u8) = (Ssrc(2), 97);
pub(super) const FEC: (Ssrc, u8) = (Ssrc(3), 98);
pub(super) const AUDIO: (Ssrc, u8) = (Ssrc(4), 111);
pub(super) const RED: u8 = 63;

const VIDEO_RATE: Bitrate = Bitrate::from_kbps(2000);
const MAX_PAYLOAD: usize = 1160;
/// 48 kb/s in packets of 20 ms.
const SOUND_BYTES: usize = 120;
const SOUND_EVERY: Duration = Duration::from_millis(20);

/// A packet that may be asked for.
type Kept = (RtpHeader, Bytes);

/// One stream of packets that can be sent again.
struct Stream {
    next_seq: SeqNo,
    cache: Cache<Kept>,
    responder: Responder,
}

impl Stream {
    fn new(rtt: Duration) -> Self {
        let mut responder = Responder::new(ResponderConfig::default());
        responder.set_rtt(rtt);
        Self { next_seq: SeqNo(65_000), cache: Cache::new(CacheConfig::default()), responder }
    }

    /// Writes the next packet.
    fn write(&mut self, now: Instant, header: RtpHeader, payload: Bytes) -> Vec<u8> {
        let header = RtpHeader { seq: self.next_seq, ..header };
        self.next_seq = self.next_seq.next();
        let mut out = Vec::with_capacity(12 + payload.len());
        header.write(&mut out, ExtensionForm::OneByte);
        out.extend_from_slice(&payload);
        let number = self.responder.on_sent(header.seq, payload.len());
        self.cache.insert(now, number, payload.len(), (header, payload));
        out
    }

    fn again(&mut self, now: Instant, seq: SeqNo) -> Option<Kept> {
        let kept = self.responder.resend(now, seq, &self.cache, |(_, payload)| payload.len());
        kept.ok().map(|(_, kept)| kept.clone())
    }
}

pub(super) struct Sender {
    repair: Repair,
    until: Instant,
    codec: Codec,
    packetizer: Vp8Packetizer,
    video: Stream,
    audio: Stream,
    rtx: rtx::Sender,
    encoder: Encoder,
    protector: Protector,
    repairs: flexfec::Sender,
    keyframes: Handler,
    red: RedSender,
    next_sound: Instant,
    queue: VecDeque<Vec<u8>>,
    /// Frames and packets of sound that were sent, and bytes of them and of all.
    pub(super) frames: u64,
    pub(super) sounds: u64,
    pub(super) media_bytes: u64,
    pub(super) bytes: u64,
}

impl Sender {
    pub(super) fn new(repair: Repair, rtt: Duration, call: Duration) -> Self {
        let config = CodecConfig::default().range(VIDEO_RATE, VIDEO_RATE);
        let mut protector = Protector::new(ProtectorConfig::default().retransmits(repair.nack));
        protector.set_rtt(rtt);
        let mut keyframes = Handler::new();
        keyframes.set_rtt(rtt);
        Self {
            repair,
            until: start() + call,
            codec: Codec::new(config, start(), VIDEO_RATE, &Seed::from_number(7)),
            packetizer: Vp8Packetizer::new(1),
            video: Stream::new(rtt),
            audio: Stream::new(rtt),
            rtx: rtx::Sender::new(RTX.0, SeqNo(1)),
            encoder: Encoder::new(Format::FlexFec(VIDEO.0)),
            protector,
            repairs: flexfec::Sender::new(FEC.0, FEC.1, SeqNo(1)),
            keyframes,
            red: RedSender::new(AUDIO.1, 4),
            next_sound: start(),
            queue: VecDeque::new(),
            frames: 0,
            sounds: 0,
            media_bytes: 0,
            bytes: 0,
        }
    }

    fn send_frame(&mut self, now: Instant, len: usize, is_keyframe: bool) {
        let mut frame = vec![7; len.max(10)];
        // A keyframe of 640×360; another frame is told by its first bit (RFC 6386 §9.1).
        frame[..10].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1]);
        frame[0] |= u8::from(!is_keyframe);
        let mut payloads = Vec::new();
        self.packetizer.packetize(&frame, MAX_PAYLOAD, &mut payloads).expect("a frame of VP8");
        if is_keyframe {
            self.keyframes.on_keyframe_sent(now);
        }
        self.frames += 1;
        let (count, timestamp) = (payloads.len(), time(now, 90));
        for (at, payload) in payloads.into_iter().enumerate() {
            let marker = at + 1 == count;
            let header =
                RtpHeader { marker, payload_type: VIDEO.1, timestamp, ssrc: VIDEO.0, ..RtpHeader::default() };
            let packet = self.video.write(now, header, payload);
            if self.repair.fec && !self.encoder.push(&packet) {
                self.protect(timestamp, is_keyframe);
                self.encoder.push(&packet);
            }
            self.media_bytes += packet.len() as u64;
            self.queue.push_back(packet);
        }
        self.protect(timestamp, is_keyframe);
    }

    fn protect(&mut self, timestamp: RtpTime, is_keyframe: bool) {
        let (repairs, queue) = (&mut self.repairs, &mut self.queue);
        let count = self.protector.repairs(self.encoder.len(), is_keyframe);
        self.encoder.finish(count, |payload| {
            let mut packet = Vec::with_capacity(12 + payload.len());
            repairs.header(timestamp).write(&mut packet, ExtensionForm::OneByte);
            packet.extend_from_slice(payload);
            queue.push_back(packet);
        });
    }

    fn send_sound(&mut self, now: Instant) {
        let timestamp = time(now, 48);
        // 20 ms of Opus (RFC 6716 §3.1).
        let mut sound = vec![7; SOUND_BYTES];
        sound[0] = 31 << 3;
        let mut payloads = Vec::new();
        let payload_type = if self.repair.fec {
            self.red.packetize(timestamp, &sound, MAX_PAYLOAD, &mut payloads).expect("sound");
            RED
        } else {
            payloads.push(Bytes::from(sound));
            AUDIO.1
        };
        let header = RtpHeader { payload_type, timestamp, ssrc: AUDIO.0, ..RtpHeader::default() };
        for payload in payloads {
            self.media_bytes += (12 + SOUND_BYTES) as u64;
            let packet = self.audio.write(now, header, payload);
            self.queue.push_back(packet);
        }
        self.sounds += 1;
    }

    fn on_nack(&mut self, now: Instant, media: Ssrc, seq: SeqNo) {
        let mut out = Vec::new();
        if media == VIDEO.0
            && let Some((header, payload)) = self.video.again(now, seq)
        {
            self.rtx.wrap(&header, RTX.1).write(&mut out, ExtensionForm::OneByte);
            rtx::write_payload(&mut out, header.seq, &payload);
            self.queue.push_back(out);
        } else if media == AUDIO.0
            && let Some((header, payload)) = self.audio.again(now, seq)
        {
            header.write(&mut out, ExtensionForm::OneByte);
            out.extend_from_slice(&payload);
            self.queue.push_back(out);
        }
    }
}

/// The time of a clock of `khz` ticks a millisecond that began with the call.
fn time(now: Instant, khz: u64) -> RtpTime {
    let us = now.saturating_duration_since(start()).as_micros() as u64;
    RtpTime((us * khz / 1000) as u32)
}

impl Machine for Sender {
    fn handle_datagram(&mut self, now: Instant, _: FiveTuple, data: &mut [u8]) {
        for packet in Compound::new(data).flatten() {
            match packet {
                Packet::Nack(nack) => nack.lost().for_each(|seq| self.on_nack(now, nack.media, seq)),
                Packet::Pli(_) if self.keyframes.on_pli(now) => self.codec.request_keyframe(),
                Packet::ReceiverReport(report) => {
                    for block in report.reports.filter(|block| block.ssrc == VIDEO.0) {
                        let loss = f32::from(block.fraction_lost) / 256.0;
                        self.protector.on_loss(loss);
                        self.red.on_loss(self.protector.loss());
                    }
                }
                _ => {}
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now >= self.until {
            return;
        }
        while let Some(frame) = self.codec.poll_frame(now) {
            self.send_frame(now, frame.len_bytes, frame.is_keyframe);
        }
        while self.next_sound <= now {
            self.send_sound(now);
            self.next_sound += SOUND_EVERY;
        }
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let packet = self.queue.pop_front()?;
        self.bytes += packet.len() as u64;
        out.extend_from_slice(&packet);
        let path = FiveTuple::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into());
        Some(Transmit::datagram(path, packet.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let next = self.codec.next_frame().min(self.next_sound);
        (next < self.until).then_some(next)
    }
}
