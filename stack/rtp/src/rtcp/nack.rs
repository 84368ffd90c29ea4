//! Generic negative acknowledgements (RFC 4585 §6.2.1).

use tombolo_net::{SeqNo, Ssrc};

use super::{packet_type, take_feedback, write_feedback};
use crate::DecodeError;

pub(super) const FORMAT: u8 = 1;

/// Packets that a receiver misses.
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// Who misses them.
    pub sender: Ssrc,
    /// The source of the packets.
    pub media: Ssrc,
    fci: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (sender, media, fci) = take_feedback(body)?;
        if fci.len() < 4 {
            return Err(DecodeError::Truncated);
        }
        Ok(Self { sender, media, fci })
    }

    /// The sequence numbers, in the order of the message: at most 17 for each word.
    #[must_use]
    pub const fn lost(&self) -> LostSeqs<'a> {
        LostSeqs { fci: self.fci, pid: SeqNo(0), mask: 0 }
    }
}

/// Iterator over the sequence numbers of a [`Nack`].
#[derive(Clone, Debug)]
pub struct LostSeqs<'a> {
    fci: &'a [u8],
    pid: SeqNo,
    /// What is left of the bitmask; bit 0 stands for the packet after `pid`.
    mask: u16,
}

impl Iterator for LostSeqs<'_> {
    type Item = SeqNo;

    fn next(&mut self) -> Option<SeqNo> {
        if self.mask != 0 {
            let bit = self.mask.trailing_zeros() as u16;
            self.mask &= self.mask - 1;
            return Some(SeqNo(self.pid.0.wrapping_add(bit + 1)));
        }
        let (&[p0, p1, m0, m1], fci) = self.fci.split_first_chunk()?;
        self.fci = fci;
        self.pid = SeqNo(u16::from_be_bytes([p0, p1]));
        self.mask = u16::from_be_bytes([m0, m1]);
        Some(self.pid)
    }
}

/// Appends a negative acknowledgement for `lost`, which goes upwards in serial order. Up to 17 neighbours share a
/// word. Nothing is written for nothing lost; 253 words (a message of 1024 bytes) are the most, and the rest is left
/// out. Returns how many sequence numbers were written.
pub fn write_nack(
    out: &mut Vec<u8>,
    sender: Ssrc,
    media: Ssrc,
    lost: impl IntoIterator<Item = SeqNo>,
) -> usize {
    const MAX_WORDS: usize = 253;
    let mut lost = lost.into_iter();
    let Some(mut pid) = lost.next() else { return 0 };
    let (mut mask, mut written, mut words) = (0u16, 1, 1);
    write_feedback(out, (packet_type::RTPFB, FORMAT), (sender, media), |out| {
        let put = |out: &mut Vec<u8>, pid: SeqNo, mask: u16| {
            out.extend_from_slice(&pid.0.to_be_bytes());
            out.extend_from_slice(&mask.to_be_bytes());
        };
        for seq in lost {
            let distance = seq.0.wrapping_sub(pid.0);
            if (1..=16).contains(&distance) {
                mask |= 1 << (distance - 1);
            } else if words == MAX_WORDS {
                break;
            } else {
                put(out, pid, mask);
                (pid, mask) = (seq, 0);
                words += 1;
            }
            written += 1;
        }
        put(out, pid, mask);
    });
    written
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Compound, Packet};
    use super::*;

    fn read(data: &[u8]) -> Vec<u16> {
        match Compound::new(data).next() {
            Some(Ok(Packet::Nack(nack))) => nack.lost().map(|seq| seq.0).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// RTCP-08: PID 65530 with a full bitmask wraps.
    #[test]
    fn a_full_bitmask_wraps() {
        let data = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfa, 0xff, 0xff];
        let expected: Vec<u16> = (0..17).map(|n| 65530u16.wrapping_add(n)).collect();
        assert_eq!(read(&data), expected);
    }

    /// RTCP-08: the length is 2 + n words.
    #[test]
    fn neighbours_share_a_word() {
        let mut out = Vec::new();
        let lost = [10, 11, 26, 27, 65535].map(SeqNo);
        assert_eq!(write_nack(&mut out, Ssrc(1), Ssrc(2), lost), 5);
        assert_eq!(out[..4], [0x81, 205, 0, 5]);
        assert_eq!(out[12..], [0, 10, 0x80, 0x01, 0, 27, 0, 0, 0xff, 0xff, 0, 0]);
        assert_eq!(read(&out), [10, 11, 26, 27, 65535]);
    }

    #[test]
    fn nothing_lost_writes_nothing() {
        let mut out = Vec::new();
        assert_eq!(write_nack(&mut out, Ssrc(1), Ssrc(2), []), 0);
        assert!(out.is_empty());
    }

    #[test]
    fn a_message_is_bounded() {
        let mut out = Vec::new();
        let written = write_nack(&mut out, Ssrc(1), Ssrc(2), (0..1000).map(|n| SeqNo(n * 20)));
        assert_eq!((written, out.len()), (253, 1024));
        assert_eq!(read(&out).len(), 253);
    }

    proptest! {
        #[test]
        fn lists_round_trip(start: u16, gaps in proptest::collection::vec(1u16..40, 0..200)) {
            let mut seq = start;
            let mut lost = vec![SeqNo(start)];
            for gap in gaps {
                seq = seq.wrapping_add(gap);
                lost.push(SeqNo(seq));
            }
            let mut out = Vec::new();
            prop_assert_eq!(write_nack(&mut out, Ssrc(1), Ssrc(2), lost.iter().copied()), lost.len());
            prop_assert_eq!(read(&out), lost.iter().map(|seq| seq.0).collect::<Vec<_>>());
        }
    }
}
