//! [`RtpPacket`]: a validated view of one RTP packet.
//!
//! `[fixed header 12 | CSRCs 4·CC | extension header 4 + 4·n | payload | padding]` (RFC 3550 §5.1, §5.3.1)

use std::ops::Range;

use tombolo_net::{RtpTime, SeqNo, Ssrc};

use crate::DecodeError;
use crate::header::{FIXED_LEN, RtpHeader};

/// The `defined by profile` field of the one-byte form (RFC 8285 §4.2).
pub(crate) const ONE_BYTE_PROFILE: u16 = 0xbede;
/// The same of the two-byte form, with its four application bits zero (RFC 8285 §4.3).
pub(crate) const TWO_BYTE_PROFILE: u16 = 0x1000;

/// A borrowed RTP packet whose lengths and counts were checked.
#[derive(Clone, Debug)]
pub struct RtpPacket<'a> {
    data: &'a [u8],
    csrcs: u8,
    extension_profile: u16,
    extension: Range<usize>,
    payload: Range<usize>,
}

impl<'a> RtpPacket<'a> {
    /// Validates `data`, a whole (decrypted) datagram.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when a count or length points outside, [`DecodeError::Version`],
    /// [`DecodeError::Padding`] when the padding count is zero or reaches into the header.
    pub fn parse(data: &'a [u8]) -> Result<Self, DecodeError> {
        if data.len() < FIXED_LEN {
            return Err(DecodeError::Truncated);
        }
        if data[0] >> 6 != 2 {
            return Err(DecodeError::Version);
        }
        let csrcs = data[0] & 0x0f;
        let mut offset = FIXED_LEN + usize::from(csrcs) * 4;
        let (mut extension_profile, mut extension) = (0, offset..offset);
        if data[0] & 0x10 != 0 {
            let Some(&[p0, p1, l0, l1]) = data.get(offset..).and_then(<[u8]>::first_chunk) else {
                return Err(DecodeError::Truncated);
            };
            extension_profile = u16::from_be_bytes([p0, p1]);
            let start = offset + 4;
            offset = start + usize::from(u16::from_be_bytes([l0, l1])) * 4;
            extension = start..offset;
        }
        if offset > data.len() {
            return Err(DecodeError::Truncated);
        }
        let mut end = data.len();
        if data[0] & 0x20 != 0 {
            let padding = usize::from(data[end - 1]);
            if padding == 0 || padding > end - offset {
                return Err(DecodeError::Padding);
            }
            end -= padding;
        }
        Ok(Self { data, csrcs, extension_profile, extension, payload: offset..end })
    }

    /// The fixed header's fields.
    #[must_use]
    pub fn header(&self) -> RtpHeader {
        RtpHeader {
            marker: self.marker(),
            payload_type: self.payload_type(),
            seq: self.seq(),
            timestamp: self.timestamp(),
            ssrc: self.ssrc(),
        }
    }

    /// The marker bit. Video: the last packet of a frame; audio: the first after silence.
    #[must_use]
    pub fn marker(&self) -> bool {
        self.data[1] & 0x80 != 0
    }

    /// The payload type, 0..=127.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        self.data[1] & 0x7f
    }

    /// The sequence number.
    #[must_use]
    pub fn seq(&self) -> SeqNo {
        SeqNo(u16::from_be_bytes([self.data[2], self.data[3]]))
    }

    /// The timestamp, in ticks of the payload's clock.
    #[must_use]
    pub fn timestamp(&self) -> RtpTime {
        RtpTime(self.word(4))
    }

    /// The synchronisation source.
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(self.word(8))
    }

    /// The contributing sources, at most 15.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        let csrcs = &self.data[FIXED_LEN..FIXED_LEN + usize::from(self.csrcs) * 4];
        csrcs.chunks_exact(4).map(|c| Ssrc(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
    }

    /// The header extension elements as `(id, data)`, of either form of RFC 8285. Empty when the packet has no
    /// extension or one of another profile, which is skipped by its length.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        let rest = &self.data[self.extension.clone()];
        match self.extension_profile {
            ONE_BYTE_PROFILE => Extensions::one_byte(rest),
            profile if profile & 0xfff0 == TWO_BYTE_PROFILE => Extensions { rest, two_byte: true },
            _ => Extensions::one_byte(&[]),
        }
    }

    /// The first element with this id (each may stand once: RFC 8285 §5).
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find_map(|(found, data)| (found == id).then_some(data))
    }

    /// The payload without its padding. Empty in a packet of padding alone.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.data[self.payload.clone()]
    }

    /// Where the payload stands in the bytes that were parsed.
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        self.payload.clone()
    }

    /// How many bytes of padding were stripped from the payload's end, 0..=255.
    #[must_use]
    pub fn padding_len(&self) -> usize {
        self.data.len() - self.payload.end
    }

    /// Bytes before the payload.
    #[must_use]
    pub fn header_len(&self) -> usize {
        self.payload.start
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.data[at], self.data[at + 1], self.data[at + 2], self.data[at + 3]])
    }
}

/// Iterator over the elements of a header extension (RFC 8285 §4.2, §4.3).
#[derive(Clone, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
    two_byte: bool,
}

impl<'a> Extensions<'a> {
    /// The elements of a block in the one-byte form.
    pub(crate) const fn one_byte(block: &'a [u8]) -> Self {
        Self { rest: block, two_byte: false }
    }

    fn next_one_byte(&mut self) -> Option<(u8, &'a [u8])> {
        while let [first, rest @ ..] = self.rest {
            // A zero byte is padding. Id 0 with a length, and id 15, end the parsing (RFC 8285 §4.2).
            if *first == 0 {
                self.rest = rest;
                continue;
            }
            let (id, len) = (first >> 4, usize::from(first & 0x0f) + 1);
            if id == 0 || id == 15 {
                break;
            }
            let Some((data, rest)) = rest.split_at_checked(len) else { break };
            self.rest = rest;
            return Some((id, data));
        }
        self.rest = &[];
        None
    }

    fn next_two_byte(&mut self) -> Option<(u8, &'a [u8])> {
        while let [id, rest @ ..] = self.rest {
            if *id == 0 {
                self.rest = rest;
                continue;
            }
            let [len, rest @ ..] = rest else { break };
            let Some((data, rest)) = rest.split_at_checked(usize::from(*len)) else { break };
            self.rest = rest;
            return Some((*id, data));
        }
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.two_byte { self.next_two_byte() } else { self.next_one_byte() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(first: u8, tail: &[u8]) -> Vec<u8> {
        let mut data = vec![first, 0x80 | 96, 0x12, 0x34, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe];
        data.extend_from_slice(tail);
        data
    }

    fn with_extension(profile: u16, body: &[u8]) -> Vec<u8> {
        assert_eq!(body.len() % 4, 0);
        let mut tail = profile.to_be_bytes().to_vec();
        tail.extend_from_slice(&((body.len() / 4) as u16).to_be_bytes());
        tail.extend_from_slice(body);
        tail.extend_from_slice(b"payload");
        packet(0x90, &tail)
    }

    fn ids(data: &[u8]) -> Vec<u8> {
        RtpPacket::parse(data).unwrap().extensions().map(|(id, _)| id).collect()
    }

    #[test]
    fn fields_are_read() {
        let data = packet(0x82, &[0, 0, 0, 7, 0, 0, 0, 8, 1, 2, 3]);
        let view = RtpPacket::parse(&data).unwrap();
        assert!(view.marker());
        assert_eq!(view.payload_type(), 96);
        assert_eq!(view.seq(), SeqNo(0x1234));
        assert_eq!(view.timestamp(), RtpTime(1));
        assert_eq!(view.ssrc(), Ssrc(0xcafe_babe));
        assert_eq!(view.csrcs().collect::<Vec<_>>(), [Ssrc(7), Ssrc(8)]);
        assert_eq!(view.payload(), [1, 2, 3]);
        assert_eq!(view.payload_range(), 20..23);
        assert_eq!(view.padding_len(), 0);
    }

    /// RTP-11: every cut of a packet with all optional parts is refused or gives a shorter payload; none panics.
    #[test]
    fn every_truncation_is_refused_or_shortens_the_payload() {
        let tail = [0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0, 1, 2, 3];
        let data = packet(0x91, &tail);
        let header_len = data.len() - 3;
        for cut in 0..data.len() {
            match RtpPacket::parse(&data[..cut]) {
                Ok(view) => assert_eq!(view.payload().len(), cut - header_len),
                Err(error) => {
                    assert_eq!(error, DecodeError::Truncated);
                    assert!(cut < header_len);
                }
            }
        }
    }

    /// RTP-11, and the pion GHSA-f26w-gh5m-qq77 class: padding of zero, beyond the payload, and all of it.
    #[test]
    fn padding_is_checked_against_the_payload() {
        let parse = |padding: u8| {
            let data = packet(0xa0, &[1, 2, 3, padding]);
            RtpPacket::parse(&data).map(|view| (view.payload().to_vec(), view.padding_len()))
        };
        assert_eq!(parse(0), Err(DecodeError::Padding));
        assert_eq!(parse(1), Ok((vec![1, 2, 3], 1)));
        assert_eq!(parse(4), Ok((vec![], 4)));
        assert_eq!(parse(5), Err(DecodeError::Padding));
        assert_eq!(parse(255), Err(DecodeError::Padding));
        // The padding flag on a packet without a byte to count it: the last byte belongs to the header.
        assert_eq!(RtpPacket::parse(&packet(0xa0, &[])).unwrap_err(), DecodeError::Padding);
    }

    /// RTP-11: the version is checked before anything else is believed.
    #[test]
    fn other_versions_are_refused() {
        for first in [0x00, 0x40, 0xc0] {
            assert_eq!(RtpPacket::parse(&packet(first, &[])).unwrap_err(), DecodeError::Version);
        }
    }

    /// RTP-11: an extension of an unknown profile is skipped by its length.
    #[test]
    fn unknown_extension_profiles_are_skipped() {
        let data = with_extension(0xabcd, &[0x10, 1, 0x20, 2]);
        let view = RtpPacket::parse(&data).unwrap();
        assert_eq!(view.extensions().count(), 0);
        assert_eq!(view.payload(), b"payload");
    }

    /// RTP-08 and note N8: id 0 with a length and id 15 end the parsing, a plain zero byte is padding.
    #[test]
    fn ids_0_and_15_end_the_one_byte_form() {
        assert_eq!(ids(&with_extension(0xbede, &[0x10, 1, 0x03, 9, 0x20, 2, 0, 0])), [1]);
        assert_eq!(ids(&with_extension(0xbede, &[0x10, 1, 0xf2, 9, 0x20, 2, 0, 0])), [1]);
        assert_eq!(ids(&with_extension(0xbede, &[0x10, 1, 0x00, 0, 0x20, 2, 0, 0])), [1, 2]);
    }

    #[test]
    fn elements_that_overrun_the_block_end_it() {
        assert_eq!(ids(&with_extension(0xbede, &[0x10, 1, 0x2f, 9])), [1]);
        assert_eq!(ids(&with_extension(0x1000, &[1, 0, 2, 9])), [1]);
        assert_eq!(ids(&with_extension(0x1000, &[1, 1, 7, 2])), [1]);
    }

    /// RTP-12: the two-byte form has ids up to 255, empty elements and elements of more than 16 bytes.
    #[test]
    fn the_two_byte_form_is_read_with_any_application_bits() {
        let mut body = vec![15, 0, 0, 200, 17];
        body.extend_from_slice(&[7; 17]);
        body.resize(24, 0);
        for profile in [0x1000, 0x100f] {
            let data = with_extension(profile, &body);
            let view = RtpPacket::parse(&data).unwrap();
            let all: Vec<_> = view.extensions().collect();
            assert_eq!(all, [(15, &[][..]), (200, &[7; 17][..])]);
            assert_eq!(view.extension(200), Some(&[7; 17][..]));
            assert_eq!(view.extension(1), None);
        }
    }

    proptest! {
        /// RTP-11: no bytes make the view panic, and its parts always add up to the packet.
        #[test]
        fn any_bytes_are_survived(mut data in proptest::collection::vec(any::<u8>(), 0..120), v2 in any::<bool>()) {
            if let (Some(first), true) = (data.first_mut(), v2) {
                *first = *first & 0x3f | 0x80;
            }
            if let Ok(view) = RtpPacket::parse(&data) {
                let elements: usize = view.extensions().map(|(_, data)| data.len()).sum();
                prop_assert!(elements <= data.len());
                prop_assert_eq!(view.csrcs().len(), usize::from(data[0] & 0x0f));
                prop_assert_eq!(view.header_len() + view.payload().len() + view.padding_len(), data.len());
            }
        }
    }
}
