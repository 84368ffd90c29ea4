//! [`Vp9Descriptor`] and [`ScalabilityStructure`] (RFC 9628 §4.2).

use bytes::BufMut;

use crate::DecodeError;
use crate::codec::picture_id::PictureIdField;

/// Most spatial layers of a stream.
pub(super) const MAX_SPATIAL_LAYERS: usize = 8;
/// Most reference indices of a packet in flexible mode.
pub(super) const MAX_REFERENCES: usize = 3;

const PICTURE_ID: u8 = 0x80;
const INTER_PICTURE: u8 = 0x40;
const LAYER: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
const NOT_FOR_UPPER: u8 = 0x01;

/// The layer of a packet's frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9Layer {
    /// The temporal layer, 0..=7.
    pub temporal_id: u8,
    /// From this picture on a receiver may go up to higher temporal layers.
    pub switching_up: bool,
    /// The spatial layer, 0..=7.
    pub spatial_id: u8,
    /// The frame refers to that of the next lower spatial layer in the same picture.
    pub inter_layer: bool,
}

/// A parsed payload descriptor. It remembers where its fields stand, so that a forwarder can rewrite them in a copy
/// of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp9Descriptor {
    /// The picture's number: 7 or 15 bits. All layers of a picture have the same.
    pub picture_id: Option<u16>,
    /// The frame refers to earlier pictures.
    pub inter_picture: bool,
    /// Each packet names its references; otherwise the scalability structure does.
    pub flexible: bool,
    /// The first packet of a layer's frame.
    pub begins: bool,
    /// The last packet of a layer's frame.
    pub ends: bool,
    /// No higher spatial layer refers to this frame.
    pub not_for_upper_layers: bool,
    /// The layer; `None` for a stream with one.
    pub layer: Option<Vp9Layer>,
    /// The running number of pictures of temporal layer 0, where layers are told and the mode is not flexible.
    pub tl0_pic_idx: Option<u8>,
    pub(super) references: [u8; MAX_REFERENCES],
    pub(super) reference_count: u8,
    pub(super) picture_id_field: PictureIdField,
    pub(super) tl0_pic_idx_at: u8,
    pub(super) structure_at: u8,
    pub(super) len: u16,
}

impl Vp9Descriptor {
    /// Reads the descriptor at the start of an RTP payload. Something must follow it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the payload ends inside or right after it, [`DecodeError::Malformed`] for
    /// flexible mode without picture id and for more than three references.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(DecodeError::Truncated);
        let first = byte(0)?;
        let has = |flag: u8| first & flag != 0;
        let mut descriptor = Self {
            inter_picture: has(INTER_PICTURE),
            flexible: has(FLEXIBLE),
            begins: has(BEGINS),
            ends: has(ENDS),
            not_for_upper_layers: has(NOT_FOR_UPPER),
            ..Self::default()
        };
        let mut at = 1;
        if has(PICTURE_ID) {
            let (field, id) = PictureIdField::read(payload, at)?;
            at += field.len();
            (descriptor.picture_id_field, descriptor.picture_id) = (field, Some(id));
        } else if descriptor.flexible {
            return Err(DecodeError::Malformed);
        }
        if has(LAYER) {
            let layer = byte(at)?;
            at += 1;
            descriptor.layer = Some(Vp9Layer {
                temporal_id: layer >> 5,
                switching_up: layer & 0x10 != 0,
                spatial_id: layer >> 1 & 7,
                inter_layer: layer & 1 != 0,
            });
            if !descriptor.flexible {
                descriptor.tl0_pic_idx = Some(byte(at)?);
                descriptor.tl0_pic_idx_at = at as u8;
                at += 1;
            }
        }
        if descriptor.flexible && descriptor.inter_picture {
            loop {
                let reference = byte(at)?;
                at += 1;
                let slot = descriptor.references.get_mut(usize::from(descriptor.reference_count));
                *slot.ok_or(DecodeError::Malformed)? = reference >> 1;
                descriptor.reference_count += 1;
                if reference & 1 == 0 {
                    break;
                }
            }
        }
        if has(STRUCTURE) {
            descriptor.structure_at = at as u8;
            at += ScalabilityStructure::len_of(&payload[at..])?;
        }
        byte(at)?;
        descriptor.len = at as u16;
        Ok(descriptor)
    }

    /// Bytes of the descriptor.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Never: a descriptor has at least one byte. Only a default one, which was not parsed, is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pictures that this frame refers to in flexible mode: how many picture ids before its own, at most three.
    #[must_use]
    pub fn references(&self) -> &[u8] {
        &self.references[..usize::from(self.reference_count)]
    }

    /// Whether a receiver of this packet's layer can start here: the frame refers to nothing.
    #[must_use]
    pub fn is_intra(&self) -> bool {
        !self.inter_picture && self.layer.is_none_or(|layer| !layer.inter_layer)
    }

    /// The scalability structure in `payload`, which begins with this descriptor.
    #[must_use]
    pub fn structure(&self, payload: &[u8]) -> Option<ScalabilityStructure> {
        if self.structure_at == 0 {
            return None;
        }
        ScalabilityStructure::parse(payload.get(usize::from(self.structure_at)..)?).ok()
    }

    /// Whether the picture id has 15 bits and not 7.
    #[must_use]
    pub const fn has_long_picture_id(&self) -> bool {
        self.picture_id_field.is_long
    }

    /// Puts another picture id into `payload`, which begins with this descriptor, in the same width. Does nothing when
    /// there is none.
    pub fn set_picture_id(&self, payload: &mut [u8], picture_id: u16) {
        if self.picture_id.is_some() {
            self.picture_id_field.write(payload, picture_id);
        }
    }

    /// Puts another TL0PICIDX into `payload`. Does nothing when there is none.
    pub fn set_tl0_pic_idx(&self, payload: &mut [u8], tl0_pic_idx: u8) {
        if self.tl0_pic_idx.is_some() {
            payload[usize::from(self.tl0_pic_idx_at)] = tl0_pic_idx;
        }
    }

    /// Says in `payload` whether this packet is the last of its layer's frame: with the marker bit, what a forwarder
    /// changes when it leaves out the layers above.
    pub fn set_ends(&self, payload: &mut [u8], ends: bool) {
        if let Some(first) = payload.first_mut() {
            *first = *first & !ENDS | if ends { ENDS } else { 0 };
        }
    }

    /// Appends a descriptor with these fields and a picture id of 15 bits. `begins` and `structure` are of the first packet
    /// only.
    pub(super) fn write(&self, structure: Option<&ScalabilityStructure>, out: &mut impl BufMut) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.put_u8(
            PICTURE_ID
                | flag(self.inter_picture, INTER_PICTURE)
                | flag(self.layer.is_some(), LAYER)
                | flag(self.flexible, FLEXIBLE)
                | flag(self.begins, BEGINS)
                | flag(self.ends, ENDS)
                | flag(structure.is_some(), STRUCTURE)
                | flag(self.not_for_upper_layers, NOT_FOR_UPPER),
        );
        out.put_u16(self.picture_id.unwrap_or_default() | 0x8000);
        if let Some(layer) = self.layer {
            out.put_u8(
                layer.temporal_id << 5
                    | flag(layer.switching_up, 0x10)
                    | (layer.spatial_id & 7) << 1
                    | u8::from(layer.inter_layer),
            );
            if !self.flexible {
                out.put_u8(self.tl0_pic_idx.unwrap_or_default());
            }
        }
        if self.flexible && self.inter_picture {
            let last = self.references().len() - 1;
            for (n, &reference) in self.references().iter().enumerate() {
                out.put_u8(reference << 1 | u8::from(n < last));
            }
        }
        if let Some(structure) = structure {
            structure.write(out);
        }
    }

    /// Sets the references of flexible mode; at least one and at most three of 1..=127.
    pub(super) fn set_references(&mut self, references: &[u8]) {
        self.references[..references.len()].copy_from_slice(references);
        self.reference_count = references.len() as u8;
    }

    /// Bytes that [`Vp9Descriptor::write`] appends without a structure.
    pub(super) fn written_len(&self) -> usize {
        let layer = if self.layer.is_some() { 2 - usize::from(self.flexible) } else { 0 };
        3 + layer + if self.flexible && self.inter_picture { self.references().len() } else { 0 }
    }
}

/// A picture of the group that a stream in non-flexible mode repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPicture {
    /// Its temporal layer.
    pub temporal_id: u8,
    /// From it on a receiver may go up to higher temporal layers.
    pub switching_up: bool,
    /// The pictures that it refers to: how many picture ids before its own, at most three.
    pub references: Vec<u8>,
}

/// Which layers a stream has: in the first packet of a keyframe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScalabilityStructure {
    /// How many spatial layers, 1..=8.
    pub spatial_layers: u8,
    /// Width and height of each spatial layer in pixels, where they are told.
    pub sizes: Option<[(u16, u16); MAX_SPATIAL_LAYERS]>,
    /// The group of pictures, at most 255, where it is told.
    pub group: Option<Vec<GroupPicture>>,
}

impl ScalabilityStructure {
    /// Bytes that the structure at the start of `data` takes: all of its counts are followed.
    fn len_of(data: &[u8]) -> Result<usize, DecodeError> {
        let byte = |at: usize| data.get(at).copied().ok_or(DecodeError::Truncated);
        let first = byte(0)?;
        let mut at = 1;
        if first & 0x10 != 0 {
            at += (usize::from(first >> 5) + 1) * 4;
        }
        if first & 0x08 != 0 {
            let pictures = byte(at)?;
            at += 1;
            for _ in 0..pictures {
                at += 1 + usize::from(byte(at)? >> 2 & 3);
            }
        }
        if at > data.len() { Err(DecodeError::Truncated) } else { Ok(at) }
    }

    fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let data = &data[..Self::len_of(data)?];
        let mut structure = Self { spatial_layers: (data[0] >> 5) + 1, ..Self::default() };
        let mut at = 1;
        if data[0] & 0x10 != 0 {
            let mut sizes = [(0, 0); MAX_SPATIAL_LAYERS];
            for size in &mut sizes[..usize::from(structure.spatial_layers)] {
                let number = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
                *size = (number(at), number(at + 2));
                at += 4;
            }
            structure.sizes = Some(sizes);
        }
        if data[0] & 0x08 != 0 {
            let mut rest = &data[at + 1..];
            let mut group = Vec::with_capacity(usize::from(data[at]));
            while let Some((&first, after)) = rest.split_first() {
                let (references, after) = after.split_at(usize::from(first >> 2 & 3));
                rest = after;
                group.push(GroupPicture {
                    temporal_id: first >> 5,
                    switching_up: first & 0x10 != 0,
                    references: references.to_vec(),
                });
            }
            structure.group = Some(group);
        }
        Ok(structure)
    }

    /// Bytes in a descriptor.
    pub(super) fn len(&self) -> usize {
        let sizes = self.sizes.map_or(0, |_| usize::from(self.spatial_layers) * 4);
        let pictures = self.group.iter().flatten().map(|picture| 1 + picture.references.len());
        1 + sizes + self.group.as_ref().map_or(0, |_| 1 + pictures.sum::<usize>())
    }

    /// Whether the counts have a place on the wire.
    pub(super) fn is_sound(&self) -> bool {
        let group = self.group.as_deref().unwrap_or_default();
        (1..=MAX_SPATIAL_LAYERS).contains(&usize::from(self.spatial_layers))
            && group.len() <= 255
            && group.iter().all(|picture| picture.references.len() <= MAX_REFERENCES)
    }

    fn write(&self, out: &mut impl BufMut) {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.put_u8(
            (self.spatial_layers - 1) << 5
                | flag(self.sizes.is_some(), 0x10)
                | flag(self.group.is_some(), 0x08),
        );
        for (width, height) in self.sizes.iter().flatten().take(usize::from(self.spatial_layers)) {
            out.put_u16(*width);
            out.put_u16(*height);
        }
        if let Some(group) = &self.group {
            out.put_u8(group.len() as u8);
            for picture in group {
                let references = picture.references.len() as u8;
                out.put_u8(picture.temporal_id << 5 | flag(picture.switching_up, 0x10) | references << 2);
                out.put_slice(&picture.references);
            }
        }
    }
}
