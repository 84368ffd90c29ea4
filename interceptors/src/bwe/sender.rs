//! [`PacedSender`]: the way of packets from the streams of one transport to its wire.

use std::time::Instant;

use tombolo_net::{Bitrate, ExtSeqNo, SeqNo};
use tombolo_rtp::rtcp::TransportFeedback;

use super::{BandwidthEstimator, PacketResult, SentPacket};
use crate::pacer::{Class, Outgoing, Pacer, PacerConfig, Release};
use crate::twcc::{SendHistory, Summary};

/// What is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure<P> {
    /// A packet that was enqueued.
    Packet(P),
    /// About so many bytes of padding: a retransmission that nobody asked for, or a packet of padding only.
    Padding(u32),
}

/// What went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent<P> {
    /// What it is.
    pub departure: Departure<P>,
    /// Its transport-wide number.
    pub seq: SeqNo,
}

/// A pacer, an estimator and transport-wide numbers, put together for one transport.
///
/// Packets go in with [`enqueue`](Self::enqueue) and come out of [`poll`](Self::poll) when it is their time, with the number
/// that they carry in the transport-wide extension. Feedback goes to [`on_feedback`](Self::on_feedback).
/// [`estimate`](Self::estimate) is what encoders and layers are chosen by.
#[derive(Debug)]
pub struct PacedSender<E, P> {
    estimator: E,
    pacer: Pacer<P>,
    history: SendHistory,
    results: Vec<PacketResult>,
}

impl<E: BandwidthEstimator, P> PacedSender<E, P> {
    /// A sender whose first packet has the number `first`.
    pub fn new(estimator: E, config: PacerConfig, first: SeqNo) -> Self {
        let mut pacer = Pacer::new(config);
        pacer.set_rate(estimator.estimate());
        Self { estimator, pacer, history: SendHistory::new(first), results: Vec::new() }
    }

    /// Puts a packet into the queue. See [`Pacer::enqueue`].
    ///
    /// # Errors
    ///
    /// The packet, when the queue is full.
    pub fn enqueue(&mut self, now: Instant, packet: Outgoing<P>) -> Result<(), P> {
        self.pacer.enqueue(now, packet)
    }

    /// The next packet to send, if one is due.
    pub fn poll(&mut self, now: Instant) -> Option<Sent<P>> {
        while let Some(probe) = self.estimator.poll_probe(now) {
            self.pacer.probe(now, probe);
        }
        let released = self.pacer.poll(now)?;
        let probe = released.probe;
        let (departure, size_bytes) = match released.what {
            Release::Packet { packet, size_bytes } => (Departure::Packet(packet), size_bytes),
            Release::Padding { size_bytes } => (Departure::Padding(size_bytes), size_bytes),
        };
        let is_padding = matches!(departure, Departure::Padding(_));
        let number = self.history.on_sent(now, size_bytes);
        self.estimator.on_sent(now, &SentPacket { number, size_bytes, is_padding, probe });
        Some(Sent { departure, seq: number.wire() })
    }

    /// Reads feedback. Each packet whose fate it settles goes to `sink`, too.
    pub fn on_feedback(
        &mut self,
        now: Instant,
        feedback: &TransportFeedback<'_>,
        mut sink: impl FnMut(&PacketResult),
    ) -> Summary {
        let results = &mut self.results;
        results.clear();
        let summary = self.history.on_feedback(feedback, |result| {
            sink(&result);
            results.push(result);
        });
        self.estimator.on_feedback(now, results);
        self.pacer.set_rate(self.estimator.estimate());
        summary
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.estimator.handle_timeout(now);
        self.pacer.set_rate(self.estimator.estimate());
    }

    /// When [`poll`](Self::poll) or [`handle_timeout`](Self::handle_timeout) is due: call both.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.estimator.poll_timeout(), self.pacer.poll_timeout()].into_iter().flatten().min()
    }

    /// What the way carries.
    #[must_use]
    pub fn estimate(&self) -> Bitrate {
        self.estimator.estimate()
    }

    /// The estimator.
    pub const fn estimator(&mut self) -> &mut E {
        &mut self.estimator
    }

    /// The pacer.
    pub const fn pacer(&mut self) -> &mut Pacer<P> {
        &mut self.pacer
    }

    /// Bytes of a class that wait to be sent.
    #[must_use]
    pub fn waiting_bytes(&self, class: Class) -> usize {
        self.pacer.waiting_bytes(class)
    }

    /// The number of the next packet.
    #[must_use]
    pub const fn next_number(&self) -> ExtSeqNo {
        self.history.next_number()
    }
}
