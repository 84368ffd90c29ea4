//! What the core tells its driver to do.

use super::ids::{ParticipantId, SubscriptionId, TrackId};
use super::media::{MediaFrame, OutPacket};
use super::roster::RosterChange;

/// One thing to do, from [`Core::poll_output`](super::Core::poll_output).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send a packet on the leg of a packet subscription.
    Packet {
        /// Whose.
        subscription: SubscriptionId,
        /// What.
        packet: OutPacket,
    },
    /// Deliver a frame to a frame subscription. A keyframe begins a new group.
    Frame {
        /// Whose.
        subscription: SubscriptionId,
        /// Which of the track's layers it is of.
        layer: usize,
        /// What.
        frame: MediaFrame,
    },
    /// The group that a frame subscription is in has ended before its time: something was lost. The next frame is
    /// a keyframe.
    GroupEnded {
        /// Whose.
        subscription: SubscriptionId,
    },
    /// Ask the publisher for a keyframe.
    RequestKeyframe {
        /// Of which track.
        track: TrackId,
        /// Of which layer.
        layer: usize,
    },
    /// Nobody wants a layer any more: its publisher may stop sending it.
    LayerPaused {
        /// Of which track.
        track: TrackId,
        /// Which layer.
        layer: usize,
    },
    /// Somebody wants a paused layer again.
    LayerResumed {
        /// Of which track.
        track: TrackId,
        /// Which layer.
        layer: usize,
    },
    /// The track of a subscription is gone. The subscription stays, with its stream's numbering, until it is
    /// retargeted or unsubscribed.
    TrackEnded {
        /// Whose.
        subscription: SubscriptionId,
        /// What it showed.
        track: TrackId,
    },
    /// Tell a member or an observer of a channel who came, changed or went.
    Roster {
        /// Whom to tell.
        to: ParticipantId,
        /// What.
        change: RosterChange,
    },
}

impl Output {
    /// Whether it is a packet or a frame of this subscription.
    pub(super) fn is_media_of(&self, id: SubscriptionId) -> bool {
        match self {
            Self::Packet { subscription, .. } | Self::Frame { subscription, .. } => *subscription == id,
            _ => false,
        }
    }
}
