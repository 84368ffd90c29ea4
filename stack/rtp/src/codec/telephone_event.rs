//! Telephone events (RFC 4733): keys and other signals, both ways.
//!
//! `(event 8 | E R volume 6 | duration 16)+`
//!
//! All packets of an event have the timestamp of its beginning; the duration grows from packet to packet. What lasts longer
//! than 65535 ticks goes on in a new segment, with the timestamp at which the one before is full. The last packet of the event
//! and of each segment is sent three times.
//!
//! Left out: events that are states, which have a duration of 0 and no end; they are passed over.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::RtpTime;

use crate::DecodeError;

const END: u8 = 0x80;
const MAX_VOLUME: u8 = 63;
const BLOCK_LEN: usize = 4;
/// Most events that are read from one packet.
const MAX_BLOCKS: usize = 32;
/// How often the last packet of an event or segment is sent (RFC 4733 §2.5.1.4).
const FINAL_PACKETS: u8 = 3;
const MAX_DURATION: u32 = 0xffff;

/// The keys of a telephone by their event codes 0..=15 (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// The event code of a key: a digit, `*`, `#`, or `A` to `D` in either case.
#[must_use]
pub fn event_of_key(key: char) -> Option<u8> {
    let key = u8::try_from(key.to_ascii_uppercase()).ok()?;
    KEYS.iter().position(|&known| known == key).map(|at| at as u8)
}

/// The key of an event code.
#[must_use]
pub fn key_of_event(event: u8) -> Option<char> {
    KEYS.get(usize::from(event)).map(|&key| char::from(key))
}

/// One event in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventBlock {
    /// Which event.
    pub event: u8,
    /// It is over.
    pub end: bool,
    /// How far below 0 dBm0, in dB: 0..=63.
    pub volume: u8,
    /// How long it has lasted since the timestamp, in ticks.
    pub duration: u16,
}

impl EventBlock {
    /// The events of a payload. The first begins at the timestamp, each other where the one before it ends.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] for an empty payload and one that ends inside an event, [`DecodeError::Malformed`] for more
    /// than 32 events.
    pub fn parse(payload: &[u8]) -> Result<impl Iterator<Item = Self>, DecodeError> {
        if payload.is_empty() || !payload.len().is_multiple_of(BLOCK_LEN) {
            return Err(DecodeError::Truncated);
        }
        if payload.len() > MAX_BLOCKS * BLOCK_LEN {
            return Err(DecodeError::Malformed);
        }
        Ok(payload.chunks_exact(BLOCK_LEN).map(|block| Self {
            event: block[0],
            end: block[1] & END != 0,
            volume: block[1] & MAX_VOLUME,
            duration: u16::from_be_bytes([block[2], block[3]]),
        }))
    }

    /// The payload with this event alone. The volume is cut to 63.
    #[must_use]
    pub fn to_bytes(self) -> [u8; BLOCK_LEN] {
        let [high, low] = self.duration.to_be_bytes();
        [self.event, self.volume.min(MAX_VOLUME) | if self.end { END } else { 0 }, high, low]
    }
}

/// A packet of an [`EventSender`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPacket {
    /// The marker bit: the first packet of the event.
    pub marker: bool,
    /// When the event or segment began.
    pub timestamp: RtpTime,
    /// The payload.
    pub payload: [u8; BLOCK_LEN],
}

/// Another event is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packets of another event are not all sent")]
pub struct EventInProgress;

#[derive(Clone, Copy, Debug)]
struct Sending {
    event: u8,
    volume: u8,
    /// When the segment began.
    begin: RtpTime,
    end: Option<RtpTime>,
    next: RtpTime,
    marker: bool,
    finals_left: u8,
    /// The segment before this one, while its last packet is repeated.
    full_segment: Option<(RtpTime, u8)>,
}

/// Makes the packets of one event after the other. It is told the time by the RTP clock of the sound that it belongs to.
#[derive(Clone, Debug)]
pub struct EventSender {
    interval_ticks: u32,
    sending: Option<Sending>,
    /// At most the repeated end of one segment, the ends of those since the last call, and the newest packet.
    due: VecDeque<EventPacket>,
}

impl EventSender {
    /// With a clock of this rate, which is that of the sound: a packet each 50 ms.
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self { interval_ticks: (clock_rate_hz / 20).max(1), sending: None, due: VecDeque::new() }
    }

    /// Begins an event: the first packet is due 50 ms later, or when the event is stopped before that. `volume`: how far
    /// below 0 dBm0, in dB, cut to 63.
    ///
    /// # Errors
    /// [`EventInProgress`] until the last packet of the event before was given out.
    pub fn start(&mut self, event: u8, volume: u8, at: RtpTime) -> Result<(), EventInProgress> {
        if self.sending.is_some() || !self.due.is_empty() {
            return Err(EventInProgress);
        }
        self.sending = Some(Sending {
            event,
            volume,
            begin: at,
            end: None,
            next: at + self.interval_ticks,
            marker: true,
            finals_left: FINAL_PACKETS,
            full_segment: None,
        });
        Ok(())
    }

    /// Ends the event, a tick after its beginning at the earliest. Does nothing when there is none or it was ended before.
    pub fn stop(&mut self, at: RtpTime) {
        if let Some(sending) = self.sending.as_mut().filter(|sending| sending.end.is_none()) {
            let end = if at.is_newer_than(sending.begin) { at } else { sending.begin + 1 };
            sending.end = Some(end);
            if sending.next.is_newer_than(end) {
                sending.next = end;
            }
        }
    }

    /// When [`EventSender::poll`] has the next packet; `None` while nothing is sent.
    #[must_use]
    pub fn next_at(&self) -> Option<RtpTime> {
        self.sending.map(|sending| sending.next)
    }

    /// The next packet that is due by `now`. Call until `None`.
    pub fn poll(&mut self, now: RtpTime) -> Option<EventPacket> {
        if self.due.is_empty()
            && let Some(sending) = self.sending.as_mut()
            && !sending.next.is_newer_than(now)
        {
            sending.make_due(now, self.interval_ticks, &mut self.due);
            if sending.finals_left == 0 {
                self.sending = None;
            }
        }
        self.due.pop_front()
    }
}

impl Sending {
    fn make_due(&mut self, now: RtpTime, interval_ticks: u32, due: &mut VecDeque<EventPacket>) {
        if let Some((begin, left)) = self.full_segment {
            due.push_back(self.packet(begin, MAX_DURATION, false));
            self.full_segment = (left > 1).then_some((begin, left - 1));
        }
        let ended = self.end.filter(|end| !end.is_newer_than(now));
        let until = ended.unwrap_or(now);
        let mut duration = until.distance_from(self.begin).max(1) as u32;
        while duration > MAX_DURATION {
            due.push_back(self.packet(self.begin, MAX_DURATION, false));
            self.full_segment = Some((self.begin, FINAL_PACKETS - 1));
            self.begin = self.begin + MAX_DURATION;
            duration -= MAX_DURATION;
        }
        due.push_back(self.packet(self.begin, duration, ended.is_some()));
        self.next = now + interval_ticks;
        match (ended, self.end) {
            (Some(_), _) => self.finals_left -= 1,
            (None, Some(end)) if self.next.is_newer_than(end) => self.next = end,
            _ => {}
        }
    }

    fn packet(&mut self, timestamp: RtpTime, duration: u32, end: bool) -> EventPacket {
        let block = EventBlock { event: self.event, end, volume: self.volume, duration: duration as u16 };
        EventPacket { marker: std::mem::take(&mut self.marker), timestamp, payload: block.to_bytes() }
    }
}

/// What an [`EventReceiver`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventReport {
    /// An event began.
    Started {
        /// Which event.
        event: u8,
        /// How far below 0 dBm0, in dB.
        volume: u8,
        /// When, by the RTP clock.
        timestamp: RtpTime,
    },
    /// It is over: once for each that began.
    Ended {
        /// Which event.
        event: u8,
        /// When it began, by the RTP clock.
        timestamp: RtpTime,
        /// How long it lasted, over all of its segments; as long as is known, where its end was lost.
        duration_ticks: u64,
    },
}

#[derive(Clone, Copy, Debug)]
struct Receiving {
    event: u8,
    timestamp: RtpTime,
    /// When the segment began, and the ticks of those before it.
    segment: RtpTime,
    before: u64,
    duration: u16,
    heard: Instant,
}

/// Puts the packets of events together: each is told once, whatever is lost, reordered or repeated.
#[derive(Clone, Debug)]
pub struct EventReceiver {
    patience: Duration,
    receiving: Option<Receiving>,
    /// The segment in which the last event ended: what is not newer is a repetition.
    ended: Option<RtpTime>,
    /// At most two for each event of a packet, when it is drained after each.
    reports: VecDeque<EventReport>,
}

impl Default for EventReceiver {
    fn default() -> Self {
        Self::new(Duration::from_millis(150))
    }
}

impl EventReceiver {
    /// An event of which nothing is heard for as long as `patience` is over. By default that is 150 ms, three packets of most
    /// senders.
    #[must_use]
    pub const fn new(patience: Duration) -> Self {
        Self { patience, receiving: None, ended: None, reports: VecDeque::new() }
    }

    /// Takes a packet. Call [`EventReceiver::poll_report`] until `None` after it.
    ///
    /// # Errors
    /// See [`EventBlock::parse`]; nothing changes then.
    pub fn push(
        &mut self,
        now: Instant,
        marker: bool,
        timestamp: RtpTime,
        payload: &[u8],
    ) -> Result<(), DecodeError> {
        let mut timestamp = timestamp;
        for (n, block) in EventBlock::parse(payload)?.enumerate() {
            // RFC 4733 §2.3.5: only states have a duration of 0.
            if block.duration > 0 {
                self.take(now, marker && n == 0, timestamp, block);
            }
            timestamp = timestamp + u32::from(block.duration);
        }
        Ok(())
    }

    fn take(&mut self, now: Instant, marker: bool, timestamp: RtpTime, block: EventBlock) {
        match &mut self.receiving {
            Some(receiving) if timestamp == receiving.segment => {
                if block.event != receiving.event {
                    return;
                }
                receiving.duration = receiving.duration.max(block.duration);
                receiving.heard = now;
            }
            Some(receiving) if !is_new(timestamp, receiving.segment) => return,
            // A later segment; those between may be lost as a whole.
            Some(receiving)
                if !marker
                    && block.event == receiving.event
                    && timestamp.is_newer_than(receiving.segment)
                    && timestamp.distance_from(receiving.segment) % MAX_DURATION as i32 == 0 =>
            {
                let full = timestamp.distance_from(receiving.segment).unsigned_abs();
                receiving.before = receiving.before.saturating_add(u64::from(full));
                receiving.segment = timestamp;
                receiving.duration = block.duration;
                receiving.heard = now;
            }
            None if self.ended.is_some_and(|ended| !is_new(timestamp, ended)) => return,
            _ => {
                self.end();
                let EventBlock { event, volume, duration, .. } = block;
                self.reports.push_back(EventReport::Started { event, volume, timestamp });
                self.receiving =
                    Some(Receiving { event, timestamp, segment: timestamp, before: 0, duration, heard: now });
            }
        }
        if block.end {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some(Receiving { event, timestamp, segment, before, duration, .. }) = self.receiving.take() {
            self.ended = Some(segment);
            let duration_ticks = before.saturating_add(u64::from(duration));
            self.reports.push_back(EventReport::Ended { event, timestamp, duration_ticks });
        }
    }

    /// The next report.
    pub fn poll_report(&mut self) -> Option<EventReport> {
        self.reports.pop_front()
    }

    /// Ends an event of which nothing was heard for too long. Call [`EventReceiver::poll_report`] until `None` after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            self.end();
        }
    }

    /// When the event is over if nothing more is heard of it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.receiving?.heard + self.patience)
    }
}

/// Whether a timestamp is past `last`, or so far before it that the sender began anew.
fn is_new(timestamp: RtpTime, last: RtpTime) -> bool {
    // Half an hour at 8 kHz: no packet is that late.
    const ANEW: i32 = -(1 << 24);
    !(ANEW..=0).contains(&timestamp.distance_from(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tombolo_netsim::start;

    use super::*;

    const BEGIN: RtpTime = RtpTime(0xffff_ff00);

    /// Everything that is sent when polled each 10 ms of a clock of 8 kHz.
    fn sent(event: u8, ticks: u32) -> Vec<EventPacket> {
        let mut sender = EventSender::new(8000);
        sender.start(event, 10, BEGIN).unwrap();
        let mut packets = Vec::new();
        let mut now = BEGIN;
        while sender.next_at().is_some() {
            now = now + 80;
            if !(BEGIN + ticks).is_newer_than(now) {
                sender.stop(BEGIN + ticks);
            }
            packets.extend(std::iter::from_fn(|| sender.poll(now)));
        }
        packets
    }

    fn block(packet: &EventPacket) -> EventBlock {
        EventBlock::parse(&packet.payload).unwrap().next().unwrap()
    }

    fn received(packets: &[EventPacket]) -> Vec<EventReport> {
        let mut receiver = EventReceiver::default();
        for (n, packet) in packets.iter().enumerate() {
            let now = start() + Duration::from_millis(n as u64);
            receiver.push(now, packet.marker, packet.timestamp, &packet.payload).unwrap();
        }
        while let Some(deadline) = receiver.poll_timeout() {
            receiver.handle_timeout(deadline);
        }
        std::iter::from_fn(|| receiver.poll_report()).collect()
    }

    fn once(event: u8, duration_ticks: u64) -> [EventReport; 2] {
        [
            EventReport::Started { event, volume: 10, timestamp: BEGIN },
            EventReport::Ended { event, timestamp: BEGIN, duration_ticks },
        ]
    }

    /// RFC 4733 §2.5.1: updates each 50 ms, one marker, one timestamp, the end three times.
    #[test]
    fn a_key_is_sent_with_growing_duration_and_its_end_three_times() {
        let packets = sent(5, 880);
        let durations: Vec<_> =
            packets.iter().map(|packet| (block(packet).duration, block(packet).end)).collect();
        assert_eq!(durations, [(400, false), (800, false), (880, true), (880, true), (880, true)]);
        assert_eq!(
            packets.iter().map(|packet| packet.marker).collect::<Vec<_>>(),
            [true, false, false, false, false]
        );
        assert!(packets.iter().all(|packet| packet.timestamp == BEGIN));
        assert_eq!(packets[0].payload, [5, 10, 1, 0x90]);
        assert_eq!(received(&packets), once(5, 880));
    }

    #[test]
    fn a_short_key_has_its_marker_with_the_end() {
        let packets = sent(1, 160);
        assert_eq!(packets.len(), 3);
        assert!(packets[0].marker && block(&packets[0]).end && !packets[1].marker);
        assert_eq!(received(&packets), once(1, 160));
        assert_eq!(received(&packets[2..]), once(1, 160));
    }

    /// RFC 4733 §2.5.1.3: past 65535 ticks it goes on in a new segment, without marker, and ends once.
    #[test]
    fn a_duration_that_overflows_goes_on_in_segments() {
        let ticks = 2 * 65535 + 1000;
        let packets = sent(11, ticks);
        assert_eq!(packets.iter().filter(|packet| packet.marker).count(), 1);
        for segment in 0..2 {
            let begin = BEGIN + segment * 65535;
            let full =
                packets.iter().filter(|packet| packet.timestamp == begin && block(packet).duration == 65535);
            assert_eq!(full.clone().count(), 3);
            assert!(full.clone().all(|packet| !block(packet).end));
        }
        let ends: Vec<_> = packets.iter().filter(|packet| block(packet).end).collect();
        assert_eq!((ends.len(), ends[0].timestamp, block(ends[0]).duration), (3, BEGIN + 131_070, 1000));
        assert_eq!(received(&packets), once(11, u64::from(ticks)));
        // Without the packets that say that segments are full, and without all of the second.
        let some =
            |keep: &dyn Fn(&&EventPacket) -> bool| packets.iter().filter(keep).copied().collect::<Vec<_>>();
        let without_full = some(&|packet| block(packet).duration < 65535);
        assert_eq!(received(&without_full), once(11, u64::from(ticks)));
        let without_second = some(&|packet| packet.timestamp != BEGIN + 65535);
        assert_eq!(received(&without_second), once(11, u64::from(ticks)));
    }

    #[test]
    fn an_event_whose_end_is_lost_ends_with_the_next_or_after_a_while() {
        let first = sent(5, 880);
        let mut receiver = EventReceiver::default();
        receiver.push(start(), true, BEGIN, &first[0].payload).unwrap();
        assert!(matches!(receiver.poll_report(), Some(EventReport::Started { event: 5, .. })));
        receiver.push(start(), true, BEGIN + 2000, &[6, 10, 0, 80]).unwrap();
        let ended = EventReport::Ended { event: 5, timestamp: BEGIN, duration_ticks: 400 };
        assert_eq!(receiver.poll_report(), Some(ended));
        assert!(matches!(receiver.poll_report(), Some(EventReport::Started { event: 6, .. })));
        let deadline = receiver.poll_timeout().unwrap();
        assert_eq!(deadline, start() + Duration::from_millis(150));
        receiver.handle_timeout(deadline - Duration::from_millis(1));
        assert_eq!(receiver.poll_report(), None);
        receiver.handle_timeout(deadline);
        assert!(matches!(
            receiver.poll_report(),
            Some(EventReport::Ended { event: 6, duration_ticks: 80, .. })
        ));
        assert_eq!(receiver.poll_timeout(), None);
        // The end comes after all: too late.
        receiver.push(deadline, false, BEGIN + 2000, &[6, 0x8a, 0, 160]).unwrap();
        assert_eq!(receiver.poll_report(), None);
    }

    /// RFC 4733 §2.5.1.5: events that follow each other without a gap may share a packet.
    #[test]
    fn several_events_in_a_packet_follow_each_other() {
        let mut receiver = EventReceiver::default();
        receiver.push(start(), true, BEGIN, &[1, 0x8a, 0, 100, 2, 0x8a, 0, 50, 3, 10, 0, 7]).unwrap();
        let reports: Vec<_> = std::iter::from_fn(|| receiver.poll_report()).collect();
        assert_eq!(reports.len(), 5);
        let last = EventReport::Started { event: 3, volume: 10, timestamp: BEGIN + 150 };
        assert_eq!(
            (reports[3], reports[4]),
            (EventReport::Ended { event: 2, timestamp: BEGIN + 100, duration_ticks: 50 }, last)
        );
    }

    #[test]
    fn malformed_payloads_and_states_change_nothing() {
        let mut receiver = EventReceiver::default();
        for bad in [&[][..], &[1], &[1, 0, 0], &[1, 0, 0, 1, 2], &[0; 33 * 4]] {
            assert!(receiver.push(start(), true, BEGIN, bad).is_err(), "{bad:?}");
        }
        receiver.push(start(), true, BEGIN, &[40, 10, 0, 0]).unwrap();
        receiver.push(start(), true, BEGIN, &[40, 0x8a, 0, 0]).unwrap();
        assert_eq!((receiver.poll_report(), receiver.poll_timeout()), (None, None));
    }

    #[test]
    fn one_event_is_sent_at_a_time() {
        let mut sender = EventSender::new(48_000);
        sender.start(1, 10, BEGIN).unwrap();
        assert_eq!(sender.start(2, 10, BEGIN), Err(EventInProgress));
        assert_eq!((sender.next_at(), sender.poll(BEGIN)), (Some(BEGIN + 2400), None));
        sender.stop(BEGIN);
        assert_eq!(sender.next_at(), Some(BEGIN + 1));
        let mut now = BEGIN + 1;
        for _ in 0..3 {
            assert_eq!(block(&sender.poll(now).unwrap()).duration, 1);
            now = now + 2400;
        }
        assert_eq!(sender.next_at(), None);
        sender.start(2, 10, now).unwrap();
    }

    #[test]
    fn keys_have_codes() {
        for (key, event) in [('0', 0), ('9', 9), ('*', 10), ('#', 11), ('A', 12), ('d', 15)] {
            assert_eq!(event_of_key(key), Some(event));
            assert_eq!(key_of_event(event), Some(key.to_ascii_uppercase()));
        }
        assert_eq!((event_of_key('x'), event_of_key('é'), key_of_event(16)), (None, None, None));
    }

    proptest! {
        /// Keys in a row, each with one packet at least that arrives: each is told once, in order, and ends once.
        #[test]
        fn each_key_is_told_once(
            keys in proptest::collection::vec((0u8..16, 1u32..140_000), 1..6),
            fates in proptest::collection::vec(0u8..6, 40),
        ) {
            let mut packets = Vec::new();
            let mut begin = 0;
            for (event, ticks) in &keys {
                let all = sent(*event, *ticks);
                let first_end = all.iter().position(|packet| block(packet).end);
                for ((n, packet), fate) in all.into_iter().enumerate().zip(fates.iter().cycle()) {
                    let packet = EventPacket { timestamp: packet.timestamp + begin, ..packet };
                    // The first is never lost, nor the first that ends it; others may be, or come twice.
                    let copies = if n == 0 || Some(n) == first_end { 1 } else { usize::from(*fate) % 3 };
                    packets.extend(std::iter::repeat_n(packet, copies));
                }
                begin += ticks + 400;
            }
            let reports = received(&packets);
            let told: Vec<_> = reports.iter().filter_map(|report| match report {
                EventReport::Started { event, .. } => Some(*event),
                EventReport::Ended { .. } => None,
            }).collect();
            let ended: Vec<_> = reports.iter().filter_map(|report| match report {
                EventReport::Ended { event, duration_ticks, .. } => Some((*event, *duration_ticks as u32)),
                EventReport::Started { .. } => None,
            }).collect();
            prop_assert_eq!(told, keys.iter().map(|(event, _)| *event).collect::<Vec<_>>());
            prop_assert_eq!(ended, keys);
        }

        #[test]
        fn any_packets_are_survived(
            packets in proptest::collection::vec((any::<bool>(), any::<u32>(), proptest::collection::vec(any::<u8>(), 0..12)), 0..50),
        ) {
            let mut receiver = EventReceiver::default();
            let (mut started, mut ended) = (0, 0);
            for (marker, timestamp, payload) in packets {
                let _ = receiver.push(start(), marker, RtpTime(timestamp), &payload);
                while let Some(report) = receiver.poll_report() {
                    match report {
                        EventReport::Started { .. } => started += 1,
                        EventReport::Ended { .. } => ended += 1,
                    }
                }
            }
            prop_assert!(started == ended || started == ended + 1);
        }
    }
}
