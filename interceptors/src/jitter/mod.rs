//! Jitter buffers: packets that arrive unevenly become sound and pictures that play evenly.
//!
//! | type | what |
//! |---|---|
//! | [`AudioBuffer`] | packets of sound, one for each pull of the player, with a mark where one has to be concealed |
//! | [`VideoBuffer`] | whole frames, each when it is to be shown, with what depends on what |
//! | [`TargetDelay`] | how long to hold back: a quantile of the delays seen, old ones fading |
//! | [`Baseline`] | the quickest way through the network and the drift of the sender's clock |
//! | [`Mode`] | what is dearer: latency or smoothness |
//!
//! # How long to hold back
//!
//! An RTP timestamp tells when a packet was captured, in the sender's clock (RFC 3550 §5.1). Arrival less timestamp is the
//! *transit*; its smallest value of the last seconds is the baseline, and what a packet took beyond it is its delay
//! (RFC 3550 §6.4.1 takes differences of the same transits for its jitter). All delays go into a histogram whose old
//! entries fade, those of reordered and of retransmitted packets too: where the way is so short that a repair comes in
//! time, the buffer grows to let it. The target is the quantile that the [`Mode`] names.
//!
//! # Time and memory
//!
//! The owner passes the time of its clock. Nothing is allocated per packet once a stream is warm, payloads are shared and not copied,
//! and each buffer states its bound. What a hostile sender writes into timestamps and sequence numbers makes a buffer begin
//! anew, at worst.

mod audio;
mod baseline;
mod links;
mod target;
mod video;

use std::time::Duration;

pub use audio::{AudioBuffer, AudioConfig, AudioPacket, AudioStats, Playout, Tempo};
pub use baseline::Baseline;
pub use links::FrameLink;
pub use target::{TargetConfig, TargetDelay};
pub use video::{PlayableFrame, VideoBuffer, VideoConfig, VideoStats};

/// What is dearer: latency or smoothness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Pictures as soon as they can be decoded; sound late enough for nine packets of ten.
    LowestLatency,
    /// Late enough for 95 of 100.
    #[default]
    Balanced,
    /// Late enough for 995 of 1000: for those who watch and do not talk.
    Smoothest,
}

impl Mode {
    /// The share of packets that is to be in time, 0.0..1.0.
    #[must_use]
    pub const fn quantile(self) -> f32 {
        match self {
            Self::LowestLatency => 0.90,
            Self::Balanced => 0.95,
            Self::Smoothest => 0.995,
        }
    }
}

/// `time` in microseconds, as far as they fit.
fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// `us` microseconds, zero for negative ones.
fn from_micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}
