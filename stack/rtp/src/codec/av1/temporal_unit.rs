//! [`TemporalUnits`]: the packets of a temporal unit to its OBUs with their sizes.

use bytes::{BufMut, BytesMut};

use super::obu::{Obu, ObuHeader, leb128_len, obu_type, obus, put_leb128, read_leb128};
use super::sequence::FrameHeader;
use super::{Aggregation, Av1Sequence};
use crate::codec::depacketizer::{Joined, JoinedFrame, Piece};

/// Header, extension and the longest size.
const HEAD_LEN: usize = 2 + 8;

/// An OBU whose elements are all there.
#[derive(Clone, Copy, Debug)]
struct Plan {
    header: ObuHeader,
    /// Bytes of header and size.
    start: usize,
    len: usize,
}

/// An OBU of which the elements are counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Its first bytes.
    head: [u8; HEAD_LEN],
    len: usize,
}

impl Count {
    fn add(&mut self, element: &[u8]) {
        if let Some(room) = self.head.get_mut(self.len..) {
            let taken = room.len().min(element.len());
            room[..taken].copy_from_slice(&element[..taken]);
        }
        self.len += element.len();
    }

    /// `None` when the size is not that of the rest.
    fn finish(&self) -> Option<Plan> {
        let head = &self.head[..self.len.min(HEAD_LEN)];
        let header = ObuHeader::parse(head).ok()?;
        let mut start = header.len();
        if header.has_size() {
            let (size, size_len) = read_leb128(&head[start..]).ok()?;
            start += size_len;
            if self.len != start + size {
                return None;
            }
        }
        Some(Plan { header, start, len: self.len })
    }
}

/// What a stream keeps between its temporal units.
#[derive(Debug, Default)]
pub(in super::super) struct TemporalUnits {
    sequence: Option<Av1Sequence>,
    /// The header that it was read from.
    sequence_header: Vec<u8>,
    /// Empty between calls; kept for its capacity.
    plans: Vec<Plan>,
}

impl TemporalUnits {
    pub(in super::super) fn assemble(&mut self, pieces: &[Piece]) -> Joined {
        self.plans.clear();
        let Some(len) = self.plan(pieces) else { return Joined::Broken };
        let mut data = BytesMut::with_capacity(len);
        let mut plans = self.plans.iter();
        let mut skipped = 0;
        let mut left_out = false;
        each_element(pieces, |starts, mut element| {
            if starts && let Some(plan) = plans.next() {
                (skipped, left_out) = (plan.start, plan.header.is_left_out());
                if !left_out {
                    plan.header.write(true, &mut data);
                    put_leb128(plan.len - plan.start, &mut data);
                }
            }
            let taken = skipped.min(element.len());
            element = &element[taken..];
            skipped -= taken;
            if !left_out {
                data.put_slice(element);
            }
        });
        self.describe(data)
    }

    /// Plans each OBU; returns how many bytes they take with their sizes. `None` when an element is missing or a size
    /// is wrong.
    fn plan(&mut self, pieces: &[Piece]) -> Option<usize> {
        let (mut open, mut total) = (None::<Count>, 0);
        for Piece { kind, payload } in pieces {
            let aggregation = Aggregation::of(payload).filter(|_| kind.valid)?;
            if aggregation.continues() != open.is_some() {
                return None;
            }
            let mut elements = aggregation.elements().peekable();
            while let Some(element) = elements.next() {
                let mut count = open.take().unwrap_or_default();
                count.add(element);
                if aggregation.will_continue() && elements.peek().is_none() {
                    open = Some(count);
                    continue;
                }
                let plan = count.finish()?;
                if !plan.header.is_left_out() {
                    let payload_len = plan.len - plan.start;
                    total += plan.header.len() + leb128_len(payload_len) + payload_len;
                }
                self.plans.push(plan);
            }
        }
        open.is_none().then_some(total)
    }

    /// What the OBUs tell of the unit.
    fn describe(&mut self, data: BytesMut) -> Joined {
        let mut frame = JoinedFrame { discardable: true, ..JoinedFrame::default() };
        let (mut has_sequence, mut frames) = (false, 0);
        for Obu { header, payload, .. } in obus(&data).map_while(Result::ok) {
            match header.obu_type() {
                obu_type::SEQUENCE_HEADER => {
                    has_sequence = true;
                    if self.sequence_header != payload {
                        self.sequence = Av1Sequence::parse(payload).ok();
                        self.sequence_header.clear();
                        self.sequence_header.extend_from_slice(payload);
                    }
                }
                obu_type::FRAME | obu_type::FRAME_HEADER => {
                    let told = self.sequence.and_then(|sequence| FrameHeader::parse(&sequence, payload).ok());
                    let is_key =
                        told.map_or_else(|| FrameHeader::is_shown_key(payload), |told| told.is_shown_key);
                    frame.keyframe |= frames == 0 && has_sequence && is_key;
                    frame.discardable &= told.is_some_and(|told| told.is_unreferenced);
                    frames += 1;
                    if let Some((temporal_id, spatial_id)) = header.layer() {
                        frame.temporal_id = Some(temporal_id);
                        frame.spatial_id = frame.spatial_id.max(Some(spatial_id));
                    }
                }
                _ => {}
            }
        }
        if frames == 0 {
            return Joined::Nothing;
        }
        frame.data = data.freeze();
        Joined::Frame(frame)
    }
}

/// Calls `with` for each element in order, and whether an OBU starts with it.
fn each_element(pieces: &[Piece], mut with: impl FnMut(bool, &[u8])) {
    for Piece { payload, .. } in pieces {
        if let Some(aggregation) = Aggregation::of(payload) {
            for (n, element) in aggregation.elements().enumerate() {
                with(n > 0 || !aggregation.continues(), element);
            }
        }
    }
}
