//! H.264 (RFC 6184): single NAL unit packets, STAP-A and FU-A, in packetization modes 0 and 1.
//!
//! `single: [F NRI type 1..23 | …]` · `STAP-A: [F NRI 24 | (size 16 | NAL)*]` · `FU-A: [F NRI 28 | S E R type | piece]`
//!
//! Left out: the interleaved mode (STAP-B, MTAP, FU-B), which WebRTC does not use (RFC 7742 §6.2); such packets are
//! malformed here.

use bytes::{BufMut, Bytes, BytesMut};

use super::annex_b::{START_CODE, nal_type, nal_units, type_of};
use super::{PacketizeError, PayloadKind, even_pieces};

const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// The packets that a receiver takes (RFC 6184 §6.2, §6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketizationMode {
    /// Mode 0: one NAL unit a packet. A unit larger than a packet cannot be sent.
    SingleNal,
    /// Mode 1: also STAP-A and FU-A.
    #[default]
    NonInterleaved,
}

/// A payload whose structure was checked.
enum Payload<'a> {
    Single(&'a [u8]),
    /// What follows the STAP-A header: at least one unit, and the sizes add up.
    Aggregate(&'a [u8]),
    /// A piece of a unit with this header.
    Fragment {
        header: u8,
        first: bool,
        last: bool,
        data: &'a [u8],
    },
}

impl<'a> Payload<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        match (type_of(payload), payload) {
            (1..=23, nal) => Some(Self::Single(nal)),
            (STAP_A, [_, nals @ ..]) => {
                let total: usize = aggregated(nals).map(|nal| nal.len() + 2).sum();
                let sound = total == nals.len() && total > 0;
                (sound && aggregated(nals).all(|nal| (1..=23).contains(&type_of(nal))))
                    .then_some(Self::Aggregate(nals))
            }
            (FU_A, [indicator, fu, data @ ..]) if !data.is_empty() && (1..=23).contains(&(fu & 0x1f)) => {
                let header = indicator & 0xe0 | fu & 0x1f;
                Some(Self::Fragment { header, first: fu & FU_START != 0, last: fu & FU_END != 0, data })
            }
            _ => None,
        }
    }
}

/// The units of a STAP-A, up to the first whose size does not fit.
fn aggregated(mut nals: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, rest) = nals.split_first_chunk()?;
        let (nal, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        nals = rest;
        Some(nal)
    })
}

/// Whether a slice is the first of its picture: `first_mb_in_slice`, which follows the NAL header as `ue(v)`, is zero.
fn is_first_slice(after_header: &[u8]) -> bool {
    after_header.first().is_some_and(|byte| byte & 0x80 != 0)
}

fn is_slice(kind: u8) -> bool {
    (nal_type::SLICE..=nal_type::IDR).contains(&kind)
}

pub(super) fn kind(payload: &[u8]) -> PayloadKind {
    let of_unit = |unit_type: u8, after_header: &[u8]| {
        let first_slice = is_slice(unit_type) && is_first_slice(after_header);
        let sets = matches!(unit_type, nal_type::SPS | nal_type::AUD);
        PayloadKind {
            valid: true,
            begins: sets || first_slice,
            may_begin: sets || first_slice || !is_slice(unit_type),
            keyframe: matches!(unit_type, nal_type::SPS | nal_type::IDR),
            self_contained: unit_type == nal_type::SPS,
        }
    };
    match Payload::parse(payload) {
        None => PayloadKind::default(),
        Some(Payload::Single(nal)) => of_unit(type_of(nal), &nal[1..]),
        Some(Payload::Fragment { header, first: true, data, .. }) => of_unit(header & 0x1f, data),
        Some(Payload::Fragment { header, .. }) => {
            PayloadKind { valid: true, keyframe: header & 0x1f == nal_type::IDR, ..PayloadKind::default() }
        }
        Some(Payload::Aggregate(nals)) => {
            let mut kinds = aggregated(nals).map(|nal| of_unit(type_of(nal), &nal[1..]));
            let first = kinds.next().unwrap_or_default();
            kinds.fold(first, |sum, kind| PayloadKind {
                begins: sum.begins || kind.begins,
                keyframe: sum.keyframe || kind.keyframe,
                self_contained: sum.self_contained || kind.self_contained,
                ..sum
            })
        }
    }
}

/// The parameter sets that a stream sent last, for IDR pictures that come without them.
#[derive(Clone, Debug, Default)]
pub(super) struct ParameterSets {
    sps: Option<Bytes>,
    pps: Option<Bytes>,
}

/// What became of the packets of one timestamp.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AccessUnit {
    /// A picture in byte stream form.
    Picture { keyframe: bool, data: Bytes },
    /// Parameter sets or messages without a picture: remembered, nothing to show.
    Bare,
    /// Malformed, or an IDR picture whose parameter sets are not known.
    Broken,
}

impl ParameterSets {
    /// Joins the payloads of one access unit. Delimiters and filler are left out.
    pub(super) fn assemble(&mut self, packets: &[Bytes]) -> AccessUnit {
        let Some(unit) = Scan::of(packets) else { return AccessUnit::Broken };
        if let Some(sps) = unit.sps {
            self.sps = Some(Bytes::copy_from_slice(sps));
        }
        if let Some(pps) = unit.pps {
            self.pps = Some(Bytes::copy_from_slice(pps));
        }
        if !unit.picture {
            return AccessUnit::Bare;
        }
        let (mut sps, mut pps) = (None, None);
        if unit.idr {
            let (Some(known_sps), Some(known_pps)) = (&self.sps, &self.pps) else {
                return AccessUnit::Broken;
            };
            sps = unit.sps.is_none().then_some(known_sps);
            pps = unit.pps.is_none().then_some(known_pps);
        }
        let sets_len: usize = [sps, pps].into_iter().flatten().map(|set| set.len() + START_CODE.len()).sum();
        let mut data = BytesMut::with_capacity(sets_len + unit.bytes);
        let put = |data: &mut BytesMut, nal: &[u8]| {
            data.put_slice(&START_CODE);
            data.put_slice(nal);
        };
        // The sequence parameter set goes to the front; the picture's has to stand before its first slice only.
        if let Some(sps) = sps {
            put(&mut data, sps);
        }
        each_unit(packets, |unit_type, start, bytes| {
            if start
                && is_slice(unit_type)
                && let Some(pps) = pps.take()
            {
                put(&mut data, pps);
            }
            match bytes {
                _ if matches!(unit_type, nal_type::AUD | nal_type::FILLER) => {}
                UnitBytes::Whole(nal) => put(&mut data, nal),
                UnitBytes::Piece(header, piece) => {
                    if start {
                        put(&mut data, &[header]);
                    }
                    data.put_slice(piece);
                }
            }
        });
        AccessUnit::Picture { keyframe: unit.idr, data: data.freeze() }
    }
}

enum UnitBytes<'a> {
    Whole(&'a [u8]),
    Piece(u8, &'a [u8]),
}

/// Calls `with` for each unit or piece of one, in order, with its type and whether the unit starts there.
fn each_unit<'a>(packets: &'a [Bytes], mut with: impl FnMut(u8, bool, UnitBytes<'a>)) {
    for payload in packets {
        match Payload::parse(payload) {
            Some(Payload::Single(nal)) => with(type_of(nal), true, UnitBytes::Whole(nal)),
            Some(Payload::Aggregate(nals)) => {
                aggregated(nals).for_each(|nal| with(type_of(nal), true, UnitBytes::Whole(nal)));
            }
            Some(Payload::Fragment { header, first, data, .. }) => {
                with(header & 0x1f, first, UnitBytes::Piece(header, data));
            }
            None => {}
        }
    }
}

/// What an access unit consists of.
#[derive(Default)]
struct Scan<'a> {
    sps: Option<&'a [u8]>,
    pps: Option<&'a [u8]>,
    picture: bool,
    idr: bool,
    /// Upper bound of the bytes in byte stream form.
    bytes: usize,
}

impl<'a> Scan<'a> {
    /// `None` when a payload is malformed, fragments do not follow each other from first to last, or a parameter
    /// set is fragmented (it has no place of its own to be remembered from).
    fn of(packets: &'a [Bytes]) -> Option<Self> {
        let mut open: Option<u8> = None;
        for payload in packets {
            match Payload::parse(payload)? {
                Payload::Fragment { header, first, last, .. } => {
                    if first == open.is_some() || open.is_some_and(|begun| begun & 0x1f != header & 0x1f) {
                        return None;
                    }
                    if matches!(header & 0x1f, nal_type::SPS | nal_type::PPS) {
                        return None;
                    }
                    open = (!last).then_some(header);
                }
                _ if open.is_some() => return None,
                _ => {}
            }
        }
        if open.is_some() {
            return None;
        }
        let mut scan = Self::default();
        each_unit(packets, |unit_type, start, bytes| {
            let len = match bytes {
                UnitBytes::Whole(nal) => {
                    match unit_type {
                        nal_type::SPS => scan.sps = Some(nal),
                        nal_type::PPS => scan.pps = Some(nal),
                        _ => {}
                    }
                    nal.len()
                }
                UnitBytes::Piece(_, piece) => piece.len() + usize::from(start),
            };
            scan.picture |= is_slice(unit_type);
            scan.idr |= unit_type == nal_type::IDR;
            scan.bytes += len + if start { START_CODE.len() } else { 0 };
        });
        Some(scan)
    }
}

/// Cuts access units into payloads.
#[derive(Clone, Debug)]
pub struct H264Packetizer {
    mode: PacketizationMode,
}

impl H264Packetizer {
    /// For a receiver that takes `mode`.
    #[must_use]
    pub const fn new(mode: PacketizationMode) -> Self {
        Self { mode }
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
        if max_payload_bytes < 3 {
            return Err(PacketizeError::MaxPayloadSize);
        }
        let units = nal_units(frame).filter(|nal| !matches!(type_of(nal), nal_type::AUD | nal_type::FILLER));
        let sendable = |nal: &[u8]| (1..=23).contains(&type_of(nal));
        let mut units = units.filter(|nal| sendable(nal)).peekable();
        if units.peek().is_none() {
            return Err(PacketizeError::Empty);
        }
        let mut oversized = units.clone().filter(|nal| nal.len() > max_payload_bytes);
        if self.mode == PacketizationMode::SingleNal && oversized.next().is_some() {
            return Err(PacketizeError::TooLarge);
        }
        let packets = frame.len() / max_payload_bytes + 8;
        let mut buffer = BytesMut::with_capacity(frame.len() + packets * 3);
        let aggregates = |nal: &[u8]| matches!(type_of(nal), nal_type::SEI..=nal_type::PPS);
        while let Some(nal) = units.next() {
            if nal.len() > max_payload_bytes {
                fragment(nal, max_payload_bytes, &mut buffer, out);
                continue;
            }
            let mut stap_len = 1 + 2 + nal.len();
            let joins =
                |next: &&[u8], len: usize| aggregates(next) && len + 2 + next.len() <= max_payload_bytes;
            let together = self.mode == PacketizationMode::NonInterleaved && aggregates(nal);
            if !together || !units.peek().is_some_and(|next| joins(next, stap_len)) {
                buffer.put_slice(nal);
                out.push(buffer.split().freeze());
                continue;
            }
            let mut header = STAP_A | nal[0] & 0x60;
            buffer.put_u8(header);
            put_sized(&mut buffer, nal);
            while let Some(next) = units.next_if(|next| joins(next, stap_len)) {
                stap_len += 2 + next.len();
                header = STAP_A | (header & 0x60).max(next[0] & 0x60);
                put_sized(&mut buffer, next);
            }
            buffer[0] = header;
            out.push(buffer.split().freeze());
        }
        Ok(())
    }
}

fn put_sized(buffer: &mut BytesMut, nal: &[u8]) {
    buffer.put_u16(nal.len() as u16);
    buffer.put_slice(nal);
}

/// Appends the FU-As of one unit: the header byte of the unit goes into the two of each packet.
fn fragment(nal: &[u8], max_payload_bytes: usize, buffer: &mut BytesMut, out: &mut Vec<Bytes>) {
    let (header, mut rest) = (nal[0], &nal[1..]);
    let mut flags = FU_START;
    for piece in even_pieces(rest.len(), max_payload_bytes - 2) {
        let (data, after) = rest.split_at(piece);
        rest = after;
        if rest.is_empty() {
            flags |= FU_END;
        }
        buffer.put_slice(&[FU_A | header & 0xe0, flags | header & 0x1f]);
        buffer.put_slice(data);
        out.push(buffer.split().freeze());
        flags = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPS: [u8; 4] = [0x67, 0x42, 0xe0, 0x1f];
    const PPS: [u8; 2] = [0x68, 0xce];

    fn stream(units: &[&[u8]]) -> Vec<u8> {
        units.iter().flat_map(|unit| START_CODE.iter().chain(*unit).copied()).collect()
    }

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

    fn picture(unit: AccessUnit) -> (bool, Vec<u8>) {
        match unit {
            AccessUnit::Picture { keyframe, data } => (keyframe, data.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn assemble(sets: &mut ParameterSets, packets: &[Bytes]) -> AccessUnit {
        sets.assemble(packets)
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
        assert_eq!(assemble(&mut sets, &bare_idr), AccessUnit::Broken);
        assert_eq!(assemble(&mut sets, &packetize(&[&SPS, &PPS], 1200)), AccessUnit::Bare);
        let expected = stream(&[&SPS, &[6, 1], &PPS, &idr(5)]);
        assert_eq!(picture(assemble(&mut sets, &bare_idr)), (true, expected));
        let delta = packetize(&[&[0x41, 0x9a, 1]], 1200);
        assert_eq!(picture(assemble(&mut sets, &delta)), (false, stream(&[&[0x41, 0x9a, 1]])));
    }

    #[test]
    fn fragments_out_of_line_are_broken() {
        let mut sets = ParameterSets::default();
        let all = packetize(&[&SPS, &PPS, &idr(3000)], 1200);
        assert!(matches!(assemble(&mut sets, &all), AccessUnit::Picture { .. }));
        // The first fragment, the last one, and one that is twice the first. One in the middle shows in the numbers only.
        for missing in [1, all.len() - 1] {
            let mut some = all.clone();
            some.remove(missing);
            assert!(matches!(assemble(&mut sets, &some), AccessUnit::Broken), "without {missing}");
        }
        let mut twice = all.clone();
        twice.insert(1, all[1].clone());
        assert!(matches!(assemble(&mut sets, &twice), AccessUnit::Broken));
        let mut interrupted = all.clone();
        interrupted.insert(2, Bytes::from_static(&[0x41, 0x80]));
        assert_eq!(assemble(&mut sets, &interrupted), AccessUnit::Broken);
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
            assert_eq!(ParameterSets::default().assemble(&[Bytes::from_static(bad)]), AccessUnit::Broken);
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
                AccessUnit::Picture { data, keyframe } => {
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
            let mut sets = ParameterSets { sps: Some(Bytes::from_static(&SPS)), pps: Some(Bytes::from_static(&PPS)) };
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
