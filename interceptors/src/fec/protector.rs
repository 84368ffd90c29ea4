//! How many repair packets a frame is worth.

use std::time::Duration;

use super::{MAX_GROUP, MAX_REPAIRS};

/// Below this loss, nothing is protected.
const MIN_LOSS: f32 = 0.002;
/// Above this, repair packets are lost as the rest is, and only fill the way.
const MAX_LOSS: f32 = 0.5;
/// A round trip in which a retransmission comes hardly later than a repair packet would.
const SHORT_RTT: Duration = Duration::from_millis(30);
/// What a retransmission over so long a way costs is as bad as a loss.
const LONG_RTT: Duration = Duration::from_millis(300);
/// The share of frames that may be left to be lost where nothing is retransmitted.
const LEFT: f64 = 0.002;
/// The same of frames that may wait for a retransmission, over the shortest way.
const LEFT_TO_NACK: f64 = 0.5;

/// How a [`Protector`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct ProtectorConfig {
    retransmits: bool,
    max_share_percent: u16,
    keyframe_weight: f64,
}

impl Default for ProtectorConfig {
    fn default() -> Self {
        Self { retransmits: true, max_share_percent: 60, keyframe_weight: 8.0 }
    }
}

impl ProtectorConfig {
    /// Whether lost packets are asked for and sent again. Then only what would come too late so is protected. Default true.
    #[must_use]
    pub const fn retransmits(mut self, retransmits: bool) -> Self {
        self.retransmits = retransmits;
        self
    }

    /// Most repair packets for a hundred packets. Default 60.
    #[must_use]
    pub const fn max_share_percent(mut self, percent: u16) -> Self {
        self.max_share_percent = percent;
        self
    }

    /// How much worse a lost keyframe is than another lost frame, at least 1. Default 8.
    #[must_use]
    pub const fn keyframe_weight(mut self, weight: f64) -> Self {
        self.keyframe_weight = weight.max(1.0);
        self
    }
}

/// Chooses protection by loss, round trip and what the frame is.
///
/// Of all numbers of repair packets it takes the smallest that leaves a frame incomplete seldom enough. Seldom enough is a
/// 500th of frames where nothing is retransmitted. Where it is, half of them may wait for that on a short way, and fewer the longer
/// the way; of keyframes an eighth of it.
#[derive(Clone, Copy, Debug)]
pub struct Protector {
    config: ProtectorConfig,
    loss: f32,
    rtt: Duration,
}

impl Protector {
    /// Which protects nothing before it is told of losses.
    #[must_use]
    pub const fn new(config: ProtectorConfig) -> Self {
        Self { config, loss: 0.0, rtt: Duration::from_millis(100) }
    }

    /// Tells the share of packets that was lost in the last report or so, 0.0 to 1.0. Losses count at once and are forgotten
    /// slowly: within about ten reports.
    pub fn on_loss(&mut self, loss: f32) {
        let loss = if loss.is_finite() { loss.clamp(0.0, 1.0) } else { 0.0 };
        let weight = if loss > self.loss { 0.5 } else { 0.1 };
        self.loss += (loss - self.loss) * weight;
    }

    /// Tells the round-trip time.
    pub const fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// The loss that protection goes by, 0.0 to 1.0.
    #[must_use]
    pub const fn loss(&self) -> f32 {
        self.loss
    }

    /// Whether anything is protected at all at the loss that was told: without, packets need not be kept for it.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.loss >= MIN_LOSS
    }

    /// How many repair packets to make for a group of `packets`.
    #[must_use]
    pub fn repairs(&self, packets: usize, is_keyframe: bool) -> usize {
        if !self.is_active() || packets == 0 {
            return 0;
        }
        let packets = packets.min(MAX_GROUP);
        let loss = f64::from(self.loss.min(MAX_LOSS));
        let most = (packets * usize::from(self.config.max_share_percent)).div_ceil(100).min(MAX_REPAIRS);
        let left = self.left(is_keyframe);
        (0..most).find(|&repairs| incomplete(packets, repairs, loss) <= left).unwrap_or(most)
    }

    /// The share of frames that may be incomplete when all has come.
    fn left(&self, is_keyframe: bool) -> f64 {
        let left = if self.config.retransmits {
            let span = (LONG_RTT - SHORT_RTT).as_secs_f64();
            let length = self.rtt.saturating_sub(SHORT_RTT).as_secs_f64() / span;
            LEFT_TO_NACK * (LEFT / LEFT_TO_NACK).powf(length.min(1.0))
        } else {
            LEFT
        };
        if is_keyframe { left / self.config.keyframe_weight } else { left }
    }
}

/// The probability that of `packets` and `repairs` more are lost than there are repair packets, each with probability `loss`;
/// and some more for that an exclusive or is no perfect code.
fn incomplete(packets: usize, repairs: usize, loss: f64) -> f64 {
    let all = (packets + repairs) as f64;
    let mut exactly = (1.0 - loss).powf(all);
    let mut at_most = exactly;
    // Any two losses are repaired by enough repair packets, of more not all.
    let repaired = if repairs > 2 { repairs - repairs / 4 } else { repairs.min(1) };
    for lost in 1..=repaired {
        let lost = lost as f64;
        exactly *= (all - lost + 1.0) / lost * loss / (1.0 - loss);
        at_most += exactly;
    }
    (1.0 - at_most).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protector(loss: f32, rtt_ms: u64, retransmits: bool) -> Protector {
        let mut protector = Protector::new(ProtectorConfig::default().retransmits(retransmits));
        (0..30).for_each(|_| protector.on_loss(loss));
        protector.set_rtt(Duration::from_millis(rtt_ms));
        protector
    }

    #[test]
    fn more_loss_and_longer_ways_are_worth_more() {
        let repairs = |loss, rtt_ms, retransmits| protector(loss, rtt_ms, retransmits).repairs(8, false);
        assert_eq!(repairs(0.0, 250, false), 0);
        let by_loss = [0.01, 0.05, 0.1, 0.2].map(|loss| repairs(loss, 250, true));
        assert!(by_loss.is_sorted() && by_loss[0] > 0 && by_loss[3] == 5, "{by_loss:?}");
        let by_rtt = [20, 100, 250].map(|rtt_ms| repairs(0.05, rtt_ms, true));
        assert!(by_rtt.is_sorted() && by_rtt[0] == 0 && by_rtt[2] >= 2, "{by_rtt:?}");
        assert!(repairs(0.05, 20, false) >= 3, "where nothing is retransmitted the way does not matter");
    }

    #[test]
    fn keyframes_are_worth_more() {
        let protector = protector(0.03, 60, true);
        assert!(protector.repairs(20, true) > protector.repairs(20, false));
    }

    #[test]
    fn losses_count_at_once_and_are_forgotten_slowly() {
        let mut protector = Protector::new(ProtectorConfig::default());
        protector.on_loss(f32::NAN);
        protector.on_loss(0.2);
        assert!(protector.loss() >= 0.1);
        protector.on_loss(0.0);
        assert!(protector.loss() > 0.08);
        (0..60).for_each(|_| protector.on_loss(0.0));
        assert_eq!(protector.repairs(40, true), 0);
    }

    #[test]
    fn the_share_has_a_bound() {
        for packets in 0..100 {
            let repairs = protector(0.9, 300, false).repairs(packets, true);
            assert!(repairs <= MAX_REPAIRS && repairs <= (packets * 60).div_ceil(100));
        }
    }
}
