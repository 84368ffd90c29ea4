//! A model of a video encoder that follows a bitrate (after RFC 8593 §5, without traces).
//!
//! Frames come at a fixed rate. Their sizes scatter about what the bitrate allows, a keyframe is several times larger, and
//! what a frame took too much is taken from those after it. A new bitrate is followed after a moment.

use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_net::{Bitrate, Rng, Seed};

/// How a [`Codec`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct CodecConfig {
    fps: u32,
    min: Bitrate,
    max: Bitrate,
    scatter: f64,
    keyframe_factor: f64,
    reaction: Duration,
}

impl Default for CodecConfig {
    fn default() -> Self {
        Self {
            fps: 30,
            min: Bitrate::from_kbps(50),
            max: Bitrate::from_kbps(100_000),
            scatter: 0.1,
            keyframe_factor: 4.0,
            reaction: Duration::from_millis(100),
        }
    }
}

impl CodecConfig {
    /// Frames a second, at least 1. Default 30.
    #[must_use]
    pub const fn fps(mut self, fps: u32) -> Self {
        self.fps = if fps == 0 { 1 } else { fps };
        self
    }

    /// The bitrates that it can produce. Default 50 kb/s to 100 Mb/s.
    #[must_use]
    pub const fn range(mut self, min: Bitrate, max: Bitrate) -> Self {
        (self.min, self.max) = (min, max);
        self
    }

    /// The standard deviation of a frame's size, as a share of its mean. Default 0.1.
    #[must_use]
    pub const fn scatter(mut self, scatter: f64) -> Self {
        self.scatter = scatter;
        self
    }

    /// How much larger a keyframe is than another frame. Default 4.
    #[must_use]
    pub const fn keyframe_factor(mut self, factor: f64) -> Self {
        self.keyframe_factor = factor;
        self
    }

    /// How long it takes until a new bitrate is followed. Default 100 ms.
    #[must_use]
    pub const fn reaction(mut self, reaction: Duration) -> Self {
        self.reaction = reaction;
        self
    }
}

/// An encoded frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its size.
    pub len_bytes: usize,
    /// Whether it can be decoded alone.
    pub is_keyframe: bool,
}

/// The model.
#[derive(Debug)]
pub struct Codec {
    config: CodecConfig,
    rng: Rng,
    next: Instant,
    bitrate: Bitrate,
    /// What is followed from then on.
    wanted: Option<(Instant, Bitrate)>,
    wants_keyframe: bool,
    /// Bytes that frames took beyond what the bitrate allows.
    excess: f64,
}

impl Codec {
    /// An encoder whose first frame, a keyframe, comes at `start`.
    #[must_use]
    pub fn new(config: CodecConfig, start: Instant, bitrate: Bitrate, seed: &Seed) -> Self {
        let rng = seed.clone().rng();
        Self { config, rng, next: start, bitrate, wanted: None, wants_keyframe: true, excess: 0.0 }
    }

    /// Tells the bitrate to produce.
    pub fn set_bitrate(&mut self, now: Instant, bitrate: Bitrate) {
        let bitrate = bitrate.clamp(self.config.min, self.config.max);
        let newest = self.wanted.map_or(self.bitrate, |(_, wanted)| wanted);
        if bitrate != newest {
            let since = self.wanted.map_or(now + self.config.reaction, |(since, _)| since);
            self.wanted = Some((since, bitrate));
        }
    }

    /// Makes the next frame a keyframe.
    pub const fn request_keyframe(&mut self) {
        self.wants_keyframe = true;
    }

    /// When the next frame comes.
    #[must_use]
    pub const fn next_frame(&self) -> Instant {
        self.next
    }

    /// The frame that has come by now, if one has.
    pub fn poll_frame(&mut self, now: Instant) -> Option<Frame> {
        if now < self.next {
            return None;
        }
        if let Some((since, bitrate)) = self.wanted.filter(|(since, _)| *since <= now) {
            (self.bitrate, self.wanted) = (bitrate, None);
            debug_assert!(since <= now);
        }
        self.next += Duration::from_secs(1) / self.config.fps;
        let mean = self.bitrate.as_bps() as f64 / 8.0 / f64::from(self.config.fps);
        let is_keyframe = std::mem::take(&mut self.wants_keyframe);
        let factor = if is_keyframe { self.config.keyframe_factor } else { 1.0 };
        // What was too much is paid back within a third of a second or so.
        let paid = (self.excess / 10.0).clamp(-mean * 0.5, mean * 0.5);
        let len = ((mean - paid) * factor * (1.0 + self.config.scatter * self.gauss())).max(100.0);
        self.excess += len - mean;
        Some(Frame { len_bytes: len as usize, is_keyframe })
    }

    /// About a standard normal distribution, cut at ±3.
    fn gauss(&mut self) -> f64 {
        let mut draw = || (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        (0..12).map(|_| draw()).sum::<f64>().clamp(3.0, 9.0) - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean_kbps(codec: &mut Codec, from_s: u64, seconds: u64) -> f64 {
        let at = |ms: u64| crate::start() + Duration::from_millis(ms);
        let mut bytes = 0;
        for ms in from_s * 1000..(from_s + seconds) * 1000 {
            bytes += codec.poll_frame(at(ms)).map_or(0, |frame| frame.len_bytes);
        }
        bytes as f64 * 8.0 / seconds as f64 / 1000.0
    }

    #[test]
    fn the_bitrate_is_followed_within_its_range() {
        let config = CodecConfig::default().range(Bitrate::from_kbps(100), Bitrate::from_kbps(2000));
        let start = crate::start();
        let mut codec = Codec::new(config, start, Bitrate::from_kbps(500), &Seed::from_number(3));
        let first = codec.poll_frame(start).expect("a frame");
        assert!(first.is_keyframe && first.len_bytes > 6000, "{first:?}");
        let kbps = mean_kbps(&mut codec, 0, 10);
        assert!((480.0..520.0).contains(&kbps), "{kbps}");
        codec.set_bitrate(start + Duration::from_secs(10), Bitrate::from_kbps(9000));
        let kbps = mean_kbps(&mut codec, 10, 10);
        assert!((1900.0..2050.0).contains(&kbps), "{kbps}");
        codec.request_keyframe();
        assert!(codec.poll_frame(start + Duration::from_secs(21)).expect("a frame").is_keyframe);
    }
}
