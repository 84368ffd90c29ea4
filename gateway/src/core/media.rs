//! Packets and frames as they enter and leave the core.

use std::time::Instant;

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime, SeqNo};

/// The form in which a track is published or subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// RTP packets.
    Packets,
    /// Whole encoded frames.
    Frames,
}

/// An RTP packet of a publisher: its payload, and what of the header the core needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaPacket {
    /// The sequence number, unwrapped by the receiving leg; retransmissions carry that of the original.
    pub seq: ExtSeqNo,
    /// The timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// The payload without padding; empty in a packet that was only padding, which has to be told for its number.
    pub payload: Bytes,
}

/// An encoded picture, or a packet's worth of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaFrame {
    /// Microseconds on the publisher's media clock, which its sound and its pictures share.
    pub media_time_us: u64,
    /// Whether a decoder can start here: this frame begins a group. True of all sound.
    pub keyframe: bool,
    /// H.264 as an Annex B byte stream with start codes, VP8 and Opus as they are.
    pub data: Bytes,
}

/// Most bytes of a rewritten payload descriptor: that of VP8 with all its fields (RFC 7741 §4.2).
pub const MAX_PREFIX_BYTES: usize = 6;

/// A rewritten payload descriptor, held inline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; MAX_PREFIX_BYTES],
    len: u8,
}

impl Prefix {
    /// A copy of `bytes`; `None` when there are more than [`MAX_PREFIX_BYTES`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut prefix = Self { bytes: [0; MAX_PREFIX_BYTES], len: bytes.len().try_into().ok()? };
        prefix.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(prefix)
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }
}

/// A packet for one subscriber. Payload type, SSRC and header extensions are the leg's to write.
///
/// The payload is `[prefix | payload]`: the descriptor differs from subscriber to subscriber, the rest is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutPacket {
    /// The sequence number in the subscription's own stream.
    pub seq: SeqNo,
    /// The timestamp in the subscription's own stream.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// Whether it belongs to a keyframe; true of all sound.
    pub keyframe: bool,
    /// When the media in it was captured, on the gateway's clock: sender reports that pair [`Self::timestamp`] with
    /// this instant keep one participant's sound and pictures together.
    pub capture: Instant,
    /// The rewritten payload descriptor; empty when the publisher's is right as it is.
    pub prefix: Prefix,
    /// The rest of the payload.
    pub payload: Bytes,
}

impl OutPacket {
    /// Bytes of the whole payload.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.prefix.as_slice().len() + self.payload.len()
    }

    /// Appends the whole payload to `out`.
    pub fn write_payload(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix.as_slice());
        out.extend_from_slice(&self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_holds_six_bytes_and_no_more() {
        assert_eq!(Prefix::new(&[1; 6]).unwrap().as_slice(), &[1; 6]);
        assert_eq!(Prefix::new(&[1; 7]), None);
        assert!(Prefix::default().as_slice().is_empty());
    }
}
