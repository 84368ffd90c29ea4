//! What the payload formats of H.264 (RFC 6184) and H.265 (RFC 7798) share: a NAL unit alone, several in one packet with
//! a size of 16 bits each, and one in fragments.
//!
//! `single: [unit]` · `aggregation: [header | (size 16 | unit)*]` · `fragment: [header | S E type | piece]`

mod access_unit;
mod packetizer;

pub(super) use access_unit::AccessUnits;
pub(super) use packetizer::NalPacketizer;

use super::PayloadKind;

const FRAGMENT_START: u8 = 0x80;
const FRAGMENT_END: u8 = 0x40;

/// The header of a NAL unit or of a packet; of H.264 the first byte only.
pub(super) type NalHeader = [u8; 2];

/// Which parameters a set holds. A set refers to one of the kind before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SetKind {
    Video,
    Sequence,
    Picture,
}

/// What a NAL unit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A part of a picture.
    Slice {
        /// A decoder can start with the picture.
        random_access: bool,
        /// The picture refers to ones before the random access picture that it follows.
        leading: bool,
        /// Another picture of its temporal layer may refer to it.
        reference: bool,
    },
    ParameterSet(SetKind),
    /// Supplemental information in front of the picture.
    Supplemental,
    /// Stands before everything else of a picture. Not passed on.
    Delimiter,
    /// Not passed on.
    Filler,
    /// Stands after the slices.
    Suffix,
    Other,
    /// No NAL unit: a packet type, or reserved for one.
    Packet,
}

impl Role {
    const fn is_left_out(self) -> bool {
        matches!(self, Self::Delimiter | Self::Filler)
    }

    const fn is_slice(self) -> bool {
        matches!(self, Self::Slice { .. })
    }
}

/// Where the two codecs differ.
pub(super) trait NalFormat {
    /// Bytes of a header.
    const HEADER_LEN: usize;
    /// The packet type of an aggregation.
    const AGGREGATION: u8;
    /// The packet type of a fragment.
    const FRAGMENT: u8;
    /// The kinds of sets that a decoder needs, the one first that refers to none.
    const SETS: &'static [SetKind];
    /// The bits of a type in a fragment's own header.
    const TYPE_MASK: u8;

    fn unit_type(header: NalHeader) -> u8;
    fn with_type(header: NalHeader, unit_type: u8) -> NalHeader;
    fn role(header: NalHeader) -> Role;
    /// The header of an aggregation with one more unit in it.
    fn merge(aggregation: NalHeader, unit: NalHeader) -> NalHeader;
    /// `(temporal_id, spatial_id)`, where a header tells them.
    fn layer(header: NalHeader) -> Option<(u8, u8)>;
    /// The number by which a parameter set is referred to.
    fn set_id(kind: SetKind, unit: &[u8]) -> Option<u32>;

    /// The header at the start of a unit or payload.
    fn header(bytes: &[u8]) -> Option<NalHeader> {
        let mut header = [0; 2];
        header[..Self::HEADER_LEN].copy_from_slice(bytes.get(..Self::HEADER_LEN)?);
        Some(header)
    }

    /// What a unit is for; [`Role::Packet`] when it is shorter than its header.
    fn role_of(unit: &[u8]) -> Role {
        Self::header(unit).map_or(Role::Packet, Self::role)
    }
}

/// A payload whose structure was checked.
enum Payload<'a> {
    Single(&'a [u8]),
    /// What follows the header: at least one unit, and the sizes add up.
    Aggregation(&'a [u8]),
    /// A piece of a unit with this header.
    Fragment {
        header: NalHeader,
        first: bool,
        last: bool,
        data: &'a [u8],
    },
}

impl<'a> Payload<'a> {
    fn parse<F: NalFormat>(payload: &'a [u8]) -> Option<Self> {
        let header = F::header(payload)?;
        let body = &payload[F::HEADER_LEN..];
        let packet_type = F::unit_type(header);
        if packet_type == F::AGGREGATION {
            let total: usize = aggregated(body).map(|unit| unit.len() + 2).sum();
            let sound = total == body.len() && total > 0;
            return (sound && aggregated(body).all(|unit| F::role_of(unit) != Role::Packet))
                .then_some(Self::Aggregation(body));
        }
        if packet_type == F::FRAGMENT {
            let (&flags, data) = body.split_first()?;
            let header = F::with_type(header, flags & F::TYPE_MASK);
            let (first, last) = (flags & FRAGMENT_START != 0, flags & FRAGMENT_END != 0);
            return (!data.is_empty() && F::role(header) != Role::Packet).then_some(Self::Fragment {
                header,
                first,
                last,
                data,
            });
        }
        (F::role(header) != Role::Packet).then_some(Self::Single(payload))
    }
}

/// The units of an aggregation, up to the first whose size does not fit.
fn aggregated(mut units: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    std::iter::from_fn(move || {
        let (size, rest) = units.split_first_chunk()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        units = rest;
        Some(unit)
    })
}

pub(super) fn kind<F: NalFormat>(payload: &[u8]) -> PayloadKind {
    match Payload::parse::<F>(payload) {
        None => PayloadKind::default(),
        Some(Payload::Single(unit)) => kind_of_unit::<F>(unit),
        Some(Payload::Fragment { header, first, data, .. }) => {
            let kind = kind_of::<F>(header, data);
            // The middle of a unit is that of a picture.
            let begins = first && kind.begins;
            PayloadKind {
                begins,
                may_begin: first && kind.may_begin,
                self_contained: first && kind.self_contained,
                ..kind
            }
        }
        Some(Payload::Aggregation(units)) => {
            let roles = aggregated(units).map(F::role_of);
            let has_slice = roles.clone().any(Role::is_slice);
            let is_referenced = roles.clone().any(|role| matches!(role, Role::Slice { reference: true, .. }));
            let mut kinds = aggregated(units).map(kind_of_unit::<F>);
            let first = kinds.next().unwrap_or_default();
            let sum = kinds.fold(first, |sum, kind| PayloadKind {
                begins: sum.begins || kind.begins,
                keyframe: sum.keyframe || kind.keyframe,
                self_contained: sum.self_contained || kind.self_contained,
                ..sum
            });
            PayloadKind { discardable: has_slice && !is_referenced, ..sum }
        }
    }
}

fn kind_of_unit<F: NalFormat>(unit: &[u8]) -> PayloadKind {
    F::header(unit).map_or_else(PayloadKind::default, |header| kind_of::<F>(header, &unit[F::HEADER_LEN..]))
}

fn kind_of<F: NalFormat>(header: NalHeader, after_header: &[u8]) -> PayloadKind {
    let role = F::role(header);
    // `first_mb_in_slice`, an `ue(v)` that is zero, and `first_slice_segment_in_pic_flag`: the same bit in both codecs.
    let first_slice = role.is_slice() && after_header.first().is_some_and(|byte| byte & 0x80 != 0);
    let begins = first_slice
        || matches!(role, Role::Delimiter | Role::ParameterSet(SetKind::Video | SetKind::Sequence));
    let (random_access, reference) = match role {
        Role::Slice { random_access, reference, .. } => (random_access, reference),
        _ => (false, true),
    };
    PayloadKind {
        valid: true,
        begins,
        may_begin: begins || !matches!(role, Role::Slice { .. } | Role::Suffix | Role::Filler),
        keyframe: random_access || matches!(role, Role::ParameterSet(SetKind::Video | SetKind::Sequence)),
        self_contained: role == Role::ParameterSet(F::SETS[0]),
        discardable: !reference,
        temporal_id: F::layer(header).map(|(temporal_id, _)| temporal_id),
        spatial_id: F::layer(header).map(|(_, spatial_id)| spatial_id),
        ..PayloadKind::default()
    }
}
