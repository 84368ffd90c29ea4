//! Payload formats: frames to packets and back.
//!
//! | codec | payload format | packets |
//! |---|---|---|
//! | [`Codec::Vp8`] | RFC 7741 | descriptor and a piece of the frame |
//! | [`Codec::H264`] | RFC 6184, packetization modes 0 and 1 | single NAL unit, STAP-A, FU-A |
//! | [`Codec::Opus`] | RFC 7587 | one frame each |
//!
//! A [`Packetizer`] cuts frames, an [`Assembler`] puts them together again through loss and reorder.

pub mod annex_b;
pub mod assembler;
pub mod h264;
pub mod opus;
pub mod sps;
pub mod vp8;

pub use assembler::{AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, AssemblerStats};
pub use h264::{H264Packetizer, PacketizationMode};
pub use opus::OpusPacketizer;
pub use sps::Sps;
pub use vp8::{Vp8Descriptor, Vp8Packetizer};

use bytes::Bytes;

/// The codecs whose payload format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// VP8.
    Vp8,
    /// H.264, in Annex-B form outside of RTP.
    H264,
    /// Opus.
    Opus,
}

impl Codec {
    /// Ticks of the RTP clock per second, in Hz.
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Vp8 | Self::H264 => 90_000,
            Self::Opus => 48_000,
        }
    }

    /// Whether frames depend on earlier ones, so that after a loss only a keyframe gives a clean picture.
    #[must_use]
    pub const fn has_keyframes(self) -> bool {
        matches!(self, Self::Vp8 | Self::H264)
    }

    /// The codec with this name in `a=rtpmap`, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [("VP8", Self::Vp8), ("H264", Self::H264), ("opus", Self::Opus)]
            .into_iter()
            .find_map(|(known, codec)| known.eq_ignore_ascii_case(name).then_some(codec))
    }
}

/// Whether an RTP payload begins a keyframe. Each packet of a codec without keyframes does; empty and malformed
/// payloads do not.
#[must_use]
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    let kind = PayloadKind::of(codec, payload);
    kind.valid && kind.begins && kind.keyframe
}

/// What the payload of one packet tells about its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadKind {
    /// The payload can be read. All else is false when this is.
    pub(crate) valid: bool,
    /// Certainly the first packet of its frame.
    pub(crate) begins: bool,
    /// Not certainly a later packet of its frame.
    pub(crate) may_begin: bool,
    /// Belongs to a keyframe. Told by the first packets of it at least.
    pub(crate) keyframe: bool,
    /// A keyframe that begins here needs nothing from an earlier packet.
    pub(crate) self_contained: bool,
}

impl PayloadKind {
    /// Every packet is a frame of its own.
    pub(crate) const WHOLE: Self =
        Self { valid: true, begins: true, may_begin: true, keyframe: true, self_contained: true };

    pub(crate) fn of(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => vp8::kind(payload),
            Codec::H264 => h264::kind(payload),
            Codec::Opus if payload.is_empty() => Self::default(),
            Codec::Opus => Self::WHOLE,
        }
    }
}

/// Why a frame cannot be cut into packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// There is nothing in the frame that could be sent.
    #[error("the frame is empty")]
    Empty,
    /// The frame, or a NAL unit of it, is too large for one packet and the payload format cannot cut it.
    #[error("the frame does not fit one packet and cannot be cut")]
    TooLarge,
    /// The payload size leaves no room beside the payload header.
    #[error("the payload size is too small")]
    MaxPayloadSize,
}

/// Cuts the frames of one stream into RTP payloads.
#[derive(Clone, Debug)]
pub enum Packetizer {
    /// VP8.
    Vp8(Vp8Packetizer),
    /// H.264.
    H264(H264Packetizer),
    /// Opus.
    Opus(OpusPacketizer),
}

impl Packetizer {
    /// A packetizer with the defaults of the codec: a picture id that starts at `first_picture_id` (its low 15 bits;
    /// draw it at random) for VP8, packetization mode 1 for H.264.
    #[must_use]
    pub fn new(codec: Codec, first_picture_id: u16) -> Self {
        match codec {
            Codec::Vp8 => Self::Vp8(Vp8Packetizer::new(first_picture_id)),
            Codec::H264 => Self::H264(H264Packetizer::new(PacketizationMode::NonInterleaved)),
            Codec::Opus => Self::Opus(OpusPacketizer),
        }
    }

    /// Appends the payloads of one frame to `out`, each of at most `max_payload_bytes`. Video: the last one gets the marker
    /// bit. They share one allocation.
    ///
    /// # Errors
    /// [`PacketizeError`]; nothing is appended then.
    pub fn packetize(
        &mut self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        match self {
            Self::Vp8(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::H264(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::Opus(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
        }
    }
}

/// Cuts `len` bytes into the fewest pieces of at most `max`, as equal as can be: yields the length of each.
pub(crate) fn even_pieces(len: usize, max: usize) -> impl Iterator<Item = usize> + Clone {
    let pieces = len.div_ceil(max.max(1));
    (0..pieces).map(move |n| len * (n + 1) / pieces - len * n / pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(Codec::from_name("vp8"), Some(Codec::Vp8));
        assert_eq!(Codec::from_name("OPUS"), Some(Codec::Opus));
        assert_eq!(Codec::from_name("rtx"), None);
        assert_eq!(Codec::Opus.clock_rate_hz(), 48_000);
    }

    #[test]
    fn pieces_are_even_and_few() {
        assert_eq!(even_pieces(10, 4).collect::<Vec<_>>(), [3, 3, 4]);
        assert_eq!(even_pieces(8, 4).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(even_pieces(0, 4).count(), 0);
    }

    #[test]
    fn empty_payloads_begin_nothing() {
        for codec in [Codec::Vp8, Codec::H264, Codec::Opus] {
            assert!(!is_keyframe(codec, &[]));
        }
        assert!(is_keyframe(Codec::Opus, &[0xfc]));
    }
}
