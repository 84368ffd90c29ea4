//! Pictures: whole frames, each when it is to be shown.
//!
//! 1. Packets become frames in an [`Assembler`], which gives them out in order. A hole holds up what is behind it.
//! 2. A hole that a dependency descriptor shows to be needless (the frame behind it refers to none that is missing) is passed over as
//!    soon as the frame behind it is to be shown.
//! 3. Any other hole is waited for. After [`VideoBuffer::needs_keyframe`] has become true the repair is still taken, until a whole
//!    keyframe is there: to give up sooner would show nothing sooner.
//! 4. A frame is handed out when it has been held back for the target delay; with [`Mode::LowestLatency`] at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::ExtSeqNo;
use tombolo_rtp::codec::{AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, AssemblerStats, Codec};

use super::links::{FrameLink, Links};
use super::{Baseline, Mode, TargetConfig, TargetDelay, from_micros};

/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// How long a hole may be mere reordering.
const REORDER_WAIT: Duration = Duration::from_millis(10);
/// A keyframe is asked for after so many round trips in which a repair did not come.
const PATIENCE_ROUND_TRIPS: u32 = 3;
/// And not sooner, over a short way: one that stalls for a moment answers nothing at all, and a keyframe costs several frames.
const MIN_PATIENCE: Duration = Duration::from_millis(250);

/// How a [`VideoBuffer`] behaves.
#[derive(Clone, Debug)]
pub struct VideoConfig {
    codec: Codec,
    mode: Mode,
    target: TargetConfig,
    assembler: AssemblerConfig,
    max_wait: Duration,
    max_frames: usize,
    has_links: bool,
    has_repairs: bool,
}

impl VideoConfig {
    /// The defaults of a codec and a mode.
    #[must_use]
    pub fn new(codec: Codec, mode: Mode) -> Self {
        Self {
            codec,
            mode,
            target: TargetConfig::new(mode).half_life_packets(250),
            assembler: AssemblerConfig::new(codec),
            max_wait: Duration::from_secs(2),
            max_frames: 64,
            has_links: false,
            has_repairs: true,
        }
    }

    /// How the target delay is found. By default as the mode does it, with 250 frames for a half-life.
    #[must_use]
    pub const fn target(mut self, target: TargetConfig) -> Self {
        self.target = target;
        self
    }

    /// The bounds of what waits to be assembled. How long holes are waited for is the buffer's own matter.
    #[must_use]
    pub const fn assembler(mut self, assembler: AssemblerConfig) -> Self {
        self.assembler = assembler;
        self
    }

    /// How long a hole is waited for at most. Default 2 s.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Most whole frames that are held back, at least 1; when there are more, the oldest is handed out early. Default 64.
    #[must_use]
    pub fn max_frames(mut self, frames: usize) -> Self {
        self.max_frames = frames.max(1);
        self
    }

    /// Whether packets come with [`FrameLink`]s. Default not: each frame is taken to need the one before it.
    #[must_use]
    pub const fn has_links(mut self, has_links: bool) -> Self {
        self.has_links = has_links;
        self
    }

    /// Whether lost packets are asked for. Default true; where they are not, a keyframe is asked for sooner.
    #[must_use]
    pub const fn has_repairs(mut self, has_repairs: bool) -> Self {
        self.has_repairs = has_repairs;
        self
    }
}

/// A frame that is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayableFrame {
    /// The frame.
    pub frame: AssembledFrame,
    /// When it is to be shown: not after the time at which it is handed out.
    pub due: Instant,
}

/// Counters of a [`VideoBuffer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoStats {
    /// Frames that were handed out.
    pub frames: u64,
    /// Frames that were dropped because of one that is lost.
    pub frames_dropped: u64,
    /// Frames that came together only after they should have been shown.
    pub late: u64,
    /// Holes that were passed over because nothing behind them needs them.
    pub skipped: u64,
    /// What became of the packets.
    pub assembler: AssemblerStats,
}

/// The jitter buffer of one stream of pictures. Bounded by the [`AssemblerConfig`] and [`VideoConfig::max_frames`].
#[derive(Debug)]
pub struct VideoBuffer {
    mode: Mode,
    max_wait: Duration,
    max_frames: usize,
    assembler: Assembler,
    baseline: Baseline,
    target: TargetDelay,
    links: Option<Links>,
    frames: VecDeque<AssembledFrame>,
    has_repairs: bool,
    rtt: Duration,
    /// The last frame could not be handed out because of what it refers to.
    is_broken: bool,
    /// The time of the last call of `handle_timeout`.
    asked_until: Option<Instant>,
    next: ExtSeqNo,
    stats: VideoStats,
}

impl VideoBuffer {
    /// An empty buffer.
    #[must_use]
    pub fn new(config: VideoConfig) -> Self {
        let VideoConfig { codec, mode, target, assembler, max_wait, max_frames, has_links, has_repairs } =
            config;
        // Which frames can be shown without a lost one, the links tell.
        let assembler = assembler.max_wait(max_wait).until_keyframe(!has_links);
        Self {
            mode,
            max_wait,
            max_frames,
            assembler: Assembler::with_config(codec, assembler.reorder_wait(REORDER_WAIT)),
            baseline: Baseline::new(codec.clock_rate_hz()),
            target: TargetDelay::new(target),
            links: has_links.then(Links::new),
            frames: VecDeque::with_capacity(max_frames + 1),
            has_repairs,
            rtt: INITIAL_RTT,
            is_broken: has_links,
            asked_until: None,
            next: ExtSeqNo(0),
            stats: VideoStats::default(),
        }
    }

    /// Tells the round-trip time: how long a repair takes.
    pub const fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// Takes a packet, a retransmitted or recovered one too, with what its dependency descriptor tells. Call
    /// [`VideoBuffer::pop`] until `None` after it.
    pub fn push(&mut self, input: AssemblerInput, link: Option<&FrameLink>) {
        let (now, seq, late) = (input.arrival, input.seq, self.assembler.stats().packets_late);
        self.assembler.push(input);
        if let (Some(links), Some(link)) = (&mut self.links, link)
            && self.assembler.stats().packets_late == late
        {
            links.on_packet(seq, link);
        }
        self.take_frames();
        self.skip(now);
    }

    /// Gives up what has waited long enough. Call [`VideoBuffer::pop`] until `None` after it.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.asked_until = Some(now);
        loop {
            let hole = self.assembler.missing();
            self.assembler.handle_timeout(now);
            self.take_frames();
            self.skip(now);
            // Behind a hole that was given up lies another one that may have waited as long.
            if self.assembler.missing() == hole || self.assembler.poll_timeout().is_none_or(|due| due > now) {
                return;
            }
        }
    }

    /// The next frame to show, if its time has come.
    pub fn pop(&mut self, now: Instant) -> Option<PlayableFrame> {
        let due = self.due(self.frames.front()?);
        if due > now && self.frames.len() <= self.max_frames {
            return None;
        }
        let frame = self.frames.pop_front()?;
        self.stats.frames += 1;
        Some(PlayableFrame { due: due.min(now), frame })
    }

    /// When [`VideoBuffer::handle_timeout`] or [`VideoBuffer::pop`] has something to do next, or
    /// [`VideoBuffer::needs_keyframe`] becomes true.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let shown = self.frames.front().map(|frame| self.due(frame));
        let skipped = self.skip_due().map(|(due, _)| due);
        // Until then nothing is asked for; afterwards the keyframe is, and that has its own timeouts.
        let asked = self.assembler.missing().map(|(_, since)| since + self.patience());
        let asked = asked.filter(|asked| self.asked_until.is_none_or(|until| *asked > until));
        [shown, skipped, asked, self.assembler.poll_timeout()].into_iter().flatten().min()
    }

    /// Whether nothing can be shown until a keyframe comes, or a repair is so late that one should be asked for.
    #[must_use]
    pub fn needs_keyframe(&self, now: Instant) -> bool {
        let has_waited = |(_, since)| now.saturating_duration_since(since) >= self.patience();
        self.is_broken || self.assembler.needs_keyframe() || self.assembler.missing().is_some_and(has_waited)
    }

    /// How long a repair may take before a keyframe is asked for: three round trips, at least 250 ms, and the jitter; where nothing is
    /// asked for, the jitter.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let repair =
            if self.has_repairs { (self.rtt * PATIENCE_ROUND_TRIPS).max(MIN_PATIENCE) } else { REORDER_WAIT };
        (repair + self.target.target()).min(self.max_wait)
    }

    /// How long frames are held back beyond the quickest one; with [`Mode::LowestLatency`] how long they would have to be.
    #[must_use]
    pub fn target(&self) -> Duration {
        self.target.target()
    }

    /// The quickest way and the drift of the sender's clock.
    #[must_use]
    pub const fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// The first number that still has a use: what is missing before it need not be sent again.
    #[must_use]
    pub const fn next_seq(&self) -> ExtSeqNo {
        self.next
    }

    /// The counters so far.
    #[must_use]
    pub const fn stats(&self) -> VideoStats {
        VideoStats { assembler: self.assembler.stats(), ..self.stats }
    }

    fn due(&self, frame: &AssembledFrame) -> Instant {
        if self.mode == Mode::LowestLatency {
            return frame.arrival;
        }
        let due = self.baseline.earliest(frame.timestamp).map(|earliest| earliest + self.target.target());
        due.map_or(frame.arrival, |due| due.max(frame.arrival))
    }

    fn take_frames(&mut self) {
        while let Some(frame) = self.assembler.pop() {
            self.next = frame.last_seq.next();
            let target = self.target.target();
            let delay_us = self.baseline.on_packet(frame.arrival, frame.timestamp);
            self.target.on_delay(delay_us);
            if !self.can_be_decoded(&frame) {
                self.stats.frames_dropped += 1;
                continue;
            }
            self.stats.late += u64::from(self.mode != Mode::LowestLatency && from_micros(delay_us) > target);
            self.frames.push_back(frame);
        }
    }

    /// Whether all that a frame refers to was handed out. One of which nothing is told needs the one before it.
    fn can_be_decoded(&mut self, frame: &AssembledFrame) -> bool {
        let Some(links) = &mut self.links else { return true };
        match links.hand_out(frame.first_seq) {
            Some(can) => {
                self.is_broken = !can;
                can
            }
            None => {
                self.is_broken = !frame.keyframe && (self.is_broken || frame.discontinuity);
                !self.is_broken
            }
        }
    }

    /// The packet up to which a hole can be passed over, and when.
    fn skip_due(&self) -> Option<(Instant, ExtSeqNo)> {
        let (hole, since) = self.assembler.missing()?;
        let beyond = self.links.as_ref()?.beyond(hole)?;
        let held = if self.mode == Mode::LowestLatency { Duration::ZERO } else { self.target.target() };
        Some((since + held.max(REORDER_WAIT), beyond))
    }

    fn skip(&mut self, now: Instant) {
        while let Some((_, beyond)) = self.skip_due().filter(|(due, _)| *due <= now) {
            self.assembler.give_up_before(beyond);
            self.stats.skipped += 1;
            self.take_frames();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tombolo_net::RtpTime;
    use tombolo_rtp::ext::dependency::FrameDiffs;

    use super::*;
    use crate::test_clock::at;

    /// One of three packets of a VP8 frame that was captured at `number` times 30 ms, with its link.
    fn packet(number: u64, piece: u64, is_key: bool, arrival_ms: u64) -> AssemblerInput {
        let first = u8::from(!is_key);
        let payload = match piece {
            0 => vec![0x10, first, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1, number as u8],
            _ => vec![0x00, 7, 7, 7],
        };
        AssemblerInput {
            seq: ExtSeqNo(65_536 + number * 3 + piece),
            timestamp: RtpTime((number * 2700) as u32),
            marker: piece == 2,
            payload: Bytes::from(payload),
            arrival: at(arrival_ms),
        }
    }

    fn link(number: u64, piece: u64, diffs: &[u16]) -> FrameLink {
        let refers_to = FrameDiffs::new(diffs).unwrap();
        FrameLink { number: number as u16, starts: piece == 0, ends: piece == 2, refers_to }
    }

    fn pop(buffer: &mut VideoBuffer, ms: u64) -> Vec<u64> {
        let mut shown = Vec::new();
        while let Some(PlayableFrame { frame, due }) = buffer.pop(at(ms)) {
            assert!(due <= at(ms));
            shown.push(u64::from(frame.timestamp.0 / 2700));
        }
        shown
    }

    /// Frame 0 is a keyframe, the others follow from each other; each packet takes 5 ms more than the one before.
    fn push_frames(buffer: &mut VideoBuffer, numbers: impl Iterator<Item = u64>, lost: &[(u64, u64)]) {
        for (number, piece) in numbers.flat_map(|number| (0..3).map(move |piece| (number, piece))) {
            if !lost.contains(&(number, piece)) {
                buffer.push(packet(number, piece, number == 0, number * 30 + piece * 5), None);
            }
        }
    }

    #[test]
    fn the_lowest_latency_is_that_of_the_network() {
        let mut buffer = VideoBuffer::new(VideoConfig::new(Codec::Vp8, Mode::LowestLatency));
        for number in 0..20 {
            push_frames(&mut buffer, number..number + 1, &[]);
            assert_eq!(pop(&mut buffer, number * 30 + 10), [number]);
        }
        assert_eq!(buffer.stats().frames, 20);
        assert_eq!(buffer.next_seq(), ExtSeqNo(65_536 + 60));
    }

    #[test]
    fn frames_are_held_back_until_they_are_due() {
        let target = TargetConfig::new(Mode::Balanced).min(Duration::from_millis(50)).first(Duration::ZERO);
        let mut buffer = VideoBuffer::new(VideoConfig::new(Codec::Vp8, Mode::Balanced).target(target));
        push_frames(&mut buffer, 0..4, &[]);
        assert_eq!(
            buffer.poll_timeout(),
            Some(at(60)),
            "the first packet of the quickest frame came after 10 ms"
        );
        assert_eq!(pop(&mut buffer, 59), []);
        assert_eq!(pop(&mut buffer, 60), [0]);
        assert_eq!(pop(&mut buffer, 120), [1, 2]);
        assert_eq!(buffer.poll_timeout(), Some(at(150)));
    }

    #[test]
    fn a_buffer_that_is_full_does_not_hold_back() {
        let target = TargetConfig::new(Mode::Balanced).min(Duration::from_millis(900));
        let config = VideoConfig::new(Codec::Vp8, Mode::Balanced).target(target).max_frames(5);
        let mut buffer = VideoBuffer::new(config);
        push_frames(&mut buffer, 0..8, &[]);
        assert_eq!(pop(&mut buffer, 230), [0, 1, 2]);
    }

    #[test]
    fn a_repair_is_awaited_and_a_keyframe_asked_for_when_it_is_late() {
        let mut buffer = VideoBuffer::new(VideoConfig::new(Codec::Vp8, Mode::LowestLatency));
        buffer.set_rtt(Duration::from_millis(50));
        push_frames(&mut buffer, 0..12, &[(2, 1)]);
        assert_eq!(pop(&mut buffer, 340), [0, 1]);
        let patience = buffer.patience().as_millis() as u64;
        assert!((250..=300).contains(&patience), "{patience}");
        assert!(!buffer.needs_keyframe(at(70 + patience - 1)) && buffer.needs_keyframe(at(70 + patience)));
        buffer.push(packet(2, 1, false, 900), None);
        assert_eq!(pop(&mut buffer, 900), (2..12).collect::<Vec<_>>(), "late, but nothing is lost");
        assert!(!buffer.needs_keyframe(at(900)));
    }

    #[test]
    fn a_keyframe_ends_the_wait() {
        let mut buffer = VideoBuffer::new(VideoConfig::new(Codec::Vp8, Mode::LowestLatency));
        push_frames(&mut buffer, 0..5, &[(2, 1)]);
        (0..3).for_each(|piece| buffer.push(packet(5, piece, true, 160), None));
        assert_eq!(pop(&mut buffer, 160), [0, 1, 5], "mere reordering does not take so long");
        assert_eq!(buffer.stats().assembler.packets_lost, 1);
    }

    /// Two temporal layers: the odd frames are referred to by nothing.
    #[test]
    fn what_nothing_needs_is_passed_over() {
        for (mode, min_ms) in [(Mode::LowestLatency, 0), (Mode::Balanced, 100)] {
            let target = TargetConfig::new(mode).min(Duration::from_millis(min_ms)).first(Duration::ZERO);
            let config = VideoConfig::new(Codec::Vp8, mode).target(target).has_links(true);
            let mut buffer = VideoBuffer::new(config);
            let mut push = |number: u64, piece: u64| {
                let diffs: &[u16] = if number == 0 { &[] } else { &[2 - (number % 2) as u16] };
                let input = packet(number, piece, number == 0, number.min(3) * 30);
                buffer.push(input, Some(&link(number, piece, diffs)));
            };
            for number in [0, 1, 2] {
                (0..3).for_each(|piece| push(number, piece));
            }
            (1..3).for_each(|piece| push(3, piece));
            (0..3).for_each(|piece| push(4, piece));
            let (soon, due) = (at(90 + min_ms.max(10) - 1), at(90 + min_ms.max(10)));
            buffer.handle_timeout(soon);
            assert_eq!(buffer.stats().skipped, 0, "{mode:?}");
            assert!(buffer.poll_timeout().is_some_and(|timeout| timeout <= due), "{mode:?}");
            buffer.handle_timeout(due);
            let shown = pop(&mut buffer, 1000);
            assert_eq!(shown, [0, 1, 2, 4], "{mode:?}");
            assert!(!buffer.needs_keyframe(due) && buffer.stats().skipped == 1);
        }
    }

    #[test]
    fn what_refers_to_a_lost_frame_is_dropped_and_the_rest_is_not() {
        let config = VideoConfig::new(Codec::Vp8, Mode::LowestLatency).has_links(true);
        let mut buffer = VideoBuffer::new(config);
        let push = |buffer: &mut VideoBuffer, number: u64, diffs: &[u16]| {
            for piece in 0..3 {
                let input = packet(number, piece, diffs.is_empty(), number * 30);
                buffer.push(input, Some(&link(number, piece, diffs)));
            }
            (pop(buffer, number * 30), buffer.needs_keyframe(at(number * 30)))
        };
        assert_eq!(push(&mut buffer, 0, &[]), (vec![0], false));
        // Frame 1 is lost.
        assert_eq!(push(&mut buffer, 2, &[1]), (vec![], false), "a repair may still come");
        assert_eq!(push(&mut buffer, 3, &[3]), (vec![3], false));
        assert_eq!(push(&mut buffer, 4, &[2]), (vec![], true));
        assert_eq!(buffer.stats().frames_dropped, 2);
        assert_eq!(push(&mut buffer, 5, &[]), (vec![5], false));
        assert_eq!(push(&mut buffer, 6, &[1]), (vec![6], false));
    }
}
