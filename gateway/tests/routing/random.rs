//! Any order of any operations with any media keeps what the core promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use tombolo_gateway::core::{
    Config, Core, Form, LayerChoice, LayerInfo, MediaFrame, MediaPacket, Member, Output, ParticipantId,
    ParticipantInfo, RosterChange, Subscribe, SubscriptionId, TrackId, TrackInfo,
};
use tombolo_net::{Bitrate, ExtSeqNo, NtpTime, RtpTime, Seed, SeqUnwrapper};
use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};

use crate::world::name;

const KEPT_BYTES: usize = 20_000;

/// Something that a driver does. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Join { channel: u8, who: u8, visible: bool },
    Leave(usize),
    Publish { by: usize, form: bool, codec: u8, layers: usize, can_ask: bool },
    Unpublish(usize),
    SetCanAsk(usize, bool),
    Subscribe { by: usize, track: usize, form: bool, layer: usize, codecs: u8 },
    Unsubscribe(usize),
    Release(usize),
    Retarget(usize, Option<usize>),
    SetLayer(usize, usize),
    Media { track: usize, layer: usize, hop: i8, ticks: u32, keyframe: bool, len: usize, marker: bool },
    Garbage { track: usize, layer: usize, seq: u64, timestamp: u32, payload: Vec<u8> },
    Gap(usize, usize),
    Loss(usize, usize, u64),
    Report(usize, usize, u64, u32),
    RequestKeyframe(usize),
    Resync(usize),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<usize>();
    let media = || {
        (n(), 0..3usize, -3..6i8, 0..9000u32, prop::bool::weighted(0.2), 0..2500usize, any::<bool>())
            .prop_map(|(track, layer, hop, ticks, keyframe, len, marker)| Step::Media {
                track,
                layer,
                hop,
                ticks,
                keyframe,
                len,
                marker,
            })
    };
    prop_oneof![
        4 => (0..3u8, 0..6u8, prop::bool::weighted(0.8))
            .prop_map(|(channel, who, visible)| Step::Join { channel, who, visible }),
        2 => n().prop_map(Step::Leave),
        4 => (n(), any::<bool>(), 0..3u8, 0..4usize, any::<bool>()).prop_map(
            |(by, form, codec, layers, can_ask)| Step::Publish { by, form, codec, layers, can_ask }
        ),
        1 => n().prop_map(Step::Unpublish),
        1 => (n(), any::<bool>()).prop_map(|(track, can)| Step::SetCanAsk(track, can)),
        6 => (n(), n(), any::<bool>(), 0..5usize, any::<u8>()).prop_map(
            |(by, track, form, layer, codecs)| Step::Subscribe { by, track, form, layer, codecs }
        ),
        2 => n().prop_map(Step::Unsubscribe),
        3 => n().prop_map(Step::Release),
        2 => (n(), prop::option::of(n())).prop_map(|(sub, track)| Step::Retarget(sub, track)),
        2 => (n(), 0..5usize).prop_map(|(sub, layer)| Step::SetLayer(sub, layer)),
        30 => media(),
        3 => (n(), 0..3usize, 65_536..200_000u64, any::<u32>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(track, layer, seq, timestamp, payload)| Step::Garbage {
                track,
                layer,
                seq,
                timestamp,
                payload
            }),
        1 => (n(), 0..3usize).prop_map(|(track, layer)| Step::Gap(track, layer)),
        1 => (n(), 0..3usize, any::<u32>()).prop_map(|(track, layer, seq)| Step::Loss(track, layer, seq.into())),
        2 => (n(), 0..3usize, any::<u64>(), any::<u32>())
            .prop_map(|(track, layer, ntp, rtp)| Step::Report(track, layer, ntp, rtp)),
        3 => n().prop_map(Step::RequestKeyframe),
        1 => n().prop_map(Step::Resync),
        6 => (0..3000u16).prop_map(Step::Wait),
    ]
}

/// What a driver knows, beside what the core says.
struct Model {
    core: Core,
    now: Instant,
    people: Vec<ParticipantId>,
    tracks: Vec<(TrackId, ParticipantId, Form, CodecName, bool)>,
    subscriptions: BTreeMap<SubscriptionId, Stream>,
    /// What each has been told of the others.
    rosters: BTreeMap<ParticipantId, BTreeMap<ParticipantId, Member>>,
    positions: BTreeMap<(TrackId, usize), (u64, u32)>,
}

/// What a subscription was sent.
#[derive(Default)]
struct Stream {
    form: Option<Form>,
    seqs: BTreeSet<ExtSeqNo>,
    unwrapper: SeqUnwrapper,
    held: bool,
    /// Since it shows what it shows.
    started: bool,
    last_time: Option<u64>,
}

fn pick<T: Clone>(from: &[T], n: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[n % from.len()].clone())
}

fn form(packets: bool) -> Form {
    if packets { Form::Packets } else { Form::Frames }
}

fn choice(n: usize) -> LayerChoice {
    match n {
        3 => LayerChoice::Highest,
        4 => LayerChoice::UpTo(Bitrate::from_kbps(500)),
        n => LayerChoice::Exact(n),
    }
}

impl Model {
    fn new() -> Self {
        let config = Config::default()
            .max_channels(2)
            .max_participants(4)
            .max_tracks(2)
            .max_layers(3)
            .max_subscriptions(4)
            .max_frame_bytes(2000)
            .kept_bytes(KEPT_BYTES);
        Self {
            core: Core::new(config, &Seed::from_number(3)),
            now: Instant::now(),
            people: Vec::new(),
            tracks: Vec::new(),
            subscriptions: BTreeMap::new(),
            rosters: BTreeMap::new(),
            positions: BTreeMap::new(),
        }
    }

    fn subscription(&self, n: usize) -> Option<SubscriptionId> {
        pick(&self.subscriptions.keys().copied().collect::<Vec<_>>(), n)
    }

    fn track(&self, n: usize) -> Option<TrackId> {
        pick(&self.tracks, n).map(|track| track.0)
    }

    fn act(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Join { channel, who, visible } => {
                let transport = TransportKind::WebRtc;
                let info = ParticipantInfo { name: name(&format!("p{who}")), transport, visible };
                if let Ok(id) = self.core.join(now, &name(&format!("c{channel}")), info) {
                    self.people.push(id);
                    let others = self.core.others(id).map(|member| (member.participant, (**member).clone()));
                    let others = others.collect();
                    self.rosters.insert(id, others);
                }
            }
            Step::Leave(n) => {
                if let Some(id) = pick(&self.people, n) {
                    self.leave(id);
                }
            }
            Step::Publish { by, form: packets, codec, layers, can_ask } => {
                let Some(by) = pick(&self.people, by) else { return };
                let codec = [CodecName::Vp8, CodecName::H264, CodecName::Opus][usize::from(codec)];
                let kind = if codec == CodecName::Opus { MediaKind::Audio } else { MediaKind::Video };
                let info = TrackInfo {
                    label: "t".to_owned(),
                    kind,
                    codec,
                    form: form(packets),
                    layers: vec![LayerInfo::default(); layers],
                    can_request_keyframe: can_ask,
                };
                if let Ok(track) = self.core.publish(now, by, info) {
                    self.tracks.push((track, by, form(packets), codec, can_ask));
                }
            }
            Step::Unpublish(n) => {
                if let Some(track) = self.track(n) {
                    self.core.unpublish(now, track);
                    self.tracks.retain(|known| known.0 != track);
                }
            }
            Step::SetCanAsk(n, can) => {
                if let Some(track) = self.track(n) {
                    self.core.set_can_request_keyframe(now, track, can);
                    self.tracks.iter_mut().filter(|known| known.0 == track).for_each(|known| known.4 = can);
                }
            }
            Step::Subscribe { by, track, form: packets, layer, codecs } => {
                let (Some(by), Some(track)) = (pick(&self.people, by), self.track(track)) else { return };
                let held = codecs & 0x40 != 0;
                let all = [CodecName::Vp8, CodecName::H264, CodecName::Opus];
                let codecs = (0..3).filter(|n| codecs >> n & 3 != 0).map(|n| all[n]).collect();
                let wish = Subscribe { form: form(packets), layer: choice(layer), codecs };
                let subscribed = if held {
                    self.core.subscribe_held(now, by, track, wish)
                } else {
                    self.core.subscribe(now, by, track, wish)
                };
                if let Ok(id) = subscribed {
                    let stream = Stream { form: Some(form(packets)), held, ..Stream::default() };
                    self.subscriptions.insert(id, stream);
                }
            }
            Step::Unsubscribe(n) => {
                if let Some(id) = self.subscription(n) {
                    self.core.unsubscribe(now, id);
                    self.subscriptions.remove(&id);
                }
            }
            Step::Release(n) => {
                if let Some(id) = self.subscription(n) {
                    self.core.release(now, id);
                    self.subscriptions.entry(id).or_default().held = false;
                }
            }
            Step::Retarget(n, track) => {
                let track = track.and_then(|track| self.track(track));
                if let Some(id) = self.subscription(n)
                    && self.core.retarget(now, id, track).is_ok()
                    && let Some(stream) = self.subscriptions.get_mut(&id)
                {
                    (stream.started, stream.last_time) = (false, None);
                }
            }
            Step::SetLayer(n, layer) => {
                if let Some(id) = self.subscription(n) {
                    let _ = self.core.set_layer(now, id, choice(layer));
                }
            }
            Step::RequestKeyframe(n) => {
                if let Some(id) = self.subscription(n) {
                    self.core.request_keyframe(now, id);
                }
            }
            Step::Resync(n) => {
                if let Some(id) = self.subscription(n) {
                    self.core.resync(now, id);
                }
            }
            Step::Wait(ms) => self.wait(Duration::from_millis(ms.into())),
            media => self.push(media),
        }
    }

    fn push(&mut self, step: Step) {
        let now = self.now;
        match step {
            Step::Media { track, layer, hop, ticks, keyframe, len, marker } => {
                let Some((track, _, form, codec, _)) = pick(&self.tracks, track) else { return };
                let (seq, timestamp) = self.positions.entry((track, layer)).or_insert((70_000, 0));
                *seq = seq.saturating_add_signed(hop.into());
                *timestamp = timestamp.wrapping_add(ticks);
                let (seq, timestamp) = (*seq, *timestamp);
                let mut data = match (codec, form, keyframe) {
                    (CodecName::Vp8, Form::Packets, _) => {
                        vec![
                            0x90,
                            0xe0,
                            0x80 | (seq >> 8) as u8,
                            seq as u8,
                            ticks as u8,
                            0,
                            u8::from(!keyframe),
                        ]
                    }
                    (CodecName::H264, Form::Packets, true) => vec![0x67, 0x42],
                    (CodecName::H264, Form::Packets, false) => vec![0x41, 0x9a],
                    (CodecName::H264, Form::Frames, true) => {
                        vec![0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65, 0x88]
                    }
                    (CodecName::H264, Form::Frames, false) => vec![0, 0, 0, 1, 0x41, 0x9a],
                    _ => vec![u8::from(!keyframe)],
                };
                data.resize(len.max(usize::from(form == Form::Packets && len == 0)), 0x55);
                let data = Bytes::from(data);
                match form {
                    Form::Packets => {
                        let (seq, timestamp) = (ExtSeqNo(seq), RtpTime(timestamp));
                        let packet = MediaPacket { seq, timestamp, marker, payload: data };
                        self.core.push_packet(now, track, layer, packet);
                    }
                    Form::Frames => {
                        let frame = MediaFrame { media_time_us: u64::from(timestamp) * 11, keyframe, data };
                        self.core.push_frame(now, track, layer, frame);
                    }
                }
            }
            Step::Garbage { track, layer, seq, timestamp, payload } => {
                let Some(track) = self.track(track) else { return };
                let (seq, timestamp) = (ExtSeqNo(seq), RtpTime(timestamp));
                let packet = MediaPacket { seq, timestamp, marker: false, payload: payload.into() };
                self.core.push_packet(now, track, layer, packet);
            }
            Step::Gap(track, layer) => {
                let Some(track) = self.track(track) else { return };
                self.core.push_gap(now, track, layer);
            }
            Step::Loss(track, layer, seq) => {
                let Some(track) = self.track(track) else { return };
                self.core.push_loss(now, track, layer, ExtSeqNo(seq));
            }
            Step::Report(track, layer, ntp, rtp) => {
                let Some(track) = self.track(track) else { return };
                self.core.push_sender_report(now, track, layer, NtpTime(ntp), RtpTime(rtp));
            }
            other => unreachable!("{other:?} is no media"),
        }
    }

    fn leave(&mut self, id: ParticipantId) {
        self.core.leave(self.now, id);
        self.people.retain(|&person| person != id);
        self.rosters.remove(&id);
        self.tracks.retain(|track| track.1 != id);
        let core = &self.core;
        self.subscriptions.retain(|&subscription, _| core.subscription(subscription).is_some());
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let mut wakes = 0;
        while let Some(due) = self.core.poll_timeout().filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.core.handle_timeout(self.now);
            assert!(self.core.poll_timeout().is_none_or(|next| next > self.now), "no timeout stays due");
            self.look();
            wakes += 1;
            assert!(wakes < 2000, "no livelock");
        }
        self.now = end;
    }

    /// Looks at what the last step brought.
    fn look(&mut self) {
        while let Some(output) = self.core.poll_output() {
            match output {
                Output::Packet { subscription, packet } => {
                    let stream = self.subscriptions.entry(subscription).or_default();
                    assert!(stream.form != Some(Form::Frames) && !stream.held);
                    let seq = stream.unwrapper.unwrap(packet.seq);
                    assert!(stream.seqs.insert(seq), "{seq:?} is sent twice");
                    assert!(stream.started || packet.keyframe, "starts with a keyframe");
                    assert!(packet.payload_len() > 0);
                    stream.started = true;
                }
                Output::Frame { subscription, frame, .. } => {
                    let state = self.core.subscription(subscription);
                    let made = state.and_then(|state| state.track).is_some_and(|track| {
                        self.tracks.iter().any(|known| known.0 == track && known.2 == Form::Packets)
                    });
                    let stream = self.subscriptions.entry(subscription).or_default();
                    assert!(stream.form != Some(Form::Packets) && !stream.held);
                    assert!(stream.started || frame.keyframe, "starts with a keyframe");
                    let last = stream.last_time.replace(frame.media_time_us).filter(|_| made);
                    assert!(last.is_none_or(|last| frame.media_time_us > last), "time goes back");
                    stream.started = true;
                }
                Output::RequestKeyframe { track, .. } => {
                    assert!(self.tracks.iter().any(|known| known.0 == track && known.4));
                }
                Output::Roster { to, change } => {
                    let Some(roster) = self.rosters.get_mut(&to) else { continue };
                    let member = (**change.member()).clone();
                    match change {
                        RosterChange::Joined(_) => {
                            assert_eq!(roster.insert(member.participant, member), None)
                        }
                        RosterChange::Changed(_) => {
                            assert!(roster.insert(member.participant, member).is_some());
                        }
                        RosterChange::Left(_) => assert_eq!(roster.remove(&member.participant), Some(member)),
                    }
                }
                _ => {}
            }
        }
        for (&id, roster) in &self.rosters {
            let others: Vec<_> = self.core.others(id).map(|member| (**member).clone()).collect();
            assert_eq!(others, roster.values().cloned().collect::<Vec<_>>(), "what was told is what is");
        }
        let stats = self.core.stats();
        assert_eq!(stats.participants, self.people.len());
        assert_eq!(stats.tracks, self.tracks.len());
        assert_eq!(stats.subscriptions, self.subscriptions.len());
        // Two forms of up to three layers; descriptors and fragment headers come on top of a frame's bytes.
        assert!(stats.kept_bytes <= stats.tracks * 3 * 2 * (KEPT_BYTES + KEPT_BYTES / 4));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_order_of_operations_keeps_the_promises(steps in prop::collection::vec(step(), 1..250)) {
        let mut model = Model::new();
        for step in steps {
            model.act(step);
            model.look();
        }
        for id in model.people.clone() {
            model.leave(id);
            model.look();
        }
        let stats = model.core.stats();
        prop_assert_eq!((stats.channels, stats.assemblers, stats.packetizers, stats.kept_bytes), (0, 0, 0, 0));
        prop_assert_eq!(model.core.poll_timeout(), None);
    }
}
