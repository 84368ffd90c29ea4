//! What the tasks of the gateway say to the media task, and what it says back.
//!
//! Everything here is plain data: ids, names, frames, and the channels on which answers come. The receiving
//! half of every queue that the media task fills is bounded, and the media task never waits on one.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};
use tombolo_signaling::name::Name;

pub use crate::core::{LayerInfo, Member, MemberTrack, ParticipantId, SubscriptionId, TrackId};
use crate::metrics::Snapshot;

use crate::rtc::command::RtcCommand;

/// The members of a channel and what they publish, oldest first.
pub type Roster = Arc<Vec<Arc<Member>>>;

/// What a task asks of the media task.
#[derive(Debug)]
pub enum Command {
    /// Enters a channel.
    Join {
        /// The channel.
        channel: Name,
        /// The wished name; `None` lets the gateway make one.
        name: Option<Name>,
        /// How the participant is connected.
        transport: TransportKind,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Joined, JoinError>>,
    },
    /// Leaves, with everything the participant publishes and watches.
    Leave {
        /// Who.
        participant: ParticipantId,
    },
    /// Publishes a track in the form of frames.
    Publish {
        /// Who.
        participant: ParticipantId,
        /// What.
        track: FrameTrack,
        /// As in [`Command::SetCanRequestKeyframe`].
        can_request_keyframe: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<TrackId, PublishError>>,
    },
    /// Ends a track.
    Unpublish {
        /// Which.
        track: TrackId,
    },
    /// One frame of a track that was published with [`Command::Publish`].
    PushFrame {
        /// Which track.
        track: TrackId,
        /// Which of its layers, counted as in [`FrameTrack::layers`].
        layer: usize,
        /// The frame.
        frame: Frame,
    },
    /// Frames of the layer are missing: what follows makes sense from the next keyframe on.
    PushGap {
        /// Which track.
        track: TrackId,
        /// Which of its layers.
        layer: usize,
    },
    /// Whether the publisher of a track listens to [`Demand::Keyframe`]. Where it does not, its newest group is
    /// kept for those who join.
    SetCanRequestKeyframe {
        /// Which track.
        track: TrackId,
        /// Whether.
        can: bool,
    },
    /// Starts to deliver a track's layer in the form of frames, from a keyframe on.
    Subscribe {
        /// Who watches.
        participant: ParticipantId,
        /// What.
        track: TrackId,
        /// Which layer.
        layer: usize,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Subscribed, SubscribeError>>,
    },
    /// Ends a subscription.
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
    /// Something of the WebRTC legs.
    Rtc(RtcCommand),
    /// Watches who is in a channel, without entering it. An unknown channel is an empty one.
    Observe {
        /// The channel.
        channel: Name,
        /// Where the answer goes.
        reply: oneshot::Sender<watch::Receiver<Roster>>,
    },
    /// Counts.
    Stats {
        /// Where the answer goes.
        reply: oneshot::Sender<Snapshot>,
    },
    /// Ends everything, and the media task.
    Stop {
        /// Told when the last packets have left.
        done: oneshot::Sender<()>,
    },
    /// Gives up what is queued of a subscription: it goes on with the next keyframe, which is asked for.
    Resync {
        /// Which.
        subscription: SubscriptionId,
    },
}

/// A participant as the media task knows it.
#[derive(Debug)]
pub struct Joined {
    /// The participant.
    pub participant: ParticipantId,
    /// The name in the channel.
    pub name: Name,
    /// Everybody in the channel, the participant included, and what they publish.
    pub roster: watch::Receiver<Roster>,
    /// What the participant is asked to do as a publisher.
    pub demands: mpsc::Receiver<Demand>,
}

/// What a publisher is asked to do. A full queue drops the oldest wish's repetition, not the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Make a keyframe now.
    Keyframe {
        /// Of which track.
        track: TrackId,
        /// Of which layer.
        layer: usize,
    },
    /// Somebody wants the layer, or nobody does any more.
    Wanted {
        /// Which track.
        track: TrackId,
        /// Which layer.
        layer: usize,
        /// Whether somebody wants it.
        wanted: bool,
    },
}

/// A track that comes as frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameTrack {
    /// What the publisher calls it.
    pub label: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// How it is encoded.
    pub codec: CodecName,
    /// Its layers, lowest bit rate first; never empty.
    pub layers: Vec<LayerInfo>,
}

/// One encoded picture, or one packet of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Presentation time in microseconds on the publisher's media clock.
    pub media_time_us: u64,
    /// Whether a decoder can start here.
    pub keyframe: bool,
    /// H.264 as Annex-B byte stream, VP8 and Opus as they are.
    pub data: Bytes,
    /// When the frame was whole at the gateway.
    pub arrival: Instant,
}

/// A running subscription.
#[derive(Debug)]
pub struct Subscribed {
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The frames. Ends when the track does. When the reader is too slow the queue loses whole groups of
    /// pictures, never a frame in the middle of one.
    pub frames: mpsc::Receiver<Frame>,
}

/// Why a participant cannot enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Somebody in the channel has the name.
    #[error("the name is taken in this channel")]
    NameTaken,
    /// The channel has as many members as it may.
    #[error("the channel is full")]
    ChannelFull,
    /// The gateway has as many channels as it may.
    #[error("the gateway is full")]
    GatewayFull,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Why a track cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The participant publishes as many tracks as it may, or the track has too many layers or none.
    #[error("too many tracks or layers")]
    Limit,
    /// The participant is not in a channel.
    #[error("not in a channel")]
    NotJoined,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}

/// Why a track cannot be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// There is no such track or layer in the participant's channel.
    #[error("no such track")]
    UnknownTrack,
    /// The participant watches as many tracks as it may.
    #[error("too many subscriptions")]
    Limit,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
}
