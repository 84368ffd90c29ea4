//! Jitter buffers, driven by operations.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use tombolo_interceptors::jitter::{
    AudioBuffer, AudioConfig, AudioPacket, FrameLink, Mode, Playout, VideoBuffer, VideoConfig,
};
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_netsim::start;
use tombolo_rtp::codec::{AssemblerInput, Codec};
use tombolo_rtp::ext::dependency::FrameDiffs;

#[derive(Arbitrary, Debug)]
enum JitterOperation {
    /// Time passes.
    Wait(u8),
    /// A packet with a step of number and timestamp, and bits that say what it is.
    Packet { step: i8, ticks: i16, far: bool, bits: u8, payload: Vec<u8> },
    /// The player needs more.
    Pull,
}

fn mode(byte: u8) -> Mode {
    [Mode::LowestLatency, Mode::Balanced, Mode::Smoothest][usize::from(byte) % 3]
}

/// Sound in any order, plain and redundant: bounds hold, and only what was pushed comes out.
pub fn audio_buffer(data: &[u8]) {
    let mut unstructured = Unstructured::new(data);
    let Ok((first, stretches)) = <(u8, bool)>::arbitrary(&mut unstructured) else { return };
    let config = AudioConfig::new(Codec::Opus, mode(first)).max_packets(32).stretches(stretches);
    let mut buffer = AudioBuffer::new(config);
    let (mut now, mut seq, mut timestamp) = (start(), 0x1_0000_u64, RtpTime(0));
    for operation in unstructured.arbitrary_iter::<JitterOperation>().expect("any bytes").flatten().take(1000)
    {
        match operation {
            JitterOperation::Wait(ms) => now += Duration::from_millis(ms.into()),
            JitterOperation::Packet { step, ticks, far, bits, payload } => {
                seq = seq.saturating_add_signed(i64::from(step) * if far { 1000 } else { 1 }).max(1);
                timestamp =
                    RtpTime(timestamp.0.wrapping_add_signed(i32::from(ticks) << if far { 12 } else { 0 }));
                let sound = AudioPacket {
                    seq: ExtSeqNo(seq),
                    timestamp,
                    payload: Bytes::from(payload),
                    arrival: now,
                };
                if bits & 1 == 1 { buffer.push_red(sound, 111) } else { buffer.push(sound) }
            }
            JitterOperation::Pull => {
                if let Some(Playout::Packet { payload, .. }) = buffer.pop(now) {
                    assert!(!payload.is_empty());
                }
            }
        }
        assert!(buffer.waiting() <= 32);
        assert!(buffer.target() <= Duration::from_secs(1));
    }
}

/// Pictures in any order, with and without links: they come out in order, due, and whatever is polled comes to rest.
pub fn video_buffer(data: &[u8]) {
    let mut unstructured = Unstructured::new(data);
    let Ok((first, has_links)) = <(u8, bool)>::arbitrary(&mut unstructured) else { return };
    let config = VideoConfig::new(Codec::Vp8, mode(first)).max_frames(8).has_links(has_links);
    let mut buffer = VideoBuffer::new(config);
    let (mut now, mut seq, mut timestamp, mut number) = (start(), 0x1_0000_u64, RtpTime(0), 0_u16);
    let mut last = None;
    for operation in unstructured.arbitrary_iter::<JitterOperation>().expect("any bytes").flatten().take(1000)
    {
        match operation {
            JitterOperation::Wait(ms) => now += Duration::from_millis(ms.into()),
            JitterOperation::Packet { step, ticks, far, bits, payload } => {
                seq = seq.saturating_add_signed(i64::from(step) * if far { 100 } else { 1 }).max(1);
                timestamp =
                    RtpTime(timestamp.0.wrapping_add_signed(i32::from(ticks) << if far { 12 } else { 0 }));
                number = number.wrapping_add(u16::from(bits >> 6));
                let diffs = [u16::from(bits & 7), u16::from(bits >> 3 & 7)].map(|diff| diff + 1);
                let count = usize::from(bits >> 4 & 3).min(2);
                let refers_to = FrameDiffs::new(&diffs[..count]).expect("room for two");
                let link = FrameLink { number, starts: bits & 1 == 1, ends: bits & 2 == 2, refers_to };
                let input = AssemblerInput {
                    seq: ExtSeqNo(seq),
                    timestamp,
                    marker: bits & 2 == 2,
                    payload: Bytes::from(payload),
                    arrival: now,
                };
                buffer.push(input, (bits & 4 == 4).then_some(&link));
            }
            JitterOperation::Pull => buffer.handle_timeout(now),
        }
        while let Some(shown) = buffer.pop(now) {
            assert!(shown.due <= now);
            assert!(last.is_none_or(|last| shown.frame.first_seq > last));
            last = Some(shown.frame.last_seq);
        }
        buffer.handle_timeout(now);
        while buffer.pop(now).is_some() {}
        assert!(buffer.poll_timeout().is_none_or(|timeout| timeout > now), "a timeout that nothing answers");
    }
}
