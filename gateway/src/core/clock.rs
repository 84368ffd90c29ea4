//! Media time: one clock per participant.
//!
//! A participant's sound and pictures come on RTP clocks of their own. Sender reports (RFC 3550 §6.4.1) tie each to the
//! publisher's wall clock, and with it to each other; until the first report arrival does ([`ClockMap`]). Media time is
//! counted in microseconds from [`BASE`] before the participant joined.
//!
//! Publishers that send frames bring a clock of their own; here it is only laid over the gateway's, once for all
//! their tracks, so that sender reports to packet subscribers keep the tracks together.

use std::time::{Duration, Instant};

use tombolo_interceptors::report::{ClockMap, ParticipantClock};
use tombolo_net::{NtpTime, RtpTime};

/// Media time of the instant of joining. Times before it (captured earlier, told late) stay positive.
const BASE: Duration = Duration::from_secs(10);

/// The window over which the quickest frame is looked for.
const OFFSET_WINDOW: Duration = Duration::from_secs(5);

/// Clocks drift apart by at most one part in this many.
const DRIFT_FRACTION: u128 = 5000;

/// The clock that all tracks of a participant share.
#[derive(Clone, Copy, Debug)]
pub(super) struct MediaClock {
    clock: ParticipantClock,
    frame_offset: Option<LeastOffset>,
}

/// What to add to the media time of a publisher of frames to get ours, at least, over the last one to two windows in
/// which there were frames.
#[derive(Clone, Copy, Debug)]
struct LeastOffset {
    since: Instant,
    current_us: i64,
    previous_us: Option<i64>,
}

impl MediaClock {
    pub(super) fn new(now: Instant) -> Self {
        // A machine that has just been started has no time before now; nothing is lost but the times before joining.
        Self { clock: ParticipantClock::new(now.checked_sub(BASE).unwrap_or(now)), frame_offset: None }
    }

    /// The instant on the gateway's clock at which `media_us` was.
    pub(super) fn instant(&self, media_us: i64) -> Instant {
        self.clock.instant(media_us)
    }

    /// The media time of a packet that arrives `now`.
    pub(super) fn packet_us(&self, stream: &mut ClockMap, now: Instant, timestamp: RtpTime) -> i64 {
        stream.on_packet(&self.clock, now, timestamp)
    }

    /// The media time of a frame, `now` that all its packets have arrived.
    pub(super) fn frame_us(&self, stream: &ClockMap, now: Instant, timestamp: RtpTime) -> i64 {
        stream.media_time(timestamp).unwrap_or_else(|| self.clock.local_us(now))
    }

    /// Takes a sender report of a stream that arrives `now`. `false` when it says nothing.
    pub(super) fn sender_report(
        &mut self,
        stream: &mut ClockMap,
        now: Instant,
        ntp: NtpTime,
        rtp: RtpTime,
    ) -> bool {
        stream.on_sender_report(&mut self.clock, now, ntp, rtp)
    }

    /// When a frame that arrives `now` with the publisher's own `media_time_us` was captured: the frame that took the
    /// least time of late counts as having taken none.
    pub(super) fn frame_capture(&mut self, now: Instant, media_time_us: u64) -> Instant {
        // 2⁶² µs are 146,000 years: what is beyond is not a time, and saturates.
        let media_us = i64::try_from(media_time_us).unwrap_or(i64::MAX).min(1 << 62);
        let offset_us = self.clock.local_us(now) - media_us;
        let window = self.frame_offset.get_or_insert(LeastOffset {
            since: now,
            current_us: offset_us,
            previous_us: None,
        });
        let age = now.saturating_duration_since(window.since);
        if age >= OFFSET_WINDOW {
            // Clocks drift apart while nothing is told of them.
            let drift_us = (age.as_micros() / DRIFT_FRACTION) as i64;
            *window = LeastOffset {
                since: now,
                current_us: offset_us,
                previous_us: Some(window.current_us + drift_us),
            };
        }
        window.current_us = window.current_us.min(offset_us);
        let least_us =
            window.previous_us.map_or(window.current_us, |previous| previous.min(window.current_us));
        self.instant(media_us + least_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn packets_of_all_tracks_share_the_clock_of_the_sender_reports() {
        let start = Instant::now();
        let mut clock = MediaClock::new(start);
        let (mut video, mut audio) = (ClockMap::new(90_000), ClockMap::new(48_000));
        let ntp = |millis: u64| NtpTime::from_unix(Duration::from_millis(1_700_000_000_000 + millis));
        // Both captured at wall time 0; the picture takes 80 ms to arrive, the sound 10 ms.
        let picture = clock.packet_us(&mut video, start + 80 * MS, RtpTime(u32::MAX - 10));
        let sound = clock.packet_us(&mut audio, start + 10 * MS, RtpTime(7));
        assert_eq!(picture - sound, 70_000, "before the first report only arrival is known");
        assert_eq!(picture, 10_080_000);
        let rtp = RtpTime(u32::MAX - 10) + 36_000;
        assert!(clock.sender_report(&mut video, start + 500 * MS, ntp(400), rtp));
        assert!(!clock.sender_report(&mut video, start + 505 * MS, ntp(400), rtp), "it says nothing new");
        assert!(clock.sender_report(&mut audio, start + 510 * MS, ntp(500), RtpTime(7) + 24_000));
        let picture = clock.packet_us(&mut video, start + 1080 * MS, RtpTime(u32::MAX - 10) + 90_000);
        let sound = clock.packet_us(&mut audio, start + 1010 * MS, RtpTime(7) + 48_000);
        assert!((picture - sound).abs() <= 1, "{picture} {sound}");
        assert_eq!(clock.instant(picture), start + 1080 * MS, "the first stream to report keeps its times");
    }

    #[test]
    fn frames_of_all_tracks_share_the_quickest_ones_offset() {
        let start = Instant::now();
        let mut clock = MediaClock::new(start);
        clock.frame_capture(start + 50 * MS, 1_000_000);
        let sound = clock.frame_capture(start + 60 * MS, 1_040_000);
        let picture = clock.frame_capture(start + 100 * MS, 1_040_000);
        assert_eq!(sound, picture);
        assert_eq!(sound, start + 60 * MS);
    }

    #[test]
    fn an_old_frame_after_a_pause_is_known_to_be_old() {
        let start = Instant::now();
        let mut clock = MediaClock::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..20 {
            assert_eq!(clock.frame_capture(at(second), second * 1_000_000), at(second));
        }
        let capture = clock.frame_capture(at(60), 22_000_000);
        let lag = at(60) - capture;
        assert!(lag > Duration::from_secs(37) && lag <= Duration::from_secs(38), "{lag:?}");
        // A clock that was set back is believed after a while.
        for second in 61..75 {
            clock.frame_capture(at(second), (second - 38) * 1_000_000);
        }
        assert_eq!(clock.frame_capture(at(75), 37_000_000), at(75));
    }

    #[test]
    fn no_media_time_is_too_much() {
        let start = Instant::now();
        for first in [0, u64::MAX] {
            let mut clock = MediaClock::new(start);
            for (n, media_time_us) in [first, 0, u64::MAX, 1 << 62, 5].into_iter().enumerate() {
                let now = start + Duration::from_secs(10) * n as u32;
                assert!(clock.frame_capture(now, media_time_us) <= now);
            }
        }
    }
}
