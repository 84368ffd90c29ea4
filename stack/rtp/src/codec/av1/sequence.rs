//! [`Av1Sequence`] and [`FrameHeader`]: what AV1 headers tell (AV1 bitstream specification §5.5, §5.9.2).

use std::fmt;

use crate::DecodeError;
use crate::bits::BitReader;

/// `SELECT_SCREEN_CONTENT_TOOLS` and `SELECT_INTEGER_MV`: each frame says it.
const SELECT: u8 = 2;

/// A sequence header: what a player must know before it decodes.
///
/// `Display` is the codec string of WebCodecs and of the AV1 file format binding: `av01.P.LLT.DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Av1Sequence {
    /// `seq_profile`, 0..=2.
    pub profile: u8,
    /// `seq_level_idx` of the first operating point, 0..=31.
    pub level: u8,
    /// The high tier and not the main one.
    pub high_tier: bool,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// The largest width of a frame, in pixels.
    pub max_width: u32,
    /// The largest height of a frame, in pixels.
    pub max_height: u32,
    /// `mono_chrome`: there is no colour.
    pub monochrome: bool,
    /// Whether colour has half the samples, across and down.
    pub chroma_halved: [bool; 2],
    /// `chroma_sample_position`, 0..=3.
    pub chroma_position: u8,
    has_decoder_model: bool,
    reduced_still_picture: bool,
    frame_id_bits: u32,
    order_hint_bits: u32,
    screen_content_tools: u8,
    integer_mv: u8,
}

impl Av1Sequence {
    /// Reads the payload of a sequence header OBU.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] for a reserved profile.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut bits = BitReader::new(payload);
        let profile = bits.bits(3)? as u8;
        if profile > 2 {
            return Err(DecodeError::Malformed);
        }
        bits.skip(1)?;
        let reduced_still_picture = bits.flag()?;
        let mut sequence = Self {
            profile,
            level: 0,
            high_tier: false,
            bit_depth: 8,
            max_width: 0,
            max_height: 0,
            monochrome: false,
            chroma_halved: [true; 2],
            chroma_position: 0,
            has_decoder_model: false,
            reduced_still_picture,
            frame_id_bits: 0,
            order_hint_bits: 0,
            screen_content_tools: SELECT,
            integer_mv: SELECT,
        };
        if reduced_still_picture {
            sequence.level = bits.bits(5)? as u8;
        } else {
            sequence.operating_points(&mut bits)?;
        }
        let (width_bits, height_bits) = (bits.bits(4)? + 1, bits.bits(4)? + 1);
        sequence.max_width = bits.bits(width_bits)? + 1;
        sequence.max_height = bits.bits(height_bits)? + 1;
        if !reduced_still_picture && bits.flag()? {
            let delta_bits = bits.bits(4)? + 2;
            sequence.frame_id_bits = delta_bits + bits.bits(3)? + 1;
        }
        bits.skip(3)?;
        if !reduced_still_picture {
            sequence.tools(&mut bits)?;
        }
        bits.skip(3)?;
        sequence.color_config(&mut bits)?;
        Ok(sequence)
    }

    fn color_config(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        /// Primaries, transfer and matrix of sRGB in three planes, which has all samples.
        const SRGB: [u32; 3] = [1, 13, 0];
        let high = bits.flag()?;
        self.bit_depth = match (high, self.profile) {
            (false, _) => 8,
            (true, 2) if bits.flag()? => 12,
            (true, _) => 10,
        };
        self.monochrome = self.profile != 1 && bits.flag()?;
        let described = bits.flag()?;
        let is_srgb = described && [bits.bits(8)?, bits.bits(8)?, bits.bits(8)?] == SRGB;
        if self.monochrome || !is_srgb {
            bits.skip(1)?;
        }
        self.chroma_halved = match (self.profile, self.bit_depth) {
            _ if self.monochrome => return Ok(()),
            _ if is_srgb => [false; 2],
            (0, _) => [true; 2],
            (1, _) => [false; 2],
            (_, 12) => {
                let across = bits.flag()?;
                [across, across && bits.flag()?]
            }
            _ => [true, false],
        };
        if self.chroma_halved == [true; 2] {
            self.chroma_position = bits.bits(2)? as u8;
        }
        Ok(())
    }

    /// From `timing_info_present_flag` to the end of the operating points.
    fn operating_points(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        let mut delay_bits = 0;
        if bits.flag()? {
            bits.skip(64)?;
            if bits.flag()? {
                bits.exp_golomb()?;
            }
            self.has_decoder_model = bits.flag()?;
            if self.has_decoder_model {
                delay_bits = bits.bits(5)? + 1;
                bits.skip(32 + 5 + 5)?;
            }
        }
        let has_display_delay = bits.flag()?;
        for point in 0..=bits.bits(5)? {
            bits.skip(12)?;
            let level = bits.bits(5)? as u8;
            let high_tier = level > 7 && bits.flag()?;
            if self.has_decoder_model && bits.flag()? {
                bits.skip(2 * delay_bits + 1)?;
            }
            if has_display_delay && bits.flag()? {
                bits.skip(4)?;
            }
            if point == 0 {
                (self.level, self.high_tier) = (level, high_tier);
            }
        }
        Ok(())
    }

    /// From `enable_interintra_compound` to `order_hint_bits_minus_1`.
    fn tools(&mut self, bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
        bits.skip(4)?;
        let has_order_hint = bits.flag()?;
        if has_order_hint {
            bits.skip(2)?;
        }
        if !bits.flag()? {
            self.screen_content_tools = bits.bits(1)? as u8;
        }
        if self.screen_content_tools > 0 && !bits.flag()? {
            self.integer_mv = bits.bits(1)? as u8;
        }
        if has_order_hint {
            self.order_hint_bits = bits.bits(3)? + 1;
        }
        Ok(())
    }
}

impl fmt::Display for Av1Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = if self.high_tier { 'H' } else { 'M' };
        write!(f, "av01.{}.{:02}{tier}.{:02}", self.profile, self.level, self.bit_depth)
    }
}

/// The start of a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// A key frame that is shown: with a sequence header before it a decoder can start here.
    pub(super) is_shown_key: bool,
    /// The frame replaces none of the kept ones: nothing will refer to it.
    pub(super) is_unreferenced: bool,
}

impl FrameHeader {
    /// Whether a frame header (or frame) OBU with this payload is that of a shown key frame. The sequence header is not needed for
    /// that.
    pub(super) fn is_shown_key(payload: &[u8]) -> bool {
        // show_existing_frame, frame_type (0: key), show_frame.
        payload.first().is_some_and(|first| first >> 4 == 1)
    }

    /// Reads the payload of a frame header or frame OBU up to `refresh_frame_flags`.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] for streams with a decoder model, whose headers are not
    /// read.
    pub(super) fn parse(sequence: &Av1Sequence, payload: &[u8]) -> Result<Self, DecodeError> {
        const KEY: u32 = 0;
        const INTRA_ONLY: u32 = 2;
        const SWITCH: u32 = 3;
        if sequence.reduced_still_picture {
            return Ok(Self { is_shown_key: true, is_unreferenced: false });
        }
        if sequence.has_decoder_model {
            return Err(DecodeError::Malformed);
        }
        let mut bits = BitReader::new(payload);
        if bits.flag()? {
            // A kept frame is shown; when it is a key frame, that replaces the others.
            return Ok(Self { is_shown_key: false, is_unreferenced: false });
        }
        let frame_type = bits.bits(2)?;
        let shown = bits.flag()?;
        if !shown {
            bits.skip(1)?;
        }
        if frame_type == SWITCH || (frame_type == KEY && shown) {
            return Ok(Self { is_shown_key: frame_type == KEY, is_unreferenced: false });
        }
        let error_resilient = bits.flag()?;
        bits.skip(1)?;
        let screen_content = match sequence.screen_content_tools {
            SELECT => bits.flag()?,
            told => told > 0,
        };
        if screen_content && sequence.integer_mv == SELECT {
            bits.skip(1)?;
        }
        bits.skip(sequence.frame_id_bits + 1 + sequence.order_hint_bits)?;
        if frame_type != KEY && frame_type != INTRA_ONLY && !error_resilient {
            bits.skip(3)?;
        }
        Ok(Self { is_shown_key: false, is_unreferenced: bits.bits(8)? == 0 })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::header_writer::HeaderWriter;

    /// 640×360, Main, level 2.1 (index 1), 8 bits, order hints of 7 bits: what a browser's encoder writes.
    pub(in super::super) fn sequence_header() -> Vec<u8> {
        let mut bits = HeaderWriter::default();
        bits.bits(0, 3).bits(0, 2);
        bits.bits(0, 1).bits(0, 1).bits(0, 5).bits(0, 12).bits(1, 5);
        bits.bits(9, 4).bits(8, 4).bits(639, 10).bits(359, 9).bits(0, 1);
        bits.bits(0, 3);
        bits.bits(0, 4).bits(1, 1).bits(0, 2).bits(1, 1).bits(1, 1).bits(6, 3);
        bits.bits(0, 3).bits(0, 1);
        bits.bits(0, 8).bytes()
    }

    /// A frame of that sequence.
    pub(in super::super) fn frame(keyframe: bool, refreshed: u32) -> Vec<u8> {
        let mut bits = HeaderWriter::default();
        if keyframe {
            bits.bits(0b0001, 4).bits(0, 12);
        } else {
            // Inter, shown; error_resilient, disable_cdf_update, screen content, size override: none.
            bits.bits(0b0011, 4).bits(0, 1).bits(0, 1).bits(0, 1).bits(0, 1).bits(5, 7).bits(1, 3);
            bits.bits(refreshed, 8);
        }
        bits.bits(0xff, 8).bytes()
    }

    #[test]
    fn size_and_codec_string_are_read() {
        let sequence = Av1Sequence::parse(&sequence_header()).unwrap();
        assert_eq!((sequence.max_width, sequence.max_height), (640, 360));
        assert_eq!(sequence.to_string(), "av01.0.01M.08");
        assert_eq!((sequence.order_hint_bits, sequence.frame_id_bits), (7, 0));
    }

    /// Timing, decoder model, two operating points with delays, frame ids, professional profile with 12 bits.
    #[test]
    fn optional_fields_are_stepped_over() {
        let mut bits = HeaderWriter::default();
        bits.bits(2, 3).bits(0, 2);
        bits.bits(1, 1).bits(1, 32).bits(60, 32).bits(1, 1).ue(3);
        bits.bits(1, 1).bits(9, 5).bits(1, 32).bits(4, 5).bits(4, 5);
        bits.bits(1, 1).bits(1, 5);
        bits.bits(0xfff, 12).bits(13, 5).bits(1, 1).bits(1, 1).bits(0, 21).bits(1, 1).bits(3, 4);
        bits.bits(0x101, 12).bits(4, 5).bits(0, 1).bits(0, 1);
        bits.bits(11, 4).bits(11, 4).bits(3839, 12).bits(2159, 12);
        bits.bits(1, 1).bits(12, 4).bits(0, 3);
        bits.bits(0, 3);
        bits.bits(0, 4).bits(0, 1).bits(0, 1).bits(0, 1);
        bits.bits(0, 3).bits(1, 1).bits(1, 1).bits(0, 1).bits(0, 1).bits(0, 1).bits(1, 1).bits(0, 1);
        let sequence = Av1Sequence::parse(&bits.bytes()).unwrap();
        assert_eq!(sequence.to_string(), "av01.2.13H.12");
        assert_eq!((sequence.monochrome, sequence.chroma_halved), (false, [true, false]));
        assert_eq!((sequence.max_width, sequence.max_height), (3840, 2160));
        assert_eq!((sequence.frame_id_bits, sequence.order_hint_bits), (15, 0));
        assert_eq!(sequence.screen_content_tools, 0);
        assert_eq!(FrameHeader::parse(&sequence, &[0x30; 9]), Err(DecodeError::Malformed));
    }

    #[test]
    fn colour_is_read() {
        let color = |profile, fields: &[(u32, u32)]| {
            let mut bits = HeaderWriter::default();
            bits.bits(profile, 3)
                .bits(3, 2)
                .bits(8, 5)
                .bits(5, 4)
                .bits(5, 4)
                .bits(63, 6)
                .bits(31, 6)
                .bits(0, 6);
            fields.iter().for_each(|&(value, count)| {
                bits.bits(value, count);
            });
            let sequence = Av1Sequence::parse(&bits.bytes()).unwrap();
            (sequence.bit_depth, sequence.monochrome, sequence.chroma_halved, sequence.chroma_position)
        };
        assert_eq!(color(0, &[(0, 3), (1, 1), (2, 2)]), (8, false, [true; 2], 2));
        assert_eq!(color(0, &[(1, 1), (1, 1), (0, 2)]), (10, true, [true; 2], 0), "gray");
        let srgb = [(0, 1), (1, 1), (1, 8), (13, 8), (0, 8)];
        assert_eq!(color(1, &srgb), (8, false, [false; 2], 0), "sRGB");
        assert_eq!(color(2, &[(1, 1), (0, 1), (0, 3)]), (10, false, [true, false], 0), "4:2:2");
    }

    #[test]
    fn a_still_picture_is_always_a_keyframe() {
        let mut bits = HeaderWriter::default();
        bits.bits(0, 3)
            .bits(3, 2)
            .bits(8, 5)
            .bits(5, 4)
            .bits(5, 4)
            .bits(63, 6)
            .bits(31, 6)
            .bits(0, 3)
            .bits(0, 3);
        let sequence = Av1Sequence::parse(&bits.bits(0, 9).bytes()).unwrap();
        assert_eq!((sequence.to_string().as_str(), sequence.max_height), ("av01.0.08M.08", 32));
        assert!(FrameHeader::parse(&sequence, &[]).unwrap().is_shown_key);
    }

    #[test]
    fn frame_headers_tell_keyframes_and_what_is_kept() {
        let sequence = Av1Sequence::parse(&sequence_header()).unwrap();
        let header = |frame: &[u8]| {
            let header = FrameHeader::parse(&sequence, frame).unwrap();
            assert_eq!(header.is_shown_key, FrameHeader::is_shown_key(frame));
            (header.is_shown_key, header.is_unreferenced)
        };
        assert_eq!(header(&frame(true, 0)), (true, false));
        assert_eq!(header(&frame(false, 0)), (false, true));
        assert_eq!(header(&frame(false, 4)), (false, false));
        // Shown again; a switch frame; a hidden key frame that replaces the first.
        assert_eq!(header(&[0x80]), (false, false));
        assert_eq!(header(&[0x70]), (false, false));
        let hidden = HeaderWriter::default().bits(0b0000_0000, 8).bits(0, 8).bits(1, 8).bytes();
        assert_eq!(header(&hidden), (false, false));
        // An error resilient frame has no primary reference.
        let mut resilient = HeaderWriter::default();
        resilient
            .bits(0b0011, 4)
            .bits(1, 1)
            .bits(0, 1)
            .bits(1, 1)
            .bits(1, 1)
            .bits(0, 1)
            .bits(5, 7)
            .bits(0, 8);
        assert_eq!(header(&resilient.bits(0xff, 8).bytes()), (false, true));
    }

    #[test]
    fn truncations_and_reserved_profiles_are_refused() {
        let good = sequence_header();
        for cut in 0..good.len() - 2 {
            assert_eq!(Av1Sequence::parse(&good[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
        assert_eq!(Av1Sequence::parse(&[0x60, 0, 0]), Err(DecodeError::Malformed));
        let sequence = Av1Sequence::parse(&good).unwrap();
        assert_eq!(FrameHeader::parse(&sequence, &frame(false, 4)[..2]), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            payload in proptest::collection::vec(any::<u8>(), 0..40),
            frame in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            if let Ok(sequence) = Av1Sequence::parse(&payload) {
                prop_assert!(sequence.max_width > 0 && sequence.max_height > 0);
                let _ = FrameHeader::parse(&sequence, &frame);
            }
        }
    }
}
