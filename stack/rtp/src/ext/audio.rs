//! How loud the audio is: of the sender (RFC 6464) and of those whom a mixer mixed (RFC 6465).

use crate::DecodeError;

/// How loud the audio of the packet is (RFC 6464 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender believes that there is speech.
    pub voice: bool,
    /// The level in −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element; the two-byte form's padding after the first byte is ignored.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is empty.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let [byte, ..] = data else { return Err(DecodeError::Truncated) };
        Ok(Self { voice: byte & 0x80 != 0, level: byte & 0x7f })
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 1] {
        [(self.voice as u8) << 7 | self.level & 0x7f]
    }
}

/// How loud each contributing source is in what a mixer sends (RFC 6465 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CsrcAudioLevels {
    len: u8,
    levels: [u8; Self::MAX],
}

impl CsrcAudioLevels {
    /// Most levels: a packet has up to 15 contributing sources.
    pub const MAX: usize = 15;

    /// Levels in −dBov in the order of the packet's CSRCs, 0 (loudest) to 127 (silence); the top bit is ignored. More
    /// than [`CsrcAudioLevels::MAX`] are cut off.
    #[must_use]
    pub fn new(levels: &[u8]) -> Self {
        let mut new = Self { len: levels.len().min(Self::MAX) as u8, levels: [0; Self::MAX] };
        for (slot, level) in new.levels.iter_mut().zip(levels) {
            *slot = level & 0x7f;
        }
        new
    }

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is empty or has more than 15 levels.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        if data.is_empty() || data.len() > Self::MAX {
            return Err(DecodeError::Malformed);
        }
        Ok(Self::new(data))
    }

    /// The levels, and at the same time the element's data: none of them has its top bit set.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.levels[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_seven_bits_and_the_voice_one() {
        let level = AudioLevel { voice: true, level: 30 };
        assert_eq!(level.encode(), [0x9e]);
        assert_eq!(AudioLevel::parse(&[0x9e, 0]), Ok(level));
        assert_eq!(AudioLevel { voice: false, level: 255 }.encode(), [0x7f]);
        assert_eq!(AudioLevel::parse(&[]), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_mixers_levels_follow_the_sources() {
        let levels = CsrcAudioLevels::parse(&[0, 127, 0x85]).unwrap();
        assert_eq!(levels.as_bytes(), [0, 127, 5]);
        assert_eq!(CsrcAudioLevels::new(&[1; 20]).as_bytes(), [1; 15]);
        assert_eq!(CsrcAudioLevels::parse(&[]), Err(DecodeError::Malformed));
        assert_eq!(CsrcAudioLevels::parse(&[0; 16]), Err(DecodeError::Malformed));
    }
}
