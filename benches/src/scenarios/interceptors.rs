//! Feedback and the cache for retransmissions.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::bwe::{BandwidthEstimator, PacketResult, SentPacket};
use tombolo_interceptors::gcc::{Gcc, GccConfig};
use tombolo_interceptors::nack::{Cache, CacheConfig};
use tombolo_interceptors::pacer::{Class, Outgoing, Pacer, PacerConfig};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig};
use tombolo_net::{Bitrate, Ecn, ExtSeqNo, SeqNo, Ssrc};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("twcc-record", twcc_record),
    Scenario::new("nack-cache", nack_cache),
    Scenario::new("pacer-packet", pacer_packet),
    Scenario::new("gcc-packet", gcc_packet),
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

/// Tells an estimator of a packet that leaves, and each sixteenth time what became of the last sixteen.
fn gcc_packet() -> Work {
    let mut gcc = Gcc::new(GccConfig::default().initial(Bitrate::from_kbps(2400)));
    let start = Instant::now();
    let mut results = Vec::with_capacity(16);
    let mut number = 0_u64;
    Box::new(move || {
        let now = start + Duration::from_millis(number * 4);
        let (at, size_bytes) = (ExtSeqNo(number), 1200);
        gcc.on_sent(now, &SentPacket { number: at, size_bytes, is_padding: false, probe: None });
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
            gcc.on_feedback(now + Duration::from_millis(50), &mut results);
            results.clear();
            black_box(gcc.estimate());
        }
        number += 1;
    })
}
