//! The gateway's routing core: a packet of a publisher to its subscribers.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_gateway::core::{
    Config, Core, Form, LayerChoice, LayerInfo, MediaPacket, Output, ParticipantInfo, Subscribe, TrackInfo,
};
use tombolo_net::{ExtSeqNo, RtpTime, Seed};
use tombolo_rtp::codec::{Codec, Packetizer};
use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};
use tombolo_signaling::name::Name;

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("core-forward-1", || forward(1)),
    Scenario::new("core-forward-10", || forward(10)),
    Scenario::new("core-packet-to-frame", packet_to_frame),
];

/// Packets of a frame.
const PER_FRAME: u64 = 9;

/// A core with one publisher of VP8 in packets and `subscribers` who take it in `form`.
struct World {
    core: Core,
    now: Instant,
    track: tombolo_gateway::core::TrackId,
    payloads: Vec<Bytes>,
    seq: u64,
}

impl World {
    fn new(subscribers: usize, form: Form) -> Self {
        let now = Instant::now();
        let mut core = Core::new(Config::default(), &Seed::from_number(1));
        let channel: Name = "bench".parse().expect("a good name");
        let mut join = |name: &str| {
            let info = ParticipantInfo {
                name: name.parse().expect("a good name"),
                transport: TransportKind::WebRtc,
                visible: true,
            };
            core.join(now, &channel, info).expect("room for it")
        };
        let publisher = join("publisher");
        let viewers: Vec<_> = (0..subscribers).map(|n| join(&format!("viewer-{n}"))).collect();
        let info = TrackInfo {
            label: "camera".to_owned(),
            kind: MediaKind::Video,
            codec: CodecName::Vp8,
            form: Form::Packets,
            layers: vec![LayerInfo { name: String::new(), width: None, height: None }],
            can_request_keyframe: true,
        };
        let track = core.publish(now, publisher, info).expect("a good track");
        for viewer in viewers {
            let wish = Subscribe { form, layer: LayerChoice::Highest, codecs: vec![CodecName::Vp8] };
            core.subscribe(now, viewer, track, wish).expect("a good subscription");
        }
        let mut payloads = Vec::new();
        let frame = [&[0x11, 0, 0][..], &[7; 10_000]].concat();
        Packetizer::new(Codec::Vp8, 1).packetize(&frame, 1160, &mut payloads).expect("a good frame");
        assert_eq!(payloads.len() as u64, PER_FRAME);
        let mut world = Self { core, now, track, payloads, seq: 0 };
        let mut keyframe = world.payloads[0].to_vec();
        keyframe[4] = 0x10;
        let delta = std::mem::replace(&mut world.payloads[0], keyframe.into());
        (0..PER_FRAME).for_each(|_| {
            world.push();
        });
        world.payloads[0] = delta;
        world
    }

    /// The next packet: how many packets and frames it caused.
    fn push(&mut self) -> (usize, usize) {
        let at = self.seq % PER_FRAME;
        let packet = MediaPacket {
            seq: ExtSeqNo(70_000 + self.seq),
            timestamp: RtpTime((self.seq / PER_FRAME * 3000) as u32),
            marker: at + 1 == PER_FRAME,
            payload: self.payloads[at as usize].clone(),
        };
        self.seq += 1;
        self.now += Duration::from_micros(3_700);
        self.core.push_packet(self.now, self.track, 0, packet);
        if self.core.poll_timeout().is_some_and(|due| due <= self.now) {
            self.core.handle_timeout(self.now);
        }
        let (mut packets, mut frames) = (0, 0);
        while let Some(output) = self.core.poll_output() {
            packets += usize::from(matches!(output, Output::Packet { .. }));
            frames += usize::from(matches!(output, Output::Frame { .. }));
            black_box(output);
        }
        (packets, frames)
    }
}

fn forward(subscribers: usize) -> Work {
    let mut world = World::new(subscribers, Form::Packets);
    Box::new(move || assert_eq!(world.push(), (subscribers, 0)))
}

/// A frame of nine packets each iteration.
fn packet_to_frame() -> Work {
    let mut world = World::new(1, Form::Frames);
    Box::new(move || {
        let frames: usize = (0..PER_FRAME).map(|_| world.push().1).sum();
        assert_eq!(frames, 1);
    })
}
