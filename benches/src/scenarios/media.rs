//! Jitter buffers and forward error correction.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::fec::{Decoder, DecoderConfig, Encoder, Format, flexfec};
use tombolo_interceptors::jitter::{AudioBuffer, AudioConfig, AudioPacket, Mode, VideoBuffer, VideoConfig};
use tombolo_net::{ExtSeqNo, RtpTime, SeqNo, Ssrc};
use tombolo_rtp::codec::{AssemblerInput, Codec, Packetizer};
use tombolo_rtp::{ExtensionForm, RtpHeader};

use super::frames::{MAX_PAYLOAD, frame};
use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("audio-buffer-packet", audio_buffer),
    Scenario::new("video-buffer-frame", video_buffer),
    Scenario::new("fec-encode-frame", fec_encode),
    Scenario::new("fec-decode-frame", fec_decode),
];

const MEDIA: Ssrc = Ssrc(1);
/// Packets of a frame of 10 kB, and repair packets for it.
const PACKETS: u16 = 9;
const REPAIRS: usize = 3;

/// Takes a packet of sound, which comes with some jitter, and hands one out.
fn audio_buffer() -> Work {
    let mut buffer = AudioBuffer::new(AudioConfig::new(Codec::Opus, Mode::Balanced));
    let (begin, payload) = (Instant::now(), Bytes::from(vec![31 << 3; 120]));
    let mut number = 70_000_u64;
    Box::new(move || {
        number += 1;
        let now = begin + Duration::from_millis(number * 20 + number * 7 % 5);
        let (seq, timestamp) = (ExtSeqNo(number), RtpTime((number * 960) as u32));
        buffer.push(AudioPacket { seq, timestamp, payload: payload.clone(), arrival: now });
        black_box(buffer.pop(now));
    })
}

/// Takes the packets of a frame and hands it out.
fn video_buffer() -> Work {
    let mut buffer = VideoBuffer::new(VideoConfig::new(Codec::Vp8, Mode::LowestLatency));
    let mut payloads = Vec::new();
    Packetizer::new(Codec::Vp8, 1)
        .packetize(&frame(Codec::Vp8), MAX_PAYLOAD, &mut payloads)
        .expect("a frame");
    let (begin, mut number, mut seq) = (Instant::now(), 0_u64, 70_000);
    Box::new(move || {
        number += 1;
        let now = begin + Duration::from_millis(number * 33 + number * 7 % 5);
        for (at, payload) in payloads.iter().enumerate() {
            seq += 1;
            let input = AssemblerInput {
                seq: ExtSeqNo(seq),
                timestamp: RtpTime((number * 2970) as u32),
                marker: at + 1 == payloads.len(),
                payload: payload.clone(),
                arrival: now,
            };
            buffer.push(input, None);
        }
        black_box(buffer.pop(now)).expect("a frame");
    })
}

/// Writes the packets of the next frame.
fn packets(seq: &mut SeqNo, packet: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    for _ in 0..PACKETS {
        *seq = seq.next();
        packet.clear();
        let header = RtpHeader { payload_type: 96, seq: *seq, ssrc: MEDIA, ..RtpHeader::default() };
        header.write(packet, ExtensionForm::OneByte);
        packet.resize(1150, seq.0 as u8);
        each(packet);
    }
}

/// Makes three repair packets for the nine packets of a frame.
fn fec_encode() -> Work {
    let mut encoder = Encoder::new(Format::FlexFec(MEDIA));
    let (mut seq, mut buffer) = (SeqNo(0), Vec::with_capacity(1200));
    Box::new(move || {
        packets(&mut seq, &mut buffer, |packet| assert!(encoder.push(packet)));
        encoder.finish(REPAIRS, |payload| {
            black_box(payload);
        });
    })
}

/// Makes them as well, and recovers two packets of the nine.
fn fec_decode() -> Work {
    let mut encoder = Encoder::new(Format::FlexFec(MEDIA));
    let mut decoder = Decoder::new(DecoderConfig::new(MEDIA));
    let (mut seq, mut buffer) = (SeqNo(0), Vec::with_capacity(1200));
    Box::new(move || {
        let mut at = 0;
        packets(&mut seq, &mut buffer, |packet| {
            at += 1;
            encoder.push(packet);
            if at != 2 && at != 6 {
                decoder.on_packet(packet);
            }
        });
        encoder
            .finish(REPAIRS, |payload| decoder.on_repair(&flexfec::parse(payload).expect("a repair packet")));
        let mut recovered = 0;
        while let Some(packet) = decoder.poll_recovered() {
            recovered += 1;
            black_box(packet);
        }
        assert_eq!(recovered, 2);
    })
}
