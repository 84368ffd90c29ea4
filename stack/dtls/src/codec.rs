//! Reading and writing the presentation language of TLS (RFC 5246 §4): big-endian integers and vectors with a
//! length in front.

use crate::error::DecodeError;

/// A cursor over received bytes. Every read checks what is left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Result<usize, DecodeError> {
        self.array().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }

    /// A vector with a length of one byte.
    pub(crate) fn vec8(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u8()?.into();
        self.take(len)
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vec16(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?.into();
        self.take(len)
    }

    /// A vector with a length of three bytes.
    pub(crate) fn vec24(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u24()?;
        self.take(len)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything that is left.
    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Ends the reading: nothing may be left.
    pub(crate) const fn finish(self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes) }
    }
}

/// A list of 16-bit code points.
pub(crate) fn u16_list(bytes: &[u8]) -> Result<Vec<u16>, DecodeError> {
    let (pairs, []) = bytes.as_chunks::<2>() else { return Err(DecodeError::BadLength) };
    Ok(pairs.iter().copied().map(u16::from_be_bytes).collect())
}

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// Writes the low 24 bits of `value`.
pub(crate) fn put_u24(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
}

/// Writes a vector with a length of one byte. What `body` writes is shorter than 256 bytes.
pub(crate) fn put_vec8(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    put_vec::<1>(out, body);
}

/// Writes a vector with a length of two bytes. What `body` writes is shorter than 64 KiB.
pub(crate) fn put_vec16(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    put_vec::<2>(out, body);
}

/// Writes a vector with a length of three bytes. What `body` writes is shorter than 16 MiB.
pub(crate) fn put_vec24(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    put_vec::<3>(out, body);
}

fn put_vec<const N: usize>(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; N]);
    body(out);
    let len = (out.len() - start - N) as u32;
    debug_assert!(len < 1 << (8 * N), "a vector of {len} bytes in {N} length bytes");
    out[start..start + N].copy_from_slice(&len.to_be_bytes()[4 - N..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_come_back() {
        let mut out = Vec::new();
        put_vec8(&mut out, |out| out.extend_from_slice(b"a"));
        put_vec16(&mut out, |out| put_vec24(out, |out| out.extend_from_slice(b"bc")));
        put_u16(&mut out, 0x1234);
        put_u24(&mut out, 0x56_789a);
        assert_eq!(out, b"\x01a\0\x05\0\0\x02bc\x12\x34\x56\x78\x9a");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.vec8(), Ok(&b"a"[..]));
        let mut inner = Reader::new(reader.vec16().unwrap());
        assert_eq!(inner.vec24(), Ok(&b"bc"[..]));
        assert_eq!(inner.finish(), Ok(()));
        assert_eq!(reader.u16(), Ok(0x1234));
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes));
        assert_eq!(reader.u24(), Ok(0x56_789a));
        assert_eq!(reader.u8(), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_length_beyond_the_end_is_an_error() {
        assert_eq!(Reader::new(b"\x02a").vec8(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(b"\x00\x02a").vec16(), Err(DecodeError::Truncated));
        assert_eq!(Reader::new(b"\x00\x00\x02a").vec24(), Err(DecodeError::Truncated));
        assert_eq!(u16_list(b"abc"), Err(DecodeError::BadLength));
    }
}
