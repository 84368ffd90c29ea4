//! The receiving end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::fec::{Decoder, DecoderConfig, flexfec};
use tombolo_interceptors::jitter::{
    AudioBuffer, AudioConfig, AudioPacket, Mode, Playout, Tempo, VideoBuffer, VideoConfig,
};
use tombolo_interceptors::keyframe::{Requester, RequesterConfig};
use tombolo_interceptors::nack::{Generator, GeneratorConfig};
use tombolo_interceptors::report::ReceiverReports;
use tombolo_interceptors::rtx::{self, Primary};
use tombolo_net::{FiveTuple, RtpTime, SeqUnwrapper, Ssrc, Transmit};
use tombolo_netsim::{Machine, start};
use tombolo_rtp::codec::{AssemblerInput, Codec};
use tombolo_rtp::{ExtensionForm, RtpHeader, RtpPacket, rtcp};

use super::Repair;
use super::sender::{AUDIO, FEC, RED, RTX, VIDEO};

/// The receiver's own SSRC.
const OWN: Ssrc = Ssrc(9);
const REPORT_EVERY: Duration = Duration::from_millis(500);
/// What a player needs at a time, as it plays: quicker and slower by a seventh.
const PULL: [(Tempo, Duration); 3] = [
    (Tempo::Normal, Duration::from_millis(20)),
    (Tempo::Faster, Duration::from_millis(17)),
    (Tempo::Slower, Duration::from_millis(23)),
];

/// A frame or a packet that was played: when it was captured, and when it could be played.
pub(super) type Played = (Duration, Duration);

pub(super) struct Receiver {
    repair: Repair,
    video_numbers: SeqUnwrapper,
    audio_numbers: SeqUnwrapper,
    video_nack: Generator,
    audio_nack: Generator,
    decoder: Decoder,
    reports: ReceiverReports,
    next_report: Instant,
    requester: Requester,
    pub(super) video: VideoBuffer,
    pub(super) audio: AudioBuffer,
    next_pull: Instant,
    out: Vec<u8>,
    pub(super) frames: Vec<Played>,
    pub(super) sounds: Vec<Played>,
}

impl Receiver {
    pub(super) fn new(repair: Repair, rtt: Duration, mode: Mode) -> Self {
        let nack = |max_age| {
            let mut generator = Generator::new(GeneratorConfig::default().max_age(max_age));
            generator.set_rtt(rtt);
            generator
        };
        let mut video = VideoBuffer::new(VideoConfig::new(Codec::Vp8, mode).has_repairs(repair.nack));
        video.set_rtt(rtt);
        let mut requester = Requester::new(RequesterConfig::default());
        requester.set_rtt(rtt);
        Self {
            repair,
            video_numbers: SeqUnwrapper::default(),
            audio_numbers: SeqUnwrapper::default(),
            video_nack: nack(Duration::from_secs(2)),
            audio_nack: nack(Duration::from_millis(500)),
            decoder: Decoder::new(DecoderConfig::new(VIDEO.0).payload_type(VIDEO.1)),
            reports: ReceiverReports::new(VIDEO.0, 90_000),
            next_report: start() + REPORT_EVERY,
            requester,
            video,
            audio: AudioBuffer::new(AudioConfig::new(Codec::Opus, mode).stretches(true)),
            next_pull: start(),
            out: Vec::new(),
            frames: Vec::new(),
            sounds: Vec::new(),
        }
    }

    /// A packet of pictures that came, was sent again or was recovered.
    fn on_video(&mut self, now: Instant, header: &RtpHeader, payload: &[u8]) {
        let seq = self.video_numbers.unwrap(header.seq);
        self.video_nack.on_packet(now, seq);
        let (timestamp, marker) = (header.timestamp, header.marker);
        let payload = Bytes::copy_from_slice(payload);
        self.video.push(AssemblerInput { seq, timestamp, marker, payload, arrival: now }, None);
    }

    fn recover(&mut self, now: Instant) {
        while let Some(packet) = self.decoder.poll_recovered() {
            let Ok(parsed) = RtpPacket::parse(packet) else { continue };
            let (header, payload) = (parsed.header(), parsed.payload().to_vec());
            self.on_video(now, &header, &payload);
        }
    }

    fn on_rtx(&mut self, now: Instant, packet: &RtpPacket<'_>) {
        let primary = Primary { ssrc: VIDEO.0, payload_type: VIDEO.1 };
        let Some((header, payload)) = rtx::unwrap(packet, primary) else { return };
        let mut original = Vec::with_capacity(12 + payload.len());
        header.write(&mut original, ExtensionForm::OneByte);
        original.extend_from_slice(payload);
        self.decoder.on_packet(&original);
        self.on_video(now, &header, payload);
        self.recover(now);
    }

    fn on_audio(&mut self, now: Instant, packet: &RtpPacket<'_>) {
        let seq = self.audio_numbers.unwrap(packet.seq());
        self.audio_nack.on_packet(now, seq);
        let payload = Bytes::copy_from_slice(packet.payload());
        let sound = AudioPacket { seq, timestamp: packet.timestamp(), payload, arrival: now };
        if packet.payload_type() == RED {
            self.audio.push_red(sound, AUDIO.1);
        } else {
            self.audio.push(sound);
        }
    }

    fn show(&mut self, now: Instant) {
        while let Some(shown) = self.video.pop(now) {
            if shown.frame.keyframe {
                self.requester.on_keyframe();
            }
            self.frames.push(played(now, shown.frame.timestamp, 90));
        }
        self.video_nack.forget_before(self.video.next_seq());
        if self.video.needs_keyframe(now) && !self.requester.is_wanted() {
            self.requester.request(now);
        }
    }

    fn hear(&mut self, now: Instant) {
        let mut tempo = Tempo::Normal;
        if let Some(Playout::Packet { timestamp, tempo: told, .. }) = self.audio.pop(now) {
            self.sounds.push(played(now, timestamp, 48));
            tempo = told;
        }
        self.audio_nack.forget_before(self.audio.next_seq());
        let pull = PULL.iter().find(|(of, _)| *of == tempo).map_or(Duration::ZERO, |(_, pull)| *pull);
        self.next_pull = now + pull;
    }

    fn feed_back(&mut self, now: Instant) {
        if self.repair.nack {
            while self.video_nack.write_feedback(now, OWN, VIDEO.0, &mut self.out) > 0 {}
            while self.audio_nack.write_feedback(now, OWN, AUDIO.0, &mut self.out) > 0 {}
        }
        self.requester.write_request(now, OWN, VIDEO.0, &mut self.out);
        if now >= self.next_report {
            self.next_report = now + REPORT_EVERY;
            if let Some(block) = self.reports.report_block(now) {
                rtcp::write_receiver_report(&mut self.out, OWN, &[block]);
            }
        }
    }
}

/// When what has this timestamp was captured, and that it is played now.
fn played(now: Instant, timestamp: RtpTime, khz: u64) -> Played {
    let captured = Duration::from_micros(u64::from(timestamp.0) * 1000 / khz);
    (captured, now.saturating_duration_since(start()))
}

impl Machine for Receiver {
    fn handle_datagram(&mut self, now: Instant, _: FiveTuple, data: &mut [u8]) {
        let Ok(packet) = RtpPacket::parse(data) else { return };
        match packet.ssrc() {
            VIDEO_SSRC => {
                let seq = self.video_numbers.unwrap(packet.seq());
                self.reports.on_packet(now, seq, packet.timestamp(), false);
                self.on_video(now, &packet.header(), packet.payload());
                if self.repair.fec {
                    self.decoder.on_packet(data);
                    self.recover(now);
                }
            }
            RTX_SSRC => self.on_rtx(now, &packet),
            FEC_SSRC => {
                match flexfec::parse(packet.payload()) {
                    Ok(repair) => self.decoder.on_repair(&repair),
                    Err(_) => self.decoder.on_unreadable(),
                }
                self.recover(now);
            }
            AUDIO_SSRC => self.on_audio(now, &packet),
            _ => {}
        }
        self.show(now);
        self.feed_back(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.video.handle_timeout(now);
        self.show(now);
        if now >= self.next_pull {
            self.hear(now);
        }
        self.feed_back(now);
    }

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.out.is_empty() {
            return None;
        }
        out.append(&mut self.out);
        let path = FiveTuple::udp(([10, 0, 0, 2], 1).into(), ([10, 0, 0, 1], 1).into());
        Some(Transmit::datagram(path, out.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let nack = if self.repair.nack {
            [self.video_nack.poll_timeout(), self.audio_nack.poll_timeout()]
        } else {
            [None, None]
        };
        let own = [Some(self.next_pull), Some(self.next_report)];
        let others = [self.video.poll_timeout(), self.requester.poll_timeout()];
        own.into_iter().chain(others).chain(nack).flatten().min()
    }
}

const VIDEO_SSRC: Ssrc = VIDEO.0;
const RTX_SSRC: Ssrc = RTX.0;
const FEC_SSRC: Ssrc = FEC.0;
const AUDIO_SSRC: Ssrc = AUDIO.0;
