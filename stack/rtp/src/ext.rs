//! Typed header extensions, their URIs, and the map of negotiated ids.
//!
//! Every type has `parse(&[u8])`, which takes the data of one element, and an encoder that gives an array to push.
//! Extensions without a type here are left alone and can be read with [`RtpPacket::extension`].

use std::time::Duration;

use tombolo_net::NtpTime;

use crate::{DecodeError, Mid, Rid, RtpPacket, UseError};

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
}

impl ExtensionKind {
    /// All of them, in the order in which their ids are offered.
    pub const ALL: [Self; 8] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::AbsSendTime,
        Self::TransportSeq,
        Self::PlayoutDelay,
        Self::VideoOrientation,
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
        }
    }

    /// The kind with this URI, if it has a type here.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// Which id stands for which extension, as negotiated for one bundle group (RFC 8285 §5, RFC 9143 §12).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionMap {
    ids: [u8; ExtensionKind::ALL.len()],
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
            (None, None) => self.ids[kind as usize] = id,
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

    /// What the id stands for, if it was negotiated.
    #[must_use]
    pub fn kind(&self, id: u8) -> Option<ExtensionKind> {
        ExtensionKind::ALL.into_iter().find(|kind| id != 0 && self.ids[*kind as usize] == id)
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
                ExtensionKind::PlayoutDelay => keep(&mut values.playout_delay, PlayoutDelay::parse(data)),
                ExtensionKind::VideoOrientation => {
                    keep(&mut values.video_orientation, VideoOrientation::parse(data));
                }
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
    /// When the packet was sent.
    pub abs_send_time: Option<AbsSendTime>,
    /// The transport-wide sequence number.
    pub transport_seq: Option<TransportSeq>,
    /// Bounds of the playout delay.
    pub playout_delay: Option<PlayoutDelay>,
    /// The orientation of the picture.
    pub video_orientation: Option<VideoOrientation>,
}

/// How loud the audio of the packet is (RFC 6464 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender believes that there is speech.
    pub voice: bool,
    /// The level in −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element; the two-byte form's padding after the first byte is ignored.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is empty.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let [byte, ..] = data else { return Err(DecodeError::Truncated) };
        Ok(Self { voice: byte & 0x80 != 0, level: byte & 0x7f })
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 1] {
        [(self.voice as u8) << 7 | self.level & 0x7f]
    }
}

/// When a packet was sent: seconds in 6.18 fixed point, wrapping every 64 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(u32);

impl AbsSendTime {
    /// The 24 bits that stand for a wall clock time.
    #[must_use]
    pub const fn from_ntp(time: NtpTime) -> Self {
        Self((time.0 >> 14) as u32 & 0xff_ffff)
    }

    /// The raw 24 bits, in units of 2⁻¹⁸ s.
    #[must_use]
    pub const fn raw(self) -> u32 {
        self.0
    }

    /// The signed distance from `earlier` in microseconds, −32 s to 32 s.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        let ticks = (self.0.wrapping_sub(earlier.0) << 8) as i32 >> 8;
        (ticks as i64 * 1_000_000) >> 18
    }

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not three bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b, c] = data else { return Err(DecodeError::Malformed) };
        Ok(Self(u32::from_be_bytes([0, a, b, c])))
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// The sequence number that counts all packets of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSeq(pub u16);

impl TransportSeq {
    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not two bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b] = data else { return Err(DecodeError::Malformed) };
        Ok(Self(u16::from_be_bytes([a, b])))
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

/// What the sender asks of the receiver's playout delay, in steps of 10 ms from 0 to 40.95 s each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// At least this long.
    pub min: Duration,
    /// At most this long; zero with a `min` of zero asks to show frames at once.
    pub max: Duration,
}

impl PlayoutDelay {
    const STEP: Duration = Duration::from_millis(10);
    const MAX_STEPS: u32 = 0xfff;

    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when it is not three bytes or `min` is above `max`.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let &[a, b, c] = data else { return Err(DecodeError::Malformed) };
        let both = u32::from_be_bytes([0, a, b, c]);
        let (min, max) = (Self::STEP * (both >> 12), Self::STEP * (both & Self::MAX_STEPS));
        if min > max {
            return Err(DecodeError::Malformed);
        }
        Ok(Self { min, max })
    }

    /// The element's data. Times are cut to what the format holds.
    #[must_use]
    pub fn encode(self) -> [u8; 3] {
        let steps = |time: Duration| {
            u32::try_from(time.as_millis() / Self::STEP.as_millis()).unwrap_or(u32::MAX).min(Self::MAX_STEPS)
        };
        let [_, a, b, c] = (steps(self.min) << 12 | steps(self.max)).to_be_bytes();
        [a, b, c]
    }
}

/// How the receiver has to turn the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoOrientation {
    /// The camera that faces away from the user.
    pub back_camera: bool,
    /// The picture is mirrored.
    pub flip: bool,
    /// Quarter turns clockwise, 0 to 3.
    pub quarter_turns: u8,
}

impl VideoOrientation {
    /// Reads the element.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] when it is empty.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let [byte, ..] = data else { return Err(DecodeError::Truncated) };
        Ok(Self { back_camera: byte & 8 != 0, flip: byte & 4 != 0, quarter_turns: byte & 3 })
    }

    /// The element's data.
    #[must_use]
    pub const fn encode(self) -> [u8; 1] {
        [(self.back_camera as u8) << 3 | (self.flip as u8) << 2 | self.quarter_turns & 3]
    }
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn negotiated_elements_are_read_and_others_ignored() {
        let mut map = ExtensionMap::default();
        for (id, kind) in (1..).zip(ExtensionKind::ALL) {
            map.insert(id, kind).unwrap();
        }
        let level = AudioLevel { voice: true, level: 30 };
        let time = AbsSendTime::from_ntp(NtpTime(0x0102_0304_8000_0000));
        let delay = PlayoutDelay { min: Duration::from_millis(20), max: Duration::from_millis(400) };
        let orientation = VideoOrientation { back_camera: true, flip: false, quarter_turns: 3 };
        let mut out = Vec::new();
        let mut writer = RtpHeader::default().write(&mut out, ExtensionForm::OneByte);
        writer.push(1, b"audio").unwrap();
        writer.push(2, b"hi").unwrap();
        writer.push(3, b"lo").unwrap();
        writer.push(4, &level.encode()).unwrap();
        writer.push(5, &time.encode()).unwrap();
        writer.push(6, &TransportSeq(0xabcd).encode()).unwrap();
        writer.push(7, &delay.encode()).unwrap();
        writer.push(8, &orientation.encode()).unwrap();
        writer.push(9, b"unknown").unwrap();
        writer.push(1, b"second").unwrap();
        let read = map.read(&RtpPacket::parse(&out).unwrap());
        assert_eq!(read.mid, Mid::from_bytes(b"audio").ok());
        assert_eq!(read.rid, Rid::from_bytes(b"hi").ok());
        assert_eq!(read.repaired_rid, Rid::from_bytes(b"lo").ok());
        assert_eq!(read.audio_level, Some(level));
        assert_eq!(read.abs_send_time, Some(time));
        assert_eq!(read.transport_seq, Some(TransportSeq(0xabcd)));
        assert_eq!(read.playout_delay, Some(delay));
        assert_eq!(read.video_orientation, Some(orientation));
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

    #[test]
    fn send_times_are_compared_across_their_wrap() {
        let late = AbsSendTime::parse(&[0xff, 0xff, 0xff]).unwrap();
        let wrapped = AbsSendTime::parse(&[0x03, 0xff, 0xff]).unwrap();
        assert_eq!(wrapped.micros_since(late), 1_000_000);
        assert_eq!(late.micros_since(wrapped), -1_000_000);
        assert_eq!(AbsSendTime::from_ntp(NtpTime(1 << 32)).raw(), 1 << 18);
    }
}
