//! A track: its layers, its subscribers, and what flows between them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use thiserror::Error;
use tombolo_net::Rng;
use tombolo_rtp::codec::Codec;
use tombolo_signaling::message::{CodecName, MediaKind};

use super::clock::MediaClock;
use super::config::Config;
use super::ids::{IdMap, ParticipantId, SubscriptionId, TrackId};
use super::layer::Layer;
use super::media::Form;
use super::output::Output;
use super::rewrite::LayerPacket;
use super::roster::LayerInfo;
use super::stats::Stats;
use super::subscription::{LayerChoice, Subscription};
use super::to_frames::ToFrames;

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
    /// The codec's payload format is not known.
    #[error("the codec is not supported")]
    Codec,
}

/// What of the core a track works with.
pub(super) struct Context<'a> {
    pub(super) now: Instant,
    pub(super) config: &'a Config,
    pub(super) rng: &'a mut Rng,
    pub(super) clock: &'a mut MediaClock,
    pub(super) subscriptions: &'a mut IdMap<SubscriptionId, Subscription>,
    pub(super) outputs: &'a mut VecDeque<Output>,
    pub(super) stats: &'a mut Stats,
}

/// The payload format of a codec; `None` when the gateway does not know it.
fn payload_format(codec: CodecName) -> Option<Codec> {
    match codec {
        CodecName::Vp8 => Some(Codec::Vp8),
        CodecName::H264 => Some(Codec::H264),
        CodecName::Opus => Some(Codec::Opus),
        _ => None,
    }
}

/// The state of a track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) owner: ParticipantId,
    pub(super) info: TrackInfo,
    pub(super) codec: Codec,
    pub(super) layers: Vec<Layer>,
    pub(super) packet_subscribers: Vec<SubscriptionId>,
    pub(super) frame_subscribers: Vec<SubscriptionId>,
    /// When the core has to look at this track again; as it stands in the core's table.
    pub(super) timeout: Option<Instant>,
    next_choice: Instant,
}

impl Track {
    pub(super) fn new(
        now: Instant,
        config: &Config,
        id: TrackId,
        owner: ParticipantId,
        info: TrackInfo,
    ) -> Result<Self, PublishError> {
        let codec = payload_format(info.codec).ok_or(PublishError::Codec)?;
        let layers = info.layers.iter().map(|_| Layer::new(now, config, codec.clock_rate_hz())).collect();
        Ok(Self {
            id,
            owner,
            info,
            codec,
            layers,
            packet_subscribers: Vec::new(),
            frame_subscribers: Vec::new(),
            timeout: None,
            next_choice: now,
        })
    }

    pub(super) fn is_video(&self) -> bool {
        self.info.kind == MediaKind::Video
    }

    /// Whether a layer's publisher answers keyframe requests, as far as is known.
    pub(super) fn can_ask(&self, layer: usize) -> bool {
        self.info.can_request_keyframe && !self.layers[layer].budget.is_deaf()
    }

    pub(super) fn subscribers(&self) -> impl Iterator<Item = SubscriptionId> {
        self.packet_subscribers.iter().chain(&self.frame_subscribers).copied()
    }

    // Keyframes and losses.

    /// Whether keyframe requests can reach the publisher. Where they can again, who waits is asked for at once.
    pub(super) fn set_can_request_keyframe(&mut self, cx: &mut Context<'_>, can: bool) {
        if can && !self.info.can_request_keyframe {
            for layer in &mut self.layers {
                layer.budget.trust();
            }
        }
        self.info.can_request_keyframe = can;
        self.ask_for_keyframes(cx);
    }

    pub(super) fn on_keyframe(&mut self, cx: &mut Context<'_>, index: usize) {
        cx.stats.keyframes_in += 1;
        let layer = &mut self.layers[index];
        layer.budget.on_keyframe(cx.now);
        layer.deferred_want = None;
    }

    /// What was lost will not come: everybody goes on with the next keyframe, which is asked for if anybody waits.
    pub(super) fn restart_layer(&mut self, cx: &mut Context<'_>, index: usize) {
        cx.stats.gaps += 1;
        let video = self.is_video();
        let layer = &mut self.layers[index];
        layer.broken = video;
        layer.recent.clear();
        layer.kept_packets.clear();
        layer.kept_frames.clear();
        layer.group = None;
        if layer.to_frames.is_some() {
            layer.to_frames = Some(ToFrames::new(self.codec, cx.config));
        }
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
            wanted |= subscription.target == index && !subscription.held;
        }
        if video && wanted {
            cx.stats.keyframes_wanted += 1;
            layer.budget.want(cx.now);
        }
    }

    /// Sends the keyframe requests that are due.
    pub(super) fn ask_for_keyframes(&mut self, cx: &mut Context<'_>) {
        if !self.info.can_request_keyframe {
            return;
        }
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if !layer.budget.is_wanted() {
                continue;
            }
            let flowing = layer.is_active(cx.now, cx.config.outage);
            if layer.budget.poll(cx.now, flowing) {
                cx.stats.keyframes_asked += 1;
                cx.outputs.push_back(Output::RequestKeyframe { track: self.id, layer: index });
            }
        }
    }

    /// A receiver asks for a keyframe.
    pub(super) fn request_keyframe(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let video = self.is_video();
        let Some(subscription) = cx.subscriptions.get(&id).filter(|sub| video && !sub.held) else {
            return;
        };
        cx.stats.keyframes_wanted += 1;
        let index = subscription.target;
        let again = subscription
            .last_burst
            .is_none_or(|last| cx.now.saturating_duration_since(last) >= cx.config.resync_interval);
        if self.can_ask(index) {
            self.layers[index].budget.want_from_feedback(cx.now);
        } else if subscription.wish.form == Form::Packets && again && !self.send_kept_group(cx, id) {
            self.layers[index].budget.want(cx.now);
        }
        self.ask_for_keyframes(cx);
    }

    /// A receiver is too slow: it goes on with the next keyframe.
    pub(super) fn resync(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        let Some(subscription) = cx.subscriptions.get_mut(&id).filter(|subscription| !subscription.held)
        else {
            return;
        };
        cx.stats.resyncs += 1;
        // What is on its way to it would come in the middle of what it gave up.
        cx.outputs.retain(|output| !output.is_media_of(id));
        subscription.current = None;
        subscription.resyncs = true;
        let due = match subscription.last_resync {
            Some(granted) if granted > cx.now => granted,
            Some(granted) => (granted + cx.config.resync_interval).max(cx.now),
            None => cx.now,
        };
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
        subscription.attach(self.id, target, self.codec.clock_rate_hz());
        self.refresh(cx);
        self.start(cx, id);
    }

    /// The receiver of a held subscription can be reached now.
    pub(super) fn release(&mut self, cx: &mut Context<'_>, id: SubscriptionId) {
        if let Some(subscription) = cx.subscriptions.get_mut(&id) {
            subscription.held = false;
            self.choose_layers(cx);
            self.refresh(cx);
            self.start(cx, id);
        }
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
        let video = self.is_video();
        let Some(subscription) = cx.subscriptions.get(&id).filter(|sub| video && !sub.held) else {
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
    pub(super) fn send_kept_group(&mut self, cx: &mut Context<'_>, id: SubscriptionId) -> bool {
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
                let Some(group) = whole(group) else {
                    return false;
                };
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
                for output in group.iter().filter_map(|frame| subscription.offer_frame(index, frame, true)) {
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

    /// Brings the layers in line with who wants them, and in which form.
    fn refresh(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.layers.len() {
            let wants = |id: &SubscriptionId| {
                cx.subscriptions.get(id).is_some_and(|subscription| subscription.wants(index))
            };
            let packets = self.packet_subscribers.iter().any(wants);
            let frames = self.frame_subscribers.iter().any(wants);
            self.derive(cx, index, packets, frames);
            let layer = &mut self.layers[index];
            if !packets {
                layer.recent = VecDeque::new();
            }
            if !frames {
                layer.group = None;
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
            }
        }
    }

    // Time.

    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        for index in 0..self.layers.len() {
            self.deliver_assembled(cx, index);
        }
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
            let assembly = layer.to_frames.as_ref().and_then(ToFrames::timeout);
            [pause, layer.deferred_want, layer.budget.timeout().filter(|_| ask), assembly]
        });
        layers.chain([choice]).flatten().min()
    }
}

/// The packets of a kept group in order; `None` when one is missing.
fn whole(group: &[LayerPacket]) -> Option<Vec<LayerPacket>> {
    let first = group.first()?.packet.seq;
    let mut group: Vec<_> = group.iter().filter(|packet| packet.packet.seq >= first).cloned().collect();
    group.sort_by_key(|packet| packet.packet.seq);
    group.windows(2).all(|pair| pair[1].packet.seq == pair[0].packet.seq.next()).then_some(group)
}
