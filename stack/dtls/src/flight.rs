//! Flights: the messages that are sent, and sent again, together (RFC 6347 §4.2.4; RFC 9147 §5.8, §7.2).
//!
//! ```text
//! PREPARING --launch--> SENDING --all written--> WAITING --timeout, or the peer repeats--> SENDING
//! ```
//!
//! The messages are kept whole. Every transmission cuts them anew, so that it fits the path: after every second
//! timeout in a row the datagrams become half as long, down to [`MIN_MTU`]. What the peer has acknowledged, which it
//! does in DTLS 1.3 alone, is left out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::fragment::{Fragment, HEADER_LEN, HandshakeType};
use crate::handshake::HANDSHAKE_EPOCH;
use crate::pieces::Pieces;
use crate::record::{ContentType, MAX_CONTENT_LEN, RecordLayer, RecordNumber};

/// The shortest datagram, in bytes, that a handshake is cut to.
pub(crate) const MIN_MTU: usize = 256;
/// The longest datagram, in bytes: what UDP takes over IPv4.
pub(crate) const MAX_MTU: usize = 65_507;
/// How many parts of a flight are known by the numbers of their records, so that the peer can acknowledge them.
const MAX_SENT: usize = 256;
/// How many acknowledged pieces of a message are told apart.
const MAX_PIECES: usize = 64;

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
    Handshake(Outgoing),
    ChangeCipherSpec,
}

/// A message of ours.
#[derive(Debug)]
struct Outgoing {
    epoch: u64,
    msg_type: HandshakeType,
    message_seq: u16,
    body: Vec<u8>,
    /// What the peer has acknowledged.
    acknowledged: Pieces,
    is_acknowledged: bool,
}

impl Outgoing {
    /// The next part from `offset` on that is to be sent.
    fn next_part(&self, offset: usize) -> Option<(usize, usize)> {
        if self.is_acknowledged {
            return None;
        }
        let is_empty = self.body.is_empty() && offset == 0;
        if is_empty { Some((0, 0)) } else { self.acknowledged.next_gap(offset, self.body.len()) }
    }
}

/// A part of an item that was sent, and in which record.
#[derive(Debug)]
struct Sent {
    number: RecordNumber,
    item: usize,
    start: usize,
    end: usize,
}

/// What an acknowledgement has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// It names nothing of this flight that was not acknowledged before.
    Nothing,
    /// Parts of the flight are still to arrive.
    Part,
    /// The flight has arrived.
    All,
}

/// Our current flight.
#[derive(Debug)]
pub(crate) struct Flight {
    settings: Retransmission,
    items: Vec<Item>,
    sent: VecDeque<Sent>,
    epoch: u64,
    /// 2¹⁶ when all numbers are used up.
    next_message_seq: u32,
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
            sent: VecDeque::new(),
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

    /// Starts the numbers of messages, before anything is pushed.
    pub(crate) const fn start_at(&mut self, message_seq: u16) {
        self.next_message_seq = message_seq as u32;
    }

    /// Forgets the flight before, which the peer has answered, and starts to prepare the next one.
    pub(crate) fn prepare(&mut self) {
        self.items = Vec::new();
        self.sent = VecDeque::new();
        self.cursor = None;
        self.deadline = None;
        self.last_sent = None;
    }

    /// Adds a message, and returns it in the one fragment in which it is hashed to `hash`.
    pub(crate) fn push(
        &mut self,
        epoch: u64,
        msg_type: HandshakeType,
        body: Vec<u8>,
        hash: impl FnOnce(&Fragment<'_>),
    ) {
        let message_seq = self.next_message_seq as u16;
        self.next_message_seq += 1;
        self.epoch = self.epoch.max(epoch);
        hash(&Fragment { msg_type, length: body.len(), message_seq, offset: 0, bytes: &body });
        let acknowledged = Pieces::default();
        let message = Outgoing { epoch, msg_type, message_seq, body, acknowledged, is_acknowledged: false };
        self.items.push(Item::Handshake(message));
    }

    /// Whether another message can be numbered: the numbers never wrap (RFC 9147 §5.2).
    pub(crate) const fn has_numbers(&self) -> bool {
        self.next_message_seq <= u16::MAX as u32
    }

    /// Takes the numbers of records that the peer has taken.
    pub(crate) fn acknowledge(&mut self, numbers: &[RecordNumber]) -> Acknowledged {
        let mut is_new = false;
        for number in numbers {
            for sent in self.sent.iter().filter(|sent| sent.number == *number) {
                if let Some(Item::Handshake(message)) = self.items.get_mut(sent.item)
                    && !message.is_acknowledged
                    && message.acknowledged.add(sent.start, sent.end, MAX_PIECES)
                {
                    message.is_acknowledged = message.acknowledged.cover(message.body.len());
                    is_new = true;
                }
            }
            self.sent.retain(|sent| sent.number != *number);
        }
        let arrived = |item: &Item| matches!(item, Item::Handshake(message) if message.is_acknowledged);
        if !is_new {
            Acknowledged::Nothing
        } else if self.items.iter().all(arrived) {
            Acknowledged::All
        } else {
            Acknowledged::Part
        }
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
    pub(crate) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The longest datagram that the handshake is cut to at this time, in bytes.
    pub(crate) const fn mtu(&self) -> usize {
        self.mtu
    }

    /// The time after which the parts that came of a flight are acknowledged (RFC 9147 §7.1).
    pub(crate) fn ack_delay(&self) -> Duration {
        self.first_timeout() / 4
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
        let Some(mut cursor) = self.cursor else { return false };
        let first = out.len();
        while let Some(item) = self.items.get(cursor.0) {
            let room = self.mtu.saturating_sub(out.len() - first);
            match item {
                Item::ChangeCipherSpec => {
                    if room < records.overhead(0) + 1 {
                        break;
                    }
                    records.write(0, ContentType::CHANGE_CIPHER_SPEC, &[&[1]], out);
                    cursor.0 += 1;
                }
                Item::Handshake(message) if message.next_part(cursor.1).is_none() => {
                    cursor = (cursor.0 + 1, 0);
                }
                Item::Handshake(message) => {
                    let epoch = message.epoch;
                    let next = self.write_record(epoch, cursor, room, records, out);
                    if next == cursor {
                        break;
                    }
                    cursor = next;
                }
            }
        }
        self.last_sent = Some(now);
        self.cursor = (cursor.0 < self.items.len()).then_some(cursor);
        // A repetition on demand leaves the running timer alone, or a quick peer could put it off for ever.
        if self.cursor.is_none() && self.awaits_answer && self.deadline.is_none() {
            self.deadline = Some(now + self.timeout);
        }
        out.len() > first
    }

    /// Appends a record of `room` bytes at most, with what is to be sent from `cursor` on: in DTLS 1.3 as many messages as fit,
    /// which spares each a header and a tag; in 1.2 one, as all peers have always had it. Gives where it goes on; where nothing
    /// fits, that is `cursor`.
    fn write_record(
        &mut self,
        epoch: u64,
        mut cursor: (usize, usize),
        room: usize,
        records: &mut RecordLayer,
        out: &mut Vec<u8>,
    ) -> (usize, usize) {
        let room = room.saturating_sub(records.overhead(epoch)).min(MAX_CONTENT_LEN);
        let (mut content, mut parts) = (Vec::new(), Vec::new());
        while let Some(Item::Handshake(message)) = self.items.get(cursor.0)
            && message.epoch == epoch
            && (parts.is_empty() || epoch >= HANDSHAKE_EPOCH)
        {
            let Some((start, end)) = message.next_part(cursor.1) else {
                cursor = (cursor.0 + 1, 0);
                continue;
            };
            let Some(room) = room.checked_sub(content.len() + HEADER_LEN) else { break };
            let len = (end - start).min(room);
            // A header alone carries nothing, but for a message that is empty.
            if len == 0 && end > start {
                break;
            }
            let fragment = Fragment {
                msg_type: message.msg_type,
                length: message.body.len(),
                message_seq: message.message_seq,
                offset: start,
                bytes: &message.body[start..start + len],
            };
            content.extend_from_slice(&fragment.header());
            content.extend_from_slice(fragment.bytes);
            parts.push((cursor.0, start, start + len));
            cursor.1 = start + len;
            if cursor.1 == message.body.len() {
                cursor = (cursor.0 + 1, 0);
            }
        }
        if !parts.is_empty()
            && let Some(number) = records.write(epoch, ContentType::HANDSHAKE, &[&content], out)
        {
            for (item, start, end) in parts {
                if self.sent.len() == MAX_SENT {
                    self.sent.pop_front();
                }
                self.sent.push_back(Sent { number, item, start, end });
            }
        }
        cursor
    }
}
