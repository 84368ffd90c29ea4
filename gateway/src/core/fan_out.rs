//! One publisher and many subscribers, ready to forward: what a measurement of the core needs.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime, Seed};
use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};
use tombolo_signaling::name::Name;

use super::config::Config;
use super::media::{Form, MediaPacket};
use super::output::Output;
use super::participant::ParticipantInfo;
use super::roster::LayerInfo;
use super::subscription::{LayerChoice, Subscribe};
use super::track::TrackInfo;
use super::{Core, TrackId};

/// Time between two packets: 1000 of them a second.
const INTERVAL: Duration = Duration::from_millis(1);

/// A VP8 publisher of packets and its packet subscribers in one channel.
#[derive(Debug)]
pub struct FanOut {
    core: Core,
    track: TrackId,
    now: Instant,
    seq: ExtSeqNo,
    timestamp: RtpTime,
}

impl FanOut {
    /// A channel with that many subscribers, who wait for a keyframe; `None` for more than [`Config`]'s defaults allow
    /// (500 participants). Time starts at `now` and goes on by 1 ms with each packet.
    #[must_use]
    pub fn new(now: Instant, subscribers: usize) -> Option<Self> {
        let mut core = Core::new(Config::default(), &Seed::from_number(0));
        let channel: Name = "fan-out".parse().ok()?;
        let mut join = |n: usize| {
            let name = format!("p{n}").parse().ok()?;
            let info = ParticipantInfo { name, transport: TransportKind::WebRtc, visible: true };
            core.join(now, &channel, info).ok()
        };
        let publisher = join(0)?;
        let viewers = (1..=subscribers).map(&mut join).collect::<Option<Vec<_>>>()?;
        let info = TrackInfo {
            label: String::new(),
            kind: MediaKind::Video,
            codec: CodecName::Vp8,
            form: Form::Packets,
            layers: vec![LayerInfo::default()],
            can_request_keyframe: true,
        };
        let track = core.publish(now, publisher, info).ok()?;
        for viewer in viewers {
            let codecs = vec![CodecName::Vp8];
            let wish = Subscribe { form: Form::Packets, layer: LayerChoice::Highest, codecs };
            core.subscribe(now, viewer, track, wish).ok()?;
        }
        while core.poll_output().is_some() {}
        Some(Self { core, track, now, seq: ExtSeqNo(0x1_0000), timestamp: RtpTime(0) })
    }

    /// Forwards one packet, which is a frame of its own, and hands each output to `emit`. The first payload has to
    /// begin a keyframe. Returns how many packets went out.
    pub fn forward(&mut self, payload: Bytes, mut emit: impl FnMut(Output)) -> usize {
        self.now += INTERVAL;
        self.seq = self.seq.next();
        self.timestamp = self.timestamp + 90;
        let (seq, timestamp) = (self.seq, self.timestamp);
        self.core.push_packet(self.now, self.track, 0, MediaPacket { seq, timestamp, marker: true, payload });
        let mut packets = 0;
        while let Some(output) = self.core.poll_output() {
            packets += usize::from(matches!(output, Output::Packet { .. }));
            emit(output);
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscriber_gets_every_packet() {
        let mut fan_out = FanOut::new(Instant::now(), 100).unwrap();
        let keyframe = Bytes::from_static(&[0x10, 0x00, 1, 2, 3]);
        let delta = Bytes::from_static(&[0x10, 0x01, 1, 2, 3]);
        assert_eq!(fan_out.forward(delta.clone(), |_| ()), 0, "nobody has a keyframe yet");
        assert_eq!(fan_out.forward(keyframe, |_| ()), 100);
        for _ in 0..3000 {
            assert_eq!(fan_out.forward(delta.clone(), |_| ()), 100);
        }
        assert!(FanOut::new(Instant::now(), 500).is_none());
    }
}
