//! SFrame as transforms of frames, and as an interceptor of packets.

use std::time::Instant;

use tombolo_rtp::codec::{Codec, vp8};

use super::sframe::{OpenError, Opener, SealError, Sealer};
use super::{Frame, FrameTransform};
use crate::registry::{Interceptor, PacketMut, Place, Verdict};

/// How many bytes at the start of a frame the payload format of its codec reads; `None` for codecs of which it reads more than a
/// fixed start.
fn clear_len(codec: Codec, data: &[u8]) -> Option<usize> {
    let len = match codec {
        // RFC 6386 §9.1: the frame tag, and of a keyframe the start code and the size.
        Codec::Vp8 if vp8::frame_is_keyframe(data) => 10,
        Codec::Vp8 => 3,
        // RFC 6716 §3.1: the TOC byte.
        Codec::Opus => 1,
        Codec::Pcmu | Codec::Pcma | Codec::G722 => 0,
        _ => return None,
    };
    Some(len.min(data.len()))
}

/// Why a frame is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealFramesError {
    /// The payload format of its codec cannot carry encrypted frames.
    #[error("the payload format cannot carry encrypted frames")]
    Codec,
    /// It cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// Encrypts frames, but for the start that a payload format reads: `[start | SFrame ciphertext]`. The start is authenticated.
///
/// For VP8, Opus, G.711 and G.722.
#[derive(Debug)]
pub struct SealFrames(pub Sealer);

impl FrameTransform for SealFrames {
    type Error = SealFramesError;

    fn transform(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), SealFramesError> {
        let clear_len = clear_len(frame.codec, frame.data).ok_or(SealFramesError::Codec)?;
        let (clear, rest) = frame.data.split_at(clear_len);
        out.extend_from_slice(clear);
        self.0.seal(clear, rest, out)?;
        Ok(())
    }
}

/// Decrypts what [`SealFrames`] made.
#[derive(Debug)]
pub struct OpenFrames(pub Opener);

impl FrameTransform for OpenFrames {
    type Error = OpenError;

    fn transform(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), OpenError> {
        let clear_len = clear_len(frame.codec, frame.data).ok_or(OpenError::Malformed)?;
        let (clear, rest) = frame.data.split_at(clear_len);
        out.extend_from_slice(clear);
        self.0.open(clear, rest, out)?;
        Ok(())
    }
}

/// Encrypts the payload of each packet that is sent and decrypts that of each that is received (RFC 9605 §4.1), for any codec,
/// between two ends with nobody between them who must know keyframes from others. It adds up to 33 bytes. What cannot be opened is
/// dropped.
#[derive(Debug)]
pub struct SframePackets {
    /// Seals what is sent.
    pub sealer: Sealer,
    /// Opens what is received.
    pub opener: Opener,
    refused: u64,
    out: Vec<u8>,
}

impl SframePackets {
    /// An interceptor that seals and opens with these.
    #[must_use]
    pub const fn new(sealer: Sealer, opener: Opener) -> Self {
        Self { sealer, opener, refused: 0, out: Vec::new() }
    }

    /// How many packets were dropped.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn replace(&mut self, is_made: bool, packet: &mut PacketMut<'_>) -> Verdict {
        if !is_made || packet.set_payload_len(self.out.len()).is_err() {
            self.refused += 1;
            return Verdict::Drop;
        }
        packet.payload_mut().copy_from_slice(&self.out);
        Verdict::Pass
    }
}

impl Interceptor for SframePackets {
    fn place(&self) -> Place {
        Place::Media
    }

    fn on_send(&mut self, _now: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.out.clear();
        let is_made = self.sealer.seal(&[], packet.payload(), &mut self.out).is_ok();
        self.replace(is_made, packet)
    }

    fn on_receive(&mut self, _now: Instant, packet: &mut PacketMut<'_>) -> Verdict {
        self.out.clear();
        let is_made = self.opener.open(&[], packet.payload(), &mut self.out).is_ok();
        self.replace(is_made, packet)
    }
}

#[cfg(test)]
mod tests {
    use tombolo_crypto::CryptoProvider;
    use tombolo_net::{ExtSeqNo, RtpTime};
    use tombolo_rtp::codec::{Assembler, AssemblerInput, Packetizer};

    use super::*;
    use crate::test_clock::at;
    use crate::transform::sframe::Suite;
    use crate::transform::{FrameReceiver, FrameSender};

    fn keys(suite: Suite) -> (Sealer, Opener) {
        let provider = CryptoProvider::default();
        let mut opener = Opener::new(provider, suite);
        opener.add_key(1, b"base key").unwrap();
        (Sealer::new(provider, suite, 1, b"base key").unwrap(), opener)
    }

    /// A VP8 frame of some kilobytes whose bytes are easily found again.
    fn vp8(keyframe: bool, number: u8) -> Vec<u8> {
        let mut frame = vec![number; 3000];
        frame[0] = if keyframe { 0x10 } else { 0x11 };
        frame[3..10].copy_from_slice(&[0x9d, 0x01, 0x2a, 0x40, 0x01, 0xf0, 0x00]);
        frame
    }

    fn send(
        sender: &mut FrameSender<SealFrames>,
        codec: Codec,
        number: u8,
        data: &[u8],
    ) -> Vec<bytes::Bytes> {
        let keyframe = number == 0;
        let timestamp = RtpTime(u32::from(number) * 3000);
        let mut payloads = Vec::new();
        sender.packetize(&Frame { codec, keyframe, timestamp, data }, 1000, &mut payloads).unwrap();
        payloads
    }

    /// SFRAME-01: whole frames through packets, of which nobody on the way can read more than the start.
    #[test]
    fn frames_are_read_at_the_ends_alone() {
        let (sealer, opener) = keys(Suite::Aes128GcmSha256);
        let mut sender = FrameSender::new(Packetizer::new(Codec::Vp8, 5), SealFrames(sealer));
        let mut receiver = FrameReceiver::new(Codec::Vp8, Assembler::new(Codec::Vp8), OpenFrames(opener));
        let mut blind = Assembler::new(Codec::Vp8);
        let mut seq = 100;
        for number in 0..5_u8 {
            let frame = vp8(number == 0, number);
            let payloads = send(&mut sender, Codec::Vp8, number, &frame);
            let count = payloads.len();
            for (index, payload) in payloads.into_iter().enumerate() {
                let input = AssemblerInput {
                    seq: ExtSeqNo(seq),
                    timestamp: RtpTime(u32::from(number) * 3000),
                    marker: index + 1 == count,
                    payload,
                    arrival: at(u64::from(number) * 33),
                };
                blind.push(input.clone());
                receiver.push(input);
                seq += 1;
            }
            let forwarded = blind.pop().unwrap();
            assert_eq!(forwarded.keyframe, number == 0, "a forwarder still tells keyframes");
            assert!(!forwarded.data.windows(8).any(|window| window == [number; 8]));
            let shown = receiver.pop().unwrap().unwrap();
            assert_eq!((&shown.data[..], shown.keyframe), (&frame[..], number == 0));
        }
    }

    #[test]
    fn the_clear_start_is_authenticated() {
        let (sealer, opener) = keys(Suite::Aes128CtrHmacSha256Tag80);
        let (mut seal, mut open) = (SealFrames(sealer), OpenFrames(opener));
        let data = [0xfc, 1, 2, 3, 4];
        fn frame(data: &[u8]) -> Frame<'_> {
            Frame { codec: Codec::Opus, keyframe: true, timestamp: RtpTime(0), data }
        }
        let (mut sealed, mut opened) = (Vec::new(), Vec::new());
        seal.transform(&frame(&data), &mut sealed).unwrap();
        assert_eq!(sealed[0], 0xfc);
        sealed[0] = 0xf8;
        assert_eq!(open.transform(&frame(&sealed), &mut opened), Err(OpenError::Authentication));
        sealed[0] = 0xfc;
        opened.clear();
        assert_eq!(open.transform(&frame(&sealed), &mut opened), Ok(()));
        assert_eq!(opened, data);
    }

    #[test]
    fn codecs_whose_format_reads_the_frame_are_refused() {
        let (sealer, _) = keys(Suite::Aes128GcmSha256);
        let frame =
            Frame { codec: Codec::H264, keyframe: true, timestamp: RtpTime(0), data: &[0, 0, 0, 1, 0x65] };
        assert_eq!(SealFrames(sealer).transform(&frame, &mut Vec::new()), Err(SealFramesError::Codec));
    }
}
