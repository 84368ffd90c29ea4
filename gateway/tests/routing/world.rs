//! A channel on a virtual clock: publishers that encode, viewers that decode, and the core between them.
//!
//! A frame carries its publisher's mark and its number, and a delta frame can be decoded only after the one before it:
//! a viewer that is given anything else fails the test.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_gateway::core::{
    Config, Core, Form, LayerChoice, LayerInfo, MediaFrame, MediaPacket, OutPacket, Output, ParticipantId,
    ParticipantInfo, Subscribe, SubscribeError, SubscriptionId, TrackId, TrackInfo,
};
use tombolo_net::{ExtSeqNo, NtpTime, RtpTime, Seed, SeqUnwrapper};
use tombolo_rtp::codec::{Assembler, AssemblerInput, Codec, Packetizer};
use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};
use tombolo_signaling::name::Name;

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Both forms.
pub(crate) const BOTH: [Form; 2] = [Form::Packets, Form::Frames];

/// Every form of a publisher with every form of a viewer.
pub(crate) fn from_each_to_each() -> impl Iterator<Item = (Form, Form)> {
    BOTH.into_iter().flat_map(|from| BOTH.map(|to| (from, to)))
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// One encoding of a publisher.
pub(crate) struct Encoding {
    packetizer: Packetizer,
    seq: u64,
    timestamp_base: u32,
    number: u32,
    keyframe_due: Option<Instant>,
    pub(crate) requests: u32,
    /// Bytes of a delta frame; a keyframe has eight times as many.
    pub(crate) bytes: usize,
    /// Whether it is sent.
    pub(crate) sends: bool,
}

/// A publisher of one track.
pub(crate) struct Publisher {
    pub(crate) participant: ParticipantId,
    pub(crate) track: TrackId,
    pub(crate) form: Form,
    codec: Codec,
    pub(crate) layers: Vec<Encoding>,
    interval: Duration,
    next: Instant,
    /// How long a request takes to become a keyframe; `None`: requests are not answered.
    pub(crate) answers: Option<Duration>,
    /// Frames between keyframes that come by themselves.
    pub(crate) gop: Option<u32>,
    /// Encoded, sent and lost on the way.
    pub(crate) blackout: bool,
    /// How long a frame takes to arrive.
    pub(crate) latency: Duration,
    /// What is on its way does not arrive before this.
    stalled_until: Option<Instant>,
    /// How much faster than the others' its clock runs, in parts per million.
    pub(crate) drift_ppm: i64,
    in_flight: BTreeMap<(Instant, u64), (usize, Sent)>,
    sent: u64,
    /// Called for each packet's sequence number: whether it is lost.
    pub(crate) lose: fn(u64) -> bool,
    /// Called for each packet's sequence number: how much later than the others it arrives.
    pub(crate) delay: fn(u64) -> Duration,
    /// Sends layers only while they are wanted, and then what there is of the group first, as a MoQ publisher does.
    pub(crate) on_demand: bool,
    group: Vec<MediaFrame>,
    /// Sends a packet of padding after each frame.
    pub(crate) pads: bool,
    /// Sends a sender report with each frame, from a wall clock that started with the world.
    pub(crate) reports: bool,
    pub(crate) rtp_offset: u32,
}

enum Sent {
    Packet(MediaPacket),
    Frame(MediaFrame),
    Report(NtpTime, RtpTime),
}

/// What a viewer decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) at: Instant,
    pub(crate) mark: u8,
    pub(crate) number: u32,
    pub(crate) keyframe: bool,
    /// Microseconds of media time for frames, ticks for packets.
    pub(crate) time: i64,
    /// When the frame was captured, by its packets.
    pub(crate) capture: Option<Instant>,
}

/// Decodes what one subscription gets.
pub(crate) struct Viewer {
    form: Form,
    assembler: Assembler,
    unwrapper: SeqUnwrapper,
    codec: Codec,
    newest: Option<RtpTime>,
    ticks: i64,
    captures: BTreeMap<u32, Instant>,
    pub(crate) shown: Vec<Shown>,
    pub(crate) packets: Vec<OutPacket>,
    pub(crate) groups_ended: u32,
}

impl Viewer {
    fn new(form: Form, codec: Codec) -> Self {
        Self {
            form,
            assembler: Assembler::new(codec),
            unwrapper: SeqUnwrapper::default(),
            codec,
            newest: None,
            ticks: 0,
            captures: BTreeMap::new(),
            shown: Vec::new(),
            packets: Vec::new(),
            groups_ended: 0,
        }
    }

    fn show(&mut self, at: Instant, data: &[u8], keyframe: bool, time: i64, capture: Option<Instant>) {
        let (mark, number) = read_label(self.codec, data);
        let shown = Shown { at, mark, number, keyframe, time, capture };
        if let Some(last) = self.shown.last() {
            let follows = last.mark == shown.mark && number == last.number + 1;
            assert!(keyframe || follows, "{shown:?} cannot be decoded after {last:?}");
            assert!(time > last.time, "{shown:?} is not after {last:?}");
        } else {
            assert!(keyframe, "starts with {shown:?}");
        }
        self.shown.push(shown);
    }

    fn on_packet(&mut self, at: Instant, packet: OutPacket) {
        assert_eq!(self.form, Form::Packets);
        let mut payload = Vec::new();
        packet.write_payload(&mut payload);
        let seq = self.unwrapper.unwrap(packet.seq);
        assert!(!payload.is_empty());
        self.captures.insert(packet.timestamp.0, packet.capture);
        self.assembler.push(AssemblerInput {
            seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: payload.into(),
            arrival: at,
        });
        self.packets.push(packet);
        self.decode(at);
    }

    fn decode(&mut self, at: Instant) {
        while let Some(frame) = self.assembler.pop() {
            self.ticks += self.newest.map_or(0, |newest| i64::from(frame.timestamp.distance_from(newest)));
            self.newest = Some(frame.timestamp);
            let capture = self.captures.remove(&frame.timestamp.0);
            self.show(at, &frame.data, frame.keyframe || self.codec == Codec::Opus, self.ticks, capture);
        }
    }

    /// Whether its packets are numbered without a hole, so that it asks for none.
    pub(crate) fn numbers_are_whole(&self) -> bool {
        self.packets.windows(2).all(|pair| pair[1].seq == pair[0].seq.next())
    }

    /// Whether it was shown every frame from its first one on.
    pub(crate) fn shows_every_frame(&self) -> bool {
        self.shown.windows(2).all(|pair| pair[1].number == pair[0].number + 1)
    }

    /// Frames shown since `since`.
    pub(crate) fn since(&self, since: Instant) -> impl Iterator<Item = &Shown> {
        self.shown.iter().filter(move |shown| shown.at >= since)
    }
}

/// Everything.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) publishers: Vec<Publisher>,
    pub(crate) viewers: BTreeMap<SubscriptionId, Viewer>,
    pub(crate) events: Vec<Output>,
    pub(crate) channel: Name,
    people: u32,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            core: Core::new(config, &Seed::from_number(1)),
            now,
            start: now,
            publishers: Vec::new(),
            viewers: BTreeMap::new(),
            events: Vec::new(),
            channel: name("c"),
            people: 0,
        }
    }

    /// A publisher of one layer that can be asked for keyframes, and a viewer who is there from the start.
    pub(crate) fn of_two(from: Form, codec: CodecName, to: Form) -> (Self, usize, SubscriptionId) {
        let mut world = Self::new(Config::default());
        let publisher = world.publish(from, codec, 1, true);
        let viewer = world.subscribe(publisher, to, LayerChoice::Highest);
        (world, publisher, viewer)
    }

    pub(crate) fn join(&mut self) -> ParticipantId {
        self.people += 1;
        let info = ParticipantInfo {
            name: name(&format!("p{}", self.people)),
            transport: TransportKind::WebRtc,
            visible: true,
        };
        let id = self.core.join(self.now, &self.channel, info).unwrap();
        self.drain();
        id
    }

    /// Adds a publisher; returns its index.
    pub(crate) fn publish(&mut self, form: Form, codec: CodecName, layers: usize, can_ask: bool) -> usize {
        let participant = self.join();
        self.publish_as(participant, form, codec, layers, can_ask)
    }

    pub(crate) fn publish_as(
        &mut self,
        participant: ParticipantId,
        form: Form,
        codec: CodecName,
        layers: usize,
        can_ask: bool,
    ) -> usize {
        let (kind, codec_here, interval) = match codec {
            CodecName::Opus => (MediaKind::Audio, Codec::Opus, 20 * MS),
            CodecName::H264 => (MediaKind::Video, Codec::H264, 33 * MS),
            _ => (MediaKind::Video, Codec::Vp8, 33 * MS),
        };
        let info = TrackInfo {
            label: "camera".to_owned(),
            kind,
            codec,
            form,
            layers: (0..layers)
                .map(|n| LayerInfo { name: format!("l{n}"), ..LayerInfo::default() })
                .collect(),
            can_request_keyframe: can_ask,
        };
        let track = self.core.publish(self.now, participant, info).unwrap();
        let index = self.publishers.len();
        self.publishers.push(Publisher {
            participant,
            track,
            form,
            codec: codec_here,
            layers: (0..layers)
                .map(|n| Encoding {
                    packetizer: Packetizer::new(codec_here, 1000 * n as u16),
                    seq: 70_000 + 1000 * n as u64,
                    timestamp_base: (u32::MAX - 90_000).wrapping_add(7_000_000 * n as u32),
                    number: 0,
                    keyframe_due: None,
                    requests: 0,
                    bytes: if kind == MediaKind::Audio { 80 } else { 1500 << (2 * n) },
                    sends: true,
                })
                .collect(),
            interval,
            next: self.now,
            answers: Some(20 * MS),
            gop: None,
            blackout: false,
            latency: Duration::ZERO,
            stalled_until: None,
            drift_ppm: 0,
            in_flight: BTreeMap::new(),
            sent: 0,
            lose: |_| false,
            delay: |_| Duration::ZERO,
            pads: false,
            on_demand: false,
            group: Vec::new(),
            reports: false,
            rtp_offset: 0,
        });
        self.drain();
        index
    }

    pub(crate) fn subscribe(&mut self, publisher: usize, form: Form, layer: LayerChoice) -> SubscriptionId {
        let id = self.subscribe_with(publisher, form, layer, Core::subscribe);
        self.drain();
        id
    }

    pub(crate) fn subscribe_held(&mut self, publisher: usize, form: Form) -> SubscriptionId {
        self.subscribe_with(publisher, form, LayerChoice::Highest, Core::subscribe_held)
    }

    fn subscribe_with(
        &mut self,
        publisher: usize,
        form: Form,
        layer: LayerChoice,
        subscribe: impl Fn(
            &mut Core,
            Instant,
            ParticipantId,
            TrackId,
            Subscribe,
        ) -> Result<SubscriptionId, SubscribeError>,
    ) -> SubscriptionId {
        let participant = self.join();
        let Publisher { track, codec, .. } = self.publishers[publisher];
        let codecs = vec![CodecName::Vp8, CodecName::H264, CodecName::Opus];
        let wish = Subscribe { form, layer, codecs };
        let id = subscribe(&mut self.core, self.now, participant, track, wish).unwrap();
        self.viewers.insert(id, Viewer::new(form, codec));
        id
    }

    pub(crate) fn unsubscribe(&mut self, id: SubscriptionId) {
        let participant = self.core.subscription(id).unwrap().participant;
        self.core.leave(self.now, participant);
        self.viewers.remove(&id);
        self.drain();
    }

    pub(crate) fn set_can_request_keyframe(&mut self, publisher: usize, can: bool) {
        let track = self.publishers[publisher].track;
        self.core.set_can_request_keyframe(self.now, track, can);
        self.drain();
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    /// Everything that a publisher sends for some time is lost.
    pub(crate) fn black_out(&mut self, publisher: usize, time: Duration) {
        self.publishers[publisher].blackout = true;
        self.run(time);
        self.publishers[publisher].blackout = false;
    }

    /// Runs until a viewer is shown something new; returns how long that took.
    pub(crate) fn run_until_shown(&mut self, viewer: SubscriptionId) -> Duration {
        let since = self.now;
        self.run_until(|world| world.viewers[&viewer].since(since).next().is_some())
    }

    /// The keyframes that a publisher was asked for in its lowest layer.
    pub(crate) fn requests(&self, publisher: usize) -> u32 {
        self.publishers[publisher].layers[0].requests
    }

    /// Runs until `done`, at most 20 s; returns how long it took.
    pub(crate) fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(self.now - start < Duration::from_secs(20), "it does not happen");
            self.step();
        }
        self.now - start
    }

    pub(crate) fn shows(&self, id: SubscriptionId) -> bool {
        !self.viewers[&id].shown.is_empty()
    }

    /// What a publisher of frames sends from now on arrives when `outage` is over, all at once.
    pub(crate) fn stall(&mut self, publisher: usize, outage: Duration) {
        self.publishers[publisher].stalled_until = Some(self.now + outage);
    }

    fn step(&mut self) {
        self.now += MS;
        if self.core.poll_timeout().is_some_and(|due| due <= self.now) {
            self.core.handle_timeout(self.now);
            assert!(self.core.poll_timeout().is_none_or(|due| due > self.now), "a timeout stays due");
        }
        self.drain();
        for index in 0..self.publishers.len() {
            if self.publishers[index].next <= self.now {
                self.publishers[index].encode(self.now, self.start);
            }
            while let Some(entry) = self.publishers[index].in_flight.first_entry()
                && entry.key().0 <= self.now
            {
                let (layer, sent) = entry.remove();
                let track = self.publishers[index].track;
                match sent {
                    Sent::Packet(packet) => self.core.push_packet(self.now, track, layer, packet),
                    Sent::Frame(frame) => self.core.push_frame(self.now, track, layer, frame),
                    Sent::Report(ntp, rtp) => {
                        self.core.push_sender_report(self.now, track, layer, ntp, rtp);
                    }
                }
                self.drain();
            }
        }
        for viewer in self.viewers.values_mut() {
            viewer.assembler.handle_timeout(self.now);
            viewer.decode(self.now);
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Packet { subscription, packet } => {
                    if let Some(viewer) = self.viewers.get_mut(&subscription) {
                        viewer.on_packet(self.now, packet);
                    }
                }
                Output::Frame { subscription, frame, .. } => {
                    if let Some(viewer) = self.viewers.get_mut(&subscription) {
                        let MediaFrame { media_time_us, keyframe, data } = frame;
                        viewer.show(self.now, &data, keyframe, media_time_us as i64, None);
                    }
                }
                Output::GroupEnded { subscription } => {
                    if let Some(viewer) = self.viewers.get_mut(&subscription) {
                        viewer.groups_ended += 1;
                    }
                }
                Output::RequestKeyframe { track, layer } => {
                    let found = self.publishers.iter_mut().find(|publisher| publisher.track == track);
                    if let Some(publisher) = found {
                        let encoding = &mut publisher.layers[layer];
                        encoding.requests += 1;
                        if let Some(answer) = publisher.answers {
                            encoding.keyframe_due.get_or_insert(self.now + answer);
                        }
                    }
                }
                event => {
                    self.follow_demand(&event);
                    self.events.push(event);
                }
            }
        }
    }

    fn follow_demand(&mut self, event: &Output) {
        let (track, layer, wanted) = match event {
            Output::LayerPaused { track, layer } => (*track, *layer, false),
            Output::LayerResumed { track, layer } => (*track, *layer, true),
            _ => return,
        };
        let found =
            self.publishers.iter_mut().find(|publisher| publisher.track == track && publisher.on_demand);
        if let Some(publisher) = found {
            publisher.layers[layer].sends = wanted;
            if wanted {
                for frame in publisher.group.clone() {
                    publisher.sent += 1;
                    let key = (self.now, publisher.sent);
                    publisher.in_flight.insert(key, (layer, Sent::Frame(frame)));
                }
            } else {
                self.core.push_gap(self.now, track, layer);
            }
        }
    }

    /// The number of the newest frame that a publisher has encoded in a layer.
    pub(crate) fn newest(&self, publisher: usize, layer: usize) -> u32 {
        self.publishers[publisher].layers[layer].number - 1
    }
}

impl Publisher {
    fn encode(&mut self, now: Instant, start: Instant) {
        let since_us = (now - start).as_micros() as i64;
        let clock_us = (since_us + since_us * self.drift_ppm / 1_000_000) as u64;
        let rate = u64::from(self.codec.clock_rate_hz());
        self.next = now + self.interval;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let by_itself = self.gop.is_some_and(|gop| layer.number % gop == 0);
            let asked = layer.keyframe_due.is_some_and(|due| due <= now);
            let keyframe = self.codec == Codec::Opus || layer.number == 0 || by_itself || asked;
            if asked {
                layer.keyframe_due = None;
            }
            let mark = index as u8 | (self.track.0 as u8) << 2;
            let data = frame(self.codec, layer, mark, keyframe);
            layer.number += 1;
            let timestamp = RtpTime(layer.timestamp_base.wrapping_add(self.rtp_offset))
                + (clock_us * rate / 1_000_000) as u32;
            let mut sent = Vec::new();
            match self.form {
                Form::Frames => {
                    let frame = MediaFrame { media_time_us: clock_us + 5_000_000, keyframe, data };
                    if self.on_demand {
                        if keyframe {
                            self.group.clear();
                        }
                        self.group.push(frame.clone());
                    }
                    sent.push(Sent::Frame(frame));
                }
                Form::Packets => {
                    let mut payloads = Vec::new();
                    layer.packetizer.packetize(&data, 1100, &mut payloads).unwrap();
                    let last = payloads.len() - 1;
                    for (n, payload) in payloads.into_iter().enumerate() {
                        let seq = ExtSeqNo(layer.seq);
                        layer.seq += 1;
                        if !(self.lose)(seq.0) {
                            let marker = n == last && self.codec != Codec::Opus;
                            sent.push(Sent::Packet(MediaPacket { seq, timestamp, marker, payload }));
                        }
                    }
                    if self.pads {
                        let seq = ExtSeqNo(layer.seq);
                        layer.seq += 1;
                        let payload = Bytes::new();
                        sent.push(Sent::Packet(MediaPacket { seq, timestamp, marker: false, payload }));
                    }
                    if self.reports {
                        let wall = Duration::from_secs(1_700_000_000) + (now - start);
                        sent.push(Sent::Report(NtpTime::from_unix(wall), timestamp));
                    }
                }
            }
            if self.blackout || !layer.sends {
                continue;
            }
            for sent in sent {
                self.sent += 1;
                let delay = match &sent {
                    Sent::Packet(packet) => (self.delay)(packet.seq.0),
                    _ => Duration::ZERO,
                };
                let arrival = now + self.latency + delay;
                let arrival = self.stalled_until.map_or(arrival, |until| arrival.max(until));
                self.in_flight.insert((arrival, self.sent), (index, sent));
            }
        }
    }
}

/// The bytes by which a viewer knows a frame: its mark and its number, none of them zero, so that H.264 has no start
/// code in them.
fn label(mark: u8, number: u32) -> [u8; 5] {
    let digit = |n: u32| 0x80 | (number >> (7 * n)) as u8;
    [mark | 0x80, digit(3), digit(2), digit(1), digit(0)]
}

fn read_label(codec: Codec, data: &[u8]) -> (u8, u32) {
    let at = match codec {
        Codec::H264 => 5 + data.windows(4).rposition(|window| window == [0, 0, 0, 1]).unwrap() + 1,
        _ => 1,
    };
    let digits = data[at + 1..at + 5].iter();
    (data[at] & 0x7f, digits.fold(0, |number, digit| number << 7 | u32::from(digit & 0x7f)))
}

fn frame(codec: Codec, layer: &Encoding, mark: u8, keyframe: bool) -> Bytes {
    let mut data = match (codec, keyframe) {
        // 20 ms.
        (Codec::Opus, _) => vec![31 << 3],
        (Codec::H264, true) => {
            vec![0, 0, 0, 1, 0x67, 0x42, 0xe0, 0x1e, 0, 0, 0, 1, 0x68, 0xce, 0, 0, 0, 1, 0x65, 0x88]
        }
        (Codec::H264, false) => vec![0, 0, 0, 1, 0x41, 0x9a],
        // The lowest bit says that it is no keyframe.
        _ => vec![u8::from(!keyframe)],
    };
    data.extend(label(mark, layer.number));
    let big = keyframe && codec != Codec::Opus;
    data.resize(if big { layer.bytes * 8 } else { layer.bytes }, 0x55);
    data.into()
}
