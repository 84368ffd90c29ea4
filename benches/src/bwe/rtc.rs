//! `rtc-interceptor`: its estimator and its leaky bucket, with its defaults. What a packet's number is and when it arrived comes
//! from our transport-wide feedback, which carries what theirs does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc_interceptor::{BandwidthEstimator, Gcc, Pacer, PacketReport};
use tombolo_interceptors::twcc::SendHistory;
use tombolo_net::{Bitrate, SeqNo};
use tombolo_rtp::rtcp::{Compound, Packet};

use super::flow::{Ends, Stack};

/// Ours starts there, too.
const INITIAL_BPS: f64 = 300_000.0;
const RANGE_BPS: (f64, f64) = (30_000.0, 100e6);

pub(super) fn ends(_seed: u64) -> Ends {
    let sender = Sender {
        estimator: Gcc::new(INITIAL_BPS, RANGE_BPS.0, RANGE_BPS.1),
        pacer: Pacer::new(INITIAL_BPS),
        history: SendHistory::new(SeqNo(0)),
        queue: VecDeque::new(),
    };
    Ends { sender: Box::new(sender), receiver: super::tombolo::receiver() }
}

struct Sender {
    estimator: Gcc,
    pacer: Pacer,
    history: SendHistory,
    /// When and how much.
    queue: VecDeque<(Instant, usize)>,
}

impl Sender {
    fn follow(&mut self) {
        self.pacer.set_target_bitrate(self.estimator.target_bitrate());
    }
}

impl Stack for Sender {
    fn enqueue(&mut self, now: Instant, len: usize, _is_keyframe: bool) {
        self.queue.push_back((now, len));
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.pacer.refill(now);
        let Some(&(_, len)) = self.queue.front() else { return false };
        let bits = len as f64 * 8.0;
        if !self.pacer.can_release(bits) {
            return false;
        }
        self.pacer.consume(bits);
        self.queue.pop_front();
        let seq = self.history.on_sent(now, len as u32).wire();
        out.extend_from_slice(&seq.0.to_be_bytes());
        out.resize(len, 0);
        true
    }

    fn handle_feedback(&mut self, now: Instant, data: &[u8]) {
        for packet in Compound::new(data) {
            let Ok(Packet::TransportFeedback(feedback)) = packet else { continue };
            let mut reports = Vec::new();
            self.history.on_feedback(&feedback, |result| {
                let seq = result.number.wire().0;
                reports.push(PacketReport {
                    ssrc: 1,
                    id: result.number.0,
                    rtp_sequence_number: seq,
                    is_twcc: true,
                    twcc_sequence_number: seq,
                    size: result.size_bytes as usize,
                    arrived: result.arrival_us.is_some(),
                    departure: result.sent,
                    arrival: result.arrival_us.map(|us| Duration::from_micros(us.unsigned_abs())),
                    ecn: Default::default(),
                });
            });
            self.estimator.on_reports(now, &reports);
        }
        self.follow();
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.estimator.poll_timeout().is_some_and(|at| at <= now) {
            self.estimator.handle_timeout(now);
            self.follow();
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let released = self.queue.front().map(|&(since, len)| {
            // A moment later, so that rounding does not keep the last bit back.
            let due = self.pacer.releasable_at(len as f64 * 8.0).map(|at| at + Duration::from_micros(10));
            due.map_or(since, |due| due.max(since))
        });
        [released, self.estimator.poll_timeout()].into_iter().flatten().min()
    }

    fn estimate(&self) -> Bitrate {
        Bitrate::from_bps(self.estimator.target_bitrate() as u64)
    }
}
