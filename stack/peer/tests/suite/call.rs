//! Connecting and passing media.

use std::time::Duration;

use tombolo::{Codec, DtlsRolePreference, Event, MediaKind};
use tombolo_netsim::{Link, Side};

use crate::peer::{call, config, connected};

#[test]
fn a_call_connects_and_media_flows_both_ways() {
    let mut call = connected();
    for _ in 0..50 {
        let now = call.now();
        for (kind, codec) in [(MediaKind::Audio, Codec::Opus), (MediaKind::Video, Codec::Vp8)] {
            let id = call.a.first(kind);
            call.a.send(now, id, codec);
            let id = call.b.first(kind);
            call.b.send(now, id, codec);
        }
        call.run_for(Duration::from_millis(10));
    }
    call.run_for(Duration::from_millis(100));
    for peer in [&call.a, &call.b] {
        assert_eq!(peer.packets().filter(|packet| packet.codec == Codec::Opus).count(), 50);
        assert_eq!(peer.packets().filter(|packet| packet.codec == Codec::Vp8).count(), 50);
        assert_eq!(peer.pc.stats().drops.total(), 0);
        assert!(peer.events.iter().any(|event| matches!(event, Event::SenderReport(_))));
    }
}

#[test]
fn every_pairing_of_roles_connects() {
    for lite in [false, true] {
        for role in [DtlsRolePreference::Active, DtlsRolePreference::Passive] {
            let mut call = call(config(1), config(2).ice_lite(lite).dtls_role(role));
            assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()), "lite {lite}, {role:?}");
        }
    }
}

/// Loss, reordering, duplication and a small MTU: all of them at once.
#[test]
fn a_bad_network_loses_no_video() {
    let link = Link::default()
        .latency(Duration::from_millis(20))
        .loss(0.05)
        .reorder(0.05, Duration::from_millis(15))
        .duplicate(0.05)
        .mtu(600);
    let mut call = call(config(1).mtu(600), config(2).mtu(600));
    call.set_links(&link);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    let (from, to) = (call.a.first(MediaKind::Video), call.b.first(MediaKind::Video));
    // Nobody can miss what came before the first packet that arrives: that one comes safely.
    call.set_link(Side::B, Link::default());
    let now = call.now();
    let mut sent = vec![call.a.send(now, from, Codec::Vp8)];
    call.run_for(Duration::from_millis(10));
    call.set_link(Side::B, link);
    for _ in 0..500 {
        let now = call.now();
        sent.push(call.a.send(now, from, Codec::Vp8));
        call.run_for(Duration::from_millis(10));
    }
    // A clean end, so that the last loss is noticed.
    call.set_link(Side::B, Link::default());
    for _ in 0..20 {
        let now = call.now();
        sent.push(call.a.send(now, from, Codec::Vp8));
        call.run_for(Duration::from_millis(10));
    }
    call.run_for(Duration::from_secs(1));
    let mut arrived: Vec<_> = call.b.packets().filter(|packet| packet.transceiver == to).collect();
    assert!(arrived.iter().any(|packet| packet.retransmitted), "RTX was used");
    arrived.sort_by_key(|packet| packet.seq);
    let arrived: Vec<u16> = arrived.iter().map(|packet| packet.seq.wire().0).collect();
    assert_eq!(arrived, sent, "each once, none missing");
    for packet in call.b.packets() {
        assert_eq!(packet.payload.len(), 200);
        assert_eq!(packet.payload[2..4], packet.seq.wire().0.to_be_bytes());
    }
}
