//! The exclusive or of packets.

use tombolo_net::{SeqNo, Ssrc};

use super::{FIXED_LEN, MAX_PACKET};

/// The parity of packets, field by field: what both formats carry, in their own order.
#[derive(Clone, Debug, Default)]
pub(super) struct Parity {
    /// The first two bytes of the header. The version's bits mean nothing.
    pub(super) head: [u8; 2],
    /// Of the lengths behind the fixed header.
    pub(super) len: u16,
    pub(super) timestamp: [u8; 4],
    /// Of all behind the fixed header; as long as the longest.
    pub(super) body: Vec<u8>,
}

impl Parity {
    pub(super) fn clear(&mut self) {
        self.head = [0; 2];
        self.len = 0;
        self.timestamp = [0; 4];
        self.body.clear();
    }

    /// Takes over what a repair packet carries.
    pub(super) fn set(&mut self, repair: &Repair<'_>) {
        self.head = repair.head;
        self.len = repair.len;
        self.timestamp = repair.timestamp;
        refill(&mut self.body, repair.body);
    }

    /// Adds a packet of 12 to [`MAX_PACKET`] bytes.
    pub(super) fn add(&mut self, packet: &[u8]) {
        let (header, body) = packet.split_at(FIXED_LEN);
        self.head[0] ^= header[0];
        self.head[1] ^= header[1];
        self.len ^= body.len() as u16;
        xor(&mut self.timestamp, &header[4..8]);
        if self.body.len() < body.len() {
            self.body.resize(body.len(), 0);
        }
        xor(&mut self.body, body);
    }

    /// The packet whose parity this is, appended to `out`. `None`, and nothing is appended, when the length lies.
    pub(super) fn write_packet(&self, seq: SeqNo, ssrc: Ssrc, out: &mut Vec<u8>) -> Option<()> {
        let body = self.body.get(..usize::from(self.len))?;
        if FIXED_LEN + body.len() > MAX_PACKET {
            return None;
        }
        out.extend_from_slice(&[self.head[0] & 0x3f | 0x80, self.head[1]]);
        out.extend_from_slice(&seq.0.to_be_bytes());
        out.extend_from_slice(&self.timestamp);
        out.extend_from_slice(&ssrc.0.to_be_bytes());
        out.extend_from_slice(body);
        Some(())
    }
}

/// Puts `bytes` into a buffer that is used again and again. It grows in steps, so that it soon does no more.
pub(super) fn refill(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.reserve(bytes.len().next_multiple_of(512));
    buffer.extend_from_slice(bytes);
}

/// `target ^= other`, as far as `other` goes, which is not longer.
fn xor(target: &mut [u8], other: &[u8]) {
    for (target, other) in target.iter_mut().zip(other) {
        *target ^= other;
    }
}

/// What a repair packet says, whatever its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair<'a> {
    /// The stream that it protects, where it tells.
    pub ssrc: Option<Ssrc>,
    /// The number that the lowest bit of the mask stands for.
    pub base: SeqNo,
    /// Bit `n` stands for `base + n`. Not zero.
    pub mask: u128,
    pub(super) head: [u8; 2],
    pub(super) len: u16,
    pub(super) timestamp: [u8; 4],
    pub(super) body: &'a [u8],
}
