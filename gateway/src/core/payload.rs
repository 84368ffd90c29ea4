//! What the core reads of a packet's payload: where keyframes begin, and the counters of VP8's descriptor.

use bytes::Bytes;
use tombolo_rtp::codec::{Codec, Vp8Descriptor, annex_b, is_keyframe};

use super::media::Prefix;

/// What the core needs to know of a payload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PayloadInfo {
    /// Whether a decoder can start with this packet.
    pub(super) starts_keyframe: bool,
    /// Whether an H.264 sequence parameter set is in it.
    pub(super) has_sps: bool,
    pub(super) vp8: Option<Vp8Descriptor>,
}

impl PayloadInfo {
    /// Reads `payload`. What cannot be read starts no keyframe.
    pub(super) fn read(codec: Codec, payload: &[u8]) -> Self {
        Self {
            starts_keyframe: is_keyframe(codec, payload),
            has_sps: codec == Codec::H264 && has_sps(payload),
            vp8: (codec == Codec::Vp8).then(|| Vp8Descriptor::parse(payload).ok()).flatten(),
        }
    }
}

/// Whether an H.264 payload (RFC 6184 §5.6, §5.7.1) carries a sequence parameter set.
fn has_sps(payload: &[u8]) -> bool {
    const STAP_A: u8 = 24;
    let is_sps = |unit: &[u8]| annex_b::type_of(unit) == annex_b::nal_type::SPS;
    if annex_b::type_of(payload) != STAP_A {
        return is_sps(payload);
    }
    let mut rest = &payload[1..];
    while let Some((size, units)) = rest.split_first_chunk() {
        let Some((unit, after)) = units.split_at_checked(usize::from(u16::from_be_bytes(*size))) else {
            return false;
        };
        if is_sps(unit) {
            return true;
        }
        rest = after;
    }
    false
}

/// A copy of the descriptor at the start of `payload` with other counters, each cut to its field's width.
pub(super) fn rewritten(
    descriptor: &Vp8Descriptor,
    payload: &Bytes,
    picture_id: Option<u16>,
    tl0_pic_idx: Option<u8>,
) -> Option<Prefix> {
    let mut prefix = Prefix::new(payload.get(..descriptor.len())?)?;
    descriptor.set_picture_id(prefix.as_mut_slice(), picture_id.unwrap_or_default());
    descriptor.set_tl0_pic_idx(prefix.as_mut_slice(), tl0_pic_idx.unwrap_or_default());
    Some(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameter_sets_are_found_alone_and_aggregated() {
        let has_sps = |payload: &[u8]| PayloadInfo::read(Codec::H264, payload).has_sps;
        assert!(has_sps(&[0x67, 0x42]));
        assert!(has_sps(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42, 0, 1, 0x68]));
        assert!(!has_sps(&[0x78, 0, 9, 0x67]), "a length past the end");
        assert!(!has_sps(&[0x65, 0x88]));
        assert!(!has_sps(&[0x78]) && !has_sps(&[]));
    }

    #[test]
    fn a_descriptor_with_every_field_is_rewritten_in_a_copy() {
        let payload = Bytes::from_static(&[0x90, 0xf0, 0x81, 0x02, 0x33, 0x60, 0x00, 0xaa]);
        let vp8 = PayloadInfo::read(Codec::Vp8, &payload).vp8.unwrap();
        let prefix = rewritten(&vp8, &payload, Some(0x7fff), Some(9)).unwrap();
        assert_eq!(prefix.as_slice(), &[0x90, 0xf0, 0xff, 0xff, 9, 0x60]);
    }
}
