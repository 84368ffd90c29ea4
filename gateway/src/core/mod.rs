//! The routing core: channels, participants, tracks and subscriptions, without a socket or a clock.
//!
//! A driver tells a [`Core`] what happens and when, and after each call takes what is to be done out of
//! [`Core::poll_output`] until there is nothing left, then looks at [`Core::poll_timeout`].
//!
//! A track is published in one [`Form`], packets or frames, and subscribed to in either. Packets to packets never
//! become frames, frames to frames never become packets; the form that a publisher does not send is made once per
//! layer while somebody wants it.
//!
//! Bounds: channels, members, tracks, layers and subscriptions by [`Config`]; per layer a kept group of
//! [`Config::kept_bytes`] in either form and 64 packets at hand. The queue of outputs holds what one call produced: at
//! most one kept group, or one packet or frame for each subscriber.

mod channel;
mod clock;
mod config;
mod fan_out;
mod flow;
mod ids;
mod kept_group;
mod keyframes;
mod lateness;
mod layer;
mod media;
mod output;
mod participant;
mod payload;
mod rewrite;
mod roster;
mod stats;
mod subscription;
mod to_frames;
mod to_packets;
mod track;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use rand_core::Rng as _;
use tombolo_net::{ExtSeqNo, NtpTime, RtpTime, Seed};
use tombolo_signaling::name::Name;

pub use config::Config;
pub use fan_out::FanOut;
pub use ids::{ParticipantId, SubscriptionId, TrackId};
pub use media::{Form, MAX_PREFIX_BYTES, MediaFrame, MediaPacket, OutPacket, Prefix};
pub use output::Output;
pub use participant::{JoinError, ParticipantInfo};
pub use roster::{LayerInfo, Member, MemberTrack, RosterChange};
pub use stats::Stats;
pub use subscription::{LayerChoice, Subscribe, SubscribeError, SubscriptionState};
pub use track::{PublishError, TrackInfo};

use channel::Channel;
use ids::IdMap;
use participant::Participant;
use rewrite::Rewriter;
use subscription::Subscription;
use track::{Context, Track};

/// The routing core. See the [module](self).
#[derive(Debug)]
pub struct Core {
    config: Config,
    rng: tombolo_net::Rng,
    last_id: u64,
    channels: HashMap<Name, Channel>,
    participants: IdMap<ParticipantId, Participant>,
    tracks: IdMap<TrackId, Track>,
    subscriptions: IdMap<SubscriptionId, Subscription>,
    timeouts: BTreeSet<(Instant, TrackId)>,
    outputs: VecDeque<Output>,
    stats: Stats,
}

impl Core {
    /// An empty core. The seed decides where the numbering of packet streams starts.
    #[must_use]
    pub fn new(config: Config, seed: &Seed) -> Self {
        Self {
            config,
            rng: seed.rng(),
            last_id: 0,
            channels: HashMap::new(),
            participants: IdMap::default(),
            tracks: IdMap::default(),
            subscriptions: IdMap::default(),
            timeouts: BTreeSet::new(),
            outputs: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    // Channels and participants.

    /// Enters a channel, which the first to enter makes. The others are told.
    ///
    /// # Errors
    /// See [`JoinError`].
    pub fn join(
        &mut self,
        now: Instant,
        channel: &Name,
        info: ParticipantInfo,
    ) -> Result<ParticipantId, JoinError> {
        let known = self.channels.get(channel);
        if known.is_none() && self.channels.len() >= self.config.max_channels {
            return Err(JoinError::TooManyChannels);
        }
        let taken = known.is_some_and(|known| {
            known.members().iter().any(|id| self.member(*id).is_some_and(|member| member.name == info.name))
        });
        if info.visible && taken {
            return Err(JoinError::NameTaken);
        }
        let id = ParticipantId(self.next_id());
        let entered = self.channels.entry(channel.clone()).or_default().enter(id, info.visible, &self.config);
        if let Err(error) = entered {
            // Only a channel that has members is full, unless the bound is 0.
            self.forget_empty(channel, id);
            return Err(error);
        }
        let participant = Participant::new(now, id, channel.clone(), info);
        let member = Arc::clone(&participant.member);
        self.participants.insert(id, participant);
        self.tell(id, &RosterChange::Joined(member));
        Ok(id)
    }

    /// Leaves: what the participant publishes and subscribes to ends, and the others are told. Unknown ids are ignored.
    pub fn leave(&mut self, now: Instant, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(&id) else {
            return;
        };
        let member = Arc::clone(&participant.member);
        let tracks = std::mem::take(&mut participant.tracks);
        let subscriptions = std::mem::take(&mut participant.subscriptions);
        for subscription in subscriptions {
            self.unsubscribe(now, subscription);
        }
        for track in tracks {
            self.end_track(now, track);
        }
        self.tell(id, &RosterChange::Left(member));
        if let Some(participant) = self.participants.remove(&id) {
            self.forget_empty(&participant.channel, id);
        }
    }

    fn forget_empty(&mut self, channel: &Name, leaving: ParticipantId) {
        if self.channels.get_mut(channel).is_some_and(|channel| channel.leave(leaving)) {
            self.channels.remove(channel);
        }
    }

    /// A participant as others are told of it; `None` when there is no such participant.
    #[must_use]
    pub fn member(&self, id: ParticipantId) -> Option<&Arc<Member>> {
        self.participants.get(&id).map(|participant| &participant.member)
    }

    /// The members of a channel, oldest first.
    pub fn members(&self, channel: &Name) -> impl Iterator<Item = &Arc<Member>> {
        let ids = self.channels.get(channel).map_or(&[][..], Channel::members);
        ids.iter().filter_map(|&id| self.member(id))
    }

    /// Everybody else in a participant's or observer's channel, oldest first.
    pub fn others(&self, id: ParticipantId) -> impl Iterator<Item = &Arc<Member>> {
        let channel = self.participants.get(&id).map(|participant| &participant.channel);
        channel.into_iter().flat_map(|name| self.members(name)).filter(move |member| member.participant != id)
    }

    fn tell(&mut self, about: ParticipantId, change: &RosterChange) {
        let Some(participant) = self.participants.get(&about).filter(|participant| participant.visible)
        else {
            return;
        };
        if let Some(channel) = self.channels.get(&participant.channel) {
            let told = channel.audience(about).map(|to| Output::Roster { to, change: change.clone() });
            self.outputs.extend(told);
        }
    }

    // Tracks.

    /// Publishes a track. The others are told.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub fn publish(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        info: TrackInfo,
    ) -> Result<TrackId, PublishError> {
        let id = TrackId(self.next_id());
        let owner = self
            .participants
            .get_mut(&participant)
            .filter(|participant| participant.visible)
            .ok_or(PublishError::UnknownParticipant)?;
        if owner.tracks.len() >= self.config.max_tracks
            || info.layers.is_empty()
            || info.layers.len() > self.config.max_layers
        {
            return Err(PublishError::Limit);
        }
        let track = Track::new(now, &self.config, id, participant, info)?;
        let info = &track.info;
        owner.add_track(MemberTrack {
            track: id,
            label: info.label.clone(),
            kind: info.kind,
            codec: info.codec,
            form: info.form,
            layers: info.layers.clone(),
        });
        let member = Arc::clone(&owner.member);
        self.tracks.insert(id, track);
        self.with_track(now, id, |_, _| ());
        self.tell(participant, &RosterChange::Changed(member));
        Ok(id)
    }

    /// Ends a track: its subscribers get [`Output::TrackEnded`], the others are told. Unknown ids are ignored.
    pub fn unpublish(&mut self, now: Instant, track: TrackId) {
        let Some(owner) = self.tracks.get(&track).map(|track| track.owner) else {
            return;
        };
        self.end_track(now, track);
        if let Some(participant) = self.participants.get_mut(&owner) {
            participant.remove_track(track);
            let member = Arc::clone(&participant.member);
            self.tell(owner, &RosterChange::Changed(member));
        }
    }

    fn end_track(&mut self, now: Instant, id: TrackId) {
        self.with_track(now, id, Track::end);
        if let Some(track) = self.tracks.remove(&id)
            && let Some(timeout) = track.timeout
        {
            self.timeouts.remove(&(timeout, id));
        }
    }

    /// Whether keyframe requests can reach the publisher of a track, when that changes.
    pub fn set_can_request_keyframe(&mut self, now: Instant, track: TrackId, can: bool) {
        self.with_track(now, track, |track, cx| track.set_can_request_keyframe(cx, can));
    }

    /// A packet of a track that is published in packets. Layers are counted as in [`TrackInfo::layers`].
    pub fn push_packet(&mut self, now: Instant, track: TrackId, layer: usize, packet: MediaPacket) {
        self.with_track(now, track, |track, cx| track.push_packet(cx, layer, packet));
    }

    /// The packets of a layer up to the number `last` that have not come will not come: nobody asks for them any more.
    pub fn push_loss(&mut self, now: Instant, track: TrackId, layer: usize, last: ExtSeqNo) {
        self.with_track(now, track, |track, cx| track.push_loss(cx, layer, last));
    }

    /// A sender report of a layer of a track that is published in packets: `ntp` and `rtp` name one instant
    /// (RFC 3550 §6.4.1).
    pub fn push_sender_report(
        &mut self,
        now: Instant,
        track: TrackId,
        layer: usize,
        ntp: NtpTime,
        rtp: RtpTime,
    ) {
        self.with_track(now, track, |track, cx| track.sender_report(cx, layer, ntp, rtp));
    }

    /// A frame of a track that is published in frames. The frames of a layer come in decoding order.
    pub fn push_frame(&mut self, now: Instant, track: TrackId, layer: usize, frame: MediaFrame) {
        self.with_track(now, track, |track, cx| track.push_frame(cx, layer, frame));
    }

    /// Frames of a layer of a track that is published in frames were lost: the next one that counts is a keyframe.
    pub fn push_gap(&mut self, now: Instant, track: TrackId, layer: usize) {
        self.with_track(now, track, |track, cx| track.push_gap(cx, layer));
    }

    // Subscriptions.

    /// Subscribes to a track of the participant's channel. Pictures begin with a keyframe.
    ///
    /// # Errors
    /// See [`SubscribeError`].
    pub fn subscribe(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        track: TrackId,
        wish: Subscribe,
    ) -> Result<SubscriptionId, SubscribeError> {
        self.add_subscription(now, participant, track, wish, false)
    }

    fn add_subscription(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        track: TrackId,
        wish: Subscribe,
        held: bool,
    ) -> Result<SubscriptionId, SubscribeError> {
        let subscriber = self.participants.get(&participant).ok_or(SubscribeError::UnknownParticipant)?;
        if subscriber.subscriptions.len() >= self.config.max_subscriptions {
            return Err(SubscribeError::Limit);
        }
        self.check(participant, track, &wish)?;
        let id = SubscriptionId(self.next_id());
        let first = self.rng.next_u64();
        // Half the space at most, so that the first wrap is not near (RFC 3711 §3.3.1 counts wraps from the start).
        let rewriter = Rewriter::new(90_000, (first >> 32) as u16 & 0x7fff, first as u32);
        let mut subscription = Subscription::new(id, participant, wish, rewriter);
        subscription.held = held;
        self.subscriptions.insert(id, subscription);
        if let Some(subscriber) = self.participants.get_mut(&participant) {
            subscriber.subscriptions.insert(id);
        }
        self.with_track(now, track, |track, cx| track.attach(cx, id));
        Ok(id)
    }

    /// Subscribes like [`Self::subscribe`] for a receiver that cannot be reached yet: nothing is sent, and no keyframe
    /// is asked for that would be lost, until [`Self::release`].
    ///
    /// # Errors
    /// As for [`Self::subscribe`].
    pub fn subscribe_held(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        track: TrackId,
        wish: Subscribe,
    ) -> Result<SubscriptionId, SubscribeError> {
        self.add_subscription(now, participant, track, wish, true)
    }

    /// The receiver of a held subscription can be reached now. Does nothing to one that is not held.
    pub fn release(&mut self, now: Instant, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.get_mut(&id).filter(|subscription| subscription.held)
        else {
            return;
        };
        match subscription.track {
            Some(track) => self.with_track(now, track, |track, cx| track.release(cx, id)),
            None => subscription.held = false,
        }
    }

    fn check(
        &self,
        participant: ParticipantId,
        track: TrackId,
        wish: &Subscribe,
    ) -> Result<(), SubscribeError> {
        let channel = |id| self.participants.get(&id).map(|participant| &participant.channel);
        let track = self
            .tracks
            .get(&track)
            .filter(|track| channel(track.owner) == channel(participant))
            .ok_or(SubscribeError::UnknownTrack)?;
        if !wish.codecs.contains(&track.info.codec) {
            return Err(SubscribeError::Codec);
        }
        if matches!(wish.layer, LayerChoice::Exact(layer) if layer >= track.layers.len()) {
            return Err(SubscribeError::UnknownLayer);
        }
        Ok(())
    }

    /// Ends a subscription. Unknown ids are ignored.
    pub fn unsubscribe(&mut self, now: Instant, id: SubscriptionId) {
        let Some(subscription) = self.subscriptions.remove(&id) else {
            return;
        };
        if let Some(participant) = self.participants.get_mut(&subscription.participant) {
            participant.subscriptions.remove(&id);
        }
        if let Some(track) = subscription.track {
            self.with_track(now, track, |track, cx| track.detach(cx, id));
        }
    }

    /// Lets a subscription show another track, or none. A packet subscription's stream goes on without a break.
    ///
    /// # Errors
    /// As for [`Self::subscribe`]; the subscription then shows what it showed.
    pub fn retarget(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        track: Option<TrackId>,
    ) -> Result<(), SubscribeError> {
        let subscription = self.subscriptions.get(&id).ok_or(SubscribeError::UnknownSubscription)?;
        if let Some(track) = track {
            self.check(subscription.participant, track, &subscription.wish)?;
        }
        if let Some(old) = subscription.track {
            self.with_track(now, old, |track, cx| track.detach(cx, id));
        }
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.track = None;
            subscription.current = None;
        }
        if let Some(track) = track {
            self.with_track(now, track, |track, cx| track.attach(cx, id));
        }
        Ok(())
    }

    /// Changes which layer a subscription gets. The change shows at the layer's next keyframe, which is asked for.
    ///
    /// # Errors
    /// [`SubscribeError::UnknownSubscription`], [`SubscribeError::UnknownLayer`].
    pub fn set_layer(
        &mut self,
        now: Instant,
        id: SubscriptionId,
        choice: LayerChoice,
    ) -> Result<(), SubscribeError> {
        let subscription = self.subscriptions.get_mut(&id).ok_or(SubscribeError::UnknownSubscription)?;
        let track = subscription.track.and_then(|track| self.tracks.get(&track));
        if let (LayerChoice::Exact(layer), Some(track)) = (choice, track)
            && layer >= track.layers.len()
        {
            return Err(SubscribeError::UnknownLayer);
        }
        subscription.wish.layer = choice;
        if let Some(track) = subscription.track {
            self.with_track(now, track, Track::choose_layers);
        }
        Ok(())
    }

    /// A receiver asks for a keyframe: the publisher is asked within the layer's budget, or the kept group is sent.
    pub fn request_keyframe(&mut self, now: Instant, id: SubscriptionId) {
        if let Some(track) = self.subscriptions.get(&id).and_then(|subscription| subscription.track) {
            self.with_track(now, track, |track, cx| track.request_keyframe(cx, id));
        }
    }

    /// A receiver is too slow, and what was queued for it is thrown away: it goes on with the next keyframe.
    pub fn resync(&mut self, now: Instant, id: SubscriptionId) {
        if let Some(track) = self.subscriptions.get(&id).and_then(|subscription| subscription.track) {
            self.with_track(now, track, |track, cx| track.resync(cx, id));
        }
    }

    /// What is known of a subscription.
    #[must_use]
    pub fn subscription(&self, id: SubscriptionId) -> Option<SubscriptionState> {
        self.subscriptions.get(&id).map(Subscription::state)
    }

    // Time and output.

    /// Does what is due. An early call is a no-op.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<_> = self.timeouts.range(..=(now, TrackId(u64::MAX))).map(|&(_, track)| track).collect();
        for track in due {
            self.with_track(now, track, Track::handle_timeout);
        }
    }

    /// When [`Self::handle_timeout`] is due; `None` when nothing is pending.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timeouts.first().map(|&(due, _)| due)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A snapshot of the counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let layers = || self.tracks.values().flat_map(|track| &track.layers);
        Stats {
            channels: self.channels.len(),
            participants: self.participants.len(),
            tracks: self.tracks.len(),
            subscriptions: self.subscriptions.len(),
            assemblers: layers().filter(|layer| layer.to_frames.is_some()).count(),
            packetizers: layers().filter(|layer| layer.to_packets.is_some()).count(),
            kept_bytes: layers().map(|layer| layer.kept_bytes()).sum(),
            ..self.stats
        }
    }

    /// Runs `act` on a track and enters the track's next timeout in the table.
    fn with_track(&mut self, now: Instant, id: TrackId, act: impl FnOnce(&mut Track, &mut Context<'_>)) {
        let Some(track) = self.tracks.get_mut(&id) else {
            self.stats.dropped_unknown += 1;
            return;
        };
        let Some(owner) = self.participants.get_mut(&track.owner) else {
            return;
        };
        let mut cx = Context {
            now,
            config: &self.config,
            rng: &mut self.rng,
            clock: &mut owner.clock,
            subscriptions: &mut self.subscriptions,
            outputs: &mut self.outputs,
            stats: &mut self.stats,
        };
        act(track, &mut cx);
        let next = track.next_timeout(&self.config);
        if next != track.timeout {
            if let Some(old) = track.timeout {
                self.timeouts.remove(&(old, id));
            }
            if let Some(next) = next {
                self.timeouts.insert((next, id));
            }
            track.timeout = next;
        }
    }
}
