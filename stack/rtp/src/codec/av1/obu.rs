//! Open bitstream units: their headers and sizes (AV1 bitstream specification §4.10.5, §5.3).

use bytes::BufMut;

use crate::DecodeError;

/// The types of OBUs.
pub(super) mod obu_type {
    pub(in super::super) const SEQUENCE_HEADER: u8 = 1;
    pub(in super::super) const TEMPORAL_DELIMITER: u8 = 2;
    pub(in super::super) const FRAME_HEADER: u8 = 3;
    pub(in super::super) const TILE_GROUP: u8 = 4;
    pub(in super::super) const FRAME: u8 = 6;
    pub(in super::super) const REDUNDANT_FRAME_HEADER: u8 = 7;
    pub(in super::super) const TILE_LIST: u8 = 8;
    pub(in super::super) const PADDING: u8 = 15;
}

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
const FORBIDDEN: u8 = 0x80;

/// The one or two bytes at the start of an OBU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObuHeader {
    first: u8,
    extension: Option<u8>,
}

impl ObuHeader {
    pub(super) fn parse(obu: &[u8]) -> Result<Self, DecodeError> {
        let &first = obu.first().ok_or(DecodeError::Truncated)?;
        if first & FORBIDDEN != 0 {
            return Err(DecodeError::Malformed);
        }
        let extension = match first & HAS_EXTENSION {
            0 => None,
            _ => Some(*obu.get(1).ok_or(DecodeError::Truncated)?),
        };
        Ok(Self { first, extension })
    }

    pub(super) const fn obu_type(self) -> u8 {
        self.first >> 3 & 15
    }

    pub(super) const fn has_size(self) -> bool {
        self.first & HAS_SIZE != 0
    }

    pub(super) const fn len(self) -> usize {
        1 + self.extension.is_some() as usize
    }

    /// `(temporal_id, spatial_id)`, where the OBU belongs to a layer.
    pub(super) fn layer(self) -> Option<(u8, u8)> {
        self.extension.map(|extension| (extension >> 5, extension >> 3 & 3))
    }

    /// The spatial layer: the lowest where none is told.
    pub(super) fn spatial_id(self) -> u8 {
        self.layer().map_or(0, |(_, spatial_id)| spatial_id)
    }

    /// Whether it is a part of a frame.
    pub(super) const fn is_of_frame(self) -> bool {
        matches!(
            self.obu_type(),
            obu_type::FRAME_HEADER
                | obu_type::TILE_GROUP
                | obu_type::FRAME
                | obu_type::REDUNDANT_FRAME_HEADER
        )
    }

    /// What neither side sends on: the delimiter, tile lists and padding.
    pub(super) const fn is_left_out(self) -> bool {
        matches!(self.obu_type(), obu_type::TEMPORAL_DELIMITER | obu_type::TILE_LIST | obu_type::PADDING)
    }

    /// Appends it, saying that a size follows or that none does.
    pub(super) fn write(self, has_size: bool, out: &mut impl BufMut) {
        out.put_u8(self.first & !HAS_SIZE | if has_size { HAS_SIZE } else { 0 });
        if let Some(extension) = self.extension {
            out.put_u8(extension);
        }
    }
}

/// An OBU of a temporal unit in the low-overhead format.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obu<'a> {
    pub(super) header: ObuHeader,
    /// Where the payload stands in the unit.
    pub(super) start: usize,
    pub(super) payload: &'a [u8],
}

/// The OBUs of a temporal unit. The last may go without its size. After the first that does not fit nothing comes.
pub(super) fn obus(unit: &[u8]) -> impl Iterator<Item = Result<Obu<'_>, DecodeError>> {
    let mut rest = unit;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_obu(unit, unit.len() - rest.len());
        rest = split.map_or(&[], |(_, after)| after);
        Some(split.map(|(obu, _)| obu))
    })
}

/// The OBU that begins `at` in the unit, and what follows it.
fn split_obu(unit: &[u8], at: usize) -> Result<(Obu<'_>, &[u8]), DecodeError> {
    let header = ObuHeader::parse(&unit[at..])?;
    let start = at + header.len();
    if !header.has_size() {
        return Ok((Obu { header, start, payload: &unit[start..] }, &[]));
    }
    let (size, size_len) = read_leb128(&unit[start..])?;
    let start = start + size_len;
    let (payload, after) = unit[start..].split_at_checked(size).ok_or(DecodeError::Truncated)?;
    Ok((Obu { header, start, payload }, after))
}

/// The number at the start of `data`, and how many bytes it takes.
pub(super) fn read_leb128(data: &[u8]) -> Result<(usize, usize), DecodeError> {
    let mut value = 0_u64;
    for (n, &byte) in data.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            // The specification's bound.
            let value = u32::try_from(value).map_err(|_| DecodeError::Malformed)?;
            return Ok((value as usize, n + 1));
        }
    }
    Err(if data.len() < 8 { DecodeError::Truncated } else { DecodeError::Malformed })
}

/// Bytes that [`put_leb128`] appends.
pub(super) const fn leb128_len(value: usize) -> usize {
    match value.checked_ilog2() {
        Some(log) => log as usize / 7 + 1,
        None => 1,
    }
}

pub(super) fn put_leb128(mut value: usize, out: &mut impl BufMut) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_are_read_and_written() {
        let header = ObuHeader::parse(&[0x36, 0x48, 0]).unwrap();
        assert_eq!((header.obu_type(), header.has_size(), header.len()), (obu_type::FRAME, true, 2));
        assert_eq!(header.layer(), Some((2, 1)));
        let mut out = Vec::new();
        header.write(false, &mut out);
        assert_eq!(out, [0x34, 0x48]);
        assert_eq!(ObuHeader::parse(&[0x34]), Err(DecodeError::Truncated));
        assert_eq!(ObuHeader::parse(&[]), Err(DecodeError::Truncated));
        assert_eq!(ObuHeader::parse(&[0x80]), Err(DecodeError::Malformed));
    }

    #[test]
    fn sizes_have_their_bounds() {
        assert_eq!(read_leb128(&[0xe5, 0x8e, 0x26]), Ok((624_485, 3)));
        assert_eq!(read_leb128(&[0x80, 0x80, 0]), Ok((0, 3)));
        assert_eq!(read_leb128(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok((u32::MAX as usize, 5)));
        assert_eq!(read_leb128(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Err(DecodeError::Malformed));
        assert_eq!(read_leb128(&[0x80; 8]), Err(DecodeError::Malformed));
        assert_eq!(read_leb128(&[0x80; 7]), Err(DecodeError::Truncated));
    }

    #[test]
    fn units_are_split() {
        let unit = [0x12, 0, 0x0a, 2, 7, 8, 0x30, 1, 2];
        let split: Vec<_> =
            obus(&unit).map(|obu| obu.map(|obu| (obu.header.obu_type(), obu.payload))).collect();
        assert_eq!(split, [Ok((2, &[][..])), Ok((1, &[7, 8])), Ok((6, &[1, 2]))]);
        assert_eq!(obus(&[0x0a, 3, 1]).count(), 1);
        assert!(obus(&[0x0a, 3, 1]).all(|obu| obu.is_err()));
    }

    proptest! {
        #[test]
        fn sizes_round_trip(value in 0..=u32::MAX) {
            let mut out = Vec::new();
            put_leb128(value as usize, &mut out);
            prop_assert_eq!(out.len(), leb128_len(value as usize));
            prop_assert_eq!(read_leb128(&out), Ok((value as usize, out.len())));
        }
    }
}
