//! The codecs a connection takes, and how an SDP format is recognised as one of them.

pub use tombolo_rtp::codec::Codec;

use crate::sdp::{Media, RtpMap};

/// The codec that an `a=rtpmap` names, if it is one of ours.
pub(crate) fn from_rtpmap(map: &RtpMap) -> Option<Codec> {
    Codec::from_rtpmap(&map.name, map.clock_rate, map.channels)
}

/// What a transceiver carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Sound.
    Audio,
    /// Pictures.
    Video,
}

impl MediaKind {
    /// What a codec is for.
    #[must_use]
    pub const fn of(codec: Codec) -> Self {
        if codec.has_keyframes() { Self::Video } else { Self::Audio }
    }

    /// The media type of `m=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }
}

/// The parameters of H.264 that decide whether two formats are the same (RFC 6184 §8.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct H264Format {
    /// 0 (single NAL units) or 1 (non-interleaved).
    pub packetization_mode: u8,
    /// `profile-level-id`: profile_idc, constraint flags, level_idc.
    pub profile_level_id: [u8; 3],
}

impl H264Format {
    /// From the parameters of `a=fmtp`; what is absent has the RFC's default. `None` when a value is malformed or
    /// the mode is 2 (interleaved), which nobody implements.
    #[must_use]
    pub fn from_fmtp(parameters: &str) -> Option<Self> {
        // RFC 6184 §8.1: without profile-level-id it is Baseline, level 1.
        let mut format = Self { packetization_mode: 0, profile_level_id: [0x42, 0x00, 0x0a] };
        for (name, value) in fmtp_parameters(parameters) {
            match name {
                "packetization-mode" => {
                    format.packetization_mode = value.parse().ok().filter(|&mode| mode < 2)?
                }
                "profile-level-id" => {
                    let number = u32::from_str_radix(value, 16).ok().filter(|_| value.len() == 6)?;
                    let [_, profile, constraints, level] = number.to_be_bytes();
                    format.profile_level_id = [profile, constraints, level];
                }
                _ => {}
            }
        }
        Some(format)
    }

    /// Whether every browser's decoder takes it: Baseline or Constrained Baseline (RFC 7742 §6.2).
    #[must_use]
    pub const fn is_baseline(self) -> bool {
        let [profile, constraints, _] = self.profile_level_id;
        // Main and Extended with constraint_set0 keep to Baseline's tools.
        profile == 0x42 || (matches!(profile, 0x4d | 0x58) && constraints & 0x80 != 0)
    }
}

/// The `name=value` parameters of an `a=fmtp`.
pub(crate) fn fmtp_parameters(parameters: &str) -> impl Iterator<Item = (&str, &str)> {
    parameters.split(';').filter_map(|parameter| parameter.trim().split_once('='))
}

/// A codec that this side takes, with the payload types it offers for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecCapability {
    /// The codec.
    pub codec: Codec,
    /// The payload type in our offers, 96–127 or 35–63. As answerer the offerer's is kept.
    pub payload_type: u8,
    /// The payload type of its retransmissions (RFC 4588) in our offers; `None` leaves RTX out of them.
    pub rtx_payload_type: Option<u8>,
    /// The parameters of `a=fmtp`; empty for none. For H.264 the packetization mode and the profile in it decide
    /// which formats of a peer are taken.
    pub fmtp: String,
}

impl CodecCapability {
    fn new(codec: Codec, payload_type: u8, rtx_payload_type: Option<u8>, fmtp: &str) -> Self {
        Self { codec, payload_type, rtx_payload_type, fmtp: fmtp.into() }
    }

    /// What every browser can do: Opus, VP8, and H.264 Baseline in both packetization modes.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let h264 = |mode: u8, profile: &str| {
            format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}")
        };
        vec![
            Self::new(Codec::Opus, 111, None, "minptime=10;useinbandfec=1"),
            Self::new(Codec::Vp8, 96, Some(97), ""),
            Self::new(Codec::H264, 102, Some(103), &h264(1, "42e01f")),
            Self::new(Codec::H264, 104, Some(105), &h264(0, "42e01f")),
            Self::new(Codec::H264, 106, Some(107), &h264(1, "42001f")),
            Self::new(Codec::H264, 108, Some(109), &h264(0, "42001f")),
        ]
    }
}

/// The feedback messages that a codec may use (RFC 4585 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Feedback {
    /// `nack`: generic NACK.
    pub nack: bool,
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`.
    pub fir: bool,
    /// `transport-cc`.
    pub transport_cc: bool,
    /// `ack ccfb` (RFC 8888 §6), which stands for all payload types of a section.
    pub ccfb: bool,
    /// `goog-remb`.
    pub remb: bool,
}

impl Feedback {
    /// What this side can do for a kind of media.
    pub(crate) const fn supported(kind: MediaKind) -> Self {
        let video = matches!(kind, MediaKind::Video);
        Self { nack: video, pli: video, fir: video, transport_cc: true, ccfb: true, remb: video }
    }

    /// What the section lists for a payload type, the wildcard included.
    pub(crate) fn of(media: &Media, payload_type: u8) -> Self {
        let mut feedback = Self::default();
        for (_, kind) in
            media.feedback.iter().map(|at| &at.value).filter(|at| at.0.is_none_or(|pt| pt == payload_type))
        {
            match kind.as_str() {
                "nack" => feedback.nack = true,
                "nack pli" => feedback.pli = true,
                "ccm fir" => feedback.fir = true,
                "transport-cc" => feedback.transport_cc = true,
                "ack ccfb" => feedback.ccfb = true,
                "goog-remb" => feedback.remb = true,
                _ => {}
            }
        }
        feedback
    }

    /// What both have.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            nack: self.nack && other.nack,
            pli: self.pli && other.pli,
            fir: self.fir && other.fir,
            transport_cc: self.transport_cc && other.transport_cc,
            ccfb: self.ccfb && other.ccfb,
            remb: self.remb && other.remb,
        }
    }

    /// One of the two messages that tell of every packet, where both could be (RFC 8888 §6).
    pub(crate) const fn settled(self, prefers_ccfb: bool) -> Self {
        Self {
            transport_cc: self.transport_cc && !(self.ccfb && prefers_ccfb),
            ccfb: self.ccfb && (prefers_ccfb || !self.transport_cc),
            ..self
        }
    }

    /// As `a=rtcp-fb` writes it for a payload type.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (self.remb, "goog-remb"),
            (self.transport_cc, "transport-cc"),
            (self.fir, "ccm fir"),
            (self.nack, "nack"),
            (self.pli, "nack pli"),
        ]
        .into_iter()
        .filter_map(|(present, name)| present.then_some(name))
    }
}

/// A codec as two sides agreed on it for one section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegotiatedCodec {
    /// The codec.
    pub codec: Codec,
    /// Its payload type on the wire, the same both ways.
    pub payload_type: u8,
    /// The payload type of its retransmissions, where RTX was negotiated.
    pub rtx_payload_type: Option<u8>,
    /// The H.264 parameters; `None` for the other codecs.
    pub h264: Option<H264Format>,
    /// The feedback both sides use.
    pub feedback: Feedback,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h264_formats_are_read_with_their_defaults() {
        let format =
            H264Format::from_fmtp("level-asymmetry-allowed=1;packetization-mode=1; profile-level-id=42e01f");
        let format = format.unwrap();
        assert_eq!(format, H264Format { packetization_mode: 1, profile_level_id: [0x42, 0xe0, 0x1f] });
        assert!(format.is_baseline());
        let default = H264Format::from_fmtp("").unwrap();
        assert_eq!((default.packetization_mode, default.is_baseline()), (0, true));
        assert!(!H264Format::from_fmtp("profile-level-id=640c1f").unwrap().is_baseline());
        for bad in
            ["packetization-mode=2", "packetization-mode=x", "profile-level-id=3", "profile-level-id=zzzzzz"]
        {
            assert_eq!(H264Format::from_fmtp(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_compared_without_case_and_with_rate() {
        let map = |name: &str, clock_rate, channels| RtpMap {
            payload_type: 1,
            name: name.into(),
            clock_rate,
            channels,
        };
        assert_eq!(from_rtpmap(&map("OPUS", 48_000, 2)), Some(Codec::Opus));
        assert_eq!(from_rtpmap(&map("opus", 48_000, 1)), None);
        assert_eq!(from_rtpmap(&map("h264", 90_000, 1)), Some(Codec::H264));
        assert_eq!(from_rtpmap(&map("VP8", 8_000, 1)), None);
    }
}
