//! A call over bad networks: what of it is seen and heard, and how late.
//!
//! A codec model makes 30 frames a second at 2 Mb/s, with a keyframe when one is asked for; sound comes in packets of 20 ms at
//! 48 kb/s. Both go through one link, are repaired in one of four ways, and come out of a jitter buffer. All time is virtual and all
//! randomness seeded: the figures are the same on every machine.

mod measure;
mod receiver;
mod sender;

use std::time::Duration;

use tombolo_interceptors::jitter::Mode;
use tombolo_netsim::{Link, Pair, Side};

pub use measure::{Heard, Row, Seen};
use receiver::Receiver;
use sender::Sender;

/// How long a call lasts, and from when on it is not measured: what is sent at the end has no time to arrive.
const CALL: Duration = Duration::from_secs(60);
const TAIL: Duration = Duration::from_secs(3);
/// Between two stalls, on average.
const STALLS_APART: Duration = Duration::from_millis(500);
const SEED: u64 = 20;

/// How uneven the way is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Now and then, twice a second or so, nothing passes for up to so long.
    Stalls(Duration),
    /// Each packet takes up to so much longer, in order: nearly all take nearly so much.
    EachPacket(Duration),
}

/// A network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// The share of packets that is lost, each by itself, 0.0 to 1.0. Feedback is lost as well.
    pub loss: f64,
    /// The unevenness of the media's way.
    pub jitter: Jitter,
    /// The round trip without it.
    pub rtt: Duration,
}

/// How losses are repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Pictures: NACK and RTX. Sound: NACK.
    pub nack: bool,
    /// Pictures: FlexFEC. Sound: RED.
    pub fec: bool,
}

impl Repair {
    /// All four.
    pub const ALL: [Self; 4] = [
        Self { nack: false, fec: false },
        Self { nack: true, fec: false },
        Self { nack: false, fec: true },
        Self { nack: true, fec: true },
    ];

    /// What the table calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.nack, self.fec) {
            (false, false) => "nothing",
            (true, false) => "NACK",
            (false, true) => "FEC",
            (true, true) => "both",
        }
    }
}

/// Every network of the table, by jitter, round trip and loss.
pub fn networks() -> impl Iterator<Item = Network> {
    let ms = Duration::from_millis;
    let jitters = [0, 30, 100, 300].map(|up_to| Jitter::Stalls(ms(up_to)));
    jitters.into_iter().chain([Jitter::EachPacket(ms(300))]).flat_map(move |jitter| {
        [20, 100, 250].into_iter().flat_map(move |rtt| {
            let losses = [0.0, 0.01, 0.05, 0.1, 0.2].into_iter();
            losses.map(move |loss| Network { loss, jitter, rtt: ms(rtt) })
        })
    })
}

/// One call.
#[must_use]
pub fn run(network: &Network, repair: Repair, mode: Mode) -> Row {
    // What both ends would measure.
    let rtt = match network.jitter {
        Jitter::Stalls(_) => network.rtt,
        Jitter::EachPacket(up_to) => network.rtt + up_to,
    };
    let sender = Sender::new(repair, rtt, CALL);
    let receiver = Receiver::new(repair, rtt, mode);
    let mut pair = Pair::new(sender, receiver, SEED);
    pair.set_recording(false);
    pair.set_step_cap(u64::MAX);
    let way = Link::default().latency(network.rtt / 2).loss(network.loss);
    pair.set_link(Side::A, way.clone());
    pair.set_link(
        Side::B,
        match network.jitter {
            Jitter::Stalls(up_to) if up_to.is_zero() => way,
            Jitter::Stalls(up_to) => way.stalls(STALLS_APART, up_to),
            Jitter::EachPacket(up_to) => way.jitter(up_to),
        },
    );
    pair.run_for(CALL + TAIL);
    measure::row(network, repair, mode, &pair.a, &pair.b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(loss: f64, jitter_ms: u64, rtt_ms: u64, repair: Repair) -> Row {
        let jitter = Jitter::Stalls(Duration::from_millis(jitter_ms));
        let network = Network { loss, jitter, rtt: Duration::from_millis(rtt_ms) };
        run(&network, repair, Mode::LowestLatency)
    }

    const NOTHING: Repair = Repair::ALL[0];
    const NACK: Repair = Repair::ALL[1];
    const FEC: Repair = Repair::ALL[2];
    const BOTH: Repair = Repair::ALL[3];

    #[test]
    fn a_good_network_needs_nothing() {
        let row = call(0.0, 0, 20, NOTHING);
        assert_eq!((row.seen.lost, row.seen.freezes, row.heard.lost), (0.0, 0, 0.0), "{row}");
        assert!(
            row.seen.late.0 < Duration::from_millis(15) && row.heard.late.1 < Duration::from_millis(60),
            "{row}"
        );
    }

    /// The goal that this crate has set itself: 5 % loss and 300 ms of jitter.
    #[test]
    fn five_per_cent_and_three_hundred_milliseconds() {
        for rtt_ms in [20, 100, 250] {
            let row = call(0.05, 300, rtt_ms, BOTH);
            assert!(row.seen.lost < 0.005, "{row}");
            assert!(row.seen.late.0 < Duration::from_millis(150), "{row}");
        }
    }

    #[test]
    fn each_repair_is_better_than_none_and_both_are_better_than_each() {
        let [nothing, nack, fec, both] = [NOTHING, NACK, FEC, BOTH].map(|repair| call(0.05, 30, 100, repair));
        assert!(
            nothing.seen.lost > 4.0 * fec.seen.lost && fec.seen.lost > nack.seen.lost,
            "{nothing}\n{fec}\n{nack}"
        );
        assert!(both.seen.late.1 < nack.seen.late.1, "{nack}\n{both}");
        assert!(
            nothing.heard.lost > 0.04 && fec.heard.lost < 0.01 && both.heard.lost < 0.01,
            "{nothing}\n{fec}\n{both}"
        );
    }

    #[test]
    fn a_mode_that_is_smoother_is_later() {
        let jitter = Jitter::Stalls(Duration::from_millis(300));
        let network = Network { loss: 0.01, jitter, rtt: Duration::from_millis(100) };
        let rows =
            [Mode::LowestLatency, Mode::Balanced, Mode::Smoothest].map(|mode| run(&network, BOTH, mode));
        assert!(rows.is_sorted_by_key(|row| row.seen.late.0), "{}\n{}\n{}", rows[0], rows[1], rows[2]);
        assert!(rows[0].seen.freezes > rows[2].seen.freezes, "{}\n{}", rows[0], rows[2]);
    }
}
