//! The bounded queues of a connection.

use std::collections::VecDeque;

use crate::record::Header;

/// How many bytes of finished datagrams wait to be polled.
const MAX_OUTGOING_BYTES: usize = 256 * 1024;

/// Datagrams that are ready to go, back to back in one buffer.
#[derive(Debug, Default)]
pub(crate) struct DatagramQueue {
    bytes: Vec<u8>,
    /// Where the next datagram starts.
    start: usize,
    lengths: VecDeque<usize>,
}

impl DatagramQueue {
    /// Whether a datagram of this many bytes still fits.
    pub(crate) fn has_room(&self, len: usize) -> bool {
        self.bytes.len() - self.start + len <= MAX_OUTGOING_BYTES
    }

    /// Adds what `write` appends. Nothing is added when it appends nothing.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > before {
            self.lengths.push_back(self.bytes.len() - before);
        }
    }

    /// Appends the next datagram to `out`.
    pub(crate) fn pop(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(len) = self.lengths.pop_front() else { return false };
        out.extend_from_slice(&self.bytes[self.start..self.start + len]);
        self.start += len;
        if self.lengths.is_empty() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > MAX_OUTGOING_BYTES {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        true
    }
}

/// How many records are kept before their time, and how many bytes of them.
const MAX_EARLY_RECORDS: usize = 16;
const MAX_EARLY_BYTES: usize = 16 * 1024;

/// Records that came before their time: encrypted ones before the keys, application data before the handshake is
/// complete and verified.
#[derive(Debug)]
pub(crate) struct EarlyRecords<T> {
    records: VecDeque<(T, Vec<u8>)>,
    bytes: usize,
}

/// The form of an encrypted record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// Of 1.2, with its header apart.
    Long(Header),
    /// Of 1.2 with a connection id.
    WithId,
    /// Of 1.3.
    Unified,
}

/// Encrypted records without a key.
pub(crate) type Sealed = EarlyRecords<Form>;
/// Application data that may not be delivered yet.
pub(crate) type Held = EarlyRecords<()>;

impl<T> Default for EarlyRecords<T> {
    fn default() -> Self {
        Self { records: VecDeque::new(), bytes: 0 }
    }
}

impl<T> EarlyRecords<T> {
    /// Keeps a record. `false`: there is no room, and it is dropped.
    pub(crate) fn push(&mut self, head: T, body: &[u8]) -> bool {
        if self.records.len() >= MAX_EARLY_RECORDS || self.bytes + body.len() > MAX_EARLY_BYTES {
            return false;
        }
        self.bytes += body.len();
        self.records.push_back((head, body.to_vec()));
        true
    }

    pub(crate) fn pop(&mut self) -> Option<(T, Vec<u8>)> {
        let record = self.records.pop_front()?;
        self.bytes -= record.1.len();
        Some(record)
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let mut queue = DatagramQueue::default();
        for round in 0..3u8 {
            for len in 0..200u8 {
                queue.push(|out| out.extend(vec![len; usize::from(len)]));
            }
            let mut out = Vec::new();
            for len in 1..200u8 {
                out.clear();
                assert!(queue.pop(&mut out));
                assert_eq!(out, vec![len; usize::from(len)], "round {round}: nothing empty is queued");
            }
            assert!(!queue.pop(&mut out));
        }
        assert!(queue.has_room(MAX_OUTGOING_BYTES) && !queue.has_room(MAX_OUTGOING_BYTES + 1));
    }

    /// A queue that never empties does not grow.
    #[test]
    fn memory_is_bounded_when_the_queue_never_empties() {
        let mut queue = DatagramQueue::default();
        queue.push(|out| out.push(0));
        for _ in 0..10_000 {
            queue.push(|out| out.extend([0; 1000]));
            assert!(queue.pop(&mut Vec::new()));
        }
        assert!(queue.bytes.len() <= MAX_OUTGOING_BYTES + 3000);
        let mut early = Held::default();
        for _ in 0..10_000 {
            early.push((), &[0; 1500]);
        }
        assert!(early.bytes <= MAX_EARLY_BYTES && early.records.len() <= MAX_EARLY_RECORDS);
        assert!(early.pop().is_some());
        assert!(early.push((), &[0; 1500]), "room again");
    }
}
