//! A bandwidth estimator of one's own: it halves the rate when packets are lost and adds to it when none are.
//!
//! `cargo run -p tombolo-interceptors --example own_estimator` sends a packet each 5 ms through it and loses those that a way of 1
//! Mb/s has no room for.

use std::time::{Duration, Instant};

use tombolo_interceptors::bwe::{BandwidthEstimator, PacedSender, PacketResult};
use tombolo_interceptors::pacer::{Class, Outgoing, PacerConfig};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig};
use tombolo_net::{Bitrate, SeqNo, Ssrc};
use tombolo_rtp::rtcp::{Compound, Packet};

struct Careful(Bitrate);

impl BandwidthEstimator for Careful {
    fn on_feedback(&mut self, _: Instant, results: &mut [PacketResult]) {
        let is_lossy = results.iter().any(|result| result.arrival_us.is_none());
        let bps = self.0.as_bps();
        self.0 = Bitrate::from_bps(if is_lossy { bps / 2 } else { bps + 20_000 });
    }

    fn estimate(&self) -> Bitrate {
        self.0
    }
}

fn main() {
    let mut sender = PacedSender::new(Careful(Bitrate::from_kbps(300)), PacerConfig::default(), SeqNo(0));
    let mut receiver = Recorder::new(RecorderConfig::default());
    let (start, mut room_bytes) = (tombolo_netsim::start(), 0_i64);
    for ms in 0..20_000 {
        let now = start + Duration::from_millis(ms);
        room_bytes = (room_bytes + 125).min(5000);
        let size_bytes = (sender.estimate().as_bps() / 8 / 200) as u32; // What 5 ms may have.
        if ms % 5 == 0 {
            let packet = Outgoing { stream: Ssrc(1), class: Class::Video, size_bytes, packet: size_bytes };
            sender.enqueue(now, packet).expect("the pacer has room");
        }
        while let Some(sent) = sender.poll(now) {
            if room_bytes >= size_bytes.into() {
                room_bytes -= i64::from(size_bytes);
                receiver.on_packet(now, sent.seq);
            }
        }
        let mut feedback = Vec::new();
        if receiver.write_feedback(now, Ssrc(2), Ssrc(1), &mut feedback)
            && let Some(Ok(Packet::TransportFeedback(feedback))) = Compound::new(&feedback).next()
        {
            sender.on_feedback(now, &feedback, |_| {});
        }
        if ms % 1000 == 0 {
            println!("{:2} s: {}", ms / 1000, sender.estimate());
        }
    }
}
