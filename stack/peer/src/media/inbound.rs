//! One received stream: its numbers, what is missing of it, what is reported about it.

use std::time::{Duration, Instant};

use tombolo_interceptors::keyframe::{Kind, Requester, RequesterConfig};
use tombolo_interceptors::nack::{Arrival, Generator, GeneratorConfig};
use tombolo_interceptors::report::ReceiverReports;
use tombolo_interceptors::stats;
use tombolo_net::{ExtSeqNo, RtpTime, SeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::Rid;

use super::fec::Recovery;
use crate::codec::Feedback;
use crate::transceiver::TransceiverId;

/// A received stream.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) ssrc: Ssrc,
    pub(crate) transceiver: TransceiverId,
    pub(crate) rid: Option<Rid>,
    pub(crate) reports: ReceiverReports,
    pub(crate) nack: Generator,
    pub(crate) nack_allowed: bool,
    pub(super) recovery: Option<Box<Recovery>>,
    pub(crate) keyframe: Requester,
    pub(crate) stats: stats::Inbound,
    /// What the sender reports.
    pub(crate) remote: stats::RemoteOutbound,
    pub(crate) last_arrival: Instant,
    /// When its sender said goodbye; it is kept a while for stragglers.
    pub(crate) ended: Option<Instant>,
    rtt: Option<Duration>,
    /// Numbers that were recovered lately: their packets may come all the same.
    recovered: [ExtSeqNo; 16],
    next_recovered: usize,
    unwrapper: SeqUnwrapper,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it was sent first.
    First,
    /// Sent again.
    Retransmitted,
    /// Computed from others.
    Recovered,
}

/// What a connection does with feedback for a stream (RFC 4585 §4.2: only what was negotiated).
pub(crate) fn requester(feedback: Feedback) -> Requester {
    let kind = match feedback {
        Feedback { pli: true, .. } => Some(Kind::Pli),
        Feedback { fir: true, .. } => Some(Kind::Fir),
        _ => None,
    };
    Requester::new(RequesterConfig::default().kind(kind))
}

impl Inbound {
    pub(crate) fn new(
        now: Instant,
        ssrc: Ssrc,
        transceiver: TransceiverId,
        rid: Option<Rid>,
        clock_rate: u32,
        feedback: Feedback,
    ) -> Self {
        Self {
            ssrc,
            transceiver,
            rid,
            reports: ReceiverReports::new(ssrc, clock_rate),
            nack: Generator::new(GeneratorConfig::default()),
            nack_allowed: feedback.nack,
            recovery: None,
            keyframe: requester(feedback),
            stats: stats::Inbound::default(),
            remote: stats::RemoteOutbound::default(),
            last_arrival: now,
            ended: None,
            rtt: None,
            recovered: [ExtSeqNo(0); 16],
            next_recovered: 0,
            unwrapper: SeqUnwrapper::default(),
        }
    }

    /// Takes note of a packet; its number without wraps, unless it is a duplicate or too old to be of use.
    pub(crate) fn on_packet(
        &mut self,
        now: Instant,
        seq: SeqNo,
        timestamp: RtpTime,
        way: Way,
    ) -> Option<ExtSeqNo> {
        let seq = self.unwrapper.unwrap(seq);
        if let Some(recovery) = &self.recovery {
            self.nack.set_patience(recovery.patience(now, self.rtt));
        }
        if let Arrival::Duplicate | Arrival::TooOld = self.nack.on_packet(now, seq) {
            self.stats.packets_discarded += 1;
            // It was late, not lost.
            if let Some(number) = self.recovered.iter_mut().find(|number| **number == seq) {
                *number = ExtSeqNo(0);
                self.reports.on_packet(now, seq, timestamp, way == Way::Retransmitted);
            }
            return None;
        }
        if way == Way::Recovered {
            self.recovered[self.next_recovered] = seq;
            self.next_recovered = (self.next_recovered + 1) % self.recovered.len();
        } else {
            self.reports.on_packet(now, seq, timestamp, way == Way::Retransmitted);
        }
        self.last_arrival = now;
        Some(seq)
    }

    /// The number of a packet that is about to be taken note of; any before the first packet.
    pub(crate) fn peek(&self, seq: SeqNo) -> ExtSeqNo {
        self.unwrapper.peek(seq).unwrap_or(ExtSeqNo(0x1_0000 + u64::from(seq.0)))
    }

    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = Some(rtt);
        self.nack.set_rtt(rtt);
        self.keyframe.set_rtt(rtt);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let asks = self.nack_allowed && self.ended.is_none();
        let nack = self.nack.poll_timeout().filter(|_| asks);
        [nack, self.keyframe.poll_timeout()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A first frame whose packets arrive out of order loses none of them.
    #[test]
    fn packets_from_before_the_first_are_taken_once() {
        let now = tombolo_netsim::start();
        let mut stream = Inbound::new(now, Ssrc(1), TransceiverId(0), None, 90_000, Feedback::default());
        let mut take =
            |seq| stream.on_packet(now, SeqNo(seq), RtpTime(0), Way::First).map(|seq| seq.wire().0);
        assert_eq!(take(100), Some(100));
        assert_eq!([take(98), take(99), take(98), take(99)], [Some(98), Some(99), None, None]);
        assert_eq!([take(101), take(100)], [Some(101), None]);
    }
}
