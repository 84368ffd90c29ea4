//! The one bridge between the monotonic clock that machines are told and the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds between the NTP era 0 (1900) and the Unix epoch (1970).
const NTP_UNIX_OFFSET_SECS: u64 = 2_208_988_800;

/// One instant, named on both clocks. Read once, when a driver starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The instant on the monotonic clock.
    pub instant: Instant,
    /// The same instant on the wall clock.
    pub system: SystemTime,
}

impl Epoch {
    /// The wall clock at `now`.
    #[must_use]
    pub fn system_at(&self, now: Instant) -> SystemTime {
        if now >= self.instant {
            self.system + now.saturating_duration_since(self.instant)
        } else {
            self.system - self.instant.saturating_duration_since(now)
        }
    }

    /// The NTP timestamp of `now` (RFC 3550 §4), as sender reports carry it.
    #[must_use]
    pub fn ntp_at(&self, now: Instant) -> NtpTime {
        NtpTime::from_system(self.system_at(now))
    }
}

/// A 64-bit NTP timestamp: seconds since 1900 in the high half, fractions of 2⁻³² s in the low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// From the wall clock. Times before 1970 become 1970.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// From the time since 1970. Wraps at the end of an NTP era, as the format does.
    #[must_use]
    pub const fn from_unix(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs().wrapping_add(NTP_UNIX_OFFSET_SECS) & 0xffff_ffff;
        let fraction = ((since_1970.subsec_nanos() as u64) << 32) / 1_000_000_000;
        Self(seconds << 32 | fraction)
    }

    /// The middle 32 bits, as LSR and DLSR are counted (RFC 3550 §6.4.1): units of 1/65536 s.
    #[must_use]
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The signed difference `self − earlier` in microseconds, correct across an era boundary.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> i64 {
        let diff = self.0.wrapping_sub(earlier.0) as i64;
        ((diff as i128 * 1_000_000) >> 32) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_zero_is_ntp_2208988800() {
        assert_eq!(NtpTime::from_unix(Duration::ZERO).0, NTP_UNIX_OFFSET_SECS << 32);
    }

    #[test]
    fn halves_of_a_second_are_the_high_bit_of_the_fraction() {
        let time = NtpTime::from_unix(Duration::from_millis(1500));
        assert_eq!(time.0 & 0xffff_ffff, 0x8000_0000);
        assert_eq!(time.middle(), (((NTP_UNIX_OFFSET_SECS + 1) & 0xffff) as u32) << 16 | 0x8000);
    }

    #[test]
    fn differences_cross_the_era() {
        let before = NtpTime(u64::MAX);
        let after = NtpTime(0x8000_0000 - 1);
        assert_eq!(after.micros_since(before), 500_000);
        assert_eq!(before.micros_since(after), -500_000);
    }
}
