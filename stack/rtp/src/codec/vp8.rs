//! VP8 (RFC 7741): the payload descriptor, the packetizer, and what a frame's header tells.
//!
//! `[X R N S R PID | I L T K (if X) | M PictureID 7 or 15 (if I) | TL0PICIDX (if L) | TID Y KEYIDX (if T or K)]`

use bytes::{BufMut, Bytes, BytesMut};

use super::packetizer::even_pieces;
use super::picture_id::PictureIdField;
use super::{PacketizeError, PayloadKind};
use crate::DecodeError;

/// A parsed payload descriptor (RFC 7741 §4.2). It remembers where its fields stand, so that a forwarder can
/// rewrite them in a copy of the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vp8Descriptor {
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// A partition begins with this packet.
    pub partition_start: bool,
    /// The partition's index, 0..=7.
    pub partition: u8,
    /// The picture's number: 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// The running number of base layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// The temporal layer, 0..=3.
    pub temporal_id: Option<u8>,
    /// The frame refers to the base layer only: a receiver may start this layer here.
    pub layer_sync: bool,
    /// The running number of keyframes, 5 bits.
    pub key_idx: Option<u8>,
    picture_id_field: PictureIdField,
    tl0_pic_idx_at: u8,
    key_idx_at: u8,
    len: u8,
}

impl Vp8Descriptor {
    /// Reads the descriptor at the start of an RTP payload. Something must follow it.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when the payload ends inside or right after it.
    pub fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(DecodeError::Truncated);
        let first = byte(0)?;
        let mut descriptor = Self {
            non_reference: first & 0x20 != 0,
            partition_start: first & 0x10 != 0,
            partition: first & 0x07,
            ..Self::default()
        };
        let mut at = 1;
        if first & 0x80 != 0 {
            let flags = byte(1)?;
            at = 2;
            if flags & 0x80 != 0 {
                let (field, id) = PictureIdField::read(payload, at)?;
                at += field.len();
                (descriptor.picture_id_field, descriptor.picture_id) = (field, Some(id));
            }
            if flags & 0x40 != 0 {
                descriptor.tl0_pic_idx = Some(byte(at)?);
                descriptor.tl0_pic_idx_at = at as u8;
                at += 1;
            }
            if flags & 0x30 != 0 {
                let layer = byte(at)?;
                if flags & 0x20 != 0 {
                    descriptor.temporal_id = Some(layer >> 6);
                    descriptor.layer_sync = layer & 0x20 != 0;
                }
                if flags & 0x10 != 0 {
                    descriptor.key_idx = Some(layer & 0x1f);
                    descriptor.key_idx_at = at as u8;
                }
                at += 1;
            }
        }
        byte(at)?;
        descriptor.len = at as u8;
        Ok(descriptor)
    }

    /// Bytes of the descriptor, 1..=6.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Never: a descriptor has at least one byte. Only a default one, which was not parsed, is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the packet is the first of its frame.
    #[must_use]
    pub const fn starts_frame(&self) -> bool {
        self.partition_start && self.partition == 0
    }

    /// Puts another picture id into `payload`, which begins with this descriptor, in the same width. Does nothing when
    /// there is none.
    pub fn set_picture_id(&self, payload: &mut [u8], picture_id: u16) {
        if self.picture_id.is_some() {
            self.picture_id_field.write(payload, picture_id);
        }
    }

    /// Whether the picture id has 15 bits and not 7.
    #[must_use]
    pub const fn has_long_picture_id(&self) -> bool {
        self.picture_id_field.is_long
    }

    /// Puts another TL0PICIDX into `payload`. Does nothing when there is none.
    pub fn set_tl0_pic_idx(&self, payload: &mut [u8], tl0_pic_idx: u8) {
        if self.tl0_pic_idx.is_some() {
            payload[usize::from(self.tl0_pic_idx_at)] = tl0_pic_idx;
        }
    }

    /// Puts another KEYIDX (its low 5 bits) into `payload`. Does nothing when there is none.
    pub fn set_key_idx(&self, payload: &mut [u8], key_idx: u8) {
        if self.key_idx.is_some() {
            let byte = &mut payload[usize::from(self.key_idx_at)];
            *byte = *byte & 0xe0 | key_idx & 0x1f;
        }
    }
}

/// Whether a whole frame is a keyframe: the inverse of its first bit (RFC 6386 §9.1).
#[must_use]
pub fn frame_is_keyframe(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & 1 == 0)
}

/// Width and height in pixels, from the header of a keyframe (RFC 6386 §9.1). `None` for another frame.
#[must_use]
pub fn dimensions(frame: &[u8]) -> Option<(u16, u16)> {
    match frame.first_chunk()? {
        &[first, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1] if first & 1 == 0 => {
            Some((u16::from_le_bytes([w0, w1]) & 0x3fff, u16::from_le_bytes([h0, h1]) & 0x3fff))
        }
        _ => None,
    }
}

pub(super) fn kind(payload: &[u8]) -> PayloadKind {
    let Ok(descriptor) = Vp8Descriptor::parse(payload) else { return PayloadKind::default() };
    let begins = descriptor.starts_frame();
    let keyframe = begins && frame_is_keyframe(&payload[descriptor.len()..]);
    PayloadKind {
        valid: true,
        begins,
        may_begin: begins,
        keyframe,
        self_contained: true,
        discardable: descriptor.non_reference,
        temporal_id: descriptor.temporal_id,
        header_len: u16::from(descriptor.len),
        layer_begins: begins,
        ..PayloadKind::default()
    }
}

/// Cuts VP8 frames into payloads with a 15-bit picture id.
#[derive(Clone, Debug)]
pub struct Vp8Packetizer {
    picture_id: u16,
    tl0_pic_idx: Option<u8>,
}

impl Vp8Packetizer {
    /// The first frame gets the low 15 bits of `first_picture_id`.
    #[must_use]
    pub const fn new(first_picture_id: u16) -> Self {
        Self { picture_id: first_picture_id & 0x7fff, tl0_pic_idx: None }
    }

    /// Also numbers the frames as base layer frames with TL0PICIDX and TID 0, starting at `first`. Off by default.
    #[must_use]
    pub const fn with_tl0_pic_idx(mut self, first: u8) -> Self {
        self.tl0_pic_idx = Some(first);
        self
    }

    /// Appends the payloads of one frame, cut into even pieces.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`], and [`PacketizeError::MaxPayloadSize`] for less than one byte of room beside
    /// the descriptor of 4 (with TL0PICIDX 6) bytes.
    pub fn packetize(
        &mut self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        let [id_high, id_low] = (self.picture_id | 0x8000).to_be_bytes();
        let mut descriptor = [0x90, 0x80, id_high, id_low, 0, 0];
        let mut descriptor_len = 4;
        if let Some(tl0_pic_idx) = self.tl0_pic_idx {
            descriptor[1] |= 0x60;
            descriptor[4] = tl0_pic_idx;
            descriptor_len = 6;
        }
        if frame.is_empty() {
            return Err(PacketizeError::Empty);
        }
        if max_payload_bytes <= descriptor_len {
            return Err(PacketizeError::MaxPayloadSize);
        }
        let pieces = even_pieces(frame.len(), max_payload_bytes - descriptor_len);
        let mut buffer = BytesMut::with_capacity(frame.len() + pieces.clone().count() * descriptor_len);
        let mut rest = frame;
        for piece in pieces {
            let (data, after) = rest.split_at(piece);
            rest = after;
            buffer.put_slice(&descriptor[..descriptor_len]);
            buffer.put_slice(data);
            out.push(buffer.split().freeze());
            descriptor[0] &= !0x10;
        }
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        self.tl0_pic_idx = self.tl0_pic_idx.map(|index| index.wrapping_add(1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::depacketizer::tests::join;
    use super::*;
    use crate::codec::Codec;

    /// RFC 7741 §4.2, all fields in both widths of the picture id.
    #[test]
    fn descriptors_are_read() {
        let full = [0xb3, 0xf0, 0x92, 0x34, 7, 0x60 | 5, 0xff];
        let descriptor = Vp8Descriptor::parse(&full).unwrap();
        assert!(descriptor.non_reference && descriptor.partition_start && !descriptor.starts_frame());
        assert_eq!((descriptor.partition, descriptor.picture_id), (3, Some(0x1234)));
        assert_eq!((descriptor.tl0_pic_idx, descriptor.temporal_id), (Some(7), Some(1)));
        assert_eq!((descriptor.layer_sync, descriptor.key_idx, descriptor.len()), (true, Some(5), 6));
        let short = Vp8Descriptor::parse(&[0x90, 0x80, 0x12, 0]).unwrap();
        assert_eq!((short.picture_id, short.has_long_picture_id(), short.len()), (Some(0x12), false, 3));
        let bare = Vp8Descriptor::parse(&[0x10, 0]).unwrap();
        assert!(bare.starts_frame() && bare.len() == 1 && bare.picture_id.is_none());
    }

    #[test]
    fn every_truncation_of_a_descriptor_is_refused() {
        let full = [0x90, 0xf0, 0x92, 0x34, 7, 0x65];
        for cut in 0..=full.len() {
            assert_eq!(Vp8Descriptor::parse(&full[..cut]), Err(DecodeError::Truncated), "{cut}");
        }
    }

    /// What a forwarder changes when it switches layers, in place and in the width that is there.
    #[test]
    fn fields_are_rewritten_in_place() {
        let mut payload = [0x90, 0xf0, 0x92, 0x34, 7, 0x65, 0xaa];
        let descriptor = Vp8Descriptor::parse(&payload).unwrap();
        descriptor.set_picture_id(&mut payload, 0x7fff);
        descriptor.set_tl0_pic_idx(&mut payload, 200);
        descriptor.set_key_idx(&mut payload, 0xff);
        assert_eq!(payload, [0x90, 0xf0, 0xff, 0xff, 200, 0x7f, 0xaa]);
        let mut short = [0x90, 0x80, 0x12, 0xaa];
        let descriptor = Vp8Descriptor::parse(&short).unwrap();
        descriptor.set_picture_id(&mut short, 0xff);
        descriptor.set_tl0_pic_idx(&mut short, 1);
        descriptor.set_key_idx(&mut short, 1);
        assert_eq!(short, [0x90, 0x80, 0x7f, 0xaa]);
    }

    #[test]
    fn a_keyframes_header_has_the_dimensions() {
        let frame = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x42, 0x68, 0x81, 0];
        assert!(frame_is_keyframe(&frame));
        assert_eq!(dimensions(&frame), Some((640, 360)));
        assert_eq!(dimensions(&frame[..9]), None);
        assert_eq!(dimensions(&[0x11, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1]), None);
        assert!(!frame_is_keyframe(&[]));
    }

    #[test]
    fn picture_ids_wrap_at_15_bits() {
        let mut packetizer = Vp8Packetizer::new(0xffff).with_tl0_pic_idx(255);
        let mut out = Vec::new();
        packetizer.packetize(&[1], 1200, &mut out).unwrap();
        packetizer.packetize(&[1], 1200, &mut out).unwrap();
        let read = |n: usize| Vp8Descriptor::parse(&out[n]).unwrap();
        assert_eq!((read(0).picture_id, read(0).tl0_pic_idx), (Some(0x7fff), Some(255)));
        assert_eq!(
            (read(1).picture_id, read(1).tl0_pic_idx, read(1).temporal_id),
            (Some(0), Some(0), Some(0))
        );
    }

    #[test]
    fn frames_that_cannot_be_cut_are_refused() {
        let mut out = Vec::new();
        let mut packetizer = Vp8Packetizer::new(0);
        assert_eq!(packetizer.packetize(&[], 1200, &mut out), Err(PacketizeError::Empty));
        assert_eq!(packetizer.packetize(&[1], 4, &mut out), Err(PacketizeError::MaxPayloadSize));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn frames_round_trip(
            frame in proptest::collection::vec(any::<u8>(), 1..5000),
            max in 5usize..1300, tl0: bool,
        ) {
            let mut packetizer = Vp8Packetizer::new(9);
            if tl0 {
                packetizer = packetizer.with_tl0_pic_idx(3);
            }
            prop_assume!(!tl0 || max > 6);
            let mut out = Vec::new();
            packetizer.packetize(&frame, max, &mut out).unwrap();
            prop_assert!(out.iter().all(|payload| payload.len() <= max));
            prop_assert_eq!(kind(&out[0]).keyframe, frame_is_keyframe(&frame));
            prop_assert_eq!(join(Codec::Vp8, &out).map(|joined| joined.data), Some(Bytes::from(frame)));
        }

        #[test]
        fn any_bytes_are_survived(payload in proptest::collection::vec(any::<u8>(), 0..20)) {
            let mut copy = payload.clone();
            if let Ok(descriptor) = Vp8Descriptor::parse(&payload) {
                descriptor.set_picture_id(&mut copy, 1);
                descriptor.set_tl0_pic_idx(&mut copy, 1);
                descriptor.set_key_idx(&mut copy, 1);
                prop_assert_eq!(Vp8Descriptor::parse(&copy).map(|d| d.len()), Ok(descriptor.len()));
                prop_assert_eq!(&copy[descriptor.len()..], &payload[descriptor.len()..]);
            }
        }
    }
}
