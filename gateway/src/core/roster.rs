//! Who is in a channel and what they publish, as members are told.

use std::sync::Arc;

use tombolo_signaling::message::{CodecName, MediaKind, TransportKind};
use tombolo_signaling::name::Name;

use super::ids::{ParticipantId, TrackId};
use super::media::Form;

/// A member of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub participant: ParticipantId,
    /// The name, unique in the channel.
    pub name: Name,
    /// How the member is connected.
    pub transport: TransportKind,
    /// What the member publishes, oldest first.
    pub tracks: Vec<MemberTrack>,
}

/// What a member publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberTrack {
    /// Which.
    pub track: TrackId,
    /// What the publisher calls it.
    pub label: String,
    /// Sound or picture.
    pub kind: MediaKind,
    /// How it is encoded.
    pub codec: CodecName,
    /// The form it comes in.
    pub form: Form,
    /// Its layers, lowest bit rate first; never empty.
    pub layers: Vec<LayerInfo>,
}

/// One layer of a track: an encoding of the same source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerInfo {
    /// The name of the layer: a `rid` on the RTP side; empty for the only layer of a track without rids.
    pub name: String,
    /// Width in pixels, where known.
    pub width: Option<u32>,
    /// Height in pixels, where known.
    pub height: Option<u32>,
}

/// What happened in a channel. The state is that after the event, shared by all who are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RosterChange {
    /// Somebody came.
    Joined(Arc<Member>),
    /// Somebody publishes something more, less or else.
    Changed(Arc<Member>),
    /// Somebody went; the tracks are those until then.
    Left(Arc<Member>),
}

impl RosterChange {
    /// Whom it is about.
    #[must_use]
    pub fn member(&self) -> &Arc<Member> {
        match self {
            Self::Joined(member) | Self::Changed(member) | Self::Left(member) => member,
        }
    }
}
