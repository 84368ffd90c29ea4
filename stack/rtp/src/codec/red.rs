//! Redundant audio (RFC 2198): the newest frame, and earlier ones again.
//!
//! `[(1 type 7 | timestamp offset 14 | length 10)* | 0 type 7 | blocks | primary]`

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use tombolo_net::{ExtSeqNo, RtpTime};

use super::PacketizeError;
use crate::DecodeError;

const MORE: u8 = 0x80;
const HEADER_LEN: usize = 4;
const MAX_OFFSET: u32 = (1 << 14) - 1;
const MAX_LEN: usize = (1 << 10) - 1;

/// One encoding in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedBlock<'a> {
    /// Its payload type.
    pub payload_type: u8,
    /// How long before the packet's timestamp it begins, in ticks: up to 16383; 0 for the primary.
    pub timestamp_offset: u32,
    /// Its payload.
    pub data: &'a [u8],
}

/// A packet whose list of blocks was checked: all lengths lie inside.
#[derive(Clone, Copy, Debug)]
pub struct RedPayload<'a> {
    headers: &'a [u8],
    primary_type: u8,
    data: &'a [u8],
}

impl<'a> RedPayload<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it ends inside the list or before the lengths add up.
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let (mut at, mut redundant_len) = (0, 0);
        loop {
            let &first = payload.get(at).ok_or(DecodeError::Truncated)?;
            if first & MORE == 0 {
                let (headers, data) = payload.split_at(at);
                let data = &data[1..];
                if redundant_len > data.len() {
                    return Err(DecodeError::Truncated);
                }
                return Ok(Self { headers, primary_type: first, data });
            }
            let header = payload.get(at..at + HEADER_LEN).ok_or(DecodeError::Truncated)?;
            redundant_len += block_len(header);
            at += HEADER_LEN;
        }
    }

    /// How many blocks stand before the primary.
    #[must_use]
    pub fn redundant_count(&self) -> usize {
        self.headers.len() / HEADER_LEN
    }

    /// The blocks before the primary, the oldest first as a rule.
    pub fn redundant(&self) -> impl Iterator<Item = RedBlock<'a>> + use<'a> {
        let mut rest = self.data;
        self.headers.chunks_exact(HEADER_LEN).map(move |header| {
            let (data, after) = rest.split_at(block_len(header));
            rest = after;
            let offset = u32::from(header[1]) << 6 | u32::from(header[2]) >> 2;
            RedBlock { payload_type: header[0] & !MORE, timestamp_offset: offset, data }
        })
    }

    /// The newest block, which the packet's timestamp is that of. It may be empty.
    #[must_use]
    pub fn primary(&self) -> RedBlock<'a> {
        let before: usize = self.headers.chunks_exact(HEADER_LEN).map(block_len).sum();
        RedBlock { payload_type: self.primary_type, timestamp_offset: 0, data: &self.data[before..] }
    }
}

/// Most blocks that [`RedPayload::packets`] looks at, the newest ones.
const MAX_BLOCKS: usize = 16;

impl<'a> RedPayload<'a> {
    /// The redundant blocks of `payload_type` as the packets that they were sent in before, when the packet that they came in has
    /// this number and timestamp: number, timestamp and payload, the oldest first, at most 16. They are those of the packets right before
    /// it. Empty blocks are left out.
    pub fn packets(
        &self,
        seq: ExtSeqNo,
        timestamp: RtpTime,
        payload_type: u8,
    ) -> impl Iterator<Item = (ExtSeqNo, RtpTime, &'a [u8])> + use<'a> {
        let count = self.redundant_count();
        self.redundant().enumerate().skip(count.saturating_sub(MAX_BLOCKS)).filter_map(move |(n, block)| {
            let seq = seq.0.checked_sub((count - n) as u64)?;
            let fits = block.payload_type == payload_type && !block.data.is_empty();
            fits.then_some((ExtSeqNo(seq), timestamp - block.timestamp_offset, block.data))
        })
    }
}

fn block_len(header: &[u8]) -> usize {
    usize::from(header[2] & 3) << 8 | usize::from(header[3])
}

/// Appends a payload: `redundant`, the oldest first, and the primary.
///
/// # Errors
/// [`PacketizeError::Empty`] without a primary, [`PacketizeError::Unsound`] for a payload type above 127, an offset above
/// 16383 or a redundant block of more than 1023 bytes. Nothing is appended then.
pub fn write(
    redundant: &[RedBlock<'_>],
    primary: RedBlock<'_>,
    out: &mut impl BufMut,
) -> Result<(), PacketizeError> {
    if primary.data.is_empty() {
        return Err(PacketizeError::Empty);
    }
    let fits = |block: &RedBlock<'_>| {
        block.payload_type < MORE && block.timestamp_offset <= MAX_OFFSET && block.data.len() <= MAX_LEN
    };
    if primary.payload_type >= MORE || !redundant.iter().all(fits) {
        return Err(PacketizeError::Unsound);
    }
    for block in redundant {
        out.put_u8(MORE | block.payload_type);
        out.put_uint(u64::from(block.timestamp_offset) << 10 | block.data.len() as u64, 3);
    }
    out.put_u8(primary.payload_type);
    redundant.iter().chain([&primary]).for_each(|block| out.put_slice(block.data));
    Ok(())
}

/// Most earlier frames that a [`RedPacketizer`] sends again.
pub const MAX_DISTANCE: usize = 8;

/// Sends each frame again with the ones that follow it.
///
/// A receiver tells by its place in the list which packet a block was: the frames of a packet are those of the packets right
/// before it. Where one of them does not fit, older ones are left out too.
#[derive(Clone, Debug)]
pub struct RedPacketizer {
    payload_type: u8,
    distance: usize,
    /// The newest last.
    earlier: VecDeque<(RtpTime, Vec<u8>)>,
}

impl RedPacketizer {
    /// For frames of `payload_type`, 0..=127, each sent with the `distance` packets that follow it: 1..=8, cut to that.
    #[must_use]
    pub fn new(payload_type: u8, distance: usize) -> Self {
        let distance = distance.clamp(1, MAX_DISTANCE);
        Self { payload_type, distance, earlier: VecDeque::with_capacity(distance + 1) }
    }

    /// Changes with how many packets that follow it a frame is sent again: 0..=8, cut to that. What was kept for a longer distance is
    /// forgotten.
    pub fn set_distance(&mut self, distance: usize) {
        self.distance = distance.min(MAX_DISTANCE);
        let beyond = self.earlier.len().saturating_sub(self.distance);
        self.earlier.drain(..beyond);
    }

    /// Appends the payload of the frame at `timestamp`, with as many earlier ones as `max_payload_bytes` leaves room for.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`], [`PacketizeError::TooLarge`] when the frame alone does not fit, and
    /// [`PacketizeError::Unsound`] for a payload type above 127.
    pub fn packetize(
        &mut self,
        timestamp: RtpTime,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        let mut payload = BytesMut::with_capacity(max_payload_bytes.min(self.len_with(frame)));
        self.write(timestamp, frame, max_payload_bytes, &mut payload)?;
        out.push(payload.freeze());
        Ok(())
    }

    /// The most that a payload with this frame takes.
    fn len_with(&self, frame: &[u8]) -> usize {
        let earlier: usize = self.earlier.iter().map(|(_, data)| HEADER_LEN + data.len()).sum();
        earlier + 1 + frame.len()
    }

    /// As [`RedPacketizer::packetize`], behind what `out` has.
    ///
    /// # Errors
    /// The same; nothing is appended then.
    pub fn write(
        &mut self,
        timestamp: RtpTime,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut impl BufMut,
    ) -> Result<(), PacketizeError> {
        let mut room = max_payload_bytes.checked_sub(1 + frame.len()).ok_or(PacketizeError::TooLarge)?;
        let mut blocks =
            [RedBlock { payload_type: self.payload_type, timestamp_offset: 0, data: &[] }; MAX_DISTANCE];
        let mut first = MAX_DISTANCE;
        for (earlier, data) in self.earlier.iter().rev() {
            let offset = timestamp.distance_from(*earlier);
            let fits = (1..=MAX_OFFSET as i32).contains(&offset) && data.len() <= MAX_LEN;
            let Some(left) = room.checked_sub(HEADER_LEN + data.len()).filter(|_| fits) else { break };
            room = left;
            first -= 1;
            blocks[first] = RedBlock { timestamp_offset: offset as u32, data, ..blocks[first] };
        }
        let primary = RedBlock { payload_type: self.payload_type, timestamp_offset: 0, data: frame };
        write(&blocks[first..], primary, out)?;
        self.remember(timestamp, frame);
        Ok(())
    }

    fn remember(&mut self, timestamp: RtpTime, frame: &[u8]) {
        if self.distance == 0 {
            return;
        }
        let is_full = self.earlier.len() >= self.distance;
        let (_, mut data) =
            if is_full { self.earlier.pop_front() } else { None }.unwrap_or((timestamp, Vec::new()));
        data.clear();
        data.extend_from_slice(frame);
        self.earlier.push_back((timestamp, data));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block(payload_type: u8, timestamp_offset: u32, data: &[u8]) -> RedBlock<'_> {
        RedBlock { payload_type, timestamp_offset, data }
    }

    #[test]
    fn a_list_of_blocks_is_read_and_written() {
        let payload = [0xef, 0x1e, 0x00, 2, 0xef, 0x0f, 0x00, 3, 0x6f, 1, 2, 3, 4, 5, 6, 7];
        let red = RedPayload::parse(&payload).unwrap();
        let redundant: Vec<_> = red.redundant().collect();
        assert_eq!(redundant, [block(111, 1920, &[1, 2]), block(111, 960, &[3, 4, 5])]);
        assert_eq!((red.primary(), red.redundant_count()), (block(111, 0, &[6, 7]), 2));
        let mut out = Vec::new();
        write(&redundant, red.primary(), &mut out).unwrap();
        assert_eq!(out, payload);
        let alone = RedPayload::parse(&[0x6f, 9]).unwrap();
        assert_eq!((alone.redundant().count(), alone.primary().data), (0, &[9][..]));
    }

    #[test]
    fn lists_that_lie_are_refused() {
        for bad in [
            &[][..],
            &[0xef],
            &[0xef, 0, 0],
            &[0xef, 0, 0, 0],
            &[0xef, 0, 0, 1, 0x6f],
            &[0xef, 0xff, 0xff, 0xff, 0x6f, 1, 2],
            &[0xef, 0, 0, 1, 0xef, 0, 0, 1, 0x6f, 1],
        ] {
            assert_eq!(RedPayload::parse(bad).err(), Some(DecodeError::Truncated), "{bad:x?}");
        }
    }

    #[test]
    fn what_has_no_place_on_the_wire_is_refused() {
        let mut out = Vec::new();
        let primary = block(111, 0, &[1]);
        assert_eq!(write(&[], block(111, 0, &[]), &mut out), Err(PacketizeError::Empty));
        assert_eq!(write(&[], block(128, 0, &[1]), &mut out), Err(PacketizeError::Unsound));
        assert_eq!(write(&[block(111, 16384, &[1])], primary, &mut out), Err(PacketizeError::Unsound));
        assert_eq!(write(&[block(111, 1, &[1; 1024])], primary, &mut out), Err(PacketizeError::Unsound));
        assert!(out.is_empty());
        write(&[block(127, 16383, &[1; 1023])], primary, &mut out).unwrap();
        let red = RedPayload::parse(&out).unwrap();
        assert_eq!(red.redundant().next(), Some(block(127, 16383, &[1; 1023])));
    }

    #[test]
    fn each_frame_is_sent_again_with_those_that_follow() {
        let mut packetizer = RedPacketizer::new(111, 2);
        let mut out = Vec::new();
        for n in 0..4_u8 {
            packetizer.packetize(RtpTime(0xffff_fc00) + 960 * u32::from(n), &[n; 10], 100, &mut out).unwrap();
        }
        let told = |payload: &Bytes| {
            let red = RedPayload::parse(payload).unwrap();
            let blocks = red.redundant().chain([red.primary()]);
            blocks.map(|block| (block.timestamp_offset, block.data[0])).collect::<Vec<_>>()
        };
        assert_eq!(told(&out[0]), [(0, 0)]);
        assert_eq!(told(&out[1]), [(960, 0), (0, 1)]);
        assert_eq!(told(&out[3]), [(1920, 1), (960, 2), (0, 3)]);
    }

    #[test]
    fn the_distance_can_change() {
        let mut packetizer = RedPacketizer::new(111, 3);
        let mut out = Vec::new();
        for (n, distance) in [3, 3, 3, 1, 2, 2, 0, 1, 1, 9].into_iter().enumerate() {
            packetizer.set_distance(distance);
            packetizer.packetize(RtpTime(n as u32 * 960), &[n as u8], 100, &mut out).unwrap();
        }
        let counts: Vec<_> =
            out.iter().map(|red| RedPayload::parse(red).unwrap().redundant_count()).collect();
        assert_eq!(counts, [0, 1, 2, 1, 1, 2, 0, 0, 1, 1]);
    }

    #[test]
    fn blocks_are_the_packets_before() {
        let mut out = Vec::new();
        let blocks = [block(9, 2880, &[1]), block(111, 1920, &[2]), block(111, 960, &[])];
        write(&blocks, block(111, 0, &[4]), &mut out).unwrap();
        let red = RedPayload::parse(&out).unwrap();
        let packets: Vec<_> = red.packets(ExtSeqNo(70_000), RtpTime(960), 111).collect();
        assert_eq!(packets, [(ExtSeqNo(69_998), RtpTime(0) - 960, &[2][..])]);
        assert_eq!(red.packets(ExtSeqNo(1), RtpTime(960), 111).count(), 0, "before the first number");
    }

    #[test]
    fn frames_that_do_not_fit_are_left_out_with_older_ones() {
        let mut packetizer = RedPacketizer::new(111, 3);
        let mut out = Vec::new();
        let mut packetize = |time: u32, len: usize, max: usize| {
            packetizer.packetize(RtpTime(time), &vec![7; len], max, &mut out)?;
            Ok(RedPayload::parse(out.last().unwrap()).unwrap().redundant_count())
        };
        assert_eq!(packetize(0, 10, 100), Ok(0));
        assert_eq!(packetize(960, 1024, 1200), Ok(1));
        assert_eq!(packetize(1920, 10, 1200), Ok(0), "the frame before is too large to be sent again");
        assert_eq!(packetize(2880, 10, 25), Ok(1), "room for one");
        assert_eq!(packetize(2880 + 16_384, 10, 100), Ok(0), "too long ago");
        assert_eq!(packetize(1_000_000, 10, 10), Err(PacketizeError::TooLarge));
        assert_eq!(packetize(1_000_000, 0, 10), Err(PacketizeError::Empty));
    }

    proptest! {
        #[test]
        fn lists_round_trip(
            blocks in proptest::collection::vec((0u8..128, 0u32..16384, proptest::collection::vec(any::<u8>(), 0..30)), 0..6),
            primary in proptest::collection::vec(any::<u8>(), 1..30),
        ) {
            let redundant: Vec<_> = blocks.iter().map(|(pt, offset, data)| block(*pt, *offset, data)).collect();
            let mut out = Vec::new();
            write(&redundant, block(96, 0, &primary), &mut out).unwrap();
            let red = RedPayload::parse(&out).unwrap();
            prop_assert_eq!(red.redundant().collect::<Vec<_>>(), redundant);
            prop_assert_eq!(red.primary(), block(96, 0, &primary));
        }

        #[test]
        fn any_bytes_are_survived(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(red) = RedPayload::parse(&payload) {
                let len: usize = red.redundant().chain([red.primary()]).map(|block| block.data.len()).sum();
                prop_assert_eq!(len + 4 * red.redundant_count() + 1, payload.len());
            }
        }
    }
}
