//! [`HeaderWriter`]: for the tests of what reads headers.

/// Writes headers bit by bit, for the tests of what reads them.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderWriter(Vec<bool>);

impl HeaderWriter {
    pub(crate) fn bits(&mut self, value: u32, count: u32) -> &mut Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
        self
    }

    pub(crate) fn ue(&mut self, value: u32) -> &mut Self {
        let code = value + 1;
        let len = 32 - code.leading_zeros();
        self.bits(0, len - 1).bits(code, len)
    }

    /// The bytes, the last one filled up with zeros.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().zip((0..8).rev()).fold(0, |sum, (&bit, at)| sum | u8::from(bit) << at)
        };
        self.0.chunks(8).map(byte).collect()
    }

    /// A NAL unit with this header: stop bit and emulation prevention added.
    pub(crate) fn nal(&mut self, header: &[u8]) -> Vec<u8> {
        self.bits(1, 1);
        let mut nal = header.to_vec();
        let mut zeros = 0;
        for byte in self.bytes() {
            if zeros >= 2 && byte <= 3 {
                nal.push(3);
                zeros = 0;
            }
            nal.push(byte);
            zeros = if byte == 0 { zeros + 1 } else { 0 };
        }
        nal
    }
}
