//! [`Packetizer`]: frames to payloads, whatever the codec.

use bytes::Bytes;

use super::{
    AudioPacketizer, Av1Packetizer, Codec, H264Packetizer, H265Packetizer, PacketizationMode, Vp8Packetizer,
    Vp9Packetizer,
};

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
    /// What was told of the frame beside its bytes has no place in the payload format.
    #[error("layers, references or structure have no place in the payload format")]
    Unsound,
}

/// Cuts the frames of one stream into RTP payloads.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Packetizer {
    /// VP8.
    Vp8(Vp8Packetizer),
    /// VP9.
    Vp9(Vp9Packetizer),
    /// AV1.
    Av1(Av1Packetizer),
    /// H.264.
    H264(H264Packetizer),
    /// H.265.
    H265(H265Packetizer),
    /// Any codec of sound.
    Audio(AudioPacketizer),
}

impl Packetizer {
    /// A packetizer with the defaults of the codec: a picture id that starts at `first_picture_id` (its low 15 bits;
    /// draw it at random) for VP8 and VP9, packetization mode 1 for H.264.
    #[must_use]
    pub const fn new(codec: Codec, first_picture_id: u16) -> Self {
        match codec {
            Codec::Vp8 => Self::Vp8(Vp8Packetizer::new(first_picture_id)),
            Codec::Vp9 => Self::Vp9(Vp9Packetizer::new(first_picture_id)),
            Codec::Av1 => Self::Av1(Av1Packetizer::new()),
            Codec::H264 => Self::H264(H264Packetizer::new(PacketizationMode::NonInterleaved)),
            Codec::H265 => Self::H265(H265Packetizer::new()),
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 | Codec::L16 { .. } => {
                Self::Audio(AudioPacketizer::new(codec))
            }
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
            Self::Vp9(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::Av1(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::H264(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::H265(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
            Self::Audio(packetizer) => packetizer.packetize(frame, max_payload_bytes, out),
        }
    }
}

/// Cuts `len` bytes into the fewest pieces of at most `max`, as equal as can be: yields the length of each.
pub(super) fn even_pieces(len: usize, max: usize) -> impl Iterator<Item = usize> + Clone {
    let pieces = len.div_ceil(max.max(1));
    (0..pieces).map(move |n| len * (n + 1) / pieces - len * n / pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_even_and_few() {
        assert_eq!(even_pieces(10, 4).collect::<Vec<_>>(), [3, 3, 4]);
        assert_eq!(even_pieces(8, 4).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(even_pieces(0, 4).count(), 0);
    }
}
