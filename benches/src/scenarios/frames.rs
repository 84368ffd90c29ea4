//! Frames to packets and back, a frame each iteration: 10 kB of video in nine packets, or one packet of sound.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_rtp::codec::annex_b::START_CODE;
use tombolo_rtp::codec::{Assembler, AssemblerInput, Codec, Packetizer};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("vp8-packetize-frame", || packetize(Codec::Vp8)),
    Scenario::new("vp8-assemble-frame", || assemble(Codec::Vp8)),
    Scenario::new("h264-packetize-frame", || packetize(Codec::H264)),
    Scenario::new("h264-assemble-frame", || assemble(Codec::H264)),
    Scenario::new("opus-packetize-frame", || packetize(Codec::Opus)),
    Scenario::new("opus-assemble-frame", || assemble(Codec::Opus)),
];

/// Room for a payload in a packet, in bytes.
pub const MAX_PAYLOAD: usize = 1160;

/// A keyframe, or a frame of sound.
#[must_use]
pub fn frame(codec: Codec) -> Vec<u8> {
    let body = vec![7; 10_000];
    match codec {
        Codec::Vp8 => [&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1][..], &body].concat(),
        Codec::H264 => {
            let units = [&[0x67, 0x42, 0xe0, 0x1f][..], &[0x68, 0xce], &[&[0x65, 0x88][..], &body].concat()];
            units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
        }
        _ => body[..120].to_vec(),
    }
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
    let frame = frame(codec);
    let mut payloads: Vec<Bytes> = Vec::new();
    Packetizer::new(codec, 1).packetize(&frame, MAX_PAYLOAD, &mut payloads).expect("a good frame");
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
