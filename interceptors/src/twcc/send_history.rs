//! The sending side: numbers for outgoing packets, and what became of them.

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Ecn, ExtSeqNo, SeqNo};
use tombolo_rtp::rtcp::TransportFeedback;

use crate::bwe::PacketResult;

/// How many packets are remembered: a power of two.
const WINDOW: u64 = 4096;
/// The reference time has 24 bits of 64 ms each.
const CLOCK_WRAP_US: i64 = 64_000 << 24;

/// What one feedback message told, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets that are now known to have arrived.
    pub acked: u32,
    /// Packets that are now known to be missing.
    pub lost: u32,
    /// Bytes of those that arrived.
    pub acked_bytes: u64,
    /// Packets that the message names and that were never sent, are long forgotten, or were settled before.
    pub unknown: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    InFlight,
    Lost,
    Acked,
}

/// When a packet was sent, in µs on a clock that wraps, its size and its fate.
#[derive(Clone, Copy, Debug)]
struct Slot {
    sent_us: u32,
    size_bytes: u16,
    state: State,
}

/// Numbers the packets of one transport and remembers the last 4096. 32 KiB from the first packet on.
#[derive(Debug)]
pub struct SendHistory {
    next: u64,
    /// When the last packet was sent, and what the slots' clock read then.
    last_sent: Option<(Instant, u32)>,
    slots: Vec<Slot>,
    /// The receiver's clock at the last arrival told, wraps removed.
    clock_us: Option<i64>,
    loss: f64,
    delivered: Delivered,
}

/// Bytes that arrived, by the receiver's clock, in two windows of half a second.
#[derive(Clone, Copy, Debug, Default)]
struct Delivered {
    start_us: i64,
    bytes: u64,
    bitrate: Option<Bitrate>,
}

impl Delivered {
    const WINDOW_US: i64 = 500_000;

    fn add(&mut self, arrival_us: i64, bytes: u32) {
        let elapsed = arrival_us - self.start_us;
        if !(-Self::WINDOW_US..Self::WINDOW_US).contains(&elapsed) {
            if self.bytes > 0 && elapsed > 0 {
                let time = Duration::from_micros(elapsed.unsigned_abs());
                self.bitrate = Some(Bitrate::from_bytes_in(self.bytes, time));
            }
            self.start_us = arrival_us;
            self.bytes = 0;
        }
        self.bytes += u64::from(bytes);
    }
}

impl SendHistory {
    /// A history whose first packet gets the number `first`.
    #[must_use]
    pub fn new(first: SeqNo) -> Self {
        Self {
            next: 0x1_0000 + u64::from(first.0),
            last_sent: None,
            slots: Vec::new(),
            clock_us: None,
            loss: 0.0,
            delivered: Delivered::default(),
        }
    }

    /// Numbers a packet that goes out at `now` with `size_bytes`, at most 65535 (whichever size the owner's bitrates
    /// mean).
    pub fn on_sent(&mut self, now: Instant, size_bytes: u32) -> ExtSeqNo {
        let seq = self.next;
        self.next += 1;
        let sent_us = self.last_sent.map_or(0, |(last, last_us)| {
            last_us.wrapping_add(now.saturating_duration_since(last).as_micros() as u32)
        });
        self.last_sent = Some((now, sent_us));
        let size_bytes = u16::try_from(size_bytes).unwrap_or(u16::MAX);
        let slot = Slot { sent_us, size_bytes, state: State::InFlight };
        if self.slots.is_empty() {
            self.slots.resize(WINDOW as usize, Slot { state: State::Acked, ..slot });
        }
        self.slots[(seq % WINDOW) as usize] = slot;
        ExtSeqNo(seq)
    }

    /// Reads feedback, hands each packet whose fate it settles to `sink` in order of sequence numbers, and sums up.
    pub fn on_feedback(
        &mut self,
        feedback: &TransportFeedback<'_>,
        mut sink: impl FnMut(PacketResult),
    ) -> Summary {
        let mut summary = Summary::default();
        for (seq, arrival_us) in feedback.statuses() {
            // The clock runs on with packets that are no longer known.
            let arrival_us = arrival_us.map(|us| self.unwrap_clock(us));
            let Some((ext, slot)) = self.slot(seq) else {
                summary.unknown += 1;
                continue;
            };
            let state = if arrival_us.is_some() { State::Acked } else { State::Lost };
            if slot.state == State::Acked || slot.state == state {
                summary.unknown += 1;
                continue;
            }
            let was_missing = slot.state == State::Lost;
            slot.state = state;
            let Slot { sent_us, size_bytes, .. } = *slot;
            let size_bytes = u32::from(size_bytes);
            let Some(sent) = self.instant(sent_us) else { continue };
            match arrival_us {
                Some(us) => {
                    summary.acked += 1;
                    summary.acked_bytes += u64::from(size_bytes);
                    self.delivered.add(us, size_bytes);
                }
                None => summary.lost += 1,
            }
            let (number, ecn) = (ExtSeqNo(ext), Ecn::NotEct);
            sink(PacketResult { number, sent, size_bytes, arrival_us, ecn, was_missing });
        }
        let settled = summary.acked + summary.lost;
        if settled > 0 {
            // A time constant of about 100 packets, so that small messages do not count as much as large ones.
            let weight = (f64::from(settled) / 100.0).min(1.0);
            let loss = f64::from(summary.lost) / f64::from(settled);
            self.loss += (loss - self.loss) * weight;
        }
        summary
    }

    /// The number that the next packet gets.
    #[must_use]
    pub const fn next_number(&self) -> ExtSeqNo {
        ExtSeqNo(self.next)
    }

    /// The share of packets that were told as missing, 0 to 1, smoothed over about 100 packets.
    #[must_use]
    pub const fn loss_fraction(&self) -> f64 {
        self.loss
    }

    /// What arrived over the last half second or so of the receiver's clock; `None` until that is known.
    #[must_use]
    pub const fn delivered(&self) -> Option<Bitrate> {
        self.delivered.bitrate
    }

    /// The slot of a packet that was sent and is still remembered. Its number, without wraps, is the latest that
    /// fits: nothing after the last packet sent can be told about.
    fn slot(&mut self, seq: SeqNo) -> Option<(u64, &mut Slot)> {
        let last = self.next - 1;
        let ext = last - u64::from((last as u16).wrapping_sub(seq.0));
        let known = !self.slots.is_empty() && last - ext < WINDOW;
        known.then(|| (ext, &mut self.slots[(ext % WINDOW) as usize]))
    }

    /// The instant that the slots' clock reads `us`, within 71 minutes before the last packet was sent.
    fn instant(&self, us: u32) -> Option<Instant> {
        let (last, last_us) = self.last_sent?;
        last.checked_sub(Duration::from_micros(last_us.wrapping_sub(us).into()))
    }

    fn unwrap_clock(&mut self, us: i64) -> i64 {
        let unwrapped = match self.clock_us {
            Some(clock) => {
                let ahead = (us - clock).rem_euclid(CLOCK_WRAP_US);
                clock + if ahead >= CLOCK_WRAP_US / 2 { ahead - CLOCK_WRAP_US } else { ahead }
            }
            None => us,
        };
        self.clock_us = Some(unwrapped);
        unwrapped
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::Ssrc;
    use tombolo_rtp::rtcp::{Compound, Packet, write_transport_feedback};

    use super::*;
    use crate::test_clock::at;

    fn tell(
        history: &mut SendHistory,
        base: u16,
        arrivals_ms: &[Option<u64>],
    ) -> (Summary, Vec<PacketResult>) {
        let arrivals = arrivals_ms.iter().map(|ms| ms.map(Duration::from_millis));
        let mut out = Vec::new();
        write_transport_feedback(&mut out, (Ssrc(1), Ssrc(2)), 0, SeqNo(base), arrivals, 1200);
        let Some(Ok(Packet::TransportFeedback(feedback))) = Compound::new(&out).next() else { panic!() };
        let mut results = Vec::new();
        let summary = history.on_feedback(&feedback, |result| results.push(result));
        (summary, results)
    }

    #[test]
    fn each_packet_is_settled_once_and_a_loss_may_be_taken_back() {
        let mut history = SendHistory::new(SeqNo(65534));
        for n in 0..4 {
            assert_eq!(
                history.on_sent(at(n), 100 + n as u32).wire(),
                SeqNo(65534_u16.wrapping_add(n as u16))
            );
        }
        let (summary, results) = tell(&mut history, 65534, &[Some(70), None, Some(90)]);
        assert_eq!(summary, Summary { acked: 2, lost: 1, acked_bytes: 202, unknown: 0 });
        assert_eq!(results[1].arrival_us, None);
        assert_eq!(
            (results[2].sent, results[2].size_bytes, results[2].arrival_us),
            (at(2), 102, Some(90_000))
        );
        assert_eq!(results[2].number, results[0].number.next().next());

        let (summary, results) = tell(&mut history, 65535, &[Some(95), Some(90), Some(96)]);
        assert_eq!(summary, Summary { acked: 2, lost: 0, acked_bytes: 204, unknown: 1 });
        assert_eq!(results.iter().map(|r| r.number.wire().0).collect::<Vec<_>>(), [65535, 1]);
        assert!(results[0].was_missing && !results[1].was_missing);
    }

    #[test]
    fn feedback_about_what_was_never_sent_settles_nothing() {
        let mut history = SendHistory::new(SeqNo(0));
        assert_eq!(tell(&mut history, 7, &[Some(1)]).0.unknown, 1);
        history.on_sent(at(0), 100);
        let (summary, results) = tell(&mut history, 1, &[Some(1), Some(2)]);
        assert_eq!((summary.unknown, results.len()), (2, 0));
        for n in 0..5000 {
            history.on_sent(at(n), 100);
        }
        assert_eq!(tell(&mut history, 0, &[Some(1), Some(2)]).0.unknown, 2, "forgotten");
    }

    #[test]
    fn the_receivers_clock_wraps_unseen() {
        let mut history = SendHistory::new(SeqNo(0));
        history.on_sent(at(0), 1);
        history.on_sent(at(100), 1);
        let wrap_ms = CLOCK_WRAP_US as u64 / 1000;
        let (_, first) = tell(&mut history, 0, &[Some(wrap_ms - 30)]);
        let (_, second) = tell(&mut history, 1, &[Some(wrap_ms + 70)]);
        assert_eq!(second[0].arrival_us.unwrap() - first[0].arrival_us.unwrap(), 100_000);
    }

    #[test]
    fn loss_and_delivered_bitrate_are_those_of_the_link() {
        let mut history = SendHistory::new(SeqNo(0));
        for n in 0..1000_u64 {
            history.on_sent(at(n), 1250);
        }
        for round in 0..20_u64 {
            // One in ten is lost; the rest arrive at 1 packet a ms: 9 Mb/s.
            let arrivals: Vec<_> = (0..50).map(|n| (n % 10 != 3).then_some(500 + round * 50 + n)).collect();
            tell(&mut history, (round * 50) as u16, &arrivals);
        }
        assert!((history.loss_fraction() - 0.1).abs() < 0.001);
        let delivered = history.delivered().unwrap().as_bps();
        assert!((8_800_000..9_200_000).contains(&delivered), "{delivered}");
    }
}
