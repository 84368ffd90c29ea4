//! The header in front of each ciphertext (RFC 9605 §4.3).

use super::OpenError;

/// Bytes of a header at most: the config byte, and a key id and a counter of eight bytes each.
pub(super) const MAX_LEN: usize = 17;
/// Tells in either half of the config byte that the value has bytes of its own, whose number less one is in the other bits.
const EXTENDED: u8 = 8;

/// Which key a frame is encrypted with, and the number of the frame under that key.
///
/// `[X | K, 3 bits | Y | C, 3 bits | key id, 0 to 8 bytes | counter, 0 to 8 bytes]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// KID.
    pub key_id: u64,
    /// CTR.
    pub counter: u64,
}

impl Header {
    /// Appends it, in the only form that it can have.
    pub fn write(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.push(0);
        let key_id = write_value(self.key_id, out);
        out[at] = key_id << 4 | write_value(self.counter, out);
    }

    /// Reads what a ciphertext begins with, and tells how long it is.
    ///
    /// # Errors
    ///
    /// [`OpenError::Malformed`] when it is cut short or a value has more bytes than it needs.
    pub fn parse(ciphertext: &[u8]) -> Result<(Self, usize), OpenError> {
        let (&config, rest) = ciphertext.split_first().ok_or(OpenError::Malformed)?;
        let (key_id, rest) = read_value(config >> 4, rest)?;
        let (counter, rest) = read_value(config & 0xf, rest)?;
        Ok((Self { key_id, counter }, ciphertext.len() - rest.len()))
    }
}

/// Appends the bytes of a value that does not fit its half of the config byte; that half.
fn write_value(value: u64, out: &mut Vec<u8>) -> u8 {
    if value < u64::from(EXTENDED) {
        return value as u8;
    }
    let bytes = value.to_be_bytes();
    let zeros = value.leading_zeros() as usize / 8;
    out.extend_from_slice(&bytes[zeros..]);
    EXTENDED | (7 - zeros) as u8
}

fn read_value(half: u8, rest: &[u8]) -> Result<(u64, &[u8]), OpenError> {
    if half & EXTENDED == 0 {
        return Ok((u64::from(half), rest));
    }
    let len = usize::from(half & !EXTENDED) + 1;
    let (bytes, rest) = rest.split_at_checked(len).ok_or(OpenError::Malformed)?;
    let value = bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte));
    let is_shortest = if len == 1 { value >= u64::from(EXTENDED) } else { bytes[0] != 0 };
    if is_shortest { Ok((value, rest)) } else { Err(OpenError::Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// SFRAME-02: RFC 9605 appendix C.1, of which these are the values around each change of length.
    #[test]
    fn headers_are_those_of_the_rfc() {
        let cases: [(u64, u64, &[u8]); 12] = [
            (0, 0, &[0x00]),
            (0, 1, &[0x01]),
            (0, 0xff, &[0x08, 0xff]),
            (0, 0x100, &[0x09, 1, 0]),
            (0, 0xffff, &[0x09, 0xff, 0xff]),
            (0, 0x1_0000, &[0x0a, 1, 0, 0]),
            (0, 0xff_ffff, &[0x0a, 0xff, 0xff, 0xff]),
            (0, 0x100_0000, &[0x0b, 1, 0, 0, 0]),
            (0, 0xffff_ffff, &[0x0b, 0xff, 0xff, 0xff, 0xff]),
            (0, 0x1_0000_0000, &[0x0c, 1, 0, 0, 0, 0]),
            (0, 0xff_ffff_ffff, &[0x0c, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (0x123, 0x4567, &[0x99, 0x01, 0x23, 0x45, 0x67]),
        ];
        for (key_id, counter, bytes) in cases {
            let header = Header { key_id, counter };
            let mut out = Vec::new();
            header.write(&mut out);
            assert_eq!(out, bytes);
            assert_eq!(Header::parse(bytes), Ok((header, bytes.len())));
        }
    }

    #[test]
    fn longer_forms_than_needed_are_refused() {
        for bytes in
            [&[0x08, 7][..], &[0x80, 7], &[0x09, 0, 9], &[0x90, 0, 9], &[0x8f, 9, 0, 1, 2, 3, 4, 5, 6, 7]]
        {
            assert_eq!(Header::parse(bytes), Err(OpenError::Malformed), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn headers_come_back_and_cut_ones_are_refused(a: u64, b: u64, shift_a in 0..64, shift_b in 0..64) {
            let header = Header { key_id: a >> shift_a, counter: b >> shift_b };
            let mut out = Vec::new();
            header.write(&mut out);
            prop_assert!(out.len() <= MAX_LEN);
            prop_assert_eq!(Header::parse(&out), Ok((header, out.len())));
            for end in 0..out.len() {
                prop_assert_eq!(Header::parse(&out[..end]), Err(OpenError::Malformed));
            }
        }

        #[test]
        fn what_is_read_is_written_as_it_was(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            if let Ok((header, len)) = Header::parse(&bytes) {
                let mut out = Vec::new();
                header.write(&mut out);
                prop_assert_eq!(&out[..], &bytes[..len]);
            }
        }
    }
}
