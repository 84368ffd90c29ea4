//! Frames to packets and back, a frame each iteration: 10 kB of video in nine packets, or one packet of sound. A telephone
//! event is a key of 100 ms in four packets.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_rtp::codec::annex_b::START_CODE;
use tombolo_rtp::codec::comfort_noise::ComfortNoise;
use tombolo_rtp::codec::telephone_event::{EventPacket, EventReceiver, EventSender};
use tombolo_rtp::codec::{Assembler, AssemblerInput, Codec, Packetizer, RedPacketizer};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("vp8-packetize-frame", || packetize(Codec::Vp8)),
    Scenario::new("vp8-assemble-frame", || assemble(Codec::Vp8)),
    Scenario::new("vp8-assemble-many-packets", || assemble_in(Codec::Vp8, 1 + MANY_PACKETS_PAYLOAD)),
    Scenario::new("vp9-packetize-frame", || packetize(Codec::Vp9)),
    Scenario::new("vp9-assemble-frame", || assemble(Codec::Vp9)),
    Scenario::new("av1-packetize-frame", || packetize(Codec::Av1)),
    Scenario::new("av1-assemble-frame", || assemble(Codec::Av1)),
    Scenario::new("h264-packetize-frame", || packetize(Codec::H264)),
    Scenario::new("h264-assemble-frame", || assemble(Codec::H264)),
    Scenario::new("h265-packetize-frame", || packetize(Codec::H265)),
    Scenario::new("h265-assemble-frame", || assemble(Codec::H265)),
    Scenario::new("opus-packetize-frame", || packetize(Codec::Opus)),
    Scenario::new("opus-assemble-frame", || assemble(Codec::Opus)),
    Scenario::new("g711-packetize-frame", || packetize(Codec::Pcmu)),
    Scenario::new("g711-assemble-frame", || assemble(Codec::Pcmu)),
    Scenario::new("g722-packetize-frame", || packetize(Codec::G722)),
    Scenario::new("g722-assemble-frame", || assemble(Codec::G722)),
    Scenario::new("l16-packetize-frame", || packetize(L16)),
    Scenario::new("l16-assemble-frame", || assemble(L16)),
    Scenario::new("red-packetize-frame", packetize_red),
    Scenario::new("red-assemble-frames", assemble_red),
    Scenario::new("telephone-event-send", send_event),
    Scenario::new("telephone-event-receive", receive_event),
    Scenario::new("comfort-noise-write", write_noise),
    Scenario::new("comfort-noise-read", read_noise),
];

/// Linear samples of one channel.
pub const L16: Codec = Codec::L16 { rate_hz: 44_100, channels: 1 };

/// Room for a payload in a packet, in bytes.
pub const MAX_PAYLOAD: usize = 1160;

/// Bytes of a frame in each of many packets: as many packets as a picture of some Mbit has. What an assembler does with each must
/// not grow with those before it.
const MANY_PACKETS_PAYLOAD: usize = 20;

/// A sequence header of 640×360.
const AV1_SEQUENCE: [u8; 13] = [0x0a, 0x0b, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x00, 0x9e, 0x00, 0x00];

/// A keyframe, or a frame of sound.
#[must_use]
pub fn frame(codec: Codec) -> Vec<u8> {
    let body = vec![7; 10_000];
    match codec {
        Codec::Vp8 => [&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1][..], &body].concat(),
        Codec::Vp9 => [&[0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xf0, 0x0b, 0x30][..], &body].concat(),
        Codec::Av1 => [&AV1_SEQUENCE[..], &[0x32, 0x91, 0x4e, 0x10], &body].concat(),
        Codec::H264 => {
            byte_stream(&[&[0x67, 0x42, 0xe0, 0x1f], &[0x68, 0xce], &[&[0x65, 0x88][..], &body].concat()])
        }
        Codec::H265 => {
            let idr = [&[0x26, 1, 0x88][..], &body].concat();
            byte_stream(&[&[0x40, 1, 0x0c, 1], &[0x42, 1, 1, 0x7f], &[0x44, 1, 0xc0, 0xf3], &idr])
        }
        Codec::Opus => body[..120].to_vec(),
        // Ten milliseconds.
        Codec::L16 { .. } => body[..882].to_vec(),
        // Twenty.
        _ => body[..160].to_vec(),
    }
}

fn byte_stream(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
}

fn packetize(codec: Codec) -> Work {
    let mut packetizer = Packetizer::new(codec, 1);
    let frame = frame(codec);
    let mut out = Vec::with_capacity(16);
    Box::new(move || {
        out.clear();
        packetizer.packetize(black_box(&frame), MAX_PAYLOAD, &mut out).expect("a good frame");
        black_box(&out);
    })
}

fn assemble(codec: Codec) -> Work {
    assemble_in(codec, MAX_PAYLOAD)
}

/// From payloads of at most so many bytes.
fn assemble_in(codec: Codec, max_payload: usize) -> Work {
    let frame = frame(codec);
    let mut payloads: Vec<Bytes> = Vec::new();
    Packetizer::new(codec, 1).packetize(&frame, max_payload, &mut payloads).expect("a good frame");
    let mut assembler = Assembler::new(codec);
    let mut now = Instant::now();
    let (mut seq, mut timestamp) = (ExtSeqNo(70_000), RtpTime(0));
    Box::new(move || {
        now += Duration::from_millis(33);
        timestamp = timestamp + 3000;
        for (at, payload) in payloads.iter().enumerate() {
            seq = seq.next();
            let marker = at + 1 == payloads.len();
            let payload = payload.clone();
            assembler.push(AssemblerInput { seq, timestamp, marker, payload, arrival: now });
            let popped = assembler.pop();
            assert_eq!(popped.is_some(), marker);
            black_box(popped);
        }
    })
}

/// A frame of sound with the two before it.
fn packetize_red() -> Work {
    let mut packetizer = RedPacketizer::new(111, 2);
    let frame = frame(Codec::Opus);
    let mut out = Vec::with_capacity(1);
    let mut timestamp = RtpTime(0);
    Box::new(move || {
        out.clear();
        timestamp = timestamp + 960;
        packetizer.packetize(timestamp, black_box(&frame), MAX_PAYLOAD, &mut out).expect("a good frame");
        black_box(&out);
    })
}

/// Every second packet is lost: a packet and the frame before it from its redundancy.
fn assemble_red() -> Work {
    let (frame, mut payloads) = (frame(Codec::Opus), Vec::new());
    let mut packetizer = RedPacketizer::new(111, 2);
    for n in 0..3 {
        packetizer.packetize(RtpTime(960 * n), &frame, MAX_PAYLOAD, &mut payloads).expect("a good frame");
    }
    let payload = payloads.pop().expect("the third");
    let mut assembler = Assembler::new(Codec::Opus);
    let arrival = Instant::now();
    let (mut seq, mut timestamp, mut wanted) = (ExtSeqNo(70_000), RtpTime(0), 1);
    Box::new(move || {
        seq = seq.next().next();
        timestamp = timestamp + 1920;
        let payload = payload.clone();
        assembler.push_red(AssemblerInput { seq, timestamp, marker: false, payload, arrival }, 111);
        for _ in 0..wanted {
            assert!(black_box(assembler.pop()).is_some());
        }
        wanted = 2;
    })
}

/// The packets of a key of 100 ms.
fn key(sender: &mut EventSender, at: RtpTime, mut each: impl FnMut(EventPacket)) {
    sender.start(5, 10, at).expect("the key before is over");
    sender.stop(at + 800);
    while let Some(due) = sender.next_at() {
        std::iter::from_fn(|| sender.poll(due)).for_each(&mut each);
    }
}

fn send_event() -> Work {
    let mut sender = EventSender::new(8000);
    let mut at = RtpTime(0);
    Box::new(move || {
        at = at + 8000;
        let mut packets = 0;
        key(&mut sender, at, |packet| {
            black_box(packet);
            packets += 1;
        });
        assert_eq!(packets, 4);
    })
}

fn receive_event() -> Work {
    let mut packets = Vec::new();
    key(&mut EventSender::new(8000), RtpTime(0), |packet| packets.push(packet));
    let mut receiver = EventReceiver::default();
    let (mut at, now) = (RtpTime(0), Instant::now());
    Box::new(move || {
        at = at + 8000;
        for EventPacket { marker, payload, .. } in &packets {
            receiver.push(now, *marker, at, black_box(payload)).expect("a good packet");
        }
        assert_eq!(std::iter::from_fn(|| black_box(receiver.poll_report())).count(), 2);
    })
}

fn noise() -> ComfortNoise {
    ComfortNoise::new(60).with_reflection(&[0.5, -0.25, 0.125, 0.0, 0.1, -0.1, 0.2, -0.2, 0.3, -0.3])
}

fn write_noise() -> Work {
    let noise = noise();
    let mut out = Vec::with_capacity(16);
    Box::new(move || {
        out.clear();
        black_box(&noise).write(&mut out);
        black_box(&out);
    })
}

fn read_noise() -> Work {
    let mut payload = Vec::new();
    noise().write(&mut payload);
    Box::new(move || {
        let noise = ComfortNoise::parse(black_box(&payload)).expect("a good payload");
        assert_eq!(noise.reflection().filter(|&coefficient| black_box(coefficient) != 0.0).count(), 9);
    })
}
