//! [`AudioPacketizer`]: sound, of which every frame is one payload: Opus (RFC 7587), G.711, G.722 and L16 (RFC 3551 §4.5).

use bytes::Bytes;

use super::{Codec, PacketizeError, opus};

/// Puts frames of sound into RTP payloads, one into each. Of G.711, G.722 and L16 any number of samples is a frame.
#[derive(Clone, Copy, Debug)]
pub struct AudioPacketizer {
    codec: Codec,
}

impl AudioPacketizer {
    /// For a codec of sound.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        Self { codec }
    }

    /// Appends the one payload of a frame.
    ///
    /// # Errors
    /// [`PacketizeError::Empty`]; [`PacketizeError::TooLarge`] for more than `max_payload_bytes`, since what follows in
    /// another packet would need a timestamp of its own; [`PacketizeError::Unsound`] for L16 that ends inside a sample.
    pub fn packetize(
        &mut self,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        if frame.is_empty() {
            return Err(PacketizeError::Empty);
        }
        if !frame.len().is_multiple_of(sample_len(self.codec)) {
            return Err(PacketizeError::Unsound);
        }
        if frame.len() > max_payload_bytes {
            return Err(PacketizeError::TooLarge);
        }
        out.push(Bytes::copy_from_slice(frame));
        Ok(())
    }
}

/// Bytes that cannot be parted: one sample of each channel.
pub(super) fn sample_len(codec: Codec) -> usize {
    match codec {
        Codec::L16 { channels, .. } => 2 * usize::from(channels.max(1)),
        _ => 1,
    }
}

/// How far a payload takes the RTP clock; `None` for a malformed one and for video.
pub(super) fn ticks(codec: Codec, payload: &[u8]) -> Option<u32> {
    let len = u32::try_from(payload.len()).ok()?;
    match codec {
        // G.722 has two samples a byte, and a clock of half its rate (RFC 3551 §4.5.2).
        Codec::Pcmu | Codec::Pcma | Codec::G722 => Some(len),
        Codec::L16 { .. } => {
            let sample = sample_len(codec) as u32;
            len.is_multiple_of(sample).then_some(len / sample)
        }
        Codec::Opus => opus::duration(payload).map(|duration| (duration.as_micros() * 48 / 1000) as u32),
        _ => None,
    }
}

/// Samples as L16 has them, in network byte order, of several channels by turns (RFC 3551 §4.5.11).
pub fn write_l16(samples: impl IntoIterator<Item = i16>, out: &mut Vec<u8>) {
    out.extend(samples.into_iter().flat_map(i16::to_be_bytes));
}

/// The samples of an L16 payload. Half a sample at its end is left out.
pub fn read_l16(payload: &[u8]) -> impl Iterator<Item = i16> {
    payload.chunks_exact(2).map(|sample| i16::from_be_bytes([sample[0], sample[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{PayloadKind, is_keyframe};

    const STEREO: Codec = Codec::L16 { rate_hz: 44_100, channels: 2 };

    #[test]
    fn a_frame_is_a_payload() {
        for codec in [Codec::Opus, Codec::Pcmu, Codec::Pcma, Codec::G722, STEREO] {
            let mut out = Vec::new();
            let mut packetizer = AudioPacketizer::new(codec);
            packetizer.packetize(&[0xfc, 1, 2, 3], 4, &mut out).unwrap();
            assert_eq!(out, [&[0xfc, 1, 2, 3][..]]);
            assert_eq!(packetizer.packetize(&[1; 8], 7, &mut out), Err(PacketizeError::TooLarge));
            assert_eq!(packetizer.packetize(&[], 3, &mut out), Err(PacketizeError::Empty));
            assert_eq!(out.len(), 1);
            assert!(is_keyframe(codec, &out[0]));
        }
    }

    /// RFC 3551 §4.5.2: twenty milliseconds of G.722 are 160 ticks, though they are 320 samples.
    #[test]
    fn payloads_take_the_clock_on() {
        assert_eq!(Codec::G722.clock_rate_hz(), 8000);
        assert_eq!(Codec::G722.ticks(&[0; 160]), Some(160));
        assert_eq!((Codec::Pcmu.ticks(&[0; 160]), Codec::Pcma.ticks(&[0; 80])), (Some(160), Some(80)));
        assert_eq!((STEREO.ticks(&[0; 1764]), STEREO.ticks(&[0; 3])), (Some(441), None));
        assert_eq!((Codec::Opus.ticks(&[31 << 3]), Codec::Opus.ticks(&[16 << 3])), (Some(960), Some(120)));
        assert_eq!((Codec::Opus.ticks(&[]), Codec::Vp8.ticks(&[1])), (None, None));
    }

    #[test]
    fn l16_is_not_parted_inside_a_sample() {
        let mut out = Vec::new();
        let mut packetizer = AudioPacketizer::new(STEREO);
        assert_eq!(packetizer.packetize(&[0; 6], 100, &mut out), Err(PacketizeError::Unsound));
        assert!(!PayloadKind::of(STEREO, &[0; 6]).valid);
        assert!(PayloadKind::of(STEREO, &[0; 8]).valid);
        let mut bytes = Vec::new();
        write_l16([1, -2, i16::MIN], &mut bytes);
        assert_eq!(bytes, [0, 1, 0xff, 0xfe, 0x80, 0]);
        assert_eq!(read_l16(&bytes).collect::<Vec<_>>(), [1, -2, i16::MIN]);
    }
}
