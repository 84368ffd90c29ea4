//! H.265 (RFC 7798): single NAL unit packets, aggregation packets and fragmentation units.
//!
//! `single: [F type 0..47 LayerId TID | …]` · `AP: [F 48 LayerId TID | (size 16 | NAL)*]` · `FU: [F 49 LayerId TID | S E type |
//! piece]`
//!
//! Left out: decoding order numbers, which streams with `sprop-max-don-diff` above 0 or more than one RTP stream have in each
//! packet (no browser does; [`accepts`] refuses them), and PACI packets (type 50), which are malformed here.

mod sps;

pub use sps::H265Sps;

use bytes::Bytes;

use super::PacketizeError;
use super::annex_b::{nal_units, unescaped};
use super::nal::{NalFormat, NalHeader, NalPacketizer, Role, SetKind};
use crate::bits::BitReader;

/// The types of NAL units (ITU-T H.265 table 7-1).
pub mod unit_type {
    /// The last type of a leading picture that refers to pictures before its random access picture; 8 is the other.
    pub const RASL_R: u8 = 9;
    /// The first type of a random access picture.
    pub const BLA_W_LP: u8 = 16;
    /// An instantaneous decoding refresh; 20 without leading pictures.
    pub const IDR_W_RADL: u8 = 19;
    /// A clean random access picture, the last type of those.
    pub const CRA: u8 = 21;
    /// Video parameter set.
    pub const VPS: u8 = 32;
    /// Sequence parameter set.
    pub const SPS: u8 = 33;
    /// Picture parameter set.
    pub const PPS: u8 = 34;
    /// Access unit delimiter.
    pub const AUD: u8 = 35;
    /// End of sequence.
    pub const END_OF_SEQUENCE: u8 = 36;
    /// End of stream.
    pub const END_OF_STREAM: u8 = 37;
    /// Filler data.
    pub const FILLER: u8 = 38;
    /// Supplemental enhancement information in front of the picture.
    pub const PREFIX_SEI: u8 = 39;
    /// Supplemental enhancement information behind the slices.
    pub const SUFFIX_SEI: u8 = 40;
}

const AGGREGATION: u8 = 48;
const FRAGMENTATION: u8 = 49;
const LAYER_ID: u16 = 0x01f8;
const TEMPORAL_ID: u16 = 0x0007;

/// The type of a NAL unit; `None` for one without a header.
#[must_use]
pub fn type_of(nal: &[u8]) -> Option<u8> {
    H265::header(nal).map(H265::unit_type)
}

/// Whether an access unit in byte stream form contains a random access picture.
#[must_use]
pub fn is_keyframe(stream: &[u8]) -> bool {
    nal_units(stream).any(|nal| matches!(H265::role_of(nal), Role::Slice { random_access: true, .. }))
}

/// Whether the parameters of `a=fmtp` describe a stream that can be read: without decoding order numbers.
#[must_use]
pub fn accepts(fmtp: &str) -> bool {
    fmtp.split(';').filter_map(|parameter| parameter.trim().split_once('=')).all(|(name, value)| match name {
        "sprop-max-don-diff" | "sprop-depack-buf-nalus" => value.trim().parse() == Ok(0_u32),
        "tx-mode" => value.trim() == "SRST",
        _ => true,
    })
}

/// Two bytes: `F type 6 LayerId 6 TID 3`.
#[derive(Debug)]
pub(super) struct H265;

impl NalFormat for H265 {
    const HEADER_LEN: usize = 2;
    const AGGREGATION: u8 = AGGREGATION;
    const FRAGMENT: u8 = FRAGMENTATION;
    const SETS: &'static [SetKind] = &[SetKind::Video, SetKind::Sequence, SetKind::Picture];
    const TYPE_MASK: u8 = 0x3f;

    fn unit_type([first, _]: NalHeader) -> u8 {
        first >> 1 & 0x3f
    }

    fn with_type([first, second]: NalHeader, unit_type: u8) -> NalHeader {
        [first & 0x81 | unit_type << 1, second]
    }

    fn role(header: NalHeader) -> Role {
        let unit_type = Self::unit_type(header);
        match unit_type {
            // Even types up to 14 are not referred to within their temporal layer.
            0..=unit_type::RASL_R => Role::Slice {
                random_access: false,
                leading: unit_type >= unit_type::RASL_R - 1,
                reference: unit_type % 2 == 1,
            },
            unit_type::BLA_W_LP..=unit_type::CRA => {
                Role::Slice { random_access: true, leading: false, reference: true }
            }
            unit_type::VPS => Role::ParameterSet(SetKind::Video),
            unit_type::SPS => Role::ParameterSet(SetKind::Sequence),
            unit_type::PPS => Role::ParameterSet(SetKind::Picture),
            unit_type::AUD => Role::Delimiter,
            unit_type::FILLER => Role::Filler,
            unit_type::PREFIX_SEI => Role::Supplemental,
            unit_type::END_OF_SEQUENCE | unit_type::END_OF_STREAM | unit_type::SUFFIX_SEI => Role::Suffix,
            AGGREGATION.. => Role::Packet,
            _ => Role::Other,
        }
    }

    /// F of all of them, the lowest layer and the lowest temporal id (RFC 7798 §4.4.2).
    fn merge(aggregation: NalHeader, unit: NalHeader) -> NalHeader {
        let (sum, unit) = (u16::from_be_bytes(aggregation), u16::from_be_bytes(unit));
        let lowest = (sum & LAYER_ID).min(unit & LAYER_ID) | (sum & TEMPORAL_ID).min(unit & TEMPORAL_ID);
        ((sum | unit) & 0x8000 | u16::from(AGGREGATION) << 9 | lowest).to_be_bytes()
    }

    fn layer(header: NalHeader) -> Option<(u8, u8)> {
        let bits = u16::from_be_bytes(header);
        // nuh_temporal_id_plus1 is not 0.
        Some((((bits & TEMPORAL_ID) as u8).checked_sub(1)?, ((bits & LAYER_ID) >> 3) as u8))
    }

    fn set_id(kind: SetKind, unit: &[u8]) -> Option<u32> {
        match kind {
            SetKind::Video => Some(u32::from(*unit.get(2)? >> 4)),
            SetKind::Sequence => H265Sps::parse(unit).ok().map(|sps| u32::from(sps.id)),
            SetKind::Picture => BitReader::new(&unescaped(unit.get(2..)?)).exp_golomb().ok(),
        }
    }
}

/// Cuts access units into payloads.
#[derive(Clone, Debug)]
pub struct H265Packetizer(NalPacketizer<H265>);

impl Default for H265Packetizer {
    fn default() -> Self {
        Self::new()
    }
}

impl H265Packetizer {
    /// For one stream.
    #[must_use]
    pub const fn new() -> Self {
        Self(NalPacketizer::new(false))
    }

    /// Appends the payloads of one access unit in byte stream form. Parameter sets and SEI share an aggregation packet and
    /// units larger than a packet become fragments of even size. Delimiters and filler are left out.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`] without a NAL unit, [`PacketizeError::MaxPayloadSize`] below 4 bytes.
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
    use super::super::depacketizer::tests::pieces;
    use super::super::depacketizer::{Joined, JoinedFrame};
    use super::super::nal::{AccessUnits, kind as kind_of};
    use super::sps::tests::sps;
    use super::*;
    use crate::codec::{Codec, PayloadKind};

    type Units = AccessUnits<H265>;

    const VPS: [u8; 4] = [0x40, 1, 0x0c, 1];
    const PPS: [u8; 4] = [0x44, 1, 0xc0, 0xf3];

    fn packetize(units: &[&[u8]], max: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        H265Packetizer::new().packetize(&stream(units), max, &mut out).unwrap();
        assert!(out.iter().all(|payload| payload.len() <= max));
        out
    }

    fn slice(unit_type: u8, temporal_id: u8, len: usize) -> Vec<u8> {
        let mut nal = vec![unit_type << 1, temporal_id + 1, 0x80];
        nal.extend((0..len).map(|n| (n % 251) as u8 + 1));
        nal
    }

    fn join(units: &mut Units, packets: &[Bytes]) -> Joined {
        units.assemble(&pieces(Codec::H265, packets))
    }

    fn frame(joined: Joined) -> JoinedFrame {
        match joined {
            Joined::Frame(frame) => frame,
            other => panic!("{other:?}"),
        }
    }

    fn kind(payload: &[u8]) -> PayloadKind {
        kind_of::<H265>(payload)
    }

    #[test]
    fn parameter_sets_share_a_packet_and_the_picture_is_cut() {
        let (sps, idr) = (sps(0), slice(unit_type::IDR_W_RADL, 0, 2000));
        let out = packetize(&[&[0x46, 1, 0x50], &VPS, &sps, &PPS, &idr], 1200);
        let sizes = [&[0x60, 1, 0, 4][..], &VPS, &[0, sps.len() as u8], &sps, &[0, 4], &PPS].concat();
        assert_eq!(out[0][..], sizes);
        assert_eq!((&out[1][..3], &out[2][..3]), (&[0x62, 1, 0x93][..], &[0x62, 1, 0x53][..]));
        assert_eq!(out.len(), 3);
        let joined = frame(join(&mut Units::default(), &out));
        assert_eq!(joined.data, stream(&[&VPS, &sps, &PPS, &idr]));
        assert!(joined.keyframe && is_keyframe(&joined.data) && !joined.discardable);
        let kinds: Vec<_> = out.iter().map(|payload| kind(payload)).collect();
        assert!(kinds[0].begins && kinds[0].keyframe && kinds[0].self_contained);
        assert!(kinds[1].keyframe && !kinds[2].may_begin);
    }

    /// RFC 7798 §4.4.2: the header of an aggregation has the lowest of both.
    #[test]
    fn an_aggregation_is_of_the_lowest_layer() {
        assert_eq!(H265::merge([0x60, 0x1b], [0x40, 0x12]), [0x60, 0x12]);
        assert_eq!(H265::merge([0x60, 0x02], [0xc1, 0x09]), [0xe0, 0x01]);
        assert_eq!(H265::layer([0x40, 0x1b]), Some((2, 3)));
    }

    #[test]
    fn random_access_pictures_get_the_sets_they_lack() {
        let mut units = Units::default();
        let idr = slice(unit_type::IDR_W_RADL, 0, 5);
        let bare = packetize(&[&idr], 1200);
        assert_eq!(join(&mut units, &bare), Joined::Broken);
        assert_eq!(join(&mut units, &packetize(&[&VPS, &sps(0)], 1200)), Joined::Nothing);
        assert_eq!(join(&mut units, &bare), Joined::Broken, "without the picture's parameters");
        assert_eq!(join(&mut units, &packetize(&[&PPS], 1200)), Joined::Nothing);
        let whole = stream(&[&VPS, &sps(0), &PPS, &idr]);
        assert_eq!(frame(join(&mut units, &bare)).data, whole);
        // Its own come once.
        let own = packetize(&[&VPS, &sps(0), &PPS, &idr], 1200);
        assert_eq!(frame(join(&mut units, &own)).data, whole);
        // Another sequence: the old picture parameters are no longer meant.
        assert_eq!(join(&mut units, &packetize(&[&[0x40, 1, 0x0c, 2], &sps(0)], 1200)), Joined::Nothing);
        assert_eq!(join(&mut units, &bare), Joined::Broken);
    }

    #[test]
    fn sets_larger_than_a_packet_are_kept_too() {
        let mut units = Units::default();
        let large = [&PPS[..], &[7; 100]].concat();
        let out = packetize(&[&VPS, &sps(0), &large], 40);
        assert!(out.len() >= 4);
        assert_eq!(join(&mut units, &out), Joined::Nothing);
        let idr = slice(unit_type::CRA, 0, 5);
        let joined = frame(join(&mut units, &packetize(&[&idr], 1200)));
        assert_eq!(joined.data, stream(&[&VPS, &sps(0), &large, &idr]));
    }

    #[test]
    fn kept_sets_are_bounded() {
        let mut units = Units::default();
        for id in 0..2000_u16 {
            let [high, low] = id.to_be_bytes();
            // An id of 11 bits, and as many sets with any.
            units.add_parameter_set(&[&[0x44, 1, 0, 0x10 | high, low][..], &[1; 900]].concat());
        }
        units.add_parameter_set(&[&[0x42, 1][..], &[1; 70_000]].concat());
        let (sets, bytes) = units.kept();
        assert!(sets <= 64 && bytes <= 64 * 1024 && sets > 32, "{sets} {bytes}");
    }

    #[test]
    fn layers_and_discardability_are_read() {
        let told = |unit_type, temporal_id| {
            let nal = slice(unit_type, temporal_id, 3000);
            let out = packetize(&[&nal], 1200);
            let joined = frame(join(&mut Units::default(), &out));
            assert_eq!(
                (kind(&out[0]).temporal_id, kind(&out[0]).discardable),
                (joined.temporal_id, joined.discardable)
            );
            (joined.temporal_id, joined.spatial_id, joined.discardable)
        };
        assert_eq!(told(0, 2), (Some(2), Some(0), true));
        assert_eq!(told(1, 0), (Some(0), Some(0), false));
        assert_eq!(told(3, 1), (Some(1), Some(0), false));
        let shared = [&[0x60, 3, 0, 3][..], &slice(0, 2, 0), &[0, 3], &slice(1, 2, 0)].concat();
        assert!(!kind(&shared).discardable);
    }

    #[test]
    fn fragments_out_of_line_are_broken() {
        let all = packetize(&[&VPS, &sps(0), &PPS, &slice(unit_type::IDR_W_RADL, 0, 3000)], 1200);
        let broken = |packets: &[Bytes]| assert_eq!(join(&mut Units::default(), packets), Joined::Broken);
        broken(&[&all[..1], &all[2..]].concat());
        broken(&all[..all.len() - 1]);
        broken(&[&all[..2], &all[1..]].concat());
        broken(&[&all[..2], &[Bytes::from_static(&[2, 1, 0x80])], &all[2..]].concat());
    }

    #[test]
    fn malformed_payloads_are_invalid() {
        for bad in [
            &[][..],
            &[0x26],
            &[0x60, 1],
            &[0x60, 1, 0],
            &[0x60, 1, 0, 9, 0x42],
            &[0x60, 1, 0, 0],
            &[0x60, 1, 0, 1, 0x42],
            &[0x60, 1, 0, 2, 0x60, 1],
            &[0x60, 1, 0, 2, 0x42, 1, 0],
            &[0x62, 1],
            &[0x62, 1, 0x93],
            &[0x62, 1, 0xb0, 1],
            &[0x64, 1, 0, 0, 1],
            &[0x7e, 1, 1],
        ] {
            assert!(!kind(bad).valid, "{bad:x?}");
            assert_eq!(join(&mut Units::default(), &[Bytes::from_static(bad)]), Joined::Broken);
        }
    }

    #[test]
    fn streams_with_decoding_order_numbers_are_refused() {
        assert!(accepts("") && accepts("level-id=93;profile-id=1; sprop-max-don-diff=0;tx-mode=SRST"));
        for refused in [
            "sprop-max-don-diff=1",
            "level-id=93; sprop-depack-buf-nalus=2",
            "tx-mode=MRST",
            "sprop-max-don-diff=x",
        ] {
            assert!(!accepts(refused), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn access_units_round_trip(
            bodies in proptest::collection::vec((prop::sample::select(&[1u8, 2, 19, 39, 40]), proptest::collection::vec(4u8.., 1..400)), 1..8),
            max in 20usize..1300,
        ) {
            let sps = sps(0);
            let bodies: Vec<Vec<u8>> =
                bodies.into_iter().map(|(unit_type, body)| [&[unit_type << 1, 1][..], &body].concat()).collect();
            let mut units: Vec<&[u8]> = vec![&VPS, &sps, &PPS];
            units.extend(bodies.iter().map(Vec::as_slice));
            let has_picture = bodies.iter().any(|unit| matches!(H265::role_of(unit), Role::Slice { .. }));
            match join(&mut Units::default(), &packetize(&units, max)) {
                Joined::Frame(joined) => {
                    prop_assert_eq!(joined.keyframe, is_keyframe(&joined.data));
                    prop_assert_eq!(joined.data, stream(&units));
                }
                other => prop_assert!(!has_picture, "{:?}", other),
            }
        }

        #[test]
        fn any_bytes_are_survived(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5),
        ) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            join(&mut Units::default(), &payloads);
            let mut out = Vec::new();
            let _ = H265Packetizer::new().packetize(&payloads[0], 10, &mut out);
        }
    }
}
