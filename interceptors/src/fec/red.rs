//! Sound, sent again with what follows it.

use bytes::{BufMut, Bytes};
use tombolo_net::RtpTime;
use tombolo_rtp::codec::{PacketizeError, RedPacketizer};

/// From which loss on a frame is sent so many times again.
const STEPS: [(f32, usize); 4] = [(0.25, 4), (0.1, 3), (0.03, 2), (0.005, 1)];
/// How far loss has to fall below a step before less is sent.
const HYSTERESIS: f32 = 0.7;

/// Redundant audio (RFC 2198) whose distance follows the loss.
///
/// | loss | each frame comes with |
/// |---|---|
/// | below 0.5 % | nothing |
/// | from 0.5 % | the one before it |
/// | from 3 % | the two before it |
/// | from 10 % | the three before it |
/// | from 25 % | the four before it |
///
/// Less is sent once the loss has fallen by a third below a step. A receiver reads each packet by itself: the distance needs no
/// agreement.
#[derive(Clone, Debug)]
pub struct RedSender {
    packetizer: RedPacketizer,
    distance: usize,
    max_distance: usize,
}

impl RedSender {
    /// For frames of `payload_type`, 0..=127, at most `max_distance` times sent again, 0..=8. It begins with a distance of 1.
    #[must_use]
    pub fn new(payload_type: u8, max_distance: usize) -> Self {
        let max_distance = max_distance.min(tombolo_rtp::codec::red::MAX_DISTANCE);
        let distance = max_distance.min(1);
        let mut packetizer = RedPacketizer::new(payload_type, distance);
        packetizer.set_distance(distance);
        Self { packetizer, distance, max_distance }
    }

    /// Tells the share of packets that was lost lately, 0.0 to 1.0.
    pub fn on_loss(&mut self, loss: f32) {
        let wanted = |loss: f32| STEPS.iter().find(|step| loss >= step.0).map_or(0, |step| step.1);
        // Between what the loss asks for and what it would ask for were it larger, all stays as it is.
        let (least, most) = (wanted(loss), wanted(loss / HYSTERESIS));
        self.distance = self.distance.clamp(least, most).min(self.max_distance);
        self.packetizer.set_distance(self.distance);
    }

    /// How often a frame is sent again.
    #[must_use]
    pub const fn distance(&self) -> usize {
        self.distance
    }

    /// Appends the payload of the frame at `timestamp`, with as many earlier ones as the distance says and `max_payload_bytes` leaves
    /// room for.
    ///
    /// # Errors
    /// As [`RedPacketizer::packetize`].
    pub fn packetize(
        &mut self,
        timestamp: RtpTime,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Result<(), PacketizeError> {
        self.packetizer.packetize(timestamp, frame, max_payload_bytes, out)
    }

    /// As [`RedSender::packetize`], behind what `out` has.
    ///
    /// # Errors
    /// The same; nothing is appended then.
    pub fn write(
        &mut self,
        timestamp: RtpTime,
        frame: &[u8],
        max_payload_bytes: usize,
        out: &mut impl BufMut,
    ) -> Result<(), PacketizeError> {
        self.packetizer.write(timestamp, frame, max_payload_bytes, out)
    }
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::codec::red::RedPayload;

    use super::*;

    #[test]
    fn the_distance_follows_the_loss_with_hysteresis() {
        let mut sender = RedSender::new(111, 3);
        let mut distance = |loss| {
            sender.on_loss(loss);
            sender.distance()
        };
        let told =
            [0.0, 0.005, 0.029, 0.03, 0.025, 0.02, 0.15, 0.9, 0.08, 0.06, 0.004, 0.003].map(&mut distance);
        assert_eq!(told, [0, 1, 1, 2, 2, 1, 3, 3, 3, 2, 1, 0]);
    }

    #[test]
    fn packets_have_as_many_frames() {
        let mut sender = RedSender::new(111, 8);
        let mut counts = Vec::new();
        for (n, loss) in [0.01, 0.01, 0.05, 0.05, 0.05, 0.0, 0.05].into_iter().enumerate() {
            sender.on_loss(loss);
            let mut out = Vec::new();
            sender.packetize(RtpTime(n as u32 * 960), &[n as u8; 20], 1000, &mut out).unwrap();
            counts.push(RedPayload::parse(&out[0]).unwrap().redundant_count());
        }
        assert_eq!(counts, [0, 1, 1, 2, 2, 0, 0], "with a distance of 0 nothing is kept");
    }
}
