//! The colours of the pictures, and what a display of high dynamic range wants to know.

use super::Encoded;
use crate::DecodeError;

/// The colour space of a stream. Stands in the last packet of a frame, and with [`HdrMetadata`] only in the two-byte
/// form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColorSpace {
    /// Colour primaries (ITU-T H.273 table 2).
    pub primaries: u8,
    /// Transfer characteristics (ITU-T H.273 table 3).
    pub transfer: u8,
    /// Matrix coefficients (ITU-T H.273 table 4).
    pub matrix: u8,
    /// As in WebM: 0 unspecified, 1 limited, 2 full, 3 defined by transfer and matrix.
    pub range: u8,
    /// Chroma siting as in WebM: 0 unspecified, 1 left, 2 half.
    pub horizontal_siting: u8,
    /// Chroma siting as in WebM: 0 unspecified, 1 top, 2 half.
    pub vertical_siting: u8,
    /// Of a stream with high dynamic range.
    pub hdr: Option<HdrMetadata>,
}

/// A point in the CIE 1931 xy diagram, in units of 1/50000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chromaticity {
    /// 0 to 50000.
    pub x: u16,
    /// 0 to 50000.
    pub y: u16,
}

/// The display on which the pictures were graded (SMPTE ST 2086), and their light levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HdrMetadata {
    /// The brightest that the display shows, in nits.
    pub max_luminance_nits: u16,
    /// The darkest, in units of 1/10000 nit.
    pub min_luminance: u16,
    /// Its primaries: red, green, blue.
    pub primaries: [Chromaticity; 3],
    /// Its white point.
    pub white: Chromaticity,
    /// The brightest pixel of the stream, in nits.
    pub max_content_light_nits: u16,
    /// The highest average of a frame, in nits.
    pub max_frame_average_light_nits: u16,
}

impl ColorSpace {
    const SHORT: usize = 4;
    const LONG: usize = 28;

    /// Reads the element. Values without a meaning in the tables are kept.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is neither 4 nor 28 bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let (&[primaries, transfer, matrix, siting], rest) =
            data.split_first_chunk().ok_or(DecodeError::Malformed)?;
        let hdr = match rest.len() {
            0 => None,
            len if len == Self::LONG - Self::SHORT => Some(HdrMetadata::read(rest)),
            _ => return Err(DecodeError::Malformed),
        };
        Ok(Self {
            primaries,
            transfer,
            matrix,
            range: siting >> 4 & 3,
            horizontal_siting: siting >> 2 & 3,
            vertical_siting: siting & 3,
            hdr,
        })
    }

    /// The element's data: 4 bytes, or 28 with metadata.
    #[must_use]
    pub fn encode(self) -> Encoded<28> {
        let mut bytes = [0; Self::LONG];
        bytes[..3].copy_from_slice(&[self.primaries, self.transfer, self.matrix]);
        bytes[3] = (self.range & 3) << 4 | (self.horizontal_siting & 3) << 2 | self.vertical_siting & 3;
        let Some(hdr) = self.hdr else { return Encoded::new(bytes, Self::SHORT) };
        for (slot, word) in bytes[Self::SHORT..].chunks_exact_mut(2).zip(hdr.words()) {
            slot.copy_from_slice(&word.to_be_bytes());
        }
        Encoded::new(bytes, Self::LONG)
    }
}

impl HdrMetadata {
    /// The words of the element in their order.
    const fn words(&self) -> [u16; 12] {
        let [red, green, blue] = self.primaries;
        [
            self.max_luminance_nits,
            self.min_luminance,
            red.x,
            red.y,
            green.x,
            green.y,
            blue.x,
            blue.y,
            self.white.x,
            self.white.y,
            self.max_content_light_nits,
            self.max_frame_average_light_nits,
        ]
    }

    /// Reads 24 bytes.
    fn read(data: &[u8]) -> Self {
        let word = |at: usize| u16::from_be_bytes([data[at * 2], data[at * 2 + 1]]);
        let point = |at: usize| Chromaticity { x: word(at), y: word(at + 1) };
        Self {
            max_luminance_nits: word(0),
            min_luminance: word(1),
            primaries: [point(2), point(4), point(6)],
            white: point(8),
            max_content_light_nits: word(10),
            max_frame_average_light_nits: word(11),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_space_is_short_or_has_metadata() {
        let short = ColorSpace {
            primaries: 9,
            transfer: 16,
            matrix: 9,
            range: 1,
            horizontal_siting: 2,
            vertical_siting: 1,
            hdr: None,
        };
        assert_eq!(short.encode()[..], [9, 16, 9, 0b01_1001]);
        let point = |x, y| Chromaticity { x, y };
        let hdr = HdrMetadata {
            max_luminance_nits: 1000,
            min_luminance: 50,
            primaries: [point(1, 2), point(3, 4), point(5, 6)],
            white: point(7, 8),
            max_content_light_nits: 9,
            max_frame_average_light_nits: 10,
        };
        let long = ColorSpace { hdr: Some(hdr), ..short };
        let expected = [3, 232, 0, 50, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10];
        assert_eq!(long.encode()[4..], expected);
        for space in [short, long] {
            assert_eq!(ColorSpace::parse(&space.encode()), Ok(space));
        }
        for len in [0, 3, 5, 27, 29] {
            assert_eq!(ColorSpace::parse(&vec![0; len]), Err(DecodeError::Malformed), "{len}");
        }
    }
}
