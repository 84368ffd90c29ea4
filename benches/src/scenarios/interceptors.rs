//! Feedback and the cache for retransmissions.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_crypto::CryptoProvider;
use tombolo_interceptors::bwe::{BandwidthEstimator, EstimatorConfig, PacedSender, PacketResult, SentPacket};
use tombolo_interceptors::ccfb;
use tombolo_interceptors::gcc::Gcc;
use tombolo_interceptors::nack::{Cache, CacheConfig};
use tombolo_interceptors::pacer::{Class, Outgoing, Pacer, PacerConfig};
use tombolo_interceptors::registry::{Interceptor, PacketMut, Place, Registry, Stretch, Verdict};
use tombolo_interceptors::scream::Scream;
use tombolo_interceptors::transform::sframe::{Opener, Sealer, Suite};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig};
use tombolo_net::{Bitrate, Ecn, ExtSeqNo, NtpTime, SeqNo, Ssrc};
use tombolo_rtp::rtcp::{Compound, Packet};

use super::{Scenario, Work, browser_packet};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("twcc-record", twcc_record),
    Scenario::new("ccfb-record", ccfb_record),
    Scenario::new("nack-cache", nack_cache),
    Scenario::new("pacer-packet", pacer_packet),
    Scenario::new("paced-sender-packet", paced_sender_packet),
    Scenario::new("gcc-packet", gcc_packet),
    Scenario::new("scream-packet", scream_packet),
    Scenario::new("registry-packet", registry_packet),
    Scenario::new("sframe-ctr-frame", || sframe_frame(Suite::Aes128CtrHmacSha256Tag80)),
    Scenario::new("sframe-gcm-frame", || sframe_frame(Suite::Aes128GcmSha256)),
];

/// Notes a packet, and writes the feedback when it is due: about one packet in 50.
fn twcc_record() -> Work {
    let mut recorder = Recorder::new(RecorderConfig::default());
    let mut now = Instant::now();
    let mut seq = SeqNo(0);
    let mut out = Vec::with_capacity(2048);
    Box::new(move || {
        now += Duration::from_millis(2);
        seq = seq.next();
        recorder.on_packet(now, seq);
        if recorder.poll_timeout().is_some_and(|due| due <= now) {
            out.clear();
            while recorder.write_feedback(now, Ssrc(1), Ssrc(2), &mut out) {}
            black_box(&out);
        }
    })
}

/// The same by source and sequence number (RFC 8888).
fn ccfb_record() -> Work {
    let mut recorder = ccfb::Recorder::new(ccfb::RecorderConfig::default());
    let mut now = Instant::now();
    let mut seq = SeqNo(0);
    let mut out = Vec::with_capacity(2048);
    Box::new(move || {
        now += Duration::from_millis(2);
        seq = seq.next();
        recorder.on_packet(now, Ssrc(3), seq, Ecn::Ect1);
        if recorder.poll_timeout().is_some_and(|due| due <= now) {
            out.clear();
            while recorder.write_feedback(now, NtpTime(0), Ssrc(1), &mut out) {}
            black_box(&out);
        }
    })
}

/// Keeps a packet and takes an older one out again.
fn nack_cache() -> Work {
    let mut cache: Cache<Bytes> = Cache::new(CacheConfig::default());
    let payload = Bytes::from(vec![7; 1200]);
    let mut now = Instant::now();
    let mut seq = ExtSeqNo(70_000);
    Box::new(move || {
        now += Duration::from_millis(2);
        seq = seq.next();
        cache.insert(now, seq, payload.len(), payload.clone());
        black_box(cache.get(now, ExtSeqNo(seq.0.saturating_sub(20))));
    })
}

/// Takes a packet of one of four streams into the queue and lets one out.
fn pacer_packet() -> Work {
    let mut pacer = Pacer::new(PacerConfig::default());
    pacer.set_rate(Bitrate::from_kbps(3000));
    let mut now = Instant::now();
    let mut number = 0;
    Box::new(move || {
        now += Duration::from_millis(4);
        number += 1;
        let class = if number % 100 < 10 { Class::Keyframe } else { Class::Video };
        let packet = Outgoing { stream: Ssrc(number % 4), class, size_bytes: 1200, packet: number };
        black_box(pacer.enqueue(now, packet)).expect("room in the queue");
        black_box(pacer.poll(now)).expect("a packet");
    })
}

/// Takes a packet through pacer and numbering to the recorder of the other side, and reads the feedback when there is some: about
/// one packet in 12.
fn paced_sender_packet() -> Work {
    let estimator = Gcc::new(EstimatorConfig::default().initial(Bitrate::from_kbps(3000)));
    let mut sender = PacedSender::new(estimator, PacerConfig::default(), SeqNo(0));
    let mut recorder = Recorder::new(RecorderConfig::default());
    let mut now = Instant::now();
    let mut feedback = Vec::with_capacity(2048);
    Box::new(move || {
        now += Duration::from_millis(4);
        let packet = Outgoing { stream: Ssrc(1), class: Class::Video, size_bytes: 1200, packet: () };
        black_box(sender.enqueue(now, packet)).expect("room in the queue");
        while let Some(sent) = sender.poll(now) {
            recorder.on_packet(now + Duration::from_millis(20), sent.seq);
        }
        feedback.clear();
        if recorder.write_feedback(now, Ssrc(2), Ssrc(1), &mut feedback)
            && let Some(Ok(Packet::TransportFeedback(feedback))) = Compound::new(&feedback).next()
        {
            black_box(sender.on_feedback(now, &feedback, |_| {}));
        }
    })
}

/// Tells an estimator of a packet that leaves, and each sixteenth time what became of the last sixteen.
fn gcc_packet() -> Work {
    estimator_packet(Gcc::new(EstimatorConfig::default().initial(Bitrate::from_kbps(2400))))
}

/// The same with the other estimator.
fn scream_packet() -> Work {
    estimator_packet(Scream::new(EstimatorConfig::default().initial(Bitrate::from_kbps(2400))))
}

fn estimator_packet(mut estimator: impl BandwidthEstimator + 'static) -> Work {
    let start = Instant::now();
    let mut results = Vec::with_capacity(16);
    let mut number = 0_u64;
    Box::new(move || {
        let now = start + Duration::from_millis(number * 4);
        let (at, size_bytes) = (ExtSeqNo(number), 1200);
        estimator.on_sent(now, &SentPacket { number: at, size_bytes, is_padding: false, probe: None });
        let arrival_us = Some(number as i64 * 4000 + 20_000 + (number * 7 % 5) as i64 * 250);
        results.push(PacketResult {
            number: at,
            sent: now,
            size_bytes,
            arrival_us,
            ecn: Ecn::NotEct,
            was_missing: false,
        });
        if results.len() == 16 {
            estimator.on_feedback(now + Duration::from_millis(50), &mut results);
            results.clear();
            black_box(estimator.estimate());
        }
        number += 1;
    })
}

/// Counts what passes.
struct Count(Place, u64);

impl Interceptor for Count {
    fn place(&self) -> Place {
        self.0
    }

    fn on_send(&mut self, _: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.1 += packet.payload().len() as u64;
        Verdict::Pass
    }
}

/// Lets a packet pass two interceptors on its way out.
fn registry_packet() -> Work {
    let mut registry = Registry::new();
    registry.add(Count(Place::Wire, 0));
    registry.add(Count(Place::Transport, 0));
    let mut bytes = browser_packet();
    let (len, now) = (bytes.len(), Instant::now());
    Box::new(move || {
        let mut packet = PacketMut::parse(&mut bytes, len).expect("a whole packet");
        let verdict = registry.on_send(now, Stretch::Wire, black_box(&mut packet));
        assert_eq!(black_box(verdict), Verdict::Pass);
    })
}

/// Seals a frame of 5 kB and opens it.
fn sframe_frame(suite: Suite) -> Work {
    let provider = CryptoProvider::default();
    let mut sealer = Sealer::new(provider, suite, 1, &[1; 16]).expect("a suite of the backend");
    let mut opener = Opener::new(provider, suite);
    opener.add_key(1, &[1; 16]).expect("a suite of the backend");
    let (frame, mut sealed, mut opened) = (vec![7; 5000], Vec::new(), Vec::new());
    Box::new(move || {
        sealed.clear();
        opened.clear();
        sealer.seal(&[1, 2, 3], &frame, &mut sealed).expect("counters are left");
        opener.open(&[1, 2, 3], &sealed, &mut opened).expect("what was sealed");
        assert_eq!(opened.len(), frame.len());
    })
}
