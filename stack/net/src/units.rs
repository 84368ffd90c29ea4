//! Units of RTP, and the serial arithmetic of counters that wrap (RFC 1982).

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

/// A rate in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bitrate(u64);

impl Bitrate {
    /// Nothing at all.
    pub const ZERO: Self = Self(0);

    /// From bits per second.
    #[must_use]
    pub const fn from_bps(bps: u64) -> Self {
        Self(bps)
    }

    /// From kilobits (1000 bits) per second.
    #[must_use]
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps * 1000)
    }

    /// What `bytes` in `time` amount to; zero for no time.
    #[must_use]
    pub fn from_bytes_in(bytes: u64, time: Duration) -> Self {
        let micros = time.as_micros();
        if micros == 0 {
            return Self::ZERO;
        }
        Self(u64::try_from(u128::from(bytes) * 8_000_000 / micros).unwrap_or(u64::MAX))
    }

    /// In bits per second.
    #[must_use]
    pub const fn as_bps(self) -> u64 {
        self.0
    }

    /// How long `bytes` take at this rate; [`Duration::MAX`] at rate zero.
    #[must_use]
    pub fn time_for(self, bytes: u64) -> Duration {
        match (u128::from(bytes) * 8_000_000_000).checked_div(u128::from(self.0)) {
            Some(nanos) => Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
            None => Duration::MAX,
        }
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000 => write!(f, "{} b/s", self.0),
            1_000..1_000_000 => write!(f, "{} kb/s", self.0 / 1_000),
            _ => write!(f, "{}.{} Mb/s", self.0 / 1_000_000, self.0 / 100_000 % 10),
        }
    }
}

/// A synchronisation source (RFC 3550 §3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 16-bit sequence number as it stands on the wire. It has no total order: see [`SeqNo::is_newer_than`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeqNo(pub u16);

impl SeqNo {
    /// The next one, wrapping.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The signed distance from `other` to `self`, −32768..=32767.
    #[must_use]
    pub const fn distance_from(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0) as i16
    }

    /// Whether `self` comes after `other` in serial order. Half the space away counts as older.
    #[must_use]
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

/// A sequence number that does not wrap: the 16 bits of the wire and the number of wraps above them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtSeqNo(pub u64);

impl ExtSeqNo {
    /// The 16 bits that go on the wire.
    #[must_use]
    pub const fn wire(self) -> SeqNo {
        SeqNo(self.0 as u16)
    }

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Turns the sequence numbers of one stream into [`ExtSeqNo`]s.
///
/// The first number starts at one wrap (65536 + n), so that packets older than the first one still have a
/// place of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SeqUnwrapper {
    highest: Option<u64>,
}

impl SeqUnwrapper {
    /// The extended number of `seq`: the one closest to the highest seen so far, which it may become.
    pub fn unwrap(&mut self, seq: SeqNo) -> ExtSeqNo {
        let Some(highest) = self.highest else {
            let first = 0x1_0000 + u64::from(seq.0);
            self.highest = Some(first);
            return ExtSeqNo(first);
        };
        let extended = Self::near(highest, seq);
        self.highest = Some(highest.max(extended));
        ExtSeqNo(extended)
    }

    /// The extended number that `seq` would get, without a change; `None` before the first packet.
    #[must_use]
    pub fn peek(&self, seq: SeqNo) -> Option<ExtSeqNo> {
        self.highest.map(|highest| ExtSeqNo(Self::near(highest, seq)))
    }

    /// The highest number so far.
    #[must_use]
    pub fn highest(&self) -> Option<ExtSeqNo> {
        self.highest.map(ExtSeqNo)
    }

    fn near(highest: u64, seq: SeqNo) -> u64 {
        let distance = seq.distance_from(SeqNo(highest as u16));
        // Cannot go below zero: `highest` is at least 65536.
        highest.saturating_add_signed(i64::from(distance))
    }
}

/// A 32-bit RTP timestamp, in ticks of the payload's clock rate. It has no total order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// The signed distance from `other` to `self` in ticks.
    #[must_use]
    pub const fn distance_from(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// Whether `self` comes after `other` in serial order.
    #[must_use]
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

impl Add<u32> for RtpTime {
    type Output = Self;

    fn add(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

impl Sub<u32> for RtpTime {
    type Output = Self;

    fn sub(self, ticks: u32) -> Self {
        Self(self.0.wrapping_sub(ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_compare_across_the_wrap() {
        assert!(SeqNo(0).is_newer_than(SeqNo(65535)));
        assert!(!SeqNo(65535).is_newer_than(SeqNo(0)));
        assert!(!SeqNo(0x8000).is_newer_than(SeqNo(0)));
    }

    #[test]
    fn unwrapping_follows_wraps_and_reorder() {
        let mut unwrapper = SeqUnwrapper::default();
        assert_eq!(unwrapper.unwrap(SeqNo(65534)), ExtSeqNo(0x1_fffe));
        assert_eq!(unwrapper.unwrap(SeqNo(1)), ExtSeqNo(0x2_0001));
        assert_eq!(unwrapper.unwrap(SeqNo(65535)), ExtSeqNo(0x1_ffff));
        assert_eq!(unwrapper.unwrap(SeqNo(2)), ExtSeqNo(0x2_0002));
        assert_eq!(unwrapper.highest(), Some(ExtSeqNo(0x2_0002)));
    }

    #[test]
    fn a_number_older_than_the_first_keeps_its_place() {
        let mut unwrapper = SeqUnwrapper::default();
        assert_eq!(unwrapper.unwrap(SeqNo(1)), ExtSeqNo(0x1_0001));
        assert_eq!(unwrapper.unwrap(SeqNo(65535)), ExtSeqNo(0xffff));
    }

    #[test]
    fn rates_and_times_agree() {
        let rate = Bitrate::from_bytes_in(125_000, Duration::from_secs(1));
        assert_eq!(rate, Bitrate::from_kbps(1000));
        assert_eq!(rate.time_for(125), Duration::from_millis(1));
        assert_eq!(Bitrate::ZERO.time_for(1), Duration::MAX);
        assert_eq!(rate.to_string(), "1.0 Mb/s");
    }
}
