//! H.264 and H.265 byte streams: NAL units between start codes (Annex B of both), and of H.264 the length-prefixed form of
//! MP4 and WebCodecs with its `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3).

use bytes::Bytes;
use memchr::memmem::Finder;

use super::sps::{Fields, Sps};
use crate::DecodeError;

/// What stands before each NAL unit that this crate writes.
pub const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// The type of an H.264 NAL unit, by its first byte (ITU-T H.264 table 7-1).
pub mod nal_type {
    /// A slice that is not of an IDR picture.
    pub const SLICE: u8 = 1;
    /// The first partition of a slice.
    pub const PARTITION_A: u8 = 2;
    /// A slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
    /// End of sequence.
    pub const END_OF_SEQUENCE: u8 = 10;
    /// End of stream.
    pub const END_OF_STREAM: u8 = 11;
    /// Filler data.
    pub const FILLER: u8 = 12;
}

/// The type of an H.264 NAL unit; 0 for an empty one.
#[must_use]
pub fn type_of(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |first| first & 0x1f)
}

/// The NAL units of a byte stream, without start codes and trailing zeros. Empty ones are left out; bytes before the
/// first start code are skipped.
pub fn nal_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let finder = Finder::new(&[0, 0, 1]);
    let mut rest = finder.find(stream).map(|at| &stream[at + 3..]);
    std::iter::from_fn(move || {
        loop {
            let current = rest?;
            let next = finder.find(current);
            rest = next.map(|at| &current[at + 3..]);
            let unit = &current[..next.unwrap_or(current.len())];
            let len = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&unit[..len]);
            }
        }
    })
}

/// The payload of a NAL unit without its emulation prevention bytes (ITU-T H.264 §7.4.1, H.265 §7.4.2).
pub(crate) fn unescaped(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Appends the payload of a NAL unit with its emulation prevention bytes: the way back from [`unescaped`].
pub(crate) fn escape(rbsp: &[u8], out: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
}

/// Appends the length-prefixed form of an H.264 or H.265 byte stream, with lengths of four bytes.
///
/// # Errors
/// [`DecodeError::Malformed`] when it has no NAL unit, or one of 4 GiB; nothing is appended then.
pub fn to_length_prefixed(stream: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let start = out.len();
    for nal in nal_units(stream) {
        let Ok(len) = u32::try_from(nal.len()) else {
            out.truncate(start);
            return Err(DecodeError::Malformed);
        };
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(nal);
    }
    if out.len() > start { Ok(()) } else { Err(DecodeError::Malformed) }
}

/// Whether an H.264 access unit in byte stream form contains an IDR picture.
#[must_use]
pub fn is_keyframe(stream: &[u8]) -> bool {
    nal_units(stream).any(|nal| type_of(nal) == nal_type::IDR)
}

/// The decoder configuration that goes with length-prefixed frames: what WebCodecs calls `description`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AvcConfig {
    length_bytes: usize,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
}

impl AvcConfig {
    /// Reads an `AVCDecoderConfigurationRecord`. What follows the parameter sets is ignored.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], and [`DecodeError::Malformed`] for another version, a length size of three
    /// bytes, an empty parameter set or none.
    pub fn parse(description: &[u8]) -> Result<Self, DecodeError> {
        let (&[version, _, _, _, length_bytes, sps_count], rest) =
            description.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let length_bytes = usize::from(length_bytes & 3) + 1;
        if version != 1 || length_bytes == 3 {
            return Err(DecodeError::Malformed);
        }
        let (sps, rest) = Self::parameter_sets(sps_count & 0x1f, rest)?;
        let (&pps_count, rest) = rest.split_first().ok_or(DecodeError::Truncated)?;
        let (pps, _) = Self::parameter_sets(pps_count, rest)?;
        if sps.is_empty() || pps.is_empty() {
            return Err(DecodeError::Malformed);
        }
        Ok(Self { length_bytes, sps, pps })
    }

    /// The configuration of frames with lengths of four bytes, such as [`to_length_prefixed`] makes, and these parameter
    /// sets.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when there are no or too many sets of a kind (31 and 255), one is longer than 65 535 bytes or of
    /// another kind, or the first sequence parameter set cannot be read.
    pub fn from_parameter_sets(sps: Vec<Bytes>, pps: Vec<Bytes>) -> Result<Self, DecodeError> {
        let fits = |sets: &[Bytes], kind, most| {
            (1..=most).contains(&sets.len())
                && sets.iter().all(|set| type_of(set) == kind && set.len() <= usize::from(u16::MAX))
        };
        if !fits(&sps, nal_type::SPS, 31) || !fits(&pps, nal_type::PPS, 255) {
            return Err(DecodeError::Malformed);
        }
        Fields::of(&sps[0])?;
        Ok(Self { length_bytes: 4, sps, pps })
    }

    /// Appends the `AVCDecoderConfigurationRecord`. One that was read is written with its parameter sets and no more.
    ///
    /// # Errors
    /// [`DecodeError`] when the first sequence parameter set cannot be read; nothing is appended then.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let fields = Fields::of(&self.sps[0])?;
        let Sps { profile, constraints, level, .. } = fields.sps;
        out.extend_from_slice(&[1, profile, constraints, level, 0xfc | (self.length_bytes - 1) as u8]);
        for (sets, reserved) in [(&self.sps, 0xe0), (&self.pps, 0)] {
            out.push(reserved | sets.len() as u8);
            for set in sets {
                out.extend_from_slice(&(set.len() as u16).to_be_bytes());
                out.extend_from_slice(set);
            }
        }
        if let Some([format, luma, chroma]) = fields.chroma {
            out.extend_from_slice(&[0xfc | format, 0xf8 | luma, 0xf8 | chroma, 0]);
        }
        Ok(())
    }

    fn parameter_sets(count: u8, mut rest: &[u8]) -> Result<(Vec<Bytes>, &[u8]), DecodeError> {
        let mut sets = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (len, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
            let len = usize::from(u16::from_be_bytes(*len));
            let (set, after) = after.split_at_checked(len).ok_or(DecodeError::Truncated)?;
            if set.is_empty() {
                return Err(DecodeError::Malformed);
            }
            sets.push(Bytes::copy_from_slice(set));
            rest = after;
        }
        Ok((sets, rest))
    }

    /// The first sequence parameter set, for [`super::Sps::parse`].
    #[must_use]
    pub fn sps(&self) -> &[u8] {
        &self.sps[0]
    }

    /// The byte stream form of a length-prefixed frame. An IDR picture gets the parameter sets in front when it has
    /// none of its own.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the lengths do not add up to the frame, [`DecodeError::Malformed`] when it has
    /// no NAL unit.
    pub fn to_annex_b(&self, frame: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let (mut idr, mut own_sets, mut units) = (false, false, 0);
        let mut rest = frame;
        while !rest.is_empty() {
            let nal;
            (nal, rest) = self.split_nal(rest)?;
            idr |= type_of(nal) == nal_type::IDR;
            own_sets |= type_of(nal) == nal_type::SPS;
            units += usize::from(!nal.is_empty());
        }
        if units == 0 {
            return Err(DecodeError::Malformed);
        }
        let mut out = Vec::with_capacity(frame.len() + units * START_CODE.len());
        let mut put = |nal: &[u8]| {
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(nal);
        };
        if idr && !own_sets {
            self.sps.iter().chain(&self.pps).for_each(|set| put(set));
        }
        rest = frame;
        while !rest.is_empty() {
            let nal;
            (nal, rest) = self.split_nal(rest)?;
            if !nal.is_empty() {
                put(nal);
            }
        }
        Ok(out)
    }

    fn split_nal<'a>(&self, rest: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
        let (len, rest) = rest.split_at_checked(self.length_bytes).ok_or(DecodeError::Truncated)?;
        let len = len.iter().fold(0, |len, &byte| len << 8 | usize::from(byte));
        rest.split_at_checked(len).ok_or(DecodeError::Truncated)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// These units in byte stream form.
    pub(in super::super) fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
    }

    #[test]
    fn units_are_found_between_start_codes_of_both_lengths() {
        let stream = [9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 1, 0, 0, 1, 0x65, 0, 3, 1];
        let units: Vec<_> = nal_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68, 2], &[0x65, 0, 3, 1]]);
        assert!(is_keyframe(&stream));
        assert_eq!(nal_units(&[0x65, 1, 2]).count(), 0);
        assert_eq!(nal_units(&[0, 0, 1]).count(), 0);
    }

    const HIGH_SPS: [u8; 8] = [0x67, 0x64, 0x00, 0x28, 0xac, 0xb2, 0x01, 0x40];

    /// What is written is read again, and frames come back through the length-prefixed form.
    #[test]
    fn configurations_and_frames_make_the_way_and_back() {
        for sps in [&[0x67, 0x42, 0xe0, 0x1f, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0][..], &HIGH_SPS] {
            let Ok(fields) = Fields::of(sps) else { continue };
            let pps = [&[0x68, 0xce, 0x3c, 0x80][..], &[0x68, 0x53, 0x8f, 0x20]];
            let pps = pps.map(Bytes::copy_from_slice).to_vec();
            let config = AvcConfig::from_parameter_sets(vec![Bytes::copy_from_slice(sps)], pps).unwrap();
            let mut record = Vec::new();
            config.write(&mut record).unwrap();
            assert_eq!(AvcConfig::parse(&record).as_ref(), Ok(&config));
            assert_eq!(record[1..4], [fields.sps.profile, fields.sps.constraints, fields.sps.level]);
            let frame = stream(&[&[0x41, 1, 2], &[0x41, 7]]);
            let mut prefixed = Vec::new();
            to_length_prefixed(&frame, &mut prefixed).unwrap();
            assert_eq!(prefixed, [0, 0, 0, 3, 0x41, 1, 2, 0, 0, 0, 2, 0x41, 7]);
            assert_eq!(config.to_annex_b(&prefixed), Ok(frame));
        }
        assert_eq!(to_length_prefixed(&[1, 2, 3], &mut Vec::new()), Err(DecodeError::Malformed));
        assert!(AvcConfig::from_parameter_sets(Vec::new(), Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn escaping_and_back_changes_nothing_and_hides_start_codes(
            payload in proptest::collection::vec(0_u8..5, 0..60),
        ) {
            let mut escaped = Vec::new();
            escape(&payload, &mut escaped);
            prop_assert_eq!(unescaped(&escaped), payload);
            prop_assert!(!escaped.windows(3).any(|bytes| bytes[..2] == [0, 0] && bytes[2] < 3));
        }
    }

    #[test]
    fn emulation_prevention_bytes_are_left_out() {
        assert_eq!(unescaped(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3, 3]), [0, 0, 1, 0, 0, 0, 0, 3, 3]);
        assert_eq!(unescaped(&[3, 0, 3, 0, 0, 0, 3]), [3, 0, 3, 0, 0, 0]);
    }

    fn description(length_bytes: u8) -> Vec<u8> {
        vec![1, 0x42, 0xe0, 0x1f, 0xfc | (length_bytes - 1), 0xe1, 0, 2, 0x67, 0x42, 1, 0, 1, 0x68]
    }

    #[test]
    fn length_prefixed_frames_become_byte_streams() {
        let config = AvcConfig::parse(&description(4)).unwrap();
        assert_eq!(config.sps(), [0x67, 0x42]);
        let out = config.to_annex_b(&[0, 0, 0, 2, 0x65, 9, 0, 0, 0, 1, 0x65]).unwrap();
        let units: Vec<_> = nal_units(&out).collect();
        assert_eq!(units, [&[0x67, 0x42][..], &[0x68], &[0x65, 9], &[0x65]]);
        let delta = config.to_annex_b(&[0, 0, 0, 2, 0x41, 9]).unwrap();
        assert_eq!(delta, [0, 0, 0, 1, 0x41, 9]);
        let own = config.to_annex_b(&[0, 0, 0, 2, 0x67, 9, 0, 0, 0, 1, 0x65]).unwrap();
        assert_eq!(nal_units(&own).collect::<Vec<_>>(), [&[0x67, 9][..], &[0x65]]);
        let short = AvcConfig::parse(&description(2)).unwrap();
        assert_eq!(short.to_annex_b(&[0, 1, 0x41]).unwrap(), [0, 0, 0, 1, 0x41]);
    }

    #[test]
    fn bad_descriptions_and_frames_are_refused() {
        let good = description(4);
        for cut in 0..good.len() {
            assert!(AvcConfig::parse(&good[..cut]).is_err(), "{cut}");
        }
        assert_eq!(AvcConfig::parse(&description(3)), Err(DecodeError::Malformed));
        let config = AvcConfig::parse(&good).unwrap();
        assert_eq!(config.to_annex_b(&[0, 0, 0, 3, 0x65, 9]), Err(DecodeError::Truncated));
        assert_eq!(config.to_annex_b(&[0xff, 0xff, 0xff, 0xff, 0x65]), Err(DecodeError::Truncated));
        assert_eq!(config.to_annex_b(&[]), Err(DecodeError::Malformed));
        assert_eq!(config.to_annex_b(&[0; 4]), Err(DecodeError::Malformed));
    }

    proptest! {
        /// Beside the naive search.
        #[test]
        fn start_codes_are_found_where_they_stand(stream in proptest::collection::vec(0u8..4, 0..60)) {
            let codes: Vec<_> =
                (0..stream.len()).filter(|&at| stream[at..].starts_with(&[0, 0, 1])).collect();
            let ends = codes.iter().skip(1).copied().chain([stream.len()]);
            let between = codes.iter().zip(ends).map(|(code, end)| &stream[code + 3..end]);
            let trimmed = between.map(|mut unit| {
                while let Some(shorter) = unit.strip_suffix(&[0]) {
                    unit = shorter;
                }
                unit
            });
            let naive: Vec<_> = trimmed.filter(|unit| !unit.is_empty()).collect();
            prop_assert_eq!(nal_units(&stream).collect::<Vec<_>>(), naive);
        }
    }
}
