//! The payload formats.

use std::time::Duration;

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_netsim::start;
use tombolo_rtp::codec::annex_b::AvcConfig;
use tombolo_rtp::codec::comfort_noise::ComfortNoise;
use tombolo_rtp::codec::telephone_event::{EventReceiver, EventReport};
use tombolo_rtp::codec::vp9::Vp9Header;
use tombolo_rtp::codec::{
    Assembler, AssemblerConfig, AssemblerInput, Av1Sequence, Codec, H265Sps, Packetizer, PayloadKind, Sps,
    av1, is_keyframe,
};

/// VP8 payloads in any order, with losses.
pub fn vp8(data: &[u8]) {
    assemble(Codec::Vp8, data);
}

/// VP9 payloads in any order, with losses.
pub fn vp9(data: &[u8]) {
    assemble(Codec::Vp9, data);
}

/// AV1 payloads in any order, with losses.
pub fn av1(data: &[u8]) {
    assemble(Codec::Av1, data);
}

/// H.264 payloads in any order, with losses.
pub fn h264(data: &[u8]) {
    assemble(Codec::H264, data);
}

/// H.265 payloads in any order, with losses.
pub fn h265(data: &[u8]) {
    assemble(Codec::H265, data);
}

/// Opus payloads in any order, with losses.
pub fn opus(data: &[u8]) {
    assemble(Codec::Opus, data);
}

/// G.711, G.722 and L16 payloads in any order, with losses: the first byte says of which codec.
pub fn audio(data: &[u8]) {
    const L16: Codec = Codec::L16 { rate_hz: 44_100, channels: 2 };
    if let Some((&codec, data)) = data.split_first() {
        let codec = [Codec::Pcmu, Codec::Pcma, Codec::G722, L16][usize::from(codec) % 4];
        assemble(codec, data);
    }
}

/// Redundant Opus in any order, with losses.
pub fn red(data: &[u8]) {
    assemble_with(Codec::Opus, data, |assembler, input| assembler.push_red(input, 111));
}

/// The bytes are packets: `[sequence step | flags and time | payload length | payload]*`.
fn assemble(codec: Codec, data: &[u8]) {
    assemble_with(codec, data, Assembler::push);
}

fn assemble_with(codec: Codec, mut data: &[u8], push: impl Fn(&mut Assembler, AssemblerInput)) {
    let mut assembler = Assembler::new(codec);
    let (mut seq, mut timestamp, mut now) = (0x1_0000_u64, 0_u32, start());
    let mut last = None;
    while let [step, flags, len, rest @ ..] = data {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        // A step from -64 to 191, so that packets come late, twice and after gaps.
        seq = seq.saturating_add_signed(i64::from(*step) - 64).max(1);
        timestamp = timestamp.wrapping_add(u32::from(flags >> 4) * 3000);
        now += Duration::from_millis(u64::from(flags >> 1 & 7) * 10);
        let _ = is_keyframe(codec, payload);
        assembler.handle_timeout(now);
        let input = AssemblerInput {
            seq: ExtSeqNo(seq),
            timestamp: RtpTime(timestamp),
            marker: flags & 1 == 1,
            payload: Bytes::copy_from_slice(payload),
            arrival: now,
        };
        push(&mut assembler, input);
        while let Some(frame) = assembler.pop() {
            assert!(frame.first_seq <= frame.last_seq);
            assert!(last.is_none_or(|last| last < frame.first_seq), "frames come in order, each once");
            last = Some(frame.last_seq);
        }
    }
}

/// Any bytes as what a player must know before it decodes.
pub fn codec_headers(data: &[u8]) {
    let _ = Sps::parse(data).map(|sps| sps.to_string());
    let _ = H265Sps::parse(data).map(|sps| sps.to_string());
    let _ = Av1Sequence::parse(data).map(|sequence| sequence.to_string());
    let _ = av1::sequence_of(data);
    let _ = Vp9Header::parse(data);
    if let Ok(config) = AvcConfig::parse(data) {
        let _ = config.to_annex_b(data);
    }
}

/// Any bytes as a frame: `[codec | payload size | frame]`. What is cut is whole again when it was put together, and
/// stays what it is.
pub fn packetize(data: &[u8]) {
    let [codec, max, frame @ ..] = data else { return };
    let codec =
        [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264, Codec::H265, Codec::Opus][usize::from(*codec) % 6];
    let max = usize::from(*max) + 1;
    let Some(first) = cut_and_join(codec, max, frame) else { return };
    if matches!(codec, Codec::Vp8 | Codec::Vp9 | Codec::Opus) {
        assert_eq!(first, frame);
    }
    assert_eq!(cut_and_join(codec, 1200, &first).as_ref(), Some(&first));
}

/// Sent twice, since of the first frame of a stream it is not always certain where it begins.
fn cut_and_join(codec: Codec, max: usize, frame: &[u8]) -> Option<Bytes> {
    let mut packetizer = Packetizer::new(codec, 7);
    let mut assembler = Assembler::with_config(codec, AssemblerConfig::new(codec).until_keyframe(false));
    let (mut seq, mut joined) = (0, None);
    for timestamp in [RtpTime(0), RtpTime(3000)] {
        let mut payloads = Vec::new();
        packetizer.packetize(frame, max, &mut payloads).ok()?;
        assert!(!payloads.is_empty());
        let last = payloads.len() - 1;
        for (n, payload) in payloads.into_iter().enumerate() {
            assert!(payload.len() <= max && PayloadKind::of(codec, &payload).valid);
            let marker = n == last;
            assembler.push(AssemblerInput {
                seq: ExtSeqNo(seq),
                timestamp,
                marker,
                payload,
                arrival: start(),
            });
            seq += 1;
        }
        joined = std::iter::from_fn(|| assembler.pop()).last().filter(|frame| frame.timestamp == timestamp);
    }
    joined.map(|frame| frame.data)
}

/// Any bytes as comfort noise: what is read is written the same again.
pub fn comfort_noise(data: &[u8]) {
    let Ok(noise) = ComfortNoise::parse(data) else { return };
    assert!(noise.reflection().all(|coefficient| coefficient.abs() <= 1.0));
    let mut written = Vec::new();
    noise.write(&mut written);
    assert!(data.starts_with(&written));
}

/// Packets of telephone events in any order: `[flags and time | timestamp 2 | payload length | payload]*`.
pub fn telephone_event(mut data: &[u8]) {
    let mut receiver = EventReceiver::default();
    let (mut now, mut open) = (start(), false);
    while let [flags, high, low, len, rest @ ..] = data {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        now += Duration::from_millis(u64::from(flags >> 1) * 4);
        receiver.handle_timeout(now);
        // In steps that reach over segments of 65535 ticks and over the wrap.
        let timestamp = RtpTime(u32::from(u16::from_be_bytes([*high, *low])).wrapping_mul(0xffff));
        let _ = receiver.push(now, flags & 1 == 1, timestamp, payload);
        while let Some(report) = receiver.poll_report() {
            let starts = matches!(report, EventReport::Started { .. });
            assert_ne!(starts, open, "begins and ends by turns");
            open = starts;
        }
        assert_eq!(receiver.poll_timeout().is_some(), open);
    }
}
