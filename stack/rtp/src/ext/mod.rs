//! Typed header extensions, their URIs, and the map of negotiated ids.
//!
//! | module | extensions | from |
//! |---|---|---|
//! | [`audio`] | audio level, levels of a mixer's sources | RFC 6464, RFC 6465 |
//! | [`time`] | absolute send and capture time | libwebrtc's `abs-send-time`, `abs-capture-time` |
//! | [`transport_seq`] | transport-wide sequence number, versions 1 and 2 | draft-holmer-rmcat-transport-wide-cc-extensions-01, libwebrtc's `transport-wide-cc-02` |
//! | [`video`] | playout delay, orientation, content type, timing | 3GPP TS 26.114 §7.4.5, libwebrtc's of the same names |
//! | [`color_space`] | colour space, high dynamic range | libwebrtc's `color-space` |
//! | [`layers_allocation`] | video layers allocation | libwebrtc's `video-layers-allocation00` |
//! | [`dependency`] | dependency descriptor | AV1 RTP payload format 1.0, appendix A |
//!
//! MID, RID and repaired RID are [`Mid`] and [`Rid`]. Every type has `parse(&[u8])`, which takes the data of one
//! element, and an encoder that gives the bytes to push. [`ExtensionMap::read`] reads all at once, but for two that
//! are not small values: [`layers_allocation`] and [`dependency`] are read from [`ExtensionMap::element`].
//! Extensions without a type here are left alone and can be read with [`RtpPacket::extension`].

pub mod audio;
pub mod color_space;
pub mod dependency;
pub mod layers_allocation;
pub mod time;
pub mod transport_seq;
pub mod video;

pub use audio::{AudioLevel, CsrcAudioLevels};
pub use color_space::{ColorSpace, HdrMetadata};
pub use layers_allocation::LayersAllocation;
pub use time::{AbsCaptureTime, AbsSendTime};
pub use transport_seq::{FeedbackRequest, TransportSeq, TransportSeqV2};
pub use video::{PlayoutDelay, VideoContentType, VideoOrientation, VideoTiming};

use std::ops::Deref;

use crate::{DecodeError, Mid, Rid, RtpPacket, UseError};

/// The data of an element whose length depends on what is in it, at most `N` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Encoded<N> {
    const fn new(bytes: [u8; N], len: usize) -> Self {
        debug_assert!(len <= N);
        Self { bytes, len }
    }
}

impl<const N: usize> Deref for Encoded<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The header extensions that have a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ExtensionKind {
    /// The media section (RFC 9143 §15.2): [`Mid`].
    Mid,
    /// The layer (RFC 8852 §3.1): [`Rid`].
    Rid,
    /// The layer that a retransmission repairs (RFC 8852 §3.2): [`Rid`].
    RepairedRid,
    /// Client-to-mixer audio level (RFC 6464): [`AudioLevel`].
    AudioLevel,
    /// When the packet was sent: [`AbsSendTime`].
    AbsSendTime,
    /// The transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01): [`TransportSeq`].
    TransportSeq,
    /// Bounds of the receiver's playout delay: [`PlayoutDelay`].
    PlayoutDelay,
    /// Coordination of video orientation (3GPP TS 26.114 §7.4.5): [`VideoOrientation`].
    VideoOrientation,
    /// Mixer-to-client audio levels (RFC 6465): [`CsrcAudioLevels`].
    CsrcAudioLevels,
    /// When the packet's content was captured: [`AbsCaptureTime`].
    AbsCaptureTime,
    /// The transport-wide sequence number with requests for feedback: [`TransportSeqV2`].
    TransportSeqV2,
    /// What the pictures show: [`VideoContentType`].
    VideoContentType,
    /// Where a frame spent its time: [`VideoTiming`].
    VideoTiming,
    /// The colours of the pictures: [`ColorSpace`].
    ColorSpace,
    /// Which layers are sent: [`LayersAllocation`].
    LayersAllocation,
    /// What a frame depends on (AV1 RTP, appendix A): [`dependency::DescriptorReader`].
    DependencyDescriptor,
}

impl ExtensionKind {
    /// All of them, in the order in which their ids are offered.
    pub const ALL: [Self; 16] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::AbsSendTime,
        Self::TransportSeq,
        Self::PlayoutDelay,
        Self::VideoOrientation,
        Self::CsrcAudioLevels,
        Self::AbsCaptureTime,
        Self::TransportSeqV2,
        Self::VideoContentType,
        Self::VideoTiming,
        Self::ColorSpace,
        Self::LayersAllocation,
        Self::DependencyDescriptor,
    ];

    /// The URI of `a=extmap`.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::TransportSeq => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::CsrcAudioLevels => "urn:ietf:params:rtp-hdrext:csrc-audio-level",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::TransportSeqV2 => "http://www.webrtc.org/experiments/rtp-hdrext/transport-wide-cc-02",
            Self::VideoContentType => "http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            Self::VideoTiming => "http://www.webrtc.org/experiments/rtp-hdrext/video-timing",
            Self::ColorSpace => "http://www.webrtc.org/experiments/rtp-hdrext/color-space",
            Self::LayersAllocation => {
                "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00"
            }
            Self::DependencyDescriptor => {
                "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
            }
        }
    }

    /// The kind with this URI, if it has a type here.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Ids of the one-byte form are 1 to 14.
const SHORT_IDS: usize = 15;

/// Which id stands for which extension, as negotiated for one bundle group (RFC 8285 §5, RFC 9143 §12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    /// By kind; zero where none was negotiated.
    ids: [u8; ExtensionKind::ALL.len()],
    /// By id, for those that nearly everybody uses.
    short: [Option<ExtensionKind>; SHORT_IDS],
    has_long_ids: bool,
}

impl ExtensionMap {
    /// Gives `kind` the id. The same pair again is no change.
    ///
    /// # Errors
    /// [`UseError::ExtensionId`] when the id is 0 or 15, or either of the two already stands for something else.
    pub fn insert(&mut self, id: u8, kind: ExtensionKind) -> Result<(), UseError> {
        if id == 0 || id == 15 {
            return Err(UseError::ExtensionId);
        }
        match (self.id(kind), self.kind(id)) {
            (None, None) => {
                self.ids[kind as usize] = id;
                match self.short.get_mut(usize::from(id)) {
                    Some(slot) => *slot = Some(kind),
                    None => self.has_long_ids = true,
                }
            }
            (Some(known), Some(_)) if known == id => {}
            _ => return Err(UseError::ExtensionId),
        }
        Ok(())
    }

    /// The id of `kind`, if it was negotiated.
    #[must_use]
    pub fn id(&self, kind: ExtensionKind) -> Option<u8> {
        let id = self.ids[kind as usize];
        (id != 0).then_some(id)
    }

    /// Whether an id above 14 was negotiated, so that packets have the two-byte form (RFC 8285 §6).
    #[must_use]
    pub const fn has_long_ids(&self) -> bool {
        self.has_long_ids
    }

    /// What the id stands for, if it was negotiated.
    #[must_use]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        match self.short.get(usize::from(id)) {
            Some(kind) => *kind,
            None => ExtensionKind::ALL.into_iter().find(|kind| self.ids[*kind as usize] == id),
        }
    }

    /// The data of a packet's first element of this kind, if it was negotiated and is there.
    #[must_use]
    pub fn element<'a>(&self, packet: &RtpPacket<'a>, kind: ExtensionKind) -> Option<&'a [u8]> {
        packet.extension(self.id(kind)?)
    }

    /// Reads the negotiated extensions of a packet. Elements that are malformed are left out, as are those that
    /// were not negotiated; of an element that stands twice the first counts.
    #[must_use]
    pub fn read(&self, packet: &RtpPacket<'_>) -> HeaderExtensions {
        let mut values = HeaderExtensions::default();
        for (id, data) in packet.extensions() {
            let Some(kind) = self.kind(id) else { continue };
            match kind {
                ExtensionKind::Mid => keep(&mut values.mid, Mid::from_bytes(data)),
                ExtensionKind::Rid => keep(&mut values.rid, Rid::from_bytes(data)),
                ExtensionKind::RepairedRid => keep(&mut values.repaired_rid, Rid::from_bytes(data)),
                ExtensionKind::AudioLevel => keep(&mut values.audio_level, AudioLevel::parse(data)),
                ExtensionKind::AbsSendTime => keep(&mut values.abs_send_time, AbsSendTime::parse(data)),
                ExtensionKind::TransportSeq => keep(&mut values.transport_seq, TransportSeq::parse(data)),
                _ => values.keep_rare(kind, data),
            }
        }
        values
    }
}

fn keep<T>(slot: &mut Option<T>, value: Result<T, DecodeError>) {
    if slot.is_none() {
        *slot = value.ok();
    }
}

/// The values of a packet's typed extensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderExtensions {
    /// The media section.
    pub mid: Option<Mid>,
    /// The layer.
    pub rid: Option<Rid>,
    /// The layer that this retransmission repairs.
    pub repaired_rid: Option<Rid>,
    /// The audio level.
    pub audio_level: Option<AudioLevel>,
    /// The levels of the contributing sources.
    pub csrc_audio_levels: Option<CsrcAudioLevels>,
    /// When the packet was sent.
    pub abs_send_time: Option<AbsSendTime>,
    /// When its content was captured.
    pub abs_capture_time: Option<AbsCaptureTime>,
    /// The transport-wide sequence number, of either version.
    pub transport_seq: Option<TransportSeq>,
    /// Feedback that the sender asks for.
    pub feedback_request: Option<FeedbackRequest>,
    /// Bounds of the playout delay.
    pub playout_delay: Option<PlayoutDelay>,
    /// The orientation of the picture.
    pub video_orientation: Option<VideoOrientation>,
    /// What the pictures show.
    pub video_content_type: Option<VideoContentType>,
    /// Where the frame spent its time.
    pub video_timing: Option<VideoTiming>,
    /// The colours of the picture.
    pub color_space: Option<ColorSpace>,
}

impl HeaderExtensions {
    /// What few packets have: apart, so that it costs the others nothing.
    #[inline(never)]
    fn keep_rare(&mut self, kind: ExtensionKind, data: &[u8]) {
        match kind {
            ExtensionKind::CsrcAudioLevels => {
                keep(&mut self.csrc_audio_levels, CsrcAudioLevels::parse(data));
            }
            ExtensionKind::AbsCaptureTime => keep(&mut self.abs_capture_time, AbsCaptureTime::parse(data)),
            ExtensionKind::TransportSeqV2 => {
                let second = TransportSeqV2::parse(data);
                keep(&mut self.transport_seq, second.map(|second| second.seq));
                if let Ok(TransportSeqV2 { request: Some(request), .. }) = second {
                    keep(&mut self.feedback_request, Ok(request));
                }
            }
            ExtensionKind::PlayoutDelay => keep(&mut self.playout_delay, PlayoutDelay::parse(data)),
            ExtensionKind::VideoOrientation => {
                keep(&mut self.video_orientation, VideoOrientation::parse(data));
            }
            ExtensionKind::VideoContentType => {
                keep(&mut self.video_content_type, VideoContentType::parse(data));
            }
            ExtensionKind::VideoTiming => keep(&mut self.video_timing, VideoTiming::parse(data)),
            ExtensionKind::ColorSpace => keep(&mut self.color_space, ColorSpace::parse(data)),
            // The first ones are read where they stand, the last two on their own.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tombolo_net::NtpTime;

    use super::*;
    use crate::{ExtensionForm, RtpHeader};

    #[test]
    fn uris_and_kinds_map_both_ways() {
        for kind in ExtensionKind::ALL {
            assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
        }
        assert_eq!(ExtensionKind::from_uri("urn:ietf:params:rtp-hdrext:toffset"), None);
    }

    /// RTP-08: `extmap:0`, `extmap:15` and duplicates are unusable.
    #[test]
    fn ids_0_15_and_duplicates_are_refused() {
        let mut map = ExtensionMap::default();
        assert_eq!(map.insert(0, ExtensionKind::Mid), Err(UseError::ExtensionId));
        assert_eq!(map.insert(15, ExtensionKind::Mid), Err(UseError::ExtensionId));
        map.insert(3, ExtensionKind::Mid).unwrap();
        map.insert(3, ExtensionKind::Mid).unwrap();
        assert_eq!(map.insert(3, ExtensionKind::Rid), Err(UseError::ExtensionId));
        assert_eq!(map.insert(4, ExtensionKind::Mid), Err(UseError::ExtensionId));
        assert_eq!((map.id(ExtensionKind::Mid), map.kind(3)), (Some(3), Some(ExtensionKind::Mid)));
        assert_eq!((map.id(ExtensionKind::Rid), map.kind(0)), (None, None));
        assert!(!map.has_long_ids());
        map.insert(200, ExtensionKind::Rid).unwrap();
        assert!(map.has_long_ids());
        assert_eq!((map.kind(200), map.kind(201)), (Some(ExtensionKind::Rid), None));
    }

    /// Every kind by an id of its own, in the form that has room for all.
    #[test]
    fn negotiated_elements_are_read_and_others_ignored() {
        let mut map = ExtensionMap::default();
        for (id, kind) in (1..=14).chain(16..).zip(ExtensionKind::ALL) {
            map.insert(id, kind).unwrap();
        }
        let expected = HeaderExtensions {
            mid: Mid::from_bytes(b"audio").ok(),
            rid: Rid::from_bytes(b"hi").ok(),
            repaired_rid: Rid::from_bytes(b"lo").ok(),
            audio_level: Some(AudioLevel { voice: true, level: 30 }),
            csrc_audio_levels: Some(CsrcAudioLevels::new(&[1, 2])),
            abs_send_time: Some(AbsSendTime::from_ntp(NtpTime(0x0102_0304_8000_0000))),
            abs_capture_time: Some(AbsCaptureTime { time: NtpTime(7), clock_offset: Some(-1) }),
            transport_seq: Some(TransportSeq(0xabcd)),
            feedback_request: Some(FeedbackRequest { with_times: true, count: 3 }),
            playout_delay: Some(PlayoutDelay {
                min: Duration::from_millis(20),
                max: Duration::from_millis(400),
            }),
            video_orientation: Some(VideoOrientation { back_camera: true, flip: false, quarter_turns: 3 }),
            video_content_type: Some(VideoContentType::SCREENSHARE),
            video_timing: Some(VideoTiming { by_size: true, paced_ms: 9, ..VideoTiming::default() }),
            color_space: Some(ColorSpace { hdr: Some(HdrMetadata::default()), ..ColorSpace::default() }),
        };
        let second = TransportSeqV2 { seq: TransportSeq(1), request: expected.feedback_request };
        let mut out = Vec::new();
        let mut writer = RtpHeader::default().write(&mut out, ExtensionForm::TwoByte);
        let mut push = |kind: ExtensionKind, data: &[u8]| {
            writer.push(map.id(kind).unwrap(), data).unwrap();
        };
        push(ExtensionKind::Mid, b"audio");
        push(ExtensionKind::Rid, b"hi");
        push(ExtensionKind::RepairedRid, b"lo");
        push(ExtensionKind::AudioLevel, &expected.audio_level.unwrap().encode());
        push(ExtensionKind::CsrcAudioLevels, expected.csrc_audio_levels.unwrap().as_bytes());
        push(ExtensionKind::AbsSendTime, &expected.abs_send_time.unwrap().encode());
        push(ExtensionKind::AbsCaptureTime, &expected.abs_capture_time.unwrap().encode());
        push(ExtensionKind::TransportSeq, &expected.transport_seq.unwrap().encode());
        push(ExtensionKind::TransportSeqV2, &second.encode());
        push(ExtensionKind::PlayoutDelay, &expected.playout_delay.unwrap().encode());
        push(ExtensionKind::VideoOrientation, &expected.video_orientation.unwrap().encode());
        push(ExtensionKind::VideoContentType, &expected.video_content_type.unwrap().encode());
        push(ExtensionKind::VideoTiming, &expected.video_timing.unwrap().encode());
        push(ExtensionKind::ColorSpace, &expected.color_space.unwrap().encode());
        push(ExtensionKind::LayersAllocation, &[0]);
        push(ExtensionKind::DependencyDescriptor, &[1, 2, 3]);
        push(ExtensionKind::Mid, b"again");
        writer.push(200, b"unknown").unwrap();
        let packet = RtpPacket::parse(&out).unwrap();
        assert_eq!(map.read(&packet), expected);
        assert_eq!(map.element(&packet, ExtensionKind::LayersAllocation), Some(&[0][..]));
        assert_eq!(map.element(&packet, ExtensionKind::DependencyDescriptor), Some(&[1, 2, 3][..]));
        assert_eq!(ExtensionMap::default().element(&packet, ExtensionKind::Mid), None);
    }

    #[test]
    fn malformed_elements_are_left_out() {
        let mut map = ExtensionMap::default();
        map.insert(1, ExtensionKind::Mid).unwrap();
        map.insert(2, ExtensionKind::TransportSeq).unwrap();
        map.insert(3, ExtensionKind::PlayoutDelay).unwrap();
        let mut out = Vec::new();
        let mut writer = RtpHeader::default().write(&mut out, ExtensionForm::OneByte);
        writer.push(1, b"not a token").unwrap();
        writer.push(2, &[1]).unwrap();
        writer.push(3, &[0xff, 0xf0, 0x00]).unwrap();
        assert_eq!(map.read(&RtpPacket::parse(&out).unwrap()), HeaderExtensions::default());
    }
}
