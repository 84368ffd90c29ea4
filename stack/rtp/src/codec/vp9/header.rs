//! [`Vp9Header`]: what the uncompressed header of a frame tells (VP9 bitstream specification §6.2, §7.2).

use crate::DecodeError;
use crate::bits::BitReader;

const SYNC_CODE: u32 = 0x49_8342;

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vp9Header {
    /// The profile, 0..=3.
    pub profile: u8,
    /// The frame refers to nothing and sets the decoder up anew.
    pub keyframe: bool,
    /// The frames that it replaces among the eight kept ones, a bit each. With none nothing ever refers to it.
    pub refreshed: u8,
    /// Width and height in pixels: of a keyframe only.
    pub size: Option<(u32, u32)>,
    /// Bits of a sample: of a keyframe only.
    pub bit_depth: Option<u8>,
}

impl Vp9Header {
    /// Reads the first header of a frame or superframe.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] when frame marker, profile or sync code are wrong.
    pub fn parse(frame: &[u8]) -> Result<Self, DecodeError> {
        let mut bits = BitReader::new(frame);
        if bits.bits(2)? != 2 {
            return Err(DecodeError::Malformed);
        }
        let profile = (bits.bits(1)? | bits.bits(1)? << 1) as u8;
        if profile == 3 && bits.flag()? {
            return Err(DecodeError::Malformed);
        }
        let mut header = Self { profile, keyframe: false, refreshed: 0, size: None, bit_depth: None };
        if bits.flag()? {
            // A kept frame is shown again.
            return Ok(header);
        }
        header.keyframe = !bits.flag()?;
        let shown = bits.flag()?;
        let error_resilient = bits.flag()?;
        if header.keyframe {
            header.refreshed = 0xff;
            sync_code(&mut bits)?;
            header.bit_depth = Some(color_config(&mut bits, profile)?);
            header.size = Some((bits.bits(16)? + 1, bits.bits(16)? + 1));
            return Ok(header);
        }
        let intra_only = !shown && bits.flag()?;
        if !error_resilient {
            bits.skip(2)?;
        }
        if intra_only {
            sync_code(&mut bits)?;
            if profile > 0 {
                color_config(&mut bits, profile)?;
            }
        }
        header.refreshed = bits.bits(8)? as u8;
        Ok(header)
    }
}

fn sync_code(bits: &mut BitReader<'_>) -> Result<(), DecodeError> {
    if bits.bits(24)? == SYNC_CODE { Ok(()) } else { Err(DecodeError::Malformed) }
}

/// Steps over `color_config()`; returns the bit depth.
fn color_config(bits: &mut BitReader<'_>, profile: u8) -> Result<u8, DecodeError> {
    const SRGB: u32 = 7;
    let mut depth = 8;
    if profile >= 2 {
        depth = if bits.flag()? { 12 } else { 10 };
    }
    let subsampling_told = profile == 1 || profile == 3;
    if bits.bits(3)? == SRGB {
        // Profiles 0 and 2 have no 4:4:4, which RGB is.
        if !subsampling_told || bits.flag()? {
            return Err(DecodeError::Malformed);
        }
    } else {
        bits.skip(if subsampling_told { 4 } else { 1 })?;
    }
    Ok(depth)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::header_writer::HeaderWriter;

    /// A keyframe's header in profile 0, and some bytes.
    pub(in super::super) fn keyframe(width: u32, height: u32) -> Vec<u8> {
        let mut bits = HeaderWriter::default();
        bits.bits(0b1000_0010, 8).bits(SYNC_CODE, 24).bits(2, 3).bits(0, 1);
        bits.bits(width - 1, 16).bits(height - 1, 16);
        bits.bytes()
    }

    /// The header of a shown frame that refers to others.
    pub(in super::super) fn delta(refreshed: u32) -> Vec<u8> {
        HeaderWriter::default().bits(0b1000_0110, 8).bits(0, 2).bits(refreshed, 8).bits(5, 14).bytes()
    }

    #[test]
    fn a_keyframe_tells_its_size() {
        let header = Vp9Header::parse(&keyframe(1280, 720)).unwrap();
        assert!(header.keyframe);
        assert_eq!((header.size, header.bit_depth, header.refreshed), (Some((1280, 720)), Some(8), 0xff));
        for cut in 0..9 {
            assert_eq!(Vp9Header::parse(&keyframe(1280, 720)[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
    }

    #[test]
    fn higher_profiles_are_read() {
        // Profile 2, 12 bits; profile 1 with its subsampling; profile 3 with RGB.
        let mut bits = HeaderWriter::default();
        bits.bits(0b1001_0010, 8)
            .bits(SYNC_CODE, 24)
            .bits(1, 1)
            .bits(2, 3)
            .bits(0, 1)
            .bits(63, 16)
            .bits(31, 16);
        let header = Vp9Header::parse(&bits.bytes()).unwrap();
        assert_eq!((header.profile, header.bit_depth, header.size), (2, Some(12), Some((64, 32))));
        let mut bits = HeaderWriter::default();
        bits.bits(0b1010_0010, 8).bits(SYNC_CODE, 24).bits(2, 3).bits(0, 4).bits(63, 16).bits(31, 16);
        assert_eq!(Vp9Header::parse(&bits.bytes()).unwrap().size, Some((64, 32)));
        let mut bits = HeaderWriter::default();
        bits.bits(0b1011_0001, 8).bits(0, 1).bits(SYNC_CODE, 24).bits(0, 1).bits(7, 3).bits(0, 1);
        bits.bits(63, 16).bits(31, 16);
        let header = Vp9Header::parse(&bits.bytes()).unwrap();
        assert_eq!((header.profile, header.bit_depth, header.size), (3, Some(10), Some((64, 32))));
    }

    #[test]
    fn other_frames_tell_what_they_replace() {
        assert_eq!(Vp9Header::parse(&delta(0)).unwrap().refreshed, 0);
        let header = Vp9Header::parse(&delta(0b101)).unwrap();
        assert_eq!((header.keyframe, header.refreshed), (false, 0b101));
        // Shown again.
        let again = Vp9Header::parse(&[0b1000_1000]).unwrap();
        assert_eq!((again.keyframe, again.refreshed), (false, 0));
        // Hidden and intra only, error resilient.
        let mut bits = HeaderWriter::default();
        bits.bits(0b1000_0101, 8).bits(1, 1).bits(SYNC_CODE, 24).bits(0x81, 8);
        let intra = Vp9Header::parse(&bits.bytes()).unwrap();
        assert_eq!((intra.keyframe, intra.refreshed), (false, 0x81));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        for bad in [&[0x00][..], &[0x42], &[0b1011_1000], &[0b1000_0010, 1, 2, 3]] {
            assert_eq!(Vp9Header::parse(bad), Err(DecodeError::Malformed), "{bad:x?}");
        }
        assert_eq!(Vp9Header::parse(&[]), Err(DecodeError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(frame in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(header) = Vp9Header::parse(&frame) {
                prop_assert_eq!(header.keyframe, header.size.is_some());
            }
        }
    }
}
