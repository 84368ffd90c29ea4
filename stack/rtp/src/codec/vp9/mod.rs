//! VP9 (RFC 9628): the payload descriptor, the packetizer, and what a frame's header tells.
//!
//! `[I P L F B E V Z | M PictureID 7 or 15 (if I) | TID U SID D (if L) | TL0PICIDX (if L and not F) | P_DIFF N, up to
//! three (if F and P) | scalability structure (if V)]`
//!
//! A picture is what its spatial layers sent under one timestamp: it leaves an assembler as one piece, which is what
//! decoders take. Layers that a forwarder left out are not missed.

mod descriptor;
mod header;

pub use descriptor::{GroupPicture, ScalabilityStructure, Vp9Descriptor, Vp9Layer};
pub use header::Vp9Header;

use bytes::{BufMut, Bytes, BytesMut};

use super::packetizer::even_pieces;
use super::{PacketizeError, PayloadKind};

pub(super) fn kind(payload: &[u8]) -> PayloadKind {
    let Ok(descriptor) = Vp9Descriptor::parse(payload) else { return PayloadKind::default() };
    let layer = descriptor.layer.unwrap_or_default();
    let intra = descriptor.is_intra();
    // A higher layer may be the lowest that is sent; when it refers to nothing, nothing before it is missing.
    let begins = descriptor.begins && (layer.spatial_id == 0 || intra);
    let header = || Vp9Header::parse(&payload[descriptor.len()..]);
    PayloadKind {
        valid: true,
        begins,
        may_begin: descriptor.begins && !layer.inter_layer,
        keyframe: intra,
        self_contained: true,
        discardable: descriptor.begins && header().is_ok_and(|header| header.refreshed == 0),
        temporal_id: descriptor.layer.map(|layer| layer.temporal_id),
        spatial_id: descriptor.layer.map(|layer| layer.spatial_id),
        header_len: descriptor.len() as u16,
        layer_begins: descriptor.begins,
        layer_ends: Some(descriptor.ends),
    }
}

/// The frame of one layer, as its encoder tells of it.
#[derive(Clone, Debug, Default)]
pub struct Vp9LayerFrame<'a> {
    /// The layer.
    pub layer: Vp9Layer,
    /// The frame refers to earlier pictures.
    pub inter_picture: bool,
    /// Flexible mode: how many pictures before this one those are, one to three of 1..=127 when
    /// [`inter_picture`](Self::inter_picture) is set. Otherwise not looked at.
    pub references: &'a [u8],
    /// No higher spatial layer refers to it.
    pub not_for_upper_layers: bool,
    /// Goes with the frame: with each keyframe of the lowest layer at least.
    pub structure: Option<&'a ScalabilityStructure>,
    /// It is the picture's last, and its last payload gets the marker bit. The next frame gets the next picture id.
    pub ends_picture: bool,
}

/// Cuts VP9 frames into payloads with a 15-bit picture id.
#[derive(Clone, Debug)]
pub struct Vp9Packetizer {
    picture_id: u16,
    tl0_pic_idx: u8,
    flexible: bool,
    in_picture: bool,
}

impl Vp9Packetizer {
    /// The first picture gets the low 15 bits of `first_picture_id`. Not flexible: some decoders take nothing else.
    #[must_use]
    pub const fn new(first_picture_id: u16) -> Self {
        Self {
            picture_id: first_picture_id & 0x7fff,
            tl0_pic_idx: first_picture_id as u8,
            flexible: false,
            in_picture: false,
        }
    }

    /// In flexible mode: layered frames name their references.
    #[must_use]
    pub const fn flexible(mut self) -> Self {
        self.flexible = true;
        self
    }

    /// Appends the payloads of a frame without layers, or of a superframe of which only the last frame is shown, in even
    /// pieces. A keyframe tells its size in a scalability structure. The layer and TL0PICIDX are told all the same: receivers
    /// drop frames of non-flexible mode that lack it.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`], and [`PacketizeError::MaxPayloadSize`] for less than one byte of room beside the descriptor of 5
    /// (for a keyframe 10) bytes.
    pub fn packetize(
        &mut self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        let header = Vp9Header::parse(frame).ok().filter(|header| header.keyframe);
        let structure = header.map(|header| {
            let mut sizes = [(0, 0); descriptor::MAX_SPATIAL_LAYERS];
            let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
            sizes[0] = header.size.map(|(width, height)| (side(width), side(height))).unwrap_or_default();
            ScalabilityStructure { spatial_layers: 1, sizes: Some(sizes), group: None }
        });
        let info = Vp9LayerFrame {
            inter_picture: header.is_none(),
            references: &[1],
            not_for_upper_layers: true,
            structure: structure.as_ref(),
            ends_picture: true,
            ..Vp9LayerFrame::default()
        };
        self.packetize_layer(frame, &info, max_payload_bytes, out)
    }

    /// Appends the payloads of one layer's frame, in even pieces. The layers of a picture come in order, the lowest
    /// first.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`], [`PacketizeError::MaxPayloadSize`] for less than one byte of room beside the
    /// descriptor, and [`PacketizeError::Unsound`] for layer numbers, references or a structure that have no place on the
    /// wire.
    pub fn packetize_layer(
        &mut self,
        frame: &[u8],
        info: &Vp9LayerFrame<'_>,
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        let references = if self.flexible && info.inter_picture { info.references } else { &[] };
        let references_fit = (1..=descriptor::MAX_REFERENCES).contains(&references.len())
            && references.iter().all(|reference| (1..=127).contains(reference));
        if info.layer.temporal_id > 7
            || info.layer.spatial_id > 7
            || (self.flexible && info.inter_picture && !references_fit)
            || info.structure.is_some_and(|structure| !structure.is_sound())
        {
            return Err(PacketizeError::Unsound);
        }
        let begins_base = !self.in_picture && info.layer.temporal_id == 0;
        let tl0_pic_idx = self.tl0_pic_idx.wrapping_add(u8::from(begins_base));
        let mut descriptor = Vp9Descriptor {
            picture_id: Some(self.picture_id),
            inter_picture: info.inter_picture,
            flexible: self.flexible,
            not_for_upper_layers: info.not_for_upper_layers,
            layer: Some(info.layer),
            tl0_pic_idx: Some(tl0_pic_idx),
            ..Vp9Descriptor::default()
        };
        descriptor.set_references(references);
        cut(frame, descriptor, info.structure, max_payload_bytes, out)?;
        self.tl0_pic_idx = tl0_pic_idx;
        self.in_picture = true;
        if info.ends_picture {
            self.in_picture = false;
            self.picture_id = (self.picture_id + 1) & 0x7fff;
        }
        Ok(())
    }
}

/// Appends a frame with this descriptor before each piece; the structure is in the first.
fn cut(
    frame: &[u8],
    mut descriptor: Vp9Descriptor,
    structure: Option<&ScalabilityStructure>,
    max_payload_bytes: usize,
    out: &mut Vec<Bytes>,
) -> Result<(), PacketizeError> {
    if frame.is_empty() {
        return Err(PacketizeError::Empty);
    }
    let descriptor_len = descriptor.written_len();
    let structure_len = structure.map_or(0, ScalabilityStructure::len);
    let room = max_payload_bytes.saturating_sub(descriptor_len);
    if room <= structure_len {
        return Err(PacketizeError::MaxPayloadSize);
    }
    // With the structure the first payload is as large as the others, and has a byte of the frame at least.
    let first = even_pieces(frame.len() + structure_len, room).next().unwrap_or_default();
    let first = first.max(structure_len + 1) - structure_len;
    let pieces = std::iter::once(first).chain(even_pieces(frame.len() - first, room));
    let count = pieces.clone().count();
    let mut buffer = BytesMut::with_capacity(frame.len() + structure_len + count * descriptor_len);
    let (mut rest, mut structure) = (frame, structure);
    descriptor.begins = true;
    for piece in pieces {
        let (data, after) = rest.split_at(piece);
        rest = after;
        descriptor.ends = rest.is_empty();
        descriptor.write(structure.take(), &mut buffer);
        buffer.put_slice(data);
        out.push(buffer.split().freeze());
        descriptor.begins = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::depacketizer::tests::{join, pieces};
    use super::super::depacketizer::{Depacketizer, Joined};
    use super::header::tests::{delta, keyframe};
    use super::*;
    use crate::DecodeError;
    use crate::codec::Codec;

    fn descriptor(payload: &[u8]) -> Vp9Descriptor {
        Vp9Descriptor::parse(payload).unwrap()
    }

    /// RFC 9628 §4.2, both modes with all of their fields.
    #[test]
    fn descriptors_are_read() {
        let flexible = [0xf9, 0x92, 0x34, 0x5b, 0x03, 0x06, 0xff];
        let read = descriptor(&flexible);
        assert!(
            read.inter_picture && read.flexible && read.begins && !read.ends && read.not_for_upper_layers
        );
        let layer = Vp9Layer { temporal_id: 2, switching_up: true, spatial_id: 5, inter_layer: true };
        assert_eq!((read.picture_id, read.layer, read.tl0_pic_idx), (Some(0x1234), Some(layer), None));
        assert_eq!((read.references(), read.len()), (&[1, 3][..], 6));
        let other = [0xac, 0x12, 0x22, 7, 0xff];
        let read = descriptor(&other);
        assert_eq!(
            (read.picture_id, read.has_long_picture_id(), read.tl0_pic_idx),
            (Some(0x12), false, Some(7))
        );
        assert!(!read.inter_picture && read.begins && read.ends && read.len() == 4);
        assert_eq!((descriptor(&[0x08, 1]).len(), descriptor(&[0x08, 1]).picture_id), (1, None));
    }

    #[test]
    fn a_scalability_structure_is_read() {
        let payload =
            [0x8a, 0x01, 0x38, 0x01, 0x40, 0x00, 0xb4, 0x02, 0x80, 0x01, 0x68, 0x02, 0x00, 0x58, 4, 1, 0xaa];
        // One size only, where the structure says two.
        assert_eq!(Vp9Descriptor::parse(&payload[..9]), Err(DecodeError::Truncated));
        let read = descriptor(&payload);
        let structure = read.structure(&payload).unwrap();
        assert_eq!((structure.spatial_layers, read.len()), (2, 16));
        assert_eq!(structure.sizes.unwrap()[..2], [(320, 180), (640, 360)]);
        let group = structure.group.unwrap();
        assert_eq!(group[0], GroupPicture::default());
        assert_eq!((group[1].temporal_id, group[1].switching_up), (2, true));
        assert_eq!(group[1].references, [4, 1]);
    }

    #[test]
    fn every_truncation_of_a_descriptor_is_refused() {
        let full = [0xfb, 0x92, 0x34, 0x5b, 0x03, 0x06, 0x38, 1, 2, 3, 4, 5, 6, 7, 8, 2, 0x14, 1, 0x00, 0xaa];
        assert_eq!(descriptor(&full).len(), full.len() - 1);
        for cut in 0..full.len() {
            assert_eq!(Vp9Descriptor::parse(&full[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
        let other = [0xaa, 0x12, 0x22, 7, 0x00, 1];
        for cut in 0..other.len() {
            assert_eq!(Vp9Descriptor::parse(&other[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
    }

    /// The class of CVE-2026-34235: counts of the scalability structure that reach past the payload.
    #[test]
    fn scalability_structures_that_lie_are_refused() {
        for lie in [
            &[0x0a, 0xf0][..],
            &[0x0a, 0xf0, 0, 1, 0, 1],
            &[0x0a, 0x08],
            &[0x0a, 0x08, 255],
            &[0x0a, 0x08, 255, 0x0c, 1],
            &[0x0a, 0x08, 1, 0x0c, 1, 2],
            &[0x0a, 0xf8],
        ] {
            assert_eq!(Vp9Descriptor::parse(lie), Err(DecodeError::Truncated), "{lie:x?}");
            assert!(!kind(lie).valid);
        }
        let most = [&[0x0a, 0xf8][..], &[1; 32], &[255], &[0x0c, 1, 2, 3].repeat(255), &[9]].concat();
        let read = descriptor(&most);
        assert_eq!(read.len(), most.len() - 1);
        let structure = read.structure(&most).unwrap();
        assert_eq!((structure.spatial_layers, structure.group.unwrap().len()), (8, 255));
    }

    #[test]
    fn more_than_three_references_and_flexible_mode_without_a_picture_id_are_refused() {
        assert_eq!(Vp9Descriptor::parse(&[0xd8, 1, 3, 3, 3, 2, 9]), Err(DecodeError::Malformed));
        assert_eq!(descriptor(&[0xd8, 1, 3, 3, 2, 9]).references(), [1, 1, 1]);
        assert_eq!(Vp9Descriptor::parse(&[0x18, 1, 3]), Err(DecodeError::Malformed));
    }

    /// What a forwarder changes when it leaves out layers, in place and in the width that is there.
    #[test]
    fn fields_are_rewritten_in_place() {
        let mut payload = [0xa8, 0x92, 0x34, 0x22, 7, 0xaa];
        let read = descriptor(&payload);
        read.set_picture_id(&mut payload, 0xffff);
        read.set_tl0_pic_idx(&mut payload, 200);
        read.set_ends(&mut payload, true);
        assert_eq!(payload, [0xac, 0xff, 0xff, 0x22, 200, 0xaa]);
        read.set_ends(&mut payload, false);
        assert_eq!(payload[0], 0xa8);
        let mut short = [0x98, 0x12, 0xaa];
        let read = descriptor(&short);
        read.set_picture_id(&mut short, 0xff);
        read.set_tl0_pic_idx(&mut short, 1);
        assert_eq!(short, [0x98, 0x7f, 0xaa]);
    }

    #[test]
    fn a_keyframe_tells_its_size_and_later_frames_do_not() {
        let mut packetizer = Vp9Packetizer::new(0x7fff);
        let mut out = Vec::new();
        packetizer.packetize(&keyframe(640, 360), 100, &mut out).unwrap();
        packetizer.packetize(&delta(0), 100, &mut out).unwrap();
        let [first, second] = [descriptor(&out[0]), descriptor(&out[1])];
        assert_eq!(first.structure(&out[0]).unwrap().sizes.unwrap()[0], (640, 360));
        assert_eq!((first.picture_id, second.picture_id), (Some(0x7fff), Some(0)));
        assert_eq!(
            (first.inter_picture, second.inter_picture, second.structure(&out[1])),
            (false, true, None)
        );
        // libwebrtc, and so Safari, drops non-flexible frames without TL0PICIDX.
        assert_eq!((first.tl0_pic_idx, second.tl0_pic_idx), (Some(0), Some(1)));
        assert_eq!((first.flexible, first.layer), (false, Some(Vp9Layer::default())));
        assert!(kind(&out[0]).keyframe && !kind(&out[0]).discardable);
        assert!(!kind(&out[1]).keyframe && kind(&out[1]).discardable);
    }

    /// Two spatial layers of one picture: `(payloads, frames)`.
    fn two_layers(flexible: bool, keyframe_first: bool) -> (Vec<Bytes>, [Vec<u8>; 2]) {
        let mut packetizer = Vp9Packetizer::new(300);
        if flexible {
            packetizer = packetizer.flexible();
        }
        let frames =
            [[if keyframe_first { keyframe(320, 180) } else { delta(1) }, vec![7; 30]].concat(), delta(2)];
        let structure = ScalabilityStructure {
            spatial_layers: 2,
            sizes: None,
            group: Some(vec![GroupPicture { references: vec![1], ..GroupPicture::default() }]),
        };
        let lower = Vp9LayerFrame {
            inter_picture: !keyframe_first,
            references: &[1],
            structure: keyframe_first.then_some(&structure),
            ..Vp9LayerFrame::default()
        };
        let upper = Vp9LayerFrame {
            layer: Vp9Layer { spatial_id: 1, inter_layer: true, ..Vp9Layer::default() },
            not_for_upper_layers: true,
            ends_picture: true,
            structure: None,
            ..lower
        };
        let mut out = Vec::new();
        packetizer.packetize_layer(&frames[0], &lower, 20, &mut out).unwrap();
        packetizer.packetize_layer(&frames[1], &upper, 20, &mut out).unwrap();
        assert!(out.iter().all(|payload| payload.len() <= 20));
        (out, frames)
    }

    #[test]
    fn the_layers_of_a_picture_leave_as_one() {
        for flexible in [false, true] {
            for is_key in [true, false] {
                let (out, frames) = two_layers(flexible, is_key);
                let joined = join(Codec::Vp9, &out).unwrap();
                assert_eq!(joined.data, frames.concat());
                assert_eq!(
                    (joined.keyframe, joined.spatial_id, joined.temporal_id),
                    (is_key, Some(1), Some(0))
                );
                let first = descriptor(&out[0]);
                assert_eq!((first.flexible, first.tl0_pic_idx), (flexible, (!flexible).then_some(45)));
                assert_eq!(first.structure(&out[0]).is_some(), is_key);
                assert!(out.iter().all(|payload| descriptor(payload).picture_id == Some(300)));
                assert!(kind(&out[0]).begins);
                assert!(!kind(out.last().unwrap()).begins && !kind(out.last().unwrap()).may_begin);
            }
        }
    }

    #[test]
    fn a_picture_without_one_of_its_packets_is_broken() {
        let (out, _) = two_layers(false, true);
        let base = out.iter().filter(|payload| descriptor(payload).layer.unwrap().spatial_id == 0).count();
        assert!(base >= 3, "{base}");
        let broken = |payloads: &[Bytes]| {
            assert_eq!(Depacketizer::new(Codec::Vp9).join(&pieces(Codec::Vp9, payloads)), Joined::Broken);
        };
        broken(&out[1..]);
        broken(&out[..base - 1]);
        broken(&[&out[..base - 1], &out[base..]].concat());
        broken(&[&out[..base], &out[..base]].concat());
        // The upper layer is there or is not: both are whole.
        assert!(join(Codec::Vp9, &out[..base]).is_some());
    }

    #[test]
    fn what_has_no_place_on_the_wire_is_refused() {
        let mut packetizer = Vp9Packetizer::new(0).flexible();
        let mut out = Vec::new();
        let mut refused = |info: Vp9LayerFrame<'_>| {
            assert_eq!(packetizer.packetize_layer(&[1], &info, 100, &mut out), Err(PacketizeError::Unsound));
        };
        let inter = Vp9LayerFrame { inter_picture: true, ..Vp9LayerFrame::default() };
        refused(Vp9LayerFrame { references: &[], ..inter.clone() });
        refused(Vp9LayerFrame { references: &[1, 2, 3, 4], ..inter.clone() });
        refused(Vp9LayerFrame { references: &[0], ..inter.clone() });
        refused(Vp9LayerFrame { references: &[128], ..inter });
        refused(Vp9LayerFrame {
            layer: Vp9Layer { temporal_id: 8, ..Vp9Layer::default() },
            ..Vp9LayerFrame::default()
        });
        let none = ScalabilityStructure::default();
        refused(Vp9LayerFrame { structure: Some(&none), ..Vp9LayerFrame::default() });
        let mut packetizer = Vp9Packetizer::new(0);
        assert_eq!(packetizer.packetize(&[], 100, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&[1], 5, &mut out), Err(PacketizeError::MaxPayloadSize));
        assert_eq!(packetizer.packetize(&keyframe(2, 2), 10, &mut out), Err(PacketizeError::MaxPayloadSize));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn frames_round_trip(
            body in proptest::collection::vec(any::<u8>(), 0..5000),
            max in 11usize..1300, is_key: bool,
        ) {
            let frame = [if is_key { keyframe(640, 360) } else { delta(3) }, body].concat();
            let mut out = Vec::new();
            Vp9Packetizer::new(9).packetize(&frame, max, &mut out).unwrap();
            prop_assert!(out.iter().all(|payload| payload.len() <= max));
            let joined = join(Codec::Vp9, &out).unwrap();
            prop_assert_eq!(joined.keyframe, is_key);
            prop_assert_eq!(joined.data, frame);
        }

        #[test]
        fn any_bytes_are_survived(payload in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut copy = payload.clone();
            kind(&payload);
            if let Ok(descriptor) = Vp9Descriptor::parse(&payload) {
                let _ = descriptor.structure(&payload);
                descriptor.set_picture_id(&mut copy, 1);
                descriptor.set_tl0_pic_idx(&mut copy, 1);
                prop_assert_eq!(Vp9Descriptor::parse(&copy).map(|d| d.len()), Ok(descriptor.len()));
                prop_assert_eq!(&copy[descriptor.len()..], &payload[descriptor.len()..]);
            }
        }
    }
}
