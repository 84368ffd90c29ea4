//! Interceptors that the user of a connection adds.

use std::time::{Duration, Instant};

use tombolo::crypto::CryptoProvider;
use tombolo::interceptors::registry::{Interceptor, PacketMut, Place, Verdict};
use tombolo::interceptors::transform::SframePackets;
use tombolo::interceptors::transform::sframe::{Opener, Sealer, Suite};
use tombolo::net::Ssrc;
use tombolo::rtp::rtcp::{Compound, Packet};
use tombolo::{Codec, DropReason, MediaKind};

use crate::peer::{Call, connected};

/// Turns each payload byte around, and adds one on the way out.
struct Cipher;

impl Interceptor for Cipher {
    fn place(&self) -> Place {
        Place::Media
    }

    fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        let len = packet.payload().len();
        packet.set_payload_len(len + 1).unwrap();
        packet.payload_mut().iter_mut().for_each(|byte| *byte ^= 0x55);
        Verdict::Pass
    }

    fn on_receive(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        packet.payload_mut().iter_mut().for_each(|byte| *byte ^= 0x55);
        let len = packet.payload().len();
        packet.set_payload_len(len - 1).unwrap();
        Verdict::Pass
    }
}

/// Counts, and drops every n-th packet of each way.
#[derive(Default)]
struct Tap {
    drop_sent: Option<u64>,
    drop_received: Option<u64>,
    sent: u64,
    received: u64,
    rtcp_sent: u64,
    rtcp_received: u64,
    /// A message of its own, once.
    asks: Option<Ssrc>,
    heard: Vec<Ssrc>,
}

fn every(n: Option<u64>, count: u64) -> Verdict {
    if n.is_some_and(|n| count.is_multiple_of(n)) { Verdict::Drop } else { Verdict::Pass }
}

impl Interceptor for Tap {
    fn place(&self) -> Place {
        Place::Wire
    }

    fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        assert!(!packet.bytes().is_empty());
        self.sent += 1;
        every(self.drop_sent, self.sent)
    }

    fn on_receive(&mut self, _: Instant, _: &mut PacketMut<'_>) -> Verdict {
        self.received += 1;
        every(self.drop_received, self.received)
    }

    fn on_rtcp_sent(&mut self, _: Instant, datagram: &[u8]) {
        assert!(Compound::new(datagram).all(|packet| packet.is_ok()));
        self.rtcp_sent += 1;
    }

    fn on_rtcp_received(&mut self, _: Instant, datagram: &[u8]) {
        self.rtcp_received += 1;
        for packet in Compound::new(datagram) {
            if let Ok(Packet::Pli(pli)) = packet {
                self.heard.push(pli.media);
            }
        }
    }

    fn write_feedback(&mut self, _: Instant, sender: Ssrc, out: &mut Vec<u8>) {
        if let Some(media) = self.asks.take() {
            tombolo::rtp::rtcp::write_pli(out, sender, media);
        }
    }
}

/// Sends 200 packets of video from A to B and gives losses time to be repaired.
fn send_video(call: &mut Call) -> Vec<u16> {
    let id = call.a.first(MediaKind::Video);
    let mut sent = Vec::new();
    for _ in 0..200 {
        let now = call.now();
        sent.push(call.a.send(now, id, Codec::Vp8));
        call.run_for(Duration::from_millis(10));
    }
    call.run_for(Duration::from_secs(1));
    sent
}

fn arrived(call: &Call) -> Vec<u16> {
    let mut numbers: Vec<_> = call.b.packets().map(|packet| packet.seq).collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|seq| seq.wire().0).collect()
}

/// What one side makes of the payloads the other undoes, once for each packet, also of those that were sent again.
#[test]
fn payloads_are_changed_once_and_repeated_as_they_were_sent() {
    let mut call = connected();
    call.a.pc.interceptors().add(Tap { drop_sent: Some(10), ..Tap::default() });
    for pc in [&mut call.a.pc, &mut call.b.pc] {
        pc.interceptors().add(Cipher);
    }
    let sent = send_video(&mut call);
    assert_eq!(arrived(&call), sent, "what the tap dropped was sent again");
    assert!(call.b.packets().any(|packet| packet.retransmitted));
    for packet in call.b.packets() {
        assert_eq!(
            (packet.payload.len(), &packet.payload[2..4]),
            (200, &packet.seq.wire().0.to_be_bytes()[..])
        );
    }
    let tap = call.a.pc.interceptors().get::<Tap>().unwrap();
    assert!(tap.sent > 220, "repetitions pass, too: {}", tap.sent);
}

/// SFRAME-01: packets that both ends encrypt, of any codec; lost ones are sent again as they were sealed, and opened once.
#[test]
fn payloads_are_encrypted_from_end_to_end() {
    let provider = CryptoProvider::default();
    let mut call = connected();
    call.a.pc.interceptors().add(Tap { drop_sent: Some(9), ..Tap::default() });
    for (pc, own, other) in [(&mut call.a.pc, 1, 2), (&mut call.b.pc, 2, 1)] {
        let mut opener = Opener::new(provider, Suite::Aes128CtrHmacSha256Tag80);
        opener.add_key(other, &[other as u8; 16]).unwrap();
        let sealer = Sealer::new(provider, Suite::Aes128CtrHmacSha256Tag80, own, &[own as u8; 16]).unwrap();
        pc.interceptors().add(SframePackets::new(sealer, opener));
    }
    let sent = send_video(&mut call);
    assert_eq!(arrived(&call), sent);
    for packet in call.b.packets() {
        assert_eq!(
            (packet.payload.len(), &packet.payload[2..4]),
            (200, &packet.seq.wire().0.to_be_bytes()[..])
        );
    }
    assert_eq!(call.b.pc.interceptors().get::<SframePackets>().unwrap().refused(), 0);
    // With another key nothing is opened.
    let sframe = call.b.pc.interceptors().get_mut::<SframePackets>().unwrap();
    assert!(sframe.opener.remove_key(1));
    let before = call.b.packets().count();
    let id = call.a.first(MediaKind::Audio);
    for _ in 0..20 {
        let now = call.now();
        call.a.send(now, id, Codec::Opus);
        call.run_for(Duration::from_millis(20));
    }
    assert_eq!(call.b.packets().count(), before);
    assert!(call.b.pc.interceptors().get::<SframePackets>().unwrap().refused() >= 15);
}

/// The cipher alone: what arrives is not what was sent.
#[test]
fn what_one_side_changes_the_other_gets() {
    let mut call = connected();
    call.a.pc.interceptors().add(Cipher);
    send_video(&mut call);
    assert!(call.b.packets().count() >= 200);
    for packet in call.b.packets() {
        assert_eq!((packet.payload.len(), packet.payload[200]), (201, 0x55));
    }
}

/// What is dropped on the way in is as if lost: it is asked for again, and counted.
#[test]
fn what_is_dropped_on_the_way_in_is_repaired_and_counted() {
    let mut call = connected();
    call.b.pc.interceptors().add(Tap { drop_received: Some(10), ..Tap::default() });
    let sent = send_video(&mut call);
    let arrived = arrived(&call);
    assert_eq!(arrived, sent);
    assert!(call.b.pc.stats().drops.count(DropReason::Intercepted) >= 20);
    assert!(call.b.packets().any(|packet| packet.retransmitted));
}

/// What is dropped at the place of media never was: it is neither sent nor kept, and leaves a gap.
#[test]
fn what_is_dropped_before_repair_stays_away() {
    struct Half(u32);
    impl Interceptor for Half {
        fn place(&self) -> Place {
            Place::Redundancy
        }
        fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
            self.0 += 1;
            if packet.header().seq.0.is_multiple_of(2) { Verdict::Drop } else { Verdict::Pass }
        }
    }
    let mut call = connected();
    call.a.pc.interceptors().add(Half(0));
    send_video(&mut call);
    let arrived = arrived(&call);
    assert_eq!((arrived.len(), arrived.iter().all(|seq| seq % 2 == 1)), (100, true));
    assert_eq!(call.a.pc.interceptors().get::<Half>().unwrap().0, 200, "nothing is shown twice");
}

#[test]
fn rtcp_is_seen_both_ways_and_may_be_added_to() {
    let mut call = connected();
    for pc in [&mut call.a.pc, &mut call.b.pc] {
        pc.interceptors().add(Tap::default());
    }
    call.b.pc.interceptors().get_mut::<Tap>().unwrap().asks = Some(Ssrc(77));
    send_video(&mut call);
    let b_sent = call.b.pc.interceptors().get::<Tap>().unwrap().rtcp_sent;
    let tap = call.a.pc.interceptors().get::<Tap>().unwrap();
    assert!(b_sent > 5 && tap.rtcp_received == b_sent, "{b_sent} sent, {} seen", tap.rtcp_received);
    assert_eq!(tap.heard, [Ssrc(77)]);
}
