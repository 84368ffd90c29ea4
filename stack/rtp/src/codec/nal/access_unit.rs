//! [`AccessUnits`]: the packets of a picture to a byte stream.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};

use super::{NalFormat, NalHeader, Payload, Role, SetKind, aggregated};
use crate::codec::annex_b::START_CODE;
use crate::codec::depacketizer::{Joined, JoinedFrame, Piece};

/// Most parameter sets that a stream keeps, and their bytes: the oldest make room.
const MAX_SETS: usize = 64;
const MAX_SET_BYTES: usize = 64 * 1024;

#[derive(Debug)]
struct KeptSet {
    kind: SetKind,
    id: u32,
    unit: Bytes,
    /// Came with the picture that is being joined.
    is_here: bool,
}

/// The parameter sets that a stream sent last, for random access pictures that come without them.
#[derive(Debug)]
pub(in super::super) struct AccessUnits<F> {
    sets: Vec<KeptSet>,
    /// A parameter set in fragments; empty between calls.
    fragments: Vec<u8>,
    format: PhantomData<F>,
}

impl<F> Default for AccessUnits<F> {
    fn default() -> Self {
        Self { sets: Vec::new(), fragments: Vec::new(), format: PhantomData }
    }
}

impl<F: NalFormat> AccessUnits<F> {
    /// Keeps a parameter set that came by another way. Other units are passed over.
    pub(in super::super) fn add_parameter_set(&mut self, unit: &[u8]) {
        if let Role::ParameterSet(kind) = F::role_of(unit) {
            self.keep(kind, unit);
        }
    }

    /// Joins the payloads of one access unit. Delimiters and filler are left out.
    pub(in super::super) fn assemble(&mut self, pieces: &[Piece]) -> Joined {
        self.sets.iter_mut().for_each(|set| set.is_here = false);
        let Some(unit) = self.scan(pieces) else { return Joined::Broken };
        if !unit.has_picture {
            return Joined::Nothing;
        }
        if unit.random_access && !F::SETS.iter().all(|kind| self.sets.iter().any(|set| set.kind == *kind)) {
            return Joined::Broken;
        }
        let added = || self.sets.iter().filter(|set| unit.random_access && !set.is_here);
        let added_len: usize = added().map(|set| set.unit.len() + START_CODE.len()).sum();
        let mut data = BytesMut::with_capacity(added_len + unit.bytes);
        let put = |data: &mut BytesMut, nal: &[u8]| {
            data.put_slice(&START_CODE);
            data.put_slice(nal);
        };
        // What a picture's parameters refer to goes to the front; they themselves have to stand before its first slice
        // only.
        for kind in [SetKind::Video, SetKind::Sequence] {
            added().filter(|set| set.kind == kind).for_each(|set| put(&mut data, &set.unit));
        }
        let mut before_slices = true;
        each_unit::<F>(pieces, |part| {
            if part.role.is_slice() && std::mem::take(&mut before_slices) {
                added().filter(|set| set.kind == SetKind::Picture).for_each(|set| put(&mut data, &set.unit));
            }
            if part.role.is_left_out() {
                return;
            }
            if part.first {
                data.put_slice(&START_CODE);
                data.put_slice(part.header_of_fragment::<F>());
            }
            data.put_slice(part.data);
        });
        Joined::Frame(JoinedFrame {
            keyframe: unit.random_access,
            leading: unit.leading,
            discardable: !unit.reference,
            temporal_id: unit.layer.map(|(temporal_id, _)| temporal_id),
            spatial_id: unit.layer.map(|(_, spatial_id)| spatial_id),
            data: data.freeze(),
        })
    }

    /// How many sets are kept, and their bytes.
    #[cfg(test)]
    pub(in super::super) fn kept(&self) -> (usize, usize) {
        (self.sets.len(), self.sets.iter().map(|set| set.unit.len()).sum())
    }

    /// Notes what the access unit consists of, and keeps its parameter sets. `None` when a payload cannot be read or
    /// fragments do not follow each other from first to last.
    fn scan(&mut self, pieces: &[Piece]) -> Option<Scan> {
        let mut scan = Scan::default();
        // The type of a unit that goes on in the next packet.
        let (mut open, mut is_complete) = (None, pieces.iter().all(|piece| piece.kind.valid));
        each_unit::<F>(pieces, |part| {
            let unit_type = F::unit_type(part.header);
            is_complete &= part.first == open.is_none() && open.is_none_or(|begun| begun == unit_type);
            if !is_complete {
                return;
            }
            open = (!part.last).then_some(unit_type);
            match part.role {
                Role::Slice { random_access, leading, reference } => {
                    scan.has_picture = true;
                    scan.random_access |= random_access;
                    scan.leading |= leading;
                    scan.reference |= reference;
                    scan.layer = scan.layer.max(F::layer(part.header));
                }
                Role::ParameterSet(kind) if !part.is_fragment => self.keep(kind, part.data),
                Role::ParameterSet(kind) => {
                    if part.first {
                        self.fragments.clear();
                        self.fragments.extend_from_slice(part.header_of_fragment::<F>());
                    }
                    self.fragments.extend_from_slice(part.data);
                    if part.last {
                        let unit = std::mem::take(&mut self.fragments);
                        self.keep(kind, &unit);
                    }
                }
                _ => {}
            }
            if !part.role.is_left_out() {
                let start =
                    if part.first { START_CODE.len() + part.header_of_fragment::<F>().len() } else { 0 };
                scan.bytes += start + part.data.len();
            }
        });
        (is_complete && open.is_none()).then_some(scan)
    }

    fn keep(&mut self, kind: SetKind, unit: &[u8]) {
        if let Some(known) = self.sets.iter_mut().find(|set| set.kind == kind && set.unit == unit) {
            known.is_here = true;
            return;
        }
        if unit.len() > MAX_SET_BYTES {
            return;
        }
        let id = F::set_id(kind, unit).unwrap_or_default();
        if let Some(known) = self.sets.iter_mut().find(|set| (set.kind, set.id) == (kind, id)) {
            known.is_here = true;
            known.unit = Bytes::copy_from_slice(unit);
            // Those that referred to the old one have no meaning with the new one.
            self.sets.retain(|set| set.kind <= kind || set.is_here);
        } else {
            self.sets.push(KeptSet { kind, id, unit: Bytes::copy_from_slice(unit), is_here: true });
        }
        while self.sets.len() > MAX_SETS
            || self.sets.iter().map(|set| set.unit.len()).sum::<usize>() > MAX_SET_BYTES
        {
            self.sets.remove(0);
        }
    }
}

/// What an access unit consists of.
#[derive(Default)]
struct Scan {
    has_picture: bool,
    random_access: bool,
    leading: bool,
    reference: bool,
    layer: Option<(u8, u8)>,
    /// The bytes in byte stream form.
    bytes: usize,
}

/// A unit, or a piece of one.
struct Part<'a> {
    role: Role,
    header: NalHeader,
    /// The unit starts and ends with it.
    first: bool,
    last: bool,
    is_fragment: bool,
    /// Of a fragment without the unit's header.
    data: &'a [u8],
}

impl Part<'_> {
    /// The unit's header where it is not in the data.
    fn header_of_fragment<F: NalFormat>(&self) -> &[u8] {
        if self.is_fragment { &self.header[..F::HEADER_LEN] } else { &[] }
    }
}

/// Calls `with` for each unit or piece of one, in order.
fn each_unit<F: NalFormat>(pieces: &[Piece], mut with: impl FnMut(Part<'_>)) {
    let whole = |unit| {
        let header = F::header(unit).unwrap_or_default();
        Part { role: F::role(header), header, first: true, last: true, is_fragment: false, data: unit }
    };
    for Piece { payload, .. } in pieces {
        match Payload::parse::<F>(payload) {
            Some(Payload::Single(unit)) => with(whole(unit)),
            Some(Payload::Aggregation(units)) => aggregated(units).for_each(|unit| with(whole(unit))),
            Some(Payload::Fragment { header, first, last, data }) => {
                with(Part { role: F::role(header), header, first, last, is_fragment: true, data });
            }
            None => {}
        }
    }
}
