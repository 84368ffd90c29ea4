//! Pages (RFC 3533 §6): how Ogg carries packets.
//!
//! `[OggS | version 8 | flags 8 | granule position 64 | serial 32 | sequence 32 | CRC 32 | segments 8 | lengths 8·n |
//! body]`, little-endian. A packet is all segments of 255 bytes and the first shorter one.

use std::io::{Read, Write};

use crate::{ReadError, WriteError, read_array_or_end, read_bytes};

const SIGNATURE: [u8; 4] = *b"OggS";
const HEADER_LEN: usize = 27;
const CRC_AT: usize = 22;

/// Most segments of a page.
pub(super) const MAX_SEGMENTS: usize = 255;

const CONTINUED: u8 = 1;
const BEGINS_STREAM: u8 = 2;
const ENDS_STREAM: u8 = 4;

/// The granule position of a page on which no packet ends.
pub(super) const NO_GRANULE: u64 = u64::MAX;

/// One page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// The first packet began on an earlier page.
    pub(super) continued: bool,
    pub(super) begins_stream: bool,
    pub(super) ends_stream: bool,
    /// Of the last packet that ends here.
    pub(super) granule: u64,
    pub(super) serial: u32,
    pub(super) sequence: u32,
    pub(super) segments: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl Page {
    /// The next page, or `None` at the end of the file.
    pub(super) fn read(source: &mut impl Read) -> Result<Option<Self>, ReadError> {
        let Some(header) = read_array_or_end::<HEADER_LEN>(source)? else { return Ok(None) };
        let long =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if header[..4] != SIGNATURE || header[4] != 0 {
            return Err(ReadError::Malformed);
        }
        let segments = read_bytes(source, header[HEADER_LEN - 1].into())?;
        let body_len = segments.iter().map(|&len| usize::from(len)).sum();
        let body = read_bytes(source, body_len)?;
        let page = Self {
            continued: header[5] & CONTINUED != 0,
            begins_stream: header[5] & BEGINS_STREAM != 0,
            ends_stream: header[5] & ENDS_STREAM != 0,
            granule: u64::from(long(6)) | u64::from(long(10)) << 32,
            serial: long(14),
            sequence: long(18),
            segments,
            body,
        };
        let mut summed = header;
        summed[CRC_AT..CRC_AT + 4].fill(0);
        let crc = [&page.segments[..], &page.body].iter().fold(crc(0, &summed), |sum, part| crc(sum, part));
        if crc == long(CRC_AT) { Ok(Some(page)) } else { Err(ReadError::Malformed) }
    }

    /// Writes the page.
    pub(super) fn write(&self, sink: &mut impl Write) -> Result<(), WriteError> {
        let flags = u8::from(self.continued) * CONTINUED
            + u8::from(self.begins_stream) * BEGINS_STREAM
            + u8::from(self.ends_stream) * ENDS_STREAM;
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.segments.len() + self.body.len());
        bytes.extend(SIGNATURE);
        bytes.extend([0, flags]);
        bytes.extend(self.granule.to_le_bytes());
        for word in [self.serial, self.sequence, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.push(self.segments.len() as u8);
        bytes.extend(&self.segments);
        bytes.extend(&self.body);
        let crc = crc(0, &bytes);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        Ok(sink.write_all(&bytes)?)
    }

    /// Adds a packet, or what of it still fits; gives the rest, of which nothing is left when the packet ended here.
    pub(super) fn push<'a>(&mut self, packet: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = packet;
        while self.segments.len() < MAX_SEGMENTS {
            let len = rest.len().min(255);
            let segment;
            (segment, rest) = rest.split_at(len);
            self.segments.push(len as u8);
            self.body.extend_from_slice(segment);
            if len < 255 {
                return None;
            }
        }
        Some(rest)
    }

    /// The pieces of packets, in order: the bytes, and whether the packet ends with them.
    pub(super) fn pieces(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut segments = &self.segments[..];
        let mut body = &self.body[..];
        std::iter::from_fn(move || {
            if segments.is_empty() {
                return None;
            }
            let ending = segments.iter().position(|&len| len < 255);
            let (own, others) = segments.split_at(ending.map_or(segments.len(), |at| at + 1));
            let (piece, after) = body.split_at(own.iter().map(|&len| usize::from(len)).sum());
            (segments, body) = (others, after);
            Some((piece, ending.is_some()))
        })
    }
}

/// The checksum of §6: polynomial 0x04c11db7, not reflected, begun with zero.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = (at as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                value = if value >> 31 == 1 { value << 1 ^ 0x04c1_1db7 } else { value << 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    bytes.iter().fold(start, |sum, byte| sum << 8 ^ TABLE[usize::from((sum >> 24) as u8 ^ byte)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC-32 with this polynomial, zero start and no reflection.
    #[test]
    fn the_checksum_is_the_one_of_ogg() {
        assert_eq!(crc(0, b"123456789"), 0x89a1_897f);
    }

    #[test]
    fn packets_are_cut_into_segments() {
        let mut page = Page::default();
        assert_eq!(page.push(&[1; 254]), None);
        assert_eq!(page.push(&[2; 255]), None);
        assert_eq!(page.push(&[]), None);
        assert_eq!(page.segments, [254, 255, 0, 0]);
        let pieces: Vec<_> = page.pieces().map(|(piece, ends)| (piece.len(), ends)).collect();
        assert_eq!(pieces, [(254, true), (255, true), (0, true)]);
        let big = vec![3; 255 * 252];
        assert_eq!(page.push(&big), Some(&big[255 * 251..]));
        assert_eq!(page.segments.len(), MAX_SEGMENTS);
        assert_eq!(page.pieces().last(), Some((&big[..255 * 251], false)));
    }

    #[test]
    fn a_page_survives_and_a_changed_one_does_not() {
        let mut page =
            Page { granule: 1 << 40, serial: 7, sequence: 9, ends_stream: true, ..Page::default() };
        page.push(b"packet");
        let mut bytes = Vec::new();
        page.write(&mut bytes).unwrap();
        assert_eq!(Page::read(&mut &bytes[..]).unwrap(), Some(page));
        assert_eq!(Page::read(&mut &[][..]).unwrap(), None);
        for cut in 1..bytes.len() {
            assert!(matches!(Page::read(&mut &bytes[..cut]), Err(ReadError::Truncated)), "{cut}");
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(Page::read(&mut &bad[..]).is_err(), "byte {at}");
        }
    }
}
