//! A sender that keeps to an estimate, a bottleneck with a queue, and feedback each 50 ms.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_interceptors::bwe::{BandwidthEstimator, PacketResult, Probe, SentPacket};
use tombolo_net::{Ecn, ExtSeqNo};

const PACKET_BYTES: u32 = 1000;
/// One way, in ms; the way back has no queue.
const LATENCY_MS: u64 = 20;
const FEEDBACK_MS: u64 = 50;

/// The instant `ms` milliseconds after the start of every virtual clock.
pub(crate) fn at(ms: u64) -> Instant {
    tombolo_netsim::start() + Duration::from_millis(ms)
}

/// The bottleneck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) kbps: u64,
    /// How long packets may wait; more are lost.
    pub(crate) queue_ms: u64,
    /// Packets that wait for longer are marked.
    pub(crate) mark_from_ms: Option<u64>,
    /// Nothing arrives, nor does feedback.
    pub(crate) is_cut: bool,
}

impl Link {
    pub(crate) fn new(kbps: u64) -> Self {
        Self { kbps, queue_ms: 300, mark_from_ms: None, is_cut: false }
    }
}

/// What was seen over some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Report {
    /// What arrived.
    pub(crate) kbps: u64,
    /// How long packets waited on average.
    pub(crate) queue_ms: u64,
    pub(crate) sent: u64,
    pub(crate) lost: u64,
}

pub(crate) struct Session {
    pub(crate) link: Link,
    pub(crate) estimator: Box<dyn BandwidthEstimator>,
    /// What the application sends at most.
    pub(crate) most_kbps: u64,
    ms: u64,
    number: u64,
    /// When the bottleneck has sent all that it took, in µs.
    busy_until_us: u64,
    /// Bytes that may leave, in bits of a millisecond.
    credit_bits: i64,
    probe: Option<(Probe, u32)>,
    results: VecDeque<PacketResult>,
    /// Feedback on its way.
    told: VecDeque<(u64, Vec<PacketResult>)>,
}

impl Session {
    pub(crate) fn new(link: Link, estimator: Box<dyn BandwidthEstimator>) -> Self {
        Self {
            link,
            estimator,
            most_kbps: u64::MAX,
            ms: 0,
            number: 0,
            busy_until_us: 0,
            credit_bits: 0,
            probe: None,
            results: VecDeque::new(),
            told: VecDeque::new(),
        }
    }

    pub(crate) fn run(&mut self, time: Duration) -> Report {
        let mut report = Report::default();
        let (mut arrived_bits, mut waited_us) = (0, 0);
        let millis = time.as_millis() as u64;
        for _ in 0..millis {
            self.ms += 1;
            while let Some(wait_us) = self.send_one() {
                report.sent += 1;
                match wait_us {
                    Some(wait_us) => {
                        arrived_bits += u64::from(PACKET_BYTES) * 8;
                        waited_us += wait_us;
                    }
                    None => report.lost += 1,
                }
            }
            self.carry_feedback();
            if self.estimator.poll_timeout().is_some_and(|due| due <= at(self.ms)) {
                self.estimator.handle_timeout(at(self.ms));
            }
        }
        report.kbps = arrived_bits / millis;
        report.queue_ms = waited_us / 1000 / (report.sent - report.lost).max(1);
        report
    }

    /// Sends a packet if it is time: `None` when it is not, else how long it waits, unless it is lost.
    fn send_one(&mut self) -> Option<Option<u64>> {
        let now = at(self.ms);
        if self.probe.is_none() {
            self.probe = self.estimator.poll_probe(now).map(|probe| (probe, 0));
        }
        let media_bps = self.estimator.estimate().as_bps().min(self.most_kbps.saturating_mul(1000));
        let bps = self.probe.map_or(media_bps, |(probe, _)| probe.rate.as_bps());
        let bits = i64::from(PACKET_BYTES) * 8;
        if self.credit_bits < bits * 1000 {
            // Once a millisecond: the loop ends here.
            self.credit_bits += bps as i64;
            return None;
        }
        self.credit_bits -= bits * 1000;
        let number = ExtSeqNo(self.number);
        self.number += 1;
        let probe = self.probe.map(|(probe, _)| probe.id);
        let is_padding = bps > media_bps;
        self.estimator.on_sent(now, &SentPacket { number, size_bytes: PACKET_BYTES, is_padding, probe });
        if let Some((probe, sent)) = &mut self.probe {
            *sent += PACKET_BYTES;
            if *sent >= probe.min_bytes.max(u32::from(probe.min_packets) * PACKET_BYTES) {
                self.probe = None;
                self.credit_bits = 0;
            }
        }
        let wait_us = self.busy_until_us.saturating_sub(self.ms * 1000);
        let is_lost = wait_us > self.link.queue_ms * 1000 || self.link.is_cut;
        let is_marked = self.link.mark_from_ms.is_some_and(|from| wait_us > from * 1000);
        if !is_lost {
            let sending_us = bits as u64 * 1000 / self.link.kbps;
            self.busy_until_us = self.busy_until_us.max(self.ms * 1000) + sending_us;
        }
        let arrival_us = (self.busy_until_us + LATENCY_MS * 1000) as i64;
        self.results.push_back(PacketResult {
            number,
            sent: now,
            size_bytes: PACKET_BYTES,
            arrival_us: (!is_lost).then_some(arrival_us),
            ecn: match (self.link.mark_from_ms, is_marked) {
                (None, _) => Ecn::NotEct,
                (_, false) => Ecn::Ect1,
                (_, true) => Ecn::Ce,
            },
            was_missing: false,
        });
        Some((!is_lost).then_some(wait_us))
    }

    fn carry_feedback(&mut self) {
        if self.link.is_cut {
            self.results.clear();
            self.told.clear();
            return;
        }
        if self.ms.is_multiple_of(FEEDBACK_MS) {
            let now_us = (self.ms * 1000) as i64;
            let newest =
                self.results.iter().rposition(|result| result.arrival_us.is_some_and(|us| us <= now_us));
            let told = self.results.drain(..newest.map_or(0, |newest| newest + 1)).collect();
            self.told.push_back((self.ms + LATENCY_MS, told));
        }
        while self.told.front().is_some_and(|(due, _)| *due <= self.ms) {
            if let Some((_, mut results)) = self.told.pop_front() {
                self.estimator.on_feedback(at(self.ms), &mut results);
            }
        }
    }
}
