//! What H.264 encoders leave out: [`ParameterSets`] puts parameter sets before each IDR picture that comes without, and repairs
//! those that make decoders wait.
//!
//! Some encoders send parameter sets once, or only beside the stream (WebCodecs, `sprop-parameter-sets`, RTSP); who joins later
//! cannot decode then (RFC 6184 §8.4). And some do not say that no picture is shown later than it is decoded, on which decoders hold
//! back several ([`Sps::without_reordering`]).
//!
//! It is a [`FrameTransform`], for frames in byte stream form. The receiving side has no need of it: an
//! [`Assembler`](tombolo_rtp::codec::Assembler) puts in what its stream has sent before. Length-prefixed frames are converted by
//! [`AvcConfig`](tombolo_rtp::codec::annex_b::AvcConfig) and [`to_length_prefixed`](tombolo_rtp::codec::annex_b::to_length_prefixed).

use bytes::Bytes;
use tombolo_rtp::DecodeError;
use tombolo_rtp::codec::annex_b::{START_CODE, nal_type, nal_units, type_of};
use tombolo_rtp::codec::{Codec, Sps, h264};

use crate::transform::{Frame, FrameTransform};

/// Sets of each kind that are kept; more are passed on and not kept.
const MAX_SETS: usize = 32;
/// Bytes of one that is kept.
const MAX_SET_BYTES: usize = 4096;

/// What a [`ParameterSets`] does.
#[derive(Clone, Copy, Debug)]
pub struct ParameterSetsConfig {
    restrict_reordering: bool,
}

impl Default for ParameterSetsConfig {
    fn default() -> Self {
        Self { restrict_reordering: true }
    }
}

impl ParameterSetsConfig {
    /// Whether sequence parameter sets that say nothing of reordering are made to say that there is none. Not for encoders that
    /// use B pictures. Default: yes.
    #[must_use]
    pub const fn restrict_reordering(mut self, restrict: bool) -> Self {
        self.restrict_reordering = restrict;
        self
    }
}

/// The parameter sets of one stream.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    config: ParameterSetsConfig,
    /// Sequence and picture parameter sets with their ids, the way they are sent.
    kept: [Vec<(u32, Bytes)>; 2],
    injected: u64,
    repaired: u64,
}

impl ParameterSets {
    /// No parameter sets are known.
    #[must_use]
    pub fn new(config: ParameterSetsConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Takes a parameter set that came beside the stream, as one NAL unit. Others are passed over.
    pub fn add(&mut self, nal: &[u8]) {
        let repaired = self.repaired(nal);
        self.keep(repaired.as_deref().unwrap_or(nal));
    }

    /// Appends an access unit in byte stream form to `out`, with its parameter sets repaired, and put in front of an IDR picture
    /// that has none of its own.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when there is no NAL unit in it.
    pub fn process(&mut self, access_unit: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let start = out.len();
        let mut has_own = [false; 2];
        let mut is_open = true;
        for nal in nal_units(access_unit) {
            match type_of(nal) {
                nal_type::SPS | nal_type::PPS => {
                    let repaired = self.repaired(nal);
                    let nal = repaired.as_deref().unwrap_or(nal);
                    self.keep(nal);
                    has_own[kind(nal)] = true;
                    put(nal, out);
                    continue;
                }
                nal_type::IDR if is_open => {
                    is_open = false;
                    for (sets, has_own) in self.kept.iter().zip(has_own) {
                        if !has_own {
                            self.injected += sets.len() as u64;
                            sets.iter().for_each(|(_, set)| put(set, out));
                        }
                    }
                }
                _ => {}
            }
            put(nal, out);
        }
        if out.len() > start { Ok(()) } else { Err(DecodeError::Malformed) }
    }

    /// How many parameter sets were put in.
    #[must_use]
    pub const fn injected(&self) -> u64 {
        self.injected
    }

    /// How many parameter sets were repaired.
    #[must_use]
    pub const fn repaired_count(&self) -> u64 {
        self.repaired
    }

    fn repaired(&mut self, nal: &[u8]) -> Option<Vec<u8>> {
        if !self.config.restrict_reordering || type_of(nal) != nal_type::SPS {
            return None;
        }
        // What cannot be read is the decoder's to judge.
        let repaired = Sps::without_reordering(nal).ok().flatten()?;
        self.repaired += 1;
        Some(repaired)
    }

    fn keep(&mut self, nal: &[u8]) {
        let Some(id) = h264::parameter_set_id(nal).filter(|_| nal.len() <= MAX_SET_BYTES) else { return };
        let sets = &mut self.kept[kind(nal)];
        match sets.iter().position(|(known, _)| *known == id) {
            Some(at) if sets[at].1 == nal => {}
            Some(at) => sets[at].1 = Bytes::copy_from_slice(nal),
            None if sets.len() < MAX_SETS => sets.push((id, Bytes::copy_from_slice(nal))),
            None => {}
        }
    }
}

impl FrameTransform for ParameterSets {
    type Error = DecodeError;

    fn transform(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if frame.codec == Codec::H264 {
            return self.process(frame.data, out);
        }
        out.extend_from_slice(frame.data);
        Ok(())
    }
}

/// Where in `kept` a parameter set has its place.
fn kind(nal: &[u8]) -> usize {
    usize::from(type_of(nal) == nal_type::PPS)
}

fn put(nal: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&START_CODE);
    out.extend_from_slice(nal);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constrained Baseline 640×360 without VUI; ids 0 and, in the second of the picture parameter sets, 1.
    const SPS: [u8; 10] = [0x67, 0x42, 0xe0, 0x1f, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x50];
    const PPS: [u8; 3] = [0x68, 0xce, 0x3c];
    const SECOND_PPS: [u8; 3] = [0x68, 0x53, 0x8f];
    const IDR: [u8; 3] = [0x65, 0x88, 0x84];
    const SLICE: [u8; 3] = [0x41, 0x9a, 0x02];
    const AUD: [u8; 2] = [9, 0x10];

    fn stream(nals: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        nals.iter().for_each(|nal| put(nal, &mut out));
        out
    }

    fn process(sets: &mut ParameterSets, nals: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        sets.process(&stream(nals), &mut out).unwrap();
        out
    }

    fn plain() -> ParameterSets {
        ParameterSets::new(ParameterSetsConfig::default().restrict_reordering(false))
    }

    #[test]
    fn an_idr_without_parameter_sets_gets_those_that_came_before() {
        let mut sets = plain();
        let first: [&[u8]; 4] = [&SPS, &PPS, &SECOND_PPS, &IDR];
        assert_eq!(process(&mut sets, &first), stream(&first), "it has its own");
        assert_eq!(process(&mut sets, &[&SLICE]), stream(&[&SLICE]));
        let expected = stream(&[&AUD, &SPS, &PPS, &SECOND_PPS, &IDR, &IDR]);
        assert_eq!(process(&mut sets, &[&AUD, &IDR, &IDR]), expected, "behind the delimiter, once");
        assert_eq!(sets.injected(), 3);
        let expected = stream(&[&SPS, &PPS, &SECOND_PPS, &IDR]);
        assert_eq!(process(&mut sets, &[&SPS, &IDR]), expected, "only the kind that is missing");
    }

    #[test]
    fn sets_from_beside_the_stream_and_newer_ones_count() {
        let mut sets = plain();
        assert_eq!(process(&mut sets, &[&IDR]), stream(&[&IDR]), "nothing is known");
        sets.add(&SPS);
        sets.add(&PPS);
        sets.add(&SLICE);
        assert_eq!(process(&mut sets, &[&IDR]), stream(&[&SPS, &PPS, &IDR]));
        let newer = [0x68, 0xce, 0x3d];
        assert_eq!(process(&mut sets, &[&newer, &SLICE]), stream(&[&newer, &SLICE]));
        assert_eq!(process(&mut sets, &[&IDR]), stream(&[&SPS, &newer, &IDR]));
    }

    #[test]
    fn sets_that_make_decoders_wait_are_repaired() {
        let repaired = Sps::without_reordering(&SPS).unwrap().unwrap();
        let mut sets = ParameterSets::default();
        assert_eq!(process(&mut sets, &[&SPS, &PPS, &IDR]), stream(&[&repaired, &PPS, &IDR]));
        assert_eq!(process(&mut sets, &[&IDR]), stream(&[&repaired, &PPS, &IDR]));
        assert_eq!(sets.repaired_count(), 1);
        sets.process(&stream(&[&repaired, &PPS, &IDR]), &mut Vec::new()).unwrap();
        assert_eq!(sets.repaired_count(), 1, "what is whole stays as it is");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut sets = plain();
        for id in 0..1000_u32 {
            // ue(id) behind the header, with one more bit set.
            let bits = u64::from(id + 1) << 1 | 1;
            let zeros = (id + 1).ilog2();
            let shifted = bits << (40 - (2 * zeros + 2));
            let mut nal = vec![0x68];
            nal.extend_from_slice(&shifted.to_be_bytes()[3..]);
            sets.add(&nal);
        }
        sets.add(&[&PPS[..], &[7; 2 * MAX_SET_BYTES]].concat());
        assert_eq!(sets.kept[1].len(), MAX_SETS);
        assert!(sets.kept[1].iter().all(|(_, set)| set.len() <= MAX_SET_BYTES));
    }

    #[test]
    fn what_is_no_stream_is_refused_and_other_codecs_pass() {
        let mut sets = plain();
        let mut out = Vec::new();
        assert_eq!(sets.process(&[1, 2, 3], &mut out), Err(DecodeError::Malformed));
        let frame =
            Frame { codec: Codec::Vp8, keyframe: true, timestamp: tombolo_net::RtpTime(0), data: &[1, 2, 3] };
        assert_eq!(sets.transform(&frame, &mut out), Ok(()));
        assert_eq!(out, [1, 2, 3]);
    }
}
