//! One layer of a track: one encoding, as it comes from the publisher.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, ExtSeqNo, RtpTime};

use super::clock::StreamClock;
use super::config::Config;
use super::kept_group::KeptGroup;
use super::keyframes::KeyframeBudget;
use super::media::MediaFrame;
use super::payload::PayloadInfo;
use super::rewrite::LayerPacket;
use super::to_frames::ToFrames;
use super::to_packets::ToPackets;

/// So many of the newest packets can come late and still find their place.
const SEEN_WINDOW: u64 = 1024;

/// So many packets are at hand for a subscriber whose keyframe began with a late packet.
const RECENT_PACKETS: usize = 64;

/// The numbers of the packets that were seen, so that none goes out twice: a sequence number is encrypted once.
#[derive(Clone, Debug)]
struct SeenWindow {
    highest: Option<u64>,
    bits: [u64; (SEEN_WINDOW / 64) as usize],
}

impl SeenWindow {
    fn slot(seq: u64) -> (usize, u64) {
        ((seq / 64 % (SEEN_WINDOW / 64)) as usize, 1 << (seq % 64))
    }

    /// `false` when `seq` was seen or is too old to tell.
    fn insert(&mut self, seq: ExtSeqNo) -> bool {
        let seq = seq.0;
        let highest = *self.highest.get_or_insert(seq);
        if seq > highest {
            if seq - highest >= SEEN_WINDOW {
                self.bits.fill(0);
            } else {
                for skipped in highest + 1..=seq {
                    let (word, bit) = Self::slot(skipped);
                    self.bits[word] &= !bit;
                }
            }
            self.highest = Some(seq);
        } else if highest - seq >= SEEN_WINDOW {
            return false;
        }
        let (word, bit) = Self::slot(seq);
        let new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        new
    }
}

/// The bit rate over the last one to two seconds.
#[derive(Clone, Copy, Debug, Default)]
struct RateMeter {
    since: Option<Instant>,
    bytes: u64,
    rate: Bitrate,
}

impl RateMeter {
    fn add(&mut self, now: Instant, bytes: usize) {
        let since = *self.since.get_or_insert(now);
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= Duration::from_secs(1) {
            self.rate = Bitrate::from_bytes_in(self.bytes, elapsed);
            self.bytes = 0;
            self.since = Some(now);
        }
        self.bytes += bytes as u64;
    }
}

/// What the arrival of a packet says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Seen before, or too old.
    Duplicate,
    /// In the stream, whether in order or not.
    Regular,
    /// The first one after an outage: what is missing will not come.
    AfterOutage,
}

/// The state of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    seen: SeenWindow,
    meter: RateMeter,
    /// Whether the stream carries H.264 parameter sets.
    has_sps: bool,
    /// The newest keyframe's timestamp, and its bytes so far.
    keyframe: Option<(RtpTime, usize)>,
    pub(super) last_media: Option<Instant>,
    pub(super) clock: StreamClock,
    pub(super) budget: KeyframeBudget,
    pub(super) recent: VecDeque<LayerPacket>,
    pub(super) kept_packets: KeptGroup<LayerPacket>,
    pub(super) kept_frames: KeptGroup<MediaFrame>,
    /// Made while somebody wants frames of a publisher of packets.
    pub(super) to_frames: Option<ToFrames>,
    /// Made while somebody wants packets of a publisher of frames.
    pub(super) to_packets: Option<ToPackets>,
    /// The layer's frames begin again with the next keyframe.
    pub(super) broken: bool,
    pub(super) paused: bool,
    pub(super) resumed: Option<Instant>,
    /// Since when nobody wants it.
    pub(super) idle_since: Option<Instant>,
    /// When a slow receiver's keyframe may be asked.
    pub(super) deferred_want: Option<Instant>,
    /// The group that frame subscribers get: when it began, and its bytes so far.
    pub(super) group: Option<(Instant, usize)>,
}

impl Layer {
    pub(super) fn new(now: Instant, rate_hz: u32) -> Self {
        Self {
            seen: SeenWindow { highest: None, bits: [0; (SEEN_WINDOW / 64) as usize] },
            meter: RateMeter::default(),
            last_media: None,
            clock: StreamClock::new(rate_hz),
            budget: KeyframeBudget::default(),
            recent: VecDeque::new(),
            kept_packets: KeptGroup::default(),
            kept_frames: KeptGroup::default(),
            to_frames: None,
            to_packets: None,
            has_sps: false,
            keyframe: None,
            broken: false,
            paused: false,
            resumed: None,
            idle_since: Some(now),
            deferred_want: None,
            group: None,
        }
    }

    /// Takes note of a packet. `outage` and `outage_packets` are the bounds of [`Config`](super::Config).
    pub(super) fn arrive(
        &mut self,
        now: Instant,
        seq: ExtSeqNo,
        bytes: usize,
        (outage, outage_packets): (Duration, u64),
    ) -> Arrival {
        let missing = self.seen.highest.map_or(0, |highest| seq.0.saturating_sub(highest + 1));
        if !self.seen.insert(seq) {
            return Arrival::Duplicate;
        }
        let silence = self.last_media.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.on_media(now, bytes);
        if missing > outage_packets || (missing > 0 && silence >= outage) {
            Arrival::AfterOutage
        } else {
            Arrival::Regular
        }
    }

    /// Whether a receiver can start with this packet. A keyframe of H.264 starts with its parameter sets if the stream has
    /// any, and once.
    pub(super) fn starts_keyframe(&mut self, packet: &LayerPacket) -> bool {
        let PayloadInfo { starts_keyframe, has_sps, .. } = packet.info;
        self.has_sps |= has_sps;
        let again = self.keyframe.is_some_and(|(timestamp, _)| timestamp == packet.packet.timestamp);
        starts_keyframe && !again && (has_sps || !self.has_sps)
    }

    /// Measures what keyframes cost.
    pub(super) fn note_keyframe_bytes(&mut self, config: &Config, packet: &LayerPacket) {
        let (timestamp, bytes) = (packet.packet.timestamp, packet.packet.payload.len());
        if packet.info.starts_keyframe {
            self.keyframe = Some((timestamp, bytes));
        } else if let Some((of, total)) = &mut self.keyframe
            && *of == timestamp
        {
            *total += bytes;
            let total = *total;
            self.budget.set_cost(config, total, self.rate());
        }
    }

    /// Takes note of `bytes` of media.
    pub(super) fn on_media(&mut self, now: Instant, bytes: usize) {
        self.meter.add(now, bytes);
        self.last_media = Some(now);
    }

    /// Keeps a packet at hand for a moment.
    pub(super) fn remember(&mut self, packet: LayerPacket) {
        if self.recent.len() == RECENT_PACKETS {
            self.recent.pop_front();
        }
        self.recent.push_back(packet);
    }

    /// Whether its media came within `window`.
    pub(super) fn is_active(&self, now: Instant, window: Duration) -> bool {
        self.last_media.is_some_and(|last| now.saturating_duration_since(last) <= window)
    }

    /// Whether it can be chosen: it comes, or it would if it were wanted.
    pub(super) fn is_available(&self, now: Instant, window: Duration) -> bool {
        let resuming = self.resumed.is_some_and(|at| now.saturating_duration_since(at) <= window);
        self.paused || resuming || self.is_active(now, window)
    }

    /// The bit rate of its payloads.
    pub(super) fn rate(&self) -> Bitrate {
        self.meter.rate
    }

    /// Bytes held in kept groups.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept_packets.bytes() + self.kept_frames.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_passes_once() {
        let mut seen = SeenWindow { highest: None, bits: [0; 16] };
        for (seq, new) in [
            (5000, true),
            (5000, false),
            (5002, true),
            (5001, true),
            (5002, false),
            (4999, true),
            (5002 - SEEN_WINDOW, false),
            (5003 + SEEN_WINDOW, true),
            (5001, false),
            (5010, true),
            (90_000, true),
            (89_999, true),
        ] {
            assert_eq!(seen.insert(ExtSeqNo(seq)), new, "{seq}");
        }
    }

    #[test]
    fn a_silence_without_a_hole_is_no_outage() {
        let now = Instant::now();
        let bounds = (Duration::from_millis(500), 128);
        let mut layer = Layer::new(now, 90_000);
        let at = |ms| now + Duration::from_millis(ms);
        assert_eq!(layer.arrive(at(0), ExtSeqNo(70_000), 1, bounds), Arrival::Regular);
        assert_eq!(layer.arrive(at(5000), ExtSeqNo(70_001), 1, bounds), Arrival::Regular);
        assert_eq!(layer.arrive(at(5010), ExtSeqNo(70_003), 1, bounds), Arrival::Regular);
        assert_eq!(layer.arrive(at(6510), ExtSeqNo(70_005), 1, bounds), Arrival::AfterOutage);
        assert_eq!(layer.arrive(at(6511), ExtSeqNo(70_200), 1, bounds), Arrival::AfterOutage);
        assert_eq!(layer.arrive(at(6512), ExtSeqNo(70_004), 1, bounds), Arrival::Regular);
        assert_eq!(layer.arrive(at(6513), ExtSeqNo(70_004), 1, bounds), Arrival::Duplicate);
    }
}
