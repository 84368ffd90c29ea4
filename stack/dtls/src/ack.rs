//! Acknowledgements of DTLS 1.3 (RFC 9147 §7).
//!
//! ```text
//! ACK  [ length 2 | [ epoch 8 | sequence 8 ]* ]
//! ```
//!
//! Deviation: RFC 9147 §7.1 recommends an ACK at once when a message comes out of order. Here that waits for a quarter
//! of the retransmission timeout, as for any flight of which parts are missing: a network that only changes the order
//! causes no repetition then.

use std::collections::VecDeque;
use std::time::Instant;

use crate::codec::{Reader, put_vec16};
use crate::error::DecodeError;
use crate::record::RecordNumber;

/// How many numbers wait to be acknowledged; the oldest go first. A flight at the smallest MTU has fewer records.
const MAX_PENDING: usize = 96;
/// Bytes of one number.
const NUMBER_LEN: usize = 16;

/// The numbers in an ACK.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<RecordNumber>, DecodeError> {
    let mut reader = Reader::new(body);
    let list = reader.vec16()?;
    reader.finish()?;
    let (numbers, []) = list.as_chunks::<NUMBER_LEN>() else { return Err(DecodeError::BadLength) };
    let mut decoded = Vec::with_capacity(numbers.len());
    for number in numbers {
        let mut reader = Reader::new(number);
        decoded.push(RecordNumber { epoch: reader.u64()?, sequence: reader.u64()? });
    }
    Ok(decoded)
}

fn encode<'a>(numbers: impl Iterator<Item = &'a RecordNumber>) -> Vec<u8> {
    let mut out = Vec::new();
    put_vec16(&mut out, |out| {
        for number in numbers {
            out.extend_from_slice(&number.epoch.to_be_bytes());
            out.extend_from_slice(&number.sequence.to_be_bytes());
        }
    });
    out
}

/// What we owe the peer: the handshake records of its current flight that were taken.
#[derive(Debug, Default)]
pub(crate) struct PendingAcks {
    numbers: VecDeque<RecordNumber>,
    deadline: Option<Instant>,
}

impl PendingAcks {
    pub(crate) fn add(&mut self, number: RecordNumber) {
        if self.numbers.contains(&number) {
            return;
        }
        if self.numbers.len() == MAX_PENDING {
            self.numbers.pop_front();
        }
        self.numbers.push_back(number);
    }

    /// Asks for an ACK at this time, unless one is due earlier.
    pub(crate) fn schedule(&mut self, at: Instant) {
        let earliest = self.deadline.map_or(at, |deadline| deadline.min(at));
        self.deadline = Some(earliest);
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The flight was answered, which acknowledges it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The bodies of the ACKs that are due, each of `max_len` bytes at most. What they name is named again only when it
    /// comes again.
    pub(crate) fn take(&mut self, now: Instant, max_len: usize) -> Vec<Vec<u8>> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Vec::new();
        }
        self.deadline = None;
        let mut numbers = std::mem::take(&mut self.numbers);
        let numbers = numbers.make_contiguous();
        numbers.sort_unstable();
        let at_once = (max_len.saturating_sub(2) / NUMBER_LEN).max(1);
        numbers.chunks(at_once).map(|chunk| encode(chunk.iter())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn acks_come_back_and_bad_ones_are_refused() {
        let numbers =
            [(0, 3), (2, 0), (u64::MAX, u64::MAX)].map(|(epoch, sequence)| RecordNumber { epoch, sequence });
        let body = encode(numbers.iter());
        assert_eq!(body.len(), 2 + 3 * 16);
        assert_eq!(decode(&body), Ok(numbers.to_vec()));
        assert_eq!(decode(&[0, 0]), Ok(vec![]));
        for len in 0..body.len() {
            assert_eq!(decode(&body[..len]), Err(DecodeError::Truncated), "{len} bytes");
        }
        assert_eq!(decode(&[&body[..], &[0]].concat()), Err(DecodeError::TrailingBytes));
        assert_eq!(decode(b"\0\x01a"), Err(DecodeError::BadLength));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a starting point for a clock that stands still")]
    fn what_is_owed_is_bounded_sorted_and_sent_when_due() {
        let now = Instant::now();
        let mut pending = PendingAcks::default();
        assert!(pending.take(now, 100).is_empty());
        for sequence in (0..200).rev() {
            pending.add(RecordNumber { epoch: 2, sequence });
            pending.add(RecordNumber { epoch: 2, sequence });
        }
        let soon = now + Duration::from_millis(10);
        pending.schedule(soon);
        pending.schedule(soon + Duration::from_secs(1));
        assert_eq!(pending.deadline(), Some(soon));
        assert!(pending.take(now, 100).is_empty());
        let bodies = pending.take(soon, 226);
        assert_eq!(bodies.iter().map(Vec::len).max(), Some(226));
        let named: Vec<u64> =
            bodies.iter().flat_map(|body| decode(body).unwrap()).map(|number| number.sequence).collect();
        assert_eq!(named, (0..MAX_PENDING as u64).collect::<Vec<_>>(), "the oldest are forgotten");
        assert!(pending.deadline().is_none() && pending.take(soon, 226).is_empty());
    }
}
