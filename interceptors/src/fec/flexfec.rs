//! FlexFEC as Chromium has it (`a=rtpmap:… flexfec-03/90000`): the header of draft-ietf-payload-flexible-fec-scheme-03 §4.2.2,
//! which differs from that of RFC 8627 §4.2.2: there the SSRCs are CSRCs of the RTP header.
//!
//! ```text
//! |R|F|P|X| CC 4 |M| PT recovery 7 |  length recovery 16  |
//! |                 timestamp recovery 32                 |
//! | SSRC count 8 |               reserved 24              |
//! |                        SSRC 32                        |
//! |     SN base 16      |k|          mask 0–14            |
//! |k|               mask 15–45, if the first k is 0       |
//! |k|               mask 46–108, if the second is 0 too   |
//! |  the parity of what is behind the fixed RTP headers   |
//! ```
//!
//! Repair packets are a stream of their own: the SSRC of an `a=ssrc-group:FEC-FR` (RFC 5956 §4.3), numbers of its own, a payload type
//! of its own. A `k` of 1 ends the mask.

use tombolo_net::{RtpTime, SeqNo, Ssrc};
use tombolo_rtp::{DecodeError, RtpHeader};

use super::parity::{Parity, Repair};

/// Bytes before the mask.
const MASK_AT: usize = 18;
const RETRANSMISSION: u8 = 0x80;
const FIXED_MASK: u8 = 0x40;

/// Reads the payload of a repair packet.
///
/// # Errors
/// [`DecodeError::Truncated`] when it ends inside the header or right behind it, [`DecodeError::Malformed`] for retransmissions, fixed
/// masks, several streams, and masks that name nothing or do not end.
pub fn parse(payload: &[u8]) -> Result<Repair<'_>, DecodeError> {
    let Some((fixed, _)) = payload.split_first_chunk::<MASK_AT>() else { return Err(DecodeError::Truncated) };
    if fixed[0] & (RETRANSMISSION | FIXED_MASK) != 0 || fixed[8] != 1 {
        return Err(DecodeError::Malformed);
    }
    let (mask, mask_len) = read_mask(&payload[MASK_AT..])?;
    let body = &payload[MASK_AT + mask_len..];
    if body.is_empty() {
        return Err(DecodeError::Truncated);
    }
    if mask == 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(Repair {
        ssrc: Some(Ssrc(u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]))),
        base: SeqNo(u16::from_be_bytes([fixed[16], fixed[17]])),
        mask,
        head: [fixed[0], fixed[1]],
        len: u16::from_be_bytes([fixed[2], fixed[3]]),
        timestamp: [fixed[4], fixed[5], fixed[6], fixed[7]],
        body,
    })
}

/// The parts of a mask: how many bits of it each has, behind its `k`.
const PARTS: [u32; 3] = [15, 31, 63];

/// The mask and its length in bytes.
fn read_mask(bytes: &[u8]) -> Result<(u128, usize), DecodeError> {
    let (mut mask, mut first, mut at) = (0_u128, 0, 0);
    for bits in PARTS {
        let len = (bits as usize + 1) / 8;
        let part = bytes.get(at..at + len).ok_or(DecodeError::Truncated)?;
        at += len;
        let value = part.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        // The first number stands in the highest bit behind the `k`.
        let numbers = (value << (64 - bits)).reverse_bits();
        mask |= u128::from(numbers) << first;
        first += bits;
        if value >> bits & 1 == 1 {
            return Ok((mask, at));
        }
    }
    Err(DecodeError::Malformed)
}

/// Appends the payload of a repair packet. `mask` has no bit above 108.
pub(super) fn write(out: &mut Vec<u8>, ssrc: Ssrc, base: SeqNo, mask: u128, parity: &Parity) {
    out.extend_from_slice(&[parity.head[0] & !(RETRANSMISSION | FIXED_MASK), parity.head[1]]);
    out.extend_from_slice(&parity.len.to_be_bytes());
    out.extend_from_slice(&parity.timestamp);
    out.extend_from_slice(&[1, 0, 0, 0]);
    out.extend_from_slice(&ssrc.0.to_be_bytes());
    out.extend_from_slice(&base.0.to_be_bytes());
    let mut rest = mask;
    for bits in PARTS {
        let numbers = (rest as u64) << (64 - bits) >> (64 - bits);
        rest >>= bits;
        let value = numbers.reverse_bits() >> (64 - bits) | u64::from(rest == 0) << bits;
        out.extend_from_slice(&value.to_be_bytes()[8 - (bits as usize + 1) / 8..]);
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&parity.body);
}

/// Numbers the repair packets of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    ssrc: Ssrc,
    payload_type: u8,
    next_seq: SeqNo,
}

impl Sender {
    /// A stream with this SSRC, which must differ from that of the protected one, and a random first sequence number.
    #[must_use]
    pub const fn new(ssrc: Ssrc, payload_type: u8, first_seq: SeqNo) -> Self {
        Self { ssrc, payload_type, next_seq: first_seq }
    }

    /// The header of the next repair packet; `timestamp` is the media time at which it is sent (§4.2.1 of the draft). Write it and its
    /// extensions, then a payload of [`Encoder::finish`](super::Encoder::finish).
    pub const fn header(&mut self, timestamp: RtpTime) -> RtpHeader {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        RtpHeader { marker: false, payload_type: self.payload_type, seq, timestamp, ssrc: self.ssrc }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(mask: u128) -> Vec<u8> {
        let parity = Parity { head: [0xd1, 0xe2], len: 0x0304, timestamp: [5, 6, 7, 8], body: vec![9, 10] };
        let mut out = Vec::new();
        write(&mut out, Ssrc(0x1122_3344), SeqNo(0x5566), mask, &parity);
        out
    }

    /// FEC-01: the layouts of the draft, byte by byte.
    #[test]
    fn headers_have_20_24_or_32_bytes() {
        let fixed = [0x11, 0xe2, 3, 4, 5, 6, 7, 8, 1, 0, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66];
        for (mask, bytes) in [
            (1_u128, &[0xc0, 0x00][..]),
            (1 << 14 | 2, &[0xa0, 0x01]),
            (1 << 15, &[0, 0, 0xc0, 0, 0, 0]),
            (1 << 45 | 1, &[0x40, 0, 0x80, 0, 0, 1]),
            (1 << 46, &[0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0]),
            (1 << 108 | 1 << 15, &[0, 0, 0x40, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]),
        ] {
            assert_eq!(written(mask), [&fixed[..], bytes, &[9, 10]].concat(), "{mask:x}");
        }
    }

    #[test]
    fn what_nobody_sends_is_refused() {
        let good = written(1 << 46 | 1);
        assert!(parse(&good).is_ok());
        for cut in 0..=32 {
            assert_eq!(parse(&good[..cut]), Err(DecodeError::Truncated), "{cut} bytes");
        }
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            parse(&bytes).map(drop)
        };
        for (at, value) in [(0, 0x91), (0, 0x51), (8, 0), (8, 2), (24, 0x40)] {
            assert_eq!(with(at, value), Err(DecodeError::Malformed), "byte {at}");
        }
        assert_eq!(
            parse(&[&written(1)[..18], &[0x80, 0, 1]].concat()),
            Err(DecodeError::Malformed),
            "no bit"
        );
    }

    #[test]
    fn a_stream_of_repairs_has_numbers_of_its_own() {
        let mut sender = Sender::new(Ssrc(9), 118, SeqNo(65_535));
        assert_eq!(sender.header(RtpTime(5)).seq, SeqNo(65_535));
        let header = sender.header(RtpTime(6));
        assert_eq!((header.seq, header.payload_type, header.marker), (SeqNo(0), 118, false));
    }

    proptest! {
        #[test]
        fn masks_round_trip(mask in 1_u128..1 << 109, shift in 0_u32..109) {
            let mask = (mask >> shift).max(1);
            let bytes = written(mask);
            let repair = parse(&bytes).unwrap();
            prop_assert_eq!((repair.mask, repair.base, repair.ssrc), (mask, SeqNo(0x5566), Some(Ssrc(0x1122_3344))));
            prop_assert_eq!((repair.head, repair.len, repair.body), ([0x11, 0xe2], 0x0304, &[9, 10][..]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(repair) = parse(&bytes) {
                prop_assert!(repair.mask != 0 && repair.mask < 1 << 109 && !repair.body.is_empty());
            }
        }
    }
}
