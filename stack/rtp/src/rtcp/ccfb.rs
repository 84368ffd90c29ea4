//! Congestion control feedback (RFC 8888): which packets of which source arrived, when, and how they were marked.
//!
//! `[sender 32 | (SSRC 32 | begin seq 16 | count 16 | metrics 16·n | pad to a word)* | report timestamp 32]`
//!
//! A metric is `received 1 | ECN 2 | arrival time offset 13`.

use std::time::Duration;

use tombolo_net::{Ecn, NtpTime, SeqNo, Ssrc};

use super::{MAX_LEN, begin_packet, packet_type, take_ssrc, write_length};
use crate::DecodeError;

pub(super) const FORMAT: u8 = 11;

/// Most packets that may be told of for one source (§3.1).
const MAX_REPORTS: usize = 16_384;

/// Bytes before the metrics of a source.
const STREAM_LEN: usize = 8;

const RECEIVED: u16 = 0x8000;

/// How long before the report a packet arrived, in units of 1/1024 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrivalOffset(u16);

impl ArrivalOffset {
    /// Longer than the field can tell: more than 8189/1024 s.
    pub const OVER_RANGE: Self = Self(0x1ffe);
    /// Not known, or after the report's timestamp.
    pub const UNAVAILABLE: Self = Self(0x1fff);

    /// From the time between arrival and report, rounded down.
    #[must_use]
    pub const fn from_age(age: Duration) -> Self {
        if age.as_secs() >= 8 {
            return Self::OVER_RANGE;
        }
        let ticks = (age.as_secs() << 10) + ((age.subsec_nanos() as u64) << 10) / 1_000_000_000;
        if ticks < Self::OVER_RANGE.0 as u64 { Self(ticks as u16) } else { Self::OVER_RANGE }
    }

    /// The time between arrival and report, 0 to 7.998 s, if it was measured and is within range.
    #[must_use]
    pub const fn age(self) -> Option<Duration> {
        if self.0 >= Self::OVER_RANGE.0 {
            return None;
        }
        Some(Duration::from_nanos((self.0 as u64 * 1_000_000_000) >> 10))
    }
}

/// How a packet arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketArrival {
    /// The mark that it had; of copies with different marks [`Ecn::Ce`] counts (§3.1).
    pub ecn: Ecn,
    /// When it came. Of copies the first counts.
    pub offset: ArrivalOffset,
}

impl PacketArrival {
    const fn decode(word: u16) -> Option<Self> {
        if word & RECEIVED == 0 {
            return None;
        }
        let ecn = match word >> 13 & 3 {
            0 => Ecn::NotEct,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::Ce,
        };
        Some(Self { ecn, offset: ArrivalOffset(word & 0x1fff) })
    }

    const fn encode(self) -> u16 {
        let ecn = match self.ecn {
            Ecn::NotEct => 0,
            Ecn::Ect1 => 1,
            Ecn::Ect0 => 2,
            Ecn::Ce => 3,
        };
        RECEIVED | ecn << 13 | self.offset.0
    }
}

/// Which packets arrived, of one or several sources.
#[derive(Clone, Copy, Debug)]
pub struct CongestionFeedback<'a> {
    /// Who received them.
    pub sender: Ssrc,
    /// When the report was made: the middle 32 bits of the receiver's NTP time, units of 1/65536 s.
    pub report_timestamp: u32,
    streams: &'a [u8],
}

impl<'a> CongestionFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let (sender, rest) = take_ssrc(body)?;
        let (streams, timestamp) = rest.split_last_chunk().ok_or(DecodeError::Truncated)?;
        let mut left = streams;
        while !left.is_empty() {
            (_, left) = StreamFeedback::split(left)?;
        }
        Ok(Self { sender, report_timestamp: u32::from_be_bytes(*timestamp), streams })
    }

    /// What is told of each source.
    pub fn streams(&self) -> impl Iterator<Item = StreamFeedback<'a>> + use<'a> {
        let mut left = self.streams;
        std::iter::from_fn(move || {
            let (stream, rest) = StreamFeedback::split(left).ok()?;
            left = rest;
            Some(stream)
        })
    }
}

/// What a [`CongestionFeedback`] tells of one source.
#[derive(Clone, Copy, Debug)]
pub struct StreamFeedback<'a> {
    /// The source of the packets.
    pub ssrc: Ssrc,
    /// The first sequence number that is told about.
    pub begin_seq: SeqNo,
    metrics: &'a [u8],
}

impl<'a> StreamFeedback<'a> {
    fn split(body: &'a [u8]) -> Result<(Self, &'a [u8]), DecodeError> {
        let (&[s0, s1, s2, s3, b0, b1, c0, c1], rest) =
            body.split_first_chunk::<STREAM_LEN>().ok_or(DecodeError::Truncated)?;
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        if count > MAX_REPORTS {
            return Err(DecodeError::Malformed);
        }
        // Two metrics fill a word.
        let (words, rest) = rest.split_at_checked(count.div_ceil(2) * 4).ok_or(DecodeError::Truncated)?;
        let stream = Self {
            ssrc: Ssrc(u32::from_be_bytes([s0, s1, s2, s3])),
            begin_seq: SeqNo(u16::from_be_bytes([b0, b1])),
            metrics: &words[..count * 2],
        };
        Ok((stream, rest))
    }

    /// Every sequence number that is told about, with its arrival, or `None` when it had not arrived.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = (SeqNo, Option<PacketArrival>)> + use<'a> {
        let begin = self.begin_seq.0;
        self.metrics.chunks_exact(2).enumerate().map(move |(at, metric)| {
            let word = u16::from_be_bytes([metric[0], metric[1]]);
            (SeqNo(begin.wrapping_add(at as u16)), PacketArrival::decode(word))
        })
    }
}

/// Writes a congestion control feedback message. After every call it is complete: nothing has to be finished.
#[derive(Debug)]
pub struct CongestionFeedbackWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    max_len: usize,
    report_timestamp: [u8; 4],
}

impl<'a> CongestionFeedbackWriter<'a> {
    /// Bytes of a message that tells of no source.
    const EMPTY_LEN: usize = 12;

    /// Begins a message of at most `max_len` bytes, 65,532 being the most, which is made at `report_time`.
    pub fn new(out: &'a mut Vec<u8>, sender: Ssrc, report_time: NtpTime, max_len: usize) -> Self {
        let report_timestamp = report_time.middle().to_be_bytes();
        let start = begin_packet(out, packet_type::RTPFB, FORMAT);
        out.extend_from_slice(&sender.0.to_be_bytes());
        out.extend_from_slice(&report_timestamp);
        write_length(out, start);
        Self { out, start, max_len: max_len.min(MAX_LEN), report_timestamp }
    }

    /// Tells of the packets of a source from `begin_seq` on, an item for each sequence number in order, `None` for one
    /// that has not arrived. Returns how many fitted: at most 16384, and as many as there is room for. The caller goes
    /// on with the rest in another message. Nothing is written for none.
    pub fn stream<I>(&mut self, ssrc: Ssrc, begin_seq: SeqNo, arrivals: I) -> usize
    where
        I: IntoIterator<Item = Option<PacketArrival>>,
    {
        let used = self.out.len() - self.start + STREAM_LEN;
        let room = self.max_len.saturating_sub(used) / 4 * 2;
        let mut arrivals = arrivals.into_iter().take(room.min(MAX_REPORTS)).peekable();
        if arrivals.peek().is_none() {
            return 0;
        }
        self.out.truncate(self.out.len() - self.report_timestamp.len());
        self.out.extend_from_slice(&ssrc.0.to_be_bytes());
        self.out.extend_from_slice(&begin_seq.0.to_be_bytes());
        let count_at = self.out.len();
        self.out.extend_from_slice(&[0, 0]);
        let mut count = 0;
        for arrival in arrivals {
            self.out.extend_from_slice(&arrival.map_or(0, PacketArrival::encode).to_be_bytes());
            count += 1;
        }
        self.out[count_at..count_at + 2].copy_from_slice(&(count as u16).to_be_bytes());
        if count % 2 == 1 {
            self.out.extend_from_slice(&[0, 0]);
        }
        self.out.extend_from_slice(&self.report_timestamp);
        write_length(self.out, self.start);
        count
    }

    /// Whether nothing was told of any source. Such a message is legal and of no use.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.len() - self.start == Self::EMPTY_LEN
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Compound, Packet};
    use super::*;

    fn read(data: &[u8]) -> Result<CongestionFeedback<'_>, DecodeError> {
        match Compound::new(data).next().unwrap()? {
            Packet::CongestionFeedback(feedback) => Ok(feedback),
            other => panic!("{other:?}"),
        }
    }

    fn arrival(ecn: Ecn, ticks: u16) -> Option<PacketArrival> {
        Some(PacketArrival { ecn, offset: ArrivalOffset(ticks) })
    }

    /// RFC 8888 §3.1, word by word: two sources, one with an odd number of packets across the wrap.
    #[test]
    fn the_message_is_that_of_the_rfc() {
        let mut out = Vec::new();
        let time = NtpTime(0x0000_1234_5678_0000);
        let mut writer = CongestionFeedbackWriter::new(&mut out, Ssrc(1), time, 1200);
        assert!(writer.is_empty());
        let first = [arrival(Ecn::Ce, 1), None, arrival(Ecn::Ect1, 0x1fff)];
        assert_eq!(writer.stream(Ssrc(0xa0b0_c0d0), SeqNo(65_534), first), 3);
        assert_eq!(writer.stream(Ssrc(3), SeqNo(9), []), 0);
        assert_eq!(writer.stream(Ssrc(2), SeqNo(7), [None, arrival(Ecn::Ect0, 1024)]), 2);
        assert!(!writer.is_empty());
        let expected = [
            0x8b, 205, 0, 9, 0, 0, 0, 1, 0xa0, 0xb0, 0xc0, 0xd0, 0xff, 0xfe, 0, 3, 0xe0, 1, 0, 0, 0xbf, 0xff,
            0, 0, 0, 0, 0, 2, 0, 7, 0, 2, 0, 0, 0xc4, 0, 0x12, 0x34, 0x56, 0x78,
        ];
        assert_eq!(out, expected);
        let feedback = read(&out).unwrap();
        assert_eq!((feedback.sender, feedback.report_timestamp), (Ssrc(1), 0x1234_5678));
        let streams: Vec<_> = feedback.streams().collect();
        assert_eq!(streams.iter().map(|stream| stream.ssrc.0).collect::<Vec<_>>(), [0xa0b0_c0d0, 2]);
        let packets: Vec<_> = streams[0].packets().map(|(seq, arrival)| (seq.0, arrival)).collect();
        assert_eq!(packets, [(65_534, first[0]), (65_535, None), (0, first[2])]);
        assert_eq!(streams[1].packets().len(), 2);
    }

    #[test]
    fn offsets_have_a_range() {
        let from = ArrivalOffset::from_age;
        assert_eq!(from(Duration::ZERO), ArrivalOffset(0));
        assert_eq!(from(Duration::from_millis(1000)), ArrivalOffset(1024));
        assert_eq!(from(Duration::from_millis(7997)), ArrivalOffset(8188));
        assert_eq!(from(Duration::from_secs(8)), ArrivalOffset::OVER_RANGE);
        assert_eq!(from(Duration::MAX), ArrivalOffset::OVER_RANGE);
        assert_eq!(ArrivalOffset(512).age(), Some(Duration::from_millis(500)));
        assert_eq!(ArrivalOffset::OVER_RANGE.age(), None);
        assert_eq!(ArrivalOffset::UNAVAILABLE.age(), None);
    }

    fn message(words: &[u32]) -> Vec<u8> {
        let mut out = vec![0x8b, 205, 0, words.len() as u8];
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        out
    }

    #[test]
    fn counts_that_do_not_add_up_are_refused() {
        assert_eq!(read(&message(&[1])).unwrap_err(), DecodeError::Truncated);
        assert_eq!(read(&message(&[1, 2, 9])).unwrap_err(), DecodeError::Truncated, "half a source");
        assert_eq!(read(&message(&[1, 2, 3, 0, 9])).unwrap_err(), DecodeError::Truncated, "missing metrics");
        assert_eq!(read(&message(&[1, 2, 2, 0, 9, 9])).unwrap_err(), DecodeError::Truncated, "left over");
        assert_eq!(read(&message(&[1, 2, 16_385, 9])).unwrap_err(), DecodeError::Malformed);
        let none =
            read(&message(&[1, 2, 0, 9])).map(|feedback| feedback.streams().map(|s| s.packets().len()).sum());
        assert_eq!(none, Ok(0_usize), "a source without packets is legal");
        assert_eq!(read(&message(&[1, 9])).map(|feedback| feedback.streams().count()), Ok(0));
    }

    #[test]
    fn a_message_keeps_to_its_bounds() {
        for max_len in [0, 12, 23, 24, 27, 28] {
            let mut out = vec![0xee];
            let mut writer = CongestionFeedbackWriter::new(&mut out, Ssrc(1), NtpTime(0), max_len);
            let told = writer.stream(Ssrc(2), SeqNo(0), [None; 9]);
            assert_eq!(told, max_len.saturating_sub(20) / 4 * 2, "{max_len}");
            assert!(out.len() - 1 <= max_len.max(12));
        }
        let mut out = Vec::new();
        let mut writer = CongestionFeedbackWriter::new(&mut out, Ssrc(1), NtpTime(0), usize::MAX);
        assert_eq!(writer.stream(Ssrc(2), SeqNo(0), std::iter::repeat(None)), MAX_REPORTS);
        assert!(read(&out).is_ok());
    }

    fn any_arrival() -> impl Strategy<Value = Option<PacketArrival>> {
        let ecn = prop_oneof![Just(Ecn::NotEct), Just(Ecn::Ect0), Just(Ecn::Ect1), Just(Ecn::Ce)];
        proptest::option::of(
            (ecn, 0u16..0x2000)
                .prop_map(|(ecn, offset)| PacketArrival { ecn, offset: ArrivalOffset(offset) }),
        )
    }

    proptest! {
        /// What is written is read back, however the caller has to cut it into messages.
        #[test]
        fn feedback_round_trips(
            start: u16,
            arrivals in proptest::collection::vec(any_arrival(), 1..100),
            max_len in 24usize..200,
        ) {
            let mut read_back = Vec::new();
            while read_back.len() < arrivals.len() {
                let told = read_back.len();
                let base = SeqNo(start.wrapping_add(told as u16));
                let mut out = Vec::new();
                let mut writer = CongestionFeedbackWriter::new(&mut out, Ssrc(1), NtpTime(0), max_len);
                let count = writer.stream(Ssrc(2), base, arrivals[told..].iter().copied());
                prop_assert!(count > 0 && out.len() <= max_len);
                let feedback = read(&out).unwrap();
                read_back.extend(feedback.streams().flat_map(|stream| stream.packets()));
                prop_assert_eq!(read_back.len(), told + count);
            }
            for (n, (seq, arrival)) in read_back.into_iter().enumerate() {
                prop_assert_eq!(seq.0, start.wrapping_add(n as u16));
                prop_assert_eq!(arrival, arrivals[n]);
            }
        }
    }
}
