//! [`PacketMut`]: one RTP packet, changed where it lies.

use std::ops::Range;

use tombolo_rtp::{DecodeError, RtpHeader, RtpPacket};

/// The bit of the first byte that tells of padding (RFC 3550 §5.1).
const PADDING_BIT: u8 = 0x20;

/// The payload cannot become so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the buffer has no room for so long a payload")]
pub struct NoRoom;

/// A plain RTP packet in its buffer: `[header | extensions | payload | padding | room]`.
///
/// Header and extensions can be read, the payload can be changed, and grow into the room.
#[derive(Debug)]
pub struct PacketMut<'a> {
    buf: &'a mut [u8],
    header: RtpHeader,
    payload: Range<usize>,
    len: usize,
}

impl<'a> PacketMut<'a> {
    /// The packet in the first `len` bytes of `buf`.
    ///
    /// # Errors
    ///
    /// What is wrong with it; also when `buf` is shorter than `len`.
    pub fn parse(buf: &'a mut [u8], len: usize) -> Result<Self, DecodeError> {
        let packet = RtpPacket::parse(buf.get(..len).ok_or(DecodeError::Truncated)?)?;
        let (header, payload) = (packet.header(), packet.payload_range());
        Ok(Self { buf, header, payload, len })
    }

    /// The fixed header.
    #[must_use]
    pub const fn header(&self) -> RtpHeader {
        self.header
    }

    /// The data of the extension element with this id.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&[u8]> {
        RtpPacket::parse(self.bytes()).ok()?.extension(id)
    }

    /// The payload, without padding.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.buf[self.payload.clone()]
    }

    /// The payload, to be changed.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.buf[self.payload.clone()]
    }

    /// How many bytes the payload can have.
    #[must_use]
    pub const fn max_payload_len(&self) -> usize {
        self.buf.len() - self.payload.start
    }

    /// Makes the payload shorter or longer, at its end. What is added is zero. Padding is taken away.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] for more than [`Self::max_payload_len`]; nothing has changed then.
    pub fn set_payload_len(&mut self, len: usize) -> Result<(), NoRoom> {
        if len > self.max_payload_len() {
            return Err(NoRoom);
        }
        let end = self.payload.start + len;
        if end > self.payload.end {
            self.buf[self.payload.end..end].fill(0);
        }
        self.buf[0] &= !PADDING_BIT;
        (self.payload.end, self.len) = (end, end);
        Ok(())
    }

    /// The whole packet.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.len]
    }
}
