//! The numbering of one subscriber's packet stream.
//!
//! A subscriber sees one stream, whatever layers and tracks it is made of (RFC 3550 §7.2): sequence numbers go on by
//! one where the source changes, timestamps by the time that passed on the gateway's clock, VP8's picture id and
//! TL0PICIDX by one. Between changes every number keeps its distance to the source's, holes included, so that late
//! and retransmitted packets find their place.

use std::time::{Duration, Instant};

use tombolo_net::{ExtSeqNo, RtpTime, SeqNo};

use super::media::{MediaPacket, OutPacket, Prefix};
use super::payload::{PayloadInfo, rewritten};

/// Longest time between two sources that the timestamps tell as it was; a longer one is told as this.
const MAX_GAP: Duration = Duration::from_secs(3600);

/// A packet of a layer and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct LayerPacket {
    pub(super) packet: MediaPacket,
    pub(super) info: PayloadInfo,
    /// Whether it belongs to a keyframe.
    pub(super) keyframe: bool,
    pub(super) capture: Instant,
    /// Whether it is new enough for a joiner to start with it.
    pub(super) live: bool,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    seq_offset: i64,
    ts_offset: u32,
    picture_id_offset: u16,
    tl0_offset: u8,
    /// Packets before this one are from before the switch.
    first: ExtSeqNo,
    /// The timestamp of a burst's last frame, theirs and ours: what follows has to be newer.
    burst_end: Option<(RtpTime, RtpTime)>,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    seq: u64,
    timestamp: RtpTime,
    capture: Instant,
    picture_id: Option<u16>,
    tl0: Option<u8>,
}

/// The state of one subscriber's numbering.
#[derive(Clone, Debug)]
pub(super) struct Rewriter {
    rate_hz: u32,
    first_seq: u16,
    first_timestamp: u32,
    source: Option<Source>,
    newest: Option<Newest>,
}

impl Rewriter {
    /// Begins at the given numbers, which an attacker must not guess (RFC 3550 §5.1).
    pub(super) fn new(rate_hz: u32, first_seq: u16, first_timestamp: u32) -> Self {
        Self { rate_hz, first_seq, first_timestamp, source: None, newest: None }
    }

    /// The stream goes on at another clock rate from the next [`Self::switch`] on.
    pub(super) fn set_rate(&mut self, rate_hz: u32) {
        self.rate_hz = rate_hz;
    }

    fn ticks(&self, time: Duration) -> u32 {
        let ticks = time.min(MAX_GAP).as_micros() * u128::from(self.rate_hz) / 1_000_000;
        u32::try_from(ticks).unwrap_or(u32::MAX / 4)
    }

    /// The offsets that let the stream go on with `first`, where a packet with `timestamp` was captured at `capture`.
    fn source_for(&self, first: &LayerPacket, timestamp: RtpTime, capture: Instant) -> Source {
        let seq = first.packet.seq;
        let Some(newest) = self.newest else {
            return Source {
                // Above one wrap, so that every number stays positive.
                seq_offset: 0x1_0000 + i64::from(self.first_seq) - seq.0 as i64,
                ts_offset: self.first_timestamp.wrapping_sub(timestamp.0),
                picture_id_offset: 0,
                tl0_offset: 0,
                first: seq,
                burst_end: None,
            };
        };
        let passed = self.ticks(capture.saturating_duration_since(newest.capture)).max(1);
        let vp8 = first.info.vp8;
        Source {
            seq_offset: newest.seq as i64 + 1 - seq.0 as i64,
            ts_offset: (newest.timestamp + passed).0.wrapping_sub(timestamp.0),
            picture_id_offset: match (newest.picture_id, vp8.and_then(|vp8| vp8.picture_id)) {
                (Some(last), Some(id)) => last.wrapping_add(1).wrapping_sub(id),
                _ => 0,
            },
            tl0_offset: match (newest.tl0, vp8.and_then(|vp8| vp8.tl0_pic_idx)) {
                (Some(last), Some(id)) => last.wrapping_add(1).wrapping_sub(id),
                _ => 0,
            },
            first: seq,
            burst_end: None,
        }
    }

    /// Lets the stream go on with `packet` of another source, or of the same after a hole that nobody will fill.
    pub(super) fn switch(&mut self, packet: &LayerPacket) {
        self.source = Some(self.source_for(packet, packet.packet.timestamp, packet.capture));
    }

    /// The packet in the subscriber's numbering; `None` when it is from before the last switch.
    pub(super) fn rewrite(&mut self, packet: &LayerPacket) -> Option<OutPacket> {
        let source = self.source.as_mut()?;
        let mut timestamp = RtpTime(packet.packet.timestamp.0.wrapping_add(source.ts_offset));
        if packet.packet.seq < source.first {
            return None;
        }
        if let Some((burst_in, burst_out)) = source.burst_end {
            if packet.packet.timestamp == burst_in {
                timestamp = burst_out;
            } else {
                source.burst_end = None;
                if !timestamp.is_newer_than(burst_out) {
                    let next = burst_out + 1;
                    source.ts_offset = source.ts_offset.wrapping_add(next.0.wrapping_sub(timestamp.0));
                    timestamp = next;
                }
            }
        }
        let source = *source;
        Some(self.number(packet, source, timestamp))
    }

    /// Sends a whole group at once so that a receiver plays its last frame as live.
    ///
    /// `group` begins with a keyframe and is in sequence order. Its last frame keeps the timestamp that says when it
    /// was captured; the others stand before it at distances of one tick. To a receiver's jitter buffer this is what
    /// it looks like: frames of one moment that arrive in one moment. Chromium's takes the variation of delay from
    /// the difference between distances of arrival and of timestamps, both next to nothing here, so its delay stays
    /// where it is; it decodes the burst as fast as it can, for all of it is due, and shows what is newest at each
    /// refresh. True distances would make it play the group from its beginning. Seen in
    /// Chromium 156: in seven of eight joins the group's keyframe stands for one refresh, and in some another old
    /// picture does, before the live one. The playout-delay extension does not help: a minimum of 100 ms, for the whole
    /// burst or for its keyframe or for its keyframe and its last frame, holds back decoding as well, so that old
    /// pictures show all the same, later and for longer.
    ///
    /// The frame after the burst has its true distance to the last frame of it, less a few ticks where a running
    /// stream had no room for the burst.
    pub(super) fn burst(&mut self, group: &[LayerPacket], mut emit: impl FnMut(OutPacket)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            return;
        };
        let last_timestamp = last.packet.timestamp;
        let frames =
            group.windows(2).filter(|pair| pair[0].packet.timestamp != pair[1].packet.timestamp).count();
        let span = u32::try_from(frames).unwrap_or(u32::MAX / 4);
        let floor = self.newest.map(|newest| newest.timestamp);
        let mut source = self.source_for(first, last_timestamp, last.capture);
        if let (Some(old), Some(floor)) = (self.source, floor) {
            // The same source again: what follows the burst keeps its place.
            let mapped = RtpTime(last_timestamp.0.wrapping_add(old.ts_offset));
            if mapped.distance_from(floor).unsigned_abs() <= self.rate_hz {
                source.ts_offset = old.ts_offset;
            }
        }
        let mut timestamp = RtpTime(last_timestamp.0.wrapping_add(source.ts_offset)) - span;
        if let Some(floor) = floor.filter(|&floor| !timestamp.is_newer_than(floor)) {
            timestamp = floor + 1;
        }
        let mut previous = first.packet.timestamp;
        for packet in group {
            if packet.packet.timestamp != previous {
                previous = packet.packet.timestamp;
                timestamp = timestamp + 1;
            }
            emit(self.number(packet, source, timestamp));
        }
        // What of the burst comes later has no place among its timestamps.
        source.first = last.packet.seq.next();
        source.burst_end = Some((last_timestamp, timestamp));
        self.source = Some(source);
    }

    fn number(&mut self, packet: &LayerPacket, source: Source, timestamp: RtpTime) -> OutPacket {
        let seq = (packet.packet.seq.0 as i64 + source.seq_offset) as u64;
        let mut prefix = Prefix::default();
        let mut payload = packet.packet.payload.clone();
        let (mut picture_id, mut tl0) = (None, None);
        if let Some(vp8) = packet.info.vp8 {
            picture_id = vp8.picture_id.map(|id| id.wrapping_add(source.picture_id_offset) & 0x7fff);
            tl0 = vp8.tl0_pic_idx.map(|id| id.wrapping_add(source.tl0_offset));
            if (source.picture_id_offset != 0 || source.tl0_offset != 0)
                && let Some(rewritten) = rewritten(&vp8, &payload, picture_id, tl0)
            {
                prefix = rewritten;
                payload = payload.slice(prefix.as_slice().len()..);
            }
        }
        if self.newest.is_none_or(|newest| seq > newest.seq) {
            self.newest = Some(Newest { seq, timestamp, capture: packet.capture, picture_id, tl0 });
        }
        OutPacket {
            seq: SeqNo(seq as u16),
            timestamp,
            marker: packet.packet.marker,
            keyframe: packet.keyframe,
            capture: packet.capture,
            prefix,
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tombolo_rtp::codec::Codec;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A packet of a VP8 stream with all counters; `frame` is its number, every frame 33 ms long.
    fn packet(start: Instant, seq: u64, frame: u16, keyframe: bool) -> LayerPacket {
        let id = frame.wrapping_mul(3) & 0x7fff;
        let payload = Bytes::from(vec![
            0x90,
            0xe0,
            0x80 | (id >> 8) as u8,
            id as u8,
            frame as u8,
            0x20,
            u8::from(!keyframe),
            0x55,
        ]);
        let info = PayloadInfo::read(Codec::Vp8, &payload);
        let packet = MediaPacket {
            seq: ExtSeqNo(seq),
            timestamp: RtpTime(4_294_960_000) + u32::from(frame) * 2970,
            marker: true,
            payload,
        };
        LayerPacket { packet, info, keyframe, capture: start + 33 * MS * u32::from(frame), live: true }
    }

    fn counters(out: &OutPacket) -> (u16, u8) {
        let mut payload = Vec::new();
        out.write_payload(&mut payload);
        assert_eq!(payload.len(), 8);
        assert_eq!(payload[7], 0x55);
        let info = PayloadInfo::read(Codec::Vp8, &Bytes::from(payload)).vp8.unwrap();
        (info.picture_id.unwrap(), info.tl0_pic_idx.unwrap())
    }

    #[test]
    fn rtp_15_a_switch_goes_on_by_one_and_by_the_time_that_passed() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 65_535, 17);
        let first = packet(start, 70_000, 1, true);
        rewriter.switch(&first);
        let a = rewriter.rewrite(&first).unwrap();
        assert_eq!((a.seq, a.timestamp), (SeqNo(65_535), RtpTime(17)));
        assert!(a.prefix.as_slice().is_empty(), "nothing to rewrite in the first source");
        let b = rewriter.rewrite(&packet(start, 70_003, 2, false)).unwrap();
        assert_eq!(b.seq, SeqNo(2), "holes stay");
        let late = rewriter.rewrite(&packet(start, 70_001, 1, false)).unwrap();
        assert_eq!((late.seq, late.timestamp), (SeqNo(0), RtpTime(17)));
        // Another source, whose capture is two frames later; its numbers are elsewhere.
        let other = packet(start, 900_000, 4, true);
        rewriter.switch(&other);
        let c = rewriter.rewrite(&other).unwrap();
        assert_eq!(c.seq, b.seq.next());
        assert_eq!(c.timestamp.distance_from(b.timestamp), 2 * 2970);
        assert_eq!(counters(&c), (counters(&b).0 + 1, counters(&b).1 + 1));
        assert_eq!(rewriter.rewrite(&packet(start, 899_999, 3, false)), None, "from before the switch");
    }

    #[test]
    fn rtp_15_a_switch_to_a_layer_that_is_behind_still_goes_forward() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 1, 0);
        let first = packet(start, 70_000, 9, true);
        rewriter.switch(&first);
        let a = rewriter.rewrite(&first).unwrap();
        let behind = packet(start, 80_000, 8, true);
        rewriter.switch(&behind);
        let b = rewriter.rewrite(&behind).unwrap();
        assert_eq!(b.timestamp.distance_from(a.timestamp), 1);
    }

    #[test]
    fn picture_ids_wrap_at_fifteen_bits() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 1, 0);
        let first = packet(start, 70_000, 0x7fff / 3, true);
        rewriter.switch(&first);
        let last = counters(&rewriter.rewrite(&first).unwrap()).0;
        let mut expected = last;
        for n in 0..10 {
            let other = packet(start, 80_000 + n, 100, true);
            rewriter.switch(&other);
            expected = (expected + 1) & 0x7fff;
            assert_eq!(counters(&rewriter.rewrite(&other).unwrap()).0, expected);
        }
    }

    #[test]
    fn a_burst_ends_at_the_live_edge_and_the_next_frame_keeps_its_distance() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 1, 0);
        let group: Vec<_> = (0..60).map(|n| packet(start, 70_000 + u64::from(n), n / 2, n < 2)).collect();
        let mut out = Vec::new();
        rewriter.burst(&group, |packet| out.push(packet));
        assert_eq!(out.len(), 60);
        for pair in out.windows(2) {
            assert_eq!(pair[1].seq, pair[0].seq.next());
            assert!((0..=1).contains(&pair[1].timestamp.distance_from(pair[0].timestamp)));
        }
        assert_eq!(out[59].timestamp.distance_from(out[0].timestamp), 29);
        // The last frame goes on, then the next one comes.
        let rest = rewriter.rewrite(&packet(start, 70_060, 29, false)).unwrap();
        assert_eq!(rest.timestamp, out[59].timestamp);
        let live = rewriter.rewrite(&packet(start, 70_061, 30, false)).unwrap();
        assert_eq!(live.timestamp.distance_from(out[59].timestamp), 2970);
        assert_eq!(rewriter.rewrite(&packet(start, 70_050, 25, false)), None, "late for the burst");
    }

    #[test]
    fn a_burst_into_a_running_stream_does_not_move_what_follows() {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(90_000, 1, 0);
        let group: Vec<_> = (0..60).map(|n| packet(start, 70_000 + u64::from(n), n, n == 0)).collect();
        rewriter.switch(&group[0]);
        let live: Vec<_> = group.iter().filter_map(|packet| rewriter.rewrite(packet)).collect();
        let mut again = Vec::new();
        rewriter.burst(&group, |packet| again.push(packet));
        assert_eq!(again[0].seq, live[59].seq.next());
        assert_eq!(again[0].timestamp.distance_from(live[59].timestamp), 1);
        let next = rewriter.rewrite(&packet(start, 70_060, 60, false)).unwrap();
        assert_eq!(next.timestamp.distance_from(live[59].timestamp), 2970);
        assert!(next.timestamp.is_newer_than(again[59].timestamp));
    }
}
