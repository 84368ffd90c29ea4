//! Nothing is allocated per packet once a stream is warm.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::bwe::{BandwidthEstimator, EstimatorConfig, PacedSender};
use tombolo_interceptors::fec::{Decoder, DecoderConfig, Encoder, Format, flexfec};
use tombolo_interceptors::gcc::Gcc;
use tombolo_interceptors::jitter::{AudioBuffer, AudioConfig, AudioPacket, Mode, Playout};
use tombolo_interceptors::nack::{
    Cache, CacheConfig, Generator, GeneratorConfig, Responder, ResponderConfig,
};
use tombolo_interceptors::pacer::{Class, Outgoing, PacerConfig};
use tombolo_interceptors::report::{ClockMap, ParticipantClock, ReceiverReports, SenderReports};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig, SendHistory};
use tombolo_net::{ExtSeqNo, NtpTime, RtpTime, SeqNo, Ssrc};
use tombolo_rtp::codec::Codec;
use tombolo_rtp::rtcp::{Compound, Packet};
use tombolo_rtp::{ExtensionForm, RtpHeader};

/// Both ends of a stream that loses every tenth packet.
struct Call {
    generator: Generator,
    responder: Responder,
    cache: Cache<[u8; 32]>,
    recorder: Recorder,
    history: SendHistory,
    received: ReceiverReports,
    sent: SenderReports,
    clock: ParticipantClock,
    map: ClockMap,
    feedback: Vec<u8>,
    resent: u64,
    acked: u64,
}

impl Call {
    fn new() -> Self {
        Self {
            generator: Generator::new(GeneratorConfig::default()),
            responder: Responder::new(ResponderConfig::default()),
            cache: Cache::new(CacheConfig::default()),
            recorder: Recorder::new(RecorderConfig::default()),
            history: SendHistory::new(SeqNo(0)),
            received: ReceiverReports::new(Ssrc(1), 90_000),
            sent: SenderReports::new(Ssrc(1), 90_000),
            clock: ParticipantClock::new(tombolo_netsim::start()),
            map: ClockMap::new(90_000),
            feedback: Vec::with_capacity(2048),
            resent: 0,
            acked: 0,
        }
    }

    fn packet(&mut self, number: u64) {
        let now: Instant = tombolo_netsim::start() + Duration::from_millis(number);
        let seq = SeqNo(number as u16);
        let stamp = RtpTime((number * 90) as u32);
        let ext = self.responder.on_sent(seq, 1000);
        self.cache.insert(now, ext, 32, [0; 32]);
        self.sent.on_packet(now, stamp, 1000);
        let transport_seq = self.history.on_sent(now, 1000).wire();
        if number % 10 != 3 {
            self.received.on_packet(now, ext, stamp, false);
            self.recorder.on_packet(now, transport_seq);
            self.map.on_packet(&self.clock, now, stamp);
            self.generator.on_packet(now, ext);
        }
        self.feedback.clear();
        while self.generator.write_feedback(now, Ssrc(2), Ssrc(1), &mut self.feedback) > 0 {}
        while self.recorder.write_feedback(now, Ssrc(2), Ssrc(1), &mut self.feedback) {}
        for packet in Compound::new(&self.feedback).flatten() {
            match packet {
                Packet::Nack(nack) => {
                    for seq in nack.lost() {
                        if let Ok((ext, _)) =
                            self.responder.resend(now, seq, &self.cache, |packet| packet.len())
                        {
                            self.resent += 1;
                            self.generator.on_packet(now, ext);
                        }
                    }
                }
                Packet::TransportFeedback(feedback) => {
                    let acked = &mut self.acked;
                    self.history
                        .on_feedback(&feedback, |result| *acked += u64::from(result.arrival_us.is_some()));
                }
                _ => {}
            }
        }
        if number.is_multiple_of(500) {
            self.received.on_sender_report(now, NtpTime((number << 32) / 1000));
            let ntp = NtpTime(((number + 1) << 32) / 1000);
            self.map.on_sender_report(&mut self.clock, now, ntp, stamp);
            assert!(self.received.report_block(now).is_some());
        }
        assert!(self.map.media_time(stamp).is_some() || number == 3);
        assert!(self.received.highest() <= ExtSeqNo(0x1_0000 + number));
    }
}

#[test]
fn a_warm_stream_allocates_nothing() {
    let mut call = Call::new();
    (0..10_000).for_each(|number| call.packet(number));
    let before = (call.resent, call.acked);
    let counted = allocation_counter::measure(|| (10_000..40_000).for_each(|number| call.packet(number)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(call.resent - before.0 >= 2900 && call.acked - before.1 >= 26_900, "the path was walked");
}

/// A paced stream of 2.4 Mb/s over a link of 3 Mb/s that delays by 20 ms and loses every 50th packet.
struct PacedCall {
    sender: PacedSender<Gcc, u32>,
    recorder: Recorder,
    feedback: Vec<u8>,
    arrives: Instant,
    sent: u64,
}

impl PacedCall {
    fn new() -> Self {
        let mut gcc = Gcc::new(EstimatorConfig::default());
        gcc.set_wanted(tombolo_netsim::start(), None);
        Self {
            sender: PacedSender::new(gcc, PacerConfig::default(), SeqNo(0)),
            recorder: Recorder::new(RecorderConfig::default()),
            feedback: Vec::with_capacity(4096),
            arrives: tombolo_netsim::start(),
            sent: 0,
        }
    }

    fn millisecond(&mut self, ms: u64) {
        let now = tombolo_netsim::start() + Duration::from_millis(ms);
        for stream in [1, 2] {
            if ms.is_multiple_of(8) {
                let class = if ms.is_multiple_of(400) { Class::Keyframe } else { Class::Video };
                let packet = Outgoing { stream: Ssrc(stream), class, size_bytes: 1200, packet: stream };
                let _ = self.sender.enqueue(now, packet);
            }
        }
        while let Some(sent) = self.sender.poll(now) {
            self.sent += 1;
            if !self.sent.is_multiple_of(50) {
                self.arrives = self.arrives.max(now) + Duration::from_micros(3200);
                self.recorder.on_packet(self.arrives + Duration::from_millis(20), sent.seq);
            }
        }
        if self.sender.poll_timeout().is_some_and(|due| due <= now) {
            self.sender.handle_timeout(now);
        }
        self.feedback.clear();
        let later = now + Duration::from_millis(30);
        while self.recorder.write_feedback(later, Ssrc(2), Ssrc(1), &mut self.feedback) {}
        for packet in Compound::new(&self.feedback).flatten() {
            if let Packet::TransportFeedback(feedback) = packet {
                self.sender.on_feedback(later, &feedback, |_| {});
            }
        }
    }
}

#[test]
fn a_warm_paced_sender_allocates_nothing() {
    let mut call = PacedCall::new();
    (0..30_000).for_each(|ms| call.millisecond(ms));
    let before = call.sent;
    let counted = allocation_counter::measure(|| (30_000..60_000).for_each(|ms| call.millisecond(ms)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    assert!(call.sent - before > 4000, "the path was walked: {}", call.sent - before);
}

/// Sound with jitter, of which every 20th packet is lost and every 7th overtaken.
#[test]
fn a_warm_audio_buffer_allocates_nothing() {
    let payload = Bytes::from_static(&[31 << 3, 1, 2, 3]);
    let mut buffer = AudioBuffer::new(AudioConfig::new(Codec::Opus, Mode::Balanced));
    let mut played = 0;
    let mut packets = |numbers: std::ops::Range<u64>| {
        for number in numbers {
            let now = tombolo_netsim::start() + Duration::from_millis(number * 20 + number * 7919 % 60);
            let seq = if number % 7 < 2 { number ^ 1 } else { number };
            if seq % 20 != 3 {
                let (seq, timestamp) = (ExtSeqNo(seq), RtpTime((seq * 960) as u32));
                buffer.push(AudioPacket { seq, timestamp, payload: payload.clone(), arrival: now });
            }
            played += u64::from(matches!(buffer.pop(now), Some(Playout::Packet { .. })));
        }
        played
    };
    let before = packets(0..2000);
    let counted = allocation_counter::measure(|| {
        let after = packets(2000..20_000);
        assert!(after - before > 14_000, "the path was walked: {}", after - before);
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// Frames of nine packets with three repair packets, of which every eleventh packet is lost.
#[test]
fn a_warm_encoder_and_a_warm_decoder_allocate_nothing() {
    let (mut encoder, mut decoder) =
        (Encoder::new(Format::FlexFec(Ssrc(1))), Decoder::new(DecoderConfig::new(Ssrc(1))));
    let (mut packet, mut seq, mut recovered) = (Vec::with_capacity(2000), SeqNo(0), 0);
    let mut frames = |count: u32| {
        for frame in 0..count {
            for piece in 0..9 {
                let timestamp = RtpTime(frame * 3000);
                packet.clear();
                RtpHeader { marker: piece == 8, payload_type: 96, seq, timestamp, ssrc: Ssrc(1) }
                    .write(&mut packet, ExtensionForm::OneByte);
                packet.resize(1000 + usize::from(seq.0 % 50), piece);
                assert!(encoder.push(&packet));
                if !seq.0.is_multiple_of(11) {
                    decoder.on_packet(&packet);
                }
                seq = seq.next();
            }
            encoder.finish(3, |payload| {
                decoder.on_repair(&flexfec::parse(payload).expect("a repair packet"));
            });
            while decoder.poll_recovered().is_some() {
                recovered += 1;
            }
        }
        recovered
    };
    let before = frames(200);
    let counted = allocation_counter::measure(|| {
        let after = frames(2000);
        assert!(after - before > 1600, "the path was walked: {}", after - before);
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
