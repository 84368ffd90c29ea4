//! Sequence parameter sets that make decoders wait (ITU-T H.264 §E.2.1): those of some encoders do not say that no picture is
//! shown later than it is decoded, and a decoder that goes by the standard then holds back as many as the level allows.

use super::Sps;
use super::annex_b::{escape, nal_type, type_of, unescaped};
use super::sps::Fields;
use crate::DecodeError;
use crate::bits::{BitReader, BitWriter};

/// `Extended_SAR`, the aspect ratio that is followed by its two parts.
const EXTENDED_SAR: u32 = 255;
/// What is inferred for the fields of the bitstream restriction that are not about reordering.
const MAX_BYTES_PER_PIC_DENOM: u32 = 2;
const MAX_BITS_PER_MB_DENOM: u32 = 1;
const LOG2_MAX_MV_LENGTH: u32 = 16;

impl Sps {
    /// A sequence parameter set with `max_num_reorder_frames` of 0 in place of `nal`, which says nothing of it; `None` when it says
    /// something. For encoders that are known to send pictures in the order in which they are shown, as those for calls do.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] when it is another NAL unit or a value is out of
    /// range.
    pub fn without_reordering(nal: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        if type_of(nal) != nal_type::SPS {
            return Err(DecodeError::Malformed);
        }
        let rbsp = unescaped(&nal[1..]);
        let mut bits = BitReader::new(&rbsp);
        let fields = Fields::read(&mut bits)?;
        let mut copied = bits.position();
        let has_vui = bits.flag()?;
        if has_vui {
            skip_vui(&mut bits)?;
            copied = bits.position();
            if bits.flag()? {
                return Ok(None); // bitstream_restriction_flag
            }
        }
        let mut out = Vec::with_capacity(rbsp.len() + 8);
        let mut writer = BitWriter::new(&mut out);
        let mut reader = BitReader::new(&rbsp);
        for _ in 0..copied {
            writer.flag(reader.flag()?);
        }
        if !has_vui {
            // vui_parameters_present_flag, and none of its parts: aspect ratio, overscan, video signal, chroma location, timing,
            // two HRDs, structure.
            writer.flag(true);
            writer.bits(0, 8);
        }
        writer.flag(true);
        // Motion vectors may point outside of the picture, as is inferred.
        writer.flag(true);
        for value in [
            MAX_BYTES_PER_PIC_DENOM,
            MAX_BITS_PER_MB_DENOM,
            LOG2_MAX_MV_LENGTH,
            LOG2_MAX_MV_LENGTH,
            0,
            fields.max_num_ref_frames,
        ] {
            writer.exp_golomb(value);
        }
        writer.flag(true); // rbsp_stop_one_bit
        let mut repaired = Vec::with_capacity(out.len() + 8);
        repaired.push(nal[0]);
        escape(&out, &mut repaired);
        Ok(Some(repaired))
    }
}

/// From behind `vui_parameters_present_flag` to `bitstream_restriction_flag` (§E.1.1).
fn skip_vui(bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
    if bits.flag()? && bits.bits(8)? == EXTENDED_SAR {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour primaries, transfer, matrix
        }
    }
    if bits.flag()? {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
    }
    if bits.flag()? {
        bits.skip(65)?; // units in a tick, time scale, fixed rate
    }
    let mut has_hrd = false;
    for _ in 0..2 {
        if bits.flag()? {
            has_hrd = true;
            skip_hrd(bits)?;
        }
    }
    if has_hrd {
        bits.skip(1)?; // low_delay_hrd_flag
    }
    bits.skip(1) // pic_struct_present_flag
}

/// §E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
    let count = bits.exp_golomb()?;
    if count > 31 {
        return Err(DecodeError::Malformed);
    }
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..=count {
        bits.exp_golomb()?;
        bits.exp_golomb()?;
        bits.skip(1)?;
    }
    bits.skip(20) // lengths of delays and time offset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header_writer::HeaderWriter;
    use super::*;

    /// 640×360 in Constrained Baseline, up to the flag of the VUI.
    fn baseline() -> HeaderWriter {
        let mut bits = HeaderWriter::default();
        bits.bits(0x42, 8).bits(0xe0, 8).bits(31, 8).ue(0);
        bits.ue(0).ue(2).ue(3).bits(0, 1);
        bits.ue(39).ue(22).bits(1, 1).bits(1, 1);
        bits.bits(1, 1).ue(0).ue(0).ue(0).ue(4);
        bits
    }

    /// The restriction that is added, as the standard writes it.
    fn restricted(bits: &mut HeaderWriter) -> Vec<u8> {
        bits.bits(1, 1).bits(1, 1).ue(2).ue(1).ue(16).ue(16).ue(0).ue(3).nal(&[0x67])
    }

    #[test]
    fn a_set_without_vui_gets_one() {
        let repaired = Sps::without_reordering(&baseline().bits(0, 1).nal(&[0x67])).unwrap().unwrap();
        assert_eq!(repaired, restricted(baseline().bits(1, 1).bits(0, 8)));
        assert_eq!(Sps::parse(&repaired).map(|sps| (sps.width, sps.height)), Ok((640, 360)));
        assert_eq!(Sps::without_reordering(&repaired), Ok(None), "repaired once");
    }

    /// All parts of a VUI: they stay as they are.
    #[test]
    fn a_vui_without_restriction_gets_it() {
        let vui = || {
            let mut bits = baseline();
            bits.bits(1, 1);
            bits.bits(1, 1).bits(255, 8).bits(4, 16).bits(3, 16);
            bits.bits(1, 1).bits(1, 1);
            bits.bits(1, 1).bits(5, 3).bits(1, 1).bits(1, 1).bits(9, 8).bits(16, 8).bits(9, 8);
            bits.bits(1, 1).ue(0).ue(1);
            bits.bits(1, 1).bits(1, 32).bits(60, 32).bits(1, 1);
            bits.bits(1, 1).ue(1).bits(0x35, 8).ue(99).ue(98).bits(1, 1).ue(7).ue(6).bits(0, 1).bits(0, 20);
            bits.bits(0, 1).bits(1, 1);
            bits.bits(1, 1);
            bits
        };
        let nal = vui().bits(0, 1).nal(&[0x67]);
        assert_eq!(Sps::without_reordering(&nal).unwrap().unwrap(), restricted(&mut vui()));
    }

    #[test]
    fn a_set_that_tells_is_left_as_it_is() {
        let mut bits = baseline();
        bits.bits(1, 1).bits(0, 8).bits(1, 1).bits(1, 1).ue(2).ue(1).ue(9).ue(9).ue(2).ue(4);
        assert_eq!(Sps::without_reordering(&bits.nal(&[0x67])), Ok(None));
    }

    #[test]
    fn other_units_and_cut_ones_are_refused() {
        assert_eq!(Sps::without_reordering(&[0x68, 1]), Err(DecodeError::Malformed));
        let nal = baseline().bits(0, 1).nal(&[0x67]);
        for end in 0..nal.len() - 1 {
            assert!(Sps::without_reordering(&nal[..end]).is_err(), "cut at {end}");
        }
    }

    proptest! {
        /// Whatever is repaired says the same as before, and needs no repair any more.
        #[test]
        fn any_bytes_are_survived(body in proptest::collection::vec(any::<u8>(), 0..60), vui: bool) {
            let start = baseline().bits(u32::from(vui), 1).nal(&[0x67]);
            for nal in [[&[0x67][..], &body].concat(), [&start[..start.len() - 1], &body].concat()] {
                if let Ok(Some(repaired)) = Sps::without_reordering(&nal) {
                    prop_assert_eq!(Sps::parse(&repaired), Sps::parse(&nal));
                    prop_assert_eq!(Sps::without_reordering(&repaired), Ok(None));
                }
            }
        }
    }
}
