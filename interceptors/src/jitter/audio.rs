//! Sound: a packet for each pull of the player.
//!
//! 1. Nothing plays until the first packet has been held back for the target delay.
//! 2. Each [`AudioBuffer::pop`] hands out the next packet. One that is missing while a later one is there is lost: it is to be
//!    concealed, and the packet after it comes along where its codec may carry the lost one again (in-band FEC of Opus,
//!    RFC 7587 §3.3). When nothing is there at all, the player conceals and the stream waits: what comes late is still heard.
//! 3. What plays later or earlier than the target is brought back: a player that stretches sound is told to play faster or
//!    slower; for another one, a packet is now and then left out, or concealed without one missing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_rtp::codec::Codec;
use tombolo_rtp::codec::red::RedPayload;

use super::{Baseline, Mode, TargetConfig, TargetDelay, micros};

/// How far from the target a player that stretches may be, and another one beside a packet's duration when it is late. It falls
/// back sooner, when it is early by half a packet: packets that come too late are dearer.
const SLACK_US: i64 = 10_000;
/// A stream that plays so much later than it should leaves out all that is in between.
const FAR_US: i64 = 150_000;
/// Packets that are played between two that are left out or put in.
const SPACING: u32 = 4;
/// So many packets in a row from before what was played come from a stream that began anew.
const MAX_LATE_RUN: u32 = 50;
/// The longest silence between two packets that is handed out at once, of the clock rate.
const SILENCE_PER_SECOND: i64 = 50;

/// How an [`AudioBuffer`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct AudioConfig {
    codec: Codec,
    target: TargetConfig,
    max_packets: u16,
    stretches: bool,
}

impl AudioConfig {
    /// The defaults of a codec and a mode.
    #[must_use]
    pub const fn new(codec: Codec, mode: Mode) -> Self {
        Self { codec, target: TargetConfig::new(mode), max_packets: 256, stretches: false }
    }

    /// How the target delay is found. By default as the mode does it.
    #[must_use]
    pub const fn target(mut self, target: TargetConfig) -> Self {
        self.target = target;
        self
    }

    /// Most packets that wait, with the places of missing ones, at least 16; a newer one makes the stream begin anew. Default 256.
    #[must_use]
    pub fn max_packets(mut self, packets: u16) -> Self {
        self.max_packets = packets.max(16);
        self
    }

    /// Whether the player follows [`Tempo`]. Default not: the buffer leaves packets out and puts concealment in instead.
    #[must_use]
    pub const fn stretches(mut self, stretches: bool) -> Self {
        self.stretches = stretches;
        self
    }
}

/// A packet that arrived.
#[derive(Clone, Debug)]
pub struct AudioPacket {
    /// Its sequence number.
    pub seq: ExtSeqNo,
    /// Its timestamp, in ticks of the codec's clock.
    pub timestamp: RtpTime,
    /// Its payload without padding. Empty for a packet of padding alone, or of a payload type that is no sound.
    pub payload: Bytes,
    /// When it arrived: the current time of the call.
    pub arrival: Instant,
}

/// How fast to play what is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tempo {
    /// As it was recorded.
    #[default]
    Normal,
    /// In less time: more waits than has to.
    Faster,
    /// In more time: less waits than should.
    Slower,
}

/// What the player is to play next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Playout {
    /// A packet.
    Packet {
        /// Its timestamp.
        timestamp: RtpTime,
        /// Its payload.
        payload: Bytes,
        /// How fast to play it.
        tempo: Tempo,
    },
    /// Sound that goes on as it was, because there is none.
    Conceal {
        /// For how long, in ticks of the codec's clock.
        ticks: u32,
        /// The packet after the lost one, when it is there: it stays in its place, and may carry the lost one.
        next: Option<Bytes>,
    },
    /// The sender says nothing: no packet is missing between the timestamps.
    Silence {
        /// For how long, in ticks of the codec's clock.
        ticks: u32,
    },
}

/// Counters of an [`AudioBuffer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudioStats {
    /// Packets that were handed out.
    pub played: u64,
    /// Packets that were lost, or came after their place had been concealed.
    pub concealed: u64,
    /// Pulls that found nothing at all.
    pub starved: u64,
    /// Packets that were left out to catch up.
    pub skipped: u64,
    /// Pulls that were answered with concealment to fall back.
    pub held: u64,
    /// Packets that came after their place had been concealed.
    pub late: u64,
    /// Packets that were missing when a later one brought them again.
    pub recovered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after one with a higher number.
    pub reordered: u64,
    /// The furthest that one came behind another, in packets.
    pub max_reorder: u64,
    /// How often numbers or timestamps jumped so far that the stream began anew.
    pub restarts: u64,
}

#[derive(Debug)]
struct Slot {
    timestamp: RtpTime,
    /// 0 for one that is no sound.
    ticks: u32,
    payload: Bytes,
}

/// The jitter buffer of one stream of sound, bounded by [`AudioConfig::max_packets`].
#[derive(Debug)]
pub struct AudioBuffer {
    config: AudioConfig,
    baseline: Baseline,
    target: TargetDelay,
    /// One for each number from `next` on; the last is never empty.
    slots: VecDeque<Option<Slot>>,
    next: u64,
    highest: Option<u64>,
    /// Where the next packet begins, once something was played.
    position: Option<RtpTime>,
    /// The duration of the last packet, in ticks.
    ticks: u32,
    since_change: u32,
    late_run: u32,
    stats: AudioStats,
}

impl AudioBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: AudioConfig) -> Self {
        Self {
            config,
            baseline: Baseline::new(config.codec.clock_rate_hz()),
            target: TargetDelay::new(config.target),
            slots: VecDeque::with_capacity(usize::from(config.max_packets)),
            next: 0,
            highest: None,
            position: None,
            ticks: config.codec.clock_rate_hz() / 50,
            since_change: 0,
            late_run: 0,
            stats: AudioStats::default(),
        }
    }

    /// Takes a packet, a retransmitted or recovered one too.
    pub fn push(&mut self, packet: AudioPacket) {
        let seq = packet.seq.0;
        let restarts = self.baseline.restarts();
        let delay_us = self.baseline.on_packet(packet.arrival, packet.timestamp);
        if self.baseline.restarts() != restarts && self.highest.is_some() {
            self.restart(seq);
        }
        self.target.on_delay(delay_us);
        let Some(highest) = self.highest else {
            self.begin(seq);
            self.store(0, packet);
            return;
        };
        if seq < highest {
            self.stats.reordered += 1;
            self.stats.max_reorder = self.stats.max_reorder.max(highest - seq);
        }
        if seq < self.next && !self.make_earlier(seq) {
            self.on_late(packet);
            return;
        }
        self.late_run = 0;
        self.highest = Some(highest.max(seq));
        let bound = u64::from(self.config.max_packets);
        if seq - self.next >= bound {
            self.restart(seq);
        }
        self.store((seq - self.next) as usize, packet);
    }

    /// Takes a packet of redundant audio (RFC 2198): its primary block, and earlier ones in the place of packets that are missing.
    /// Blocks of another payload type than `payload_type` are left out.
    pub fn push_red(&mut self, packet: AudioPacket, payload_type: u8) {
        let Ok(red) = RedPayload::parse(&packet.payload) else {
            self.push(AudioPacket { payload: Bytes::new(), ..packet });
            return;
        };
        for (seq, timestamp, block) in red.packets(packet.seq, packet.timestamp, payload_type) {
            if self.lacks(seq.0, timestamp, packet.timestamp) {
                self.stats.recovered += 1;
                let at = (seq.0 - self.next) as usize;
                let payload = packet.payload.slice_ref(block);
                self.store(at, AudioPacket { seq, timestamp, payload, arrival: packet.arrival });
            }
        }
        let primary = red.primary();
        let payload = if primary.payload_type == payload_type { primary.data } else { &[] };
        let payload = packet.payload.slice_ref(payload);
        self.push(AudioPacket { payload, ..packet });
    }

    /// Whether a packet before one at `before` is missing and still of use.
    fn lacks(&self, seq: u64, timestamp: RtpTime, before: RtpTime) -> bool {
        let Some(at) = seq.checked_sub(self.next).filter(|_| self.highest.is_some()) else { return false };
        let place = usize::try_from(at).ok().filter(|at| *at < usize::from(self.config.max_packets));
        let fits = before.is_newer_than(timestamp)
            && self.position.is_none_or(|position| timestamp.distance_from(position) >= 0);
        fits && place.is_some_and(|place| self.slots.get(place).is_none_or(Option::is_none))
    }

    /// What to play now, when the player needs more; `None`: nothing yet, play silence.
    pub fn pop(&mut self, now: Instant) -> Option<Playout> {
        self.drop_what_is_no_sound();
        if self.position.is_none() {
            return self.start(now);
        }
        let off_us = self.off_us(now);
        if !self.config.stretches || off_us > FAR_US {
            self.catch_up(off_us);
            if self.must_hold(off_us) {
                self.since_change = 0;
                self.stats.held += 1;
                return Some(Playout::Conceal { ticks: self.ticks, next: None });
            }
        }
        self.since_change = self.since_change.saturating_add(1);
        let tempo = self.tempo(off_us);
        match self.slots.front() {
            None => {
                self.stats.starved += 1;
                Some(Playout::Conceal { ticks: self.ticks, next: None })
            }
            Some(None) => Some(self.conceal()),
            Some(Some(slot)) => {
                let gap =
                    self.position.map_or(0, |position| i64::from(slot.timestamp.distance_from(position)));
                if gap > 0 {
                    return Some(self.silence(gap));
                }
                self.play(tempo)
            }
        }
    }

    /// How long packets are held back beyond the quickest one.
    #[must_use]
    pub fn target(&self) -> Duration {
        self.target.target()
    }

    /// The quickest way and the drift of the sender's clock.
    #[must_use]
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// How many packets wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// The first number that still has a use: what is missing before it need not be sent again.
    #[must_use]
    pub const fn next_seq(&self) -> ExtSeqNo {
        ExtSeqNo(self.next)
    }

    /// The counters so far.
    #[must_use]
    pub const fn stats(&self) -> AudioStats {
        self.stats
    }

    fn restart(&mut self, seq: u64) {
        self.begin(seq);
        self.stats.restarts += 1;
    }

    fn begin(&mut self, seq: u64) {
        self.slots.clear();
        self.next = seq;
        self.highest = Some(seq);
        self.position = None;
        self.late_run = 0;
    }

    /// Makes room for a number before the first one, as long as nothing was played.
    fn make_earlier(&mut self, seq: u64) -> bool {
        let missing = (self.next - seq) as usize;
        if self.position.is_some() || missing + self.slots.len() > usize::from(self.config.max_packets) {
            return false;
        }
        (0..missing).for_each(|_| self.slots.push_front(None));
        self.next = seq;
        true
    }

    fn on_late(&mut self, packet: AudioPacket) {
        self.stats.late += 1;
        self.late_run += 1;
        if self.late_run >= MAX_LATE_RUN {
            self.restart(packet.seq.0);
            self.store(0, packet);
        }
    }

    fn store(&mut self, at: usize, packet: AudioPacket) {
        while self.slots.len() <= at {
            self.slots.push_back(None);
        }
        let slot = &mut self.slots[at];
        if slot.is_some() {
            self.stats.duplicates += 1;
            return;
        }
        let AudioPacket { timestamp, payload, .. } = packet;
        let ticks = self.config.codec.ticks(&payload).unwrap_or(0);
        *slot = Some(Slot { timestamp, ticks, payload });
    }

    fn drop_what_is_no_sound(&mut self) {
        while let Some(Some(Slot { ticks: 0, .. })) = self.slots.front() {
            self.slots.pop_front();
            self.next += 1;
        }
    }

    fn start(&mut self, now: Instant) -> Option<Playout> {
        while let Some(None | Some(Slot { ticks: 0, .. })) = self.slots.front() {
            self.slots.pop_front();
            self.next += 1;
        }
        let first = self.slots.front()?.as_ref()?.timestamp;
        let due = self.baseline.earliest(first)? + self.target.target();
        if now < due {
            return None;
        }
        self.position = Some(first);
        self.since_change = 0;
        self.play(Tempo::Normal)
    }

    /// How much later than the target the next packet plays, in microseconds.
    fn off_us(&self, now: Instant) -> i64 {
        let due = self.position.and_then(|position| self.baseline.earliest(position));
        let Some(due) = due.map(|earliest| earliest + self.target.target()) else { return 0 };
        micros(now.saturating_duration_since(due)) - micros(due.saturating_duration_since(now))
    }

    fn tempo(&self, off_us: i64) -> Tempo {
        match off_us {
            _ if !self.config.stretches => Tempo::Normal,
            off if off > SLACK_US => Tempo::Faster,
            off if off < -SLACK_US => Tempo::Slower,
            _ => Tempo::Normal,
        }
    }

    /// Leaves out what makes the stream play later than it has to, but never the last packet.
    fn catch_up(&mut self, mut off_us: i64) {
        let packet_us = self.packet_us();
        let is_far = off_us > FAR_US;
        while off_us > packet_us + SLACK_US
            && self.slots.len() > 1
            && (is_far || self.since_change >= SPACING)
        {
            if let Some(Some(slot)) = self.slots.pop_front() {
                self.position = Some(slot.timestamp + slot.ticks);
                self.stats.skipped += 1;
            } else {
                self.position = self.position.map(|position| position + self.ticks);
                self.stats.concealed += 1;
            }
            self.next += 1;
            self.since_change = 0;
            off_us -= packet_us;
        }
        self.drop_what_is_no_sound();
    }

    fn must_hold(&self, off_us: i64) -> bool {
        off_us < -self.packet_us() / 2 && self.since_change >= SPACING && !self.slots.is_empty()
    }

    fn packet_us(&self) -> i64 {
        i64::from(self.ticks) * 1_000_000 / i64::from(self.config.codec.clock_rate_hz().max(1))
    }

    fn play(&mut self, tempo: Tempo) -> Option<Playout> {
        let slot = self.slots.pop_front()??;
        self.next += 1;
        self.ticks = slot.ticks;
        self.position = Some(slot.timestamp + slot.ticks);
        self.stats.played += 1;
        Some(Playout::Packet { timestamp: slot.timestamp, payload: slot.payload, tempo })
    }

    fn conceal(&mut self) -> Playout {
        self.slots.pop_front();
        self.next += 1;
        self.stats.concealed += 1;
        let position = self.position.map(|position| position + self.ticks);
        let next = self.slots.front().and_then(Option::as_ref);
        // Where the lost one was of another length, the next one tells.
        self.position = next.map(|slot| slot.timestamp).or(position);
        Playout::Conceal { ticks: self.ticks, next: next.map(|slot| slot.payload.clone()) }
    }

    fn silence(&mut self, gap: i64) -> Playout {
        let most = i64::from(self.config.codec.clock_rate_hz()) / SILENCE_PER_SECOND;
        let ticks = gap.min(most) as u32;
        self.position = self.position.map(|position| position + ticks);
        Playout::Silence { ticks }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_clock::at;

    /// 20 ms of Opus whose second byte is the number.
    fn packet(number: u64, arrival_ms: u64) -> AudioPacket {
        AudioPacket {
            seq: ExtSeqNo(65_536 + number),
            timestamp: RtpTime(0xffff_f000) + (number * 960) as u32,
            payload: Bytes::copy_from_slice(&[31 << 3, number as u8]),
            arrival: at(arrival_ms),
        }
    }

    fn buffer(mode: Mode, first_ms: u64) -> AudioBuffer {
        let target = TargetConfig::new(mode).first(Duration::from_millis(first_ms));
        AudioBuffer::new(AudioConfig::new(Codec::Opus, mode).target(target))
    }

    fn told(playout: Option<Playout>) -> i64 {
        match playout {
            Some(Playout::Packet { payload, .. }) => i64::from(payload[1]),
            Some(Playout::Conceal { next, .. }) => -2 - i64::from(next.is_some()),
            Some(Playout::Silence { .. }) => -4,
            None => -1,
        }
    }

    /// Pulls every 20 ms; packets are `(number, arrival in ms)`.
    fn play(buffer: &mut AudioBuffer, mut packets: Vec<(u64, u64)>, until_ms: u64) -> Vec<i64> {
        packets.sort_by_key(|&(_, ms)| ms);
        let mut packets = packets.into_iter().peekable();
        let mut played = Vec::new();
        for now in (0..until_ms).step_by(20) {
            while let Some((number, ms)) = packets.next_if(|&(_, ms)| ms <= now) {
                buffer.push(packet(number, ms));
            }
            played.push(told(buffer.pop(at(now))));
        }
        played
    }

    #[test]
    fn the_first_packet_waits_for_the_target_and_the_others_follow() {
        let mut buffer = buffer(Mode::Balanced, 40);
        let played = play(&mut buffer, (0..5).map(|n| (n, 10 + n * 20)).collect(), 160);
        assert_eq!(played, [-1, -1, -1, 0, 1, 2, 3, 4]);
        assert_eq!(buffer.stats(), AudioStats { played: 5, ..AudioStats::default() });
    }

    #[test]
    fn a_lost_packet_is_concealed_with_the_one_after_it() {
        let mut buffer = buffer(Mode::Balanced, 40);
        let packets = [0, 1, 3, 4, 5, 8, 9].map(|n| (n, n * 20));
        let played = play(&mut buffer, packets.to_vec(), 260);
        assert_eq!(played, [-1, -1, -1, 0, 1, -3, 3, 4, 5, -2, -3, 8, 9]);
        assert_eq!((buffer.stats().concealed, buffer.stats().late), (3, 0));
    }

    #[test]
    fn reordered_packets_play_in_order_and_late_ones_do_not() {
        let mut buffer = buffer(Mode::Balanced, 40);
        let packets = [(1, 20), (0, 30), (3, 70), (2, 75), (5, 100), (6, 120), (4, 190), (5, 121), (7, 140)];
        let played = play(&mut buffer, packets.to_vec(), 220);
        assert_eq!(played, [-1, -1, -1, 0, 1, 2, 3, -3, 5, 6, -2], "and the target has risen");
        let stats = buffer.stats();
        assert_eq!((stats.late, stats.reordered, stats.max_reorder), (1, 4, 3), "{stats:?}");
        assert_eq!(stats.duplicates, 1);
    }

    /// A stall of 300 ms: nothing is lost, and then the stream comes back to its target.
    #[test]
    fn a_stream_waits_through_a_stall_and_catches_up() {
        let mut buffer = buffer(Mode::LowestLatency, 20);
        let packets = (0..500).map(|n| (n, if (50..65).contains(&n) { 1300 } else { n * 20 }));
        let played = play(&mut buffer, packets.collect(), 10_000);
        let stats = buffer.stats();
        assert!((10..=16).contains(&stats.starved), "{stats:?}");
        assert!((8..=16).contains(&stats.skipped) && stats.concealed == 0, "{stats:?}");
        assert_eq!(*played.last().unwrap() as u64, (9980 - 20) / 20 % 256, "at the target again");
    }

    #[test]
    fn jitter_raises_the_target_and_quiet_lowers_it() {
        let mut buffer = buffer(Mode::Balanced, 20);
        let jittered = |n: u64| (n, n * 20 + n * 7919 % 100);
        play(&mut buffer, (0..1000).map(jittered).collect(), 20_000);
        let (target, stats) = (buffer.target().as_millis(), buffer.stats());
        assert!((90..=105).contains(&target), "{target}");
        assert!(stats.late + stats.concealed < 20 && stats.held > 1, "{stats:?}");
        let now = 20_100;
        for n in 0..4000_u64 {
            buffer.push(packet(1000 + n, now + n * 20));
            buffer.pop(at(now + n * 20));
        }
        assert!(buffer.target().as_millis() < 20 && buffer.stats().skipped > 2, "{:?}", buffer.stats());
    }

    /// The sender's clock is 1000 ppm too quick: what waits neither grows nor runs dry.
    #[test]
    fn drift_is_followed() {
        for ppm in [-1000_i64, 1000] {
            let mut buffer = buffer(Mode::Balanced, 40);
            let packets = (0..6000_u64).map(|n| (n, (n as i64 * 20 * (1_000_000 + ppm) / 1_000_000) as u64));
            play(&mut buffer, packets.collect(), 118_000);
            assert!(buffer.waiting() <= 6, "{} wait", buffer.waiting());
            let stats = buffer.stats();
            assert!(stats.skipped + stats.held + stats.starved <= 12, "{ppm}: {stats:?}");
            let drift = buffer.baseline().drift_ppm().unwrap();
            assert!((drift - ppm as f64).abs() < 60.0, "{drift}");
        }
    }

    #[test]
    fn a_player_that_stretches_is_told_to() {
        let target = TargetConfig::new(Mode::Balanced).min(Duration::from_millis(60));
        let config = AudioConfig::new(Codec::Opus, Mode::Balanced).target(target.first(Duration::ZERO));
        let mut buffer = AudioBuffer::new(config.stretches(true));
        let tempo = |playout| match playout {
            Some(Playout::Packet { tempo, .. }) => tempo,
            other => panic!("{other:?}"),
        };
        (0..20).for_each(|n| buffer.push(packet(n, n * 20)));
        assert_eq!(buffer.pop(at(59)), None);
        assert_eq!(tempo(buffer.pop(at(60))), Tempo::Normal);
        assert_eq!(tempo(buffer.pop(at(60))), Tempo::Slower, "it is due at 80");
        assert_eq!(tempo(buffer.pop(at(100))), Tempo::Normal);
        assert_eq!(tempo(buffer.pop(at(140))), Tempo::Faster, "it was due at 120");
        assert_eq!(buffer.stats().skipped, 0);
        assert_eq!(tempo(buffer.pop(at(400))), Tempo::Faster);
        assert!(buffer.stats().skipped > 8, "so far behind it does not wait for the player");
    }

    #[test]
    fn silence_is_no_loss() {
        let mut buffer = buffer(Mode::Balanced, 40);
        for n in 0..3 {
            buffer.push(packet(n, n * 20));
        }
        // Two packets' time without a packet, then one of padding, and sound again.
        buffer.push(AudioPacket { payload: Bytes::new(), ..packet(3, 60) });
        let later = AudioPacket { seq: ExtSeqNo(65_540), ..packet(5, 100) };
        buffer.push(later);
        let played: Vec<_> = (2..8).map(|n| told(buffer.pop(at(n * 20 + 5)))).collect();
        assert_eq!(played, [0, 1, 2, -4, -4, 5]);
        assert_eq!(buffer.stats().concealed, 0);
    }

    /// Found by operations at random: padding behind a hole at the very start was played.
    #[test]
    fn a_stream_does_not_start_with_padding() {
        let mut buffer = buffer(Mode::Balanced, 0);
        for number in [2, 0] {
            buffer.push(AudioPacket { payload: Bytes::new(), ..packet(number, 20) });
        }
        assert_eq!(told(buffer.pop(at(100))), -1);
        buffer.push(packet(3, 110));
        assert_eq!(told(buffer.pop(at(300))), 3);
    }

    #[test]
    fn redundant_sound_fills_the_holes() {
        let mut buffer = buffer(Mode::Balanced, 40);
        let mut packetizer = tombolo_rtp::codec::RedPacketizer::new(111, 2);
        for n in 0..12_u64 {
            let plain = packet(n, n * 20);
            let mut out = Vec::new();
            packetizer.packetize(plain.timestamp, &plain.payload, 1000, &mut out).unwrap();
            if ![3, 6, 7, 9, 10].contains(&n) {
                buffer.push_red(AudioPacket { payload: out.remove(0), ..plain }, 111);
            }
        }
        let played: Vec<_> = (0..12).map(|n| told(buffer.pop(at(60 + n * 20)))).collect();
        assert_eq!(played, (0..12).collect::<Vec<_>>());
        assert_eq!((buffer.stats().recovered, buffer.stats().concealed), (5, 0));
        buffer.push_red(AudioPacket { payload: Bytes::from_static(&[0xff]), ..packet(12, 240) }, 111);
        buffer.push(packet(13, 260));
        assert_eq!(told(buffer.pop(at(320))), -4, "an unreadable packet fills its place");
    }

    #[test]
    fn jumps_begin_anew_and_stay_bounded() {
        let mut buffer = buffer(Mode::Balanced, 0);
        buffer.push(packet(0, 0));
        buffer.push(packet(255, 10));
        assert_eq!(buffer.slots.len(), 256);
        buffer.push(packet(100_000, 20));
        assert_eq!((buffer.waiting(), buffer.stats().restarts), (1, 1));
        assert_eq!(told(buffer.pop(at(200))), i64::from(100_000_u64 as u8));
        for n in 0..60 {
            buffer
                .push(AudioPacket { timestamp: packet(100_001 + n, 0).timestamp, ..packet(n, 220 + n * 20) });
        }
        assert_eq!((buffer.stats().restarts, buffer.stats().late), (2, 50), "numbers that went back");
        assert_eq!(buffer.waiting(), 11);
    }

    proptest! {
        #[test]
        fn any_packets_are_survived(
            packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0_u64..50, 0_usize..4, any::<bool>()), 1..200),
        ) {
            let config = AudioConfig::new(Codec::Opus, Mode::Balanced).max_packets(32);
            let mut buffer = AudioBuffer::new(config);
            let mut now = 0;
            for (seq, timestamp, wait, len, near) in packets {
                now += wait;
                let seq = if near { seq % 64 } else { seq };
                let timestamp = RtpTime(if near { u32::from(seq) * 960 } else { timestamp });
                let payload = Bytes::from_static(&[31 << 3 | 3, 2, 7]).slice(..len);
                buffer.push(AudioPacket { seq: ExtSeqNo(seq.into()), timestamp, payload, arrival: at(now) });
                prop_assert!(buffer.slots.len() <= 32);
                if let Some(Playout::Packet { payload, .. }) = buffer.pop(at(now)) {
                    prop_assert!(!payload.is_empty());
                }
            }
        }
    }
}
