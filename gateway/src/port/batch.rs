//! What one receive call brought for WebRTC.

use std::ops::Range;
use std::time::Instant;

use tombolo_net::{Ecn, FiveTuple};

/// The WebRTC datagrams of one receive call, in the order of arrival. Owned by the [`Receiver`](super::Receiver)
/// and used again for the next call.
#[derive(Debug)]
pub struct Batch {
    pub(super) bytes: Box<[u8]>,
    pub(super) entries: Vec<Entry>,
    pub(super) arrival: Instant,
}

/// One datagram in a [`Batch`].
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: FiveTuple,
    pub(super) ecn: Ecn,
    pub(super) range: Range<usize>,
}

impl Batch {
    /// When the datagrams were taken from the socket.
    #[must_use]
    pub fn arrival(&self) -> Instant {
        self.arrival
    }

    /// How many datagrams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none: everything that came was QUIC, or nobody's.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Hands each datagram to `take`, writable so that it can be decrypted in place.
    pub fn for_each(&mut self, mut take: impl FnMut(FiveTuple, Ecn, &mut [u8])) {
        for entry in &self.entries {
            take(entry.path, entry.ecn, &mut self.bytes[entry.range.clone()]);
        }
    }
}
