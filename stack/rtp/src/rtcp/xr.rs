//! Extended reports (RFC 3611): how a receiver that sends nothing measures its round trip; other blocks as they are.
//!
//! `[sender 32 | (block type 8 | type-specific 8 | length in words − 1 16 | contents)*]`

use std::time::Duration;

use tombolo_net::{NtpTime, Ssrc};

use super::report::round_trip;
use super::{MAX_LEN, begin_packet, packet_type, take_ssrc, take_u32, write_length};
use crate::{DecodeError, UseError};

/// Block types (RFC 3611 §4).
mod block_type {
    pub(super) const RRTR: u8 = 4;
    pub(super) const DLRR: u8 = 5;
}

const BLOCK_HEADER_LEN: usize = 4;
const DLRR_LEN: usize = 12;

/// An extended report.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub sender: Ssrc,
    blocks: &'a [u8],
}

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (sender, blocks) = take_ssrc(body)?;
        let mut left = blocks;
        while !left.is_empty() {
            (_, left) = XrBlock::split(left)?;
        }
        Ok(Self { sender, blocks })
    }

    /// The blocks.
    pub fn blocks(&self) -> impl Iterator<Item = XrBlock<'a>> + use<'a> {
        let mut left = self.blocks;
        std::iter::from_fn(move || {
            let (block, rest) = XrBlock::split(left).ok()?;
            left = rest;
            Some(block)
        })
    }
}

/// One block of an extended report.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum XrBlock<'a> {
    /// The receiver's wall clock when the report was made (§4.4).
    ReceiverReferenceTime(NtpTime),
    /// How long ago the reference times of receivers came (§4.5).
    DelaySinceLastReceiverReport(DlrrEntries<'a>),
    /// Any other block, and one of these whose length is wrong (§3).
    Other {
        /// The block type.
        block_type: u8,
        /// The byte whose meaning depends on the type.
        type_specific: u8,
        /// What follows: a whole number of words, at most 262,140 bytes.
        contents: &'a [u8],
    },
}

impl<'a> XrBlock<'a> {
    fn split(body: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (&[block_type, type_specific, l0, l1], rest) =
            body.split_first_chunk::<BLOCK_HEADER_LEN>().ok_or(DecodeError::Truncated)?;
        let len = usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let (contents, rest) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        let block = match (block_type, <[u8; 8]>::try_from(contents)) {
            (block_type::RRTR, Ok(time)) => Self::ReceiverReferenceTime(NtpTime(u64::from_be_bytes(time))),
            (block_type::DLRR, _) if contents.len() % DLRR_LEN == 0 => {
                Self::DelaySinceLastReceiverReport(DlrrEntries { rest: contents })
            }
            _ => Self::Other { block_type, type_specific, contents },
        };
        Ok((block, rest))
    }
}

/// What a sender tells a receiver about its last reference time (§4.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DlrrEntry {
    /// The receiver.
    pub ssrc: Ssrc,
    /// The middle 32 bits of its reference time, zero if none came.
    pub last_rr: u32,
    /// The time since that came, in units of 1/65536 s; zero if none came.
    pub delay_since_last_rr: u32,
}

impl DlrrEntry {
    /// The round trip, when this entry came at `now` on the clock that made the reference time. `None` without a
    /// reference time, or when the peer's figures give a negative time.
    #[must_use]
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        round_trip(now, self.last_rr, self.delay_since_last_rr)
    }
}

/// Iterator over the entries of a block.
#[derive(Clone, Copy, Debug)]
pub struct DlrrEntries<'a> {
    rest: &'a [u8],
}

impl Iterator for DlrrEntries<'_> {
    type Item = DlrrEntry;

    fn next(&mut self) -> Option<DlrrEntry> {
        let (ssrc, rest) = take_ssrc(self.rest).ok()?;
        let (last_rr, rest) = take_u32(rest).ok()?;
        let (delay_since_last_rr, rest) = take_u32(rest).ok()?;
        self.rest = rest;
        Some(DlrrEntry { ssrc, last_rr, delay_since_last_rr })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() / DLRR_LEN;
        (left, Some(left))
    }
}

impl ExactSizeIterator for DlrrEntries<'_> {}

/// Writes an extended report. After every call it is complete: nothing has to be finished.
#[derive(Debug)]
pub struct ExtendedReportWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> ExtendedReportWriter<'a> {
    /// Begins a report without blocks.
    pub fn new(out: &'a mut Vec<u8>, sender: Ssrc) -> Self {
        let start = begin_packet(out, packet_type::XR, 0);
        out.extend_from_slice(&sender.0.to_be_bytes());
        write_length(out, start);
        Self { out, start }
    }

    /// Adds the wall clock.
    ///
    /// # Errors
    /// See [`ExtendedReportWriter::block`].
    pub fn receiver_reference_time(&mut self, time: NtpTime) -> Result<(), UseError> {
        self.block(block_type::RRTR, 0, &time.0.to_be_bytes())
    }

    /// Adds a block with an entry for each receiver.
    ///
    /// # Errors
    /// See [`ExtendedReportWriter::block`].
    pub fn delay_since_last_receiver_report(&mut self, entries: &[DlrrEntry]) -> Result<(), UseError> {
        let words = entries.iter().flat_map(|entry| [entry.ssrc.0, entry.last_rr, entry.delay_since_last_rr]);
        self.append(block_type::DLRR, 0, entries.len() * DLRR_LEN, |out| {
            words.for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
        })
    }

    /// Adds any block. The contents are padded with zeros to a whole number of words.
    ///
    /// # Errors
    /// [`UseError::ReportLength`] when the report would have more than 65,532 bytes. Nothing is written then.
    pub fn block(&mut self, block_type: u8, type_specific: u8, contents: &[u8]) -> Result<(), UseError> {
        self.append(block_type, type_specific, contents.len().next_multiple_of(4), |out| {
            out.extend_from_slice(contents);
        })
    }

    /// A block with `len` bytes of contents, of which `write` may leave the last ones to be zero.
    fn append(
        &mut self,
        block_type: u8,
        type_specific: u8,
        len: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), UseError> {
        let end = self.out.len() + BLOCK_HEADER_LEN + len;
        if end - self.start > MAX_LEN {
            return Err(UseError::ReportLength);
        }
        let [l0, l1] = ((len / 4) as u16).to_be_bytes();
        self.out.extend_from_slice(&[block_type, type_specific, l0, l1]);
        write(self.out);
        self.out.resize(end, 0);
        write_length(self.out, self.start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    fn read(data: &[u8]) -> Result<ExtendedReport<'_>, DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::ExtendedReport(report) => Ok(report),
            other => panic!("{other:?}"),
        }
    }

    /// §4.4 and §4.5, word by word, and a block that is nobody's.
    #[test]
    fn blocks_are_written_and_read() {
        let entry = DlrrEntry { ssrc: Ssrc(7), last_rr: 0x0102_0304, delay_since_last_rr: 5 };
        let mut out = Vec::new();
        let mut writer = ExtendedReportWriter::new(&mut out, Ssrc(1));
        writer.receiver_reference_time(NtpTime(0x1122_3344_5566_7788)).unwrap();
        writer.delay_since_last_receiver_report(&[entry, DlrrEntry::default()]).unwrap();
        writer.block(200, 9, &[1, 2, 3, 4, 5]).unwrap();
        let mut expected = vec![0x80, 207, 0, 14, 0, 0, 0, 1];
        expected.extend([4, 0, 0, 2, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
        expected.extend([5, 0, 0, 6, 0, 0, 0, 7, 1, 2, 3, 4, 0, 0, 0, 5]);
        expected.extend([0; 12]);
        expected.extend([200, 9, 0, 2, 1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(out, expected);
        let report = read(&out).unwrap();
        assert_eq!(report.sender, Ssrc(1));
        let blocks: Vec<_> = report.blocks().collect();
        assert!(matches!(blocks[0], XrBlock::ReceiverReferenceTime(NtpTime(0x1122_3344_5566_7788))));
        let XrBlock::DelaySinceLastReceiverReport(entries) = blocks[1] else { panic!("{blocks:?}") };
        assert_eq!(entries.len(), 2);
        assert_eq!(entries.collect::<Vec<_>>(), [entry, DlrrEntry::default()]);
        let XrBlock::Other { block_type: 200, type_specific: 9, contents } = blocks[2] else {
            panic!("{blocks:?}")
        };
        assert_eq!(contents, [1, 2, 3, 4, 5, 0, 0, 0]);
        assert_eq!(blocks.len(), 3);
    }

    /// The block of a known type with another length is as unknown (§3); one that runs over the end is an error.
    #[test]
    fn lengths_are_checked() {
        let short_time = [0x80, 207, 0, 3, 0, 0, 0, 1, 4, 0, 0, 1, 0, 0, 0, 0];
        let report = read(&short_time).unwrap();
        assert!(matches!(report.blocks().next(), Some(XrBlock::Other { block_type: 4, .. })));
        let uneven = [0x80, 207, 0, 3, 0, 0, 0, 1, 5, 0, 0, 1, 0, 0, 0, 0];
        assert!(matches!(read(&uneven).unwrap().blocks().next(), Some(XrBlock::Other { block_type: 5, .. })));
        let over = [0x80, 207, 0, 2, 0, 0, 0, 1, 4, 0, 0, 2];
        assert_eq!(read(&over).unwrap_err(), DecodeError::Truncated);
        assert_eq!(read(&[0x80, 207, 0, 0]).unwrap_err(), DecodeError::Truncated);
        assert_eq!(read(&[0x80, 207, 0, 1, 0, 0, 0, 1]).unwrap().blocks().count(), 0);
    }

    /// The figures of RFC 3550 §6.4.1, figure 2, the other way round: 6.125 s.
    #[test]
    fn a_receiver_finds_its_round_trip() {
        let entry = DlrrEntry { ssrc: Ssrc(1), last_rr: 0xb705_2000, delay_since_last_rr: 0x0005_4000 };
        let now = NtpTime(0xb710_8000 << 16);
        assert_eq!(entry.round_trip(now), Some(Duration::from_millis(6125)));
        assert_eq!(DlrrEntry::default().round_trip(now), None);
    }

    #[test]
    fn a_report_has_an_end() {
        let mut out = Vec::new();
        let mut writer = ExtendedReportWriter::new(&mut out, Ssrc(1));
        writer.block(99, 0, &[1; 40_000]).unwrap();
        assert_eq!(writer.block(99, 0, &[1; 40_000]), Err(UseError::ReportLength));
        let entries = [DlrrEntry::default(); 5000];
        assert_eq!(writer.delay_since_last_receiver_report(&entries), Err(UseError::ReportLength));
        assert_eq!(out.len(), 8 + 4 + 40_000);
        assert_eq!(read(&out).unwrap().blocks().count(), 1);
    }
}
