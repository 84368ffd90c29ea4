//! Sender and receiver reports (RFC 3550 §6.4).

use std::time::Duration;

use tombolo_net::{NtpTime, RtpTime, Ssrc};

use super::{packet_type, take_ssrc, take_u32, write_packet};
use crate::DecodeError;

const BLOCK_LEN: usize = 24;

/// Most report blocks of one message: the count has five bits.
const MAX_BLOCKS: usize = 31;

/// What a sender says about itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Who reports.
    pub ssrc: Ssrc,
    /// The wall clock when the report was made.
    pub ntp: NtpTime,
    /// The same instant on the stream's RTP clock.
    pub rtp_time: RtpTime,
    /// RTP packets sent since the start, wrapping.
    pub packet_count: u32,
    /// Payload bytes sent since the start, without headers and padding, wrapping.
    pub octet_count: u32,
}

/// How one source is received (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that this is about.
    pub ssrc: Ssrc,
    /// Loss since the last report, in units of 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start: 24 bits signed on the wire, so duplicates can make it negative. Cut to
    /// −8388608..=8388607.
    pub cumulative_lost: i32,
    /// The highest sequence number received, with the count of wraps in the high half.
    pub highest_seq: u32,
    /// Interarrival jitter, in ticks of the RTP clock.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time in the last sender report, zero if there was none.
    pub last_sr: u32,
    /// The time since that report came, in units of 1/65536 s; zero if there was none.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    /// The round trip, when this block came at `now` on the clock that made the sender report: A − LSR − DLSR
    /// (RFC 3550 §6.4.1). `None` without a sender report, or when the peer's figures give a negative time.
    #[must_use]
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        round_trip(now, self.last_sr, self.delay_since_last_sr)
    }

    fn read(chunk: &[u8]) -> Self {
        let word = |at: usize| u32::from_be_bytes([chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3]]);
        Self {
            ssrc: Ssrc(word(0)),
            fraction_lost: chunk[4],
            cumulative_lost: (word(4) << 8) as i32 >> 8,
            highest_seq: word(8),
            jitter: word(12),
            last_sr: word(16),
            delay_since_last_sr: word(20),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let lost = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff) as u32 & 0xff_ffff;
        let words = [
            self.ssrc.0,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_seq,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    }
}

/// What lies between a report that was made at `last`, came back `delay` after its arrival, and came at `now`; the
/// two in units of 1/65536 s.
pub(super) fn round_trip(now: NtpTime, last: u32, delay: u32) -> Option<Duration> {
    if last == 0 {
        return None;
    }
    let units = now.middle().wrapping_sub(last).wrapping_sub(delay) as i32;
    let micros = (u64::try_from(units).ok()? * 1_000_000) >> 16;
    Some(Duration::from_micros(micros))
}

/// Iterator over the report blocks of a message.
#[derive(Clone, Copy, Debug)]
pub struct ReportBlocks<'a> {
    rest: &'a [u8],
}

impl<'a> ReportBlocks<'a> {
    /// The blocks that the count announces; what follows them is a profile's extension and is left alone.
    fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let rest = body.get(..usize::from(count) * BLOCK_LEN).ok_or(DecodeError::Truncated)?;
        Ok(Self { rest })
    }
}

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (chunk, rest) = self.rest.split_at_checked(BLOCK_LEN)?;
        self.rest = rest;
        Some(ReportBlock::read(chunk))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() / BLOCK_LEN;
        (left, Some(left))
    }
}

impl ExactSizeIterator for ReportBlocks<'_> {}

/// A sender report.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// What the sender says about itself.
    pub info: SenderInfo,
    /// What it receives.
    pub reports: ReportBlocks<'a>,
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (ssrc, rest) = take_ssrc(body)?;
        let (ntp_high, rest) = take_u32(rest)?;
        let (ntp_low, rest) = take_u32(rest)?;
        let (rtp_time, rest) = take_u32(rest)?;
        let (packet_count, rest) = take_u32(rest)?;
        let (octet_count, rest) = take_u32(rest)?;
        let ntp = NtpTime(u64::from(ntp_high) << 32 | u64::from(ntp_low));
        let info = SenderInfo { ssrc, ntp, rtp_time: RtpTime(rtp_time), packet_count, octet_count };
        Ok(Self { info, reports: ReportBlocks::parse(count, rest)? })
    }
}

/// A receiver report.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: Ssrc,
    /// What it receives.
    pub reports: ReportBlocks<'a>,
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Result<Self, DecodeError> {
        let (ssrc, rest) = take_ssrc(body)?;
        Ok(Self { ssrc, reports: ReportBlocks::parse(count, rest)? })
    }
}

/// Appends a sender report. Of more than 31 blocks the first 31 are written.
pub fn write_sender_report(out: &mut Vec<u8>, info: &SenderInfo, reports: &[ReportBlock]) {
    let reports = &reports[..reports.len().min(MAX_BLOCKS)];
    write_packet(out, packet_type::SR, reports.len() as u8, |out| {
        out.extend_from_slice(&info.ssrc.0.to_be_bytes());
        out.extend_from_slice(&info.ntp.0.to_be_bytes());
        for word in [info.rtp_time.0, info.packet_count, info.octet_count] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        reports.iter().for_each(|report| report.write(out));
    });
}

/// Appends a receiver report. Of more than 31 blocks the first 31 are written.
pub fn write_receiver_report(out: &mut Vec<u8>, ssrc: Ssrc, reports: &[ReportBlock]) {
    let reports = &reports[..reports.len().min(MAX_BLOCKS)];
    write_packet(out, packet_type::RR, reports.len() as u8, |out| {
        out.extend_from_slice(&ssrc.0.to_be_bytes());
        reports.iter().for_each(|report| report.write(out));
    });
}

#[cfg(test)]
mod tests {
    use super::super::{Compound, Packet};
    use super::*;

    fn block() -> ReportBlock {
        ReportBlock {
            ssrc: Ssrc(7),
            fraction_lost: 64,
            cumulative_lost: -3,
            highest_seq: 0x0002_0005,
            jitter: 40,
            last_sr: 0xb705_2000,
            delay_since_last_sr: 0x0005_4000,
        }
    }

    #[test]
    fn sender_reports_round_trip() {
        let info = SenderInfo {
            ssrc: Ssrc(1),
            ntp: NtpTime(0x1122_3344_5566_7788),
            rtp_time: RtpTime(90_000),
            packet_count: 10,
            octet_count: 12_000,
        };
        let mut out = Vec::new();
        write_sender_report(&mut out, &info, &[block(), ReportBlock::default()]);
        assert_eq!(out[..4], [0x82, 200, 0, 18]);
        let Some(Ok(Packet::SenderReport(report))) = Compound::new(&out).next() else { panic!("no report") };
        assert_eq!(report.info, info);
        assert_eq!(report.reports.collect::<Vec<_>>(), [block(), ReportBlock::default()]);
    }

    /// RTCP-07: loss has 24 bits with a sign: duplicates make it negative, and it is cut, never wrapped.
    #[test]
    fn cumulative_loss_is_signed_and_cut() {
        for (lost, read) in [(-1, -1), (0x7f_ffff, 0x7f_ffff), (i32::MAX, 0x7f_ffff), (i32::MIN, -0x80_0000)]
        {
            let mut out = Vec::new();
            write_receiver_report(&mut out, Ssrc(1), &[ReportBlock { cumulative_lost: lost, ..block() }]);
            let Some(Ok(Packet::ReceiverReport(mut report))) = Compound::new(&out).next() else { panic!() };
            let first = report.reports.next().unwrap();
            assert_eq!((first.cumulative_lost, first.fraction_lost), (read, 64));
        }
    }

    /// RTCP-07: the example of RFC 3550 §6.4.1, figure 2: 6.125 s.
    #[test]
    fn the_round_trip_is_that_of_the_rfcs_example() {
        let now = NtpTime(0xb710_8000 << 16);
        assert_eq!(block().round_trip(now), Some(Duration::from_millis(6125)));
    }

    /// RTCP-07: no sender report yet, an impossible delay, and the wrap of the middle bits.
    #[test]
    fn round_trips_that_cannot_be_told_are_none() {
        let none = ReportBlock { last_sr: 0, delay_since_last_sr: 0, ..block() };
        assert_eq!(none.round_trip(NtpTime(1 << 40)), None);
        let impossible = ReportBlock { last_sr: 0x10_0000, delay_since_last_sr: 0x10_0000, ..block() };
        assert_eq!(impossible.round_trip(NtpTime(0x10_0001 << 16)), None);
        let wrapped = ReportBlock { last_sr: 0xffff_8000, delay_since_last_sr: 0, ..block() };
        assert_eq!(wrapped.round_trip(NtpTime(0x8000 << 16)), Some(Duration::from_secs(1)));
    }

    #[test]
    fn counts_beyond_the_body_are_refused() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(1), &[block()]);
        out[0] = 0x82;
        assert!(matches!(Compound::new(&out).next(), Some(Err(DecodeError::Truncated))));
    }

    #[test]
    fn no_more_than_31_blocks_are_written() {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(1), &[block(); 40]);
        let Some(Ok(Packet::ReceiverReport(report))) = Compound::new(&out).next() else {
            panic!("no report")
        };
        assert_eq!(report.reports.len(), 31);
    }
}
