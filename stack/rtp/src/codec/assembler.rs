//! [`Assembler`]: packets of one stream to whole frames, through loss and reorder.
//!
//! 1. Packets wait in order of their sequence numbers. A frame leaves as soon as its last packet is in and
//!    everything before it has left.
//! 2. A hole waits for its packet: up to [`AssemblerConfig::max_wait`]; only for [`AssemblerConfig::reorder_wait`] when
//!    a whole keyframe stands behind it or so much is missing that a keyframe repairs it sooner; and never past
//!    [`Assembler::give_up_before`].
//! 3. After a packet was given up, a codec with keyframes shows nothing until the next keyframe: there
//!    [`Assembler::needs_keyframe`] is true and frames that refer to lost ones are dropped. So it is at the start too.
//! 4. A frame is whole or is not given out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};

use super::depacketizer::{Depacketizer, Joined, Piece};
use super::red::RedPayload;
use super::{Codec, PayloadKind};

/// Places kept free before the very first packet of a video stream, for packets that were reordered at its start.
const FIRST_PACKET_REORDER: u64 = 16;

/// One packet of the stream.
#[derive(Clone, Debug)]
pub struct AssemblerInput {
    /// The sequence number.
    pub seq: ExtSeqNo,
    /// The timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// The payload without padding. Empty for a packet of padding alone and for one of another payload type, such as comfort
    /// noise or a telephone event: it fills its place.
    pub payload: Bytes,
    /// When it arrived: the current time of the call.
    pub arrival: Instant,
}

/// A whole frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssembledFrame {
    /// The timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// A decoder can start here. Always true for sound.
    pub keyframe: bool,
    /// No frame of the same or a lower temporal layer refers to this one: where no higher layer is wanted, it can be left
    /// out.
    pub discardable: bool,
    /// The temporal layer, where the packets tell it.
    pub temporal_id: Option<u8>,
    /// The highest spatial layer in it, where the packets tell it.
    pub spatial_id: Option<u8>,
    /// Frames between the last one and this one are lost. True for the first frame.
    pub discontinuity: bool,
    /// The frame, in the form that decoders take. VP9: all spatial layers of the picture. AV1: a temporal unit in the low-overhead format, without its delimiter. H.264 and H.265: a byte stream with start codes
    /// of four bytes, a keyframe with its parameter sets.
    pub data: Bytes,
    /// The first of its packets.
    pub first_seq: ExtSeqNo,
    /// The last of its packets.
    pub last_seq: ExtSeqNo,
    /// When the last of its packets to arrive arrived.
    pub arrival: Instant,
}

/// Bounds of an [`Assembler`].
#[derive(Clone, Debug)]
pub struct AssemblerConfig {
    max_packets: usize,
    max_bytes: usize,
    max_wait: Duration,
    reorder_wait: Duration,
    burst_packets: usize,
    until_keyframe: bool,
}

impl AssemblerConfig {
    /// The defaults for a codec.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        let max_wait_ms = if codec.has_keyframes() { 250 } else { 60 };
        Self {
            max_packets: 2048,
            max_bytes: 4 << 20,
            max_wait: Duration::from_millis(max_wait_ms),
            reorder_wait: Duration::from_millis(20),
            burst_packets: 64,
            until_keyframe: true,
        }
    }

    /// Most places that are kept, with and without packet; the oldest are given up. Default 2048, at least 32.
    #[must_use]
    pub fn max_packets(mut self, packets: usize) -> Self {
        self.max_packets = packets.max(32);
        self
    }

    /// Most payload bytes that wait; the oldest are given up. A larger frame cannot be assembled. Default 4 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How long a hole waits for a retransmission. Default 250 ms; 60 ms for a codec without keyframes.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How long a hole waits when nobody waits for a retransmission: a whole keyframe stands behind it, or more
    /// than [`AssemblerConfig::burst_packets`] in a row are missing. Default 20 ms.
    #[must_use]
    pub const fn reorder_wait(mut self, wait: Duration) -> Self {
        self.reorder_wait = wait;
        self
    }

    /// The longest run of missing packets that is worth a wait for retransmissions. Default 64.
    #[must_use]
    pub const fn burst_packets(mut self, packets: usize) -> Self {
        self.burst_packets = packets;
        self
    }

    /// Whether, after a loss, frames are dropped until the next keyframe. Default true: nobody sees a broken
    /// picture. Without it whole frames go on, marked with [`AssembledFrame::discontinuity`].
    #[must_use]
    pub const fn until_keyframe(mut self, drop: bool) -> Self {
        self.until_keyframe = drop;
        self
    }
}

/// Counters of an [`Assembler`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AssemblerStats {
    /// Frames given out.
    pub frames: u64,
    /// Whole or partial frames dropped because of a loss, a malformed packet or a missing keyframe.
    pub frames_dropped: u64,
    /// Packets that were given up.
    pub packets_lost: u64,
    /// Packets that came after they were given up or given out, and duplicates.
    pub packets_late: u64,
    /// Packets whose payload is malformed.
    pub packets_malformed: u64,
    /// Packets that were missing when a later one brought them again.
    pub packets_recovered: u64,
}

#[derive(Debug)]
struct Slot {
    timestamp: RtpTime,
    marker: bool,
    kind: PayloadKind,
    payload: Bytes,
    arrival: Instant,
}

/// The assembler of one stream. Bounded by [`AssemblerConfig::max_packets`] and [`AssemblerConfig::max_bytes`].
#[derive(Debug)]
pub struct Assembler {
    codec: Codec,
    config: AssemblerConfig,
    /// `slots[n]` is the place of the sequence number `base + n`.
    slots: VecDeque<Option<Slot>>,
    base: u64,
    /// The first packet that was pushed; places before it are held free but nothing is missed there.
    first: Option<u64>,
    bytes: usize,
    /// So many places at the front are taken by a frame whose end is not among them.
    run: usize,
    /// Among so many places at the front no keyframe begins for certain, but perhaps at the very front.
    searched: usize,
    given_up_before: u64,
    /// The hole that blocks, and since when.
    blocked: Option<(u64, Instant)>,
    /// The packet before the front was lost, so that the front may be the middle of a frame.
    after_loss: bool,
    awaits_keyframe: bool,
    discontinuity: bool,
    /// The last keyframe followed a loss.
    skips_leading: bool,
    /// The timestamp of the frame that was given out last.
    last_given: Option<RtpTime>,
    /// The frame that was dropped last: what is left of it does not count again.
    dropped: Option<RtpTime>,
    depacketizer: Depacketizer,
    /// Empty between calls; kept for its capacity.
    pieces: Vec<Piece>,
    stats: AssemblerStats,
}

impl Assembler {
    /// With default bounds.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self::with_config(codec, AssemblerConfig::new(codec))
    }

    /// With bounds of the caller's.
    #[must_use]
    pub fn with_config(codec: Codec, config: AssemblerConfig) -> Self {
        Self {
            codec,
            config,
            slots: VecDeque::new(),
            base: 0,
            first: None,
            bytes: 0,
            run: 0,
            searched: 0,
            given_up_before: 0,
            blocked: None,
            after_loss: true,
            awaits_keyframe: codec.has_keyframes(),
            discontinuity: true,
            skips_leading: false,
            last_given: None,
            dropped: None,
            depacketizer: Depacketizer::new(codec),
            pieces: Vec::new(),
            stats: AssemblerStats::default(),
        }
    }

    /// Tells a parameter set of H.264 or H.265 that the session description has (`sprop-parameter-sets`, `sprop-vps` and so on),
    /// as a NAL unit. Those in the stream come to replace it. Other units, and those for other codecs, are ignored.
    pub fn add_parameter_set(&mut self, nal: &[u8]) {
        self.depacketizer.add_parameter_set(nal);
    }

    /// Takes a packet. Call [`Assembler::pop`] until `None` after it.
    pub fn push(&mut self, input: AssemblerInput) {
        let seq = input.seq.0;
        if self.first.is_none() {
            let reorder = if self.codec.has_keyframes() { FIRST_PACKET_REORDER } else { 0 };
            (self.base, self.first) = (seq.saturating_sub(reorder), Some(seq));
        }
        if seq < self.base {
            self.stats.packets_late += 1;
            return;
        }
        let now = input.arrival;
        self.make_room(seq);
        let at = (seq - self.base) as usize;
        if self.slots.get(at).is_some_and(Option::is_some) {
            self.stats.packets_late += 1;
            return;
        }
        let kind = if input.payload.is_empty() {
            PayloadKind::default()
        } else {
            let kind = PayloadKind::of(self.codec, &input.payload);
            self.stats.packets_malformed += u64::from(!kind.valid);
            kind
        };
        let AssemblerInput { timestamp, marker, payload, arrival, .. } = input;
        self.bytes += payload.len();
        let slot = Some(Slot { timestamp, marker, kind, payload, arrival });
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        } else {
            if at > self.slots.len() {
                self.slots.resize_with(at, || None);
            }
            self.slots.push_back(slot);
        }
        if at < self.searched && (self.begins_keyframe(at) || self.begins_keyframe(at + 1)) {
            self.searched = at;
        }
        while self.bytes > self.config.max_bytes {
            self.drop_front(1);
            self.lose();
        }
        self.handle_timeout(now);
    }

    /// Takes a packet of redundant audio ([`super::red`]): the primary block takes its place, an earlier one that of a
    /// missing packet. Blocks of another payload type than `payload_type` are left out. Call [`Assembler::pop`] until `None` after
    /// it.
    pub fn push_red(&mut self, input: AssemblerInput, payload_type: u8) {
        let nothing = AssemblerInput { payload: Bytes::new(), ..input.clone() };
        let Ok(red) = RedPayload::parse(&input.payload) else {
            self.stats.packets_malformed += u64::from(!input.payload.is_empty());
            self.push(nothing);
            return;
        };
        for (seq, timestamp, block) in red.packets(input.seq, input.timestamp, payload_type) {
            if self.lacks(seq.0, timestamp) {
                self.stats.packets_recovered += 1;
                let payload = input.payload.slice_ref(block);
                self.push(AssemblerInput { seq, timestamp, payload, ..nothing.clone() });
            }
        }
        let primary = red.primary();
        let payload = if primary.payload_type == payload_type { primary.data } else { &[] };
        self.push(AssemblerInput { payload: input.payload.slice_ref(payload), ..nothing });
    }

    /// Whether a packet with this number is missing and the timestamp fits between those of its neighbours.
    fn lacks(&self, seq: u64, timestamp: RtpTime) -> bool {
        let Some(at) = seq.checked_sub(self.base).filter(|_| self.first.is_some_and(|first| seq > first))
        else {
            return false;
        };
        let slot = |at: u64| self.slots.get(usize::try_from(at).ok()?)?.as_ref();
        let before = match at.checked_sub(1) {
            Some(at) => slot(at).map(|slot| slot.timestamp),
            None => self.last_given,
        };
        slot(at).is_none()
            && before.is_none_or(|before| timestamp.is_newer_than(before))
            && slot(at + 1).is_none_or(|after| after.timestamp.is_newer_than(timestamp))
    }

    /// The next whole frame, if there is one.
    pub fn pop(&mut self) -> Option<AssembledFrame> {
        loop {
            self.skip_padding();
            if self.awaits_keyframe {
                self.skip_to_keyframe();
            }
            let first_hole = match self.front_run() {
                Run::Whole(len) => {
                    if let Some(frame) = self.take_frame(len) {
                        return Some(frame);
                    }
                    continue;
                }
                Run::Open => None,
                Run::Hole(at) => Some(at),
            };
            let Some(hole) = first_hole else {
                self.blocked = None;
                return None;
            };
            if self.base + (hole as u64) < self.given_up_before {
                self.drop_front(hole + 1);
                self.lose();
                continue;
            }
            self.note_block(hole);
            return None;
        }
    }

    /// Gives up the missing packets before `seq`: they will not come. Call [`Assembler::pop`] until `None` after it.
    pub fn give_up_before(&mut self, seq: ExtSeqNo) {
        self.given_up_before = self.given_up_before.max(seq.0);
    }

    /// When the hole at the front has waited long enough, gives it up. Call [`Assembler::pop`] until `None` after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        // To tell how long it waits takes a look at all that waits.
        let may_end = self.blocked.filter(|(_, since)| now >= *since + self.shortest_wait());
        if let Some((hole, _)) = may_end
            && self.poll_timeout().is_some_and(|deadline| now >= deadline)
        {
            self.give_up_before(ExtSeqNo(hole + self.missing_from(hole) as u64));
        }
    }

    /// When the hole at the front is given up; `None` when nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (hole, since) = self.blocked?;
        let hopeless = self.missing_from(hole) > self.config.burst_packets || self.has_whole_keyframe();
        Some(since + if hopeless { self.shortest_wait() } else { self.config.max_wait })
    }

    fn shortest_wait(&self) -> Duration {
        self.config.reorder_wait.min(self.config.max_wait)
    }

    /// Whether nothing can be shown until a keyframe comes: at the start and after a loss. The caller asks the sender,
    /// at whatever interval is right.
    #[must_use]
    pub const fn needs_keyframe(&self) -> bool {
        self.awaits_keyframe
    }

    /// The first packet that is missing and holds back others, and since when.
    #[must_use]
    pub fn missing(&self) -> Option<(ExtSeqNo, Instant)> {
        self.blocked.map(|(seq, since)| (ExtSeqNo(seq), since))
    }

    /// The counters so far.
    #[must_use]
    pub const fn stats(&self) -> AssemblerStats {
        self.stats
    }

    /// How many packets in a row are missing from `seq` on.
    fn missing_from(&self, seq: u64) -> usize {
        let at = usize::try_from(seq.saturating_sub(self.base)).unwrap_or(usize::MAX);
        self.slots.iter().skip(at).take_while(|slot| slot.is_none()).count()
    }

    /// Gives up the oldest places so that `seq` gets one within the bound.
    fn make_room(&mut self, seq: u64) {
        let max = self.config.max_packets as u64;
        let Some(excess) = (seq - self.base).checked_sub(max - 1).filter(|&excess| excess > 0) else {
            return;
        };
        let kept = self.slots.len().min(usize::try_from(excess).unwrap_or(usize::MAX));
        self.drop_front(kept);
        let beyond = excess - kept as u64;
        self.stats.packets_lost += beyond;
        self.base += beyond;
        self.lose();
    }

    /// Takes away the first `count` places. The missing ones among them are lost.
    fn drop_front(&mut self, count: usize) {
        for (slot, seq) in self.slots.drain(..count).zip(self.base..) {
            match slot {
                Some(slot) => {
                    self.bytes -= slot.payload.len();
                    let counts = !slot.payload.is_empty() && self.dropped != Some(slot.timestamp);
                    self.stats.frames_dropped += u64::from(counts);
                    self.dropped = Some(slot.timestamp);
                }
                None => self.stats.packets_lost += u64::from(self.first.is_some_and(|first| seq > first)),
            }
        }
        self.moved(count);
    }

    /// So many places at the front are gone.
    const fn moved(&mut self, count: usize) {
        self.base += count as u64;
        self.run = self.run.saturating_sub(count);
        self.searched = self.searched.saturating_sub(count);
    }

    fn count_dropped(&mut self, timestamp: RtpTime) {
        if self.dropped.replace(timestamp) != Some(timestamp) {
            self.stats.frames_dropped += 1;
        }
    }

    fn lose(&mut self) {
        self.after_loss = true;
        self.discontinuity = true;
        self.awaits_keyframe |= self.config.until_keyframe && self.codec.has_keyframes();
    }

    fn skip_padding(&mut self) {
        while let Some(Some(slot)) = self.slots.front()
            && slot.payload.is_empty()
        {
            self.slots.pop_front();
            self.moved(1);
        }
    }

    /// Drops what stands before the first keyframe that begins for certain.
    fn skip_to_keyframe(&mut self) {
        if self.begins_keyframe(0) {
            return;
        }
        let begins = (self.searched..self.slots.len()).find(|&at| self.begins_keyframe(at));
        self.searched = begins.unwrap_or(self.slots.len());
        if let Some(at) = begins {
            self.drop_front(at);
            self.lose();
        }
    }

    /// Whether the first packet of a keyframe is at this place, and no packet of the same frame can be missing before it.
    fn begins_keyframe(&self, at: usize) -> bool {
        let Some(Some(Slot { kind, .. })) = self.slots.get(at) else { return false };
        kind.begins && kind.keyframe && (kind.self_contained || at == 0 || self.slots[at - 1].is_some())
    }

    /// How far the frame at the front goes.
    fn front_run(&mut self) -> Run {
        let Some(first) = self.slots.front() else { return Run::Open };
        let Some(first) = first else { return Run::Hole(0) };
        if !self.codec.has_keyframes() {
            return Run::Whole(1);
        }
        let timestamp = first.timestamp;
        while let Some(slot) = self.slots.get(self.run) {
            match slot {
                None => return Run::Hole(self.run),
                Some(slot) if slot.payload.is_empty() => {}
                Some(slot) if slot.timestamp != timestamp => return Run::Whole(self.run),
                Some(slot) if slot.marker => return Run::Whole(self.run + 1),
                Some(_) => {}
            }
            self.run += 1;
        }
        Run::Open
    }

    /// Whether a keyframe waits with all of its packets.
    fn has_whole_keyframe(&self) -> bool {
        let mut open: Option<RtpTime> = None;
        self.codec.has_keyframes()
            && self.slots.iter().any(|slot| {
                let Some(slot) = slot else {
                    open = None;
                    return false;
                };
                let ended =
                    open.is_some_and(|timestamp| timestamp != slot.timestamp && !slot.payload.is_empty());
                if slot.kind.begins && slot.kind.keyframe {
                    open = Some(slot.timestamp);
                }
                ended || (open.is_some() && slot.marker)
            })
    }

    fn note_block(&mut self, hole: usize) {
        let seq = self.base + hole as u64;
        if self.blocked.is_some_and(|(blocked, _)| blocked == seq) {
            return;
        }
        let since = self.slots.range(hole..).flatten().map(|slot| slot.arrival).min();
        self.blocked = since.map(|since| (seq, since));
    }

    /// Takes the packets of a run and makes a frame of them, if it can be shown.
    fn take_frame(&mut self, len: usize) -> Option<AssembledFrame> {
        let first_seq = ExtSeqNo(self.base);
        let last_seq = ExtSeqNo(self.base + len as u64 - 1);
        let first = self.slots.front().and_then(Option::as_ref)?;
        let (timestamp, kind, mut arrival) = (first.timestamp, first.kind, first.arrival);
        for _ in 0..len {
            let Some(Some(slot)) = self.slots.pop_front() else { continue };
            arrival = arrival.max(slot.arrival);
            self.bytes -= slot.payload.len();
            if !slot.payload.is_empty() {
                self.pieces.push(Piece { kind: slot.kind, payload: slot.payload });
            }
        }
        self.moved(len);
        let sound = if self.after_loss { kind.begins } else { kind.may_begin };
        self.after_loss = false;
        let joined = self.depacketizer.join(&self.pieces);
        self.pieces.clear();
        let frame = match joined {
            Joined::Frame(frame) if sound => frame,
            Joined::Nothing => return None,
            _ => {
                self.count_dropped(timestamp);
                self.discontinuity = true;
                self.awaits_keyframe |= self.config.until_keyframe && self.codec.has_keyframes();
                return None;
            }
        };
        if self.awaits_keyframe && !frame.keyframe {
            self.count_dropped(timestamp);
            return None;
        }
        if frame.keyframe {
            self.skips_leading = self.discontinuity;
        } else if frame.leading && self.skips_leading {
            // It refers to what was lost, though what it follows does not.
            self.count_dropped(timestamp);
            return None;
        }
        self.awaits_keyframe = false;
        self.stats.frames += 1;
        self.last_given = Some(timestamp);
        Some(AssembledFrame {
            timestamp,
            keyframe: frame.keyframe,
            discardable: frame.discardable,
            temporal_id: frame.temporal_id,
            spatial_id: frame.spatial_id,
            discontinuity: std::mem::take(&mut self.discontinuity),
            data: frame.data,
            first_seq,
            last_seq,
            arrival,
        })
    }
}

/// The packets of one timestamp at the front.
enum Run {
    /// This many, all there.
    Whole(usize),
    /// A packet is missing at this place.
    Hole(usize),
    /// The end has not come.
    Open,
}
