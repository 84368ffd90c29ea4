//! When a packet was sent, and when what is in it was captured.

use tombolo_net::NtpTime;

use super::Encoded;
use crate::DecodeError;

/// When a packet was sent: seconds in 6.18 fixed point, wrapping every 64 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// The 24 bits that stand for a wall clock time.
    #[must_use]
    pub const fn from_ntp(time: NtpTime) -> Self {
        Self((time.0 >> 14) as u32 & 0xff_ffff)
    }

    /// The raw 24 bits, in units of 2⁻¹⁸ s.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The signed distance from `earlier` in microseconds, −32 s to 32 s.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        let ticks = (self.0.wrapping_sub(earlier.0) << 8) as i32 >> 8;
        (ticks as i64 * 1_000_000) >> 18
    }

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not three bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b, c] = data else { return Err(DecodeError::Malformed) };
        Ok(Self(u32::from_be_bytes([0, a, b, c])))
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// When the first frame of the packet was captured, on the capturing system's clock. That system is the first CSRC of
/// the packet, or the SSRC without any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// The capture time, on the clock that the capturing system's sender reports have.
    pub time: NtpTime,
    /// How far the capturing system's clock is ahead of the sender's, as the sender estimates it, in units of 2⁻³² s.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is neither 8 nor 16 bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let (time, rest) = data.split_first_chunk().ok_or(DecodeError::Malformed)?;
        let clock_offset = match (rest, <[u8; 8]>::try_from(rest)) {
            ([], _) => None,
            (_, Ok(offset)) => Some(i64::from_be_bytes(offset)),
            _ => return Err(DecodeError::Malformed),
        };
        Ok(Self { time: NtpTime(u64::from_be_bytes(*time)), clock_offset })
    }

    /// The element's data: 8 bytes, or 16 with a clock offset.
    #[must_use]
    pub fn encode(self) -> Encoded<16> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.time.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.clock_offset.unwrap_or(0).to_be_bytes());
        Encoded::new(bytes, if self.clock_offset.is_some() { 16 } else { 8 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_times_are_compared_across_their_wrap() {
        let late = AbsSendTime::parse(&[0xff, 0xff, 0xff]).unwrap();
        let wrapped = AbsSendTime::parse(&[0x03, 0xff, 0xff]).unwrap();
        assert_eq!(wrapped.micros_since(late), 1_000_000);
        assert_eq!(late.micros_since(wrapped), -1_000_000);
        assert_eq!(AbsSendTime::from_ntp(NtpTime(1 << 32)).raw(), 1 << 18);
    }

    #[test]
    fn capture_times_are_short_or_long() {
        let short = AbsCaptureTime { time: NtpTime(0x0102_0304_0506_0708), clock_offset: None };
        assert_eq!(short.encode()[..], [1, 2, 3, 4, 5, 6, 7, 8]);
        let long = AbsCaptureTime { clock_offset: Some(-2), ..short };
        assert_eq!(long.encode()[8..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
        for time in [short, long] {
            assert_eq!(AbsCaptureTime::parse(&time.encode()), Ok(time));
        }
        for len in [0, 7, 9, 15, 17] {
            assert_eq!(AbsCaptureTime::parse(&vec![0; len]), Err(DecodeError::Malformed), "{len}");
        }
    }
}
