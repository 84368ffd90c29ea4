//! Media time: one clock per participant.
//!
//! A participant's sound and pictures come on RTP clocks of their own. Sender reports (RFC 3550 §6.4.1) tie each to the
//! publisher's wall clock, and with it to each other; until the first report the arrival of the first packet does.
//! Media time is counted in microseconds from [`BASE_US`] at the instant the participant joined.
//!
//! Publishers that send frames bring a clock of their own; here it is only laid over the gateway's, once for all
//! their tracks, so that sender reports to packet subscribers keep the tracks together.

use std::time::{Duration, Instant};

use tombolo_net::{NtpTime, RtpTime};

/// Media time of the instant of joining. Times before it (captured earlier, told late) stay positive.
const BASE_US: i64 = 10_000_000;

/// A media time further than this from the arrival clock is an error of the publisher's clock, or its restart.
const MAX_DEVIATION_US: i64 = 5_000_000;

/// This many sender reports in a row that contradict the clock mean that the publisher's wall clock was set.
const REPORTS_TO_REANCHOR: u32 = 3;

/// The window over which the quickest frame is looked for.
const OFFSET_WINDOW: Duration = Duration::from_secs(5);

/// Clocks drift apart by at most one part in this many.
const DRIFT_FRACTION: u128 = 5000;

/// The clock that all tracks of a participant share.
#[derive(Clone, Copy, Debug)]
pub(super) struct MediaClock {
    origin: Instant,
    /// A wall-clock time of the publisher and the media time it stands for.
    wall: Option<(NtpTime, i64)>,
    contradictions: u32,
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
        Self { origin: now, wall: None, contradictions: 0, frame_offset: None }
    }

    fn now_us(&self, now: Instant) -> i64 {
        let since = now.saturating_duration_since(self.origin).as_micros();
        BASE_US.saturating_add(i64::try_from(since).unwrap_or(i64::MAX / 2))
    }

    /// The instant on the gateway's clock at which `media_us` was.
    pub(super) fn instant(&self, media_us: i64) -> Instant {
        let offset = media_us - BASE_US;
        let distance = Duration::from_micros(offset.unsigned_abs());
        let instant =
            if offset >= 0 { self.origin.checked_add(distance) } else { self.origin.checked_sub(distance) };
        instant.unwrap_or(self.origin)
    }

    /// When a frame that arrives `now` with the publisher's own `media_time_us` was captured: the frame that took the
    /// least time of late counts as having taken none.
    pub(super) fn frame_capture(&mut self, now: Instant, media_time_us: u64) -> Instant {
        // 2⁶² µs are 146,000 years: what is beyond is not a time, and saturates.
        let media_us = i64::try_from(media_time_us).unwrap_or(i64::MAX).min(1 << 62);
        let offset_us = self.now_us(now) - media_us;
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

/// The RTP clock of one stream, laid over the clock of its participant.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamClock {
    rate_hz: i64,
    last: Option<(RtpTime, i64)>,
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    ticks: i64,
    media_us: i64,
}

impl StreamClock {
    pub(super) fn new(rate_hz: u32) -> Self {
        Self { rate_hz: i64::from(rate_hz.max(1)), last: None, anchor: None }
    }

    fn unwrap(&self, timestamp: RtpTime) -> i64 {
        match self.last {
            Some((last, ticks)) => ticks + i64::from(timestamp.distance_from(last)),
            None => 0,
        }
    }

    fn at(&self, anchor: Anchor, ticks: i64) -> i64 {
        anchor.media_us + (ticks - anchor.ticks) * 1_000_000 / self.rate_hz
    }

    /// The media time of a packet with `timestamp` that arrives `now`.
    pub(super) fn media_us(&mut self, clock: &MediaClock, now: Instant, timestamp: RtpTime) -> i64 {
        let ticks = self.unwrap(timestamp);
        if self.last.is_none_or(|(_, last)| ticks > last) {
            self.last = Some((timestamp, ticks));
        }
        let arrival_us = clock.now_us(now);
        let told = self.anchor.map(|anchor| self.at(anchor, ticks));
        match told {
            Some(media_us) if (media_us - arrival_us).abs() <= MAX_DEVIATION_US => media_us,
            _ => {
                self.anchor = Some(Anchor { ticks, media_us: arrival_us });
                self.last = Some((timestamp, ticks));
                arrival_us
            }
        }
    }

    /// Takes a sender report of this stream that arrives `now`. `false` when it cannot be true.
    pub(super) fn sender_report(
        &mut self,
        clock: &mut MediaClock,
        now: Instant,
        ntp: NtpTime,
        rtp: RtpTime,
    ) -> bool {
        let ticks = self.unwrap(rtp);
        if self.last.is_none() {
            self.last = Some((rtp, ticks));
        }
        let arrival_us = clock.now_us(now);
        let near = |media_us: i64| (media_us - arrival_us).abs() <= MAX_DEVIATION_US;
        // What this stream alone makes of the report: the first stream to report sets the wall clock, and keeps its times.
        let own_us = self.anchor.map(|anchor| self.at(anchor, ticks)).filter(|&us| near(us));
        let (wall, wall_us) = *clock.wall.get_or_insert((ntp, own_us.unwrap_or(arrival_us)));
        let mut media_us = wall_us.saturating_add(ntp.micros_since(wall));
        if near(media_us) {
            clock.contradictions = 0;
        } else {
            clock.contradictions += 1;
            if clock.contradictions < REPORTS_TO_REANCHOR {
                return false;
            }
            media_us = own_us.unwrap_or(arrival_us);
            clock.wall = Some((ntp, media_us));
            clock.contradictions = 0;
        }
        self.anchor = Some(Anchor { ticks, media_us });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ntp(millis: u64) -> NtpTime {
        NtpTime::from_unix(Duration::from_millis(1_700_000_000_000 + millis))
    }

    #[test]
    fn reports_lay_sound_and_picture_on_one_clock() {
        let start = Instant::now();
        let mut clock = MediaClock::new(start);
        let (mut video, mut audio) = (StreamClock::new(90_000), StreamClock::new(48_000));
        // Both captured at wall time 0; the picture takes 80 ms to arrive, the sound 10 ms.
        let picture = video.media_us(&clock, start + 80 * MS, RtpTime(u32::MAX - 10));
        let sound = audio.media_us(&clock, start + 10 * MS, RtpTime(7));
        assert_eq!(picture - sound, 70_000, "before the first report only arrival is known");
        assert!(video.sender_report(&mut clock, start + 500 * MS, ntp(400), RtpTime(u32::MAX - 10) + 36_000));
        assert!(audio.sender_report(&mut clock, start + 510 * MS, ntp(500), RtpTime(7) + 24_000));
        let picture = video.media_us(&clock, start + 1080 * MS, RtpTime(u32::MAX - 10) + 90_000);
        let sound = audio.media_us(&clock, start + 1010 * MS, RtpTime(7) + 48_000);
        assert!((picture - sound).abs() <= 1, "{picture} {sound}");
        assert_eq!(clock.instant(picture), start + 1080 * MS, "the first stream to report keeps its times");
    }

    #[test]
    fn a_report_from_another_century_is_refused_until_it_is_repeated() {
        let start = Instant::now();
        let mut clock = MediaClock::new(start);
        let mut video = StreamClock::new(90_000);
        assert!(video.sender_report(&mut clock, start, ntp(0), RtpTime(0)));
        assert!(!video.sender_report(&mut clock, start + MS, ntp(1 << 40), RtpTime(90)));
        assert!(!video.sender_report(&mut clock, start + 2 * MS, NtpTime(0), RtpTime(180)));
        assert!(video.sender_report(&mut clock, start + 3 * MS, ntp(1 << 40), RtpTime(270)));
        let media_us = video.media_us(&clock, start + 4 * MS, RtpTime(360));
        assert_eq!(media_us, BASE_US + 4_000);
    }

    #[test]
    fn a_timestamp_that_leaps_goes_by_its_arrival() {
        let start = Instant::now();
        let clock = MediaClock::new(start);
        let mut video = StreamClock::new(90_000);
        assert_eq!(video.media_us(&clock, start, RtpTime(0)), BASE_US);
        assert_eq!(video.media_us(&clock, start + 33 * MS, RtpTime(0x7000_0000)), BASE_US + 33_000);
        assert_eq!(video.media_us(&clock, start + 66 * MS, RtpTime(0x7000_0000) + 2970), BASE_US + 66_000);
    }

    #[test]
    fn a_wrap_of_the_timestamp_is_no_leap() {
        let start = Instant::now();
        let clock = MediaClock::new(start);
        let mut video = StreamClock::new(90_000);
        video.media_us(&clock, start, RtpTime(u32::MAX - 899));
        assert_eq!(video.media_us(&clock, start + 10 * MS, RtpTime(0)), BASE_US + 10_000);
        assert_eq!(video.media_us(&clock, start + 11 * MS, RtpTime(u32::MAX - 899)), BASE_US);
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
