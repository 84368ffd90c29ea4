//! The round trip from the reports of the other side (RFC 3550 §6.4.1).

use std::time::Duration;

use tombolo_net::NtpTime;
use tombolo_rtp::rtcp::ReportBlock;

/// Longer round trips than this are taken for nonsense.
const MAX_SAMPLE: Duration = Duration::from_secs(60);

/// The round-trip time of a transport, from report blocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrip {
    smoothed: Option<Duration>,
    latest: Option<Duration>,
}

impl RoundTrip {
    /// What one report block tells that came at `now` on the clock of the own sender reports. `None` when it answers
    /// no report, or tells times that cannot be: an answer from before the report, or over a minute.
    pub fn on_report(&mut self, now: NtpTime, block: &ReportBlock) -> Option<Duration> {
        let sample = block.round_trip(now).filter(|sample| *sample <= MAX_SAMPLE)?;
        self.latest = Some(sample);
        self.smoothed = Some(match self.smoothed {
            // RFC 6298 §2.3 weights.
            Some(smoothed) => smoothed - smoothed / 8 + sample / 8,
            None => sample,
        });
        Some(sample)
    }

    /// The smoothed round trip; `None` before the first sample.
    #[must_use]
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The last sample.
    #[must_use]
    pub const fn latest(&self) -> Option<Duration> {
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(last_sr: u32, delay_since_last_sr: u32) -> ReportBlock {
        ReportBlock { last_sr, delay_since_last_sr, ..ReportBlock::default() }
    }

    /// RTCP-07: the worked example of RFC 3550 §6.4.1, figure 2.
    #[test]
    fn the_example_of_the_rfc_gives_6_125_seconds() {
        let mut rtt = RoundTrip::default();
        let now = NtpTime(0xb710_8000 << 16);
        let sample = rtt.on_report(now, &block(0xb705_2000, 0x0005_4000)).unwrap();
        assert_eq!(sample, Duration::from_millis(6125));
    }

    /// RTCP-07: no sender report yet (0), the wrap of the middle 32 bits, and nonsense.
    #[test]
    fn no_report_tells_nothing_and_the_wrap_does_not_matter() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.on_report(NtpTime(5 << 32), &block(0, 77)), None);
        assert_eq!(rtt.smoothed(), None);
        let now = NtpTime(0x0001_0000_8000_0000);
        assert_eq!(now.middle(), 0x8000);
        assert_eq!(rtt.on_report(now, &block(0xffff_8000, 0x8000)), Some(Duration::from_millis(500)));
        assert_eq!(rtt.on_report(now, &block(0x9000, 0)), None, "answered before it was sent");
        assert_eq!(rtt.on_report(now, &block(0xff00_0000, 0)), None, "over a minute");
        assert_eq!(rtt.smoothed(), Some(Duration::from_millis(500)));
    }

    #[test]
    fn samples_are_smoothed() {
        let mut rtt = RoundTrip::default();
        let now = NtpTime(10 << 32);
        rtt.on_report(now, &block(now.middle() - 6554, 0));
        for _ in 0..60 {
            rtt.on_report(now, &block(now.middle() - 13107, 0));
        }
        let smoothed = rtt.smoothed().unwrap();
        assert!((199..=200).contains(&smoothed.as_millis()), "{smoothed:?}");
    }
}
