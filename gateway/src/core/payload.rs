//! What the core reads of a packet's payload: where keyframes begin, and the counters of VP8's descriptor.

use bytes::Bytes;
use tombolo_signaling::message::CodecName;

use super::media::Prefix;

/// The counters in a VP8 payload descriptor (RFC 7741 §4.2) that must stay continuous across a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vp8Counters {
    /// The descriptor as it came.
    pub(super) descriptor: Prefix,
    /// Offset of the PictureID in it, its value and its width in bits: 7 or 15.
    pub(super) picture_id: Option<(usize, u16, u32)>,
    /// Offset of TL0PICIDX in it, and its value.
    pub(super) tl0: Option<(usize, u8)>,
    starts_frame: bool,
}

impl Vp8Counters {
    fn parse(payload: &[u8]) -> Option<Self> {
        let first = *payload.first()?;
        let (mut len, mut picture_id, mut tl0) = (1, None, None);
        if first & 0x80 != 0 {
            let extension = *payload.get(1)?;
            len = 2;
            if extension & 0x80 != 0 {
                let high = *payload.get(2)?;
                picture_id = if high & 0x80 == 0 {
                    Some((len, u16::from(high), 7))
                } else {
                    Some((len, u16::from(high & 0x7f) << 8 | u16::from(*payload.get(3)?), 15))
                };
                len += if high & 0x80 == 0 { 1 } else { 2 };
            }
            if extension & 0x40 != 0 {
                tl0 = Some((len, *payload.get(len)?));
                len += 1;
            }
            if extension & 0x30 != 0 {
                len += 1;
            }
        }
        let descriptor = Prefix::new(payload.get(..len)?)?;
        Some(Self { descriptor, picture_id, tl0, starts_frame: first & 0x17 == 0x10 })
    }

    /// The descriptor with other counters; each is cut to its field's width.
    pub(super) fn rewritten(&self, picture_id: u16, tl0: u8) -> Prefix {
        let mut prefix = self.descriptor;
        let bytes = prefix.as_mut_slice();
        match self.picture_id {
            Some((at, _, 7)) => bytes[at] = picture_id as u8 & 0x7f,
            Some((at, _, _)) => {
                bytes[at] = 0x80 | (picture_id >> 8) as u8;
                bytes[at + 1] = picture_id as u8;
            }
            None => {}
        }
        if let Some((at, _)) = self.tl0 {
            bytes[at] = tl0;
        }
        prefix
    }
}

/// What the core needs to know of a payload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PayloadInfo {
    /// Whether a decoder can start with this packet.
    pub(super) starts_keyframe: bool,
    pub(super) vp8: Option<Vp8Counters>,
}

impl PayloadInfo {
    /// Reads `payload`. What cannot be read starts no keyframe.
    pub(super) fn read(codec: CodecName, payload: &Bytes) -> Self {
        match codec {
            CodecName::Vp8 => {
                let vp8 = Vp8Counters::parse(payload);
                // RFC 7741 §4.3: the P bit, the lowest of a frame's first byte, is 0 in a keyframe.
                let starts_keyframe = vp8.is_some_and(|vp8| {
                    let header = payload.get(vp8.descriptor.as_slice().len());
                    vp8.starts_frame && header.is_some_and(|byte| byte & 1 == 0)
                });
                Self { starts_keyframe, vp8 }
            }
            CodecName::H264 => Self { starts_keyframe: h264_starts_keyframe(payload), vp8: None },
            _ => Self { starts_keyframe: !payload.is_empty(), vp8: None },
        }
    }
}

/// Whether a decoder can start with this H.264 payload (RFC 6184 §5.2): it carries a sequence parameter set. An IDR
/// picture alone does not help a decoder that has none.
fn h264_starts_keyframe(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    let Some((&first, mut rest)) = payload.split_first() else {
        return false;
    };
    match first & 0x1f {
        SPS => true,
        STAP_A => {
            while let [high, low, unit @ ..] = rest {
                let len = usize::from(*high) << 8 | usize::from(*low);
                let Some(unit) = unit.get(..len) else {
                    return false;
                };
                if unit.first().is_some_and(|header| header & 0x1f == SPS) {
                    return true;
                }
                rest = &rest[2 + len..];
            }
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vp8_descriptor_with_every_field_is_rewritten_in_place() {
        let payload = Bytes::from_static(&[0x90, 0xf0, 0x81, 0x02, 0x33, 0x60, 0x00, 0xaa]);
        let info = PayloadInfo::read(CodecName::Vp8, &payload);
        let vp8 = info.vp8.unwrap();
        assert!(info.starts_keyframe);
        assert_eq!((vp8.picture_id, vp8.tl0), (Some((2, 0x102, 15)), Some((4, 0x33))));
        assert_eq!(vp8.rewritten(0x7fff, 9).as_slice(), &[0x90, 0xf0, 0xff, 0xff, 9, 0x60]);
    }

    #[test]
    fn a_short_picture_id_stays_short() {
        let payload = Bytes::from_static(&[0x90, 0x80, 0x12, 0x01]);
        let info = PayloadInfo::read(CodecName::Vp8, &payload);
        assert!(!info.starts_keyframe, "the P bit is set");
        assert_eq!(info.vp8.unwrap().rewritten(0x1ff, 0).as_slice(), &[0x90, 0x80, 0x7f]);
    }

    #[test]
    fn only_the_first_packet_of_a_frame_starts_it() {
        let starts = |bytes: &'static [u8]| {
            PayloadInfo::read(CodecName::Vp8, &Bytes::from_static(bytes)).starts_keyframe
        };
        assert!(starts(&[0x10, 0x00]));
        assert!(!starts(&[0x00, 0x00]), "a later packet");
        assert!(!starts(&[0x11, 0x00]), "a later partition");
    }

    #[test]
    fn truncated_payloads_are_read_as_nothing() {
        for len in 0..6 {
            let payload = Bytes::copy_from_slice(&[0x90, 0xf0, 0x81, 0x02, 0x33, 0x60][..len]);
            assert!(!PayloadInfo::read(CodecName::Vp8, &payload).starts_keyframe);
            assert!(!PayloadInfo::read(CodecName::H264, &payload).starts_keyframe);
        }
    }

    #[test]
    fn an_h264_keyframe_starts_with_its_parameter_sets() {
        assert!(h264_starts_keyframe(&[0x67, 0x42]));
        assert!(h264_starts_keyframe(&[0x78, 0, 1, 0x09, 0, 2, 0x67, 0x42, 0, 1, 0x68]));
        assert!(!h264_starts_keyframe(&[0x78, 0, 9, 0x67]), "a length past the end");
        assert!(!h264_starts_keyframe(&[0x65, 0x88]));
        assert!(!h264_starts_keyframe(&[0x41, 0x9a]));
    }
}
