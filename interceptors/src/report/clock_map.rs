//! The RTP times of all streams of one participant on one clock.
//!
//! 1. Before the first sender report a stream's time is its arrival: the packet with the least delay of the last
//!    seconds anchors the RTP clock to the local one.
//! 2. The first sender report of any stream of a participant ties the sender's wall clock to the participant's
//!    media clock, at the place where that stream already is.
//! 3. From then on each stream's RTP clock runs along the sender's wall clock: a line fitted through the last
//!    reports, so that a sound card that drifts is followed and a report that is a little off does no harm.
//! 4. Whenever the map of a stream changes, the difference at its newest packet is worn off over the time that
//!    follows, so that media time never runs backwards.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::{NtpTime, RtpTime};

/// How many sender reports the line is fitted through.
const MAX_REPORTS: usize = 16;
/// Reports closer together than this only set an offset: their slope would be noise.
const MIN_FIT_SPAN_US: i64 = 4_000_000;
/// The furthest a clock is believed to be off its nominal rate.
const MAX_DRIFT: f64 = 0.001;
/// A difference wears off at one part in this many of the time that passes.
const SLEW: i64 = 4;
/// A map that runs ahead by more than this is followed at once: forwards nothing breaks.
const JUMP_FORWARD_US: i64 = 250_000;
/// Time over which the least delay is taken, before reports come.
const FALLBACK_WINDOW_US: i64 = 5_000_000;
/// A packet this far from where the map expects it means that the RTP clock was set anew.
const DISCONTINUITY_US: i64 = 10_000_000;
/// A wall clock that far from where it was expected was set anew (less than [`DISCONTINUITY_US`], so that packets
/// never contradict reports).
const WALL_CLOCK_STEP_US: u64 = 5_000_000;
/// A report this far off the fitted line is not averaged in: it replaces the line.
const REPORT_OUTLIER_US: i64 = 100_000;

/// The media clock that all streams of one participant share: microseconds since the participant's origin.
#[derive(Clone, Copy, Debug)]
pub struct ParticipantClock {
    origin: Instant,
    anchor: Option<(NtpTime, i64)>,
}

impl ParticipantClock {
    /// A clock that starts at 0 at `origin`, usually when the participant joins.
    #[must_use]
    pub const fn new(origin: Instant) -> Self {
        Self { origin, anchor: None }
    }

    /// The media time of the local instant `now`, in µs.
    #[must_use]
    pub fn local_us(&self, now: Instant) -> i64 {
        match now.checked_duration_since(self.origin) {
            Some(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            None => -i64::try_from(self.origin.duration_since(now).as_micros()).unwrap_or(i64::MAX),
        }
    }

    /// The local instant of a media time, the reverse of [`Self::local_us`]. What cannot be told is told as the origin.
    #[must_use]
    pub fn instant(&self, media_us: i64) -> Instant {
        let distance = Duration::from_micros(media_us.unsigned_abs());
        let instant =
            if media_us >= 0 { self.origin.checked_add(distance) } else { self.origin.checked_sub(distance) };
        instant.unwrap_or(self.origin)
    }

    /// Whether a sender report has tied the sender's wall clock to this one.
    #[must_use]
    pub const fn is_anchored(&self) -> bool {
        self.anchor.is_some()
    }

    /// The sender's wall clock at a media time; `None` before any sender report.
    #[must_use]
    pub fn ntp_at(&self, media_us: i64) -> Option<NtpTime> {
        let (ntp, anchor_us) = self.anchor?;
        let units = (i128::from(media_us - anchor_us) << 32) / 1_000_000;
        Some(NtpTime(ntp.0.wrapping_add(units as u64)))
    }

    /// The media time of the sender's wall clock `ntp`, read about when it is `local_us` here. The first report,
    /// and one after the sender set its wall clock anew, ties the two together at `here_us`.
    fn media_us(&mut self, ntp: NtpTime, local_us: i64, here_us: i64) -> i64 {
        if let Some((anchor_ntp, anchor_us)) = self.anchor {
            let us = anchor_us.saturating_add(ntp.micros_since(anchor_ntp));
            if us.abs_diff(local_us) < WALL_CLOCK_STEP_US {
                return us;
            }
        }
        self.anchor = Some((ntp, here_us));
        here_us
    }
}

/// A straight line from RTP ticks (unwrapped) to media time.
#[derive(Clone, Copy, Debug)]
struct Line {
    ticks: i64,
    us: i64,
    us_per_tick: f64,
}

impl Line {
    fn at(&self, ticks: i64) -> i64 {
        // To the nearest, for what is after the anchor; `round` is a call where the processor may not have it.
        self.us + ((ticks - self.ticks) as f64 * self.us_per_tick + 0.5) as i64
    }
}

/// What is left of a difference between the old map and the new one, worn off from `ticks` on.
#[derive(Clone, Copy, Debug, Default)]
struct Correction {
    ticks: i64,
    us: i64,
}

/// The map of one stream from RTP time to its participant's media clock. Holds at most 16 reports.
#[derive(Debug)]
pub struct ClockMap {
    clock_rate_hz: u32,
    newest: Option<(RtpTime, i64)>,
    line: Option<Line>,
    correction: Correction,
    /// `(ticks, media µs by the sender's wall clock)`, oldest first.
    reports: VecDeque<(i64, i64)>,
    /// When the window began, in media time.
    window_start_us: i64,
    /// The least `arrival − RTP time` of the window, as the point it was seen at.
    earliest: Option<(i64, i64)>,
}

impl ClockMap {
    /// A map for a stream whose timestamps tick `clock_rate_hz` times a second (at least 1).
    #[must_use]
    pub fn new(clock_rate_hz: u32) -> Self {
        Self {
            clock_rate_hz: clock_rate_hz.max(1),
            newest: None,
            line: None,
            correction: Correction::default(),
            reports: VecDeque::with_capacity(MAX_REPORTS + 1),
            window_start_us: 0,
            earliest: None,
        }
    }

    /// Takes note of a packet that arrived at `arrival`, and tells its media time, as [`Self::media_time`] does. Packets out
    /// of order do no harm.
    pub fn on_packet(&mut self, clock: &ParticipantClock, arrival: Instant, timestamp: RtpTime) -> i64 {
        let arrival_us = clock.local_us(arrival);
        let ticks = self.ticks_of(timestamp);
        let Some(line) = self.line else {
            self.newest = Some((timestamp, ticks));
            self.line = Some(self.nominal(ticks, arrival_us));
            self.start_window(ticks, arrival_us);
            return arrival_us;
        };
        let us = line.at(ticks);
        if (us - arrival_us).abs() > DISCONTINUITY_US {
            self.start_anew(timestamp, arrival_us);
            return self.at_ticks(0);
        }
        if self.newest.is_none_or(|(_, newest)| ticks > newest) {
            self.newest = Some((timestamp, ticks));
        }
        if self.reports.is_empty() && self.follow_arrivals(ticks, arrival_us) {
            return self.at_ticks(ticks);
        }
        self.corrected(us, ticks)
    }

    /// Takes note of a sender report of this stream that arrived at `arrival`. `false` when it says nothing: its sender has no
    /// wall clock, or a later one has come before it.
    pub fn on_sender_report(
        &mut self,
        clock: &mut ParticipantClock,
        arrival: Instant,
        ntp: NtpTime,
        timestamp: RtpTime,
    ) -> bool {
        // An all-zero NTP time means that the sender has no wall clock (RFC 3550 §6.4.1).
        if ntp == NtpTime(0) {
            return false;
        }
        let ticks = self.ticks_of(timestamp);
        let local_us = clock.local_us(arrival);
        let here_us = if self.line.is_some() { self.at_ticks(ticks) } else { local_us };
        let us = clock.media_us(ntp, local_us, here_us);
        if self.newest.is_none() {
            self.newest = Some((timestamp, ticks));
        }
        if let (Some(line), Some(&(last_ticks, _))) = (self.line, self.reports.back()) {
            let late_ticks = last_ticks - ticks;
            if (0..i64::from(self.clock_rate_hz) * 5).contains(&late_ticks) {
                return false;
            }
            if late_ticks > 0 || (line.at(ticks) - us).abs() > REPORT_OUTLIER_US {
                self.reports.clear();
            }
        }
        if self.reports.len() == MAX_REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back((ticks, us));
        let line = self.fit(ticks, us);
        self.change_line(line);
        true
    }

    /// The media time of `timestamp`, in µs on the participant's clock; `None` before the first packet or report.
    /// It does not decrease while timestamps increase.
    #[must_use]
    pub fn media_time(&self, timestamp: RtpTime) -> Option<i64> {
        self.line?;
        Some(self.at_ticks(self.ticks_of(timestamp)))
    }

    /// Whether sender reports, not arrivals, decide.
    #[must_use]
    pub fn is_synchronised(&self) -> bool {
        !self.reports.is_empty()
    }

    fn ticks_of(&self, timestamp: RtpTime) -> i64 {
        match self.newest {
            Some((newest, ticks)) => ticks + i64::from(timestamp.distance_from(newest)),
            None => 0,
        }
    }

    /// So many ticks at the nominal rate, in µs.
    fn nominal_us(&self, ticks: i64) -> i64 {
        ticks.saturating_mul(1_000_000) / i64::from(self.clock_rate_hz)
    }

    fn us_per_tick(&self) -> f64 {
        1e6 / f64::from(self.clock_rate_hz)
    }

    fn nominal(&self, ticks: i64, us: i64) -> Line {
        Line { ticks, us, us_per_tick: self.us_per_tick() }
    }

    fn at_ticks(&self, ticks: i64) -> i64 {
        let Some(line) = self.line else { return 0 };
        self.corrected(line.at(ticks), ticks)
    }

    /// What the line says, and what is left of the correction.
    fn corrected(&self, us: i64, ticks: i64) -> i64 {
        let left = self.correction.us;
        if left == 0 {
            return us;
        }
        let elapsed_us = self.nominal_us((ticks - self.correction.ticks).max(0));
        let worn = elapsed_us / SLEW;
        if left > 0 { us + (left - worn).max(0) } else { us + (left + worn).min(0) }
    }

    /// Puts a new line in place of the old without a step backwards at the newest packet.
    fn change_line(&mut self, line: Line) {
        let ticks = self.newest.map_or(line.ticks, |(_, ticks)| ticks);
        let left = if self.line.is_some() { self.at_ticks(ticks) - line.at(ticks) } else { 0 };
        self.line = Some(line);
        self.correction = Correction { ticks, us: if left < -JUMP_FORWARD_US { 0 } else { left } };
    }

    fn start_window(&mut self, ticks: i64, arrival_us: i64) {
        self.window_start_us = arrival_us;
        self.earliest = Some((ticks, arrival_us));
    }

    /// Without reports: at the end of each window the packet with the least delay becomes the anchor, which
    /// follows the drift between the two clocks and forgets a first packet that came late. `true` when it did.
    fn follow_arrivals(&mut self, ticks: i64, arrival_us: i64) -> bool {
        let (earliest_ticks, earliest_us) = *self.earliest.get_or_insert((ticks, arrival_us));
        if arrival_us < earliest_us + self.nominal_us(ticks - earliest_ticks) {
            self.earliest = Some((ticks, arrival_us));
        }
        if arrival_us - self.window_start_us < FALLBACK_WINDOW_US {
            return false;
        }
        if let Some((ticks, us)) = self.earliest {
            self.change_line(self.nominal(ticks, us));
        }
        self.start_window(ticks, arrival_us);
        true
    }

    /// The sender set its RTP clock anew: reports of the old clock say nothing about the new one.
    fn start_anew(&mut self, timestamp: RtpTime, arrival_us: i64) {
        let before_us = self.newest.map_or(arrival_us, |(_, ticks)| self.at_ticks(ticks));
        let us = arrival_us.max(before_us);
        self.reports.clear();
        self.newest = Some((timestamp, 0));
        self.line = Some(self.nominal(0, us));
        self.correction = Correction::default();
        self.start_window(0, us);
    }

    /// The least-squares line through the reports, held to ±1000 ppm of the nominal rate.
    fn fit(&self, ticks: i64, us: i64) -> Line {
        let nominal = self.us_per_tick();
        let Some(&(first_ticks, first_us)) = self.reports.front() else { return self.nominal(ticks, us) };
        if us - first_us < MIN_FIT_SPAN_US {
            return self.nominal(ticks, us);
        }
        let count = self.reports.len() as f64;
        let point = |&(t, u): &(i64, i64)| ((t - first_ticks) as f64, (u - first_us) as f64);
        let (sum_x, sum_y) =
            self.reports.iter().map(point).fold((0.0, 0.0), |sum, (x, y)| (sum.0 + x, sum.1 + y));
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (mut covariance, mut variance) = (0.0, 0.0);
        for (x, y) in self.reports.iter().map(point) {
            covariance += (x - mean_x) * (y - mean_y);
            variance += (x - mean_x) * (x - mean_x);
        }
        let slope = if variance > 0.0 { covariance / variance } else { nominal };
        let us_per_tick = slope.clamp(nominal * (1.0 - MAX_DRIFT), nominal * (1.0 + MAX_DRIFT));
        let fitted_us = mean_y + ((ticks - first_ticks) as f64 - mean_x) * us_per_tick;
        Line { ticks, us: first_us + fitted_us.round() as i64, us_per_tick }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tombolo_net::Seed;

    use super::*;
    use crate::test_clock::at;

    /// A sender whose wall clock reads `WALL` at virtual time 0.
    const WALL: u64 = 0xe000_0000_0000_0000;

    fn wall(us: i64) -> NtpTime {
        NtpTime(WALL + ((us as u128) << 32).div_ceil(1_000_000) as u64)
    }

    fn ticks(rate: u32, us: i64, first: u32) -> RtpTime {
        RtpTime(first.wrapping_add((i128::from(us) * i128::from(rate) / 1_000_000) as u32))
    }

    #[test]
    fn before_any_report_time_is_arrival() {
        let clock = ParticipantClock::new(at(0));
        assert_eq!((clock.instant(1_500_000), clock.instant(clock.local_us(at(7)))), (at(1500), at(7)));
        let mut map = ClockMap::new(90_000);
        assert_eq!(map.media_time(RtpTime(5)), None);
        map.on_packet(&clock, at(100), RtpTime(u32::MAX - 900));
        assert_eq!(map.media_time(RtpTime(u32::MAX - 900)), Some(100_000));
        assert_eq!(map.media_time(RtpTime(8_999 - 900)), Some(200_000), "across the wrap");
        assert!(!map.is_synchronised());
    }

    /// A microphone whose packets arrive after 20 ms and a camera whose arrive after 140 ms: once both have
    /// reported, the same moment has the same media time.
    #[test]
    fn sound_and_picture_of_one_moment_meet() {
        let mut clock = ParticipantClock::new(at(0));
        let (mut audio, mut video) = (ClockMap::new(48_000), ClockMap::new(90_000));
        let moment = |us: i64| (ticks(48_000, us, 77), ticks(90_000, us, u32::MAX - 1000));
        let mut last = (0, 0);
        for ms in (0..4000_u64).step_by(20) {
            let us = ms as i64 * 1000;
            let (a, v) = moment(us);
            audio.on_packet(&clock, at(ms + 20), a);
            video.on_packet(&clock, at(ms + 140), v);
            let times = (audio.media_time(a).unwrap(), video.media_time(v).unwrap());
            assert!(times.0 > last.0 && times.1 > last.1, "time went backwards at {ms} ms");
            last = times;
            if ms == 1000 {
                audio.on_sender_report(&mut clock, at(ms + 20), wall(us), a);
                assert_eq!(audio.media_time(a), Some(times.0), "the first report moves nothing");
            }
            if ms == 1500 {
                video.on_sender_report(&mut clock, at(ms + 140), wall(us), v);
            }
            let apart = (times.0 - times.1).abs();
            assert!(apart <= 120_000);
            assert!(ms < 2200 || apart <= 1, "{apart} µs apart at {ms} ms");
        }
    }

    #[test]
    fn a_drifting_sound_card_is_followed_between_reports() {
        let mut clock = ParticipantClock::new(at(0));
        let mut map = ClockMap::new(48_000);
        // 200 ppm fast: 48009.6 ticks a second.
        let stamp = |us: i64| RtpTime((us as f64 * 0.048_009_6) as u32);
        for second in 0..30 {
            let us = second * 1_000_000;
            map.on_packet(&clock, at(second as u64 * 1000), stamp(us));
            let noise = [0, 300, -200, 150][second as usize % 4];
            map.on_sender_report(&mut clock, at(second as u64 * 1000), wall(us + noise), stamp(us));
        }
        let us = 35_000_000;
        let error = map.media_time(stamp(us)).unwrap() - us;
        assert!(
            error.abs() < 500,
            "{error} µs off, 6 s after the last report; the nominal rate would be 1200 off"
        );
    }

    #[test]
    fn without_reports_a_late_first_packet_is_forgotten() {
        let clock = ParticipantClock::new(at(0));
        let mut map = ClockMap::new(90_000);
        map.on_packet(&clock, at(300), RtpTime(0));
        for ms in (20..12_000).step_by(20) {
            map.on_packet(&clock, at(ms + 50 + ms % 60), ticks(90_000, ms as i64 * 1000, 0));
        }
        let time = map.media_time(ticks(90_000, 12_000_000, 0)).unwrap();
        assert!((12_045_000..12_056_000).contains(&time), "{time}");
    }

    #[test]
    fn a_new_rtp_clock_and_a_new_wall_clock_are_followed_forwards() {
        let mut clock = ParticipantClock::new(at(0));
        let mut map = ClockMap::new(90_000);
        map.on_packet(&clock, at(0), RtpTime(0));
        map.on_sender_report(&mut clock, at(0), wall(0), RtpTime(0));
        map.on_packet(&clock, at(1000), RtpTime(3_000_000_000));
        assert_eq!(map.media_time(RtpTime(3_000_000_000)), Some(1_000_000));
        assert!(!map.is_synchronised());
        let hour = 3_600_000_000;
        map.on_sender_report(&mut clock, at(2000), wall(hour), RtpTime(3_000_090_000));
        assert_eq!(map.media_time(RtpTime(3_000_090_000)), Some(2_000_000));
        assert_eq!(clock.ntp_at(2_000_000), Some(wall(hour)));
    }

    #[test]
    fn reports_out_of_order_or_without_a_wall_clock_change_nothing() {
        let mut clock = ParticipantClock::new(at(0));
        let mut map = ClockMap::new(90_000);
        map.on_packet(&clock, at(0), RtpTime(0));
        assert!(!map.on_sender_report(&mut clock, at(0), NtpTime(0), RtpTime(0)));
        assert!(!map.is_synchronised() && !clock.is_anchored());
        assert!(map.on_sender_report(&mut clock, at(2000), wall(2_000_000), RtpTime(180_000)));
        let before = map.media_time(RtpTime(200_000));
        assert!(!map.on_sender_report(&mut clock, at(2001), wall(1_900_000), RtpTime(90_000)));
        assert_eq!(map.media_time(RtpTime(200_000)), before);
    }

    proptest! {
        /// Whatever delays packets have and reports say, media time does not run backwards.
        #[test]
        fn media_time_never_decreases(seed: u64, report_every in 1_u64..40, spread_us in 0_i64..400_000) {
            let mut rng = Seed::from_number(seed).rng();
            let mut clock = ParticipantClock::new(at(0));
            let mut map = ClockMap::new(90_000);
            let mut last = i64::MIN;
            for n in 1..300_u64 {
                let us = n as i64 * 33_000;
                let stamp = ticks(90_000, us, seed as u32);
                map.on_packet(&clock, at(n * 33 + u64::from(rng.next_u32() % 200)), stamp);
                if n % report_every == 0 {
                    let wrong = i64::from(rng.next_u32()) % (spread_us + 1);
                    map.on_sender_report(&mut clock, at(n * 33 + 200), wall(us + wrong), stamp);
                }
                let time = map.media_time(stamp).unwrap();
                prop_assert!(time >= last, "{time} after {last} at packet {n}");
                last = time;
            }
        }
    }
}
