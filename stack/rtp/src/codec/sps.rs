//! H.264 sequence parameter sets (ITU-T H.264 §7.3.2.1.1): what a player must know before it decodes.

use std::fmt;

use super::annex_b::{nal_type, type_of, unescaped};
use crate::DecodeError;
use crate::bits::BitReader;

/// The profile, level and picture size of a sequence parameter set.
///
/// `Display` is the codec string of WebCodecs and RFC 6381 §3.3: `avc1.PPCCLL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level: u8,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
}

impl Sps {
    /// Reads a NAL unit, its header byte included.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] when it is another NAL unit or a value is out of
    /// range.
    pub fn parse(nal: &[u8]) -> Result<Self, DecodeError> {
        Ok(Fields::of(nal)?.sps)
    }
}

/// What is read of a sequence parameter set before its `vui_parameters_present_flag`.
pub(super) struct Fields {
    pub(super) sps: Sps,
    /// `chroma_format_idc`, and the bit depths of luma and chroma above eight, of the profiles that tell them.
    pub(super) chroma: Option<[u8; 3]>,
    pub(super) max_num_ref_frames: u32,
}

impl Fields {
    /// Those of a NAL unit.
    pub(super) fn of(nal: &[u8]) -> Result<Self, DecodeError> {
        if type_of(nal) != nal_type::SPS {
            return Err(DecodeError::Malformed);
        }
        Self::read(&mut BitReader::new(&unescaped(&nal[1..])))
    }

    /// Reads from behind the header of the NAL unit to `vui_parameters_present_flag`.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, DecodeError> {
        let profile = bits.bits(8)? as u8;
        let constraints = bits.bits(8)? as u8;
        let level = bits.bits(8)? as u8;
        bits.exp_golomb()?;
        let mut chroma_format = 1;
        let mut separate_planes = false;
        let mut chroma = None;
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format = bits.exp_golomb()?;
            if chroma_format > 3 {
                return Err(DecodeError::Malformed);
            }
            separate_planes = chroma_format == 3 && bits.flag()?;
            let depths = [bits.exp_golomb()?, bits.exp_golomb()?];
            if depths.iter().any(|&depth| depth > 6) {
                return Err(DecodeError::Malformed);
            }
            chroma = Some([chroma_format as u8, depths[0] as u8, depths[1] as u8]);
            bits.flag()?;
            if bits.flag()? {
                for list in 0..if chroma_format == 3 { 12 } else { 8 } {
                    if bits.flag()? {
                        skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        skip_picture_order(bits)?;
        let max_num_ref_frames = bits.exp_golomb()?;
        bits.flag()?;
        let (width, height) = picture_size(bits, chroma_format, separate_planes)?;
        let sps = Sps { profile, constraints, level, width, height };
        Ok(Self { sps, chroma, max_num_ref_frames })
    }
}

impl fmt::Display for Sps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "avc1.{:02X}{:02X}{:02X}", self.profile, self.constraints, self.level)
    }
}

/// From `log2_max_frame_num_minus4` to the end of the picture order count's part.
fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
    bits.exp_golomb()?;
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?;
        }
        1 => {
            bits.flag()?;
            bits.exp_golomb()?;
            bits.exp_golomb()?;
            let cycle = bits.exp_golomb()?;
            if cycle > 255 {
                return Err(DecodeError::Malformed);
            }
            for _ in 0..cycle {
                bits.exp_golomb()?;
            }
        }
        2 => {}
        _ => return Err(DecodeError::Malformed),
    }
    Ok(())
}

/// From `pic_width_in_mbs_minus1` to the cropping (§7.4.2.1.1, equations 7-19 to 7-22).
fn picture_size(
    bits: &mut BitReader<'_>,
    chroma_format: u32,
    separate_planes: bool,
) -> Result<(u32, u32), DecodeError> {
    // Level 6.2 allows 1055 macroblocks in a row; more than 4096 is no picture.
    const MAX_MACROBLOCKS: u32 = 4096;
    let columns = bits.exp_golomb()?;
    let rows = bits.exp_golomb()?;
    if columns >= MAX_MACROBLOCKS || rows >= MAX_MACROBLOCKS {
        return Err(DecodeError::Malformed);
    }
    let fields = if bits.flag()? { 1 } else { 2 };
    if fields == 2 {
        bits.flag()?;
    }
    bits.flag()?;
    let (mut width, mut height) = ((columns + 1) * 16, (rows + 1) * 16 * fields);
    if bits.flag()? {
        let (unit_x, unit_y) = match chroma_format {
            _ if separate_planes => (1, 1),
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let mut crop = |unit: u32| -> Result<u32, DecodeError> {
            let (first, second) = (bits.exp_golomb()?, bits.exp_golomb()?);
            first.checked_add(second).and_then(|sum| sum.checked_mul(unit)).ok_or(DecodeError::Malformed)
        };
        let (crop_x, crop_y) = (crop(unit_x)?, crop(unit_y * fields)?);
        width = width.checked_sub(crop_x).filter(|&width| width > 0).ok_or(DecodeError::Malformed)?;
        height = height.checked_sub(crop_y).filter(|&height| height > 0).ok_or(DecodeError::Malformed)?;
    }
    Ok((width, height))
}

fn skip_scaling_list(bits: &mut BitReader<'_>, size: u32) -> Result<(), DecodeError> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_exp_golomb()?).rem_euclid(256);
        }
        last = if next == 0 { last } else { next };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header_writer::HeaderWriter;
    use super::*;

    /// 640×360 in Constrained Baseline, level 3.1: 40 × 23 macroblocks with eight rows cropped.
    fn baseline() -> Vec<u8> {
        let mut bits = HeaderWriter::default();
        bits.bits(0x42, 8).bits(0xe0, 8).bits(31, 8).ue(0);
        bits.ue(0).ue(2).ue(1).bits(0, 1);
        bits.ue(39).ue(22).bits(1, 1).bits(1, 1);
        bits.bits(1, 1).ue(0).ue(0).ue(0).ue(4);
        bits.bits(0, 1).nal(&[0x67])
    }

    #[test]
    fn size_and_codec_string_are_read() {
        let sps = Sps::parse(&baseline()).unwrap();
        assert_eq!((sps.width, sps.height), (640, 360));
        assert_eq!(sps.to_string(), "avc1.42E01F");
    }

    /// High profile with a scaling list, picture order type 1, interlaced, 4:2:0 cropping: 1920×1080.
    #[test]
    fn high_profile_fields_are_stepped_over() {
        let mut bits = HeaderWriter::default();
        bits.bits(100, 8).bits(0, 8).bits(40, 8).ue(0);
        bits.ue(1).ue(0).ue(0).bits(0, 1).bits(1, 1);
        // One list of 16 that ends at its first value (delta −8), and one of 64 likewise.
        bits.bits(1, 1).ue(16).bits(0, 5).bits(1, 1).ue(16).bits(0, 1);
        bits.ue(0).ue(1).bits(0, 1).ue(0).ue(0).ue(2).ue(5).ue(6).ue(4).bits(0, 1);
        bits.ue(119).ue(33).bits(0, 1).bits(1, 1).bits(1, 1);
        bits.bits(1, 1).ue(0).ue(0).ue(0).ue(2);
        let sps = Sps::parse(&bits.bits(0, 1).nal(&[0x67])).unwrap();
        assert_eq!((sps.width, sps.height, sps.to_string().as_str()), (1920, 1080, "avc1.640028"));
    }

    #[test]
    fn truncations_and_other_units_are_refused() {
        let good = baseline();
        // The last byte holds what follows the cropping.
        for cut in 0..good.len() - 1 {
            assert!(Sps::parse(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(Sps::parse(&[0x68, 1, 2, 3]), Err(DecodeError::Malformed));
    }

    #[test]
    fn cropping_all_of_the_picture_is_refused() {
        let mut bits = HeaderWriter::default();
        bits.bits(0x42, 8).bits(0xe0, 8).bits(31, 8).ue(0);
        bits.ue(0).ue(2).ue(1).bits(0, 1);
        bits.ue(0).ue(0).bits(1, 1).bits(1, 1);
        bits.bits(1, 1).ue(4).ue(4).ue(0).ue(0);
        assert_eq!(Sps::parse(&bits.bits(0, 1).nal(&[0x67])), Err(DecodeError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..60), high: bool) {
            let mut nal = vec![0x67];
            if high {
                nal.extend_from_slice(&[100, 0, 31, 0x80]);
            }
            nal.extend_from_slice(&body);
            if let Ok(sps) = Sps::parse(&nal) {
                prop_assert!(sps.width > 0 && sps.height > 0);
            }
        }
    }
}
