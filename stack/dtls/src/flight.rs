//! Flights: the messages that are sent, and sent again, together (RFC 6347 §4.2.4).
//!
//! ```text
//! PREPARING --launch--> SENDING --all written--> WAITING --timeout, or the peer repeats--> SENDING
//! ```
//!
//! The messages are kept whole. Every transmission cuts them anew, so that it fits the path: after every second
//! timeout in a row the datagrams become half as long, down to [`MIN_MTU`].

use std::time::{Duration, Instant};

use crate::fragment::{Fragment, HEADER_LEN, HandshakeType};
use crate::record::{ContentType, RecordLayer};

/// The shortest datagram, in bytes, that a handshake is cut to.
pub(crate) const MIN_MTU: usize = 256;
/// A fragment with fewer bytes than this goes into the next datagram instead, unless it ends its message.
const MIN_FRAGMENT: usize = 32;

/// The retransmission timer's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retransmission {
    pub(crate) initial: Duration,
    pub(crate) max: Duration,
    pub(crate) attempts: u32,
}

/// The last retransmission was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

#[derive(Debug)]
enum Item {
    Handshake { epoch: u16, msg_type: HandshakeType, message_seq: u16, body: Vec<u8> },
    ChangeCipherSpec,
}

/// Our current flight.
#[derive(Debug)]
pub(crate) struct Flight {
    settings: Retransmission,
    items: Vec<Item>,
    epoch: u16,
    next_message_seq: u16,
    /// Bytes of the datagrams that the handshake is cut to.
    mtu: usize,
    /// The item and the offset in it that are written next; `None` when nothing is to be sent.
    cursor: Option<(usize, usize)>,
    /// Whether an answer is expected.
    awaits_answer: bool,
    timeout: Duration,
    deadline: Option<Instant>,
    /// Timeouts since the peer last made progress.
    losses: u32,
    last_sent: Option<Instant>,
    rtt: Duration,
}

impl Flight {
    pub(crate) const fn new(settings: Retransmission, mtu: usize) -> Self {
        Self {
            settings,
            items: Vec::new(),
            epoch: 0,
            next_message_seq: 0,
            mtu,
            cursor: None,
            awaits_answer: false,
            timeout: settings.initial,
            deadline: None,
            losses: 0,
            last_sent: None,
            rtt: Duration::ZERO,
        }
    }

    /// Forgets the flight before, which the peer has answered, and starts to prepare the next one.
    pub(crate) fn prepare(&mut self) {
        self.items = Vec::new();
        self.cursor = None;
        self.deadline = None;
        self.last_sent = None;
    }

    /// Adds a message; returns it as the one fragment in which it is hashed.
    pub(crate) fn push(&mut self, epoch: u16, msg_type: HandshakeType, body: Vec<u8>) -> Fragment<'_> {
        let message_seq = self.next_message_seq;
        self.next_message_seq += 1;
        self.epoch = self.epoch.max(epoch);
        let item = self.items.len();
        self.items.push(Item::Handshake { epoch, msg_type, message_seq, body });
        let bytes = match &self.items[item] {
            Item::Handshake { body, .. } => &body[..],
            Item::ChangeCipherSpec => &[],
        };
        Fragment { msg_type, length: bytes.len(), message_seq, offset: 0, bytes }
    }

    pub(crate) fn push_change_cipher_spec(&mut self) {
        self.items.push(Item::ChangeCipherSpec);
    }

    /// Ends the preparation. A flight that ends the handshake has no answer and is repeated only on demand.
    pub(crate) fn launch(&mut self, awaits_answer: bool) {
        self.cursor = Some((0, 0));
        self.awaits_answer = awaits_answer;
        self.timeout = self.first_timeout();
        self.losses = 0;
    }

    /// The epoch that our last flight ended in, and that alerts go out in.
    pub(crate) const fn epoch(&self) -> u16 {
        self.epoch
    }

    /// Whether we have sent anything of the handshake.
    pub(crate) const fn is_launched(&self) -> bool {
        !self.items.is_empty()
    }

    pub(crate) const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The peer has sent something that this flight did not see yet: the path works.
    pub(crate) const fn progress(&mut self) {
        self.losses = 0;
    }

    /// Sets the round-trip time of the path. A flight that is under way keeps its deadline.
    pub(crate) fn set_round_trip_time(&mut self, rtt: Duration) {
        self.rtt = rtt;
        self.timeout = self.timeout.max(self.first_timeout());
    }

    /// An answer takes one round trip and the time of some signatures.
    fn first_timeout(&self) -> Duration {
        self.settings.initial.max(self.rtt * 3 / 2).min(self.settings.max)
    }

    /// The handshake is over: no more timeouts.
    pub(crate) const fn stop_timer(&mut self) {
        self.awaits_answer = false;
        self.deadline = None;
    }

    /// Forgets everything.
    pub(crate) fn abandon(&mut self) {
        self.prepare();
        self.stop_timer();
    }

    /// Acts when the deadline has passed: the flight goes out again. Returns whether it does.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<bool, Exhausted> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Ok(false);
        }
        self.deadline = None;
        if self.losses >= self.settings.attempts {
            return Err(Exhausted);
        }
        self.losses += 1;
        if self.losses.is_multiple_of(2) {
            self.mtu = (self.mtu / 2).max(MIN_MTU);
        }
        self.timeout = (self.timeout * 2).min(self.settings.max);
        self.cursor = Some((0, 0));
        Ok(true)
    }

    /// The peer has repeated the end of its flight before: it may not have ours. Anyone can repeat a datagram, so
    /// this happens at most once in half the initial timeout. Returns whether the flight goes out again.
    pub(crate) fn repeat(&mut self, now: Instant) -> bool {
        let recent =
            self.last_sent.is_none_or(|sent| now.saturating_duration_since(sent) < self.settings.initial / 2);
        if self.cursor.is_some() || recent {
            return false;
        }
        self.cursor = Some((0, 0));
        true
    }

    /// Appends the next datagram of this flight. `false`: there is none.
    pub(crate) fn write(&mut self, now: Instant, records: &mut RecordLayer, out: &mut Vec<u8>) -> bool {
        let Some((mut item, mut offset)) = self.cursor else { return false };
        let start = out.len();
        while let Some(current) = self.items.get(item) {
            let room = self.mtu.saturating_sub(out.len() - start);
            match current {
                Item::ChangeCipherSpec => {
                    if room < RecordLayer::overhead(0) + 1 {
                        break;
                    }
                    records.write(0, ContentType::CHANGE_CIPHER_SPEC, &[&[1]], out);
                    item += 1;
                }
                Item::Handshake { epoch, msg_type, message_seq, body } => {
                    let left = &body[offset..];
                    let room = room.saturating_sub(RecordLayer::overhead(*epoch) + HEADER_LEN);
                    let len = left.len().min(room);
                    // Nothing or a crumb would fit: wait for the next datagram, which is empty.
                    if len < left.len() && len < MIN_FRAGMENT || room == 0 && out.len() > start {
                        break;
                    }
                    let fragment = Fragment {
                        msg_type: *msg_type,
                        length: body.len(),
                        message_seq: *message_seq,
                        offset,
                        bytes: &left[..len],
                    };
                    let parts = [&fragment.header()[..], fragment.bytes];
                    records.write(*epoch, ContentType::HANDSHAKE, &parts, out);
                    offset += len;
                    if offset == body.len() {
                        (item, offset) = (item + 1, 0);
                    }
                }
            }
        }
        self.last_sent = Some(now);
        self.cursor = (item < self.items.len()).then_some((item, offset));
        // A repetition on demand leaves the running timer alone, or a quick peer could put it off for ever.
        if self.cursor.is_none() && self.awaits_answer && self.deadline.is_none() {
            self.deadline = Some(now + self.timeout);
        }
        out.len() > start
    }
}
