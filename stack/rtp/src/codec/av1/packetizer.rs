//! [`Av1Packetizer`].

use bytes::{BufMut, Bytes, BytesMut};

use super::obu::{Obu, ObuHeader, leb128_len, obu_type, obus, put_leb128};
use super::{CONTINUES, COUNT_SHIFT, NEW_SEQUENCE, WILL_CONTINUE, is_keyframe};
use crate::codec::PacketizeError;

/// The aggregation header.
const HEADER_LEN: usize = 1;
/// W counts no further: with more elements the last one has its size too.
const MAX_COUNT: usize = 3;
/// A packet that has less room left after other elements does not begin one more that does not fit.
const MIN_FRAGMENT: usize = 16;

/// An OBU as it goes out: the header without a size, and where its payload stands in the temporal unit.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    header: ObuHeader,
    start: usize,
    payload_len: usize,
}

impl Outgoing {
    const fn len(&self) -> usize {
        self.header.len() + self.payload_len
    }
}

/// A part of an OBU in a packet.
#[derive(Clone, Copy, Debug)]
struct Element {
    obu: usize,
    from: usize,
    len: usize,
    /// The last of its packet.
    last: bool,
}

/// Cuts temporal units into payloads.
#[derive(Clone, Debug, Default)]
pub struct Av1Packetizer {
    /// Empty between calls; kept for their capacity.
    obus: Vec<Outgoing>,
    elements: Vec<Element>,
}

impl Av1Packetizer {
    /// For one stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { obus: Vec::new(), elements: Vec::new() }
    }

    /// Appends the payloads of one temporal unit in the low-overhead format, of even size. OBUs share packets within a
    /// layer, the sequence header comes first in its packet. Temporal delimiter, tile lists and padding are left out.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`] without an OBU to send, [`PacketizeError::Unsound`] when the sizes do not add up or the
    /// layers are not in order, [`PacketizeError::MaxPayloadSize`] below 20 bytes.
    pub fn packetize(
        &mut self,
        unit: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        if max_payload_bytes < HEADER_LEN + MIN_FRAGMENT + 3 {
            return Err(PacketizeError::MaxPayloadSize);
        }
        self.obus.clear();
        for obu in obus(unit) {
            let Obu { header, start, payload } = obu.map_err(|_| PacketizeError::Unsound)?;
            if !header.is_left_out() {
                self.obus.push(Outgoing { header, start, payload_len: payload.len() });
            }
        }
        if self.obus.is_empty() {
            return Err(PacketizeError::Empty);
        }
        if !self.is_in_order() {
            return Err(PacketizeError::Unsound);
        }
        let packets = self.plan(max_payload_bytes);
        if packets > 1 {
            let total: usize = self.obus.iter().map(|obu| obu.len() + 2).sum();
            let even = (total.div_ceil(packets) + HEADER_LEN).max(HEADER_LEN + MIN_FRAGMENT + 3);
            if even < max_payload_bytes && self.plan(even) > packets {
                self.plan(max_payload_bytes);
            }
        }
        self.write(unit, out);
        Ok(())
    }

    /// Whether what is of a frame or of a layer stands in the order of the spatial layers, and a sequence header within the
    /// unit in front of a higher one (AV1 bitstream specification §7.5). Else a packet in the middle would look like the
    /// first one.
    fn is_in_order(&self) -> bool {
        let (mut highest, mut at_sequence) = (None, false);
        self.obus.iter().all(|Outgoing { header, .. }| {
            let spatial_id = header.spatial_id();
            let rises = highest.is_none_or(|highest| spatial_id > highest);
            if header.obu_type() == obu_type::SEQUENCE_HEADER {
                at_sequence = highest.is_some();
                return rises || header.layer().is_none();
            }
            if !header.is_of_frame() && header.layer().is_none() {
                return true;
            }
            let goes_on = highest == Some(spatial_id) && !at_sequence;
            (highest, at_sequence) = (Some(spatial_id), false);
            rises || goes_on
        })
    }

    /// Fills packets of at most `limit` bytes one after the other; returns how many.
    fn plan(&mut self, limit: usize) -> usize {
        self.elements.clear();
        let (mut packets, mut size, mut count, mut layer) = (1, HEADER_LEN, 0, None);
        let mut last_len = 0;
        for (n, obu) in self.obus.iter().enumerate() {
            let of_layer = obu.header.layer();
            // A packet is of one layer, and what is of none comes first.
            let parts =
                (layer.is_some() && of_layer != layer) || obu.header.obu_type() == obu_type::SEQUENCE_HEADER;
            let mut close = count > 0 && parts;
            let mut from = 0;
            while from < obu.len() {
                if close {
                    if let Some(element) = self.elements.last_mut() {
                        element.last = true;
                    }
                    (packets, size, count, layer) = (packets + 1, HEADER_LEN, 0, None);
                }
                let rest = obu.len() - from;
                // What the sizes of the element before and of this one take, once this one is in.
                let overhead = match count {
                    0 => 0,
                    1..MAX_COUNT => leb128_len(last_len),
                    MAX_COUNT => leb128_len(last_len) + leb128_len(rest),
                    _ => leb128_len(rest),
                };
                let room = limit.saturating_sub(size + overhead);
                close = rest > room;
                if close && count > 0 && room < MIN_FRAGMENT {
                    continue;
                }
                let len = rest.min(room);
                self.elements.push(Element { obu: n, from, len, last: false });
                size += overhead + len;
                (count, last_len, layer, from) = (count + 1, len, layer.or(of_layer), from + len);
            }
        }
        if let Some(element) = self.elements.last_mut() {
            element.last = true;
        }
        packets
    }

    fn write(&self, unit: &[u8], out: &mut Vec<Bytes>) {
        let sizes = self.elements.iter().map(|element| element.len + HEADER_LEN + 3);
        let mut buffer = BytesMut::with_capacity(sizes.sum());
        let mut new_sequence = if is_keyframe(unit) { NEW_SEQUENCE } else { 0 };
        for packet in self.elements.chunk_by(|element, _| !element.last) {
            let (Some(first), Some(last)) = (packet.first(), packet.last()) else { continue };
            let count = if packet.len() > MAX_COUNT { 0 } else { packet.len() };
            let continues = if first.from > 0 { CONTINUES } else { 0 };
            let will_continue =
                if last.from + last.len < self.obus[last.obu].len() { WILL_CONTINUE } else { 0 };
            buffer.put_u8(continues | will_continue | (count as u8) << COUNT_SHIFT | new_sequence);
            new_sequence = 0;
            for element in packet {
                if count == 0 || !element.last {
                    put_leb128(element.len, &mut buffer);
                }
                self.write_element(unit, *element, &mut buffer);
            }
            out.push(buffer.split().freeze());
        }
    }

    fn write_element(&self, unit: &[u8], element: Element, buffer: &mut BytesMut) {
        let obu = self.obus[element.obu];
        let header_len = obu.header.len();
        if element.from == 0 {
            obu.header.write(false, buffer);
        }
        let from = element.from.max(header_len);
        let data = &unit[obu.start + from - header_len..obu.start + element.from + element.len - header_len];
        buffer.put_slice(data);
    }
}
