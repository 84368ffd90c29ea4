//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! `[base seq 16 | status count 16 | reference time 24 | feedback count 8 | chunks 16·n | deltas 8 or 16 each]`
//!
//! A chunk is a run (`0 | symbol 2 | length 13`) or a vector of 14 one-bit or 7 two-bit symbols. Deltas count 250 µs.

use std::time::Duration;

use tombolo_net::{SeqNo, Ssrc};

use super::{packet_type, take_feedback, write_feedback};
use crate::DecodeError;

pub(super) const FORMAT: u8 = 15;

const TICK_MICROS: i64 = 250;
/// Ticks in one unit of the reference time, 64 ms.
const REFERENCE_TICKS: i64 = 256;
const MAX_RUN: usize = 0x1fff;

const NOT_RECEIVED: u8 = 0;
const SMALL_DELTA: u8 = 1;
const LARGE_DELTA: u8 = 2;

/// Which packets of a transport arrived, and when.
#[derive(Clone, Copy, Debug)]
pub struct TransportFeedback<'a> {
    /// Who received them.
    pub sender: Ssrc,
    /// Any source of the transport; without meaning.
    pub media: Ssrc,
    /// The first transport-wide sequence number that is told about.
    pub base_seq: SeqNo,
    /// How many sequence numbers are told about.
    pub status_count: u16,
    /// The base of the arrival times, in units of 64 ms of the receiver's clock; 24 bits, signed.
    pub reference_time: i32,
    /// Counts the feedback packets, wrapping.
    pub feedback_count: u8,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (sender, media, fci) = take_feedback(body)?;
        let (&[s0, s1, c0, c1, r0, r1, r2, feedback_count], rest) =
            fci.split_first_chunk().ok_or(DecodeError::Truncated)?;
        let status_count = u16::from_be_bytes([c0, c1]);
        if status_count == 0 {
            return Err(DecodeError::Malformed);
        }
        let (mut covered, mut delta_bytes, mut chunks_len) = (0, 0, 0);
        while covered < usize::from(status_count) {
            let &[a, b] =
                rest.get(chunks_len..).and_then(<[u8]>::first_chunk).ok_or(DecodeError::Truncated)?;
            chunks_len += 2;
            let chunk = Chunk::decode(u16::from_be_bytes([a, b]));
            let symbols = chunk.len().min(usize::from(status_count) - covered);
            // An empty run would let a message cover nothing for ever.
            if symbols == 0 {
                return Err(DecodeError::Malformed);
            }
            delta_bytes += chunk.delta_bytes(symbols)?;
            covered += symbols;
        }
        let (chunks, rest) = rest.split_at(chunks_len);
        Ok(Self {
            sender,
            media,
            base_seq: SeqNo(u16::from_be_bytes([s0, s1])),
            status_count,
            reference_time: i32::from_be_bytes([r0, r1, r2, 0]) >> 8,
            feedback_count,
            chunks,
            deltas: rest.get(..delta_bytes).ok_or(DecodeError::Truncated)?,
        })
    }

    /// Every sequence number that is told about, with its arrival in microseconds on the receiver's clock (an
    /// arbitrary origin, wrapping with [`TransportFeedback::reference_time`]), or `None` when it had not arrived.
    #[must_use]
    pub fn statuses(&self) -> ArrivalStatuses<'a> {
        ArrivalStatuses {
            seq: self.base_seq,
            left: self.status_count,
            ticks: i64::from(self.reference_time) * REFERENCE_TICKS,
            chunk: Chunk::Run { symbol: NOT_RECEIVED, len: 0 },
            at: 0,
            chunks: self.chunks,
            deltas: self.deltas,
        }
    }
}

/// Iterator over the statuses of a [`TransportFeedback`].
#[derive(Clone, Debug)]
pub struct ArrivalStatuses<'a> {
    seq: SeqNo,
    left: u16,
    ticks: i64,
    chunk: Chunk,
    at: usize,
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl Iterator for ArrivalStatuses<'_> {
    type Item = (SeqNo, Option<i64>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        if self.at == self.chunk.len() {
            let (chunk, rest) = self.chunks.split_first_chunk()?;
            (self.chunk, self.chunks, self.at) = (Chunk::decode(u16::from_be_bytes(*chunk)), rest, 0);
        }
        let symbol = self.chunk.symbol(self.at);
        self.at += 1;
        let seq = self.seq;
        self.seq = seq.next();
        let delta = match symbol {
            NOT_RECEIVED => return Some((seq, None)),
            SMALL_DELTA => {
                let (&delta, rest) = self.deltas.split_first()?;
                self.deltas = rest;
                i64::from(delta)
            }
            _ => {
                let (delta, rest) = self.deltas.split_first_chunk()?;
                self.deltas = rest;
                i64::from(i16::from_be_bytes(*delta))
            }
        };
        self.ticks += delta;
        Some((seq, Some(self.ticks * TICK_MICROS)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::from(self.left), Some(usize::from(self.left)))
    }
}

/// A packet status chunk.
#[derive(Clone, Copy, Debug)]
enum Chunk {
    Run { symbol: u8, len: u16 },
    OneBit(u16),
    TwoBit(u16),
}

impl Chunk {
    const fn decode(word: u16) -> Self {
        match word >> 14 {
            0 | 1 => Self::Run { symbol: (word >> 13 & 3) as u8, len: word & 0x1fff },
            2 => Self::OneBit(word & 0x3fff),
            _ => Self::TwoBit(word & 0x3fff),
        }
    }

    const fn len(self) -> usize {
        match self {
            Self::Run { len, .. } => len as usize,
            Self::OneBit(_) => 14,
            Self::TwoBit(_) => 7,
        }
    }

    const fn symbol(self, at: usize) -> u8 {
        match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => (bits >> (13 - at) & 1) as u8,
            Self::TwoBit(bits) => (bits >> (12 - 2 * at) & 3) as u8,
        }
    }

    /// Bytes of deltas for the first `symbols` symbols. Symbol 3 is reserved (§3.1.1).
    fn delta_bytes(self, symbols: usize) -> Result<usize, DecodeError> {
        let bytes_of = |symbol| match symbol {
            3 => Err(DecodeError::Malformed),
            symbol => Ok(usize::from(symbol)),
        };
        match self {
            Self::Run { symbol, .. } => Ok(bytes_of(symbol)? * symbols),
            _ => (0..symbols).try_fold(0, |sum, at| Ok(sum + bytes_of(self.symbol(at))?)),
        }
    }
}

/// Symbols that are not written yet: a run, or up to 14 that may become a vector.
#[derive(Default)]
struct PendingChunk {
    symbols: [u8; 14],
    len: usize,
    mixed: bool,
    large: bool,
}

impl PendingChunk {
    fn takes(&self, symbol: u8) -> bool {
        if self.len < 7 {
            return true;
        }
        let one_bit = self.len < 14 && !self.large && symbol != LARGE_DELTA;
        one_bit || (!self.mixed && self.len < MAX_RUN && self.symbols[0] == symbol)
    }

    fn push(&mut self, symbol: u8) {
        if let Some(slot) = self.symbols.get_mut(self.len) {
            *slot = symbol;
        }
        self.mixed |= symbol != self.symbols[0];
        self.large |= symbol == LARGE_DELTA;
        self.len += 1;
    }

    /// The next chunk, of as many symbols as it can tell; the rest stays. Called when no more fits, or at the `end`,
    /// where a vector may have symbols to spare.
    fn emit(&mut self, end: bool) -> u16 {
        if !self.mixed {
            let word = u16::from(self.symbols[0]) << 13 | self.len as u16;
            *self = Self::default();
            return word;
        }
        if !self.large && (self.len == 14 || end && self.len > 7) {
            let bits = self.symbols[..self.len].iter().zip(0..);
            let word = bits.fold(0x8000, |word, (&symbol, at)| word | u16::from(symbol) << (13 - at));
            *self = Self::default();
            return word;
        }
        let told = self.len.min(7);
        let bits = self.symbols[..told].iter().zip(0..);
        let word = bits.fold(0xc000, |word, (&symbol, at)| word | u16::from(symbol) << (12 - 2 * at));
        let rest = std::mem::take(self);
        rest.symbols[told..rest.len].iter().for_each(|&symbol| self.push(symbol));
        word
    }
}

/// How far the statuses that fit go, and what they are as symbols and deltas.
#[derive(Clone)]
struct Deltas<I> {
    arrivals: I,
    ticks: i64,
}

impl<I: Iterator<Item = Option<Duration>>> Iterator for Deltas<I> {
    type Item = (u8, i16);

    fn next(&mut self) -> Option<(u8, i16)> {
        let Some(arrival) = self.arrivals.next()? else { return Some((NOT_RECEIVED, 0)) };
        let ticks = ticks(arrival);
        let delta = i16::try_from(ticks - self.ticks).ok()?;
        self.ticks = ticks;
        Some((if (0..256).contains(&delta) { SMALL_DELTA } else { LARGE_DELTA }, delta))
    }
}

fn ticks(arrival: Duration) -> i64 {
    i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX) / TICK_MICROS
}

/// Appends one feedback message about the packets from `base_seq` on and returns how many it tells about. The caller
/// goes on with the rest in another message.
///
/// `arrivals` has an item for each sequence number in order: the arrival on the caller's clock since any fixed origin, or
/// `None` for a packet that is missing. The message ends before a packet whose distance in time to the one before it
/// does not fit (8.2 s), or when `max_len` bytes are reached. Nothing is written and 0 returned when none of the
/// packets arrived, or `max_len` is under 28.
pub fn write_transport_feedback<I>(
    out: &mut Vec<u8>,
    (sender, media): (Ssrc, Ssrc),
    feedback_count: u8,
    base_seq: SeqNo,
    arrivals: I,
    max_len: usize,
) -> usize
where
    I: Iterator<Item = Option<Duration>> + Clone,
{
    const FIXED_LEN: usize = 20;
    let Some(first) = arrivals.clone().flatten().next() else { return 0 };
    if max_len < FIXED_LEN + 8 {
        return 0;
    }
    let reference = ticks(first) / REFERENCE_TICKS;
    let statuses = Deltas { arrivals: arrivals.take(0xffff), ticks: reference * REFERENCE_TICKS };
    let mut count: usize = 0;
    write_feedback(out, (packet_type::RTPFB, FORMAT), (sender, media), |out| {
        out.extend_from_slice(&base_seq.0.to_be_bytes());
        let count_at = out.len();
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(reference as u32).to_be_bytes()[1..]);
        out.push(feedback_count);
        let (mut pending, mut delta_bytes) = (PendingChunk::default(), 0);
        let chunks_at = out.len();
        for (symbol, _) in statuses.clone() {
            // At the end, what is pending takes at most two more chunks; padding at most three bytes.
            let chunk_bytes = out.len() - chunks_at + 2 + 4;
            if FIXED_LEN + chunk_bytes + delta_bytes + usize::from(symbol) > max_len & !3 {
                break;
            }
            if !pending.takes(symbol) {
                out.extend_from_slice(&pending.emit(false).to_be_bytes());
            }
            pending.push(symbol);
            delta_bytes += usize::from(symbol);
            count += 1;
        }
        while pending.len > 0 {
            out.extend_from_slice(&pending.emit(true).to_be_bytes());
        }
        out[count_at..count_at + 2].copy_from_slice(&(count as u16).to_be_bytes());
        for (symbol, delta) in statuses.take(count) {
            match symbol {
                NOT_RECEIVED => {}
                SMALL_DELTA => out.push(delta as u8),
                _ => out.extend_from_slice(&delta.to_be_bytes()),
            }
        }
    });
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Compound, Packet};
    use super::*;

    fn read(data: &[u8]) -> Result<TransportFeedback<'_>, DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::TransportFeedback(feedback) => Ok(feedback),
            other => panic!("{other:?}"),
        }
    }

    fn message(count: u16, chunks: &[u16], deltas: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_feedback(&mut out, (packet_type::RTPFB, FORMAT), (Ssrc(1), Ssrc(2)), |out| {
            out.extend_from_slice(&65534u16.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            out.extend_from_slice(&[0xff, 0xff, 0xff, 9]);
            out.extend(chunks.iter().flat_map(|chunk| chunk.to_be_bytes()));
            out.extend_from_slice(deltas);
        });
        out
    }

    /// The examples of §3.1.3 and §3.1.4: a run of 221 missing packets, and the two vectors.
    #[test]
    fn the_drafts_chunks_are_read() {
        let run = Chunk::decode(0b0000_0000_1101_1101);
        assert_eq!((run.len(), run.symbol(220)), (221, NOT_RECEIVED));
        let symbols = |word| {
            (0..Chunk::decode(word).len()).map(|at| Chunk::decode(word).symbol(at)).collect::<Vec<_>>()
        };
        assert_eq!(symbols(0b1001_1111_0001_1100), [0, 1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]);
        assert_eq!(symbols(0b1100_1101_0101_0000), [0, 3, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn arrivals_are_reference_time_and_deltas() {
        // Two-bit: small, missing, large, small; the numbers wrap; the reference time is −1.
        let data = message(4, &[0b1101_0010_0100_0000], &[4, 0xff, 0xfc, 2]);
        let feedback = read(&data).unwrap();
        assert_eq!((feedback.reference_time, feedback.feedback_count), (-1, 9));
        let statuses: Vec<_> = feedback.statuses().map(|(seq, time)| (seq.0, time)).collect();
        let base = -64_000;
        assert_eq!(
            statuses,
            [(65534, Some(base + 1000)), (65535, None), (0, Some(base)), (1, Some(base + 500))]
        );
    }

    #[test]
    fn impossible_messages_are_refused() {
        assert_eq!(read(&message(0, &[1], &[])).unwrap_err(), DecodeError::Malformed);
        // An empty run, a reserved symbol, missing deltas, missing chunks.
        assert_eq!(read(&message(1, &[0, 0], &[])).unwrap_err(), DecodeError::Malformed);
        assert_eq!(read(&message(1, &[0x6001], &[0; 4])).unwrap_err(), DecodeError::Malformed);
        assert_eq!(read(&message(1, &[0xf000], &[0; 4])).unwrap_err(), DecodeError::Malformed);
        assert_eq!(read(&message(9, &[0x2009], &[0; 6])).unwrap_err(), DecodeError::Truncated);
        assert_eq!(read(&message(9000, &[0x1fff, 1], &[])).unwrap_err(), DecodeError::Truncated);
    }

    #[test]
    fn a_run_costs_one_chunk() {
        let arrivals = (0..1000).map(|n| Some(Duration::from_millis(100 + n)));
        let mut out = Vec::new();
        let told = write_transport_feedback(&mut out, (Ssrc(1), Ssrc(2)), 3, SeqNo(5), arrivals, 4000);
        assert_eq!(told, 1000);
        assert_eq!(out.len(), (20usize + 2 + 1000).next_multiple_of(4));
    }

    #[test]
    fn nothing_received_and_no_room_write_nothing() {
        let mut out = Vec::new();
        let ids = (Ssrc(1), Ssrc(2));
        assert_eq!(write_transport_feedback(&mut out, ids, 0, SeqNo(0), [None, None].into_iter(), 1200), 0);
        let one = [Some(Duration::ZERO)].into_iter();
        assert_eq!(write_transport_feedback(&mut out, ids, 0, SeqNo(0), one, 27), 0);
        assert!(out.is_empty());
    }

    #[test]
    fn a_gap_in_time_ends_the_message() {
        let arrivals = [Some(Duration::ZERO), Some(Duration::from_secs(9)), None].into_iter();
        let mut out = Vec::new();
        assert_eq!(write_transport_feedback(&mut out, (Ssrc(1), Ssrc(2)), 0, SeqNo(0), arrivals, 1200), 1);
        assert_eq!(read(&out).unwrap().statuses().count(), 1);
    }

    fn arrival() -> impl Strategy<Value = Option<i64>> {
        prop_oneof![
            4 => (0i64..1000).prop_map(Some),
            2 => (-20_000i64..60_000).prop_map(Some),
            2 => Just(None),
        ]
    }

    proptest! {
        /// What is written is read back to the tick, however the caller has to cut it into messages.
        #[test]
        fn feedback_round_trips(
            start: u16,
            steps in proptest::collection::vec(prop_oneof![3 => arrival().prop_map(|a| (a, 1)), 1 => (arrival(), 1usize..60)], 1..60),
            max_len in 28usize..300,
        ) {
            let mut micros: i64 = 5_000_000;
            let mut arrivals = Vec::new();
            for (step, times) in steps {
                for _ in 0..times {
                    micros = micros.saturating_add(step.unwrap_or(0)).max(0);
                    arrivals.push(step.map(|_| Duration::from_micros(micros as u64)));
                }
            }
            let (mut told, mut read_back) = (0, Vec::new());
            while told < arrivals.len() {
                let mut out = Vec::new();
                let base = SeqNo(start.wrapping_add(told as u16));
                let rest = arrivals[told..].iter().copied();
                let count = write_transport_feedback(&mut out, (Ssrc(1), Ssrc(2)), 0, base, rest, max_len);
                if count == 0 {
                    prop_assert!(arrivals[told..].iter().all(Option::is_none));
                    break;
                }
                prop_assert!(out.len() <= max_len, "{} > {}", out.len(), max_len);
                let feedback = read(&out).unwrap();
                prop_assert_eq!(feedback.base_seq, base);
                read_back.extend(feedback.statuses());
                told += count;
                prop_assert_eq!(read_back.len(), told);
            }
            for (n, (seq, time)) in read_back.into_iter().enumerate() {
                prop_assert_eq!(seq.0, start.wrapping_add(n as u16));
                prop_assert_eq!(time, arrivals[n].map(|at| at.as_micros() as i64 / TICK_MICROS * TICK_MICROS));
            }
        }
    }
}
