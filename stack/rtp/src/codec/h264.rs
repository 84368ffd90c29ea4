//! H.264 (RFC 6184): single NAL unit packets, STAP-A and FU-A, in packetization modes 0 and 1.
//!
//! `single: [F NRI type 1..23 | …]` · `STAP-A: [F NRI 24 | (size 16 | NAL)*]` · `FU-A: [F NRI 28 | S E R type | piece]`
//!
//! Left out: the interleaved mode (STAP-B, MTAP, FU-B), which WebRTC does not use (RFC 7742 §6.2); such packets are
//! malformed here. H.264 without its scalable extension tells no layers.

use bytes::Bytes;

use super::PacketizeError;
use super::annex_b::{nal_type, unescaped};
use super::nal::{NalFormat, NalHeader, NalPacketizer, Role, SetKind};
use crate::bits::BitReader;

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const REFERENCE: u8 = 0x60;

/// The packets that a receiver takes (RFC 6184 §6.2, §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketizationMode {
    /// Mode 0: one NAL unit a packet. A unit larger than a packet cannot be sent.
    SingleNal,
    /// Mode 1: also STAP-A and FU-A.
    #[default]
    NonInterleaved,
}

/// The first byte: `F NRI type`.
#[derive(Debug)]
pub(super) struct H264;

impl NalFormat for H264 {
    const HEADER_LEN: usize = 1;
    const AGGREGATION: u8 = STAP_A;
    const FRAGMENT: u8 = FU_A;
    const SETS: &'static [SetKind] = &[SetKind::Sequence, SetKind::Picture];
    const TYPE_MASK: u8 = 0x1f;

    fn unit_type([first, _]: NalHeader) -> u8 {
        first & 0x1f
    }

    fn with_type([first, _]: NalHeader, unit_type: u8) -> NalHeader {
        [first & 0xe0 | unit_type, 0]
    }

    fn role(header: NalHeader) -> Role {
        let unit_type = Self::unit_type(header);
        match unit_type {
            nal_type::SLICE | nal_type::PARTITION_A | nal_type::IDR => Role::Slice {
                random_access: unit_type == nal_type::IDR,
                leading: false,
                reference: header[0] & REFERENCE != 0,
            },
            nal_type::SEI => Role::Supplemental,
            nal_type::SPS => Role::ParameterSet(SetKind::Sequence),
            nal_type::PPS => Role::ParameterSet(SetKind::Picture),
            nal_type::AUD => Role::Delimiter,
            nal_type::END_OF_SEQUENCE | nal_type::END_OF_STREAM => Role::Suffix,
            nal_type::FILLER => Role::Filler,
            1..=23 => Role::Other,
            _ => Role::Packet,
        }
    }

    /// F of all of them, and the highest NRI (RFC 6184 §5.7).
    fn merge([aggregation, _]: NalHeader, [unit, _]: NalHeader) -> NalHeader {
        let reference = (aggregation & REFERENCE).max(unit & REFERENCE);
        [(aggregation | unit) & 0x80 | reference | STAP_A, 0]
    }

    fn layer(_: NalHeader) -> Option<(u8, u8)> {
        None
    }

    fn set_id(kind: SetKind, unit: &[u8]) -> Option<u32> {
        let rbsp = unescaped(unit.get(1..)?);
        let mut bits = BitReader::new(&rbsp);
        if kind == SetKind::Sequence {
            // Profile, constraints and level.
            bits.skip(24).ok()?;
        }
        bits.exp_golomb().ok()
    }
}

/// The id of a sequence or picture parameter set; `None` for other NAL units and for one that is cut short.
#[must_use]
pub fn parameter_set_id(nal: &[u8]) -> Option<u32> {
    match H264::role_of(nal) {
        Role::ParameterSet(kind) => H264::set_id(kind, nal),
        _ => None,
    }
}

/// Cuts access units into payloads.
#[derive(Clone, Debug)]
pub struct H264Packetizer(NalPacketizer<H264>);

impl H264Packetizer {
    /// For a receiver that takes `mode`.
    #[must_use]
    pub const fn new(mode: PacketizationMode) -> Self {
        Self(NalPacketizer::new(matches!(mode, PacketizationMode::SingleNal)))
    }

    /// Appends the payloads of one access unit in byte stream form. In mode 1 parameter sets and SEI share
    /// a STAP-A and units larger than a packet become FU-As of even size. Delimiters and filler are left out.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`] without a NAL unit, [`PacketizeError::TooLarge`] in mode 0 for a unit larger than a packet,
    /// [`PacketizeError::MaxPayloadSize`] below 3 bytes.
    pub fn packetize(
        &mut self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        self.0.packetize(frame, max_payload_bytes, out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::annex_b::tests::stream;
    use super::super::annex_b::type_of;
    use super::super::depacketizer::tests::pieces;
    use super::super::depacketizer::{Joined, JoinedFrame};
    use super::super::nal::{AccessUnits, kind as kind_of};
    use super::*;
    use crate::codec::{Codec, PayloadKind};

    type ParameterSets = AccessUnits<H264>;

    fn kind(payload: &[u8]) -> PayloadKind {
        kind_of::<H264>(payload)
    }

    fn is_slice(unit_type: u8) -> bool {
        matches!(unit_type, nal_type::SLICE | nal_type::IDR)
    }

    const SPS: [u8; 4] = [0x67, 0x42, 0xe0, 0x1f];
    const PPS: [u8; 2] = [0x68, 0xce];

    fn packetize(units: &[&[u8]], max: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        H264Packetizer::new(PacketizationMode::NonInterleaved)
            .packetize(&stream(units), max, &mut out)
            .unwrap();
        assert!(out.iter().all(|payload| payload.len() <= max));
        out
    }

    fn idr(len: usize) -> Vec<u8> {
        let mut nal = vec![0x65, 0x88];
        nal.extend((0..len).map(|n| (n % 251) as u8 + 1));
        nal
    }

    fn picture(joined: Joined) -> (bool, Vec<u8>) {
        match joined {
            Joined::Frame(JoinedFrame { keyframe, data, .. }) => (keyframe, data.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn assemble(sets: &mut ParameterSets, packets: &[Bytes]) -> Joined {
        sets.assemble(&pieces(Codec::H264, packets))
    }

    #[test]
    fn parameter_sets_share_a_packet_and_the_picture_is_cut() {
        let picture = idr(2000);
        let out = packetize(&[&[9, 0xf0], &SPS, &PPS, &picture], 1200);
        assert_eq!(out[0][..], [&[0x78, 0, 4][..], &SPS, &[0, 2], &PPS].concat());
        assert_eq!(out[1][..2], [0x7c, 0x85]);
        assert_eq!(out[2][..2], [0x7c, 0x45]);
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn mode_0_sends_each_unit_alone_or_not_at_all() {
        let mut packetizer = H264Packetizer::new(PacketizationMode::SingleNal);
        let mut out = Vec::new();
        packetizer.packetize(&stream(&[&SPS, &PPS, &[0x65, 0x80]]), 100, &mut out).unwrap();
        assert_eq!(out, [&SPS[..], &PPS, &[0x65, 0x80]]);
        let large = stream(&[&SPS, &idr(200)]);
        assert_eq!(packetizer.packetize(&large, 100, &mut out), Err(PacketizeError::TooLarge));
        assert_eq!(packetizer.packetize(&[1, 2, 3], 100, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&large, 2, &mut out), Err(PacketizeError::MaxPayloadSize));
        assert_eq!(out.len(), 3);
    }

    #[test]
    fn an_idr_picture_without_parameter_sets_gets_the_last_ones() {
        let mut sets = ParameterSets::default();
        let bare_idr = packetize(&[&[6, 1], &idr(5)], 1200);
        assert_eq!(assemble(&mut sets, &bare_idr), Joined::Broken);
        assert_eq!(assemble(&mut sets, &packetize(&[&SPS, &PPS], 1200)), Joined::Nothing);
        let expected = stream(&[&SPS, &[6, 1], &PPS, &idr(5)]);
        assert_eq!(picture(assemble(&mut sets, &bare_idr)), (true, expected));
        let delta = packetize(&[&[0x41, 0x9a, 1]], 1200);
        assert_eq!(picture(assemble(&mut sets, &delta)), (false, stream(&[&[0x41, 0x9a, 1]])));
    }

    #[test]
    fn fragments_out_of_line_are_broken() {
        let mut sets = ParameterSets::default();
        let all = packetize(&[&SPS, &PPS, &idr(3000)], 1200);
        assert!(matches!(assemble(&mut sets, &all), Joined::Frame(_)));
        // The first fragment, the last one, and one that is twice the first. One in the middle shows in the numbers only.
        for missing in [1, all.len() - 1] {
            let mut some = all.clone();
            some.remove(missing);
            assert!(matches!(assemble(&mut sets, &some), Joined::Broken), "without {missing}");
        }
        let mut twice = all.clone();
        twice.insert(1, all[1].clone());
        assert!(matches!(assemble(&mut sets, &twice), Joined::Broken));
        let mut interrupted = all.clone();
        interrupted.insert(2, Bytes::from_static(&[0x41, 0x80]));
        assert_eq!(assemble(&mut sets, &interrupted), Joined::Broken);
    }

    #[test]
    fn the_first_packets_of_keyframes_are_recognised() {
        let kinds = |payload: &[u8]| {
            let kind = kind(payload);
            (kind.begins, kind.may_begin, kind.keyframe)
        };
        assert_eq!(kinds(&SPS), (true, true, true));
        assert_eq!(kinds(&PPS), (false, true, false));
        assert_eq!(kinds(&[0x78, 0, 2, 0x68, 1, 0, 2, 0x65, 0x88]), (true, true, true));
        assert_eq!(kinds(&[0x7c, 0x85, 0x88]), (true, true, true));
        assert_eq!(kinds(&[0x7c, 0x05, 0x88]), (false, false, true));
        assert_eq!(kinds(&[0x41, 0x9a]), (true, true, false));
        assert_eq!(kinds(&[0x41, 0x1a]), (false, false, false));
    }

    #[test]
    fn malformed_payloads_are_invalid() {
        for bad in [
            &[][..],
            &[0x78],
            &[0x78, 0],
            &[0x78, 0, 9, 0x67],
            &[0x78, 0, 0],
            &[0x78, 0, 1, 0x78],
            &[0x78, 0, 1, 0x67, 0],
            &[0x7c, 0x85],
            &[0x7c],
            &[0x7c, 0x98, 1],
            &[0x79, 0, 0, 0, 1, 0x67],
            &[0x7d, 0x85, 0, 0, 1],
            &[0x60, 1],
            &[0x7f, 1],
        ] {
            assert!(!kind(bad).valid, "{bad:x?}");
            assert_eq!(assemble(&mut ParameterSets::default(), &[Bytes::from_static(bad)]), Joined::Broken);
        }
    }

    fn unit() -> impl Strategy<Value = Vec<u8>> {
        let header = prop_oneof![Just(0x41u8), Just(0x65), Just(0x06), Just(0x67), Just(0x68), Just(0x01)];
        // Bytes above 3 need no emulation prevention.
        (header, proptest::collection::vec(4u8.., 1..400)).prop_map(|(header, mut body)| {
            body.insert(0, header);
            body
        })
    }

    proptest! {
        #[test]
        fn access_units_round_trip(units in proptest::collection::vec(unit(), 1..8), max in 450usize..1300) {
            let mut units: Vec<&[u8]> = units.iter().map(Vec::as_slice).collect();
            units.insert(0, &SPS);
            units.insert(1, &PPS);
            let small = packetize(&units, max);
            let mut sets = ParameterSets::default();
            let has_picture = units.iter().any(|unit| is_slice(type_of(unit)));
            match assemble(&mut sets, &small) {
                Joined::Frame(JoinedFrame { data, keyframe, .. }) => {
                    prop_assert_eq!(data.to_vec(), stream(&units));
                    prop_assert_eq!(keyframe, units.iter().any(|unit| type_of(unit) == nal_type::IDR));
                }
                other => prop_assert!(!has_picture, "{:?}", other),
            }
        }

        #[test]
        fn slices_survive_any_cut(len in 1usize..3000, max in 3usize..200) {
            let nal = idr(len);
            let out = packetize(&[&nal], max);
            let mut sets = ParameterSets::default();
            sets.add_parameter_set(&SPS);
            sets.add_parameter_set(&PPS);
            prop_assert_eq!(picture(assemble(&mut sets, &out)), (true, stream(&[&SPS, &PPS, &nal])));
        }

        #[test]
        fn any_bytes_are_survived(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5),
        ) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            payloads.iter().for_each(|payload| { kind(payload); });
            assemble(&mut ParameterSets::default(), &payloads);
        }
    }
}
