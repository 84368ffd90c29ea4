//! The receiving side: which packets of each source arrived, when, and with which mark.

use std::time::{Duration, Instant};

use tombolo_net::{Ecn, NtpTime, SeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::rtcp::{ArrivalOffset, CongestionFeedbackWriter, PacketArrival};

use super::MAX_STREAMS;

/// How many sequence numbers of a source are remembered: a power of two.
const WINDOW: u64 = 1024;
/// How far back a packet that comes late makes the next feedback reach.
const REORDER_WINDOW: u64 = 512;

/// How a [`Recorder`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct RecorderConfig {
    interval: Duration,
    max_len_bytes: usize,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), max_len_bytes: 1100 }
    }
}

impl RecorderConfig {
    /// The time between feedback messages while packets arrive. Default 50 ms.
    #[must_use]
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// The size of one feedback message at most, at least 24 bytes. Default 1100.
    #[must_use]
    pub const fn max_len_bytes(mut self, bytes: usize) -> Self {
        self.max_len_bytes = if bytes < 24 { 24 } else { bytes };
        self
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    seq: u64,
    at: Instant,
    ecn: Ecn,
}

/// One source.
#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    unwrapper: SeqUnwrapper,
    slots: Vec<Option<Slot>>,
    highest: u64,
    /// The first number that the next feedback tells about, when there is anything to tell.
    begin: Option<u64>,
    /// The number after the last one that was told about.
    told_end: u64,
    last: Instant,
}

impl Stream {
    fn new(ssrc: Ssrc, now: Instant) -> Self {
        let (unwrapper, slots) = (SeqUnwrapper::default(), vec![None; WINDOW as usize]);
        Self { ssrc, unwrapper, slots, highest: 0, begin: None, told_end: 0, last: now }
    }

    /// Whether it is news.
    fn on_packet(&mut self, now: Instant, seq: SeqNo, ecn: Ecn) -> bool {
        let is_first = self.unwrapper.highest().is_none();
        let seq = self.unwrapper.unwrap(seq).0;
        self.last = now;
        if is_first || (seq > self.highest && seq - self.highest >= WINDOW) {
            // The first, or the sender started anew: nothing before was lost on the way.
            (self.told_end, self.begin) = (seq, None);
        }
        if is_first || seq > self.highest {
            self.highest = seq;
        } else if self.highest - seq >= REORDER_WINDOW {
            return false;
        }
        let slot = &mut self.slots[(seq % WINDOW) as usize];
        match slot {
            Some(known) if known.seq == seq => {
                // Of copies the first one's time counts, and a mark of congestion of any (§3.1).
                let is_news = ecn == Ecn::Ce && known.ecn != Ecn::Ce;
                if is_news {
                    known.ecn = Ecn::Ce;
                } else {
                    return false;
                }
            }
            slot => *slot = Some(Slot { seq, at: now, ecn }),
        }
        let from = seq.min(self.told_end);
        self.begin = Some(self.begin.map_or(from, |begin| begin.min(from)));
        true
    }

    /// Tells what fits. Whether everything did.
    fn tell(&mut self, now: Instant, writer: &mut CongestionFeedbackWriter<'_>) -> bool {
        let Some(begin) = self.begin else { return true };
        let begin = begin.max(self.highest.saturating_sub(WINDOW - 1));
        let slots = &self.slots;
        let arrivals = (begin..=self.highest).map(|seq| {
            let slot = slots[(seq % WINDOW) as usize].filter(|slot| slot.seq == seq)?;
            let offset = ArrivalOffset::from_age(now.saturating_duration_since(slot.at));
            Some(PacketArrival { ecn: slot.ecn, offset })
        });
        let end = begin + writer.stream(self.ssrc, SeqNo(begin as u16), arrivals) as u64;
        self.told_end = self.told_end.max(end);
        self.begin = (end <= self.highest).then_some(end);
        self.begin.is_none()
    }
}

/// Notes arrivals of one transport and writes feedback about them. 40 KiB for each source, of which it keeps 64: the one that
/// was heard least recently makes room. Packets must be authentic, so that nobody else fills it.
#[derive(Debug)]
pub struct Recorder {
    config: RecorderConfig,
    streams: Vec<Stream>,
    next: Option<Instant>,
}

impl Recorder {
    /// A recorder that has seen nothing.
    #[must_use]
    pub const fn new(config: RecorderConfig) -> Self {
        Self { config, streams: Vec::new(), next: None }
    }

    /// Takes note of a packet and the mark that it arrived with.
    pub fn on_packet(&mut self, now: Instant, ssrc: Ssrc, seq: SeqNo, ecn: Ecn) {
        if self.stream(now, ssrc).on_packet(now, seq, ecn) {
            let due = now + self.config.interval;
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        }
    }

    /// Appends one feedback message when it is due at `now`, which the wall clock calls `ntp`, and tells whether it did. Call
    /// until `false`: what one message does not hold goes into the next.
    pub fn write_feedback(&mut self, now: Instant, ntp: NtpTime, sender: Ssrc, out: &mut Vec<u8>) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let start = out.len();
        let mut writer = CongestionFeedbackWriter::new(out, sender, ntp, self.config.max_len_bytes);
        let is_complete = self.streams.iter_mut().all(|stream| stream.tell(now, &mut writer));
        let is_empty = writer.is_empty();
        if is_empty {
            out.truncate(start);
        }
        if is_complete || is_empty {
            self.next = None;
        }
        !is_empty
    }

    /// When the next feedback is due; `None` while no packets arrive.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }

    fn stream(&mut self, now: Instant, ssrc: Ssrc) -> &mut Stream {
        let index = self.streams.iter().position(|stream| stream.ssrc == ssrc).unwrap_or_else(|| {
            if self.streams.len() >= MAX_STREAMS {
                let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.last);
                if let Some((index, _)) = oldest {
                    self.streams.swap_remove(index);
                }
            }
            self.streams.push(Stream::new(ssrc, now));
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;
    use crate::test_clock::at;

    /// Source, sequence number, and mark and age in ms of what arrived.
    type Told = Vec<(u32, u16, Option<(Ecn, u128)>)>;

    fn told(recorder: &mut Recorder, ms: u64) -> Option<Told> {
        let mut out = Vec::new();
        let written = recorder.write_feedback(at(ms), NtpTime(ms << 32), Ssrc(9), &mut out);
        assert_eq!(written, !out.is_empty());
        written.then(|| {
            let Some(Ok(Packet::CongestionFeedback(feedback))) = Compound::new(&out).next() else {
                panic!("no feedback")
            };
            let of = |stream: tombolo_rtp::rtcp::StreamFeedback<'_>| {
                let packet = |(seq, arrival): (SeqNo, Option<PacketArrival>)| {
                    let arrival = arrival
                        .map(|arrival| (arrival.ecn, arrival.offset.age().expect("an age").as_millis()));
                    (stream.ssrc.0, seq.0, arrival)
                };
                stream.packets().map(packet).collect::<Vec<_>>()
            };
            feedback.streams().flat_map(of).collect()
        })
    }

    #[test]
    fn arrivals_losses_and_marks_of_each_source_are_told() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        recorder.on_packet(at(0), Ssrc(1), SeqNo(65_534), Ecn::Ect1);
        recorder.on_packet(at(10), Ssrc(1), SeqNo(0), Ecn::Ce);
        recorder.on_packet(at(20), Ssrc(2), SeqNo(7), Ecn::NotEct);
        assert_eq!(told(&mut recorder, 49), None);
        let expected = vec![
            (1, 65_534, Some((Ecn::Ect1, 49))),
            (1, 65_535, None),
            (1, 0, Some((Ecn::Ce, 39))),
            (2, 7, Some((Ecn::NotEct, 29))),
        ];
        assert_eq!(told(&mut recorder, 50), Some(expected));
        assert_eq!((told(&mut recorder, 500), recorder.poll_timeout()), (None, None));
    }

    #[test]
    fn a_late_packet_and_a_marked_copy_are_told_again() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        for seq in [1, 3] {
            recorder.on_packet(at(0), Ssrc(1), SeqNo(seq), Ecn::Ect0);
        }
        assert_eq!(told(&mut recorder, 50).map(|told| told.len()), Some(3));
        recorder.on_packet(at(60), Ssrc(1), SeqNo(2), Ecn::Ect0);
        recorder.on_packet(at(70), Ssrc(1), SeqNo(3), Ecn::Ect0);
        recorder.on_packet(at(71), Ssrc(1), SeqNo(3), Ecn::Ce);
        let again = told(&mut recorder, 110).expect("feedback");
        assert_eq!(again, [(1, 2, Some((Ecn::Ect0, 49))), (1, 3, Some((Ecn::Ce, 109)))]);
    }

    #[test]
    fn what_one_message_does_not_hold_goes_into_the_next() {
        let mut recorder = Recorder::new(RecorderConfig::default().max_len_bytes(60));
        for seq in 0..40 {
            recorder.on_packet(at(0), Ssrc(1), SeqNo(seq), Ecn::NotEct);
            recorder.on_packet(at(0), Ssrc(2), SeqNo(seq), Ecn::NotEct);
        }
        let mut all = Vec::new();
        while let Some(told) = told(&mut recorder, 50) {
            all.extend(told.iter().map(|(ssrc, seq, _)| (*ssrc, *seq)));
        }
        let expected: Vec<_> =
            [1, 2].into_iter().flat_map(|ssrc| (0..40).map(move |seq| (ssrc, seq))).collect();
        assert_eq!(all, expected);
        assert_eq!(recorder.poll_timeout(), None);
    }

    #[test]
    fn sources_and_jumps_are_bounded() {
        let mut recorder = Recorder::new(RecorderConfig::default());
        for ssrc in 0..1000 {
            recorder.on_packet(at(ssrc), Ssrc(ssrc as u32), SeqNo(0), Ecn::NotEct);
        }
        assert_eq!(recorder.streams.len(), MAX_STREAMS);
        recorder.on_packet(at(1001), Ssrc(999), SeqNo(20_000), Ecn::NotEct);
        let mut count = 0;
        while let Some(told) = told(&mut recorder, 2000) {
            count += told.len();
        }
        assert_eq!(count, MAX_STREAMS, "no thousands of losses");
    }
}
