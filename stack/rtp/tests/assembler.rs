//! What an [`Assembler`] gives out when packets are lost, reordered and duplicated on their way from a [`Packetizer`].

use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_netsim::start;
use tombolo_rtp::codec::annex_b::START_CODE;
use tombolo_rtp::codec::{AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, Codec, Packetizer};

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
        Codec::H264 if keyframe => {
            let units = [&[0x67, 0x42, 0xe0, 0x1f][..], &[0x68, 0xce], &[&[0x65, 0x88][..], &body].concat()];
            units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
        }
        Codec::H264 => [&START_CODE[..], &[0x41, 0x9a], &body].concat(),
        _ => body.into_iter().take(90).collect(),
    }
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

const VIDEO: [Codec; 2] = [Codec::Vp8, Codec::H264];

#[test]
fn a_frame_leaves_with_its_last_packet() {
    for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
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
        let stream = Stream::new(codec, start(), &[(true, 350), (false, 350), (false, 350)]);
        let second =
            stream.packets.iter().enumerate().filter(|(_, packet)| packet.timestamp == FIRST_TIME + 3000);
        for (lost, _) in second {
            let mut packets = stream.packets.clone();
            packets.remove(lost);
            let config = AssemblerConfig::new(codec).until_keyframe(false);
            let mut assembler = Assembler::with_config(codec, config);
            let mut frames = push_all(&mut assembler, &packets);
            frames.append(&mut run_out(&mut assembler));
            let discontinuities: Vec<_> = frames.iter().map(|frame| frame.discontinuity).collect();
            assert_eq!(numbers(&stream, &frames), [0, 2], "{codec:?} without {lost}");
            assert_eq!(discontinuities, [true, true]);
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
    for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
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
    for (codec, bad) in [(Codec::Vp8, &[0x90][..]), (Codec::H264, &[0x7c, 0x98, 1])] {
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
        h264: bool,
        frames in proptest::collection::vec((0u8..6, 1usize..600), 1..40),
        fates in proptest::collection::vec((any::<u8>(), any::<u8>()), 200),
    ) {
        let codec = if h264 { Codec::H264 } else { Codec::Vp8 };
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
        h264: bool,
        packets in proptest::collection::vec(
            (0u64..200, 0u32..4, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..8)), 0..200),
    ) {
        let codec = if h264 { Codec::H264 } else { Codec::Vp8 };
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
