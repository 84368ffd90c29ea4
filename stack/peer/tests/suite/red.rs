//! Redundant sound between two connections.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tombolo::interceptors::stats::{Inbound, Outbound};
use tombolo::net::{RtpTime, SeqNo};
use tombolo::sdp::SessionDescription;
use tombolo::{Codec, ConfigBuilder, MediaKind, OutgoingPacket, ReceivedPacket};
use tombolo_netsim::{Link, Side};

use crate::peer::{Call, Peer, call, config};

const RED: u8 = 63;
const FRAME_LEN: usize = 80;

fn red(seed: u64) -> ConfigBuilder {
    config(seed).red(Some(RED))
}

fn connected(a: ConfigBuilder, b: ConfigBuilder) -> Call {
    let mut call = call(a, b);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    call
}

fn frame(seq: u16) -> Bytes {
    let mut frame = vec![0x78; FRAME_LEN - 2];
    frame.extend_from_slice(&seq.to_be_bytes());
    Bytes::from(frame)
}

/// Sends `frames` of sound of 20 ms over `link`.
fn send(call: &mut Call, frames: std::ops::Range<u16>, link: Link) {
    call.set_link(Side::B, link);
    let id = call.a.first(MediaKind::Audio);
    for seq in frames {
        let timestamp = RtpTime(u32::from(seq) * 960);
        let packet = OutgoingPacket::new(Codec::Opus, SeqNo(seq), timestamp, false, frame(seq));
        let now = call.now();
        call.a.pc.send_rtp(now, id, packet).unwrap();
        call.run_for(Duration::from_millis(20));
    }
    call.set_link(Side::B, way());
    call.run_for(Duration::from_secs(1));
}

fn way() -> Link {
    Link::default().latency(Duration::from_millis(30))
}

/// The packets that arrived, by number; each once, in the order of their numbers, and what was sent.
fn arrived(peer: &Peer) -> BTreeMap<u16, ReceivedPacket> {
    let packets: Vec<_> = peer.packets().cloned().collect();
    let by_seq: BTreeMap<_, _> = packets.iter().map(|packet| (packet.seq.wire().0, packet.clone())).collect();
    assert_eq!(packets.len(), by_seq.len(), "each once");
    for (&seq, packet) in &by_seq {
        assert_eq!((packet.codec, &packet.payload), (Codec::Opus, &frame(seq)));
        assert_eq!(packet.timestamp, RtpTime(u32::from(seq) * 960));
    }
    by_seq
}

fn counters(call: &Call) -> (Outbound, Inbound) {
    (call.a.pc.stats().outbound[0].counters, call.b.pc.stats().inbound[0].counters)
}

/// FEC-06: under loss, frames come again with those that follow, fill what was lost, and come before the frame that brought them.
#[test]
fn lost_sound_comes_with_what_follows() {
    for (loss, most_missing) in [(0.05, 0.01), (0.2, 0.03)] {
        let mut call = connected(red(1), red(2));
        send(&mut call, 0..1500, way().loss(loss));
        let (outbound, inbound) = counters(&call);
        let packets = arrived(&call.b);
        let missing = 1500 - packets.len();
        assert!((missing as f64) < 1500.0 * most_missing, "{missing} of 1500 missing at {loss}");
        let recovered = packets.values().filter(|packet| packet.recovered).count() as u64;
        assert_eq!(recovered, inbound.packets_recovered);
        assert_eq!(inbound.fec_packets_received - inbound.fec_packets_discarded, recovered);
        assert!(recovered as f64 > 1500.0 * loss * 0.7, "{recovered} at {loss}");
        let seqs: Vec<_> = call.b.packets().map(|packet| packet.seq).collect();
        assert!(seqs.is_sorted(), "in order");
        // The way's loss is told, not what is left of it.
        assert!(outbound.remote_packets_lost as f64 > 1500.0 * loss * 0.6);
    }
}

/// A call that loses nothing sends plain Opus, and does so again some seconds after its losses.
#[test]
fn without_losses_nothing_is_added() {
    let mut call = connected(red(1), red(2));
    send(&mut call, 0..500, way());
    let (before, inbound) = counters(&call);
    assert_eq!((before.bytes_sent, inbound.fec_packets_received), (500 * FRAME_LEN as u64, 0));
    send(&mut call, 500..1000, way().loss(0.1));
    assert!(counters(&call).1.fec_packets_received > 500);
    send(&mut call, 1000..1500, way());
    let then = counters(&call).1.fec_packets_received;
    send(&mut call, 1500..2000, way());
    assert_eq!(counters(&call).1.fec_packets_received, then);
}

/// A packet that was only late does not come a second time, and counts as received in reports.
#[test]
fn late_sound_is_no_lost_sound() {
    let mut call = connected(red(1), red(2));
    send(&mut call, 0..500, way().loss(0.1));
    let (lost, discarded) = (counters(&call).1.packets_lost, counters(&call).1.packets_discarded);
    // Late by more than a frame: the next packet has brought its frame.
    send(&mut call, 500..600, way().reorder(0.2, Duration::from_millis(50)));
    let (_, inbound) = counters(&call);
    assert!(inbound.packets_discarded > discarded, "some were late");
    assert_eq!(inbound.packets_lost, lost);
    assert_eq!(arrived(&call.b).range(500..).count(), 100);
}

#[test]
fn only_both_sides_together_repeat() {
    for (a, b) in [(red(1), config(2)), (config(1), red(2))] {
        let mut call = connected(a, b);
        send(&mut call, 0..500, way().loss(0.1));
        assert_eq!(counters(&call).1.fec_packets_received, 0);
        assert!(arrived(&call.b).len() < 490);
    }
}

/// RED stands where the offer had it, since browsers send what is first; other blocks than Opus are not taken.
#[test]
fn answers_keep_the_offered_order() {
    let now = tombolo_netsim::start();
    let mut a = crate::peer::offerer(red(1));
    let offer = a.pc.create_offer().unwrap().to_string();
    assert!(offer.contains("m=audio 4001 UDP/TLS/RTP/SAVPF 111 63\r\n"), "{offer}");
    assert!(offer.contains("a=rtpmap:63 red/48000/2\r\n") && offer.contains("a=fmtp:63 111/111\r\n"));
    let answered = |edit: (&str, &str)| {
        let mut b = Peer::new(red(2), 2);
        let offer = SessionDescription::offer(&offer.replace(edit.0, edit.1)).unwrap();
        b.pc.set_remote_description(now, offer).unwrap();
        let answer = b.pc.create_answer().unwrap().to_string();
        answer
            .lines()
            .find(|line| line.starts_with("m=audio"))
            .unwrap()
            .rsplit_once("SAVPF ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(answered(("", "")), "111 63");
    assert_eq!(answered((" 111 63", " 63 111")), "63 111");
    for refused in ["a=fmtp:63 111/0", "a=fmtp:63 8/8"] {
        assert_eq!(answered(("a=fmtp:63 111/111", refused)), "111");
    }
    assert_eq!(answered(("red/48000/2", "red/8000")), "111");
}
