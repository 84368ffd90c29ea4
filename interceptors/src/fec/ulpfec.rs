//! ULPFEC (RFC 5109), protection level 0, as browsers send it: in RED (RFC 2198) among the packets of the media.
//!
//! ```text
//! |E|L|P|X| CC 4 |M| PT recovery 7 |      SN base 16      |
//! |                 timestamp recovery 32                 |
//! |  length recovery 16  |
//! |  protection length 16  |    mask 16, or 48 with L     |
//! |  the parity of what is behind the fixed RTP headers   |
//! ```
//!
//! A repair packet has the SSRC and the next sequence number of the media, the payload type of RED, and one block whose type is that
//! of ULPFEC: [`write_red_header`]. Media stands in RED in the same way. A receiver must not ask for a repair packet that is lost, but cannot
//! tell it from media: ULPFEC and NACK go together badly, which FlexFEC mends.

use tombolo_net::SeqNo;
use tombolo_rtp::DecodeError;

use super::parity::{Parity, Repair};

const HEADER_LEN: usize = 10;
const EXTENSION: u8 = 0x80;
const LONG_MASK: u8 = 0x40;

/// Reads a repair packet: the payload, or the block within RED. Protection levels above 0 are passed over.
///
/// # Errors
/// [`DecodeError::Truncated`] when it ends inside a header, before the protection length or protects nothing,
/// [`DecodeError::Malformed`] for a mask that names nothing.
pub fn parse(payload: &[u8]) -> Result<Repair<'_>, DecodeError> {
    let Some((header, rest)) = payload.split_first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::Truncated);
    };
    let Some((&[p0, p1], rest)) = rest.split_first_chunk() else { return Err(DecodeError::Truncated) };
    let mask_len = if header[0] & LONG_MASK == 0 { 2 } else { 6 };
    let Some((mask, rest)) = rest.split_at_checked(mask_len) else { return Err(DecodeError::Truncated) };
    let body = rest.get(..usize::from(u16::from_be_bytes([p0, p1]))).ok_or(DecodeError::Truncated)?;
    let value = mask.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    // The first number stands in the highest bit.
    let mask = (value << (64 - 8 * mask_len)).reverse_bits();
    if body.is_empty() {
        return Err(DecodeError::Truncated);
    }
    if mask == 0 {
        return Err(DecodeError::Malformed);
    }
    Ok(Repair {
        ssrc: None,
        base: SeqNo(u16::from_be_bytes([header[2], header[3]])),
        mask: mask.into(),
        head: [header[0], header[1]],
        len: u16::from_be_bytes([header[8], header[9]]),
        timestamp: [header[4], header[5], header[6], header[7]],
        body,
    })
}

/// Appends a repair packet. `mask` has no bit above 47.
pub(super) fn write(out: &mut Vec<u8>, base: SeqNo, mask: u128, parity: &Parity) {
    let is_long = mask >> 16 != 0;
    let flags = if is_long { LONG_MASK } else { 0 };
    out.extend_from_slice(&[parity.head[0] & !(EXTENSION | LONG_MASK) | flags, parity.head[1]]);
    out.extend_from_slice(&base.0.to_be_bytes());
    out.extend_from_slice(&parity.timestamp);
    out.extend_from_slice(&parity.len.to_be_bytes());
    out.extend_from_slice(&(parity.body.len() as u16).to_be_bytes());
    let value = (mask as u64).reverse_bits();
    out.extend_from_slice(&value.to_be_bytes()[..if is_long { 6 } else { 2 }]);
    out.extend_from_slice(&parity.body);
}

/// Appends the header of RED with a single block of `payload_type`, 0..=127: for media, whose payload follows, and for repair packets
/// (RFC 2198 §3).
pub fn write_red_header(out: &mut Vec<u8>, payload_type: u8) {
    out.push(payload_type & 0x7f);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(mask: u128) -> Vec<u8> {
        let parity = Parity { head: [0xd1, 0xe2], len: 0x0304, timestamp: [5, 6, 7, 8], body: vec![9, 10] };
        let mut out = Vec::new();
        write(&mut out, SeqNo(0x5566), mask, &parity);
        out
    }

    /// FEC-02: RFC 5109 §7.3, §7.4.
    #[test]
    fn headers_have_14_or_18_bytes() {
        let tail = [0xe2, 0x55, 0x66, 5, 6, 7, 8, 3, 4, 0, 2];
        assert_eq!(written(1 | 1 << 15), [&[0x11], &tail[..], &[0x80, 1], &[9, 10]].concat());
        assert_eq!(written(2 | 1 << 47), [&[0x51], &tail[..], &[0x40, 0, 0, 0, 0, 1], &[9, 10]].concat());
    }

    /// RFC 5109 §10.1 and §10.2: four packets of one level each; the numbers of the example's FEC header.
    #[test]
    fn the_example_of_the_rfc() {
        let packet = |payload_type: u8, seq: u16, timestamp: u32, marker: u8, len: usize| {
            let mut bytes = vec![0x80, marker << 7 | payload_type];
            bytes.extend_from_slice(&seq.to_be_bytes());
            bytes.extend_from_slice(&timestamp.to_be_bytes());
            bytes.extend_from_slice(&2_u32.to_be_bytes());
            bytes.resize(12 + len, seq as u8);
            bytes
        };
        let mut parity = Parity::default();
        for bytes in [
            packet(11, 8, 3, 1, 200),
            packet(18, 9, 5, 0, 140),
            packet(11, 10, 7, 1, 100),
            packet(18, 11, 9, 0, 340),
        ] {
            parity.add(&bytes);
        }
        let mut out = Vec::new();
        write(&mut out, SeqNo(8), 0b1111, &parity);
        assert_eq!(out[..14], [0, 0, 0, 8, 0, 0, 0, 8, 0x01, 0x74, 0x01, 0x54, 0xf0, 0]);
        assert_eq!(out.len(), 14 + 340);
    }

    #[test]
    fn lies_are_refused() {
        let good = written(1 | 1 << 40);
        assert!(parse(&good).is_ok() && parse(&[&good[..], &[1]].concat()).is_ok(), "a further level");
        for cut in 0..good.len() {
            assert_eq!(parse(&good[..cut]), Err(DecodeError::Truncated), "{cut} bytes");
        }
        let mut extended = good.clone();
        extended[0] |= EXTENSION;
        assert!(parse(&extended).is_ok(), "RFC 5109 §7.3: ignored");
        let mut nothing = written(1);
        nothing[12] = 0;
        assert_eq!(parse(&nothing), Err(DecodeError::Malformed));
    }

    #[test]
    fn red_with_one_block_is_a_byte() {
        let mut out = Vec::new();
        write_red_header(&mut out, 0xff);
        assert_eq!(out, [0x7f]);
    }

    proptest! {
        #[test]
        fn masks_round_trip(mask in 1_u128..1 << 48, shift in 0_u32..48) {
            let mask = (mask >> shift).max(1);
            let bytes = written(mask);
            let repair = parse(&bytes).unwrap();
            prop_assert_eq!((repair.mask, repair.base, repair.len), (mask, SeqNo(0x5566), 0x0304));
            prop_assert_eq!((repair.timestamp, repair.body), ([5, 6, 7, 8], &[9, 10][..]));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(repair) = parse(&bytes) {
                prop_assert!(repair.mask != 0 && repair.mask < 1 << 48 && !repair.body.is_empty());
            }
        }
    }
}
