//! Bits from the highest to the lowest, as the specifications of video codecs write them (AV1 §4.10, H.264 §9.1), and the
//! dependency descriptor (AV1 RTP §A.8.2).

use crate::DecodeError;

/// Reads a slice bit by bit.
#[derive(Clone, Debug)]
pub(crate) struct BitReader<'a> {
    data: &'a [u8],
    /// Bits that were read.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// How many bits were read.
    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// `f(count)` for a count of 0 to 32.
    pub(crate) fn bits(&mut self, count: u32) -> Result<u32, DecodeError> {
        debug_assert!(count <= 32);
        let end = self.at + count as usize;
        if end > self.data.len() * 8 {
            return Err(DecodeError::Truncated);
        }
        // At most five bytes hold what is wanted.
        let mut word = 0;
        let first = self.at / 8;
        for &byte in &self.data[first..end.div_ceil(8)] {
            word = word << 8 | u64::from(byte);
        }
        self.at = end;
        let unread = end.div_ceil(8) * 8 - end;
        Ok((word >> unread & ((1 << count) - 1)) as u32)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, DecodeError> {
        Ok(self.bits(1)? == 1)
    }

    /// Steps over `count` bits.
    pub(crate) fn skip(&mut self, count: u32) -> Result<(), DecodeError> {
        let end = self.at + count as usize;
        if end > self.data.len() * 8 {
            return Err(DecodeError::Truncated);
        }
        self.at = end;
        Ok(())
    }

    /// `ue(v)` of H.264 and H.265 and `uvlc()` of AV1, of at most 31 bits after the zeros.
    pub(crate) fn exp_golomb(&mut self) -> Result<u32, DecodeError> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(DecodeError::Malformed);
            }
        }
        Ok(((1 << zeros) - 1) + self.bits(zeros)?)
    }

    /// `se(v)`, cut to 16 bits.
    pub(crate) fn signed_exp_golomb(&mut self) -> Result<i32, DecodeError> {
        let code = self.exp_golomb()?;
        let magnitude = code.div_ceil(2).min(0xffff) as i32;
        Ok(if code % 2 == 1 { magnitude } else { -magnitude })
    }

    /// `ns(values)`: a number below `values`, which is 1 to 2³¹.
    pub(crate) fn non_symmetric(&mut self, values: u32) -> Result<u32, DecodeError> {
        let width = u32::BITS - values.leading_zeros();
        let short = (1 << width) - values;
        let value = self.bits(width - 1)?;
        if value < short {
            return Ok(value);
        }
        Ok((value << 1) - short + self.bits(1)?)
    }
}

/// Appends bits to a buffer. The last byte is filled with zeros.
#[derive(Debug)]
pub(crate) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits of the last byte that are not used yet.
    free: u32,
}

impl<'a> BitWriter<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, free: 0 }
    }

    /// The lowest `count` bits of `value`; at most 32.
    pub(crate) fn bits(&mut self, value: u32, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.out.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            if let Some(last) = self.out.last_mut() {
                *last |= (part << (self.free - taken)) as u8;
            }
            self.free -= taken;
            left -= taken;
        }
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.bits(u32::from(value), 1);
    }

    /// `value` below 2³²−1 as `ue(v)`.
    pub(crate) fn exp_golomb(&mut self, value: u32) {
        let zeros = (value + 1).ilog2();
        self.bits(0, zeros);
        self.bits(value + 1, zeros + 1);
    }

    /// `value` as `ns(values)`.
    pub(crate) fn non_symmetric(&mut self, value: u32, values: u32) {
        let width = u32::BITS - values.leading_zeros();
        let short = (1 << width) - values;
        if value < short {
            self.bits(value, width - 1);
        } else {
            self.bits(value + short, width);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The table of AV1 RTP §A.8.2 for five values.
    #[test]
    fn non_symmetric_numbers_are_those_of_the_table() {
        for (value, bits) in [(0, "00"), (1, "01"), (2, "10"), (3, "110"), (4, "111")] {
            let mut out = Vec::new();
            BitWriter::new(&mut out).non_symmetric(value, 5);
            let expected = u8::from_str_radix(bits, 2).unwrap() << (8 - bits.len());
            assert_eq!(out, [expected], "{value}");
            assert_eq!(BitReader::new(&out).non_symmetric(5), Ok(value));
        }
        assert_eq!(BitReader::new(&[]).non_symmetric(1), Ok(0), "one value takes no bits");
    }

    #[test]
    fn the_end_is_an_error_and_no_bits_are_always_there() {
        let mut reader = BitReader::new(&[0xa5]);
        assert_eq!(reader.bits(0), Ok(0));
        assert_eq!(reader.bits(3), Ok(5));
        assert_eq!(reader.bits(6), Err(DecodeError::Truncated));
        assert_eq!(reader.bits(5), Ok(5));
        assert_eq!(reader.flag(), Err(DecodeError::Truncated));
    }

    #[test]
    fn exp_golomb_codes_are_those_of_the_table() {
        for (code, unsigned, signed) in
            [(0b1000_0000, 0, 0), (0b0100_0000, 1, 1), (0b0110_0000, 2, -1), (0b0010_0000, 3, 2)]
        {
            assert_eq!(BitReader::new(&[code]).exp_golomb(), Ok(unsigned));
            assert_eq!(BitReader::new(&[code]).signed_exp_golomb(), Ok(signed));
        }
        assert_eq!(BitReader::new(&[0; 4]).exp_golomb(), Err(DecodeError::Malformed));
        assert_eq!(BitReader::new(&[0; 3]).exp_golomb(), Err(DecodeError::Truncated));
        let longest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(BitReader::new(&longest).exp_golomb(), Ok(u32::MAX - 1));
    }

    #[test]
    fn what_is_stepped_over_is_there() {
        let mut reader = BitReader::new(&[0, 0, 0, 0, 0x01]);
        assert_eq!((reader.skip(39), reader.flag()), (Ok(()), Ok(true)));
        assert_eq!((reader.skip(0), reader.skip(1)), (Ok(()), Err(DecodeError::Truncated)));
    }

    proptest! {
        #[test]
        fn fields_round_trip(fields in proptest::collection::vec((any::<u32>(), 0u32..33), 0..40)) {
            let cut = |value: u32, count: u32| (u64::from(value) & ((1 << count) - 1)) as u32;
            let mut out = Vec::new();
            let mut writer = BitWriter::new(&mut out);
            for &(value, count) in &fields {
                writer.bits(cut(value, count), count);
            }
            let used: u32 = fields.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(out.len() as u32, used.div_ceil(8));
            let mut reader = BitReader::new(&out);
            for &(value, count) in &fields {
                prop_assert_eq!(reader.bits(count), Ok(cut(value, count)));
            }
        }

        #[test]
        fn exp_golomb_codes_round_trip(value in 0..u32::MAX, shift in 0..32) {
            let mut out = Vec::new();
            BitWriter::new(&mut out).exp_golomb(value >> shift);
            prop_assert_eq!(BitReader::new(&out).exp_golomb(), Ok(value >> shift));
        }

        #[test]
        fn non_symmetric_numbers_round_trip(values in 1u32..5000, pick: u32) {
            let mut out = Vec::new();
            BitWriter::new(&mut out).non_symmetric(pick % values, values);
            prop_assert_eq!(BitReader::new(&out).non_symmetric(values), Ok(pick % values));
        }
    }
}
