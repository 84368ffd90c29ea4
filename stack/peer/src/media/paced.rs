//! What waits for its time to leave, and what the way to the peer carries: pacer and estimator of one connection.

use std::time::{Duration, Instant};

use tombolo_interceptors::bwe::{BandwidthEstimator, PacketResult, ProbeId, SentPacket};
use tombolo_interceptors::ccfb;
use tombolo_interceptors::pacer::{Class, Outgoing, Pacer, Released};
use tombolo_net::{Bitrate, ExtSeqNo, Ssrc};
use tombolo_rtp::RtpHeader;
use tombolo_rtp::rtcp::CongestionFeedback;

use super::outbound::{Kept, OutgoingPacket};
use crate::bandwidth::BandwidthEstimation;
use crate::event::Event;
use crate::transceiver::Transceiver;

/// Packets to a peer that gives no feedback leave at this rate: at once.
const UNKNOWN_RATE: Bitrate = Bitrate::from_kbps(10_000_000);
/// A change of this share is told at once,
const CHANGE_TOLD: f64 = 0.05;
/// and one of this share when nothing was told for a while.
const SMALL_CHANGE_TOLD: f64 = 0.01;
const QUIET: Duration = Duration::from_secs(1);
/// The share of media in what is sent is taken of about this many bytes.
const SHARE_BYTES: u64 = 128 << 10;
/// However much is retransmitted, this share of the estimate is left for media.
const MIN_SHARE: f64 = 0.5;

/// What waits for its turn.
#[derive(Debug)]
pub(super) enum Waiting {
    /// A packet of the application for the stream `ssrc`.
    Media { ssrc: Ssrc, packet: OutgoingPacket },
    /// A packet that the peer asked for again.
    Again(Kept),
}

/// Why a packet leaves now, besides that somebody wants it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occasion {
    pub(super) probe: Option<ProbeId>,
    pub(super) is_padding: bool,
}

impl Occasion {
    const fn packet(self, number: ExtSeqNo, size_bytes: u32) -> SentPacket {
        SentPacket { number, size_bytes, is_padding: self.is_padding, probe: self.probe }
    }
}

/// What the peer tells of what arrives; of several kinds the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Feedback {
    /// Nothing.
    #[default]
    None,
    /// Its own estimate (REMB).
    Estimate,
    /// The fate of each packet, by transport-wide number
    TransportWide,
    /// or by source and sequence number (RFC 8888).
    BySource,
}

/// The pacer and the estimator of a connection.
pub(super) struct Paced {
    estimator: Box<dyn BandwidthEstimator + Send>,
    pacer: Pacer<Waiting>,
    feedback: Feedback,
    /// The peer's own estimate.
    remb: Option<Bitrate>,
    /// What the peer's description limits media to.
    limit: Option<Bitrate>,
    results: Vec<PacketResult>,
    by_source: ccfb::SendHistory,
    /// Bytes that were sent for the first time, without headers, and bytes that were sent at all. Both fade.
    media_bytes: u64,
    all_bytes: u64,
    told: Option<(Instant, Bitrate, Bitrate)>,
}

impl Paced {
    pub(super) fn new(estimation: &BandwidthEstimation) -> Self {
        let mut paced = Self {
            estimator: estimation.make(),
            pacer: Pacer::new(estimation.pacer_config()),
            feedback: Feedback::None,
            remb: None,
            limit: None,
            results: Vec::new(),
            by_source: ccfb::SendHistory::new(),
            media_bytes: 0,
            all_bytes: 0,
            told: None,
        };
        paced.follow();
        paced
    }

    /// Takes over what the sections that are sent have in common.
    pub(super) fn configure<'t>(&mut self, sending: impl Iterator<Item = &'t Transceiver>) {
        self.feedback = Feedback::None;
        let mut limit = Some(0);
        for transceiver in sending {
            let Some(media) = &transceiver.negotiated else { continue };
            let feedback = if media.has_ccfb() {
                Feedback::BySource
            } else if media.codecs.iter().any(|codec| media.numbers_packets(codec)) {
                Feedback::TransportWide
            } else if media.codecs.iter().any(|codec| codec.feedback.remb) {
                Feedback::Estimate
            } else {
                Feedback::None
            };
            self.feedback = self.feedback.max(feedback);
            limit = limit.zip(media.max_bitrate).map(|(sum, limit)| u64::saturating_add(sum, limit.as_bps()));
        }
        self.limit = limit.filter(|&limit| limit > 0).map(Bitrate::from_bps);
        self.follow();
    }

    /// Puts a packet of `size_bytes` into the queue. `false`: it is full.
    pub(super) fn enqueue(
        &mut self,
        now: Instant,
        stream: Ssrc,
        class: Class,
        size_bytes: u32,
        packet: Waiting,
    ) -> bool {
        self.pacer.enqueue(now, Outgoing { stream, class, size_bytes, packet }).is_ok()
    }

    /// What leaves now.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Released<Waiting>> {
        while let Some(probe) = self.estimator.poll_probe(now) {
            self.pacer.probe(now, probe);
        }
        self.pacer.poll(now)
    }

    /// Takes note of a packet with a transport-wide number.
    pub(super) fn on_numbered(
        &mut self,
        now: Instant,
        number: ExtSeqNo,
        size_bytes: u32,
        occasion: Occasion,
    ) {
        if self.feedback == Feedback::TransportWide {
            self.estimator.on_sent(now, &occasion.packet(number, size_bytes));
        }
    }

    /// Takes note of a packet whose fate is told by source and sequence number.
    pub(super) fn on_named(&mut self, now: Instant, header: &RtpHeader, size_bytes: u32, occasion: Occasion) {
        if self.feedback == Feedback::BySource {
            let number = self.by_source.on_sent(now, header.ssrc, header.seq, size_bytes);
            self.estimator.on_sent(now, &occasion.packet(number, size_bytes));
        }
    }

    /// Takes note of a packet that leaves, with `media_bytes` of media that were not sent before.
    pub(super) fn on_sent(&mut self, media_bytes: usize, size_bytes: usize) {
        self.media_bytes += media_bytes as u64;
        self.all_bytes += size_bytes as u64;
        if self.all_bytes >= SHARE_BYTES {
            self.media_bytes /= 2;
            self.all_bytes /= 2;
        }
    }

    /// Reads transport-wide feedback: `read` hands over what became of each packet.
    pub(super) fn on_transport_feedback(&mut self, now: Instant, read: impl FnOnce(&mut Vec<PacketResult>)) {
        self.results.clear();
        read(&mut self.results);
        if self.feedback == Feedback::TransportWide {
            self.estimator.on_feedback(now, &mut self.results);
            self.follow();
        }
    }

    pub(super) fn on_congestion_feedback(&mut self, now: Instant, feedback: &CongestionFeedback<'_>) {
        let results = self.by_source.on_feedback(feedback);
        if self.feedback == Feedback::BySource {
            self.estimator.on_feedback(now, results);
            self.follow();
        }
    }

    pub(super) fn on_remb(&mut self, bitrate: Bitrate) {
        self.remb = Some(bitrate);
        self.follow();
    }

    pub(super) fn set_wanted(&mut self, now: Instant, wanted: Option<Bitrate>) {
        self.estimator.set_wanted(now, wanted);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.estimator.handle_timeout(now);
        self.follow();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.estimator.poll_timeout(), self.pacer.poll_timeout()].into_iter().flatten().min()
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self) {
        self.pacer.clear();
    }

    pub(super) fn waiting_bytes(&self) -> usize {
        [Class::Audio, Class::Retransmission, Class::Keyframe, Class::Video]
            .into_iter()
            .map(|class| self.pacer.waiting_bytes(class))
            .sum()
    }

    /// What the way carries, if the peer tells anything of it.
    pub(super) fn estimate(&self) -> Option<Bitrate> {
        match self.feedback {
            Feedback::None => None,
            Feedback::Estimate => Some(self.remb.unwrap_or_else(|| self.estimator.estimate())),
            Feedback::TransportWide | Feedback::BySource => Some(self.estimator.estimate()),
        }
    }

    /// What is left of it for media, without headers and what is sent again, within the peer's limit.
    pub(super) fn target(&self) -> Option<Bitrate> {
        let estimate = self.estimate()?;
        let share = match self.all_bytes {
            0 => 1.0,
            all => (self.media_bytes as f64 / all as f64).max(MIN_SHARE),
        };
        let target = Bitrate::from_bps((estimate.as_bps() as f64 * share) as u64);
        Some(self.limit.map_or(target, |limit| target.min(limit)))
    }

    /// What the application should know of and was not told yet.
    pub(super) fn poll_event(&mut self, now: Instant) -> Option<Event> {
        let (estimate, target) = (self.estimate()?, self.target()?);
        if let Some((at, told_estimate, told_target)) = self.told {
            let is_quiet = now.saturating_duration_since(at) >= QUIET;
            let least = if is_quiet { SMALL_CHANGE_TOLD } else { CHANGE_TOLD };
            let is_news = |told: Bitrate, new: Bitrate| {
                new.as_bps().abs_diff(told.as_bps()) as f64 >= told.as_bps() as f64 * least && new != told
            };
            if !is_news(told_estimate, estimate) && !is_news(told_target, target) {
                return None;
            }
        }
        self.told = Some((now, estimate, target));
        Some(Event::AvailableBitrate { estimate, target })
    }

    /// Lets the pacer go by what is known now.
    fn follow(&mut self) {
        self.pacer.set_rate(self.estimate().unwrap_or(UNKNOWN_RATE));
    }
}
