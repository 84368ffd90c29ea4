//! One layer of a track: one encoding, as it comes from the publisher.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_interceptors::report::ClockMap;
use tombolo_net::{Bitrate, ExtSeqNo, RtpTime};

use super::config::Config;
use super::kept_group::KeptGroup;
use super::keyframes::KeyframeBudget;
use super::lateness::Lateness;
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

/// So many of the newest padding packets are remembered.
const PADDING_WINDOW: usize = 64;

/// The packets that were only padding. They are left out of the numbering: a leg does not send empty packets, and a
/// hole would be asked for.
#[derive(Clone, Debug, Default)]
struct Padding {
    /// Numbers of the newest ones.
    newest: VecDeque<u64>,
    /// How many there were before those, and the last of them.
    before: u64,
    floor: u64,
}

impl Padding {
    fn note(&mut self, seq: u64) {
        self.newest.push_back(seq);
        if self.newest.len() > PADDING_WINDOW
            && let Some(oldest) = self.newest.pop_front()
        {
            self.before += 1;
            self.floor = oldest;
        }
    }

    /// The number of a packet when padding is not counted; `None` for one that is too old to tell.
    fn renumber(&self, seq: u64) -> Option<ExtSeqNo> {
        let skipped = self.before + self.newest.iter().filter(|&&padding| padding < seq).count() as u64;
        (seq >= self.floor).then(|| ExtSeqNo(seq.saturating_sub(skipped)))
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
    /// Without a payload.
    Padding,
    /// In the stream, whether in order or not, with this number when padding is not counted.
    Regular(ExtSeqNo),
    /// The same, and the first one after an outage: what is missing will not come.
    AfterOutage(ExtSeqNo),
}

/// The state of a layer.
#[derive(Debug)]
pub(super) struct Layer {
    seen: SeenWindow,
    padding: Padding,
    meter: RateMeter,
    /// Whether the stream carries H.264 parameter sets.
    has_sps: bool,
    /// The newest keyframe's timestamp, and its bytes so far.
    keyframe: Option<(RtpTime, usize)>,
    pub(super) last_media: Option<Instant>,
    pub(super) clock: ClockMap,
    pub(super) lateness: Lateness,
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
    pub(super) fn new(now: Instant, config: &Config, rate_hz: u32) -> Self {
        Self {
            seen: SeenWindow { highest: None, bits: [0; (SEEN_WINDOW / 64) as usize] },
            padding: Padding::default(),
            meter: RateMeter::default(),
            last_media: None,
            clock: ClockMap::new(rate_hz),
            lateness: Lateness::default(),
            budget: KeyframeBudget::new(config),
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
        let newest = self.seen.highest.is_none_or(|highest| seq.0 > highest);
        let missing = self.seen.highest.map_or(0, |highest| seq.0.saturating_sub(highest + 1));
        if !self.seen.insert(seq) {
            return Arrival::Duplicate;
        }
        let silence = self.last_media.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        if bytes == 0 {
            if newest {
                self.padding.note(seq.0);
            }
            return Arrival::Padding;
        }
        self.on_media(now, bytes);
        let Some(seq) = self.padding.renumber(seq.0) else {
            return Arrival::Duplicate;
        };
        if missing > outage_packets || (missing > 0 && silence >= outage) {
            Arrival::AfterOutage(seq)
        } else {
            Arrival::Regular(seq)
        }
    }

    /// The number of a packet when padding is not counted; `None` for one that is too old to tell.
    pub(super) fn renumber(&self, seq: ExtSeqNo) -> Option<ExtSeqNo> {
        self.padding.renumber(seq.0)
    }

    /// Marks the packets of keyframes, and measures what those cost. A keyframe of H.264 starts with its parameter sets if
    /// the stream has any; every keyframe starts once.
    pub(super) fn note_keyframe(&mut self, config: &Config, packet: &mut LayerPacket) {
        let (timestamp, bytes) = (packet.packet.timestamp, packet.packet.payload.len());
        let PayloadInfo { starts_keyframe, has_sps, .. } = packet.info;
        self.has_sps |= has_sps;
        if let Some((of, total)) = &mut self.keyframe
            && *of == timestamp
        {
            *total += bytes;
            let total = *total;
            packet.info.starts_keyframe = false;
            packet.keyframe = true;
            self.budget.set_cost(config, total, self.rate());
            return;
        }
        packet.info.starts_keyframe = starts_keyframe && (has_sps || !self.has_sps);
        packet.keyframe = packet.info.starts_keyframe;
        if packet.keyframe {
            self.keyframe = Some((timestamp, bytes));
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
        let mut layer = Layer::new(now, &Config::default(), 90_000);
        let mut arrive = |ms, seq| layer.arrive(now + Duration::from_millis(ms), ExtSeqNo(seq), 1, bounds);
        let (regular, after) =
            (|seq| Arrival::Regular(ExtSeqNo(seq)), |seq| Arrival::AfterOutage(ExtSeqNo(seq)));
        assert_eq!(arrive(0, 70_000), regular(70_000));
        assert_eq!(arrive(5000, 70_001), regular(70_001));
        assert_eq!(arrive(5010, 70_003), regular(70_003));
        assert_eq!(arrive(6510, 70_005), after(70_005));
        assert_eq!(arrive(6511, 70_200), after(70_200));
        assert_eq!(arrive(6512, 70_004), regular(70_004));
        assert_eq!(arrive(6513, 70_004), Arrival::Duplicate);
    }

    #[test]
    fn padding_leaves_no_hole() {
        let now = Instant::now();
        let bounds = (Duration::from_millis(500), 128);
        let mut layer = Layer::new(now, &Config::default(), 90_000);
        let mut arrive = |seq, bytes| layer.arrive(now, ExtSeqNo(seq), bytes, bounds);
        assert_eq!(arrive(70_000, 9), Arrival::Regular(ExtSeqNo(70_000)));
        assert_eq!(arrive(70_002, 0), Arrival::Padding);
        assert_eq!(arrive(70_003, 9), Arrival::Regular(ExtSeqNo(70_002)));
        assert_eq!(arrive(70_001, 9), Arrival::Regular(ExtSeqNo(70_001)), "late, before the padding");
        for padding in 70_004..70_104 {
            assert_eq!(arrive(padding, 0), Arrival::Padding);
        }
        assert_eq!(arrive(70_105, 9), Arrival::Regular(ExtSeqNo(70_004)));
        assert_eq!(arrive(70_104, 9), Arrival::Regular(ExtSeqNo(70_003)));
    }
}
