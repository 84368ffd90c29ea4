//! Ours: `PacedSender` with `Gcc` or `Scream`, and the recorder of transport-wide feedback.

use std::time::Instant;

use tombolo_interceptors::bwe::{BandwidthEstimator, Departure, EstimatorConfig, PacedSender};
use tombolo_interceptors::gcc::Gcc;
use tombolo_interceptors::pacer::{Class, Outgoing, PacerConfig};
use tombolo_interceptors::scream::Scream;
use tombolo_interceptors::twcc::{Recorder, RecorderConfig};
use tombolo_net::{Bitrate, FiveTuple, SeqNo, Ssrc, Transmit};
use tombolo_netsim::Machine;
use tombolo_rtp::rtcp::{Compound, Packet};

use super::flow::{Ends, Stack};

pub(super) fn gcc(_seed: u64) -> Ends {
    ends(Gcc::new(EstimatorConfig::default()))
}

pub(super) fn scream(_seed: u64) -> Ends {
    ends(Scream::new(EstimatorConfig::default()))
}

fn ends(estimator: impl BandwidthEstimator + 'static) -> Ends {
    let sender = PacedSender::new(estimator, PacerConfig::default(), SeqNo(0));
    Ends { sender: Box::new(Sender(sender)), receiver: receiver() }
}

/// Notes arrivals, and tells them every 50 ms.
pub(super) fn receiver() -> Box<dyn Machine> {
    Box::new(Receiver { recorder: Recorder::new(RecorderConfig::default()), path: None })
}

/// A datagram is its transport-wide number, and zeros up to its length.
struct Sender<E>(PacedSender<E, usize>);

impl<E: BandwidthEstimator> Stack for Sender<E> {
    fn enqueue(&mut self, now: Instant, len: usize, is_keyframe: bool) {
        let class = if is_keyframe { Class::Keyframe } else { Class::Video };
        let packet = Outgoing { stream: Ssrc(1), class, size_bytes: len as u32, packet: len };
        // What does not fit was never sent: the codec is told by the estimate.
        let _ = self.0.enqueue(now, packet);
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let Some(sent) = self.0.poll(now) else { return false };
        let len = match sent.departure {
            Departure::Packet(len) => len,
            Departure::Padding(len) => len as usize,
        };
        out.extend_from_slice(&sent.seq.0.to_be_bytes());
        out.resize(len, 0);
        true
    }

    fn handle_feedback(&mut self, now: Instant, data: &[u8]) {
        for packet in Compound::new(data) {
            if let Ok(Packet::TransportFeedback(feedback)) = packet {
                self.0.on_feedback(now, &feedback, |_| {});
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.0.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.poll_timeout()
    }

    fn estimate(&self) -> Bitrate {
        self.0.estimate()
    }
}

struct Receiver {
    recorder: Recorder,
    path: Option<FiveTuple>,
}

impl Machine for Receiver {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        if let Some(seq) = data.first_chunk() {
            self.recorder.on_packet(now, SeqNo(u16::from_be_bytes(*seq)));
            self.path = Some(path);
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let told = self.recorder.write_feedback(now, Ssrc(2), Ssrc(1), out);
        self.path.filter(|_| told).map(|path| Transmit::datagram(path, out.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.recorder.poll_timeout()
    }
}
