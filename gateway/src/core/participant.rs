//! A participant: who it is, what it publishes and what it subscribes to.

use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use tombolo_signaling::message::TransportKind;
use tombolo_signaling::name::Name;

use super::clock::MediaClock;
use super::ids::{IdSet, ParticipantId, SubscriptionId, TrackId};
use super::roster::{Member, MemberTrack};

/// Who joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParticipantInfo {
    /// The name, unique among the members of the channel; an observer's is told to nobody.
    pub name: Name,
    /// How the participant is connected.
    pub transport: TransportKind,
    /// Whether the others are told; `false` for an observer, who is told of others all the same.
    pub visible: bool,
}

/// Why a participant cannot join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A member of the channel has the name.
    #[error("the name is taken in this channel")]
    NameTaken,
    /// The channel has as many members, or observers, as it may.
    #[error("the channel is full")]
    ChannelFull,
    /// There are as many channels as there may be.
    #[error("there are too many channels")]
    TooManyChannels,
}

/// The state of a participant.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) channel: Name,
    pub(super) visible: bool,
    pub(super) tracks: Vec<TrackId>,
    pub(super) subscriptions: IdSet<SubscriptionId>,
    pub(super) clock: MediaClock,
    pub(super) member: Arc<Member>,
}

impl Participant {
    pub(super) fn new(now: Instant, id: ParticipantId, channel: Name, info: ParticipantInfo) -> Self {
        let member =
            Member { participant: id, name: info.name, transport: info.transport, tracks: Vec::new() };
        Self {
            channel,
            visible: info.visible,
            tracks: Vec::new(),
            subscriptions: IdSet::default(),
            clock: MediaClock::new(now),
            member: Arc::new(member),
        }
    }

    pub(super) fn add_track(&mut self, track: MemberTrack) {
        self.tracks.push(track.track);
        Arc::make_mut(&mut self.member).tracks.push(track);
    }

    pub(super) fn remove_track(&mut self, id: TrackId) {
        self.tracks.retain(|&track| track != id);
        Arc::make_mut(&mut self.member).tracks.retain(|track| track.track != id);
    }
}
