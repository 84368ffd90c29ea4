//! Feedback and the cache for retransmissions.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_interceptors::nack::{Cache, CacheConfig};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig};
use tombolo_net::{ExtSeqNo, SeqNo, Ssrc};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] =
    &[Scenario::new("twcc-record", twcc_record), Scenario::new("nack-cache", nack_cache)];

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
