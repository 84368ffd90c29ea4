//! The sequence number that counts all packets of a transport, in both versions.

use super::Encoded;
use crate::DecodeError;

/// The sequence number that counts all packets of a transport
/// (draft-holmer-rmcat-transport-wide-cc-extensions-01 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSeq(pub u16);

impl TransportSeq {
    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not two bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b] = data else { return Err(DecodeError::Malformed) };
        Ok(Self(u16::from_be_bytes([a, b])))
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

/// The second version: the sender asks for feedback where it wants some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSeqV2 {
    /// The number.
    pub seq: TransportSeq,
    /// What feedback is wanted at once.
    pub request: Option<FeedbackRequest>,
}

/// Feedback that a sender asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedbackRequest {
    /// Whether the feedback must tell arrival times.
    pub with_times: bool,
    /// How many packets it shall tell about, this one included: 1 to 32767.
    pub count: u16,
}

impl TransportSeqV2 {
    const TIMES: u16 = 0x8000;

    /// Reads the element. A request about no packet is none.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is neither two nor four bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let (seq, word) = match *data {
            [a, b] => ([a, b], 0),
            [a, b, c, d] => ([a, b], u16::from_be_bytes([c, d])),
            _ => return Err(DecodeError::Malformed),
        };
        let count = word & !Self::TIMES;
        let request = (count > 0).then_some(FeedbackRequest { with_times: word & Self::TIMES != 0, count });
        Ok(Self { seq: TransportSeq(u16::from_be_bytes(seq)), request })
    }

    /// The element's data: two bytes, or four with a request. Counts above 32767 are cut to that.
    #[must_use]
    pub fn encode(self) -> Encoded<4> {
        let [a, b] = self.seq.encode();
        let Some(request) = self.request else { return Encoded::new([a, b, 0, 0], 2) };
        let times = if request.with_times { Self::TIMES } else { 0 };
        let [c, d] = (request.count.min(!Self::TIMES) | times).to_be_bytes();
        Encoded::new([a, b, c, d], 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_two_bytes() {
        assert_eq!(TransportSeq(0xabcd).encode(), [0xab, 0xcd]);
        assert_eq!(TransportSeq::parse(&[0xab, 0xcd]), Ok(TransportSeq(0xabcd)));
        for bad in [&[1][..], &[1, 2, 3], &[1, 2, 3, 4]] {
            assert_eq!(TransportSeq::parse(bad), Err(DecodeError::Malformed));
        }
    }

    #[test]
    fn the_second_version_may_ask_for_feedback() {
        let seq = TransportSeq(0x0102);
        let plain = TransportSeqV2 { seq, request: None };
        assert_eq!(plain.encode()[..], [1, 2]);
        let asking =
            |with_times, count| TransportSeqV2 { seq, request: Some(FeedbackRequest { with_times, count }) };
        assert_eq!(asking(true, 5).encode()[..], [1, 2, 0x80, 5]);
        assert_eq!(asking(false, 40_000).encode()[..], [1, 2, 0x7f, 0xff]);
        for value in [plain, asking(true, 5), asking(false, 0x1234)] {
            assert_eq!(TransportSeqV2::parse(&value.encode()), Ok(value));
        }
        assert_eq!(TransportSeqV2::parse(&[1, 2, 0x80, 0]), Ok(plain), "about no packet");
        for bad in [&[][..], &[1], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            assert_eq!(TransportSeqV2::parse(bad), Err(DecodeError::Malformed));
        }
    }
}
