//! Handshake message fragments (RFC 6347 §4.2.2, §4.2.3; RFC 9147 §5.2, §5.5): header and reassembly.
//!
//! ```text
//! [ msg_type 1 | length 3 | message_seq 2 | fragment_offset 3 | fragment_length 3 | fragment ]
//! ```
//!
//! What waits here comes from a peer that has not been authenticated, so it is bounded: at most
//! [`MAX_MESSAGES`] messages ahead, [`MAX_MESSAGE_LEN`] bytes a message, [`MAX_BUFFERED`] bytes together and
//! [`MAX_GAPS`] separate pieces a message.

use crate::codec::{Reader, put_u16, put_u24};
use crate::error::DecodeError;
use crate::pieces::Pieces;

/// Bytes of a handshake header.
pub(crate) const HEADER_LEN: usize = 12;
/// The longest message taken: enough for a chain of several RSA certificates.
pub(crate) const MAX_MESSAGE_LEN: usize = 16 * 1024;
/// How many messages are kept, the one that is next to be processed included. A flight has seven at most.
pub(crate) const MAX_MESSAGES: usize = 8;
/// How many bytes of messages are kept together.
pub(crate) const MAX_BUFFERED: usize = 32 * 1024;
/// How many separate pieces of one message are kept.
const MAX_GAPS: usize = 64;

/// The type of a handshake message. Unknown ones are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HandshakeType(pub(crate) u8);

impl HandshakeType {
    pub(crate) const HELLO_REQUEST: Self = Self(0);
    pub(crate) const CLIENT_HELLO: Self = Self(1);
    pub(crate) const SERVER_HELLO: Self = Self(2);
    pub(crate) const HELLO_VERIFY_REQUEST: Self = Self(3);
    pub(crate) const NEW_SESSION_TICKET: Self = Self(4);
    pub(crate) const ENCRYPTED_EXTENSIONS: Self = Self(8);
    pub(crate) const REQUEST_CONNECTION_ID: Self = Self(9);
    pub(crate) const NEW_CONNECTION_ID: Self = Self(10);
    pub(crate) const CERTIFICATE: Self = Self(11);
    pub(crate) const SERVER_KEY_EXCHANGE: Self = Self(12);
    pub(crate) const CERTIFICATE_REQUEST: Self = Self(13);
    pub(crate) const SERVER_HELLO_DONE: Self = Self(14);
    pub(crate) const CERTIFICATE_VERIFY: Self = Self(15);
    pub(crate) const CLIENT_KEY_EXCHANGE: Self = Self(16);
    pub(crate) const FINISHED: Self = Self(20);
    pub(crate) const KEY_UPDATE: Self = Self(24);
    /// Never sent: stands for the first hello in the transcript after a HelloRetryRequest (RFC 8446 §4.4.1).
    pub(crate) const MESSAGE_HASH: Self = Self(254);
}

/// A fragment of a handshake message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) msg_type: HandshakeType,
    /// Of the whole message.
    pub(crate) length: usize,
    pub(crate) message_seq: u16,
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads the next fragment of a record, which may hold several.
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let msg_type = HandshakeType(reader.u8()?);
        let length = reader.u24()?;
        let message_seq = reader.u16()?;
        let offset = reader.u24()?;
        let bytes = reader.vec24()?;
        if offset + bytes.len() > length {
            return Err(DecodeError::BadLength);
        }
        Ok(Self { msg_type, length, message_seq, offset, bytes })
    }

    /// Whether the message ends with this fragment.
    pub(crate) const fn is_last(&self) -> bool {
        self.offset + self.bytes.len() == self.length
    }

    /// The header in front of this fragment.
    pub(crate) fn header(&self) -> [u8; HEADER_LEN] {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.push(self.msg_type.0);
        put_u24(&mut out, self.length);
        put_u16(&mut out, self.message_seq);
        put_u24(&mut out, self.offset);
        put_u24(&mut out, self.bytes.len());
        let mut header = [0; HEADER_LEN];
        header.copy_from_slice(&out);
        header
    }
}

/// A whole handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) msg_type: HandshakeType,
    pub(crate) message_seq: u16,
    /// The epoch that all its fragments came in.
    pub(crate) epoch: u64,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// The message as one fragment: the form in which it is hashed (RFC 6347 §4.2.6).
    pub(crate) fn whole(&self) -> Fragment<'_> {
        Fragment {
            msg_type: self.msg_type,
            length: self.body.len(),
            message_seq: self.message_seq,
            offset: 0,
            bytes: &self.body,
        }
    }
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was kept, or all of it is already here.
    Kept,
    /// It belongs to a message that was processed.
    Old,
    /// It does not fit the bounds.
    Full,
    /// It contradicts the fragments that were here, and they were dropped for it.
    Replaced,
}

/// A message of which parts are here.
#[derive(Debug)]
struct Partial {
    msg_type: HandshakeType,
    epoch: u64,
    length: usize,
    /// The bytes up to the end of the furthest fragment; gaps are zero.
    body: Vec<u8>,
    /// The pieces that are here.
    pieces: Pieces,
}

impl Partial {
    fn is_complete(&self) -> bool {
        self.pieces.cover(self.length)
    }

    /// Adds a piece. `false`: too many pieces.
    fn add(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let end = offset + bytes.len();
        if !self.pieces.add(offset, end, MAX_GAPS) {
            return false;
        }
        if self.body.len() < end {
            // No more than that: what is kept is counted by its length.
            self.body.reserve_exact(end - self.body.len());
            self.body.resize(end, 0);
        }
        self.body[offset..end].copy_from_slice(bytes);
        true
    }
}

/// Puts messages together, in the order of their numbers, from fragments in any order.
#[derive(Debug, Default)]
pub(crate) struct Reassembler {
    /// The number of the message that is processed next: 2¹⁶ when there can be no more (RFC 9147 §5.2).
    next_seq: u32,
    /// The messages from `next_seq` on.
    partials: [Option<Partial>; MAX_MESSAGES],
    buffered: usize,
}

impl Reassembler {
    /// Starts with the message of this number.
    pub(crate) fn starting_at(message_seq: u16) -> Self {
        Self { next_seq: u32::from(message_seq), ..Self::default() }
    }

    /// Takes a fragment that came in `epoch`.
    pub(crate) fn insert(&mut self, epoch: u64, fragment: Fragment<'_>) -> Inserted {
        if self.is_old(fragment.message_seq) {
            return Inserted::Old;
        }
        let end = fragment.offset + fragment.bytes.len();
        let ahead = (u32::from(fragment.message_seq) - self.next_seq) as usize;
        if ahead >= MAX_MESSAGES || fragment.length > MAX_MESSAGE_LEN {
            return Inserted::Full;
        }
        // An empty fragment of a message that is not empty brings nothing, and opens no slot.
        if fragment.bytes.is_empty() && fragment.length > 0 {
            return Inserted::Kept;
        }
        let have = self.partials[ahead].as_ref().map_or(0, |partial| partial.body.len());
        if !self.make_room(ahead, end.saturating_sub(have)) {
            return Inserted::Full;
        }
        let slot = &mut self.partials[ahead];
        let partial = slot.get_or_insert_with(|| Partial {
            msg_type: fragment.msg_type,
            epoch,
            length: fragment.length,
            body: Vec::new(),
            pieces: Pieces::default(),
        });
        if (partial.msg_type, partial.epoch, partial.length) != (fragment.msg_type, epoch, fragment.length) {
            // One of the two is junk, and nothing tells which. The genuine one is repeated, so the last one wins.
            self.drop_partial(ahead);
            self.insert(epoch, fragment);
            return Inserted::Replaced;
        }
        if fragment.length > 0 && !partial.add(fragment.offset, fragment.bytes) {
            return Inserted::Full;
        }
        self.buffered += partial.body.len() - have;
        Inserted::Kept
    }

    /// Makes room for `more` bytes of the message that is `ahead` of the next one, if need be by dropping messages
    /// that are further ahead: those are needed later, and the peer repeats them.
    fn make_room(&mut self, ahead: usize, more: usize) -> bool {
        for victim in (ahead + 1..MAX_MESSAGES).rev() {
            if self.buffered + more <= MAX_BUFFERED {
                break;
            }
            self.drop_partial(victim);
        }
        self.buffered + more <= MAX_BUFFERED
    }

    fn drop_partial(&mut self, ahead: usize) {
        let dropped = self.partials[ahead].take();
        self.buffered -= dropped.map_or(0, |partial| partial.body.len());
    }

    /// Whether the message of this number was popped.
    pub(crate) const fn is_old(&self, message_seq: u16) -> bool {
        (message_seq as u32) < self.next_seq
    }

    /// Whether anything is here that came encrypted.
    pub(crate) fn has_encrypted(&self) -> bool {
        self.partials.iter().flatten().any(|partial| partial.epoch > 0)
    }

    /// Forgets what is not whole yet, but not what was popped.
    pub(crate) fn clear(&mut self) {
        *self = Self { next_seq: self.next_seq, ..Self::default() };
    }

    /// The next message, once it is whole.
    pub(crate) fn pop(&mut self) -> Option<Message> {
        let partial = self.partials[0].take_if(|partial| partial.is_complete())?;
        let message_seq = self.next_seq as u16;
        self.buffered -= partial.body.len();
        self.next_seq += 1;
        self.partials.rotate_left(1);
        Some(Message { msg_type: partial.msg_type, message_seq, epoch: partial.epoch, body: partial.body })
    }

    /// Takes back that the last message was popped: it was garbage, and the true one may still come.
    pub(crate) fn unpop(&mut self) {
        self.drop_partial(MAX_MESSAGES - 1);
        self.partials.rotate_right(1);
        self.next_seq -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(message_seq: u16, length: usize, offset: usize, bytes: &[u8]) -> Fragment<'_> {
        Fragment { msg_type: HandshakeType::CERTIFICATE, length, message_seq, offset, bytes }
    }

    #[test]
    fn headers_come_back() {
        let sent = fragment(7, 0x1_0203, 0x1_0000, b"abc");
        let bytes = [&sent.header()[..], b"abc", b"next"].concat();
        let mut reader = Reader::new(&bytes);
        assert_eq!(Fragment::decode(&mut reader), Ok(sent));
        assert_eq!(reader.rest(), b"next");
        let past_end = fragment(0, 2, 1, b"ab");
        let bytes = [&past_end.header()[..], b"ab"].concat();
        assert_eq!(Fragment::decode(&mut Reader::new(&bytes)), Err(DecodeError::BadLength));
        assert_eq!(Fragment::decode(&mut Reader::new(&bytes[..13])), Err(DecodeError::Truncated));
    }

    /// DTLS-14: every order of overlapping fragments of two messages.
    #[test]
    fn any_order_of_overlapping_fragments_gives_the_messages_in_order() {
        let text = b"0123456789";
        let pieces = [(0, 0, 4), (0, 2, 6), (0, 5, 10), (1, 0, 10), (0, 9, 10)];
        let mut orders = 0;
        permute(&mut pieces.to_vec(), 0, &mut |order| {
            orders += 1;
            let mut reassembler = Reassembler::default();
            let mut popped = Vec::new();
            for (seq, start, end) in order {
                let inserted = reassembler.insert(0, fragment(*seq, text.len(), *start, &text[*start..*end]));
                assert!(matches!(inserted, Inserted::Kept | Inserted::Old), "{order:?}");
                popped.extend(std::iter::from_fn(|| reassembler.pop()));
            }
            let seqs: Vec<u16> = popped.iter().map(|message| message.message_seq).collect();
            assert_eq!(seqs, [0, 1], "{order:?}");
            assert!(popped.iter().all(|message| message.body == text), "{order:?}");
            assert_eq!(reassembler.buffered, 0);
        });
        assert_eq!(orders, 120);
    }

    fn permute<T>(items: &mut Vec<T>, from: usize, visit: &mut impl FnMut(&[T])) {
        if from == items.len() {
            return visit(items);
        }
        for at in from..items.len() {
            items.swap(from, at);
            permute(items, from + 1, visit);
            items.swap(from, at);
        }
    }

    #[test]
    fn contradicting_fragments_are_never_joined_and_the_last_one_wins() {
        let mut other_type = fragment(0, 10, 2, b"23456789");
        other_type.msg_type = HandshakeType::FINISHED;
        let contradictions =
            [(0, fragment(0, 11, 2, b"234567890")), (1, fragment(0, 10, 2, b"23456789")), (0, other_type)];
        for (epoch, junk) in contradictions {
            let mut reassembler = Reassembler::default();
            assert_eq!(reassembler.insert(0, fragment(0, 10, 0, b"01")), Inserted::Kept);
            assert_eq!(reassembler.insert(epoch, junk), Inserted::Replaced);
            assert_eq!(reassembler.pop(), None, "{junk:?}");
            assert_eq!(reassembler.insert(0, fragment(0, 10, 0, b"01")), Inserted::Replaced);
            assert_eq!(reassembler.insert(0, fragment(0, 10, 2, b"23456789")), Inserted::Kept);
            assert_eq!(reassembler.pop().unwrap().body, b"0123456789");
            assert_eq!(reassembler.insert(0, fragment(0, 10, 0, b"01")), Inserted::Old);
            assert_eq!(reassembler.buffered, 0);
        }
    }

    /// CVE-2022-29190: empty fragments neither loop nor finish a message; an empty message is whole at once.
    #[test]
    fn empty_fragments() {
        let mut reassembler = Reassembler::default();
        assert_eq!(reassembler.insert(0, fragment(0, 2, 0, b"")), Inserted::Kept);
        assert_eq!(reassembler.insert(0, fragment(0, 2, 2, b"")), Inserted::Kept);
        assert_eq!(reassembler.pop(), None);
        assert_eq!(reassembler.insert(0, fragment(0, 2, 0, b"ab")), Inserted::Kept);
        assert_eq!(reassembler.insert(0, fragment(1, 0, 0, b"")), Inserted::Kept);
        assert_eq!(reassembler.pop().unwrap().body, b"ab");
        assert_eq!(reassembler.pop().unwrap().body, b"");
    }

    /// CVE-2022-29189: whatever comes, the bounds hold.
    #[test]
    fn memory_is_bounded() {
        let mut reassembler = Reassembler::default();
        let mut state = 1u64;
        let zeros = [0; 1200];
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let seq = 1 + (state >> 33) as u16 % 300;
            let offset = (state >> 40) as usize % 70_000;
            let bytes = &zeros[..(state >> 20) as usize % 1200];
            // Message 0 never comes, so nothing is ever processed.
            let _ = reassembler.insert(0, fragment(seq, 60_000 + offset % 2, offset, bytes));
            let _ = reassembler.insert(0, fragment(seq, MAX_MESSAGE_LEN, offset % 15_000, bytes));
            assert_eq!(reassembler.pop(), None);
        }
        let held: usize = reassembler.partials.iter().flatten().map(|partial| partial.body.len()).sum();
        assert_eq!(held, reassembler.buffered);
        assert!(held <= MAX_BUFFERED);
        let pieces: Vec<usize> = reassembler.partials.iter().flatten().map(|p| p.pieces.count()).collect();
        assert!(pieces.iter().all(|count| *count <= MAX_GAPS), "{pieces:?}");
        assert_eq!(reassembler.insert(0, fragment(0, 3, 0, b"abc")), Inserted::Kept, "the genuine one fits");
        assert!(reassembler.pop().is_some());
    }

    /// The last number is used, and then there are no more: none is taken for the first one.
    #[test]
    fn numbers_do_not_wrap() {
        let mut reassembler = Reassembler::starting_at(u16::MAX);
        assert_eq!(reassembler.insert(0, fragment(u16::MAX, 1, 0, b"z")), Inserted::Kept);
        assert_eq!(reassembler.pop().unwrap().message_seq, u16::MAX);
        for message_seq in [0, 1, u16::MAX] {
            assert_eq!(reassembler.insert(0, fragment(message_seq, 1, 0, b"a")), Inserted::Old);
        }
        assert_eq!(reassembler.pop(), None);
    }

    #[test]
    fn a_message_that_was_garbage_can_come_again() {
        let mut reassembler = Reassembler::default();
        reassembler.insert(0, fragment(0, 3, 0, b"bad"));
        reassembler.insert(0, fragment(1, 4, 0, b"next"));
        assert_eq!(reassembler.pop().unwrap().body, b"bad");
        reassembler.unpop();
        assert_eq!(reassembler.pop(), None);
        reassembler.insert(0, fragment(0, 4, 0, b"good"));
        assert_eq!(reassembler.pop().unwrap().body, b"good");
        assert_eq!(reassembler.pop().unwrap().body, b"next");
    }
}
