//! Later offers on a live connection: the transport stays, media goes on.

use std::time::Duration;

use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{Codec, Event, MediaKind, TransceiverInit};

use crate::peer::{Call, connected, negotiate};

/// DTLS handshake records since the tap was cleared.
fn handshakes(call: &Call) -> usize {
    call.records().iter().filter(|record| record.data.first() == Some(&22)).count()
}

fn packets_of(call: &Call, codec: Codec) -> usize {
    call.b.packets().filter(|packet| packet.codec == codec).count()
}

#[test]
fn adding_stopping_and_recycling_keep_the_transport() {
    let mut call = connected();
    call.clear_records();
    let now = call.now();
    let extra = call.a.pc.add_transceiver(MediaKind::Video, Direction::SendOnly, &TransceiverInit::default());
    negotiate(now, &mut call.a, &mut call.b);
    assert_eq!(call.b.pc.transceivers().len(), 3);
    for _ in 0..10 {
        let now = call.now();
        let audio = call.a.first(MediaKind::Audio);
        call.a.send(now, audio, Codec::Opus);
        call.a.send(now, extra, Codec::H264);
        call.run_for(Duration::from_millis(20));
    }
    assert_eq!([packets_of(&call, Codec::Opus), packets_of(&call, Codec::H264)], [10, 10]);

    // Stopped, the section is rejected by both and the receiver is told.
    let now = call.now();
    let video = call.a.first(MediaKind::Video);
    call.a.pc.stop_transceiver(now, video).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    let local = call.a.pc.local_description().unwrap();
    assert!(local.sdp().media[1].is_rejected());
    assert_eq!(local.sdp().bundle().unwrap().value.mids, ["0", "2"]);
    let ended = call.b.events.iter().filter(|event| matches!(event, Event::TrackEnded { .. })).count();
    assert_eq!(ended, 1);
    assert!(call.b.pc.transceivers()[1].is_stopped());

    // A new one takes the rejected section, with a mid of its own.
    let now = call.now();
    let new = call.a.pc.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
    negotiate(now, &mut call.a, &mut call.b);
    let local = call.a.pc.local_description().unwrap();
    assert_eq!(local.sdp().media.len(), 3);
    assert_eq!(local.sdp().media[1].kind_name, "audio");
    let mid = call.a.pc.transceiver(new).unwrap().mid().unwrap();
    assert_eq!(mid.as_str(), "3");
    for _ in 0..10 {
        let now = call.now();
        call.a.send(now, new, Codec::Opus);
        call.run_for(Duration::from_millis(20));
    }
    assert_eq!(packets_of(&call, Codec::Opus), 20);
    assert_eq!(handshakes(&call), 0);
    assert!(call.a.is_connected() && call.b.is_connected());
}

/// The bundle's tag is stopped: the transport moves to the next section, and stays the same.
#[test]
fn stopping_the_tagged_section_moves_the_tag() {
    let mut call = connected();
    call.clear_records();
    let now = call.now();
    let audio = call.a.first(MediaKind::Audio);
    call.a.pc.stop_transceiver(now, audio).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    let answer = call.b.pc.local_description().unwrap();
    assert_eq!(answer.sdp().bundle().unwrap().value.mids, ["1"]);
    let video = call.a.first(MediaKind::Video);
    let now = call.now();
    call.a.send(now, video, Codec::Vp8);
    call.run_for(Duration::from_millis(50));
    assert_eq!(packets_of(&call, Codec::Vp8), 1);
    assert_eq!(handshakes(&call), 0);
}

/// The other side offers: it keeps the payload types and ids that were agreed on, also for new sections.
#[test]
fn the_answerer_may_offer_next() {
    let mut call = connected();
    let now = call.now();
    call.b.pc.add_transceiver(MediaKind::Video, Direction::SendOnly, &TransceiverInit::default());
    let Call { a, b, .. } = &mut call;
    negotiate(now, b, a);
    let offer = call.b.pc.local_description().unwrap();
    let media = &offer.sdp().media;
    assert_eq!(media.len(), 3);
    assert_eq!(media[1].formats, media[2].formats);
    assert_eq!(media[1].extmaps, media[2].extmaps);
    let id = call.b.pc.transceivers()[2].id();
    let now = call.now();
    call.b.send(now, id, Codec::Vp8);
    call.run_for(Duration::from_millis(50));
    assert_eq!(call.a.packets().count(), 1);
}

/// A direction changes: the receiver is told, and nothing else happens.
#[test]
fn a_direction_changes_and_comes_back() {
    let mut call = connected();
    for (direction, ended, begun) in [(Direction::RecvOnly, 1, 2), (Direction::SendRecv, 1, 3)] {
        let now = call.now();
        let id = call.a.first(MediaKind::Video);
        call.a.pc.set_direction(id, direction).unwrap();
        negotiate(now, &mut call.a, &mut call.b);
        let count = |wanted: fn(&Event) -> bool| call.b.events.iter().filter(|event| wanted(event)).count();
        assert_eq!(count(|event| matches!(event, Event::TrackEnded { .. })), ended);
        assert_eq!(count(|event| matches!(event, Event::Track { .. })), begun);
    }
}

/// A browser's later offers, as recorded: added and recycled sections, with rejected ones in between.
#[test]
fn recorded_later_offers() {
    for (first, second) in [
        (
            include_str!("../data/sdp/chromium156-reoffer-stopped.sdp"),
            include_str!("../data/sdp/chromium156-reoffer-recycled.sdp"),
        ),
        (
            include_str!("../data/sdp/firefox153-reoffer-stopped.sdp"),
            include_str!("../data/sdp/firefox153-reoffer-recycled.sdp"),
        ),
    ] {
        let mut peer = crate::peer::Peer::new(crate::peer::config(2), 2);
        let now = tombolo_netsim::start();
        let mut accepted = Vec::new();
        // Recorded in other sessions: credentials and certificates of the second are made those of the first.
        let transport = |text: &str, start: &str| {
            text.lines().find(|line| line.starts_with(start)).unwrap_or_default().to_owned()
        };
        let mut adapted = second.to_owned();
        for start in ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint"] {
            adapted = adapted.replace(&transport(second, start), &transport(first, start));
        }
        for text in [first, &adapted] {
            peer.pc.set_remote_description(now, SessionDescription::offer(text).unwrap()).unwrap();
            let answer = peer.pc.create_answer().unwrap();
            peer.pc.set_local_description(now, &answer).unwrap();
            accepted.push(answer.sdp().media.iter().filter(|media| !media.is_rejected()).count());
        }
        assert_eq!(accepted, [2, 3]);
    }
}

/// SRTP keeps no count of the sources of a section that was stopped.
#[test]
fn srtp_forgets_the_sources_of_a_stopped_section() {
    let mut call = connected();
    let video = call.a.first(MediaKind::Video);
    for _ in 0..10 {
        let now = call.now();
        let audio = call.a.first(MediaKind::Audio);
        call.a.send(now, audio, Codec::Opus);
        call.a.send(now, video, Codec::Vp8);
        call.run_for(Duration::from_millis(20));
    }
    let before = call.b.pc.stats().srtp_sources;
    assert!(before >= 2, "{before}");
    let now = call.now();
    call.a.pc.stop_transceiver(now, video).unwrap();
    negotiate(now, &mut call.a, &mut call.b);
    assert_eq!(call.b.pc.stats().srtp_sources, before - 1);
}
