//! The sending side: which packets went out, and what became of them.

use std::time::{Duration, Instant};

use tombolo_net::{Ecn, ExtSeqNo, SeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::rtcp::{ArrivalOffset, CongestionFeedback, StreamFeedback};

use super::MAX_STREAMS;
use crate::bwe::PacketResult;

/// How many packets of a source are remembered: a power of two.
const WINDOW: u64 = 1024;
/// The report's timestamp has 32 bits of 1/65536 s.
const CLOCK_WRAP: i64 = 1 << 32;
/// What is further away than an arrival offset can tell arrived this long before the report.
const OVER_RANGE: Duration = Duration::from_millis(8000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Lost,
    Arrived,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    seq: u64,
    number: u64,
    sent: Instant,
    size_bytes: u32,
    state: State,
}

/// One source.
#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    unwrapper: SeqUnwrapper,
    slots: Vec<Option<Slot>>,
    last: Instant,
}

impl Stream {
    fn slot(&mut self, seq: SeqNo) -> Option<&mut Slot> {
        let seq = self.unwrapper.peek(seq)?.0;
        self.slots[(seq % WINDOW) as usize].as_mut().filter(|slot| slot.seq == seq)
    }
}

/// Remembers the last 1024 packets of each source, 40 KiB for each. Of more than 64 sources the one that sent least recently is
/// forgotten.
#[derive(Debug, Default)]
pub struct SendHistory {
    next: u64,
    streams: Vec<Stream>,
    /// The receiver's clock at the last report, in units of 1/65536 s, wraps removed.
    clock: Option<i64>,
    results: Vec<PacketResult>,
}

impl SendHistory {
    /// A history of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of a packet of `size_bytes` that goes out at `now`, and numbers it among all of the transport.
    pub fn on_sent(&mut self, now: Instant, ssrc: Ssrc, seq: SeqNo, size_bytes: u32) -> ExtSeqNo {
        let number = self.next;
        self.next += 1;
        let stream = self.stream(now, ssrc);
        stream.last = now;
        let seq = stream.unwrapper.unwrap(seq).0;
        let state = State::InFlight;
        stream.slots[(seq % WINDOW) as usize] = Some(Slot { seq, number, sent: now, size_bytes, state });
        ExtSeqNo(number)
    }

    /// Reads feedback. What it newly tells stands in order of numbers, for an estimator; it is kept until the next call.
    pub fn on_feedback(&mut self, feedback: &CongestionFeedback<'_>) -> &mut [PacketResult] {
        self.results.clear();
        let report_us = self.unwrap_clock(feedback.report_timestamp) * 15_625 / 1024;
        for told in feedback.streams() {
            self.read(&told, report_us);
        }
        self.results.sort_unstable_by_key(|result| result.number);
        &mut self.results
    }

    fn read(&mut self, told: &StreamFeedback<'_>, report_us: i64) {
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.ssrc == told.ssrc) else { return };
        for (seq, arrival) in told.packets() {
            let Some(slot) = stream.slot(seq) else { continue };
            let state = if arrival.is_some() { State::Arrived } else { State::Lost };
            if slot.state == State::Arrived || slot.state == state {
                continue;
            }
            let was_missing = slot.state == State::Lost;
            slot.state = state;
            let age = |offset: ArrivalOffset| {
                let unknown = if offset == ArrivalOffset::OVER_RANGE { OVER_RANGE } else { Duration::ZERO };
                offset.age().unwrap_or(unknown).as_micros() as i64
            };
            self.results.push(PacketResult {
                number: ExtSeqNo(slot.number),
                sent: slot.sent,
                size_bytes: slot.size_bytes,
                arrival_us: arrival.map(|arrival| report_us - age(arrival.offset)),
                ecn: arrival.map_or(Ecn::NotEct, |arrival| arrival.ecn),
                was_missing,
            });
        }
    }

    fn unwrap_clock(&mut self, timestamp: u32) -> i64 {
        let timestamp = i64::from(timestamp);
        let unwrapped = self.clock.map_or(timestamp, |clock| {
            let ahead = (timestamp - clock).rem_euclid(CLOCK_WRAP);
            clock + if ahead >= CLOCK_WRAP / 2 { ahead - CLOCK_WRAP } else { ahead }
        });
        self.clock = Some(unwrapped);
        unwrapped
    }

    fn stream(&mut self, now: Instant, ssrc: Ssrc) -> &mut Stream {
        let index = self.streams.iter().position(|stream| stream.ssrc == ssrc).unwrap_or_else(|| {
            if self.streams.len() >= MAX_STREAMS {
                let oldest = self.streams.iter().enumerate().min_by_key(|(_, stream)| stream.last);
                if let Some((index, _)) = oldest {
                    self.streams.swap_remove(index);
                }
            }
            let (unwrapper, slots) = (SeqUnwrapper::default(), vec![None; WINDOW as usize]);
            self.streams.push(Stream { ssrc, unwrapper, slots, last: now });
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::NtpTime;
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;
    use crate::ccfb::{Recorder, RecorderConfig};
    use crate::test_clock::at;

    /// What the recorder tells at a time, read by the history: number, arrival in ms, mark, whether it was missing.
    fn pass(
        recorder: &mut Recorder,
        history: &mut SendHistory,
        ms: u64,
    ) -> Vec<(u64, Option<i64>, Ecn, bool)> {
        let mut out = Vec::new();
        // A wall clock that wraps its middle bits a second after the start.
        let ntp = NtpTime(0xffff_0000_0000 + (ms << 32) / 1000);
        assert!(recorder.write_feedback(at(ms), ntp, Ssrc(9), &mut out));
        let Some(Ok(Packet::CongestionFeedback(feedback))) = Compound::new(&out).next() else { panic!() };
        let base = 0xffff_i64 * 1_000_000;
        let results = history.on_feedback(&feedback);
        let told = results.iter().map(|result| {
            let arrival = result.arrival_us.map(|us| (us - base + 500).div_euclid(1000));
            (result.number.0, arrival, result.ecn, result.was_missing)
        });
        told.collect()
    }

    #[test]
    fn each_packet_is_told_once_in_the_order_of_sending() {
        let (mut recorder, mut history) = (Recorder::new(RecorderConfig::default()), SendHistory::new());
        for (ms, ssrc, seq) in [(0, 1, 65_535), (1, 2, 5), (2, 1, 0), (3, 1, 1), (4, 2, 6)] {
            history.on_sent(at(ms), Ssrc(ssrc), SeqNo(seq), 1000);
        }
        recorder.on_packet(at(20), Ssrc(1), SeqNo(65_535), Ecn::Ect1);
        recorder.on_packet(at(21), Ssrc(2), SeqNo(5), Ecn::Ce);
        recorder.on_packet(at(23), Ssrc(1), SeqNo(1), Ecn::Ect1);
        let told = pass(&mut recorder, &mut history, 75);
        assert_eq!(told.iter().map(|(number, ..)| *number).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!((told[1].2, told[2].1), (Ecn::Ce, None));
        for (index, ms) in [(0, 20), (1, 21), (3, 23)] {
            assert!((told[index].1.unwrap() - ms).abs() <= 1, "{told:?}");
        }
        recorder.on_packet(at(1200), Ssrc(1), SeqNo(0), Ecn::Ect1);
        let told = pass(&mut recorder, &mut history, 1250);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!((told[0].1.unwrap() - 1200).abs() <= 1 && told[0].3, "past the wrap: {told:?}");
    }

    #[test]
    fn what_was_never_sent_tells_nothing_and_sources_are_bounded() {
        let (mut recorder, mut history) = (Recorder::new(RecorderConfig::default()), SendHistory::new());
        history.on_sent(at(0), Ssrc(1), SeqNo(5), 1000);
        recorder.on_packet(at(20), Ssrc(1), SeqNo(900), Ecn::NotEct);
        recorder.on_packet(at(20), Ssrc(7), SeqNo(5), Ecn::NotEct);
        assert_eq!(pass(&mut recorder, &mut history, 75), []);
        for ssrc in 0..1000 {
            history.on_sent(at(100), Ssrc(ssrc), SeqNo(0), 1000);
        }
        assert_eq!(history.streams.len(), MAX_STREAMS);
    }
}
