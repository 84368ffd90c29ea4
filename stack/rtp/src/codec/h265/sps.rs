//! [`H265Sps`]: H.265 sequence parameter sets (ITU-T H.265 §7.3.2.2): what a player must know before it decodes.

use std::fmt;

use super::unit_type;
use crate::DecodeError;
use crate::bits::BitReader;
use crate::codec::annex_b::unescaped;

/// The profile, level and picture size of a sequence parameter set.
///
/// `Display` is the codec string of WebCodecs and ISO/IEC 14496-15 §E.3, for parameter sets in the stream: `hev1.…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct H265Sps {
    /// `general_profile_space`, 0..=3.
    pub profile_space: u8,
    /// `general_profile_idc`, 0..=31.
    pub profile: u8,
    /// `general_profile_compatibility_flag`, the first in the highest bit.
    pub compatibility: u32,
    /// `general_tier_flag`.
    pub high_tier: bool,
    /// `general_level_idc`: thirty times the level.
    pub level: u8,
    /// The six bytes of constraint flags.
    pub constraints: [u8; 6],
    /// How many temporal layers there are at most, 1..=7.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`: one may go up a temporal layer anywhere.
    pub temporal_nesting: bool,
    /// `sps_seq_parameter_set_id`, 0..=15.
    pub id: u8,
    /// `chroma_format_idc`, 0..=3.
    pub chroma_format: u8,
    /// Bits of a sample of brightness, 8..=16.
    pub luma_bits: u8,
    /// Bits of a sample of colour, 8..=16.
    pub chroma_bits: u8,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
}

impl H265Sps {
    /// Reads a NAL unit, its header included.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] when it is another NAL unit or a value is out of
    /// range.
    pub fn parse(nal: &[u8]) -> Result<Self, DecodeError> {
        if super::type_of(nal) != Some(unit_type::SPS) {
            return Err(DecodeError::Malformed);
        }
        let rbsp = unescaped(&nal[2..]);
        let mut bits = BitReader::new(&rbsp);
        bits.skip(4)?;
        let sub_layers = bits.bits(3)?;
        if sub_layers > 6 {
            return Err(DecodeError::Malformed);
        }
        let temporal_nesting = bits.flag()?;
        let profile_space = bits.bits(2)? as u8;
        let high_tier = bits.flag()?;
        let profile = bits.bits(5)? as u8;
        let compatibility = bits.bits(32)?;
        let mut constraints = [0; 6];
        for byte in &mut constraints {
            *byte = bits.bits(8)? as u8;
        }
        let level = bits.bits(8)? as u8;
        skip_sub_layers(&mut bits, sub_layers)?;
        let id = bits.exp_golomb()?;
        if id > 15 {
            return Err(DecodeError::Malformed);
        }
        let (chroma_format, width, height) = picture(&mut bits)?;
        let mut depth = || {
            bits.exp_golomb()
                .and_then(|more| if more > 8 { Err(DecodeError::Malformed) } else { Ok(8 + more as u8) })
        };
        let (luma_bits, chroma_bits) = (depth()?, depth()?);
        Ok(Self {
            profile_space,
            profile,
            compatibility,
            high_tier,
            level,
            constraints,
            temporal_layers: sub_layers as u8 + 1,
            temporal_nesting,
            id: id as u8,
            chroma_format,
            luma_bits,
            chroma_bits,
            width,
            height,
        })
    }
}

/// The part of `profile_tier_level` that follows the general level.
fn skip_sub_layers(bits: &mut BitReader<'_>, sub_layers: u32) -> Result<(), DecodeError> {
    if sub_layers == 0 {
        return Ok(());
    }
    let mut present = 0;
    for _ in 0..sub_layers {
        present += if bits.flag()? { 88 } else { 0 };
        present += if bits.flag()? { 8 } else { 0 };
    }
    bits.skip(2 * (8 - sub_layers) + present)
}

/// From `chroma_format_idc` to the conformance window: that format, width and height.
fn picture(bits: &mut BitReader<'_>) -> Result<(u8, u32, u32), DecodeError> {
    // Level 6.2 allows 8192 × 4320 and as much as 16888 in one direction.
    const MAX_SIDE: u32 = 1 << 16;
    let chroma_format = bits.exp_golomb()?;
    if chroma_format > 3 {
        return Err(DecodeError::Malformed);
    }
    let separate_planes = chroma_format == 3 && bits.flag()?;
    let (mut width, mut height) = (bits.exp_golomb()?, bits.exp_golomb()?);
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(DecodeError::Malformed);
    }
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma_format {
            _ if separate_planes => (1, 1),
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut crop = |side: u32, unit: u32| -> Result<u32, DecodeError> {
            let (first, second) = (bits.exp_golomb()?, bits.exp_golomb()?);
            let cropped = first.checked_add(second).and_then(|sum| sum.checked_mul(unit));
            cropped
                .and_then(|cropped| side.checked_sub(cropped))
                .filter(|&side| side > 0)
                .ok_or(DecodeError::Malformed)
        };
        width = crop(width, unit_x)?;
        height = crop(height, unit_y)?;
    }
    Ok((chroma_format as u8, width, height))
}

impl fmt::Display for H265Sps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = ["", "A", "B", "C"][usize::from(self.profile_space & 3)];
        let tier = if self.high_tier { 'H' } else { 'L' };
        let compatibility = self.compatibility.reverse_bits();
        write!(f, "hev1.{space}{}.{compatibility:X}.{tier}{}", self.profile, self.level)?;
        let used = self.constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        self.constraints[..used].iter().try_for_each(|byte| write!(f, ".{byte:X}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::header_writer::HeaderWriter;

    /// Main profile, level 3.1, 1280×720 cut from 1280×736, with this id.
    pub(in super::super) fn sps(id: u32) -> Vec<u8> {
        let mut bits = HeaderWriter::default();
        bits.bits(0, 4).bits(0, 3).bits(1, 1);
        bits.bits(0, 2).bits(0, 1).bits(1, 5).bits(0x6000_0000, 32);
        bits.bits(0xb0, 8).bits(0, 32).bits(0, 8).bits(93, 8);
        bits.ue(id).ue(1).ue(1280).ue(736).bits(1, 1).ue(0).ue(0).ue(0).ue(8).ue(0).ue(0);
        bits.nal(&[0x42, 0x01])
    }

    #[test]
    fn size_and_codec_string_are_read() {
        let read = H265Sps::parse(&sps(3)).unwrap();
        assert_eq!((read.width, read.height, read.id), (1280, 720, 3));
        assert_eq!(read.to_string(), "hev1.1.6.L93.B0");
    }

    /// Two temporal layers of which one tells profile and level, 4:4:4 in separate planes, high tier.
    #[test]
    fn sub_layers_are_stepped_over() {
        let mut bits = HeaderWriter::default();
        bits.bits(0, 4).bits(2, 3).bits(1, 1);
        bits.bits(1, 2).bits(1, 1).bits(4, 5).bits(0x0800_0000, 32);
        bits.bits(0, 32).bits(0, 16).bits(150, 8);
        bits.bits(0b11_00, 4).bits(0, 12).bits(0x5a, 32).bits(0x5a, 32).bits(0, 24).bits(120, 8);
        bits.ue(0).ue(3).bits(1, 1).ue(640).ue(360).bits(1, 1).ue(1).ue(1).ue(2).ue(2).ue(2).ue(4);
        let read = H265Sps::parse(&bits.nal(&[0x42, 0x01])).unwrap();
        assert_eq!((read.width, read.height), (638, 356));
        assert_eq!((read.chroma_format, read.luma_bits, read.chroma_bits), (3, 10, 12));
        assert_eq!((read.temporal_layers, read.temporal_nesting), (3, true));
        assert_eq!(read.to_string(), "hev1.A4.10.H150");
    }

    #[test]
    fn truncations_and_other_units_are_refused() {
        let good = sps(0);
        for cut in 0..good.len() - 1 {
            assert!(H265Sps::parse(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(H265Sps::parse(&[0x44, 1, 2, 3]), Err(DecodeError::Malformed));
        let mut bits = HeaderWriter::default();
        bits.bits(0, 4).bits(0, 4).bits(0, 32).bits(0, 32).bits(0, 32).ue(0).ue(1).ue(8).ue(8);
        bits.bits(1, 1).ue(2).ue(2).ue(0).ue(0);
        assert_eq!(H265Sps::parse(&bits.nal(&[0x42, 0x01])), Err(DecodeError::Malformed), "nothing is left");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(sps) = H265Sps::parse(&[&[0x42, 0x01][..], &body].concat()) {
                prop_assert!(sps.width > 0 && sps.height > 0);
            }
        }
    }
}
