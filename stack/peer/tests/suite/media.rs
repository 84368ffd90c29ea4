//! What happens to media between two connections: layers, repairs, reports, keyframes.

use std::time::Duration;

use bytes::Bytes;
use tombolo::net::{NtpTime, RtpTime, SeqNo};
use tombolo::rtp::Rid;
use tombolo::rtp::ext::AudioLevel;
use tombolo::sdp::Direction;
use tombolo::{
    Codec, Event, MediaKind, OutgoingPacket, ReceivedSenderReport, TransceiverId, TransceiverInit, UseError,
};
use tombolo_netsim::{Link, Pair, Side};

use crate::peer::{Call, Peer, call, config, connected, negotiate, packet, with_offer, without};

fn rid(name: &str) -> Rid {
    name.parse().unwrap()
}

fn pair(a: Peer, b: Peer) -> Call {
    let mut call = Pair::new(a, b, 9);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    call
}

/// A connected call whose offer is changed on its way.
fn with_answer(edit: impl Fn(String) -> String) -> Call {
    let mut call = with_offer(config(1), config(2), edit);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    call
}

/// RTP-14: three layers under loss; each packet arrives once, in its layer, by RTX of its layer where it was lost.
#[test]
fn rtp_14_layers_arrive_apart_and_are_repaired() {
    let layers = [rid("q"), rid("h"), rid("f")];
    let mut a = Peer::new(config(1), 1);
    let init = TransceiverInit { send_rids: layers.to_vec(), ..TransceiverInit::default() };
    let id = a.pc.add_transceiver(MediaKind::Video, Direction::SendOnly, &init);
    let mut b = Peer::new(config(2), 2);
    negotiate(tombolo_netsim::start(), &mut a, &mut b);
    let mut call = pair(a, b);
    let clean = Link::default().latency(Duration::from_millis(10));
    call.set_link(Side::B, clean.clone());
    for seq in 0..300u16 {
        if seq == 1 {
            // Nothing before the first packet of a layer tells that it was lost. Random loss: with every seventh packet the
            // repetitions of one can all fall on a seventh place.
            call.set_link(Side::B, clean.clone().loss(1.0 / 7.0));
        }
        let now = call.now();
        for (layer, start) in layers.iter().zip([100u16, 65_400, 30_000]) {
            let mut packet = packet(Codec::Vp8, start.wrapping_add(seq));
            packet.rid = Some(*layer);
            call.a.pc.send_rtp(now, id, packet).unwrap();
        }
        call.run_for(Duration::from_millis(10));
    }
    call.set_link(Side::B, Link::default());
    call.run_for(Duration::from_secs(1));
    let received = call.b.first(MediaKind::Video);
    let track = call.b.events.iter().find_map(|event| match event {
        Event::Track { rids, .. } => Some(rids.clone()),
        _ => None,
    });
    assert_eq!(track, Some(layers.to_vec()));
    for (layer, start) in layers.iter().zip([100u16, 65_400, 30_000]) {
        let mut seqs: Vec<u16> = call
            .b
            .packets()
            .filter(|packet| packet.rid == Some(*layer) && packet.transceiver == received)
            .map(|packet| packet.seq.wire().0.wrapping_sub(start))
            .collect();
        seqs.sort_unstable();
        // The last ones may be lost without anything after them to tell.
        let complete: Vec<u16> = (0..seqs.len() as u16).collect();
        assert_eq!(seqs, complete, "{layer}");
        assert!(seqs.len() >= 298, "{layer}: {}", seqs.len());
    }
    assert!(call.b.packets().any(|packet| packet.retransmitted));
    assert_eq!(call.b.pc.stats().inbound.len(), 3);
}

/// A peer without RTX gets the very same datagram again: no SRTP index is used for two.
#[test]
fn peers_without_rtx_are_sent_the_same_datagram_again() {
    let mut call =
        with_answer(|text| without(&without(&without(&text, "a=rtpmap:97"), "a=fmtp:97"), "a=ssrc-group"));
    let id = call.a.first(MediaKind::Video);
    let negotiated = call.a.pc.transceiver(id).unwrap().negotiated().unwrap();
    assert_eq!(negotiated.codecs[0].rtx_payload_type, None);
    call.set_link(Side::B, Link::default().latency(Duration::from_millis(10)).drop_one_in(5));
    let mut sent = Vec::new();
    for _ in 0..200 {
        let now = call.now();
        sent.push(call.a.send(now, id, Codec::Vp8));
        call.run_for(Duration::from_millis(10));
    }
    call.set_link(Side::B, Link::default());
    let now = call.now();
    sent.push(call.a.send(now, id, Codec::Vp8));
    call.run_for(Duration::from_secs(1));
    let mut arrived: Vec<_> = call.b.packets().collect();
    arrived.sort_by_key(|packet| packet.seq);
    let arrived: Vec<u16> = arrived.iter().map(|packet| packet.seq.wire().0).collect();
    assert_eq!(arrived, sent);
}

fn reports(peer: &Peer) -> Vec<ReceivedSenderReport> {
    let report = |event: &Event| match event {
        Event::SenderReport(report) => Some(*report),
        _ => None,
    };
    peer.events.iter().filter_map(report).collect()
}

/// Lip sync: sound and picture of one participant, sent at different times after different delays and with unrelated
/// timestamps, are reported on one clock.
#[test]
fn reports_of_one_stream_speak_of_one_clock() {
    let mut call = connected();
    let (audio, video) = (call.a.first(MediaKind::Audio), call.a.first(MediaKind::Video));
    for id in [audio, video] {
        call.a.pc.set_sender_stream(id, "alice").unwrap();
    }
    // Media time 0 is RTP 1000 for sound and RTP 77000 for pictures; pictures leave 180 ms later than sound.
    for step in 0..150u16 {
        let now = call.now();
        let mut send = |id, codec: Codec, base: u32, media_us: i64| {
            let ticks = media_us * i64::from(codec.clock_rate_hz()) / 1_000_000;
            let timestamp = RtpTime(base.wrapping_add(ticks as u32));
            let mut packet =
                OutgoingPacket::new(codec, SeqNo(step), timestamp, true, Bytes::from_static(&[0x10, 1, 2]));
            packet.media_time_us = Some(media_us);
            call.a.pc.send_rtp(now, id, packet).unwrap();
        };
        send(audio, Codec::Opus, 1000, i64::from(step) * 20_000);
        if step >= 9 {
            send(video, Codec::Vp8, 77_000, i64::from(step - 9) * 20_000);
        }
        call.run_for(Duration::from_millis(20));
    }
    let reports = reports(&call.b);
    let media_us = |report: &ReceivedSenderReport, base: u32, rate: i64| {
        i64::from(report.timestamp.0.wrapping_sub(base) as i32) * 1_000_000 / rate
    };
    let of = |kind| {
        let id = call.b.first(kind);
        reports.iter().rfind(|report| report.transceiver == id).unwrap()
    };
    let (sound, picture) = (of(MediaKind::Audio), of(MediaKind::Video));
    // What either says that the wall clock is at media time 0.
    let wall = |report: &ReceivedSenderReport, media_us: i64| report.ntp.micros_since(NtpTime(0)) - media_us;
    let sound_origin = wall(sound, media_us(sound, 1000, 48_000));
    let picture_origin = wall(picture, media_us(picture, 77_000, 90_000));
    assert!((sound_origin - picture_origin).abs() < 1000, "{} µs apart", sound_origin - picture_origin);
    // The first report of each came with its first packet.
    let first = |id: TransceiverId| reports.iter().find(|report| report.transceiver == id).unwrap().arrival;
    let packet =
        |id: TransceiverId| call.b.packets().find(|packet| packet.transceiver == id).unwrap().arrival;
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let id = call.b.first(kind);
        assert_eq!(first(id), packet(id));
    }
}

/// Another participant, whose media clock began at another time, is shown in the same slots: the reports stay near the
/// packets' timestamps.
#[test]
fn a_clock_that_jumps_is_tied_anew() {
    let mut call = connected();
    let id = call.a.first(MediaKind::Audio);
    let mut ticks = 0;
    for (from, media_us) in [(0u16, 0i64), (200, 3_600_000_000), (400, 50_000)] {
        for step in 0..200u16 {
            let now = call.now();
            ticks = (u32::from(from) + u32::from(step)) * 960;
            let payload = Bytes::from_static(&[1, 2, 3]);
            let mut packet =
                OutgoingPacket::new(Codec::Opus, SeqNo(from + step), RtpTime(ticks), true, payload);
            packet.media_time_us = Some(media_us + i64::from(step) * 20_000);
            call.a.pc.send_rtp(now, id, packet).unwrap();
            call.run_for(Duration::from_millis(20));
        }
        let last = *reports(&call.b).last().unwrap();
        let apart = last.timestamp.distance_from(RtpTime(ticks)).unsigned_abs();
        assert!(apart < 2 * 48_000, "{apart} ticks apart");
    }
}

/// A keyframe is asked for once and again until one comes, and the sender is told once.
#[test]
fn keyframes_are_asked_for_until_one_comes() {
    for (edit, message) in [("none", "PLI"), ("a=rtcp-fb:96 nack pli", "FIR")] {
        let mut call = with_answer(|text| without(&text, edit));
        let (from, to) = (call.a.first(MediaKind::Video), call.b.first(MediaKind::Video));
        let now = call.now();
        call.a.send(now, from, Codec::Vp8);
        call.run_for(Duration::from_millis(50));
        for _ in 0..5 {
            let now = call.now();
            call.b.pc.request_keyframe(now, to, None).unwrap();
        }
        call.run_for(Duration::from_millis(100));
        let asked = |call: &Call| {
            call.a.events.iter().filter(|event| matches!(event, Event::KeyframeRequested { .. })).count()
        };
        assert_eq!(asked(&call), 1, "{message}");
        // The first byte of a VP8 keyframe's payload, behind the descriptor, has its lowest bit clear.
        let now = call.now();
        let mut keyframe = packet(Codec::Vp8, 65_501);
        keyframe.payload = Bytes::from_static(&[0x10, 0x00, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]);
        keyframe.keyframe = true;
        call.a.pc.send_rtp(now, from, keyframe).unwrap();
        call.run_for(Duration::from_secs(5));
        assert_eq!(asked(&call), 1, "{message}");
        let counters = call.a.pc.stats().outbound[1].counters;
        let (plis, firs) = (counters.pli_count, counters.fir_count);
        assert_eq!(if message == "PLI" { firs } else { plis }, 0);
    }
}

/// RTCP-03: without feedback in the answer none is sent.
#[test]
fn rtcp_03_what_was_not_negotiated_is_not_sent() {
    let mut call = with_answer(|text| without(&text, "a=rtcp-fb"));
    let (from, to) = (call.a.first(MediaKind::Video), call.b.first(MediaKind::Video));
    call.set_link(Side::B, Link::default().drop_one_in(4));
    for _ in 0..100 {
        let now = call.now();
        call.a.send(now, from, Codec::Vp8);
        call.b.pc.request_keyframe(now, to, None).unwrap();
        call.run_for(Duration::from_millis(10));
    }
    call.run_for(Duration::from_secs(1));
    let counters = call.a.pc.stats().outbound[1].counters;
    assert_eq!((counters.nack_count, counters.pli_count, counters.fir_count), (0, 0, 0));
    assert_eq!(call.a.pc.stats().delivered, None);
    assert!(counters.remote_packets_lost > 10, "reports are sent all the same");
}

/// Transport-wide feedback: the sender learns what arrived, and what was lost.
#[test]
fn the_sender_learns_what_arrives() {
    let mut call = connected();
    let id = call.a.first(MediaKind::Video);
    call.set_link(Side::B, Link::default().latency(Duration::from_millis(15)).drop_one_in(10));
    for _ in 0..300 {
        let now = call.now();
        call.a.send(now, id, Codec::Vp8);
        call.run_for(Duration::from_millis(10));
    }
    let stats = call.a.pc.stats();
    assert!((0.05..0.15).contains(&stats.send_loss), "{}", stats.send_loss);
    let delivered = stats.delivered.unwrap().as_bps();
    // 200 bytes and headers every 10 ms, a tenth lost.
    assert!((150_000..260_000).contains(&delivered), "{delivered}");
    assert!(
        stats.round_trip.is_some_and(|rtt| (10..60).contains(&rtt.as_millis())),
        "{:?}",
        stats.round_trip
    );
    assert!(stats.outbound[1].counters.retransmitted_packets_sent >= 20);
    let inbound = call.b.pc.stats().inbound[0].counters;
    assert!(inbound.retransmitted_packets_received >= 20 && inbound.nack_count >= 20);
}

/// One section, several codecs: the payload type follows the packet.
#[test]
fn a_sender_changes_codecs_within_a_section() {
    let mut call = connected();
    let id = call.a.first(MediaKind::Video);
    for step in 0..20 {
        let now = call.now();
        call.a.send(now, id, if step % 2 == 0 { Codec::Vp8 } else { Codec::H264 });
        call.run_for(Duration::from_millis(10));
    }
    let codecs: Vec<Codec> = call.b.packets().map(|packet| packet.codec).collect();
    assert_eq!(codecs, [Codec::Vp8, Codec::H264].repeat(10));
}

/// What a caller may not do.
#[test]
fn misuse_is_an_error_and_sends_nothing() {
    let mut fresh = call(config(1), config(2));
    let now = fresh.now();
    let id = fresh.a.first(MediaKind::Audio);
    let opus = || packet(Codec::Opus, 1);
    assert_eq!(fresh.a.pc.send_rtp(now, id, opus()), Err(UseError::NotConnected));
    let mut call = connected();
    let now = call.now();
    let id = call.a.first(MediaKind::Audio);
    let mut send = |id, packet| call.a.pc.send_rtp(now, id, packet);
    assert_eq!(send(TransceiverId(99), opus()), Err(UseError::UnknownTransceiver));
    assert_eq!(send(id, packet(Codec::Vp8, 1)), Err(UseError::Codec));
    assert_eq!(send(id, OutgoingPacket { payload_type: Some(96), ..opus() }), Err(UseError::Codec));
    assert_eq!(send(id, OutgoingPacket { rid: Some(rid("q")), ..opus() }), Err(UseError::UnknownTransceiver));
    assert_eq!(send(id, OutgoingPacket { payload: Bytes::new(), ..opus() }), Err(UseError::PayloadSize));
    let large = Bytes::from(vec![0; 1401]);
    assert_eq!(send(id, OutgoingPacket { payload: large, ..opus() }), Err(UseError::PayloadSize));
    assert_eq!(send(id, opus()), Ok(()));
    // The same number with other bytes would use an SRTP index twice.
    assert_eq!(send(id, OutgoingPacket { marker: false, ..opus() }), Err(UseError::SeqUsed));
    call.run_for(Duration::from_millis(50));
    assert_eq!(call.b.packets().count(), 1);
    let now = call.now();
    call.a.pc.close(now);
    assert_eq!(call.a.pc.send_rtp(now, id, opus()), Err(UseError::Closed));
}

/// The audio level travels with its packet.
#[test]
fn the_audio_level_arrives() {
    let mut call = connected();
    let id = call.a.first(MediaKind::Audio);
    let now = call.now();
    let level = AudioLevel { voice: true, level: 42 };
    let packet = OutgoingPacket { audio_level: Some(level), ..packet(Codec::Opus, 1) };
    call.a.pc.send_rtp(now, id, packet).unwrap();
    call.run_for(Duration::from_millis(20));
    assert_eq!(call.b.packets().next().unwrap().audio_level, Some(level));
}

/// The statistics of both ends tell of the same packets: streams with what the other side reports, transport and pair.
#[test]
fn statistics_of_both_ends_agree() {
    let mut call = connected();
    let id = call.a.first(MediaKind::Video);
    for number in 0..400_u16 {
        let now = call.now();
        let mut packet = packet(Codec::Vp8, number);
        packet.keyframe = number % 100 == 0;
        call.a.pc.send_rtp(now, id, packet).unwrap();
        call.run_for(Duration::from_millis(20));
    }
    let (a, b) = (call.a.pc.stats(), call.b.pc.stats());
    let sent = a.outbound.iter().find(|stream| stream.transceiver == id).unwrap().counters;
    let received = &b.inbound[0];
    assert_eq!((sent.packets_sent, sent.key_frames_sent), (400, 4));
    assert_eq!(received.counters.packets_received, 400);
    assert_eq!((sent.bytes_sent, sent.last_packet_sent.is_some()), (received.counters.bytes_received, true));
    assert!(received.counters.last_packet_received > sent.last_packet_sent);
    assert!(sent.remote_reports > 0 && sent.round_trip_time.is_some());
    let remote = received.remote;
    assert!(remote.reports_sent > 1 && remote.last_report_received.is_some());
    assert!((1..=400).contains(&remote.packets_sent) && remote.bytes_sent <= sent.bytes_sent);
    assert_eq!(remote.packets_sent * sent.bytes_sent / 400, remote.bytes_sent, "packets of one size");
    for stats in [&a, &b] {
        assert_eq!((stats.path_changes, stats.srtp_profile.is_some()), (1, true));
        assert!(stats.ice.checks_sent > 0 && stats.ice.responses_accepted > 0 && stats.ice.rtt.is_some());
    }
}
