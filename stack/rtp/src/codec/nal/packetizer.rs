//! [`NalPacketizer`].

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};

use super::{FRAGMENT_END, FRAGMENT_START, NalFormat, Role};
use crate::codec::PacketizeError;
use crate::codec::annex_b::nal_units;
use crate::codec::packetizer::even_pieces;

/// Cuts access units in byte stream form into payloads.
#[derive(Debug)]
pub(in super::super) struct NalPacketizer<F> {
    single_only: bool,
    format: PhantomData<F>,
}

impl<F> Clone for NalPacketizer<F> {
    fn clone(&self) -> Self {
        Self::new(self.single_only)
    }
}

impl<F> NalPacketizer<F> {
    /// `single_only`: each unit in a packet of its own, or not at all.
    pub(in super::super) const fn new(single_only: bool) -> Self {
        Self { single_only, format: PhantomData }
    }
}

impl<F: NalFormat> NalPacketizer<F> {
    /// Appends the payloads of one access unit: parameter sets and supplemental information share packets, units larger
    /// than a packet become fragments of even size. Delimiters and filler are left out.
    pub(in super::super) fn packetize(
        &self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        if max_payload_bytes < F::HEADER_LEN + 2 {
            return Err(PacketizeError::MaxPayloadSize);
        }
        let is_sent = |unit: &&[u8]| {
            let role = F::role_of(unit);
            role != Role::Packet && !role.is_left_out()
        };
        let mut units = nal_units(frame).filter(is_sent).peekable();
        if units.peek().is_none() {
            return Err(PacketizeError::Empty);
        }
        if self.single_only && units.clone().any(|unit| unit.len() > max_payload_bytes) {
            return Err(PacketizeError::TooLarge);
        }
        let packets = frame.len() / max_payload_bytes + 8;
        let mut buffer = BytesMut::with_capacity(frame.len() + packets * (F::HEADER_LEN + 2));
        while let Some(unit) = units.next() {
            if unit.len() > max_payload_bytes {
                fragment::<F>(unit, max_payload_bytes, &mut buffer, out);
                continue;
            }
            let joins =
                |len: usize, next: &&[u8]| shares::<F>(next) && len + 2 + next.len() <= max_payload_bytes;
            let len = F::HEADER_LEN + 2 + unit.len();
            let together = !self.single_only && shares::<F>(unit);
            if together && units.peek().is_some_and(|next| joins(len, next)) {
                aggregate::<F>(unit, |len| units.next_if(|next| joins(len, next)), &mut buffer);
            } else {
                buffer.put_slice(unit);
            }
            out.push(buffer.split().freeze());
        }
        Ok(())
    }
}

/// Whether a unit goes into a packet with others.
fn shares<F: NalFormat>(unit: &[u8]) -> bool {
    matches!(F::role_of(unit), Role::ParameterSet(_) | Role::Supplemental)
}

/// Appends an aggregation of `first` and what `next` gives for the length so far.
fn aggregate<'a, F: NalFormat>(
    first: &'a [u8],
    mut next: impl FnMut(usize) -> Option<&'a [u8]>,
    buffer: &mut BytesMut,
) {
    let header_of = |unit| F::header(unit).unwrap_or_default();
    let mut header = F::with_type(header_of(first), F::AGGREGATION);
    buffer.put_slice(&header[..F::HEADER_LEN]);
    let mut unit = Some(first);
    while let Some(bytes) = unit {
        header = F::merge(header, header_of(bytes));
        buffer.put_u16(bytes.len() as u16);
        buffer.put_slice(bytes);
        unit = next(buffer.len());
    }
    buffer[..F::HEADER_LEN].copy_from_slice(&header[..F::HEADER_LEN]);
}

/// Appends the fragments of one unit: its header goes into those of each packet.
fn fragment<F: NalFormat>(
    unit: &[u8],
    max_payload_bytes: usize,
    buffer: &mut BytesMut,
    out: &mut Vec<Bytes>,
) {
    let header = F::header(unit).unwrap_or_default();
    let unit_type = F::unit_type(header);
    let packet_header = F::with_type(header, F::FRAGMENT);
    let mut rest = &unit[F::HEADER_LEN..];
    let mut flags = FRAGMENT_START;
    for piece in even_pieces(rest.len(), max_payload_bytes - F::HEADER_LEN - 1) {
        let (data, after) = rest.split_at(piece);
        rest = after;
        if rest.is_empty() {
            flags |= FRAGMENT_END;
        }
        buffer.put_slice(&packet_header[..F::HEADER_LEN]);
        buffer.put_u8(flags | unit_type);
        buffer.put_slice(data);
        out.push(buffer.split().freeze());
        flags = 0;
    }
}
