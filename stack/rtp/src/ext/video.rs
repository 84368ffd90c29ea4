//! What a player of video wants to know: delay, orientation, kind of content, and where the time went.

use std::time::Duration;

use crate::DecodeError;

/// What the sender asks of the receiver's playout delay, in steps of 10 ms from 0 to 40.95 s each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At least this long.
    pub min: Duration,
    /// At most this long; zero with a `min` of zero asks to show frames at once.
    pub max: Duration,
}

impl PlayoutDelay {
    const STEP: Duration = Duration::from_millis(10);
    const MAX_STEPS: u32 = 0xfff;

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not three bytes or `min` is above `max`.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b, c] = data else { return Err(DecodeError::Malformed) };
        let both = u32::from_be_bytes([0, a, b, c]);
        let (min, max) = (Self::STEP * (both >> 12), Self::STEP * (both & Self::MAX_STEPS));
        if min > max {
            return Err(DecodeError::Malformed);
        }
        Ok(Self { min, max })
    }

    /// The element's data. Times are cut to what the format holds.
    #[must_use]
    pub fn encode(self) -> [u8; 3] {
        let steps = |time: Duration| {
            u32::try_from(time.as_millis() / Self::STEP.as_millis()).unwrap_or(u32::MAX).min(Self::MAX_STEPS)
        };
        let [_, a, b, c] = (steps(self.min) << 12 | steps(self.max)).to_be_bytes();
        [a, b, c]
    }
}

/// How the receiver has to turn the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoOrientation {
    /// The camera that faces away from the user.
    pub back_camera: bool,
    /// The picture is mirrored.
    pub flip: bool,
    /// Quarter turns clockwise, 0 to 3.
    pub quarter_turns: u8,
}

impl VideoOrientation {
    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is empty.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let [byte, ..] = data else { return Err(DecodeError::Truncated) };
        Ok(Self { back_camera: byte & 8 != 0, flip: byte & 4 != 0, quarter_turns: byte & 3 })
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 1] {
        [(self.back_camera as u8) << 3 | (self.flip as u8) << 2 | self.quarter_turns & 3]
    }
}

/// What the pictures show. Stands in the last packet of a keyframe; the raw byte, since values may be added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoContentType(pub u8);

impl VideoContentType {
    /// Anything; the same as no element.
    pub const UNSPECIFIED: Self = Self(0);
    /// A screen.
    pub const SCREENSHARE: Self = Self(1);

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not one byte.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[byte] = data else { return Err(DecodeError::Malformed) };
        Ok(Self(byte))
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 1] {
        [self.0]
    }
}

/// Where a frame spent its time, in milliseconds since its capture, 0 to 65535. Stands in the last packet of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoTiming {
    /// It is told because its turn came.
    pub by_timer: bool,
    /// It is told because the frame is larger than usual.
    pub by_size: bool,
    /// When encoding began.
    pub encode_start_ms: u16,
    /// When encoding ended.
    pub encode_finish_ms: u16,
    /// When the packets were made.
    pub packetized_ms: u16,
    /// When the last packet left the pacer.
    pub paced_ms: u16,
    /// For processors in the network to fill in.
    pub network_ms: u16,
    /// The same again.
    pub network2_ms: u16,
}

impl VideoTiming {
    const BY_TIMER: u8 = 1;
    const BY_SIZE: u8 = 2;

    /// Reads the element. Reserved flags are ignored.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not 13 bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[flags, a0, a1, b0, b1, c0, c1, d0, d1, e0, e1, f0, f1] = data else {
            return Err(DecodeError::Malformed);
        };
        Ok(Self {
            by_timer: flags & Self::BY_TIMER != 0,
            by_size: flags & Self::BY_SIZE != 0,
            encode_start_ms: u16::from_be_bytes([a0, a1]),
            encode_finish_ms: u16::from_be_bytes([b0, b1]),
            packetized_ms: u16::from_be_bytes([c0, c1]),
            paced_ms: u16::from_be_bytes([d0, d1]),
            network_ms: u16::from_be_bytes([e0, e1]),
            network2_ms: u16::from_be_bytes([f0, f1]),
        })
    }

    /// The element's data.
    #[must_use]
    pub fn encode(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes[0] = (u8::from(self.by_timer) * Self::BY_TIMER) | (u8::from(self.by_size) * Self::BY_SIZE);
        let times = [
            self.encode_start_ms,
            self.encode_finish_ms,
            self.packetized_ms,
            self.paced_ms,
            self.network_ms,
            self.network2_ms,
        ];
        for (slot, time) in bytes[1..].chunks_exact_mut(2).zip(times) {
            slot.copy_from_slice(&time.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_twelve_bits_of_ten_milliseconds() {
        let delay = PlayoutDelay { min: Duration::from_millis(20), max: Duration::from_millis(400) };
        assert_eq!(delay.encode(), [0, 0x20, 0x28]);
        assert_eq!(PlayoutDelay::parse(&[0, 0x20, 0x28]), Ok(delay));
        let endless = PlayoutDelay { min: Duration::ZERO, max: Duration::MAX };
        assert_eq!(endless.encode(), [0, 0x0f, 0xff]);
        assert_eq!(PlayoutDelay::parse(&[0xff, 0xf0, 0]), Err(DecodeError::Malformed));
    }

    #[test]
    fn the_content_type_is_kept_as_it_is() {
        assert_eq!(VideoContentType::parse(&[1]), Ok(VideoContentType::SCREENSHARE));
        assert_eq!(VideoContentType::parse(&[0x47]).unwrap().encode(), [0x47]);
        assert_eq!(VideoContentType::parse(&[]), Err(DecodeError::Malformed));
        assert_eq!(VideoContentType::parse(&[0, 0]), Err(DecodeError::Malformed));
    }

    #[test]
    fn timing_is_flags_and_six_times() {
        let data = [0xfe, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 1, 0];
        let timing = VideoTiming {
            by_timer: false,
            by_size: true,
            encode_start_ms: 1,
            encode_finish_ms: 2,
            packetized_ms: 3,
            paced_ms: 4,
            network_ms: 5,
            network2_ms: 256,
        };
        assert_eq!(VideoTiming::parse(&data), Ok(timing));
        assert_eq!(timing.encode()[0], 2);
        assert_eq!(timing.encode()[1..], data[1..]);
        assert_eq!(VideoTiming::parse(&data[..12]), Err(DecodeError::Malformed));
    }
}
