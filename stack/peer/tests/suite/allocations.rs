//! Once a call runs, packets cost no allocations: not when they are sent, not when they are received, not in the queue.
//! What is left are reports, a few a second, and the blocks that received payloads share.

use std::time::Duration;

use bytes::Bytes;
use tombolo::net::{RtpTime, SeqNo};
use tombolo::{Codec, Event, MediaKind, OutgoingPacket};

use crate::peer::{Call, connected};

/// A call driven by hand, so that only the connections are measured.
struct Driven {
    call: Call,
    now: std::time::Instant,
    payload: Bytes,
    out: Vec<u8>,
    received: u32,
}

impl Driven {
    fn carry(&mut self, number: u32) {
        let id = tombolo::TransceiverId(1);
        let timestamp = RtpTime(number.wrapping_mul(3000));
        let packet =
            OutgoingPacket::new(Codec::Vp8, SeqNo(number as u16), timestamp, true, self.payload.clone());
        self.call.a.pc.send_rtp(self.now, id, packet).unwrap();
        self.now += Duration::from_millis(5);
        let (a, b) = (&mut self.call.a.pc, &mut self.call.b.pc);
        for (from, to) in [(0, 1), (1, 0)] {
            let peers = [&mut *a, &mut *b];
            loop {
                self.out.clear();
                let Some(transmit) = peers[from].poll_transmit(self.now, &mut self.out) else { break };
                peers[to].handle_datagram(self.now, transmit.path.reversed(), &mut self.out);
            }
        }
        for peer in [a, b] {
            while let Some(event) = peer.poll_event() {
                self.received += u32::from(matches!(event, Event::Rtp(_)));
            }
            if peer.poll_timeout().is_some_and(|at| at <= self.now) {
                peer.handle_timeout(self.now);
            }
        }
    }
}

#[test]
fn packets_cost_no_allocations() {
    let call = connected();
    assert_eq!(call.a.first(MediaKind::Video), tombolo::TransceiverId(1));
    let now = call.now();
    let payload = Bytes::from(vec![0x10; 1000]);
    let mut driven = Driven { call, now, payload, out: Vec::new(), received: 0 };
    for number in 0..3_000 {
        driven.carry(number);
    }
    let counted = allocation_counter::measure(|| (3_000..13_000).for_each(|number| driven.carry(number)));
    assert_eq!(driven.received, 13_000);
    // 10 000 packets are 50 seconds: some hundred reports, feedback messages and consent checks.
    assert!(counted.count_total < 1_000, "{counted:?}");
    assert!(counted.count_current.abs() < 100, "{counted:?}");
}
