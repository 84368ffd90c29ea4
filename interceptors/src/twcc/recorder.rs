//! The receiving side: which packets of the transport arrived, and when.

use std::time::{Duration, Instant};

use tombolo_net::{SeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::rtcp;

/// How many sequence numbers are remembered: a power of two.
const WINDOW: u64 = 1024;
/// How far back a packet that comes late makes the next feedback reach.
const REORDER_WINDOW: u64 = 512;

/// How a [`Recorder`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct RecorderConfig {
    interval: Duration,
    max_packets: u16,
    max_len_bytes: usize,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), max_packets: 500, max_len_bytes: 1100 }
    }
}

impl RecorderConfig {
    /// The time between feedback messages while packets arrive. Default 50 ms.
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// After this many packets feedback goes out before the interval is over, at most 512. Default 500.
    #[must_use]
    pub const fn max_packets(mut self, packets: u16) -> Self {
        self.max_packets = if packets > 512 { 512 } else { packets };
        self
    }

    /// The size of one feedback message at most, at least 28 bytes. Default 1100.
    #[must_use]
    pub const fn max_len_bytes(mut self, bytes: usize) -> Self {
        self.max_len_bytes = if bytes < 28 { 28 } else { bytes };
        self
    }
}

/// A sequence number (without wraps) and when it arrived, in µs after the recorder's origin.
#[derive(Clone, Copy, Debug)]
struct Slot {
    seq: u64,
    arrival_us: u64,
}

const EMPTY: Slot = Slot { seq: u64::MAX, arrival_us: 0 };

/// Notes arrivals of one transport and writes feedback about them. 16 KiB from the first packet on.
#[derive(Debug)]
pub struct Recorder {
    config: RecorderConfig,
    unwrapper: SeqUnwrapper,
    slots: Vec<Slot>,
    origin: Option<Instant>,
    /// The first number that the next feedback tells about, when there is anything to tell.
    begin: Option<u64>,
    /// The number after the last one that was told about.
    told_end: u64,
    highest: u64,
    fresh: u16,
    next: Option<Instant>,
    feedback_count: u8,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub fn new(config: RecorderConfig) -> Self {
        Self {
            config,
            unwrapper: SeqUnwrapper::default(),
            slots: Vec::new(),
            origin: None,
            begin: None,
            told_end: 0,
            highest: 0,
            fresh: 0,
            next: None,
            feedback_count: 0,
        }
    }

    /// Takes note of a packet with this transport-wide sequence number. Of duplicates the first counts.
    pub fn on_packet(&mut self, now: Instant, seq: SeqNo) {
        let seq = self.unwrapper.unwrap(seq).0;
        let origin = match self.origin {
            Some(origin) => origin,
            None => self.start(now, seq),
        };
        if seq > self.highest {
            if seq - self.highest >= WINDOW {
                // The sender started anew: what lies between was not lost on the way.
                self.told_end = seq;
                self.begin = None;
            }
            self.highest = seq;
        } else if self.highest - seq >= REORDER_WINDOW {
            return;
        }
        let slot = &mut self.slots[(seq % WINDOW) as usize];
        if slot.seq == seq {
            return;
        }
        let arrival = now.saturating_duration_since(origin).as_micros();
        *slot = Slot { seq, arrival_us: u64::try_from(arrival).unwrap_or(u64::MAX) };
        // A late packet makes the feedback reach back, even over what was told before as missing.
        let from = seq.min(self.told_end);
        self.begin = Some(self.begin.map_or(from, |begin| begin.min(from)));
        self.fresh = self.fresh.saturating_add(1);
        let due = if self.fresh >= self.config.max_packets { now } else { now + self.config.interval };
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// Appends one feedback message when it is due at `now`, and tells whether it did. Call until `false`: what one
    /// message does not hold goes into the next.
    pub fn write_feedback(&mut self, now: Instant, sender: Ssrc, media: Ssrc, out: &mut Vec<u8>) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let Some(begin) = self.begin else { return false };
        let begin = begin.max(self.highest.saturating_sub(WINDOW - 1));
        let slots = &self.slots;
        let arrivals = (begin..=self.highest).map(|seq| {
            let slot = slots[(seq % WINDOW) as usize];
            (slot.seq == seq).then(|| Duration::from_micros(slot.arrival_us))
        });
        let told = rtcp::write_transport_feedback(
            out,
            (sender, media),
            self.feedback_count,
            SeqNo(begin as u16),
            arrivals,
            self.config.max_len_bytes,
        );
        self.feedback_count = self.feedback_count.wrapping_add(u8::from(told > 0));
        let end = begin + told as u64;
        self.told_end = self.told_end.max(end);
        if told > 0 && end <= self.highest {
            self.begin = Some(end);
            return true;
        }
        self.begin = None;
        self.fresh = 0;
        self.next = None;
        told > 0
    }

    /// When the next feedback is due; `None` while no packets arrive.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// How many feedback messages were written, modulo 256.
    #[must_use]
    pub const fn feedback_count(&self) -> u8 {
        self.feedback_count
    }

    fn start(&mut self, now: Instant, seq: u64) -> Instant {
        self.slots.resize(WINDOW as usize, EMPTY);
        // Arrivals are counted from the origin, and 64 ms units of it are the reference time.
        self.origin = Some(now);
        self.highest = seq;
        self.told_end = seq;
        now
    }
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;
    use crate::test_clock::at;

    type Statuses = Vec<(u16, Option<i64>)>;

    fn read(data: &[u8]) -> (u8, Statuses) {
        match Compound::new(data).next() {
            Some(Ok(Packet::TransportFeedback(feedback))) => {
                (feedback.feedback_count, feedback.statuses().map(|(seq, at)| (seq.0, at)).collect())
            }
            other => panic!("{other:?}"),
        }
    }

    fn feedback(recorder: &mut Recorder, now: Instant) -> Option<(u8, Statuses)> {
        let mut out = Vec::new();
        recorder.write_feedback(now, Ssrc(1), Ssrc(2), &mut out).then(|| read(&out))
    }

    #[test]
    fn feedback_comes_after_the_interval_and_then_stops() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        assert_eq!(recorder.poll_timeout(), None);
        recorder.on_packet(at(0), SeqNo(65535));
        recorder.on_packet(at(10), SeqNo(1));
        assert_eq!(feedback(&mut recorder, at(49)), None);
        assert_eq!(recorder.poll_timeout(), Some(at(50)));
        let told = vec![(65535, Some(0)), (0, None), (1, Some(10_000))];
        assert_eq!(feedback(&mut recorder, at(50)), Some((0, told)));
        assert_eq!(feedback(&mut recorder, at(500)), None);
        assert_eq!(recorder.poll_timeout(), None);
        recorder.on_packet(at(600), SeqNo(4));
        let told = vec![(2, None), (3, None), (4, Some(600_000))];
        assert_eq!(feedback(&mut recorder, at(650)), Some((1, told)));
    }

    #[test]
    fn a_late_packet_corrects_what_was_told() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        recorder.on_packet(at(0), SeqNo(1));
        recorder.on_packet(at(1), SeqNo(3));
        feedback(&mut recorder, at(60)).unwrap();
        recorder.on_packet(at(70), SeqNo(2));
        let told = vec![(2, Some(70_000)), (3, Some(1000))];
        assert_eq!(feedback(&mut recorder, at(120)), Some((1, told)));
        recorder.on_packet(at(130), SeqNo(2));
        assert_eq!(recorder.poll_timeout(), None, "a duplicate is nothing new");
    }

    #[test]
    fn many_packets_bring_feedback_forward_and_messages_stay_small() {
        let config = RecorderConfig::default().max_packets(300).max_len_bytes(200);
        let mut recorder = Recorder::new(config);
        for n in 0..300 {
            recorder.on_packet(at(n / 30), SeqNo(n as u16));
        }
        assert_eq!(recorder.poll_timeout(), Some(at(9)));
        let mut told = Vec::new();
        for count in 0.. {
            let mut out = Vec::new();
            if !recorder.write_feedback(at(9), Ssrc(1), Ssrc(2), &mut out) {
                break;
            }
            assert!(out.len() <= 200);
            let (number, statuses) = read(&out);
            assert_eq!(number, count);
            told.extend(statuses);
        }
        assert!(told.iter().map(|&(seq, _)| seq).eq(0..300));
        assert!(told.iter().all(|(_, arrival)| arrival.is_some()));
    }

    #[test]
    fn a_jump_beyond_the_window_starts_anew_and_ancient_packets_are_ignored() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        recorder.on_packet(at(0), SeqNo(0));
        feedback(&mut recorder, at(50)).unwrap();
        recorder.on_packet(at(60), SeqNo(10_000));
        recorder.on_packet(at(61), SeqNo(9_000));
        let (_, told) = feedback(&mut recorder, at(120)).unwrap();
        assert_eq!(told, [(10_000, Some(60_000))]);
    }

    #[test]
    fn a_pause_that_one_message_cannot_tell_is_split() {
        let mut recorder = Recorder::new(RecorderConfig::default().interval(Duration::from_secs(60)));
        recorder.on_packet(at(0), SeqNo(1));
        recorder.on_packet(at(20_000), SeqNo(2));
        let first = feedback(&mut recorder, at(60_000)).unwrap();
        let second = feedback(&mut recorder, at(60_000)).unwrap();
        assert_eq!((first.1, second.1), (vec![(1, Some(0))], vec![(2, Some(20_000_000))]));
    }
}
