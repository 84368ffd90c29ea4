//! Encoded frames in the hands of the application: before they are cut into packets, and after they were put together. Browsers
//! call it encoded transforms, or insertable streams.
//!
//! A [`FrameTransform`] makes other bytes of each frame. [`FrameSender`] and [`FrameReceiver`] put one between the frames and the
//! [`Packetizer`] or [`Assembler`] of a stream. [`sframe`] encrypts, and brings its transforms: [`SealFrames`] and
//! [`OpenFrames`] for frames, [`SframePackets`] for the payload of each packet.
//!
//! What a payload format reads of a frame must be left as it is: of VP8 the start with the keyframe bit and the size, of Opus
//! the byte that tells the duration. The formats of H.264, H.265, AV1 and VP9 read so much that only a codec can do that.

mod sealed;
pub mod sframe;

use bytes::Bytes;
use tombolo_net::RtpTime;
use tombolo_rtp::codec::{AssembledFrame, Assembler, AssemblerInput, Codec, PacketizeError, Packetizer};

pub use sealed::{OpenFrames, SealFrames, SealFramesError, SframePackets};

/// A frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is encoded with.
    pub codec: Codec,
    /// Whether a decoder can start with it.
    pub keyframe: bool,
    /// Its time, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// The encoded frame.
    pub data: &'a [u8],
}

/// Makes other bytes of the encoded frames of one stream.
pub trait FrameTransform {
    /// Why a frame is dropped.
    type Error;

    /// Appends what is sent, or handed on, in place of `frame`.
    ///
    /// # Errors
    ///
    /// The frame is dropped. What was appended does not count.
    fn transform(&mut self, frame: &Frame<'_>, out: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// Why a frame is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError<E> {
    /// The transform refused it.
    #[error("the transform refused the frame")]
    Transform(E),
    /// What the transform made of it cannot be cut into packets.
    #[error(transparent)]
    Packetize(PacketizeError),
}

/// Transforms the frames of one stream and cuts them into payloads.
#[derive(Debug)]
pub struct FrameSender<T> {
    packetizer: Packetizer,
    /// The transform.
    pub transform: T,
    data: Vec<u8>,
}

impl<T: FrameTransform> FrameSender<T> {
    /// Frames go through `transform` to `packetizer`.
    pub const fn new(packetizer: Packetizer, transform: T) -> Self {
        Self { packetizer, transform, data: Vec::new() }
    }

    /// Appends the payloads of one frame to `out`, as [`Packetizer::packetize`] does.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing is appended then.
    pub fn packetize(
        &mut self,
        frame: &Frame<'_>,
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), SendError<T::Error>> {
        self.data.clear();
        self.transform.transform(frame, &mut self.data).map_err(SendError::Transform)?;
        self.packetizer.packetize(&self.data, max_payload_bytes, out).map_err(SendError::Packetize)
    }
}

/// Puts the packets of one stream together to frames and transforms those.
#[derive(Debug)]
pub struct FrameReceiver<T> {
    codec: Codec,
    assembler: Assembler,
    /// The transform.
    pub transform: T,
    data: Vec<u8>,
}

impl<T: FrameTransform> FrameReceiver<T> {
    /// Frames of `assembler`, which is for `codec`, go through `transform`.
    pub const fn new(codec: Codec, assembler: Assembler, transform: T) -> Self {
        Self { codec, assembler, transform, data: Vec::new() }
    }

    /// Takes a packet.
    pub fn push(&mut self, input: AssemblerInput) {
        self.assembler.push(input);
    }

    /// The next frame, or why there is none in its place. After one that was refused, the next that can be shown is a keyframe.
    pub fn pop(&mut self) -> Option<Result<AssembledFrame, T::Error>> {
        let mut assembled = self.assembler.pop()?;
        let AssembledFrame { keyframe, timestamp, .. } = assembled;
        self.data.clear();
        let frame = Frame { codec: self.codec, keyframe, timestamp, data: &assembled.data };
        let transformed = self.transform.transform(&frame, &mut self.data);
        Some(transformed.map(|()| {
            assembled.data = Bytes::copy_from_slice(&self.data);
            assembled
        }))
    }

    /// The assembler, for its timer and statistics.
    pub const fn assembler(&mut self) -> &mut Assembler {
        &mut self.assembler
    }
}
