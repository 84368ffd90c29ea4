//! What others than the peer send, and what a peer that is not who it says it is gets: a counted drop, and the call
//! goes on.

use std::net::SocketAddr;
use std::time::Duration;

use tombolo::net::FiveTuple;
use tombolo::sdp::SessionDescription;
use tombolo::{Codec, ConnectionState, DropReason, Event, FailReason, MediaKind};
use tombolo_netsim::{Fate, Pair, Side};

use crate::peer::{Call, Peer, address, call, config, connected, deterministic, negotiate, offerer};

/// An address that takes no part in the call.
fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 66], 6666))
}

/// The path on which `to` sees datagrams of the stranger.
fn from_stranger(to: u8) -> FiveTuple {
    FiveTuple::udp(address(to), stranger())
}

/// The first ClientHello of another client, with another certificate, as datagrams.
fn client_hello() -> Vec<Vec<u8>> {
    let mut other = call(config(66), config(67).ice_lite(true));
    assert!(other.run_until(|a, b| a.is_connected() && b.is_connected()));
    let hello = |data: &&[u8]| data.first() == Some(&22) && data.get(13) == Some(&1);
    let hellos: Vec<Vec<u8>> = other
        .records()
        .iter()
        .map(|record| record.data.as_slice())
        .filter(hello)
        .map(<[u8]>::to_vec)
        .collect();
    assert!(!hellos.is_empty());
    hellos
}

/// A Binding request with USE-CANDIDATE for the user fragments of a session, but without integrity.
fn unsigned_check(victim: &Peer, other: &Peer) -> Vec<u8> {
    let username =
        format!("{}:{}", victim.pc.local_ice_credentials().ufrag(), other.pc.local_ice_credentials().ufrag());
    let mut attributes = Vec::new();
    let mut push = |kind: u16, value: &[u8]| {
        attributes.extend_from_slice(&kind.to_be_bytes());
        attributes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        attributes.extend_from_slice(value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    };
    push(0x0006, username.as_bytes());
    push(0x0024, &[0x7e, 0xff, 0xff, 0xff]);
    push(0x802a, &[9; 8]);
    push(0x0025, &[]);
    let mut message = vec![0x00, 0x01];
    message.extend_from_slice(&(attributes.len() as u16).to_be_bytes());
    message.extend_from_slice(&[0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    message.extend(attributes);
    message
}

fn sent_to_stranger(call: &Call) -> Vec<Vec<u8>> {
    let sent = |record: &&tombolo_netsim::Record| record.fate != Fate::Injected;
    let to_stranger = call.records().iter().filter(sent).filter(|record| record.path.remote == stranger());
    to_stranger.map(|record| record.data.clone()).collect()
}

fn drops(peer: &Peer, reason: DropReason) -> u64 {
    peer.pc.stats().drops.count(reason)
}

/// Puts a datagram before a side, which takes it at once.
fn inject(call: &mut Call, to: Side, path: FiveTuple, data: &[u8]) {
    call.inject(to, path, data);
    call.run_for(Duration::ZERO);
}

/// Media of both kinds arrives on both sides.
fn assert_media_flows(call: &mut Call) {
    let before = [call.a.packets().count(), call.b.packets().count()];
    for _ in 0..5 {
        let now = call.now();
        let (a, b) = (call.a.first(MediaKind::Video), call.b.first(MediaKind::Video));
        call.a.send(now, a, Codec::Vp8);
        call.b.send(now, b, Codec::Vp8);
        call.run_for(Duration::from_millis(20));
    }
    call.run_for(Duration::from_millis(100));
    let after = [call.a.packets().count(), call.b.packets().count()];
    assert_eq!([after[0] - before[0], after[1] - before[1]], [5, 5]);
}

/// Chain 1, hijack (DTLS-01, ICE-01, STUN-02): an unsigned check before the client's first packet, then a ClientHello
/// with a certificate of its own. The client connects; the third party gets at most STUN errors.
#[test]
fn chain_1_hijack() {
    let hello = client_hello();
    for lite in [false, true] {
        let mut call = call(config(1), config(2).ice_lite(lite));
        let check = unsigned_check(&call.b, &call.a);
        inject(&mut call, Side::B, from_stranger(2), &check);
        for datagram in &hello {
            inject(&mut call, Side::B, from_stranger(2), datagram);
        }
        assert_eq!(drops(&call.b, DropReason::UnauthenticatedPath), hello.len() as u64);
        assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
        inject(&mut call, Side::B, from_stranger(2), &check);
        for datagram in &hello {
            inject(&mut call, Side::B, from_stranger(2), datagram);
        }
        assert_media_flows(&mut call);
        let replies = sent_to_stranger(&call);
        assert!(replies.iter().all(|reply| reply.starts_with(&[0x01, 0x11])), "only STUN errors");
        assert_eq!(call.b.pc.stats().path.map(|path| path.remote), Some(address(1)));
    }
}

/// Chain 2, reflection (STUN-06): a spoofed first packet names a victim, then small requests pour in from elsewhere.
/// Nothing ever goes to the victim, and the replies to the others are few.
#[test]
fn chain_2_reflection() {
    let mut call = call(config(1), config(2).ice_lite(true));
    let check = unsigned_check(&call.b, &call.a);
    inject(&mut call, Side::B, from_stranger(2), &check);
    call.clear_records();
    let flooder = SocketAddr::from(([203, 0, 113, 77], 7777));
    let bare = &check[..20];
    let mut bare = bare.to_vec();
    bare[2..4].copy_from_slice(&[0, 0]);
    for _ in 0..1000 {
        inject(&mut call, Side::B, FiveTuple::udp(address(2), flooder), &bare);
        call.run_for(Duration::from_micros(100));
    }
    let replies: usize = call
        .records()
        .iter()
        .filter(|record| record.fate != Fate::Injected && record.path.remote == flooder)
        .count();
    assert!(replies <= 100, "{replies} replies to 1000 requests");
    assert!(sent_to_stranger(&call).len() <= 1, "the victim gets one error at most, for its own request");
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    assert_media_flows(&mut call);
}

/// Chain 3, injection into a decoder (SRTP-01): the SSRC is known, a cleartext packet with it is sent, from the
/// peer's very address and from elsewhere.
#[test]
fn chain_3_injection() {
    let mut call = connected();
    assert_media_flows(&mut call);
    let ssrc = call.a.pc.transceiver(call.a.first(MediaKind::Video)).unwrap().encodings()[0].ssrc;
    let mut fragment = vec![0x80, 96, 0, 1, 0, 0, 0, 0];
    fragment.extend_from_slice(&ssrc.0.to_be_bytes());
    fragment.extend_from_slice(&[0x7c]);
    let before = call.b.packets().count();
    inject(&mut call, Side::B, FiveTuple::udp(address(2), address(1)), &fragment);
    inject(&mut call, Side::B, from_stranger(2), &fragment);
    assert_eq!(drops(&call.b, DropReason::Unprotect), 1);
    assert_eq!(drops(&call.b, DropReason::UnauthenticatedPath), 1);
    assert_eq!(call.b.packets().count(), before);
    assert_media_flows(&mut call);
}

/// Chain 4, WHIP takeover: a sniffed user fragment, a forged USE-CANDIDATE on the running session, another
/// certificate. The publisher's session survives.
#[test]
fn chain_4_takeover() {
    let mut call = call(config(1), config(2).ice_lite(true));
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    let path = call.b.pc.stats().path;
    let check = unsigned_check(&call.b, &call.a);
    for datagram in std::iter::once(check).chain(client_hello()) {
        for _ in 0..10 {
            inject(&mut call, Side::B, from_stranger(2), &datagram);
            call.run_for(Duration::from_millis(5));
        }
    }
    call.run_for(Duration::from_secs(2));
    assert_eq!(call.b.pc.stats().path, path);
    assert_eq!(call.b.pc.state(), ConnectionState::Connected);
    assert!(sent_to_stranger(&call).iter().all(|reply| reply.starts_with(&[0x01, 0x11])));
    assert_media_flows(&mut call);
}

/// ICE-02: everything but STUN is dropped and counted where no authenticated check has come from.
#[test]
fn ice_02_strangers_are_not_listened_to() {
    let mut call = connected();
    for first in [20u8, 63, 128, 191] {
        let before = drops(&call.b, DropReason::UnauthenticatedPath);
        inject(&mut call, Side::B, from_stranger(2), &[first, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(drops(&call.b, DropReason::UnauthenticatedPath), before + 1);
    }
    for first in [4u8, 16, 64, 79, 127, 192, 255] {
        let before = drops(&call.b, DropReason::Unclassified);
        inject(&mut call, Side::B, from_stranger(2), &[first; 20]);
        assert_eq!(drops(&call.b, DropReason::Unclassified), before + 1);
    }
    assert_media_flows(&mut call);
}

/// DTLS-02: a peer whose certificate is not the one its description announced gets no keys, in either role.
#[test]
fn dtls_02_a_wrong_certificate_ends_the_connection() {
    for lite in [false, true] {
        for role in [tombolo::DtlsRolePreference::Active, tombolo::DtlsRolePreference::Passive] {
            let now = tombolo_netsim::start();
            let mut a = offerer(config(1));
            let mut b = Peer::new(config(2).ice_lite(lite).dtls_role(role), 2);
            let offer = a.pc.create_offer().unwrap();
            a.pc.set_local_description(now, &offer).unwrap();
            // Somebody in between announces a certificate that is not the offerer's.
            let offer = offer.to_string().replace("a=fingerprint:sha-256 ", "a=fingerprint:sha-256 00:");
            let offer: Vec<String> = offer
                .lines()
                .map(|line| match line.strip_prefix("a=fingerprint:") {
                    Some(_) => line[..line.len() - 3].to_owned(),
                    None => line.to_owned(),
                })
                .collect();
            b.pc.set_remote_description(now, SessionDescription::offer(&offer.join("\n")).unwrap()).unwrap();
            let answer = b.pc.create_answer().unwrap();
            b.pc.set_local_description(now, &answer).unwrap();
            let answer = SessionDescription::answer(&answer.to_string()).unwrap();
            a.pc.set_remote_description(now, answer).unwrap();
            let mut call = Pair::new(a, b, 3);
            call.run_for(Duration::from_secs(10));
            assert!(call.b.events.contains(&Event::Failed(FailReason::Fingerprint)), "{lite} {role:?}");
            assert!(!call.b.events.contains(&Event::ConnectionStateChanged(ConnectionState::Connected)));
            assert_eq!(call.b.events.last(), Some(&Event::Failed(FailReason::Fingerprint)));
        }
    }
}

/// SRTP-01: RTP before DTLS, a changed tag byte, another call's keys, a replay: counted, and nothing else happens.
#[test]
fn srtp_01_what_does_not_authenticate_is_dropped() {
    let mut call = call(config(1), config(2));
    assert!(call.run_until(|_, b| b.events.iter().any(|event| matches!(event, Event::PathAuthenticated(_)))));
    let path = FiveTuple::udp(address(2), address(1));
    let rtp = [0x80, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
    inject(&mut call, Side::B, path, &rtp);
    assert_eq!(drops(&call.b, DropReason::NoKeys), 1);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    assert_media_flows(&mut call);
    let is_media = |data: &[u8]| matches!(data.first(), Some(128..=191));
    let to_b =
        |record: &&tombolo_netsim::Record| record.to == Side::B && matches!(record.fate, Fate::Arrives(_));
    let media: Vec<Vec<u8>> = call
        .records()
        .iter()
        .filter(to_b)
        .map(|record| record.data.clone())
        .filter(|data| is_media(data))
        .collect();
    assert!(media.len() >= 5);
    let before = (call.b.packets().count(), drops(&call.b, DropReason::Unprotect));
    let mut expected = before.1;
    for datagram in &media {
        let last = datagram.len() - 1;
        for (at, mask) in [(last, 1), (0, 0), (1, 0x80), (4, 1), (last / 2, 0x40)] {
            let mut changed = datagram.clone();
            changed[at] ^= mask;
            inject(&mut call, Side::B, path, &changed);
            expected += 1;
        }
    }
    assert_eq!(drops(&call.b, DropReason::Unprotect), expected);
    assert_eq!(call.b.packets().count(), before.0);
    let streams = call.b.pc.stats().inbound.len();
    for ssrc in 0..10_000u32 {
        let mut changed = media[0].clone();
        changed[8..12].copy_from_slice(&ssrc.to_be_bytes());
        call.b.pc.handle_datagram(call.now(), path, &mut changed);
    }
    assert_eq!(call.b.pc.stats().inbound.len(), streams);
    assert_media_flows(&mut call);
}

/// CONS-01: without answers to consent checks media stops within 30 s, and the connection fails.
#[test]
fn cons_01_media_stops_without_consent() {
    let mut call = connected();
    assert_media_flows(&mut call);
    call.set_links(&tombolo_netsim::Link::default().cut());
    let id = call.a.first(MediaKind::Video);
    let cut = call.now();
    let mut last = cut;
    for seq in 0..400 {
        let now = call.now();
        if call.a.pc.send_rtp(now, id, crate::peer::packet(Codec::Vp8, seq)).is_err() {
            break;
        }
        last = now;
        call.run_for(Duration::from_millis(100));
    }
    let lasted = last - cut;
    assert!((20..=30).contains(&lasted.as_secs()), "{lasted:?}");
    call.run_for(Duration::from_secs(5));
    assert_eq!(call.a.events.last(), Some(&Event::Failed(FailReason::Ice)));
    let states: Vec<_> =
        call.a.events.iter().filter(|event| matches!(event, Event::ConnectionStateChanged(_))).collect();
    assert_eq!(states.last(), Some(&&Event::ConnectionStateChanged(ConnectionState::Failed)));
}

/// DTLS-09: after the handshake, hellos, alerts and junk from the peer's own address destroy nothing.
#[test]
fn dtls_09_junk_does_not_end_a_live_association() {
    let mut call = connected();
    let path = FiveTuple::udp(address(2), address(1));
    let alert = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40];
    for datagram in client_hello().iter().map(Vec::as_slice).chain([&alert[..], &[22; 60], &[20; 13]]) {
        for _ in 0..20 {
            inject(&mut call, Side::B, path, datagram);
        }
    }
    call.run_for(Duration::from_secs(3));
    assert!(call.a.is_connected() && call.b.is_connected());
    assert_media_flows(&mut call);
}

/// Closing tells the other side, once.
#[test]
fn a_close_ends_both_sides() {
    let mut call = connected();
    assert_media_flows(&mut call);
    let now = call.now();
    call.a.pc.close(now);
    call.a.pc.close(now);
    call.run_for(Duration::from_secs(1));
    for peer in [&call.a, &call.b] {
        assert_eq!(peer.events.iter().filter(|event| **event == Event::Closed).count(), 1);
        assert_eq!(peer.events.last(), Some(&Event::Closed));
        assert_eq!(peer.pc.state(), ConnectionState::Closed);
        assert_eq!(peer.pc.poll_timeout(), None);
    }
    assert!(
        call.b.events.iter().any(|event| matches!(event, Event::StreamEnded { .. })),
        "goodbye came first"
    );
    let ended = drops(&call.b, DropReason::Ended);
    inject(&mut call, Side::B, FiveTuple::udp(address(2), address(1)), &[0x80; 40]);
    assert_eq!(drops(&call.b, DropReason::Ended), ended + 1);
}

/// The same seeds and inputs give the same bytes.
#[test]
fn a_call_is_reproducible() {
    let run = || {
        let mut call = call(deterministic(1), deterministic(2));
        assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
        assert_media_flows(&mut call);
        call.records().iter().map(|record| record.data.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

/// Every first byte with every short body, and every datagram of a call cut at each length, at any state: no panic,
/// and the call goes on.
#[test]
fn mux_01_any_datagram_is_survived() {
    let mut call = connected();
    assert_media_flows(&mut call);
    let path = FiveTuple::udp(address(2), address(1));
    for first in 0..=255u8 {
        for len in [0, 1, 12] {
            let mut datagram = vec![first];
            datagram.resize(1 + len, first ^ 0x5a);
            inject(&mut call, Side::B, path, &datagram);
        }
    }
    inject(&mut call, Side::B, path, &[]);
    let seen: Vec<Vec<u8>> = call.records().iter().map(|record| record.data.clone()).collect();
    for datagram in seen.iter().step_by(3) {
        for len in (0..datagram.len()).step_by(11) {
            inject(&mut call, Side::B, path, &datagram[..len]);
        }
    }
    assert_media_flows(&mut call);
}

/// Both sides without candidates of the other, as with mDNS names only: peer-reflexive ones do.
#[test]
fn candidates_that_cannot_be_resolved_are_no_obstacle() {
    let now = tombolo_netsim::start();
    let (mut a, mut b) = (offerer(config(1)), Peer::new(config(2).ice_lite(true), 2));
    negotiate(now, &mut a, &mut b);
    let mut call = Pair::new(a, b, 5);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
}
