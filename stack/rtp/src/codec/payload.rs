//! [`PayloadKind`]: what one packet tells about its frame.

use super::h264::H264;
use super::h265::H265;
use super::{Codec, audio, av1, nal, vp8, vp9};

/// What the payload of one packet tells about its frame. The media itself must be in the clear: of an encrypted payload only
/// what the payload descriptor says is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadKind {
    /// The payload can be read. All else is false when this is.
    pub valid: bool,
    /// Certainly the first packet of its frame.
    pub begins: bool,
    /// Not certainly a later packet of its frame.
    pub may_begin: bool,
    /// Belongs to a keyframe. Told by the first packets of it at least.
    pub keyframe: bool,
    /// A keyframe that begins here needs nothing from an earlier packet.
    pub self_contained: bool,
    /// No frame of the same or a lower temporal layer refers to this one: where no higher layer is sent, it can be left out.
    /// Told by the first packet of the frame at least; of AV1 by assembled frames only.
    pub discardable: bool,
    /// The temporal layer, where the payload tells it.
    pub temporal_id: Option<u8>,
    /// The spatial layer, where the payload tells it.
    pub spatial_id: Option<u8>,
    /// Bytes before those of the codec.
    pub(crate) header_len: u16,
    /// The frame of a layer, of which a picture may have several, begins with this packet.
    pub(crate) layer_begins: bool,
    /// It ends with this packet; `None` where the payload does not tell.
    pub(crate) layer_ends: Option<bool>,
}

impl PayloadKind {
    /// Every packet is a frame of its own.
    pub(crate) const WHOLE: Self = Self {
        valid: true,
        begins: true,
        may_begin: true,
        keyframe: true,
        self_contained: true,
        discardable: false,
        temporal_id: None,
        spatial_id: None,
        header_len: 0,
        layer_begins: true,
        layer_ends: Some(true),
    };

    /// Reads a payload, without the RTP padding. Malformed and empty ones are not [`valid`](Self::valid).
    #[must_use]
    pub fn of(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => vp8::kind(payload),
            Codec::Vp9 => vp9::kind(payload),
            Codec::Av1 => av1::kind(payload),
            Codec::H264 => nal::kind::<H264>(payload),
            Codec::H265 => nal::kind::<H265>(payload),
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16 { .. } => {
                let is_whole = !payload.is_empty() && payload.len().is_multiple_of(audio::sample_len(codec));
                if is_whole { Self::WHOLE } else { Self::default() }
            }
        }
    }
}

/// Whether an RTP payload begins a keyframe. Each packet of a codec without keyframes does; empty and malformed
/// payloads do not.
#[must_use]
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    let kind = PayloadKind::of(codec, payload);
    kind.valid && kind.begins && kind.keyframe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_payloads_begin_nothing() {
        for codec in [Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H264, Codec::H265, Codec::Opus] {
            assert!(!is_keyframe(codec, &[]));
            assert_eq!(PayloadKind::of(codec, &[]), PayloadKind::default());
        }
        assert!(is_keyframe(Codec::Opus, &[0xfc]));
    }
}
