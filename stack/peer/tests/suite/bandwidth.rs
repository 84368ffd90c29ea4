//! Senders that follow what the connection tells them of the way, on a link of one bottleneck.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo::interceptors::bwe::{BandwidthEstimator, EstimatorConfig, PacketResult};
use tombolo::interceptors::pacer::PacerConfig;
use tombolo::interceptors::registry::{Interceptor, Place};
use tombolo::net::{Bitrate, Ecn, RtpTime, SeqNo, Ssrc};
use tombolo::rtp::rtcp;
use tombolo::{
    BandwidthEstimation, Codec, ConfigBuilder, DropReason, Event, MediaKind, OutgoingPacket, TransceiverId,
    UseError,
};
use tombolo_netsim::{Link, Side};

use crate::peer::{Call, call, config, packet, with_offer, without};

/// The payload of a packet of pictures, in bytes.
const PAYLOAD: usize = 1100;

fn gcc() -> BandwidthEstimation {
    BandwidthEstimation::gcc(EstimatorConfig::default())
}

/// A bottleneck with a queue of 200 ms.
fn link(kbps: u64) -> Link {
    let queue = kbps as usize * 1000 / 8 / 5;
    Link::default().latency(Duration::from_millis(20)).rate(Bitrate::from_kbps(kbps), queue)
}

/// A call in which one side sends pictures at 30 frames a second, as many bytes as it is told.
struct Follower {
    call: Call,
    video: TransceiverId,
    next_seq: u16,
    frames: u32,
    /// What the application sends at most.
    most: Bitrate,
    target: Bitrate,
    estimates: Vec<(Instant, Bitrate)>,
    /// What the other side has received of media, in bytes.
    received: u64,
}

impl Follower {
    fn new(config_a: ConfigBuilder, config_b: ConfigBuilder) -> Self {
        Self::over(call(config_a, config_b))
    }

    fn over(mut call: Call) -> Self {
        call.set_recording(false);
        assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
        call.run_for(Duration::from_millis(100));
        let video = call.a.first(MediaKind::Video);
        Self {
            call,
            video,
            next_seq: 0,
            frames: 0,
            most: Bitrate::from_kbps(100_000),
            target: Bitrate::ZERO,
            estimates: Vec::new(),
            received: 0,
        }
    }

    /// Lets media flow for so long; what arrived of it, in kb/s.
    fn run(&mut self, time: Duration) -> u64 {
        let (end, before) = (self.call.now() + time, self.received);
        while self.call.now() < end {
            self.take_events();
            self.send_frame();
            self.call.run_for(Duration::from_micros(33_333));
        }
        self.take_events();
        Bitrate::from_bytes_in(self.received - before, time).as_bps() / 1000
    }

    fn send_frame(&mut self) {
        self.frames += 1;
        let bytes = self.target.min(self.most).as_bps() as usize / 8 / 30;
        let packets = bytes.div_ceil(PAYLOAD).max(1);
        let now = self.call.now();
        for index in 0..packets {
            let mut payload = vec![7; (bytes / packets).max(10)];
            payload[0] = 0x10;
            let packet = OutgoingPacket {
                keyframe: self.frames.is_multiple_of(300),
                ..OutgoingPacket::new(
                    Codec::Vp8,
                    SeqNo(self.next_seq),
                    RtpTime(self.frames.wrapping_mul(3000)),
                    index + 1 == packets,
                    Bytes::from(payload),
                )
            };
            self.next_seq = self.next_seq.wrapping_add(1);
            self.call.a.pc.send_rtp(now, self.video, packet).unwrap();
        }
    }

    fn take_events(&mut self) {
        let now = self.call.now();
        for event in self.call.a.events.drain(..) {
            if let Event::AvailableBitrate { estimate, target } = event {
                assert!(target <= estimate);
                self.target = target;
                self.estimates.push((now, estimate));
            }
        }
        for event in self.call.b.events.drain(..) {
            if let Event::Rtp(packet) = event {
                self.received += packet.payload.len() as u64;
            }
        }
    }

    fn estimate(&self) -> Bitrate {
        self.call.a.pc.stats().available_outgoing_bitrate.unwrap()
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// What arrives in the fifth second, on a link of 2.5 Mb/s, on half of it, and on the whole again, in kb/s.
fn ramp(sender: &mut Follower) -> [u64; 3] {
    let mut fifth_second = |kbps| {
        sender.call.set_link(Side::B, link(kbps));
        sender.run(4 * SECOND);
        let arrived = sender.run(SECOND);
        sender.run(10 * SECOND);
        arrived
    };
    [fifth_second(2500), fifth_second(1250), fifth_second(2500)]
}

#[test]
fn a_link_is_used_within_seconds_also_after_it_changed() {
    for prefers_ccfb in [false, true] {
        let config_a = config(1).bandwidth_estimation(gcc()).prefer_ccfb(prefers_ccfb);
        let mut sender = Follower::new(config_a, config(2).prefer_ccfb(prefers_ccfb));
        let [first, half, again] = ramp(&mut sender);
        let figures = format!("ccfb {prefers_ccfb}: {first}, {half}, {again} kb/s");
        assert!(first > 2250 && half > 1125 && again > 2250, "{figures}");
        let told = sender.estimates.len();
        assert!(told < 1000, "told {told} times in 45 s");
        let stats = sender.call.a.pc.stats();
        assert_eq!(stats.delivered.is_none(), prefers_ccfb, "transport-wide feedback");
        assert!(stats.send_loss < 0.02, "{}", stats.send_loss);
    }
}

/// It swings wider than the other and is back a little later: 85 % where that has 90.
#[test]
fn scream_uses_the_link_too() {
    for prefers_ccfb in [false, true] {
        let scream = BandwidthEstimation::scream(EstimatorConfig::default());
        let config_a = config(1).bandwidth_estimation(scream).prefer_ccfb(prefers_ccfb);
        let mut sender = Follower::new(config_a, config(2).prefer_ccfb(prefers_ccfb));
        let [first, half, again] = ramp(&mut sender);
        let figures = format!("ccfb {prefers_ccfb}: {first}, {half}, {again} kb/s");
        assert!(first > 2125 && half > 1062 && again > 2125, "{figures}");
    }
}

#[test]
fn an_application_that_sends_little_gathers_no_estimate_unless_it_wants_more() {
    let mut sender = Follower::new(config(1).bandwidth_estimation(gcc()), config(2));
    sender.call.set_link(Side::B, link(10_000));
    sender.most = Bitrate::from_kbps(500);
    sender.run(30 * SECOND);
    let since = sender.call.now() - 25 * SECOND;
    let highest = sender.estimates.iter().filter(|(at, _)| *at > since).map(|(_, estimate)| *estimate).max();
    let highest = highest.max(Some(sender.estimate())).unwrap();
    assert!(highest <= Bitrate::from_kbps(750), "{highest}");

    let now = sender.call.now();
    sender.call.a.pc.set_wanted_bitrate(now, Some(Bitrate::from_kbps(2000)));
    sender.run(10 * SECOND);
    let estimate = sender.estimate();
    assert!(estimate >= Bitrate::from_kbps(1800), "{estimate}");
    sender.most = Bitrate::from_kbps(1800);
    sender.run(SECOND);
    let arrived = sender.run(SECOND);
    assert!(arrived > 1500, "{arrived} kb/s at once");
}

/// An estimator of the application's own, that knows what the way carries.
struct Fixed(Bitrate);

impl BandwidthEstimator for Fixed {
    fn on_feedback(&mut self, _: Instant, _: &mut [PacketResult]) {}

    fn estimate(&self) -> Bitrate {
        self.0
    }
}

/// Packets of a large frame leave evenly, and sound does not wait for them.
#[test]
fn a_large_frame_is_spread_and_sound_overtakes_it() {
    let own = BandwidthEstimation::new(|| Box::new(Fixed(Bitrate::from_kbps(300))));
    let mut sender = Follower::new(config(1).bandwidth_estimation(own), config(2));
    let audio = sender.call.a.first(MediaKind::Audio);
    let now = sender.call.now();
    for seq in 0..30 {
        let payload = Bytes::from(vec![0x10; PAYLOAD]);
        let packet = OutgoingPacket::new(Codec::Vp8, SeqNo(seq), RtpTime(0), seq == 29, payload);
        sender.call.a.pc.send_rtp(now, sender.video, packet).unwrap();
    }
    sender.call.a.pc.send_rtp(now, audio, packet(Codec::Opus, 0)).unwrap();
    let waiting = sender.call.a.pc.stats().pacer_bytes;
    assert!(waiting > 25 * PAYLOAD, "{waiting}");
    sender.call.run_for(2 * SECOND);
    assert_eq!(sender.call.a.pc.stats().pacer_bytes, 0);
    let arrivals: Vec<_> = sender.call.b.packets().map(|packet| (packet.codec, packet.arrival)).collect();
    assert_eq!(arrivals.len(), 31);
    let sound = arrivals.iter().position(|(codec, _)| *codec == Codec::Opus).unwrap();
    assert!(sound < 5, "sound came as packet {sound}");
    // At 300 kb/s and half as much again 30 packets of 1148 bytes take 612 ms.
    let took = arrivals[30].1 - arrivals[0].1;
    assert!((Duration::from_millis(550)..Duration::from_millis(650)).contains(&took), "{took:?}");
}

/// What the application sends when it sends little, and the packets that left in all.
fn packets_that_left(mut sender: Follower) -> (u64, u64) {
    sender.most = Bitrate::from_kbps(200);
    sender.run(2 * SECOND);
    let left = sender.call.a.pc.stats().outbound.iter().map(|stream| stream.counters.packets_sent).sum();
    assert_eq!(sender.call.b.pc.stats().drops.count(DropReason::UnknownRepair), 0);
    (u64::from(sender.next_seq), left)
}

#[test]
fn probes_are_filled_up_through_rtx_only() {
    let config_a = || config(1).bandwidth_estimation(gcc());
    let (media, left) = packets_that_left(Follower::new(config_a(), config(2)));
    assert!(left > media + 5, "{left} of {media}");
    let no_rtx =
        |text: String| without(&without(&without(&text, "a=rtpmap:97"), "a=fmtp:97"), "a=ssrc-group");
    let (media, left) = packets_that_left(Follower::over(with_offer(config_a(), config(2), no_rtx)));
    assert_eq!(left, media);
}

/// Tells a ceiling each 100 ms.
struct Ceiling(Bitrate, Option<Instant>);

impl Interceptor for Ceiling {
    fn place(&self) -> Place {
        Place::Wire
    }

    fn write_feedback(&mut self, now: Instant, sender: Ssrc, out: &mut Vec<u8>) {
        if self.1.is_none_or(|next| next <= now) {
            self.1 = Some(now + SECOND / 10);
            rtcp::write_remb(out, sender, self.0, &[Ssrc(1)]);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.1
    }
}

fn without_transport_cc(text: String) -> String {
    text.lines().filter(|line| !line.ends_with("transport-cc")).map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn a_peer_without_feedback_is_believed_its_own_estimate() {
    let config_a = config(1).bandwidth_estimation(gcc());
    let mut call = with_offer(config_a, config(2), without_transport_cc);
    call.b.pc.interceptors().add(Ceiling(Bitrate::from_kbps(777), None));
    let mut sender = Follower::over(call);
    sender.run(3 * SECOND);
    assert_eq!(sender.estimate(), Bitrate::from_kbps(777));
    let arrived = sender.run(SECOND);
    assert!((650..777).contains(&arrived), "{arrived}");
}

#[test]
fn where_the_peer_tells_nothing_packets_leave_at_once() {
    let config_a = config(1).bandwidth_estimation(gcc());
    let mut sender = Follower::over(with_offer(config_a, config(2), |text| without(&text, "a=rtcp-fb")));
    let now = sender.call.now();
    for seq in 0..100 {
        let payload = Bytes::from(vec![0x10; PAYLOAD]);
        let packet = OutgoingPacket::new(Codec::Vp8, SeqNo(seq), RtpTime(0), seq == 99, payload);
        sender.call.a.pc.send_rtp(now, sender.video, packet).unwrap();
    }
    sender.call.run_for(Duration::from_millis(10));
    assert_eq!(sender.call.b.packets().count(), 100);
    assert_eq!(sender.call.a.pc.stats().available_outgoing_bitrate, None);
    assert!(!sender.call.a.events.iter().any(|event| matches!(event, Event::AvailableBitrate { .. })));
}

#[test]
fn what_waits_for_a_stopped_transceiver_is_dropped_and_the_queue_is_bounded() {
    let estimation = gcc().pacer(PacerConfig::default().max_bytes(20_000));
    let mut sender = Follower::new(config(1).bandwidth_estimation(estimation), config(2));
    let now = sender.call.now();
    let mut send = |seq: u16| {
        let payload = Bytes::from(vec![0x10; 952]);
        let packet = OutgoingPacket::new(Codec::Vp8, SeqNo(seq), RtpTime(0), false, payload);
        sender.call.a.pc.send_rtp(now, sender.video, packet)
    };
    let refused = (0..100).find_map(|seq| send(seq).err().map(|error| (seq, error)));
    let Some((taken @ 20..25, UseError::QueueFull)) = refused else { panic!("{refused:?}") };
    sender.call.a.pc.stop_transceiver(now, sender.video).unwrap();
    sender.call.run_for(2 * SECOND);
    let stats = sender.call.a.pc.stats();
    let arrived = sender.call.b.packets().count() as u64;
    assert!(arrived < 5, "{arrived}");
    assert_eq!(
        (stats.pacer_bytes, stats.drops.count(DropReason::Unsendable)),
        (0, u64::from(taken) - arrived)
    );
}

/// RTP-10: what the description limits both sections to is the most that encoders are told.
#[test]
fn the_limits_of_the_peers_description_bound_the_target() {
    let bounds = EstimatorConfig::default().initial(Bitrate::from_kbps(3000));
    let config_b = config(2).bandwidth_estimation(BandwidthEstimation::gcc(bounds));
    let limited = |line: &str| {
        let edit = |text: String| text.replace("a=mid:", &format!("{line}a=mid:"));
        let mut call = with_offer(config(1), config_b.clone(), edit);
        assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
        let told = call.b.events.iter().find_map(|event| match event {
            Event::AvailableBitrate { estimate, target } => Some((*estimate, *target)),
            _ => None,
        });
        told.map(|(estimate, target)| (estimate.as_bps() / 1000, target.as_bps() / 1000))
    };
    assert_eq!(limited("b=AS:400\r\n"), Some((3000, 800)));
    assert_eq!(limited(""), Some((3000, 3000)));
    assert_eq!(
        limited("b=TIAS:18446744073709551615\r\n"),
        Some((3000, 3000)),
        "no sum of limits is too large"
    );
}

/// What is lost is asked for and sent again through the pacer, each packet once and none under an SSRC that is not its own.
#[test]
fn losses_are_repaired_through_the_pacer() {
    let mut sender = Follower::new(config(1).bandwidth_estimation(gcc()), config(2));
    sender.call.set_link(Side::B, link(2500).loss(0.03));
    sender.most = Bitrate::from_kbps(1000);
    let mut received = Vec::new();
    for _ in 0..100 {
        sender.send_frame();
        sender.call.run_for(Duration::from_millis(33));
        received.extend(sender.call.b.packets().map(|packet| (packet.seq.wire().0, packet.retransmitted)));
        sender.take_events();
    }
    sender.call.set_link(Side::B, link(2500));
    sender.send_frame();
    sender.call.run_for(SECOND);
    received.extend(sender.call.b.packets().map(|packet| (packet.seq.wire().0, packet.retransmitted)));
    assert!(received.iter().any(|(_, retransmitted)| *retransmitted));
    let mut numbers: Vec<u16> = received.iter().map(|(seq, _)| *seq).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..sender.next_seq).collect::<Vec<_>>(), "each once, none missing");
    assert_eq!(sender.call.a.pc.stats().drops.total(), 0);
}

/// A peer that tells that nothing goes does not stop the queue for good, nor does one that tells that everything goes open it.
#[test]
fn absurd_estimates_of_a_peer_are_survived() {
    for told in [Bitrate::ZERO, Bitrate::from_bps(u64::MAX)] {
        let config_a = config(1).bandwidth_estimation(gcc());
        let mut call = with_offer(config_a, config(2), without_transport_cc);
        call.b.pc.interceptors().add(Ceiling(told, None));
        let mut sender = Follower::over(call);
        sender.most = Bitrate::from_kbps(300);
        sender.run(3 * SECOND);
        sender.call.run_for(8 * SECOND);
        assert_eq!(sender.call.a.pc.stats().pacer_bytes, 0, "{told}");
        assert_eq!(sender.call.b.pc.stats().inbound[0].counters.packets_received, sender.next_seq.into());
    }
}

/// Remembers the marks of what is told.
struct Marks(Arc<Mutex<Vec<Ecn>>>);

impl BandwidthEstimator for Marks {
    fn on_feedback(&mut self, _: Instant, results: &mut [PacketResult]) {
        self.0.lock().unwrap().extend(results.iter().map(|result| result.ecn));
    }

    fn estimate(&self) -> Bitrate {
        Bitrate::from_kbps(1000)
    }
}

/// RTCP-10: the mark that a datagram arrives with is told to its sender's estimator.
#[test]
fn marks_of_congestion_reach_the_estimator() {
    let marks = Arc::new(Mutex::new(Vec::new()));
    let estimation = {
        let marks = marks.clone();
        BandwidthEstimation::new(move || Box::new(Marks(marks.clone())))
    };
    let config_a = config(1).bandwidth_estimation(estimation).prefer_ccfb(true);
    let mut sender = Follower::new(config_a, config(2).prefer_ccfb(true));
    for ecn in [Ecn::NotEct, Ecn::Ect1, Ecn::Ce] {
        sender.call.b.ecn = ecn;
        sender.run(SECOND);
        sender.call.run_for(SECOND / 2);
        let told = std::mem::take(&mut *marks.lock().unwrap());
        assert!(told.len() >= 30 && told.iter().all(|mark| *mark == ecn), "{ecn:?}: {told:?}");
    }
}
