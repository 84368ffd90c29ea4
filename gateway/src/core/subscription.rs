//! A subscription: one receiver's view of one track, in one form.

use std::collections::VecDeque;
use std::time::Instant;

use thiserror::Error;
use tombolo_net::Bitrate;
use tombolo_signaling::message::CodecName;

use super::ids::{ParticipantId, SubscriptionId, TrackId};
use super::media::{Form, MediaFrame};
use super::output::Output;
use super::rewrite::{LayerPacket, Rewriter};

/// Which of a track's layers a subscriber gets. Layers are counted from the lowest bit rate, which is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerChoice {
    /// The highest layer that the publisher sends at the time.
    Highest,
    /// The highest that it sends at no more than this bit rate; the lowest that it sends if there is none.
    UpTo(Bitrate),
    /// This one.
    Exact(usize),
}

/// What a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// The form.
    pub form: Form,
    /// Which layer.
    pub layer: LayerChoice,
    /// The codecs that the receiver can decode.
    pub codecs: Vec<CodecName>,
}

/// Why a track cannot be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There is no such participant.
    #[error("no such participant")]
    UnknownParticipant,
    /// There is no such subscription.
    #[error("no such subscription")]
    UnknownSubscription,
    /// There is no such track in the participant's channel.
    #[error("no such track")]
    UnknownTrack,
    /// The track has no such layer.
    #[error("no such layer")]
    UnknownLayer,
    /// The receiver cannot decode the track's codec.
    #[error("the receiver cannot decode the track's codec")]
    Codec,
    /// The participant has as many subscriptions as it may.
    #[error("too many subscriptions")]
    Limit,
}

/// What is known of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// Whose it is.
    pub participant: ParticipantId,
    /// The track; `None` once that has ended.
    pub track: Option<TrackId>,
    /// The form.
    pub form: Form,
    /// The layer that it gets; `None` while it waits for a keyframe.
    pub current: Option<usize>,
    /// The layer that it should get.
    pub target: usize,
}

/// A frame further than this behind the one before it is of a clock that was set back.
const MAX_BEHIND_US: u64 = 5_000_000;

/// The state of a subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) id: SubscriptionId,
    pub(super) participant: ParticipantId,
    pub(super) wish: Subscribe,
    pub(super) track: Option<TrackId>,
    pub(super) target: usize,
    pub(super) current: Option<usize>,
    pub(super) rewriter: Rewriter,
    pub(super) last_resync: Option<Instant>,
    /// Its receiver cannot be reached yet: it gets nothing, and nothing is asked for on its behalf.
    pub(super) held: bool,
    /// Too slow a moment ago: waits for the next group, and gets none that is kept.
    pub(super) resyncs: bool,
    pub(super) last_burst: Option<Instant>,
    last_media_us: Option<u64>,
    /// Where the layer before the current one ended, until the current one is past it.
    floor_us: Option<u64>,
}

impl Subscription {
    pub(super) fn new(
        id: SubscriptionId,
        participant: ParticipantId,
        wish: Subscribe,
        rewriter: Rewriter,
    ) -> Self {
        Self {
            id,
            participant,
            wish,
            track: None,
            target: 0,
            current: None,
            rewriter,
            last_resync: None,
            held: false,
            resyncs: false,
            last_burst: None,
            last_media_us: None,
            floor_us: None,
        }
    }

    pub(super) fn state(&self) -> SubscriptionState {
        SubscriptionState {
            participant: self.participant,
            track: self.track,
            form: self.wish.form,
            current: self.current,
            target: self.target,
        }
    }

    /// Begins to show a track; the numbering goes on.
    pub(super) fn attach(&mut self, track: TrackId, target: usize, rate_hz: u32) {
        self.track = Some(track);
        self.target = target;
        self.current = None;
        self.resyncs = false;
        self.rewriter.set_rate(rate_hz);
        self.last_media_us = None;
        self.floor_us = None;
    }

    /// Whether the subscriber needs a keyframe of its target layer to go on.
    pub(super) fn waits(&self) -> bool {
        self.current != Some(self.target) && !self.held
    }

    /// Whether it has use for a layer.
    pub(super) fn wants(&self, layer: usize) -> bool {
        (self.target == layer || self.current == Some(layer)) && !self.held
    }

    /// What becomes of a packet of `layer`. `recent` are the packets before it in order of arrival, some of which may
    /// belong after it.
    pub(super) fn offer_packet(
        &mut self,
        layer: usize,
        packet: &LayerPacket,
        recent: &VecDeque<LayerPacket>,
        mut emit: impl FnMut(Output),
    ) {
        let subscription = self.id;
        if self.current == Some(layer) {
            if let Some(packet) = self.rewriter.rewrite(packet) {
                emit(Output::Packet { subscription, packet });
            }
            return;
        }
        if self.target != layer || !packet.info.starts_keyframe || !packet.live || self.held {
            return;
        }
        self.current = Some(layer);
        self.resyncs = false;
        self.rewriter.switch(packet);
        let first = packet.packet.seq;
        // The rest of a keyframe whose first packet came late came before it.
        let rest = recent.iter().filter(|earlier| earlier.packet.seq > first);
        for packet in std::iter::once(packet).chain(rest) {
            if let Some(packet) = self.rewriter.rewrite(packet) {
                emit(Output::Packet { subscription, packet });
            }
        }
    }

    /// What becomes of a frame of `layer`. `live`: whether it is new enough to start with.
    pub(super) fn offer_frame(&mut self, layer: usize, frame: &MediaFrame, live: bool) -> Option<Output> {
        let mut frame = frame.clone();
        if self.current != Some(layer) {
            if self.target != layer || !frame.keyframe || !live || self.held {
                return None;
            }
            self.current = Some(layer);
            self.resyncs = false;
            self.floor_us = self.last_media_us;
        }
        // Layers share a clock, but not the instants of their frames: the first ones after a switch may be behind.
        let behind =
            |floor: &u64| frame.media_time_us <= *floor && floor - frame.media_time_us < MAX_BEHIND_US;
        if let Some(floor) = self.floor_us.take().filter(behind) {
            frame.media_time_us = floor.saturating_add(1);
            self.floor_us = Some(frame.media_time_us);
        }
        self.last_media_us = Some(frame.media_time_us);
        Some(Output::Frame { subscription: self.id, layer, frame })
    }
}
