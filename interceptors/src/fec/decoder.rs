//! The receiving side.

use std::collections::VecDeque;

use tombolo_net::{ExtSeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::RtpPacket;

use super::parity::{Parity, Repair, refill};
use super::{FIXED_LEN, MAX_PACKET, zero_extensions};

/// How many of the last packets are kept; a power of two.
const WINDOW: u64 = 256;
/// How many repair packets wait for what they lack.
const MAX_WAITING: usize = 64;
/// How far ahead of the newest packet one may lie that a repair packet names.
const MAX_AHEAD: u64 = 128;

/// What a [`Decoder`] takes.
#[derive(Clone, Copy, Debug)]
pub struct DecoderConfig {
    ssrc: Ssrc,
    payload_types: u128,
    zeroed: [u8; 4],
}

impl DecoderConfig {
    /// For the protected stream with this SSRC.
    #[must_use]
    pub const fn new(ssrc: Ssrc) -> Self {
        Self { ssrc, payload_types: 0, zeroed: [0; 4] }
    }

    /// Payload types that the stream may have, of which each call adds one. Default: any.
    #[must_use]
    pub const fn payload_type(mut self, payload_type: u8) -> Self {
        self.payload_types |= 1 << (payload_type & 0x7f);
        self
    }

    /// Ids of the header extensions whose values were zero when the repair packets were made; 0 for none. Default none.
    #[must_use]
    pub const fn zeroed_extensions(mut self, ids: [u8; 4]) -> Self {
        self.zeroed = ids;
        self
    }

    const fn takes(&self, payload_type: u8) -> bool {
        self.payload_types == 0 || self.payload_types >> payload_type & 1 == 1
    }
}

/// Counters of a [`Decoder`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderStats {
    /// Repair packets that were taken. `fecPacketsReceived` of the W3C's statistics.
    pub repairs: u64,
    /// Those of them that were of no use: nothing was missing, or too much. `fecPacketsDiscarded`.
    pub discarded: u64,
    /// Repair packets that cannot be read, or are of another stream, or far from what came.
    pub refused: u64,
    /// Packets that were recovered.
    pub recovered: u64,
    /// What was computed and is no packet of the stream.
    pub impossible: u64,
}

/// A packet that came or was recovered. `number` 0: none.
#[derive(Debug, Default)]
struct Slot {
    number: u64,
    packet: Vec<u8>,
}

/// A repair packet that lacks more than one packet.
#[derive(Debug, Default)]
struct Waiting {
    base: u64,
    mask: u128,
    /// Those of the mask that have not come.
    missing: u128,
    parity: Parity,
}

/// Computes the lost packets of one stream.
///
/// Holds at most 256 packets and 64 repair packets of 2048 bytes each: 640 KiB if somebody sends so much, as a rule half.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    unwrapper: SeqUnwrapper,
    slots: Vec<Slot>,
    waiting: VecDeque<Waiting>,
    /// For their memory.
    spare: Vec<Waiting>,
    recovered: VecDeque<u64>,
    scratch: Vec<u8>,
    stats: DecoderStats,
}

impl Decoder {
    /// A decoder that has seen nothing.
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self {
            config,
            unwrapper: SeqUnwrapper::default(),
            slots: Vec::new(),
            waiting: VecDeque::with_capacity(MAX_WAITING + 1),
            spare: Vec::new(),
            recovered: VecDeque::with_capacity(WINDOW as usize),
            scratch: Vec::with_capacity(MAX_PACKET),
            stats: DecoderStats::default(),
        }
    }

    /// Takes note of a packet of the stream, a retransmitted one too; those of other streams are ignored. Call [`Decoder::poll_recovered`]
    /// until `None` after it.
    pub fn on_packet(&mut self, packet: &[u8]) {
        let Ok(parsed) = RtpPacket::parse(packet) else { return };
        if parsed.ssrc() != self.config.ssrc || packet.len() > MAX_PACKET {
            return;
        }
        let number = self.unwrapper.unwrap(parsed.seq()).0;
        if self.has(number) || !self.is_kept(number) {
            return;
        }
        refill(&mut self.scratch, packet);
        zero_extensions(&mut self.scratch, &self.config.zeroed);
        self.keep(number);
        self.came(number);
        self.solve();
    }

    /// Takes a repair packet that [`flexfec::parse`](super::flexfec::parse) or [`ulpfec::parse`](super::ulpfec::parse) read.
    /// Call [`Decoder::poll_recovered`] until `None` after it.
    pub fn on_repair(&mut self, repair: &Repair<'_>) {
        let fits = FIXED_LEN + repair.body.len() <= MAX_PACKET;
        let is_ours = repair.ssrc.is_none_or(|ssrc| ssrc == self.config.ssrc);
        let base = self.unwrapper.peek(repair.base).filter(|_| fits && is_ours);
        let Some((base, highest)) = base.zip(self.unwrapper.highest()) else {
            self.stats.refused += 1;
            return;
        };
        let (base, last) = (base.0, base.0 + u64::from(127 - repair.mask.leading_zeros()));
        if last > highest.0 + MAX_AHEAD || !self.is_kept(base) {
            self.stats.refused += 1;
            return;
        }
        self.stats.repairs += 1;
        let mut missing = repair.mask;
        for bit in bits(repair.mask) {
            missing &= !(u128::from(self.has(base + bit)) << bit);
        }
        if missing == 0 {
            self.stats.discarded += 1;
            return;
        }
        if self.waiting.len() == MAX_WAITING {
            self.discard(0);
        }
        let mut waiting = self.spare.pop().unwrap_or_default();
        (waiting.base, waiting.mask, waiting.missing) = (base, repair.mask, missing);
        waiting.parity.set(repair);
        self.waiting.push_back(waiting);
        self.solve();
    }

    /// Takes note of a repair packet that could not be read.
    pub const fn on_unreadable(&mut self) {
        self.stats.refused += 1;
    }

    /// The next packet that was recovered: a whole RTP packet of the stream, its extensions as they were protected.
    pub fn poll_recovered(&mut self) -> Option<&[u8]> {
        loop {
            let number = self.recovered.pop_front()?;
            let at = self.slot(number);
            if self.slots[at].number == number {
                return Some(&self.slots[at].packet);
            }
        }
    }

    /// The counters so far.
    #[must_use]
    pub const fn stats(&self) -> DecoderStats {
        self.stats
    }

    /// The highest number that came or was recovered.
    #[must_use]
    pub fn highest(&self) -> Option<ExtSeqNo> {
        self.unwrapper.highest()
    }

    const fn slot(&self, number: u64) -> usize {
        (number % WINDOW) as usize
    }

    fn has(&self, number: u64) -> bool {
        self.slots.get(self.slot(number)).is_some_and(|slot| slot.number == number)
    }

    /// Whether a number lies within the window.
    fn is_kept(&self, number: u64) -> bool {
        self.unwrapper.highest().is_none_or(|highest| number + WINDOW > highest.0)
    }

    /// Keeps what `scratch` holds.
    fn keep(&mut self, number: u64) {
        if self.slots.is_empty() {
            self.slots.resize_with(WINDOW as usize, Slot::default);
        }
        let at = self.slot(number);
        let slot = &mut self.slots[at];
        slot.number = number;
        std::mem::swap(&mut slot.packet, &mut self.scratch);
    }

    /// Crosses a number off what repair packets lack.
    fn came(&mut self, number: u64) {
        for waiting in &mut self.waiting {
            if let Some(bit @ 0..128) = number.checked_sub(waiting.base) {
                waiting.missing &= !(1 << bit);
            }
        }
    }

    /// Recovers whatever is the only one that a repair packet lacks, until there is none.
    fn solve(&mut self) {
        let mut at = 0;
        while let Some(waiting) = self.waiting.get(at) {
            if !self.is_kept(waiting.base) || waiting.missing == 0 {
                self.discard(at);
            } else if waiting.missing.is_power_of_two() {
                let mut waiting = self.waiting.remove(at).unwrap_or_default();
                let number = self.recover(&mut waiting);
                self.spare.push(waiting);
                if let Some(number) = number {
                    self.came(number);
                    at = 0;
                }
            } else {
                at += 1;
            }
        }
    }

    fn discard(&mut self, at: usize) {
        self.stats.discarded += 1;
        self.spare.extend(self.waiting.remove(at));
    }

    /// Computes the one packet that is missing.
    fn recover(&mut self, waiting: &mut Waiting) -> Option<u64> {
        let number = waiting.base + u64::from(waiting.missing.trailing_zeros());
        for bit in bits(waiting.mask & !waiting.missing) {
            let at = self.slot(waiting.base + bit);
            // What it needs has been overwritten by newer packets.
            if self.slots[at].number != waiting.base + bit {
                self.stats.discarded += 1;
                return None;
            }
            waiting.parity.add(&self.slots[at].packet);
        }
        self.scratch.clear();
        let seq = ExtSeqNo(number).wire();
        let written = waiting.parity.write_packet(seq, self.config.ssrc, &mut self.scratch);
        let parsed = written.and_then(|()| RtpPacket::parse(&self.scratch).ok());
        if !parsed.is_some_and(|packet| self.config.takes(packet.payload_type())) {
            self.stats.impossible += 1;
            return None;
        }
        self.unwrapper.unwrap(seq);
        self.keep(number);
        self.stats.recovered += 1;
        if self.recovered.len() == WINDOW as usize {
            self.recovered.pop_front();
        }
        self.recovered.push_back(number);
        Some(number)
    }
}

/// The numbers of the bits that are set.
fn bits(mut mask: u128) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.wrapping_sub(1);
        (bit < 128).then_some(u64::from(bit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tombolo_net::{RtpTime, SeqNo};
    use tombolo_rtp::{ExtensionForm, RtpHeader};

    use super::super::{Encoder, Format, flexfec, ulpfec};
    use super::*;

    const MEDIA: Ssrc = Ssrc(0x0102_0304);

    /// A packet of a length and header of its own, with an extension that a pacer fills in.
    fn packet(number: u64, transport_seq: u16) -> Vec<u8> {
        let header = RtpHeader {
            marker: number.is_multiple_of(3),
            payload_type: 96 + (number % 2) as u8,
            seq: SeqNo((65_530 + number) as u16),
            timestamp: RtpTime((number / 3 * 3000) as u32),
            ssrc: MEDIA,
        };
        let mut packet = Vec::new();
        let mut extensions = header.write(&mut packet, ExtensionForm::OneByte);
        if number % 4 != 1 {
            extensions.push(3, &transport_seq.to_be_bytes()).unwrap();
        }
        packet.extend((0..20 + number * 37 % 200).map(|n| (n * number) as u8));
        packet
    }

    fn config() -> DecoderConfig {
        DecoderConfig::new(MEDIA).payload_type(96).payload_type(97).zeroed_extensions([3, 0, 0, 0])
    }

    fn repairs(format: Format, numbers: std::ops::Range<u64>, count: usize) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(format);
        for number in numbers {
            assert!(encoder.push(&packet(number, 0)));
        }
        let mut repairs = Vec::new();
        encoder.finish(count, |payload| repairs.push(payload.to_vec()));
        assert!(encoder.is_empty());
        repairs
    }

    fn on_repair(decoder: &mut Decoder, format: Format, payload: &[u8]) {
        let parsed = match format {
            Format::FlexFec(_) => flexfec::parse(payload),
            Format::UlpFec => ulpfec::parse(payload),
        };
        match parsed {
            Ok(repair) => decoder.on_repair(&repair),
            Err(_) => decoder.on_unreadable(),
        }
    }

    fn recovered(decoder: &mut Decoder) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| decoder.poll_recovered().map(<[u8]>::to_vec)).collect()
    }

    const FORMATS: [Format; 2] = [Format::FlexFec(MEDIA), Format::UlpFec];

    #[test]
    fn lost_packets_are_recovered_byte_by_byte() {
        for format in FORMATS {
            let mut decoder = Decoder::new(config());
            let repairs = repairs(format, 0..10, 4);
            for number in (0..10).filter(|number| ![3, 9].contains(number)) {
                decoder.on_packet(&packet(number, 1000 + number as u16));
            }
            repairs.iter().for_each(|payload| on_repair(&mut decoder, format, payload));
            let mut recovered = recovered(&mut decoder);
            recovered.sort_by_key(|packet| packet[3].wrapping_add(6));
            assert_eq!(recovered, [packet(3, 0), packet(9, 0)], "{format:?}");
            let stats = decoder.stats();
            assert_eq!((stats.repairs, stats.recovered, stats.impossible, stats.refused), (4, 2, 0, 0));
        }
    }

    /// What is missing may come after the repair packets, in any order, and lead to more.
    #[test]
    fn a_late_packet_completes_the_others() {
        let format = FORMATS[0];
        let mut decoder = Decoder::new(config());
        let repairs = repairs(format, 0..8, 4);
        (0..8).filter(|number| ![1, 2, 3, 4, 5].contains(number)).for_each(|number| {
            decoder.on_packet(&packet(number, 7));
        });
        repairs.iter().for_each(|payload| on_repair(&mut decoder, format, payload));
        assert_eq!(recovered(&mut decoder).len(), 0);
        for number in [2, 3, 4] {
            decoder.on_packet(&packet(number, 9));
        }
        let recovered_now = recovered(&mut decoder);
        assert!([1, 5].iter().all(|number| recovered_now.contains(&packet(*number, 0))));
        decoder.on_packet(&packet(5, 9));
        assert_eq!(recovered(&mut decoder).len(), 0, "it is there");
    }

    #[test]
    fn nothing_is_taken_of_other_streams_and_of_no_stream() {
        let mut decoder = Decoder::new(config());
        let format = Format::FlexFec(Ssrc(5));
        let others = repairs(format, 0..4, 1);
        let ours = repairs(FORMATS[0], 0..4, 1);
        on_repair(&mut decoder, FORMATS[0], &ours[0]);
        assert_eq!(decoder.stats().refused, 1, "nothing has come that it could be near to");
        (0..3).for_each(|number| decoder.on_packet(&packet(number, 0)));
        on_repair(&mut decoder, format, &others[0]);
        on_repair(&mut decoder, format, &others[0][..12]);
        let mut far = ours[0].clone();
        far[16..18].copy_from_slice(&20_000_u16.to_be_bytes());
        on_repair(&mut decoder, FORMATS[0], &far);
        assert_eq!((decoder.stats().refused, decoder.stats().repairs), (4, 0));
        on_repair(&mut decoder, FORMATS[0], &ours[0]);
        assert_eq!(recovered(&mut decoder), [packet(3, 0)]);
    }

    /// A repair packet that was changed gives no packet which could not be one of the stream.
    #[test]
    fn what_cannot_be_is_not_recovered() {
        let good = repairs(FORMATS[0], 0..4, 1).remove(0);
        for (at, value, what) in [
            (1, good[1] ^ 0x10, "another payload type"),
            (2, good[2] ^ 0x40, "a length beyond the repair packet"),
            (0, good[0] ^ 0x0f, "CSRCs beyond the packet, or none"),
            (0, good[0] ^ 0x20, "padding"),
        ] {
            let mut decoder = Decoder::new(config());
            (1..4).for_each(|number| decoder.on_packet(&packet(number, 0)));
            let mut bad = good.clone();
            bad[at] = value;
            on_repair(&mut decoder, FORMATS[0], &bad);
            let recovered = recovered(&mut decoder);
            assert!(recovered.iter().all(|packet| RtpPacket::parse(packet).is_ok()), "{what}");
            assert!(!recovered.contains(&packet(0, 0)), "{what}");
            assert_eq!(decoder.stats().recovered + decoder.stats().impossible, 1, "{what}");
        }
    }

    #[test]
    fn repair_packets_of_long_ago_and_too_many_are_forgotten() {
        let mut decoder = Decoder::new(config());
        decoder.on_packet(&packet(0, 0));
        let hopeless: Vec<_> = repairs(FORMATS[0], 1..40, 20);
        for _ in 0..10 {
            hopeless.iter().for_each(|payload| on_repair(&mut decoder, FORMATS[0], payload));
            assert!(decoder.waiting.len() <= MAX_WAITING);
        }
        for number in 300..303 {
            decoder.on_packet(&packet(number, 0));
        }
        assert_eq!(decoder.waiting.len(), 0);
        assert!(decoder.spare.len() <= MAX_WAITING + 1);
        on_repair(&mut decoder, FORMATS[0], &hopeless[0]);
        assert_eq!(decoder.stats().refused, 1);
    }

    proptest! {
        /// Groups of any size through any loss: what is recovered is what was sent.
        #[test]
        fn what_is_recovered_is_what_was_sent(
            groups in proptest::collection::vec((1_u64..46, 1_usize..12), 1..8),
            lost in proptest::collection::vec(any::<bool>(), 500),
            is_flexfec in any::<bool>(),
        ) {
            let format = if is_flexfec { FORMATS[0] } else { FORMATS[1] };
            let mut decoder = Decoder::new(config());
            let mut lost = lost.into_iter().cycle();
            let mut first = 1;
            decoder.on_packet(&packet(0, 0));
            for (packets, count) in groups {
                let numbers = first..first + packets;
                first += packets;
                for number in numbers.clone().filter(|_| lost.next() == Some(false)) {
                    decoder.on_packet(&packet(number, 5));
                }
                for payload in repairs(format, numbers.clone(), count) {
                    if lost.next() == Some(false) {
                        on_repair(&mut decoder, format, &payload);
                    }
                }
                for recovered in recovered(&mut decoder) {
                    prop_assert!(numbers.clone().any(|number| packet(number, 0) == recovered));
                }
            }
            prop_assert_eq!(decoder.stats().impossible, 0);
        }
    }
}
