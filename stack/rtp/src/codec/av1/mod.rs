//! AV1 (RTP Payload Format For AV1, version 1.0.0): the aggregation header, the packetizer, and what OBU headers tell.
//!
//! `[Z Y W N - - - | OBU element size (leb128) and OBU element, W times, or to the end where W is 0]`, without the size of
//! the last element where W is not 0. Z and Y say that the first element continues one from the packet before and
//! the last one continues in the next.
//!
//! Outside of RTP a frame is a temporal unit in the low-overhead format, each OBU with its size, without the temporal
//! delimiter. Which frames refer to which is in the dependency descriptor, a header extension, and not read here.

mod obu;
mod packetizer;
mod sequence;
mod temporal_unit;

pub use packetizer::Av1Packetizer;
pub use sequence::Av1Sequence;
pub(super) use temporal_unit::TemporalUnits;

use self::obu::{Obu, ObuHeader, obu_type, obus, read_leb128};
use self::sequence::FrameHeader;
use super::PayloadKind;
use crate::DecodeError;

const CONTINUES: u8 = 0x80;
const WILL_CONTINUE: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
const COUNT_SHIFT: u8 = 4;

/// An element, and what follows it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// A payload.
#[derive(Clone, Copy, Debug)]
struct Aggregation<'a> {
    header: u8,
    elements: &'a [u8],
}

impl<'a> Aggregation<'a> {
    /// `None` for an empty payload. The sizes may lie: [`kind`] checks them.
    fn of(payload: &'a [u8]) -> Option<Self> {
        let (&header, elements) = payload.split_first()?;
        Some(Self { header, elements })
    }

    /// The next element after `count` of them, and what follows it.
    fn split(self, rest: &'a [u8], count: usize) -> Result<Option<Split<'a>>, DecodeError> {
        if rest.is_empty() || (self.count() > 0 && count == self.count()) {
            return Ok(None);
        }
        if self.count() > 0 && count + 1 == self.count() {
            return Ok(Some((rest, &[])));
        }
        let (size, size_len) = read_leb128(rest)?;
        rest[size_len..].split_at_checked(size).map(Some).ok_or(DecodeError::Truncated)
    }

    fn elements(self) -> impl Iterator<Item = &'a [u8]> {
        let (mut rest, mut count) = (self.elements, 0);
        std::iter::from_fn(move || {
            let (element, after) = self.split(rest, count).ok().flatten()?;
            (rest, count) = (after, count + 1);
            Some(element)
        })
    }

    const fn continues(self) -> bool {
        self.header & CONTINUES != 0
    }

    const fn will_continue(self) -> bool {
        self.header & WILL_CONTINUE != 0
    }

    const fn begins_sequence(self) -> bool {
        self.header & NEW_SEQUENCE != 0
    }

    /// How many elements there are; 0 where that is not told.
    const fn count(self) -> usize {
        (self.header >> COUNT_SHIFT & 3) as usize
    }
}

pub(super) fn kind(payload: &[u8]) -> PayloadKind {
    Aggregation::of(payload).and_then(|aggregation| read(aggregation).ok()).unwrap_or_default()
}

/// Checks that all sizes lie inside and add up, and what the OBU headers tell.
fn read(aggregation: Aggregation<'_>) -> Result<PayloadKind, DecodeError> {
    let (continues, new_sequence) = (aggregation.continues(), aggregation.begins_sequence());
    if continues && new_sequence {
        return Err(DecodeError::Malformed);
    }
    let (mut first_type, mut layer, mut has_sequence, mut is_key) = (None, None, false, None);
    let (mut rest, mut count) = (aggregation.elements, 0);
    while let Some((element, after)) = aggregation.split(rest, count)? {
        if element.is_empty() {
            return Err(DecodeError::Malformed);
        }
        let starts = count > 0 || !continues;
        let may_end_inside_header = element.len() == 1 && after.is_empty() && aggregation.will_continue();
        if starts && !may_end_inside_header {
            let header = ObuHeader::parse(element)?;
            layer = layer.or(header.layer());
            match header.obu_type() {
                obu_type::SEQUENCE_HEADER => has_sequence = true,
                obu_type::FRAME | obu_type::FRAME_HEADER if is_key.is_none() => {
                    let start = header.len() + size_field_len(header, element);
                    is_key = Some(FrameHeader::is_shown_key(element.get(start..).unwrap_or_default()));
                }
                _ => {}
            }
            first_type = first_type.or((count == 0).then_some(header.obu_type()));
        }
        (rest, count) = (after, count + 1);
    }
    if count == 0 || (aggregation.count() > 0 && aggregation.count() != count) {
        return Err(DecodeError::Truncated);
    }
    // Encodings that share a stream repeat the sequence header in front of each, perhaps in a packet of its own.
    let begins_lowest = layer.map_or(is_key.is_some(), |(_, spatial_id)| spatial_id == 0);
    Ok(PayloadKind {
        valid: true,
        begins: match first_type {
            Some(obu_type::SEQUENCE_HEADER) => new_sequence || begins_lowest,
            Some(first) => new_sequence || first == obu_type::TEMPORAL_DELIMITER,
            None => false,
        },
        may_begin: !continues,
        keyframe: (new_sequence || has_sequence) && is_key.unwrap_or(true),
        self_contained: true,
        temporal_id: layer.map(|(temporal_id, _)| temporal_id),
        spatial_id: layer.map(|(_, spatial_id)| spatial_id),
        ..PayloadKind::default()
    })
}

fn size_field_len(header: ObuHeader, element: &[u8]) -> usize {
    if !header.has_size() {
        return 0;
    }
    read_leb128(&element[header.len()..]).map_or(0, |(_, len)| len)
}

/// Whether a temporal unit in the low-overhead format is a keyframe: a sequence header with a shown key frame after it.
#[must_use]
pub fn is_keyframe(unit: &[u8]) -> bool {
    let mut has_sequence = false;
    for Obu { header, payload, .. } in obus(unit).map_while(Result::ok) {
        match header.obu_type() {
            obu_type::SEQUENCE_HEADER => has_sequence = true,
            obu_type::FRAME | obu_type::FRAME_HEADER => {
                return has_sequence && FrameHeader::is_shown_key(payload);
            }
            _ => {}
        }
    }
    false
}

/// The first sequence header of a temporal unit in the low-overhead format.
#[must_use]
pub fn sequence_of(unit: &[u8]) -> Option<Av1Sequence> {
    Av1Sequence::parse(sequence_header_of(unit)?).ok()
}

/// The payload of the first sequence header OBU of a temporal unit in the low-overhead format.
#[must_use]
pub fn sequence_header_of(unit: &[u8]) -> Option<&[u8]> {
    let mut headers = obus(unit).map_while(Result::ok);
    headers.find(|obu| obu.header.obu_type() == obu_type::SEQUENCE_HEADER).map(|found| found.payload)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::depacketizer::tests::{join, pieces};
    use super::super::depacketizer::{Depacketizer, Joined};
    use super::obu::put_leb128;
    use super::sequence::tests::{frame, sequence_header};
    use super::*;
    use crate::codec::{Codec, PacketizeError};

    const METADATA: u8 = 5;

    /// An OBU of a layer with its size.
    fn layered(obu_type: u8, layer: Option<(u8, u8)>, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![obu_type << 3 | 2 | if layer.is_some() { 4 } else { 0 }];
        out.extend(layer.map(|(temporal, spatial)| temporal << 5 | spatial << 3));
        put_leb128(payload.len(), &mut out);
        out.extend_from_slice(payload);
        out
    }

    fn obu(obu_type: u8, payload: &[u8]) -> Vec<u8> {
        layered(obu_type, None, payload)
    }

    fn packetize(unit: &[u8], max: usize) -> Vec<Bytes> {
        let mut out = Vec::new();
        Av1Packetizer::default().packetize(unit, max, &mut out).unwrap();
        assert!(out.iter().all(|payload| payload.len() <= max));
        out
    }

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n % 251) as u8).collect()
    }

    /// A keyframe: `(with delimiter and padding, without)`.
    fn key_unit(len: usize) -> (Vec<u8>, Vec<u8>) {
        let sent = [
            obu(obu_type::SEQUENCE_HEADER, &sequence_header()),
            obu(obu_type::FRAME, &[frame(true, 0), body(len)].concat()),
        ];
        let whole =
            [&obu(obu_type::TEMPORAL_DELIMITER, &[])[..], &sent.concat(), &obu(obu_type::PADDING, &[1; 9])];
        (whole.concat(), sent.concat())
    }

    fn types(payload: &[u8]) -> Vec<u8> {
        let aggregation = Aggregation::of(payload).unwrap();
        let whole = aggregation.elements().skip(usize::from(aggregation.continues()));
        whole.map(|element| ObuHeader::parse(element).unwrap().obu_type()).collect()
    }

    #[test]
    fn a_keyframe_is_announced_and_comes_back_without_its_delimiter() {
        let (unit, sent) = key_unit(2500);
        let out = packetize(&unit, 1200);
        assert_eq!(out.len(), 3);
        assert!(out.iter().all(|payload| (820..=900).contains(&payload.len())), "even");
        assert_eq!(out.iter().map(|payload| payload[0]).collect::<Vec<_>>(), [0x68, 0xd0, 0x90]);
        assert_eq!(types(&out[0]), [obu_type::SEQUENCE_HEADER, obu_type::FRAME]);
        let joined = join(Codec::Av1, &out).unwrap();
        assert_eq!(joined.data, sent);
        assert!(joined.keyframe && !joined.discardable && is_keyframe(&joined.data));
        assert_eq!(sequence_of(&joined.data).unwrap().max_width, 640);
        let first = kind(&out[0]);
        assert!(first.begins && first.keyframe && !kind(&out[1]).may_begin && !kind(&out[1]).keyframe);
    }

    /// Both forms of the count, from the text of the specification: W of 2 leaves out the last size, W of 0 none.
    #[test]
    fn elements_are_counted_or_all_sized() {
        let counted = [0x20, 2, 0x28, 7, 0x20, 9, 9];
        let sized = [0x00, 2, 0x28, 7, 3, 0x20, 9, 9];
        for payload in [&counted[..], &sized] {
            assert!(kind(payload).valid);
            let aggregation = Aggregation::of(payload).unwrap();
            assert_eq!(aggregation.elements().collect::<Vec<_>>(), [&[0x28, 7][..], &[0x20, 9, 9]]);
        }
    }

    #[test]
    fn more_than_three_obus_share_a_packet() {
        let many: Vec<u8> = (0..6).flat_map(|n| obu(METADATA, &[n; 5])).collect();
        let unit = [&many[..], &obu(obu_type::FRAME, &frame(false, 1))].concat();
        let out = packetize(&unit, 1200);
        assert_eq!((out.len(), out[0][0], types(&out[0]).len()), (1, 0, 7));
        assert_eq!(join(Codec::Av1, &out).unwrap().data, unit);
        for max in 20..60 {
            assert_eq!(join(Codec::Av1, &packetize(&unit, max)).unwrap().data, unit, "{max}");
        }
    }

    /// The example of §5: what belongs to two layers does not share a packet.
    #[test]
    fn packets_are_of_one_layer() {
        let unit = [
            obu(obu_type::TEMPORAL_DELIMITER, &[]),
            obu(obu_type::SEQUENCE_HEADER, &sequence_header()),
            obu(METADATA, &[1, 2]),
            layered(METADATA, Some((0, 0)), &[3]),
            layered(obu_type::FRAME_HEADER, Some((0, 0)), &frame(true, 0)),
            layered(obu_type::TILE_GROUP, Some((0, 0)), &body(30)),
            layered(METADATA, Some((0, 1)), &[3]),
            layered(obu_type::FRAME_HEADER, Some((0, 1)), &frame(false, 2)),
            layered(obu_type::TILE_GROUP, Some((0, 1)), &body(40)),
        ];
        let out = packetize(&unit.concat(), 1200);
        let all: Vec<_> = out.iter().map(|payload| types(payload)).collect();
        assert_eq!(all, [vec![1, 5, 5, 3, 4], vec![5, 3, 4]]);
        assert_eq!((kind(&out[0]).spatial_id, kind(&out[1]).spatial_id), (Some(0), Some(1)));
        assert!(kind(&out[0]).begins && !kind(&out[1]).begins);
        let joined = join(Codec::Av1, &out).unwrap();
        assert_eq!(joined.data, unit[1..].concat());
        assert_eq!((joined.temporal_id, joined.spatial_id, joined.keyframe), (Some(0), Some(1), true));
        // The upper layer was left out by a forwarder.
        let lower = join(Codec::Av1, &out[..1]).unwrap();
        assert_eq!((lower.data, lower.spatial_id), (Bytes::from(unit[1..6].concat()), Some(0)));
    }

    #[test]
    fn what_replaces_nothing_is_discardable_once_the_sequence_is_known() {
        let mut depacketizer = Depacketizer::new(Codec::Av1);
        let mut discardable =
            |unit: &[u8]| match depacketizer.join(&pieces(Codec::Av1, &packetize(unit, 1200))) {
                Joined::Frame(frame) => frame.discardable,
                other => panic!("{other:?}"),
            };
        let delta = |refreshed: u32| layered(obu_type::FRAME, Some((1, 0)), &frame(false, refreshed));
        assert!(!discardable(&delta(0)));
        assert!(!discardable(&key_unit(10).1));
        assert!(discardable(&delta(0)));
        assert!(!discardable(&delta(3)));
        assert!(!discardable(&[delta(0), delta(1)].concat()));
    }

    /// Some senders leave `obu_size` in: it is taken when it is right.
    #[test]
    fn sizes_inside_elements_are_checked() {
        let join =
            |payload: &[u8]| join(Codec::Av1, &[Bytes::copy_from_slice(payload)]).map(|joined| joined.data);
        let delta = frame(false, 1);
        let with_size = [&[0x10][..], &obu(obu_type::FRAME, &delta)].concat();
        assert_eq!(join(&with_size).unwrap(), obu(obu_type::FRAME, &delta));
        let mut wrong = with_size.clone();
        wrong[2] += 1;
        assert_eq!(join(&wrong), None);
        wrong[2] -= 2;
        assert_eq!(join(&wrong), None);
        // The size may be written longer than it has to be.
        let long = [&[0x10, 0x32, delta.len() as u8 | 0x80, 0x80, 0][..], &delta].concat();
        assert_eq!(join(&long).unwrap(), obu(obu_type::FRAME, &delta));
    }

    #[test]
    fn a_delimiter_and_tile_lists_are_ignored_and_a_unit_without_a_frame_is_nothing() {
        let delta = frame(false, 1);
        let payload = [&[0x00, 1, 0x10, 2, 0x40, 7, delta.len() as u8 + 1, 0x30][..], &delta].concat();
        assert!(kind(&payload).begins);
        let joined = join(Codec::Av1, &[Bytes::from(payload)]).unwrap();
        assert_eq!(joined.data, obu(obu_type::FRAME, &delta));
        let bare = pieces(Codec::Av1, &[Bytes::from_static(&[0x10, 0x10])]);
        assert_eq!(Depacketizer::new(Codec::Av1).join(&bare), Joined::Nothing);
    }

    #[test]
    fn a_unit_without_one_of_its_packets_is_broken() {
        let out = packetize(&key_unit(2500).0, 700);
        for missing in 0..out.len() {
            let mut some = out.clone();
            some.remove(missing);
            let joined = Depacketizer::new(Codec::Av1).join(&pieces(Codec::Av1, &some));
            // A fragment in the middle shows in the numbers only.
            assert!(joined == Joined::Broken || (1..out.len() - 1).contains(&missing), "{missing}");
        }
    }

    /// Even a header may be cut.
    #[test]
    fn fragments_of_a_byte_are_joined() {
        let payload = [frame(false, 1), body(300)].concat();
        let element = layered(obu_type::FRAME, Some((0, 0)), &payload);
        let last = element.len() - 1;
        let out: Vec<_> = element
            .iter()
            .enumerate()
            .map(|(n, &byte)| {
                let flags = if n > 0 { 0x80 } else { 0 } | if n < last { 0x40 } else { 0 };
                Bytes::from(vec![0x10 | flags, byte])
            })
            .collect();
        assert!(out.iter().all(|payload| kind(payload).valid));
        assert_eq!(join(Codec::Av1, &out).unwrap().data, element);
    }

    #[test]
    fn malformed_payloads_are_invalid() {
        for bad in [
            &[][..],
            &[0x10],
            &[0x00],
            &[0x20, 1, 0x28],
            &[0x20, 2, 0x28],
            &[0x30, 1, 0x28, 1, 0x28],
            &[0x00, 2, 0x28],
            &[0x00, 0],
            &[0x00, 0x80],
            &[0x88, 0x28],
            &[0x10, 0x80],
            &[0x10, 0x34],
            &[0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
        ] {
            assert!(!kind(bad).valid, "{bad:x?}");
            assert_eq!(join(Codec::Av1, &[Bytes::from_static(bad)]), None);
        }
    }

    #[test]
    fn units_that_cannot_be_cut_are_refused() {
        let mut out = Vec::new();
        let mut packetizer = Av1Packetizer::default();
        assert_eq!(packetizer.packetize(&[], 1200, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&[0x12, 0], 1200, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&[0x32, 9, 1], 1200, &mut out), Err(PacketizeError::Unsound));
        assert_eq!(packetizer.packetize(&[0x32, 1, 1], 19, &mut out), Err(PacketizeError::MaxPayloadSize));
        assert!(out.is_empty());
    }

    /// A receiver would take a packet in their middle for the first one.
    #[test]
    fn units_whose_layers_are_in_disorder_are_refused() {
        let frame_of = |spatial_id| layered(obu_type::FRAME, Some((0, spatial_id)), &frame(false, 1));
        let sequence = |layer| layered(obu_type::SEQUENCE_HEADER, layer, &sequence_header());
        let metadata_of = |spatial_id| layered(METADATA, Some((0, spatial_id)), &[3]);
        let bare = obu(obu_type::FRAME, &frame(false, 1));
        for (unit, is_sound) in [
            ([frame_of(0), frame_of(1)].concat(), true),
            ([frame_of(1), frame_of(1)].concat(), true),
            ([frame_of(1), frame_of(0)].concat(), false),
            ([sequence(None), bare.clone(), bare.clone()].concat(), true),
            ([sequence(None), sequence(None), bare.clone()].concat(), true),
            ([bare.clone(), sequence(None), bare.clone()].concat(), false),
            ([frame_of(0), sequence(Some((0, 0))), frame_of(1)].concat(), false),
            ([frame_of(0), sequence(Some((0, 1))), frame_of(1)].concat(), true),
            ([frame_of(0), sequence(None), frame_of(1), frame_of(1)].concat(), true),
            ([frame_of(0), sequence(None), metadata_of(1), frame_of(1)].concat(), true),
            ([frame_of(0), sequence(None), metadata_of(0)].concat(), false),
            ([sequence(None), metadata_of(0), frame_of(0)].concat(), true),
            ([metadata_of(0), sequence(None), frame_of(0)].concat(), false),
        ] {
            let mut out = Vec::new();
            let packetized = Av1Packetizer::default().packetize(&unit, 1200, &mut out);
            assert_eq!(packetized.is_ok(), is_sound, "{unit:x?}");
        }
    }

    /// Another encoding may begin with it as well as the unit.
    #[test]
    fn a_sequence_header_alone_begins_nothing_for_certain() {
        let element = [&[obu_type::SEQUENCE_HEADER << 3][..], &sequence_header()].concat();
        let payload = |flags: u8| [&[0x10 | flags][..], &element].concat();
        assert!(!kind(&payload(0)).begins && kind(&payload(0)).may_begin);
        assert!(kind(&payload(NEW_SEQUENCE)).begins);
    }

    proptest! {
        #[test]
        fn units_round_trip(
            mut sizes in proptest::collection::vec((0usize..1500, 0u8..3), 1..9),
            max in 20usize..1300, is_key: bool,
        ) {
            let mut unit = if is_key { obu(obu_type::SEQUENCE_HEADER, &sequence_header()) } else { Vec::new() };
            sizes.sort_by_key(|(_, spatial_id)| *spatial_id);
            for (n, (len, spatial_id)) in sizes.into_iter().enumerate() {
                let layer = (spatial_id > 0).then_some((0, spatial_id));
                let payload = [frame(is_key && n == 0, 1), body(len)].concat();
                unit.extend(layered(if n == 0 { obu_type::FRAME } else { obu_type::TILE_GROUP }, layer, &payload));
            }
            let out = packetize(&unit, max);
            prop_assert!(kind(&out[0]).begins == is_key && kind(&out[0]).may_begin);
            let joined = join(Codec::Av1, &out).unwrap();
            prop_assert_eq!(joined.keyframe, is_key);
            prop_assert_eq!(joined.data, unit);
        }

        #[test]
        fn any_bytes_are_survived(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..5),
        ) {
            let payloads: Vec<Bytes> = payloads.into_iter().map(Bytes::from).collect();
            join(Codec::Av1, &payloads);
            let mut out = Vec::new();
            if Av1Packetizer::default().packetize(&payloads[0], 20, &mut out).is_ok() {
                prop_assert!(out.iter().all(|payload| payload.len() <= 20 && kind(payload).valid));
            }
        }
    }
}
