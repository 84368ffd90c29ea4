//! Once a call runs, packets cost no allocations: not when they are sent, not when they are received, not in the queue.
//! What is left are reports, a few a second, and the blocks that received payloads share.

use std::time::Duration;

use bytes::Bytes;
use tombolo::interceptors::bwe::EstimatorConfig;
use tombolo::net::{Bitrate, RtpTime, SeqNo};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{BandwidthEstimation, Codec, Event, MediaKind, OutgoingPacket};

use crate::peer::{Call, Peer, call, config, connected};

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
    carry_many(connected());
}

#[test]
fn paced_packets_cost_no_allocations() {
    let estimation = BandwidthEstimation::gcc(EstimatorConfig::default().initial(Bitrate::from_kbps(3000)));
    let mut call = call(config(1).bandwidth_estimation(estimation), config(2));
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    carry_many(call);
}

fn carry_many(call: Call) {
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

/// A peer that asks for as many sections as it may, and then does nothing, costs little.
#[test]
fn negotiating_alone_costs_little_memory() {
    let offer = include_str!("../data/sdp/chromium156-simulcast3-vp8.sdp");
    let offer: String = offer
        .lines()
        .filter(|line| !line.starts_with("a=rid:") && !line.starts_with("a=simulcast:"))
        .map(|line| format!("{}\n", line.replace("a=sendonly", "a=recvonly")))
        .collect();
    let (head, video) = offer.split_at(offer.find("m=video").unwrap());
    let mids: Vec<String> = (0..128).map(|mid| mid.to_string()).collect();
    let mut text = head.replace("a=group:BUNDLE 0", &format!("a=group:BUNDLE {}", mids.join(" ")));
    for mid in &mids {
        text.push_str(&video.replace("a=mid:0", &format!("a=mid:{mid}")));
    }
    let mut peer = None;
    let counted = allocation_counter::measure(|| {
        let now = tombolo_netsim::start();
        let mut made = Peer::new(config(2).ice_lite(true), 2);
        made.pc.set_remote_description(now, SessionDescription::offer(&text).unwrap()).unwrap();
        for id in made.pc.transceivers().iter().map(tombolo::Transceiver::id).collect::<Vec<_>>() {
            made.pc.set_direction(id, Direction::SendOnly).unwrap();
        }
        let answer = made.pc.create_answer().unwrap();
        made.pc.set_local_description(now, &answer).unwrap();
        peer = Some(made);
    });
    let sending =
        |transceiver: &&tombolo::Transceiver| transceiver.current_direction() == Some(Direction::SendOnly);
    assert_eq!(peer.unwrap().pc.transceivers().iter().filter(sending).count(), 128);
    assert!(counted.bytes_current < 2 << 20, "{} bytes", counted.bytes_current);
}
