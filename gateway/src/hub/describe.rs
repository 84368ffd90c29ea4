//! Members and tracks as clients are told of them.

use tombolo_signaling::message::{Participant, TrackSummary};

use super::messages::Member;

/// A member in the words of signaling: ids are `p` and a number for participants, a number for tracks.
#[must_use]
pub fn describe(member: &Member) -> Participant {
    let tracks = member.tracks.iter().map(|track| TrackSummary {
        id: track.track.0.to_string(),
        kind: track.kind,
        codec: track.codec,
        label: (!track.label.is_empty()).then(|| track.label.clone()),
    });
    Participant {
        id: format!("p{}", member.participant.0),
        name: member.name.clone(),
        transport: member.transport,
        tracks: tracks.collect(),
    }
}
