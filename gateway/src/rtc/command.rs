//! What HTTP and WebSocket tasks ask of the WebRTC legs, and what those tell.

use tokio::sync::{mpsc, oneshot, watch};
use tombolo_signaling::{Name, SlotChoice, TransportKind, UnavailableReason};

use crate::hub::messages::{JoinError, ParticipantId, Roster, TrackId};

/// A WebRTC leg's number, unique while the gateway runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(pub u64);

/// How many events of a leg may wait for the task that reads them. A task that reads too slowly loses its leg.
pub const EVENT_QUEUE: usize = 256;

/// What a task asks of the WebRTC legs.
#[derive(Debug)]
pub enum RtcCommand {
    /// Enters a channel with a new peer connection that waits for an offer.
    Open {
        /// The channel.
        channel: Name,
        /// The wished name; `None` lets the gateway make one.
        name: Option<Name>,
        /// Which way of joining this is.
        transport: TransportKind,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Opened, JoinError>>,
    },
    /// Takes an offer and answers it.
    Offer {
        /// Which leg.
        leg: LegId,
        /// The session description.
        sdp: String,
        /// What the way of joining allows.
        policy: OfferPolicy,
        /// Tracks for slots.
        receive: Vec<SlotChoice>,
        /// Where the answer goes: the local description.
        reply: oneshot::Sender<Result<String, OfferError>>,
    },
    /// Adds a trickled candidate; an empty one is the end of candidates.
    Candidate {
        /// Which leg.
        leg: LegId,
        /// The candidate, from `candidate:` on.
        candidate: String,
        /// Its media section, where the client says so.
        mid: Option<String>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), CandidateError>>,
    },
    /// Changes what a slot shows.
    Receive {
        /// Which leg.
        leg: LegId,
        /// Slot and track.
        choice: SlotChoice,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), SlotError>>,
    },
    /// Leaves the channel and ends the peer connection. Nothing happens where the leg has ended.
    Close {
        /// Which leg.
        leg: LegId,
    },
}

/// A leg that has entered its channel.
#[derive(Debug)]
pub struct Opened {
    /// The leg.
    pub leg: LegId,
    /// The participant it is.
    pub participant: ParticipantId,
    /// The name in the channel.
    pub name: Name,
    /// Everybody in the channel.
    pub roster: watch::Receiver<Roster>,
    /// What happens to the leg. Ends with the leg.
    pub events: mpsc::Receiver<LegEvent>,
}

/// What an offer may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferPolicy {
    /// Anything: the sections that the client sends on are publications, the others slots.
    Any,
    /// WHIP: the client only sends, at most one section of each kind (RFC 9725 §4.2).
    PublishOnly,
    /// WHEP: the client only receives. With a publisher, only that participant's tracks are shown.
    WatchOnly {
        /// Whose tracks, where the client chose.
        publisher: Option<ParticipantId>,
    },
}

/// What happens to a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LegEvent {
    /// What a slot shows from now on.
    Slot {
        /// The slot's media section.
        mid: String,
        /// Track and publisher, or nothing.
        shows: Option<(TrackId, ParticipantId)>,
    },
    /// A track cannot be shown.
    Unavailable {
        /// Which.
        track: TrackId,
        /// Whose.
        participant: ParticipantId,
        /// Why.
        reason: UnavailableReason,
        /// Why, in words.
        message: String,
    },
    /// The peer connection is up.
    Connected,
    /// The peer connection failed, in words. The leg has ended.
    Failed(String),
}

/// Why an offer is not answered. The leg is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OfferError {
    /// The description is malformed or lacks something.
    #[error("{reason}")]
    Malformed {
        /// The line that is wrong, from 1; 0 when no line is to blame.
        line: u32,
        /// In words.
        reason: String,
    },
    /// The description is well formed, but this way of joining does not allow it.
    #[error("{0}")]
    NotAllowed(&'static str),
    /// The leg has ended.
    #[error("the session has ended")]
    Gone,
}

/// Why a candidate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CandidateError {
    /// It cannot be read.
    #[error("the candidate cannot be read")]
    Malformed,
    /// The leg has ended.
    #[error("the session has ended")]
    Gone,
}

/// Why a slot does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotError {
    /// There is no receiving media section with that tag.
    #[error("there is no slot with that mid")]
    UnknownSlot,
    /// Nobody else in the channel publishes such a track.
    #[error("there is no such track")]
    UnknownTrack,
    /// The track is of the other kind.
    #[error("the slot is for the other kind of media")]
    WrongKind,
    /// The leg has ended.
    #[error("the session has ended")]
    Gone,
}
