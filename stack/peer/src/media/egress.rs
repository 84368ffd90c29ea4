//! Sealing and the queue of datagrams that wait for `poll_transmit`.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use tombolo_srtp::{MAX_OVERHEAD, OutboundContext, ProtectError};

use crate::error::UseError;

/// The most datagrams that wait.
const MAX_DATAGRAMS: usize = 4096;
/// The most bytes that wait: 4 MiB.
const MAX_BYTES: usize = 4 << 20;
/// From this many bytes that were sent on, the buffer is moved together.
const COMPACT_BYTES: usize = 256 << 10;

/// The size of the blocks that copies are kept in.
const COPIES_BYTES: usize = 32 << 10;

/// Sealed datagrams back to back in one buffer, sent in order.
#[derive(Debug, Default)]
pub(crate) struct Egress {
    bytes: Vec<u8>,
    lengths: VecDeque<u32>,
    /// Where the first datagram that waits begins.
    start: usize,
    copies: BytesMut,
}

/// Which of the two kinds of SRTP packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rtp,
    Rtcp,
}

impl Egress {
    /// Seals what `write` appends and queues it; the bytes on the wire. Nothing is queued on an error, nor when nothing is appended.
    pub(crate) fn push(
        &mut self,
        srtp: &mut OutboundContext,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<usize, UseError> {
        self.check_room()?;
        let start = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - start;
        if len == 0 {
            return Ok(0);
        }
        self.bytes.resize(start + len + MAX_OVERHEAD, 0);
        let sealed = match kind {
            Kind::Rtp => srtp.protect_rtp(&mut self.bytes[start..], len),
            Kind::Rtcp => srtp.protect_rtcp(&mut self.bytes[start..], len),
        };
        match sealed {
            Ok(sealed) => {
                self.bytes.truncate(start + sealed);
                self.lengths.push_back(sealed as u32);
                Ok(sealed)
            }
            Err(error) => {
                self.bytes.truncate(start);
                Err(match error {
                    ProtectError::IndexUsed => UseError::SeqUsed,
                    _ => UseError::KeyExhausted,
                })
            }
        }
    }

    /// Queues a datagram that was sealed before.
    pub(crate) fn push_sealed(&mut self, datagram: &[u8]) -> Result<(), UseError> {
        self.check_room()?;
        self.bytes.extend_from_slice(datagram);
        self.lengths.push_back(datagram.len() as u32);
        Ok(())
    }

    fn check_room(&self) -> Result<(), UseError> {
        let full = self.lengths.len() >= MAX_DATAGRAMS || self.bytes.len() - self.start >= MAX_BYTES;
        if full { Err(UseError::QueueFull) } else { Ok(()) }
    }

    /// A copy of the datagram that was queued last.
    pub(crate) fn last(&mut self) -> Bytes {
        let len = self.lengths.back().map_or(0, |&len| len as usize);
        if self.copies.capacity() < len {
            self.copies.reserve(COPIES_BYTES.max(len));
        }
        self.copies.extend_from_slice(&self.bytes[self.bytes.len() - len..]);
        self.copies.split().freeze()
    }

    /// Appends the next datagram to `out`; its length.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let len = self.lengths.pop_front()? as usize;
        out.extend_from_slice(&self.bytes[self.start..self.start + len]);
        self.start += len;
        if self.lengths.is_empty() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start >= COMPACT_BYTES && self.start >= self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        Some(len)
    }

    /// Drops all that waits: there is no path to send it on.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.start = 0;
    }
}
