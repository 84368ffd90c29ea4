//! The little of H.264 that the catalog needs: the codec string of a stream, and the way from
//! length-prefixed NAL units with an `avcC` record to an Annex-B byte stream (ISO/IEC 14496-15 §5.3).

use bytes::{BufMut, Bytes, BytesMut};
use tombolo_rtp::codec::annex_b::nal_units;

/// The type of a sequence parameter set (H.264 table 7-1).
const NAL_SPS: u8 = 7;
/// The type of a slice of an instantaneous decoder refresh picture.
const NAL_IDR: u8 = 5;
const START_CODE: [u8; 4] = [0, 0, 0, 1];
/// The most parameter sets that a record may have of each kind, as its format allows.
const MAX_PARAMETER_SETS: usize = 31;

/// The codec string of WebCodecs, from the first sequence parameter set of an Annex-B keyframe: `avc1.` and
/// profile, constraints and level in hexadecimal (RFC 6381 §3.3).
pub(super) fn codec_string(annex_b: &[u8]) -> Option<String> {
    nal_units(annex_b).find_map(|nal| match nal {
        [header, profile, constraints, level, ..] if header & 0x1f == NAL_SPS => {
            Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
        }
        _ => None,
    })
}

/// What an `avcC` record says: how long the length prefixes are, and the parameter sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AvcRecord {
    length_size: usize,
    /// The parameter sets with start codes.
    parameter_sets: Bytes,
}

impl AvcRecord {
    /// Reads a record; `None` when it is cut short or of an unknown version.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let [1, _, _, _, lengths, sps_count, rest @ ..] = record else { return None };
        let mut parameter_sets = BytesMut::new();
        let rest = Self::read_sets(rest, usize::from(sps_count & 0x1f), &mut parameter_sets)?;
        let (pps_count, rest) = rest.split_first()?;
        if usize::from(*pps_count) > MAX_PARAMETER_SETS {
            return None;
        }
        Self::read_sets(rest, usize::from(*pps_count), &mut parameter_sets)?;
        Some(Self { length_size: usize::from(lengths & 3) + 1, parameter_sets: parameter_sets.freeze() })
    }

    fn read_sets<'a>(mut rest: &'a [u8], count: usize, out: &mut BytesMut) -> Option<&'a [u8]> {
        for _ in 0..count {
            let (length, after) = rest.split_first_chunk::<2>()?;
            let (set, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            out.extend_from_slice(&START_CODE);
            out.extend_from_slice(set);
            rest = after;
        }
        Some(rest)
    }

    /// Turns length prefixes into start codes, and puts the parameter sets before a keyframe that has none
    /// of its own. `None` when the lengths do not add up.
    pub(super) fn to_annex_b(&self, frame: &[u8], keyframe: bool) -> Option<Bytes> {
        let mut out = BytesMut::with_capacity(self.parameter_sets.len() + frame.len() + 64);
        let mut own_sets = false;
        let mut placed = !keyframe;
        let mut rest = frame;
        while !rest.is_empty() {
            let (prefix, after) = rest.split_at_checked(self.length_size)?;
            let length = prefix.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (nal, after) = after.split_at_checked(length)?;
            rest = after;
            let Some(header) = nal.first() else { continue };
            own_sets |= header & 0x1f == NAL_SPS;
            if !placed && header & 0x1f == NAL_IDR {
                if !own_sets {
                    out.extend_from_slice(&self.parameter_sets);
                }
                placed = true;
            }
            out.put_slice(&START_CODE);
            out.extend_from_slice(nal);
        }
        Some(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: [u8; 6] = [0x67, 0x64, 0x00, 0x28, 0xac, 0x2b];
    const PPS: [u8; 4] = [0x68, 0xee, 0x3c, 0x80];

    fn record() -> Vec<u8> {
        let mut record = vec![1, 0x64, 0, 0x28, 0xff, 0xe1, 0, SPS.len() as u8];
        record.extend(SPS);
        record.extend([1, 0, PPS.len() as u8]);
        record.extend(PPS);
        record
    }

    fn prefixed(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter()
            .flat_map(|nal| (nal.len() as u32).to_be_bytes().into_iter().chain(nal.iter().copied()))
            .collect()
    }

    fn started(nals: &[&[u8]]) -> Vec<u8> {
        nals.iter().flat_map(|nal| START_CODE.into_iter().chain(nal.iter().copied())).collect()
    }

    #[test]
    fn the_codec_string_comes_from_the_sequence_parameter_set() {
        assert_eq!(codec_string(&started(&[&[9, 0x10], &SPS, &PPS])).as_deref(), Some("avc1.640028"));
        let short = [&[0, 0, 1][..], &[0x67, 0x42, 0xe0, 0x1f, 0x8c]].concat();
        assert_eq!(codec_string(&short).as_deref(), Some("avc1.42e01f"), "three-byte start code");
        assert_eq!(codec_string(&started(&[&[0x65, 1, 2, 3, 4]])), None);
        assert_eq!(codec_string(&[]), None);
    }

    #[test]
    fn a_keyframe_gets_the_records_parameter_sets_unless_it_has_its_own() {
        let record = AvcRecord::parse(&record()).expect("a record");
        let idr = [0x65, 0x88, 0x80];
        let with = |nals: &[&[u8]], keyframe| record.to_annex_b(&prefixed(nals), keyframe).expect("whole");
        assert_eq!(with(&[&[9, 0x10], &idr], true), started(&[&[9, 0x10], &SPS, &PPS, &idr]));
        assert_eq!(with(&[&SPS, &PPS, &idr], true), started(&[&SPS, &PPS, &idr]));
        assert_eq!(with(&[&[0x41, 1, 2]], false), started(&[&[0x41, 1, 2]]));
    }

    #[test]
    fn records_and_frames_that_are_cut_anywhere_are_refused_and_never_read_past_the_end() {
        let record = record();
        for end in 0..record.len() {
            assert_eq!(AvcRecord::parse(&record[..end]), None, "cut at {end}");
        }
        let record = AvcRecord::parse(&record).expect("a record");
        let frame = prefixed(&[&[0x65, 1, 2, 3]]);
        for end in 1..frame.len() {
            assert_eq!(record.to_annex_b(&frame[..end], true), None, "cut at {end}");
        }
        assert_eq!(record.to_annex_b(&[0xff; 8], true), None, "a length past the end");
    }
}
