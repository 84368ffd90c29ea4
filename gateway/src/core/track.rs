//! A track: its layers, its subscribers, and what flows between them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;
use tombolo_net::{NtpTime, RtpTime};
use tombolo_signaling::message::{CodecName, MediaKind};

use super::clock::MediaClock;
use super::config::Config;
use super::ids::{IdMap, ParticipantId, SubscriptionId, TrackId};
use super::kept_group::Bound;
use super::layer::{Arrival, Layer};
use super::media::{Form, MediaFrame, MediaPacket};
use super::output::Output;
use super::payload::PayloadInfo;
use super::rewrite::LayerPacket;
use super::roster::LayerInfo;
use super::stats::Stats;
use super::subscription::{LayerChoice, Subscription};

/// How often automatic layer choices are looked at again.
const CHOICE_INTERVAL: Duration = Duration::from_millis(500);

/// What a participant publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackInfo {
    /// What the publisher calls it.
    pub label: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// How it is encoded.
    pub codec: CodecName,
    /// The form it comes in.
    pub form: Form,
    /// Its layers, lowest bit rate first; at least one.
    pub layers: Vec<LayerInfo>,
    /// Whether [`Output::RequestKeyframe`] can reach the publisher. Where it cannot, the last group of pictures is kept.
    pub can_request_keyframe: bool,
}

/// Why a track cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no such participant, or it is an observer.
    #[error("no such participant")]
    UnknownParticipant,
    /// The participant publishes as many tracks as it may, or the track has too many layers or none.
    #[error("too many tracks or layers")]
    Limit,
}

/// What of the core a track works with.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) clock: &'a mut MediaClock,
    pub(super) subscriptions: &'a mut IdMap<SubscriptionId, Subscription>,
    pub(super) outputs: &'a mut VecDeque<Output>,
    pub(super) stats: &'a mut Stats,
}

/// The ticks per second of a codec's RTP clock.
pub(super) fn rate_hz(codec: CodecName) -> u32 {
    match codec {
        CodecName::Opus => 48_000,
        _ => 90_000,
    }
}

/// The state of a track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) owner: ParticipantId,
    pub(super) info: TrackInfo,
    pub(super) layers: Vec<Layer>,
    pub(super) packet_subscribers: Vec<SubscriptionId>,
    pub(super) frame_subscribers: Vec<SubscriptionId>,
    /// When the core has to look at this track again; as it stands in the core's table.
    pub(super) timeout: Option<Instant>,
    next_choice: Instant,
}

impl Track {
    pub(super) fn new(now: Instant, id: TrackId, owner: ParticipantId, info: TrackInfo) -> Self {
        let rate_hz = rate_hz(info.codec);
        let layers = info.layers.iter().map(|_| Layer::new(now, rate_hz)).collect();
        Self {
            id,
            owner,
            info,
            layers,
            packet_subscribers: Vec::new(),
            frame_subscribers: Vec::new(),
            timeout: None,
            next_choice: now,
        }
    }

    fn is_video(&self) -> bool {
        self.info.kind == MediaKind::Video
    }

    /// Whether a layer's publisher answers keyframe requests, as far as is known.
    fn can_ask(&self, layer: usize) -> bool {
        self.info.can_request_keyframe && !self.layers[layer].budget.is_deaf()
    }

    fn subscribers(&self) -> impl Iterator<Item = SubscriptionId> {
        self.packet_subscribers.iter().chain(&self.frame_subscribers).copied()
    }

    // In: packets.

    pub(super) fn push_packet(&mut self, cx: &mut Context<'_>, index: usize, packet: MediaPacket) {
        let bounds = (cx.config.outage, cx.config.outage_packets);
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Packets) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        let revived = !layer.is_active(cx.now, cx.config.layer_active);
        let arrival = layer.arrive(cx.now, packet.seq, packet.payload.len(), bounds);
        match arrival {
            Arrival::Duplicate => {
                cx.stats.dropped_duplicates += 1;
                return;
            }
            Arrival::Regular => {}
            Arrival::AfterOutage => self.restart_layer(cx, index),
        }
        if revived {
            self.choose_layers(cx);
        }
        cx.stats.packets_in += 1;
        cx.stats.bytes_in += packet.payload.len() as u64;
        let layer = &mut self.layers[index];
        let media_us = layer.clock.media_us(cx.clock, cx.now, packet.timestamp);
        let info = PayloadInfo::read(self.info.codec, &packet.payload);
        let packet = LayerPacket { packet, info, capture: cx.clock.instant(media_us) };
        if self.is_video() && info.starts_keyframe {
            self.on_keyframe(cx, index);
        }
        self.deliver_packet(cx, index, packet);
        self.ask_for_keyframes(cx);
    }

    pub(super) fn sender_report(&mut self, cx: &mut Context<'_>, index: usize, ntp: NtpTime, rtp: RtpTime) {
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Packets) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        if !layer.clock.sender_report(cx.clock, cx.now, ntp, rtp) {
            cx.stats.rejected_sender_reports += 1;
        }
    }

    /// Sends a packet to the layer's packet subscribers, and keeps it where packets are kept.
    fn deliver_packet(&mut self, cx: &mut Context<'_>, index: usize, packet: LayerPacket) {
        let keep = self.is_video() && !self.can_ask(index);
        let layer = &mut self.layers[index];
        let Context { subscriptions, outputs, stats, .. } = cx;
        for id in &self.packet_subscribers {
            if let Some(subscription) = subscriptions.get_mut(id) {
                subscription.offer_packet(index, &packet, &layer.recent, |output| {
                    if let Output::Packet { packet, .. } = &output {
                        stats.packets_out += 1;
                        stats.bytes_out += packet.payload_len() as u64;
                    }
                    outputs.push_back(output);
                });
            }
        }
        if keep {
            let bound = Bound { age: cx.config.kept_age, bytes: cx.config.kept_bytes };
            let (bytes, starts) = (packet.packet.payload.len(), packet.info.starts_keyframe);
            if starts {
                layer.kept_packets.begin(cx.now, bound, packet.clone(), bytes);
            } else {
                layer.kept_packets.push(cx.now, bound, packet.clone(), bytes);
            }
        }
        if self.info.kind == MediaKind::Video && !self.packet_subscribers.is_empty() {
            layer.remember(packet);
        }
    }

    // In: frames.

    pub(super) fn push_frame(&mut self, cx: &mut Context<'_>, index: usize, frame: MediaFrame) {
        let video = self.is_video();
        let Some(layer) = self.layers.get_mut(index).filter(|_| self.info.form == Form::Frames) else {
            cx.stats.dropped_unknown += 1;
            return;
        };
        let bytes = frame.data.len();
        if bytes == 0 || bytes > cx.config.max_frame_bytes {
            cx.stats.dropped_frames += 1;
            self.restart_layer(cx, index);
            return;
        }
        if video && layer.broken && !frame.keyframe {
            cx.stats.dropped_frames += 1;
            self.ask_for_keyframes(cx);
            return;
        }
        let revived = !layer.is_active(cx.now, cx.config.layer_active);
        layer.broken = false;
        layer.on_media(cx.now, bytes);
        cx.stats.frames_in += 1;
        cx.stats.bytes_in += bytes as u64;
        if revived {
            self.choose_layers(cx);
        }
        if video && frame.keyframe {
            self.on_keyframe(cx, index);
            let layer = &mut self.layers[index];
            layer.budget.set_cost(cx.config, bytes, layer.rate());
        }
        self.deliver_frame(cx, index, &frame);
        self.ask_for_keyframes(cx);
    }

    /// Frames of a layer were lost on their way in.
    pub(super) fn push_gap(&mut self, cx: &mut Context<'_>, index: usize) {
        if index < self.layers.len() {
            self.restart_layer(cx, index);
            self.ask_for_keyframes(cx);
        }
    }

    /// Sends a frame to the layer's frame subscribers, and keeps it where frames are kept.
    fn deliver_frame(&mut self, cx: &mut Context<'_>, index: usize, frame: &MediaFrame) {
        let video = self.is_video();
        let ask = self.can_ask(index);
        let layer = &mut self.layers[index];
        let bytes = frame.data.len();
        if video && !ask {
            let bound = Bound { age: cx.config.kept_age, bytes: cx.config.kept_bytes };
            if frame.keyframe {
                layer.kept_frames.begin(cx.now, bound, frame.clone(), bytes);
            } else {
                layer.kept_frames.push(cx.now, bound, frame.clone(), bytes);
            }
        }
        let mut delivered = false;
        for id in &self.frame_subscribers {
            let subscription = cx.subscriptions.get_mut(id);
            if let Some(output) = subscription.and_then(|sub| sub.offer_frame(index, frame)) {
                cx.stats.frames_out += 1;
                cx.stats.bytes_out += bytes as u64;
                cx.outputs.push_back(output);
                delivered = true;
            }
        }
        if !video || !delivered {
            layer.group = None;
            return;
        }
        if frame.keyframe {
            layer.group = None;
        }
        let (began, total) = layer.group.get_or_insert((cx.now, 0));
        *total += bytes;
        // A group without an end would be held in memory by everybody downstream.
        let age = cx.now.saturating_duration_since(*began);
        if *total > cx.config.group_bytes || age > cx.config.group_age {
            layer.budget.want(cx.now);
        }
    }

    // Keyframes and losses.

    fn on_keyframe(&mut self, cx: &mut Context<'_>, index: usize) {
        cx.stats.keyframes_in += 1;
        let layer = &mut self.layers[index];
        layer.budget.on_keyframe(cx.now);
        layer.deferred_want = None;
    }

    /// What was lost will not come: everybody goes on with the next keyframe, which is asked for if anybody waits.
    fn restart_layer(&mut self, cx: &mut Context<'_>, index: usize) {
        cx.stats.gaps += 1;
        let video = self.is_video();
        let layer = &mut self.layers[index];
        layer.broken = video;
        layer.recent.clear();
        layer.kept_packets.clear();
        layer.kept_frames.clear();
        layer.group = None;
        let mut wanted = false;
        for id in self.packet_subscribers.iter().chain(&self.frame_subscribers) {
            let Some(subscription) = cx.subscriptions.get_mut(id) else {
                continue;
            };
            if subscription.current == Some(index) {
                subscription.current = None;
                if video && subscription.wish.form == Form::Frames {
                    cx.outputs.push_back(Output::GroupEnded { subscription: *id });
                }
            }
            wanted |= subscription.target == index;
        }
        if video && wanted {
            cx.stats.keyframes_wanted += 1;
            layer.budget.want(cx.now);
        }
    }

    /// Sends the keyframe requests that are due.
    fn ask_for_keyframes(&mut self, cx: &mut Context<'_>) {
        if !self.info.can_request_keyframe {
            return;
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let flowing = layer.is_active(cx.now, cx.config.outage);
            if layer.budget.poll(cx.now, cx.config, flowing) {
                cx.stats.keyframes_asked += 1;
                cx.outputs.push_back(Output::RequestKeyframe { track: self.id, layer: index });
            }
        }
    }

    /// A receiver asks for a keyframe.
    pub(super) fn request_keyframe(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let Some(subscription) = cx.subscriptions.get(&id).filter(|_| self.is_video()) else {
            return;
        };
        cx.stats.keyframes_wanted += 1;
        let index = subscription.target;
        let again = subscription
            .last_burst
            .is_none_or(|last| cx.now.saturating_duration_since(last) >= cx.config.resync_interval);
        if self.can_ask(index) {
            self.layers[index].budget.want_from_feedback(cx.now);
        } else if again && subscription.wish.form == Form::Packets {
            self.send_kept_group(cx, id);
        }
        self.ask_for_keyframes(cx);
    }

    /// A receiver is too slow: it goes on with the next keyframe.
    pub(super) fn resync(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let Some(subscription) = cx.subscriptions.get_mut(&id) else {
            return;
        };
        cx.stats.resyncs += 1;
        subscription.current = None;
        let due =
            subscription.last_resync.map_or(cx.now, |last| (last + cx.config.resync_interval).max(cx.now));
        subscription.last_resync = Some(due);
        if self.info.kind == MediaKind::Video {
            let layer = &mut self.layers[subscription.target];
            layer.deferred_want = Some(layer.deferred_want.map_or(due, |earlier| earlier.min(due)));
            self.handle_timeout(cx);
        }
    }

    // Subscribers.

    /// Adds a subscription, whose target is chosen here, and starts it.
    pub(super) fn attach(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let target = cx.subscriptions.get(&id).map_or(0, |sub| self.choose(cx, sub.wish.layer));
        let Some(subscription) = cx.subscriptions.get_mut(&id) else {
            return;
        };
        match subscription.wish.form {
            Form::Packets => self.packet_subscribers.push(id),
            Form::Frames => self.frame_subscribers.push(id),
        }
        subscription.attach(self.id, target, rate_hz(self.info.codec));
        self.refresh(cx);
        self.start(cx, id);
    }

    /// Removes a subscription.
    pub(super) fn detach(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        self.packet_subscribers.retain(|&subscriber| subscriber != id);
        self.frame_subscribers.retain(|&subscriber| subscriber != id);
        self.refresh(cx);
    }

    /// The track ends: its subscriptions have none any more.
    pub(super) fn end(&mut self, cx: &mut Context<'_>) {
        for id in self.packet_subscribers.iter().chain(&self.frame_subscribers) {
            if let Some(subscription) = cx.subscriptions.get_mut(id) {
                subscription.track = None;
                subscription.current = None;
                cx.outputs.push_back(Output::TrackEnded { subscription: *id, track: self.id });
            }
        }
    }

    /// Gets a subscription that waits for its target layer what it needs.
    pub(super) fn start(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let Some(subscription) = cx.subscriptions.get(&id).filter(|_| self.is_video()) else {
            return;
        };
        let index = subscription.target;
        if self.can_ask(index) || !self.send_kept_group(cx, id) {
            cx.stats.keyframes_wanted += 1;
            self.layers[index].budget.want(cx.now);
            self.ask_for_keyframes(cx);
        }
    }

    /// Sends what is kept since the last keyframe to one subscription. `false` when nothing live is kept.
    fn send_kept_group(&mut self, cx: &mut Context<'_>, id: SubscriptionId) -> bool {
        let Some(subscription) = cx.subscriptions.get_mut(&id) else {
            return false;
        };
        let index = subscription.target;
        let layer = &self.layers[index];
        let Context { outputs, stats, config, now, .. } = cx;
        match subscription.wish.form {
            Form::Packets => {
                let Some(group) = layer.kept_packets.live(*now, config.live_edge) else {
                    return false;
                };
                let mut group = group.to_vec();
                group.sort_by_key(|packet| packet.packet.seq);
                subscription.rewriter.burst(&group, |packet| {
                    stats.packets_out += 1;
                    stats.bytes_out += packet.payload_len() as u64;
                    outputs.push_back(Output::Packet { subscription: id, packet });
                });
                subscription.current = Some(index);
            }
            Form::Frames => {
                let Some(group) = layer.kept_frames.live(*now, config.live_edge) else {
                    return false;
                };
                for output in group.iter().filter_map(|frame| subscription.offer_frame(index, frame)) {
                    stats.frames_out += 1;
                    outputs.push_back(output);
                }
            }
        }
        subscription.last_burst = Some(*now);
        stats.kept_groups_sent += 1;
        true
    }

    // Layers.

    fn choose(&self, cx: &Context<'_>, choice: LayerChoice) -> usize {
        let top = self.layers.len() - 1;
        let available = |&index: &usize| self.layers[index].is_available(cx.now, cx.config.layer_active);
        match choice {
            LayerChoice::Exact(index) => index.min(top),
            LayerChoice::Highest => (0..=top).rev().find(available).unwrap_or(top),
            LayerChoice::UpTo(limit) => (0..=top)
                .rev()
                .filter(available)
                .find(|&index| self.layers[index].rate() <= limit)
                .or_else(|| (0..=top).find(available))
                .unwrap_or(0),
        }
    }

    /// Looks at all automatic choices again.
    pub(super) fn choose_layers(&mut self, cx: &mut Context<'_>) {
        self.next_choice = cx.now + CHOICE_INTERVAL;
        let mut changed = Vec::new();
        for id in self.subscribers() {
            let Some((choice, target)) = cx.subscriptions.get(&id).map(|sub| (sub.wish.layer, sub.target))
            else {
                continue;
            };
            let chosen = self.choose(cx, choice);
            if chosen != target
                && let Some(subscription) = cx.subscriptions.get_mut(&id)
            {
                subscription.target = chosen;
                changed.push(id);
            }
        }
        if !changed.is_empty() {
            self.refresh(cx);
            for id in changed {
                if cx.subscriptions.get(&id).is_some_and(Subscription::waits) {
                    self.start(cx, id);
                }
            }
        }
    }

    /// Brings the layers in line with who wants them.
    fn refresh(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.layers.len() {
            let wants = |id: &SubscriptionId| {
                cx.subscriptions.get(id).is_some_and(|sub| sub.target == index || sub.current == Some(index))
            };
            let packets = self.packet_subscribers.iter().any(wants);
            let frames = self.frame_subscribers.iter().any(wants);
            let layer = &mut self.layers[index];
            if !packets {
                layer.recent = VecDeque::new();
            }
            if packets || frames {
                layer.idle_since = None;
                if std::mem::take(&mut layer.paused) {
                    layer.resumed = Some(cx.now);
                    cx.outputs.push_back(Output::LayerResumed { track: self.id, layer: index });
                }
            } else {
                layer.idle_since.get_or_insert(cx.now);
                layer.budget.forget();
                layer.deferred_want = None;
                layer.group = None;
            }
        }
    }

    // Time.

    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        if self.layers.len() > 1 && self.next_choice <= cx.now {
            self.choose_layers(cx);
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if let Some(idle) = layer.idle_since
                && !layer.paused
                && idle + cx.config.pause_after <= cx.now
            {
                layer.paused = true;
                layer.resumed = None;
                cx.outputs.push_back(Output::LayerPaused { track: self.id, layer: index });
            }
            if layer.deferred_want.is_some_and(|due| due <= cx.now) {
                layer.deferred_want = None;
                cx.stats.keyframes_wanted += 1;
                layer.budget.want(cx.now);
            }
        }
        self.ask_for_keyframes(cx);
    }

    /// When [`Self::handle_timeout`] is due.
    pub(super) fn next_timeout(&self, config: &Config) -> Option<Instant> {
        let choice =
            (self.layers.len() > 1 && self.subscribers().next().is_some()).then_some(self.next_choice);
        let ask = self.info.can_request_keyframe;
        let layers = self.layers.iter().flat_map(|layer| {
            let pause = layer.idle_since.filter(|_| !layer.paused).map(|idle| idle + config.pause_after);
            [pause, layer.deferred_want, layer.budget.timeout(config).filter(|_| ask)]
        });
        layers.chain([choice]).flatten().min()
    }
}
