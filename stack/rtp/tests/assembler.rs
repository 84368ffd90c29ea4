//! What an [`Assembler`] gives out when packets are lost, reordered and duplicated on their way from a [`Packetizer`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_netsim::start;
use tombolo_rtp::codec::annex_b::START_CODE;
use tombolo_rtp::codec::{
    AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, Codec, Packetizer, RedPacketizer,
};

const FIRST_SEQ: u64 = 70_000;
/// The second frame is past the wrap.
const FIRST_TIME: RtpTime = RtpTime(0xffff_f800);

/// A stream of frames: frame `n` says its number in its bytes, `keyframe` of it whether it is a keyframe.
struct Stream {
    codec: Codec,
    frames: Vec<Vec<u8>>,
    packets: Vec<AssemblerInput>,
}

impl Stream {
    /// `frames` are `(keyframe, bytes)`; one packet each 2 ms.
    fn new(codec: Codec, start: Instant, frames: &[(bool, usize)]) -> Self {
        let mut packetizer = Packetizer::new(codec, 7);
        let mut stream = Self { codec, frames: Vec::new(), packets: Vec::new() };
        for (n, &(keyframe, len)) in frames.iter().enumerate() {
            let frame = frame(codec, n, keyframe, len);
            let mut payloads = Vec::new();
            packetizer.packetize(&frame, 100, &mut payloads).expect("room for the payload header");
            let last = payloads.len() - 1;
            for (at, payload) in payloads.into_iter().enumerate() {
                let count = stream.packets.len() as u64;
                stream.packets.push(AssemblerInput {
                    seq: ExtSeqNo(FIRST_SEQ + count),
                    timestamp: FIRST_TIME + n as u32 * 3000,
                    marker: at == last,
                    payload,
                    arrival: start + Duration::from_millis(2 * count),
                });
            }
            stream.frames.push(frame);
        }
        stream
    }

    /// Which frame this is.
    fn number(&self, frame: &AssembledFrame) -> usize {
        self.frames.iter().position(|sent| frame.data == sent[..]).expect("a frame that was never sent")
    }
}

/// A frame of at least `len` bytes that is different from all others.
fn frame(codec: Codec, number: usize, keyframe: bool, len: usize) -> Vec<u8> {
    let mut body: Vec<u8> = (0..len + 2).map(|at| 4 + ((at * 7 + number * 13) % 200) as u8).collect();
    body[0] = 4 + (number % 250) as u8;
    match codec {
        Codec::Vp8 => [&[u8::from(!keyframe)][..], &body].concat(),
        Codec::Vp9 if keyframe => [&[0x82, 0x49, 0x83, 0x42, 0x20, 0, 0x10, 0, 0x10][..], &body].concat(),
        Codec::Vp9 => [&[0x86, 0][..], &body].concat(),
        Codec::Av1 if keyframe => [&AV1_SEQUENCE[..], &av1_frame(0x10, &body)].concat(),
        Codec::Av1 => av1_frame(0x30, &body),
        Codec::H264 if keyframe => {
            byte_stream(&[&[0x67, 0x42, 0xe0, 0x1f], &[0x68, 0xce], &[&[0x65, 0x88][..], &body].concat()])
        }
        Codec::H264 => [&START_CODE[..], &[0x41, 0x9a], &body].concat(),
        Codec::H265 if keyframe => byte_stream(&[
            &H265_SETS[0],
            &H265_SETS[1],
            &H265_SETS[2],
            &[&[0x26, 1, 0x80][..], &body].concat(),
        ]),
        Codec::H265 => byte_stream(&[&[&[0x02, 1, 0x80][..], &body].concat()]),
        _ => body.into_iter().take(90).collect(),
    }
}

/// A sequence header of 640×360.
const AV1_SEQUENCE: [u8; 13] = [0x0a, 0x0b, 0x00, 0x00, 0x00, 0x0c, 0xc4, 0xff, 0x67, 0x00, 0x9e, 0x00, 0x00];

/// Parameter sets of three kinds: nothing in them is looked at but where their numbers stand.
const H265_SETS: [[u8; 4]; 3] = [[0x40, 1, 0x0c, 1], [0x42, 1, 1, 0x7f], [0x44, 1, 0xc0, 0xf3]];

fn byte_stream(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
}

/// A frame OBU whose header begins with `first`.
fn av1_frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut size = body.len() + 1;
    let mut out = vec![0x32];
    while size > 0x7f {
        out.push(size as u8 | 0x80);
        size >>= 7;
    }
    [&out[..], &[size as u8, first], body].concat()
}

fn drain(assembler: &mut Assembler) -> Vec<AssembledFrame> {
    std::iter::from_fn(|| assembler.pop()).collect()
}

fn push_all(assembler: &mut Assembler, packets: &[AssemblerInput]) -> Vec<AssembledFrame> {
    packets
        .iter()
        .flat_map(|packet| {
            assembler.push(packet.clone());
            drain(assembler)
        })
        .collect()
}

/// Runs the timers until nothing waits any more.
fn run_out(assembler: &mut Assembler) -> Vec<AssembledFrame> {
    let mut frames = Vec::new();
    while let Some(deadline) = assembler.poll_timeout() {
        assembler.handle_timeout(deadline);
        frames.append(&mut drain(assembler));
    }
    frames
}

fn numbers(stream: &Stream, frames: &[AssembledFrame]) -> Vec<usize> {
    frames.iter().map(|frame| stream.number(frame)).collect()
}

const SOUND: [Codec; 5] =
    [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16 { rate_hz: 16_000, channels: 1 }];
const VIDEO: [Codec; 5] = [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264, Codec::H265];

#[test]
fn a_frame_leaves_with_its_last_packet() {
    for codec in VIDEO.into_iter().chain(SOUND) {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 10), (false, 250)]);
        let mut assembler = Assembler::new(codec);
        for packet in &stream.packets {
            assembler.push(packet.clone());
            let frames = drain(&mut assembler);
            assert_eq!(frames.len(), usize::from(packet.marker), "{codec:?} {:?}", packet.seq);
            if let Some(frame) = frames.first() {
                assert_eq!((frame.last_seq, frame.timestamp), (packet.seq, packet.timestamp));
                assert_eq!(frame.arrival, packet.arrival);
                assert_eq!(frame.discontinuity, stream.number(frame) == 0);
            }
        }
        assert_eq!(assembler.stats().frames, 3);
        assert_eq!(assembler.poll_timeout(), None);
    }
}

#[test]
fn without_a_marker_the_next_timestamp_ends_a_frame() {
    let stream = Stream::new(Codec::Vp8, start(), &[(true, 350), (false, 10)]);
    let mut assembler = Assembler::new(Codec::Vp8);
    let packets: Vec<_> =
        stream.packets.iter().cloned().map(|packet| AssemblerInput { marker: false, ..packet }).collect();
    assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0]);
}

#[test]
fn nothing_is_shown_before_the_first_keyframe() {
    for codec in VIDEO {
        let stream = Stream::new(codec, start(), &[(false, 150), (false, 150), (true, 150), (false, 9)]);
        let mut assembler = Assembler::new(codec);
        assert!(assembler.needs_keyframe());
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &stream.packets)), [2, 3]);
        assert!(!assembler.needs_keyframe());
        assert_eq!(assembler.stats().packets_lost, 0);
    }
}

/// The first packet that arrives need not be the first that was sent.
#[test]
fn reorder_at_the_very_start_costs_no_keyframe() {
    for codec in VIDEO {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 10)]);
        let mut packets = stream.packets.clone();
        packets[..4].reverse();
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0, 1], "{codec:?}");
    }
}

/// The packet in front of a keyframe's first one makes it certain that that is the first, or is the first itself, also when all
/// behind it was looked at before.
#[test]
fn a_keyframe_is_found_when_its_beginning_comes_last() {
    const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f];
    let input = |seq, timestamp, marker, payload: &[u8]| AssemblerInput {
        seq: ExtSeqNo(seq),
        timestamp: RtpTime(timestamp),
        marker,
        payload: Bytes::copy_from_slice(payload),
        arrival: start(),
    };
    for last in [input(102, 3000, false, SPS), input(102, 0, true, &[0x41, 0x9a, 7])] {
        let mut assembler = Assembler::new(Codec::H264);
        assembler.add_parameter_set(SPS);
        assembler.add_parameter_set(&[0x68, 0xce]);
        let before = [
            input(100, 0, false, &[0x41, 0x9a, 7]),
            input(103, 3000, false, &[0x65, 0x88, 7]),
            input(104, 3000, true, &[0x65, 0x48, 7]),
        ];
        assert_eq!(push_all(&mut assembler, &before), []);
        let frames = push_all(&mut assembler, &[last]);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].keyframe && frames[0].last_seq == ExtSeqNo(104));
    }
}

#[test]
fn a_hole_waits_for_its_packet() {
    for codec in VIDEO {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 350), (false, 10)]);
        let mut packets = stream.packets.clone();
        let late = packets.remove(6);
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0]);
        assert_eq!(assembler.missing().unwrap().0, late.seq);
        assert!(!assembler.needs_keyframe());
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &[late])), [1, 2]);
        assert_eq!(assembler.missing(), None);
    }
}

#[test]
fn after_a_loss_nothing_is_shown_until_the_next_keyframe() {
    for codec in VIDEO {
        let start = start();
        let frames = [(true, 350), (false, 350), (false, 10), (true, 350), (false, 10)];
        let stream = Stream::new(codec, start, &frames);
        let mut packets = stream.packets.clone();
        let lost = packets.remove(6);
        let keyframe = packets.iter().position(|packet| packet.timestamp == FIRST_TIME + 9000).unwrap();
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets[..keyframe])), [0]);
        let deadline = assembler.poll_timeout().unwrap();
        assembler.handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(drain(&mut assembler), []);
        assert!(!assembler.needs_keyframe());
        assembler.handle_timeout(deadline);
        assert_eq!(drain(&mut assembler), []);
        assert!(assembler.needs_keyframe());
        // What was given up is late now, and changes nothing.
        assert_eq!(push_all(&mut assembler, &[lost]), []);
        let rest = push_all(&mut assembler, &packets[keyframe..]);
        assert_eq!(numbers(&stream, &rest), [3, 4]);
        assert!(rest[0].keyframe && rest[0].discontinuity && !rest[1].discontinuity);
        assert!(!assembler.needs_keyframe());
        assert_eq!((assembler.stats().packets_lost, assembler.stats().packets_late), (1, 1));
        assert_eq!(assembler.stats().frames_dropped, 2);
    }
}

#[test]
fn a_whole_keyframe_behind_a_hole_shortens_the_wait() {
    for codec in VIDEO {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 350), (true, 350)]);
        let mut packets = stream.packets.clone();
        packets.remove(6);
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0]);
        let (_, since) = assembler.missing().unwrap();
        assert_eq!(assembler.poll_timeout(), Some(since + Duration::from_millis(20)));
        assert_eq!(numbers(&stream, &run_out(&mut assembler)), [2], "{codec:?}");
    }
}

/// After an outage the keyframe is wanted at once: retransmissions of so much would take longer.
#[test]
fn a_long_outage_asks_for_a_keyframe_soon() {
    let frames: Vec<_> = (0..120).map(|n| (n == 0, 150)).collect();
    let stream = Stream::new(Codec::Vp8, start(), &frames);
    let mut assembler = Assembler::new(Codec::Vp8);
    push_all(&mut assembler, &stream.packets[..20]);
    let back = &stream.packets[150];
    push_all(&mut assembler, std::slice::from_ref(back));
    assert_eq!(assembler.poll_timeout(), Some(back.arrival + Duration::from_millis(20)));
    run_out(&mut assembler);
    assert!(assembler.needs_keyframe());
}

#[test]
fn the_caller_can_give_up_early() {
    let stream = Stream::new(Codec::Vp8, start(), &[(true, 150), (false, 150), (false, 10)]);
    let mut packets = stream.packets.clone();
    packets.remove(2);
    let mut assembler = Assembler::new(Codec::Vp8);
    push_all(&mut assembler, &packets);
    assembler.give_up_before(ExtSeqNo(FIRST_SEQ + 3));
    assert_eq!(drain(&mut assembler), []);
    assert!(assembler.needs_keyframe());
}

#[test]
fn told_so_it_goes_on_with_whole_frames_after_a_loss() {
    for codec in VIDEO {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 350), (false, 350), (false, 10)]);
        let second = stream.packets.iter().filter(|packet| packet.timestamp == FIRST_TIME + 3000);
        for lost in second {
            let packets: Vec<_> =
                stream.packets.iter().filter(|packet| packet.seq != lost.seq).cloned().collect();
            let config = AssemblerConfig::new(codec).until_keyframe(false);
            let mut assembler = Assembler::with_config(codec, config);
            let mut frames = push_all(&mut assembler, &packets);
            frames.append(&mut run_out(&mut assembler));
            let discontinuities: Vec<_> = frames.iter().map(|frame| frame.discontinuity).collect();
            // Where a unit of AV1 begins is told by the end of the one before only.
            if codec == Codec::Av1 && lost.marker {
                assert_eq!(numbers(&stream, &frames), [0, 3]);
                assert_eq!(discontinuities, [true, true]);
            } else {
                assert_eq!(numbers(&stream, &frames), [0, 2, 3], "{codec:?} without {:?}", lost.seq);
                assert_eq!(discontinuities, [true, true, false]);
            }
        }
    }
}

#[test]
fn lost_sound_is_skipped() {
    let stream = Stream::new(Codec::Opus, start(), &[(true, 20); 5]);
    let mut packets = stream.packets.clone();
    packets.remove(2);
    let mut assembler = Assembler::new(Codec::Opus);
    let mut frames = push_all(&mut assembler, &packets);
    assert_eq!(numbers(&stream, &frames), [0, 1]);
    frames.append(&mut run_out(&mut assembler));
    assert_eq!(numbers(&stream, &frames), [0, 1, 3, 4]);
    assert_eq!(
        frames.iter().map(|frame| frame.discontinuity).collect::<Vec<_>>(),
        [true, false, true, false]
    );
    assert!(!assembler.needs_keyframe());
}

/// Padding alone (a probe) fills its place and shows nothing.
#[test]
fn padding_packets_fill_their_place() {
    for codec in VIDEO.into_iter().chain(SOUND) {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 10)]);
        let mut packets = stream.packets.clone();
        let first_of_second =
            packets.iter().position(|packet| packet.timestamp != packets[0].timestamp).unwrap();
        let padding =
            AssemblerInput { payload: Bytes::new(), marker: false, ..packets[first_of_second - 1].clone() };
        packets.insert(first_of_second, padding);
        for (at, packet) in packets.iter_mut().enumerate() {
            packet.seq = ExtSeqNo(FIRST_SEQ + at as u64);
        }
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0, 1]);
        assert_eq!(assembler.stats().packets_malformed, 0);
    }
}

/// A malformed payload costs its frame and asks for a keyframe; the stream goes on.
#[test]
fn malformed_payloads_cost_their_frame() {
    for (codec, bad) in [
        (Codec::Vp8, &[0x90][..]),
        (Codec::Vp9, &[0x88]),
        (Codec::Av1, &[0x20, 9]),
        (Codec::H264, &[0x7c, 0x98, 1]),
        (Codec::H265, &[0x62, 1, 0x93]),
    ] {
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 350), (true, 10)]);
        let mut packets = stream.packets.clone();
        packets[6].payload = Bytes::from_static(bad);
        let mut assembler = Assembler::new(codec);
        assert_eq!(numbers(&stream, &push_all(&mut assembler, &packets)), [0, 2], "{codec:?}");
        assert_eq!(assembler.stats().packets_malformed, 1);
    }
}

#[test]
fn places_and_bytes_are_bounded() {
    let packet = |seq: u64, marker: bool, len: usize| AssemblerInput {
        seq: ExtSeqNo(seq),
        timestamp: RtpTime(seq as u32),
        marker,
        payload: Bytes::from(vec![0x10; len]),
        arrival: start(),
    };
    let config = AssemblerConfig::new(Codec::Vp8).max_packets(64).max_bytes(10_000);
    let mut assembler = Assembler::with_config(Codec::Vp8, config);
    assert_eq!(push_all(&mut assembler, &[packet(100, true, 10)]).len(), 1);
    // The packet after the keyframe is missing: 63 places behind it can wait, one more gives it up without a timer.
    let behind: Vec<_> = (102..165).map(|seq| packet(seq, false, 10)).collect();
    assert_eq!(push_all(&mut assembler, &behind), []);
    assert_eq!(assembler.stats().packets_lost, 0);
    assert_eq!(push_all(&mut assembler, &[packet(165, false, 10)]).len(), 63);
    assert_eq!(assembler.stats().packets_lost, 1);
    // The same with bytes.
    assert_eq!(push_all(&mut assembler, &[packet(167, false, 9_980)]), []);
    assert_eq!(assembler.stats().packets_lost, 1);
    assert_eq!(push_all(&mut assembler, &[packet(168, false, 30)]), []);
    assert_eq!(assembler.stats().packets_lost, 2);
    assert!(assembler.needs_keyframe());
    // A jump far ahead, and a packet larger than everything allowed.
    push_all(&mut assembler, &[packet(u64::MAX / 2, false, 10), packet(u64::MAX / 2 + 1, false, 20_000)]);
    assert!(assembler.stats().packets_lost > u64::MAX / 4);
}

/// Pictures after a random access picture that refer to ones before it: shown in an unbroken stream, and not when
/// a receiver begins there.
#[test]
fn leading_pictures_are_left_out_where_a_receiver_begins() {
    let unit = |unit_type: u8| [&[unit_type << 1, 1, 0x80][..], &[unit_type; 30]].concat();
    let cra = byte_stream(&[&H265_SETS[0], &H265_SETS[1], &H265_SETS[2], &unit(21)]);
    let frames = [cra, byte_stream(&[&unit(9)]), byte_stream(&[&unit(1)])];
    let mut packetizer = Packetizer::new(Codec::H265, 0);
    let mut packets = Vec::new();
    for (n, frame) in frames.iter().chain(&frames).enumerate() {
        let mut payloads = Vec::new();
        packetizer.packetize(frame, 1000, &mut payloads).unwrap();
        let last = payloads.len() - 1;
        for (at, payload) in payloads.into_iter().enumerate() {
            packets.push(AssemblerInput {
                seq: ExtSeqNo(FIRST_SEQ + packets.len() as u64),
                timestamp: FIRST_TIME + n as u32 * 3000,
                marker: at == last,
                payload,
                arrival: start(),
            });
        }
    }
    let mut assembler = Assembler::new(Codec::H265);
    let shown: Vec<_> = push_all(&mut assembler, &packets).into_iter().map(|frame| frame.data).collect();
    assert_eq!(shown, [&frames[0], &frames[2], &frames[0], &frames[1], &frames[2]].map(|frame| &frame[..]));
    assert_eq!((assembler.stats().frames_dropped, assembler.needs_keyframe()), (1, false));
}

/// Layers, and what may be left out, are told with the frame.
#[test]
fn layers_and_discardability_are_told_with_the_frame() {
    let frame = |codec, keyframe: &[u8], payloads: &[&[u8]]| {
        let mut assembler = Assembler::new(codec);
        for (n, payload) in [keyframe].iter().chain(payloads).enumerate() {
            assembler.push(AssemblerInput {
                seq: ExtSeqNo(FIRST_SEQ + n as u64),
                timestamp: FIRST_TIME + u32::from(n > 0),
                marker: n == 0 || n == payloads.len(),
                payload: Bytes::copy_from_slice(payload),
                arrival: start(),
            });
        }
        let frames = drain(&mut assembler);
        assert!(frames[0].keyframe && !frames[0].discardable, "{codec:?}");
        let last = frames.last().expect("the keyframe and the other");
        (last.temporal_id, last.spatial_id, last.discardable)
    };
    let vp8 = |payload: &[u8]| frame(Codec::Vp8, &[0x10, 0], &[payload]);
    assert_eq!(vp8(&[0xb0, 0x20, 0x80, 1]), (Some(2), None, true));
    assert_eq!(vp8(&[0x10, 1]), (None, None, false));
    let layers = [&[0xec, 1, 0x40, 7, 0x86, 0, 0][..], &[0xec, 1, 0x43, 7, 0x86, 0, 0]];
    assert_eq!(frame(Codec::Vp9, &[0x0c, 0x82], &layers), (Some(2), Some(1), true));
    assert_eq!(frame(Codec::Vp9, &[0x0c, 0x82], &[&[0x4c, 0x86, 0x3f, 0xff]]), (None, None, false));
    let sets = [0x78, 0, 1, 0x67, 0, 1, 0x68, 0, 2, 0x65, 0x80];
    assert_eq!(frame(Codec::H264, &sets, &[&[0x01, 0x9a]]), (None, None, true));
    assert_eq!(frame(Codec::H264, &sets, &[&[0x41, 0x9a]]), (None, None, false));
    let sized: Vec<u8> = H265_SETS.iter().flat_map(|set| [&[0, 4][..], set].concat()).collect();
    let sets = [&[0x60, 1][..], &sized, &[0, 3, 0x26, 1, 0x80]].concat();
    assert_eq!(frame(Codec::H265, &sets, &[&[0x00, 3, 0x80]]), (Some(2), Some(0), true));
    assert_eq!(frame(Codec::H265, &sets, &[&[0x02, 1, 0x80]]), (Some(0), Some(0), false));
    let key = [&[0x28, 12, 0x08][..], &AV1_SEQUENCE[2..], &[0x34, 0, 0x10]].concat();
    assert_eq!(frame(Codec::Av1, &key, &[&[0x10, 0x34, 0x48, 0x30, 0, 0, 0, 0]]), (Some(2), Some(1), true));
    assert_eq!(
        frame(Codec::Av1, &key, &[&[0x10, 0x34, 0x48, 0x30, 0, 7, 0xff, 0]]),
        (Some(2), Some(1), false)
    );
}

/// RFC 2198: what one packet lost, the next brings; the numbers tell which it was.
#[test]
fn redundant_sound_fills_holes() {
    let stream = Stream::new(Codec::Opus, start(), &[(true, 20); 12]);
    let mut packetizer = RedPacketizer::new(111, 2);
    let mut packets = Vec::new();
    for (packet, frame) in stream.packets.iter().zip(&stream.frames) {
        let mut payloads = Vec::new();
        packetizer.packetize(packet.timestamp, frame, 100, &mut payloads).unwrap();
        packets.push(AssemblerInput { payload: payloads.remove(0), ..packet.clone() });
    }
    let mut assembler = Assembler::new(Codec::Opus);
    let mut frames = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        // One, two and three in a row are lost; of the three one is too many.
        if !matches!(at, 1 | 3 | 4 | 6..=8) {
            assembler.push_red(packet.clone(), 111);
            frames.append(&mut drain(&mut assembler));
        }
    }
    frames.append(&mut run_out(&mut assembler));
    assert_eq!(numbers(&stream, &frames), [0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 11]);
    assert!(frames.windows(2).all(|pair| pair[1].timestamp.is_newer_than(pair[0].timestamp)));
    let stats = assembler.stats();
    assert_eq!((stats.packets_recovered, stats.packets_lost, stats.packets_late), (5, 1, 0));
    // The lost one comes after all: late.
    assembler.push_red(packets[6].clone(), 111);
    assert_eq!((drain(&mut assembler), assembler.stats().packets_late), (vec![], 1));
}

/// Blocks of something else, lists that lie and blocks whose time does not fit their place bring nothing and harm nothing.
#[test]
fn redundancy_that_does_not_fit_is_left_out() {
    let input = |seq: u64, timestamp: u32, payload: &[u8]| AssemblerInput {
        seq: ExtSeqNo(seq),
        timestamp: RtpTime(timestamp),
        marker: false,
        payload: Bytes::copy_from_slice(payload),
        arrival: start(),
    };
    let mut assembler = Assembler::new(Codec::Opus);
    let mut shown = |packet: AssemblerInput| {
        assembler.push_red(packet, 111);
        drain(&mut assembler).iter().map(|frame| frame.data[0]).collect::<Vec<_>>()
    };
    // Before the first packet nothing is missing.
    assert_eq!(shown(input(100, 5000, &[0xef, 0x0f, 0, 1, 0x6f, 1, 2])), [2]);
    // 101 is missing; the block is of another type, and then as old as what was shown.
    assert_eq!(shown(input(102, 6920, &[0xe0, 0x0f, 0, 1, 0x6f, 1, 3])), []);
    assert_eq!(shown(input(102, 6920, &[0xef, 0x1e, 0, 1, 0x6f, 1, 3])), []);
    // A malformed list and padding fill their places.
    assert_eq!(shown(input(103, 7880, &[0xef, 0xff, 0xff, 0xff])), []);
    assert_eq!(shown(input(104, 7880, &[])), []);
    assert_eq!(shown(input(105, 8840, &[0xef, 0x2d, 0, 1, 0xef, 0x1e, 0, 1, 0x6f, 8, 9, 4])), []);
    // Five places back, past blocks that are empty.
    let list =
        [[0xef, 0x3c, 0, 1], [0xef, 0, 4, 0], [0xef, 0, 4, 0], [0xef, 0, 4, 0], [0xef, 0, 4, 0]].concat();
    assert_eq!(shown(input(106, 9800, &[&list[..], &[0x6f, 7, 5]].concat())), [7, 3, 4, 5]);
    let stats = assembler.stats();
    assert_eq!((stats.packets_malformed, stats.packets_recovered), (1, 1));
}

/// What the network did to the packets: the order of arrival, with losses and duplicates.
fn disturbed(packets: &[AssemblerInput], fates: &[(u8, u8)]) -> Vec<AssemblerInput> {
    let mut arrivals: Vec<(usize, &AssemblerInput)> = Vec::new();
    for ((at, packet), &(fate, delay)) in packets.iter().enumerate().zip(fates.iter().cycle()) {
        let delay = usize::from(delay % 8);
        match fate {
            0..8 => {}
            8..20 => arrivals.extend([(at, packet), (at + delay, packet)]),
            20..60 => arrivals.push((at + delay, packet)),
            _ => arrivals.push((at, packet)),
        }
    }
    arrivals.sort_by_key(|&(at, _)| at);
    let arrivals = arrivals.into_iter().map(|(_, packet)| packet.clone()).zip(0..);
    arrivals
        .map(|(packet, at)| AssemblerInput { arrival: start() + Duration::from_millis(at), ..packet })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is lost, reordered and duplicated: frames are whole, in order, and each delta frame follows the frame
    /// that it refers to. Without loss none is missing.
    #[test]
    fn frames_are_whole_in_order_and_decodable(
        codec in prop::sample::select(&VIDEO),
        frames in proptest::collection::vec((0u8..6, 1usize..600), 1..40),
        fates in proptest::collection::vec((any::<u8>(), any::<u8>()), 200),
    ) {
        let frames: Vec<_> = frames.into_iter().enumerate().map(|(n, (key, len))| (n == 0 || key == 0, len)).collect();
        let stream = Stream::new(codec, start(), &frames);
        let packets = disturbed(&stream.packets, &fates);
        let mut assembler = Assembler::new(stream.codec);
        let mut out = push_all(&mut assembler, &packets);
        out.append(&mut run_out(&mut assembler));
        let shown = numbers(&stream, &out);
        prop_assert!(shown.is_sorted_by(|a, b| a < b), "{:?}", shown);
        for (at, &number) in shown.iter().enumerate() {
            prop_assert_eq!(out[at].keyframe, frames[number].0);
            let follows = at > 0 && shown[at - 1] + 1 == number;
            prop_assert!(frames[number].0 || follows, "frame {} of {:?}", number, shown);
            prop_assert!(out[at].discontinuity || follows);
        }
        let mut arrived: Vec<_> = packets.iter().map(|packet| packet.seq).collect();
        arrived.sort();
        arrived.dedup();
        if arrived.len() == stream.packets.len() {
            // A later keyframe may have been whole before the first one; from there on nothing is missing.
            prop_assert_eq!(shown.len(), frames.len() - shown[0]);
        }
    }

    /// No packets make it panic or keep more than its bounds.
    #[test]
    fn any_packets_are_survived(
        codec in prop::sample::select(&VIDEO),
        packets in proptest::collection::vec(
            (0u64..200, 0u32..4, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..200),
    ) {
        let start = start();
        let mut assembler = Assembler::with_config(codec, AssemblerConfig::new(codec).max_packets(50).max_bytes(200));
        for (n, (seq, timestamp, marker, payload)) in packets.into_iter().enumerate() {
            let arrival = start + Duration::from_millis(n as u64 * 10);
            assembler.push(AssemblerInput {
                seq: ExtSeqNo(seq), timestamp: RtpTime(timestamp), marker, payload: payload.into(), arrival,
            });
            drain(&mut assembler);
        }
        run_out(&mut assembler);
        prop_assert_eq!(assembler.poll_timeout(), None);
    }
}
