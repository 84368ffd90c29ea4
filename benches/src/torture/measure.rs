//! What is told of a call.

use std::fmt;
use std::time::Duration;

use tombolo_interceptors::jitter::Mode;

use super::receiver::{Played, Receiver};
use super::sender::Sender;
use super::{CALL, Jitter, Network, Repair};

/// A longer time without a new picture is a freeze.
const FREEZE: Duration = Duration::from_millis(200);

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The share of frames that were never to be seen, 0.0 to 1.0.
    pub lost: f64,
    /// How often more than 200 ms passed without a new one.
    pub freezes: u32,
    /// From a frame's capture until it could be shown: the median and the 95th percentile.
    pub late: (Duration, Duration),
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heard {
    /// The share of packets that were never played, 0.0 to 1.0.
    pub lost: f64,
    /// From a packet's capture until it was played: the median and the 95th percentile.
    pub late: (Duration, Duration),
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The network.
    pub network: Network,
    /// How losses were repaired.
    pub repair: Repair,
    /// The jitter buffers' mode.
    pub mode: Mode,
    /// Bytes that were sent beside the media, as a share of it.
    pub overhead: f64,
    /// The pictures.
    pub seen: Seen,
    /// The sound.
    pub heard: Heard,
}

impl fmt::Display for Row {
    /// Tab-separated: jitter, round trip ms, loss %, mode, repair, overhead %, frames lost %, freezes, median and 95th percentile from
    /// capture to playable ms, the same three of sound: lost %, median, 95th percentile.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let jitter = match self.network.jitter {
            Jitter::Stalls(up_to) if up_to.is_zero() => "none".to_owned(),
            Jitter::Stalls(up_to) => format!("{} ms", up_to.as_millis()),
            Jitter::EachPacket(up_to) => format!("{} ms for each packet", up_to.as_millis()),
        };
        let mode = match self.mode {
            Mode::LowestLatency => "lowest latency",
            Mode::Balanced => "balanced",
            Mode::Smoothest => "smoothest",
        };
        let Self { seen, heard, .. } = self;
        write!(
            f,
            "{jitter}\t{}\t{:.0}\t{mode}\t{}\t{:.0}\t{:.2}\t{}\t{}\t{}\t{:.2}\t{}\t{}",
            self.network.rtt.as_millis(),
            self.network.loss * 100.0,
            self.repair.name(),
            self.overhead * 100.0,
            seen.lost * 100.0,
            seen.freezes,
            seen.late.0.as_millis(),
            seen.late.1.as_millis(),
            heard.lost * 100.0,
            heard.late.0.as_millis(),
            heard.late.1.as_millis(),
        )
    }
}

pub(super) fn row(
    network: &Network,
    repair: Repair,
    mode: Mode,
    sender: &Sender,
    receiver: &Receiver,
) -> Row {
    Row {
        network: *network,
        repair,
        mode,
        overhead: sender.bytes as f64 / sender.media_bytes as f64 - 1.0,
        seen: Seen {
            lost: 1.0 - receiver.frames.len() as f64 / sender.frames as f64,
            freezes: freezes(&receiver.frames),
            late: late(&receiver.frames),
        },
        heard: Heard {
            lost: 1.0 - receiver.sounds.len() as f64 / sender.sounds as f64,
            late: late(&receiver.sounds),
        },
    }
}

fn freezes(frames: &[Played]) -> u32 {
    let (mut last, mut freezes) = (Duration::ZERO, 0);
    for shown in frames.iter().map(|(_, shown)| *shown).chain([CALL]) {
        freezes += u32::from(shown.saturating_sub(last) > FREEZE);
        last = last.max(shown);
    }
    freezes
}

fn late(played: &[Played]) -> (Duration, Duration) {
    let mut late: Vec<Duration> =
        played.iter().map(|(captured, shown)| shown.saturating_sub(*captured)).collect();
    late.sort();
    let quantile = |share: f64| late.get((late.len() as f64 * share) as usize).copied().unwrap_or_default();
    (quantile(0.5), quantile(0.95))
}
