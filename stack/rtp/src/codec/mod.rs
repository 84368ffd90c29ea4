//! Payload formats: frames to packets and back.
//!
//! | codec | payload format | packets |
//! |---|---|---|
//! | [`Codec::Vp8`] | RFC 7741 | descriptor and a piece of the frame |
//! | [`Codec::Vp9`] | RFC 9628, flexible and not | descriptor and a piece of a layer's frame |
//! | [`Codec::Av1`] | RTP Payload Format For AV1 1.0.0 | OBUs and pieces of them |
//! | [`Codec::H264`] | RFC 6184, packetization modes 0 and 1 | single NAL unit, STAP-A, FU-A |
//! | [`Codec::H265`] | RFC 7798, without decoding order numbers | single NAL unit, aggregation packet, fragment |
//! | [`Codec::Opus`] | RFC 7587 | one frame each |
//! | [`Codec::Pcmu`], [`Codec::Pcma`], [`Codec::G722`], [`Codec::L16`] | RFC 3551 §4.5 | any number of samples each |
//! | [`red`] | RFC 2198 | a frame of sound, and earlier ones again |
//! | [`telephone_event`] | RFC 4733 | keys and other signals beside the sound |
//! | [`comfort_noise`] | RFC 3389 | what silence sounds like |
//!
//! A [`Packetizer`] cuts frames, an [`Assembler`] puts them together again through loss and reorder, and
//! [`PayloadKind`] is what a single packet tells.

pub mod annex_b;
pub mod assembler;
pub mod audio;
pub mod av1;
pub mod comfort_noise;
mod depacketizer;
pub mod h264;
pub mod h265;
#[cfg(test)]
mod header_writer;
mod nal;
pub mod opus;
mod packetizer;
mod payload;
mod picture_id;
pub mod red;
pub mod sps;
mod sps_repair;
pub mod telephone_event;
pub mod vp8;
pub mod vp9;

pub use assembler::{AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, AssemblerStats};
pub use audio::AudioPacketizer;
pub use av1::{Av1Packetizer, Av1Sequence};
pub use h264::{H264Packetizer, PacketizationMode};
pub use h265::{H265Packetizer, H265Sps};
pub use packetizer::{PacketizeError, Packetizer};
pub use payload::{PayloadKind, is_keyframe};
pub use red::RedPacketizer;
pub use sps::Sps;
pub use vp8::{Vp8Descriptor, Vp8Packetizer};
pub use vp9::{Vp9Descriptor, Vp9Packetizer};

/// The codecs whose payload format is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1, in the low-overhead format outside of RTP.
    Av1,
    /// H.264, in Annex-B form outside of RTP.
    H264,
    /// H.265, in Annex-B form outside of RTP.
    H265,
    /// Opus.
    Opus,
    /// G.711, µ-law.
    Pcmu,
    /// G.711, A-law.
    Pcma,
    /// G.722, at 64 kbit/s.
    G722,
    /// Linear samples of 16 bits in network byte order, of several channels by turns.
    L16 {
        /// Samples per second of each channel.
        rate_hz: u32,
        /// How many channels; 0 is taken for 1.
        channels: u8,
    },
}

impl Codec {
    /// Ticks of the RTP clock per second, in Hz. Of G.722 half its sampling rate (RFC 3551 §4.5.2).
    #[must_use]
    pub const fn clock_rate_hz(self) -> u32 {
        match self {
            Self::Vp8 | Self::Vp9 | Self::Av1 | Self::H264 | Self::H265 => 90_000,
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8000,
            Self::L16 { rate_hz, .. } => rate_hz,
        }
    }

    /// Audio channels as signalled: Opus always says two (RFC 7587 §7). 1 for video.
    #[must_use]
    pub const fn channels(self) -> u8 {
        match self {
            Self::Opus => 2,
            Self::L16 { channels, .. } if channels > 0 => channels,
            _ => 1,
        }
    }

    /// Whether it is video: frames depend on earlier ones, so that after a loss only a keyframe gives a clean picture.
    #[must_use]
    pub const fn has_keyframes(self) -> bool {
        matches!(self, Self::Vp8 | Self::Vp9 | Self::Av1 | Self::H264 | Self::H265)
    }

    /// How far a payload of sound takes the RTP clock, in ticks; `None` for a malformed one and for video.
    #[must_use]
    pub fn ticks(self, payload: &[u8]) -> Option<u32> {
        audio::ticks(self, payload)
    }

    /// Its name in `a=rtpmap`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vp8 => "VP8",
            Self::Vp9 => "VP9",
            Self::Av1 => "AV1",
            Self::H264 => "H264",
            Self::H265 => "H265",
            Self::Opus => "opus",
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::L16 { .. } => "L16",
        }
    }

    /// The codec of an `a=rtpmap`: its name in any case, its clock rate in Hz and its channels, 1 where none are told. `None`
    /// when the codec is unknown or has another clock rate or number of channels. For video the channels do not matter.
    #[must_use]
    pub fn from_rtpmap(name: &str, clock_rate_hz: u32, channels: u8) -> Option<Self> {
        let l16 = Self::L16 { rate_hz: clock_rate_hz, channels };
        [
            Self::Vp8,
            Self::Vp9,
            Self::Av1,
            Self::H264,
            Self::H265,
            Self::Opus,
            Self::Pcmu,
            Self::Pcma,
            Self::G722,
            l16,
        ]
        .into_iter()
        .find(|codec| codec.name().eq_ignore_ascii_case(name))
        .filter(|codec| codec.clock_rate_hz() == clock_rate_hz && clock_rate_hz > 0)
        .filter(|codec| codec.has_keyframes() || codec.channels() == channels)
    }

    /// The codec of a payload type that needs no `a=rtpmap` (RFC 3551 §6): 0, 8, 9, 10 and 11.
    #[must_use]
    pub const fn from_static_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Pcmu),
            8 => Some(Self::Pcma),
            9 => Some(Self::G722),
            10 => Some(Self::L16 { rate_hz: 44_100, channels: 2 }),
            11 => Some(Self::L16 { rate_hz: 44_100, channels: 1 }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_with_rate_and_channels() {
        for (name, rate, channels, codec) in [
            ("vp8", 90_000, 1, Some(Codec::Vp8)),
            ("AV1", 90_000, 1, Some(Codec::Av1)),
            ("VP9", 8000, 1, None),
            ("OPUS", 48_000, 2, Some(Codec::Opus)),
            ("opus", 48_000, 1, None),
            ("g722", 8000, 1, Some(Codec::G722)),
            ("G722", 16_000, 1, None),
            ("PCMA", 8000, 1, Some(Codec::Pcma)),
            ("PCMU", 8000, 2, None),
            ("L16", 44_100, 2, Some(Codec::L16 { rate_hz: 44_100, channels: 2 })),
            ("L16", 44_100, 0, None),
            ("L16", 0, 1, None),
            ("rtx", 90_000, 1, None),
        ] {
            assert_eq!(Codec::from_rtpmap(name, rate, channels), codec, "{name}/{rate}/{channels}");
        }
    }

    #[test]
    fn static_payload_types_are_those_of_rfc_3551() {
        assert_eq!(Codec::from_static_payload_type(0), Some(Codec::Pcmu));
        assert_eq!(Codec::from_static_payload_type(8), Some(Codec::Pcma));
        assert_eq!(Codec::from_static_payload_type(9), Some(Codec::G722));
        assert_eq!(Codec::from_static_payload_type(10), Codec::from_rtpmap("L16", 44_100, 2));
        assert_eq!(Codec::from_static_payload_type(11), Codec::from_rtpmap("L16", 44_100, 1));
        assert_eq!(Codec::from_static_payload_type(96), None);
    }
}
