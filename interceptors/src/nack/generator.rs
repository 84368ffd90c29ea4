//! The receiving side: which packets are missing, and when to ask for them.
//!
//! A packet goes missing when a newer one arrives. It is asked for once it is no longer explained by reordering,
//! again each round trip, and is given up after a number of requests or an age, which [`Generator::poll_lost`]
//! tells so that the owner can ask for a keyframe.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::{ExtSeqNo, SeqNo, Ssrc};
use tombolo_rtp::rtcp;

/// At most this many packets are named in one NACK packet, which so stays below 530 bytes.
const MAX_NAMED: usize = 128;
/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// What an encoder and the sending of a keyframe take, beside two round trips, before packets from before its request are asked
/// for again.
const ENCODE_TIME: Duration = Duration::from_millis(200);

/// How a [`Generator`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct GeneratorConfig {
    reorder_packets: u16,
    reorder_delay: Duration,
    max_requests: u8,
    max_age: Duration,
    window_packets: u16,
    max_missing: u16,
    outage: Duration,
    outage_packets: u16,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            reorder_packets: 2,
            reorder_delay: Duration::from_millis(10),
            max_requests: 10,
            max_age: Duration::from_secs(1),
            window_packets: 2048,
            max_missing: 512,
            outage: Duration::from_millis(400),
            outage_packets: 12,
        }
    }
}

impl GeneratorConfig {
    /// A gap this many packets behind the newest is no longer taken for reordering. Default 2.
    #[must_use]
    pub const fn reorder_packets(mut self, packets: u16) -> Self {
        self.reorder_packets = packets;
        self
    }

    /// A gap this old is no longer taken for reordering, however few packets followed. Default 10 ms.
    #[must_use]
    pub const fn reorder_delay(mut self, delay: Duration) -> Self {
        self.reorder_delay = delay;
        self
    }

    /// How often one packet is asked for. Default 10.
    #[must_use]
    pub const fn max_requests(mut self, requests: u8) -> Self {
        self.max_requests = requests;
        self
    }

    /// After this time a missing packet is given up, however often it was asked for. Default 1 s.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// A jump in sequence numbers beyond this many packets starts anew. Default 2048.
    #[must_use]
    pub const fn window_packets(mut self, packets: u16) -> Self {
        self.window_packets = packets;
        self
    }

    /// How many missing packets are followed at once; of more, the oldest are given up. Default 512.
    #[must_use]
    pub const fn max_missing(mut self, packets: u16) -> Self {
        self.max_missing = packets;
        self
    }

    /// When nothing came for `silence` and then at least `packets` are missing, they are given up at once: repairing
    /// so much so late would take longer than a keyframe. Default 400 ms and 12 packets.
    #[must_use]
    pub const fn outage(mut self, silence: Duration, packets: u16) -> Self {
        self.outage = silence;
        self.outage_packets = packets;
        self
    }
}

/// What an arriving packet is to its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before; packets between may now be missing.
    New,
    /// It was missing, or it comes from shortly before the first packet. `requests` is how often it had been asked
    /// for: 0 for mere reordering.
    Recovered {
        /// How often it had been asked for.
        requests: u8,
    },
    /// It had arrived before, or had been given up.
    Duplicate,
    /// Too far behind to tell.
    TooOld,
    /// The stream jumped beyond the window, forwards or (confirmed by a second packet) backwards; everything
    /// before is forgotten, and told as lost when it was awaited.
    Restarted,
}

/// Packets that will not come, merged into one range since the last [`Generator::poll_lost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The lowest sequence number that was given up.
    pub first: ExtSeqNo,
    /// The highest sequence number that was given up.
    pub last: ExtSeqNo,
    /// How many between them were given up (others between may have arrived).
    pub packets: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    seq: ExtSeqNo,
    since: Instant,
    /// It is not asked for before.
    earliest: Instant,
    next: Instant,
    requests: u8,
}

/// Finds what is missing of one received stream and asks for it.
///
/// After each packet and at [`Generator::poll_timeout`], call [`Generator::write_feedback`] until it returns 0.
/// Holds at most [`GeneratorConfig::max_missing`] entries.
#[derive(Debug)]
pub struct Generator {
    config: GeneratorConfig,
    highest: Option<ExtSeqNo>,
    /// The first packet of this run of numbers.
    first: ExtSeqNo,
    /// Which of the 64 before it have arrived, the nearest in the lowest bit.
    early: u64,
    last_arrival: Option<Instant>,
    /// Ascending by sequence number.
    missing: VecDeque<Missing>,
    /// The next number of a run far behind `highest`: a second packet of it confirms a restart.
    behind: Option<ExtSeqNo>,
    lost: Option<Lost>,
    rtt: Duration,
    patience: Duration,
    requests: u64,
    /// Packets up to this one are not asked for until then: a keyframe is under way that does without them.
    held: Option<(ExtSeqNo, Instant)>,
}

impl Generator {
    /// A generator that has seen nothing.
    #[must_use]
    pub fn new(config: GeneratorConfig) -> Self {
        Self {
            config,
            highest: None,
            first: ExtSeqNo(0),
            early: 0,
            last_arrival: None,
            missing: VecDeque::new(),
            behind: None,
            lost: None,
            rtt: INITIAL_RTT,
            patience: Duration::ZERO,
            requests: 0,
            held: None,
        }
    }

    /// Tells the round-trip time, which paces repeated requests.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// How long a packet that goes missing from now on is waited for before it is asked for, however many came after it:
    /// something else than a retransmission may bring it, as forward error correction. Default none.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Takes note of a packet, retransmitted ones included.
    pub fn on_packet(&mut self, now: Instant, seq: ExtSeqNo) -> Arrival {
        let silence = self.last_arrival.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_arrival = Some(now);
        let Some(highest) = self.highest else {
            self.restart(seq);
            return Arrival::New;
        };
        if seq > highest {
            return self.on_newer(now, silence, highest, seq);
        }
        if let Ok(index) = self.missing.binary_search_by_key(&seq, |missing| missing.seq) {
            let requests = self.missing.remove(index).map_or(0, |missing| missing.requests);
            return Arrival::Recovered { requests };
        }
        if self.is_early(seq) {
            return Arrival::Recovered { requests: 0 };
        }
        if highest.0 - seq.0 <= u64::from(self.config.window_packets) {
            return Arrival::Duplicate;
        }
        if self.behind == Some(seq) {
            self.restart(seq);
            return Arrival::Restarted;
        }
        self.behind = Some(seq.next());
        Arrival::TooOld
    }

    /// Whether a packet would be one that has not come and is not given up; not before the first packet.
    #[must_use]
    pub fn awaits(&self, seq: ExtSeqNo) -> bool {
        let is_missing = || self.missing.binary_search_by_key(&seq, |missing| missing.seq).is_ok();
        self.highest.is_some_and(|highest| seq > highest || is_missing())
    }

    /// A keyframe was asked for. What is missing now is asked for no more, because a keyframe does without it, and the way is to be free for
    /// that: not for two round trips and 200 ms. What is missing later, of the keyframe itself, is asked for as ever. When the
    /// keyframe begins, call [`Generator::forget_before`]. What comes all the same is taken.
    pub fn on_keyframe_request(&mut self, now: Instant) {
        if self.held.is_none_or(|(_, until)| until <= now) {
            self.held = self.highest.map(|highest| (highest, now + self.rtt * 2 + ENCODE_TIME));
        }
    }

    /// Gives up all packets below `seq`, without telling them as lost: the owner has moved on, for example to a
    /// keyframe that starts there.
    pub fn forget_before(&mut self, seq: ExtSeqNo) {
        while self.missing.front().is_some_and(|missing| missing.seq < seq) {
            self.missing.pop_front();
        }
        self.held = self.held.filter(|(last, _)| *last >= seq);
    }

    /// Appends one NACK packet for what is due at `now` and returns how many packets it names; 0 when nothing is
    /// due, and then nothing is appended. Also gives up what is too old or was asked for too often.
    pub fn write_feedback(&mut self, now: Instant, sender: Ssrc, media: Ssrc, out: &mut Vec<u8>) -> usize {
        let mut due = [SeqNo(0); MAX_NAMED];
        let named = self.take_due(now, &mut due);
        if named > 0 {
            rtcp::write_nack(out, sender, media, due[..named].iter().copied());
        }
        named
    }

    /// Fills `due` with the packets to ask for at `now`, ascending, and returns how many. They count as asked for.
    pub fn take_due(&mut self, now: Instant, due: &mut [SeqNo]) -> usize {
        self.give_up(now);
        let Some(highest) = self.highest else { return 0 };
        let again = now + self.repeat_interval();
        let mut named = 0;
        for missing in &mut self.missing {
            if named == due.len() {
                break;
            }
            if Self::due_at(&self.config, highest, self.held, missing) <= now
                && missing.requests < self.config.max_requests
            {
                due[named] = missing.seq.wire();
                named += 1;
                missing.requests += 1;
                missing.next = again;
            }
        }
        self.requests += named as u64;
        named
    }

    /// What was given up since the last call.
    pub fn poll_lost(&mut self) -> Option<Lost> {
        self.lost.take()
    }

    /// When [`Generator::write_feedback`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let highest = self.highest?;
        self.missing
            .iter()
            .map(|missing| {
                let due = Self::due_at(&self.config, highest, self.held, missing);
                due.min(missing.since + self.config.max_age)
            })
            .min()
    }

    /// How many packets are missing and still hoped for.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// How many packets were asked for so far, repeats included.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        self.requests
    }

    fn on_newer(&mut self, now: Instant, silence: Duration, highest: ExtSeqNo, seq: ExtSeqNo) -> Arrival {
        let gap = seq.0 - highest.0 - 1;
        if gap > u64::from(self.config.window_packets) {
            self.add_lost(highest.next(), ExtSeqNo(seq.0 - 1), gap);
            self.restart(seq);
            return Arrival::Restarted;
        }
        if silence >= self.config.outage && gap >= u64::from(self.config.outage_packets) {
            self.add_lost(highest.next(), ExtSeqNo(seq.0 - 1), gap);
            self.restart(seq);
            return Arrival::New;
        }
        self.highest = Some(seq);
        self.behind = None;
        for lacking in highest.0 + 1..seq.0 {
            if self.missing.len() >= usize::from(self.config.max_missing) {
                self.lose_oldest();
            }
            self.missing.push_back(Missing {
                seq: ExtSeqNo(lacking),
                since: now,
                earliest: now + self.patience,
                next: now + self.config.reorder_delay.max(self.patience),
                requests: 0,
            });
        }
        while self
            .missing
            .front()
            .is_some_and(|missing| seq.0 - missing.seq.0 > u64::from(self.config.window_packets))
        {
            self.lose_oldest();
        }
        Arrival::New
    }

    fn restart(&mut self, seq: ExtSeqNo) {
        self.held = None;
        while !self.missing.is_empty() {
            self.lose_oldest();
        }
        self.behind = None;
        self.highest = Some(seq);
        self.first = seq;
        self.early = 0;
    }

    /// Whether this is a packet from shortly before the first one that has not been seen: reordering at the start.
    fn is_early(&mut self, seq: ExtSeqNo) -> bool {
        let Some(before @ 1..=64) = self.first.0.checked_sub(seq.0) else { return false };
        let bit = 1 << (before - 1);
        let unseen = self.early & bit == 0;
        self.early |= bit;
        unseen
    }

    fn give_up(&mut self, now: Instant) {
        let max_requests = self.config.max_requests;
        let max_age = self.config.max_age;
        let mut kept = 0;
        for index in 0..self.missing.len() {
            let missing = self.missing[index];
            let spent = missing.requests >= max_requests && missing.next <= now;
            if spent || now.saturating_duration_since(missing.since) >= max_age {
                self.add_lost(missing.seq, missing.seq, 1);
            } else {
                self.missing[kept] = missing;
                kept += 1;
            }
        }
        self.missing.truncate(kept);
    }

    fn lose_oldest(&mut self) {
        if let Some(missing) = self.missing.pop_front() {
            self.add_lost(missing.seq, missing.seq, 1);
        }
    }

    fn add_lost(&mut self, first: ExtSeqNo, last: ExtSeqNo, packets: u64) {
        let lost = self.lost.get_or_insert(Lost { first, last, packets: 0 });
        lost.first = lost.first.min(first);
        lost.last = lost.last.max(last);
        lost.packets += packets;
    }

    /// A lost request or a lost retransmission shows after one round trip; the margin keeps jitter from doubling
    /// requests.
    fn repeat_interval(&self) -> Duration {
        (self.rtt + self.rtt / 4).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    fn due_at(
        config: &GeneratorConfig,
        highest: ExtSeqNo,
        held: Option<(ExtSeqNo, Instant)>,
        missing: &Missing,
    ) -> Instant {
        let overtaken = highest.0 - missing.seq.0 >= u64::from(config.reorder_packets);
        let due = if missing.requests == 0 && overtaken { missing.earliest } else { missing.next };
        match held {
            Some((last, until)) if missing.seq <= last => due.max(until),
            _ => due,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_clock::at;

    fn seq(number: u64) -> ExtSeqNo {
        ExtSeqNo(0x1_0000 + number)
    }

    fn due(generator: &mut Generator, now: Instant) -> Vec<u16> {
        let mut buf = [SeqNo(0); MAX_NAMED];
        let named = generator.take_due(now, &mut buf);
        buf[..named].iter().map(|seq| seq.0).collect()
    }

    #[test]
    fn a_gap_is_asked_for_when_overtaken_twice_or_after_the_reorder_delay() {
        let mut generator = Generator::new(GeneratorConfig::default());
        generator.on_packet(at(0), seq(1));
        generator.on_packet(at(0), seq(3));
        assert_eq!(due(&mut generator, at(0)), [], "one packet later it may still be reordering");
        assert_eq!(generator.poll_timeout(), Some(at(10)));
        generator.on_packet(at(1), seq(4));
        assert_eq!(due(&mut generator, at(1)), [2]);

        generator.on_packet(at(2), seq(6));
        assert_eq!(due(&mut generator, at(11)), []);
        assert_eq!(due(&mut generator, at(12)), [5]);
    }

    /// After a keyframe request no storm of requests for what the keyframe does without.
    #[test]
    fn a_keyframe_request_holds_what_was_missing_before_it() {
        let mut generator = Generator::new(GeneratorConfig::default().max_age(Duration::from_secs(5)));
        generator.set_rtt(Duration::from_millis(100));
        for number in [1, 2, 60] {
            generator.on_packet(at(0), seq(number));
        }
        generator.on_keyframe_request(at(1));
        assert_eq!(due(&mut generator, at(20)), [], "57 packets are missing");
        for number in [61, 64, 65] {
            generator.on_packet(at(150), seq(number));
        }
        assert_eq!(due(&mut generator, at(160)), [62, 63], "the keyframe's own");
        assert_eq!(generator.on_packet(at(170), seq(30)), Arrival::Recovered { requests: 0 });
        generator.on_keyframe_request(at(300));
        assert_eq!(due(&mut generator, at(400)), [62, 63]);
        assert_eq!(
            due(&mut generator, at(401)).len(),
            56,
            "no keyframe came, and a repeated request holds no longer"
        );
        generator.on_keyframe_request(at(402));
        generator.forget_before(seq(61));
        assert_eq!((generator.missing(), generator.held), (2, Some((seq(65), at(802)))));
        generator.forget_before(seq(66));
        assert_eq!((generator.missing(), generator.held, generator.poll_timeout()), (0, None, None));
    }

    #[test]
    fn reordering_within_the_tolerance_asks_for_nothing() {
        let mut generator = Generator::new(GeneratorConfig::default());
        for number in [1, 3, 2, 5, 4, 7, 6] {
            generator.on_packet(at(number), seq(number));
            assert_eq!(due(&mut generator, at(number)), []);
        }
        assert_eq!((generator.missing(), generator.poll_timeout()), (0, None));
    }

    #[test]
    fn requests_repeat_each_round_trip_and_end_in_a_loss() {
        let mut generator = Generator::new(GeneratorConfig::default().max_requests(3));
        generator.set_rtt(Duration::from_millis(40));
        generator.on_packet(at(0), seq(1));
        generator.on_packet(at(0), seq(5));
        assert_eq!(due(&mut generator, at(0)), [2, 3]);
        assert_eq!(due(&mut generator, at(10)), [4]);
        assert_eq!(due(&mut generator, at(49)), []);
        assert_eq!(due(&mut generator, at(50)), [2, 3]);
        assert_eq!(generator.on_packet(at(55), seq(3)), Arrival::Recovered { requests: 2 });
        assert_eq!(due(&mut generator, at(100)), [2, 4]);
        assert_eq!(generator.poll_lost(), None);
        assert_eq!(due(&mut generator, at(150)), [4]);
        assert_eq!(generator.poll_lost(), Some(Lost { first: seq(2), last: seq(2), packets: 1 }));
        assert_eq!(due(&mut generator, at(250)), []);
        assert_eq!(generator.poll_lost(), Some(Lost { first: seq(4), last: seq(4), packets: 1 }));
        assert_eq!((generator.missing(), generator.poll_timeout()), (0, None));
    }

    #[test]
    fn age_ends_what_a_slow_round_trip_would_drag_on() {
        let mut generator = Generator::new(GeneratorConfig::default().max_age(Duration::from_millis(300)));
        generator.on_packet(at(0), seq(1));
        generator.on_packet(at(0), seq(3));
        assert_eq!(due(&mut generator, at(299)), [2]);
        assert_eq!(generator.poll_timeout(), Some(at(300)));
        assert_eq!(due(&mut generator, at(300)), []);
        assert!(generator.poll_lost().is_some());
    }

    #[test]
    fn a_jump_beyond_the_window_restarts_and_is_told() {
        let mut generator = Generator::new(GeneratorConfig::default().window_packets(100));
        generator.on_packet(at(0), seq(1));
        generator.on_packet(at(0), seq(3));
        assert_eq!(generator.on_packet(at(0), seq(200)), Arrival::Restarted);
        assert_eq!(generator.missing(), 0);
        let lost = generator.poll_lost().unwrap();
        assert_eq!((lost.first, lost.last, lost.packets), (seq(2), seq(199), 197));
        assert_eq!(due(&mut generator, at(1000)), []);
    }

    #[test]
    fn what_an_outage_took_is_given_up_at_once() {
        let mut generator = Generator::new(GeneratorConfig::default());
        generator.on_packet(at(0), seq(1));
        generator.on_packet(at(0), seq(3));
        assert_eq!(generator.on_packet(at(400), seq(16)), Arrival::New);
        assert_eq!(generator.poll_lost(), Some(Lost { first: seq(2), last: seq(15), packets: 13 }));
        assert_eq!(due(&mut generator, at(500)), []);
        generator.on_packet(at(399 + 400), seq(29));
        assert_eq!(generator.poll_lost(), None, "399 ms are no outage");
        generator.on_packet(at(799 + 400), seq(41));
        assert_eq!(generator.poll_lost(), None, "11 packets are quickly repaired");
        assert_eq!(generator.missing(), 12 + 11);
    }

    /// A first frame whose packets come out of order loses none of them.
    #[test]
    fn packets_from_before_the_first_are_taken_once() {
        let mut generator = Generator::new(GeneratorConfig::default());
        let mut arrive = |number| generator.on_packet(at(0), seq(number));
        assert_eq!(arrive(100), Arrival::New);
        for number in [98, 36] {
            assert_eq!(arrive(number), Arrival::Recovered { requests: 0 });
            assert_eq!(arrive(number), Arrival::Duplicate);
        }
        assert_eq!([arrive(35), arrive(100)], [Arrival::Duplicate; 2]);
        assert_eq!(arrive(5000), Arrival::Restarted);
        assert_eq!(arrive(4999), Arrival::Recovered { requests: 0 });
    }

    #[test]
    fn one_ancient_packet_is_ignored_and_two_in_a_row_restart() {
        let mut generator = Generator::new(GeneratorConfig::default().window_packets(100));
        generator.on_packet(at(0), seq(5000));
        assert_eq!(generator.on_packet(at(0), seq(10)), Arrival::TooOld);
        assert_eq!(generator.on_packet(at(0), seq(5001)), Arrival::New);
        assert_eq!(generator.on_packet(at(0), seq(11)), Arrival::TooOld);
        assert_eq!(generator.on_packet(at(0), seq(12)), Arrival::Restarted);
        assert_eq!(generator.on_packet(at(0), seq(13)), Arrival::New);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_are_given_up() {
        let mut generator = Generator::new(GeneratorConfig::default().max_missing(16));
        generator.on_packet(at(0), seq(0));
        generator.on_packet(at(0), seq(101));
        assert_eq!(generator.missing(), 16);
        let lost = generator.poll_lost().unwrap();
        assert_eq!((lost.first, lost.last, lost.packets), (seq(1), seq(84), 84));
    }

    #[test]
    fn long_lists_are_split_over_several_packets() {
        let mut generator = Generator::new(GeneratorConfig::default());
        generator.on_packet(at(0), seq(0));
        generator.on_packet(at(0), seq(301));
        let mut asked = Vec::new();
        loop {
            let part = due(&mut generator, at(10));
            if part.is_empty() {
                break;
            }
            assert!(part.len() <= MAX_NAMED);
            asked.extend(part);
        }
        assert_eq!(asked, (1..=300).collect::<Vec<u16>>());
        assert_eq!(generator.requests(), 300);
    }

    #[test]
    fn forgetting_tells_no_loss() {
        let mut generator = Generator::new(GeneratorConfig::default());
        generator.on_packet(at(0), seq(0));
        generator.on_packet(at(0), seq(10));
        generator.forget_before(seq(8));
        assert_eq!(due(&mut generator, at(10)), [8, 9]);
        assert_eq!(generator.poll_lost(), None);
    }
}
